// SPDX-License-Identifier: Apache-2.0
//
// Sums over residual rows: what covariances are made from. A vector's residual (reconstruction
// minus input) is `frames` rows of n_mels; sums are of one domain's rows, in double, in an order
// that depends on the data alone. Workers sum a shard each, the coordinator joins shards along the
// fixed tree. One thread at a time per object.
#ifndef AUSCULT_EVAL_RESIDUALS_H
#define AUSCULT_EVAL_RESIDUALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

// In memory as it is sent, little-endian, without gaps:
//     vectors, rows (int64_t each), mean row m (n_mels doubles), products: the upper triangle of
//     the sum of (r - m)(r - m)' over rows r, by rows (n_mels * (n_mels + 1) / 2 doubles).
typedef struct ResidualSums ResidualSums;

// All zero. `is_compat`: as the official baseline sums (dcase2023_task2_baseline_ae v5.1.1, its
// cov_v_diff): the products are about the mean of each batch, not of all. NULL when out of memory.
ResidualSums *residual_sums_new(int n_mels, bool is_compat);
void residual_sums_free(ResidualSums *sums);

// Adds one batch: residuals (vectors, frames, n_mels); only the vectors whose is_target is
// `wants_target`. Allocates nothing.
void residual_sums_add(ResidualSums *sums, const float *residuals, const uint8_t *is_target,
                       int vectors, int frames, bool wants_target);
// left := left + right, both of the same n_mels and mode.
void residual_sums_join(ResidualSums *left, const ResidualSums *right);
int residual_sums_mels(const ResidualSums *sums);
int64_t residual_sums_vectors(const ResidualSums *sums);
// The covariance of the rows (n_mels, n_mels): P / (N - 1) over N rows. In the compat
// mode P / (vectors - 1), as the baseline divides although the rows are `frames` times as many,
// rounded to single precision, as it holds it. STATUS_INVALID: fewer than two rows, or vectors.
Status residual_sums_covariance(const ResidualSums *sums, double *out);

const void *residual_sums_bytes(const ResidualSums *sums, size_t *ret_size);
// Takes over a block from elsewhere, which is not trusted. STATUS_FORMAT (counts or products that
// cannot be, a number that is not finite), STATUS_MISMATCH (another size), STATUS_MEMORY; untouched
// then.
Status residual_sums_read(ResidualSums *sums, const void *bytes, size_t size);

#endif
