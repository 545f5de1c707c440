// SPDX-License-Identifier: Apache-2.0
//
// Whom the server works for: the plan of a run, or whoever else has tasks to give out. The loop
// asks the owner through these functions, in its own thread, and knows nothing of what the tasks
// are. A status that is not STATUS_OK ends the loop.
#ifndef AUSCULT_COORDINATOR_SERVER_OWNER_H
#define AUSCULT_COORDINATOR_SERVER_OWNER_H

#include "coordinator/core/core.h"
#include "coordinator/live/snapshot.h"
#include "coordinator/server/progress.h"

// How fast a piece of training went.
typedef struct OwnerPace {
    const char *model; // its label; borrowed for the owner's life
    uint32_t members;  // workers that trained it together
    uint64_t rounds;
    double round_ns; // time of a round, waiting for the others included
} OwnerPace;

// A task that no worker could do (CORE_CANNOT). Borrowed for the call.
typedef struct OwnerDoubt {
    TaskTag tag;
    const void *bytes; // the last CannotBody, or nothing
    size_t size;
    const char *worker; // that failed it last: its name, for people
} OwnerDoubt;

typedef struct Owner {
    void *context; // of all functions below; the hooks have their own
    CoreHooks hooks;
    // Adds the first tasks, or what the journal says is left to do.
    Status (*start)(void *context, Core *core, int64_t now_ms);
    // A line for the log about what was found finished then; nothing where there is none. Or NULL.
    void (*found)(void *context, Buffer *out);
    bool (*is_over)(void *context);
    // The core says that a task's answer is complete: queues it for the journal, ticket = tag.
    Status (*commit)(void *context, TaskTag tag, const void *bytes, size_t size);
    // The journal has it. Adds the tasks that it lets begin.
    Status (*on_durable)(void *context, Core *core, TaskTag tag, int64_t now_ms);
    // CORE_FAILED, CORE_CANNOT, CORE_IMPOSSIBLE, CORE_POISON. `said` takes a line for the log.
    Status (*on_failed)(void *context, TaskTag tag, uint32_t deaths, uint32_t cannots);
    Status (*on_cannot)(void *context, Core *core, const OwnerDoubt *doubt, Buffer *said,
                        int64_t now_ms);
    Status (*on_impossible)(void *context, Core *core, TaskTag tag, const void *bytes, size_t size);
    Status (*on_poison)(void *context, Core *core, TaskTag tag, int64_t now_ms);
    // Where this machine has the clip that FETCH names (message_clip_name), if it is the run's.
    // STATUS_NOT_FOUND. Or NULL: there are no clips.
    Status (*clip_path)(void *context, Digest clip, char *out, size_t size);
    // What the task is, for people: "the training of fan".
    void (*describe)(void *context, TaskTag tag, Buffer *out);
    // Work that could wait until the core's actions were carried out: called after them.
    Status (*catch_up)(void *context, Core *core, int64_t now_ms);
    // Completes what the loop knows, the workers and the last loss: NaN it where it says nothing.
    void (*progress)(void *context, ProgressFacts *facts);
    // Completes what the loop knows for who looks on, once a second, and at last with what ended
    // the loop: STATUS_AGAIN while it goes on. Or NULL.
    void (*tell)(void *context, Snapshot *snapshot, Status ended);
    // Of a task that is durable, before on_durable. False when there is nothing to tell.
    bool (*pace)(void *context, TaskTag tag, OwnerPace *ret_pace);
} Owner;

#endif
