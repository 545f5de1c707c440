// SPDX-License-Identifier: Apache-2.0
//
// What a run has: feature groups, variants, models, systems. A variant is one combination of all
// settings that a model depends on, its seed among them (common/base/variants.h), and has a model
// for each machine, or for each section of it, with the clips that train it and those it will
// score. Variants whose features are made alike are of one group. A system yields one column of
// scores: a variant, one score, and the settings of its report; the systems of a variant share its
// models. Made from the dataset once; plain data, never changed after, but for Model.folder.
#ifndef AUSCULT_COORDINATOR_PLAN_MODELS_H
#define AUSCULT_COORDINATOR_PLAN_MODELS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/limits.h"
#include "common/base/settings.h"
#include "coordinator/dataset/dataset.h"

typedef struct FeatureGroup {
    Settings settings; // of which those of features count
    Digest digest;     // of these
} FeatureGroup;

typedef struct Variant {
    char name[LIMIT_SYSTEM_BYTES]; // of its models' folders: "n_mels_64_seed_2"; "" when alone
    Settings settings;             // as if the run had no other variant; of all scores
    uint32_t group;                // index into Models.groups
    uint32_t first_system;         // index into Models.systems
    uint32_t system_count;
} Variant;

typedef struct System {
    char name[LIMIT_SYSTEM_BYTES];    // of its outputs' folder: "seed_2_MAHALA"; "" when alone
    char setting[LIMIT_SYSTEM_BYTES]; // the same without the seed
    Settings settings;                // as if the run had no other system
    uint32_t variant;                 // index into Models.variants
} System;

typedef struct Model {
    char label[2 * LIMIT_NAME_BYTES];  // for logs and file names: "fan", "fan_section_00_seed_2"
    char home[2 * LIMIT_NAME_BYTES];   // its results, below RUN/data: "fan/section_00" in the
                                       // primary variant, "fan/section_00/seed_2" in others
    char folder[2 * LIMIT_NAME_BYTES]; // its checkpoints: "fan/section_00/dev/n_mels_64_seed_2" in
                                       // every variant and whatever other sets there are, so that
                                       // these and other values never move them; without the set
                                       // where that is plain
    uint32_t variant;                  // index into Models.variants
    const Settings *settings;          // of its variant
    uint32_t machine;                  // index into Dataset.machines
    const char *section;               // "" for a whole machine; borrowed from the dataset
    uint64_t key;    // names machine and section to the random-number streams, whatever the variant
    uint32_t *train; // (train_count) indices of its training clips, left-out ones too
    uint32_t train_count;
    uint32_t *test; // (test_count) likewise
    uint32_t test_count;
} Model;

typedef struct Models {
    FeatureGroup *groups; // (group_count) the first is the primary system's
    uint32_t group_count;
    Variant *variants; // (variant_count) the first is the primary system's
    uint32_t variant_count;
    System *systems; // (system_count) by variant; the first is the primary one
    uint32_t system_count;
    Model *models;           // by variant; then by set, machine, section
    uint32_t count;          // of all variants
    uint32_t per_variant;    // of each; their clips are lists that the first one's models own
    uint32_t *model_of_clip; // (clip_count) in the first variant; UINT32_MAX: none (supplemental)
} Models;

// A machine name that occurs in two sets gets ".dev", ".eval" or ".plain" behind it, in label and
// folders; a machine that is really called "fan.dev" or "fan_section_00" gets "~2" where that would
// be another model's name. No two models share a label, a folder of results or one of checkpoints.
// Adding a value to what varies renames none; adding a set may rename results, but no checkpoints.
// `settings` have passed settings_check. STATUS_MEMORY; STATUS_LIMIT where a
// machine's and a variant's name together are too long for a file's.
Status models_make(const Dataset *dataset, const Settings *settings, Models *ret_models);
void models_done(Models *models);

// The model of a clip in a system, UINT32_MAX when it has none.
uint32_t models_of_clip(const Models *models, uint32_t system, uint32_t clip);
// The first of a system's Models.per_variant models, which stand one after the other.
uint32_t models_of_system(const Models *models, uint32_t system);
// The feature group of a model.
uint32_t models_group(const Models *models, uint32_t model);
// Whether some system of a model decides by this kind of threshold.
bool models_decide_by(const Models *models, uint32_t model, ThresholdKind kind);

#endif
