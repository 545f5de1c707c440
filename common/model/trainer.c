// SPDX-License-Identifier: Apache-2.0
//
// How it works. A shard's vectors are numbered through its clips in order of their index. Drawing
// the held-out ones leaves the list `training` of vector numbers in ascending order; an epoch's
// permutation `order` then says in which order that list is used: row k of round r is the vector
// training[order[r * m + k]]. The subtree is walked depth first, left + right, with one partial sum
// waiting per level, so S shards need log2(S) of them beside the result.
#include "common/model/trainer.h"

#include <assert.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/model/autoencoder.h"
#include "common/model/passes.h"

#define LEVELS_MOST 6 // log2(LIMIT_SHARDS)

_Static_assert(LIMIT_SHARDS == 1 << LEVELS_MOST, "levels of the tree");

typedef struct ShardData {
    TrainClip *clips;      // (clip_count) by index
    int64_t *first_vector; // (clip_count) number of the clip's first vector within the shard
    int32_t clip_count;
    int32_t clip_capacity;
    int64_t training_count;
    int64_t held_out_count;
    uint8_t *is_held_out; // (vectors)
    uint32_t *training;   // (training_count) vector numbers, ascending
    uint32_t *held_out;   // (held_out_count) vector numbers, in the order of their draw
    uint32_t *order;      // (training_count) the current epoch's permutation
} ShardData;

struct Trainer {
    TrainerConfig config;
    ShardData *shards; // (config.shard_count)
    bool is_sealed;
    int64_t epoch; // whose permutation is in `order`; -1 before the first
    Autoencoder *net;
    Partial *waiting[LEVELS_MOST]; // the right half's sum at each level of the subtree
    double *row_loss;              // (m)
    uint8_t *row_is_target;        // (m)
};

Status trainer_new(const TrainerConfig *config, Trainer **ret_trainer) {
    if (!shard_is_subtree(config->plan.shards, config->first_shard, config->shard_count)) {
        return status_set(STATUS_INVALID, "%d shards from %d on are no aligned subtree of %d",
                          config->shard_count, config->first_shard, config->plan.shards);
    }
    Trainer *trainer = mem_new(1, sizeof *trainer);
    if (trainer == NULL) {
        return STATUS_MEMORY;
    }
    size_t rows = (size_t)config->plan.rows;
    trainer->config = *config;
    trainer->epoch = -1;
    trainer->shards = mem_new((size_t)config->shard_count, sizeof *trainer->shards);
    trainer->net = autoencoder_new(&config->shape, config->plan.rows);
    trainer->row_loss = mem_new(rows, sizeof *trainer->row_loss);
    trainer->row_is_target = mem_new(rows, 1);
    bool complete = trainer->shards != NULL && trainer->net != NULL && trainer->row_loss != NULL &&
                    trainer->row_is_target != NULL;
    for (int l = 0; 1 << l < config->shard_count && complete; l++) {
        trainer->waiting[l] = partial_new(&config->shape);
        complete = trainer->waiting[l] != NULL;
    }
    if (!complete) {
        trainer_free(trainer);
        return STATUS_MEMORY;
    }
    *ret_trainer = trainer;
    return STATUS_OK;
}

static void free_shard(ShardData *shard) {
    mem_free(shard->clips);
    mem_free(shard->first_vector);
    mem_free(shard->is_held_out);
    mem_free(shard->training);
    mem_free(shard->held_out);
    mem_free(shard->order);
}

void trainer_free(Trainer *trainer) {
    if (trainer == NULL) {
        return;
    }
    for (int s = 0; trainer->shards != NULL && s < trainer->config.shard_count; s++) {
        free_shard(&trainer->shards[s]);
    }
    for (int l = 0; l < LEVELS_MOST; l++) {
        partial_free(trainer->waiting[l]);
    }
    mem_free(trainer->shards);
    autoencoder_free(trainer->net);
    mem_free(trainer->row_loss);
    mem_free(trainer->row_is_target);
    mem_free(trainer);
}

static Status reserve_clip(ShardData *shard) {
    if (shard->clip_count < shard->clip_capacity) {
        return STATUS_OK;
    }
    int32_t capacity = 2 * shard->clip_capacity + 16;
    TrainClip *clips = mem_resize(shard->clips, (size_t)capacity, sizeof *clips);
    if (clips == NULL) {
        return STATUS_MEMORY;
    }
    shard->clips = clips;
    shard->clip_capacity = capacity;
    return STATUS_OK;
}

// Where a clip belongs among those already there; they come nearly in order.
static int32_t place_of(const ShardData *shard, int32_t index) {
    int32_t place = shard->clip_count;
    while (place > 0 && shard->clips[place - 1].index >= index) {
        place--;
    }
    return place;
}

Status trainer_add_clip(Trainer *trainer, const TrainClip *clip) {
    assert(!trainer->is_sealed);
    const TrainerConfig *config = &trainer->config;
    int32_t owned = clip->index % config->plan.shards - config->first_shard;
    if (clip->index < 0 || owned < 0 || owned >= config->shard_count) {
        return status_set(STATUS_INVALID, "clip %d belongs to none of shards %d to %d of %d",
                          clip->index, config->first_shard,
                          config->first_shard + config->shard_count - 1, config->plan.shards);
    }
    size_t count = (size_t)clip->frames * (size_t)config->shape.n_mels;
    if (!pass_all_finite_float(clip->log_mel, count)) {
        return status_set(STATUS_FORMAT, "clip %d has a feature that is not finite", clip->index);
    }
    ShardData *shard = &trainer->shards[owned];
    Status status = reserve_clip(shard);
    if (status != STATUS_OK) {
        return status;
    }
    int32_t place = place_of(shard, clip->index);
    if (place < shard->clip_count && shard->clips[place].index == clip->index) {
        return status_set(STATUS_INVALID, "clip %d was added twice", clip->index);
    }
    memmove(shard->clips + place + 1, shard->clips + place,
            (size_t)(shard->clip_count - place) * sizeof *shard->clips);
    shard->clips[place] = *clip;
    shard->clip_count++;
    return STATUS_OK;
}

static Status allocate_lists(ShardData *shard, int64_t vectors) {
    shard->is_held_out = mem_new((size_t)vectors, 1);
    shard->training = mem_new((size_t)shard->training_count, sizeof(uint32_t));
    shard->held_out = mem_new((size_t)shard->held_out_count, sizeof(uint32_t));
    // The draw permutes all vectors; the epochs' permutations then need no more room.
    shard->order = mem_new((size_t)vectors, sizeof(uint32_t));
    bool complete = shard->is_held_out != NULL && shard->training != NULL &&
                    shard->held_out != NULL && shard->order != NULL;
    return complete ? STATUS_OK : STATUS_MEMORY;
}

static void draw_held_out(ShardData *shard, int64_t vectors, Rng rng) {
    rng_permutation(&rng, shard->order, (uint32_t)vectors);
    for (int64_t i = 0; i < shard->held_out_count; i++) {
        shard->held_out[i] = shard->order[i];
        shard->is_held_out[shard->order[i]] = 1;
    }
    int64_t filled = 0;
    for (int64_t v = 0; v < vectors; v++) {
        if (!shard->is_held_out[v]) {
            shard->training[filled++] = (uint32_t)v;
        }
    }
}

static Status seal_shard(Trainer *trainer, int owned) {
    const TrainerConfig *config = &trainer->config;
    ShardData *shard = &trainer->shards[owned];
    int s = config->first_shard + owned;
    int64_t vectors = 0;
    shard->first_vector = mem_new((size_t)shard->clip_count, sizeof *shard->first_vector);
    if (shard->first_vector == NULL) {
        return STATUS_MEMORY;
    }
    for (int32_t c = 0; c < shard->clip_count; c++) {
        shard->first_vector[c] = vectors;
        vectors += shape_vectors(&config->shape, shard->clips[c].frames);
    }
    if (vectors != config->plan.vectors[s]) {
        return status_set(STATUS_INVALID, "shard %d has %lld vectors, the plan says %lld", s,
                          (long long)vectors, (long long)config->plan.vectors[s]);
    }
    shard->training_count = config->plan.training[s];
    shard->held_out_count = config->plan.validation[s];
    Status status = allocate_lists(shard, vectors);
    if (status == STATUS_OK) {
        draw_held_out(shard, vectors,
                      rng_of(config->seed, "validation", config->model_key, (uint64_t)s));
    }
    return status;
}

Status trainer_seal(Trainer *trainer) {
    assert(!trainer->is_sealed);
    Status status = STATUS_OK;
    for (int owned = 0; owned < trainer->config.shard_count && status == STATUS_OK; owned++) {
        status = seal_shard(trainer, owned);
    }
    trainer->is_sealed = status == STATUS_OK;
    return status;
}

static void shard_sums(const Trainer *trainer, int owned, ScalerSums *clip_sums, ScalerSums *out) {
    const ShardData *shard = &trainer->shards[owned];
    scaler_sums_clear(out);
    for (int32_t c = 0; c < shard->clip_count; c++) {
        const TrainClip *clip = &shard->clips[c];
        scaler_sums_clip(clip_sums, &trainer->config.shape, clip->log_mel, clip->frames,
                         shard->is_held_out + shard->first_vector[c]);
        scaler_sums_add(out, clip_sums);
    }
}

// scratch[0] is for single clips, scratch[1 + level] for the right half at that level.
static void subtree_sums(const Trainer *trainer, int first, int count, int level,
                         ScalerSums *const *scratch, ScalerSums *out) {
    if (count == 1) {
        shard_sums(trainer, first, scratch[0], out);
        return;
    }
    ScalerSums *right = scratch[1 + level];
    subtree_sums(trainer, first, count / 2, level + 1, scratch, out);
    subtree_sums(trainer, first + count / 2, count / 2, level + 1, scratch, right);
    scaler_sums_add(out, right);
}

Status trainer_scaler_sums(const Trainer *trainer, ScalerSums *out) {
    assert(trainer->is_sealed);
    ScalerSums *scratch[1 + LEVELS_MOST] = {NULL};
    Status status = STATUS_OK;
    for (int i = 0; i <= LEVELS_MOST && status == STATUS_OK; i++) {
        scratch[i] = scaler_sums_new(shape_dimension(&trainer->config.shape));
        status = scratch[i] == NULL ? STATUS_MEMORY : STATUS_OK;
    }
    if (status == STATUS_OK) {
        subtree_sums(trainer, 0, trainer->config.shard_count, 0, scratch, out);
    }
    for (int i = 0; i <= LEVELS_MOST; i++) {
        scaler_sums_free(scratch[i]);
    }
    return status;
}

// The clip that holds a vector: the last one that begins at or before it and is not empty.
static int32_t clip_of(const ShardData *shard, int64_t vector) {
    int32_t low = 0, high = shard->clip_count - 1;
    while (low < high) {
        int32_t middle = low + (high - low + 1) / 2;
        if (shard->first_vector[middle] <= vector) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

// Row `row` of the network's input becomes that vector, scaled.
static void gather(Trainer *trainer, const ShardData *shard, const Scaler *scaler, uint32_t vector,
                   int row) {
    const Shape *shape = &trainer->config.shape;
    int32_t c = clip_of(shard, vector);
    const TrainClip *clip = &shard->clips[c];
    size_t frame = (size_t)(vector - shard->first_vector[c]) * (size_t)shape->frame_hop_length;
    scaler_apply(scaler, clip->log_mel + frame * (size_t)shape->n_mels,
                 autoencoder_input(trainer->net) + (size_t)row * (size_t)shape_dimension(shape));
    trainer->row_is_target[row] = clip->is_target;
}

// Rows of micro-batch `round` of `count` vectors: m, fewer at the end, none past it.
static int rows_of(int64_t count, int64_t round, int rows) {
    int64_t left = round < count / rows + 1 ? count - round * rows : 0;
    return left < rows ? (left > 0 ? (int)left : 0) : rows;
}

static void sum_losses(const Trainer *trainer, int rows, PartialHead *head) {
    head->rows = rows;
    head->source_rows = head->target_rows = 0;
    head->loss = head->source_loss = head->target_loss = 0.0;
    for (int i = 0; i < rows; i++) {
        head->loss += trainer->row_loss[i];
        if (trainer->row_is_target[i]) {
            head->target_loss += trainer->row_loss[i];
            head->target_rows++;
        } else {
            head->source_loss += trainer->row_loss[i];
            head->source_rows++;
        }
    }
}

static void shard_round(Trainer *trainer, int owned, const Replica *replica, Partial *out) {
    const ShardData *shard = &trainer->shards[owned];
    int m = trainer->config.plan.rows;
    int64_t round = replica_round(replica);
    int rows = rows_of(shard->training_count, round, m);
    if (rows < shape_least_rows(&trainer->config.shape)) {
        partial_clear(out);
        return;
    }
    for (int k = 0; k < rows; k++) {
        gather(trainer, shard, replica_scaler(replica),
               shard->training[shard->order[round * m + k]], k);
    }
    autoencoder_train(trainer->net, replica_parameters(replica), rows, partial_gradient(out),
                      partial_statistics(out), trainer->row_loss);
    sum_losses(trainer, rows, partial_head(out));
}

static void subtree_round(Trainer *trainer, int first, int count, int level, const Replica *replica,
                          Partial *out) {
    if (count == 1) {
        shard_round(trainer, first, replica, out);
        return;
    }
    Partial *right = trainer->waiting[level];
    subtree_round(trainer, first, count / 2, level + 1, replica, out);
    subtree_round(trainer, first + count / 2, count / 2, level + 1, replica, right);
    partial_add(out, right);
}

static void permute(Trainer *trainer, int64_t epoch) {
    const TrainerConfig *config = &trainer->config;
    for (int owned = 0; owned < config->shard_count; owned++) {
        uint64_t s = (uint64_t)(config->first_shard + owned);
        Rng rng = rng_of(config->seed, "permutation", config->model_key,
                         (uint64_t)epoch * LIMIT_SHARDS + s);
        ShardData *shard = &trainer->shards[owned];
        rng_permutation(&rng, shard->order, (uint32_t)shard->training_count);
    }
    trainer->epoch = epoch;
}

Status trainer_round(Trainer *trainer, const Replica *replica, Partial *out) {
    assert(trainer->is_sealed && shape_equal(replica_shape(replica), &trainer->config.shape));
    if (replica_epoch(replica) != trainer->epoch) {
        permute(trainer, replica_epoch(replica));
    }
    subtree_round(trainer, 0, trainer->config.shard_count, 0, replica, out);
    // What is not finite in a part is not in the whole: all members come to the same end.
    return partial_is_finite(out) ? STATUS_OK : replica_diverged(replica);
}

typedef struct LossSum {
    double loss;
    int64_t rows;
} LossSum;

static LossSum shard_loss(Trainer *trainer, int owned, const Replica *replica, int64_t round) {
    const ShardData *shard = &trainer->shards[owned];
    int m = trainer->config.plan.rows;
    LossSum sum = {0.0, rows_of(shard->held_out_count, round, m)};
    if (sum.rows == 0) {
        return sum;
    }
    for (int64_t k = 0; k < sum.rows; k++) {
        gather(trainer, shard, replica_scaler(replica), shard->held_out[round * m + k], (int)k);
    }
    autoencoder_evaluate(trainer->net, (int)sum.rows, trainer->row_loss);
    for (int64_t k = 0; k < sum.rows; k++) {
        sum.loss += trainer->row_loss[k];
    }
    return sum;
}

static LossSum subtree_loss(Trainer *trainer, int first, int count, const Replica *replica,
                            int64_t round) {
    if (count == 1) {
        return shard_loss(trainer, first, replica, round);
    }
    LossSum left = subtree_loss(trainer, first, count / 2, replica, round);
    LossSum right = subtree_loss(trainer, first + count / 2, count / 2, replica, round);
    return (LossSum){left.loss + right.loss, left.rows + right.rows};
}

void trainer_validate(Trainer *trainer, const Replica *replica, ValidationSums *out) {
    assert(trainer->is_sealed && validation_rounds(out) == trainer->config.plan.validation_rounds);
    validation_clear(out);
    autoencoder_fold(trainer->net, replica_parameters(replica), replica_running(replica));
    for (int64_t round = 0; round < validation_rounds(out); round++) {
        LossSum sum = subtree_loss(trainer, 0, trainer->config.shard_count, replica, round);
        validation_put(out, round, sum.loss, sum.rows);
    }
}

// The vectors listed, micro-batch by micro-batch.
static Status give_residuals(Trainer *trainer, const Replica *replica, const ShardData *shard,
                             const uint32_t *vectors, int64_t count, bool is_held_out,
                             TakeResiduals *take, void *context) {
    int m = trainer->config.plan.rows;
    Status status = STATUS_OK;
    for (int64_t first = 0; first < count && status == STATUS_OK; first += m) {
        int rows = rows_of(count, first / m, m);
        for (int k = 0; k < rows; k++) {
            gather(trainer, shard, replica_scaler(replica), vectors[first + k], k);
        }
        autoencoder_evaluate(trainer->net, rows, trainer->row_loss);
        status = take(context, &(ResidualBatch){.residuals = autoencoder_residual(trainer->net),
                                                .is_target = trainer->row_is_target,
                                                .rows = rows,
                                                .is_held_out = is_held_out});
    }
    return status;
}

Status trainer_residuals(Trainer *trainer, const Replica *replica, int32_t shard_index,
                         TakeResiduals *take, void *context) {
    int32_t owned = shard_index - trainer->config.first_shard;
    assert(trainer->is_sealed && owned >= 0 && owned < trainer->config.shard_count);
    const ShardData *shard = &trainer->shards[owned];
    uint32_t *vectors = mem_new((size_t)shard->training_count, sizeof *vectors);
    if (vectors == NULL) {
        return STATUS_MEMORY;
    }
    permute(trainer, replica_epoch(replica));
    for (int64_t i = 0; i < shard->training_count; i++) {
        vectors[i] = shard->training[shard->order[i]];
    }
    autoencoder_fold(trainer->net, replica_parameters(replica), replica_running(replica));
    Status status = give_residuals(trainer, replica, shard, vectors, shard->training_count, false,
                                   take, context);
    if (status == STATUS_OK) {
        status = give_residuals(trainer, replica, shard, shard->held_out, shard->held_out_count,
                                true, take, context);
    }
    mem_free(vectors);
    return status;
}
