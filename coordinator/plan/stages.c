// SPDX-License-Identifier: Apache-2.0
//
// Which tasks a stage has, and what its end begins: probing -> the machine's clips judged together
// -> training, piece by piece -> scoring.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/engine/model_file.h"
#include "coordinator/plan/state.h"

// ---- tasks ----

// Applies the answer that the journal has for the task, if it has one that holds for good.
static Status apply_journalled(Plan *plan, Core *core, const PlanTask *task, int64_t now_ms,
                               bool *ret_applied) {
    *ret_applied = false;
    Buffer answer = BUFFER_EMPTY;
    Status status = journal_answer(plan->config.journal, task->key, &answer);
    if (status == STATUS_OK && hook_is_final(plan, task, &answer)) {
        *ret_applied = true;
        status = plan_apply(plan, core, task, &answer, now_ms);
        if (status == STATUS_OK && plan->forgets && hook_leaves_out(plan, task, &answer)) {
            status = journal_drop_answer(plan->config.journal, task->key);
        }
    } else if (status == STATUS_NOT_FOUND) {
        status = STATUS_OK;
    }
    buffer_done(&answer);
    return status;
}

// Gives the task to the core, or applies it at once if the journal has its answer.
Status stage_add(Plan *plan, Core *core, const PlanTask *task, int64_t now_ms) {
    PlanTask copy = *task;
    if (task->kind != TASK_TRAIN) {
        bool is_applied = false;
        Status status = plan_key(plan, &copy);
        if (status == STATUS_OK) {
            status = apply_journalled(plan, core, &copy, now_ms, &is_applied);
        }
        if (status != STATUS_OK || is_applied) {
            return status;
        }
    }
    if (plan->is_survey) {
        return STATUS_OK;
    }
    if (plan->task_count == plan->task_capacity) {
        uint32_t capacity = plan->task_capacity + plan->task_capacity / 2 + 64;
        PlanTask *grown = mem_resize(plan->tasks, capacity, sizeof *grown);
        if (grown == NULL) {
            return STATUS_MEMORY;
        }
        plan->tasks = grown;
        plan->task_capacity = capacity;
    }
    plan->tasks[plan->task_count] = copy;
    CoreTask added = {.kind = task->kind, .tag = plan->task_count++};
    if (task->kind == TASK_TRAIN) {
        added.shards = (uint32_t)plan->models.models[task->owner].settings->shards;
    }
    if (task->kind != TASK_TRAIN) {
        journal_failures(plan->config.journal, copy.key, &added.deaths, &added.cannots);
    }
    if (task->kind == TASK_PROBE || task->kind == TASK_SCORE || task->kind == TASK_EXPLORE) {
        added.place = plan_place(plan, task);
    }
    Status status = STATUS_OK;
    if (plan->config.retries && added.deaths + added.cannots > 0) {
        added.deaths = added.cannots = 0;
        status = journal_put_failure(plan->config.journal, copy.key, 0, 0);
    }
    return status == STATUS_OK ? core_add_task(core, &added, now_ms) : status;
}

// ---- probing ----

Status stage_probe(Plan *plan, Core *core, int64_t now_ms) {
    plan->counts.epochs = 0;
    for (uint32_t m = 0; m < plan->models.count; m++) {
        plan->counts.epochs += foreign_epochs(plan, m);
    }
    Site sites = plan->models.group_count * plan->config.dataset->machine_count;
    Status status = STATUS_OK;
    for (Site site = 0; site < sites && status == STATUS_OK; site++) {
        const Machine *machine = plan_machine_at(plan, site);
        PlanTask train = {.kind = TASK_PROBE, .owner = site, .count = machine->train_count};
        PlanTask others = {.kind = TASK_PROBE,
                           .owner = site,
                           .first = machine->train_count,
                           .count = machine->clip_count - machine->train_count};
        // Counted before any task is added, since an answer from the journal counts at once.
        uint32_t count = plan_count_clips(plan, &train) + plan_count_clips(plan, &others);
        plan->probes_left[site] = count;
        plan->counts.clips += count;
        status = count > 0 ? plan_cut(plan, core, &train, now_ms)
                           : stage_site_ready(plan, core, site, now_ms);
        if (status == STATUS_OK && count > 0) {
            status = plan_cut(plan, core, &others, now_ms);
        }
    }
    return status;
}

// ---- a machine's clips, judged together ----

static int compare_votes(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

// The rate of most clips; on a tie that of most training clips, then the lower. 0: no sound at all.
static Status majority_rate(const Plan *plan, Site site, int32_t *ret_rate) {
    const Machine *machine = plan_machine_at(plan, site);
    uint32_t group = plan_group_at(plan, site);
    uint64_t *votes = mem_new(machine->clip_count, sizeof *votes); // rate * 2 + is for training
    if (votes == NULL) {
        return STATUS_MEMORY;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < machine->clip_count; i++) {
        const ClipState *clip = plan_clip_in(plan, group, machine->first_clip + i);
        if (clip->is_probed && clip->left_out == NULL && clip->rate_hz != 0) {
            votes[count++] = (uint64_t)clip->rate_hz << 1 | (i < machine->train_count);
        }
    }
    qsort(votes, count, sizeof *votes, compare_votes);
    uint64_t best_rate = 0, best = 0;
    for (uint32_t i = 0; i < count;) {
        uint64_t rate = votes[i] >> 1, sum = 0;
        for (; i < count && votes[i] >> 1 == rate; i++) {
            sum += ((uint64_t)1 << 32) + (votes[i] & 1);
        }
        if (sum > best) { // the lower rate came first
            best = sum;
            best_rate = rate;
        }
    }
    mem_free(votes);
    *ret_rate = (int32_t)best_rate;
    return STATUS_OK;
}

static void judge_rates(Plan *plan, Site site, int32_t rate_hz) {
    const Machine *machine = plan_machine_at(plan, site);
    uint32_t group = plan_group_at(plan, site);
    for (uint32_t i = 0; i < machine->clip_count; i++) {
        uint32_t clip = machine->first_clip + i;
        const ClipState *state = plan_clip_in(plan, group, clip);
        if (state->is_probed && state->left_out == NULL && state->rate_hz != 0 &&
            (int32_t)state->rate_hz != rate_hz) {
            char reason[256];
            snprintf(reason, sizeof reason, "its rate is %u Hz, most clips of %s have %d Hz",
                     state->rate_hz, machine->name, rate_hz);
            plan_leave_out(plan, group, clip, reason);
        }
    }
}

static void warn_of_silence(Plan *plan, Site site) {
    const Machine *machine = plan_machine_at(plan, site);
    uint32_t group = plan_group_at(plan, site);
    uint32_t silent = 0;
    uint32_t example = 0;
    for (uint32_t i = 0; i < machine->clip_count; i++) {
        const ClipState *state = plan_clip_in(plan, group, machine->first_clip + i);
        if (state->is_silent && state->left_out == NULL) {
            example = silent++ == 0 ? machine->first_clip + i : example;
        }
    }
    if (silent > 0) {
        plan_warn(plan, "%s: %u clip%s of nothing but zeros, used all the same (%s)", machine->name,
                  silent, silent == 1 ? "" : "s", plan->config.dataset->clips[example].path);
    }
}

static bool hold_if_changed(Plan *plan, uint32_t model);

Status stage_site_ready(Plan *plan, Core *core, Site site, int64_t now_ms) {
    uint32_t machine = site % plan->config.dataset->machine_count;
    uint32_t group = plan_group_at(plan, site);
    int32_t rate_hz = 0;
    Status status = majority_rate(plan, site, &rate_hz);
    if (status != STATUS_OK) {
        return status;
    }
    judge_rates(plan, site, rate_hz);
    warn_of_silence(plan, site);
    plan->sites_left--;
    status = exploring_site_ready(plan, core, site, now_ms);
    for (uint32_t m = 0; m < plan->models.count && status == STATUS_OK; m++) {
        if (plan->models.models[m].machine == machine && models_group(&plan->models, m) == group) {
            plan->model_states[m].rate_hz = rate_hz;
            if (plan->config.until >= STAGE_TRAIN && !hold_if_changed(plan, m)) {
                status = stage_train(plan, core, m, now_ms);
            }
        }
    }
    return status;
}

// ---- training ----

// The blob that tells workers what the model is trained on.
static Status hold_plan_blob(Plan *plan, uint32_t model) {
    const Model *facts = &plan->models.models[model];
    ModelWork *work = &plan->work[model];
    Buffer settings = BUFFER_EMPTY;
    Buffer bytes = BUFFER_EMPTY;
    settings_write(facts->settings, SETTING_REPORT, &settings);
    TrainPlan body = {.settings = buffer_cstr(&settings),
                      .model_key = facts->key,
                      .shards = (uint32_t)facts->settings->shards};
    body.clips = mem_new(facts->train_count, sizeof *body.clips);
    Status status = body.clips != NULL ? settings.status : STATUS_MEMORY;
    for (uint32_t i = 0; status == STATUS_OK && i < facts->train_count; i++) {
        uint32_t index = facts->train[i];
        const Clip *clip = &plan->config.dataset->clips[index];
        const ClipState *state = plan_clip_of(plan, model, index);
        if (plan_is_used(plan, model, index)) {
            body.clips[body.clip_count++] = (WireClip){.root = clip->root,
                                                       .path = clip->path,
                                                       .size_bytes = clip->size_bytes,
                                                       .digest = state->digest,
                                                       .index = i,
                                                       .frames = state->frames,
                                                       .is_target = clip->domain == DOMAIN_TARGET};
        }
    }
    if (status == STATUS_OK) {
        body_encode_plan(&body, &bytes);
        status = bytes.status != STATUS_OK
                     ? bytes.status
                     : blobs_hold(plan->config.blobs, bytes.bytes, bytes.size, &work->plan_blob);
    }
    if (status == STATUS_OK) {
        work->has_plan_blob = true;
    }
    mem_free(body.clips);
    buffer_done(&settings);
    buffer_done(&bytes);
    return status;
}

int64_t *plan_training_frames(const Plan *plan, uint32_t model) {
    const Model *facts = &plan->models.models[model];
    int64_t *frames = mem_new(facts->train_count, sizeof *frames);
    for (uint32_t i = 0; frames != NULL && i < facts->train_count; i++) {
        bool used = plan_is_used(plan, model, facts->train[i]);
        frames[i] = used ? plan_clip_of(plan, model, facts->train[i])->frames : 0;
    }
    return frames;
}

static Status new_training(Plan *plan, uint32_t model) {
    const Model *facts = &plan->models.models[model];
    ModelWork *work = &plan->work[model];
    int64_t *frames = plan_training_frames(plan, model);
    if (frames == NULL) {
        return STATUS_MEMORY;
    }
    Status status = training_new(facts->settings, facts->key, frames, (int32_t)facts->train_count,
                                 &work->training);
    mem_free(frames);
    return status;
}

static Status make_model_folder(const Plan *plan, uint32_t model) {
    char path[LIMIT_PATH_BYTES];
    int used = snprintf(path, sizeof path, "%s/data/%s", plan->config.run_folder,
                        plan->models.models[model].folder);
    if (used < 0 || (size_t)used >= sizeof path) {
        return status_set(STATUS_LIMIT, "path too long: %s", path);
    }
    return file_make_folders(path);
}

static bool has_training_clips(const Plan *plan, uint32_t model) {
    const Model *facts = &plan->models.models[model];
    for (uint32_t i = 0; i < facts->train_count; i++) {
        if (plan_is_used(plan, model, facts->train[i])) {
            return true;
        }
    }
    return false;
}

// What is held for a model's training, given back, but for the plan.
static void drop_training(Plan *plan, uint32_t model) {
    ModelWork *work = &plan->work[model];
    if (work->has_state_blob) {
        blobs_drop(plan->config.blobs, work->state_blob);
    }
    work->has_state_blob = false;
    training_free(work->training);
    work->training = NULL;
}

static void drop_plan_blob(Plan *plan, uint32_t model) {
    ModelWork *work = &plan->work[model];
    if (work->has_plan_blob) {
        blobs_drop(plan->config.blobs, work->plan_blob);
    }
    work->has_plan_blob = false;
}

static Status add_piece(Plan *plan, Core *core, uint32_t model, int64_t now_ms) {
    PlanTask task = {.kind = TASK_TRAIN, .owner = model, .key = plan->work[model].key};
    return stage_add(plan, core, &task, now_ms);
}

static void fail_training(Plan *plan, uint32_t model, const char *reason) {
    plan->counts.epochs -= foreign_epochs(plan, model);
    plan_fail_model(plan, model, reason);
}

// Makes all that the training needs, and goes on from the state that there is.
static Status open_training(Plan *plan, uint32_t model) {
    Status status = new_training(plan, model);
    if (status == STATUS_INVALID || status == STATUS_LIMIT) {
        fail_training(plan, model, status_message());
        return STATUS_OK;
    }
    if (status == STATUS_OK) {
        status = make_model_folder(plan, model);
    }
    if (status == STATUS_OK) {
        status = hold_plan_blob(plan, model);
    }
    if (status == STATUS_OK) {
        status = checkpoint_resume(plan, model);
        plan->model_states[model].epochs = training_epoch(plan->work[model].training);
    }
    return status;
}

// ---- what may not be done anew ----

static void hold_model(Plan *plan, uint32_t model, const char *why) {
    plan->counts.epochs -= foreign_epochs(plan, model);
    plan->models_left--;
    plan->model_states[model].is_held = true;
    buffer_format(&plan->refusal, "%s: %s\n", plan->models.models[model].label, why);
}

// A model in the same place that other settings or data have trained is not lost by accident,
// whatever the reason: run_change.c has told, or --update allows it.
static bool hold_if_other(Plan *plan, uint32_t model) {
    uint32_t epochs = checkpoint_epochs_of_others(plan, model);
    if (plan->config.may_redo || plan->is_survey || epochs == 0) {
        return false;
    }
    char why[128];
    snprintf(why, sizeof why, "%u epoch%s of it %s trained on other data or settings", epochs,
             epochs == 1 ? "" : "s", epochs == 1 ? "was" : "were");
    hold_model(plan, model, why);
    return true;
}

// Begins the training, or finds it done. `is_anew`: a clip was left out in the middle of it.
static Status begin_training(Plan *plan, uint32_t model, bool is_anew, bool *ret_is_over) {
    ModelState *state = &plan->model_states[model];
    drop_training(plan, model);
    drop_plan_blob(plan, model);
    *ret_is_over = false;
    if (!has_training_clips(plan, model)) {
        fail_training(plan, model, "it has no training clips that can be used");
        return STATUS_OK;
    }
    Status status = plan_key_training(plan, model, &plan->work[model].key);
    if (status == STATUS_OK) {
        status = checkpoint_settle(plan, model);
    }
    if (status == STATUS_OK && !is_anew && hold_if_other(plan, model)) {
        return STATUS_OK;
    }
    if (status == STATUS_OK && plan->is_survey) {
        state->epochs = checkpoint_epochs(plan, model);
    } else if (status == STATUS_OK) {
        status = open_training(plan, model);
    }
    if (status == STATUS_OK && state->failure == NULL) {
        plan->counts.epochs_trained += state->epochs;
        *ret_is_over = state->epochs >= (uint32_t)plan->models.models[model].settings->epochs;
    }
    return status;
}

// ---- what may not be done anew, seen from the clips ----

// The first of these clips whose contents are not those that finished work has read.
static uint32_t changed_clip(const Plan *plan, uint32_t model, const uint32_t *clips,
                             uint32_t count) {
    static const Digest none;
    for (uint32_t i = 0; i < count; i++) {
        Digest known = plan->config.known[clips[i]];
        if (!digest_equal(known, none) &&
            !digest_equal(known, plan_clip_of(plan, model, clips[i])->digest)) {
            return clips[i];
        }
    }
    return NO_CLIP;
}

static bool hold_if_changed(Plan *plan, uint32_t model) {
    const Model *facts = &plan->models.models[model];
    if (plan->config.may_redo || plan->config.known == NULL) {
        return false;
    }
    uint32_t clip = changed_clip(plan, model, facts->train, facts->train_count);
    clip = clip != NO_CLIP ? clip : changed_clip(plan, model, facts->test, facts->test_count);
    if (clip != NO_CLIP) {
        char why[LIMIT_MESSAGE_BYTES];
        snprintf(why, sizeof why, "%s holds other sound than before",
                 plan->config.dataset->clips[clip].path);
        hold_model(plan, model, why);
    }
    return clip != NO_CLIP;
}

static Status begin_scoring(Plan *plan, Core *core, uint32_t model, int64_t now_ms);

// Those that nobody who is there can do keep no worker from others.
static uint64_t trainings_wanted(const Plan *plan, const Core *core) {
    CoreCounts counts = core_counts(core);
    bool is_spread = plan->config.settings->spread == SPREAD_ALWAYS;
    uint64_t workers = is_spread || counts.sessions == 0 ? 1 : counts.sessions;
    return workers + counts.stranded;
}

Status stage_open_trainings(Plan *plan, Core *core, int64_t now_ms) {
    Status status = STATUS_OK;
    while (status == STATUS_OK && plan->ready_first < plan->ready_count &&
           plan->open_count < trainings_wanted(plan, core)) {
        uint32_t model = plan->ready[plan->ready_first++];
        plan->work[model].is_open = true;
        plan->open_count++;
        status = add_piece(plan, core, model, now_ms);
    }
    return status;
}

void stage_close_training(Plan *plan, uint32_t model) {
    plan->open_count -= plan->work[model].is_open;
    plan->work[model].is_open = false;
}

static bool is_out(const ModelState *state) {
    return state->failure != NULL || state->is_held;
}

Status stage_train(Plan *plan, Core *core, uint32_t model, int64_t now_ms) {
    bool is_over = true;
    Status status = foreign_is(plan, model) ? foreign_begin(plan, model)
                                            : begin_training(plan, model, false, &is_over);
    if (status != STATUS_OK || is_out(&plan->model_states[model])) {
        return status;
    }
    if (is_over) {
        return begin_scoring(plan, core, model, now_ms);
    }
    if (plan->is_survey) {
        return STATUS_OK;
    }
    plan->ready[plan->ready_count++] = model;
    return stage_open_trainings(plan, core, now_ms);
}

Status stage_piece_done(Plan *plan, Core *core, uint32_t model, int64_t now_ms) {
    ModelWork *work = &plan->work[model];
    plan->counts.epochs_trained += work->piece_epochs;
    plan->model_states[model].epochs = training_epoch(work->training);
    return training_is_over(work->training) ? begin_scoring(plan, core, model, now_ms)
                                            : add_piece(plan, core, model, now_ms);
}

Status stage_retrain(Plan *plan, Core *core, uint32_t model, TaskTag tag, int64_t now_ms) {
    bool is_over;
    plan->counts.epochs_trained -= training_epoch(plan->work[model].training);
    Status status = begin_training(plan, model, true, &is_over);
    if (status != STATUS_OK || plan->model_states[model].failure != NULL || is_over) {
        core_abandon(core, tag);
        stage_close_training(plan, model);
        return status == STATUS_OK && is_over ? begin_scoring(plan, core, model, now_ms) : status;
    }
    plan->tasks[tag].key = plan->work[model].key;
    core_retry(core, tag, now_ms);
    return STATUS_OK;
}

// ---- scoring ----

// What the baseline's threshold is made from.
static Status keep_batch_losses(Plan *plan, uint32_t model, const Replica *replica) {
    BatchLosses losses = replica_batch_losses(replica);
    BatchValues *batches = &plan->model_states[model].batches[SCORE_MSE];
    size_t training = (size_t)losses.training_count, held_out = (size_t)losses.held_out_count;
    batches->values = mem_new(training + held_out, sizeof *batches->values);
    if (batches->values == NULL) {
        return STATUS_MEMORY;
    }
    batches->count = training + held_out;
    for (size_t i = 0; i < batches->count; i++) {
        batches->values[i] = i < training ? losses.training[i] : losses.held_out[i - training];
    }
    return STATUS_OK;
}

static Status write_model(Plan *plan, uint32_t model) {
    const Model *facts = &plan->models.models[model];
    const Machine *machine = &plan->config.dataset->machines[facts->machine];
    Replica *replica;
    Status status = training_replica(plan->work[model].training, &replica);
    if (status != STATUS_OK) {
        return status;
    }
    ModelFile file = model_file_blank();
    file.settings = *facts->settings;
    file.rate_hz = plan->model_states[model].rate_hz;
    file.replica = replica;
    snprintf(file.machine, sizeof file.machine, "%s", machine->name);
    snprintf(file.section, sizeof file.section, "%s", facts->section);
    snprintf(file.set, sizeof file.set, "%s", dataset_set_text(machine->set));
    model_file_write(&file, &plan->model_states[model].file);
    status = plan->model_states[model].file.status;
    if (status == STATUS_OK) {
        status = keep_batch_losses(plan, model, replica);
    }
    replica_free(replica);
    return status;
}

// The model's file, where scoring tasks find it.
static Status make_model(Plan *plan, uint32_t model) {
    const Buffer *file = &plan->model_states[model].file;
    Status status = foreign_is(plan, model) ? foreign_write(plan, model) : write_model(plan, model);
    drop_training(plan, model);
    if (!measuring_wants(plan, model, SCORE_MAHALA) || plan->config.until < STAGE_SCORE) {
        drop_plan_blob(plan, model);
    }
    return status == STATUS_OK && plan->config.until >= STAGE_SCORE
               ? blobs_hold(plan->config.blobs, file->bytes, file->size,
                            &plan->work[model].model_blob)
               : status;
}

static Status begin_scoring(Plan *plan, Core *core, uint32_t model, int64_t now_ms) {
    stage_close_training(plan, model);
    Status status = plan->is_survey ? STATUS_OK : make_model(plan, model);
    if (status != STATUS_OK) {
        return status;
    }
    plan->model_states[model].is_trained = true;
    if (plan->config.until < STAGE_SCORE) {
        plan->models_left--;
        return STATUS_OK;
    }
    return measuring_begin(plan, core, model, now_ms);
}

// ---- single clips, when workers die ----

Status stage_give_up(Plan *plan, Core *core, const PlanTask *single, const char *reason,
                     int64_t now_ms) {
    Buffer answer = BUFFER_EMPTY;
    if (single->kind == TASK_PROBE) {
        ProbeAnswer gone = {.outcome = CLIP_LEFT_OUT, .reason = reason};
        body_encode_probe_answers(&gone, 1, &answer);
    } else if (single->kind == TASK_EXPLORE) {
        ExploreAnswer gone = {.outcome = CLIP_LEFT_OUT, .reason = reason};
        body_encode_explore_answers(&gone, 1, &answer);
    } else {
        ScoreAnswer gone = {.outcome = CLIP_LEFT_OUT, .reason = reason};
        body_encode_score_answers(&gone, 1, &answer);
    }
    Status status = answer.status == STATUS_OK ? plan_apply(plan, core, single, &answer, now_ms)
                                               : answer.status;
    buffer_done(&answer);
    return status;
}
