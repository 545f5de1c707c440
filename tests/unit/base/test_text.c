// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include <float.h>
#include <stdint.h>

#include "common/base/rng.h"
#include "common/base/text.h"

static void check_round_trip(double value) {
    char text[TEXT_NUMBER_BYTES];
    double back = 0;
    text_number(text, value);
    CHECK_OK(text_to_double(text, &back));
    if (memcmp(&value, &back, sizeof value) != 0) {
        TEST_FAIL("%a printed as %s reads back as %a", value, text, back);
    }
}

TEST(numbers_read_back_to_the_same_double) {
    static const double SPECIAL[] = {0.0,     -0.0,        1.0 / 3, 0.1 + 0.2,
                                     DBL_MAX, DBL_MIN,     5e-324,  DBL_EPSILON,
                                     -1e300,  1e22,        1e23,    9007199254740993.0,
                                     123456,  0x1.8p-1060, 1e-5,    2.2250738585072011e-308};
    for (size_t i = 0; i < sizeof SPECIAL / sizeof SPECIAL[0]; i++) {
        check_round_trip(SPECIAL[i]);
    }
    Rng rng = rng_of(1, "round trip", 0, 0);
    for (int i = 0; i < 200000; i++) {
        uint64_t bits = (uint64_t)rng_u32(&rng) << 32 | rng_u32(&rng);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value)) {
            check_round_trip(value);
        }
        check_round_trip(rng_uniform(&rng));
    }
}

TEST(numbers_print_short) {
    static const struct {
        double value;
        const char *text;
    } ROWS[] = {{0.1, "0.1"},
                {1, "1"},
                {-2.5, "-2.5"},
                {1e22, "1e+22"},
                {100, "100"},
                {0.3, "0.3"},
                {5e-324, "5e-324"},
                {1e-5, "1e-05"},
                {0.1 + 0.2, "0.30000000000000004"},
                {1.0 / 3, "0.3333333333333333"},
                {NAN, "nan"},
                {INFINITY, "inf"},
                {-INFINITY, "-inf"}};
    char text[TEXT_NUMBER_BYTES];
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        text_number(text, ROWS[i].value);
        CHECK_TEXT(text, ROWS[i].text);
    }
}

TEST(only_a_whole_number_is_a_number) {
    static const char *const BAD[] = {"",  " 1", "1 ",    "\t1",  "\n1",     "1,5", "1.5x",
                                      "x", "-",  "1e999", "1..2", "0.1 0.2", "--1"};
    double real = 42;
    int64_t whole = 42;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        CHECK_INT(text_to_double(BAD[i], &real), STATUS_INVALID);
        CHECK_HAS(status_message(), BAD[i]);
        CHECK_INT(text_to_int(BAD[i], &whole), STATUS_INVALID);
    }
    CHECK_INT(text_to_int("1.0", &whole), STATUS_INVALID);
    CHECK_INT(text_to_int("9223372036854775808", &whole), STATUS_INVALID);
    CHECK_INT(whole, 42);
    CHECK(real == 42);
    CHECK_OK(text_to_int("-9223372036854775808", &whole));
    CHECK(whole == INT64_MIN);
    CHECK_OK(text_to_double("1e-999", &real));
    CHECK(real == 0);
    CHECK_OK(text_to_double("-2.50", &real));
    CHECK(real == -2.5);
}

TEST(starts_and_ends_are_told) {
    CHECK(text_starts("section_00", "section_"));
    CHECK(!text_starts("sec", "section_"));
    CHECK(text_ends("a.wav", ".wav"));
    CHECK(!text_ends("a.WAV", ".wav"));
    CHECK(text_ends_nocase("a.WAV", ".wav"));
    CHECK(!text_ends_nocase("wav", ".wav"));
    CHECK(text_ends("", ""));
}

TEST(a_copy_that_does_not_fit_is_cut_and_told) {
    char out[4];
    CHECK(text_copy(out, sizeof out, "abc"));
    CHECK_TEXT(out, "abc");
    CHECK(!text_copy(out, sizeof out, "abcd"));
    CHECK_TEXT(out, "abc");
}

TEST(distance_counts_edits) {
    CHECK_INT(text_distance("epochs", "epochs"), 0);
    CHECK_INT(text_distance("epoch", "epochs"), 1);
    CHECK_INT(text_distance("epcohs", "epochs"), 1);
    CHECK_INT(text_distance("", "abc"), 3);
    CHECK_INT(text_distance("kitten", "sitting"), 3);
    char far[100];
    memset(far, 'a', sizeof far - 1);
    far[sizeof far - 1] = '\0';
    CHECK_INT(text_distance(far, far), 63);
}

TEST(clean_text_is_utf8_without_control_characters) {
    static const char *const CLEAN[] = {"", "fan", "M\xC3\xBChle", "\xE6\xB4\x97",
                                        "\xF0\x9F\x94\x8A"};
    static const char *const DIRTY[] = {"a\nb",
                                        "a\tb",
                                        "\x7F",
                                        "\xC3",
                                        "\xC0\xAF",
                                        "\xE0\x80\xAF",
                                        "\xED\xA0\x80",
                                        "\xF5\x80\x80\x80",
                                        "\xF4\x90\x80\x80",
                                        "\x80",
                                        "a\xFF",
                                        "\xE6\xB4",
                                        "\x1B[31m"};
    for (size_t i = 0; i < sizeof CLEAN / sizeof CLEAN[0]; i++) {
        CHECK(text_is_clean(CLEAN[i]));
    }
    for (size_t i = 0; i < sizeof DIRTY / sizeof DIRTY[0]; i++) {
        if (text_is_clean(DIRTY[i])) {
            TEST_FAIL("row %zu passes as clean", i);
        }
    }
}

TEST_MAIN_LIST(T(numbers_read_back_to_the_same_double) T(numbers_print_short)
                   T(only_a_whole_number_is_a_number) T(starts_and_ends_are_told)
                       T(a_copy_that_does_not_fit_is_cut_and_told) T(distance_counts_edits)
                           T(clean_text_is_utf8_without_control_characters))
