// SPDX-License-Identifier: Apache-2.0
//
// One micro-batch through the network, forward and backward, on given parameters: the middle of
// both the data's path and the gradient's. An Autoencoder is the memory for that (activations of m
// rows), allocated once; the passes allocate nothing. One thread at a time each.
#ifndef AUSCULT_MODEL_AUTOENCODER_H
#define AUSCULT_MODEL_AUTOENCODER_H

#include "common/model/real.h"
#include "common/model/shape.h"

typedef struct Autoencoder Autoencoder;

// For micro-batches of `rows` rows (m). NULL when out of memory.
Autoencoder *autoencoder_new(const Shape *shape, int rows);
void autoencoder_free(Autoencoder *net);

const Layout *autoencoder_layout(const Autoencoder *net);

// The input, (m, D), to be filled by the caller before each pass; borrowed for the object's life.
real *autoencoder_input(Autoencoder *net);

// One micro-batch in training mode. Only the first `count` rows (2 <= count <= m) take part; the
// others are zeroed here and add nothing. `parameters` in the shape's layout. Gives:
//   gradient (parameters)   of the SUM over rows of the mean over D of the squared error; of the
//                           biases in front of a batch normalisation exactly 0, which is what it
//                           is but for rounding;
//   statistics (running)    count * mean and count * unbiased variance of what each batch
//                           normalisation saw, the mean with the bias in it;
//   row_loss (count)        the mean squared error of each row.
void autoencoder_train(Autoencoder *net, const real *parameters, int count, real *gradient,
                       real *statistics, double *row_loss);

// Takes over parameters and running statistics for autoencoder_evaluate, folding each batch
// normalisation into one scale and shift. `parameters` is borrowed until the next fold.
void autoencoder_fold(Autoencoder *net, const real *parameters, const real *running);
// One micro-batch in evaluation mode, 1 <= count <= m; row_loss as above.
void autoencoder_evaluate(Autoencoder *net, int count, double *row_loss);
// After autoencoder_evaluate: the residuals, reconstruction minus input, (m, D).
const real *autoencoder_residual(const Autoencoder *net);

// Nothing but the matrix products of one training step, on whatever is in memory: what the
// benchmark takes as the limit.
void autoencoder_products(Autoencoder *net, const real *parameters, real *gradient);
// The same of one evaluation.
void autoencoder_forward_products(Autoencoder *net, const real *parameters);

#endif
