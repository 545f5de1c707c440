// SPDX-License-Identifier: Apache-2.0
#include "coordinator/evaluate/evaluation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

static const char *section_of(const JudgedClip *clip) {
    return clip->section[0] != '\0' ? clip->section : "00";
}

// A clip and where it stood, so that equal ones keep their order.
typedef struct Placed {
    const JudgedClip *clip;
    size_t place;
} Placed;

static int by_section(const void *left, const void *right) {
    const Placed *a = left, *b = right;
    int order = strcmp(a->clip->machine, b->clip->machine);
    order = order != 0 ? order : strcmp(section_of(a->clip), section_of(b->clip));
    return order != 0 ? order : (a->place > b->place) - (a->place < b->place);
}

static Status take_clips(const JudgedClip *clips, size_t count, Evaluation *e) {
    Placed *placed = mem_new(count + 1, sizeof *placed);
    e->clips = mem_new(count + 1, sizeof *e->clips);
    e->metrics = mem_new(count + 1, sizeof *e->metrics);
    e->sections = mem_new(count + 1, sizeof *e->sections);
    if (placed == NULL || e->clips == NULL || e->metrics == NULL || e->sections == NULL) {
        mem_free(placed);
        return STATUS_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        if (clips[i].metric.label >= 0) {
            placed[e->clip_count++] = (Placed){&clips[i], i};
            e->has_domains = e->has_domains || clips[i].metric.domain >= 0;
        }
    }
    qsort(placed, e->clip_count, sizeof *placed, by_section);
    for (uint32_t i = 0; i < e->clip_count; i++) {
        e->clips[i] = *placed[i].clip;
        e->metrics[i] = placed[i].clip->metric;
    }
    mem_free(placed);
    return STATUS_OK;
}

static void cut_sections(Evaluation *e) {
    for (uint32_t i = 0; i < e->clip_count; i++) {
        const JudgedClip *clip = &e->clips[i];
        SectionResult *last = e->section_count > 0 ? &e->sections[e->section_count - 1] : NULL;
        bool same_machine = last != NULL && strcmp(last->machine, clip->machine) == 0;
        if (!same_machine || strcmp(last->section, section_of(clip)) != 0) {
            e->machine_count += !same_machine;
            last = &e->sections[e->section_count++];
            *last = (SectionResult){.machine = clip->machine,
                                    .section = section_of(clip),
                                    .machine_index = e->machine_count - 1,
                                    .first = i};
        }
        last->count++;
        last->normals += clip->metric.label == 0;
        last->anomalies += clip->metric.label == 1;
    }
}

static void forget_decisions(Metrics *m) {
    m->precision = m->recall = m->f1 = NAN;
    m->precision_source = m->recall_source = m->f1_source = NAN;
    m->precision_target = m->recall_target = m->f1_target = NAN;
}

static Status measure(Evaluation *e, SectionResult *section) {
    const MetricClip *clips = &e->metrics[section->first];
    double max_fpr = e->config.max_fpr;
    AreaRanks *ranks = NULL;
    Status status = metrics_of_clips(clips, section->count, max_fpr, &section->metrics);
    if (status == STATUS_OK) {
        status = area_ranks_new(clips, section->count, &ranks);
    }
    if (status == STATUS_OK) {
        section->areas = area_ranks_areas(ranks, NULL, max_fpr);
    }
    if (!e->config.has_decisions) {
        forget_decisions(&section->metrics);
    }
    area_ranks_free(ranks);
    return status;
}

static Status summarise(Evaluation *e) {
    OfficialSection *sections = mem_new(e->section_count + 1, sizeof *sections);
    if (sections == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t s = 0; s < e->section_count; s++) {
        sections[s] = (OfficialSection){e->sections[s].machine_index, e->sections[s].areas};
    }
    e->official = official_score(e->config.rule, sections, e->section_count);
    e->baseline_summary = official_score(OFFICIAL_2022, sections, e->section_count);
    official_means(sections, e->section_count, &e->mean_auc, &e->mean_pauc);
    mem_free(sections);
    return STATUS_OK;
}

static Status find_intervals(Evaluation *e) {
    IntervalConfig config = {.rule = e->config.rule,
                             .max_fpr = e->config.max_fpr,
                             .resamples = e->config.resamples,
                             .seed = e->config.seed};
    IntervalSection *sections = mem_new(e->section_count + 1, sizeof *sections);
    if (sections == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t s = 0; s < e->section_count; s++) {
        const SectionResult *section = &e->sections[s];
        sections[s] =
            (IntervalSection){section->machine_index, &e->metrics[section->first], section->count};
    }
    Status status = interval_make(&config, sections, e->section_count, &e->intervals);
    mem_free(sections);
    return status;
}

Status evaluation_make(const EvaluationConfig *config, const JudgedClip *clips, size_t count,
                       Evaluation *ret_evaluation) {
    Evaluation *e = ret_evaluation;
    *e = (Evaluation){.config = *config, .intervals = {NAN, NAN, NAN, NAN, NAN, NAN}};
    Status status = take_clips(clips, count, e);
    if (status == STATUS_OK) {
        cut_sections(e);
    }
    for (uint32_t s = 0; s < e->section_count && status == STATUS_OK; s++) {
        status = measure(e, &e->sections[s]);
    }
    if (status == STATUS_OK) {
        status = summarise(e);
    }
    return status == STATUS_OK && config->has_intervals ? find_intervals(e) : status;
}

void evaluation_done(Evaluation *evaluation) {
    mem_free(evaluation->clips);
    mem_free(evaluation->metrics);
    mem_free(evaluation->sections);
    *evaluation = (Evaluation){0};
}
