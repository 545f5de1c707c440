// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include <time.h>

#include "common/base/clock.h"

TEST(monotonic_time_never_goes_back) {
    int64_t last = clock_ns();
    for (int i = 0; i < 100000; i++) {
        int64_t now = clock_ns();
        CHECK(now >= last);
        last = now;
    }
}

TEST(both_units_read_the_same_clock) {
    int64_t before_ms = clock_ns() / 1000000;
    int64_t now_ms = clock_ms();
    int64_t after_ms = clock_ns() / 1000000;
    CHECK(before_ms <= now_ms && now_ms <= after_ms);
}

TEST(thread_time_counts_work) {
    int64_t start = clock_thread_ns();
    volatile double sum = 0;
    for (int i = 0; i < 1000000; i++) {
        sum = sum + i;
    }
    CHECK(clock_thread_ns() > start);
}

TEST(wall_time_is_the_systems) {
    int64_t before = (int64_t)time(NULL);
    int64_t now_ms = clock_wall_ms();
    CHECK(now_ms / 1000 >= before - 1 && now_ms / 1000 <= (int64_t)time(NULL) + 1);
}

TEST_MAIN_LIST(T(monotonic_time_never_goes_back) T(both_units_read_the_same_clock)
                   T(thread_time_counts_work) T(wall_time_is_the_systems))
