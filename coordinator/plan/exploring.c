// SPDX-License-Identifier: Apache-2.0
//
// `auscult eda`: what is to be told of every clip that decodes.
//
// How it works. Once a machine's clips are probed and judged, those that decode are given out as
// EXPLORE tasks, with the features of the primary system; clips of an odd rate too, which no model
// uses but people want to know of. When nothing is outstanding all are summed up, in the dataset's
// order, whichever answer came first.
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/engine/source.h"
#include "coordinator/plan/state.h"

bool exploring_takes(const Plan *plan, uint32_t clip) {
    const ClipState *state = plan_clip_in(plan, 0, clip);
    // Features that were made elsewhere can be looked at where they are log-mels.
    bool is_known =
        state->rate_hz > 0 || plan->models.groups[0].settings.features != FEATURES_NOTEBOOK;
    return state->is_probed && state->vectors > 0 && is_known; // 0: it did not decode
}

static Status make_room(Plan *plan) {
    uint32_t clips = plan->config.dataset->clip_count;
    if (plan->explorations == NULL) {
        plan->explorations = mem_new(clips, sizeof *plan->explorations);
    }
    return plan->explorations != NULL ? STATUS_OK : STATUS_MEMORY;
}

void exploring_free(Plan *plan) {
    for (uint32_t c = 0; plan->explorations != NULL && c < plan->config.dataset->clip_count; c++) {
        exploration_done(&plan->explorations[c]);
    }
    mem_free(plan->explorations);
    explore_summary_done(&plan->summary);
}

static Digest *digests_of_clips(const Plan *plan) {
    uint32_t clips = plan->config.dataset->clip_count;
    Digest *digests = mem_new(clips, sizeof *digests);
    for (uint32_t c = 0; digests != NULL && c < clips; c++) {
        digests[c] = plan_clip_in(plan, 0, c)->digest;
    }
    return digests;
}

// Of each machine's typical clips, by the primary system's features and without any model.
static Status ask_for_portraits(Plan *plan, Core *core, int64_t now_ms) {
    const ExploreSummary *summary = &plan->summary;
    Status status = STATUS_OK;
    if (plan->config.settings->pictures == 0) {
        return STATUS_OK;
    }
    uint32_t count = summary->typical_count;
    if (count > LIMIT_PORTRAITS) {
        plan_warn(plan, "pictures of the first %d typical clips only, of %u", LIMIT_PORTRAITS,
                  count);
        count = LIMIT_PORTRAITS;
    }
    for (uint32_t t = 0; t < count && status == STATUS_OK; t++) {
        ClipPortrait item = {.clip = summary->typical[t].clip,
                             .model = UINT32_MAX,
                             .role = PORTRAIT_TYPICAL,
                             .label = summary->typical[t].label};
        status = portraying_ask(plan, core, &item, now_ms);
    }
    return status;
}

// Once nothing is outstanding.
static Status end_if_over(Plan *plan, Core *core, int64_t now_ms) {
    if (plan->explores_left > 0 || plan->sites_left > 0 || plan->is_explored) {
        return STATUS_OK;
    }
    plan->is_explored = true;
    Digest *digests = digests_of_clips(plan);
    Status status = digests != NULL ? make_room(plan) : STATUS_MEMORY;
    if (status == STATUS_OK) {
        status = explore_summary_make(plan->config.dataset, plan->explorations, digests,
                                      plan->models.groups[0].settings.n_mels, &plan->summary);
    }
    if (status == STATUS_OK) {
        status = explore_summary_centres(&plan->summary, &plan->models.groups[0].settings);
    }
    mem_free(digests);
    return status == STATUS_OK ? ask_for_portraits(plan, core, now_ms) : status;
}

Status exploring_site_ready(Plan *plan, Core *core, Site site, int64_t now_ms) {
    if (!plan->config.explores || (plan->is_survey && !plan->forgets)) {
        return STATUS_OK;
    }
    Status status = make_room(plan);
    if (status == STATUS_OK && plan_group_at(plan, site) == 0) {
        const Machine *machine = plan_machine_at(plan, site);
        PlanTask all = {.kind = TASK_EXPLORE, .owner = site, .count = machine->clip_count};
        // Counted before any task is added, since an answer from the journal counts at once.
        uint32_t count = plan_count_clips(plan, &all);
        plan->explores_left += count;
        plan->counts.clips_to_explore += count;
        status = plan_cut(plan, core, &all, now_ms);
    }
    return status == STATUS_OK ? end_if_over(plan, core, now_ms) : status;
}

// ---- answers ----

// Of a usable clip, as a struct that borrows nothing. STATUS_FORMAT: it cannot be.
static Status read_answer(const ExploreAnswer *answer, int32_t n_mels, Exploration *ret) {
    size_t bands = 2 * (size_t)n_mels * sizeof(double);
    Exploration found;
    if (answer->numbers_bytes != sizeof found.numbers || answer->bands_bytes != bands) {
        return status_set(STATUS_FORMAT, "an exploration of another size");
    }
    Status status = exploration_init(&found, n_mels);
    if (status != STATUS_OK) {
        return status;
    }
    found.is_sound = answer->is_sound;
    memcpy(found.numbers, answer->numbers, sizeof found.numbers);
    memcpy(found.mean, answer->bands, bands);
    status = exploration_check(&found);
    if (status != STATUS_OK) {
        exploration_done(&found);
        return status;
    }
    *ret = found;
    return STATUS_OK;
}

Status exploring_check(const Plan *plan, const ExploreAnswer *answer) {
    if (answer->outcome != CLIP_USABLE) {
        return answer->reason[0] != '\0'
                   ? STATUS_OK
                   : status_set(STATUS_FORMAT, "a clip left out without a reason");
    }
    Exploration found = {0};
    Status status = read_answer(answer, plan->models.groups[0].settings.n_mels, &found);
    exploration_done(&found);
    return status;
}

Status exploring_take(Plan *plan, Core *core, const PlanTask *task, const Buffer *answer,
                      int64_t now_ms) {
    uint32_t clips[CLIPS_PER_TASK_MOST];
    uint32_t clip_count = plan_task_clips(plan, task, clips), count = 0;
    int32_t n_mels = plan->models.groups[0].settings.n_mels;
    Decoded *decoded = decoded_new();
    const ExploreAnswer *answers;
    Status status = decoded != NULL ? body_decode_explore_answers(decoded, answer->bytes,
                                                                  answer->size, &answers, &count)
                                    : STATUS_MEMORY;
    if (status == STATUS_OK && count != clip_count) {
        status = plan_other_clips();
    }
    for (uint32_t i = 0; status == STATUS_OK && i < count; i++) {
        if (answers[i].outcome == CLIP_USABLE) {
            exploration_done(&plan->explorations[clips[i]]); // a second part of a cut task
            status = read_answer(&answers[i], n_mels, &plan->explorations[clips[i]]);
        } else {
            plan_leave_out(plan, 0, clips[i], answers[i].reason);
        }
    }
    decoded_free(decoded);
    plan->explores_left -= clip_count;
    plan->counts.clips_explored += clip_count;
    return status == STATUS_OK ? end_if_over(plan, core, now_ms) : status;
}

// ---- the coordinator's own answer ----

static Status explore_here(Plan *plan, ClipExplorer *explorer, uint32_t index,
                           Exploration *ret_found) {
    const Clip *clip = &plan->config.dataset->clips[index];
    char path[LIMIT_PATH_BYTES];
    Status status = plan_clip_path(plan, index, path, sizeof path);
    return status == STATUS_OK ? source_explore(explorer, path, clip->path, clip->size_bytes,
                                                &plan_clip_in(plan, 0, index)->digest, ret_found)
                               : status;
}

Status exploring_answer(Plan *plan, const PlanTask *task, Buffer *out) {
    uint32_t clips[CLIPS_PER_TASK_MOST];
    uint32_t count = plan_task_clips(plan, task, clips);
    ExploreAnswer *answers = mem_new(count, sizeof *answers);
    Exploration *found = mem_new(count, sizeof *found);
    char(*reasons)[LIMIT_MESSAGE_BYTES] = mem_new(count, sizeof *reasons);
    ClipExplorer *explorer = clip_explorer_new(&plan->models.groups[0].settings);
    bool ok = answers != NULL && found != NULL && reasons != NULL && explorer != NULL;
    for (uint32_t i = 0; ok && i < count; i++) {
        Status status = explore_here(plan, explorer, clips[i], &found[i]);
        if (status != STATUS_OK) {
            snprintf(reasons[i], sizeof reasons[i], "%.480s", status_message());
        }
        ok = status != STATUS_MEMORY;
        answers[i] = (ExploreAnswer){.outcome = status == STATUS_OK       ? CLIP_USABLE
                                                : status == STATUS_FORMAT ? CLIP_LEFT_OUT
                                                                          : CLIP_UNREADABLE,
                                     .is_sound = found[i].is_sound,
                                     .numbers = found[i].numbers,
                                     .numbers_bytes = sizeof found[i].numbers,
                                     .bands = found[i].mean,
                                     .bands_bytes = 2 * (size_t)found[i].n_mels * sizeof(double),
                                     .reason = reasons[i]};
    }
    if (ok) {
        body_encode_explore_answers(answers, count, out);
    }
    for (uint32_t i = 0; found != NULL && i < count; i++) {
        exploration_done(&found[i]);
    }
    clip_explorer_free(explorer);
    mem_free(reasons);
    mem_free(found);
    mem_free(answers);
    return ok ? out->status : STATUS_MEMORY;
}

// ---- looking in ----

const ExploreSummary *plan_summary(const Plan *plan) {
    return plan->is_explored ? &plan->summary : NULL;
}
