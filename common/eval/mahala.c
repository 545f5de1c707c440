// SPDX-License-Identifier: Apache-2.0
#include "common/eval/mahala.h"

#include <math.h>
#include <string.h>

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/eval/gram.h"

Status precision_of_residuals(const ResidualSums *sums, Precision *ret) {
    int n = residual_sums_mels(sums);
    double *covariance = mem_new((size_t)n * (size_t)n, sizeof *covariance);
    if (covariance == NULL) {
        return STATUS_MEMORY;
    }
    Status status = residual_sums_covariance(sums, covariance);
    if (status == STATUS_OK) {
        status = precision_of_covariance(covariance, n, ret);
    }
    mem_free(covariance);
    return status;
}

double mahala_of_row(const Precision *source, const Precision *target, const double *mean_row) {
    double distance = precision_distance(source, mean_row);
    return target != NULL ? fmin(distance, precision_distance(target, mean_row)) : distance;
}

double mahala_sum_of_rows(const Precision *source, const Precision *target, const float *rows,
                          int64_t count) {
    enum { AT_ONCE = 64 };
    double to_source[AT_ONCE], to_target[AT_ONCE];
    double sum = 0;
    for (int64_t first = 0; first < count; first += AT_ONCE) {
        int filled = count - first < AT_ONCE ? (int)(count - first) : AT_ONCE;
        const float *at = rows + first * source->n_mels;
        precision_distances(source, at, filled, to_source);
        precision_distances(target != NULL ? target : source, at, filled, to_target);
        for (int r = 0; r < filled; r++) {
            sum += fmin(to_source[r], to_target[r]);
        }
    }
    return sum;
}

// ---- CLIPMAHALA ----

void clip_yardstick_done(ClipYardstick *yardstick) {
    mem_free(yardstick->mean);
    yardstick->mean = NULL;
    precision_done(&yardstick->precision);
}

// The rows' mean, and the sum over the rows of the fourth power of their length about it.
static double center(const double *rows, int64_t clips, int n, double *mean) {
    double fourth = 0;
    for (int64_t k = 0; k < clips; k++) {
        for (int j = 0; j < n; j++) {
            mean[j] += rows[k * n + j];
        }
    }
    for (int j = 0; j < n; j++) {
        mean[j] /= (double)clips;
    }
    for (int64_t k = 0; k < clips; k++) {
        double square = 0;
        for (int j = 0; j < n; j++) {
            double apart = rows[k * n + j] - mean[j];
            square += apart * apart;
        }
        fourth += square * square;
    }
    return fourth;
}

// The empirical covariance (n, n): divided by the number of clips.
static Status covariance_of(const double *rows, int64_t clips, int n, const double *mean,
                            double *out) {
    Gram *gram = gram_new(n);
    if (gram == NULL) {
        return STATUS_MEMORY;
    }
    for (int64_t k = 0; k < clips; k++) {
        gram_add(gram, rows + k * n, mean);
    }
    const double *product = gram_triangle(gram);
    for (int i = 0; i < n; i++) {
        for (int j = i; j < n; j++) {
            out[i * n + j] = out[j * n + i] = *product++ / (double)clips;
        }
    }
    gram_free(gram);
    return STATUS_OK;
}

// Shrinks S (n, n) towards mu I, mu the mean of its diagonal, and returns by how much. With x_k a
// row about the mean:
//     delta = |S - mu I|^2 / n, beta = (sum_k |x_k|^4 / clips - |S|^2) / (n clips), beta / delta,
//     at most 1.
static double shrink(double *covariance, int n, int64_t clips, double fourth) {
    double square = 0, mu = 0;
    for (int i = 0; i < n; i++) {
        mu += covariance[i * n + i] / n;
    }
    for (int i = 0; i < n * n; i++) {
        square += covariance[i] * covariance[i];
    }
    double delta = (square - n * mu * mu) / n;
    double beta = fmin((fourth / (double)clips - square) / ((double)n * (double)clips), delta);
    double shrinkage = beta > 0 && n > 1 ? beta / delta : 0;
    for (int i = 0; i < n * n; i++) {
        covariance[i] *= 1 - shrinkage;
    }
    for (int i = 0; i < n; i++) {
        covariance[i * n + i] += shrinkage * mu;
    }
    return shrinkage;
}

static Status make_precision(const double *mean_rows, int64_t clips, int n, ClipYardstick *made) {
    double *covariance = mem_new((size_t)n * (size_t)n, sizeof *covariance);
    if (covariance == NULL) {
        return STATUS_MEMORY;
    }
    double fourth = center(mean_rows, clips, n, made->mean);
    Status status = covariance_of(mean_rows, clips, n, made->mean, covariance);
    if (status == STATUS_OK) {
        double shrinkage = shrink(covariance, n, clips, fourth);
        status = precision_of_covariance(covariance, n, &made->precision);
        made->precision.shrinkage = shrinkage;
    }
    mem_free(covariance);
    return status;
}

Status clip_yardstick_make(const double *mean_rows, int64_t clips, int n_mels, ClipYardstick *ret) {
    if (clips < 1) {
        return status_set(STATUS_INVALID, "no training clip to measure distances from");
    }
    ClipYardstick made = {.mean = mem_new((size_t)n_mels, sizeof(double))};
    Status status =
        made.mean != NULL ? make_precision(mean_rows, clips, n_mels, &made) : STATUS_MEMORY;
    if (status != STATUS_OK) {
        clip_yardstick_done(&made);
        return status;
    }
    *ret = made;
    return STATUS_OK;
}

double clip_yardstick_score(const ClipYardstick *yardstick, const double *mean_row) {
    double row[LIMIT_MELS];
    for (int j = 0; j < yardstick->precision.n_mels; j++) {
        row[j] = mean_row[j] - yardstick->mean[j];
    }
    return precision_distance(&yardstick->precision, row);
}
