// SPDX-License-Identifier: Apache-2.0
//
// The coordinator's end of one model's training: where it stands, what the next piece of it is, and
// the adding of sums when several workers share it. Pieces end at whole epochs, or earlier
// where a lone worker leaves, and are what is journalled. For a spread model the coordinator keeps
// a replica of its own, applies every round's total to it like each member, and starts the next
// group from it when one breaks. Pure: no sockets, no clock, no disk. The coordinator's loop alone.
#ifndef AUSCULT_COORDINATOR_PLAN_TRAINING_H
#define AUSCULT_COORDINATOR_PLAN_TRAINING_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/digest.h"
#include "common/base/settings.h"
#include "common/model/replica.h"
#include "coordinator/core/core.h"

typedef struct Training Training;

// frames[i]: of the model's training clip with index i, 0 when it is left out (see
// shard_plan_make, whose errors come through).
Status training_new(const Settings *settings, uint64_t model_key, const int64_t *frames,
                    int32_t clip_count, Training **ret);
void training_free(Training *training);

// Goes on from a state that an earlier coordinator made durable. STATUS_FORMAT, STATUS_MISMATCH.
Status training_resume(Training *training, const void *bytes, size_t size);

// Where the durable or current state stands.
uint32_t training_epoch(const Training *training);
uint32_t training_round(const Training *training);
bool training_is_over(const Training *training);
// The state that the next piece starts from: empty at the very start. Borrowed until it changes.
const Buffer *training_state(const Training *training);

// Plans the next piece: up to `epochs` epochs on.
void training_plan_piece(Training *training, uint32_t epochs);
uint32_t training_until(const Training *training);
int64_t training_rounds(const Training *training); // of one epoch

// The hooks of the core, for this model (see CoreHooks).
uint64_t training_blob_most(const Training *training);
Status training_group_changed(Training *training, uint32_t members);
Status training_take_state(Training *training, const void *bytes, size_t size);
Status training_take_answer(Training *training, CoreShare share, Digest digest);
// STATUS_INVALID: the training cannot go on, whoever calculates (it has diverged).
Status training_take_sum(Training *training, const CoreSum *sum, Buffer *total,
                         BlobKind *total_kind);

// Applies the last total to the coordinator's own replica. All here do so themselves where it
// matters; called while the members have the total to work on, it costs them no time.
void training_catch_up(Training *training);

// The piece's answers are all taken: its last state becomes training_state.
Status training_end_piece(Training *training);

// A replica of the current state. STATUS_MEMORY.
Status training_replica(const Training *training, Replica **ret);

#endif
