// SPDX-License-Identifier: Apache-2.0
//
// From the scores of a model's training clips to the threshold, and from a clip's score to the
// decision. Whatever the scores are, the threshold is a number and (but for the baseline's own way)
// not below their median; when the wished way of getting it fails, the next one is taken and a note
// says why. Any thread.
#ifndef AUSCULT_EVAL_DECISION_H
#define AUSCULT_EVAL_DECISION_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"
#include "common/eval/gamma.h"

#define DECISION_NOTE_BYTES 320
// Fewer scores than this say nothing about a distribution of three parameters.
#define DECISION_SCORES_LEAST 5

typedef enum DecisionMethod {
    DECISION_MLE,        // quantile of the gamma distribution of greatest likelihood
    DECISION_MOMENTS,    // quantile of the gamma distribution with the scores' moments
    DECISION_PERCENTILE, // percentile of the scores themselves
    DECISION_LARGEST,    // the largest score: too few, or all equal
    DECISION_FIXED,      // given by the settings
} DecisionMethod;

typedef struct Decision {
    double threshold; // decision 1 when a score is greater
    DecisionMethod method;
    Gamma gamma;                    // of DECISION_MLE and DECISION_MOMENTS, else zeros
    size_t scores_used;             // finite ones
    char note[DECISION_NOTE_BYTES]; // one sentence on what was not as wished; "" if nothing
} Decision;

// The quantile (0 < quantile < 1) of a gamma distribution fitted to the scores, rounded to twelve
// digits (so that it prints alike on processors whose libm differs). Scores that are not finite
// are left out, with a note. In this order:
// - fewer than DECISION_SCORES_LEAST scores, or all (but for rounding) equal: the largest of them;
// - gamma_fit_scipy, unless degenerate: a score outside the support, a likelihood below that of the
//   moments' fit, a shape below 1 (no greatest likelihood then), or an implausible quantile:
//   not finite, below the median, or with a share of the scores above it that the fit itself makes
//   less likely than one in a million;
// - gamma_fit_moments, unless its shape is below 1 or its quantile implausible;
// - the percentile 100 * quantile of the scores.
// A quantile below 0.5 is below the median by wish and kept. STATUS_INVALID when no score is
// finite; STATUS_MEMORY.
Status decision_by_gamma(const double *scores, size_t count, double quantile,
                         Decision *ret_decision);

// As the official baseline decides: the quantile of gamma_fit_scipy wherever it ends, degenerate or
// not, even below the median, with a note of what is wrong with it. Only where SciPy gives nothing
// (an error, no finite quantile) it goes on as decision_by_gamma does; so it does with scores of
// which SciPy makes little sense: fewer than DECISION_SCORES_LEAST, or all equal.
Status decision_by_gamma_compat(const double *scores, size_t count, double quantile,
                                Decision *ret_decision);

// The percentile (0 .. 100) of the finite scores. Errors as above.
Status decision_by_percentile(const double *scores, size_t count, double percent,
                              Decision *ret_decision);

// numpy.percentile's default (linear interpolation) of values in ascending order; count >= 1,
// 0 <= percent <= 100.
double decision_percentile_of_sorted(const double *sorted, size_t count, double percent);

// False for a score or threshold that is NaN.
bool decision_is_anomaly(double score, double threshold);

// "mle", "moments", "percentile", "largest"; borrowed for good.
const char *decision_method_name(DecisionMethod method);

#endif
