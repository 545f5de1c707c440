// SPDX-License-Identifier: Apache-2.0
//
// How sure an official score is: confidence intervals from the test clips of all sections. Two of
// our own, for the official score itself, and the one that dcase2023_ and dcase2024_task2_evaluator
// print, which is for something else. Deterministic: same clips and seed, same bits. An object is
// used by one thread at a time.
#ifndef AUSCULT_EVAL_INTERVAL_H
#define AUSCULT_EVAL_INTERVAL_H

#include "common/base/status.h"
#include "common/eval/official.h"

// The test clips of one section.
typedef struct IntervalSection {
    size_t machine; // see OfficialSection
    const MetricClip *clips;
    size_t count;
} IntervalSection;

// All NaN when there are too few clips, or the score is undefined.
typedef struct Intervals {
    double score; // the official score itself
    // 95 % by bootstrap: percentiles 2.5 and 97.5 of the official score over resamples drawn with
    // replacement within each section, domain and label (Efron and Tibshirani, 1993, chapter 13).
    double bootstrap_low, bootstrap_high;
    double bootstrap_deviation; // standard deviation over the resamples
    // Half the width of 95 % by jackknife: t(0.975, N-1) sqrt((N-1)/N sum (s_i - mean s)^2), s_i
    // the official score without clip i of all N (Mesaros et al., TASLP 27(6), 2019, section IV).
    double jackknife_half;
    // The evaluator's "official score ci95": the clips of all machines pooled into one ROC curve,
    // t(0.975, N-1) sqrt(sum / (N (N-1))) of its AUC and of its pAUC, the mean of both. No
    // interval of the official score, and by its factor N-1 times narrower than a jackknife.
    double evaluator_half;
} Intervals;

typedef struct IntervalConfig {
    OfficialRule rule;
    double max_fpr;
    uint32_t resamples; // of the bootstrap; 0: none
    uint64_t seed;
} IntervalConfig;

// STATUS_INVALID: a score is NaN; STATUS_MEMORY. Time: (resamples + clips of a section) walks over
// all clips, and for each clip one over the highest of the pooled ones, up to max_fpr.
Status interval_make(const IntervalConfig *config, const IntervalSection *sections, size_t count,
                     Intervals *ret_intervals);

#endif
