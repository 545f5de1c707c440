// SPDX-License-Identifier: Apache-2.0
#include "coordinator/results/result_tables.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "coordinator/evaluate/result_file.h"

// Those of `auscult evaluate`, and not the run's seed: a system's files do not change with which of
// the seeds comes first.
enum { RESAMPLES = 1000, RESAMPLING_SEED = 13711 };
enum { SETS = SET_PLAIN + 1 };

// The labelled test clips of one set.
typedef struct SetClips {
    JudgedClip *clips; // (count)
    size_t count;
    int32_t year; // of the first machine that has one
    bool has_domains;
} SetClips;

static void add_clip(const Clip *clip, const Machine *machine, const ScoredClip *scored,
                     SetClips *set) {
    set->clips[set->count++] = (JudgedClip){.machine = scored->machine,
                                            .section = scored->section,
                                            .attributes = clip->attributes,
                                            .attribute_count = clip->attribute_count,
                                            .metric = {.score = scored->score,
                                                       .domain = scored->domain,
                                                       .label = scored->label,
                                                       .is_anomaly = scored->is_anomaly}};
    set->year = set->year != 0 ? set->year : machine->year;
    set->has_domains = set->has_domains || scored->domain >= 0;
}

static Status collect(const ResultsConfig *config, const ScoredClip *clips, size_t count,
                      ClipSet wanted, SetClips *ret_set) {
    const Dataset *dataset = config->dataset;
    *ret_set = (SetClips){.clips = mem_new(count + 1, sizeof *ret_set->clips)};
    if (ret_set->clips == NULL) {
        return STATUS_MEMORY;
    }
    size_t at = 0;
    for (uint32_t c = 0; c < dataset->clip_count && at < count; c++) {
        const Clip *clip = &dataset->clips[c];
        const Machine *machine = &dataset->machines[clip->machine];
        if (clip->split != SPLIT_TRAIN && clip->split != SPLIT_TEST) {
            continue;
        }
        const ScoredClip *scored = &clips[at++];
        if (scored->is_test && machine->set == wanted && scored->label >= 0 &&
            scored_clip_has_score(scored)) {
            add_clip(clip, machine, scored, ret_set);
        }
    }
    return STATUS_OK;
}

static Status make(const Settings *settings, const SetClips *set, Evaluation *ret_evaluation) {
    EvaluationConfig how = {.rule = set->year != 0     ? official_rule_of_year(set->year)
                                    : set->has_domains ? OFFICIAL_2022
                                                       : OFFICIAL_2020,
                            .max_fpr = settings->max_fpr,
                            .resamples = RESAMPLES,
                            .seed = RESAMPLING_SEED,
                            .has_intervals = true,
                            .has_decisions = true};
    return evaluation_make(&how, set->clips, set->count, ret_evaluation);
}

// result<infix>.csv and result<infix>_by_attribute.csv
static Status paths_of(const char *folder, const char *infix, char paths[2][LIMIT_PATH_BYTES]) {
    static const char *const ENDS[] = {"", "_by_attribute"};
    for (int i = 0; i < 2; i++) {
        int used =
            snprintf(paths[i], LIMIT_PATH_BYTES, "%s/result%s%s.csv", folder, infix, ENDS[i]);
        if (used < 0 || used >= LIMIT_PATH_BYTES) {
            return status_set(STATUS_LIMIT, "path too long: %s", folder);
        }
    }
    return STATUS_OK;
}

static bool has_attributes(const SetClips *set) {
    for (size_t i = 0; i < set->count; i++) {
        if (set->clips[i].attribute_count > 0) {
            return true;
        }
    }
    return false;
}

static Status remove_file(const char *path) {
    bool is_gone = unlink(path) == 0 || errno == ENOENT;
    return is_gone ? STATUS_OK
                   : status_set(STATUS_IO, "cannot remove %s: %s", path, strerror(errno));
}

// A set without labels has no tables.
static Status write_set(const Settings *settings, const char *folder, const char *infix,
                        const SetClips *set) {
    char paths[2][LIMIT_PATH_BYTES];
    Evaluation evaluation = {0};
    Status status = paths_of(folder, infix, paths);
    if (status == STATUS_OK && set->count > 0) {
        status = make(settings, set, &evaluation);
    }
    if (status == STATUS_OK) {
        status = set->count > 0 ? result_write(paths[0], &evaluation) : remove_file(paths[0]);
    }
    if (status == STATUS_OK) {
        status = has_attributes(set) ? result_write_by_attribute(paths[1], &evaluation)
                                     : remove_file(paths[1]);
    }
    evaluation_done(&evaluation);
    return status;
}

Status result_tables_write(const ResultsConfig *config, const Settings *settings,
                           const char *folder, const ScoredClip *clips, size_t count) {
    static const SetClips NOTHING = {0};
    SetClips sets[SETS] = {{0}};
    Status status = STATUS_OK;
    for (int s = 0; s < SETS && status == STATUS_OK; s++) {
        status = collect(config, clips, count, (ClipSet)s, &sets[s]);
    }
    ClipSet first = sets[SET_EVAL].count > 0  ? SET_EVAL
                    : sets[SET_DEV].count > 0 ? SET_DEV
                                              : SET_PLAIN;
    if (status == STATUS_OK) {
        status = write_set(settings, folder, "", &sets[first]);
    }
    if (status == STATUS_OK) {
        status = write_set(settings, folder, "_dev", first == SET_EVAL ? &sets[SET_DEV] : &NOTHING);
    }
    for (int s = 0; s < SETS; s++) {
        mem_free(sets[s].clips);
    }
    return status;
}
