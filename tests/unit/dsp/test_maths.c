// SPDX-License-Identifier: Apache-2.0
#include <float.h>
#include <stdint.h>

#include "common/base/rng.h"
#include "common/dsp/maths.h"
#include "tests/unit/test.h"

// Distance in units of the last place of `expected`.
static double units_off(double actual, double expected) {
    int exponent;
    frexp(expected, &exponent);
    return fabs(actual - expected) / ldexp(1.0, exponent - 53);
}

// As above, for floats held against a double.
static double float_units_off(float actual, double expected) {
    int exponent;
    frexp(expected, &exponent);
    return fabs((double)actual - expected) / ldexp(1.0, exponent - 24);
}

// A positive double of any size between 2^-least and 2^most, evenly by exponent.
static double any_size(Rng *rng, int least, int most) {
    int exponent = least + (int)rng_below(rng, (uint32_t)(most - least));
    return ldexp(1.0 + rng_uniform(rng), exponent);
}

TEST(log_is_within_two_units) {
    Rng rng = rng_of(1, "log", 0, 0);
    double worst = 0;
    for (int i = 0; i < 200000; i++) {
        double x = i % 2 == 0 ? any_size(&rng, -1000, 1000) : 0.6 + rng_uniform(&rng);
        double off = units_off(maths_log(x), log(x));
        worst = off > worst ? off : worst;
    }
    printf("log: worst %.2f units\n", worst);
    CHECK(worst <= 2);
    CHECK(maths_log(1.0) == 0);
}

TEST(exp_is_within_two_units) {
    Rng rng = rng_of(2, "exp", 0, 0);
    double worst = 0;
    for (int i = 0; i < 200000; i++) {
        double x = (rng_uniform(&rng) - 0.5) * (i % 2 == 0 ? 1400 : 2);
        double off = units_off(maths_exp(x), exp(x));
        worst = off > worst ? off : worst;
    }
    printf("exp: worst %.2f units\n", worst);
    CHECK(worst <= 2);
    CHECK(maths_exp(0.0) == 1);
}

TEST(cosine_of_a_turn_is_exact_at_quarters) {
    CHECK(maths_cos_turn(0, 1024) == 1 && maths_cos_turn(256, 1024) == 0);
    CHECK(maths_cos_turn(512, 1024) == -1 && maths_cos_turn(768, 1024) == 0);
    static const int periods[] = {1, 2, 3, 7, 801, 1024, 65536};
    for (size_t p = 0; p < sizeof periods / sizeof periods[0]; p++) {
        for (int n = 0; n < periods[p]; n++) {
            double angle = 2 * 3.14159265358979323846 * n / periods[p];
            CHECK_NEAR(maths_cos_turn(n, periods[p]), cos(angle), 1e-15);
        }
    }
}

TEST(decibels_are_within_two_units) {
    Rng rng = rng_of(3, "decibel", 0, 0);
    static const double powers[] = {2.0, 1.0, 1.5, 0.3};
    for (int p = 0; p < 4; p++) {
        double scale = 20 / powers[p], worst = 0;
        MathsDecibel decibel = maths_decibel_new(scale, 2.220446049250313e-16);
        for (int i = 0; i < 100000; i++) {
            float x = (float)(i % 2 == 0 ? any_size(&rng, -51, 127) : 0.6 + rng_uniform(&rng));
            float y = x;
            maths_decibel(&decibel, &y, 1);
            double expected = scale * log10((double)x);
            double off = x == 1.0f ? 0 : float_units_off(y, expected);
            worst = off > worst ? off : worst;
        }
        printf("decibel, power %.1f: worst %.2f units\n", powers[p], worst);
        CHECK(worst <= 2.5);
    }
}

TEST(decibels_have_a_floor_and_no_ceiling) {
    MathsDecibel decibel = maths_decibel_new(10, 2.220446049250313e-16);
    float values[] = {0, -1, 1e-30f, 1, INFINITY, FLT_MAX, -INFINITY};
    maths_decibel(&decibel, values, 7);
    for (int i = 0; i < 3; i++) {
        CHECK_NEAR(values[i], -156.53559774527022, 1e-5);
    }
    CHECK(values[3] == 0);
    CHECK(isinf(values[4]) && values[4] > 0);
    CHECK_NEAR(values[5], 385.318394, 1e-4);
    CHECK_NEAR(values[6], -156.53559774527022, 1e-5);
}

TEST(a_value_has_the_same_decibels_wherever_it_stands) {
    Rng rng = rng_of(4, "place", 0, 0);
    MathsDecibel decibel = maths_decibel_new(10, 2.220446049250313e-16);
    float all[203], one[203];
    for (int i = 0; i < 203; i++) {
        all[i] = one[i] = (float)any_size(&rng, -40, 40);
    }
    maths_decibel(&decibel, all + 1, 202); // unaligned, with a remainder
    for (int i = 1; i < 203; i++) {
        maths_decibel(&decibel, one + i, 1);
        CHECK(memcmp(all + i, one + i, sizeof(float)) == 0);
    }
}

TEST(powers_are_within_two_units) {
    Rng rng = rng_of(5, "power", 0, 0);
    static const double exponents[] = {1, 0.5, 0.75, 0.05, 1.7, 4};
    for (int e = 0; e < 6; e++) {
        double worst = 0;
        for (int i = 0; i < 50000; i++) {
            float x = (float)any_size(&rng, -25, 25), y = x;
            maths_power(&y, 1, exponents[e]);
            double off = float_units_off(y, pow((double)x, exponents[e]));
            worst = off > worst ? off : worst;
        }
        printf("power %.2f: worst %.2f units\n", exponents[e], worst);
        CHECK(worst <= 1);
        float ends[] = {0, INFINITY};
        maths_power(ends, 2, exponents[e]);
        CHECK(ends[0] == 0 && isinf(ends[1]));
    }
}

TEST(the_largest_magnitude_is_found_and_nan_beats_all) {
    float values[37] = {0, -0.0f};
    CHECK(maths_largest(values, 0) == 0 && maths_largest(values, 37) == 0);
    values[36] = -3;
    values[5] = 2;
    CHECK(maths_largest(values, 37) == 3 && maths_largest(values, 36) == 2);
    values[11] = -INFINITY;
    CHECK(isinf(maths_largest(values, 37)));
    values[0] = -NAN;
    CHECK(isnan(maths_largest(values, 37)));
}

TEST_MAIN_LIST(T(the_largest_magnitude_is_found_and_nan_beats_all) T(log_is_within_two_units)
                   T(exp_is_within_two_units) T(cosine_of_a_turn_is_exact_at_quarters)
                       T(decibels_are_within_two_units) T(decibels_have_a_floor_and_no_ceiling)
                           T(a_value_has_the_same_decibels_wherever_it_stands)
                               T(powers_are_within_two_units))
