// SPDX-License-Identifier: Apache-2.0
//
// A trained model's verdict on a clip: the mean squared reconstruction error over all its vectors
// and features, in scaled space, in evaluation mode; the last step of the data's path. Clips go
// through in blocks of fixed height that begin at the clip's first vector and are padded with
// zeros, so that a score depends on clip and model alone, never on what was scored before. One
// thread at a time per object.
#ifndef AUSCULT_MODEL_SCORER_H
#define AUSCULT_MODEL_SCORER_H

#include "common/model/replica.h"
#include "common/model/scorer_network.h"

typedef struct ClipScore {
    double mse;      // mean of the squared residual over vectors and features
    int64_t vectors; // that it was taken over
} ClipScore;

typedef struct Scorer Scorer;

// The replica is borrowed for the scorer's life and must not change meanwhile. NULL when out of
// memory.
Scorer *scorer_new(const Replica *replica);
Scorer *scorer_new_of(const ScorerNetwork *network);
void scorer_free(Scorer *scorer);

// Sees the residual rows (count, n_mels) of a clip, block by block in their order.
typedef struct ScorerRows {
    void (*take)(void *context, const real *rows, int64_t count);
    void *context;
} ScorerRows;

// log_mel is (frame_count, n_mels). If `mean_residual` (n_mels) is not NULL it gets the mean over
// all vectors and their frames of reconstruction minus input, a residual row: what Mahalanobis
// scores are made of. `rows`, if not NULL, sees each of them.
// STATUS_FORMAT when the clip is too short for a vector, when a feature is not finite, or when the
// score is not.
Status scorer_clip(Scorer *scorer, const float *log_mel, int64_t frame_count, ClipScore *ret_score,
                   double *mean_residual, const ScorerRows *rows);

#endif
