// SPDX-License-Identifier: Apache-2.0
//
// The challenge's metrics, as the official baseline and evaluator compute them (with
// sklearn.metrics): AUC, partial AUC, precision, recall, F1, and means over machines and sections.
// An undefined metric (a class without clips) is NaN, never 0. Any thread.
#ifndef AUSCULT_EVAL_METRICS_H
#define AUSCULT_EVAL_METRICS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"

// One labelled clip.
typedef struct MetricClip {
    double score;
    int domain;      // 0 source, 1 target, -1 unknown (then in no metric of one domain)
    int label;       // 0 normal, 1 anomaly; -1 unknown: left out of everything
    bool is_anomaly; // the decision
} MetricClip;

// Of one section's test clips. NaN where undefined.
typedef struct Metrics {
    double auc;         // all normals against all anomalies
    double auc_source;  // normals of the source domain against the anomalies of both domains
    double auc_target;  // normals of the target domain likewise
    double pauc;        // all clips, up to max_fpr
    double pauc_source; // clips of the source domain only, of both labels (unlike AUC)
    double pauc_target;
    double precision, recall, f1;                      // all clips
    double precision_source, recall_source, f1_source; // clips of the source domain only
    double precision_target, recall_target, f1_target;
} Metrics;

// Denominators of precision, recall and F1, and values under a harmonic mean, are at least this
// (Python's sys.float_info.epsilon).
#define METRICS_FLOOR 2.220446049250313e-16

// Area under the ROC curve: the share of pairs (anomaly, normal) in which the anomaly scores
// higher; a tie counts half. labels[i] is 0 or 1. NaN when a class is missing. STATUS_INVALID when
// a score is NaN; STATUS_MEMORY. O(n log n).
Status metrics_auc(const double *scores, const unsigned char *labels, size_t count,
                   double *ret_auc);

// Area up to the false-positive rate `max_fpr` (0 < max_fpr <= 1), with the curve interpolated
// there, put on the scale where chance is 0.5 and perfection 1 (McClish, Medical Decision Making
// 9, 1989): 0.5 (1 + (p - m) / (max_fpr - m)), m = max_fpr^2 / 2. Equals the AUC at max_fpr = 1,
// as in sklearn.metrics.roc_auc_score(max_fpr=).
Status metrics_pauc(const double *scores, const unsigned char *labels, size_t count, double max_fpr,
                    double *ret_pauc);

// All metrics of one section. Precision, recall and F1 of a set that lacks a class are NaN.
Status metrics_of_clips(const MetricClip *clips, size_t count, double max_fpr,
                        Metrics *ret_metrics);

// Means over what is defined: NaN values are left out; NaN when none is left. In the order given.
double metrics_mean_arithmetic(const double *values, size_t count);
// Values below METRICS_FLOOR count as METRICS_FLOOR.
double metrics_mean_harmonic(const double *values, size_t count);

#endif
