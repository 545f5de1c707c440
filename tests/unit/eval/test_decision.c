// SPDX-License-Identifier: Apache-2.0
#include "common/eval/decision.h"

#include "common/base/rng.h"
#include "tests/unit/eval/golden.h"

enum { MOST = 1000 };

// A gamma variate of whole shape: a sum of exponentials.
static double draw_gamma(Rng *rng, int shape) {
    double sum = 0;
    for (int i = 0; i < shape; i++) {
        sum -= log(1 - rng_uniform(rng));
    }
    return sum;
}

static double share_above(const double *scores, size_t count, double threshold) {
    size_t above = 0;
    for (size_t i = 0; i < count; i++) {
        above += decision_is_anomaly(scores[i], threshold);
    }
    return (double)above / (double)count;
}

static double median(const double *scores, size_t count) {
    Decision decision;
    CHECK_OK(decision_by_percentile(scores, count, 50, &decision));
    return decision.threshold;
}

TEST(ordinary_scores_get_the_likeliest_fits_quantile) {
    double scores[MOST];
    Rng rng = rng_of(5, "gamma", 0, 0);
    for (int i = 0; i < MOST; i++) {
        scores[i] = 10 + 0.5 * draw_gamma(&rng, 6);
    }
    Decision decision;
    CHECK_OK(decision_by_gamma(scores, MOST, 0.9, &decision));
    CHECK_INT(decision.method, DECISION_MLE);
    CHECK_TEXT(decision.note, "");
    Gamma fit;
    CHECK_OK(gamma_fit_scipy(scores, MOST, &fit));
    double exact = gamma_quantile(fit, 0.9);
    CHECK_NEAR(decision.threshold, exact, 1e-11 * exact);
    CHECK_NEAR(share_above(scores, MOST, decision.threshold), 0.1, 0.02);
    CHECK_INT(decision.scores_used, MOST);
}

TEST(few_scores_give_the_largest) {
    const double scores[] = {3, 5, 4, 1};
    Decision decision;
    for (size_t count = 1; count <= 4; count++) {
        CHECK_OK(decision_by_gamma(scores, count, 0.9, &decision));
        CHECK_INT(decision.method, DECISION_LARGEST);
        CHECK_NEAR(decision.threshold, count == 1 ? 3 : 5, 0);
        CHECK_HAS(decision.note, count == 1 ? "only 1 training score," : "training scores,");
    }
}

TEST(equal_scores_are_their_own_threshold) {
    double scores[20];
    for (int i = 0; i < 20; i++) {
        scores[i] = 12.625;
    }
    Decision decision;
    CHECK_OK(decision_by_gamma(scores, 20, 0.9, &decision));
    CHECK_NEAR(decision.threshold, 12.625, 0);
    CHECK(!decision_is_anomaly(12.625, decision.threshold));
    CHECK_HAS(decision.note, "equal");
    for (int i = 0; i < 20; i++) {
        scores[i] = 12.625 + i * 1e-12;
    }
    CHECK_OK(decision_by_gamma(scores, 20, 0.9, &decision));
    CHECK_INT(decision.method, DECISION_LARGEST);
    CHECK_NEAR(decision.threshold, scores[19], 0);
}

TEST(scores_that_are_no_numbers_are_left_out_and_noted) {
    double scores[102];
    Rng rng = rng_of(6, "gamma", 0, 0);
    for (int i = 0; i < 100; i++) {
        scores[i] = draw_gamma(&rng, 9);
    }
    Decision clean, decision;
    CHECK_OK(decision_by_gamma(scores, 100, 0.9, &clean));
    scores[100] = scores[40];
    scores[40] = NAN;
    scores[101] = INFINITY;
    CHECK_OK(decision_by_gamma(scores, 102, 0.9, &decision));
    CHECK_HAS(decision.note, "2 of 102 training scores are not finite");
    CHECK_INT(decision.scores_used, 100);
    CHECK_NEAR(decision.threshold, clean.threshold, 1e-3 * clean.threshold);
    const double none[] = {NAN, -INFINITY};
    CHECK_INT(decision_by_gamma(none, 2, 0.9, &decision), STATUS_INVALID);
    CHECK_INT(decision_by_gamma(none, 0, 0.9, &decision), STATUS_INVALID);
    CHECK_INT(decision_by_percentile(none, 2, 95, &decision), STATUS_INVALID);
}

TEST(degenerate_fits_fall_back_and_say_so) {
    // A long tail to the left, which no gamma distribution has: the walk ends nowhere good.
    double scores[92];
    Rng rng = rng_of(7, "left tail", 0, 0);
    for (int i = 0; i < 92; i++) {
        double z = rng_normal(&rng);
        scores[i] = 20 - exp(2 * z);
    }
    Decision decision;
    CHECK_OK(decision_by_gamma(scores, 92, 0.9, &decision));
    CHECK(decision.method != DECISION_MLE);
    CHECK_HAS(decision.note, "the gamma fit");
    CHECK_HAS(decision.note, "is used");
    CHECK(decision.threshold >= median(scores, 92));
}

TEST(threshold_is_a_number_not_below_the_median_whatever_the_scores) {
    int by_method[4] = {0};
    for (uint64_t seed = 0; seed < 400; seed++) {
        Rng rng = rng_of(seed, "any scores", 0, 0);
        double scores[300];
        size_t count = 1 + rng_below(&rng, seed % 3 == 0 ? 12 : 300);
        int kind = (int)rng_below(&rng, 9);
        double stretch = exp(20 * rng_normal(&rng));
        for (size_t i = 0; i < count; i++) {
            double z = rng_normal(&rng);
            const double kinds[] = {z,
                                    exp(2 * z),
                                    -exp(z),
                                    rng_below(&rng, 3),
                                    i == 0 ? 1e9 : z,
                                    i == 0 ? -1e9 : z,
                                    z > 0 ? 100 + z : z,
                                    rng_uniform(&rng),
                                    draw_gamma(&rng, 4)};
            scores[i] = stretch * kinds[kind];
        }
        Decision decision;
        CHECK_OK(decision_by_gamma(scores, count, 0.9, &decision));
        if (!(isfinite(decision.threshold) && decision.threshold >= median(scores, count)) ||
            (decision.method != DECISION_MLE) != (decision.note[0] != '\0')) {
            TEST_FAIL("seed %llu: threshold %.17g, method %s, note \"%s\"",
                      (unsigned long long)seed, decision.threshold,
                      decision_method_name(decision.method), decision.note);
        }
        by_method[decision.method]++;
    }
    printf("mle %d, moments %d, percentile %d, largest %d\n", by_method[0], by_method[1],
           by_method[2], by_method[3]);
    CHECK(by_method[0] > 50 && by_method[1] > 0 && by_method[2] > 0 && by_method[3] > 0);
}

TEST(huge_and_tiny_scores_still_give_a_number) {
    double scores[50];
    for (int i = 0; i < 50; i++) {
        scores[i] = (i + 1) * 1e306;
    }
    Decision decision;
    CHECK_OK(decision_by_gamma(scores, 50, 0.9, &decision));
    CHECK(isfinite(decision.threshold) && decision.threshold >= median(scores, 50));
    for (int i = 0; i < 50; i++) {
        scores[i] = (i + 1) * 1e-306;
    }
    CHECK_OK(decision_by_gamma(scores, 50, 0.9, &decision));
    CHECK(decision.threshold >= median(scores, 50));
}

typedef struct Hostile {
    const char *what;
    size_t count;
    double scores[40];
} Hostile;

// Kinds of scores that no gamma distribution describes.
static Hostile hostile(int kind) {
    Hostile h = {.count = 40};
    const char *const names[] = {"constant",       "one value",     "two values",
                                 "two groups",     "an outlier",    "an outlier of 1e300",
                                 "around 1e300",   "denormals",     "negative",
                                 "ends of double", "a value twice", "all but zero"};
    h.what = names[kind];
    for (int i = 0; i < 40; i++) {
        double step = 0.01 * i;
        const double kinds[] = {-7.5,
                                3,
                                i == 0 ? 1 : 2,
                                i < 20 ? 1 : 2,
                                i == 5 ? 1e9 : 1 + step,
                                i == 5 ? 1e300 : 1 + step,
                                (1 + step) * 1e300,
                                i * 4.9e-324,
                                -100 - step * i,
                                i % 2 == 0 ? -1.7e308 : 1.7e308,
                                i / 2 + 0.5,
                                i == 39 ? 1e-200 : 0};
        h.scores[i] = kinds[kind];
    }
    h.count = kind == 1 ? 1 : kind == 2 ? 2 : 40;
    return h;
}
enum { HOSTILE_KINDS = 12 };

TEST(hostile_scores_get_a_number_not_below_their_median) {
    for (int kind = 0; kind < HOSTILE_KINDS; kind++) {
        Hostile h = hostile(kind);
        Decision decision;
        CHECK_OK(decision_by_gamma(h.scores, h.count, 0.9, &decision));
        printf("%s: %.6g by %s, \"%s\"\n", h.what, decision.threshold,
               decision_method_name(decision.method), decision.note);
        CHECK(isfinite(decision.threshold));
        CHECK(decision.threshold >= median(h.scores, h.count));
        CHECK(share_above(h.scores, h.count, decision.threshold) <= 0.5);
        CHECK(strstr(h.what, "outlier") == NULL || decision.threshold < 2); // not drawn away
        CHECK((decision.method == DECISION_MLE) == (decision.note[0] == '\0'));
    }
}

TEST(compat_takes_what_scipy_gives_and_says_what_is_wrong) {
    int doubted = 0;
    for (int kind = 0; kind < HOSTILE_KINDS; kind++) {
        Hostile h = hostile(kind);
        Decision decision;
        Gamma fit;
        CHECK_OK(decision_by_gamma_compat(h.scores, h.count, 0.9, &decision));
        CHECK(isfinite(decision.threshold));
        bool is_scipys = decision.method == DECISION_MLE;
        if (is_scipys) {
            CHECK_OK(gamma_fit_scipy(h.scores, h.count, &fit));
            double exact = gamma_quantile(fit, 0.9);
            CHECK_NEAR(decision.threshold, exact, 1e-11 * fabs(exact));
            doubted += strstr(decision.note, "as the baseline does") != NULL;
        } else {
            CHECK(decision.threshold >= median(h.scores, h.count));
            CHECK(decision.note[0] != '\0');
        }
    }
    CHECK(doubted > 0);
}

TEST(a_quantile_below_a_half_is_kept) {
    double scores[200];
    Rng rng = rng_of(8, "gamma", 0, 0);
    for (int i = 0; i < 200; i++) {
        scores[i] = draw_gamma(&rng, 5);
    }
    Decision decision;
    CHECK_OK(decision_by_gamma(scores, 200, 0.1, &decision));
    CHECK_INT(decision.method, DECISION_MLE);
    CHECK(decision.threshold < median(scores, 200));
}

TEST(percentiles_equal_numpys) {
    GoldenTable table = golden_open(AUSCULT_SOURCE_DIR "/tests/golden/eval/percentiles.csv");
    while (golden_next(&table)) {
        double values[128];
        size_t count = golden_numbers(&table, 0, values, 128);
        double expected = golden_number(&table, 2);
        // The order given does not matter.
        double first = values[0];
        values[0] = values[count - 1];
        values[count - 1] = first;
        Decision decision;
        CHECK_OK(decision_by_percentile(values, count, golden_number(&table, 1), &decision));
        CHECK_NEAR(decision.threshold, expected, 2e-15 * fabs(expected));
    }
    CHECK_INT(table.rows, 42);
}

TEST(decisions_of_what_is_no_number_are_negative) {
    CHECK(decision_is_anomaly(2, 1));
    CHECK(!decision_is_anomaly(1, 1));
    CHECK(!decision_is_anomaly(NAN, 1));
    CHECK(!decision_is_anomaly(1, NAN));
}

TEST(every_failed_allocation_is_reported_and_leaks_nothing) {
    const double scores[] = {1, 2, 3, 4, NAN, 5, 7};
    long before = mem_blocks();
    for (long n = 0;; n++) {
        Decision decision;
        mem_fail_after(n);
        Status status = decision_by_gamma(scores, 7, 0.9, &decision);
        int has_failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK_INT(mem_blocks(), before);
        CHECK_INT(status, has_failed ? STATUS_MEMORY : STATUS_OK);
        if (!has_failed) {
            break;
        }
    }
}

TEST_MAIN_LIST(
    T(ordinary_scores_get_the_likeliest_fits_quantile) T(few_scores_give_the_largest)
        T(equal_scores_are_their_own_threshold) T(scores_that_are_no_numbers_are_left_out_and_noted)
            T(degenerate_fits_fall_back_and_say_so)
                T(threshold_is_a_number_not_below_the_median_whatever_the_scores)
                    T(huge_and_tiny_scores_still_give_a_number)
                        T(hostile_scores_get_a_number_not_below_their_median)
                            T(compat_takes_what_scipy_gives_and_says_what_is_wrong)
                                T(a_quantile_below_a_half_is_kept) T(percentiles_equal_numpys)
                                    T(decisions_of_what_is_no_number_are_negative)
                                        T(every_failed_allocation_is_reported_and_leaks_nothing))
