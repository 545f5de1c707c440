// SPDX-License-Identifier: Apache-2.0
//
// What a logical shard, or an aligned subtree of shards, contributes to one round: the gradient's
// path from worker to coordinator. Sums only, so that the one division happens after the whole
// tree is added. The bytes are sent as they lie in memory:
//     PartialHead (128 bytes), then gradient (parameters), then statistics (running), both `real`.
// PartialTree joins the parts of several members in the tree's order, whatever order they come in.
// One thread at a time per object.
#ifndef AUSCULT_MODEL_PARTIAL_H
#define AUSCULT_MODEL_PARTIAL_H

#include <stdbool.h>

#include "common/model/block.h"
#include "common/model/real.h"
#include "common/model/shape.h"

#define PARTIAL_VERSION 1u

typedef struct PartialHead {
    BlockHead block;          // "APRT", PARTIAL_VERSION
    uint32_t real_bytes;      // 4; 8 in the double build
    uint32_t parameter_count; // elements of the gradient
    uint32_t running_count;   // elements of the statistics
    uint32_t reserved;        // 0
    int64_t rows;             // vectors that took part; 0: nothing else in the block counts
    int64_t source_rows;      // of them from the source domain
    int64_t target_rows;      // of them from the target domain; the two add up to `rows`
    double loss;              // sum over rows of the mean squared error
    double source_loss;       // of the source domain's rows
    double target_loss;       // of the target domain's rows
    uint64_t padding[6];      // 0
} PartialHead;

typedef struct Partial Partial;

// Empty. NULL when out of memory.
Partial *partial_new(const Shape *shape);
void partial_free(Partial *partial);
// Makes it empty: rows 0 and every number 0.
void partial_clear(Partial *partial);

// The fields, to be read, and to be filled by whoever makes a shard's contribution.
PartialHead *partial_head(Partial *partial);
const PartialHead *partial_head_of(const Partial *partial);
real *partial_gradient(Partial *partial);   // (parameters) sum over rows
real *partial_statistics(Partial *partial); // (running) count * mean, count * unbiased variance
const real *partial_gradient_of(const Partial *partial);
const real *partial_statistics_of(const Partial *partial);

// left := left + right, element by element. An empty right changes nothing; into an empty left,
// right is copied. Both of one shape.
void partial_add(Partial *left, const Partial *right);

// Whether the loss and every number that counts are finite.
bool partial_is_finite(const Partial *partial);

// The block as it is sent; borrowed.
const void *partial_bytes(const Partial *partial, size_t *ret_size);
// Takes over a block that came from elsewhere, which must have this partial's shape, sane counts
// and finite numbers, losses that are not negative and whose parts add up, and a gradient that can
// belong to its loss: that of the output's bias b is the sum over R rows of 2/D times the errors e
// (D outputs), and the loss L the sum of e*e / D, so |db|^2 <= 4 R L / D (Cauchy and Schwarz).
// STATUS_FORMAT, STATUS_MISMATCH; the partial is untouched on failure.
Status partial_read(Partial *partial, const void *bytes, size_t size);

// The coordinator's end: parts of aligned subtrees arrive in any order, siblings are added left +
// right as soon as both are there, and the bits are those of one worker owning everything.
typedef struct PartialTree PartialTree;
// For S = `shards`, a power of two up to LIMIT_SHARDS. NULL when out of memory.
PartialTree *partial_tree_new(const Shape *shape, int shards);
void partial_tree_free(PartialTree *tree);
// Forgets all parts; the memory is kept for the next round.
void partial_tree_clear(PartialTree *tree);
// Adds the part of shards [first, first + count). STATUS_INVALID when that is no aligned subtree
// or overlaps one already there; otherwise as partial_read. Nothing changes on failure.
Status partial_tree_put(PartialTree *tree, int first, int count, const void *bytes, size_t size);
// The sum over all S shards once they are all there, else NULL; borrowed until the next clear.
const Partial *partial_tree_total(const PartialTree *tree);

#endif
