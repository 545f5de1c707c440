// SPDX-License-Identifier: Apache-2.0
#include "common/model/weights.h"

#include <math.h>

#include "common/base/rng.h"

static void fill(real *values, size_t count, real value) {
    for (size_t i = 0; i < count; i++) {
        values[i] = value;
    }
}

static void fill_uniform(Rng rng, double bound, real *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        values[i] = (real)((2.0 * rng_uniform(&rng) - 1.0) * bound);
    }
}

void weights_init(const Layout *layout, uint64_t seed, uint64_t model_key, real *parameters) {
    for (int l = 0; l < layout->layers; l++) {
        const LayerPlace *place = &layout->layer[l];
        double bound = 1.0 / sqrt(place->in);
        uint64_t tensor = 2 * (uint64_t)l;
        fill_uniform(rng_of(seed, "initial weights", model_key, tensor), bound,
                     parameters + place->weight, (size_t)place->out * (size_t)place->in);
        fill_uniform(rng_of(seed, "initial weights", model_key, tensor + 1), bound,
                     parameters + place->bias, (size_t)place->out);
        if (place->has_norm) {
            fill(parameters + place->gamma, (size_t)place->out, 1);
            fill(parameters + place->beta, (size_t)place->out, 0);
        }
    }
}

void weights_init_keras(const Layout *layout, uint64_t seed, uint64_t model_key, real *parameters) {
    weights_init(layout, seed, model_key, parameters);
    for (int l = 0; l < layout->layers; l++) {
        const LayerPlace *place = &layout->layer[l];
        double bound = sqrt(6.0 / ((double)place->in + place->out));
        fill_uniform(rng_of(seed, "initial weights", model_key, 2 * (uint64_t)l), bound,
                     parameters + place->weight, (size_t)place->out * (size_t)place->in);
        fill(parameters + place->bias, (size_t)place->out, 0);
    }
}

void weights_init_running(const Layout *layout, real *running) {
    for (int l = 0; l < layout->layers; l++) {
        const LayerPlace *place = &layout->layer[l];
        if (place->has_norm) {
            fill(running + place->mean, (size_t)place->out, 0);
            fill(running + place->variance, (size_t)place->out, 1);
        }
    }
}
