// SPDX-License-Identifier: Apache-2.0
#include "common/eval/precision.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/clones.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/eval/gram.h"

void precision_done(Precision *precision) {
    mem_free(precision->matrix);
    precision->matrix = NULL;
}

// ---- inverting ----

// row -= weight * other, both (n).
CPU_CLONES static void subtract(double *row, const double *other, double weight, int n) {
    for (int j = 0; j < n; j++) {
        row[j] -= weight * other[j];
    }
}

// Cholesky's upper factor U (U' U) in place of the upper triangle of `a`; `largest` is the largest
// number of its diagonal. False when a pivot is lost in rounding.
static bool factorise(double *a, int n, double largest) {
    for (int k = 0; k < n; k++) {
        double *row = a + (size_t)k * (size_t)n;
        if (!(row[k] > n * DBL_EPSILON * largest)) {
            return false;
        }
        double root = sqrt(row[k]);
        for (int j = k; j < n; j++) {
            row[j] /= root;
        }
        for (int i = k + 1; i < n; i++) {
            subtract(a + (size_t)i * (size_t)n + i, row + i, row[i], n - i);
        }
    }
    return true;
}

// The inverse is W' W with W the inverse of U', whose rows come one after the other.
static void invert_factor(const double *factor, int n, double *w) {
    for (int i = 0; i < n; i++) {
        double *row = w + (size_t)i * (size_t)n;
        memset(row, 0, (size_t)n * sizeof *row);
        row[i] = 1;
        for (int k = 0; k < i; k++) {
            subtract(row, w + (size_t)k * (size_t)n, factor[(size_t)k * (size_t)n + i], k + 1);
        }
        double pivot = factor[(size_t)i * (size_t)n + i];
        for (int j = 0; j <= i; j++) {
            row[j] /= pivot;
        }
    }
}

// The memory that an inversion works in.
typedef struct Inversion {
    int n;
    const double *covariance; // (n, n)
    double *factor, *w;       // (n, n) each
    double *zeros;            // (n)
    Gram *gram;
} Inversion;

static void inversion_done(Inversion *work) {
    mem_free(work->factor);
    mem_free(work->w);
    mem_free(work->zeros);
    gram_free(work->gram);
}

static Status inversion_init(Inversion *work, const double *covariance, int n) {
    size_t count = (size_t)n * (size_t)n;
    *work = (Inversion){.n = n, .covariance = covariance};
    work->factor = mem_new(count, sizeof(double));
    work->w = mem_new(count, sizeof(double));
    work->zeros = mem_new((size_t)n, sizeof(double));
    work->gram = gram_new(n);
    if (work->factor == NULL || work->w == NULL || work->zeros == NULL || work->gram == NULL) {
        inversion_done(work);
        return STATUS_MEMORY;
    }
    return STATUS_OK;
}

// The largest sum of magnitudes of a row, `ridge` added to the diagonal.
static double norm_of(const double *matrix, int n, double ridge) {
    double largest = 0;
    for (int i = 0; i < n; i++) {
        double sum = 0;
        for (int j = 0; j < n; j++) {
            sum += fabs(matrix[(size_t)i * (size_t)n + (size_t)j] + (i == j ? ridge : 0));
        }
        largest = sum <= largest ? largest : sum; // NaN stays
    }
    return largest;
}

static void write_inverse(Inversion *work, double *out) {
    int n = work->n;
    gram_clear(work->gram);
    for (int i = 0; i < n; i++) {
        gram_add(work->gram, work->w + (size_t)i * (size_t)n, work->zeros);
    }
    const double *product = gram_triangle(work->gram);
    for (int i = 0; i < n; i++) {
        for (int j = i; j < n; j++) {
            out[i * n + j] = out[j * n + i] = *product++;
        }
    }
}

// Whether covariance + ridge has an inverse worth having, which is then in `out`.
static bool try_ridge(Inversion *work, double ridge, double *out) {
    int n = work->n;
    double largest = 0;
    memcpy(work->factor, work->covariance, (size_t)n * (size_t)n * sizeof *out);
    for (int i = 0; i < n; i++) {
        work->factor[i * n + i] += ridge;
        largest = fmax(largest, work->factor[i * n + i]);
    }
    if (!factorise(work->factor, n, largest)) {
        return false;
    }
    invert_factor(work->factor, n, work->w);
    write_inverse(work, out);
    double condition = norm_of(work->covariance, n, ridge) * norm_of(out, n, 0);
    return condition < 1 / DBL_EPSILON;
}

static Status invert(Inversion *work, Precision *precision) {
    double mean = 0;
    int n = work->n;
    for (int i = 0; i < n; i++) {
        mean += work->covariance[i * n + i] / n;
    }
    double ridge = mean > 0 ? fmax(n * DBL_EPSILON * mean, DBL_MIN) : 1;
    while (!try_ridge(work, precision->ridge, precision->matrix)) {
        if (!isfinite(ridge)) {
            return status_set(STATUS_INVALID, "a matrix of %d rows that is no covariance", n);
        }
        precision->ridge = ridge;
        ridge *= 10;
    }
    return STATUS_OK;
}

Status precision_of_covariance(const double *covariance, int n_mels, Precision *ret) {
    size_t count = (size_t)n_mels * (size_t)n_mels;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(covariance[i])) {
            return status_set(STATUS_INVALID, "a covariance with a number that is not finite");
        }
    }
    Inversion work;
    Status status = inversion_init(&work, covariance, n_mels);
    if (status != STATUS_OK) {
        return status;
    }
    Precision precision = {.n_mels = n_mels, .matrix = mem_new(count, sizeof(double))};
    status = precision.matrix != NULL ? invert(&work, &precision) : STATUS_MEMORY;
    inversion_done(&work);
    if (status != STATUS_OK) {
        precision_done(&precision);
        return status;
    }
    *ret = precision;
    return STATUS_OK;
}

// ---- distances ----
//
// Rows are measured ROWS at a time. Of the symmetric matrix only columns above the diagonal and the
// blocks on it are read, BLOCK columns at once, copied side by side: a row's sums with those
// columns stay in registers.

enum { LANES = 4, ACROSS = 2, BLOCK = LANES * ACROSS, DOWN = 4, ROWS = 16 };

typedef double Lanes __attribute__((vector_size(LANES * sizeof(double))));

typedef struct Tile {
    Lanes rows[ROWS][LIMIT_MELS / LANES]; // padded with zeros to whole blocks
    Lanes columns[LIMIT_MELS][ACROSS];    // of the matrix, from `first` on
    Lanes sums[ROWS][ACROSS];             // the distances, by column modulo BLOCK
} Tile;

_Static_assert(LIMIT_MELS % BLOCK == 0, "a row ends in a whole block");

static void copy_columns(const Precision *precision, int first, Tile *tile) {
    int n = precision->n_mels, count = n - first < BLOCK ? n - first : BLOCK;
    int end = first + count;
    for (int k = 0; k < end; k++) {
        const double *from = precision->matrix + (size_t)k * (size_t)n + first;
        double *to = (double *)tile->columns[k];
        for (int j = 0; j < BLOCK; j++) {
            to[j] = j < count ? from[j] : 0;
        }
    }
}

// Adds what columns [first, end) give to the distances of DOWN rows from `row` on: twice what lies
// above the block on the diagonal, for its mirror image, and that block.
CPU_CLONES static void measure(Tile *tile, int row, int first, int end) {
    Lanes sum[DOWN][ACROSS] = {{{0}}};
    for (int k = 0; k < end; k++) {
        double twice = k < first ? 2 : 1;
#pragma GCC unroll 8
        for (int d = 0; d < DOWN; d++) {
            double weight = twice * ((const double *)tile->rows[row + d])[k];
#pragma GCC unroll 8
            for (int a = 0; a < ACROSS; a++) {
                sum[d][a] += weight * tile->columns[k][a];
            }
        }
    }
#pragma GCC unroll 8
    for (int d = 0; d < DOWN; d++) {
#pragma GCC unroll 8
        for (int a = 0; a < ACROSS; a++) {
            tile->sums[row + d][a] += sum[d][a] * tile->rows[row + d][first / LANES + a];
        }
    }
}

// The distances of the first `count` rows of the tile.
static void measure_tile(const Precision *precision, Tile *tile, int count, double *out) {
    int n = precision->n_mels;
    memset(tile->sums, 0, sizeof tile->sums);
    for (int first = 0; first < n; first += BLOCK) {
        copy_columns(precision, first, tile);
        for (int row = 0; row < count; row += DOWN) {
            measure(tile, row, first, first + BLOCK < n ? first + BLOCK : n);
        }
    }
    for (int r = 0; r < count; r++) {
        const double *sums = (const double *)tile->sums[r];
        double distance = 0;
        for (int j = 0; j < BLOCK; j++) {
            distance += sums[j];
        }
        out[r] = isfinite(distance) ? fmax(distance, 0) : INFINITY;
    }
}

// The padding, and the rows after the first `count` up to a whole DOWN, are zero.
static void clear_around(Tile *tile, int count, int n) {
    size_t padded = (size_t)((n + BLOCK - 1) / BLOCK * BLOCK);
    for (int r = 0; r < (count + DOWN - 1) / DOWN * DOWN; r++) {
        size_t used = r < count ? (size_t)n : 0;
        memset((double *)tile->rows[r] + used, 0, (padded - used) * sizeof(double));
    }
}

double precision_distance(const Precision *precision, const double *row) {
    Tile tile;
    double distance;
    assert(precision->n_mels <= LIMIT_MELS);
    memcpy(tile.rows[0], row, (size_t)precision->n_mels * sizeof *row);
    clear_around(&tile, 1, precision->n_mels);
    measure_tile(precision, &tile, 1, &distance);
    return distance;
}

void precision_distances(const Precision *precision, const float *rows, int count, double *out) {
    Tile tile;
    int n = precision->n_mels;
    assert(n <= LIMIT_MELS);
    for (int first = 0; first < count; first += ROWS) {
        int filled = count - first < ROWS ? count - first : ROWS;
        for (int r = 0; r < filled; r++) {
            double *to = (double *)tile.rows[r];
            for (int j = 0; j < n; j++) {
                to[j] = (double)rows[((size_t)first + (size_t)r) * (size_t)n + (size_t)j];
            }
        }
        clear_around(&tile, filled, n);
        measure_tile(precision, &tile, filled, out + first);
    }
}
