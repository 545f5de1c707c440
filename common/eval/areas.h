// SPDX-License-Identifier: Apache-2.0
//
// The areas under a section's ROC curves for any weights of its clips, from one walk over the
// clips in the order of their scores. Sorting is done once; a bootstrap of a thousand resamples or
// a jackknife then costs a walk each. With all weights 1 the areas are those of metrics.h. An
// object is used by one thread at a time.
#ifndef AUSCULT_EVAL_AREAS_H
#define AUSCULT_EVAL_AREAS_H

#include <stddef.h>
#include <stdint.h>

#include "common/eval/metrics.h"

// NaN where a class has no weight.
typedef struct Areas {
    double auc;                                // all clips
    double auc_source, auc_target;             // normals of one domain, anomalies of both (2022+)
    double auc_source_alone, auc_target_alone; // both labels of one domain (2021)
    double pauc;                               // all clips, up to max_fpr
    double pauc_source, pauc_target;           // both labels of one domain
} Areas;

typedef struct AreaRanks AreaRanks;

// Ranks the labelled ones of a section's clips. STATUS_INVALID: a score is NaN; STATUS_MEMORY.
Status area_ranks_new(const MetricClip *clips, size_t count, AreaRanks **ret);
void area_ranks_free(AreaRanks *ranks);

// How many clips are ranked, and which of the section's clips stands at a rank.
size_t area_ranks_count(const AreaRanks *ranks);
size_t area_ranks_clip(const AreaRanks *ranks, size_t rank);

// weights: (area_ranks_count) by rank, how often each clip counts; NULL for once each.
Areas area_ranks_areas(const AreaRanks *ranks, const uint32_t *weights, double max_fpr);

// What area_ranks_areas would give for the curve of all clips without one of them, for each in
// turn, to the bit: (area_ranks_count) values of auc and of pauc, by rank. A clip's share of the
// AUC is known from its place; a pAUC is walked anew, but only up to max_fpr.
void area_ranks_leave_one_out(const AreaRanks *ranks, double max_fpr, double *auc, double *pauc);

#endif
