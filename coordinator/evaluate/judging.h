// SPDX-License-Identifier: Apache-2.0
//
// All systems judged by one ground truth, several at a time. Each is judged by itself, so the
// number of threads changes time and never bits. Called from one thread.
#ifndef AUSCULT_COORDINATOR_EVALUATE_JUDGING_H
#define AUSCULT_COORDINATOR_EVALUATE_JUDGING_H

#include "coordinator/evaluate/system.h"

typedef struct JudgingConfig {
    const Truth *truth;
    const SystemList *systems;
    EvaluationConfig evaluation; // has_decisions is each system's own
    int set;                     // see system_scores_read
    uint32_t threads;            // at least 1
} JudgingConfig;

// Of one system.
typedef struct Judgement {
    SystemScores scores;
    Evaluation evaluation; // empty when there are errors among the remarks
    bool is_judged;
} Judgement;

// One for each system of the list, in its order; free with judgements_done. STATUS_MEMORY; what is
// wrong with a system is among its remarks.
Status judging_make(const JudgingConfig *config, Judgement **ret_judgements);
void judgements_done(Judgement *judgements, uint32_t count);

#endif
