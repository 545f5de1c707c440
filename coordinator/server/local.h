// SPDX-License-Identifier: Apache-2.0
//
// Workers on this machine: started with the run, started again when they die, gone with it. Each
// dies with its parent (PR_SET_PDEATHSIG), so that no kill leaves one behind. The coordinator's
// loop alone.
#ifndef AUSCULT_COORDINATOR_SERVER_LOCAL_H
#define AUSCULT_COORDINATOR_SERVER_LOCAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"

typedef struct LocalConfig {
    uint32_t workers;
    const char *endpoint;   // what they connect to
    const char *keys;       // file of their keys, "" without
    const char *kernel;     // the run's BLAS kernel
    const char *log_folder; // each writes worker-<n>.log there
    bool is_debug;          // they log more
} LocalConfig;

typedef struct Local Local;
// Finds auscult-worker beside this program (or in PATH) and starts the workers.
Status local_start(const LocalConfig *config, Local **ret);
// A session began, of a worker that gave this name (HOST:PROCESS_ID), or one has ended: whoever has
// none for long while its process lives is ended by local_tick, and another started in its place.
void local_joined(Local *local, uint32_t peer, const char *name);
void local_left(Local *local, uint32_t peer, int64_t now_ms);
// Reaps those that ended and starts them again, each a bounded number of times in a row.
// STATUS_STOPPED: all have ended and none may be started any more; STATUS_MISMATCH: one was refused
// for good, as any other would be.
Status local_tick(Local *local, int64_t now_ms);
uint32_t local_alive(const Local *local);
// Asks all to leave: each hands over what it is at, or ends it, and goes. No local_tick from then
// on.
void local_leave(const Local *local);
// Asks all to end, waits for a moment, ends them.
void local_stop(Local *local);

#endif
