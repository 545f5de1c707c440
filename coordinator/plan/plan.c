// SPDX-License-Identifier: Apache-2.0
//
// How it works. stages.c makes tasks; a task whose answer the journal already has is applied at
// once, any other goes to the core under a tag that is its index here. Its answer comes back
// through hooks.c (is it valid?), goes to the journal, and is applied (plan_apply) once it is
// durable, which may begin the next stage for its machine or model. doubts.c does what workers
// could not.
#include "coordinator/plan/plan.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "coordinator/plan/state.h"

static Status allocate(Plan *plan) {
    const Dataset *dataset = plan->config.dataset;
    Status status = models_make(dataset, plan->config.settings, &plan->models);
    if (status != STATUS_OK) {
        return status;
    }
    plan->clips =
        mem_new((size_t)plan->models.group_count * dataset->clip_count, sizeof *plan->clips);
    plan->scores =
        mem_new((size_t)plan->models.variant_count * dataset->clip_count, sizeof *plan->scores);
    plan->model_states = mem_new(plan->models.count, sizeof *plan->model_states);
    plan->work = mem_new(plan->models.count, sizeof *plan->work);
    plan->sites_left = plan->models.group_count * dataset->machine_count;
    plan->probes_left = mem_new(plan->sites_left, sizeof *plan->probes_left);
    plan->ready = mem_new(plan->models.count, sizeof *plan->ready);
    plan->portraits_of = mem_new(plan->models.count, sizeof *plan->portraits_of);
    plan->portrait_blobs = mem_new(plan->models.count, sizeof *plan->portrait_blobs);
    bool ok = plan->clips != NULL && plan->scores != NULL && plan->model_states != NULL &&
              plan->work != NULL && plan->probes_left != NULL && plan->ready != NULL &&
              plan->portraits_of != NULL && plan->portrait_blobs != NULL;
    return ok ? STATUS_OK : STATUS_MEMORY;
}

Status plan_new(const PlanConfig *config, Plan **ret) {
    Plan *plan = mem_new(1, sizeof *plan);
    if (plan == NULL) {
        return STATUS_MEMORY;
    }
    plan->config = *config;
    Status status = allocate(plan);
    if (status != STATUS_OK) {
        plan_free(plan);
        return status;
    }
    for (uint32_t c = 0; c < config->dataset->clip_count; c++) {
        for (uint32_t g = 0; g < plan->models.group_count; g++) {
            if (config->dataset->clips[c].left_out != NULL) {
                plan_leave_out(plan, g, c, config->dataset->clips[c].left_out);
            }
        }
    }
    plan->models_left = plan->models.count;
    *ret = plan;
    return STATUS_OK;
}

static void drop_answer(PlanTask *task) {
    if (task->answer != NULL) {
        buffer_done(task->answer);
        mem_free(task->answer);
        task->answer = NULL;
    }
}

static void free_scores(Plan *plan) {
    size_t count = (size_t)plan->models.variant_count * plan->config.dataset->clip_count;
    for (size_t i = 0; plan->scores != NULL && i < count; i++) {
        mem_free(plan->scores[i].left_out);
    }
    mem_free(plan->scores);
}

static void free_clips(Plan *plan) {
    size_t count = (size_t)plan->models.group_count * plan->config.dataset->clip_count;
    for (size_t i = 0; plan->clips != NULL && i < count; i++) {
        mem_free(plan->clips[i].left_out);
    }
    mem_free(plan->clips);
}

static void free_work(Plan *plan) {
    for (uint32_t m = 0; m < plan->models.count; m++) {
        if (plan->work != NULL) {
            training_free(plan->work[m].training);
            measuring_free(plan->work[m].measuring);
        }
        if (plan->model_states != NULL) {
            mem_free(plan->model_states[m].failure);
            mem_free(plan->model_states[m].no_mahala);
            for (int k = 0; k < SCORE_KINDS; k++) {
                mem_free(plan->model_states[m].batches[k].values);
            }
            buffer_done(&plan->model_states[m].file);
        }
    }
}

void plan_free(Plan *plan) {
    if (plan == NULL) {
        return;
    }
    free_work(plan);
    free_scores(plan);
    free_clips(plan);
    for (uint32_t t = 0; t < plan->task_count; t++) {
        drop_answer(&plan->tasks[t]);
    }
    for (uint32_t w = 0; w < plan->warning_count; w++) {
        mem_free(plan->warnings[w]);
    }
    exploring_free(plan);
    clip_names_free(plan->clip_names);
    buffer_done(&plan->refusal);
    models_done(&plan->models);
    mem_free(plan->model_states);
    mem_free(plan->work);
    mem_free(plan->probes_left);
    mem_free(plan->ready);
    mem_free(plan->portraits_of);
    mem_free(plan->portrait_blobs);
    portrait_set_done(&plan->portraits);
    mem_free(plan->tasks);
    mem_free(plan->warnings);
    for (uint32_t u = 0; u < plan->unable_count; u++) {
        mem_free(plan->unable[u]);
    }
    mem_free(plan->unable);
    mem_free(plan);
}

CoreHooks plan_hooks(Plan *plan) {
    return (CoreHooks){.context = plan,
                       .task_body = hook_task_body,
                       .take_answer = hook_take_answer,
                       .blob_most = hook_blob_most,
                       .take_state = hook_take_state,
                       .take_sum = hook_take_sum,
                       .group_changed = hook_group_changed,
                       .members_wanted = hook_members_wanted};
}

// ---- what went wrong ----

void plan_warn(Plan *plan, const char *format, ...) {
    char text[LIMIT_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    // What several groups or variants have alike is told once.
    for (uint32_t w = 0; w < plan->warning_count; w++) {
        if (strcmp(plan->warnings[w], text) == 0) {
            return;
        }
    }
    if (plan->warning_count == plan->warning_capacity) {
        uint32_t capacity = 2 * plan->warning_capacity + 16;
        char **grown = mem_resize(plan->warnings, capacity, sizeof *grown);
        if (grown == NULL) {
            return; // a warning more or less
        }
        plan->warnings = grown;
        plan->warning_capacity = capacity;
    }
    char *copy = mem_copy_text(text);
    if (copy != NULL) {
        plan->warnings[plan->warning_count++] = copy;
    }
}

ClipState *plan_clip_in(const Plan *plan, uint32_t group, uint32_t clip) {
    return &plan->clips[(size_t)group * plan->config.dataset->clip_count + clip];
}

const ClipState *plan_clip_of(const Plan *plan, uint32_t model, uint32_t clip) {
    return plan_clip_in(plan, models_group(&plan->models, model), clip);
}

static bool is_left_out(const Plan *plan, uint32_t clip) {
    for (uint32_t g = 0; g < plan->models.group_count; g++) {
        if (plan_clip_in(plan, g, clip)->left_out != NULL) {
            return true;
        }
    }
    return false;
}

void plan_leave_out(Plan *plan, uint32_t group, uint32_t clip, const char *reason) {
    ClipState *state = plan_clip_in(plan, group, clip);
    plan->counts.clips_left_out += !is_left_out(plan, clip);
    if (state->left_out == NULL) {
        state->left_out = mem_copy_text(reason);
    }
}

ClipScore *plan_score_of(const Plan *plan, uint32_t variant, uint32_t clip) {
    return &plan->scores[(size_t)variant * plan->config.dataset->clip_count + clip];
}

uint32_t plan_group_at(const Plan *plan, Site site) {
    return site / plan->config.dataset->machine_count;
}

const Machine *plan_machine_at(const Plan *plan, Site site) {
    const Dataset *dataset = plan->config.dataset;
    return &dataset->machines[site % dataset->machine_count];
}

const Settings *plan_probe_settings(const Plan *plan, const PlanTask *task) {
    return &plan->models.groups[plan_group_at(plan, task->owner)].settings;
}

void plan_leave_out_of(Plan *plan, uint32_t model, uint32_t clip, const char *reason) {
    ClipScore *score = plan_score_of(plan, plan->models.models[model].variant, clip);
    if (score->left_out == NULL) {
        score->left_out = mem_copy_text(reason);
    }
}

void plan_fail_model(Plan *plan, uint32_t model, const char *reason) {
    ModelState *state = &plan->model_states[model];
    if (state->failure != NULL) {
        return;
    }
    state->failure = mem_copy_text(reason);
    plan->models_left--;
    plan->counts.models_failed++;
    const Model *facts = &plan->models.models[model];
    plan_warn(plan, "no model for %s: %s", facts->label, reason);
    for (uint32_t i = 0; i < facts->test_count; i++) {
        char why[LIMIT_MESSAGE_BYTES];
        // Named as if this variant were alone: what it writes must not depend on the others.
        const char *label = plan->models.models[model % plan->models.per_variant].label;
        snprintf(why, sizeof why, "no model for %s: %s", label, reason);
        plan_leave_out_of(plan, model, facts->test[i], why);
    }
}

Status plan_clip_path(const Plan *plan, uint32_t clip, char *out, size_t size) {
    const Clip *facts = &plan->config.dataset->clips[clip];
    return file_join(out, size, plan->config.roots[facts->root], facts->path);
}

// ---- the life of an answer ----

Status plan_survey(Plan *plan) {
    plan->is_survey = true;
    return stage_probe(plan, NULL, 0);
}

// All that is finished is gone through as it is, up to the scores: a probe that is open would hide
// what comes after it.
Status plan_forget_left_out(const PlanConfig *config) {
    PlanConfig all = *config;
    Plan *plan = NULL;
    all.until = STAGE_REPORT;
    Status status = plan_new(&all, &plan);
    if (status == STATUS_OK) {
        plan->forgets = true;
        status = plan_survey(plan);
    }
    plan_free(plan);
    return status;
}

Status plan_start(Plan *plan, Core *core, int64_t now_ms) {
    return stage_probe(plan, core, now_ms);
}

// Ends the piece, which may be shorter than it was planned, and has its state made durable.
static Status commit_piece(Plan *plan, TaskTag tag) {
    uint32_t model = plan->tasks[tag].owner;
    ModelWork *work = &plan->work[model];
    uint32_t before = training_epoch(work->training);
    Status status = training_end_piece(work->training);
    work->piece_epochs = training_epoch(work->training) - before;
    return status == STATUS_OK ? checkpoint_put(plan, tag, model) : status;
}

Status plan_commit(Plan *plan, TaskTag tag, const void *bytes, size_t size) {
    assert(tag < plan->task_count);
    PlanTask *task = &plan->tasks[tag];
    if (task->kind == TASK_TRAIN) {
        return commit_piece(plan, tag);
    }
    drop_answer(task);
    Buffer *answer = task->answer = mem_new(1, sizeof *answer);
    if (answer == NULL) {
        return STATUS_MEMORY;
    }
    // That a clip is left out must be a fact of the data, not of the worker that read it.
    Status doubted =
        task->kind == TASK_PROBE ? doubt_probe(plan, task, bytes, size, answer) : STATUS_OK;
    if (doubted != STATUS_OK) {
        return doubted;
    }
    if (answer->size == 0) {
        buffer_append(answer, bytes, size);
    }
    return answer->status != STATUS_OK
               ? answer->status
               : journal_put_answer(plan->config.journal, tag, task->key, task->kind, answer->bytes,
                                    answer->size);
}

Status plan_other_clips(void) {
    return status_set(STATUS_FORMAT, "the journal holds an answer for other clips");
}

static void apply_probe_answer(Plan *plan, uint32_t group, uint32_t index,
                               const ProbeAnswer *answer) {
    ClipState *clip = plan_clip_in(plan, group, index);
    clip->is_probed = true;
    clip->frames = answer->frames;
    clip->vectors = answer->vectors;
    clip->rate_hz = answer->rate_hz;
    clip->channels = answer->channels;
    clip->seconds = answer->seconds;
    clip->is_silent = answer->is_silent;
    clip->digest = answer->digest;
    if (answer->outcome != CLIP_USABLE) {
        plan_leave_out(plan, group, index, answer->reason);
    }
}

static Status apply_probe(Plan *plan, Core *core, const PlanTask *task, const Buffer *answer,
                          int64_t now_ms) {
    uint32_t clips[CLIPS_PER_TASK_MOST];
    uint32_t clip_count = plan_task_clips(plan, task, clips);
    Decoded *decoded = decoded_new();
    const ProbeAnswer *answers;
    uint32_t count;
    Status status = decoded != NULL ? body_decode_probe_answers(decoded, answer->bytes,
                                                                answer->size, &answers, &count)
                                    : STATUS_MEMORY;
    if (status == STATUS_OK && count != clip_count) {
        status = plan_other_clips();
    }
    for (uint32_t i = 0; status == STATUS_OK && i < count; i++) {
        apply_probe_answer(plan, plan_group_at(plan, task->owner), clips[i], &answers[i]);
    }
    decoded_free(decoded);
    if (status != STATUS_OK) {
        return status;
    }
    plan->counts.clips_probed += clip_count;
    plan->probes_left[task->owner] -= clip_count;
    return plan->probes_left[task->owner] == 0 ? stage_site_ready(plan, core, task->owner, now_ms)
                                               : STATUS_OK;
}

Status plan_apply(Plan *plan, Core *core, const PlanTask *task, const Buffer *answer,
                  int64_t now_ms) {
    Status status = STATUS_OK;
    switch (task->kind) {
    case TASK_PROBE:
        status = apply_probe(plan, core, task, answer, now_ms);
        break;
    case TASK_TRAIN:
        status = stage_piece_done(plan, core, task->owner, now_ms);
        break;
    case TASK_SCORE:
        status = measuring_take_clips(plan, core, task, answer, now_ms);
        break;
    case TASK_RESIDUALS:
    case TASK_BATCHES:
        status = measuring_take_shard(plan, core, task, answer, now_ms);
        break;
    case TASK_EXPLORE:
        status = exploring_take(plan, core, task, answer, now_ms);
        break;
    case TASK_PORTRAIT:
        status = portraying_take(plan, task, answer);
        break;
    case TASK_EMPTY:
        break;
    }
    return status;
}

Status plan_on_durable(Plan *plan, Core *core, TaskTag tag, int64_t now_ms) {
    // Moved out first: applying may add tasks, and the array may move.
    PlanTask task = plan->tasks[tag];
    plan->tasks[tag].answer = NULL;
    Status status = plan_apply(plan, core, &task, task.answer, now_ms);
    drop_answer(&task);
    return status;
}

Status plan_catch_up(Plan *plan, Core *core, int64_t now_ms) {
    Training *training = plan->models.count > 0 ? plan->work[plan->behind].training : NULL;
    if (training != NULL) {
        training_catch_up(training);
    }
    return stage_open_trainings(plan, core, now_ms); // a worker may have come
}

// ---- looking in ----

bool plan_is_over(const Plan *plan) {
    return plan->sites_left == 0 && plan->explores_left == 0 && plan->counts.portraits_left == 0 &&
           (plan->config.until == STAGE_EXTRACT || plan->models_left == 0);
}

bool plan_has_worked(const Plan *plan) {
    for (uint32_t t = 0; t < plan->task_count; t++) {
        TaskKind kind = plan->tasks[t].kind;
        if (kind != TASK_EXPLORE && kind != TASK_PORTRAIT) { // what they find is of what is there
            return true;
        }
    }
    return false;
}

PlanCounts plan_counts(const Plan *plan) {
    PlanCounts counts = plan->counts;
    bool trained = counts.epochs_trained >= counts.epochs;
    counts.stage = plan->sites_left > 0    ? STAGE_EXTRACT
                   : !trained              ? STAGE_TRAIN
                   : plan->models_left > 0 ? STAGE_SCORE
                                           : STAGE_REPORT;
    return counts;
}

bool plan_pace(const Plan *plan, TaskTag tag, OwnerPace *ret_pace) {
    const PlanTask *task = &plan->tasks[tag];
    if (task->kind != TASK_TRAIN || plan->work[task->owner].piece_rounds == 0) {
        return false;
    }
    const ModelWork *work = &plan->work[task->owner];
    *ret_pace = (OwnerPace){plan->models.models[task->owner].label, work->members,
                            work->piece_rounds, work->piece_round_ns};
    return true;
}

const Models *plan_models(const Plan *plan) {
    return &plan->models;
}

const ModelState *plan_model_state(const Plan *plan, uint32_t model) {
    return &plan->model_states[model];
}

const ClipState *plan_clip_state(const Plan *plan, uint32_t group, uint32_t clip) {
    return plan_clip_in(plan, group, clip);
}

bool plan_clip_digest(const Plan *plan, uint32_t clip, Digest *ret_digest) {
    for (uint32_t g = 0; g < plan->models.group_count; g++) {
        const ClipState *state = plan_clip_in(plan, g, clip);
        if (state->is_probed) {
            *ret_digest = state->digest;
            return true;
        }
    }
    return false;
}

uint32_t plan_scored_by(const Plan *plan, uint32_t model) {
    const Model *facts = &plan->models.models[model];
    uint32_t count = 0;
    for (uint32_t i = 0; i < facts->train_count; i++) {
        count += plan_score_of(plan, facts->variant, facts->train[i])->is_scored;
    }
    for (uint32_t i = 0; i < facts->test_count; i++) {
        count += plan_score_of(plan, facts->variant, facts->test[i])->is_scored;
    }
    return count;
}

ClipResult plan_clip_result(const Plan *plan, uint32_t system, uint32_t clip) {
    const System *facts = &plan->models.systems[system];
    const ClipScore *score = plan_score_of(plan, facts->variant, clip);
    double value = score->by_kind[facts->settings.score];
    bool is_scored = score->is_scored && !isnan(value);
    uint32_t model = models_of_clip(&plan->models, system, clip);
    uint32_t group = plan->models.variants[facts->variant].group;
    const char *left_out = plan_clip_in(plan, group, clip)->left_out;
    if (left_out == NULL) {
        left_out = score->left_out;
    }
    if (left_out == NULL && score->is_scored && !is_scored) {
        left_out = plan->model_states[model].no_mahala;
    }
    return (ClipResult){.is_scored = is_scored, .score = value, .left_out = left_out};
}

const char *plan_refusal(const Plan *plan) {
    return buffer_cstr(&plan->refusal);
}

const char *plan_warning(const Plan *plan, uint32_t index) {
    return index < plan->warning_count ? plan->warnings[index] : NULL;
}
