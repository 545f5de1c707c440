// SPDX-License-Identifier: Apache-2.0
#include "common/model/scorer.h"

#include <math.h>
#include <string.h>

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/model/autoencoder.h"
#include "common/model/passes.h"

struct Scorer {
    ScorerNetwork network;
    const Replica *replica;       // of its own networks, else NULL
    Autoencoder *net;             // likewise: SCORER_ROWS rows, folded
    double row_loss[SCORER_ROWS]; // of the block
};

static void take_vector(void *context, const float *vector, real *row) {
    const Scorer *scorer = context;
    scaler_apply(replica_scaler(scorer->replica), vector, row);
}

static void evaluate(void *context, int rows, double *row_loss) {
    autoencoder_evaluate(((Scorer *)context)->net, rows, row_loss);
}

static const real *residual_of(void *context) {
    return autoencoder_residual(((const Scorer *)context)->net);
}

Scorer *scorer_new(const Replica *replica) {
    Scorer *scorer = mem_new(1, sizeof *scorer);
    if (scorer == NULL) {
        return NULL;
    }
    scorer->replica = replica;
    scorer->net = autoencoder_new(replica_shape(replica), SCORER_ROWS);
    if (scorer->net == NULL) {
        scorer_free(scorer);
        return NULL;
    }
    autoencoder_fold(scorer->net, replica_parameters(replica), replica_running(replica));
    scorer->network = (ScorerNetwork){.shape = replica_shape(replica),
                                      .context = scorer,
                                      .input = autoencoder_input(scorer->net),
                                      .take_vector = take_vector,
                                      .evaluate = evaluate,
                                      .residual = residual_of};
    return scorer;
}

Scorer *scorer_new_of(const ScorerNetwork *network) {
    Scorer *scorer = mem_new(1, sizeof *scorer);
    if (scorer != NULL) {
        scorer->network = *network;
    }
    return scorer;
}

void scorer_free(Scorer *scorer) {
    if (scorer != NULL) {
        autoencoder_free(scorer->net);
        mem_free(scorer);
    }
}

// Vectors [first, first + rows) of the clip through the network.
static void evaluate_block(Scorer *scorer, const float *log_mel, int64_t first, int rows) {
    const ScorerNetwork *network = &scorer->network;
    size_t dimension = (size_t)shape_dimension(network->shape);
    size_t stride = (size_t)network->shape->frame_hop_length * (size_t)network->shape->n_mels;
    for (int k = 0; k < rows; k++) {
        network->take_vector(network->context, log_mel + (size_t)(first + k) * stride,
                             network->input + (size_t)k * dimension);
    }
    network->evaluate(network->context, rows, scorer->row_loss);
}

static const real *residual(const Scorer *scorer) {
    return scorer->network.residual(scorer->network.context);
}

// Adds the block's residuals, frame by frame, to sums (n_mels).
static void add_residuals(const Scorer *scorer, int rows, double *sums) {
    const Shape *shape = scorer->network.shape;
    const real *rows_of = residual(scorer);
    size_t frames = (size_t)rows * (size_t)shape->frames;
    for (size_t i = 0; i < frames; i++) {
        for (int j = 0; j < shape->n_mels; j++) {
            sums[j] += (double)rows_of[i * (size_t)shape->n_mels + (size_t)j];
        }
    }
}

static Status check_clip(const Shape *shape, const float *log_mel, int64_t frame_count) {
    if (shape_vectors(shape, frame_count) < 1) {
        return status_set(STATUS_FORMAT, "%lld frames are too short for a vector of %d",
                          (long long)frame_count, shape->frames);
    }
    if (!pass_all_finite_float(log_mel, (size_t)frame_count * (size_t)shape->n_mels)) {
        return status_set(STATUS_FORMAT, "a feature that is not finite");
    }
    return STATUS_OK;
}

Status scorer_clip(Scorer *scorer, const float *log_mel, int64_t frame_count, ClipScore *ret_score,
                   double *mean_residual, const ScorerRows *residual_rows) {
    const Shape *shape = scorer->network.shape;
    Status status = check_clip(shape, log_mel, frame_count);
    if (status != STATUS_OK) {
        return status;
    }
    int64_t vectors = shape_vectors(shape, frame_count);
    double loss = 0.0, sums[LIMIT_MELS] = {0};
    for (int64_t first = 0; first < vectors; first += SCORER_ROWS) {
        int rows = vectors - first < SCORER_ROWS ? (int)(vectors - first) : SCORER_ROWS;
        evaluate_block(scorer, log_mel, first, rows);
        for (int k = 0; k < rows; k++) {
            loss += scorer->row_loss[k];
        }
        if (mean_residual != NULL) {
            add_residuals(scorer, rows, sums);
        }
        if (residual_rows != NULL) {
            residual_rows->take(residual_rows->context, residual(scorer),
                                (int64_t)rows * shape->frames);
        }
    }
    double mse = loss / (double)vectors;
    if (!isfinite(mse)) {
        return status_set(STATUS_FORMAT, "a reconstruction error that is not finite");
    }
    for (int j = 0; mean_residual != NULL && j < shape->n_mels; j++) {
        mean_residual[j] = sums[j] / ((double)vectors * shape->frames);
    }
    *ret_score = (ClipScore){.mse = mse, .vectors = vectors};
    return STATUS_OK;
}
