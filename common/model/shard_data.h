// SPDX-License-Identifier: Apache-2.0
//
// One logical shard's clips and draws: which of its vectors are held out, and in what order an
// epoch takes the others. Vectors are numbered through the clips in order of their index. One
// thread at a time per object; what is const may be called by several.
#ifndef AUSCULT_MODEL_SHARD_DATA_H
#define AUSCULT_MODEL_SHARD_DATA_H

#include <stdbool.h>

#include "common/base/rng.h"
#include "common/model/scaler.h"
#include "common/model/shard_plan.h"

typedef struct TrainClip {
    const float *log_mel; // (frames, n_mels), borrowed for the trainer's life
    int64_t frames;
    int32_t index;  // among the model's scanned training clips sorted by path
    bool is_target; // domain
} TrainClip;

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

void shard_data_free(ShardData *shard); // what it holds

// Clips may come in any order. STATUS_INVALID for one that was added before, STATUS_MEMORY.
Status shard_data_add(ShardData *shard, const TrainClip *clip);
// Ends the adding: the shard is the plan's shard `s`, and the first entries of the permutation that
// `rng` gives are held out. STATUS_INVALID when its vectors are not as many as the plan says,
// STATUS_MEMORY.
Status shard_data_seal(ShardData *shard, const Shape *shape, const ShardPlan *plan, int s, Rng rng);
// Sums over the training vectors; `clip_sums` is scratch, `out` is replaced.
void shard_data_sums(const ShardData *shard, const Shape *shape, ScalerSums *clip_sums,
                     ScalerSums *out);
// An epoch's order.
void shard_data_permute(ShardData *shard, Rng rng);
// The shape's dimension of floats, borrowed from the clip that holds this vector.
const float *shard_data_vector(const ShardData *shard, const Shape *shape, uint32_t vector,
                               bool *ret_is_target);

#endif
