// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/measure.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/bench/bench.h"

enum {
    TURN_NS = 10 * 1000 * 1000, // long against the clock's grain, short against a core's moods
    TIMES_MOST = 10000,         // runs within one turn
};

static bool by_wall;

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

Range range_of(double *values, int32_t count) {
    assert(count >= 1);
    qsort(values, (size_t)count, sizeof *values, by_value);
    double middle = values[count / 2];
    if (count % 2 == 0) {
        middle = 0.5 * (middle + values[count / 2 - 1]);
    }
    return (Range){values[0], middle, values[count - 1]};
}

void measure_by_wall(bool is_wall) {
    by_wall = is_wall;
}

bool measure_is_by_wall(void) {
    return by_wall;
}

int64_t measure_ns(void) {
    return by_wall ? clock_ns() : clock_thread_ns();
}

// How many runs fill a turn; the first run, which only warms up, is not looked at.
static Status count_runs(const Contender *contender, int32_t *ret_times) {
    int64_t ns;
    Status status = contender->run(contender->context, 1, &ns);
    if (status == STATUS_OK) {
        status = contender->run(contender->context, 1, &ns);
    }
    if (status == STATUS_OK) {
        int64_t times = TURN_NS / (ns > 0 ? ns : 1);
        *ret_times = (int32_t)(times < 1 ? 1 : times > TIMES_MOST ? TIMES_MOST : times);
    }
    return status;
}

static Status take_turn(const Contender *contender, int32_t times, double *ret_ns) {
    int64_t ns;
    if (bench_is_stopped()) {
        return status_set(STATUS_STOPPED, "stopped by a signal");
    }
    Status status = contender->run(contender->context, times, &ns);
    *ret_ns = (double)ns / times;
    return status;
}

Status duel(const Contender *a, const Contender *b, int32_t turns, Duel *ret_duel) {
    assert(turns >= 1 && turns <= MEASURE_TURNS_MOST);
    int32_t a_times = 0, b_times = 0;
    double *a_ns = mem_new((size_t)turns, 3 * sizeof *a_ns);
    if (a_ns == NULL) {
        return STATUS_MEMORY;
    }
    double *b_ns = a_ns + turns, *ratio = b_ns + turns;
    Status status = count_runs(a, &a_times);
    if (status == STATUS_OK) {
        status = count_runs(b, &b_times);
    }
    for (int32_t t = 0; t < turns && status == STATUS_OK; t++) {
        status = take_turn(a, a_times, &a_ns[t]);
        if (status == STATUS_OK) {
            status = take_turn(b, b_times, &b_ns[t]);
            ratio[t] = a_ns[t] / b_ns[t];
        }
    }
    if (status == STATUS_OK) {
        *ret_duel = (Duel){range_of(a_ns, turns), range_of(b_ns, turns), range_of(ratio, turns)};
    }
    mem_free(a_ns);
    return status;
}
