// SPDX-License-Identifier: Apache-2.0
#include "common/eval/decision.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void __attribute__((format(printf, 2, 3)))
add_note(Decision *decision, const char *format, ...) {
    size_t used = strlen(decision->note);
    const char *between = used > 0 ? "; " : "";
    used += (size_t)snprintf(decision->note + used, DECISION_NOTE_BYTES - used, "%s", between);
    if (used >= DECISION_NOTE_BYTES) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(decision->note + used, DECISION_NOTE_BYTES - used, format, args);
    va_end(args);
}

// The finite scores in ascending order; the caller frees *ret_sorted.
static Status sort_finite(const double *scores, size_t count, Decision *decision,
                          double **ret_sorted) {
    double *sorted = mem_new(count > 0 ? count : 1, sizeof *sorted);
    if (sorted == NULL) {
        return STATUS_MEMORY;
    }
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (isfinite(scores[i])) {
            sorted[used++] = scores[i];
        }
    }
    if (used == 0) {
        mem_free(sorted);
        return status_set(STATUS_INVALID, "none of %zu training scores is a finite number", count);
    }
    if (used < count) {
        add_note(decision, "%zu of %zu training scores are not finite and were left out",
                 count - used, count);
    }
    qsort(sorted, used, sizeof *sorted, by_value);
    decision->scores_used = used;
    *ret_sorted = sorted;
    return STATUS_OK;
}

double decision_percentile_of_sorted(const double *sorted, size_t count, double percent) {
    assert(count > 0);
    double place = percent / 100 * (double)(count - 1);
    double whole = floor(place);
    size_t below = whole < (double)(count - 1) ? (size_t)whole : count - 1;
    size_t above = below + 1 < count ? below + 1 : below;
    double t = place - whole;
    double step = sorted[above] - sorted[below];
    if (!isfinite(step)) { // further apart than the largest double
        return sorted[below] * (1 - t) + sorted[above] * t;
    }
    // From the nearer end, as NumPy does: exact at both.
    return t < 0.5 ? sorted[below] + step * t : sorted[above] - step * (1 - t);
}

static double round_to_12_digits(double value) {
    char text[40];
    snprintf(text, sizeof text, "%.11e", value);
    return strtod(text, NULL);
}

static size_t count_above(const double *sorted, size_t count, double threshold) {
    size_t above = 0;
    while (above < count && sorted[count - 1 - above] > threshold) {
        above++;
    }
    return above;
}

// The finite scores that a distribution is fitted to.
typedef struct Sample {
    const double *scores; // (count) in their own order, which the sums of SciPy's walk depend on
    const double *sorted; // (count)
    size_t count;
    double quantile;
} Sample;

// NULL if the fit and its quantile agree with the scores that they came from, else what is wrong.
static const char *doubt(const Sample *sample, Gamma fit, double threshold) {
    const double *sorted = sample->sorted;
    size_t count = sample->count;
    if (!isfinite(threshold)) {
        return "has no finite quantile";
    }
    // The likelihood then grows without bound as the location nears the least score, so where the
    // walk stopped says nothing. One huge score among others does it.
    if (fit.shape < 1) {
        return "has no peak (shape below 1)";
    }
    if (sample->quantile >= 0.5 &&
        !(threshold >= decision_percentile_of_sorted(sorted, count, 50))) {
        return "puts its quantile below the median score";
    }
    if (!gamma_is_plausible(count_above(sorted, count, threshold), count, sample->quantile)) {
        return "does not describe the scores";
    }
    return NULL;
}

// What is wrong with a fit of greatest likelihood; NULL if nothing is.
static const char *doubt_of_mle(const Sample *sample, Gamma fit, Status *ret_status) {
    Gamma moments;
    double likelihood = gamma_log_likelihood(fit, sample->scores, sample->count);
    if (!isfinite(likelihood)) {
        return "leaves scores outside its support";
    }
    Status status = gamma_fit_moments(sample->scores, sample->count, &moments);
    if (status == STATUS_MEMORY) {
        *ret_status = status;
        return "ran out of memory";
    }
    if (status == STATUS_OK &&
        gamma_log_likelihood(moments, sample->scores, sample->count) > likelihood + 1e-3) {
        return "is less likely than the fit of the moments";
    }
    return doubt(sample, fit, gamma_quantile(fit, sample->quantile));
}

// Fits by greatest likelihood. NULL if all is well; the decision then has fit and threshold.
// `is_compat`: whatever has a finite quantile is well, with a note of what is wrong with it.
static const char *try_mle(const Sample *sample, bool is_compat, Decision *decision,
                           Status *ret_status) {
    Gamma fit;
    *ret_status = gamma_fit_scipy(sample->scores, sample->count, &fit);
    if (*ret_status != STATUS_OK) {
        return "did not converge";
    }
    const char *wrong = doubt_of_mle(sample, fit, ret_status);
    double threshold = gamma_quantile(fit, sample->quantile);
    if (wrong != NULL && !(is_compat && *ret_status == STATUS_OK && isfinite(threshold))) {
        return wrong;
    }
    if (wrong != NULL) {
        add_note(decision, "the gamma fit %s; it is used all the same, as the baseline does",
                 wrong);
    }
    decision->method = DECISION_MLE;
    decision->gamma = fit;
    decision->threshold = threshold;
    return NULL;
}

static const char *try_moments(const Sample *sample, Decision *decision, Status *ret_status) {
    Gamma fit;
    *ret_status = gamma_fit_moments(sample->scores, sample->count, &fit);
    if (*ret_status != STATUS_OK) {
        return "does not exist";
    }
    double threshold = gamma_quantile(fit, sample->quantile);
    const char *wrong = doubt(sample, fit, threshold);
    if (wrong == NULL) {
        decision->method = DECISION_MOMENTS;
        decision->gamma = fit;
        decision->threshold = threshold;
    }
    return wrong;
}

static void take_percentile(const Sample *sample, Decision *decision) {
    decision->method = DECISION_PERCENTILE;
    decision->threshold =
        decision_percentile_of_sorted(sample->sorted, sample->count, 100 * sample->quantile);
    add_note(decision, "the percentile of the scores is used");
}

// After a fit of greatest likelihood that is wrong. STATUS_MEMORY.
static Status fall_back(const Sample *sample, const char *wrong, Decision *decision) {
    Status status;
    add_note(decision, "the gamma fit %s", wrong);
    wrong = try_moments(sample, decision, &status);
    if (status == STATUS_MEMORY) {
        return status;
    }
    if (wrong == NULL) {
        add_note(decision, "the fit of the moments is used");
    } else {
        add_note(decision, "that of the moments %s", wrong);
        take_percentile(sample, decision);
    }
    return STATUS_OK;
}

static Status choose(const Sample *sample, bool is_compat, Decision *decision) {
    Status status;
    double median = decision_percentile_of_sorted(sample->sorted, sample->count, 50);
    const char *wrong = try_mle(sample, is_compat, decision, &status);
    if (status == STATUS_MEMORY) {
        return status;
    }
    bool is_as_asked = wrong == NULL && is_compat;
    if (wrong != NULL) {
        status = fall_back(sample, wrong, decision);
        if (status != STATUS_OK || decision->method == DECISION_PERCENTILE) {
            return status;
        }
    }
    decision->threshold = round_to_12_digits(decision->threshold);
    if (!is_as_asked && sample->quantile >= 0.5 &&
        decision->threshold < median) { // by the rounding
        decision->threshold = median;
    }
    return STATUS_OK;
}

// Whether a distribution can be fitted at all; otherwise the largest score is the threshold.
static bool can_be_fitted(const double *sorted, Decision *decision) {
    size_t count = decision->scores_used;
    double least = sorted[0], most = sorted[count - 1];
    if (count < DECISION_SCORES_LEAST) {
        add_note(decision, "only %zu training score%s, the threshold is the largest", count,
                 count == 1 ? "" : "s");
    } else if (!(most - least > 1e-9 * fmax(fabs(least), fabs(most)))) {
        add_note(decision, "all %zu training scores are equal, the threshold is the largest",
                 count);
    } else {
        return true;
    }
    decision->method = DECISION_LARGEST;
    decision->threshold = most;
    return false;
}

static Status fit_in_order(const double *scores, size_t count, Sample *sample, bool is_compat,
                           Decision *decision) {
    double *finite = mem_new(sample->count, sizeof *finite);
    if (finite == NULL) {
        return STATUS_MEMORY;
    }
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (isfinite(scores[i])) {
            finite[used++] = scores[i];
        }
    }
    sample->scores = finite;
    Status status = choose(sample, is_compat, decision);
    mem_free(finite);
    return status;
}

static Status decide(const double *scores, size_t count, double quantile, bool is_compat,
                     Decision *ret_decision) {
    assert(quantile > 0 && quantile < 1);
    Decision decision = {0};
    double *sorted = NULL;
    Status status = sort_finite(scores, count, &decision, &sorted);
    if (status != STATUS_OK) {
        return status;
    }
    if (can_be_fitted(sorted, &decision)) {
        Sample sample = {.sorted = sorted, .count = decision.scores_used, .quantile = quantile};
        status = fit_in_order(scores, count, &sample, is_compat, &decision);
    }
    mem_free(sorted);
    if (status == STATUS_OK) {
        *ret_decision = decision;
    }
    return status;
}

Status decision_by_gamma(const double *scores, size_t count, double quantile,
                         Decision *ret_decision) {
    return decide(scores, count, quantile, false, ret_decision);
}

Status decision_by_gamma_compat(const double *scores, size_t count, double quantile,
                                Decision *ret_decision) {
    return decide(scores, count, quantile, true, ret_decision);
}

Status decision_by_percentile(const double *scores, size_t count, double percent,
                              Decision *ret_decision) {
    assert(percent >= 0 && percent <= 100);
    Decision decision = {.method = DECISION_PERCENTILE};
    double *sorted = NULL;
    Status status = sort_finite(scores, count, &decision, &sorted);
    if (status != STATUS_OK) {
        return status;
    }
    if (decision.scores_used < DECISION_SCORES_LEAST) {
        add_note(&decision, "only %zu training score%s", decision.scores_used,
                 decision.scores_used == 1 ? "" : "s");
    }
    decision.threshold = decision_percentile_of_sorted(sorted, decision.scores_used, percent);
    mem_free(sorted);
    *ret_decision = decision;
    return STATUS_OK;
}

bool decision_is_anomaly(double score, double threshold) {
    return score > threshold;
}

const char *decision_method_name(DecisionMethod method) {
    static const char *const NAMES[] = {"mle", "moments", "percentile", "largest", "fixed"};
    return NAMES[method];
}
