// SPDX-License-Identifier: Apache-2.0
//
// The worker's control lane: HELLO, tasks to the desk, answers and signs of life to the
// coordinator. Runs in the main thread, which does nothing else, so that a worker deep in a product
// still answers.
#ifndef AUSCULT_WORKER_SESSION_H
#define AUSCULT_WORKER_SESSION_H

#include <stdatomic.h>

#include "common/engine/fingerprint.h"
#include "worker/desk.h"

typedef struct SessionConfig {
    const char *endpoint;     // of the control lane
    const char *const *roots; // (root_count) this worker's own data folders; 0: the coordinator's
    uint32_t root_count;
    const char *kernel;
    uint32_t threads;               // for each task
    const Fingerprint *fingerprint; // of this program
    Digest worker_id;
    const char *name;
    int stop_fd;          // readable once a signal asks this worker to leave; the
                          // desk's answer_fd must be, too, at each signal
    atomic_int *stop;     // signals so far: asked to leave, to leave at once
    double leave_seconds; // for the task under work to end, once asked to leave
} SessionConfig;

typedef enum SessionEnd {
    SESSION_OVER,    // the run is over, or this worker was asked to leave: exit 0
    SESSION_LOST,    // connection or coordinator lost: try again
    SESSION_REFUSED, // it will never have this worker; status_message has its text
    SESSION_FAILED,  // it found a fault with this worker; status_message as above
    SESSION_KERNEL,  // it needs another BLAS kernel, named in `kernel`
} SessionEnd;

// One session from HELLO to its end. was_welcome: whether it ever began.
SessionEnd session_run(ZmqContext *context, const SessionConfig *config, Desk *desk,
                       bool *ret_was_welcome, char kernel[32]);

#endif
