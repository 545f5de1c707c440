// SPDX-License-Identifier: Apache-2.0
//
// The end of a run's log, for who looks on. Any thread.
#ifndef AUSCULT_COORDINATOR_LIVE_LOG_TAIL_H
#define AUSCULT_COORDINATOR_LIVE_LOG_TAIL_H

#include "common/base/buffer.h"

// Appends the last lines of RUN/logs/coordinator.log, 20 at most and none that is for debugging,
// oldest first; nothing where there is no log.
void log_tail(const char *run_folder, Buffer *out);

#endif
