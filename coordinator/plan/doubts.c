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

// ---- for people ----

void plan_describe(const Plan *plan, TaskTag tag, Buffer *out) {
    const PlanTask *task = &plan->tasks[tag];
    if (task->kind == TASK_TRAIN) {
        buffer_format(out, "the training of %s", plan->models.models[task->owner].label);
        return;
    }
    if (task->kind == TASK_RESIDUALS || task->kind == TASK_BATCHES) {
        buffer_format(out, "the residuals of %s", plan->models.models[task->owner].label);
        return;
    }
    if (task->kind == TASK_PORTRAIT) {
        uint32_t clip = portraying_item(plan, task)->clip;
        buffer_format(out, "the picture of %s", plan->config.dataset->clips[clip].path);
        return;
    }
    uint32_t clips[CLIPS_PER_TASK_MOST];
    uint32_t count = plan_task_clips(plan, task, clips);
    buffer_text(out, task->kind == TASK_PROBE     ? "the reading of "
                     : task->kind == TASK_EXPLORE ? "the exploring of "
                                                  : "the scoring of ");
    buffer_text(out, count > 0 ? plan->config.dataset->clips[clips[0]].path : "no clip");
    if (count > 1) {
        buffer_format(out, " and %u more clip%s", count - 1, count == 2 ? "" : "s");
    }
    if (task->kind == TASK_SCORE) {
        buffer_format(out, " by the model of %s", plan->models.models[task->owner].label);
    }
}

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

// What is told of a clip and must be looked at here.
static bool is_doubtful(const Plan *plan, uint32_t clip, const ProbeAnswer *told) {
    return told->outcome != CLIP_USABLE || comparing_contradicts(plan, clip, told);
}

static void warn_of_bytes(Plan *plan, uint32_t index, const char *reason) {
    plan_warn(plan, "%s: a worker read other bytes than are here%s%.200s%s; it is used",
              plan->config.dataset->clips[index].path, reason[0] != '\0' ? " (" : "", reason,
              reason[0] != '\0' ? ")" : "");
}

// Of a doubtful clip this machine's own read; of one that it cannot read, what was told of the
// bytes that a worker could. STATUS_MEMORY.
static Status look_again(Plan *plan, ClipExtractor *extractor, uint32_t index,
                         const ProbeAnswer *told, char reason[LIMIT_MESSAGE_BYTES],
                         ProbeAnswer *answer) {
    Status status = probe_here(plan, extractor, index, reason, answer);
    bool could_use = told->outcome == CLIP_USABLE;
    Digest before = told->digest;
    if (status == STATUS_OK && could_use && answer->outcome == CLIP_UNREADABLE) {
        *answer = *told;
    } else if (status == STATUS_OK && answer->outcome == CLIP_USABLE) {
        (void)comparing_told(plan, index, &before);
        bool all_agree = could_use && digest_equal(answer->digest, told->digest) &&
                         digest_equal(answer->digest, before);
        if (!all_agree) {
            warn_of_bytes(plan, index, told->reason);
        }
    }
    return status;
}

// What answers are compared with that come before this one is applied.
static void note_digests(Plan *plan, const PlanTask *task, const uint32_t *clips,
                         const ProbeAnswer *answers, uint32_t count) {
    uint32_t group = plan_group_at(plan, task->owner);
    for (uint32_t i = 0; i < count; i++) {
        plan_clip_in(plan, group, clips[i])->digest = answers[i].digest;
    }
}

// Answers a PROBE task; where `told` is given, only for the clips that are doubtful.
static Status probe_clips(Plan *plan, const PlanTask *task, const ProbeAnswer *told, Buffer *out) {
    uint32_t clips[CLIPS_PER_TASK_MOST];
    uint32_t clip_count = plan_task_clips(plan, task, clips);
    ProbeAnswer *answers = mem_new(clip_count, sizeof *answers);
    char(*reasons)[LIMIT_MESSAGE_BYTES] = mem_new(clip_count, sizeof *reasons);
    ClipExtractor *extractor = clip_extractor_new(plan_probe_settings(plan, task));
    bool ok = answers != NULL && reasons != NULL && extractor != NULL;
    for (uint32_t i = 0; ok && i < clip_count; i++) {
        if (told == NULL) {
            ok = probe_here(plan, extractor, clips[i], reasons[i], &answers[i]) == STATUS_OK;
        } else if (is_doubtful(plan, clips[i], &told[i])) {
            ok = look_again(plan, extractor, clips[i], &told[i], reasons[i], &answers[i]) ==
                 STATUS_OK;
        } else {
            answers[i] = told[i];
        }
    }
    if (ok) {
        note_digests(plan, task, clips, answers, clip_count);
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
    uint32_t clips[CLIPS_PER_TASK_MOST];
    uint32_t clip_count = plan_task_clips(plan, task, clips);
    bool has_doubtful = false;
    Status status = decoded != NULL ? body_decode_probe_answers(decoded, bytes, size, &told, &count)
                                    : STATUS_MEMORY;
    for (uint32_t i = 0; status == STATUS_OK && i < count && i < clip_count; i++) {
        has_doubtful |= is_doubtful(plan, clips[i], &told[i]);
    }
    if (status == STATUS_OK && has_doubtful) {
        status = probe_clips(plan, task, told, out);
    } else if (status == STATUS_OK && count == clip_count) {
        note_digests(plan, task, clips, told, count);
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
    size_t n_mels = (size_t)settings_width(plan->models.models[task->owner].settings);
    double *rows = mem_new(clip_count * n_mels, sizeof *rows);
    SourceScorer *scorer = NULL;
    Status made = source_scorer_new(file->bytes, file->size, &scorer);
    bool ok = answers != NULL && reasons != NULL && rows != NULL && made == STATUS_OK;
    for (uint32_t i = 0; ok && i < clip_count; i++) {
        const Clip *clip = &plan->config.dataset->clips[clips[i]];
        char path[LIMIT_PATH_BYTES];
        ClipMeasure measure = {0};
        Status status = plan_clip_path(plan, clips[i], path, sizeof path);
        if (status == STATUS_OK) {
            status = source_measure(scorer, path, clip->name, clip->size_bytes,
                                    &plan_clip_of(plan, task->owner, clips[i])->digest,
                                    rows + i * n_mels, &measure);
        }
        ok = status != STATUS_MEMORY;
        snprintf(reasons[i], sizeof reasons[i], "%.480s", status_message());
        answers[i] = (ScoreAnswer){.outcome = outcome_of(status),
                                   .mse = measure.mse,
                                   .row_mahala = measure.row_mahala,
                                   .row = measure.row,
                                   .row_bytes = n_mels * sizeof *rows,
                                   .reason = status == STATUS_OK ? "" : reasons[i]};
    }
    if (ok) {
        body_encode_score_answers(answers, clip_count, out);
    }
    source_scorer_free(scorer);
    mem_free(rows);
    mem_free(reasons);
    mem_free(answers);
    return ok ? out->status : made != STATUS_OK ? made : STATUS_MEMORY;
}

static Status answer_alone(Plan *plan, Core *core, TaskTag tag, Buffer *said, int64_t now_ms) {
    const PlanTask *task = &plan->tasks[tag];
    buffer_text(said, "no worker could do ");
    plan_describe(plan, tag, said);
    buffer_text(said, "; looking at it here");
    Buffer answer = BUFFER_EMPTY;
    Status status = task->kind == TASK_PROBE      ? probe_clips(plan, task, NULL, &answer)
                    : task->kind == TASK_EXPLORE  ? exploring_answer(plan, task, &answer)
                    : task->kind == TASK_PORTRAIT ? portraying_answer(plan, task, &answer)
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
    plan->counts.epochs -= (uint64_t)plan->models.models[model].settings->epochs;
    plan->counts.epochs_trained -= training_epoch(plan->work[model].training);
    plan_fail_model(plan, model, reason);
    core_abandon(core, tag);
    stage_close_training(plan, model);
}

// Whether this machine cannot use a clip either; the message then says why.
static bool is_unusable_here(const Plan *plan, ClipExtractor *extractor, uint32_t model,
                             uint32_t index) {
    const Clip *clip = &plan->config.dataset->clips[index];
    char path[LIMIT_PATH_BYTES];
    ClipFeatures features = {0};
    Status status = plan_clip_path(plan, index, path, sizeof path);
    if (status == STATUS_OK) {
        status = source_features(extractor, path, clip->name, clip->size_bytes,
                                 &plan_clip_of(plan, model, index)->digest, &features);
    }
    clip_features_done(&features);
    return status != STATUS_OK && status != STATUS_MEMORY;
}

// Of the clips that a worker could not use, those that this machine cannot either are left out.
// Returns how many that were.
static uint32_t leave_out_unusable(Plan *plan, uint32_t model, const CannotBody *body) {
    const Model *facts = &plan->models.models[model];
    ClipExtractor *extractor = clip_extractor_new(facts->settings);
    uint32_t left_out = 0;
    for (uint32_t i = 0; extractor != NULL && i < body->clip_count; i++) {
        uint32_t place = body->clips[i].clip;
        if (place < facts->train_count &&
            is_unusable_here(plan, extractor, model, facts->train[place])) {
            plan_leave_out_of(plan, model, facts->train[place], status_message());
            left_out++;
        }
    }
    clip_extractor_free(extractor);
    return left_out;
}

// Whether one of them is unusable here too: which, and why.
static bool names_unusable(const Plan *plan, uint32_t model, const CannotBody *body,
                           char reason[LIMIT_MESSAGE_BYTES]) {
    const Model *facts = &plan->models.models[model];
    ClipExtractor *extractor = clip_extractor_new(facts->settings);
    bool found = false;
    for (uint32_t i = 0; extractor != NULL && i < body->clip_count && !found; i++) {
        uint32_t place = body->clips[i].clip;
        found = place < facts->train_count &&
                is_unusable_here(plan, extractor, model, facts->train[place]);
        if (found) {
            snprintf(reason, LIMIT_MESSAGE_BYTES, "%.200s: %.300s",
                     plan->config.dataset->clips[facts->train[place]].path, status_message());
        }
    }
    clip_extractor_free(extractor);
    return found;
}

// The first clip that the worker names, NULL when it names none.
static const Clip *clip_of(const Plan *plan, uint32_t model, const CannotBody *body) {
    const Model *facts = &plan->models.models[model];
    return body->clip_count > 0 && body->clips[0].clip < facts->train_count
               ? &plan->config.dataset->clips[facts->train[body->clips[0].clip]]
               : NULL;
}

// All workers see what this machine sees, and nobody else comes: the run stops.
static Status stop_for_workers(const Plan *plan, uint32_t model, const char *work,
                               const CannotBody *body) {
    const Clip *clip = clip_of(plan, model, body);
    if (clip != NULL) {
        return status_set(STATUS_IO, "workers cannot use %s (%.200s), which can be read here",
                          clip->path, body->clips[0].reason);
    }
    return status_set(STATUS_IO, "no worker could do the %s of %s: %.300s", work,
                      plan->models.models[model].label, body->reason);
}

// False: it has been told of this worker, or there are too many to remember.
static bool is_new_unable(Plan *plan, const char *worker) {
    for (uint32_t u = 0; u < plan->unable_count; u++) {
        if (strcmp(plan->unable[u], worker) == 0) {
            return false;
        }
    }
    if (plan->unable == NULL) {
        plan->unable = mem_new(LIMIT_WORKERS, sizeof *plan->unable);
    }
    char *name =
        plan->unable != NULL && plan->unable_count < LIMIT_WORKERS ? mem_copy_text(worker) : NULL;
    if (name != NULL) {
        plan->unable[plan->unable_count++] = name;
    }
    return name != NULL;
}

// What this machine can read and a worker cannot is no fact of the data: leaving it out would make
// the results depend on the cluster, and ending the run would let one worker that sees other data
// take it from all others. However long it takes: whoever stops the run can continue it.
static void wait_for_workers(Plan *plan, Core *core, const OwnerDoubt *doubt, const char *work,
                             const CannotBody *body, Buffer *said, int64_t now_ms) {
    uint32_t model = plan->tasks[doubt->tag].owner;
    const char *label = plan->models.models[model].label;
    const Clip *clip = clip_of(plan, model, body);
    core_wait(core, doubt->tag, now_ms);
    if (!is_new_unable(plan, doubt->worker)) {
        return;
    }
    if (clip != NULL) {
        buffer_format(said,
                      "worker %s cannot use %s (%.200s), which can be read here: give it the "
                      "data (--data); the %s of %s waits for a worker that can read the data",
                      doubt->worker, clip->path, body->clips[0].reason, work, label);
    } else {
        buffer_format(
            said, "worker %s could not do the %s of %s (%.300s), which waits for another worker",
            doubt->worker, work, label, body->reason);
    }
}

// A clip that this machine cannot use either. A training begins anew without it; of a trained model
// only the MAHALA scores need it.
static Status do_without(Plan *plan, Core *core, const OwnerDoubt *doubt, const char *reason,
                         Buffer *said, int64_t now_ms) {
    PlanTask task = plan->tasks[doubt->tag];
    buffer_format(said, "training clips of %s cannot be used by any worker, nor here",
                  plan->models.models[task.owner].label);
    if (task.kind == TASK_TRAIN) {
        return stage_retrain(plan, core, task.owner, doubt->tag, now_ms);
    }
    core_abandon(core, doubt->tag);
    return measuring_give_up(plan, core, &task, reason, now_ms);
}

// Work on a model as a whole: its training, or its RESIDUALS and BATCHES.
static Status doubt_model(Plan *plan, Core *core, const OwnerDoubt *doubt, Buffer *said,
                          int64_t now_ms) {
    PlanTask task = plan->tasks[doubt->tag];
    const char *work = task.kind == TASK_TRAIN ? "training" : "residuals";
    char reason[LIMIT_MESSAGE_BYTES];
    Decoded *decoded = decoded_new();
    CannotBody body = {.reason = "all that tried have left"};
    Status status = STATUS_OK;
    if (decoded == NULL) {
        return STATUS_MEMORY;
    }
    if (doubt->size > 0) {
        (void)body_decode_cannot(decoded, doubt->bytes, doubt->size, &body);
    }
    bool is_unusable = task.kind == TASK_TRAIN ? leave_out_unusable(plan, task.owner, &body) > 0
                                               : names_unusable(plan, task.owner, &body, reason);
    if (is_unusable) {
        status = do_without(plan, core, doubt, reason, said, now_ms);
    } else if (plan->config.is_local) {
        status = stop_for_workers(plan, task.owner, work, &body);
    } else {
        wait_for_workers(plan, core, doubt, work, &body, said, now_ms);
    }
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

Status plan_on_cannot(Plan *plan, Core *core, const OwnerDoubt *doubt, Buffer *said,
                      int64_t now_ms) {
    TaskKind kind = plan->tasks[doubt->tag].kind;
    return kind == TASK_PROBE || kind == TASK_SCORE || kind == TASK_EXPLORE || kind == TASK_PORTRAIT
               ? answer_alone(plan, core, doubt->tag, said, now_ms)
               : doubt_model(plan, core, doubt, said, now_ms);
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
    if (task.kind == TASK_RESIDUALS || task.kind == TASK_BATCHES) {
        return measuring_give_up(plan, core, &task, "workers died on its residuals", now_ms);
    }
    if (task.kind == TASK_PORTRAIT) {
        portraying_give_up(plan, &task, "workers died on it");
        return STATUS_OK;
    }
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
