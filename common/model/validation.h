// SPDX-License-Identifier: Apache-2.0
//
// Losses over the held-out vectors, by validation round: what a subtree of shards adds to
// val_loss, which is the mean over rounds of (sum of the tree / count of the tree). Sent as it lies
// in memory:
//     ValidationHead (32 bytes), then sums of row losses (rounds, double), then rows (rounds,
//     int64_t).
// One thread at a time per object.
#ifndef AUSCULT_MODEL_VALIDATION_H
#define AUSCULT_MODEL_VALIDATION_H

#include "common/model/block.h"

#define VALIDATION_VERSION 1u

typedef struct ValidationHead {
    BlockHead block;   // "AVAL", VALIDATION_VERSION
    int64_t rounds;    // validation rounds
    uint64_t reserved; // 0
} ValidationHead;

typedef struct ValidationSums ValidationSums;

// All zero, for so many rounds (0 is allowed). NULL when out of memory.
ValidationSums *validation_new(int64_t rounds);
void validation_free(ValidationSums *sums);
void validation_clear(ValidationSums *sums);

int64_t validation_rounds(const ValidationSums *sums);
// Adds to one round the sum of the losses of `rows` rows.
void validation_put(ValidationSums *sums, int64_t round, double loss, int64_t rows);
// left := left + right, round by round; both of as many rounds.
void validation_add(ValidationSums *left, const ValidationSums *right);
// val_loss; 0 when nothing is held out.
double validation_loss(const ValidationSums *sums);
// The single batches' losses that it is the mean of, into out (rounds); returns how many.
int64_t validation_losses(const ValidationSums *sums, double *out);

const void *validation_bytes(const ValidationSums *sums, size_t *ret_size);
// Takes over a block from elsewhere. STATUS_FORMAT, STATUS_MISMATCH; untouched on failure.
Status validation_read(ValidationSums *sums, const void *bytes, size_t size);

#endif
