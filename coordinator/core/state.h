// SPDX-License-Identifier: Apache-2.0
//
// What the core is made of, shared by its own files (core.c, roster.c, lease.c) and nobody else.
#ifndef AUSCULT_COORDINATOR_CORE_STATE_H
#define AUSCULT_COORDINATOR_CORE_STATE_H

#include "coordinator/core/core.h"

#define NO_TASK UINT32_MAX

enum {
    LEASES_MOST = 64,       // leases of one session: the most credits it can have
    LEASE_LEAST_MS = 10000, // an answer or progress is never due sooner
    LEASE_FACTOR = 20,      // nor sooner than so many times what such tasks took
    QUIET_ALIVES = 3,       // nothing heard for so many alive_ms: no new leases
    LOST_ALIVES = 30,       // nothing heard for so many alive_ms: session closed
    DEATHS_ALONE = 2,       // a task whose workers died so often gets a worker for itself
    DEATHS_POISON = 3,      // and after so many it is poison
    CANNOTS_MOST = 3,       // so many workers could not do it: the owner looks by itself
};

typedef enum TaskState {
    TASK_WAITING,  // in a queue
    TASK_LEASED,   // one or more sessions hold it
    TASK_DOUBTED,  // the owner looks at it (CORE_CANNOT, CORE_POISON)
    TASK_ANSWERED, // its answer is on the way to the disk
    TASK_DONE,
    TASK_ABANDONED,
} TaskState;

typedef struct Task {
    int64_t waiting_since_ms;
    uint32_t next;    // in the queue it waits in, NO_TASK at its end
    uint32_t shards;  // TRAIN: shards of the model, else 0
    uint16_t members; // leases given for it now
    uint16_t owing;   // members whose RESULT has not been taken
    uint8_t kind;     // TaskKind
    uint8_t state;    // TaskState
    uint8_t deaths;   // sessions that were lost while they held it
    uint8_t cannots;  // workers that said they cannot
} Task;

typedef struct Lease {
    TaskTag tag;
    CoreShare share;
    uint64_t attempt;
    uint64_t progress;   // largest `done` told
    int64_t since_ms;    // given
    int64_t deadline_ms; // an answer or progress is due
    bool waits;          // a member that has sent its sum: others owe theirs, no deadline
    bool has_answer;     // RESULT came, its STATE blob has not
    Buffer answer;
} Lease;

typedef enum SessionState { SESSION_WELL, SESSION_QUIET } SessionState;

typedef struct Session {
    CorePeer peer;
    SessionState state;
    Digest worker_id, token;
    char name[129];
    uint32_t credits; // tasks it may still be sent
    int64_t heard_ms; // last sign of life
    uint64_t tasks_done;
    uint32_t lease_count;
    Lease *leases; // LEASES_MOST
} Session;

typedef struct Queue {
    uint32_t first, last; // NO_TASK when empty
    uint64_t count;
} Queue;

// A worker that could not do a task is not asked again while there are others.
typedef struct Failure {
    TaskTag tag;
    Digest worker_id;
} Failure;

// Who is told once the answer is durable.
typedef struct Acknowledgement {
    TaskTag tag;
    CorePeer peer;
    uint64_t attempt;
} Acknowledgement;

struct Core {
    CoreConfig config;
    Session **sessions;
    uint32_t session_count, session_capacity;
    Task *tasks;
    uint32_t task_count, task_capacity;
    Queue trains, batches; // waiting TRAIN tasks; all others
    Failure *failures;
    uint32_t failure_count, failure_capacity;
    Acknowledgement *acknowledgements;
    uint32_t acknowledgement_count, acknowledgement_capacity;
    CoreAction *actions; // ring of those not taken yet
    uint32_t action_first, action_count, action_capacity;
    uint64_t attempts; // leases given by this incarnation
    uint64_t tokens;   // made so far
    double task_ms[5]; // by TaskKind: running mean of what a task took
    uint64_t trains_running;
    CoreCounts counts;
};

// core.c
Status core_grow(void **items, uint32_t count, uint32_t *capacity, size_t size);
CoreAction *core_act(Core *core, CoreActionKind kind);
void core_send(Core *core, CorePeer peer, const Message *message);
void core_note(Core *core, const char *format, ...) __attribute__((format(printf, 2, 3)));

// roster.c: sessions
Session *roster_find(const Core *core, CorePeer peer);
Session *roster_of_token(const Core *core, Digest token);
void roster_hello(Core *core, CorePeer peer, const Message *message, int64_t now_ms);
void roster_close(Core *core, Session *session, const char *why, bool is_death, int64_t now_ms);
void roster_refuse(Core *core, CorePeer peer, RefusedCode code, const char *text);
int64_t roster_tick(Core *core, int64_t now_ms);

// lease.c: tasks, leases, dispatch
void lease_enqueue(Core *core, TaskTag tag, int64_t now_ms);
Lease *lease_find(Session *session, TaskTag tag, uint64_t attempt);
void lease_lost(Core *core, Session *session, bool is_death, int64_t now_ms);
void lease_progress(Core *core, Session *session, const Message *message, int64_t now_ms);
void lease_result(Core *core, Session *session, const WireResult *result, int64_t now_ms);
void lease_acknowledge(Core *core, CorePeer peer, TaskTag tag, uint64_t attempt);
void lease_blob(Core *core, Session *session, const Message *header, const void *bytes, size_t size,
                int64_t now_ms);
void lease_commit(Core *core, TaskTag tag, const void *bytes, size_t size);
void lease_cancel_all(Core *core, TaskTag tag);
void lease_dispatch(Core *core, int64_t now_ms);
int64_t lease_tick(Core *core, int64_t now_ms);

#endif
