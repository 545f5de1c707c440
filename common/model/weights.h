// SPDX-License-Identifier: Apache-2.0
//
// Initial values of an autoencoder: what PyTorch's Linear and BatchNorm1d begin with, or Keras's
// Dense, drawn from our own counter-based generator. Any thread.
#ifndef AUSCULT_MODEL_WEIGHTS_H
#define AUSCULT_MODEL_WEIGHTS_H

#include "common/model/real.h"
#include "common/model/shape.h"

// Weights and biases of the linear layers uniform in +-1/sqrt(in), each tensor from the stream
// (seed, "initial weights", model_key, tensor), tensors counted 2 * layer for the weight and
// 2 * layer + 1 for the bias; batch normalisation's weight 1 and bias 0. `parameters` has
// layout->parameters elements.
void weights_init(const Layout *layout, uint64_t seed, uint64_t model_key, real *parameters);
// Likewise, but as Keras's Dense begins: weights uniform in +-sqrt(6 / (in + out)) (Glorot and
// Bengio, 2010), biases 0.
void weights_init_keras(const Layout *layout, uint64_t seed, uint64_t model_key, real *parameters);
// Running means 0, running variances 1; `running` has layout->running elements.
void weights_init_running(const Layout *layout, real *running);

#endif
