// SPDX-License-Identifier: Apache-2.0
//
// The form of an autoencoder and where each tensor lies. Parameters, gradient and both Adam
// moments are one block each with the same layout; running means and variances are a block of
// their own. Tensors stand in the order of PyTorch's named_parameters(): weight (out, in), bias
// (out), and, for all layers but the last unless the network is plain, the batch normalisation's
// weight and bias (out).
// Plain values; any thread.
#ifndef AUSCULT_MODEL_SHAPE_H
#define AUSCULT_MODEL_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/limits.h"
#include "common/base/settings.h"
#include "common/base/status.h"

#define SHAPE_LAYERS_MOST     (LIMIT_HIDDEN + 1) // linear layers; the official network has 10
#define SHAPE_PARAMETERS_MOST LIMIT_PARAMETERS   // trainable numbers
#define SHAPE_VECTORS_MOST    ((int64_t)1 << 48) // of one model: more than any disk holds

// Stored in files as it is: only int32_t, no holes.
typedef struct Shape {
    int32_t n_mels;                       // floats of one frame, settings_width
    int32_t frames;                       // frames stacked in one vector
    int32_t frame_hop_length;             // frames from vector to vector
    int32_t layers;                       // L, linear layers
    int32_t width[SHAPE_LAYERS_MOST + 1]; // width[0] = width[L] = D = n_mels * frames; 0 behind L
    int32_t is_plain;                     // 1: no batch normalisation, ReLU alone
} Shape;

typedef struct LayerPlace {
    int32_t in, out;
    bool has_relu;                    // ReLU follows: all layers but the last
    bool has_norm;                    // BatchNorm before it
    size_t weight, bias, gamma, beta; // first element in a parameter block
    size_t mean, variance;            // first element in a running block
} LayerPlace;

typedef struct Layout {
    int32_t layers;
    LayerPlace layer[SHAPE_LAYERS_MOST];
    size_t parameters; // elements of a parameter block
    size_t running;    // elements of a running block
} Layout;

// D-128-128-128-128-8-128-128-128-128-D, the official network, over the settings' vectors.
Shape shape_official(const Settings *settings);
// The network that the settings ask for.
Shape shape_of_settings(const Settings *settings);
// STATUS_FORMAT unless the shape is one that can be built: at least two layers, ends equal to
// n_mels * frames, every width within LIMIT_VECTOR, the whole within SHAPE_PARAMETERS_MOST.
Status shape_check(const Shape *shape);
bool shape_equal(const Shape *a, const Shape *b);
Layout shape_layout(const Shape *shape);
// D, floats of one vector.
int32_t shape_dimension(const Shape *shape);
// Vectors that a micro-batch needs, fewer are passed over: a variance asks for two.
int shape_least_rows(const Shape *shape);
// Vectors of a clip of that many frames: 1 + floor((frame_count - frames) / frame_hop_length), or
// none when it is too short.
int64_t shape_vectors(const Shape *shape, int64_t frame_count);

#endif
