// SPDX-License-Identifier: Apache-2.0
#include "common/eval/mahala.h"

#include "common/base/rng.h"
#include "tests/unit/eval/golden.h"

enum { MOST = 40 };

// A covariance (n, n) of full rank, or of rank `rank`.
static void draw_covariance(uint64_t seed, int n, int rank, double *out) {
    Rng rng = rng_of(seed, "covariance", 0, 0);
    memset(out, 0, (size_t)n * (size_t)n * sizeof *out);
    for (int k = 0; k < rank; k++) {
        double row[MOST];
        for (int j = 0; j < n; j++) {
            row[j] = rng_normal(&rng);
        }
        for (int i = 0; i < n * n; i++) {
            out[i] += row[i / n] * row[i % n];
        }
    }
}

static double distance_from_identity(const Precision *precision, const double *covariance) {
    int n = precision->n_mels;
    double worst = 0;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int k = 0; k < n; k++) {
                sum += covariance[i * n + k] * precision->matrix[k * n + j];
            }
            double difference = fabs(sum - (i == j));
            worst = difference <= worst ? worst : difference;
        }
    }
    return worst;
}

TEST(precision_is_the_inverse_and_symmetric) {
    for (int n = 1; n <= MOST; n++) {
        double covariance[MOST * MOST];
        Precision precision;
        draw_covariance((uint64_t)n, n, 3 * n + 2, covariance);
        CHECK_OK(precision_of_covariance(covariance, n, &precision));
        CHECK(precision.ridge == 0);
        CHECK(distance_from_identity(&precision, covariance) <= 1e-11);
        for (int i = 0; i < n * n; i++) {
            CHECK(precision.matrix[i] == precision.matrix[i % n * n + i / n]);
        }
        precision_done(&precision);
    }
}

TEST(ill_conditioned_is_not_singular) {
    // Hilbert's matrix of 8 rows has a condition of 1.5e10: ten digits go, no ridge is needed.
    double hilbert[64];
    for (int i = 0; i < 64; i++) {
        hilbert[i] = 1.0 / (i / 8 + i % 8 + 1);
    }
    Precision precision;
    CHECK_OK(precision_of_covariance(hilbert, 8, &precision));
    CHECK(precision.ridge == 0);
    CHECK_NEAR(precision.matrix[0], 64, 64 * 1e-5); // the exact inverse is of whole numbers
    CHECK_NEAR(precision.matrix[1], -2016, 2016 * 1e-5);
    precision_done(&precision);
}

TEST(singular_gets_the_least_ridge_that_mends_it_and_says_so) {
    double covariance[MOST * MOST];
    Precision precision;
    draw_covariance(1, 20, 12, covariance);
    CHECK_OK(precision_of_covariance(covariance, 20, &precision));
    double mean = 0;
    for (int i = 0; i < 20; i++) {
        mean += covariance[21 * i] / 20;
    }
    CHECK(precision.ridge > 0 && precision.ridge < 1e-11 * mean);
    // With a tenth of it there is no inverse worth having.
    if (precision.ridge > 1e-14 * mean) {
        double ridge = precision.ridge;
        precision_done(&precision);
        for (int i = 0; i < 20; i++) {
            covariance[21 * i] += ridge / 10;
        }
        CHECK_OK(precision_of_covariance(covariance, 20, &precision));
        CHECK(precision.ridge > 0);
    }
    precision_done(&precision);
}

TEST(constant_columns_and_zeros_get_a_ridge) {
    double covariance[9] = {4, 0, 1, 0, 0, 0, 1, 0, 2};
    const double row[] = {1, 0, -1}, off[] = {0, 1e-3, 0};
    Precision precision;
    CHECK_OK(precision_of_covariance(covariance, 3, &precision));
    CHECK(precision.ridge > 0 && precision.ridge < 1e-13);
    CHECK_NEAR(precision_distance(&precision, row), (2 + 2 + 4) / 7.0, 1e-12);
    CHECK(isfinite(precision_distance(&precision, off)) && precision_distance(&precision, off) > 1);
    precision_done(&precision);
    memset(covariance, 0, sizeof covariance);
    CHECK_OK(precision_of_covariance(covariance, 3, &precision));
    CHECK(precision.ridge == 1);
    CHECK_NEAR(precision_distance(&precision, row), 2, 1e-15); // Euclid's
    precision_done(&precision);
}

TEST(matrices_that_are_no_covariance_end_in_an_error) {
    double matrix[4] = {0, 1e300, 1e300, 0};
    Precision precision;
    CHECK_OK(precision_of_covariance(matrix, 2, &precision));
    CHECK(precision.ridge >= 1e300);
    precision_done(&precision);
    matrix[1] = matrix[2] = 1.7e308;
    precision = (Precision){.n_mels = 7};
    CHECK_INT(precision_of_covariance(matrix, 2, &precision), STATUS_INVALID);
    CHECK_HAS(status_message(), "no covariance");
    matrix[0] = NAN;
    CHECK_INT(precision_of_covariance(matrix, 2, &precision), STATUS_INVALID);
    CHECK_HAS(status_message(), "not finite");
    CHECK_INT(precision.n_mels, 7);
}

TEST(a_rows_distance_does_not_depend_on_its_neighbours) {
    enum { N = 37, ROWS = 53 };
    static float rows[ROWS * N];
    double covariance[N * N], together[ROWS], sum = 0;
    Precision precision;
    Rng rng = rng_of(9, "rows", 0, 0);
    draw_covariance(2, N, 80, covariance);
    CHECK_OK(precision_of_covariance(covariance, N, &precision));
    for (int i = 0; i < ROWS * N; i++) {
        rows[i] = (float)rng_normal(&rng);
    }
    precision_distances(&precision, rows, ROWS, together);
    for (int r = 0; r < ROWS; r++) {
        double row[N], plain = 0;
        for (int j = 0; j < N; j++) {
            row[j] = (double)rows[r * N + j];
        }
        for (int i = 0; i < N * N; i++) {
            plain += row[i / N] * precision.matrix[i] * row[i % N];
        }
        CHECK(precision_distance(&precision, row) == together[r]);
        CHECK_NEAR(together[r], plain, 1e-12 * plain);
        sum += together[r];
    }
    CHECK(mahala_sum_of_rows(&precision, NULL, rows, ROWS) == sum);
    CHECK(mahala_sum_of_rows(&precision, &precision, rows, ROWS) == sum);
    precision_done(&precision);
}

TEST(distances_have_the_bits_of_plain_loops) {
    // Blocks of 8 columns; what lies above the block on the diagonal counts twice.
    enum { N = 21, BLOCK = 8 };
    double covariance[N * N], row[N];
    Precision precision;
    Rng rng = rng_of(10, "row", 0, 0);
    draw_covariance(3, N, 50, covariance);
    CHECK_OK(precision_of_covariance(covariance, N, &precision));
    for (int j = 0; j < N; j++) {
        row[j] = rng_normal(&rng);
    }
    double sums[BLOCK] = {0}, expected = 0;
    for (int first = 0; first < N; first += BLOCK) {
        for (int j = first; j < first + BLOCK && j < N; j++) {
            double sum = 0;
            for (int k = 0; k < N && k < first + BLOCK; k++) {
                sum += (k < first ? 2 : 1) * row[k] * precision.matrix[k * N + j];
            }
            sums[j - first] += sum * row[j];
        }
    }
    for (int j = 0; j < BLOCK; j++) {
        expected += sums[j];
    }
    CHECK(precision_distance(&precision, row) == expected);
    precision_done(&precision);
}

TEST(the_smaller_of_both_domains_counts_row_by_row) {
    double near_first[4] = {0.01, 0, 0, 1}, near_second[4] = {1, 0, 0, 0.01};
    const float rows[] = {2, 0, 0, 3};
    const double mean[] = {1, 1.5};
    Precision source, target;
    CHECK_OK(precision_of_covariance(near_first, 2, &source));
    CHECK_OK(precision_of_covariance(near_second, 2, &target));
    CHECK_NEAR(mahala_sum_of_rows(&source, &target, rows, 2), 4 + 9, 1e-12);
    CHECK_NEAR(mahala_sum_of_rows(&source, NULL, rows, 2), 400 + 9, 1e-10);
    CHECK_NEAR(mahala_of_row(&source, &target, mean), 100 + 2.25, 1e-11);
    CHECK_NEAR(mahala_of_row(&source, NULL, mean), 100 + 2.25, 1e-11);
    CHECK_NEAR(mahala_of_row(&target, &source, mean), 100 + 2.25, 1e-11);
    precision_done(&source);
    precision_done(&target);
}

TEST(distances_are_never_nan) {
    double covariance[9] = {1, 0.5, 0, 0.5, 1, 0, 0, 0, 1};
    Precision precision;
    CHECK_OK(precision_of_covariance(covariance, 3, &precision));
    const double rows[][3] = {{NAN, 0, 0}, {INFINITY, -INFINITY, 0}, {1e300, -1e300, 1e300}};
    for (int r = 0; r < 3; r++) {
        CHECK(precision_distance(&precision, rows[r]) == INFINITY);
    }
    const double zero[3] = {0};
    CHECK(precision_distance(&precision, zero) == 0);
    precision_done(&precision);
}

TEST(clip_yardsticks_equal_scikit_learns) {
    GoldenTable table = golden_open(AUSCULT_SOURCE_DIR "/tests/golden/eval/mahala_clips.csv");
    while (golden_next(&table)) {
        static double rows[200 * 16], precision[16 * 16];
        double mean[16], row[16];
        int n = (int)golden_number(&table, 0);
        size_t clips = golden_numbers(&table, 1, rows, 200 * 16) / (size_t)n;
        ClipYardstick yardstick;
        CHECK_OK(clip_yardstick_make(rows, (int64_t)clips, n, &yardstick));
        golden_numbers(&table, 2, mean, 16);
        for (int j = 0; j < n; j++) {
            CHECK_NEAR(yardstick.mean[j], mean[j], 1e-13 * (1 + fabs(mean[j])));
        }
        CHECK_NEAR(yardstick.precision.shrinkage, golden_number(&table, 3), 1e-12);
        CHECK(yardstick.precision.ridge == 0);
        golden_numbers(&table, 4, precision, 16 * 16);
        for (int i = 0; i < n * n; i++) {
            double scale = sqrt(precision[i / n * (n + 1)] * precision[i % n * (n + 1)]);
            CHECK_NEAR(yardstick.precision.matrix[i], precision[i], 1e-9 * scale);
        }
        golden_numbers(&table, 5, row, 16);
        double expected = golden_number(&table, 6);
        CHECK_NEAR(clip_yardstick_score(&yardstick, row), expected, 1e-9 * expected);
        clip_yardstick_done(&yardstick);
    }
    CHECK_INT(table.rows, 7);
}

TEST(few_or_equal_clips_have_a_ridges_yardstick) {
    const double rows[] = {1, 2, 3, 5, 5, 5};
    const double equal[] = {1, 2, 3, 1, 2, 3, 1, 2, 3};
    const double at[] = {1, 2, 5};
    ClipYardstick yardstick;
    CHECK_INT(clip_yardstick_make(rows, 0, 3, &yardstick), STATUS_INVALID);
    CHECK_OK(clip_yardstick_make(rows, 1, 3, &yardstick));
    CHECK(yardstick.precision.ridge == 1);
    CHECK_NEAR(clip_yardstick_score(&yardstick, at), 4, 1e-15); // Euclid's
    clip_yardstick_done(&yardstick);
    CHECK_OK(clip_yardstick_make(equal, 3, 3, &yardstick));
    CHECK(yardstick.precision.ridge == 1 && yardstick.precision.shrinkage == 0);
    CHECK_NEAR(clip_yardstick_score(&yardstick, at), 4, 1e-15);
    clip_yardstick_done(&yardstick);
    // Two clips span a line, which the formula does not shrink; few digits are left of it.
    CHECK_OK(clip_yardstick_make(rows, 2, 3, &yardstick));
    CHECK(yardstick.precision.ridge > 0);
    CHECK_NEAR(clip_yardstick_score(&yardstick, rows), 1, 0.05);
    CHECK(isfinite(clip_yardstick_score(&yardstick, at)));
    clip_yardstick_done(&yardstick);
}

TEST(clips_that_are_no_numbers_are_refused) {
    double rows[] = {1, 2, 3, 5, 5, NAN};
    ClipYardstick yardstick = {.mean = rows};
    CHECK_INT(clip_yardstick_make(rows, 2, 3, &yardstick), STATUS_INVALID);
    rows[5] = INFINITY;
    CHECK_INT(clip_yardstick_make(rows, 2, 3, &yardstick), STATUS_INVALID);
    rows[5] = 1e200;
    CHECK_INT(clip_yardstick_make(rows, 2, 3, &yardstick), STATUS_INVALID);
    CHECK(yardstick.mean == rows);
}

TEST(every_failed_allocation_is_reported_and_leaks_nothing) {
    const double rows[] = {1, 2, 3, 5, 5, 7, 8, 1};
    long before = mem_blocks();
    int has_failed = 1;
    for (long n = 0; has_failed; n++) {
        ClipYardstick yardstick;
        mem_fail_after(n);
        Status status = clip_yardstick_make(rows, 4, 2, &yardstick);
        has_failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK_INT(status, has_failed ? STATUS_MEMORY : STATUS_OK);
        if (status == STATUS_OK) {
            clip_yardstick_done(&yardstick);
        }
        CHECK_INT(mem_blocks(), before);
    }
}

TEST_MAIN_LIST(
    T(precision_is_the_inverse_and_symmetric) T(ill_conditioned_is_not_singular) T(
        singular_gets_the_least_ridge_that_mends_it_and_says_so)
        T(constant_columns_and_zeros_get_a_ridge) T(matrices_that_are_no_covariance_end_in_an_error)
            T(a_rows_distance_does_not_depend_on_its_neighbours)
                T(distances_have_the_bits_of_plain_loops)
                    T(the_smaller_of_both_domains_counts_row_by_row) T(distances_are_never_nan)
                        T(clip_yardsticks_equal_scikit_learns)
                            T(few_or_equal_clips_have_a_ridges_yardstick)
                                T(clips_that_are_no_numbers_are_refused)
                                    T(every_failed_allocation_is_reported_and_leaks_nothing))
