// SPDX-License-Identifier: Apache-2.0
#include "common/eval/residuals.h"

#include "common/base/rng.h"
#include "common/eval/gram.h"
#include "common/eval/mahala.h"
#include "tests/unit/eval/golden.h"

enum { MELS = 16, FRAMES = 5, VECTORS = 96, NUMBERS = VECTORS * FRAMES * MELS };

typedef struct Data {
    int frames, n_mels, batch, vectors;
    float residuals[NUMBERS];
    uint8_t is_target[VECTORS];
} Data;

static Data data; // of the test at hand

static ResidualSums *sum_of(bool is_compat, bool is_target) {
    ResidualSums *sums = residual_sums_new(data.n_mels, is_compat);
    CHECK(sums != NULL);
    for (int first = 0; first < data.vectors; first += data.batch) {
        int count = data.vectors - first < data.batch ? data.vectors - first : data.batch;
        residual_sums_add(sums, data.residuals + (size_t)first * data.frames * data.n_mels,
                          data.is_target + first, count, data.frames, is_target);
    }
    return sums;
}

static void fill_at_random(uint64_t seed, double mean) {
    Rng rng = rng_of(seed, "residuals", 0, 0);
    data = (Data){.frames = FRAMES, .n_mels = MELS, .batch = 20, .vectors = VECTORS};
    for (int i = 0; i < NUMBERS; i++) {
        data.residuals[i] = (float)(mean + rng_normal(&rng) + (i % 3 == 0 ? rng_normal(&rng) : 0));
    }
    for (int v = 0; v < VECTORS; v++) {
        data.is_target[v] = rng_below(&rng, 4) == 0;
    }
}

// Relative to what the diagonal allows.
static double worst_difference(const double *actual, const double *expected, int n) {
    double worst = 0;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            double scale = sqrt(expected[i * n + i] * expected[j * n + j]);
            double difference = fabs(actual[i * n + j] - expected[i * n + j]) / scale;
            worst = difference <= worst ? worst : difference; // NaN stays
        }
    }
    return worst;
}

static void check_covariance(const GoldenTable *table, size_t field, bool is_compat,
                             bool is_target) {
    double actual[MELS * MELS], expected[MELS * MELS];
    ResidualSums *sums = sum_of(is_compat, is_target);
    golden_numbers(table, field, expected, MELS * MELS);
    CHECK_OK(residual_sums_covariance(sums, actual));
    // The baseline holds its own in single precision.
    double worst = worst_difference(actual, expected, data.n_mels);
    if (!(worst <= (is_compat ? 6e-8 : 1e-12))) {
        TEST_FAIL("row %d, column %s: %.3g", table->rows, is_compat ? "compat" : "plain", worst);
    }
    residual_sums_free(sums);
}

static void read_case(const GoldenTable *table) {
    static double numbers[NUMBERS];
    data = (Data){.frames = (int)golden_number(table, 0),
                  .n_mels = (int)golden_number(table, 1),
                  .batch = (int)golden_number(table, 2)};
    data.vectors = (int)golden_numbers(table, 3, numbers, VECTORS);
    for (int v = 0; v < data.vectors; v++) {
        data.is_target[v] = numbers[v] != 0;
    }
    size_t count = golden_numbers(table, 4, numbers, NUMBERS);
    CHECK_INT(count, data.vectors * data.frames * data.n_mels);
    for (size_t i = 0; i < count; i++) {
        data.residuals[i] = (float)numbers[i];
    }
}

TEST(covariances_equal_numpys_and_the_baselines) {
    GoldenTable table = golden_open(AUSCULT_SOURCE_DIR "/tests/golden/eval/mahala_residuals.csv");
    while (golden_next(&table)) {
        read_case(&table);
        check_covariance(&table, 5, false, false);
        check_covariance(&table, 6, false, true);
        check_covariance(&table, 7, true, false);
        check_covariance(&table, 8, true, true);
    }
    CHECK_INT(table.rows, 8);
}

static Precision golden_precision(const GoldenTable *table, size_t field) {
    double covariance[MELS * MELS];
    Precision precision;
    golden_numbers(table, field, covariance, MELS * MELS);
    CHECK_OK(precision_of_covariance(covariance, data.n_mels, &precision));
    CHECK(precision.ridge == 0);
    return precision;
}

static Precision own_precision(bool is_target) {
    Precision precision;
    ResidualSums *sums = sum_of(false, is_target);
    CHECK_OK(precision_of_residuals(sums, &precision));
    CHECK(precision.ridge == 0);
    residual_sums_free(sums);
    return precision;
}

TEST(scores_by_code_and_by_paper_equal_scipys) {
    GoldenTable table = golden_open(AUSCULT_SOURCE_DIR "/tests/golden/eval/mahala_residuals.csv");
    while (golden_next(&table)) {
        read_case(&table);
        int first = (data.vectors - 1) / data.batch * data.batch;
        int rows = (data.vectors - first) * data.frames;
        const float *last = data.residuals + (size_t)first * data.frames * data.n_mels;
        double mean[MELS] = {0};
        for (int i = 0; i < rows * data.n_mels; i++) {
            mean[i % data.n_mels] += (double)last[i] / rows;
        }
        Precision source = golden_precision(&table, 7), target = golden_precision(&table, 8);
        double expected = golden_number(&table, 9);
        CHECK_NEAR(mahala_of_row(&source, &target, mean), expected, 1e-9 * expected);
        precision_done(&source);
        precision_done(&target);
        source = own_precision(false);
        target = own_precision(true);
        expected = golden_number(&table, 10);
        CHECK_NEAR(mahala_sum_of_rows(&source, &target, last, rows), expected, 1e-9 * expected);
        precision_done(&source);
        precision_done(&target);
    }
    CHECK_INT(table.rows, 8);
}

TEST(mean_far_from_zero_costs_no_digits) {
    double near[MELS * MELS], far[MELS * MELS];
    fill_at_random(1, 0);
    for (int i = 0; i < NUMBERS; i++) { // so coarse that the shift below is exact
        data.residuals[i] = roundf(data.residuals[i] * 64) / 64;
    }
    ResidualSums *sums = sum_of(false, false);
    CHECK_OK(residual_sums_covariance(sums, near));
    residual_sums_free(sums);
    for (int i = 0; i < NUMBERS; i++) {
        data.residuals[i] += 65536;
    }
    sums = sum_of(false, false);
    CHECK_OK(residual_sums_covariance(sums, far));
    residual_sums_free(sums);
    CHECK(worst_difference(far, near, MELS) <= 1e-12);
}

TEST(joined_shards_equal_the_whole) {
    double whole[MELS * MELS], joined[MELS * MELS];
    fill_at_random(2, 3);
    ResidualSums *all = sum_of(false, false), *left = residual_sums_new(MELS, false);
    residual_sums_join(left, all); // with nothing
    int64_t vectors = residual_sums_vectors(all);
    CHECK_INT(residual_sums_vectors(left), vectors);
    CHECK_OK(residual_sums_covariance(left, whole));
    data.vectors = 40;
    ResidualSums *first = sum_of(false, false);
    memmove(data.residuals, data.residuals + 40 * FRAMES * MELS,
            56 * FRAMES * MELS * sizeof(float));
    memmove(data.is_target, data.is_target + 40, 56);
    data.vectors = 56;
    ResidualSums *second = sum_of(false, false);
    residual_sums_join(first, second);
    CHECK_INT(residual_sums_vectors(first), vectors);
    CHECK_OK(residual_sums_covariance(first, joined));
    CHECK(worst_difference(joined, whole, MELS) <= 1e-13);
    residual_sums_free(all);
    residual_sums_free(left);
    residual_sums_free(first);
    residual_sums_free(second);
}

TEST(batches_without_the_domain_and_too_few_vectors_have_no_covariance) {
    double out[MELS * MELS];
    fill_at_random(3, 0);
    memset(data.is_target, 0, sizeof data.is_target);
    for (int is_compat = 0; is_compat < 2; is_compat++) {
        ResidualSums *none = sum_of(is_compat, true);
        CHECK_INT(residual_sums_vectors(none), 0);
        CHECK_INT(residual_sums_covariance(none, out), STATUS_INVALID);
        CHECK_HAS(status_message(), "0 vectors");
        residual_sums_free(none);
        data.vectors = 1;
        ResidualSums *one = sum_of(is_compat, false);
        // Five rows of one vector are enough but for the baseline's divisor.
        CHECK_INT(residual_sums_covariance(one, out), is_compat ? STATUS_INVALID : STATUS_OK);
        residual_sums_free(one);
        data.vectors = VECTORS;
    }
}

TEST(residuals_that_are_no_numbers_are_refused_not_scored) {
    double out[MELS * MELS];
    Precision precision = {.n_mels = 7};
    fill_at_random(4, 0);
    data.residuals[5] = NAN;
    data.is_target[0] = 0;
    ResidualSums *sums = sum_of(false, false), *other = residual_sums_new(MELS, false);
    CHECK_OK(residual_sums_covariance(sums, out));
    CHECK_INT(precision_of_residuals(sums, &precision), STATUS_INVALID);
    CHECK_INT(precision.n_mels, 7);
    size_t size;
    const void *bytes = residual_sums_bytes(sums, &size);
    CHECK_INT(residual_sums_read(other, bytes, size), STATUS_FORMAT);
    CHECK_INT(residual_sums_vectors(other), 0);
    residual_sums_free(sums);
    residual_sums_free(other);
}

// A block with one number changed must be refused and leave what was there.
static void refuse(const void *bytes, size_t size, size_t place, double number, const char *why) {
    char copy[2048], before[2048];
    size_t had;
    CHECK(size <= sizeof copy);
    memcpy(copy, bytes, size);
    memcpy(copy + 8 * place, &number, sizeof number);
    ResidualSums *sums = sum_of(false, true);
    memcpy(before, residual_sums_bytes(sums, &had), size);
    CHECK_INT(residual_sums_read(sums, copy, size), STATUS_FORMAT);
    CHECK_HAS(status_message(), why);
    CHECK(memcmp(before, residual_sums_bytes(sums, &had), size) == 0);
    residual_sums_free(sums);
}

static double bits_of(int64_t value) {
    double number;
    memcpy(&number, &value, sizeof number);
    return number;
}

TEST(blocks_come_back_and_broken_ones_are_refused) {
    fill_at_random(5, 1);
    ResidualSums *sums = sum_of(false, false), *read = residual_sums_new(MELS, false);
    size_t size, size_read;
    const char *bytes = residual_sums_bytes(sums, &size);
    char shifted[2048]; // a message's bytes lie anywhere
    memcpy(shifted + 1, bytes, size);
    CHECK_OK(residual_sums_read(read, shifted + 1, size));
    CHECK(memcmp(residual_sums_bytes(read, &size_read), bytes, size) == 0);
    CHECK_INT(size_read, size);
    CHECK_INT(residual_sums_read(read, bytes, size - 8), STATUS_MISMATCH);
    refuse(bytes, size, 0, bits_of(-1), "-1 vectors");
    refuse(bytes, size, 0, bits_of(0), "0 vectors");
    refuse(bytes, size, 1, bits_of(3), "3 rows");
    refuse(bytes, size, 1, bits_of(INT64_MAX), "rows");
    refuse(bytes, size, 2, INFINITY, "not finite");
    refuse(bytes, size, 2 + MELS, -1, "negative square");
    refuse(bytes, size, 2 + MELS, 0, "cannot be");
    refuse(bytes, size, 2 + MELS + 1, 1e300, "cannot be");
    refuse(bytes, size, size / 8 - 1, NAN, "not finite");
    residual_sums_free(sums);
    residual_sums_free(read);
}

TEST(sums_have_the_bits_of_plain_loops) {
    // 77 rows of 13 numbers: neither tiles nor blocks are full. 32 rows make a tile.
    enum { ROWS = 77, WIDTH = 13, TILE = 32 };
    static double rows[ROWS][WIDTH];
    double center[WIDTH];
    float row[WIDTH];
    Rng rng = rng_of(6, "gram", 0, 0);
    for (int j = 0; j < WIDTH; j++) {
        center[j] = rng_normal(&rng);
    }
    Gram *gram = gram_new(WIDTH);
    gram_add(gram, center, center); // forgotten by:
    gram_clear(gram);
    for (int r = 0; r < ROWS; r++) {
        for (int j = 0; j < WIDTH; j++) {
            row[j] = (float)rng_normal(&rng);
            rows[r][j] = (double)row[j] - center[j];
        }
        gram_add_floats(gram, row, center);
    }
    const double *actual = gram_triangle(gram);
    for (int i = 0; i < WIDTH; i++) {
        for (int j = i; j < WIDTH; j++) {
            double sum = 0;
            for (int first = 0; first < ROWS; first += TILE) {
                double tile = 0;
                for (int r = first; r < ROWS && r < first + TILE; r++) {
                    tile += rows[r][i] * rows[r][j];
                }
                sum += tile;
            }
            CHECK(*actual++ == sum);
        }
    }
    gram_free(gram);
}

TEST(every_failed_allocation_is_reported_and_leaks_nothing) {
    fill_at_random(7, 0);
    ResidualSums *whole = sum_of(false, false);
    size_t size;
    const void *bytes = residual_sums_bytes(whole, &size);
    long before = mem_blocks();
    int has_failed = 1;
    for (long n = 0; has_failed; n++) {
        mem_fail_after(n);
        ResidualSums *sums = residual_sums_new(MELS, true);
        CHECK((sums == NULL) == (mem_has_failed() != 0));
        Status status = sums != NULL ? residual_sums_read(sums, bytes, size) : STATUS_MEMORY;
        has_failed = mem_has_failed();
        mem_fail_after(-1);
        residual_sums_free(sums);
        CHECK_INT(mem_blocks(), before);
        CHECK_INT(status, has_failed ? STATUS_MEMORY : STATUS_OK);
    }
    residual_sums_free(whole);
}

TEST_MAIN_LIST(T(covariances_equal_numpys_and_the_baselines)
                   T(scores_by_code_and_by_paper_equal_scipys) T(mean_far_from_zero_costs_no_digits)
                       T(joined_shards_equal_the_whole)
                           T(batches_without_the_domain_and_too_few_vectors_have_no_covariance)
                               T(residuals_that_are_no_numbers_are_refused_not_scored)
                                   T(blocks_come_back_and_broken_ones_are_refused)
                                       T(sums_have_the_bits_of_plain_loops)
                                           T(every_failed_allocation_is_reported_and_leaks_nothing))
