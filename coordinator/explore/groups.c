// SPDX-License-Identifier: Apache-2.0
//
// Clips that are alike by machine, section, domain, split and label.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "coordinator/explore/parts.h"

#define SILENT_SHARE 0.99

// qsort has no context; one summary is made at a time in a thread.
static _Thread_local const Dataset *sorted_dataset;

static int order(int64_t a, int64_t b) {
    return (a > b) - (a < b);
}

static int compare_groups(const Clip *a, const Clip *b) {
    int by = order(a->machine, b->machine);
    by = by != 0 ? by : strcmp(a->section, b->section);
    by = by != 0 ? by : order(a->domain, b->domain);
    by = by != 0 ? by : order(a->split, b->split);
    return by != 0 ? by : order(a->label, b->label);
}

static int compare(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    int by = compare_groups(&sorted_dataset->clips[a], &sorted_dataset->clips[b]);
    return by != 0 ? by : order(a, b);
}

static Spread spread_of(double *values, uint32_t count) {
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += values[i];
    }
    double mean = sum / count;
    for (uint32_t i = 0; i < count; i++) {
        squares += (values[i] - mean) * (values[i] - mean);
    }
    double median = explore_median(values, count); // sorts them
    return (Spread){.least = values[0],
                    .median = median,
                    .most = values[count - 1],
                    .mean = mean,
                    .deviation = sqrt(squares / count)};
}

// values (clips of the group): room.
static void take_numbers(const ExploreSummary *summary, const uint32_t *clips, ExploredGroup *group,
                         double *values) {
    for (int n = 0; n < EXPLORATION_NUMBERS; n++) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < group->count; i++) {
            if (explore_is_sound(summary, clips[i])) {
                values[count++] = summary->explorations[clips[i]].numbers[n];
            }
        }
        if (count > 0) {
            group->numbers[n] = spread_of(values, count);
        }
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < group->count; i++) {
        const double *numbers = summary->explorations[clips[i]].numbers;
        if (explore_is_sound(summary, clips[i])) {
            group->clipped += numbers[NUMBER_CLIPPED_RUNS] > 0;
            group->silent += numbers[NUMBER_SILENT_SHARE] >= SILENT_SHARE;
            group->seconds += numbers[NUMBER_SECONDS];
            values[count++] = numbers[NUMBER_RATE_HZ];
        }
    }
    group->sounds = count;
    (void)explore_median(values, count); // sorts them
    for (uint32_t i = 0; i < count; i++) {
        group->rates += i == 0 || values[i] > values[i - 1];
    }
}

static Status take_bands(const ExploreSummary *summary, const uint32_t *clips,
                         ExploredGroup *group) {
    size_t n_mels = (size_t)summary->n_mels;
    group->mean = mem_new(2 * n_mels, sizeof *group->mean);
    if (group->mean == NULL) {
        return STATUS_MEMORY;
    }
    group->spread = group->mean + n_mels;
    for (size_t m = 0; m < n_mels; m++) {
        double sum = 0, squares = 0;
        for (uint32_t i = 0; i < group->count; i++) {
            sum += summary->explorations[clips[i]].mean[m];
        }
        group->mean[m] = sum / group->count;
        for (uint32_t i = 0; i < group->count; i++) {
            double off = summary->explorations[clips[i]].mean[m] - group->mean[m];
            squares += off * off;
        }
        group->spread[m] = sqrt(squares / group->count);
    }
    return STATUS_OK;
}

static uint32_t count_groups(const Dataset *dataset, const uint32_t *clips, uint32_t count) {
    uint32_t groups = 0;
    for (uint32_t i = 0; i < count; i++) {
        groups +=
            i == 0 || compare_groups(&dataset->clips[clips[i - 1]], &dataset->clips[clips[i]]) != 0;
    }
    return groups;
}

static Status make_groups(ExploreSummary *summary, const uint32_t *clips, uint32_t count,
                          double *values) {
    const Dataset *dataset = summary->dataset;
    summary->groups = mem_new(count_groups(dataset, clips, count), sizeof *summary->groups);
    Status status = summary->groups != NULL ? STATUS_OK : STATUS_MEMORY;
    for (uint32_t i = 0; i < count && status == STATUS_OK;) {
        const Clip *first = &dataset->clips[clips[i]];
        ExploredGroup *group = &summary->groups[summary->group_count++];
        *group = (ExploredGroup){.machine = first->machine,
                                 .section = first->section,
                                 .domain = first->domain,
                                 .split = first->split,
                                 .label = first->label};
        while (i + group->count < count &&
               compare_groups(first, &dataset->clips[clips[i + group->count]]) == 0) {
            group->count++;
        }
        take_numbers(summary, clips + i, group, values);
        status = take_bands(summary, clips + i, group);
        i += group->count;
    }
    return status;
}

Status explore_groups_make(ExploreSummary *summary) {
    const Dataset *dataset = summary->dataset;
    uint32_t count = 0;
    uint32_t *clips = mem_new(dataset->clip_count, sizeof *clips);
    double *values = mem_new(dataset->clip_count, sizeof *values);
    Status status = clips != NULL && values != NULL ? STATUS_OK : STATUS_MEMORY;
    for (uint32_t c = 0; status == STATUS_OK && c < dataset->clip_count; c++) {
        if (explore_is_there(summary, c)) {
            clips[count++] = c;
        }
    }
    if (status == STATUS_OK) {
        sorted_dataset = dataset;
        qsort(clips, count, sizeof *clips, compare);
        status = make_groups(summary, clips, count, values);
    }
    mem_free(clips);
    mem_free(values);
    return status;
}
