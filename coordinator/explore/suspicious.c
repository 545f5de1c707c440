// SPDX-License-Identifier: Apache-2.0
//
// Clips that somebody should look at before a model learns from them. What is usual is the median
// of the machine's sound clips; how far from it is unusual, their median absolute deviation says.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/dsp/maths.h"
#include "coordinator/explore/parts.h"

#define SILENT_SHARE 0.99
#define DC_LEAST     0.01                // of full scale: nobody hears less, nor does it cost range
#define DC_OF_LEVEL  0.1                 // of the clip's RMS
#define Z_MOST       6.0                 // one clip in 500 million, were they normally distributed
#define MAD_TO_SIGMA 1.4826              // of a normal distribution
#define LEVEL_LEAST  0.5                 // dB: fewer than 3 dB apart is no matter
#define LENGTH_LEAST 0.01                // of the usual length
#define NEPER_PER_DB 0.11512925464970229 // ln(10) / 20

static const char *const NAMES[SUSPICIONS] = {
    [SUSPICION_SILENT] = "silent",
    [SUSPICION_CLIPPED] = "clipped",
    [SUSPICION_DC] = "dc",
    [SUSPICION_RATE] = "rate",
    [SUSPICION_LENGTH] = "length",
    [SUSPICION_LEVEL] = "level",
    [SUSPICION_DUPLICATE] = "duplicate",
};

const char *suspicion_name(Suspicion suspicion) {
    return NAMES[suspicion];
}

// NULL: out of memory. The caller writes the reason.
static SuspiciousClip *add(ExploreSummary *summary, uint32_t clip, Suspicion suspicion,
                           double value, double usual) {
    if (!mem_grow(&summary->suspicious, summary->suspicious_count, &summary->suspicious_capacity,
                  sizeof *summary->suspicious)) {
        return NULL;
    }
    SuspiciousClip *added = &summary->suspicious[summary->suspicious_count++];
    *added = (SuspiciousClip){
        .clip = clip, .suspicion = suspicion, .value = value, .usual = usual, .other = UINT32_MAX};
    return added;
}

// ---- what is usual for a machine ----

typedef struct Usual {
    double rate_hz; // of most clips; on a tie the lowest
    double seconds, seconds_mad;
    double level_db, level_mad;
} Usual;

static uint32_t collect(const ExploreSummary *summary, const Machine *machine,
                        ExplorationNumber number, double *values) {
    uint32_t count = 0;
    for (uint32_t c = machine->first_clip; c < machine->first_clip + machine->clip_count; c++) {
        if (explore_is_sound(summary, c)) {
            values[count++] = summary->explorations[c].numbers[number];
        }
    }
    return count;
}

static void median_and_mad(double *values, uint32_t count, double *ret_median, double *ret_mad) {
    *ret_median = explore_median(values, count);
    for (uint32_t i = 0; i < count; i++) {
        values[i] = fabs(values[i] - *ret_median);
    }
    *ret_mad = explore_median(values, count);
}

static double most_common(double *values, uint32_t count) {
    (void)explore_median(values, count); // sorts them
    double best = 0;
    uint32_t best_count = 0;
    for (uint32_t i = 0; i < count;) {
        uint32_t first = i;
        while (i < count && !(values[i] > values[first])) {
            i++;
        }
        if (i - first > best_count) {
            best_count = i - first;
            best = values[first];
        }
    }
    return best;
}

// values (clips of the machine): room.
static Usual usual_of(const ExploreSummary *summary, const Machine *machine, double *values) {
    Usual usual = {0};
    usual.rate_hz = most_common(values, collect(summary, machine, NUMBER_RATE_HZ, values));
    median_and_mad(values, collect(summary, machine, NUMBER_SECONDS, values), &usual.seconds,
                   &usual.seconds_mad);
    median_and_mad(values, collect(summary, machine, NUMBER_LEVEL_DB, values), &usual.level_db,
                   &usual.level_mad);
    return usual;
}

// Whether it is further off than such values are; `least`: a deviation that is always usual.
static bool is_far(double value, double median, double mad, double least) {
    double scale = MAD_TO_SIGMA * mad;
    return fabs(value - median) > Z_MOST * (scale > least ? scale : least);
}

// ---- one clip ----

static Status judge_sound(ExploreSummary *summary, uint32_t clip, bool *ret_is_silent) {
    const double *n = summary->explorations[clip].numbers;
    SuspiciousClip *added;
    *ret_is_silent = n[NUMBER_SILENT_SHARE] >= SILENT_SHARE;
    if (*ret_is_silent) {
        added = add(summary, clip, SUSPICION_SILENT, n[NUMBER_SILENT_SHARE], SILENT_SHARE);
        if (added == NULL) {
            return STATUS_MEMORY;
        }
        snprintf(added->reason, sizeof added->reason, "%.4g %% of it lies below %g dB",
                 100 * n[NUMBER_SILENT_SHARE], EXPLORATION_SILENCE_DB);
    }
    if (n[NUMBER_CLIPPED_RUNS] > 0) {
        added = add(summary, clip, SUSPICION_CLIPPED, n[NUMBER_CLIPPED_SHARE], 0);
        if (added == NULL) {
            return STATUS_MEMORY;
        }
        snprintf(added->reason, sizeof added->reason,
                 "%.4g %% of its samples lie at full scale, in %.0f run%s",
                 100 * n[NUMBER_CLIPPED_SHARE], n[NUMBER_CLIPPED_RUNS],
                 n[NUMBER_CLIPPED_RUNS] > 1 ? "s" : "");
    }
    double rms = maths_exp(NEPER_PER_DB * n[NUMBER_LEVEL_DB]);
    if (fabs(n[NUMBER_DC]) > DC_LEAST && fabs(n[NUMBER_DC]) > DC_OF_LEVEL * rms) {
        added = add(summary, clip, SUSPICION_DC, n[NUMBER_DC], 0);
        if (added == NULL) {
            return STATUS_MEMORY;
        }
        snprintf(added->reason, sizeof added->reason, "its mean is %.3g of full scale, not zero",
                 n[NUMBER_DC]);
    }
    return STATUS_OK;
}

static Status compare_with_usual(ExploreSummary *summary, uint32_t clip, const Usual *usual,
                                 bool is_silent) {
    const double *n = summary->explorations[clip].numbers;
    SuspiciousClip *added;
    if (n[NUMBER_RATE_HZ] > usual->rate_hz || n[NUMBER_RATE_HZ] < usual->rate_hz) {
        added = add(summary, clip, SUSPICION_RATE, n[NUMBER_RATE_HZ], usual->rate_hz);
        if (added == NULL) {
            return STATUS_MEMORY;
        }
        snprintf(added->reason, sizeof added->reason, "its rate is %.0f Hz, most have %.0f Hz",
                 n[NUMBER_RATE_HZ], usual->rate_hz);
    }
    if (is_far(n[NUMBER_SECONDS], usual->seconds, usual->seconds_mad,
               LENGTH_LEAST / Z_MOST * usual->seconds)) {
        added = add(summary, clip, SUSPICION_LENGTH, n[NUMBER_SECONDS], usual->seconds);
        if (added == NULL) {
            return STATUS_MEMORY;
        }
        snprintf(added->reason, sizeof added->reason, "it is %.5g s long, the usual is %.5g s",
                 n[NUMBER_SECONDS], usual->seconds);
    }
    if (!is_silent && is_far(n[NUMBER_LEVEL_DB], usual->level_db, usual->level_mad, LEVEL_LEAST)) {
        added = add(summary, clip, SUSPICION_LEVEL, n[NUMBER_LEVEL_DB], usual->level_db);
        if (added == NULL) {
            return STATUS_MEMORY;
        }
        snprintf(added->reason, sizeof added->reason, "its level is %.1f dB, the usual is %.1f dB",
                 n[NUMBER_LEVEL_DB], usual->level_db);
    }
    return STATUS_OK;
}

static Status judge_machine(ExploreSummary *summary, const Machine *machine, double *values) {
    Usual usual = usual_of(summary, machine, values);
    Status status = STATUS_OK;
    uint32_t end = machine->first_clip + machine->clip_count;
    for (uint32_t c = machine->first_clip; c < end && status == STATUS_OK; c++) {
        if (explore_is_sound(summary, c)) {
            bool is_silent;
            status = judge_sound(summary, c, &is_silent);
            if (status == STATUS_OK) {
                status = compare_with_usual(summary, c, &usual, is_silent);
            }
        }
    }
    return status;
}

// ---- duplicates ----

typedef struct Content {
    Digest digest;
    uint32_t clip;
} Content;

static int compare_contents(const void *left, const void *right) {
    const Content *a = left, *b = right;
    int by = memcmp(a->digest.bytes, b->digest.bytes, sizeof a->digest.bytes);
    return by != 0 ? by : (a->clip > b->clip) - (a->clip < b->clip);
}

static Status add_duplicates(ExploreSummary *summary, const Content *contents, uint32_t count) {
    uint32_t first = 0;
    for (uint32_t i = 1; i < count; i++) {
        if (!digest_equal(contents[i].digest, contents[first].digest)) {
            first = i;
            continue;
        }
        SuspiciousClip *added = add(summary, contents[i].clip, SUSPICION_DUPLICATE, 0, 0);
        if (added == NULL) {
            return STATUS_MEMORY;
        }
        added->other = contents[first].clip;
        snprintf(added->reason, sizeof added->reason, "the same bytes as another clip");
    }
    return STATUS_OK;
}

static Status find_duplicates(ExploreSummary *summary, const Digest *digests) {
    uint32_t clips = summary->dataset->clip_count, count = 0;
    Content *contents = mem_new(clips, sizeof *contents);
    if (contents == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t c = 0; c < clips; c++) {
        if (explore_is_there(summary, c)) {
            contents[count++] = (Content){digests[c], c};
        }
    }
    qsort(contents, count, sizeof *contents, compare_contents);
    Status status = add_duplicates(summary, contents, count);
    mem_free(contents);
    return status;
}

static int compare_suspicious(const void *left, const void *right) {
    const SuspiciousClip *a = left, *b = right;
    int by = (a->clip > b->clip) - (a->clip < b->clip);
    return by != 0 ? by : (a->suspicion > b->suspicion) - (a->suspicion < b->suspicion);
}

Status explore_suspicious_make(ExploreSummary *summary, const Digest *digests) {
    const Dataset *dataset = summary->dataset;
    double *values = mem_new(dataset->clip_count, sizeof *values);
    Status status = values != NULL ? STATUS_OK : STATUS_MEMORY;
    for (uint32_t m = 0; m < dataset->machine_count && status == STATUS_OK; m++) {
        status = judge_machine(summary, &dataset->machines[m], values);
    }
    mem_free(values);
    if (status == STATUS_OK) {
        status = find_duplicates(summary, digests);
    }
    if (status == STATUS_OK && summary->suspicious_count > 0) {
        qsort(summary->suspicious, summary->suspicious_count, sizeof *summary->suspicious,
              compare_suspicious);
    }
    return status;
}
