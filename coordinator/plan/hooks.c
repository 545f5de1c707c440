// SPDX-License-Identifier: Apache-2.0
//
// What the core asks: the body of a task, whether an answer is valid, how many members a training
// should have.
#include <math.h>
#include <string.h>

#include "common/base/limits.h"
#include "common/dsp/vectors.h"
#include "coordinator/plan/state.h"

// ---- bodies ----

// The clips of a task as the wire names them; returns how many.
static uint32_t wire_clips(const Plan *plan, const PlanTask *task,
                           WireClip out[CLIPS_PER_TASK_MOST]) {
    uint32_t clips[CLIPS_PER_TASK_MOST];
    uint32_t count = plan_task_clips(plan, task, clips);
    for (uint32_t i = 0; i < count; i++) {
        const Clip *clip = &plan->config.dataset->clips[clips[i]];
        bool is_of_site = task->kind == TASK_PROBE || task->kind == TASK_EXPLORE;
        uint32_t group = is_of_site ? plan_group_at(plan, task->owner)
                                    : models_group(&plan->models, task->owner);
        out[i] = (WireClip){.root = clip->root,
                            .path = clip->path,
                            .size_bytes = clip->size_bytes,
                            .digest = plan_clip_in(plan, group, clips[i])->digest};
    }
    return count;
}

static void write_probe(const Plan *plan, const PlanTask *task, Buffer *out) {
    Buffer settings = BUFFER_EMPTY;
    settings_write(plan_probe_settings(plan, task), SETTING_FEATURES, &settings);
    WireClip clips[CLIPS_PER_TASK_MOST];
    uint32_t count = wire_clips(plan, task, clips);
    if (settings.status == STATUS_OK) {
        body_encode_probe(&(ProbeBody){buffer_cstr(&settings), clips, count}, out);
    } else {
        out->status = STATUS_MEMORY;
    }
    buffer_done(&settings);
}

static void write_score(const Plan *plan, const PlanTask *task, Buffer *out) {
    WireClip clips[CLIPS_PER_TASK_MOST];
    uint32_t count = wire_clips(plan, task, clips);
    body_encode_score(&(ScoreBody){measuring_model_blob(plan, task), clips, count}, out);
}

static void write_explore(const Plan *plan, const PlanTask *task, Buffer *out) {
    Buffer settings = BUFFER_EMPTY;
    settings_write(plan_probe_settings(plan, task), SETTING_FEATURES, &settings);
    WireClip clips[CLIPS_PER_TASK_MOST];
    ExploreBody body = {.settings = buffer_cstr(&settings), .clips = clips};
    body.clip_count = wire_clips(plan, task, clips);
    if (settings.status == STATUS_OK) {
        body_encode_explore(&body, out);
    } else {
        out->status = STATUS_MEMORY;
    }
    buffer_done(&settings);
}

static void write_shard(const Plan *plan, const PlanTask *task, Buffer *out) {
    body_encode_shard(&(ShardBody){.plan = plan->work[task->owner].plan_blob,
                                   .model = measuring_model_blob(plan, task),
                                   .shard = task->first},
                      out);
}

static void write_train(const Plan *plan, const PlanTask *task, CoreShare share, Buffer *out) {
    const ModelWork *work = &plan->work[task->owner];
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
    case TASK_RESIDUALS:
    case TASK_BATCHES:
        write_shard(plan, task, out);
        break;
    case TASK_EXPLORE:
        write_explore(plan, task, out);
        break;
    case TASK_PORTRAIT:
        portraying_body(plan, task, out);
        break;
    case TASK_EMPTY:
        break;
    }
}

// ---- answers ----

static Status not_of(const char *what) {
    return status_set(STATUS_FORMAT, "an answer whose %s cannot be", what);
}

// A clip without a rate is a log-mel that was made elsewhere.
static bool is_plausible_sound(const ProbeAnswer *answer, const Settings *settings) {
    double samples = answer->seconds * answer->rate_hz;
    double frames = samples / settings->hop_length; // and up to n_fft samples of edge
    double edge = 2.0 + (double)settings->n_fft / settings->hop_length;
    if (answer->rate_hz == 0) {
        return answer->channels <= 1 && answer->seconds == 0;
    }
    return answer->rate_hz <= LIMIT_RATE_HZ && answer->channels >= 1 &&
           answer->channels <= LIMIT_CHANNELS && samples > 0 && samples <= LIMIT_CLIP_SAMPLES &&
           (settings->features == FEATURES_NOTEBOOK
                ? answer->frames == 1
                : fabs((double)answer->frames - frames) <= edge);
}

static Status check_probe_answer(const ProbeAnswer *answer, const Settings *settings) {
    if (answer->outcome != CLIP_USABLE) {
        return answer->reason[0] != '\0' ? STATUS_OK : not_of("reason");
    }
    int64_t vectors = vectors_count(answer->frames, settings->frames, settings->frame_hop_length);
    if (answer->vectors == 0 || (int64_t)answer->vectors != vectors) {
        return not_of("number of vectors");
    }
    return is_plausible_sound(answer, settings) ? STATUS_OK : not_of("rate, channels or length");
}

static Status check_score_answer(const ScoreAnswer *answer, size_t n_mels) {
    if (answer->outcome != CLIP_USABLE) {
        return answer->reason[0] != '\0' ? STATUS_OK : not_of("reason");
    }
    if (!(answer->mse >= 0)) {
        return not_of("mean squared error");
    }
    if (answer->row_bytes != n_mels * sizeof(double)) {
        return not_of("row's length");
    }
    for (size_t j = 0; j < n_mels; j++) {
        double value;
        memcpy(&value, (const char *)answer->row + j * sizeof value, sizeof value);
        if (!isfinite(value)) {
            return not_of("row");
        }
    }
    return STATUS_OK;
}

// What an answer over clips says, as far as tasks are concerned.
typedef struct Look {
    uint32_t count; // of the clips answered
    bool has_unreadable, has_left_out;
} Look;

static Status look_at_probe(const Plan *plan, const PlanTask *task, Decoded *decoded,
                            const void *bytes, size_t size, Look *look) {
    const ProbeAnswer *answers;
    Status status = body_decode_probe_answers(decoded, bytes, size, &answers, &look->count);
    for (uint32_t i = 0; status == STATUS_OK && i < look->count; i++) {
        look->has_unreadable |= answers[i].outcome == CLIP_UNREADABLE;
        look->has_left_out |= answers[i].outcome == CLIP_LEFT_OUT;
        status = check_probe_answer(&answers[i], plan_probe_settings(plan, task));
    }
    return status;
}

static Status look_at_score(const Plan *plan, const PlanTask *task, Decoded *decoded,
                            const void *bytes, size_t size, Look *look) {
    size_t n_mels = (size_t)settings_width(plan->models.models[task->owner].settings);
    const ScoreAnswer *answers;
    Status status = body_decode_score_answers(decoded, bytes, size, &answers, &look->count);
    for (uint32_t i = 0; status == STATUS_OK && i < look->count; i++) {
        look->has_unreadable |= answers[i].outcome == CLIP_UNREADABLE;
        look->has_left_out |= answers[i].outcome == CLIP_LEFT_OUT;
        status = check_score_answer(&answers[i], n_mels);
    }
    return status;
}

static Status look_at_explore(const Plan *plan, Decoded *decoded, const void *bytes, size_t size,
                              Look *look) {
    const ExploreAnswer *answers;
    Status status = body_decode_explore_answers(decoded, bytes, size, &answers, &look->count);
    for (uint32_t i = 0; status == STATUS_OK && i < look->count; i++) {
        look->has_unreadable |= answers[i].outcome == CLIP_UNREADABLE;
        look->has_left_out |= answers[i].outcome == CLIP_LEFT_OUT;
        status = exploring_check(plan, &answers[i]);
    }
    return status;
}

static Status look_at(const Plan *plan, const PlanTask *task, const void *bytes, size_t size,
                      Look *ret_look) {
    Look look = {0};
    Decoded *decoded = decoded_new();
    if (decoded == NULL) {
        return STATUS_MEMORY;
    }
    Status status =
        task->kind == TASK_PROBE     ? look_at_probe(plan, task, decoded, bytes, size, &look)
        : task->kind == TASK_EXPLORE ? look_at_explore(plan, decoded, bytes, size, &look)
                                     : look_at_score(plan, task, decoded, bytes, size, &look);
    decoded_free(decoded);
    uint32_t clips = plan_count_clips(plan, task);
    if (status == STATUS_OK && look.count != clips) {
        status = status_set(STATUS_FORMAT, "%u clips answered of %u", look.count, clips);
    }
    *ret_look = look;
    return status;
}

static Status check_clips(const Plan *plan, const PlanTask *task, const void *bytes, size_t size) {
    Look look;
    Status status = look_at(plan, task, bytes, size, &look);
    if (status == STATUS_OK && look.has_unreadable && !plan->looks_itself) {
        return status_set(STATUS_FORMAT, "an unreadable clip in a worker's answer");
    }
    return status == STATUS_OK && task->kind == TASK_PROBE
               ? comparing_check(plan, task, bytes, size)
               : status;
}

// That a clip cannot be portrayed is believed of the coordinator alone.
static Status check_portrait(const Plan *plan, const PlanTask *task, const void *bytes,
                             size_t size) {
    ClipOutcome outcome;
    Status status = portraying_look(plan, task, bytes, size, &outcome);
    if (status == STATUS_OK && outcome == CLIP_UNREADABLE && !plan->looks_itself) {
        return status_set(STATUS_FORMAT, "an unreadable clip in a worker's answer");
    }
    return status;
}

static bool is_portrait(const Plan *plan, const PlanTask *task, const Buffer *answer) {
    ClipOutcome outcome;
    return portraying_look(plan, task, answer->bytes, answer->size, &outcome) == STATUS_OK &&
           outcome == CLIP_USABLE;
}

static bool is_of_clips(const PlanTask *task) {
    return task->kind == TASK_PROBE || task->kind == TASK_SCORE || task->kind == TASK_EXPLORE;
}

bool hook_leaves_out(const Plan *plan, const PlanTask *task, const Buffer *answer) {
    Look look;
    return is_of_clips(task) &&
           look_at(plan, task, answer->bytes, answer->size, &look) == STATUS_OK &&
           look.has_left_out;
}

bool hook_is_final(const Plan *plan, const PlanTask *task, const Buffer *answer) {
    Look look;
    if (task->kind == TASK_PORTRAIT) {
        return is_portrait(plan, task, answer);
    }
    if (!is_of_clips(task)) {
        return measuring_check_shard(plan, task, answer->bytes, answer->size) == STATUS_OK;
    }
    return look_at(plan, task, answer->bytes, answer->size, &look) == STATUS_OK &&
           !look.has_unreadable;
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
    ModelWork *work = &plan->work[task->owner];
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
    return task->kind == TASK_TRAIN      ? check_train(plan, task, share, bytes, size)
           : task->kind == TASK_PORTRAIT ? check_portrait(plan, task, bytes, size)
           : is_of_clips(task)           ? check_clips(plan, task, bytes, size)
                                         : measuring_check_shard(plan, task, bytes, size);
}

uint64_t hook_blob_most(void *context, TaskTag tag) {
    const Plan *plan = context;
    return training_blob_most(plan->work[plan->tasks[tag].owner].training);
}

Status hook_take_state(void *context, TaskTag tag, const void *bytes, size_t size) {
    Plan *plan = context;
    return training_take_state(plan->work[plan->tasks[tag].owner].training, bytes, size);
}

Status hook_take_sum(void *context, TaskTag tag, const CoreSum *sum, Buffer *total,
                     BlobKind *total_kind) {
    Plan *plan = context;
    plan->behind = plan->tasks[tag].owner;
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
static void plan_piece(const Plan *plan, uint32_t model, uint32_t members) {
    ModelWork *work = &plan->work[model];
    double round_ns = work->round_ns[log2_of(members)];
    double epoch_ms = round_ns * 1e-6 * (double)training_rounds(work->training);
    uint32_t epochs = 1;
    if (epoch_ms > 0) {
        double fitting = PIECE_MS / epoch_ms;
        double most = (double)(work->piece_epochs > 0 ? work->piece_epochs : 1) * PIECE_GROWTH;
        fitting = fitting < most ? fitting : most;
        epochs = fitting > 1 ? (uint32_t)fitting : 1;
    }
    uint32_t wanted = (uint32_t)plan->models.models[model].settings->epochs;
    uint32_t left = wanted - training_epoch(work->training);
    work->piece_epochs = epochs < left ? epochs : left;
    training_plan_piece(work->training, work->piece_epochs);
}

Status hook_group_changed(void *context, TaskTag tag, uint32_t members) {
    Plan *plan = context;
    uint32_t model = plan->tasks[tag].owner;
    ModelWork *work = &plan->work[model];
    if (members > 0) {
        Status status = hold_state(plan, work);
        if (status != STATUS_OK) {
            return status;
        }
        plan_piece(plan, model, members);
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
    const ModelWork *work = &plan->work[plan->tasks[tag].owner];
    const Settings *settings = plan->models.models[plan->tasks[tag].owner].settings;
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
