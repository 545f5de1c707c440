// SPDX-License-Identifier: Apache-2.0
//
// How it works. The rows of a batch that count are copied, as doubles, into a block of BLOCK_ROWS;
// a full block, or the rest at the batch's end, is added to the sums at once, which reads and
// writes each product BLOCK_ROWS times less often than a row alone would. Every sum has one fixed
// order: blocks in order, in a block row after row.
#include "common/eval/residuals.h"

#include <math.h>
#include <string.h>

#include "common/base/clones.h"
#include "common/base/mem.h"

enum { BLOCK_ROWS = 8 };

struct ResidualSums {
    int n_mels;
    bool is_compat;
    int64_t *counts;  // vectors, rows; then sum and products: the block that is sent
    double *sum;      // (n_mels)
    double *products; // (n_mels * (n_mels + 1) / 2)
    size_t bytes;     // of the block
    double *block;    // (BLOCK_ROWS, n_mels) rows not added yet
    double *mean;     // (n_mels) of the batch; zeros unless is_compat
    int block_rows;
};

static size_t products_of(int n_mels) {
    return (size_t)n_mels * ((size_t)n_mels + 1) / 2;
}

ResidualSums *residual_sums_new(int n_mels, bool is_compat) {
    ResidualSums *sums = mem_new(1, sizeof *sums);
    if (sums == NULL) {
        return NULL;
    }
    size_t n = (size_t)n_mels;
    sums->n_mels = n_mels;
    sums->is_compat = is_compat;
    sums->bytes = 2 * sizeof(int64_t) + (n + products_of(n_mels)) * sizeof(double);
    sums->counts = mem_new_aligned(sums->bytes, 1);
    sums->block = mem_new_aligned((BLOCK_ROWS + 1) * n, sizeof(double));
    if (sums->counts == NULL || sums->block == NULL) {
        residual_sums_free(sums);
        return NULL;
    }
    sums->sum = (double *)(sums->counts + 2);
    sums->products = sums->sum + n;
    sums->mean = sums->block + BLOCK_ROWS * n;
    return sums;
}

void residual_sums_free(ResidualSums *sums) {
    if (sums != NULL) {
        mem_free(sums->counts);
        mem_free(sums->block);
        mem_free(sums);
    }
}

int residual_sums_mels(const ResidualSums *sums) {
    return sums->n_mels;
}

int64_t residual_sums_vectors(const ResidualSums *sums) {
    return sums->counts[0];
}

// ---- adding ----

// products += block' block, of the upper triangle; rows that are not there are zeros.
CPU_CLONES static void add_products(const double *block, int n, double *products) {
    for (int i = 0; i < n; i++) {
        double left[BLOCK_ROWS];
        for (int k = 0; k < BLOCK_ROWS; k++) {
            left[k] = block[k * n + i];
        }
        for (int j = i; j < n; j++) {
            double sum = left[0] * block[j];
            for (int k = 1; k < BLOCK_ROWS; k++) {
                sum += left[k] * block[k * n + j];
            }
            products[j - i] += sum;
        }
        products += n - i;
    }
}

static void flush(ResidualSums *sums) {
    size_t n = (size_t)sums->n_mels;
    if (sums->block_rows == 0) {
        return;
    }
    memset(sums->block + (size_t)sums->block_rows * n, 0,
           (size_t)(BLOCK_ROWS - sums->block_rows) * n * sizeof *sums->block);
    add_products(sums->block, sums->n_mels, sums->products);
    for (size_t k = 0; k < (size_t)sums->block_rows; k++) {
        for (size_t j = 0; j < n; j++) {
            sums->sum[j] += sums->block[k * n + j];
        }
    }
    sums->counts[1] += sums->block_rows;
    sums->block_rows = 0;
}

static void add_row(ResidualSums *sums, const float *row) {
    int n = sums->n_mels;
    double *out = sums->block + (size_t)sums->block_rows * (size_t)n;
    for (int j = 0; j < n; j++) {
        out[j] = (double)row[j] - sums->mean[j];
    }
    if (++sums->block_rows == BLOCK_ROWS) {
        flush(sums);
    }
}

// The mean row of the vectors of one domain.
static void find_mean(ResidualSums *sums, const float *residuals, const uint8_t *is_target,
                      int vectors, int frames, bool wants_target) {
    size_t n = (size_t)sums->n_mels;
    int64_t rows = 0;
    memset(sums->mean, 0, n * sizeof *sums->mean);
    for (int v = 0; v < vectors; v++) {
        const float *row = residuals + (size_t)v * (size_t)frames * n;
        for (int f = 0; f < frames && (is_target[v] != 0) == wants_target; f++, row += n) {
            for (size_t j = 0; j < n; j++) {
                sums->mean[j] += (double)row[j];
            }
            rows++;
        }
    }
    for (size_t j = 0; j < n && rows > 0; j++) {
        sums->mean[j] /= (double)rows;
    }
}

void residual_sums_add(ResidualSums *sums, const float *residuals, const uint8_t *is_target,
                       int vectors, int frames, bool wants_target) {
    size_t n = (size_t)sums->n_mels;
    if (sums->is_compat) {
        find_mean(sums, residuals, is_target, vectors, frames, wants_target);
    }
    for (int v = 0; v < vectors; v++) {
        if ((is_target[v] != 0) != wants_target) {
            continue;
        }
        sums->counts[0]++;
        for (int f = 0; f < frames; f++) {
            add_row(sums, residuals + ((size_t)v * (size_t)frames + (size_t)f) * n);
        }
    }
    flush(sums);
}

void residual_sums_join(ResidualSums *left, const ResidualSums *right) {
    size_t count = (size_t)left->n_mels + products_of(left->n_mels);
    left->counts[0] += right->counts[0];
    left->counts[1] += right->counts[1];
    for (size_t i = 0; i < count; i++) {
        left->sum[i] += right->sum[i];
    }
}

// ---- the covariance ----

Status residual_sums_covariance(const ResidualSums *sums, double *out) {
    int n = sums->n_mels;
    double vectors = (double)sums->counts[0], rows = (double)sums->counts[1];
    if (rows < 2 || (sums->is_compat && vectors < 2)) {
        return status_set(STATUS_INVALID, "a covariance of %lld vectors",
                          (long long)sums->counts[0]);
    }
    const double *product = sums->products;
    for (int i = 0; i < n; i++) {
        for (int j = i; j < n; j++, product++) {
            double value = sums->is_compat
                               ? (double)(float)(*product / (vectors - 1))
                               : (*product - sums->sum[i] * sums->sum[j] / rows) / (rows - 1);
            out[i * n + j] = out[j * n + i] = value;
        }
    }
    return STATUS_OK;
}

// ---- bytes ----

const void *residual_sums_bytes(const ResidualSums *sums, size_t *ret_size) {
    *ret_size = sums->bytes;
    return sums->counts;
}

static Status check(int n_mels, const char *bytes) {
    int64_t counts[2];
    memcpy(counts, bytes, sizeof counts);
    if (counts[0] < 0 || counts[1] < counts[0] || counts[1] > INT64_MAX / 2) {
        return status_set(STATUS_FORMAT, "residual sums of %lld vectors and %lld rows",
                          (long long)counts[0], (long long)counts[1]);
    }
    const char *at = bytes + sizeof counts;
    size_t count = (size_t)n_mels + products_of(n_mels), diagonal = (size_t)n_mels;
    size_t width = (size_t)n_mels; // of the triangle's row whose diagonal comes next
    for (size_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, at + i * sizeof value, sizeof value);
        bool is_diagonal = i == diagonal;
        if (!isfinite(value) || (is_diagonal && value < 0)) {
            return status_set(STATUS_FORMAT, "residual sums with a number that cannot be: %g",
                              value);
        }
        if (is_diagonal) {
            diagonal += width--;
        }
    }
    return STATUS_OK;
}

Status residual_sums_read(ResidualSums *sums, const void *bytes, size_t size) {
    if (size != sums->bytes) {
        return status_set(STATUS_MISMATCH, "residual sums of %zu bytes, expected %zu", size,
                          sums->bytes);
    }
    Status status = check(sums->n_mels, bytes);
    if (status == STATUS_OK) {
        memcpy(sums->counts, bytes, size);
    }
    return status;
}
