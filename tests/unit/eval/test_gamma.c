// SPDX-License-Identifier: Apache-2.0
#include "common/eval/gamma.h"

#include "common/base/file.h"
#include "common/base/rng.h"
#include "common/eval/decision.h"
#include "tests/unit/eval/golden.h"

#define GOLDEN(name) AUSCULT_SOURCE_DIR "/tests/golden/eval/" name

static double relative(double actual, double expected) {
    return fabs(actual - expected) / fmax(fabs(expected), 1e-300);
}

TEST(logarithms_equal_scipys) {
    GoldenTable table = golden_open(GOLDEN("logarithms.csv"));
    while (golden_next(&table)) {
        double x = golden_number(&table, 0);
        double log_x = golden_number(&table, 1), log_gamma = golden_number(&table, 2);
        CHECK_NEAR(gamma_log(x), log_x, 3e-16 * fabs(log_x));
        // Near 1 and 2, where it is 0, the absolute error counts.
        CHECK_NEAR(gamma_log_gamma(x), log_gamma, 4e-16 * fabs(log_gamma) + 1e-14);
    }
    CHECK_INT(table.rows, 19);
}

TEST(logarithm_is_close_to_libms_everywhere) {
    Rng rng = rng_of(1, "log", 0, 0);
    for (int i = 0; i < 200000; i++) {
        double x = ldexp(0.5 + rng_uniform(&rng),
                         (int)rng_below(&rng, i % 2 == 0 ? 3 : 2000) - 999 * (i % 2));
        double expected = log(x);
        CHECK_NEAR(gamma_log(x), expected, 2.3e-16 * fabs(expected) + 1e-17);
    }
    CHECK(gamma_log(1) == 0);
}

TEST(quantiles_equal_scipys) {
    GoldenTable table = golden_open(GOLDEN("gamma_quantiles.csv"));
    double worst = 0;
    while (golden_next(&table)) {
        Gamma gamma = {.shape = golden_number(&table, 0), .location = 0, .scale = 1};
        double expected = golden_number(&table, 2);
        double actual = gamma_quantile(gamma, golden_number(&table, 1));
        worst = fmax(worst, expected > 1e-290 ? relative(actual, expected) : 0);
        if (!(relative(actual, expected) <= 1e-9 || fabs(actual - expected) <= 1e-290)) {
            TEST_FAIL("shape %s, probability %s: %.17g, expected %.17g", table.row.fields[0],
                      table.row.fields[1], actual, expected);
        }
    }
    CHECK_INT(table.rows, 78);
    printf("worst quantile %.2g relative\n", worst);
}

TEST(quantile_of_nonsense_is_not_a_number) {
    CHECK(isnan(gamma_quantile((Gamma){.shape = NAN, .location = 0, .scale = 1}, 0.9)));
    CHECK(isnan(gamma_quantile((Gamma){.shape = 1, .location = 0, .scale = 0}, 0.9)));
    CHECK(isnan(gamma_quantile((Gamma){.shape = 1, .location = 0, .scale = 1}, 1.0)));
}

// Number of rows whose quantile is within 1e-6 of SciPy's, as is the threshold that compat decides
// by; prints the others.
static int count_met(const char *path, int *ret_rows, double *ret_worst) {
    GoldenTable table = golden_open(path);
    int met = 0;
    *ret_worst = 0;
    while (golden_next(&table)) {
        double values[256];
        size_t count = golden_numbers(&table, 0, values, 256);
        Gamma fit;
        CHECK_OK(gamma_fit_scipy(values, count, &fit));
        double quantile = gamma_quantile(fit, 0.9);
        double error = relative(quantile, golden_number(&table, 4));
        Decision decision;
        CHECK_OK(decision_by_gamma_compat(values, count, 0.9, &decision));
        CHECK_INT(decision.method, DECISION_MLE);
        error = fmax(error, relative(decision.threshold, golden_number(&table, 4)));
        if (error <= 1e-6) {
            met++;
        } else {
            printf("fit %d: %.10g %.10g %.10g, SciPy %s %s %s, quantile off by %.2g\n",
                   table.rows - 1, fit.shape, fit.location, fit.scale, table.row.fields[1],
                   table.row.fields[2], table.row.fields[3], error);
        }
        *ret_worst = fmax(*ret_worst, error);
    }
    *ret_rows = table.rows;
    printf("%d of %d fits met, worst quantile %.2g relative\n", met, table.rows, *ret_worst);
    return met;
}

TEST(walk_ends_where_scipys_ends) {
    int rows;
    double worst;
    CHECK_INT(count_met(GOLDEN("gamma_fits.csv"), &rows, &worst), 40);
    CHECK_INT(rows, 40);
}

static const char *official(const char *name) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/data/baseline_run/%s",
             test_shared() != NULL ? test_shared() : "/nonexistent", name);
    return path;
}

// The official run's fits as a table in `folder`; NULL where they cannot be had.
static const char *unpack_official_fits(const char *folder) {
    static char table[1024];
    char command[4096];
    if (!file_exists(official("gamma_fits.npz")) || system("python3 -c '' 2>/dev/null") != 0) {
        return NULL;
    }
    snprintf(table, sizeof table, "%s/fits.csv", folder);
    snprintf(command, sizeof command,
             "python3 '" AUSCULT_SOURCE_DIR "/tests/unit/eval/unpack_gamma_fits.py' '%s' '%s'",
             official("gamma_fits.npz"), table);
    CHECK_INT(system(command), 0);
    return table;
}

TEST(walk_meets_the_21_fits_of_the_official_run) {
    const char *folder = test_folder(), *table = unpack_official_fits(folder);
    int rows = 0, met = 0;
    double worst;
    if (table != NULL) {
        met = count_met(table, &rows, &worst);
    }
    CHECK_OK(file_remove_tree(folder));
    if (table == NULL) {
        TEST_SKIP("no shared data, or no python3");
    }
    CHECK_INT(rows, 21);
    CHECK_INT(met, 21);
}

// The last number of a one-row table.
static double official_threshold(const char *name) {
    GoldenTable table = golden_open(official(name));
    CHECK(golden_next(&table));
    double value = golden_number(&table, table.row.count - 1);
    CHECK(!golden_next(&table));
    return value;
}

TEST(thresholds_of_the_official_run_are_met_or_mended) {
    const char *folder = test_folder(), *path = unpack_official_fits(folder);
    double compat[21] = {0};
    int rows = 0;
    if (path != NULL) {
        GoldenTable table = golden_open(path);
        for (; golden_next(&table); rows++) {
            double values[256];
            size_t count = golden_numbers(&table, 0, values, 256);
            Decision decision, median;
            CHECK_OK(decision_by_gamma_compat(values, count, 0.9, &decision));
            compat[rows] = decision.threshold;
            CHECK_OK(decision_by_gamma(values, count, 0.9, &decision));
            CHECK_OK(decision_by_percentile(values, count, 50, &median));
            CHECK(decision.threshold >= median.threshold);
        }
    }
    CHECK_OK(file_remove_tree(folder));
    if (path == NULL) {
        TEST_SKIP("no shared data, or no python3");
    }
    CHECK_INT(rows, 21);
    CHECK(relative(compat[19], official_threshold("gamma_mse.csv")) <= 1e-6);
    CHECK(relative(compat[20], official_threshold("gamma_mahala.csv")) <= 1e-6);
}

TEST(values_without_spread_are_refused) {
    const double equal[] = {3, 3, 3, 3, 3, 3};
    const double broken[] = {1, 2, INFINITY, 4};
    Gamma fit = {.shape = 7};
    CHECK_INT(gamma_fit_scipy(equal, 6, &fit), STATUS_INVALID);
    CHECK_INT(gamma_fit_moments(equal, 6, &fit), STATUS_INVALID);
    CHECK_INT(gamma_fit_scipy(broken, 4, &fit), STATUS_INVALID);
    CHECK_HAS(status_message(), "score 3 of 4");
    CHECK_INT(gamma_fit_moments(broken, 4, &fit), STATUS_INVALID);
    CHECK_INT(gamma_fit_scipy(equal, 0, &fit), STATUS_INVALID);
    CHECK(fit.shape == 7);
}

TEST(moments_of_the_fit_are_those_of_the_values) {
    const double values[] = {1, 2, 2, 3, 3, 3, 4, 9};
    Gamma fit;
    CHECK_OK(gamma_fit_moments(values, 8, &fit));
    double mean = 27.0 / 8, m2 = 0, m3 = 0;
    for (int i = 0; i < 8; i++) {
        m2 += pow(values[i] - mean, 2) / 8;
        m3 += pow(values[i] - mean, 3) / 8;
    }
    CHECK_NEAR(fit.location + fit.shape * fit.scale, mean, 1e-12);
    CHECK_NEAR(fit.shape * fit.scale * fit.scale, m2, 1e-12);
    CHECK_NEAR(2 / sqrt(fit.shape), m3 / pow(m2, 1.5), 1e-12);
}

TEST(likelihood_is_nothing_outside_the_support) {
    const double values[] = {1, 2, 3};
    Gamma gamma = {.shape = 2, .location = 1.5, .scale = 1};
    CHECK(gamma_log_likelihood(gamma, values, 3) == -INFINITY);
    gamma.location = 0; // density x exp(-x)
    CHECK_NEAR(gamma_log_likelihood(gamma, values, 3), log(2.0) + log(3.0) - 6, 1e-14);
}

TEST(implausible_shares_are_told_from_plausible_ones) {
    CHECK(gamma_is_plausible(100, 1000, 0.9));
    CHECK(gamma_is_plausible(65, 1000, 0.9));
    CHECK(!gamma_is_plausible(40, 1000, 0.9));
    CHECK(!gamma_is_plausible(170, 1000, 0.9));
    CHECK(gamma_is_plausible(0, 75, 0.9));
    CHECK(!gamma_is_plausible(0, 200, 0.9));
    CHECK(!gamma_is_plausible(75, 75, 0.9));
}

TEST_MAIN_LIST(T(logarithms_equal_scipys) T(logarithm_is_close_to_libms_everywhere)
                   T(quantiles_equal_scipys) T(quantile_of_nonsense_is_not_a_number)
                       T(walk_ends_where_scipys_ends) T(walk_meets_the_21_fits_of_the_official_run)
                           T(thresholds_of_the_official_run_are_met_or_mended)
                               T(values_without_spread_are_refused)
                                   T(moments_of_the_fit_are_those_of_the_values)
                                       T(likelihood_is_nothing_outside_the_support)
                                           T(implausible_shares_are_told_from_plausible_ones))
