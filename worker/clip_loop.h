// SPDX-License-Identifier: Apache-2.0
//
// What tasks over a list of clips have in common: one clip after the other, progress, cancellation,
// and the answer of a worker that could not read some of them. The computing thread alone.
#ifndef AUSCULT_WORKER_CLIP_LOOP_H
#define AUSCULT_WORKER_CLIP_LOOP_H

#include "worker/desk.h"

typedef char ClipReason[512];

// Does the clip of this index and writes its answer; a reason, when it is not usable.
typedef ClipOutcome (*ClipWork)(void *context, uint32_t index, ClipReason reason);

typedef struct ClipLoop {
    Desk *desk;
    uint32_t count;
    ClipWork work;
    void *context;
    ClipReason *reasons; // (count) the caller's, so that answers can borrow them
} ClipLoop;

// Afterwards either *ret_outcome is RESULT_CANNOT and `answer` the body that says so, or `answer`
// is untouched and the caller encodes its own. STATUS_STOPPED: cancelled; STATUS_MEMORY.
Status clip_loop_run(const ClipLoop *loop, Buffer *answer, ResultOutcome *ret_outcome);

// What a status of common/engine/source.h means for a clip, with its reason.
ClipOutcome clip_loop_outcome(Status status, ClipReason reason);

#endif
