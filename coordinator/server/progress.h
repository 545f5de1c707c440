// SPDX-License-Identifier: Apache-2.0
//
// What a person sees while a run works, on stderr: on a terminal one line for each stage that is
// rewritten, elsewhere a plain line every few seconds. The coordinator's loop alone.
#ifndef AUSCULT_COORDINATOR_SERVER_PROGRESS_H
#define AUSCULT_COORDINATOR_SERVER_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ProgressFacts {
    const char *stage; // "extract", "train", ...; NULL between stages
    const char *unit;  // what is counted: "clips", "epochs", "pictures"
    uint64_t done, total;
    uint32_t workers;
    uint64_t stranded; // models that no worker which is there can train
    double loss;       // NaN when there is none
} ProgressFacts;

typedef struct Progress Progress;
// `is_quiet`: prints nothing. NULL when out of memory.
Progress *progress_new(bool is_quiet);
// Finishes the line.
void progress_free(Progress *progress);
void progress_tick(Progress *progress, const ProgressFacts *facts, int64_t now_ms);

// The line of a stage that has been under way for so long and found `start` done: "train    20/40
// epochs, 2.0/s, 10 s left, 2 workers, loss 8.25". Cut to fit.
void progress_format(const ProgressFacts *facts, uint64_t start, double seconds, char *out,
                     size_t size);

#endif
