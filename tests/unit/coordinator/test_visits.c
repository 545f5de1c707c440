// SPDX-License-Identifier: Apache-2.0
//
// How often HELLO may be said.
#include "tests/unit/test.h"

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "coordinator/server/visits.h"

// How many of `tries` from an address are admitted at this time.
static uint32_t admitted(Visits *visits, const char *address, uint32_t tries, int64_t now_ms) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < tries; i++) {
        count += visits_admit(visits, address, now_ms);
    }
    return count;
}

TEST(one_address_does_not_use_up_what_there_is_for_all) {
    Visits *visits = visits_new();
    CHECK_INT(admitted(visits, "10.0.0.1", 10000, 5), LIMIT_HELLOS_OF_ADDRESS);
    CHECK_INT(admitted(visits, "10.0.0.2", 1, 6), 1);
    CHECK_INT(admitted(visits, "10.0.0.1", 1, 7), 0);
    visits_free(visits);
}

TEST(all_together_have_a_limit) {
    Visits *visits = visits_new();
    uint32_t sum = 0;
    for (int i = 0; i < 8; i++) {
        char address[16];
        snprintf(address, sizeof address, "10.0.0.%d", i);
        sum += admitted(visits, address, 1000, 5);
    }
    CHECK_INT(sum, LIMIT_HELLOS);
    visits_free(visits);
}

TEST(another_minute_begins_anew) {
    Visits *visits = visits_new();
    CHECK_INT(admitted(visits, "::1", 10000, 100), LIMIT_HELLOS_OF_ADDRESS);
    CHECK_INT(admitted(visits, "::1", 1, 60099), 0);
    CHECK_INT(admitted(visits, "::1", 10000, 60100), LIMIT_HELLOS_OF_ADDRESS);
    visits_free(visits);
}

TEST(more_addresses_than_are_counted_wait) {
    Visits *visits = visits_new();
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 2 * LIMIT_ADDRESSES; i++) {
        char address[24];
        snprintf(address, sizeof address, "10.1.%u.%u", i / 256, i % 256);
        sum += visits_admit(visits, address, 5);
    }
    CHECK_INT(sum, LIMIT_ADDRESSES);
    visits_free(visits);
}

TEST(who_comes_over_ipc_is_not_counted) {
    Visits *visits = visits_new();
    CHECK_INT(admitted(visits, "", 100000, 5), 100000);
    visits_free(visits);
}

TEST(every_allocation_may_fail) {
    long kept = mem_blocks();
    mem_fail_after(0);
    CHECK(visits_new() == NULL);
    mem_fail_after(-1);
    CHECK_INT(mem_blocks(), kept);
}

TEST_MAIN_LIST(T(one_address_does_not_use_up_what_there_is_for_all) T(all_together_have_a_limit)
                   T(another_minute_begins_anew) T(more_addresses_than_are_counted_wait)
                       T(who_comes_over_ipc_is_not_counted) T(every_allocation_may_fail))
