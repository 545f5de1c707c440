// SPDX-License-Identifier: Apache-2.0
#include "common/eval/interval.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/eval/decision.h"
#include "common/eval/gamma.h"

// Clips of one section, domain and label are drawn among each other.
enum { STRATA = 6 };

typedef struct Section {
    AreaRanks *ranks;
    const MetricClip *clips;
    uint32_t *weights; // (count) by rank
    uint32_t *strata;  // (count) ranks, stratum by stratum
    uint32_t stratum_count[STRATA];
    size_t count; // ranked clips
} Section;

typedef struct Study {
    const IntervalConfig *config;
    Section *sections;        // (count)
    OfficialSection *results; // (count)
    size_t count;
    size_t clips; // ranked, of all sections
} Study;

static uint32_t stratum_of(const MetricClip *clip) {
    uint32_t domain = clip->domain == 0 ? 0 : clip->domain == 1 ? 1 : 2;
    return 2 * domain + (uint32_t)clip->label;
}

static void list_strata(Section *section) {
    uint32_t at = 0;
    for (uint32_t stratum = 0; stratum < STRATA; stratum++) {
        uint32_t first = at;
        for (size_t rank = 0; rank < section->count; rank++) {
            const MetricClip *clip = &section->clips[area_ranks_clip(section->ranks, rank)];
            if (stratum_of(clip) == stratum) {
                section->strata[at++] = (uint32_t)rank;
            }
        }
        section->stratum_count[stratum] = at - first;
    }
}

static Status open_section(const IntervalSection *from, Section *section) {
    section->clips = from->clips;
    Status status = area_ranks_new(from->clips, from->count, &section->ranks);
    if (status != STATUS_OK) {
        return status;
    }
    section->count = area_ranks_count(section->ranks);
    size_t room = section->count > 0 ? section->count : 1;
    section->weights = mem_new(room, sizeof *section->weights);
    section->strata = mem_new(room, sizeof *section->strata);
    if (section->weights == NULL || section->strata == NULL) {
        return STATUS_MEMORY;
    }
    list_strata(section);
    return STATUS_OK;
}

static void close_study(Study *study) {
    for (size_t s = 0; study->sections != NULL && s < study->count; s++) {
        area_ranks_free(study->sections[s].ranks);
        mem_free(study->sections[s].weights);
        mem_free(study->sections[s].strata);
    }
    mem_free(study->sections);
    mem_free(study->results);
}

static Status open_study(const IntervalConfig *config, const IntervalSection *sections,
                         size_t count, Study *study) {
    size_t room = count > 0 ? count : 1;
    *study = (Study){.config = config, .count = count};
    study->sections = mem_new(room, sizeof *study->sections);
    study->results = mem_new(room, sizeof *study->results);
    if (study->sections == NULL || study->results == NULL) {
        return STATUS_MEMORY;
    }
    Status status = STATUS_OK;
    for (size_t s = 0; s < count && status == STATUS_OK; s++) {
        status = open_section(&sections[s], &study->sections[s]);
        study->results[s].machine = sections[s].machine;
        study->clips += study->sections[s].count;
    }
    return status;
}

static double score_of(const Study *study) {
    return official_score(study->config->rule, study->results, study->count);
}

static void measure(Study *study, size_t section, const uint32_t *weights) {
    study->results[section].areas =
        area_ranks_areas(study->sections[section].ranks, weights, study->config->max_fpr);
}

static void measure_all(Study *study) {
    for (size_t s = 0; s < study->count; s++) {
        measure(study, s, NULL);
    }
}

// ---- bootstrap ----

static void resample(Section *section, Rng *rng) {
    memset(section->weights, 0, section->count * sizeof *section->weights);
    const uint32_t *ranks = section->strata;
    for (int stratum = 0; stratum < STRATA; stratum++) {
        uint32_t count = section->stratum_count[stratum];
        for (uint32_t i = 0; i < count; i++) {
            section->weights[ranks[rng_below(rng, count)]]++;
        }
        ranks += count;
    }
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double deviation_of(const double *values, size_t count) {
    double mean = 0, sum = 0;
    for (size_t i = 0; i < count; i++) {
        mean += values[i] / (double)count;
    }
    for (size_t i = 0; i < count; i++) {
        sum += (values[i] - mean) * (values[i] - mean);
    }
    return count > 1 ? sqrt(sum / (double)(count - 1)) : NAN;
}

static Status bootstrap(Study *study, Intervals *intervals) {
    uint32_t count = study->config->resamples;
    double *scores = mem_new(count > 0 ? count : 1, sizeof *scores);
    if (scores == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t r = 0; r < count; r++) {
        for (size_t s = 0; s < study->count; s++) {
            Rng rng = rng_of(study->config->seed, "bootstrap", r, s);
            resample(&study->sections[s], &rng);
            measure(study, s, study->sections[s].weights);
        }
        scores[r] = score_of(study);
    }
    if (count > 0 && !isnan(intervals->score)) {
        qsort(scores, count, sizeof *scores, ascending);
        intervals->bootstrap_low = decision_percentile_of_sorted(scores, count, 2.5);
        intervals->bootstrap_high = decision_percentile_of_sorted(scores, count, 97.5);
        intervals->bootstrap_deviation = deviation_of(scores, count);
    }
    mem_free(scores);
    return STATUS_OK;
}

// ---- jackknife ----

// Sum of squared distances from the mean of values that come one by one (Welford).
typedef struct Spread {
    double mean, squares;
    size_t count;
} Spread;

static void spread_add(Spread *spread, double value) {
    double delta = value - spread->mean;
    spread->count++;
    spread->mean += delta / (double)spread->count;
    spread->squares += delta * (value - spread->mean);
}

// To twelve digits, so that it is the same on processors whose libm differs.
static double t_95(size_t clips) {
    char text[32];
    snprintf(text, sizeof text, "%.11e", gamma_student_quantile(0.975, (double)(clips - 1)));
    return strtod(text, NULL);
}

static void jackknife(Study *study, Intervals *intervals) {
    Spread spread = {0};
    measure_all(study);
    for (size_t s = 0; s < study->count; s++) {
        Section *section = &study->sections[s];
        for (size_t i = 0; i < section->count; i++) {
            section->weights[i] = 1;
        }
        for (size_t i = 0; i < section->count; i++) {
            section->weights[i] = 0;
            measure(study, s, section->weights);
            section->weights[i] = 1;
            spread_add(&spread, score_of(study));
        }
        measure(study, s, NULL);
    }
    double clips = (double)study->clips;
    if (study->clips > 1) {
        intervals->jackknife_half = t_95(study->clips) * sqrt((clips - 1) / clips * spread.squares);
    }
}

// ---- the evaluator's ----

static Status pool_clips(const Study *study, MetricClip **ret_clips) {
    MetricClip *clips = mem_new(study->clips > 0 ? study->clips : 1, sizeof *clips);
    size_t at = 0;
    for (size_t s = 0; clips != NULL && s < study->count; s++) {
        const Section *section = &study->sections[s];
        for (size_t i = 0; i < section->count; i++) {
            clips[at++] = section->clips[area_ranks_clip(section->ranks, i)];
        }
    }
    *ret_clips = clips;
    return clips != NULL ? STATUS_OK : STATUS_MEMORY;
}

// room: (2 * area_ranks_count) numbers.
static void leave_each_out(const AreaRanks *ranks, double *room, double max_fpr,
                           Intervals *intervals) {
    size_t count = area_ranks_count(ranks);
    Spread auc = {0}, pauc = {0};
    area_ranks_leave_one_out(ranks, max_fpr, room, room + count);
    for (size_t i = 0; i < count; i++) {
        spread_add(&auc, room[i]);
        spread_add(&pauc, room[count + i]);
    }
    if (count > 1) {
        double pairs = (double)count * (double)(count - 1);
        intervals->evaluator_half =
            t_95(count) * (sqrt(auc.squares / pairs) + sqrt(pauc.squares / pairs)) / 2;
    }
}

static Status pooled(const Study *study, Intervals *intervals) {
    MetricClip *clips = NULL;
    AreaRanks *ranks = NULL;
    double *room = mem_new(2 * study->clips + 1, sizeof *room);
    Status status = room != NULL ? pool_clips(study, &clips) : STATUS_MEMORY;
    if (status == STATUS_OK) {
        status = area_ranks_new(clips, study->clips, &ranks);
    }
    if (status == STATUS_OK) {
        leave_each_out(ranks, room, study->config->max_fpr, intervals);
    }
    area_ranks_free(ranks);
    mem_free(clips);
    mem_free(room);
    return status;
}

Status interval_make(const IntervalConfig *config, const IntervalSection *sections, size_t count,
                     Intervals *ret_intervals) {
    Study study;
    Intervals intervals = {NAN, NAN, NAN, NAN, NAN, NAN};
    Status status = open_study(config, sections, count, &study);
    if (status == STATUS_OK) {
        measure_all(&study);
        intervals.score = score_of(&study);
        status = bootstrap(&study, &intervals);
    }
    if (status == STATUS_OK) {
        jackknife(&study, &intervals);
        status = pooled(&study, &intervals);
    }
    close_study(&study);
    if (status == STATUS_OK) {
        *ret_intervals = intervals;
    }
    return status;
}
