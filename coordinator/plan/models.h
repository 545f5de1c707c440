// SPDX-License-Identifier: Apache-2.0
//
// Which systems a run has, and which models: a system yields one column of scores, for now one for
// each seed, and has a model for each machine, or for each section of it, with the clips that train
// it and those it will score. Made from the dataset once; plain data, never changed after.
#ifndef AUSCULT_COORDINATOR_PLAN_MODELS_H
#define AUSCULT_COORDINATOR_PLAN_MODELS_H

#include <stdint.h>

#include "common/base/limits.h"
#include "common/base/settings.h"
#include "coordinator/dataset/dataset.h"

typedef struct System {
    char name[32];     // of its folders: "seed_2"
    Settings settings; // as if the run had no other system
} System;

typedef struct Model {
    char label[2 * LIMIT_NAME_BYTES];  // for logs and file names: "fan", "fan_section_00_seed_2"
    char home[2 * LIMIT_NAME_BYTES];   // its results, below RUN/data: "fan/section_00" in the
                                       // primary system, "fan/section_00/seed_2" in others
    char folder[2 * LIMIT_NAME_BYTES]; // its checkpoints: "fan/section_00/seed_2" in every system,
                                       // so that other seeds, or their order, never move them
    uint32_t system;                   // index into Models.systems
    const Settings *settings;          // of its system
    uint32_t machine;                  // index into Dataset.machines
    const char *section;               // "" for a whole machine; borrowed from the dataset
    uint64_t key;    // names machine and section to the random-number streams, whatever the system
    uint32_t *train; // (train_count) indices of its training clips, left-out ones too
    uint32_t train_count;
    uint32_t *test; // (test_count) likewise
    uint32_t test_count;
} Model;

typedef struct Models {
    System *systems; // (system_count) the first is the primary one
    uint32_t system_count;
    Model *models;           // by system; then by set, machine, section
    uint32_t count;          // of all systems
    uint32_t per_system;     // of each; their clips are lists that the primary one's models own
    uint32_t *model_of_clip; // (clip_count) in the primary system; UINT32_MAX: none (supplemental)
} Models;

// A machine name that occurs in two sets gets ".dev", ".eval" or ".plain" behind it, in label and
// folders; a machine that is really called "fan.dev" or "fan_section_00" gets "~2" where that would
// be another model's name. No two models share a label or a folder, and adding a seed renames none.
// STATUS_MEMORY.
Status models_make(const Dataset *dataset, const Settings *settings, Models *ret_models);
void models_done(Models *models);

// The model of a clip in a system, UINT32_MAX when it has none.
uint32_t models_of_clip(const Models *models, uint32_t system, uint32_t clip);

#endif
