// SPDX-License-Identifier: Apache-2.0
//
// The trained models below a folder, for scoring new clips on the spot: found by their files,
// chosen by a clip's path and name, loaded when the first clip needs them. Needs nothing of a run
// but the model files, so a copied folder will do. One thread.
#ifndef AUSCULT_COORDINATOR_SPOT_SPOT_MODELS_H
#define AUSCULT_COORDINATOR_SPOT_SPOT_MODELS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/limits.h"
#include "common/base/settings.h"
#include "common/base/status.h"
#include "common/model/linalg.h"

typedef struct SpotModel {
    const char *name;    // its folder below the one that was named: "fan", "fan/section_00"
    const char *damage;  // why it cannot be used, NULL when it can
    const char *machine; // of a damaged one, what its folder's name tells
    const char *section; // "" for a whole machine
    ScoreKind score;     // that it is asked for
    bool has_others;     // it has what other scores need, too
    double threshold;    // for that score; NaN: none was decided
    Kernel kernel;       // the one it was trained with
} SpotModel;

typedef struct SpotModels SpotModels;

// Finds every model below `path`: a run's folder, a model's, or a model file itself. A damaged file
// is kept as such, so that its machine's clips do not go to another model. Models of further seeds,
// which stand below the primary one's, are passed over unless `path` names them. They are asked for
// `score`, NULL: each for the first that its run made; one that lacks what that score needs counts
// as damaged. STATUS_NOT_FOUND when there is none; the first one's error when none can be used;
// STATUS_LIMIT beyond LIMIT_MACHINES.
Status spot_models_open(const char *path, const ScoreKind *score, SpotModels **ret_models);
void spot_models_free(SpotModels *models);
uint32_t spot_models_count(const SpotModels *models);
const SpotModel *spot_models_get(const SpotModels *models, uint32_t index);

// The kernel with which scores are those of the run bit for bit: the one that the first usable
// model was trained with. Where that is beyond `best`, or where another model was trained with
// another, `note` says whose last digits may differ; else it is empty.
Kernel spot_models_kernel(const SpotModels *models, Kernel best, char note[LIMIT_MESSAGE_BYTES]);

// Which model a clip belongs to. A single model takes every clip. Else the machine is the nearest
// folder on the clip's path (as given, then with links resolved) that is called like the machine of
// a model, or the machine that all models share; among its models, section and, if need be, set
// (dev_data, eval_data or additional on the path) decide. STATUS_NOT_FOUND names the models there
// are; STATUS_FORMAT when the model is a damaged one.
Status spot_models_choose(const SpotModels *models, const char *clip_path, uint32_t *ret_index);

// The clip's score by that model; statuses as source_measure's, and those of reading the model
// file.
Status spot_models_score(SpotModels *models, uint32_t index, const char *clip_path,
                         double *ret_score);

#endif
