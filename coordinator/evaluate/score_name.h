// SPDX-License-Identifier: Apache-2.0
//
// What the name of a file of scores or decisions says: machine, section, and what tells apart the
// results of several models in one folder. Pure functions, any thread.
#ifndef AUSCULT_COORDINATOR_EVALUATE_SCORE_NAME_H
#define AUSCULT_COORDINATOR_EVALUATE_SCORE_NAME_H

#include "common/eval/clipname.h"

typedef enum ScoreKind {
    SCORE_NONE,        // a file of another kind
    SCORE_VALUES,      // anomaly_score_...: "clip,score"
    SCORE_DECISIONS,   // decision_result_...: "clip,0|1"
    SCORE_PREDICTIONS, // challenge_predictions.csv of a run: both, of all machines
} ScoreKind;

typedef struct ScoreName {
    ScoreKind kind;
    char machine[LIMIT_NAME_BYTES]; // "" for SCORE_PREDICTIONS
    char section[CLIPNAME_SECTION_BYTES];
    int32_t year;                   // of a "DCASE2024T2" before the machine, else 0
    char variant[LIMIT_NAME_BYTES]; // what the baseline puts behind: "seed13711_id(0_)_Eval"
} ScoreName;

// Names of the challenge, `anomaly_score_<machine>_section_NN_test.csv`, of 2020
// (`..._id_NN.csv`), of 2021 (`..._section_NN_source_test.csv`), and of the official baseline
// (`anomaly_score_DCASE2024T2<machine>_section_NN_test_seed13711<tag>_Eval.csv`).
ScoreName score_name_read(const char *path);

#endif
