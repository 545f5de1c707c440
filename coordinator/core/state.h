// SPDX-License-Identifier: Apache-2.0
//
// What the core is made of, shared by its own files and nobody else. Every list here is linked
// through what it lists, so that a message and a task cost the same however many there are.
#ifndef AUSCULT_COORDINATOR_CORE_STATE_H
#define AUSCULT_COORDINATOR_CORE_STATE_H

#include "coordinator/core/core.h"

#define NO_TASK    UINT32_MAX
#define NO_TROUBLE UINT32_MAX
#define NO_BUCKET  UINT32_MAX

enum {
    LEASES_MOST = PROTO_CREDITS, // of one session
    ANSWERED_MOST = 65536, // answers on the way to the disk: beyond, no more work until it keeps up
    QUIET_ALIVES = 3,      // nothing heard for so many alive_ms: no new leases
    LOST_ALIVES = 30,      // nothing heard for so many alive_ms: session closed
    AGAIN_MS = 100,        // what could not be placed is looked at again so soon

    // An answer or progress is due within LEASE_FACTOR x (mean + 4 x deviation) of what such tasks
    // took, which a healthy worker misses about never. A page fault storm or a disk that spins up
    // stops one for seconds: never less than the least. A hung worker should not cost a night:
    // never more than the most. A task that was too slow for its lease gets a longer one next time.
    LEASE_FACTOR = 10,
    LEASE_LEAST_MS = 10000,
    LEASE_MOST_MS = 3600000,
    LEASE_GROWTH_BITS = 2, // four times as long after each death

    STRAGGLER_FACTOR = 3,        // a task leased for so many times what such tasks take,
    STRAGGLER_LEAST_MS = 500,    // and for so long, is given to an idle worker as well
    DEATHS_ALONE = 2,            // a task whose workers died so often gets a worker for itself,
    DEATHS_POISON = 3,           // and after so many it is poison,
    POISON_GRACE_MS = 10000,     // unless one of the dead comes back within this time
    CANNOTS_MOST = 3,            // so many workers could not do it: the owner looks by itself
    FAILED_MOST = LIMIT_WORKERS, // workers remembered for a task: all that there can be at once
    PAUSE_LEAST_MS = 30000,      // a stranded task is given to who failed it again after so long,
    PAUSE_MOST_MS = 3600000,     // doubled with each failure up to this: its disk may come back
    STRANDED_LOOK_MS = 1000,     // between two looks for somebody who may be given stranded tasks
    TROUBLED_TRIES = 16,         // tasks with failures that one tick tries to place
    REMEMBERED_MOST = 8192,      // answers that later ones are compared with
    ABSENT_MOST = 1024,          // workers remembered after their session ended
    BUCKET_WORDS = LEASES_MOST / 64 + 1,
    HASH_SLOTS = LIMIT_WORKERS // chains of a hash: one session each when all are there
};

typedef struct Session Session;
typedef struct Lease Lease;

typedef enum TaskState {
    TASK_WAITING,   // in a queue
    TASK_LEASED,    // one or more sessions hold it
    TASK_CONDEMNED, // poison, if none of the workers that died on it comes back in time
    TASK_DOUBTED,   // the owner looks at it (CORE_CANNOT, CORE_IMPOSSIBLE, CORE_POISON)
    TASK_ANSWERED,  // its answer is on the way to the disk
    TASK_DONE,
    TASK_ABANDONED,
} TaskState;

typedef enum QueueName {
    QUEUE_TRAINS,    // waiting TRAIN tasks
    QUEUE_BATCHES,   // all other waiting tasks, any worker will do
    QUEUE_TROUBLED,  // waiting tasks that workers failed or died on
    QUEUE_CONDEMNED, // by the time they were condemned at
    QUEUE_STRANDED,  // waiting tasks that nobody who is there may be given, as the owner knows
    QUEUE_COUNT,
} QueueName;

// 40 bytes, and nothing else while it waits.
typedef struct Task {
    Lease *leases;         // of it, those of members first to last
    uint32_t before, next; // in its queue, NO_TASK at the ends
    uint32_t since_ms;     // when it came into its queue: low bits, differences hold for 49 days
    uint32_t trouble;      // who failed it, NO_TROUBLE for most
    uint8_t kind;          // TaskKind
    uint8_t state;         // TaskState
    uint8_t queue;         // QueueName, while it is in one
    uint8_t shards;        // TRAIN: of the model, else 0
    uint8_t owing;         // TRAIN: members whose result has not been taken
    uint32_t place;        // see CoreTask
} Task;

typedef struct Queue {
    uint32_t first, last; // NO_TASK when empty
    uint64_t count;
} Queue;

// That a worker failed a task.
typedef struct Failure {
    uint32_t serial;  // of the worker
    uint32_t times;   // that it did
    uint64_t session; // the number of that in which it last did
    int64_t last_ms;  // when that was
} Failure;

// What went wrong with a task.
typedef struct Trouble {
    uint32_t deaths;  // sessions that were lost while it was under work there
    uint32_t cannots; // workers that said they cannot
    Failure *failed;  // of the workers that did either, by the first time of each
    uint32_t failed_count, failed_capacity;
    bool is_looked_over; // since it last failed the owner has found that others may do it
    uint32_t next_free;  // in the pool
} Trouble;

typedef enum LeaseState {
    LEASE_GIVEN,    // in its session's list
    LEASE_ANSWERED, // to be acknowledged once the task is durable
} LeaseState;

struct Lease {
    Session *session;
    Lease *next_of_task;
    Lease *before, *next;   // in the session's list of its state: oldest first
    Lease *older, *younger; // among those that may be doubled
    TaskTag tag;
    uint32_t counter;     // low half of the attempt
    uint8_t state;        // LeaseState
    uint8_t first, count; // share of a TRAIN task
    bool waits;           // a member that has sent its sum: others owe theirs, no deadline
    bool may_be_doubled;  // in such a list
    int64_t since_ms;     // given
    uint64_t progress;    // largest `done` told
    Buffer answer;        // result came, its STATE blob has not
};

// A worker's process, remembered for a while after its session.
typedef struct Worker {
    Digest id;
    uint32_t serial;                // never used again
    TaskTag blamed;                 // task that it seems to have died on, NO_TASK
    Session *session;               // NULL: absent
    struct Worker *next_of_id;      // in its hash chain
    struct Worker *older, *younger; // among the absent
    char name[129];
} Worker;

typedef enum Stuck {
    STUCK_NOT,
    STUCK_IN_BATCH,    // its lease expired: until it answers something
    STUCK_IN_TRAINING, // its lease expired and was cancelled: until it asks for work
} Stuck;

typedef struct LeaseList {
    Lease *first, *last;
} LeaseList;

struct Session {
    CorePeer peer;
    uint64_t number;   // never used again
    uint32_t position; // among all sessions
    Worker *worker;
    Digest token;
    uint32_t credits;     // tasks it may still be sent
    uint32_t lease_count; // of `given`
    LeaseList given, answered;
    int64_t heard_ms;      // last sign of life
    int64_t started_ms;    // when its oldest lease came under work: workers work in order
    int64_t deadline_ms;   // of that lease, INT64_MAX when there is none
    int64_t joined_ms;     // the session began
    int64_t idle_busy_ms;  // what it was busy for before `busy_since_ms`
    int64_t busy_since_ms; // it came to have a lease; while it has one
    uint64_t done, total;  // of the task under work, as last told
    double loss;           // likewise, NaN when none was told
    bool is_quiet;
    bool is_reserved; // what it holds wants a worker for itself
    Stuck stuck;
    uint64_t tasks_done;
    Session *next_of_peer, *next_of_token; // in their hash chains
    uint32_t bucket;                       // among the willing, NO_BUCKET when it is not
    Session *before_willing, *next_willing;
    bool is_open; // something is gathered for it:
    Session *next_open;
    Buffer tasks, bodies, acks; // WireTasks whose bodies are offsets, the bodies; WireLeases
};

// How long tasks of a kind take.
typedef struct Usual {
    double mean_ms, deviation_ms;
    bool is_known;
} Usual;

// Who last did a task of a place. The session is where it was, or somebody else is: then nobody.
typedef struct Holder {
    uint32_t serial;   // of the worker
    uint32_t position; // of its session among all
} Holder;

// The first answer to a task, for comparing later ones.
typedef struct Remembered {
    TaskTag tag;
    uint32_t serial; // of the worker that gave it
    Digest digest;
} Remembered;

typedef struct WorkerList {
    Worker *oldest, *youngest;
    uint32_t count;
} WorkerList;

struct Core {
    CoreConfig config;
    // roster.c
    Session **sessions;
    uint32_t session_count, session_capacity;
    Session *of_peer[HASH_SLOTS], *of_token[HASH_SLOTS];
    Worker *of_id[HASH_SLOTS];
    WorkerList absent;
    uint32_t serials; // given to workers so far
    uint64_t tokens;  // made so far
    int64_t look_ms;  // no session has anything due before
    int64_t judge_ms; // nobody is judged before: the loop was late
    int64_t due_ms;   // what the last tick returned
    // queue.c
    Task *tasks;
    uint32_t task_count, task_capacity;
    Queue queues[QUEUE_COUNT];
    // trouble.c
    Trouble *troubles;
    uint32_t trouble_count, trouble_capacity, trouble_free;
    // lease.c
    Lease *free_leases; // pool
    LeaseList
        doublable[TASK_KIND_MOST + 1]; // by TaskKind, through older and younger: one holder only
    Usual usual[TASK_KIND_MOST + 1];
    uint32_t attempts;      // leases given by this incarnation
    Decoded *decoded;       // for bodies that say why
    Remembered *remembered; // (REMEMBERED_MOST) by tag
    // dispatch.c
    Session *willing[LEASES_MOST + 1];    // to take a task, by the leases they have
    uint64_t willing_words[BUCKET_WORDS]; // which of these are not empty
    uint32_t idle_willing;                // how many are in the first
    uint32_t trains_running;
    Holder *holders; // (holder_count) by place
    uint32_t holder_count, holder_capacity;
    bool is_winding_up;       // nothing is given out any more
    int64_t stranded_look_ms; // when to look for somebody who may be given stranded tasks
    // action.c
    CoreAction *actions; // ring of those not taken yet
    uint32_t action_first, action_count, action_capacity;
    Session *open, *open_last; // sessions with something gathered, in that order
    Buffer body;               // of the task being given
    CoreCounts counts;
};

// action.c: what comes out
CoreAction *core_act(Core *core, CoreActionKind kind);
CoreAction *core_tell(Core *core, CoreActionKind kind, CorePeer peer, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void core_send(Core *core, CorePeer peer, const Message *message);
void core_cancel(Core *core, const Lease *lease);
void core_gather_task(Core *core, Session *session, const WireTask *task, const Buffer *body);
void core_gather_ack(Core *core, Session *session, TaskTag tag, uint32_t counter);
void core_close_bundles(Core *core, Session *session);
void core_flush(Core *core);
uint64_t core_attempt(const Core *core, uint32_t counter);

// queue.c: tasks that wait
void queue_push(Core *core, QueueName name, TaskTag tag, int64_t now_ms);
// Where it is taken first.
void queue_push_front(Core *core, QueueName name, TaskTag tag, int64_t now_ms);
void queue_remove(Core *core, TaskTag tag);

// roster.c: sessions and workers
typedef enum Ending {
    ENDING_POLITE, // nobody is to blame
    ENDING_LOST,   // it may have died on the task under work, until its worker comes back
    ENDING_WRONG,  // it failed the task under work
} Ending;
Session *roster_find(const Core *core, CorePeer peer);
Session *roster_of_token(const Core *core, Digest token);
const char *roster_name(const Core *core, uint32_t serial);
void roster_heard(Core *core, Session *session, int64_t now_ms);
void roster_hello(Core *core, CorePeer peer, const Message *message, int64_t now_ms);
void roster_close(Core *core, Session *session, const char *why, Ending ending, int64_t now_ms);
void roster_refuse(Core *core, CorePeer peer, RefusedCode code, const char *text);
// Closes a session whose worker broke the rules, telling it so.
void roster_expel(Core *core, Session *session, Ending ending, const char *why, int64_t now_ms);
// How long the session has had something to do, up to now if it has something still.
int64_t roster_busy_ms(const Session *session, int64_t now_ms, bool is_busy);
// Something of a session is due at this time.
void roster_look_by(Core *core, int64_t due_ms);
void roster_look(Core *core, int64_t now_ms);
void roster_free(Core *core);

// trouble.c: tasks that fail
const Trouble *trouble_of(const Core *core, TaskTag tag); // zeros when there is none
// Whether the session's worker has failed the task and may not be given it again.
bool trouble_has_failed(const Core *core, TaskTag tag, const Session *session, int64_t now_ms);
bool trouble_somebody_could(const Core *core, TaskTag tag, int64_t now_ms);
void trouble_restore(Core *core, const CoreTask *task);
void trouble_cannot(Core *core, TaskTag tag, const Session *session, int64_t now_ms);
// It gave an answer that is not valid, or worse.
void trouble_wrong(Core *core, TaskTag tag, const Session *session, int64_t now_ms);
void trouble_death(Core *core, TaskTag tag, const Session *session, int64_t now_ms);
void trouble_take_back(Core *core, Worker *worker, int64_t now_ms);
void trouble_forgive(Core *core, TaskTag tag); // those who failed may try again
void trouble_forget(Core *core, TaskTag tag);
void trouble_begin_anew(Core *core, TaskTag tag); // forgets, and tells so
void trouble_look_over(Core *core, TaskTag tag);  // the owner did, and others may do it
void trouble_free(Core *core);
// Puts a batch task that nobody holds where its failures say: a queue, or before the owner.
void trouble_settle(Core *core, TaskTag tag, int64_t now_ms);
void trouble_doubt(Core *core, TaskTag tag, CoreActionKind why, const void *bytes, size_t size);
void trouble_tick(Core *core, int64_t now_ms);
int64_t trouble_due_ms(const Core *core, int64_t now_ms);

// lease.c: who holds what until when
typedef struct LeaseOffer {
    TaskTag tag;
    CoreShare share;
    bool wants_alone; // the session gets nothing else meanwhile
} LeaseOffer;
void lease_give(Core *core, Session *session, const LeaseOffer *offer, int64_t now_ms);
Lease *lease_new(Core *core, Session *session, TaskTag tag, uint32_t counter, LeaseState state);
Lease *lease_find(const Core *core, const Session *session, uint64_t tag, uint64_t attempt);
void lease_answered(Core *core, Lease *lease, int64_t now_ms); // from given to answered
void lease_end(Core *core, Lease *lease, int64_t now_ms);      // nothing is left of it
void lease_end_all(Core *core, TaskTag tag, int64_t now_ms);   // cancelled where they were given
bool lease_is_held(const Core *core, TaskTag tag);             // somebody works on it
// The lease ended without an answer: the task's group is broken, the task waits again.
void lease_lost(Core *core, TaskTag tag, int64_t now_ms);
// Its worker showed that it works on it, or waits for others: a new deadline.
void lease_renew(Core *core, const Lease *lease, int64_t now_ms);
void lease_not_doubled(Core *core, Lease *lease);
void lease_expire(Core *core, Session *session, int64_t now_ms);
void lease_progress(Core *core, Session *session, const Message *message, int64_t now_ms);
int64_t lease_straggler_ms(const Core *core, TaskKind kind);
void lease_free(Core *core);

// answer.c: what workers say that they found
void answer_result(Core *core, Session *session, const WireResult *result, int64_t now_ms);
// `bytes` may be what the lease keeps.
void answer_try(Core *core, Lease *lease, const void *bytes, size_t size, int64_t now_ms);
void answer_commit(Core *core, TaskTag tag, const void *bytes, size_t size);
void answer_refuse(Core *core, Session *session, TaskTag tag, int64_t now_ms);

// group.c: models that several workers train
void group_blob(Core *core, Session *session, const Message *header, const void *bytes, size_t size,
                int64_t now_ms);
void group_broken(Core *core, TaskTag tag, int64_t now_ms);

// dispatch.c: who gets the next task
void dispatch_note_holder(Core *core, TaskTag tag, const Session *session); // it did the task
void dispatch_place(Core *core, Session *session); // after any change of what makes it willing
void dispatch_run(Core *core, int64_t now_ms);
int64_t dispatch_due_ms(const Core *core, int64_t now_ms);

#endif
