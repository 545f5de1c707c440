// SPDX-License-Identifier: Apache-2.0
//
// How it works: nodes are numbered as in a heap, 1 the root, node k's children 2k and 2k + 1. A
// part is kept at its node; when the node's sibling is there too, the left one takes both and moves
// to the parent. So two parts meet exactly where the tree joins them.
#include "common/model/shard_tree.h"

#include <assert.h>
#include <stddef.h>

#include "common/model/shard_plan.h"

_Static_assert(LIMIT_SHARDS <= 64, "one bit per shard");

ShardTree shard_tree_of(int32_t shards, ShardTreeJoin join, void *context) {
    return (ShardTree){.shards = shards, .join = join, .context = context};
}

static uint64_t bits_of(int32_t first, int32_t count) {
    return (count == 64 ? UINT64_MAX : ((uint64_t)1 << count) - 1) << first;
}

Status shard_tree_check(const ShardTree *tree, int32_t first, int32_t count) {
    if (!shard_is_subtree(tree->shards, first, count)) {
        return status_set(STATUS_INVALID, "%d shards from %d on are no aligned subtree of %d",
                          count, first, tree->shards);
    }
    if ((tree->covered & bits_of(first, count)) != 0) {
        return status_set(STATUS_INVALID, "%d shards from %d on overlap a part that is there",
                          count, first);
    }
    return STATUS_OK;
}

void shard_tree_put(ShardTree *tree, int32_t first, int32_t count, void *part) {
    assert(shard_is_subtree(tree->shards, first, count));
    assert((tree->covered & bits_of(first, count)) == 0 && part != NULL);
    tree->covered |= bits_of(first, count);
    int32_t k = (tree->shards + first) / count;
    tree->node[k] = part;
    while (k > 1 && tree->node[k ^ 1] != NULL) {
        int32_t left = k & ~1, right = k | 1;
        tree->join(tree->context, tree->node[left], tree->node[right]);
        tree->node[k / 2] = tree->node[left];
        tree->node[left] = tree->node[right] = NULL;
        k /= 2;
    }
}

void *shard_tree_root(const ShardTree *tree) {
    return tree->node[1];
}

void *shard_tree_take(ShardTree *tree) {
    for (int32_t k = 1; k < 2 * tree->shards; k++) {
        if (tree->node[k] != NULL) {
            void *part = tree->node[k];
            tree->node[k] = NULL;
            return part;
        }
    }
    tree->covered = 0;
    return NULL;
}
