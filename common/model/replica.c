// SPDX-License-Identifier: Apache-2.0
#include "common/model/replica.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "common/base/digest.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/model/passes.h"
#include "common/model/weights.h"

#define BETA1            0.9
#define BETA2            0.999
#define EPSILON          1e-8
#define BATCHES_AT_FIRST 4096 // room for an epoch's losses: a million vectors, then it grows

static const char MAGIC[4] = {'A', 'R', 'E', 'P'};

_Static_assert(sizeof(ReplicaHead) == 16 + 8 + sizeof(Shape) + 24 + 48 + 32, "no holes");
_Static_assert(sizeof(EpochLosses) == 32, "no holes");

typedef struct LossList {
    double *losses; // (count)
    int64_t count, capacity;
} LossList;

struct Replica {
    Shape shape;
    Layout layout;
    bool can_train; // false when read without moments
    int64_t step, epoch, round;
    EpochSums sums;
    EpochLosses *history; // (epoch)
    int64_t history_capacity;
    LossList batches, held_out; // see replica_batch_losses
    Scaler scaler;
    real *block;      // all arrays below but the scaler's doubles
    real *parameters; // (parameters)
    real *first;      // (parameters) Adam's first moment
    real *second;     // (parameters) Adam's second moment
    real *running;    // (running)
};

static size_t padded(size_t count) {
    return (count + 15) / 16 * 16;
}

static bool allocate(Replica *replica) {
    size_t dimension = (size_t)shape_dimension(&replica->shape);
    size_t parameters = padded(replica->layout.parameters);
    size_t running = padded(replica->layout.running);
    replica->block =
        mem_new_aligned(3 * parameters + running + 2 * padded(dimension), sizeof(real));
    replica->scaler.mean = mem_new(2 * dimension, sizeof(double));
    if (replica->block == NULL || replica->scaler.mean == NULL) {
        return false;
    }
    replica->parameters = replica->block;
    replica->first = replica->parameters + parameters;
    replica->second = replica->first + parameters;
    replica->running = replica->second + parameters;
    replica->scaler.dimension = (int32_t)dimension;
    replica->scaler.variance = replica->scaler.mean + dimension;
    replica->scaler.center = replica->running + running;
    replica->scaler.scale = replica->scaler.center + padded(dimension);
    return true;
}

static Status reserve_losses(LossList *list, int64_t count) {
    if (count <= list->capacity) {
        return STATUS_OK;
    }
    int64_t capacity = count + count / 2 + 16;
    double *losses = mem_resize(list->losses, (size_t)capacity, sizeof *losses);
    if (losses == NULL) {
        return STATUS_MEMORY;
    }
    list->losses = losses;
    list->capacity = capacity;
    return STATUS_OK;
}

Replica *replica_new(const Shape *shape) {
    Replica *replica = mem_new(1, sizeof *replica);
    if (replica == NULL) {
        return NULL;
    }
    replica->shape = *shape;
    replica->layout = shape_layout(shape);
    replica->can_train = true;
    if (!allocate(replica) || reserve_losses(&replica->batches, BATCHES_AT_FIRST) != STATUS_OK) {
        replica_free(replica);
        return NULL;
    }
    return replica;
}

void replica_free(Replica *replica) {
    if (replica != NULL) {
        mem_free(replica->block);
        mem_free(replica->scaler.mean);
        mem_free(replica->history);
        mem_free(replica->batches.losses);
        mem_free(replica->held_out.losses);
        mem_free(replica);
    }
}

void replica_init(Replica *replica, uint64_t seed, uint64_t model_key) {
    size_t bytes = replica->layout.parameters * sizeof(real);
    memset(replica->first, 0, bytes);
    memset(replica->second, 0, bytes);
    weights_init(&replica->layout, seed, model_key, replica->parameters);
    weights_init_running(&replica->layout, replica->running);
    replica->can_train = true;
    replica->step = replica->epoch = replica->round = 0;
    replica->sums = (EpochSums){0};
    replica->batches.count = replica->held_out.count = 0;
}

void replica_begin(Replica *replica, const Settings *settings, uint64_t model_key) {
    replica_init(replica, (uint64_t)settings->seed, model_key);
    if (settings->initial_weights == WEIGHTS_KERAS) {
        weights_init_keras(&replica->layout, (uint64_t)settings->seed, model_key,
                           replica->parameters);
    }
}

Status replica_set_scaler(Replica *replica, const ScalerSums *total) {
    if (total == NULL) {
        replica->scaler.count = 0;
        return STATUS_OK;
    }
    if (scaler_sums_count(total) == 0) {
        return status_set(STATUS_INVALID, "no training vectors to make a scaler from");
    }
    scaler_from_sums(&replica->scaler, total);
    return STATUS_OK;
}

const Shape *replica_shape(const Replica *replica) {
    return &replica->shape;
}

const Layout *replica_layout(const Replica *replica) {
    return &replica->layout;
}

const Scaler *replica_scaler(const Replica *replica) {
    return &replica->scaler;
}

int64_t replica_epoch(const Replica *replica) {
    return replica->epoch;
}

int64_t replica_round(const Replica *replica) {
    return replica->round;
}

int64_t replica_step(const Replica *replica) {
    return replica->step;
}

const EpochSums *replica_sums(const Replica *replica) {
    return &replica->sums;
}

const EpochLosses *replica_history(const Replica *replica) {
    return replica->history;
}

BatchLosses replica_batch_losses(const Replica *replica) {
    const LossList *training = &replica->batches, *held_out = &replica->held_out;
    return (BatchLosses){training->losses, held_out->losses, training->count, held_out->count};
}

const real *replica_parameters(const Replica *replica) {
    return replica->parameters;
}

const real *replica_running(const Replica *replica) {
    return replica->running;
}

real *replica_edit_parameters(Replica *replica) {
    return replica->parameters;
}

real *replica_edit_running(Replica *replica) {
    return replica->running;
}

// base^exponent by squaring: libm's pow differs between processors.
static double power(double base, int64_t exponent) {
    double result = 1.0;
    for (; exponent > 0; exponent /= 2, base *= base) {
        if (exponent % 2 == 1) {
            result *= base;
        }
    }
    return result;
}

static AdamStep adam_step(int64_t step, int64_t rows, double learning_rate) {
    return (AdamStep){
        .inverse_count = (real)(1.0 / (double)rows),
        .take1 = (real)(1.0 - BETA1),
        .keep2 = (real)BETA2,
        .take2 = (real)(1.0 - BETA2),
        .inverse_root = (real)(1.0 / sqrt(1.0 - power(BETA2, step))),
        .step_size = (real)(learning_rate / (1.0 - power(BETA1, step))),
        .epsilon = (real)EPSILON,
    };
}

static void add_mean(double loss, int64_t rows, double *sum, int64_t *batches) {
    if (rows > 0) {
        *sum += loss / (double)rows;
        (*batches)++;
    }
}

Status replica_diverged(const Replica *replica) {
    return status_set(
        STATUS_INVALID,
        "training diverged: loss or gradient of epoch %lld, round %lld is not finite; "
        "a smaller learning_rate or scaler: standard may help",
        (long long)replica->epoch + 1, (long long)replica->round + 1);
}

// Whether a step along it leaves all numbers finite.
static bool is_sound(const Partial *total) {
    const PartialHead *head = partial_head_of(total);
    real most = (real)(REPLICA_GRADIENT_MOST * (double)head->rows);
    return partial_is_finite(total) &&
           (head->rows == 0 ||
            pass_all_within(partial_gradient_of(total), head->parameter_count, most));
}

Status replica_check(Replica *replica, const Partial *total) {
    if (!replica->can_train) {
        return status_set(STATUS_INVALID, "a finished model without optimiser state cannot train");
    }
    if (!is_sound(total)) {
        return replica_diverged(replica);
    }
    return reserve_losses(&replica->batches, replica->round == 0 ? 1 : replica->batches.count + 1);
}

// The first round of an epoch forgets those of the one before.
static void note_batch(Replica *replica, const PartialHead *head) {
    if (replica->round == 0) {
        replica->batches.count = replica->held_out.count = 0;
    }
    if (head->rows > 0) {
        replica->batches.losses[replica->batches.count++] = head->loss / (double)head->rows;
    }
}

Status replica_apply(Replica *replica, const Partial *total, double learning_rate) {
    const PartialHead *head = partial_head_of(total);
    assert(head->parameter_count == replica->layout.parameters);
    Status status = replica_check(replica, total);
    if (status != STATUS_OK) {
        return status;
    }
    note_batch(replica, head);
    replica->round++;
    if (head->rows == 0) {
        return STATUS_OK;
    }
    replica->step++;
    AdamStep step = adam_step(replica->step, head->rows, learning_rate);
    pass_adam(&step, partial_gradient_of(total), replica->layout.parameters, replica->first,
              replica->second, replica->parameters);
    pass_running(partial_statistics_of(total), step.inverse_count, replica->layout.running,
                 replica->running);
    EpochSums *sums = &replica->sums;
    add_mean(head->loss, head->rows, &sums->loss, &sums->batches);
    add_mean(head->source_loss, head->source_rows, &sums->source_loss, &sums->source_batches);
    add_mean(head->target_loss, head->target_rows, &sums->target_loss, &sums->target_batches);
    return STATUS_OK;
}

static double mean_of(double sum, int64_t count) {
    return count == 0 ? 0.0 : sum / (double)count;
}

static Status reserve_history(Replica *replica, int64_t count) {
    if (count <= replica->history_capacity) {
        return STATUS_OK;
    }
    int64_t capacity = count + count / 2 + 16;
    EpochLosses *history = mem_resize(replica->history, (size_t)capacity, sizeof *replica->history);
    if (history == NULL) {
        return STATUS_MEMORY;
    }
    replica->history = history;
    replica->history_capacity = capacity;
    return STATUS_OK;
}

Status replica_end_epoch(Replica *replica, const ValidationSums *validation) {
    double held_out_loss = validation_loss(validation);
    if (!isfinite(held_out_loss)) {
        return status_set(STATUS_INVALID, "training diverged: val_loss of epoch %lld is not finite",
                          (long long)replica->epoch + 1);
    }
    Status status = reserve_history(replica, replica->epoch + 1);
    if (status == STATUS_OK) {
        status = reserve_losses(&replica->held_out, validation_rounds(validation));
    }
    if (status != STATUS_OK) {
        return status;
    }
    replica->held_out.count = validation_losses(validation, replica->held_out.losses);
    const EpochSums *sums = &replica->sums;
    replica->history[replica->epoch] = (EpochLosses){
        .loss = mean_of(sums->loss, sums->batches),
        .val_loss = held_out_loss,
        .source_loss = mean_of(sums->source_loss, sums->source_batches),
        .target_loss = mean_of(sums->target_loss, sums->target_batches),
    };
    replica->epoch++;
    replica->round = 0;
    replica->sums = (EpochSums){0};
    return STATUS_OK;
}

// Bytes of a whole block with this head; its counts must have been checked.
static size_t block_bytes(const ReplicaHead *head, const Layout *layout) {
    size_t scaler = head->scaler_count > 0 ? 2 * (size_t)head->shape.width[0] : 0;
    size_t copies = head->content == REPLICA_ALL ? 3 : 1;
    size_t losses = (size_t)head->batch_count + (size_t)head->held_out_count;
    return sizeof *head + (scaler + losses) * sizeof(double) +
           (size_t)head->history_count * sizeof(EpochLosses) +
           (copies * layout->parameters + layout->running) * sizeof(real) + sizeof(Digest);
}

size_t replica_bytes_most(const Shape *shape, int64_t epochs, int64_t batches, int64_t held_out) {
    ReplicaHead head = {.content = REPLICA_ALL,
                        .shape = *shape,
                        .history_count = epochs,
                        .scaler_count = 1,
                        .batch_count = batches,
                        .held_out_count = held_out};
    Layout layout = shape_layout(shape);
    return block_bytes(&head, &layout);
}

static void append_losses(const double *losses, int64_t count, Buffer *out) {
    if (count > 0) {
        buffer_append(out, losses, (size_t)count * sizeof *losses);
    }
}

void replica_write(const Replica *replica, ReplicaContent content, Buffer *out) {
    const Layout *layout = &replica->layout;
    ReplicaHead head = {
        .real_bytes = sizeof(real),
        .content = replica->can_train ? content : REPLICA_MODEL,
        .shape = replica->shape,
        .step = replica->step,
        .epoch = replica->epoch,
        .round = replica->round,
        .sums = replica->sums,
        .history_count = replica->epoch,
        .scaler_count = replica->scaler.count,
    };
    if (head.content == REPLICA_ALL) {
        head.batch_count = replica->batches.count;
        head.held_out_count = replica->held_out.count;
    }
    head.block = block_head(MAGIC, REPLICA_VERSION, block_bytes(&head, layout));
    size_t start = out->size;
    buffer_append(out, &head, sizeof head);
    if (head.scaler_count > 0) {
        buffer_append(out, replica->scaler.mean,
                      2 * (size_t)replica->scaler.dimension * sizeof(double));
    }
    if (head.history_count > 0) {
        buffer_append(out, replica->history, (size_t)head.history_count * sizeof(EpochLosses));
    }
    append_losses(replica->batches.losses, head.batch_count, out);
    append_losses(replica->held_out.losses, head.held_out_count, out);
    buffer_append(out, replica->parameters, layout->parameters * sizeof(real));
    if (head.content == REPLICA_ALL) {
        buffer_append(out, replica->first, layout->parameters * sizeof(real));
        buffer_append(out, replica->second, layout->parameters * sizeof(real));
    }
    buffer_append(out, replica->running, layout->running * sizeof(real));
    if (out->status == STATUS_OK) {
        Digest digest = digest_of(out->bytes + start, out->size - start);
        buffer_append(out, &digest, sizeof digest);
    }
}

static bool sums_are_sane(const EpochSums *sums, int64_t round) {
    return isfinite(sums->loss) && isfinite(sums->source_loss) && isfinite(sums->target_loss) &&
           sums->batches >= 0 && sums->batches <= round && sums->source_batches >= 0 &&
           sums->source_batches <= sums->batches && sums->target_batches >= 0 &&
           sums->target_batches <= sums->batches;
}

static bool losses_are_sane(int64_t count, uint32_t content) {
    return count >= 0 && count <= (content == REPLICA_ALL ? SHAPE_VECTORS_MOST : 0);
}

// Everything that sizes and arithmetic depend on, before anything is allocated.
static Status check_head(const ReplicaHead *head, size_t size) {
    if (head->real_bytes != sizeof(real)) {
        return status_set(STATUS_MISMATCH, "model of %u-byte numbers, this program has %zu",
                          head->real_bytes, sizeof(real));
    }
    Status status = shape_check(&head->shape);
    if (status != STATUS_OK) {
        return status_prefix(status, "model");
    }
    bool counts_are_sane =
        head->content <= REPLICA_MODEL && head->step >= 0 && head->step <= SHAPE_VECTORS_MOST &&
        head->epoch >= 0 && head->epoch <= LIMIT_EPOCHS && head->round >= 0 &&
        head->round <= SHAPE_VECTORS_MOST && head->history_count == head->epoch &&
        head->scaler_count >= 0 && head->scaler_count <= SHAPE_VECTORS_MOST &&
        losses_are_sane(head->batch_count, head->content) &&
        losses_are_sane(head->held_out_count, head->content);
    if (!counts_are_sane || !sums_are_sane(&head->sums, head->round)) {
        return status_set(STATUS_FORMAT, "model with impossible counts in its head");
    }
    Layout layout = shape_layout(&head->shape);
    if (size != block_bytes(head, &layout)) {
        return status_set(STATUS_FORMAT, "model of %zu bytes, its head says %zu", size,
                          block_bytes(head, &layout));
    }
    return STATUS_OK;
}

static void take(const char **at, void *out, size_t size) {
    memcpy(out, *at, size);
    *at += size;
}

static Status take_losses(const char **at, int64_t count, LossList *out) {
    Status status = reserve_losses(out, count);
    if (status == STATUS_OK && count > 0) {
        take(at, out->losses, (size_t)count * sizeof *out->losses);
        out->count = count;
    }
    return status;
}

static Status take_arrays(Replica *replica, const ReplicaHead *head, const char *at) {
    const Layout *layout = &replica->layout;
    if (head->scaler_count > 0) {
        take(&at, replica->scaler.mean, 2 * (size_t)replica->scaler.dimension * sizeof(double));
    }
    Status status = reserve_history(replica, head->history_count);
    if (status != STATUS_OK) {
        return status;
    }
    if (head->history_count > 0) {
        take(&at, replica->history, (size_t)head->history_count * sizeof(EpochLosses));
    }
    status = take_losses(&at, head->batch_count, &replica->batches);
    if (status == STATUS_OK) {
        status = take_losses(&at, head->held_out_count, &replica->held_out);
    }
    if (status != STATUS_OK) {
        return status;
    }
    take(&at, replica->parameters, layout->parameters * sizeof(real));
    if (head->content == REPLICA_ALL) {
        take(&at, replica->first, layout->parameters * sizeof(real));
        take(&at, replica->second, layout->parameters * sizeof(real));
    }
    take(&at, replica->running, layout->running * sizeof(real));
    return STATUS_OK;
}

static bool doubles_are_sane(const double *values, size_t count, bool may_be_negative) {
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i]) || (!may_be_negative && values[i] < 0)) {
            return false;
        }
    }
    return true;
}

static bool none_negative(const real *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!(values[i] >= 0)) {
            return false;
        }
    }
    return true;
}

static Status check_arrays(const Replica *replica) {
    const Layout *layout = &replica->layout;
    size_t dimension = (size_t)replica->scaler.dimension;
    bool sane =
        pass_all_finite(replica->parameters, layout->parameters) &&
        pass_all_finite(replica->first, layout->parameters) &&
        pass_all_finite(replica->second, layout->parameters) &&
        pass_all_finite(replica->running, layout->running) &&
        none_negative(replica->second, layout->parameters) &&
        doubles_are_sane(replica->scaler.mean, dimension, true) &&
        doubles_are_sane(replica->scaler.variance, dimension, false) &&
        doubles_are_sane((const double *)replica->history, 4 * (size_t)replica->epoch, true) &&
        doubles_are_sane(replica->batches.losses, (size_t)replica->batches.count, false) &&
        doubles_are_sane(replica->held_out.losses, (size_t)replica->held_out.count, false);
    for (int l = 0; l < layout->layers && sane; l++) {
        const LayerPlace *place = &layout->layer[l];
        sane = !place->has_norm ||
               none_negative(replica->running + place->variance, (size_t)place->out);
    }
    return sane ? STATUS_OK
                : status_set(STATUS_FORMAT, "model with a number that is not finite or negative "
                                            "where none can be");
}

static Status check_digest(const char *bytes, size_t size) {
    Digest kept;
    memcpy(&kept, bytes + size - sizeof kept, sizeof kept);
    if (!digest_equal(kept, digest_of(bytes, size - sizeof kept))) {
        return status_set(STATUS_FORMAT, "model is damaged: its digest does not fit");
    }
    return STATUS_OK;
}

static Status build(const ReplicaHead *head, const char *arrays, Replica **ret_replica) {
    Replica *replica = replica_new(&head->shape);
    if (replica == NULL) {
        return STATUS_MEMORY;
    }
    replica->can_train = head->content == REPLICA_ALL;
    replica->step = head->step;
    replica->epoch = head->epoch;
    replica->round = head->round;
    replica->sums = head->sums;
    replica->scaler.count = head->scaler_count;
    Status status = take_arrays(replica, head, arrays);
    if (status == STATUS_OK) {
        status = check_arrays(replica);
    }
    if (status != STATUS_OK) {
        replica_free(replica);
        return status;
    }
    if (head->scaler_count > 0) {
        scaler_finish(&replica->scaler);
    }
    *ret_replica = replica;
    return STATUS_OK;
}

Status replica_read(const void *bytes, size_t size, Replica **ret_replica) {
    Status status = block_check(bytes, size, MAGIC, REPLICA_VERSION, "model");
    if (status != STATUS_OK) {
        return status;
    }
    ReplicaHead head;
    if (size < sizeof head + sizeof(Digest)) {
        return status_set(STATUS_FORMAT, "model of %zu bytes is cut off", size);
    }
    memcpy(&head, bytes, sizeof head);
    status = check_head(&head, size);
    if (status == STATUS_OK) {
        status = check_digest(bytes, size);
    }
    if (status == STATUS_OK) {
        status = build(&head, (const char *)bytes + sizeof head, ret_replica);
    }
    return status;
}
