// SPDX-License-Identifier: Apache-2.0
//
// How it works. Layer l reads a[l] (m, in) and writes z[l] (m, out); batch normalisation and ReLU
// make a[l + 1] of it, so a[0] is the input and z of the last layer, bias added, the
// reconstruction. In training mode the bias in front of a batch normalisation cancels, so it is
// added only to the mean that is reported. Backward, g[l] is the gradient by z[l]; two buffers take
// turns, and the last layer's gradient is made in place of its output. Padding rows are zero in
// every a and g, so they add nothing to any product; z of padding rows is never read.
//
// Without normalisation, a = relu(z + bias): it is scaled by 1 about a mean of 0, bit for bit what
// the sum alone gives.
//
// Batch normalisation: a = relu((z - mean) * inverse_deviation * gamma + beta) with the biased
// variance and epsilon 1e-3 (PyTorch's BatchNorm1d as the official baseline sets it).
#include "common/model/autoencoder.h"

#include <math.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/model/linalg.h"
#include "common/model/passes.h"

#define NORM_EPSILON 1e-3

struct Autoencoder {
    Shape shape;
    Layout layout;
    int rows;                        // m
    real *block;                     // all memory below
    real *a[SHAPE_LAYERS_MOST];      // (m, in) input of each layer
    real *z[SHAPE_LAYERS_MOST];      // (m, out) output of each layer before normalisation
    real *g[2];                      // (m, widest hidden layer) gradients, used in turn
    real *mean[SHAPE_LAYERS_MOST];   // (out) of this micro-batch's z, without the bias
    real *invdev[SHAPE_LAYERS_MOST]; // (out) 1 / sqrt(variance + epsilon)
    real *scale[SHAPE_LAYERS_MOST];  // (out) gamma * invdev; folded: of the running variance
    real *shift[SHAPE_LAYERS_MOST];  // (out) folded: beta + (bias - running mean) * scale
    real *column[2];                 // (widest layer) scratch
    const real *parameters;          // what autoencoder_fold was given
};

// Hands out pieces of one block, each on a cache line; with a NULL block it only measures.
typedef struct Cutter {
    real *block;
    size_t used;
} Cutter;

static real *cut(Cutter *cutter, int rows, int columns) {
    real *piece = cutter->block == NULL ? NULL : cutter->block + cutter->used;
    cutter->used += ((size_t)rows * (size_t)columns + 15) / 16 * 16;
    return piece;
}

static int widest_hidden(const Layout *layout) {
    int widest = 1;
    for (int l = 0; l + 1 < layout->layers; l++) {
        widest = layout->layer[l].out > widest ? layout->layer[l].out : widest;
    }
    return widest;
}

static size_t lay_out(Autoencoder *net, real *block) {
    const Layout *layout = &net->layout;
    Cutter cutter = {block, 0};
    int hidden = widest_hidden(layout);
    int dimension = layout->layer[0].in;
    for (int l = 0; l < layout->layers; l++) {
        int in = layout->layer[l].in, out = layout->layer[l].out;
        net->a[l] = cut(&cutter, net->rows, in);
        net->z[l] = cut(&cutter, net->rows, out);
        net->mean[l] = cut(&cutter, 1, out);
        net->invdev[l] = cut(&cutter, 1, out);
        net->scale[l] = cut(&cutter, 1, out);
        net->shift[l] = cut(&cutter, 1, out);
    }
    for (int i = 0; i < 2; i++) {
        net->g[i] = cut(&cutter, net->rows, hidden);
        net->column[i] = cut(&cutter, 1, hidden > dimension ? hidden : dimension);
    }
    return cutter.used;
}

Autoencoder *autoencoder_new(const Shape *shape, int rows) {
    Autoencoder *net = mem_new(1, sizeof *net);
    if (net == NULL) {
        return NULL;
    }
    net->shape = *shape;
    net->layout = shape_layout(shape);
    net->rows = rows;
    net->block = mem_new_aligned(lay_out(net, NULL), sizeof *net->block);
    if (net->block == NULL) {
        autoencoder_free(net);
        return NULL;
    }
    lay_out(net, net->block);
    return net;
}

void autoencoder_free(Autoencoder *net) {
    if (net != NULL) {
        mem_free(net->block);
        mem_free(net);
    }
}

const Layout *autoencoder_layout(const Autoencoder *net) {
    return &net->layout;
}

real *autoencoder_input(Autoencoder *net) {
    return net->a[0];
}

// Mean, inverse deviation and scale of z[l], and what the running statistics will take from it.
static void measure_layer(Autoencoder *net, int l, const real *parameters, int count,
                          real *statistics) {
    const LayerPlace *place = &net->layout.layer[l];
    real *mean = net->mean[l], *squares = net->column[0];
    const real *bias = parameters + place->bias, *gamma = parameters + place->gamma;
    pass_column_sums(net->z[l], count, place->out, mean);
    for (int j = 0; j < place->out; j++) {
        statistics[place->mean + (size_t)j] = mean[j] + (real)count * bias[j];
        mean[j] /= (real)count;
    }
    pass_column_squares(net->z[l], mean, count, place->out, squares);
    for (int j = 0; j < place->out; j++) {
        real variance = squares[j] / (real)count;
        real unbiased = squares[j] / (real)(count - 1);
        statistics[place->variance + (size_t)j] = (real)count * unbiased;
        net->invdev[l][j] = (real)(1.0 / sqrt((double)variance + NORM_EPSILON));
        net->scale[l][j] = gamma[j] * net->invdev[l][j];
    }
}

// z[l] goes on as it is: mean 0, scale 1.
static void leave_layer(Autoencoder *net, int l) {
    const LayerPlace *place = &net->layout.layer[l];
    for (int j = 0; j < place->out; j++) {
        net->mean[l][j] = 0;
        net->scale[l][j] = 1;
    }
}

static void forward(Autoencoder *net, const real *parameters, int count, real *statistics) {
    const Layout *layout = &net->layout;
    for (int l = 0; l < layout->layers; l++) {
        const LayerPlace *place = &layout->layer[l];
        linalg_forward(net->rows, place->in, place->out, net->a[l], parameters + place->weight,
                       net->z[l]);
        if (place->has_norm) {
            measure_layer(net, l, parameters, count, statistics);
        } else if (place->has_relu) {
            leave_layer(net, l);
        }
        if (place->has_relu) {
            size_t shift = place->has_norm ? place->beta : place->bias;
            pass_normalise_relu(net->z[l], net->mean[l], net->scale[l], parameters + shift, count,
                                net->rows, place->out, net->a[l + 1]);
        }
    }
}

// From g, the gradient by a[l + 1], to the gradient by z[l] in place. With d = z - mean and N rows:
// dz = gamma * invdev * (g - sum(g) / N - d * invdev^2 * sum(g * d) / N).
static void backward_norm(Autoencoder *net, int l, int count, real *g, real *gradient) {
    const LayerPlace *place = &net->layout.layer[l];
    real *sum = gradient + place->beta, *moment = gradient + place->gamma;
    real *share = net->column[0], *slope = net->column[1];
    pass_relu_backward(net->a[l + 1], net->z[l], net->mean[l], count, place->out, g, sum, moment);
    for (int j = 0; j < place->out; j++) {
        real invdev = net->invdev[l][j];
        share[j] = sum[j] / (real)count;
        slope[j] = moment[j] * invdev * invdev / (real)count;
        moment[j] *= invdev;
    }
    pass_normalise_backward(net->z[l], net->mean[l], net->scale[l], share, slope, count, net->rows,
                            place->out, g);
    memset(gradient + place->bias, 0, (size_t)place->out * sizeof *gradient);
}

// The same without normalisation: the gradient stops where the ReLU did, and its sum is the bias's.
static void backward_relu(Autoencoder *net, int l, int count, real *g, real *gradient) {
    const LayerPlace *place = &net->layout.layer[l];
    size_t used = (size_t)count * (size_t)place->out;
    pass_relu_backward(net->a[l + 1], net->z[l], net->mean[l], count, place->out, g,
                       gradient + place->bias, net->column[0]);
    memset(g + used, 0, (size_t)(net->rows - count) * (size_t)place->out * sizeof *g);
}

static void backward(Autoencoder *net, const real *parameters, int count, real *gradient) {
    int last = net->layout.layers - 1;
    real *g = net->z[last];
    for (int l = last; l >= 0; l--) {
        const LayerPlace *place = &net->layout.layer[l];
        if (place->has_norm) {
            backward_norm(net, l, count, g, gradient);
        } else if (place->has_relu) {
            backward_relu(net, l, count, g, gradient);
        }
        linalg_backward_weight(net->rows, place->in, place->out, g, net->a[l],
                               gradient + place->weight);
        if (l > 0) {
            real *next = net->g[l % 2];
            linalg_backward_input(net->rows, place->in, place->out, g, parameters + place->weight,
                                  next);
            g = next;
        }
    }
}

void autoencoder_train(Autoencoder *net, const real *parameters, int count, real *gradient,
                       real *statistics, double *row_loss) {
    const Layout *layout = &net->layout;
    const LayerPlace *last = &layout->layer[layout->layers - 1];
    size_t dimension = (size_t)last->out;
    memset(net->a[0] + (size_t)count * dimension, 0,
           (size_t)(net->rows - count) * dimension * sizeof(real));
    forward(net, parameters, count, statistics);
    pass_loss(net->a[0], parameters + last->bias, (real)(2.0 / (double)dimension), count, net->rows,
              last->out, net->z[layout->layers - 1], row_loss, gradient + last->bias);
    backward(net, parameters, count, gradient);
}

void autoencoder_fold(Autoencoder *net, const real *parameters, const real *running) {
    net->parameters = parameters;
    for (int l = 0; l + 1 < net->layout.layers; l++) {
        const LayerPlace *place = &net->layout.layer[l];
        if (!place->has_norm) {
            leave_layer(net, l);
            memcpy(net->shift[l], parameters + place->bias,
                   (size_t)place->out * sizeof *net->shift[l]);
            continue;
        }
        for (size_t j = 0; j < (size_t)place->out; j++) {
            double invdev = 1.0 / sqrt((double)running[place->variance + j] + NORM_EPSILON);
            double scale = (double)parameters[place->gamma + j] * invdev;
            double centre = (double)parameters[place->bias + j] - (double)running[place->mean + j];
            net->scale[l][j] = (real)scale;
            net->shift[l][j] = (real)((double)parameters[place->beta + j] + centre * scale);
        }
    }
}

void autoencoder_evaluate(Autoencoder *net, int count, double *row_loss) {
    const Layout *layout = &net->layout;
    const LayerPlace *last = &layout->layer[layout->layers - 1];
    size_t dimension = (size_t)last->out;
    memset(net->a[0] + (size_t)count * dimension, 0,
           (size_t)(net->rows - count) * dimension * sizeof(real));
    const real *input = net->a[0];
    for (int l = 0; l < layout->layers; l++) {
        const LayerPlace *place = &layout->layer[l];
        linalg_forward(net->rows, place->in, place->out, input, net->parameters + place->weight,
                       net->z[l]);
        if (place->has_relu) {
            pass_affine_relu(net->scale[l], net->shift[l], net->rows, place->out, net->z[l]);
        }
        input = net->z[l];
    }
    pass_residual(net->a[0], net->parameters + last->bias, count, last->out,
                  net->z[layout->layers - 1], row_loss);
}

const real *autoencoder_residual(const Autoencoder *net) {
    return net->z[net->layout.layers - 1];
}

void autoencoder_forward_products(Autoencoder *net, const real *parameters) {
    const real *input = net->a[0];
    for (int l = 0; l < net->layout.layers; l++) {
        const LayerPlace *place = &net->layout.layer[l];
        linalg_forward(net->rows, place->in, place->out, input, parameters + place->weight,
                       net->z[l]);
        input = net->z[l]; // as in an evaluation, from memory that is still near
    }
}

void autoencoder_products(Autoencoder *net, const real *parameters, real *gradient) {
    for (int l = 0; l < net->layout.layers; l++) {
        const LayerPlace *place = &net->layout.layer[l];
        linalg_forward(net->rows, place->in, place->out, net->a[l], parameters + place->weight,
                       net->z[l]);
    }
    int last = net->layout.layers - 1;
    const real *g = net->z[last];
    for (int l = last; l >= 0; l--) {
        const LayerPlace *place = &net->layout.layer[l];
        linalg_backward_weight(net->rows, place->in, place->out, g, net->a[l],
                               gradient + place->weight);
        if (l > 0) {
            linalg_backward_input(net->rows, place->in, place->out, g, parameters + place->weight,
                                  net->g[l % 2]);
            g = net->g[l % 2];
        }
    }
}
