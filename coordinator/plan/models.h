// SPDX-License-Identifier: Apache-2.0
//
// Which models a run has: one for each machine, or for each section of it, with the clips that
// train it and those it will score. Made from the dataset once; plain data, never changed after.
#ifndef AUSCULT_COORDINATOR_PLAN_MODELS_H
#define AUSCULT_COORDINATOR_PLAN_MODELS_H

#include <stdint.h>

#include "common/base/limits.h"
#include "common/base/settings.h"
#include "coordinator/dataset/dataset.h"

typedef struct Model {
    char label[2 * LIMIT_NAME_BYTES];  // for logs and file names: "fan", "fan_section_00"
    char folder[2 * LIMIT_NAME_BYTES]; // below RUN/data: "fan", "fan/section_00"
    uint32_t machine;                  // index into Dataset.machines
    const char *section;               // "" for a whole machine; borrowed from the dataset
    uint64_t key;                      // names the model to the random-number streams
    uint32_t *train; // (train_count) indices of its training clips, left-out ones too
    uint32_t train_count;
    uint32_t *test; // (test_count) likewise
    uint32_t test_count;
} Model;

typedef struct Models {
    Model *models; // by set, machine, section
    uint32_t count;
    uint32_t *model_of_clip; // (clip_count) UINT32_MAX: of no model (supplemental)
} Models;

// A machine name that occurs in two sets gets ".dev", ".eval" or ".plain" behind it, in label and
// folder; a machine that is really called "fan.dev" or "fan_section_00" gets "~2" where that would
// be another model's name. No two models share a label or a folder. STATUS_MEMORY.
Status models_make(const Dataset *dataset, const Settings *settings, Models *ret_models);
void models_done(Models *models);

#endif
