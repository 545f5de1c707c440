// SPDX-License-Identifier: Apache-2.0
//
// One system judged: the metrics of every section of every machine, the official score of its year,
// and how sure that is. From labelled scores, wherever they come from. A pure function of them:
// same scores, same bits. Any thread may make one of its own.
#ifndef AUSCULT_COORDINATOR_EVALUATE_EVALUATION_H
#define AUSCULT_COORDINATOR_EVALUATE_EVALUATION_H

#include "common/eval/interval.h"
#include "common/eval/metrics.h"
#include "coordinator/dataset/dataset.h"

// A test clip with what is known of it and what a system says. Texts are borrowed.
typedef struct JudgedClip {
    const char *machine;
    const char *section; // "" counts as "00"
    const ClipAttribute *attributes;
    uint32_t attribute_count;
    MetricClip metric; // its score is finite
} JudgedClip;

typedef struct SectionResult {
    const char *machine; // borrowed from the clips
    const char *section;
    uint32_t machine_index; // equal for the sections of one machine
    uint32_t first, count;  // of the evaluation's clips
    uint32_t normals, anomalies;
    Metrics metrics; // precision, recall and F1 are NaN when there are no decisions
    Areas areas;
} SectionResult;

typedef struct EvaluationConfig {
    OfficialRule rule;
    double max_fpr;
    uint32_t resamples; // of the bootstrap
    uint64_t seed;
    bool has_intervals; // whether they are worked out
    bool has_decisions; // whether the clips' decisions mean anything
} EvaluationConfig;

typedef struct Evaluation {
    EvaluationConfig config;
    JudgedClip *clips;       // (clip_count) by machine, section, as given
    MetricClip *metrics;     // (clip_count) of the same
    SectionResult *sections; // (section_count) by machine, section
    uint32_t clip_count, section_count, machine_count;
    bool has_domains; // of any clip
    double official;  // by config.rule; NaN when undefined
    // What the baselines' and evaluators' own summaries of years with domains print: OFFICIAL_2022.
    double baseline_summary;
    double mean_auc, mean_pauc; // official_means
    Intervals intervals;        // of `official`; all NaN without has_intervals
} Evaluation;

// Clips without label are left out. STATUS_INVALID: a score is NaN; STATUS_MEMORY. Free with
// evaluation_done, also after a failure.
Status evaluation_make(const EvaluationConfig *config, const JudgedClip *clips, size_t count,
                       Evaluation *ret_evaluation);
void evaluation_done(Evaluation *evaluation);

#endif
