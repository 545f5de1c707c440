// SPDX-License-Identifier: Apache-2.0
#include "common/engine/network.h"

#include <math.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/dsp/maths.h"
#include "common/model/linalg.h"
#include "common/model/passes.h"

static const char MAGIC[4] = {'A', 'N', 'E', 'T'};

struct Network {
    int32_t dimension; // D
    int32_t step_count;
    bool has_scaler;
    float *center, *scale; // (D) each, one block
    NetworkStep steps[NETWORK_STEPS_MOST];
    float *numbers[NETWORK_STEPS_MOST]; // of each step, NULL of an activation
    uint64_t number_count;              // of all steps
};

// ---- made step by step ----

Network *network_new(int32_t dimension) {
    Network *network = mem_new(1, sizeof *network);
    if (network != NULL) {
        network->dimension = dimension;
    }
    return network;
}

void network_free(Network *network) {
    if (network != NULL) {
        for (int32_t i = 0; i < network->step_count; i++) {
            mem_free(network->numbers[i]);
        }
        mem_free(network->center);
        mem_free(network);
    }
}

int32_t network_width(const Network *network) {
    return network->step_count > 0 ? network->steps[network->step_count - 1].out
                                   : network->dimension;
}

static bool are_finite(const float *numbers, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(numbers[i])) {
            return false;
        }
    }
    return true;
}

static Status not_finite(const char *what) {
    return status_set(STATUS_FORMAT, "a %s with a number that is not finite", what);
}

// Floats of a step.
static uint64_t numbers_of(const NetworkStep *step) {
    return step->kind == STEP_DENSE   ? (uint64_t)step->out * ((uint64_t)step->in + 1)
           : step->kind == STEP_SCALE ? (uint64_t)step->out * 2
                                      : 0;
}

Status network_set_scaler(Network *network, const float *center, const float *scale) {
    size_t dimension = (size_t)network->dimension;
    for (size_t i = 0; i < dimension; i++) {
        if (!isfinite(center[i]) || !isfinite(scale[i]) || scale[i] == 0) {
            return status_set(STATUS_FORMAT, "a scaler whose feature %zu has mean %g and scale %g",
                              i, (double)center[i], (double)scale[i]);
        }
    }
    float *block = mem_new(2 * dimension, sizeof *block);
    if (block == NULL) {
        return STATUS_MEMORY;
    }
    mem_free(network->center);
    network->center = block;
    network->scale = block + dimension;
    memcpy(network->center, center, dimension * sizeof *center);
    memcpy(network->scale, scale, dimension * sizeof *scale);
    network->has_scaler = true;
    return STATUS_OK;
}

// Room for one more step; its numbers are the caller's to fill.
static Status add_step(Network *network, NetworkStep step, float **ret_numbers) {
    if (network->step_count == NETWORK_STEPS_MOST) {
        return status_set(STATUS_LIMIT, "more than %d steps", NETWORK_STEPS_MOST);
    }
    step.in = network_width(network);
    step.out = step.kind == STEP_DENSE ? step.out : step.in;
    if (step.out < 1 || step.out > LIMIT_VECTOR) {
        return status_set(STATUS_LIMIT, "a layer of %d units, accepted are 1 to %d", step.out,
                          LIMIT_VECTOR);
    }
    uint64_t count = numbers_of(&step);
    if (network->number_count + count > LIMIT_PARAMETERS) {
        return status_set(STATUS_LIMIT, "more than %u parameters", LIMIT_PARAMETERS);
    }
    float *numbers = count > 0 ? mem_new_aligned(count, sizeof *numbers) : NULL;
    if (count > 0 && numbers == NULL) {
        return STATUS_MEMORY;
    }
    network->numbers[network->step_count] = numbers;
    network->steps[network->step_count++] = step;
    network->number_count += count;
    if (ret_numbers != NULL) {
        *ret_numbers = numbers;
    }
    return STATUS_OK;
}

Status network_add_dense(Network *network, int32_t out, const float *weight, const float *bias) {
    size_t count = (size_t)out * (size_t)network_width(network);
    float *numbers;
    Status status = add_step(network, (NetworkStep){.kind = STEP_DENSE, .out = out}, &numbers);
    if (status != STATUS_OK) {
        return status;
    }
    memcpy(numbers, weight, count * sizeof *numbers);
    if (bias != NULL) {
        memcpy(numbers + count, bias, (size_t)out * sizeof *numbers);
    }
    return are_finite(numbers, count + (size_t)out) ? STATUS_OK : not_finite("dense layer");
}

Status network_add_norm(Network *network, const float *gamma, const float *beta, const float *mean,
                        const float *variance, double epsilon) {
    float *numbers;
    Status status = add_step(network, (NetworkStep){.kind = STEP_SCALE}, &numbers);
    if (status != STATUS_OK) {
        return status;
    }
    size_t width = (size_t)network_width(network);
    for (size_t j = 0; j < width; j++) {
        double scale = (gamma != NULL ? (double)gamma[j] : 1.0) /
                       sqrt((double)variance[j] + epsilon); // not finite below 0 and at 0
        numbers[j] = (float)scale;
        numbers[width + j] =
            (float)((beta != NULL ? (double)beta[j] : 0.0) - (double)mean[j] * scale);
    }
    return are_finite(numbers, 2 * width) ? STATUS_OK : not_finite("normalisation");
}

Status network_add_activation(Network *network, Activation activation, double slope, double most) {
    NetworkStep step = {.kind = STEP_ACTIVATION,
                        .activation = (int32_t)activation,
                        .slope = (float)slope,
                        .most = (float)most};
    if (!isfinite(step.slope) || !isfinite(step.most) || step.most < 0) {
        return not_finite("activation");
    }
    return add_step(network, step, NULL);
}

Status network_check(const Network *network) {
    bool has_dense = false;
    for (int32_t i = 0; i < network->step_count; i++) {
        has_dense |= network->steps[i].kind == STEP_DENSE;
    }
    if (!has_dense) {
        return status_set(STATUS_FORMAT, "a network without a dense layer");
    }
    if (network_width(network) != network->dimension) {
        return status_set(STATUS_FORMAT,
                          "a network from %d to %d floats; an autoencoder's outputs are as many as "
                          "its inputs",
                          network->dimension, network_width(network));
    }
    return STATUS_OK;
}

// ---- bytes ----

void network_write(const Network *network, Buffer *out) {
    uint64_t numbers = network->number_count;
    size_t dimension = (size_t)network->dimension;
    numbers += network->has_scaler ? 2 * dimension : 0;
    NetworkHead head = {.dimension = network->dimension,
                        .steps = network->step_count,
                        .has_scaler = network->has_scaler};
    size_t steps_bytes = (size_t)network->step_count * sizeof *network->steps;
    head.block =
        block_head(MAGIC, NETWORK_VERSION, sizeof head + steps_bytes + numbers * sizeof(float));
    buffer_append(out, &head, sizeof head);
    buffer_append(out, network->steps, steps_bytes);
    if (network->has_scaler) {
        buffer_append(out, network->center, dimension * sizeof(float));
        buffer_append(out, network->scale, dimension * sizeof(float));
    }
    for (int32_t i = 0; i < network->step_count; i++) {
        buffer_append(out, network->numbers[i], numbers_of(&network->steps[i]) * sizeof(float));
    }
}

bool network_is_block(const void *bytes, size_t size) {
    return size >= sizeof MAGIC && memcmp(bytes, MAGIC, sizeof MAGIC) == 0;
}

typedef struct Bytes {
    const char *at;
    size_t left;
} Bytes;

static Status take(Bytes *from, void *out, uint64_t size) {
    if (from->left < size) {
        return status_set(STATUS_FORMAT, "a network that is cut off");
    }
    if (size > 0) {
        memcpy(out, from->at, size);
    }
    from->at += size;
    from->left -= size;
    return STATUS_OK;
}

static Status read_scaler(Network *network, Bytes *from) {
    size_t size = (size_t)network->dimension * 2 * sizeof(float);
    float *both = from->left >= size ? mem_new(size, 1) : NULL;
    Status status = both == NULL && from->left >= size ? STATUS_MEMORY : take(from, both, size);
    if (status == STATUS_OK) {
        status = network_set_scaler(network, both, both + network->dimension);
    }
    mem_free(both);
    return status;
}

static Status check_step(const NetworkStep *step, int32_t width) {
    bool is_activation = step->kind == STEP_ACTIVATION;
    if (step->kind < STEP_DENSE || step->kind > STEP_ACTIVATION || step->in != width ||
        step->activation < 0 || step->activation >= (is_activation ? ACTIVATIONS : 1) ||
        !isfinite(step->slope) || !isfinite(step->most)) {
        return status_set(STATUS_FORMAT, "a network with a step that cannot be");
    }
    return STATUS_OK;
}

static Status read_steps(Network *network, const NetworkStep *steps, int32_t count, Bytes *from) {
    Status status = STATUS_OK;
    for (int32_t i = 0; i < count && status == STATUS_OK; i++) {
        float *numbers = NULL;
        status = check_step(&steps[i], network_width(network));
        // Held against the bytes before anything is allocated for it.
        if (status == STATUS_OK && steps[i].out >= 0 &&
            numbers_of(&steps[i]) > from->left / sizeof(float)) {
            status = status_set(STATUS_FORMAT, "a network that is cut off");
        }
        if (status == STATUS_OK) {
            status = add_step(network, steps[i], &numbers);
        }
        uint64_t size = numbers_of(&steps[i]) * sizeof(float);
        if (status == STATUS_OK) {
            status = take(from, numbers, size);
        }
        if (status == STATUS_OK && !are_finite(numbers, size / sizeof(float))) {
            status = not_finite("network");
        }
    }
    return status;
}

Status network_read(const void *bytes, size_t size, Network **ret_network) {
    NetworkHead head;
    NetworkStep steps[NETWORK_STEPS_MOST];
    Bytes from = {bytes, size};
    Status status = block_check(bytes, size, MAGIC, NETWORK_VERSION, "network");
    if (status == STATUS_OK) {
        status = take(&from, &head, sizeof head);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (head.dimension < 1 || head.dimension > LIMIT_VECTOR || head.steps < 1 ||
        head.steps > NETWORK_STEPS_MOST || head.has_scaler < 0 || head.has_scaler > 1 ||
        head.reserved != 0) {
        return status_set(STATUS_FORMAT, "a network of %d floats and %d steps", head.dimension,
                          head.steps);
    }
    Network *network = network_new(head.dimension);
    if (network == NULL) {
        return STATUS_MEMORY;
    }
    status = take(&from, steps, (size_t)head.steps * sizeof *steps);
    if (status == STATUS_OK && head.has_scaler) {
        status = read_scaler(network, &from);
    }
    if (status == STATUS_OK) {
        status = read_steps(network, steps, head.steps, &from);
    }
    if (status == STATUS_OK && from.left > 0) {
        status = status_set(STATUS_FORMAT, "%zu bytes behind the network", from.left);
    }
    if (status == STATUS_OK) {
        status = network_check(network);
    }
    if (status != STATUS_OK) {
        network_free(network);
        return status;
    }
    *ret_network = network;
    return STATUS_OK;
}

int32_t network_dimension(const Network *network) {
    return network->dimension;
}

bool network_has_scaler(const Network *network) {
    return network->has_scaler;
}

Shape network_shape(const Network *network, const Settings *settings) {
    Shape shape = {.n_mels = settings_width(settings),
                   .frames = settings->frames,
                   .frame_hop_length = settings->frame_hop_length,
                   .is_plain = 1};
    shape.width[0] = network->dimension;
    for (int32_t i = 0; i < network->step_count; i++) {
        if (network->steps[i].kind == STEP_DENSE && shape.layers < SHAPE_LAYERS_MOST) {
            shape.width[++shape.layers] = network->steps[i].out;
        }
        if (network->steps[i].kind == STEP_SCALE) {
            shape.is_plain = 0;
        }
    }
    return shape;
}

// ---- scoring ----

struct NetworkRun {
    const Network *network;
    Shape shape;
    real *block;                      // all memory below
    real *input;                      // (SCORER_ROWS, D)
    real *turns[2];                   // (SCORER_ROWS, widest) outputs of the steps, used in turn
    real *zeros;                      // (D)
    real *residual;                   // one of the turns
    real *center, *scale;             // (D) the scaler's
    real *arrays[NETWORK_STEPS_MOST]; // the steps' numbers
};

static int32_t widest(const Network *network) {
    int32_t most = network->dimension;
    for (int32_t i = 0; i < network->step_count; i++) {
        most = network->steps[i].out > most ? network->steps[i].out : most;
    }
    return most;
}

NetworkRun *network_run_new(const Network *network, const Settings *settings) {
    NetworkRun *run = mem_new(1, sizeof *run);
    if (run == NULL) {
        return NULL;
    }
    size_t dimension = (size_t)network->dimension, most = (size_t)widest(network);
    run->network = network;
    run->shape = network_shape(network, settings);
    run->block =
        mem_new_aligned(SCORER_ROWS * (dimension + 2 * most) + dimension, sizeof *run->block);
    if (run->block == NULL) {
        network_run_free(run);
        return NULL;
    }
    run->input = run->block;
    run->turns[0] = run->input + SCORER_ROWS * dimension;
    run->turns[1] = run->turns[0] + SCORER_ROWS * most;
    run->zeros = run->turns[1] + SCORER_ROWS * most;
    run->residual = run->turns[0];
    run->center = network->center;
    run->scale = network->scale;
    memcpy(run->arrays, network->numbers, sizeof run->arrays);
    return run;
}

void network_run_free(NetworkRun *run) {
    if (run != NULL) {
        mem_free(run->block);
        mem_free(run);
    }
}

static double sigmoid(double x) {
    double e = maths_exp(-fmin(fabs(x), 700));
    return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

static double hyperbolic_tangent(double x) {
    double e = maths_exp(-2 * fmin(fabs(x), 300));
    return copysign((1 - e) / (1 + e), x);
}

// log(1 + e) of a small e loses what is below 1's last place; the series has it.
static double softplus(double x) {
    double e = maths_exp(-fmin(fabs(x), 700));
    double tail = e < 1e-5 ? e * (1 - e * 0.5) : maths_log(1 + e);
    return fmax(x, 0) + tail;
}

static double activate(const NetworkStep *step, double x) {
    static const double SELU_SCALE = 1.05070098735548049342, SELU_ALPHA = 1.67326324235437728482;
    double below = fmax(fmin(x, 0), -700); // e^x - 1 of what is not above 0
    switch ((Activation)step->activation) {
    case ACTIVATION_RELU: {
        double y = x > 0 ? x : x * (double)step->slope;
        return step->most > 0 ? fmin(y, (double)step->most) : y;
    }
    case ACTIVATION_TANH:
        return hyperbolic_tangent(x);
    case ACTIVATION_SIGMOID:
        return sigmoid(x);
    case ACTIVATION_ELU:
        return x > 0 ? x : (double)step->slope * (maths_exp(below) - 1);
    case ACTIVATION_SELU:
        return SELU_SCALE * (x > 0 ? x : SELU_ALPHA * (maths_exp(below) - 1));
    case ACTIVATION_SOFTPLUS:
        return softplus(x);
    case ACTIVATION_SOFTSIGN:
        return x / (1 + fabs(x));
    case ACTIVATION_SWISH:
        return x * sigmoid(x);
    case ACTIVATION_EXPONENTIAL:
        return maths_exp(fmax(fmin(x, 700), -700));
    case ACTIVATIONS:
        break;
    }
    return x;
}

static void do_activation(const NetworkStep *step, real *y) {
    size_t count = SCORER_ROWS * (size_t)step->out;
    for (size_t i = 0; i < count; i++) {
        y[i] = (real)activate(step, (double)y[i]);
    }
}

static void do_dense(const NetworkStep *step, const real *numbers, const real *x, real *y) {
    size_t in = (size_t)step->in, out = (size_t)step->out;
    const real *bias = numbers + in * out;
    linalg_forward(SCORER_ROWS, step->in, step->out, x, numbers, y);
    for (size_t i = 0; i < SCORER_ROWS; i++) {
        pass_add(y + i * out, bias, out);
    }
}

static void do_scale(const NetworkStep *step, const real *numbers, const real *x, real *y) {
    size_t width = (size_t)step->out;
    for (size_t i = 0; i < SCORER_ROWS; i++) {
        for (size_t j = 0; j < width; j++) {
            y[i * width + j] = x[i * width + j] * numbers[j] + numbers[width + j];
        }
    }
}

static void take_vector(void *context, const float *vector, real *row) {
    const NetworkRun *run = context;
    if (run->network->has_scaler) {
        pass_scale_row(vector, run->center, run->scale, run->network->dimension, row);
    } else {
        pass_copy_row(vector, run->network->dimension, row);
    }
}

// The input stays as it is, since the residual is taken from it.
static void evaluate(void *context, int rows, double *row_loss) {
    NetworkRun *run = context;
    const Network *network = run->network;
    size_t dimension = (size_t)network->dimension;
    memset(run->input + (size_t)rows * dimension, 0,
           (SCORER_ROWS - (size_t)rows) * dimension * sizeof *run->input);
    const real *x = run->input;
    int turn = 0;
    for (int32_t i = 0; i < network->step_count; i++) {
        const NetworkStep *step = &network->steps[i];
        real *y = run->turns[turn];
        if (step->kind == STEP_DENSE) {
            do_dense(step, run->arrays[i], x, y);
        } else if (step->kind == STEP_SCALE) {
            do_scale(step, run->arrays[i], x, y);
        } else {
            memcpy(y, x, SCORER_ROWS * (size_t)step->in * sizeof *y);
            do_activation(step, y);
        }
        x = y;
        turn = 1 - turn;
    }
    run->residual = run->turns[1 - turn];
    pass_residual(run->input, run->zeros, rows, network->dimension, run->residual, row_loss);
}

static const real *residual(void *context) {
    return ((const NetworkRun *)context)->residual;
}

ScorerNetwork network_run_scorer(NetworkRun *run) {
    return (ScorerNetwork){.shape = &run->shape,
                           .context = run,
                           .input = run->input,
                           .take_vector = take_vector,
                           .evaluate = evaluate,
                           .residual = residual};
}
