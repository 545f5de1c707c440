// SPDX-License-Identifier: Apache-2.0
//
// Which frequencies the mel bands of each machine stand for: they depend on the rate of its clips.
#include <math.h>

#include "common/base/mem.h"
#include "common/dsp/logmel.h"
#include "coordinator/explore/parts.h"

// The rate of most of a machine's sounds, on a tie the lowest; 0 without any.
static int32_t rate_of(const ExploreSummary *summary, const Machine *machine, double *values) {
    uint32_t count = 0, best_count = 0, same = 0;
    double best = 0;
    for (uint32_t c = machine->first_clip; c < machine->first_clip + machine->clip_count; c++) {
        if (explore_is_sound(summary, c)) {
            values[count++] = summary->explorations[c].numbers[NUMBER_RATE_HZ];
        }
    }
    (void)explore_median(values, count); // sorts them
    for (uint32_t i = 0; i < count; i++) {
        same = i > 0 && !(values[i] > values[i - 1]) ? same + 1 : 1;
        if (same > best_count) {
            best_count = same;
            best = values[i];
        }
    }
    return (int32_t)best;
}

Status explore_summary_centres(ExploreSummary *summary, const Settings *settings) {
    const Dataset *dataset = summary->dataset;
    size_t n_mels = (size_t)summary->n_mels, bands = dataset->machine_count * n_mels;
    double *values = mem_new(dataset->clip_count, sizeof *values);
    double *centres = mem_new(bands, sizeof *centres);
    Status status = values != NULL && centres != NULL ? STATUS_OK : STATUS_MEMORY;
    for (size_t i = 0; centres != NULL && i < bands; i++) {
        centres[i] = (double)NAN;
    }
    for (uint32_t m = 0; m < dataset->machine_count && status == STATUS_OK; m++) {
        int32_t rate_hz = rate_of(summary, &dataset->machines[m], values);
        if (rate_hz > 0) {
            status = logmel_centres(settings, rate_hz, centres + m * n_mels);
        }
    }
    mem_free(values);
    if (status != STATUS_OK) {
        mem_free(centres);
        return status;
    }
    mem_free(summary->centres_hz);
    summary->centres_hz = centres;
    return STATUS_OK;
}
