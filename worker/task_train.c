// SPDX-License-Identifier: Apache-2.0
//
// TRAIN: a piece of one model's training, from a state to the end of an epoch, on an aligned
// subtree of its shards: alone if that is all of them, else as a member of a group, exchanging sums
// for totals each round. A lone worker that is asked to leave ends the piece where it stands.
//
// How it works. Three things are kept from task to task, each named by what it was made from: the
// plan (by digest), the trainer with its clips' features (by plan and share) and the replica (by
// the digest of its bytes). A task that continues the last one finds all three and starts at once.
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/config.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/engine/source.h"
#include "common/model/trainer.h"
#include "worker/compute.h"

struct TaskTrain {
    Desk *desk;
    Bulk *bulk;
    Decoded *decoded; // of the task's body
    // The plan:
    bool has_plan;
    Digest plan_digest;
    Decoded *plan_decoded; // holds what `plan` borrows
    TrainPlan plan;
    Settings settings;
    Shape shape;
    ShardPlan shards;
    // The share:
    Trainer *trainer;
    uint32_t first, count;
    ClipFeatures *features; // (feature_count) borrowed by the trainer
    uint32_t feature_count;
    // The state:
    Replica *replica;
    // Work space, made with the trainer:
    Partial *partial;
    ScalerSums *scaler_sums;
    ValidationSums *validation;
    // The task under work:
    const DeskTask *task;
    TrainBody body;
    uint64_t done;                // progress told: clips loaded plus rounds
    uint64_t rounds, nanoseconds; // computed here
};

TaskTrain *task_train_new(Desk *desk, Bulk *bulk) {
    TaskTrain *train = mem_new(1, sizeof *train);
    if (train == NULL) {
        return NULL;
    }
    train->desk = desk;
    train->bulk = bulk;
    train->decoded = decoded_new();
    train->plan_decoded = decoded_new();
    if (train->decoded == NULL || train->plan_decoded == NULL) {
        task_train_free(train);
        return NULL;
    }
    return train;
}

static void drop_trainer(TaskTrain *train) {
    trainer_free(train->trainer);
    train->trainer = NULL;
    for (uint32_t i = 0; i < train->feature_count; i++) {
        clip_features_done(&train->features[i]);
    }
    mem_free(train->features);
    train->features = NULL;
    train->feature_count = 0;
    partial_free(train->partial);
    scaler_sums_free(train->scaler_sums);
    validation_free(train->validation);
    train->partial = NULL;
    train->scaler_sums = NULL;
    train->validation = NULL;
}

static void drop_plan(TaskTrain *train) {
    drop_trainer(train);
    replica_free(train->replica);
    train->replica = NULL;
    train->has_plan = false;
}

void task_train_free(TaskTrain *train) {
    if (train != NULL) {
        drop_plan(train);
        decoded_free(train->decoded);
        decoded_free(train->plan_decoded);
        mem_free(train);
    }
}

static bool runs_alone(const TaskTrain *train) {
    return train->body.count == train->plan.shards;
}

// ---- plan ----

static Status make_shard_plan(TaskTrain *train) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < train->plan.clip_count; i++) {
        uint32_t index = train->plan.clips[i].index;
        count = index >= count ? index + 1 : count;
    }
    if (count > LIMIT_CLIPS) {
        return status_set(STATUS_LIMIT, "a plan of %u clips", count);
    }
    int64_t *frames = mem_new(count, sizeof *frames);
    if (frames == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t i = 0; i < train->plan.clip_count; i++) {
        frames[train->plan.clips[i].index] = train->plan.clips[i].frames;
    }
    Status status =
        shard_plan_make(&train->shape, &train->settings, frames, (int32_t)count, &train->shards);
    mem_free(frames);
    return status;
}

static Status read_plan(TaskTrain *train, const Buffer *bytes) {
    Status status = body_decode_plan(train->plan_decoded, bytes->bytes, bytes->size, &train->plan);
    if (status == STATUS_OK) {
        status = settings_preset("default", &train->settings);
    }
    if (status == STATUS_OK) {
        status = config_read_text("plan", train->plan.settings, strlen(train->plan.settings),
                                  &train->settings);
    }
    if (status == STATUS_OK) {
        status = settings_check(&train->settings);
    }
    if (status == STATUS_OK && train->plan.shards != (uint32_t)train->settings.shards) {
        status = status_set(STATUS_FORMAT, "a plan of %u shards whose settings say %d",
                            train->plan.shards, train->settings.shards);
    }
    if (status == STATUS_OK) {
        train->shape = shape_official(&train->settings);
        status = make_shard_plan(train);
    }
    return status;
}

static Status use_plan(TaskTrain *train) {
    if (train->has_plan && digest_equal(train->plan_digest, train->body.plan)) {
        return STATUS_OK;
    }
    drop_plan(train);
    Buffer bytes = BUFFER_EMPTY;
    Status status = bulk_get(train->bulk, train->body.plan, &bytes);
    if (status == STATUS_OK) {
        status = read_plan(train, &bytes);
    }
    if (status == STATUS_OK) {
        train->has_plan = true;
        train->plan_digest = train->body.plan;
    }
    buffer_done(&bytes);
    return status;
}

// ---- share ----

static bool owns(const TaskTrain *train, const WireClip *clip) {
    uint32_t shard = clip->index % train->plan.shards;
    return shard >= train->body.first && shard < train->body.first + train->body.count;
}

// A worker that is asked to leave drops its task where nothing is lost by it.
static Status go_on(TaskTrain *train, bool may_leave) {
    if (may_leave && desk_is_leaving(train->desk)) {
        desk_cancel(train->desk, train->task->task, train->task->attempt);
    }
    return desk_is_cancelled(train->desk) ? status_set(STATUS_STOPPED, "cancelled") : STATUS_OK;
}

static void tell(TaskTrain *train, double loss) {
    uint64_t epochs = train->body.until_epoch - train->body.from_epoch;
    uint64_t total = train->plan.clip_count + epochs * (uint64_t)train->shards.rounds;
    desk_tell_progress(train->desk, train->done, total, loss);
}

static Status load_clip(TaskTrain *train, ClipExtractor *extractor, const WireClip *clip) {
    char path[LIMIT_PATH_BYTES];
    ClipFeatures *features = &train->features[train->feature_count];
    Status status = compute_clip_path(train->desk, clip, path, sizeof path);
    if (status == STATUS_OK) {
        status =
            source_features(extractor, path, clip->path, clip->size_bytes, &clip->digest, features);
    }
    if (status != STATUS_OK) {
        return status;
    }
    train->feature_count++;
    if (features->frames != clip->frames) {
        return status_set(STATUS_FORMAT, "%u frames were planned, %lld are there", clip->frames,
                          (long long)features->frames);
    }
    TrainClip added = {.log_mel = features->log_mel,
                       .frames = features->frames,
                       .index = (int32_t)clip->index,
                       .is_target = clip->is_target};
    return trainer_add_clip(train->trainer, &added);
}

// The clips that could not be loaded, as the body of a RESULT 1.
typedef struct CannotList {
    struct CannotClip clips[PROTO_TASK_CLIPS];
    char reasons[PROTO_TASK_CLIPS][512];
    uint32_t count;
} CannotList;

static void note_cannot(CannotList *list, const WireClip *clip) {
    if (list->count < PROTO_TASK_CLIPS) {
        char *reason = list->reasons[list->count];
        snprintf(reason, sizeof list->reasons[0], "%.480s", status_message());
        list->clips[list->count++] = (struct CannotClip){clip->index, reason};
    }
}

static Status load_clips(TaskTrain *train, CannotList *cannot) {
    ClipExtractor *extractor = clip_extractor_new(&train->settings);
    if (extractor == NULL) {
        return STATUS_MEMORY;
    }
    Status status = STATUS_OK;
    for (uint32_t i = 0; i < train->plan.clip_count; i++) {
        const WireClip *clip = &train->plan.clips[i];
        if (!owns(train, clip)) {
            continue;
        }
        status = go_on(train, true);
        if (status != STATUS_OK) {
            break;
        }
        if (load_clip(train, extractor, clip) != STATUS_OK) {
            note_cannot(cannot, clip);
        }
        train->done++;
        tell(train, NAN);
    }
    clip_extractor_free(extractor);
    return status;
}

static Status make_work_space(TaskTrain *train) {
    train->partial = partial_new(&train->shape);
    train->scaler_sums = scaler_sums_new(shape_dimension(&train->shape));
    train->validation = validation_new(train->shards.validation_rounds);
    train->features = mem_new(train->plan.clip_count, sizeof *train->features);
    bool ok = train->partial != NULL && train->scaler_sums != NULL && train->validation != NULL &&
              train->features != NULL;
    return ok ? STATUS_OK : STATUS_MEMORY;
}

static Status make_trainer(TaskTrain *train, CannotList *cannot) {
    TrainerConfig config = {.shape = train->shape,
                            .plan = train->shards,
                            .first_shard = (int32_t)train->body.first,
                            .shard_count = (int32_t)train->body.count,
                            .seed = (uint64_t)train->settings.seed,
                            .model_key = train->plan.model_key};
    Status status = make_work_space(train);
    if (status == STATUS_OK) {
        status = trainer_new(&config, &train->trainer);
    }
    if (status == STATUS_OK) {
        status = load_clips(train, cannot);
    }
    if (status == STATUS_OK && cannot->count == 0) {
        status = trainer_seal(train->trainer);
    }
    return status;
}

static Status use_share(TaskTrain *train, CannotList *cannot) {
    bool same = train->trainer != NULL && train->first == train->body.first &&
                train->count == train->body.count;
    if (same) {
        return STATUS_OK;
    }
    drop_trainer(train);
    train->first = train->body.first;
    train->count = train->body.count;
    Status status = make_trainer(train, cannot);
    if (status != STATUS_OK || cannot->count > 0) {
        drop_trainer(train);
    }
    return status;
}

// ---- state ----

static Digest digest_of_replica(const Replica *replica, Buffer *bytes) {
    buffer_clear(bytes);
    replica_write(replica, REPLICA_ALL, bytes);
    return digest_of(buffer_cstr(bytes), bytes->size);
}

static Status begin_replica(TaskTrain *train) {
    replica_free(train->replica);
    train->replica = replica_new(&train->shape);
    if (train->replica == NULL) {
        return STATUS_MEMORY;
    }
    replica_init(train->replica, (uint64_t)train->settings.seed, train->plan.model_key);
    return STATUS_OK;
}

static Status fetch_replica(TaskTrain *train, Buffer *bytes) {
    Status status = bulk_get(train->bulk, train->body.state, bytes);
    Replica *replica = NULL;
    if (status == STATUS_OK) {
        status = replica_read(bytes->bytes, bytes->size, &replica);
    }
    if (status == STATUS_OK && !shape_equal(replica_shape(replica), &train->shape)) {
        replica_free(replica);
        status = status_set(STATUS_FORMAT, "a state of another network than the plan's");
    }
    if (status == STATUS_OK) {
        replica_free(train->replica);
        train->replica = replica;
    }
    return status;
}

static Status use_state(TaskTrain *train) {
    static const Digest initial;
    if (digest_equal(train->body.state, initial)) {
        return begin_replica(train);
    }
    Buffer bytes = BUFFER_EMPTY;
    Status status = STATUS_OK;
    bool same = train->replica != NULL && replica_epoch(train->replica) == train->body.from_epoch &&
                replica_round(train->replica) == train->body.from_round &&
                digest_equal(digest_of_replica(train->replica, &bytes), train->body.state);
    if (!same) {
        status = fetch_replica(train, &bytes);
    }
    buffer_done(&bytes);
    return status;
}

// ---- one exchange with the group ----

static Status exchange(TaskTrain *train, BlobKind kind, BlobKind total_kind, const void *bytes,
                       size_t size, const Buffer **ret_total) {
    Message header = {.type = MESSAGE_BLOB};
    header.blob.kind = kind;
    header.blob.task = train->task->task;
    header.blob.attempt = train->task->attempt;
    header.blob.epoch = (uint32_t)replica_epoch(train->replica);
    header.blob.round = (uint32_t)replica_round(train->replica);
    header.blob.first = train->body.first;
    header.blob.count = train->body.count;
    return bulk_exchange(train->bulk, &header, bytes, size, total_kind, ret_total);
}

static Status do_scaler(TaskTrain *train) {
    bool needed =
        train->settings.scaler == SCALER_STANDARD && replica_scaler(train->replica)->count == 0;
    if (!needed) {
        return STATUS_OK;
    }
    Status status = trainer_scaler_sums(train->trainer, train->scaler_sums);
    if (status == STATUS_OK && !runs_alone(train)) {
        size_t size;
        const Buffer *total = NULL;
        const void *bytes = scaler_sums_bytes(train->scaler_sums, &size);
        status = exchange(train, BLOB_SCALER_SUM, BLOB_SCALER_TOTAL, bytes, size, &total);
        if (status == STATUS_OK) {
            status = scaler_sums_read(train->scaler_sums, total->bytes, total->size);
        }
    }
    return status == STATUS_OK ? replica_set_scaler(train->replica, train->scaler_sums) : status;
}

static Status do_round(TaskTrain *train) {
    int64_t start_ns = clock_ns();
    Status status = trainer_round(train->trainer, train->replica, train->partial);
    if (status == STATUS_OK && !runs_alone(train)) {
        size_t size;
        const Buffer *total = NULL;
        const void *bytes = partial_bytes(train->partial, &size);
        status = exchange(train, BLOB_PARTIAL, BLOB_TOTAL, bytes, size, &total);
        if (status == STATUS_OK) {
            status = partial_read(train->partial, total->bytes, total->size);
        }
    }
    if (status == STATUS_OK) {
        status = replica_apply(train->replica, train->partial, train->settings.learning_rate);
    }
    train->rounds++;
    train->nanoseconds += (uint64_t)(clock_ns() - start_ns);
    return status;
}

static Status do_validation(TaskTrain *train) {
    trainer_validate(train->trainer, train->replica, train->validation);
    // Losses that are not finite are not sent: the end of the epoch below fails on a part of them
    // as it does on all.
    if (!runs_alone(train) && isfinite(validation_loss(train->validation))) {
        size_t size;
        const Buffer *total = NULL;
        const void *bytes = validation_bytes(train->validation, &size);
        Status status =
            exchange(train, BLOB_VALIDATION_SUM, BLOB_VALIDATION_TOTAL, bytes, size, &total);
        if (status == STATUS_OK) {
            status = validation_read(train->validation, total->bytes, total->size);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return replica_end_epoch(train->replica, train->validation);
}

static double loss_now(const TaskTrain *train) {
    const EpochSums *sums = replica_sums(train->replica);
    return sums->batches > 0 ? sums->loss / (double)sums->batches : NAN;
}

static Status do_epochs(TaskTrain *train) {
    Status status = do_scaler(train);
    while (status == STATUS_OK && replica_epoch(train->replica) < train->body.until_epoch) {
        if (runs_alone(train) && train->rounds > 0 && desk_is_leaving(train->desk)) {
            return STATUS_OK; // the state is as good here as at the end
        }
        status = go_on(train, !runs_alone(train));
        if (status != STATUS_OK) {
            return status;
        }
        if (replica_round(train->replica) < train->shards.rounds) {
            status = do_round(train);
            train->done++;
            tell(train, loss_now(train));
        } else {
            status = do_validation(train);
        }
    }
    return status;
}

// The end: the digest of the replica, and from a lone worker the replica itself.
static Status answer_piece(TaskTrain *train, Buffer *answer) {
    Buffer bytes = BUFFER_EMPTY;
    TrainAnswer facts = {train->rounds, train->nanoseconds,
                         digest_of_replica(train->replica, &bytes)};
    Status status = bytes.status;
    if (status == STATUS_OK && runs_alone(train)) {
        Message header = {.type = MESSAGE_BLOB};
        header.blob.kind = BLOB_STATE;
        header.blob.task = train->task->task;
        header.blob.attempt = train->task->attempt;
        header.blob.epoch = (uint32_t)replica_epoch(train->replica);
        header.blob.round = (uint32_t)replica_round(train->replica);
        status = bulk_put(train->bulk, &header, bytes.bytes, bytes.size);
    }
    if (status == STATUS_OK) {
        body_encode_train_answer(&facts, answer);
        status = answer->status;
    }
    buffer_done(&bytes);
    return status;
}

static Status check_body(const TaskTrain *train) {
    bool fits = shard_is_subtree((int32_t)train->plan.shards, (int32_t)train->body.first,
                                 (int32_t)train->body.count) &&
                train->body.from_epoch <= train->body.until_epoch &&
                train->body.until_epoch <= (uint32_t)train->settings.epochs;
    return fits ? STATUS_OK : status_set(STATUS_FORMAT, "a training task that cannot be");
}

Status task_train_run(TaskTrain *train, const DeskTask *task, Buffer *answer,
                      ResultOutcome *ret_outcome) {
    CannotList *cannot = mem_new(1, sizeof *cannot);
    if (cannot == NULL) {
        return STATUS_MEMORY;
    }
    train->task = task;
    train->done = train->rounds = train->nanoseconds = 0;
    Status status =
        body_decode_train(train->decoded, task->body.bytes, task->body.size, &train->body);
    if (status == STATUS_OK) {
        status = use_plan(train);
    }
    if (status == STATUS_OK) {
        status = check_body(train);
    }
    if (status == STATUS_OK) {
        status = use_share(train, cannot);
    }
    if (status == STATUS_OK && cannot->count > 0) {
        *ret_outcome = RESULT_CANNOT;
        CannotBody body = {cannot->reasons[0], cannot->clips, cannot->count};
        body_encode_cannot(&body, answer);
        mem_free(cannot);
        return answer->status;
    }
    mem_free(cannot);
    if (status == STATUS_OK) {
        status = use_state(train);
    }
    if (status == STATUS_OK) {
        log_debug("training: epochs %u.%u to %u, shards %u to %u of %u", train->body.from_epoch,
                  train->body.from_round, train->body.until_epoch, train->body.first,
                  train->body.first + train->body.count - 1, train->plan.shards);
        status = do_epochs(train);
        if (status == STATUS_INVALID) { // it has diverged, as it would anywhere
            *ret_outcome = RESULT_IMPOSSIBLE;
            body_encode_cannot(&(CannotBody){.reason = status_message()}, answer);
            return answer->status;
        }
    }
    return status == STATUS_OK ? answer_piece(train, answer) : status;
}
