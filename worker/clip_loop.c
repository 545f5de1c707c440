// SPDX-License-Identifier: Apache-2.0
#include "worker/clip_loop.h"

#include <math.h>
#include <stdio.h>

#include "common/base/mem.h"

uint32_t clip_slots(const Crew *crew) {
    int lanes = crew_lanes(crew);
    return lanes > 1 ? 2 * (uint32_t)lanes : 1;
}

// ---- some clips at a time ----

typedef struct Slot {
    Status status;
    ClipReason reason; // its message, where it failed
} Slot;

typedef struct Batch {
    const ClipBatches *batches;
    uint32_t first; // index of slot 0's clip
    Slot *slots;
} Batch;

static void note(Slot *slot, Status status) {
    slot->status = status;
    if (status != STATUS_OK) {
        snprintf(slot->reason, sizeof slot->reason, "%s", status_message());
    }
}

static void work_on(void *context, uint32_t item, int lane) {
    const Batch *batch = context;
    const ClipBatches *batches = batch->batches;
    Slot *slot = &batch->slots[item];
    if (slot->status == STATUS_OK) {
        note(slot, batches->steps->work(batches->context, batch->first + item, item, lane));
    }
}

static void do_batch(Batch *batch, uint32_t count) {
    const ClipBatches *batches = batch->batches;
    for (uint32_t s = 0; s < count; s++) {
        note(&batch->slots[s], batches->steps->find(batches->context, batch->first + s, s));
    }
    crew_run(batches->crew, count, work_on, batch);
    for (uint32_t s = 0; s < count; s++) {
        Status status = batch->slots[s].status;
        if (status != STATUS_OK) { // where it was set, others may have failed since
            status_set(status, "%s", batch->slots[s].reason);
        }
        batches->steps->end(batches->context, batch->first + s, s, status);
    }
}

Status clip_batches_run(const ClipBatches *batches) {
    uint32_t most = clip_slots(batches->crew);
    Batch batch = {.batches = batches, .slots = mem_new(most, sizeof *batch.slots)};
    Status status = batch.slots != NULL ? STATUS_OK : STATUS_MEMORY;
    while (status == STATUS_OK && batch.first < batches->count) {
        uint32_t left = batches->count - batch.first;
        uint32_t count = left < most ? left : most;
        status = batches->go_on != NULL ? batches->go_on(batches->context, batch.first) : STATUS_OK;
        if (status == STATUS_OK) {
            do_batch(&batch, count);
            batch.first += count;
        }
    }
    mem_free(batch.slots);
    return status;
}

// ---- a row for each clip ----

static Status find_clip(void *context, uint32_t index, uint32_t slot) {
    const ClipLoop *loop = context;
    return loop->steps->find(loop->context, index, slot);
}

static Status work_on_clip(void *context, uint32_t index, uint32_t slot, int lane) {
    const ClipLoop *loop = context;
    return loop->steps->work(loop->context, index, slot, lane);
}

static void end_clip(void *context, uint32_t index, uint32_t slot, Status status) {
    const ClipLoop *loop = context;
    loop->outcomes[index] = status == STATUS_OK       ? CLIP_USABLE
                            : status == STATUS_FORMAT ? CLIP_LEFT_OUT
                                                      : CLIP_UNREADABLE;
    if (status != STATUS_OK) {
        snprintf(loop->reasons[index], sizeof loop->reasons[index], "%.480s", status_message());
    }
    loop->steps->end(loop->context, index, slot, status);
    desk_tell_progress(loop->desk, index + 1, loop->count, NAN);
}

static Status go_on(void *context, uint32_t done) {
    const ClipLoop *loop = context;
    (void)done;
    return desk_is_cancelled(loop->desk) ? status_set(STATUS_STOPPED, "cancelled") : STATUS_OK;
}

static Status say_cannot(const ClipLoop *loop, Buffer *answer, ResultOutcome *ret_outcome) {
    struct CannotClip *cannot = mem_new(loop->count, sizeof *cannot);
    uint32_t count = 0;
    if (cannot == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t i = 0; i < loop->count; i++) {
        if (loop->outcomes[i] == CLIP_UNREADABLE) {
            cannot[count++] = (struct CannotClip){i, loop->reasons[i]};
        }
    }
    if (count > 0) {
        *ret_outcome = RESULT_CANNOT;
        body_encode_cannot(&(CannotBody){cannot[0].reason, cannot, count}, answer);
    }
    mem_free(cannot);
    return count > 0 ? answer->status : STATUS_OK;
}

Status clip_loop_run(const ClipLoop *loop, Buffer *answer, ResultOutcome *ret_outcome) {
    static const ClipSteps STEPS = {find_clip, work_on_clip, end_clip};
    ClipBatches batches = {.crew = loop->crew,
                           .count = loop->count,
                           .steps = &STEPS,
                           .context = (void *)(uintptr_t)loop,
                           .go_on = go_on};
    Status status = clip_batches_run(&batches);
    return status == STATUS_OK ? say_cannot(loop, answer, ret_outcome) : status;
}
