// SPDX-License-Identifier: Apache-2.0
//
// The scaler: every feature to mean 0 and deviation 1 over a model's training vectors, as
// scikit-learn's StandardScaler. ScalerSums are the moments of some vectors, merged clip by clip
// within a shard and then along the tree of shards (Chan, Golub, LeVeque, "Updating formulae and a
// pairwise algorithm for computing sample variances", 1979), always in that order, so that the bits
// do not depend on who calculated what. Their bytes are sent as they lie in memory:
//     ScalerHead (32 bytes), then mean (D), then M2 (D), both double.
// One thread at a time per object.
#ifndef AUSCULT_MODEL_SCALER_H
#define AUSCULT_MODEL_SCALER_H

#include "common/model/block.h"
#include "common/model/real.h"
#include "common/model/shape.h"

#define SCALER_VERSION 1u

typedef struct ScalerHead {
    BlockHead block;    // "ASCL", SCALER_VERSION
    uint32_t dimension; // D
    uint32_t reserved;  // 0
    int64_t count;      // vectors summed up; 0: mean and M2 are 0
} ScalerHead;

typedef struct ScalerSums ScalerSums;

// For vectors of D = `dimension` features, empty. NULL when out of memory.
ScalerSums *scaler_sums_new(int32_t dimension);
void scaler_sums_free(ScalerSums *sums);
void scaler_sums_clear(ScalerSums *sums);

// Moments of those vectors of one clip for which held_out[t] is 0, in two passes; replaces what was
// there. log_mel is (frame_count, n_mels), held_out (vectors of the clip).
void scaler_sums_clip(ScalerSums *sums, const Shape *shape, const float *log_mel,
                      int64_t frame_count, const uint8_t *held_out);
// left := left and right together; an empty right changes nothing, into an empty left, right is
// copied.
void scaler_sums_add(ScalerSums *left, const ScalerSums *right);

int64_t scaler_sums_count(const ScalerSums *sums);
const double *scaler_sums_mean(const ScalerSums *sums); // (D)
const double *scaler_sums_m2(const ScalerSums *sums);   // (D) sums of squared deviations

const void *scaler_sums_bytes(const ScalerSums *sums, size_t *ret_size);
// Takes over a block from elsewhere. STATUS_FORMAT, STATUS_MISMATCH; untouched on failure.
Status scaler_sums_read(ScalerSums *sums, const void *bytes, size_t size);

// The finished scaler of one model; its arrays belong to whoever made it (Replica).
typedef struct Scaler {
    int32_t dimension; // D
    int64_t count;     // vectors it was made from; 0: no scaler, features are used as they are
    double *mean;      // (D)
    double *variance;  // (D) population variance, M2 / count
    real *center;      // (D) mean, as it is applied
    real *scale;       // (D) sqrt(variance), as it is applied
} Scaler;

// mean and variance from sums of at least one vector; then as scaler_finish.
void scaler_from_sums(Scaler *scaler, const ScalerSums *sums);
// center and scale from count, mean and variance. A feature that is constant but for rounding, by
// the bound that scikit-learn uses (variance <= count * eps * variance + (count * mean * eps)^2),
// gets scale 1.
void scaler_finish(Scaler *scaler);
// One vector: out (D) = (in - center) / scale, or a copy where there is no scaler.
void scaler_apply(const Scaler *scaler, const float *in, real *out);

#endif
