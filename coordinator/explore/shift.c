// SPDX-License-Identifier: Apache-2.0
//
// How far a machine's source and target domains lie apart, number by number and band by band.
#include <math.h>
#include <stdlib.h>

#include "common/base/mem.h"
#include "coordinator/explore/parts.h"

typedef struct Moments {
    uint32_t count;
    double mean, variance; // the variance divided by count - 1
} Moments;

static double value_of(const ExploreSummary *summary, uint32_t clip, int32_t feature) {
    const Exploration *found = &summary->explorations[clip];
    return feature < EXPLORATION_NUMBERS ? found->numbers[feature]
                                         : found->mean[feature - EXPLORATION_NUMBERS];
}

// Of normal clips: an anomaly is no matter of the domain.
static bool counts(const ExploreSummary *summary, uint32_t clip, ClipDomain domain,
                   int32_t feature) {
    const Clip *facts = &summary->dataset->clips[clip];
    bool is_there = feature < EXPLORATION_NUMBERS ? explore_is_sound(summary, clip)
                                                  : explore_is_there(summary, clip);
    return is_there && facts->domain == domain && facts->label == LABEL_NORMAL;
}

static Moments moments_of(const ExploreSummary *summary, const Machine *machine, ClipDomain domain,
                          int32_t feature) {
    Moments moments = {0};
    uint32_t end = machine->first_clip + machine->clip_count;
    double sum = 0, squares = 0;
    for (uint32_t c = machine->first_clip; c < end; c++) {
        if (counts(summary, c, domain, feature)) {
            sum += value_of(summary, c, feature);
            moments.count++;
        }
    }
    if (moments.count == 0) {
        return moments;
    }
    moments.mean = sum / moments.count;
    for (uint32_t c = machine->first_clip; c < end; c++) {
        if (counts(summary, c, domain, feature)) {
            double off = value_of(summary, c, feature) - moments.mean;
            squares += off * off;
        }
    }
    moments.variance = moments.count > 1 ? squares / (moments.count - 1) : 0;
    return moments;
}

// False: there is none to be told.
static bool shift_of(const ExploreSummary *summary, uint32_t machine, int32_t feature,
                     DomainShift *ret) {
    const Machine *facts = &summary->dataset->machines[machine];
    Moments source = moments_of(summary, facts, DOMAIN_SOURCE, feature);
    Moments target = moments_of(summary, facts, DOMAIN_TARGET, feature);
    if (source.count < 2 || target.count < 2) {
        return false;
    }
    double scale = sqrt((source.variance + target.variance) / 2);
    double difference = target.mean - source.mean;
    bool is_equal = !(difference > 0) && !(difference < 0);
    double shift = is_equal ? 0 : difference / scale;
    *ret = (DomainShift){.machine = machine,
                         .feature = feature,
                         .source = source.mean,
                         .target = target.mean,
                         .shift = shift,
                         .source_count = source.count,
                         .target_count = target.count};
    return isfinite(shift);
}

Status explore_shifts_make(ExploreSummary *summary) {
    uint32_t machines = summary->dataset->machine_count;
    int32_t features = EXPLORATION_NUMBERS + summary->n_mels;
    summary->shifts = mem_new((size_t)machines * (size_t)features, sizeof *summary->shifts);
    if (summary->shifts == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t m = 0; m < machines; m++) {
        for (int32_t f = 0; f < features; f++) {
            summary->shift_count += shift_of(summary, m, f, &summary->shifts[summary->shift_count]);
        }
    }
    return STATUS_OK;
}
