// SPDX-License-Identifier: Apache-2.0
//
// Workers that the bench holds by the reins, as child processes: they say HELLO as a real one does,
// ask for tasks when they are told to, and then answer or just hold them.
#ifndef AUSCULT_BENCH_CLIENT_H
#define AUSCULT_BENCH_CLIENT_H

#include "common/engine/fingerprint.h"
#include "tests/bench/process.h"

typedef struct ClientTold {
    atomic_uint credits;                 // by the bench: how many in all it is to ask for
    atomic_uint granted;                 // of them, those that the coordinator knows of
    atomic_uint welcomes;                // sessions so far
    atomic_uint tasks;                   // got so far
    atomic_uint signs;                   // of life, given so far by crowds
    _Atomic int64_t welcome_ns, task_ns; // the last of each came
} ClientTold;

typedef struct ClientConfig {
    const Bench *bench;
    const Fingerprint *fingerprint;
    const char *endpoint;
    const char *keys;  // a worker's key file, NULL: none
    uint32_t sessions; // client_start_crowd
    bool answers;      // client_start: else it holds what it gets
    ClientTold *told;  // shared
} ClientConfig;

// One worker. Looks for its coordinator until there is one, without a pause.
Status client_start(const ClientConfig *config, pid_t *ret_pid);
// Many sessions, each with both lanes at first and with the first alone later, that ask for two
// tasks each, as workers do, answer what they get and give signs of life when they were told to.
// Ends with 1 when one of them is lost.
Status client_start_crowd(const ClientConfig *config, pid_t *ret_pid);

#endif
