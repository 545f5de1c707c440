// SPDX-License-Identifier: Apache-2.0
#include "common/model/shard_plan.h"

#include <math.h>

int64_t shard_plan_validation_count(double split, int64_t count) {
    double exact = split * (double)count;
    double whole = floor(exact + 0.5);
    bool is_whole = fabs(exact - whole) <= 1e-14 * (whole + 1.0);
    int64_t share = (int64_t)(is_whole ? whole : ceil(exact));
    return share < count ? share : count;
}

static int64_t rounds_of(int64_t count, int32_t rows) {
    return (count + rows - 1) / rows;
}

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

Status shard_plan_make(const Shape *shape, const Settings *settings, const int64_t *frames,
                       int32_t clip_count, ShardPlan *ret_plan) {
    ShardPlan plan = {.shards = settings->shards, .rows = settings->batch_size / settings->shards};
    bool can_train = false;
    if (plan.rows < 2) {
        return status_set(STATUS_INVALID,
                          "batch_size %d over %d shards leaves %d vectors to each, at least 2 are "
                          "needed",
                          settings->batch_size, plan.shards, plan.rows);
    }
    for (int32_t i = 0; i < clip_count; i++) {
        plan.vectors[i % plan.shards] += shape_vectors(shape, frames[i]);
    }
    for (int32_t s = 0; s < plan.shards; s++) {
        if (plan.vectors[s] > INT32_MAX) {
            return status_set(STATUS_LIMIT, "%lld vectors in one shard, at most %d are accepted",
                              (long long)plan.vectors[s], INT32_MAX);
        }
        plan.validation[s] =
            shard_plan_validation_count(settings->validation_split, plan.vectors[s]);
        plan.training[s] = plan.vectors[s] - plan.validation[s];
        can_train = can_train || plan.training[s] >= shape_least_rows(shape);
        plan.rounds = larger(plan.rounds, rounds_of(plan.training[s], plan.rows));
        plan.validation_rounds =
            larger(plan.validation_rounds, rounds_of(plan.validation[s], plan.rows));
    }
    if (!can_train) {
        return status_set(STATUS_INVALID, "too few vectors to train on in %d clips", clip_count);
    }
    *ret_plan = plan;
    return STATUS_OK;
}

bool shard_is_subtree(int32_t shards, int32_t first, int32_t count) {
    return count >= 1 && count <= shards && (count & (count - 1)) == 0 && first >= 0 &&
           first <= shards - count && first % count == 0;
}
