// SPDX-License-Identifier: Apache-2.0
//
// The clip that stands for others: nearest to the median of its machine, domain and label, band by
// band. Medians, so that a few odd clips do not decide what is typical.
#include <math.h>

#include "common/base/mem.h"
#include "coordinator/explore/parts.h"

typedef struct Kind {
    uint32_t first, end; // clips of the machine
    ClipDomain domain;
    ClipLabel label;
} Kind;

static bool is_of(const ExploreSummary *summary, const Kind *kind, uint32_t clip) {
    const Clip *facts = &summary->dataset->clips[clip];
    return explore_is_there(summary, clip) && facts->domain == kind->domain &&
           facts->label == kind->label;
}

// median (n_mels); values: room for the clips. False: there is no such clip.
static bool find_median(const ExploreSummary *summary, const Kind *kind, double *values,
                        double *median) {
    uint32_t count = 0;
    for (int32_t m = 0; m < summary->n_mels; m++) {
        count = 0;
        for (uint32_t c = kind->first; c < kind->end; c++) {
            if (is_of(summary, kind, c)) {
                values[count++] = summary->explorations[c].mean[m];
            }
        }
        median[m] = explore_median(values, count);
    }
    return count > 0;
}

static double distance_of(const ExploreSummary *summary, uint32_t clip, const double *median) {
    double sum = 0;
    for (int32_t m = 0; m < summary->n_mels; m++) {
        double off = summary->explorations[clip].mean[m] - median[m];
        sum += off * off;
    }
    return sqrt(sum / summary->n_mels);
}

static Status add_nearest(ExploreSummary *summary, const Kind *kind, const double *median) {
    if (!mem_grow(&summary->typical, summary->typical_count, &summary->typical_capacity,
                  sizeof *summary->typical)) {
        return STATUS_MEMORY;
    }
    TypicalClip *typical = &summary->typical[summary->typical_count++];
    *typical = (TypicalClip){.domain = kind->domain, .label = kind->label, .distance = INFINITY};
    for (uint32_t c = kind->first; c < kind->end; c++) {
        // The first on a tie, and clips are sorted by path.
        double distance = is_of(summary, kind, c) ? distance_of(summary, c, median) : INFINITY;
        if (distance < typical->distance) {
            typical->distance = distance;
            typical->clip = c;
        }
    }
    return STATUS_OK;
}

Status explore_typical_make(ExploreSummary *summary) {
    static const ClipLabel LABELS[] = {LABEL_NORMAL, LABEL_ANOMALY, LABEL_UNKNOWN};
    static const ClipDomain DOMAINS[] = {DOMAIN_SOURCE, DOMAIN_TARGET, DOMAIN_UNKNOWN};
    const Dataset *dataset = summary->dataset;
    double *values = mem_new(dataset->clip_count, sizeof *values);
    double *median = mem_new((size_t)summary->n_mels, sizeof *median);
    Status status = values != NULL && median != NULL ? STATUS_OK : STATUS_MEMORY;
    for (uint32_t i = 0; i < 9 * dataset->machine_count && status == STATUS_OK; i++) {
        const Machine *machine = &dataset->machines[i / 9];
        Kind kind = {.first = machine->first_clip,
                     .end = machine->first_clip + machine->clip_count,
                     .label = LABELS[i / 3 % 3],
                     .domain = DOMAINS[i % 3]};
        if (find_median(summary, &kind, values, median)) {
            status = add_nearest(summary, &kind, median);
        }
    }
    mem_free(values);
    mem_free(median);
    return status;
}
