// SPDX-License-Identifier: Apache-2.0
#include "common/model/scaler.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/model/passes.h"

static const char MAGIC[4] = {'A', 'S', 'C', 'L'};

_Static_assert(sizeof(ScalerHead) == 32, "the block's layout");

struct ScalerSums {
    ScalerHead *head; // the block; mean and M2 follow it
    size_t bytes;     // of the block
    double *mean;     // (D)
    double *m2;       // (D)
};

ScalerSums *scaler_sums_new(int32_t dimension) {
    ScalerSums *sums = mem_new(1, sizeof *sums);
    if (sums == NULL) {
        return NULL;
    }
    sums->bytes = sizeof(ScalerHead) + 2 * (size_t)dimension * sizeof(double);
    sums->head = mem_new_aligned(sums->bytes, 1);
    if (sums->head == NULL) {
        scaler_sums_free(sums);
        return NULL;
    }
    sums->head->block = block_head(MAGIC, SCALER_VERSION, sums->bytes);
    sums->head->dimension = (uint32_t)dimension;
    sums->mean = (double *)(sums->head + 1);
    sums->m2 = sums->mean + dimension;
    return sums;
}

void scaler_sums_free(ScalerSums *sums) {
    if (sums != NULL) {
        mem_free(sums->head);
        mem_free(sums);
    }
}

void scaler_sums_clear(ScalerSums *sums) {
    sums->head->count = 0;
    memset(sums->mean, 0, 2 * (size_t)sums->head->dimension * sizeof(double));
}

void scaler_sums_clip(ScalerSums *sums, const Shape *shape, const float *log_mel,
                      int64_t frame_count, const uint8_t *held_out) {
    int dimension = shape_dimension(shape);
    assert((uint32_t)dimension == sums->head->dimension);
    int64_t vectors = shape_vectors(shape, frame_count);
    size_t stride = (size_t)shape->frame_hop_length * (size_t)shape->n_mels;
    scaler_sums_clear(sums);
    for (int64_t t = 0; t < vectors; t++) {
        if (!held_out[t]) {
            pass_sum_row(log_mel + (size_t)t * stride, dimension, sums->mean);
            sums->head->count++;
        }
    }
    if (sums->head->count == 0) {
        return;
    }
    for (int j = 0; j < dimension; j++) {
        sums->mean[j] /= (double)sums->head->count;
    }
    for (int64_t t = 0; t < vectors; t++) {
        if (!held_out[t]) {
            pass_square_row(log_mel + (size_t)t * stride, sums->mean, dimension, sums->m2);
        }
    }
}

void scaler_sums_add(ScalerSums *left, const ScalerSums *right) {
    assert(left->bytes == right->bytes);
    if (right->head->count == 0) {
        return;
    }
    if (left->head->count == 0) {
        memcpy(left->head, right->head, left->bytes);
        return;
    }
    pass_merge_moments((double)left->head->count, (double)right->head->count, right->mean,
                       right->m2, (int)left->head->dimension, left->mean, left->m2);
    left->head->count += right->head->count;
}

int64_t scaler_sums_count(const ScalerSums *sums) {
    return sums->head->count;
}

const double *scaler_sums_mean(const ScalerSums *sums) {
    return sums->mean;
}

const double *scaler_sums_m2(const ScalerSums *sums) {
    return sums->m2;
}

const void *scaler_sums_bytes(const ScalerSums *sums, size_t *ret_size) {
    *ret_size = sums->bytes;
    return sums->head;
}

static Status check_values(const char *values, size_t dimension) {
    for (size_t i = 0; i < 2 * dimension; i++) {
        double value;
        memcpy(&value, values + i * sizeof value, sizeof value);
        bool is_m2 = i >= dimension;
        if (!isfinite(value) || (is_m2 && value < 0)) {
            return status_set(STATUS_FORMAT, "scaler sums with a %s that is not a number",
                              is_m2 ? "squared deviation" : "mean");
        }
    }
    return STATUS_OK;
}

Status scaler_sums_read(ScalerSums *sums, const void *bytes, size_t size) {
    Status status = block_check(bytes, size, MAGIC, SCALER_VERSION, "scaler sums");
    if (status != STATUS_OK) {
        return status;
    }
    ScalerHead head;
    if (size != sums->bytes) {
        return status_set(STATUS_MISMATCH, "scaler sums of %zu bytes for a model of %zu", size,
                          sums->bytes);
    }
    memcpy(&head, bytes, sizeof head);
    if (head.dimension != sums->head->dimension) {
        return status_set(STATUS_MISMATCH, "scaler sums of %u features for a model of %u",
                          head.dimension, sums->head->dimension);
    }
    if (head.reserved != 0 || head.count < 0 || head.count > SHAPE_VECTORS_MOST) {
        return status_set(STATUS_FORMAT, "scaler sums of %lld vectors", (long long)head.count);
    }
    status = check_values((const char *)bytes + sizeof head, head.dimension);
    if (status == STATUS_OK) {
        memcpy(sums->head, bytes, size);
    }
    return status;
}

void scaler_from_sums(Scaler *scaler, const ScalerSums *sums) {
    assert(sums->head->count > 0 && (uint32_t)scaler->dimension == sums->head->dimension);
    scaler->count = sums->head->count;
    for (int32_t j = 0; j < scaler->dimension; j++) {
        scaler->mean[j] = sums->mean[j];
        scaler->variance[j] = sums->m2[j] / (double)scaler->count;
    }
    scaler_finish(scaler);
}

void scaler_finish(Scaler *scaler) {
    double count = (double)scaler->count;
    for (int32_t j = 0; j < scaler->dimension; j++) {
        double variance = scaler->variance[j];
        double slip = count * scaler->mean[j] * DBL_EPSILON;
        bool is_constant = variance <= count * DBL_EPSILON * variance + slip * slip;
        real scale = (real)sqrt(variance);
        scaler->center[j] = (real)scaler->mean[j];
        scaler->scale[j] = is_constant || !(scale > 0) ? 1 : scale;
    }
}

void scaler_apply(const Scaler *scaler, const float *in, real *out) {
    if (scaler->count == 0) {
        pass_copy_row(in, scaler->dimension, out);
    } else {
        pass_scale_row(in, scaler->center, scaler->scale, scaler->dimension, out);
    }
}
