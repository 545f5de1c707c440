// SPDX-License-Identifier: Apache-2.0
//
// The scheduler: a pure state machine between sessions, tasks and leases. No sockets, no clock, no
// disk: messages, blobs, lost connections, durable commits and the time are passed in, and what has
// to be done comes out as actions. The loop around it (coordinator/server.c) owns the world; a test
// owns a fake one. PROTOCOL.md has the state pictures. One thread.
//
// What a task is and what its answer means is the owner's affair, reached through CoreHooks; the
// core knows kinds, attempts, failures and who holds what.
#ifndef AUSCULT_COORDINATOR_CORE_CORE_H
#define AUSCULT_COORDINATOR_CORE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "proto/message.h"

typedef uint32_t CorePeer; // a control connection, as the loop numbers them
typedef uint32_t TaskTag;  // the owner's name for a task

// A part of a TRAIN task: the aligned subtree of logical shards that one member owns.
typedef struct CoreShare {
    uint32_t first, count; // 0, 0 for tasks that are not shared
} CoreShare;

// A sum that a member of a group sent, complete and with its digest checked.
typedef struct CoreSum {
    BlobKind kind;
    uint32_t epoch, round;
    CoreShare share;
    const void *bytes; // borrowed for the call
    size_t size;
} CoreSum;

// How the core asks its owner. All are pure with regard to time and sockets.
typedef struct CoreHooks {
    void *context;
    // Appends the body of this share of the task, as TASKS has it.
    void (*task_body)(void *context, TaskTag tag, CoreShare share, Buffer *out);
    // A result 0 arrived for this share: STATUS_OK takes it, STATUS_AGAIN waits for the task's
    // STATE blob (which bulk may bring later), anything else means the answer is not valid. Asked
    // for second answers to finished tasks too, unless they are TRAIN.
    Status (*take_answer)(void *context, TaskTag tag, CoreShare share, const void *bytes,
                          size_t size);
    // The most bytes that a blob for this TRAIN task has, while it is given.
    uint64_t (*blob_most)(void *context, TaskTag tag);
    // A STATE blob arrived for a TRAIN task held by one worker alone.
    Status (*take_state)(void *context, TaskTag tag, const void *bytes, size_t size);
    // A sum arrived. STATUS_OK with a non-empty `total`: broadcast it; STATUS_AGAIN: others owe
    // theirs; STATUS_INVALID: nobody can do the task, and `total` is a CannotBody that says why;
    // anything else: the sum is not valid.
    Status (*take_sum)(void *context, TaskTag tag, const CoreSum *sum, Buffer *total,
                       BlobKind *total_kind);
    // A TRAIN task starts with so many members, or has lost its group (members 0): the owner's
    // replica becomes what the next group starts from.
    Status (*group_changed)(void *context, TaskTag tag, uint32_t members);
    // How many members a TRAIN task should have, given the free workers, the sessions there are and
    // the TRAIN tasks that wait or run. 0: wait.
    uint32_t (*members_wanted)(void *context, TaskTag tag, uint32_t free_workers, uint32_t sessions,
                               uint32_t train_tasks, int64_t waited_ms);
} CoreHooks;

typedef struct CoreConfig {
    CoreHooks hooks;
    Digest run;            // goes into WELCOME
    Digest secret;         // tokens are derived from it
    uint32_t incarnation;  // of this coordinator on this run
    const char *kernel;    // the run's BLAS kernel; borrowed for the core's life
    Digest fingerprint;    // what a worker must show
    const char *libraries; // this program's own, for people; borrowed for the core's life
    uint32_t alive_ms;
    uint32_t workers_most;
    uint32_t bulk_port;
    const char *const *roots; // borrowed for the core's life
    uint32_t root_count;
} CoreConfig;

typedef enum CoreActionKind {
    CORE_SEND,  // `message` to `peer`, on control
    CORE_TOTAL, // a total with header `message` to `peer`, on bulk; its bytes are the `blob` of the
                // first such action, those for the other members of the group follow without
    CORE_COMMIT, // the answer `blob` of `tag` is complete: make it durable, then core_on_durable
    CORE_DROP,   // forget `peer`
    CORE_CANNOT, // no worker could do `tag`; `blob` is the last CannotBody or empty, `items` the
                 // name of the worker that failed it last: look yourself, then core_answer,
                 // core_retry, core_wait or core_abandon
    CORE_IMPOSSIBLE, // nobody can do `tag`; `blob` as above
    CORE_POISON,     // workers died on `tag` too often: core_abandon or split it
    CORE_FAILED,     // `deaths` and `cannots` of `tag` are now these: keep them for core_add_task
    CORE_ALARM,  // two workers gave other bits for `tag`: results may not be trusted; `blob` is a
                 // text that names both
    CORE_JOINED, // `peer` has a session now (name in core_session)
    CORE_LEFT,   // `peer` has none any more; `blob` is a text that says why, `items` the worker's
                 // name, `tasks_done` and `busy_ms` what it was
    CORE_NOTE,   // `blob` is a line for the log
} CoreActionKind;

typedef struct CoreAction {
    CoreActionKind kind;
    CorePeer peer;
    TaskTag tag;
    uint32_t deaths, cannots;
    uint64_t tasks_done; // as CoreSession has it
    int64_t busy_ms;     // likewise
    Message message; // its texts, items and bodies lie in `blob` and `items`, or outlive the core
    Buffer blob, items; // owned by the action
} CoreAction;

typedef struct CoreSession {
    const char *name; // borrowed until the session ends
    Digest token;
    uint32_t leases;
    uint64_t tasks_done;
    int64_t joined_ms;    // when the session began
    int64_t heard_ms;     // last sign of life
    int64_t busy_ms;      // how long it has had something to do
    int64_t started_ms;   // when what is under work came there
    bool is_quiet;        // nothing heard for so long that it gets no new work
    TaskTag tag;          // of its oldest lease, which is under work; undefined without leases
    uint64_t done, total; // of that task, as the worker last told; 0 before it did
    double loss;          // likewise, NaN when it told none
} CoreSession;

// What has been done of one kind of task.
typedef struct CoreKindCount {
    uint64_t answered; // answers taken from workers, those that came second included
    int64_t busy_ms;   // workers' time for them; a task under a millisecond counts nothing
} CoreKindCount;

typedef struct CoreCounts {
    uint32_t sessions;                           // workers connected and admitted
    uint32_t free_workers;                       // of them without a lease
    uint64_t waiting, answered, done, abandoned; // tasks
    uint64_t held;                               // leases without an answer
    uint64_t stranded; // of those that wait: nobody who is there may be given them (core_wait)
    uint64_t retries;  // leases that ended without an answer
    double train_loss; // the last loss a worker told, NaN when none did
    CoreKindCount kinds[TASK_KIND_MOST + 1]; // by TaskKind
} CoreCounts;

typedef struct Core Core;
Core *core_new(const CoreConfig *config);
void core_free(Core *core);

typedef struct CoreTask {
    TaskKind kind;
    TaskTag tag;              // the owner's index: 0, 1, 2, ...
    uint32_t shards;          // TRAIN: of the model, else 0
    uint32_t deaths, cannots; // as the last CORE_FAILED for it had them, 0 for a new task
    // What the task reads, 0: nothing that is worth holding. Tasks of one place are preferably
    // given to the worker that last did one of them, which may still hold what they read. At most
    // CORE_PLACES_MOST.
    uint32_t place;
} CoreTask;

#define CORE_PLACES_MOST (LIMIT_CLIPS / 16 + 1)

// Adds a task that waits for a worker. STATUS_MEMORY.
Status core_add_task(Core *core, const CoreTask *task, int64_t now_ms);
// The owner did the task by itself; `bytes` is its answer and goes the way of a worker's.
Status core_answer(Core *core, TaskTag tag, const void *bytes, size_t size, int64_t now_ms);
// Nobody will do the task: it is over without an answer.
void core_abandon(Core *core, TaskTag tag);
// Gives the task to workers again from the start, forgetting who failed: CORE_FAILED with zeros.
void core_retry(Core *core, TaskTag tag, int64_t now_ms);
// Another worker may do the task: it waits for one, with its failures. Who failed it is given
// it again only in a later session, and after a pause that doubles each time. The owner is asked
// again (CORE_CANNOT) when it has failed again.
void core_wait(Core *core, TaskTag tag, int64_t now_ms);

void core_on_message(Core *core, CorePeer peer, const Message *message, int64_t now_ms);
// What came could not be decoded.
void core_on_malformed(Core *core, CorePeer peer, const char *why, int64_t now_ms);
// HELLO from who cannot be taken in now: REFUSED 5, and `why`. A session that it had ends.
void core_on_unwanted(Core *core, CorePeer peer, const char *why, int64_t now_ms);
void core_on_closed(Core *core, CorePeer peer, int64_t now_ms);
// The most bytes that this blob of the session with this token may have; 0: nobody waits for it.
uint64_t core_blob_most(const Core *core, Digest token, const Message *header);
// A complete blob from the session with this token, its digest checked.
void core_on_blob(Core *core, Digest token, const Message *header, const void *bytes, size_t size,
                  int64_t now_ms);
// A part of such a blob: who sends it is at work, however slow the wire is.
void core_on_piece(Core *core, Digest token, const Message *header, int64_t now_ms);
// The bulk connection of the session with this token is gone, and no other has taken its place.
void core_on_bulk_closed(Core *core, Digest token, int64_t now_ms);
// The task's answer is durable. Acknowledgements are gathered until the next core_tick.
void core_on_durable(Core *core, TaskTag tag, int64_t now_ms);
// Does what is due: quiet and lost sessions, expired leases, dispatch. Input first, then the tick.
// Returns the time of the next thing that is due. A tick that comes much later than that judges
// nobody: what was said meanwhile may lie unread, and is drained before the next.
int64_t core_tick(Core *core, int64_t now_ms);
// No task is given out from here on; what is under work may end.
void core_wind_up(Core *core);
// Ends every session with END and drops it.
void core_end(Core *core, const char *text);

// The next action, which becomes the caller's (core_action_done). False when there is none.
bool core_next_action(Core *core, CoreAction *ret_action);
void core_action_done(CoreAction *action);

// The peer whose session has this token, false when none has.
bool core_peer_of_token(const Core *core, Digest token, CorePeer *ret_peer);
bool core_session(const Core *core, CorePeer peer, CoreSession *ret_session);
// The sessions there are, from 0 on, in no order that means anything. False behind the last.
bool core_session_at(const Core *core, uint32_t index, int64_t now_ms, CoreSession *ret_session);
CoreCounts core_counts(const Core *core);

#endif
