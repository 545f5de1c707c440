// SPDX-License-Identifier: Apache-2.0
//
// How a model's training vectors fall on logical shards, and how many rounds an epoch has: known
// from the clips' frame counts alone, so coordinator and workers work it out alike. A plain value;
// any thread.
#ifndef AUSCULT_MODEL_SHARD_PLAN_H
#define AUSCULT_MODEL_SHARD_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/limits.h"
#include "common/base/settings.h"
#include "common/model/shape.h"

typedef struct ShardPlan {
    int32_t shards;                   // S
    int32_t rows;                     // m = batch_size / S, rows of each micro-batch
    int64_t vectors[LIMIT_SHARDS];    // n_s
    int64_t validation[LIMIT_SHARDS]; // ceil(validation_split * n_s) of them
    int64_t training[LIMIT_SHARDS];   // the rest
    int64_t rounds;                   // of an epoch: max over shards of ceil(training / m)
    int64_t validation_rounds;        // likewise
} ShardPlan;

// frames[i] is the frame count of the clip with index i among the model's `clip_count` scanned
// training clips sorted by path; 0 for one that is left out, which keeps its index. Clip i belongs
// to shard i mod S. STATUS_LIMIT when a shard has more vectors than 32 bits count, STATUS_INVALID
// when m is below 2 or no shard has two vectors to train on.
Status shard_plan_make(const Shape *shape, const Settings *settings, const int64_t *frames,
                       int32_t clip_count, ShardPlan *ret_plan);

// ceil(split * count), where a product that is whole but for rounding counts as whole.
int64_t shard_plan_validation_count(double split, int64_t count);

// Whether shards [first, first + count) are an aligned subtree of S = `shards`: count a power of
// two that divides first.
bool shard_is_subtree(int32_t shards, int32_t first, int32_t count);

#endif
