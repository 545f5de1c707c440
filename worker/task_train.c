// SPDX-License-Identifier: Apache-2.0
//
// TRAIN: a piece of one model's training, from a state to the end of an epoch, on an aligned
// subtree of its shards: alone if that is all of them, else as a member of a group, exchanging sums
// for totals each round. A lone worker that is asked to leave ends the piece where it stands.
//
// How it works. Three things are kept from task to task, each named by what it was made from: the
// plan and the trainer with its clips' features (share.h), and the replica (by the digest of its
// bytes). A task that continues the last one finds all three and starts at once.
#include <assert.h>
#include <math.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "worker/compute.h"
#include "worker/share.h"

struct TaskTrain {
    Desk *desk;
    Bulk *bulk;
    Share *share;     // borrowed
    Decoded *decoded; // of the task's body
    Replica *replica;
    // Work space for a plan, made anew for another; with `partial` goes all of it:
    Digest plan;
    Partial *partial;
    ScalerSums *scaler_sums;
    ValidationSums *validation;
    // The task under work:
    const DeskTask *task;
    TrainBody body;
    Trainer *trainer;             // of its share, borrowed
    uint64_t done;                // progress told: clips loaded plus rounds
    uint64_t rounds, nanoseconds; // computed here
};

TaskTrain *task_train_new(Desk *desk, Bulk *bulk, Share *share) {
    TaskTrain *train = mem_new(1, sizeof *train);
    if (train == NULL) {
        return NULL;
    }
    train->desk = desk;
    train->bulk = bulk;
    train->share = share;
    train->decoded = decoded_new();
    if (train->decoded == NULL) {
        task_train_free(train);
        return NULL;
    }
    return train;
}

static void drop_work_space(TaskTrain *train) {
    replica_free(train->replica);
    partial_free(train->partial);
    scaler_sums_free(train->scaler_sums);
    validation_free(train->validation);
    train->replica = NULL;
    train->partial = NULL;
    train->scaler_sums = NULL;
    train->validation = NULL;
}

void task_train_free(TaskTrain *train) {
    if (train != NULL) {
        drop_work_space(train);
        decoded_free(train->decoded);
        mem_free(train);
    }
}

static bool runs_alone(const TaskTrain *train) {
    return train->body.count == share_plan(train->share)->shards;
}

// ---- plan and share ----

static Status make_work_space(TaskTrain *train) {
    const Shape *shape = share_shape(train->share);
    drop_work_space(train);
    train->partial = partial_new(shape);
    train->scaler_sums = scaler_sums_new(shape_dimension(shape));
    train->validation = validation_new(share_shards(train->share)->validation_rounds);
    bool ok = train->partial != NULL && train->scaler_sums != NULL && train->validation != NULL;
    if (!ok) {
        drop_work_space(train);
    }
    return ok ? STATUS_OK : STATUS_MEMORY;
}

static Status use_plan(TaskTrain *train) {
    Status status = share_use_plan(train->share, train->body.plan);
    bool fits = train->partial != NULL && digest_equal(train->plan, train->body.plan);
    if (status == STATUS_OK && !fits) {
        status = make_work_space(train);
        train->plan = train->body.plan;
    }
    return status;
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
    uint64_t total = share_plan(train->share)->clip_count +
                     epochs * (uint64_t)share_shards(train->share)->rounds;
    desk_tell_progress(train->desk, train->done, total, loss);
}

static Status before_clip(void *context) {
    TaskTrain *train = context;
    train->done++;
    tell(train, NAN);
    return go_on(train, true);
}

// ---- state ----

static Digest digest_of_replica(const Replica *replica, Buffer *bytes) {
    buffer_clear(bytes);
    replica_write(replica, REPLICA_ALL, bytes);
    return digest_of(buffer_cstr(bytes), bytes->size);
}

static Status begin_replica(TaskTrain *train) {
    replica_free(train->replica);
    train->replica = replica_new(share_shape(train->share));
    if (train->replica == NULL) {
        return STATUS_MEMORY;
    }
    replica_begin(train->replica, share_settings(train->share),
                  share_plan(train->share)->model_key);
    return STATUS_OK;
}

static Status fetch_replica(TaskTrain *train, Buffer *bytes) {
    Status status = bulk_get(train->bulk, train->body.state, bytes);
    Replica *replica = NULL;
    if (status == STATUS_OK) {
        status = replica_read(bytes->bytes, bytes->size, &replica);
    }
    if (status == STATUS_OK && !shape_equal(replica_shape(replica), share_shape(train->share))) {
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
    bool needed = share_settings(train->share)->scaler == SCALER_STANDARD &&
                  replica_scaler(train->replica)->count == 0;
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
        status = replica_apply(train->replica, train->partial,
                               share_settings(train->share)->learning_rate);
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
        if (replica_round(train->replica) < share_shards(train->share)->rounds) {
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
    bool fits = shard_is_subtree((int32_t)share_plan(train->share)->shards,
                                 (int32_t)train->body.first, (int32_t)train->body.count) &&
                train->body.from_epoch <= train->body.until_epoch &&
                train->body.until_epoch <= (uint32_t)share_settings(train->share)->epochs;
    return fits ? STATUS_OK : status_set(STATUS_FORMAT, "a training task that cannot be");
}

Status task_train_run(TaskTrain *train, const DeskTask *task, Buffer *answer,
                      ResultOutcome *ret_outcome) {
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
        status = share_use_shards(train->share, train->body.first, train->body.count, false,
                                  before_clip, train, answer, ret_outcome, &train->trainer);
    }
    if (status != STATUS_OK || *ret_outcome != RESULT_DONE) {
        return status;
    }
    status = use_state(train);
    if (status == STATUS_OK) {
        log_debug("training: epochs %u.%u to %u, shards %u to %u of %u", train->body.from_epoch,
                  train->body.from_round, train->body.until_epoch, train->body.first,
                  train->body.first + train->body.count - 1, share_plan(train->share)->shards);
        status = do_epochs(train);
        if (status == STATUS_INVALID) { // it has diverged, as it would anywhere
            *ret_outcome = RESULT_IMPOSSIBLE;
            body_encode_cannot(&(CannotBody){.reason = status_message()}, answer);
            return answer->status;
        }
    }
    return status == STATUS_OK ? answer_piece(train, answer) : status;
}
