// SPDX-License-Identifier: Apache-2.0
#include "coordinator/plan/precisions.h"

#include <assert.h>

#include "common/base/mem.h"
#include "common/model/shard_tree.h"
#include "proto/message.h"

// The sums that an answer holds. The caller frees both, also on failure.
static Status read_sums(const Settings *settings, const void *bytes, size_t size,
                        ResidualSums **source, ResidualSums **target) {
    Decoded *decoded = decoded_new();
    ResidualsAnswer answer;
    *source = residual_sums_new(settings_width(settings), settings->compat != 0);
    *target = residual_sums_new(settings_width(settings), settings->compat != 0);
    bool ok = decoded != NULL && *source != NULL && *target != NULL;
    Status status =
        ok ? body_decode_residuals_answer(decoded, bytes, size, &answer) : STATUS_MEMORY;
    if (status == STATUS_OK) {
        status = residual_sums_read(*source, answer.source, answer.source_bytes);
    }
    if (status == STATUS_OK) {
        status = residual_sums_read(*target, answer.target, answer.target_bytes);
    }
    decoded_free(decoded);
    return status == STATUS_MISMATCH ? STATUS_FORMAT : status;
}

Status precisions_check(const Settings *settings, int64_t vectors, const void *bytes, size_t size) {
    ResidualSums *source, *target;
    Status status = read_sums(settings, bytes, size, &source, &target);
    if (status == STATUS_OK &&
        residual_sums_vectors(source) + residual_sums_vectors(target) != vectors) {
        status = status_set(STATUS_FORMAT, "sums of another number of vectors than the shard's");
    }
    residual_sums_free(source);
    residual_sums_free(target);
    return status;
}

// The sums of both domains over all shards, siblings joined left plus right.
typedef struct DomainSums {
    ResidualSums *source, *target;
} DomainSums;

static void join_sums(void *context, void *left, void *right) {
    (void)context;
    DomainSums *into = left, *from = right;
    residual_sums_join(into->source, from->source);
    residual_sums_join(into->target, from->target);
    residual_sums_free(from->source);
    residual_sums_free(from->target);
}

// shards[0] := all of them together; what is in the others is given up.
static Status sum_shards(const Settings *settings, const Buffer *answers, int32_t count,
                         DomainSums *shards) {
    ShardTree tree = shard_tree_of(count, join_sums, NULL);
    Status status = STATUS_OK;
    for (int32_t s = 0; s < count && status == STATUS_OK; s++) {
        status = read_sums(settings, answers[s].bytes, answers[s].size, &shards[s].source,
                           &shards[s].target);
        if (status == STATUS_OK) {
            shard_tree_put(&tree, s, 1, &shards[s]);
        } else {
            residual_sums_free(shards[s].source);
            residual_sums_free(shards[s].target);
        }
    }
    DomainSums *part = status == STATUS_OK ? shard_tree_root(&tree) : NULL;
    if (part != NULL) {
        assert(part == &shards[0]);
        return STATUS_OK;
    }
    while ((part = shard_tree_take(&tree)) != NULL) {
        residual_sums_free(part->source);
        residual_sums_free(part->target);
    }
    return status;
}

// Of one domain's sums; none when there are too few vectors for one.
static Status make_precision(const ResidualSums *sums, Precision *out) {
    return residual_sums_vectors(sums) < 2 ? STATUS_OK : precision_of_residuals(sums, out);
}

Status precisions_make(const Settings *settings, const Buffer *answers, int32_t shard_count,
                       Yardsticks *out) {
    DomainSums *shards = mem_new((size_t)shard_count, sizeof *shards);
    Status status =
        shards != NULL ? sum_shards(settings, answers, shard_count, shards) : STATUS_MEMORY;
    if (status == STATUS_OK) {
        status = make_precision(shards[0].source, &out->source);
        if (status == STATUS_OK) {
            status = make_precision(shards[0].target, &out->target);
        }
        residual_sums_free(shards[0].source);
        residual_sums_free(shards[0].target);
    }
    mem_free(shards);
    if (status == STATUS_OK && out->source.matrix == NULL) {
        out->source = out->target; // the only domain that there is
        out->target = (Precision){0};
    }
    return status == STATUS_OK && out->source.matrix == NULL
               ? status_set(STATUS_INVALID, "fewer than two training vectors")
               : status;
}
