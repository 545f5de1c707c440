// SPDX-License-Identifier: Apache-2.0
#include "common/dsp/mfcc.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/dsp/maths.h"

#define HALF_WIDTH (MFCC_DELTA_WIDTH / 2)

struct Mfcc {
    int32_t n_mels, n_mfcc;
    double *table; // (n_mels, n_mfcc) the orthonormal DCT-II, a band's shares side by side
};

// Column k of the table: sqrt(2/N) cos(pi (2n + 1) k / 2N), and sqrt(1/N) for k = 0.
static void fill_column(Mfcc *mfcc, int32_t k) {
    double scale = sqrt((k == 0 ? 1.0 : 2.0) / mfcc->n_mels);
    int64_t period = 4 * (int64_t)mfcc->n_mels;
    for (int64_t n = 0; n < mfcc->n_mels; n++) {
        mfcc->table[n * mfcc->n_mfcc + k] =
            scale * maths_cos_turn((2 * n + 1) * k % period, period);
    }
}

Mfcc *mfcc_new(int32_t n_mels, int32_t n_mfcc) {
    assert(n_mfcc >= 1 && n_mfcc <= n_mels && n_mels <= LIMIT_MELS);
    Mfcc *mfcc = mem_new(1, sizeof *mfcc);
    if (mfcc == NULL) {
        return NULL;
    }
    *mfcc = (Mfcc){.n_mels = n_mels, .n_mfcc = n_mfcc};
    mfcc->table = mem_new((size_t)n_mfcc * (size_t)n_mels, sizeof *mfcc->table);
    if (mfcc->table == NULL) {
        mfcc_free(mfcc);
        return NULL;
    }
    for (int32_t k = 0; k < n_mfcc; k++) {
        fill_column(mfcc, k);
    }
    return mfcc;
}

void mfcc_free(Mfcc *mfcc) {
    if (mfcc != NULL) {
        mem_free(mfcc->table);
        mem_free(mfcc);
    }
}

void mfcc_run(const Mfcc *mfcc, const float *log_mel, int64_t frames, float *out) {
    int32_t n_mels = mfcc->n_mels, n_mfcc = mfcc->n_mfcc;
    double sums[LIMIT_MELS];
    for (int64_t t = 0; t < frames; t++) {
        memset(sums, 0, (size_t)n_mfcc * sizeof *sums);
        for (int32_t n = 0; n < n_mels; n++) {
            const double *shares = mfcc->table + (int64_t)n * n_mfcc;
            double band = (double)log_mel[t * n_mels + n];
            for (int32_t k = 0; k < n_mfcc; k++) {
                sums[k] += shares[k] * band;
            }
        }
        for (int32_t k = 0; k < n_mfcc; k++) {
            out[t * n_mfcc + k] = (float)sums[k];
        }
    }
}

// The least-squares line or parabola through nine values at -4 .. 4 has these derivatives at every
// one of them: sum(k x) / sum(k^2), and 2 sum((k^2 - m) x) / sum((k^2 - m)^2), m the mean of k^2.
static void fill_weights(int order, double weights[MFCC_DELTA_WIDTH]) {
    double mean = 0, norm = 0;
    for (int k = -HALF_WIDTH; k <= HALF_WIDTH; k++) {
        mean += (double)(k * k) / MFCC_DELTA_WIDTH;
    }
    for (int k = -HALF_WIDTH; k <= HALF_WIDTH; k++) {
        double weight = order == 1 ? k : k * k - mean;
        weights[k + HALF_WIDTH] = weight;
        norm += weight * weight;
    }
    for (int i = 0; i < MFCC_DELTA_WIDTH; i++) {
        weights[i] *= order / norm;
    }
}

void mfcc_delta(const float *features, int64_t frames, int32_t columns, int order, float *out) {
    assert(frames >= MFCC_DELTA_WIDTH && (order == 1 || order == 2));
    double weights[MFCC_DELTA_WIDTH];
    fill_weights(order, weights);
    for (int64_t t = 0; t < frames; t++) {
        int64_t first = t < HALF_WIDTH ? 0 : t - HALF_WIDTH;
        first = first <= frames - MFCC_DELTA_WIDTH ? first : frames - MFCC_DELTA_WIDTH;
        for (int32_t c = 0; c < columns; c++) {
            double sum = 0;
            for (int64_t i = 0; i < MFCC_DELTA_WIDTH; i++) {
                sum += weights[i] * (double)features[(first + i) * columns + c];
            }
            out[t * columns + c] = (float)sum;
        }
    }
}
