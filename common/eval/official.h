// SPDX-License-Identifier: Apache-2.0
//
// The challenge's official scores, year by year: the one number by which a system is judged, from
// the areas of the sections of all its machines. Pure functions, any thread.
#ifndef AUSCULT_EVAL_OFFICIAL_H
#define AUSCULT_EVAL_OFFICIAL_H

#include <stddef.h>

#include "common/eval/areas.h"

typedef enum OfficialRule {
    // 2020, without domains: arithmetic mean over the sections ("ids") of each machine, then over
    // machines, of AUC and of pAUC; the mean of both. (The challenge ranked by the ranks of the two
    // means, which dcase2020_task2_evaluator prints: see official_means.)
    OFFICIAL_2020,
    // 2021: harmonic mean over machines, sections and domains of {AUC, pAUC}, both labels of one
    // domain.
    OFFICIAL_2021,
    // 2022 and later, and what the baselines print in their own summaries of every year with two
    // domains: harmonic mean over machines and sections of {AUC source, AUC target, pAUC}, each AUC
    // with the anomalies of both domains, pAUC over all clips (dcase2023_task2_evaluator).
    OFFICIAL_2022,
} OfficialRule;

// One section of one machine. Sections of one machine are neighbours.
typedef struct OfficialSection {
    size_t machine; // equal for the sections of one machine
    Areas areas;
} OfficialSection;

// Undefined areas are left out; NaN when none is defined.
double official_score(OfficialRule rule, const OfficialSection *sections, size_t count);

// Arithmetic means over the sections of each machine, then over machines, of AUC and of pAUC.
void official_means(const OfficialSection *sections, size_t count, double *ret_auc,
                    double *ret_pauc);

// "official_2020", "official_2021", "official_2022"; borrowed for good.
const char *official_rule_name(OfficialRule rule);
// The rule of a year's challenge; later ones follow 2022.
OfficialRule official_rule_of_year(int year);

#endif
