// SPDX-License-Identifier: Apache-2.0
//
// What a Scorer (scorer.h) needs of a network that is no replica of ours: how many rows a block
// has, and the functions that take them through it. Plain values.
#ifndef AUSCULT_MODEL_SCORER_NETWORK_H
#define AUSCULT_MODEL_SCORER_NETWORK_H

#include "common/model/real.h"
#include "common/model/shape.h"

// Height of a block, part of what defines a score's bits. A clip of 10 s has 309 vectors: five such
// blocks pad it by 11, two of 256 would by 203 and take half as long again.
#define SCORER_ROWS 64

// What a scorer asks of a network that is no replica; all of it borrowed for the scorer's life.
typedef struct ScorerNetwork {
    const Shape *shape; // of the vectors: n_mels, frames, frame_hop_length
    void *context;      // of the functions
    real *input;        // (SCORER_ROWS, D)
    // Makes an input row of a clip's vector (D), scaled if there is a scaler.
    void (*take_vector)(void *context, const float *vector, real *row);
    // The first `rows` of the input through the network; the mean squared error of each.
    void (*evaluate)(void *context, int rows, double *row_loss);
    // After it: reconstruction minus input, (SCORER_ROWS, D).
    const real *(*residual)(void *context);
} ScorerNetwork;

#endif
