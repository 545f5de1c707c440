// SPDX-License-Identifier: Apache-2.0
#include "coordinator/explore/summary.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "coordinator/explore/parts.h"

bool explore_is_there(const ExploreSummary *summary, uint32_t clip) {
    return summary->explorations[clip].n_mels > 0;
}

bool explore_is_sound(const ExploreSummary *summary, uint32_t clip) {
    return explore_is_there(summary, clip) && summary->explorations[clip].is_sound;
}

static int compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double explore_median(double *values, size_t count) {
    qsort(values, count, sizeof *values, compare);
    return count == 0       ? 0
           : count % 2 == 1 ? values[count / 2]
                            : 0.5 * (values[count / 2 - 1] + values[count / 2]);
}

Status explore_summary_make(const Dataset *dataset, const Exploration *explorations,
                            const Digest *digests, int32_t n_mels, ExploreSummary *ret) {
    Status (*const parts[])(ExploreSummary *) = {explore_groups_make, explore_shifts_make,
                                                 explore_planes_make, explore_typical_make};
    ExploreSummary summary = {.dataset = dataset, .explorations = explorations, .n_mels = n_mels};
    Status status = explore_suspicious_make(&summary, digests);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && status == STATUS_OK; i++) {
        status = parts[i](&summary);
    }
    if (status != STATUS_OK) {
        explore_summary_done(&summary);
        return status;
    }
    *ret = summary;
    return STATUS_OK;
}

void explore_summary_done(ExploreSummary *summary) {
    for (uint32_t g = 0; g < summary->group_count; g++) {
        mem_free(summary->groups[g].mean);
    }
    mem_free(summary->groups);
    mem_free(summary->suspicious);
    mem_free(summary->shifts);
    mem_free(summary->points);
    mem_free(summary->planes);
    mem_free(summary->typical);
    mem_free(summary->centres_hz);
    *summary = (ExploreSummary){0};
}
