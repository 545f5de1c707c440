// SPDX-License-Identifier: Apache-2.0
//
// A network that was trained elsewhere: a chain of steps over vectors of D floats, each a dense
// layer, a normalisation folded into scale and shift, or an activation; and, perhaps, a scaler in
// front. It scores as our own networks do, in the same blocks of rows, with the same bits on every
// processor. Its bytes are what a model file carries and what the importing process hands over:
//     NetworkHead, then the NetworkSteps, then float32 numbers: center (D) and scale (D) of the
//     scaler if it has one, then step by step weight (out, in) and bias (out), or scale (out) and
//     shift (out)
// The object is read-only after it was made, for any thread; a NetworkRun is for one.
#ifndef AUSCULT_ENGINE_NETWORK_H
#define AUSCULT_ENGINE_NETWORK_H

#include <stdbool.h>

#include "common/base/buffer.h"
#include "common/model/block.h"
#include "common/model/scorer_network.h"

#define NETWORK_VERSION    1u
#define NETWORK_STEPS_MOST 128 // three for each of 40 layers; the official network has 28
#define NETWORK_BYTES_MOST ((uint64_t)LIMIT_PARAMETERS * 4 + (1u << 20))

typedef enum NetworkStepKind { STEP_DENSE, STEP_SCALE, STEP_ACTIVATION } NetworkStepKind;

typedef enum Activation {
    ACTIVATION_RELU, // max(0, x), slope * x below 0, most above it (most 0: no bound)
    ACTIVATION_TANH,
    ACTIVATION_SIGMOID,
    ACTIVATION_ELU, // x, slope * (e^x - 1) below 0
    ACTIVATION_SELU,
    ACTIVATION_SOFTPLUS, // log(1 + e^x)
    ACTIVATION_SOFTSIGN, // x / (1 + |x|)
    ACTIVATION_SWISH,    // x * sigmoid(x)
    ACTIVATION_EXPONENTIAL,
    ACTIVATIONS,
} Activation;

// Stored as it is: no holes.
typedef struct NetworkStep {
    int32_t kind;       // NetworkStepKind
    int32_t in, out;    // floats of a row; equal but for STEP_DENSE
    int32_t activation; // Activation, of STEP_ACTIVATION; else 0
    float slope, most;  // of ACTIVATION_RELU and ACTIVATION_ELU; else 0
} NetworkStep;

typedef struct NetworkHead {
    BlockHead block; // "ANET", NETWORK_VERSION
    int32_t dimension;
    int32_t steps;
    int32_t has_scaler; // 0 or 1
    int32_t reserved;   // 0
} NetworkHead;

typedef struct Network Network;

// ---- made step by step ----

// For vectors of `dimension` floats, without steps. NULL when out of memory.
Network *network_new(int32_t dimension);
void network_free(Network *network);
// Each copies its numbers. STATUS_FORMAT when the step does not fit those before, or a number is
// not finite; STATUS_LIMIT; STATUS_MEMORY. center (D) and scale (D), none 0: x becomes (x - center)
// / scale.
Status network_set_scaler(Network *network, const float *center, const float *scale);
// weight (out, in) and bias (out), NULL for none.
Status network_add_dense(Network *network, int32_t out, const float *weight, const float *bias);
// x becomes (x - mean) / sqrt(variance + epsilon) * gamma + beta, each (out) and gamma, beta NULL
// for 1 and 0.
Status network_add_norm(Network *network, const float *gamma, const float *beta, const float *mean,
                        const float *variance, double epsilon);
Status network_add_activation(Network *network, Activation activation, double slope, double most);
// STATUS_FORMAT unless there is a dense step and the last one gives D floats.
Status network_check(const Network *network);
// Floats that the last step gives, D without any.
int32_t network_width(const Network *network);

// ---- bytes ----

// Failure is out's status.
void network_write(const Network *network, Buffer *out);
// From such bytes, which are not trusted. STATUS_FORMAT, STATUS_MISMATCH, STATUS_MEMORY.
Status network_read(const void *bytes, size_t size, Network **ret_network);
// Whether such bytes begin here, rather than a replica's.
bool network_is_block(const void *bytes, size_t size);

int32_t network_dimension(const Network *network); // D
bool network_has_scaler(const Network *network);
// Its widths as far as a Shape can tell them, over vectors of those settings.
Shape network_shape(const Network *network, const Settings *settings);

// ---- scoring ----

typedef struct NetworkRun NetworkRun;
// Memory for blocks of SCORER_ROWS vectors of those settings; the network is borrowed. NULL when
// out of memory.
NetworkRun *network_run_new(const Network *network, const Settings *settings);
void network_run_free(NetworkRun *run);
// What a Scorer calls, borrowed for the run's life.
ScorerNetwork network_run_scorer(NetworkRun *run);

#endif
