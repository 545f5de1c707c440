// SPDX-License-Identifier: Apache-2.0
//
// The fixed binary tree over a model's logical shards: parts of aligned subtrees arrive in any
// order, siblings are joined as soon as both are there, always left with right, and the root's bits
// are those of one worker owning everything. It knows nothing of what the parts are: gradients
// (PartialTree), scaler sums and validation losses use it alike. Allocates nothing. One thread at a
// time per object.
#ifndef AUSCULT_MODEL_SHARD_TREE_H
#define AUSCULT_MODEL_SHARD_TREE_H

#include <stdint.h>

#include "common/base/limits.h"
#include "common/base/status.h"

// left := left and right together; gives up `right`, which the tree then no longer holds.
typedef void (*ShardTreeJoin)(void *context, void *left, void *right);

typedef struct ShardTree {
    int32_t shards;               // S, a power of two
    uint64_t covered;             // bit s: shard s is in some part
    void *node[2 * LIMIT_SHARDS]; // heap-numbered parts: 1 the root, S + s the leaf of shard s
    ShardTreeJoin join;
    void *context; // for `join`
} ShardTree;

ShardTree shard_tree_of(int32_t shards, ShardTreeJoin join, void *context);
// Whether the part of shards [first, first + count) may be put now: STATUS_INVALID when that is no
// aligned subtree or overlaps what is there.
Status shard_tree_check(const ShardTree *tree, int32_t first, int32_t count);
// Takes the part, which shard_tree_check must have allowed, and joins what can be joined.
void shard_tree_put(ShardTree *tree, int32_t first, int32_t count, void *part);
// The whole once all shards are there, else NULL; the tree still holds it.
void *shard_tree_root(const ShardTree *tree);
// Takes out some part that the tree still holds, NULL when it is empty. Until it returned NULL, the
// tree can only be taken from.
void *shard_tree_take(ShardTree *tree);

#endif
