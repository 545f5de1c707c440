// SPDX-License-Identifier: Apache-2.0
//
// Two ways to do something, timed in turns (a b a b ...), so that whatever slows the machine down
// for a while slows both: the ratio is taken turn by turn. One thread.
#ifndef AUSCULT_BENCH_MEASURE_H
#define AUSCULT_BENCH_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"

#define MEASURE_TURNS_MOST 10000

typedef struct Range {
    double least, median, most;
} Range;

// Sorts the values; count >= 1.
Range range_of(double *values, int32_t count);

// What times are measured by: the processor time of this thread (what others run on the same core
// does not count; the default), or the time that passes.
void measure_by_wall(bool is_wall);
bool measure_is_by_wall(void);
int64_t measure_ns(void);

typedef struct Contender {
    // Does the work `times` times and gives the nanoseconds that took, by measure_ns.
    Status (*run)(void *context, int32_t times, int64_t *ret_ns);
    void *context;
} Contender;

typedef struct Duel {
    Range a_ns, b_ns; // of doing the work once
    Range ratio;      // a / b, turn by turn
} Duel;

// Each runs once to warm up, then in `turns` turns of about 10 ms each. STATUS_STOPPED on a signal;
// else what a contender returns.
Status duel(const Contender *a, const Contender *b, int32_t turns, Duel *ret_duel);

#endif
