// SPDX-License-Identifier: Apache-2.0
//
// Everything that one model's training is at a moment: parameters, both Adam moments, running
// statistics, scaler, position, and the losses so far. Every member of a spread model has a replica
// and applies the same totals to it, so all stay equal bit for bit; written and read back it goes
// on with the same bits. At the end it is the model. One thread at a time per object.
//
// Bytes (replica_write): ReplicaHead; scaler mean and variance (D each, double; only if
// scaler_count > 0); history (history_count EpochLosses); the last epoch's batch losses, then its
// validation batches' (double; none if the content is REPLICA_MODEL); parameters; both moments
// (unless the content is REPLICA_MODEL); running statistics (all `real`); XXH3-128 of all before it
// (16 bytes).
#ifndef AUSCULT_MODEL_REPLICA_H
#define AUSCULT_MODEL_REPLICA_H

#include "common/base/buffer.h"
#include "common/model/block.h"
#include "common/model/partial.h"
#include "common/model/real.h"
#include "common/model/scaler.h"
#include "common/model/shape.h"
#include "common/model/validation.h"

#define REPLICA_VERSION 2u

typedef enum ReplicaContent {
    REPLICA_ALL,   // training can go on from it
    REPLICA_MODEL, // enough to score: without the Adam moments, a third of the size
} ReplicaContent;

// One finished epoch: means of batch means, as the official baseline logs them.
typedef struct EpochLosses {
    double loss;        // training loss (also the baseline's recon_loss)
    double val_loss;    // over the held-out vectors; 0 when there are none
    double source_loss; // recon_loss_source; 0 when no batch had a vector of that domain
    double target_loss; // recon_loss_target, likewise
} EpochLosses;

// Sums of batch means over the epoch in progress.
typedef struct EpochSums {
    double loss, source_loss, target_loss;           // sums of means
    int64_t batches, source_batches, target_batches; // batches that had a mean
} EpochSums;

typedef struct ReplicaHead {
    BlockHead block;        // "AREP", REPLICA_VERSION
    uint32_t real_bytes;    // 4; 8 in the double build
    uint32_t content;       // ReplicaContent
    Shape shape;            // 88 bytes
    int64_t step;           // Adam steps taken
    int64_t epoch;          // epochs finished = index of the current one
    int64_t round;          // rounds of the current epoch applied
    EpochSums sums;         // of the current epoch
    int64_t history_count;  // = epoch
    int64_t scaler_count;   // vectors the scaler was made from, 0 for none
    int64_t batch_count;    // batch losses
    int64_t held_out_count; // validation batches' losses; 0 while an epoch is under way
} ReplicaHead;

typedef struct Replica Replica;

// With all numbers 0. NULL when out of memory.
Replica *replica_new(const Shape *shape);
void replica_free(Replica *replica);
// The state before the first step: weights_init, moments 0, no history. Keeps the scaler.
void replica_init(Replica *replica, uint64_t seed, uint64_t model_key);
// The same with the seed and the initial weights that the settings ask for.
void replica_begin(Replica *replica, const Settings *settings, uint64_t model_key);
// Makes the scaler from the sums over all shards; NULL: none. STATUS_INVALID when the sums are
// empty.
Status replica_set_scaler(Replica *replica, const ScalerSums *total);

const Shape *replica_shape(const Replica *replica);
const Layout *replica_layout(const Replica *replica);
const Scaler *replica_scaler(const Replica *replica);
int64_t replica_epoch(const Replica *replica);
int64_t replica_round(const Replica *replica);
int64_t replica_step(const Replica *replica);
const EpochSums *replica_sums(const Replica *replica);
// replica_epoch() rows; borrowed until the next epoch ends.
const EpochLosses *replica_history(const Replica *replica);
// Losses of single batches, as the baseline's threshold is made from them (dcase.md section 5): of
// the training batches of the epoch that is under way or, at round 0, of the one before, each taken
// before its step, batches without a vector passed over; and of the validation batches after it.
typedef struct BatchLosses {
    const double *training; // (training_count) borrowed until the replica changes
    const double *held_out; // (held_out_count) none while an epoch is under way
    int64_t training_count, held_out_count;
} BatchLosses;
BatchLosses replica_batch_losses(const Replica *replica);
const real *replica_parameters(const Replica *replica); // (parameters)
const real *replica_running(const Replica *replica);    // (running)
// The same to be written: for tests and for loading weights from elsewhere.
real *replica_edit_parameters(Replica *replica);
real *replica_edit_running(Replica *replica);

// Ends a round with the sum over all shards: gradient and statistics are divided by the count, Adam
// takes a step (PyTorch's: 0.9, 0.999, 1e-8), running = 0.99 * running + 0.01 * new, the losses are
// noted. An empty total only counts the round. STATUS_INVALID when the training has diverged (a
// loss, gradient or statistic is not finite, or a gradient so large that its square might not be)
// or the replica was read from REPLICA_MODEL; STATUS_MEMORY; the replica is untouched then, so its
// numbers are always finite.
#define REPLICA_GRADIENT_MOST 1e18
// STATUS_INVALID and the message that the training has diverged in the replica's present round.
Status replica_diverged(const Replica *replica);
Status replica_apply(Replica *replica, const Partial *total, double learning_rate);
// What replica_apply would return, without applying, and room for what it will note: it cannot fail
// after STATUS_OK.
Status replica_check(Replica *replica, const Partial *total);
// Ends the epoch: its losses go into the history, the next begins at round 0. STATUS_MEMORY,
// STATUS_INVALID when val_loss is not finite; untouched then.
Status replica_end_epoch(Replica *replica, const ValidationSums *validation);

// The most bytes that replica_write appends until so many epochs of so many batches are over.
size_t replica_bytes_most(const Shape *shape, int64_t epochs, int64_t batches, int64_t held_out);
// Appends the bytes to `out`; its status tells of failure.
void replica_write(const Replica *replica, ReplicaContent content, Buffer *out);
// A replica from such bytes, which are not trusted: STATUS_FORMAT, STATUS_MISMATCH, STATUS_MEMORY.
Status replica_read(const void *bytes, size_t size, Replica **ret_replica);

#endif
