// SPDX-License-Identifier: Apache-2.0
//
// Signals as something to read beside sockets: what asks the coordinator to stop, and the deaths of
// its own workers. Call it before any other thread is started.
#ifndef AUSCULT_COORDINATOR_SERVER_SIGNALS_H
#define AUSCULT_COORDINATOR_SERVER_SIGNALS_H

#include <stdint.h>

#include "common/base/status.h"

// Blocks SIGINT, SIGTERM, SIGHUP (unless it is ignored, as by nohup) and SIGCHLD for the whole
// process and makes a descriptor that is readable while one is there; ignores SIGPIPE. The caller
// closes it. STATUS_IO.
Status signals_catch(int *ret_fd);
// Takes all that are there; how many of them ask to stop.
uint32_t signals_stops(int fd);

#endif
