// SPDX-License-Identifier: Apache-2.0
//
// What tasks over a list of clips have in common: a few clips at a time are found by the computing
// thread, worked on by the crew, and ended by the computing thread in the list's order; progress,
// cancellation, and the answer of a worker that could not read some of them. The computing thread
// alone calls.
#ifndef AUSCULT_WORKER_CLIP_LOOP_H
#define AUSCULT_WORKER_CLIP_LOOP_H

#include "common/base/crew.h"
#include "worker/desk.h"

typedef char ClipReason[512];

// Clips that are under way together: what a clip needs between the steps below is kept by its slot.
enum { CLIP_SLOTS_MOST = 2 * CREW_LANES_MOST };
uint32_t clip_slots(const Crew *crew); // 1 for a crew of one, else two for each lane

// One clip, by its index in the list.
typedef struct ClipSteps {
    // What it needs from elsewhere. The computing thread.
    Status (*find)(void *context, uint32_t index, uint32_t slot);
    // What there is to calculate, after find went well. Any lane, several at a time.
    Status (*work)(void *context, uint32_t index, uint32_t slot, int lane);
    // After either: `status` is what came of them, and status_message says why it failed. In the
    // order of the list. The computing thread.
    void (*end)(void *context, uint32_t index, uint32_t slot, Status status);
} ClipSteps;

typedef struct ClipBatches {
    Crew *crew;
    uint32_t count;
    const ClipSteps *steps;
    void *context;
    // Before the next clips are begun, after so many were ended; its failure ends the loop. NULL:
    // nothing is to be done.
    Status (*go_on)(void *context, uint32_t done);
} ClipBatches;

// Of all clips that were found the end is called. Fails as go_on does; STATUS_MEMORY.
Status clip_batches_run(const ClipBatches *batches);

// ---- a task whose answer has a row for each clip ----

typedef struct ClipLoop {
    Desk *desk;
    Crew *crew;
    uint32_t count;
    const ClipSteps *steps;
    void *context;
    // (count) The caller's, so that answers can borrow them; written before the clip's end.
    ClipOutcome *outcomes; // what statuses of common/engine/source.h mean
    ClipReason *reasons;   // why, where it is not usable
} ClipLoop;

// Afterwards either *ret_outcome is RESULT_CANNOT and `answer` the body that says so, or `answer`
// is untouched and the caller encodes its own. STATUS_STOPPED: cancelled; STATUS_MEMORY.
Status clip_loop_run(const ClipLoop *loop, Buffer *answer, ResultOutcome *ret_outcome);

#endif
