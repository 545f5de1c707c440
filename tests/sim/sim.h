// SPDX-License-Identifier: Apache-2.0
//
// A whole cluster from one seed: what the files of this folder share. The real scheduler core
// (coordinator/core) stands in the middle; all else is a model of it that lives in the one static
// `sim`, without clocks, threads or sockets:
//
//   world.c      time, chance, the heap of events, the main loop
//   network.c    connections that delay, break, come back, and what lies on them
//   workers.c    workers that keep the protocol, and some that do not
//   owner.c      models and their tasks: what coordinator/plan does, in a few lines of arithmetic
//   loop.c       what the core asks for: what coordinator/server does
//   disk.c       the journal: what is durable, when, and when no more
//   accidents.c  what goes wrong
//   promises.c   what must hold all the same
//   main.c       seeds, processes, the verdict
#ifndef AUSCULT_TESTS_SIM_SIM_H
#define AUSCULT_TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/rng.h"
#include "coordinator/core/core.h"

#define NO_JOB (-1)

enum {
    WORKERS_MOST = 8,
    MODELS_MOST = 6,
    PIECES_MOST = 3,   // TRAIN tasks of one model, one after the other
    ROUNDS = 5,        // of one piece
    SHARDS_MOST = 8,   // of one model
    JOBS_MOST = 400,   // tasks of a world
    FAILED_MOST = 128, // processes that fail one task
    WINDOW_MOST = 12,  // credits of one worker
    HELD_MOST = 64,    // tasks that lie at one worker, old sessions' included
    UNACKED_MOST = 64, // answers that one worker keeps to say them again
    SEEN_MOST = 32,    // leases of one session, as promises.c follows them
    SESSIONS_MOST = 256,
    PEERS_MOST = 4096,      // connections in one world
    ALIVE_MS = 1000,        // of WELCOME
    QUIET_ALIVES = 3,       // PROTOCOL.md, "A session"
    LEASE_LEAST_MS = 10000, // no answer is due sooner
    LOST_ALIVES = 30,       // PROTOCOL.md, "A session"
    PAUSE_LEAST_MS = 30000, // PROTOCOL.md, "A task and its leases"
    PAUSE_MOST_MS = 3600000,
    GIVE_UP_ALIVES = 10 // a worker that hears nothing for so long connects anew
};

// ---- events ----

typedef enum EventKind {
    TO_CORE,        // a control message, as bytes
    TO_CORE_BULK,   // a whole blob
    TO_WORKER,      // a control message, as bytes
    TO_WORKER_BULK, // a total
    CLOSED,         // the coordinator notices that a connection is gone
    BULK_CLOSED,    // and that a bulk connection is
    TICKETS,        // the journal has told what is durable
    COMMITTED,      // the journal's thread has ended a transaction
    START,          // a coordinator is started
    LOOK,           // the owner has looked at what no worker could do
    MEND,           // somebody sees to it that a worker can read what it could not
    WORK,           // a worker has computed the next part of what it holds
    FLUSH,          // a worker sends the answers that are ready
    BEAT,           // a worker's sign of life is due
    REVIVE,         // a worker's process is started
    ACCIDENT,
    AUDIT, // the promises that take time are looked at
} EventKind;

typedef struct Event {
    int64_t at_ms;
    uint64_t order; // events of one time happen in the order they were made
    EventKind kind;
    int worker;       // -1: none
    CorePeer peer;    // control: the connection
    uint64_t life;    // what it belongs to: a connection, a process, a coordinator
    Digest token;     // bulk, to the core
    Message header;   // bulk
    uint64_t attempt; // WORK
    int job;          // LOOK, MEND
    Buffer bytes;     // owned
} Event;

// ---- the owner's side ----

// What TASKS carry as a body.
typedef struct Body {
    uint64_t value; // TRAIN: to start from
    uint32_t job, round, first, count, shards;
} Body;

// That a worker failed a job.
typedef struct SeenFailure {
    uint64_t number; // of its process
    Digest token;    // of the session in which it last did
    int64_t last_ms;
    uint32_t times;
} SeenFailure;

typedef struct Job {
    TaskKind kind;
    int model;
    uint32_t piece;  // of a TRAIN
    bool is_poison;  // kills whoever works on it
    bool nobody_can; // every worker says it cannot
    bool diverges;   // TRAIN: the arithmetic has no result
    uint32_t kills;  // workers that it has killed

    // As the coordinator knows it that is there now.
    bool is_added, is_committed, is_doubted, is_over;
    TaskTag tag;
    uint32_t round;      // TRAIN: the owner's replica
    uint64_t value;      // TRAIN: the owner's replica
    uint32_t members;    // of the group, 0 when there is none
    uint32_t sum_mask;   // shards whose sums of the round are there
    uint32_t share_mask; // shards that were given out to the group
    uint64_t sum;        // over them
    bool has_state;      // the STATE blob came
    int64_t group_ms;    // TRAIN: when it last became free to be given

    // As promises.c follows it.
    uint64_t first_answer; // committed
    char first_name[24];   // of who gave it, "" for the owner
    bool is_awaited;       // answered, and not yet committed
    bool is_given_up;
    uint32_t alarms_due;
    uint32_t holders;
    bool is_doubled;                 // a straggler, given to another as well: once
    int64_t judged_ms;               // when a holder was found to be late
    int64_t died_ms;                 // when a death was last counted
    SeenFailure failed[FAILED_MOST]; // of workers that could not or died
    uint32_t failed_count;
    bool is_looked_over;              // since it last failed the owner has let it wait for others
    bool was_forgiven;                // some of them may try again
    uint32_t deaths, cannots;         // as the core last told
    uint32_t old_deaths, old_cannots; // as it was told of those before
    uint32_t most_deaths;             // that there were at a time
    bool is_forgotten;                // it begins anew, which is to be told
    uint32_t starved_audits;          // in which it waited beside an idle worker
    uint32_t lone_audits;             // in which an idle worker could have doubled it
} Job;

typedef struct Model {
    uint32_t shards, pieces;
    int first_job, job_count;
    uint32_t phase; // 0: PROBEs; 1..pieces: TRAINs; then SCOREs; then over
    uint32_t open;  // tasks of the phase that are not settled
    bool has_failed;
} Model;

// ---- the journal ----

typedef struct Record {
    bool is_done;     // there is an answer
    bool is_given_up; // the task is over without one
    uint64_t answer;
    uint32_t deaths, cannots;
} Record;

typedef enum PutKind { PUT_ANSWER, PUT_GIVE_UP, PUT_FAILED } PutKind;

typedef struct Put {
    PutKind kind;
    int job;
    uint64_t answer;
    uint32_t deaths, cannots;
} Put;

typedef struct PutQueue {
    Put *puts;
    uint32_t count, capacity;
} PutQueue;

typedef struct Disk {
    Record records[JOBS_MOST]; // durable
    uint32_t incarnation;      // durable
    PutQueue queue;            // not begun
    PutQueue group;            // in the transaction
    PutQueue told;             // durable, not yet drained by the loop
    bool is_committing;
    bool is_broken;        // no more is written until a new coordinator starts
    int64_t slow_until_ms; // transactions take seconds
    int fail_in;           // transactions until one fails, 0: none will
} Disk;

// ---- the workers' side ----

typedef struct Held {
    uint32_t task;
    uint64_t attempt;
    TaskKind kind;
    Body body;
    bool is_begun, waits, is_cancelled;
    uint64_t session; // in which it came
} Held;

typedef struct Answer {
    uint32_t task;
    uint64_t attempt;
    ResultOutcome outcome;
    TaskKind kind;
    uint64_t value;
    bool is_short; // not an answer at all
} Answer;

typedef struct Worker {
    bool is_alive, is_welcome, is_leaving, is_dropped;
    bool says_again;  // says unacknowledged answers again in a new session
    bool lies;        // some answers have other bits
    bool is_broken;   // sends what no worker may send
    bool is_mended;   // whoever started it saw to it that it reads everything
    uint32_t blind;   // models whose clips it cannot read, a bit each
    int blamed_job;   // the coordinator thinks that it died on it, NO_JOB
    uint64_t number;  // of the process, which is its worker_id
    uint64_t session; // counts its connections
    CorePeer peer;
    uint64_t bulk; // counts its bulk connections
    Digest token;
    char name[24];
    int window;    // credits that it keeps
    int allowance; // tasks asked for and not received
    int owed;      // credits to give back with the next answers
    uint32_t pace; // how slow it is, in percent
    int64_t frozen_until_ms, hung_until_ms, heard_ms;
    int64_t lane_ms[4]; // no message overtakes another on its lane
    Held held[HELD_MOST];
    int held_count;
    Answer ready[HELD_MOST]; // to be sent with the next FLUSH
    int ready_count;
    bool is_flushing;
    Answer unacked[UNACKED_MOST];
    int unacked_count;
    Message state_header; // of the state that it sent last
    uint64_t state;
    bool owes_state; // until its answer is acknowledged: sent again when the bulk lane is lost
} Worker;

// What the coordinator must know of a lease, from what went in and came out.
typedef struct SeenLease {
    int job;
    uint64_t attempt;
    uint32_t first, count;
    int64_t given_ms, sign_ms; // sign: given, progress, or a total
    uint32_t lease_ms;
    uint64_t done;
    bool waits;                 // has sent its sum
    bool has_answer, has_state; // of one who trains alone
    uint32_t deaths;            // of its job, when it was given
} SeenLease;

// A control connection, and the session that the coordinator must think it has there.
typedef struct Peer {
    int worker;
    uint64_t number;   // of the worker's process
    char name[24];     // its
    bool is_cut;       // what lies on it is lost
    bool is_dropped;   // the coordinator listens no more
    CorePeer moved_to; // it is another's now: the coordinator was started anew
    bool has_session;
    bool is_ending;   // the core has been told of its end, or why there must be one
    bool is_no_death; // and nobody died by it
    Digest token;
    int credits;
    int64_t heard_ms;
    SeenLease leases[SEEN_MOST];
    int lease_count;
    int64_t first_ms;                             // when its first lease became that
    int64_t may_be_first_ms;                      // and the earliest time that it may have
    bool is_stuck_in_batch, is_stuck_in_training; // its lease has ended by time
    int64_t judged_ms;                            // when that was
    uint64_t owed_acks[JOBS_MOST / 64 + 1];       // jobs that it has answered
} Peer;

// ---- the world ----

typedef enum AccidentKind {
    KILL_WORKER,
    BREAK_CONNECTION, // the worker notices and connects anew
    MOVE_CONNECTION,  // the messaging layer reconnects, and the worker does not notice
    BREAK_BULK,
    FREEZE_WORKER, // SIGSTOP
    HANG_WORKER,   // its computing thread alone
    SEND_AWAY,     // SIGTERM
    STALL_LOOP,    // the coordinator is late
    JUMP_CLOCK,    // all stand still, and the clock goes on
    KILL_COORDINATOR,
    FAIL_DISK,
    SLOW_DISK,
    ACCIDENT_KINDS
} AccidentKind;

// What kind of a world it is, drawn from the seed.
typedef struct Climate {
    int workers, models;
    uint32_t delay_ms, tail_ms; // of a message; of one in `tail`
    double tail;
    uint32_t gap_ms; // between accidents, at most
    uint32_t weights[ACCIDENT_KINDS];
    double cannot, slow_commit, failed_send;
    double liars, broken, blind; // of the workers
} Climate;

// Counted over worlds, so that a check that never had anything to see is noticed.
typedef struct Tally {
    uint64_t worlds, tasks, events, simulated_ms;
    uint64_t accidents[ACCIDENT_KINDS];
    uint64_t groups, poisons, cannots, impossibles, doubled, alarms, taken_back, repeated, too_late;
    uint64_t expired, failed_sends, refusals, stranded, tried_again;
} Tally;

// What must have come of the last input when the core has nothing more to say.
typedef struct Quiet {
    Peer *answering;    // its answers are looked at
    Job *doubted;       // the owner is asked about it
    Job *broken;        // its group
    uint32_t forgotten; // jobs that begin anew: the journal is to forget their failures too
    Peer *expelled;     // it has broken the rules
    bool has_owner_answered;
    bool has_failed_send; // so that sessions end which time has nothing to do with
    Job *trained;         // by one worker, which has sent all that it owes
    uint64_t returning;   // number of the worker that says HELLO, 0: none
    int taken_back;       // job whose death must be taken back by it, NO_JOB
    Peer *expired;        // time has spoken against it
    int expired_job;      // what was under work there, NO_JOB
    uint32_t awaited;     // answers to be committed
    uint32_t alarms_due;  // to be raised
} Quiet;
#define NOTHING_ASKED ((Quiet){.taken_back = NO_JOB, .expired_job = NO_JOB})

typedef struct Sim {
    uint64_t seed;
    Rng rng;
    bool trace;
    Climate climate;
    int64_t now_ms;
    uint64_t order, event_count_all;
    Event **heap;
    uint32_t event_count, event_capacity;
    int accidents_left;
    int64_t calm_ms; // when the last accident was over

    Worker workers[WORKERS_MOST];
    uint64_t next_number;
    Peer *peers;                      // (PEERS_MOST)
    CorePeer peer_count;              // 0 is nobody
    CorePeer sessions[SESSIONS_MOST]; // peers that have one
    int session_count;
    Quiet quiet;
    int64_t longest_ms[TASK_KIND_MOST + 1]; // that a task took with this coordinator

    Model models[MODELS_MOST];
    Job jobs[JOBS_MOST];
    int job_count;
    int job_of_tag[JOBS_MOST];
    uint32_t tag_count;
    Core *core; // NULL: no coordinator is there
    uint32_t incarnation;
    int64_t tick_ms;      // when the core wants to be ticked
    int64_t loop_free_ms; // the loop is busy or stalled until then
    int64_t audit_ms;     // a late loop is given so long to catch up
    int64_t judge_ms;     // and judges nobody before
    int64_t late_ms;      // when it last was
    int64_t jumped_ms;    // when the clock last jumped: the time before
    bool is_ticking;      // what comes out now is time's doing
    Disk disk;
    Decoded *decoded;
    Tally *tally;
} Sim;

extern Sim sim;

// ---- world.c ----
void world_run(uint64_t seed, Tally *tally);
uint32_t below(uint32_t bound);
bool chance(double probability);
// In `delay_ms` from now. The event's life is left to the caller.
Event *add_event(EventKind kind, int worker, int64_t delay_ms);
void put_off(Event *event, int64_t until_ms); // keeps its place among those of that time
void shift_events(int64_t by_ms);
void let_go_event(Event *event);
uint64_t mix(uint64_t a, uint64_t b);
Digest digest_of_number(uint64_t number);

// ---- network.c ----
CorePeer network_connect(int worker);
void network_break(int worker, bool is_noticed, bool is_cut);
void network_move(int worker, bool is_cut);
void network_break_bulk(int worker, bool is_noticed);
void network_coordinator_gone(void);
CorePeer network_peer_now(CorePeer peer);
void network_say(int worker, const Message *message);
void network_say_bytes(int worker, const void *bytes, size_t size);
void network_tell(CorePeer peer, const Message *message);
void network_send_blob(int worker, const Message *header, const void *bytes, size_t size);
void network_send_total(CorePeer peer, const Message *header, const void *bytes, size_t size);

// ---- workers.c ----
void worker_start(int worker);
void worker_kill(int worker, bool is_noticed);
void worker_connect(int worker);
void worker_on_control(int worker, const Message *message);
void worker_on_total(int worker, const Message *header, const Buffer *bytes);
void worker_on_work(int worker, Event *event);
void worker_on_flush(int worker);
void worker_on_beat(int worker);
void worker_leave(int worker);
void worker_on_bulk_lost(int worker);
void worker_mend(int worker);

// ---- owner.c ----
void owner_make(void);
CoreHooks owner_hooks(void);
// Tells a new core of all that is to be done.
void owner_start(void);
bool owner_is_over(void);
uint64_t owner_right_answer(const Job *job);
void owner_on_commit(TaskTag tag, const Buffer *answer);
void owner_on_cannot(TaskTag tag);
void owner_on_look(int job);
void owner_on_mend(int job);
void owner_on_impossible(TaskTag tag);
void owner_on_poison(TaskTag tag);
void owner_on_failed(TaskTag tag, uint32_t deaths, uint32_t cannots);
void owner_on_told(const Put *put);
Job *job_of(TaskTag tag);
int job_index(const Job *job);
uint64_t share_sum(uint64_t value, uint32_t round, uint32_t first, uint32_t count);
uint64_t next_value(uint64_t value, uint32_t round, uint64_t total);

// ---- loop.c ----
void loop_start(void);
void loop_kill(void); // kill -9
void loop_fail(void); // it ends by itself, since the journal does
void loop_on_control(Event *event);
void loop_on_blob(Event *event);
void loop_on_closed(Event *event);
void loop_on_bulk_closed(Event *event);
void loop_on_tickets(void);
void loop_tick(void);
void loop_do_actions(void);

// ---- disk.c ----
void disk_put(const Put *put);
void disk_on_committed(void);
void disk_crash(void); // the coordinator was killed: what is on its way may or may not arrive
void disk_done(void);

// ---- accidents.c ----
void climate_draw(void);
void accident_happens(void);

// ---- seen.c ----
// Ends the program: a promise is broken.
void sim_broken(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));

#define PROMISE(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            sim_broken(__FILE__, __LINE__, __VA_ARGS__);                                           \
        }                                                                                          \
    } while (0)

#define TRACE(...)                                                                                 \
    do {                                                                                           \
        if (sim.trace) {                                                                           \
            printf("%8lld ", (long long)sim.now_ms);                                               \
            printf(__VA_ARGS__);                                                                   \
            printf("\n");                                                                          \
        }                                                                                          \
    } while (0)

SeenLease *seen_lease(Peer *peer, uint64_t attempt);
void seen_lease_ends(Peer *peer, SeenLease *lease);
// Whether time may speak against who holds the job: it owes an answer or a sign of life. How long
// the lease was when it was given is not asked: what is usual may have become shorter.
bool seen_is_late(const Peer *peer, int job);
bool seen_may_be_over(const Peer *peer);
void seen_took(const Peer *peer, const Job *job); // its first lease is answered
bool seen_is_lost(const Peer *peer);              // nothing heard for too long
int64_t seen_silent_ms(const Peer *peer);         // of its first lease
Peer *seen_session_of(Digest token);
void seen_session_begins(CorePeer id, Digest token);
void seen_session_ends(CorePeer id);
void seen_coordinator_ends(void);
bool seen_has_failed(const Job *job, uint64_t number);
void seen_fails(Job *job, const Peer *peer);
void seen_has_not_failed(Job *job, uint64_t number);
bool seen_all_have_failed(const Job *job); // all that there are
// Who failed a training that waits for others may try again in a later session, after a while.
bool seen_may_try_again(const Job *job, const Peer *peer);
// Those that seemed to die on a task may try again when there are no others.
void seen_forgiveness(void);
bool seen_is_waiting(const Job *job);
const SeenLease *seen_lease_of(const Job *job); // any

// ---- hears.c ----
void hears(CorePeer id, const Message *message);
void hears_malformed(CorePeer id);
void hears_blob(Digest token, const Message *header);
void hears_closed(CorePeer id);
void hears_bulk_closed(Digest token);
// All that the core asked for has been done.
void promise_quiet(void);

// ---- sends.c ----
void sends(CorePeer id, const Message *message);
void sends_total(CorePeer id, const Message *header);
void says_left(CorePeer id);
void says_expired(CorePeer id, TaskTag tag);
void says_failed(Job *job, uint32_t deaths, uint32_t cannots);
void says_alarm(Job *job, const char *text);
void says_commit(Job *job, uint64_t answer);
void says_doubt(Job *job, CoreActionKind why);
void says_give_up(Job *job);

// ---- audit.c ----
void promise_audit(void);
void promise_end(void);

#endif
