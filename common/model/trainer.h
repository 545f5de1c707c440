// SPDX-License-Identifier: Apache-2.0
//
// What one worker does for one model: it owns an aligned subtree of the logical shards, keeps their
// clips' log-mels (borrowed, never stacked), and makes the subtree's contribution to each round
// from a replica. With all S shards it trains alone:
//     trainer_round(trainer, replica, total); replica_apply(replica, total, learning_rate);
// as a member of a spread model it sends what trainer_round gives and applies the total that comes
// back. The bits are the same however the tree is divided, and so they are when a crew walks parts
// of the subtree side by side. One thread at a time per object.
//
// Order of calls: new, add_clip for every clip of its shards in any order, seal; then the others.
#ifndef AUSCULT_MODEL_TRAINER_H
#define AUSCULT_MODEL_TRAINER_H

#include <stdbool.h>

#include "common/base/crew.h"
#include "common/model/partial.h"
#include "common/model/replica.h"
#include "common/model/scaler.h"
#include "common/model/shard_data.h"
#include "common/model/shard_plan.h"
#include "common/model/validation.h"

typedef struct TrainerConfig {
    Shape shape;
    ShardPlan plan;      // the same for all members
    int32_t first_shard; // of the aligned subtree that this trainer owns
    int32_t shard_count;
    uint64_t seed;
    uint64_t model_key; // tells models of one run apart in all random streams
    Crew *crew;         // borrowed; NULL: one thread. Each lane has a network of its own
} TrainerConfig;

typedef struct Trainer Trainer;

// STATUS_INVALID when the shards are no aligned subtree, STATUS_MEMORY.
Status trainer_new(const TrainerConfig *config, Trainer **ret_trainer);
void trainer_free(Trainer *trainer);

// STATUS_INVALID for a clip of another shard or one that was added before, STATUS_FORMAT for a
// log-mel with a number that is not finite, STATUS_MEMORY.
Status trainer_add_clip(Trainer *trainer, const TrainClip *clip);
// Ends the adding and draws the held-out vectors: the first entries of a permutation by
// (seed, "validation", model_key, shard). STATUS_INVALID when a shard's vectors are not as many as
// the plan says, STATUS_MEMORY.
Status trainer_seal(Trainer *trainer);

// Moments of the subtree's training vectors, held-out ones excluded: clips in order of their index
// within a shard, then along the tree. Replaces what `out` held. STATUS_MEMORY.
Status trainer_scaler_sums(const Trainer *trainer, ScalerSums *out);

// The subtree's contribution to the round at which the replica stands (replica_epoch, _round),
// with the replica's scaler; each epoch's vectors are permuted by (seed, "permutation", model_key,
// epoch * 64 + shard). Empty past a shard's end, and for a shard with one vector left. Allocates
// nothing. STATUS_INVALID when it is not finite (partial_is_finite): the training has diverged.
Status trainer_round(Trainer *trainer, const Replica *replica, Partial *out);
// Losses of the subtree's held-out vectors in evaluation mode, m rows at a time in the order of
// their draw. `out` is for plan.validation_rounds and is replaced. Allocates nothing.
void trainer_validate(Trainer *trainer, const Replica *replica, ValidationSums *out);

// A micro-batch's residuals: reconstruction minus input, in scaled space and evaluation mode.
typedef struct ResidualBatch {
    const real *residuals;    // (rows, frames, n_mels), borrowed for the call
    const uint8_t *is_target; // (rows) domain
    int rows;
    bool is_held_out; // of the validation vectors
} ResidualBatch;
typedef Status TakeResiduals(void *context, const ResidualBatch *batch);
// Gives the residuals of one of the subtree's shards, micro-batch by micro-batch of m rows, the
// last one shorter: its training vectors in the order of the epoch at which the replica stands,
// then the held-out ones in the order of their draw. Stops at the first failure of `take` and
// returns it.
Status trainer_residuals(Trainer *trainer, const Replica *replica, int32_t shard,
                         TakeResiduals *take, void *context);

#endif
