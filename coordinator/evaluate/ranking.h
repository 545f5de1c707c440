// SPDX-License-Identifier: Apache-2.0
//
// Systems side by side: their places, and all of it as a table for people, as CSV and as JSON. One
// thread.
#ifndef AUSCULT_COORDINATOR_EVALUATE_RANKING_H
#define AUSCULT_COORDINATOR_EVALUATE_RANKING_H

#include "coordinator/evaluate/evaluation.h"
#include "coordinator/remarks.h"

// One system; borrowed, but for what is worked out here.
typedef struct RankedSystem {
    const char *name;
    const Evaluation *evaluation; // NULL where errors left nothing to judge
    const Remarks *remarks;
    uint32_t rank; // from 1; 0 without an official score
} RankedSystem;

typedef struct Ranking {
    RankedSystem *systems; // (count)
    uint32_t count;
    OfficialRule rule;
    int32_t year;        // 0 when nothing tells
    const char *year_is; // where the year is from: "given", ...
    const Remarks *truth_remarks;
    uint32_t truth_clips, truth_labelled;
} Ranking;

// Puts the systems in order of their official score, best first, equal ones by name, and gives them
// their places: equal scores share one, and the next is as much further down (1, 2, 2, 4). Systems
// without a score stand last.
void ranking_settle(Ranking *ranking);

// What the official score is, in a line: "harmonic mean of ...".
const char *ranking_rule_text(OfficialRule rule);

// A row per system; for a single one, a row per section and its means.
void ranking_format(const Ranking *ranking, Buffer *out);
// Columns rank, system, official_score, bootstrap_low, bootstrap_high, jackknife_half,
// evaluator_ci95, baseline_summary, auc, auc_source, auc_target, pauc, precision_source,
// precision_target, recall_source, recall_target, f1_source, f1_target, reason. Metrics are means
// over sections: harmonic, in 2020 arithmetic. `reason` is the first error of a system without
// rank.
void ranking_csv(const Ranking *ranking, Buffer *out);
// One object: rule, year, truth, systems with their sections, remarks. Undefined values are null.
void ranking_json(const Ranking *ranking, Buffer *out);

#endif
