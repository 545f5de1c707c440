// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "coordinator/live/words.h"

static const char *time_of(double seconds) {
    static char out[WORDS_BYTES];
    words_time(out, seconds);
    return out;
}

static const char *short_time_of(double seconds) {
    static char out[WORDS_BYTES];
    words_short_time(out, seconds);
    return out;
}

static const char *rate_of(double per_second) {
    static char out[WORDS_BYTES];
    words_rate(out, per_second);
    return out;
}

TEST(times_have_two_units_at_most) {
    CHECK_TEXT(time_of(0.4), "0 s");
    CHECK_TEXT(time_of(59.4), "59 s");
    CHECK_TEXT(time_of(59.6), "1 min 00 s");
    CHECK_TEXT(time_of(3599.6), "1 h 00 min");
    CHECK_TEXT(time_of(7620), "2 h 07 min");
    CHECK_TEXT(time_of(86400 * 3 + 3600 * 4), "3 d 04 h");
    CHECK_TEXT(short_time_of(0.24), "0.2 s");
    CHECK_TEXT(short_time_of(9.96), "10 s");
}

TEST(what_is_no_time_is_no_text) {
    CHECK_TEXT(time_of(NAN), "");
    CHECK_TEXT(time_of(-1), "");
    CHECK_TEXT(time_of(INFINITY), "");
    CHECK_TEXT(short_time_of(NAN), "");
}

TEST(slow_rates_are_told_by_the_minute_or_hour) {
    CHECK_TEXT(rate_of(870.4), "870/s");
    CHECK_TEXT(rate_of(3.14), "3.1/s");
    CHECK_TEXT(rate_of(0.42), "0.42/s");
    CHECK_TEXT(rate_of(0.05), "3.0/min");
    CHECK_TEXT(rate_of(1.4 / 3600), "1.4/h");
    CHECK_TEXT(rate_of(0), "");
    CHECK_TEXT(rate_of(NAN), "");
    CHECK_TEXT(rate_of(INFINITY), "");
}

TEST_MAIN_LIST(T(times_have_two_units_at_most) T(what_is_no_time_is_no_text)
                   T(slow_rates_are_told_by_the_minute_or_hour))
