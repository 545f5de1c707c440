// SPDX-License-Identifier: Apache-2.0
//
// Parts are texts that say how they came about: "(0 1)" is shard 0 joined with shard 1 on its
// right. What is written of a tree must not depend on who brought what when.
#include "common/model/shard_tree.h"

#include "tests/unit/model/model_test.h"

typedef struct Note {
    char text[1024];
} Note;

static int joins;

static void join_notes(void *context, void *left, void *right) {
    CHECK(context == &joins);
    Note *l = left, *r = right, both;
    CHECK(snprintf(both.text, sizeof both.text, "(%.500s %.500s)", l->text, r->text) < 1023);
    *l = both;
    r->text[0] = '\0';
    joins++;
}

// What one owner of all would write.
static void write_plain(int first, int count, char *out) {
    char left[1024], right[1024];
    if (count == 1) {
        snprintf(out, 1024, "%d", first);
        return;
    }
    write_plain(first, count / 2, left);
    write_plain(first + count / 2, count / 2, right);
    snprintf(out, 1024, "(%.500s %.500s)", left, right);
}

typedef struct Part {
    int first, count;
} Part;

static void divide(Rng *rng, int first, int count, Part *parts, int *part_count) {
    if (count == 1 || rng_below(rng, 3) == 0) {
        parts[(*part_count)++] = (Part){first, count};
        return;
    }
    divide(rng, first, count / 2, parts, part_count);
    divide(rng, first + count / 2, count / 2, parts, part_count);
}

static void check_division(Rng *rng, int shards) {
    Part parts[LIMIT_SHARDS];
    static Note notes[LIMIT_SHARDS];
    uint32_t order[LIMIT_SHARDS];
    char expected[1024];
    int count = 0;
    divide(rng, 0, shards, parts, &count);
    rng_permutation(rng, order, (uint32_t)count);
    ShardTree tree = shard_tree_of(shards, join_notes, &joins);
    joins = 0;
    for (int k = 0; k < count; k++) {
        Part part = parts[order[k]];
        CHECK(shard_tree_root(&tree) == NULL);
        CHECK_OK(shard_tree_check(&tree, part.first, part.count));
        write_plain(part.first, part.count, notes[k].text);
        shard_tree_put(&tree, part.first, part.count, &notes[k]);
        CHECK_INT(shard_tree_check(&tree, part.first, 1), STATUS_INVALID);
    }
    Note *root = shard_tree_root(&tree);
    CHECK(root != NULL);
    write_plain(0, shards, expected);
    CHECK_TEXT(root->text, expected);
    CHECK_INT(joins, count - 1);
    CHECK(shard_tree_take(&tree) == root);
    CHECK(shard_tree_take(&tree) == NULL);
    CHECK_OK(shard_tree_check(&tree, 0, shards));
}

TEST(parts_meet_where_the_tree_joins_them) {
    Rng rng = rng_of(test_seed(), "shard tree", 0, 0);
    for (int shards = 1; shards <= LIMIT_SHARDS; shards *= 2) {
        for (int n = 0; n < 300; n++) {
            check_division(&rng, shards);
        }
    }
}

TEST(every_part_can_be_taken_back) {
    static Note notes[3];
    ShardTree tree = shard_tree_of(64, join_notes, &joins);
    shard_tree_put(&tree, 0, 1, &notes[0]);
    shard_tree_put(&tree, 32, 32, &notes[1]);
    shard_tree_put(&tree, 7, 1, &notes[2]);
    CHECK(shard_tree_root(&tree) == NULL);
    int taken = 0;
    while (shard_tree_take(&tree) != NULL) {
        taken++;
    }
    CHECK_INT(taken, 3);
    CHECK_OK(shard_tree_check(&tree, 0, 64));
}

TEST(only_aligned_subtrees_are_allowed) {
    ShardTree tree = shard_tree_of(8, join_notes, &joins);
    for (int first = -9; first < 17; first++) {
        for (int count = -9; count < 17; count++) {
            bool aligned = (count == 1 || count == 2 || count == 4 || count == 8) && first >= 0 &&
                           first % count == 0 && first + count <= 8;
            CHECK_INT(shard_tree_check(&tree, first, count), aligned ? STATUS_OK : STATUS_INVALID);
        }
    }
}

MODEL_TEST_MAIN(T(parts_meet_where_the_tree_joins_them) T(every_part_can_be_taken_back)
                    T(only_aligned_subtrees_are_allowed))
