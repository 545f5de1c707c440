// SPDX-License-Identifier: Apache-2.0
//
// How it works. The rows of a batch are taken about the batch's own mean, so that nothing is lost
// where the mean is large against the deviations; batches and shards are then joined by the formula
// of Chan, Golub and LeVeque (Updating formulae and a pairwise algorithm for computing sample
// variances, 1979). In the compat mode the batches' products are merely added, which leaves out
// how far their means lie apart.
#include "common/eval/residuals.h"

#include <math.h>
#include <string.h>

#include "common/base/clones.h"
#include "common/base/mem.h"
#include "common/eval/gram.h"

struct ResidualSums {
    int n_mels;
    bool is_compat;
    int64_t *counts;  // vectors, rows; then mean and products: the block that is sent
    double *mean;     // (n_mels) of all rows
    double *products; // (n_mels * (n_mels + 1) / 2) upper triangle
    size_t bytes;     // of the block
    Gram *gram;       // of the batch at hand
    double *batch;    // (n_mels) its mean
    double *apart;    // (n_mels) what lies between two means
};

ResidualSums *residual_sums_new(int n_mels, bool is_compat) {
    ResidualSums *sums = mem_new(1, sizeof *sums);
    if (sums == NULL) {
        return NULL;
    }
    size_t n = (size_t)n_mels;
    sums->n_mels = n_mels;
    sums->is_compat = is_compat;
    sums->bytes = 2 * sizeof(int64_t) + (n + gram_triangle_count(n_mels)) * sizeof(double);
    sums->counts = mem_new_aligned(sums->bytes, 1);
    sums->batch = mem_new_aligned(2 * n, sizeof(double));
    sums->gram = gram_new(n_mels);
    if (sums->counts == NULL || sums->batch == NULL || sums->gram == NULL) {
        residual_sums_free(sums);
        return NULL;
    }
    sums->mean = (double *)(sums->counts + 2);
    sums->products = sums->mean + n;
    sums->apart = sums->batch + n;
    return sums;
}

void residual_sums_free(ResidualSums *sums) {
    if (sums != NULL) {
        mem_free(sums->counts);
        mem_free(sums->batch);
        gram_free(sums->gram);
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

// Takes in `rows` rows with this mean and these products about it.
static void take(ResidualSums *sums, int64_t vectors, int64_t rows, const double *mean,
                 const double *products) {
    int n = sums->n_mels;
    if (rows == 0) {
        return;
    }
    double before = (double)sums->counts[1], all = before + (double)rows;
    double share = (double)rows / all;
    double weight = sums->is_compat ? 0 : before * share;
    for (int j = 0; j < n; j++) {
        sums->apart[j] = mean[j] - sums->mean[j];
        sums->mean[j] += share * sums->apart[j];
    }
    double *own = sums->products;
    for (int i = 0; i < n; i++) {
        double left = weight * sums->apart[i];
        for (int j = i; j < n; j++) {
            *own++ += *products++ + left * sums->apart[j];
        }
    }
    sums->counts[0] += vectors;
    sums->counts[1] += rows;
}

CPU_CLONES static void add_row(double *sum, const float *row, int n) {
    for (int j = 0; j < n; j++) {
        sum[j] += (double)row[j];
    }
}

void residual_sums_add(ResidualSums *sums, const float *residuals, const uint8_t *is_target,
                       int vectors, int frames, bool wants_target) {
    int n = sums->n_mels;
    int64_t wanted = 0;
    memset(sums->batch, 0, (size_t)n * sizeof *sums->batch);
    for (int64_t r = 0; r < (int64_t)vectors * frames; r++) {
        if ((is_target[r / frames] != 0) == wants_target) {
            add_row(sums->batch, residuals + r * n, n);
            wanted++;
        }
    }
    if (wanted == 0) {
        return;
    }
    for (int j = 0; j < n; j++) {
        sums->batch[j] /= (double)wanted;
    }
    gram_clear(sums->gram);
    for (int64_t r = 0; r < (int64_t)vectors * frames; r++) {
        if ((is_target[r / frames] != 0) == wants_target) {
            gram_add_floats(sums->gram, residuals + r * n, sums->batch);
        }
    }
    take(sums, wanted / frames, wanted, sums->batch, gram_triangle(sums->gram));
}

void residual_sums_join(ResidualSums *left, const ResidualSums *right) {
    take(left, right->counts[0], right->counts[1], right->mean, right->products);
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
            double value =
                sums->is_compat ? (double)(float)(*product / (vectors - 1)) : *product / (rows - 1);
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

// As many as a double counts; the sum over all shards is far from overflowing then.
#define ROWS_MOST ((int64_t)1 << 53)

static Status check(int n_mels, const int64_t *counts) {
    if (counts[0] < 0 || counts[1] < counts[0] || counts[1] > ROWS_MOST ||
        (counts[0] == 0) != (counts[1] == 0)) {
        return status_set(STATUS_FORMAT, "residual sums of %lld vectors and %lld rows",
                          (long long)counts[0], (long long)counts[1]);
    }
    size_t n = (size_t)n_mels, count = n + gram_triangle_count(n_mels);
    const double *numbers = (const double *)(counts + 2);
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(numbers[i])) {
            return status_set(STATUS_FORMAT, "residual sums with a number that is not finite");
        }
    }
    return STATUS_OK;
}

// Products that could come from rows: none on the diagonal is negative, none beside it is larger
// than those on the diagonal allow (Cauchy and Schwarz), but for rounding. `roots` (n) is scratch.
static Status check_products(int n, const double *products, double *roots) {
    const double *diagonal = products;
    for (int i = 0; i < n; i++) {
        if (!(*diagonal >= 0)) {
            return status_set(STATUS_FORMAT, "residual sums with a negative square: %g", *diagonal);
        }
        roots[i] = sqrt(*diagonal);
        diagonal += n - i;
    }
    for (int i = 0; i < n; i++) {
        for (int j = i; j < n; j++, products++) {
            if (!(fabs(*products) <= roots[i] * roots[j] * (1 + 1e-9) + 1e-300)) {
                return status_set(STATUS_FORMAT, "residual sums with a product that cannot be: %g",
                                  *products);
            }
        }
    }
    return STATUS_OK;
}

Status residual_sums_read(ResidualSums *sums, const void *bytes, size_t size) {
    if (size != sums->bytes) {
        return status_set(STATUS_MISMATCH, "residual sums of %zu bytes, expected %zu", size,
                          sums->bytes);
    }
    int64_t *copy = mem_copy(bytes, size); // the bytes may lie anywhere
    if (copy == NULL) {
        return STATUS_MEMORY;
    }
    int n = sums->n_mels;
    Status status = check(n, copy);
    if (status == STATUS_OK) {
        status = check_products(n, (const double *)(copy + 2) + n, sums->apart);
    }
    if (status == STATUS_OK) {
        memcpy(sums->counts, copy, size);
    }
    mem_free(copy);
    return status;
}
