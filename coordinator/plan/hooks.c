// SPDX-License-Identifier: Apache-2.0
//
// What the core asks: the body of a task, whether an answer is valid, how many members a training
// should have.
#include <math.h>
#include <string.h>

#include "common/base/mem.h"
#include "coordinator/plan/state.h"

// ---- bodies ----

// The clips of a task as the wire names them; caller frees. NULL: out of memory.
static WireClip *wire_clips(const Plan *plan, const PlanTask *task) {
    WireClip *clips = mem_new(task->clip_count, sizeof *clips);
    for (uint32_t i = 0; clips != NULL && i < task->clip_count; i++) {
        const Clip *clip = &plan->config.dataset->clips[task->clips[i]];
        clips[i] = (WireClip){.root = clip->root,
                              .path = clip->path,
                              .size_bytes = clip->size_bytes,
                              .digest = plan->clips[task->clips[i]].digest};
    }
    return clips;
}

static void write_probe(const Plan *plan, const PlanTask *task, Buffer *out) {
    Buffer settings = BUFFER_EMPTY;
    settings_write(plan->config.settings, SETTING_REPORT, &settings);
    WireClip *clips = wire_clips(plan, task);
    if (clips != NULL && settings.status == STATUS_OK) {
        body_encode_probe(&(ProbeBody){buffer_cstr(&settings), clips, task->clip_count}, out);
    } else {
        out->status = STATUS_MEMORY;
    }
    mem_free(clips);
    buffer_done(&settings);
}

static void write_score(const Plan *plan, const PlanTask *task, Buffer *out) {
    WireClip *clips = wire_clips(plan, task);
    if (clips != NULL) {
        body_encode_score(&(ScoreBody){plan->work[task->model].model_blob, clips, task->clip_count},
                          out);
    } else {
        out->status = STATUS_MEMORY;
    }
    mem_free(clips);
}

static void write_train(const Plan *plan, const PlanTask *task, CoreShare share, Buffer *out) {
    const ModelWork *work = &plan->work[task->model];
    TrainBody body = {.plan = work->plan_blob,
                      .first = share.first,
                      .count = share.count,
                      .from_epoch = training_epoch(work->training),
                      .from_round = training_round(work->training),
                      .until_epoch = training_until(work->training)};
    if (work->has_state_blob) {
        body.state = work->state_blob;
    }
    body_encode_train(&body, out);
}

void hook_task_body(void *context, TaskTag tag, CoreShare share, Buffer *out) {
    Plan *plan = context;
    const PlanTask *task = &plan->tasks[tag];
    switch (task->kind) {
    case TASK_PROBE:
        write_probe(plan, task, out);
        break;
    case TASK_TRAIN:
        write_train(plan, task, share, out);
        break;
    case TASK_SCORE:
        write_score(plan, task, out);
        break;
    case TASK_EMPTY:
        break;
    }
}

// ---- answers ----

// Decodes an answer over clips: how many there are, and whether one of them could not be read.
static Status look_at_probe(Decoded *decoded, const void *bytes, size_t size, uint32_t *ret_count,
                            bool *ret_unreadable) {
    const ProbeAnswer *answers;
    Status status = body_decode_probe_answers(decoded, bytes, size, &answers, ret_count);
    for (uint32_t i = 0; status == STATUS_OK && i < *ret_count; i++) {
        *ret_unreadable |= answers[i].outcome == CLIP_UNREADABLE;
    }
    return status;
}

static Status look_at_score(Decoded *decoded, const void *bytes, size_t size, uint32_t *ret_count,
                            bool *ret_unreadable) {
    const ScoreAnswer *answers;
    Status status = body_decode_score_answers(decoded, bytes, size, &answers, ret_count);
    for (uint32_t i = 0; status == STATUS_OK && i < *ret_count; i++) {
        *ret_unreadable |= answers[i].outcome == CLIP_UNREADABLE;
    }
    return status;
}

static Status look_at(const PlanTask *task, const void *bytes, size_t size, uint32_t *ret_count,
                      bool *ret_unreadable) {
    Decoded *decoded = decoded_new();
    if (decoded == NULL) {
        return STATUS_MEMORY;
    }
    *ret_unreadable = false;
    Status status = task->kind == TASK_PROBE
                        ? look_at_probe(decoded, bytes, size, ret_count, ret_unreadable)
                        : look_at_score(decoded, bytes, size, ret_count, ret_unreadable);
    decoded_free(decoded);
    return status;
}

static Status check_clips(const Plan *plan, const PlanTask *task, const void *bytes, size_t size) {
    uint32_t count = 0;
    bool unreadable = false;
    Status status = look_at(task, bytes, size, &count, &unreadable);
    if (status == STATUS_OK && count != task->clip_count) {
        return status_set(STATUS_FORMAT, "%u clips answered of %u", count, task->clip_count);
    }
    if (status == STATUS_OK && unreadable && !plan->looks_itself) {
        return status_set(STATUS_FORMAT, "an unreadable clip in a worker's answer");
    }
    return status;
}

bool hook_is_final(const PlanTask *task, const Buffer *answer) {
    uint32_t count = 0;
    bool unreadable = false;
    return look_at(task, answer->bytes, answer->size, &count, &unreadable) == STATUS_OK &&
           !unreadable;
}

static int log2_of(uint32_t value) {
    int result = 0;
    while (value > 1) {
        value /= 2;
        result++;
    }
    return result;
}

static Status check_train(Plan *plan, const PlanTask *task, CoreShare share, const void *bytes,
                          size_t size) {
    ModelWork *work = &plan->work[task->model];
    TrainAnswer answer;
    Decoded *decoded = decoded_new();
    Status status =
        decoded != NULL ? body_decode_train_answer(decoded, bytes, size, &answer) : STATUS_MEMORY;
    decoded_free(decoded);
    if (status == STATUS_OK) {
        status = training_take_answer(work->training, share, answer.digest);
    }
    work->piece_rounds = status == STATUS_OK ? answer.rounds : 0;
    if (work->piece_rounds > 0) {
        double *measured = &work->round_ns[log2_of(work->members)];
        double now = (double)answer.nanoseconds / (double)answer.rounds;
        *measured = *measured == 0 ? now : 0.5 * *measured + 0.5 * now;
        work->piece_round_ns = now;
    }
    return status;
}

Status hook_take_answer(void *context, TaskTag tag, CoreShare share, const void *bytes,
                        size_t size) {
    Plan *plan = context;
    const PlanTask *task = &plan->tasks[tag];
    return task->kind == TASK_TRAIN ? check_train(plan, task, share, bytes, size)
                                    : check_clips(plan, task, bytes, size);
}

Status hook_take_state(void *context, TaskTag tag, const void *bytes, size_t size) {
    Plan *plan = context;
    return training_take_state(plan->work[plan->tasks[tag].model].training, bytes, size);
}

Status hook_take_sum(void *context, TaskTag tag, const CoreSum *sum, Buffer *total,
                     BlobKind *total_kind) {
    Plan *plan = context;
    plan->behind = plan->tasks[tag].model;
    Training *training = plan->work[plan->behind].training;
    Status status = training_take_sum(training, sum, total, total_kind);
    if (status == STATUS_INVALID) {
        buffer_clear(total);
        body_encode_cannot(&(CannotBody){.reason = status_message()}, total);
    }
    return status;
}

// ---- groups ----

// Holds the state that the next group starts from where workers can get it.
static Status hold_state(Plan *plan, ModelWork *work) {
    if (work->has_state_blob) {
        blobs_drop(plan->config.blobs, work->state_blob);
        work->has_state_blob = false;
    }
    const Buffer *state = training_state(work->training);
    if (state->size == 0) {
        return STATUS_OK;
    }
    Status status = blobs_hold(plan->config.blobs, state->bytes, state->size, &work->state_blob);
    work->has_state_blob = status == STATUS_OK;
    return status;
}

// So many epochs that the piece takes PIECE_MS; few at first, while nothing is measured.
static void plan_piece(const Plan *plan, ModelWork *work, uint32_t members) {
    double round_ns = work->round_ns[log2_of(members)];
    double epoch_ms = round_ns * 1e-6 * (double)training_rounds(work->training);
    uint32_t epochs = 1;
    if (epoch_ms > 0) {
        double fitting = PIECE_MS / epoch_ms;
        double most = (double)(work->piece_epochs > 0 ? work->piece_epochs : 1) * PIECE_GROWTH;
        fitting = fitting < most ? fitting : most;
        epochs = fitting > 1 ? (uint32_t)fitting : 1;
    }
    uint32_t left = (uint32_t)plan->config.settings->epochs - training_epoch(work->training);
    work->piece_epochs = epochs < left ? epochs : left;
    training_plan_piece(work->training, work->piece_epochs);
}

Status hook_group_changed(void *context, TaskTag tag, uint32_t members) {
    Plan *plan = context;
    ModelWork *work = &plan->work[plan->tasks[tag].model];
    if (members > 0) {
        Status status = hold_state(plan, work);
        if (status != STATUS_OK) {
            return status;
        }
        plan_piece(plan, work, members);
        work->members = members;
        return training_group_changed(work->training, members);
    }
    uint32_t before = training_epoch(work->training);
    Status status = training_group_changed(work->training, 0);
    // Epochs that the broken group finished count.
    plan->counts.epochs_trained += training_epoch(work->training) - before;
    return status;
}

static uint32_t power_of_two_at_most(uint32_t value) {
    uint32_t power = 1;
    while (power * 2 <= value) {
        power *= 2;
    }
    return power;
}

// auto: measured once each way, then whatever was faster. The difference must be worth it, since
// members that wait for each other are more easily disturbed.
static uint32_t auto_members(const ModelWork *work, uint32_t most) {
    double alone = work->round_ns[0];
    double spread = work->round_ns[log2_of(most)];
    if (most == 1 || alone == 0) {
        return 1;
    }
    if (spread == 0) {
        return most;
    }
    return spread < 0.9 * alone ? most : 1;
}

uint32_t hook_members_wanted(void *context, TaskTag tag, uint32_t free_workers, uint32_t sessions,
                             uint32_t train_tasks, int64_t waited_ms) {
    enum { PATIENCE_MS = 500 }; // for workers that are about to come free
    Plan *plan = context;
    const ModelWork *work = &plan->work[plan->tasks[tag].model];
    const Settings *settings = plan->config.settings;
    uint32_t shards = (uint32_t)settings->shards;
    uint32_t share = sessions;
    if (settings->spread != SPREAD_ALWAYS) {
        share = train_tasks > 0 ? sessions / train_tasks : sessions;
    }
    share = share > shards ? shards : share > 0 ? share : 1;
    uint32_t wanted = power_of_two_at_most(share);
    if (settings->spread == SPREAD_NEVER) {
        return 1;
    }
    if (settings->spread == SPREAD_AUTO) {
        wanted = auto_members(work, wanted);
    }
    if (wanted > free_workers) {
        return waited_ms < PATIENCE_MS ? 0 : power_of_two_at_most(free_workers);
    }
    return wanted;
}
