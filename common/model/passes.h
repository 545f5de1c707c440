// SPDX-License-Identifier: Apache-2.0
//
// Everything that training does to numbers outside the matrix products, as plain loops over whole
// rows, fused so that each array is walked as seldom as possible. Sums over rows take eight rows at
// a time, joined as a tree, and add that to the running sum (few roundings, one load and store per
// eight rows); sums within a row run in 16 fixed lanes of double. So the bits do not depend on the
// processor. Nothing here allocates; any thread.
//
// Legend: m rows of the micro-batch, of which `count` hold vectors and the rest are padding;
// n columns; all matrices row-major and dense; (n) is one number per column.
#ifndef AUSCULT_MODEL_PASSES_H
#define AUSCULT_MODEL_PASSES_H

#include <stddef.h>
#include <stdint.h>

#include "common/model/real.h"

// out (n) = (in - center) / scale, the scaler's formula; in is a run of features.
void pass_scale_row(const float *in, const real *center, const real *scale, int n, real *out);
void pass_copy_row(const float *in, int n, real *out);

// sums (n) = column sums of x (count, n).
void pass_column_sums(const real *x, int count, int n, real *sums);
// sums (n) = column sums of (x - mean)^2.
void pass_column_squares(const real *x, const real *mean, int count, int n, real *sums);

// a = max(0, (z - mean) * scale + beta) in the first `count` rows, 0 in the others.
void pass_normalise_relu(const real *z, const real *mean, const real *scale, const real *beta,
                         int count, int m, int n, real *a);
// The same backwards, first half: g := g where a > 0, else 0 (in place); sum (n) of g, moment (n)
// of g * (z - mean).
void pass_relu_backward(const real *a, const real *z, const real *mean, int count, int n, real *g,
                        real *sum, real *moment);
// Second half: g := ((g - share) - (z - mean) * slope) * scale, 0 in the padding rows.
void pass_normalise_backward(const real *z, const real *mean, const real *scale, const real *share,
                             const real *slope, int count, int m, int n, real *g);

// The squared error: r = (z + bias) - x; z := r * factor, 0 in the padding rows; row_loss (count)
// = mean of r^2 over the row; sums (n) = column sums of the new z.
void pass_loss(const real *x, const real *bias, real factor, int count, int m, int n, real *z,
               double *row_loss, real *sums);
// As above without gradient: z := r.
void pass_residual(const real *x, const real *bias, int count, int n, real *z, double *row_loss);

// y := max(0, y * scale + shift): batch normalisation with running statistics, folded.
void pass_affine_relu(const real *scale, const real *shift, int m, int n, real *y);

// left := left + right.
void pass_add(real *left, const real *right, size_t count);
void pass_add_double(double *left, const double *right, size_t count);

// What of Adam's step is the same for all parameters.
typedef struct AdamStep {
    real inverse_count; // gradient = sum * inverse_count
    real take1;         // first moment += (gradient - first moment) * take1
    real keep2, take2;  // second moment = second moment * keep2 + take2 * gradient^2
    real inverse_root;  // 1 / sqrt(1 - beta2^step)
    real step_size;     // learning rate / (1 - beta1^step)
    real epsilon;
} AdamStep;
void pass_adam(const AdamStep *step, const real *sums, size_t count, real *first, real *second,
               real *parameters);
// running := keep * running + take * (sums * inverse_count).
void pass_running(const real *sums, real inverse_count, size_t count, real *running);

// Whether all numbers are finite. The second takes received bytes, which may lie unaligned.
int pass_all_finite(const real *x, size_t count);
int pass_all_finite_bytes(const char *bytes, size_t count);
int pass_all_finite_float(const float *x, size_t count);
// Whether all numbers are within -most .. most; NaN is not.
int pass_all_within(const real *x, size_t count, real most);

// For the scaler, in double: sum (n) += row, and m2 (n) += (row - mean)^2.
void pass_sum_row(const float *row, int n, double *sum);
void pass_square_row(const float *row, const double *mean, int n, double *m2);
// Chan's merge of two (count, mean, M2): left := left and right together.
void pass_merge_moments(double left_count, double right_count, const double *right_mean,
                        const double *right_m2, int n, double *left_mean, double *left_m2);

#endif
