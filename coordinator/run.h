// SPDX-License-Identifier: Apache-2.0
//
// One invocation of `auscult run` on its folder, shared by cmd_run.c and the files named run_*:
// from the command line to an opened run (run_open.c), whether the disk is large enough
// (run_space.c), and what is told at its end (run_end.c). Main's thread.
#ifndef AUSCULT_COORDINATOR_RUN_H
#define AUSCULT_COORDINATOR_RUN_H

#include "common/engine/fingerprint.h"
#include "coordinator/plan/plan.h"
#include "coordinator/run_options.h"

// The program's exit statuses; schedulers requeue on 75 only.
enum {
    EXIT_DONE = 0,
    EXIT_LEFT_OUT = 1,
    EXIT_USAGE = 2,
    EXIT_FAILED = 3,
    EXIT_STOPPED = 75,
};

typedef struct Run {
    RunOptions options;
    Stage until;         // the last stage to do
    Settings settings;   // of the command line, then of the run
    char **roots;        // (root_count) absolute; owned, as all below
    uint32_t root_count; // of the command line, or remembered
    char *manifest;      // absolute, NULL for none
    Dataset *dataset;
    Journal *journal;
    Blobs *blobs;
    Plan *plan;
    Fingerprint fingerprint; // of this program on this machine
    bool is_begun;           // an earlier invocation has begun the run in this folder
    bool made_folder;        // this invocation made it
} Run;

// run_open.c: everything up to a plan that can be served. Where no run can begin, no folder is left
// behind. STATUS_INVALID: what the user gave. May execute the program anew with `argv`.
Status run_open(Run *run, char **argv);
Status run_scan(Run *run);
Status run_roots_from_options(Run *run);
void run_close(Run *run);

// run_space.c: what the run will write at most, against what the disk has free and what the run has
// written already. STATUS_IO.
Status run_check_space(Run *run);

// run_end.c: writes the results of a plan that is over and says how it went. The exit status.
int run_finish(const Run *run);

#endif
