// SPDX-License-Identifier: Apache-2.0
//
// The sum of r r' over rows r, which every covariance is made from: the one product here that takes
// time. Not by a BLAS, whose bits depend on the processor and on the shape: each sum runs over the
// rows in their order, so they are the same everywhere. One thread at a time per object.
#ifndef AUSCULT_EVAL_GRAM_H
#define AUSCULT_EVAL_GRAM_H

#include <stddef.h>

typedef struct Gram Gram;

// All zero, for rows of `width` numbers. NULL when out of memory.
Gram *gram_new(int width);
void gram_free(Gram *gram);
void gram_clear(Gram *gram);

// Adds one row: of floats, of doubles; less `center` (width). Allocates nothing.
void gram_add_floats(Gram *gram, const float *row, const double *center);
void gram_add(Gram *gram, const double *row, const double *center);

// The sums so far: the upper triangle by rows, width * (width + 1) / 2 numbers; borrowed until the
// next call.
const double *gram_triangle(Gram *gram);
size_t gram_triangle_count(int width);

#endif
