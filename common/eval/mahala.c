// SPDX-License-Identifier: Apache-2.0
#include "common/eval/mahala.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "common/base/clones.h"
#include "common/base/limits.h"
#include "common/base/mem.h"

enum { BLOCK_ROWS = 4 };

void precision_done(Precision *precision) {
    mem_free(precision->matrix);
    precision->matrix = NULL;
}

// ---- inverting ----

// Cholesky's lower factor L of covariance + ridge, in place of the lower triangle of `a`. False
// when the matrix is not positive definite as far as double precision can tell.
static bool factorise(double *a, int n, double largest) {
    for (int j = 0; j < n; j++) {
        double pivot = a[j * n + j];
        for (int k = 0; k < j; k++) {
            pivot -= a[j * n + k] * a[j * n + k];
        }
        if (!(pivot > n * DBL_EPSILON * largest)) {
            return false;
        }
        double root = sqrt(pivot);
        a[j * n + j] = root;
        for (int i = j + 1; i < n; i++) {
            double sum = a[i * n + j];
            for (int k = 0; k < j; k++) {
                sum -= a[i * n + k] * a[j * n + k];
            }
            a[i * n + j] = sum / root;
        }
    }
    return true;
}

// L^-1 in place of L.
static void invert_factor(double *a, int n) {
    for (int j = 0; j < n; j++) {
        a[j * n + j] = 1 / a[j * n + j];
        for (int i = j + 1; i < n; i++) {
            double sum = 0;
            for (int k = j; k < i; k++) {
                sum -= a[i * n + k] * a[k * n + j];
            }
            a[i * n + j] = sum / a[i * n + i];
        }
    }
}

// out := (L^-1)' L^-1.
static void multiply_factor(const double *a, int n, double *out) {
    for (int i = 0; i < n; i++) {
        for (int j = 0; j <= i; j++) {
            double sum = 0;
            for (int k = i; k < n; k++) {
                sum += a[k * n + i] * a[k * n + j];
            }
            out[i * n + j] = out[j * n + i] = sum;
        }
    }
}

static bool try_ridge(const double *covariance, int n, double ridge, double *factor) {
    double largest = 0;
    for (int i = 0; i < n; i++) {
        memcpy(factor + i * n, covariance + i * n, (size_t)n * sizeof *factor);
        factor[i * n + i] += ridge;
        largest = fmax(largest, factor[i * n + i]);
    }
    return factorise(factor, n, largest);
}

static double mean_of_diagonal(const double *matrix, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) {
        sum += matrix[i * n + i];
    }
    return sum / n;
}

Status precision_of_covariance(const double *covariance, int n_mels, Precision *ret) {
    size_t count = (size_t)n_mels * (size_t)n_mels;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(covariance[i])) {
            return status_set(STATUS_INVALID, "a covariance with a number that is not finite");
        }
    }
    Precision precision = {.n_mels = n_mels, .matrix = mem_new(count, sizeof(double))};
    double *factor = mem_new(count, sizeof *factor);
    if (precision.matrix == NULL || factor == NULL) {
        mem_free(factor);
        precision_done(&precision);
        return STATUS_MEMORY;
    }
    double mean = mean_of_diagonal(covariance, n_mels);
    double ridge = mean > 0 ? fmax(n_mels * DBL_EPSILON * mean, DBL_MIN) : 1;
    while (!try_ridge(covariance, n_mels, precision.ridge, factor)) {
        precision.ridge = ridge;
        ridge *= 10;
    }
    invert_factor(factor, n_mels);
    multiply_factor(factor, n_mels, precision.matrix);
    mem_free(factor);
    *ret = precision;
    return STATUS_OK;
}

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

// ---- distances ----

// out[r] := rows[r]' P rows[r], for BLOCK_ROWS rows at once, each in the order that one alone has:
// P's rows are added up, weighted, then the products with the row from its first element on.
CPU_CLONES static void block_distances(const double *matrix, int n,
                                       double rows[BLOCK_ROWS][LIMIT_MELS],
                                       double out[BLOCK_ROWS]) {
    double sums[BLOCK_ROWS][LIMIT_MELS];
    for (int r = 0; r < BLOCK_ROWS; r++) {
        memset(sums[r], 0, (size_t)n * sizeof sums[r][0]);
    }
    for (int j = 0; j < n; j++) {
        const double *line = matrix + (size_t)j * (size_t)n;
        for (int r = 0; r < BLOCK_ROWS; r++) {
            double weight = rows[r][j];
            for (int i = 0; i < n; i++) {
                sums[r][i] += weight * line[i];
            }
        }
    }
    for (int r = 0; r < BLOCK_ROWS; r++) {
        double distance = 0;
        for (int i = 0; i < n; i++) {
            distance += sums[r][i] * rows[r][i];
        }
        out[r] = distance > 0 ? distance : 0;
    }
}

double precision_distance(const Precision *precision, const double *row) {
    double rows[BLOCK_ROWS][LIMIT_MELS], distances[BLOCK_ROWS];
    size_t n = (size_t)precision->n_mels;
    assert(n <= LIMIT_MELS);
    for (int r = 0; r < BLOCK_ROWS; r++) {
        memcpy(rows[r], row, n * sizeof *row);
    }
    block_distances(precision->matrix, precision->n_mels, rows, distances);
    return distances[0];
}

double mahala_of_row(const Precision *source, const Precision *target, const double *mean_row) {
    double distance = precision_distance(source, mean_row);
    return target != NULL ? fmin(distance, precision_distance(target, mean_row)) : distance;
}

double mahala_sum_of_rows(const Precision *source, const Precision *target, const float *rows,
                          int64_t count) {
    double block[BLOCK_ROWS][LIMIT_MELS] = {{0}}, to_source[BLOCK_ROWS], to_target[BLOCK_ROWS];
    int n = source->n_mels;
    double sum = 0;
    assert(n <= LIMIT_MELS);
    for (int64_t first = 0; first < count; first += BLOCK_ROWS) {
        int filled = count - first < BLOCK_ROWS ? (int)(count - first) : BLOCK_ROWS;
        for (int r = 0; r < filled; r++) {
            for (int j = 0; j < n; j++) {
                block[r][j] = (double)rows[(first + r) * n + j];
            }
        }
        block_distances(source->matrix, n, block, to_source);
        if (target != NULL) {
            block_distances(target->matrix, n, block, to_target);
        }
        for (int r = 0; r < filled; r++) {
            sum += target != NULL ? fmin(to_source[r], to_target[r]) : to_source[r];
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

// centered := rows - mean.
static void center(const double *rows, int64_t clips, int n, double *mean, double *centered) {
    memset(mean, 0, (size_t)n * sizeof *mean);
    for (int64_t k = 0; k < clips; k++) {
        for (int j = 0; j < n; j++) {
            mean[j] += rows[k * n + j];
        }
    }
    for (int j = 0; j < n; j++) {
        mean[j] /= (double)clips;
    }
    for (int64_t i = 0; i < clips * n; i++) {
        centered[i] = rows[i] - mean[i % n];
    }
}

// The empirical covariance: centered' centered / clips.
static void covariance_of(const double *centered, int64_t clips, int n, double *out) {
    memset(out, 0, (size_t)n * (size_t)n * sizeof *out);
    for (int64_t k = 0; k < clips; k++) {
        const double *row = centered + k * n;
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < n; j++) {
                out[i * n + j] += row[i] * row[j];
            }
        }
    }
    for (int i = 0; i < n * n; i++) {
        out[i] /= (double)clips;
    }
}

// Ledoit and Wolf's shrinkage. With mu the mean of the covariance's diagonal, x_k a centered row:
//     delta = |S - mu I|^2 / p, beta = (sum_k |x_k|^4 / n - |S|^2) / (p n), beta / delta, at
//     most 1.
static double shrinkage_of(const double *centered, int64_t clips, int n, const double *covariance) {
    double fourth = 0, square = 0, mu = mean_of_diagonal(covariance, n);
    for (int64_t k = 0; k < clips; k++) {
        double norm = 0;
        for (int j = 0; j < n; j++) {
            norm += centered[k * n + j] * centered[k * n + j];
        }
        fourth += norm * norm;
    }
    for (int i = 0; i < n * n; i++) {
        square += covariance[i] * covariance[i];
    }
    double beta = (fourth / (double)clips - square) / ((double)n * (double)clips);
    double delta = (square - n * mu * mu) / n;
    beta = fmin(beta, delta);
    return beta > 0 && n > 1 ? beta / delta : 0;
}

Status clip_yardstick_make(const double *mean_rows, int64_t clips, int n_mels, ClipYardstick *ret) {
    size_t n = (size_t)n_mels;
    if (clips < 1) {
        return status_set(STATUS_INVALID, "no training clip to measure distances from");
    }
    ClipYardstick yardstick = {.mean = mem_new(n, sizeof(double))};
    double *centered = mem_new((size_t)clips * n, sizeof *centered);
    double *covariance = mem_new(n * n, sizeof *covariance);
    Status status = STATUS_MEMORY;
    if (yardstick.mean != NULL && centered != NULL && covariance != NULL) {
        center(mean_rows, clips, n_mels, yardstick.mean, centered);
        covariance_of(centered, clips, n_mels, covariance);
        double shrinkage = shrinkage_of(centered, clips, n_mels, covariance);
        double mu = mean_of_diagonal(covariance, n_mels);
        for (size_t i = 0; i < n * n; i++) {
            covariance[i] *= 1 - shrinkage;
            covariance[i] += i % (n + 1) == 0 ? shrinkage * mu : 0;
        }
        status = precision_of_covariance(covariance, n_mels, &yardstick.precision);
        yardstick.precision.shrinkage = shrinkage;
    }
    mem_free(centered);
    mem_free(covariance);
    if (status != STATUS_OK) {
        clip_yardstick_done(&yardstick);
        return status;
    }
    *ret = yardstick;
    return STATUS_OK;
}

double clip_yardstick_score(const ClipYardstick *yardstick, const double *mean_row) {
    double row[LIMIT_MELS];
    for (int j = 0; j < yardstick->precision.n_mels; j++) {
        row[j] = mean_row[j] - yardstick->mean[j];
    }
    return precision_distance(&yardstick->precision, row);
}
