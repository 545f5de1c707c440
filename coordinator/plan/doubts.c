// SPDX-License-Identifier: Apache-2.0
//
// What no worker could do. Leaving a clip out must be a fact of the data, never of the worker that
// met it: here the coordinator's own read decides.
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/engine/source.h"
#include "coordinator/plan/state.h"

// ---- doing a PROBE or SCORE task by oneself ----

// What could not be read may be there again when the run is continued; bytes that do not decode
// never will.
static ClipOutcome outcome_of(Status status) {
    return status == STATUS_OK       ? CLIP_USABLE
           : status == STATUS_FORMAT ? CLIP_LEFT_OUT
                                     : CLIP_UNREADABLE;
}

// One clip as this machine reads it. STATUS_MEMORY, which is no fact of any clip.
static Status probe_here(Plan *plan, ClipExtractor *extractor, uint32_t index,
                         char reason[LIMIT_MESSAGE_BYTES], ProbeAnswer *answer) {
    const Clip *clip = &plan->config.dataset->clips[index];
    char path[LIMIT_PATH_BYTES];
    SourceFacts facts = {0};
    Status status = plan_clip_path(plan, index, path, sizeof path);
    if (status == STATUS_OK) {
        status = source_probe(extractor, path, clip->path, clip->size_bytes, &facts);
    }
    if (status != STATUS_OK) {
        snprintf(reason, LIMIT_MESSAGE_BYTES, "%.480s", status_message());
    }
    *answer = (ProbeAnswer){.outcome = outcome_of(status),
                            .frames = facts.frames,
                            .vectors = facts.vectors,
                            .rate_hz = facts.rate_hz,
                            .channels = facts.channels,
                            .seconds = facts.seconds,
                            .is_silent = facts.is_silent,
                            .digest = facts.digest,
                            .reason = status == STATUS_OK ? "" : reason};
    return status == STATUS_MEMORY ? status : STATUS_OK;
}

// Answers a PROBE task; where `told` is given, only for the clips that it leaves out.
static Status probe_clips(Plan *plan, const PlanTask *task, const ProbeAnswer *told, Buffer *out) {
    uint32_t clips[CLIPS_PER_TASK_MOST];
    uint32_t clip_count = plan_task_clips(plan, task, clips);
    ProbeAnswer *answers = mem_new(clip_count, sizeof *answers);
    char(*reasons)[LIMIT_MESSAGE_BYTES] = mem_new(clip_count, sizeof *reasons);
    ClipExtractor *extractor = clip_extractor_new(plan->config.settings);
    bool ok = answers != NULL && reasons != NULL && extractor != NULL;
    for (uint32_t i = 0; ok && i < clip_count; i++) {
        if (told != NULL && told[i].outcome == CLIP_USABLE) {
            answers[i] = told[i];
        } else {
            Status status = probe_here(plan, extractor, clips[i], reasons[i], &answers[i]);
            ok = status == STATUS_OK;
        }
        if (told != NULL && told[i].outcome != CLIP_USABLE && answers[i].outcome == CLIP_USABLE) {
            plan_warn(plan, "%s: a worker read other bytes than are here (%.200s); it is used",
                      plan->config.dataset->clips[clips[i]].path, told[i].reason);
        }
    }
    if (ok) {
        body_encode_probe_answers(answers, clip_count, out);
    }
    clip_extractor_free(extractor);
    mem_free(reasons);
    mem_free(answers);
    return ok ? out->status : STATUS_MEMORY;
}

Status doubt_probe(Plan *plan, const PlanTask *task, const void *bytes, size_t size, Buffer *out) {
    Decoded *decoded = decoded_new();
    const ProbeAnswer *told;
    uint32_t count;
    bool leaves_out = false;
    Status status = decoded != NULL ? body_decode_probe_answers(decoded, bytes, size, &told, &count)
                                    : STATUS_MEMORY;
    for (uint32_t i = 0; status == STATUS_OK && i < count; i++) {
        leaves_out |= told[i].outcome != CLIP_USABLE;
    }
    if (status == STATUS_OK && leaves_out) {
        status = probe_clips(plan, task, told, out);
    }
    decoded_free(decoded);
    return status;
}

static Status answer_score(Plan *plan, const PlanTask *task, Buffer *out) {
    const Buffer *file = &plan->model_states[task->owner].file;
    uint32_t clips[CLIPS_PER_TASK_MOST];
    uint32_t clip_count = plan_task_clips(plan, task, clips);
    ScoreAnswer *answers = mem_new(clip_count, sizeof *answers);
    char(*reasons)[LIMIT_MESSAGE_BYTES] = mem_new(clip_count, sizeof *reasons);
    SourceScorer *scorer = NULL;
    Status made = source_scorer_new(file->bytes, file->size, &scorer);
    bool ok = answers != NULL && reasons != NULL && made == STATUS_OK;
    for (uint32_t i = 0; ok && i < clip_count; i++) {
        const Clip *clip = &plan->config.dataset->clips[clips[i]];
        char path[LIMIT_PATH_BYTES];
        double score = 0;
        Status status = plan_clip_path(plan, clips[i], path, sizeof path);
        if (status == STATUS_OK) {
            status = source_score(scorer, path, clip->name, clip->size_bytes,
                                  &plan->clips[clips[i]].digest, &score);
        }
        ok = status != STATUS_MEMORY;
        snprintf(reasons[i], sizeof reasons[i], "%.480s", status_message());
        answers[i] = (ScoreAnswer){.outcome = outcome_of(status),
                                   .score = score,
                                   .reason = status == STATUS_OK ? "" : reasons[i]};
    }
    if (ok) {
        body_encode_score_answers(answers, clip_count, out);
    }
    source_scorer_free(scorer);
    mem_free(reasons);
    mem_free(answers);
    return ok ? out->status : made != STATUS_OK ? made : STATUS_MEMORY;
}

static Status answer_alone(Plan *plan, Core *core, TaskTag tag, int64_t now_ms) {
    const PlanTask *task = &plan->tasks[tag];
    Buffer answer = BUFFER_EMPTY;
    Status status = task->kind == TASK_PROBE ? probe_clips(plan, task, NULL, &answer)
                                             : answer_score(plan, task, &answer);
    if (status == STATUS_OK) {
        plan->looks_itself = true;
        status = core_answer(core, tag, answer.bytes, answer.size, now_ms);
        plan->looks_itself = false;
    }
    buffer_done(&answer);
    return status;
}

// ---- a training that cannot go on ----

static void fail_training(Plan *plan, Core *core, TaskTag tag, const char *reason) {
    uint32_t model = plan->tasks[tag].owner;
    plan->counts.epochs -= (uint64_t)plan->config.settings->epochs;
    plan->counts.epochs_trained -= training_epoch(plan->work[model].training);
    plan_fail_model(plan, model, reason);
    core_abandon(core, tag);
}

// Of the clips that a worker could not use, those that this machine cannot either are left out.
// Returns how many that were.
static uint32_t leave_out_unusable(Plan *plan, uint32_t model, const CannotBody *body) {
    const Model *facts = &plan->models.models[model];
    ClipExtractor *extractor = clip_extractor_new(plan->config.settings);
    uint32_t left_out = 0;
    for (uint32_t i = 0; extractor != NULL && i < body->clip_count; i++) {
        if (body->clips[i].clip >= facts->train_count) {
            continue;
        }
        uint32_t index = facts->train[body->clips[i].clip];
        const Clip *clip = &plan->config.dataset->clips[index];
        char path[LIMIT_PATH_BYTES];
        ClipFeatures features = {0};
        Status status = plan_clip_path(plan, index, path, sizeof path);
        if (status == STATUS_OK) {
            status = source_features(extractor, path, clip->name, clip->size_bytes,
                                     &plan->clips[index].digest, &features);
        }
        clip_features_done(&features);
        if (status != STATUS_OK && status != STATUS_MEMORY) {
            plan_leave_out_of(plan, model, index, status_message());
            left_out++;
        }
    }
    clip_extractor_free(extractor);
    return left_out;
}

// What this machine can read and workers cannot is no fact of the data: leaving it out would make
// the results depend on the cluster, so the run stops and says what is missing where.
static Status stop_for_workers(const Plan *plan, uint32_t model, const CannotBody *body) {
    const Model *facts = &plan->models.models[model];
    if (body->clip_count > 0 && body->clips[0].clip < facts->train_count) {
        uint32_t clip = facts->train[body->clips[0].clip];
        return status_set(STATUS_IO,
                          "workers cannot use %s (%.200s), which can be read here: give them the "
                          "data (--data), then continue the run",
                          plan->config.dataset->clips[clip].path, body->clips[0].reason);
    }
    return status_set(STATUS_IO, "no worker could train %s: %.300s", facts->label, body->reason);
}

static Status doubt_training(Plan *plan, Core *core, TaskTag tag, const void *bytes, size_t size,
                             int64_t now_ms) {
    uint32_t model = plan->tasks[tag].owner;
    Decoded *decoded = decoded_new();
    CannotBody body = {.reason = "all that tried have left"};
    if (decoded == NULL) {
        return STATUS_MEMORY;
    }
    if (size > 0) {
        (void)body_decode_cannot(decoded, bytes, size, &body);
    }
    Status status = leave_out_unusable(plan, model, &body) > 0
                        ? stage_retrain(plan, core, model, tag, now_ms)
                        : stop_for_workers(plan, model, &body);
    decoded_free(decoded);
    return status;
}

Status plan_on_impossible(Plan *plan, Core *core, TaskTag tag, const void *bytes, size_t size) {
    Decoded *decoded = decoded_new();
    CannotBody body;
    Status status =
        decoded != NULL ? body_decode_cannot(decoded, bytes, size, &body) : STATUS_MEMORY;
    if (status == STATUS_OK && plan->tasks[tag].kind != TASK_TRAIN) {
        status =
            status_set(STATUS_IO, "a worker says that nobody can read clips: %.300s", body.reason);
    }
    if (status == STATUS_OK) {
        fail_training(plan, core, tag, body.reason);
    }
    decoded_free(decoded);
    return status;
}

Status plan_on_cannot(Plan *plan, Core *core, TaskTag tag, const void *bytes, size_t size,
                      int64_t now_ms) {
    return plan->tasks[tag].kind == TASK_TRAIN
               ? doubt_training(plan, core, tag, bytes, size, now_ms)
               : answer_alone(plan, core, tag, now_ms);
}

// ---- poison ----

// Who could not train a model is a matter of the workers that are there now.
Status plan_on_failed(Plan *plan, TaskTag tag, uint32_t deaths, uint32_t cannots) {
    const PlanTask *task = &plan->tasks[tag];
    return task->kind != TASK_TRAIN
               ? journal_put_failure(plan->config.journal, task->key, deaths, cannots)
               : STATUS_OK;
}

static Status give_up(Plan *plan, Core *core, const PlanTask *single, uint32_t clip,
                      int64_t now_ms) {
    plan_warn(plan,
              "workers died on %s; it is left out, and results may differ from a run where none "
              "did",
              plan->config.dataset->clips[clip].path);
    return stage_give_up(plan, core, single, "workers died on it", now_ms);
}

// A task of many clips is cut into single ones, to find the one that kills; that one is left out.
Status plan_on_poison(Plan *plan, Core *core, TaskTag tag, int64_t now_ms) {
    PlanTask task = plan->tasks[tag];
    core_abandon(core, tag);
    bool is_single = plan_count_clips(plan, &task) == 1;
    Status status = STATUS_OK;
    for (uint32_t i = 0; i < task.count && status == STATUS_OK; i++) {
        PlanTask single = task;
        single.first = task.first + i;
        single.count = 1;
        uint32_t clip = plan_task_clip(plan, &task, single.first);
        if (clip != NO_CLIP) {
            status = is_single ? give_up(plan, core, &single, clip, now_ms)
                               : stage_add(plan, core, &single, now_ms);
        }
    }
    return status;
}
