// SPDX-License-Identifier: Apache-2.0
//
// The clips of PROBE, SCORE and EXPLORE tasks. A machine's clips, or a model's, stand in places; a
// task is a run of places, cut where a clip's own path says so. A clip that comes or goes therefore
// changes the task that it is in and no other.
#include <assert.h>
#include <string.h>

#include "coordinator/plan/state.h"

static uint32_t clip_at(const Plan *plan, const PlanTask *task, uint32_t place) {
    if (task->kind == TASK_PROBE || task->kind == TASK_EXPLORE) {
        return plan_machine_at(plan, task->owner)->first_clip + place;
    }
    const Model *model = &plan->models.models[task->owner];
    return place < model->train_count ? model->train[place]
                                      : model->test[place - model->train_count];
}

static bool is_probed(const Plan *plan, uint32_t clip) {
    const Clip *facts = &plan->config.dataset->clips[clip];
    return facts->left_out == NULL && (facts->split == SPLIT_TRAIN || facts->split == SPLIT_TEST);
}

bool plan_is_used(const Plan *plan, uint32_t model, uint32_t clip) {
    const ClipState *state = plan_clip_of(plan, model, clip);
    uint32_t variant = plan->models.models[model].variant;
    return state->is_probed && state->left_out == NULL &&
           plan_score_of(plan, variant, clip)->left_out == NULL;
}

uint32_t plan_task_clip(const Plan *plan, const PlanTask *task, uint32_t place) {
    uint32_t clip = clip_at(plan, task, place);
    bool counts = task->kind == TASK_PROBE     ? is_probed(plan, clip)
                  : task->kind == TASK_EXPLORE ? exploring_takes(plan, clip)
                                               : plan_is_used(plan, task->owner, clip);
    return counts ? clip : NO_CLIP;
}

uint32_t plan_task_clips(const Plan *plan, const PlanTask *task,
                         uint32_t out[CLIPS_PER_TASK_MOST]) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < task->count; i++) {
        uint32_t clip = plan_task_clip(plan, task, task->first + i);
        if (clip != NO_CLIP) {
            assert(count < CLIPS_PER_TASK_MOST);
            out[count++] = clip;
        }
    }
    return count;
}

uint32_t plan_place(const Plan *plan, const PlanTask *task) {
    return 1 + clip_at(plan, task, task->first) / 16;
}

uint32_t plan_count_clips(const Plan *plan, const PlanTask *task) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < task->count; i++) {
        count += plan_task_clip(plan, task, task->first + i) != NO_CLIP;
    }
    return count;
}

// Whether a task begins with this clip, whatever comes before it: one in CLIPS_PER_TASK does.
static bool starts_task(const Plan *plan, uint32_t clip) {
    const char *path = plan->config.dataset->clips[clip].path;
    return digest_of(path, strlen(path)).bytes[0] % CLIPS_PER_TASK == 0;
}

// Clips whose answer fits a message with room to spare: an exploration has two numbers a band.
static uint32_t most_clips(const Plan *plan, const PlanTask *whole) {
    if (whole->kind != TASK_EXPLORE) {
        return CLIPS_PER_TASK_MOST;
    }
    size_t answer = 1024 + 16 * (size_t)plan->models.groups[0].settings.n_mels;
    size_t most = PROTO_HALF_BYTES / answer;
    return most < CLIPS_PER_TASK_MOST ? (uint32_t)most : CLIPS_PER_TASK_MOST;
}

Status plan_cut(Plan *plan, Core *core, const PlanTask *whole, int64_t now_ms) {
    PlanTask task = *whole;
    uint32_t end = whole->first + whole->count;
    uint32_t clips = 0; // that the task has so far
    uint32_t most = most_clips(plan, whole);
    Status status = STATUS_OK;
    for (uint32_t place = whole->first; place < end && status == STATUS_OK; place++) {
        uint32_t clip = plan_task_clip(plan, &task, place);
        if (clip == NO_CLIP) {
            continue;
        }
        if (clips == most || (clips > 0 && starts_task(plan, clip))) {
            task.count = place - task.first;
            status = stage_add(plan, core, &task, now_ms);
            task.first = place;
            clips = 0;
        }
        clips++;
    }
    task.count = end - task.first;
    return status == STATUS_OK && clips > 0 ? stage_add(plan, core, &task, now_ms) : status;
}
