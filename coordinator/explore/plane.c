// SPDX-License-Identifier: Apache-2.0
//
// Principal components of a machine's mean log-mels, two of them.
//
// How it works. Of the covariance only the two greatest eigenvalues are wanted, so a block of ten
// directions is multiplied by it again and again (subspace iteration): what is small dies away
// as (lambda_11 / lambda_2)^k. Each time the block is made orthonormal and turned to the
// eigenvectors of what the covariance is within it (Rayleigh and Ritz; ten by ten, by Jacobi's
// rotations). Plain loops in one order: the same bits anywhere.
#include <math.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "coordinator/explore/parts.h"

#define BLOCK       10
#define TURNS_MOST  400   // equal eigenvalues never part: any direction among them will do
#define SWEEPS      12    // of rotations; ten by ten needs five or six
#define ENOUGH      1e-11 // residual of an eigenvector over the greatest eigenvalue
#define CLIPS_LEAST 3

typedef struct Block {
    int32_t d, b;         // bands, directions
    double *covariance;   // (d, d)
    double *v, *w;        // (b, d) orthonormal directions, and the covariance times each
    double values[BLOCK]; // eigenvalues so far, greatest first
} Block;

static double dot(const double *a, const double *b, int32_t d) {
    double sum = 0;
    for (int32_t i = 0; i < d; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

// Gram and Schmidt, twice over, since once loses digits. A direction that is a sum of those before
// it becomes zero.
static void make_orthonormal(double *rows, int32_t b, int32_t d) {
    for (int32_t r = 0; r < b; r++) {
        double *row = rows + r * d;
        double before = sqrt(dot(row, row, d));
        for (int pass = 0; pass < 2; pass++) {
            for (int32_t k = 0; k < r; k++) {
                double along = dot(row, rows + k * d, d);
                for (int32_t i = 0; i < d; i++) {
                    row[i] -= along * rows[k * d + i];
                }
            }
        }
        double size = sqrt(dot(row, row, d));
        double scale = size > 1e-12 * before && size > 0 ? 1 / size : 0;
        for (int32_t i = 0; i < d; i++) {
            row[i] *= scale;
        }
    }
}

// h (b, b) symmetric -> its eigenvalues on the diagonal, u (b, b) with the eigenvectors as rows.
static void rotate_all(double h[BLOCK][BLOCK], double u[BLOCK][BLOCK], int32_t b) {
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        for (int32_t p = 0; p < b; p++) {
            for (int32_t q = p + 1; q < b; q++) {
                if (!(fabs(h[p][q]) > 0)) {
                    continue;
                }
                double theta = (h[q][q] - h[p][p]) / (2 * h[p][q]);
                double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
                double c = 1 / sqrt(t * t + 1), s = t * c;
                for (int32_t k = 0; k < b; k++) {
                    double kp = h[k][p], kq = h[k][q];
                    h[k][p] = c * kp - s * kq;
                    h[k][q] = s * kp + c * kq;
                }
                for (int32_t k = 0; k < b; k++) {
                    double pk = h[p][k], qk = h[q][k], up = u[p][k], uq = u[q][k];
                    h[p][k] = c * pk - s * qk;
                    h[q][k] = s * pk + c * qk;
                    u[p][k] = c * up - s * uq;
                    u[q][k] = s * up + c * uq;
                }
            }
        }
    }
}

static void multiply(Block *block) {
    for (int32_t r = 0; r < block->b; r++) {
        for (int32_t i = 0; i < block->d; i++) {
            block->w[r * block->d + i] =
                dot(block->covariance + i * block->d, block->v + r * block->d, block->d);
        }
    }
}

// rows (b, d) -> u rows, in the order of `order`; `room` (b, d).
static void turn_rows(double *rows, double u[BLOCK][BLOCK], const int32_t *order, int32_t b,
                      int32_t d, double *room) {
    for (int32_t r = 0; r < b; r++) {
        for (int32_t i = 0; i < d; i++) {
            double sum = 0;
            for (int32_t k = 0; k < b; k++) {
                sum += u[order[r]][k] * rows[k * d + i];
            }
            room[r * d + i] = sum;
        }
    }
    memcpy(rows, room, (size_t)b * (size_t)d * sizeof *rows);
}

// Turns v and w to the eigenvectors within the block, the greatest first.
static void turn_block(Block *block, double *room) {
    double h[BLOCK][BLOCK] = {{0}}, u[BLOCK][BLOCK] = {{0}};
    int32_t order[BLOCK], b = block->b, d = block->d;
    for (int32_t p = 0; p < b; p++) {
        u[p][p] = 1;
        order[p] = p;
        for (int32_t q = 0; q <= p; q++) {
            h[p][q] = h[q][p] = dot(block->v + p * d, block->w + q * d, d);
        }
    }
    rotate_all(h, u, b);
    for (int32_t p = 1; p < b; p++) { // by insertion
        for (int32_t q = p; q > 0 && h[order[q]][order[q]] > h[order[q - 1]][order[q - 1]]; q--) {
            int32_t swapped = order[q];
            order[q] = order[q - 1];
            order[q - 1] = swapped;
        }
    }
    for (int32_t p = 0; p < b; p++) {
        block->values[p] = h[order[p]][order[p]];
    }
    turn_rows(block->v, u, order, b, d, room);
    turn_rows(block->w, u, order, b, d, room);
}

static bool is_found(const Block *block) {
    for (int32_t r = 0; r < 2 && r < block->b; r++) {
        double sum = 0;
        for (int32_t i = 0; i < block->d; i++) {
            double off = block->w[r * block->d + i] - block->values[r] * block->v[r * block->d + i];
            sum += off * off;
        }
        if (!(sqrt(sum) <= ENOUGH * block->values[0])) {
            return false;
        }
    }
    return true;
}

static void iterate(Block *block, double *room) {
    Rng rng = rng_of(0, "plane", 0, 0);
    for (int32_t i = 0; i < block->b * block->d; i++) {
        block->v[i] = (double)rng_u32(&rng) / UINT32_MAX - 0.5;
    }
    make_orthonormal(block->v, block->b, block->d);
    for (int turn = 0; turn < TURNS_MOST; turn++) {
        multiply(block);
        turn_block(block, room);
        if (is_found(block)) {
            break;
        }
        memcpy(block->v, block->w, (size_t)block->b * (size_t)block->d * sizeof *block->v);
        make_orthonormal(block->v, block->b, block->d);
    }
}

// ---- a machine ----

static void fill_covariance(const ExploreSummary *summary, const Machine *machine, uint32_t clips,
                            const double *mean, Block *block) {
    int32_t d = block->d;
    for (uint32_t c = machine->first_clip; c < machine->first_clip + machine->clip_count; c++) {
        const double *bands = summary->explorations[c].mean;
        for (int32_t i = 0; explore_is_there(summary, c) && i < d; i++) {
            double off = bands[i] - mean[i];
            for (int32_t j = 0; j <= i; j++) {
                block->covariance[i * d + j] += off * (bands[j] - mean[j]);
            }
        }
    }
    for (int32_t i = 0; i < d; i++) {
        for (int32_t j = 0; j <= i; j++) {
            block->covariance[i * d + j] /= clips - 1;
            block->covariance[j * d + i] = block->covariance[i * d + j];
        }
    }
}

// Which of two opposite directions it is: that whose largest entry is positive.
static void fix_sign(double *row, int32_t d) {
    int32_t largest = 0;
    for (int32_t i = 1; i < d; i++) {
        largest = fabs(row[i]) > fabs(row[largest]) ? i : largest;
    }
    bool is_opposite = row[largest] < 0;
    for (int32_t i = 0; is_opposite && i < d; i++) {
        row[i] = -row[i];
    }
}

static void place_clips(ExploreSummary *summary, const Machine *machine, const double *mean,
                        const Block *block) {
    for (uint32_t c = machine->first_clip; c < machine->first_clip + machine->clip_count; c++) {
        ClipPoint *point = &summary->points[c];
        for (int32_t i = 0; explore_is_there(summary, c) && i < block->d; i++) {
            double off = summary->explorations[c].mean[i] - mean[i];
            point->is_there = true;
            point->x += off * block->v[i];
            point->y += block->b > 1 ? off * block->v[block->d + i] : 0;
        }
    }
}

// room: (d) and then (b, d).
static void make_plane(ExploreSummary *summary, uint32_t machine, Block *block, double *mean,
                       double *room) {
    const Machine *facts = &summary->dataset->machines[machine];
    MachinePlane *plane = &summary->planes[machine];
    memset(mean, 0, (size_t)block->d * sizeof *mean);
    memset(block->covariance, 0, (size_t)block->d * (size_t)block->d * sizeof(double));
    for (uint32_t c = facts->first_clip; c < facts->first_clip + facts->clip_count; c++) {
        plane->clips += explore_is_there(summary, c);
        for (int32_t i = 0; explore_is_there(summary, c) && i < block->d; i++) {
            mean[i] += summary->explorations[c].mean[i];
        }
    }
    if (plane->clips < CLIPS_LEAST) {
        return;
    }
    for (int32_t i = 0; i < block->d; i++) {
        mean[i] /= plane->clips;
    }
    fill_covariance(summary, facts, plane->clips, mean, block);
    double trace = 0;
    for (int32_t i = 0; i < block->d; i++) {
        trace += block->covariance[i * block->d + i];
    }
    iterate(block, room);
    for (int32_t r = 0; r < 2 && r < block->b; r++) {
        fix_sign(block->v + r * block->d, block->d);
        plane->explained[r] = trace > 0 ? block->values[r] / trace : 0;
    }
    place_clips(summary, facts, mean, block);
}

Status explore_planes_make(ExploreSummary *summary) {
    const Dataset *dataset = summary->dataset;
    size_t d = (size_t)summary->n_mels;
    Block block = {.d = summary->n_mels, .b = summary->n_mels < BLOCK ? summary->n_mels : BLOCK};
    double *memory = mem_new(d * (d + 1 + 3 * BLOCK), sizeof *memory);
    summary->points = mem_new(dataset->clip_count, sizeof *summary->points);
    summary->planes = mem_new(dataset->machine_count, sizeof *summary->planes);
    bool ok = memory != NULL && summary->points != NULL && summary->planes != NULL;
    if (ok) {
        block.covariance = memory;
        block.v = memory + d * d;
        block.w = block.v + BLOCK * d;
        double *room = block.w + BLOCK * d;
        double *mean = room + BLOCK * d;
        for (uint32_t m = 0; m < dataset->machine_count; m++) {
            make_plane(summary, m, &block, mean, room);
        }
    }
    mem_free(memory);
    return ok ? STATUS_OK : STATUS_MEMORY;
}
