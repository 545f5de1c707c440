// SPDX-License-Identifier: Apache-2.0
//
// What the journal knows a task by: a digest of everything that the task reads. What is not in a
// key changes no bit of the answer; what changes gives another key, and the task is done.
#include <string.h>

#include "coordinator/plan/state.h"

// Raised when the arithmetic of a stage changes: what earlier versions journalled is then redone.
enum { ARITHMETIC_VERSION = 2 };
// Of what EXPLORE finds alone.
enum { EXPLORE_VERSION = 1 };

Digest plan_arithmetic(Digest fingerprint) {
    unsigned char bytes[1 + sizeof fingerprint.bytes] = {ARITHMETIC_VERSION};
    memcpy(bytes + 1, fingerprint.bytes, sizeof fingerprint.bytes);
    return digest_of(bytes, sizeof bytes);
}

static void add_digest(DigestStream *stream, Digest digest) {
    digest_add(stream, digest.bytes, sizeof digest.bytes);
}

static DigestStream *begin_key(const Plan *plan, const char *kind) {
    DigestStream *stream = digest_begin();
    if (stream != NULL) {
        digest_add_text(stream, kind);
        add_digest(stream, plan->config.arithmetic);
    }
    return stream;
}

static Status probe_key(const Plan *plan, PlanTask *task) {
    DigestStream *stream = begin_key(plan, "probe");
    if (stream == NULL) {
        return STATUS_MEMORY;
    }
    const Machine *machine = plan_machine_at(plan, task->owner);
    add_digest(stream, plan->models.groups[plan_group_at(plan, task->owner)].digest);
    // Two sets may have the same relative path under different roots.
    digest_add_u64(stream, machine->set);
    digest_add_text(stream, machine->name);
    uint32_t clips[CLIPS_PER_TASK_MOST];
    uint32_t count = plan_task_clips(plan, task, clips);
    for (uint32_t i = 0; i < count; i++) {
        const Clip *clip = &plan->config.dataset->clips[clips[i]];
        digest_add_text(stream, clip->path);
        digest_add_u64(stream, clip->size_bytes);
        digest_add_u64(stream, (uint64_t)clip->mtime_ns);
    }
    task->key = digest_end(stream);
    return STATUS_OK;
}

static Status explore_key(const Plan *plan, PlanTask *task) {
    DigestStream *stream = begin_key(plan, "explore");
    if (stream == NULL) {
        return STATUS_MEMORY;
    }
    digest_add_u64(stream, EXPLORE_VERSION);
    add_digest(stream, plan->models.groups[0].digest);
    uint32_t clips[CLIPS_PER_TASK_MOST];
    uint32_t count = plan_task_clips(plan, task, clips);
    for (uint32_t i = 0; i < count; i++) {
        digest_add_text(stream, plan->config.dataset->clips[clips[i]].path);
        add_digest(stream, plan_clip_in(plan, 0, clips[i])->digest);
    }
    task->key = digest_end(stream);
    return STATUS_OK;
}

// What was trained, on what and for how long, and how its clips sound.
static DigestStream *begin_model_key(const Plan *plan, const char *kind, const PlanTask *task) {
    Digest settings;
    DigestStream *stream = NULL;
    if (settings_digest_all(plan->models.models[task->owner].settings, SETTING_TRAINING,
                            &settings) == STATUS_OK) {
        stream = begin_key(plan, kind);
    }
    if (stream != NULL) {
        add_digest(stream, plan->work[task->owner].key);
        add_digest(stream, settings);
        digest_add_u64(stream, (uint64_t)plan->model_states[task->owner].rate_hz);
    }
    return stream;
}

// Which score is wanted is not read: a clip's measures are enough for each. But where every row's
// distance counts, so do the precisions.
static Status score_key(const Plan *plan, PlanTask *task) {
    const Settings *settings = plan->models.models[task->owner].settings;
    bool has_distances =
        settings->mahala == MAHALA_PAPER && measuring_has_precisions(plan, task->owner);
    DigestStream *stream = begin_model_key(plan, "score", task);
    if (stream == NULL) {
        return STATUS_MEMORY;
    }
    digest_add_u64(stream, has_distances ? 1 + (uint64_t)settings->compat : 0);
    uint32_t clips[CLIPS_PER_TASK_MOST];
    uint32_t count = plan_task_clips(plan, task, clips);
    for (uint32_t i = 0; i < count; i++) {
        digest_add_text(stream, plan->config.dataset->clips[clips[i]].path);
        add_digest(stream, plan_clip_of(plan, task->owner, clips[i])->digest);
    }
    task->key = digest_end(stream);
    return STATUS_OK;
}

// The training's key says which clips, and of which domain.
static Status shard_key(const Plan *plan, PlanTask *task) {
    DigestStream *stream =
        begin_model_key(plan, task->kind == TASK_RESIDUALS ? "residuals" : "batches", task);
    if (stream == NULL) {
        return STATUS_MEMORY;
    }
    digest_add_u64(stream, (uint64_t)plan->models.models[task->owner].settings->compat);
    digest_add_u64(stream, task->first);
    task->key = digest_end(stream);
    return STATUS_OK;
}

// Why the clip is looked at, or how it scored, changes no picture.
static Status portrait_key(const Plan *plan, PlanTask *task) {
    const ClipPortrait *item = portraying_item(plan, task);
    PlanTask of_model = {.owner = item->model};
    bool has_model = item->model != UINT32_MAX;
    DigestStream *stream = has_model ? begin_model_key(plan, "portrait", &of_model)
                                     : begin_key(plan, "portrait without a model");
    if (stream == NULL) {
        return STATUS_MEMORY;
    }
    if (!has_model) {
        add_digest(stream, plan->models.groups[0].digest);
    }
    digest_add_text(stream, plan->config.dataset->clips[item->clip].path);
    add_digest(stream, *portraying_digest(plan, task));
    task->key = digest_end(stream);
    return STATUS_OK;
}

Status plan_key(const Plan *plan, PlanTask *task) {
    return task->kind == TASK_PROBE      ? probe_key(plan, task)
           : task->kind == TASK_EXPLORE  ? explore_key(plan, task)
           : task->kind == TASK_SCORE    ? score_key(plan, task)
           : task->kind == TASK_PORTRAIT ? portrait_key(plan, task)
                                         : shard_key(plan, task);
}

// All that a step reads but how many there are: a training of more epochs goes on from where one of
// fewer has ended.
Status plan_key_training(const Plan *plan, uint32_t model, Digest *ret_key) {
    const Model *facts = &plan->models.models[model];
    Settings settings = *facts->settings;
    Digest of_settings;
    settings.epochs = 1;
    Status status = settings_digest_all(&settings, SETTING_TRAINING, &of_settings);
    DigestStream *stream = status == STATUS_OK ? begin_key(plan, "train") : NULL;
    if (stream == NULL) {
        return STATUS_MEMORY;
    }
    add_digest(stream, of_settings);
    digest_add_u64(stream, facts->key);
    for (uint32_t i = 0; i < facts->train_count; i++) {
        uint32_t clip = facts->train[i];
        bool used = plan_is_used(plan, model, clip);
        digest_add_u64(stream, used);
        if (used) {
            add_digest(stream, plan_clip_of(plan, model, clip)->digest);
            digest_add_u64(stream, plan->config.dataset->clips[clip].domain == DOMAIN_TARGET);
        }
    }
    *ret_key = digest_end(stream);
    return STATUS_OK;
}
