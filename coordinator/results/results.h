// SPDX-License-Identifier: Apache-2.0
//
// From a finished plan to files: thresholds from the training clips' scores, decisions, each
// model's folder, and the outputs. The last step of the data's path. Everything written is a pure
// function of data, settings and seed.
#ifndef AUSCULT_COORDINATOR_RESULTS_RESULTS_H
#define AUSCULT_COORDINATOR_RESULTS_RESULTS_H

#include "coordinator/outputs/scored_clip.h"
#include "coordinator/plan/plan.h"

typedef struct ResultsConfig {
    const Dataset *dataset;
    const Settings *settings;
    const Plan *plan;
    const char *run_folder;
    const char *label; // of the submission, e.g. "auscult_task2_1"
    Stage until;       // TRAIN writes models, SCORE also predictions, REPORT everything
    bool is_changed;   // outputs of an earlier invocation may be of other data, settings or models
} ResultsConfig;

typedef struct Results {
    ScoredClip *clips; // one for each training and test clip, as the primary system has it
    size_t clip_count;
    size_t left_out; // clips that a system leaves out, and files that did not become clips
    size_t scored;   // test clips of the primary system
    char **notes;    // (note_count) lines about thresholds, for people
    uint32_t note_count;
    char problem[256]; // why the report has no pictures, or not all; "" when it has
} Results;

// Where the threshold of a model stands, as one of its systems has it, among those of all.
size_t results_threshold(const Models *models, uint32_t system, uint32_t model);

// Decides and writes. STATUS_IO, STATUS_MEMORY.
Status results_write(const ResultsConfig *config, Results *ret_results);
void results_done(Results *results);

#endif
