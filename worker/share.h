// SPDX-License-Identifier: Apache-2.0
//
// What a worker holds of one model's training data between tasks: the plan (which clips, which
// settings), named by its digest, and a trainer with the features of the clips of some shards. A
// task that needs what is held starts at once. The computing thread alone.
#ifndef AUSCULT_WORKER_SHARE_H
#define AUSCULT_WORKER_SHARE_H

#include "common/model/trainer.h"
#include "worker/bulk.h"
#include "worker/clip_feed.h"
#include "worker/desk.h"

typedef struct Share Share;

// What a loader calls before each clip: anything but STATUS_OK ends the loading and is returned.
typedef Status ShareStep(void *context);

// What the feed has is borrowed for the share's life. NULL when out of memory.
Share *share_new(Crew *crew, Bulk *bulk, ClipFeed feed);
void share_free(Share *share);

// Fetches the plan of this digest unless it is held. STATUS_FORMAT for one that cannot be, and what
// bulk_get returns.
Status share_use_plan(Share *share, Digest plan);
// Of the plan in use, borrowed until the next share_use_plan.
const TrainPlan *share_plan(const Share *share);
const Settings *share_settings(const Share *share);
const Shape *share_shape(const Share *share);
const ShardPlan *share_shards(const Share *share);

// The trainer of shards [first, first + count) of the plan in use, or of more when `may_have_more`
// and they are held already; their clips are loaded if need be. When some clips cannot be loaded
// *ret_outcome is RESULT_CANNOT, `answer` gets the body that says which, and there is no trainer.
// *ret_trainer is borrowed until the next share_use_*.
Status share_use_shards(Share *share, uint32_t first, uint32_t count, bool may_have_more,
                        ShareStep *step, void *context, Buffer *answer, ResultOutcome *ret_outcome,
                        Trainer **ret_trainer);

#endif
