// SPDX-License-Identifier: Apache-2.0
//
// How it works. Rows are gathered as doubles in a tile that fits the first-level cache together
// with a few columns of sums; a full tile is multiplied in blocks of DOWN x BLOCK sums that stay
// in registers over all of its rows. A row is padded with zeros to whole blocks. Blocks below the
// diagonal are not computed.
#include "common/eval/gram.h"

#include <string.h>

#include "common/base/clones.h"
#include "common/base/mem.h"

enum { LANES = 4, ACROSS = 2, DOWN = 4, TILE_ROWS = 32, BLOCK = LANES * ACROSS };

// The compiler makes of it what the processor has.
typedef double Lanes __attribute__((vector_size(LANES * sizeof(double))));

struct Gram {
    int width;
    int lanes;        // of a padded row
    Lanes *tile;      // (TILE_ROWS, lanes)
    int filled;       // rows of the tile
    Lanes *square;    // (lanes * LANES, lanes): sums; meaningless below the diagonal
    double *triangle; // what gram_triangle gives
};

size_t gram_triangle_count(int width) {
    return (size_t)width * ((size_t)width + 1) / 2;
}

static size_t square_count(const Gram *gram) {
    return (size_t)gram->lanes * LANES * (size_t)gram->lanes;
}

Gram *gram_new(int width) {
    Gram *gram = mem_new(1, sizeof *gram);
    if (gram == NULL) {
        return NULL;
    }
    gram->width = width;
    gram->lanes = (width + BLOCK - 1) / BLOCK * ACROSS;
    gram->tile = mem_new_aligned((size_t)TILE_ROWS * (size_t)gram->lanes, sizeof(Lanes));
    gram->square = mem_new_aligned(square_count(gram), sizeof(Lanes));
    gram->triangle = mem_new_aligned(gram_triangle_count(width), sizeof(double));
    if (gram->tile == NULL || gram->square == NULL || gram->triangle == NULL) {
        gram_free(gram);
        return NULL;
    }
    return gram;
}

void gram_free(Gram *gram) {
    if (gram != NULL) {
        mem_free(gram->tile);
        mem_free(gram->square);
        mem_free(gram->triangle);
        mem_free(gram);
    }
}

void gram_clear(Gram *gram) {
    gram->filled = 0;
    memset(gram->square, 0, square_count(gram) * sizeof(Lanes));
}

// square += tile' tile, in blocks on and above the diagonal.
CPU_CLONES static void multiply(const Lanes *tile, int rows, int lanes, Lanes *square) {
    for (int i = 0; i < lanes * LANES; i += DOWN) {
        const double *left = (const double *)tile + i;
        for (int j = i / LANES / ACROSS * ACROSS; j < lanes; j += ACROSS) {
            Lanes sum[DOWN][ACROSS] = {{{0}}};
            for (int k = 0; k < rows; k++) {
                const Lanes *right = tile + k * lanes + j;
#pragma GCC unroll 8
                for (int d = 0; d < DOWN; d++) {
                    double weight = left[k * lanes * LANES + d];
#pragma GCC unroll 8
                    for (int a = 0; a < ACROSS; a++) {
                        sum[d][a] += weight * right[a];
                    }
                }
            }
            Lanes *out = square + (size_t)i * (size_t)lanes + (size_t)j;
#pragma GCC unroll 8
            for (int d = 0; d < DOWN; d++) {
#pragma GCC unroll 8
                for (int a = 0; a < ACROSS; a++) {
                    out[d * lanes + a] += sum[d][a];
                }
            }
        }
    }
}

static void flush(Gram *gram) {
    multiply(gram->tile, gram->filled, gram->lanes, gram->square);
    gram->filled = 0;
}

// Where the next row goes; its padding is zero.
static double *next_row(Gram *gram) {
    if (gram->filled == TILE_ROWS) {
        flush(gram);
    }
    return (double *)(gram->tile + (size_t)gram->filled++ * (size_t)gram->lanes);
}

CPU_CLONES void gram_add_floats(Gram *gram, const float *row, const double *center) {
    double *out = next_row(gram);
    int width = gram->width;
    for (int j = 0; j < width; j++) {
        out[j] = (double)row[j] - center[j];
    }
}

void gram_add(Gram *gram, const double *row, const double *center) {
    double *out = next_row(gram);
    for (int j = 0; j < gram->width; j++) {
        out[j] = row[j] - center[j];
    }
}

const double *gram_triangle(Gram *gram) {
    flush(gram);
    double *out = gram->triangle;
    for (int i = 0; i < gram->width; i++) {
        const double *row = (const double *)(gram->square + (size_t)i * (size_t)gram->lanes);
        size_t count = (size_t)(gram->width - i);
        memcpy(out, row + i, count * sizeof *out);
        out += count;
    }
    return gram->triangle;
}
