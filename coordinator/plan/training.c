// SPDX-License-Identifier: Apache-2.0
//
// How it works. `state` is where the next group starts. A worker alone sends back the state at the
// end of the piece, or where it stood when it was asked to leave; `answer` holds it until its
// RESULT. A group sends sums: they are expected in one fixed order (scaler once, then rounds, then
// validation, epoch by epoch), each exchange is complete when all members have sent theirs, and the
// replica follows: after a round's total is on its way, since members wait for that and not for
// this replica. Whatever breaks the group, the replica's state becomes `state`.
#include "coordinator/plan/training.h"

#include <assert.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/model/shard_plan.h"
#include "common/model/shard_tree.h"

struct Training {
    Settings settings;
    uint64_t model_key;
    Shape shape;
    ShardPlan plan;
    Buffer state;  // replica_write of where the training stands; empty before the first piece
    Digest digest; // of `state`
    uint32_t epoch, round; // of `state`
    uint32_t until;        // epoch at which the piece ends
    Buffer answer;         // state that a lone worker sent
    Digest answer_digest;
    uint32_t answer_epoch, answer_round; // where it stands
    // A group's:
    uint32_t members;      // 0: none, 1: a lone worker
    Replica *replica;      // the coordinator's own
    Digest replica_digest; // at the end of the piece
    bool has_replica_digest;
    PartialTree *tree;
    bool is_behind;            // the tree holds a total that the replica has not yet followed
    ShardTree scaler_tree;     // of ScalerSums
    ShardTree validation_tree; // of ValidationSums
};

static void join_scaler(void *context, void *left, void *right) {
    (void)context;
    scaler_sums_add(left, right);
    scaler_sums_free(right);
}

static void join_validation(void *context, void *left, void *right) {
    (void)context;
    validation_add(left, right);
    validation_free(right);
}

Status training_new(const Settings *settings, uint64_t model_key, const int64_t *frames,
                    int32_t clip_count, Training **ret) {
    Training *training = mem_new(1, sizeof *training);
    if (training == NULL) {
        return STATUS_MEMORY;
    }
    training->settings = *settings;
    training->model_key = model_key;
    training->shape = shape_of_settings(settings);
    Status status =
        shard_plan_make(&training->shape, settings, frames, clip_count, &training->plan);
    training->scaler_tree = shard_tree_of(settings->shards, join_scaler, NULL);
    training->validation_tree = shard_tree_of(settings->shards, join_validation, NULL);
    if (status != STATUS_OK) {
        training_free(training);
        return status;
    }
    *ret = training;
    return STATUS_OK;
}

// What has arrived for the exchange under way.
static void forget_sums(Training *training) {
    void *part;
    while ((part = shard_tree_take(&training->scaler_tree)) != NULL) {
        scaler_sums_free(part);
    }
    while ((part = shard_tree_take(&training->validation_tree)) != NULL) {
        validation_free(part);
    }
    if (training->tree != NULL) {
        partial_tree_clear(training->tree);
    }
}

void training_catch_up(Training *training) {
    if (training->is_behind) {
        // It was checked before it went out.
        (void)replica_apply(training->replica, partial_tree_total(training->tree),
                            training->settings.learning_rate);
        partial_tree_clear(training->tree);
        training->is_behind = false;
    }
}

static void end_group(Training *training) {
    forget_sums(training);
    training->is_behind = false;
    replica_free(training->replica);
    partial_tree_free(training->tree);
    training->replica = NULL;
    training->tree = NULL;
    training->members = 0;
    training->has_replica_digest = false;
    buffer_done(&training->answer);
}

void training_free(Training *training) {
    if (training == NULL) {
        return;
    }
    end_group(training);
    buffer_done(&training->state);
    mem_free(training);
}

// ---- where it stands ----

// Reads a state and checks that it is one of this training.
static Status read_state(const Training *training, const void *bytes, size_t size,
                         Replica **ret_replica) {
    Replica *replica;
    Status status = replica_read(bytes, size, &replica);
    if (status != STATUS_OK) {
        return status;
    }
    bool fits = shape_equal(replica_shape(replica), &training->shape) &&
                replica_epoch(replica) <= training->settings.epochs &&
                replica_round(replica) <= training->plan.rounds;
    if (!fits) {
        replica_free(replica);
        return status_set(STATUS_MISMATCH, "a training state of another model");
    }
    *ret_replica = replica;
    return STATUS_OK;
}

static Status set_state(Training *training, const void *bytes, size_t size, uint32_t epoch,
                        uint32_t round) {
    Buffer state = BUFFER_EMPTY;
    buffer_append(&state, bytes, size);
    if (state.status != STATUS_OK) {
        return state.status;
    }
    buffer_done(&training->state);
    training->state = state;
    training->digest = digest_of(state.bytes, state.size);
    training->epoch = epoch;
    training->round = round;
    return STATUS_OK;
}

Status training_resume(Training *training, const void *bytes, size_t size) {
    Replica *replica;
    Status status = read_state(training, bytes, size, &replica);
    if (status != STATUS_OK) {
        return status;
    }
    status = set_state(training, bytes, size, (uint32_t)replica_epoch(replica),
                       (uint32_t)replica_round(replica));
    replica_free(replica);
    return status;
}

uint32_t training_epoch(const Training *training) {
    return training->epoch;
}

uint32_t training_round(const Training *training) {
    return training->round;
}

bool training_is_over(const Training *training) {
    return training->epoch >= (uint32_t)training->settings.epochs;
}

const Buffer *training_state(const Training *training) {
    return &training->state;
}

void training_plan_piece(Training *training, uint32_t epochs) {
    uint32_t last = (uint32_t)training->settings.epochs;
    training->until = training->epoch + epochs < last ? training->epoch + epochs : last;
}

uint32_t training_until(const Training *training) {
    return training->until;
}

int64_t training_rounds(const Training *training) {
    return training->plan.rounds;
}

Status training_replica(const Training *training, Replica **ret) {
    if (training->state.size > 0) {
        return replica_read(training->state.bytes, training->state.size, ret);
    }
    Replica *replica = replica_new(&training->shape);
    if (replica == NULL) {
        return STATUS_MEMORY;
    }
    replica_begin(replica, &training->settings, training->model_key);
    *ret = replica;
    return STATUS_OK;
}

// ---- groups ----

// The replica is ahead of `state` when a group breaks: what it has becomes the state.
static Status keep_replica(Training *training) {
    const Replica *replica = training->replica;
    bool same_place =
        replica_epoch(replica) == training->epoch && replica_round(replica) == training->round;
    bool has_new_scaler = training->state.size == 0 && replica_scaler(replica)->count > 0;
    if (same_place && !has_new_scaler) {
        return STATUS_OK;
    }
    Buffer bytes = BUFFER_EMPTY;
    replica_write(replica, REPLICA_ALL, &bytes);
    Status status = bytes.status;
    if (status == STATUS_OK) {
        status = set_state(training, bytes.bytes, bytes.size, (uint32_t)replica_epoch(replica),
                           (uint32_t)replica_round(replica));
    }
    buffer_done(&bytes);
    return status;
}

Status training_group_changed(Training *training, uint32_t members) {
    training_catch_up(training);
    if (members == 0) {
        Status status = training->replica != NULL ? keep_replica(training) : STATUS_OK;
        end_group(training);
        return status;
    }
    assert(training->members == 0);
    if (members > 1) {
        Status status = training_replica(training, &training->replica);
        if (status != STATUS_OK) {
            return status;
        }
        training->tree = partial_tree_new(&training->shape, training->settings.shards);
        if (training->tree == NULL) {
            end_group(training);
            return STATUS_MEMORY;
        }
    }
    training->members = members;
    return STATUS_OK;
}

// A state: the sums of a round or of the scaler have fewer numbers, those of a validation two for
// each of its batches.
uint64_t training_blob_most(const Training *training) {
    const ShardPlan *plan = &training->plan;
    return replica_bytes_most(&training->shape, training->until, plan->rounds,
                              2 * plan->validation_rounds);
}

Status training_take_state(Training *training, const void *bytes, size_t size) {
    Replica *replica;
    Status status = read_state(training, bytes, size, &replica);
    if (status != STATUS_OK) {
        return status;
    }
    uint32_t epoch = (uint32_t)replica_epoch(replica), round = (uint32_t)replica_round(replica);
    replica_free(replica);
    bool is_end = epoch == training->until && round == 0;
    bool is_on = epoch > training->epoch || (epoch == training->epoch && round > training->round);
    if (!is_end && !(is_on && epoch < training->until)) {
        return status_set(STATUS_FORMAT, "a training state from outside its task");
    }
    buffer_clear(&training->answer);
    buffer_append(&training->answer, bytes, size);
    training->answer_digest = digest_of(bytes, size);
    training->answer_epoch = epoch;
    training->answer_round = round;
    return training->answer.status;
}

static Digest digest_of_replica(Training *training) {
    if (!training->has_replica_digest) {
        Buffer bytes = BUFFER_EMPTY;
        replica_write(training->replica, REPLICA_ALL, &bytes);
        training->replica_digest = digest_of(buffer_cstr(&bytes), bytes.size);
        training->has_replica_digest = bytes.status == STATUS_OK;
        buffer_done(&bytes);
    }
    return training->replica_digest;
}

Status training_take_answer(Training *training, CoreShare share, Digest digest) {
    (void)share;
    training_catch_up(training);
    if (training->members == 1) {
        if (training->answer.size == 0) {
            return STATUS_AGAIN;
        }
        return digest_equal(digest, training->answer_digest)
                   ? STATUS_OK
                   : status_set(STATUS_FORMAT, "a training answer whose state is another one");
    }
    if (replica_epoch(training->replica) != training->until) {
        return status_set(STATUS_FORMAT, "a training answer before the last round");
    }
    if (!digest_equal(digest, digest_of_replica(training))) {
        return status_set(STATUS_MISMATCH,
                          "its weights differ from the coordinator's after the same rounds: this "
                          "worker calculates other bits");
    }
    return STATUS_OK;
}

// ---- sums ----

// A sum that does not fit its tree is its sender's fault; STATUS_INVALID is for a training that
// cannot go on, whoever calculates.
static Status senders_fault(Status status) {
    return status == STATUS_INVALID ? STATUS_FORMAT : status;
}

static Status take_scaler(Training *training, const CoreSum *sum, Buffer *total) {
    ShardTree *tree = &training->scaler_tree;
    ScalerSums *part = scaler_sums_new(shape_dimension(&training->shape));
    Status status = part != NULL ? scaler_sums_read(part, sum->bytes, sum->size) : STATUS_MEMORY;
    if (status == STATUS_OK) {
        status = senders_fault(
            shard_tree_check(tree, (int32_t)sum->share.first, (int32_t)sum->share.count));
    }
    if (status != STATUS_OK) {
        scaler_sums_free(part);
        return status;
    }
    shard_tree_put(tree, (int32_t)sum->share.first, (int32_t)sum->share.count, part);
    const ScalerSums *root = shard_tree_root(tree);
    if (root == NULL) {
        return STATUS_AGAIN;
    }
    status = replica_set_scaler(training->replica, root);
    if (status == STATUS_OK) {
        size_t size;
        const void *bytes = scaler_sums_bytes(root, &size);
        buffer_append(total, bytes, size);
        status = total->status;
    }
    forget_sums(training);
    return status;
}

static Status take_partial(Training *training, const CoreSum *sum, Buffer *total) {
    Status status = senders_fault(partial_tree_put(training->tree, (int)sum->share.first,
                                                   (int)sum->share.count, sum->bytes, sum->size));
    if (status != STATUS_OK) {
        return status;
    }
    const Partial *partial = partial_tree_total(training->tree);
    if (partial == NULL) {
        return STATUS_AGAIN;
    }
    status = replica_check(training->replica, partial);
    if (status == STATUS_OK) {
        size_t size;
        const void *bytes = partial_bytes(partial, &size);
        buffer_append(total, bytes, size);
        status = total->status;
    }
    training->is_behind = status == STATUS_OK;
    if (!training->is_behind) {
        partial_tree_clear(training->tree);
    }
    return status;
}

static Status read_validation(const Training *training, const CoreSum *sum,
                              ValidationSums **ret_part) {
    ValidationSums *part = validation_new(training->plan.validation_rounds);
    Status status = part != NULL ? validation_read(part, sum->bytes, sum->size) : STATUS_MEMORY;
    if (status == STATUS_OK && validation_rounds(part) != training->plan.validation_rounds) {
        status = status_set(STATUS_FORMAT, "validation sums of another number of rounds");
    }
    if (status == STATUS_OK) {
        status = senders_fault(shard_tree_check(
            &training->validation_tree, (int32_t)sum->share.first, (int32_t)sum->share.count));
    }
    if (status != STATUS_OK) {
        validation_free(part);
        return status;
    }
    *ret_part = part;
    return STATUS_OK;
}

static Status take_validation(Training *training, const CoreSum *sum, Buffer *total) {
    ShardTree *tree = &training->validation_tree;
    ValidationSums *part;
    Status status = read_validation(training, sum, &part);
    if (status != STATUS_OK) {
        return status;
    }
    shard_tree_put(tree, (int32_t)sum->share.first, (int32_t)sum->share.count, part);
    const ValidationSums *root = shard_tree_root(tree);
    if (root == NULL) {
        return STATUS_AGAIN;
    }
    status = replica_end_epoch(training->replica, root);
    if (status == STATUS_OK) {
        size_t size;
        const void *bytes = validation_bytes(root, &size);
        buffer_append(total, bytes, size);
        status = total->status;
    }
    forget_sums(training);
    return status;
}

Status training_take_sum(Training *training, const CoreSum *sum, Buffer *total,
                         BlobKind *total_kind) {
    training_catch_up(training);
    if (training->replica == NULL || sum->epoch != replica_epoch(training->replica) ||
        sum->round != replica_round(training->replica)) {
        return status_set(STATUS_FORMAT, "a sum of another round than the one under way");
    }
    if (sum->epoch >= training->until) {
        return status_set(STATUS_FORMAT, "a sum after the last round");
    }
    bool needs_scaler = training->settings.scaler == SCALER_STANDARD &&
                        replica_scaler(training->replica)->count == 0;
    bool rounds_over = replica_round(training->replica) == training->plan.rounds;
    BlobKind due = needs_scaler  ? BLOB_SCALER_SUM
                   : rounds_over ? BLOB_VALIDATION_SUM
                                 : BLOB_PARTIAL;
    if (sum->kind != due) {
        return status_set(STATUS_FORMAT, "a sum of another kind than the one that is due");
    }
    if (due == BLOB_SCALER_SUM) {
        *total_kind = BLOB_SCALER_TOTAL;
        return take_scaler(training, sum, total);
    }
    if (due == BLOB_VALIDATION_SUM) {
        *total_kind = BLOB_VALIDATION_TOTAL;
        return take_validation(training, sum, total);
    }
    *total_kind = BLOB_TOTAL;
    return take_partial(training, sum, total);
}

Status training_end_piece(Training *training) {
    Status status;
    training_catch_up(training);
    if (training->members == 1) {
        status = set_state(training, training->answer.bytes, training->answer.size,
                           training->answer_epoch, training->answer_round);
    } else {
        status = keep_replica(training);
    }
    end_group(training);
    return status;
}
