// SPDX-License-Identifier: Apache-2.0
//
// Streams are fixed by their keys, so every statistic here is a constant: a bound that holds once
// holds always. Chi-square bounds are the 0.9999 quantiles.
#include "tests/unit/test.h"

#include <stdbool.h>

#include "common/base/digest.h"
#include "common/base/rng.h"

// The published known-answer vectors of Philox4x32-10 (Random123's kat_vectors; SC 2011).
TEST(philox_gives_the_published_vectors) {
    static const struct {
        uint32_t counter[4], key[2], expected[4];
    } ROWS[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        uint32_t out[4];
        rng_philox(ROWS[i].counter, ROWS[i].key, out);
        for (int word = 0; word < 4; word++) {
            CHECK_INT(out[word], ROWS[i].expected[word]);
        }
    }
}

static bool same_stream(Rng a, Rng b) {
    for (int i = 0; i < 16; i++) {
        if (rng_u32(&a) != rng_u32(&b)) {
            return false;
        }
    }
    return true;
}

TEST(every_part_of_the_key_names_another_stream) {
    Rng rng = rng_of(13711, "permutation", 3, 5);
    CHECK(same_stream(rng, rng_of(13711, "permutation", 3, 5)));
    CHECK(!same_stream(rng, rng_of(13712, "permutation", 3, 5)));
    CHECK(!same_stream(rng, rng_of(13711, "validation", 3, 5)));
    CHECK(!same_stream(rng, rng_of(13711, "permutation", 4, 5)));
    CHECK(!same_stream(rng, rng_of(13711, "permutation", 3, 6)));
    CHECK(!same_stream(rng, rng_of(13711, "permutation", 5, 3)));
}

TEST(a_stream_may_begin_anywhere) {
    enum { COUNT = 1000 };
    uint32_t all[COUNT];
    Rng rng = rng_of(7, "position", 0, 0);
    for (int i = 0; i < COUNT; i++) {
        all[i] = rng_u32(&rng);
    }
    for (int i = COUNT - 1; i >= 0; i -= 13) {
        Rng from = rng_of(7, "position", 0, 0);
        from.position = (uint64_t)i;
        CHECK_INT(rng_u32(&from), all[i]);
        // A generator that has already drawn may be set back as well.
        rng.position = (uint64_t)i;
        CHECK_INT(rng_u32(&rng), all[i]);
    }
}

TEST(positions_beyond_32_bits_do_not_repeat) {
    Rng near = rng_of(7, "position", 0, 0);
    Rng far = near;
    far.position = 4ull << 32;
    CHECK(!same_stream(near, far));
}

// Sum over the bins of (count - mean)^2 / mean.
static double chi_square(const int *counts, int bins, int draws) {
    double mean = (double)draws / bins;
    double sum = 0;
    for (int i = 0; i < bins; i++) {
        sum += (counts[i] - mean) * (counts[i] - mean) / mean;
    }
    return sum;
}

TEST(uniform_numbers_fill_the_unit_interval_evenly) {
    enum { BINS = 64, DRAWS = 640000 };
    int counts[BINS] = {0};
    double sum = 0;
    Rng rng = rng_of(1, "uniform", 0, 0);
    for (int i = 0; i < DRAWS; i++) {
        double value = rng_uniform(&rng);
        CHECK(value >= 0 && value < 1);
        counts[(int)(value * BINS)]++;
        sum += value;
    }
    CHECK(chi_square(counts, BINS, DRAWS) < 113.5); // 63 degrees of freedom
    CHECK_NEAR(sum / DRAWS, 0.5, 0.0015);
}

TEST(bounded_numbers_are_without_bias) {
    enum { DRAWS = 300000 };
    for (uint32_t bound = 1; bound <= 12; bound++) {
        int counts[12] = {0};
        Rng rng = rng_of(2, "below", bound, 0);
        for (int i = 0; i < DRAWS; i++) {
            uint32_t value = rng_below(&rng, bound);
            CHECK(value < bound);
            counts[value]++;
        }
        CHECK(chi_square(counts, (int)bound, DRAWS) < 37.4); // 11 degrees of freedom
    }
    // With 3 * 2^30 the multiply alone would give every third value twice as often.
    int thirds[3] = {0};
    Rng rng = rng_of(2, "below", 99, 0);
    for (int i = 0; i < DRAWS; i++) {
        thirds[rng_below(&rng, 3u << 30) % 3]++;
    }
    CHECK(chi_square(thirds, 3, DRAWS) < 18.4); // 2 degrees of freedom
}

TEST(normal_numbers_follow_the_bell) {
    enum { DRAWS = 400000, BINS = 16 };
    static const double EDGES[BINS - 1] = {
        // Standard normal quantiles of 1/16, 2/16, ..., 15/16.
        -1.5341205443525465, -1.1503493803760083, -0.8871465590188762, -0.6744897501960818,
        -0.4887764111146697, -0.3186393639643752, -0.1573106846101706, 0,
        0.1573106846101706,  0.3186393639643752,  0.4887764111146697,  0.6744897501960818,
        0.8871465590188762,  1.1503493803760083,  1.5341205443525465};
    int counts[BINS] = {0};
    double sum = 0, squares = 0, fourths = 0;
    Rng rng = rng_of(3, "normal", 0, 0);
    for (int i = 0; i < DRAWS; i++) {
        double value = rng_normal(&rng);
        int bin = 0;
        while (bin < BINS - 1 && value >= EDGES[bin]) {
            bin++;
        }
        counts[bin]++;
        sum += value;
        squares += value * value;
        fourths += value * value * value * value;
    }
    CHECK(chi_square(counts, BINS, DRAWS) < 44.3); // 15 degrees of freedom
    CHECK_NEAR(sum / DRAWS, 0, 0.006);
    CHECK_NEAR(squares / DRAWS, 1, 0.01);
    CHECK_NEAR(fourths / DRAWS, 3, 0.1);
}

TEST(normal_numbers_are_the_polar_methods_with_a_true_logarithm) {
    Rng rng = rng_of(4, "normal", 0, 0);
    Rng twin = rng;
    for (int i = 0; i < 20000; i++) {
        double u, s;
        do {
            u = 2 * rng_uniform(&twin) - 1;
            double v = 2 * rng_uniform(&twin) - 1;
            s = u * u + v * v;
        } while (!(s > 0 && s < 1));
        double expected = u * sqrt(-2 * log(s) / s);
        CHECK_NEAR(rng_normal(&rng), expected, 4e-16 * (1 + fabs(expected)));
    }
}

// These bits enter every result: a change here is a change of results, for CHANGELOG.
TEST(the_bits_of_all_distributions_stay_as_they_are) {
    Rng rng = rng_of(13711, "golden", 1, 2);
    double numbers[200];
    for (int i = 0; i < 200; i++) {
        numbers[i] = i % 2 == 0 ? rng_normal(&rng) : rng_uniform(&rng);
    }
    uint32_t order[1000];
    rng_permutation(&rng, order, 1000);
    DigestStream *stream = digest_begin();
    digest_add(stream, numbers, sizeof numbers);
    digest_add(stream, order, sizeof order);
    char text[DIGEST_TEXT_BYTES];
    digest_text(digest_end(stream), text);
    CHECK_TEXT(text, "557ed8eb132d38761b2744c89733461e");
}

TEST(a_permutation_holds_every_index_once) {
    enum { MOST = 1000 };
    for (uint32_t count = 0; count <= MOST; count = count * 2 + 1) {
        uint32_t out[MOST];
        bool seen[MOST] = {false};
        Rng rng = rng_of(5, "permutation", count, 0);
        rng_permutation(&rng, out, count);
        for (uint32_t i = 0; i < count; i++) {
            CHECK(out[i] < count && !seen[out[i]]);
            seen[out[i]] = true;
        }
    }
}

TEST(all_orders_of_a_permutation_are_equally_likely) {
    enum { DRAWS = 240000 };
    int counts[256] = {0}, orders[24], found = 0;
    Rng rng = rng_of(6, "permutation", 4, 0);
    for (int i = 0; i < DRAWS; i++) {
        uint32_t out[4];
        rng_permutation(&rng, out, 4);
        counts[out[0] | out[1] << 2 | out[2] << 4 | out[3] << 6]++;
    }
    for (int i = 0; i < 256; i++) {
        if (counts[i] > 0) {
            CHECK(found < 24);
            orders[found++] = counts[i];
        }
    }
    CHECK_INT(found, 24);
    CHECK(chi_square(orders, 24, DRAWS) < 57.1); // 23 degrees of freedom
}

TEST_MAIN_LIST(T(philox_gives_the_published_vectors) T(every_part_of_the_key_names_another_stream)
                   T(a_stream_may_begin_anywhere) T(positions_beyond_32_bits_do_not_repeat)
                       T(uniform_numbers_fill_the_unit_interval_evenly)
                           T(bounded_numbers_are_without_bias) T(normal_numbers_follow_the_bell)
                               T(normal_numbers_are_the_polar_methods_with_a_true_logarithm)
                                   T(the_bits_of_all_distributions_stay_as_they_are)
                                       T(a_permutation_holds_every_index_once)
                                           T(all_orders_of_a_permutation_are_equally_likely))
