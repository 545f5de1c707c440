// SPDX-License-Identifier: Apache-2.0
//
// The library's loops are compiled for several generations of processors and picked at run time.
// Here the same source stands once more, compiled for the oldest only, and each loop must give the
// same bits as the one that this processor picked.
#include <math.h>

#include "common/model/fingerprint.h"
#include "common/model/passes.h"
#include "tests/unit/model/model_test.h"

#define pass_scale_row          plain_scale_row
#define pass_copy_row           plain_copy_row
#define pass_column_sums        plain_column_sums
#define pass_column_squares     plain_column_squares
#define pass_normalise_relu     plain_normalise_relu
#define pass_relu_backward      plain_relu_backward
#define pass_normalise_backward plain_normalise_backward
#define pass_loss               plain_loss
#define pass_residual           plain_residual
#define pass_affine_relu        plain_affine_relu
#define pass_add                plain_add
#define pass_add_double         plain_add_double
#define pass_adam               plain_adam
#define pass_running            plain_running
#define pass_all_finite         plain_all_finite
#define pass_all_finite_bytes   plain_all_finite_bytes
#define pass_all_finite_float   plain_all_finite_float
#define pass_all_within         plain_all_within
#define pass_sum_row            plain_sum_row
#define pass_square_row         plain_square_row
#define pass_merge_moments      plain_merge_moments
#undef MODEL_CLONES
#define MODEL_CLONES
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#include "common/model/passes.c"
#undef pass_scale_row
#undef pass_copy_row
#undef pass_column_sums
#undef pass_column_squares
#undef pass_normalise_relu
#undef pass_relu_backward
#undef pass_normalise_backward
#undef pass_loss
#undef pass_residual
#undef pass_affine_relu
#undef pass_add
#undef pass_add_double
#undef pass_adam
#undef pass_running
#undef pass_all_finite
#undef pass_all_finite_bytes
#undef pass_all_finite_float
#undef pass_all_within
#undef pass_sum_row
#undef pass_square_row
#undef pass_merge_moments

enum { MOST = 40 * 70 };

// Two equal sets of arrays, one for each of the two.
typedef struct Data {
    real matrix[3][MOST];
    real column[5][MOST];
    double wide[2][MOST];
} Data;

static Data ours, plain;

static void fill(uint64_t number) {
    Rng rng = rng_of(8, "passes", number, 0);
    real *values = (real *)&ours;
    for (size_t i = 0; i < 8 * (size_t)MOST; i++) {
        values[i] = (real)rng_normal(&rng);
    }
    for (size_t i = 0; i < MOST; i++) {
        ours.wide[0][i] = rng_normal(&rng);
        ours.wide[1][i] = rng_normal(&rng);
    }
    memcpy(&plain, &ours, sizeof ours);
}

static void check_same(const char *what, int count, int n) {
    if (memcmp(&ours, &plain, sizeof ours) != 0) {
        TEST_FAIL("%s gives other bits for %d rows of %d", what, count, n);
    }
}

#define BOTH(name, ...)                                                                            \
    do {                                                                                           \
        Data *d = &ours;                                                                           \
        pass_##name(__VA_ARGS__);                                                                  \
        d = &plain;                                                                                \
        plain_##name(__VA_ARGS__);                                                                 \
        check_same(#name, count, n);                                                               \
    } while (0)

static void compare(int count, int m, int n) {
    BOTH(column_sums, d->matrix[0], count, n, d->column[0]);
    BOTH(column_squares, d->matrix[0], d->column[1], count, n, d->column[0]);
    BOTH(normalise_relu, d->matrix[0], d->column[0], d->column[1], d->column[2], count, m, n,
         d->matrix[1]);
    BOTH(relu_backward, d->matrix[1], d->matrix[0], d->column[0], count, n, d->matrix[2],
         d->column[3], d->column[4]);
    BOTH(normalise_backward, d->matrix[0], d->column[0], d->column[1], d->column[2], d->column[3],
         count, m, n, d->matrix[2]);
    BOTH(loss, d->matrix[0], d->column[1], (real)0.003, count, m, n, d->matrix[1], d->wide[0],
         d->column[2]);
    BOTH(residual, d->matrix[2], d->column[1], count, n, d->matrix[1], d->wide[1]);
    BOTH(affine_relu, d->column[1], d->column[2], m, n, d->matrix[1]);
    BOTH(add, d->matrix[1], d->matrix[0], (size_t)(count * n));
}

TEST(loops_give_the_same_bits_as_for_the_oldest_processor) {
    static const int sizes[][3] = {{40, 40, 64}, {40, 40, 70}, {31, 40, 8},
                                   {2, 5, 13},   {8, 8, 3},    {17, 17, 33}};
    for (uint64_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        fill(s);
        compare(sizes[s][0], sizes[s][1], sizes[s][2]);
    }
}

TEST(steps_give_the_same_bits_as_for_the_oldest_processor) {
    fill(77);
    for (size_t i = 0; i < MOST; i++) {
        ours.matrix[2][i] = plain.matrix[2][i] = (real)fabs((double)ours.matrix[2][i]);
    }
    AdamStep step = {(real)0.01, (real)0.1,  (real)0.999, (real)0.001,
                     (real)30,   (real)0.01, (real)1e-8};
    int count = MOST, n = 1;
    for (int k = 0; k < 5; k++) {
        BOTH(adam, &step, d->matrix[0], MOST - 3, d->matrix[1], d->matrix[2], d->column[0]);
        BOTH(running, d->column[2], (real)0.01, MOST, d->column[1]);
    }
}

TEST(scaling_gives_the_same_bits_as_for_the_oldest_processor) {
    fill(78);
    float features[MOST];
    Rng rng = rng_of(8, "features", 0, 0);
    for (int i = 0; i < MOST; i++) {
        features[i] = (float)(-90 + 80 * rng_uniform(&rng));
    }
    int count = 1, n = 645;
    BOTH(scale_row, features, d->column[0], d->column[1], n, d->matrix[0]);
    BOTH(sum_row, features, n, d->wide[0]);
    BOTH(square_row, features, d->wide[0], n, d->wide[1]);
    BOTH(merge_moments, 31, 55, d->wide[1] + 1000, d->wide[0] + 1000, n, d->wide[0], d->wide[1]);
}

TEST(one_number_that_is_not_finite_is_found) {
    float values[1000];
    static const float bad[3] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 1000; i++) {
        values[i] = i % 2 == 0 ? 3e38f : -1e-45f;
    }
    CHECK(pass_all_finite_float(values, 1000) && pass_all_finite(values, 1000));
    for (int i = 0; i < 1000; i++) {
        float kept = values[i];
        values[i] = bad[i % 3];
        CHECK(!pass_all_finite_float(values, 1000) && !pass_all_finite(values, 1000));
        CHECK(!pass_all_finite_bytes((const char *)values, 1000));
        values[i] = kept;
    }
}

TEST(one_number_beyond_the_bound_is_found) {
    real values[1000];
    static const real bad[4] = {(real)1.0001, (real)-1.0001, (real)NAN, (real)-INFINITY};
    for (int i = 0; i < 1000; i++) {
        values[i] = i % 2 == 0 ? (real)1 : (real)-1;
    }
    CHECK(pass_all_within(values, 1000, 1));
    for (int i = 0; i < 1000; i++) {
        real kept = values[i];
        values[i] = bad[i % 4];
        CHECK(!pass_all_within(values, 1000, 1));
        values[i] = kept;
    }
}

TEST(fingerprint_is_the_same_every_time) {
    Digest first, second;
    CHECK_OK(model_fingerprint(&first));
    CHECK_OK(model_fingerprint(&second));
    CHECK(digest_equal(first, second));
    char text[DIGEST_TEXT_BYTES];
    digest_text(first, text);
    printf("%s with the %s kernel\n", text, linalg_kernel_name(linalg_kernel()));
}

TEST(failed_allocation_leaks_nothing_in_the_fingerprint) {
    long before = mem_blocks();
    for (long n = 0;; n++) {
        Digest digest;
        mem_fail_after(n);
        Status status = model_fingerprint(&digest);
        bool failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK_INT(status, failed ? STATUS_MEMORY : STATUS_OK);
        CHECK_INT(mem_blocks(), before);
        if (!failed) {
            break;
        }
        CHECK(n < 1000);
    }
}

MODEL_TEST_MAIN(T(loops_give_the_same_bits_as_for_the_oldest_processor)
                    T(steps_give_the_same_bits_as_for_the_oldest_processor)
                        T(scaling_gives_the_same_bits_as_for_the_oldest_processor)
                            T(one_number_beyond_the_bound_is_found)
                                T(one_number_that_is_not_finite_is_found)
                                    T(fingerprint_is_the_same_every_time)
                                        T(failed_allocation_leaks_nothing_in_the_fingerprint))
