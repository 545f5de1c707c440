// SPDX-License-Identifier: Apache-2.0
//
// A real run as a child process: the auscult beside this program, with local workers. One thread.
#ifndef AUSCULT_BENCH_CLUSTER_H
#define AUSCULT_BENCH_CLUSTER_H

#include "tests/bench/bench.h"

typedef struct ClusterRun {
    const char *command; // "run", "train"
    const char *data;    // folder, as `run`
    const char *run;     // made anew
    uint32_t workers;
    const char *spread; // setting
    int32_t batch_size, epochs;
    // Called every 10 ms while the run goes on; may be NULL.
    void (*watch)(void *context, pid_t coordinator);
    void *context;
} ClusterRun;

// Runs to the end on all processors. STATUS_IO with what the run said when it failed.
Status cluster_run(const Bench *bench, const ClusterRun *run);
// Mean microseconds of a round over the pieces that `members` workers trained, the first piece
// left out when there are more. STATUS_NOT_FOUND when none did.
Status cluster_round_us(const char *run, uint32_t members, double *ret_us);

#endif
