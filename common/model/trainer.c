// SPDX-License-Identifier: Apache-2.0
//
// How it works. A crew cuts the subtree into equal aligned parts: as many as lanes, or more where
// that would not come out even. A part is walked depth first, left + right, with one partial sum
// waiting per level, so S shards need log2(S) of them beside the result; then the parts are added
// as the tree above them says. Row k of round r of a shard is training[order[r * m + k]].
#include "common/model/trainer.h"

#include <assert.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/model/autoencoder.h"
#include "common/model/passes.h"

#define LEVELS_MOST 6 // log2(LIMIT_SHARDS)

_Static_assert(LIMIT_SHARDS == 1 << LEVELS_MOST, "levels of the tree");

// What one thread works with.
typedef struct Lane {
    Autoencoder *net;
    Partial *waiting[LEVELS_MOST]; // the right half's sum at each level of a part
    double *row_loss;              // (m)
    uint8_t *row_is_target;        // (m)
} Lane;

typedef struct LossSum {
    double loss;
    int64_t rows;
} LossSum;

struct Trainer {
    TrainerConfig config;
    ShardData *shards; // (config.shard_count)
    bool is_sealed;
    int64_t epoch; // whose permutation is in `order`; -1 before the first
    Lane *lanes;   // (lane_count)
    int lane_count;
    int part_count;               // a power of two
    Partial *parts[LIMIT_SHARDS]; // [1 .. part_count): sums of the parts behind the first
    LossSum *losses;              // (shard_count, plan.validation_rounds), once sealed
};

// ---- making ----

static void free_lane(Lane *lane) {
    autoencoder_free(lane->net);
    for (int l = 0; l < LEVELS_MOST; l++) {
        partial_free(lane->waiting[l]);
    }
    mem_free(lane->row_loss);
    mem_free(lane->row_is_target);
}

static bool make_lane(const TrainerConfig *config, int part_shards, Lane *lane) {
    size_t rows = (size_t)config->plan.rows;
    lane->net = autoencoder_new(&config->shape, config->plan.rows);
    lane->row_loss = mem_new(rows, sizeof *lane->row_loss);
    lane->row_is_target = mem_new(rows, 1);
    bool complete = lane->net != NULL && lane->row_loss != NULL && lane->row_is_target != NULL;
    for (int l = 0; 1 << l < part_shards && complete; l++) {
        lane->waiting[l] = partial_new(&config->shape);
        complete = lane->waiting[l] != NULL;
    }
    return complete;
}

// As many parts as lanes where that comes out even, else so many that no lane waits long.
static int count_parts(int lanes, int shards) {
    int parts = 1;
    while (parts < lanes && parts < shards) {
        parts *= 2;
    }
    while (parts % lanes != 0 && parts < 4 * lanes && parts < shards) {
        parts *= 2;
    }
    return parts;
}

static bool make_lanes(Trainer *trainer) {
    const TrainerConfig *config = &trainer->config;
    trainer->lane_count = crew_lanes(config->crew);
    trainer->part_count = count_parts(trainer->lane_count, config->shard_count);
    trainer->lanes = mem_new((size_t)trainer->lane_count, sizeof *trainer->lanes);
    bool complete = trainer->lanes != NULL;
    for (int l = 0; l < trainer->lane_count && complete; l++) {
        complete = make_lane(config, config->shard_count / trainer->part_count, &trainer->lanes[l]);
    }
    for (int p = 1; p < trainer->part_count && complete; p++) {
        trainer->parts[p] = partial_new(&config->shape);
        complete = trainer->parts[p] != NULL;
    }
    return complete;
}

Status trainer_new(const TrainerConfig *config, Trainer **ret_trainer) {
    if (!shard_is_subtree(config->plan.shards, config->first_shard, config->shard_count)) {
        return status_set(STATUS_INVALID, "%d shards from %d on are no aligned subtree of %d",
                          config->shard_count, config->first_shard, config->plan.shards);
    }
    Trainer *trainer = mem_new(1, sizeof *trainer);
    if (trainer == NULL) {
        return STATUS_MEMORY;
    }
    trainer->config = *config;
    trainer->epoch = -1;
    trainer->shards = mem_new((size_t)config->shard_count, sizeof *trainer->shards);
    if (trainer->shards == NULL || !make_lanes(trainer)) {
        trainer_free(trainer);
        return STATUS_MEMORY;
    }
    *ret_trainer = trainer;
    return STATUS_OK;
}

void trainer_free(Trainer *trainer) {
    if (trainer == NULL) {
        return;
    }
    for (int s = 0; trainer->shards != NULL && s < trainer->config.shard_count; s++) {
        shard_data_free(&trainer->shards[s]);
    }
    for (int l = 0; trainer->lanes != NULL && l < trainer->lane_count; l++) {
        free_lane(&trainer->lanes[l]);
    }
    for (int p = 1; p < trainer->part_count; p++) {
        partial_free(trainer->parts[p]);
    }
    mem_free(trainer->shards);
    mem_free(trainer->lanes);
    mem_free(trainer->losses);
    mem_free(trainer);
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
    return shard_data_add(&trainer->shards[owned], clip);
}

Status trainer_seal(Trainer *trainer) {
    assert(!trainer->is_sealed);
    Status status = STATUS_OK;
    for (int owned = 0; owned < trainer->config.shard_count && status == STATUS_OK; owned++) {
        int s = trainer->config.first_shard + owned;
        Rng rng =
            rng_of(trainer->config.seed, "validation", trainer->config.model_key, (uint64_t)s);
        status = shard_data_seal(&trainer->shards[owned], &trainer->config.shape,
                                 &trainer->config.plan, s, rng);
    }
    size_t losses =
        (size_t)trainer->config.shard_count * (size_t)trainer->config.plan.validation_rounds;
    trainer->losses = mem_new(losses, sizeof *trainer->losses);
    status = status == STATUS_OK && trainer->losses == NULL ? STATUS_MEMORY : status;
    trainer->is_sealed = status == STATUS_OK;
    return status;
}

// scratch[0] is for single clips, scratch[1 + level] for the right half at that level.
static void subtree_sums(const Trainer *trainer, int first, int count, int level,
                         ScalerSums *const *scratch, ScalerSums *out) {
    if (count == 1) {
        shard_data_sums(&trainer->shards[first], &trainer->config.shape, scratch[0], out);
        return;
    }
    ScalerSums *right = scratch[1 + level];
    subtree_sums(trainer, first, count / 2, level + 1, scratch, out);
    subtree_sums(trainer, first + count / 2, count / 2, level + 1, scratch, right);
    scaler_sums_add(out, right);
}

typedef struct SumsWork {
    const Trainer *trainer;
    ScalerSums *(*scratch)[1 + LEVELS_MOST]; // (lanes)
    ScalerSums *parts[LIMIT_SHARDS];
} SumsWork;

static void part_sums(void *context, uint32_t part, int lane) {
    const SumsWork *work = context;
    int shards = work->trainer->config.shard_count / work->trainer->part_count;
    subtree_sums(work->trainer, (int)part * shards, shards, 0, work->scratch[lane],
                 work->parts[part]);
}

static bool make_sums(const Trainer *trainer, ScalerSums *out, SumsWork *work) {
    int dimension = shape_dimension(&trainer->config.shape);
    work->scratch = mem_new((size_t)trainer->lane_count, sizeof *work->scratch);
    bool complete = work->scratch != NULL;
    for (int i = 0; complete && i < trainer->lane_count * (1 + LEVELS_MOST); i++) {
        ScalerSums **one = &work->scratch[i / (1 + LEVELS_MOST)][i % (1 + LEVELS_MOST)];
        *one = scaler_sums_new(dimension);
        complete = *one != NULL;
    }
    work->parts[0] = out;
    for (int p = 1; complete && p < trainer->part_count; p++) {
        work->parts[p] = scaler_sums_new(dimension);
        complete = work->parts[p] != NULL;
    }
    return complete;
}

static void free_sums(const Trainer *trainer, SumsWork *work) {
    int count = work->scratch != NULL ? trainer->lane_count * (1 + LEVELS_MOST) : 0;
    for (int i = 0; i < count; i++) {
        scaler_sums_free(work->scratch[i / (1 + LEVELS_MOST)][i % (1 + LEVELS_MOST)]);
    }
    for (int p = 1; p < trainer->part_count; p++) {
        scaler_sums_free(work->parts[p]);
    }
    mem_free(work->scratch);
}

Status trainer_scaler_sums(const Trainer *trainer, ScalerSums *out) {
    assert(trainer->is_sealed);
    SumsWork work = {.trainer = trainer};
    bool complete = make_sums(trainer, out, &work);
    if (complete) {
        crew_run(trainer->config.crew, (uint32_t)trainer->part_count, part_sums, &work);
        for (int step = 1; step < trainer->part_count; step *= 2) {
            for (int p = 0; p < trainer->part_count; p += 2 * step) {
                scaler_sums_add(work.parts[p], work.parts[p + step]);
            }
        }
    }
    free_sums(trainer, &work);
    return complete ? STATUS_OK : STATUS_MEMORY;
}

// Row `row` of the network's input becomes that vector, scaled.
static void gather(const Trainer *trainer, Lane *lane, const ShardData *shard, const Scaler *scaler,
                   uint32_t vector, int row) {
    const Shape *shape = &trainer->config.shape;
    bool is_target;
    const float *values = shard_data_vector(shard, shape, vector, &is_target);
    scaler_apply(scaler, values,
                 autoencoder_input(lane->net) + (size_t)row * (size_t)shape_dimension(shape));
    lane->row_is_target[row] = is_target;
}

// Rows of micro-batch `round` of `count` vectors: m, fewer at the end, none past it.
static int rows_of(int64_t count, int64_t round, int rows) {
    int64_t left = round < count / rows + 1 ? count - round * rows : 0;
    return left < rows ? (left > 0 ? (int)left : 0) : rows;
}

static void sum_losses(const Lane *lane, int rows, PartialHead *head) {
    head->rows = rows;
    head->source_rows = head->target_rows = 0;
    head->loss = head->source_loss = head->target_loss = 0.0;
    for (int i = 0; i < rows; i++) {
        head->loss += lane->row_loss[i];
        if (lane->row_is_target[i]) {
            head->target_loss += lane->row_loss[i];
            head->target_rows++;
        } else {
            head->source_loss += lane->row_loss[i];
            head->source_rows++;
        }
    }
}

static void shard_round(const Trainer *trainer, Lane *lane, int owned, const Replica *replica,
                        Partial *out) {
    const ShardData *shard = &trainer->shards[owned];
    int m = trainer->config.plan.rows;
    int64_t round = replica_round(replica);
    int rows = rows_of(shard->training_count, round, m);
    if (rows < shape_least_rows(&trainer->config.shape)) {
        partial_clear(out);
        return;
    }
    for (int k = 0; k < rows; k++) {
        gather(trainer, lane, shard, replica_scaler(replica),
               shard->training[shard->order[round * m + k]], k);
    }
    autoencoder_train(lane->net, replica_parameters(replica), rows, partial_gradient(out),
                      partial_statistics(out), lane->row_loss);
    sum_losses(lane, rows, partial_head(out));
}

static void subtree_round(const Trainer *trainer, Lane *lane, int first, int count, int level,
                          const Replica *replica, Partial *out) {
    if (count == 1) {
        shard_round(trainer, lane, first, replica, out);
        return;
    }
    Partial *right = lane->waiting[level];
    subtree_round(trainer, lane, first, count / 2, level + 1, replica, out);
    subtree_round(trainer, lane, first + count / 2, count / 2, level + 1, replica, right);
    partial_add(out, right);
}

static void permute(Trainer *trainer, int64_t epoch) {
    const TrainerConfig *config = &trainer->config;
    for (int owned = 0; owned < config->shard_count; owned++) {
        uint64_t s = (uint64_t)(config->first_shard + owned);
        Rng rng = rng_of(config->seed, "permutation", config->model_key,
                         (uint64_t)epoch * LIMIT_SHARDS + s);
        shard_data_permute(&trainer->shards[owned], rng);
    }
    trainer->epoch = epoch;
}

typedef struct RoundWork {
    Trainer *trainer;
    const Replica *replica;
    Partial *out; // of the first part, and in the end of all
} RoundWork;

static void part_round(void *context, uint32_t part, int lane) {
    const RoundWork *work = context;
    Trainer *trainer = work->trainer;
    int shards = trainer->config.shard_count / trainer->part_count;
    Partial *out = part == 0 ? work->out : trainer->parts[part];
    subtree_round(trainer, &trainer->lanes[lane], (int)part * shards, shards, 0, work->replica,
                  out);
}

Status trainer_round(Trainer *trainer, const Replica *replica, Partial *out) {
    assert(trainer->is_sealed && shape_equal(replica_shape(replica), &trainer->config.shape));
    if (replica_epoch(replica) != trainer->epoch) {
        permute(trainer, replica_epoch(replica));
    }
    RoundWork work = {trainer, replica, out};
    crew_run(trainer->config.crew, (uint32_t)trainer->part_count, part_round, &work);
    for (int step = 1; step < trainer->part_count; step *= 2) {
        for (int p = 0; p < trainer->part_count; p += 2 * step) {
            partial_add(p == 0 ? out : trainer->parts[p], trainer->parts[p + step]);
        }
    }
    // What is not finite in a part is not in the whole: all members come to the same end.
    return partial_is_finite(out) ? STATUS_OK : replica_diverged(replica);
}

static LossSum shard_loss(const Trainer *trainer, Lane *lane, int owned, const Replica *replica,
                          int64_t round) {
    const ShardData *shard = &trainer->shards[owned];
    int m = trainer->config.plan.rows;
    LossSum sum = {0.0, rows_of(shard->held_out_count, round, m)};
    if (sum.rows == 0) {
        return sum;
    }
    for (int64_t k = 0; k < sum.rows; k++) {
        gather(trainer, lane, shard, replica_scaler(replica), shard->held_out[round * m + k],
               (int)k);
    }
    autoencoder_evaluate(lane->net, (int)sum.rows, lane->row_loss);
    for (int64_t k = 0; k < sum.rows; k++) {
        sum.loss += lane->row_loss[k];
    }
    return sum;
}

static LossSum *losses_of(const Trainer *trainer, int owned) {
    return trainer->losses + (int64_t)owned * trainer->config.plan.validation_rounds;
}

// All rounds of one shard.
static void validate_shard(void *context, uint32_t owned, int lane) {
    const RoundWork *work = context;
    LossSum *losses = losses_of(work->trainer, (int)owned);
    for (int64_t r = 0; r < work->trainer->config.plan.validation_rounds; r++) {
        losses[r] =
            shard_loss(work->trainer, &work->trainer->lanes[lane], (int)owned, work->replica, r);
    }
}

static LossSum subtree_loss(const Trainer *trainer, int first, int count, int64_t round) {
    if (count == 1) {
        return losses_of(trainer, first)[round];
    }
    LossSum left = subtree_loss(trainer, first, count / 2, round);
    LossSum right = subtree_loss(trainer, first + count / 2, count / 2, round);
    return (LossSum){left.loss + right.loss, left.rows + right.rows};
}

void trainer_validate(Trainer *trainer, const Replica *replica, ValidationSums *out) {
    assert(trainer->is_sealed && validation_rounds(out) == trainer->config.plan.validation_rounds);
    RoundWork work = {.trainer = trainer, .replica = replica};
    validation_clear(out);
    for (int l = 0; l < trainer->lane_count; l++) {
        autoencoder_fold(trainer->lanes[l].net, replica_parameters(replica),
                         replica_running(replica));
    }
    crew_run(trainer->config.crew, (uint32_t)trainer->config.shard_count, validate_shard, &work);
    for (int64_t round = 0; round < validation_rounds(out); round++) {
        LossSum sum = subtree_loss(trainer, 0, trainer->config.shard_count, round);
        validation_put(out, round, sum.loss, sum.rows);
    }
}

// The vectors listed, micro-batch by micro-batch.
static Status give_residuals(Trainer *trainer, const Replica *replica, const ShardData *shard,
                             const uint32_t *vectors, int64_t count, bool is_held_out,
                             TakeResiduals *take, void *context) {
    Lane *lane = &trainer->lanes[0];
    int m = trainer->config.plan.rows;
    Status status = STATUS_OK;
    for (int64_t first = 0; first < count && status == STATUS_OK; first += m) {
        int rows = rows_of(count, first / m, m);
        for (int k = 0; k < rows; k++) {
            gather(trainer, lane, shard, replica_scaler(replica), vectors[first + k], k);
        }
        autoencoder_evaluate(lane->net, rows, lane->row_loss);
        status = take(context, &(ResidualBatch){.residuals = autoencoder_residual(lane->net),
                                                .is_target = lane->row_is_target,
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
    autoencoder_fold(trainer->lanes[0].net, replica_parameters(replica), replica_running(replica));
    Status status = give_residuals(trainer, replica, shard, vectors, shard->training_count, false,
                                   take, context);
    if (status == STATUS_OK) {
        status = give_residuals(trainer, replica, shard, shard->held_out, shard->held_out_count,
                                true, take, context);
    }
    mem_free(vectors);
    return status;
}
