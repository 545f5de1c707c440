// SPDX-License-Identifier: Apache-2.0
//
// What the parts of auscult-bench share: the options, the folder for what they write, and the
// table of figures that they fill. One thread.
#ifndef AUSCULT_BENCH_BENCH_H
#define AUSCULT_BENCH_BENCH_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/limits.h"
#include "common/base/settings.h"
#include "common/base/status.h"
#include "tests/bench/measure.h"

#define BENCH_FIGURES_MOST 32
#define BENCH_NOTES_MOST   16

typedef struct Figure {
    const char *name;     // in JSON
    const char *what;     // for people; borrowed for good, as all texts but `against`
    const char *unit;     // of value and other: "ms", "MB"
    char against[96];     // what stands beside it
    const char *ratio_is; // "value / other" or "other / value"
    Range value, other;   // ours, and what it is held against
    Range ratio;
    int32_t turns;
} Figure;

typedef struct Bench {
    bool is_json;
    bool has_peers;     // whether Python is asked
    const char *python; // named by the user, or NULL
    int32_t turns;      // of each single-core figure
    int32_t runs;       // each way of the cluster's figures
    int32_t tasks;      // empty ones, of figures that take many
    int32_t minutes;    // of the soak
    int32_t hold_s;     // seconds that sessions are held
    Settings settings;  // the default preset's, with the kernel in use
    cpu_set_t all_cpus; // what this process was given
    int32_t cpu;        // the one that the single-core figures run on
    char folder[256];   // for temporary files, removed at the end
    Figure figures[BENCH_FIGURES_MOST];
    int32_t figure_count;
    char notes[BENCH_NOTES_MOST][256]; // what could not be measured and why
    int32_t note_count;
} Bench;

// Whether a signal asked for an end.
bool bench_is_stopped(void);
// A new line of the table, zeroed but for its names.
Figure *bench_figure(Bench *bench, const char *name, const char *what);
// The line of a duel in milliseconds: a is ours. With is_peer the ratio is how many times as fast
// as the other ours is, else how many times as long it takes.
void bench_duel(Bench *bench, const char *name, const char *what, const char *against,
                const Duel *result, bool is_peer);
// The line of a single value and what it is held against; the ratio is value / other.
Figure *bench_goal(Bench *bench, const char *name, const char *what, const char *unit, double value,
                   const char *against, double other);
void bench_note(Bench *bench, const char *format, ...) __attribute__((format(printf, 2, 3)));
// "folder/name" for a temporary file.
Status bench_path(const Bench *bench, const char *name, char out[LIMIT_PATH_BYTES]);

// The parts.
Status bench_logmel(Bench *bench);
Status bench_eda(Bench *bench);
Status bench_step(Bench *bench);
Status bench_forward(Bench *bench);
Status bench_threads(Bench *bench);
Status bench_spread(Bench *bench);
Status bench_memory(Bench *bench);
Status bench_evaluate(Bench *bench);
Status bench_tasks(Bench *bench);
Status bench_losses(Bench *bench);
Status bench_capacity(Bench *bench);
Status bench_sessions(Bench *bench);
Status bench_soak(Bench *bench);

#endif
