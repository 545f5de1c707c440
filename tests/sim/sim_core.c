// SPDX-License-Identifier: Apache-2.0
//
// How it works. One seed makes a whole cluster: tasks, workers that keep the protocol, a network
// with delays whose connections break, and accidents (workers killed, frozen, coordinators started
// anew). Events lie in a list by time; nothing sleeps. The owner's part is a small piece of
// arithmetic, so that a round lost or counted twice shows in the result. After every input the
// promises are checked: each task is committed once, with the right answer; ACK comes only after
// the disk; no worker is sent more than it asked for; shares cover the model; time moves on.
//
// A failure prints its seed; `SIM_SEED=<seed> test_sim_core` runs that one again, and SIM_TRACE=1
// prints what happens.
#include "tests/unit/test.h"

#include <stdbool.h>
#include <stdint.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "coordinator/core/core.h"

enum {
    WORKERS = 7,
    TASKS = 80,
    SHARDS = 4,
    ROUNDS = 6,
    EVENTS = 4096,
    CREDITS = 2,
    ALIVE_MS = 1000,
    HELD = 8,
    HOURS_MOST = 48,
};

typedef enum EventKind {
    TO_CORE,      // a control message from a worker
    TO_CORE_BLOB, // a blob from a worker, on the bulk lane
    TO_WORKER,    // a control message from the core
    TO_WORKER_TOTAL,
    CLOSED,  // the coordinator notices that a connection is gone
    WORK,    // a worker has computed the next part of what it holds
    BEAT,    // a worker's sign of life is due
    REVIVE,  // a killed worker is started again
    DURABLE, // the journal has committed
    ACCIDENT,
} EventKind;

typedef struct Event {
    int64_t at_ms;
    uint64_t order; // events of one time happen in the order they were made
    EventKind kind;
    int worker;
    uint32_t life;   // the connection or coordinator it belongs to: void when that is gone
    CorePeer peer;   // TO_CORE, CLOSED
    Message message; // texts and bodies lie in `bytes`
    union {          // what a bundle of one holds
        WireTask task;
        WireResult result;
    } item;
    uint64_t attempt;
    TaskTag tag;
    unsigned char bytes[64];
    size_t size;
} Event;

typedef struct Held {
    TaskTag tag;
    uint64_t attempt;
    TaskKind kind;
    CoreShare share;
    uint32_t round;
    uint64_t value;
    bool waits;       // has sent its sum of the round
    uint32_t session; // in which it came
} Held;

typedef struct Worker {
    bool is_alive, is_welcome;
    uint32_t life; // counts connections
    CorePeer peer;
    uint32_t session; // counts HELLOs
    uint64_t number;  // of the process: a killed worker comes back as another
    Digest token;
    char name[16];
    int allowance; // tasks asked for and not received
    int64_t frozen_until_ms, heard_ms;
    int64_t lane_free_ms[4]; // no message overtakes another on its lane
    Held held[HELD];
    int held_count;
} Worker;

// What the owner of the core knows of a task; outlives coordinators, as the journal does.
typedef struct Job {
    TaskKind kind;
    bool is_done, is_lost; // committed; given up as poison
    bool is_poison;        // kills who holds it
    bool nobody_can;       // every worker says it cannot
    int commits;           // by the coordinator that is there now
    TaskTag tag;           // in the core that is there now
    uint32_t round;        // TRAIN: the owner's replica
    uint64_t value;        // TRAIN: the owner's replica
    uint32_t members;      // of the group
    uint32_t sum_mask;     // shards whose sums of the round are there
    uint64_t sum;          // over them
    bool has_state;        // the STATE blob came
    uint32_t share_mask;   // shards that were given out to the group
    uint64_t restarts;
    uint32_t deaths, cannots; // as the core last told
} Job;

typedef struct Sim {
    uint64_t seed;
    Rng rng;
    int64_t now_ms;
    uint64_t order;
    Event events[EVENTS];
    int event_count;
    Worker workers[WORKERS];
    Job jobs[TASKS];
    int job_of_tag[TASKS];
    int tag_count;
    Core *core;
    uint32_t incarnation;
    CorePeer next_peer;
    uint64_t next_number;
    bool is_calm; // no more accidents
    bool trace;
    int kills, breaks, freezes, restarts, poisons, cannots, groups;
} Sim;

static Sim sim;

static uint32_t below(uint32_t bound) {
    return rng_below(&sim.rng, bound);
}

static bool chance(double probability) {
    return rng_uniform(&sim.rng) < probability;
}

#define TRACE(...)                                                                                 \
    do {                                                                                           \
        if (sim.trace) {                                                                           \
            printf("%8lld ", (long long)sim.now_ms);                                               \
            printf(__VA_ARGS__);                                                                   \
            printf("\n");                                                                          \
        }                                                                                          \
    } while (0)

// ---- the arithmetic that stands for a model and for scores ----

static uint64_t mix(uint64_t a, uint64_t b) {
    uint64_t x = a * 0x9E3779B97F4A7C15u + b;
    x ^= x >> 29;
    return x * 0xBF58476D1CE4E5B9u;
}

static uint64_t share_sum(uint64_t value, uint32_t round, CoreShare share) {
    uint64_t sum = 0;
    for (uint32_t s = share.first; s < share.first + share.count; s++) {
        sum += mix(value + s, round);
    }
    return sum;
}

static uint64_t next_value(uint64_t value, uint32_t round, uint64_t total) {
    return mix(value, total + round);
}

static uint64_t final_value(int job) {
    uint64_t value = (uint64_t)job;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        value = next_value(value, round, share_sum(value, round, (CoreShare){0, SHARDS}));
    }
    return value;
}

// The answer that every worker must give.
static uint64_t right_answer(int job) {
    return sim.jobs[job].kind == TASK_TRAIN ? final_value(job) : mix((uint64_t)job, 77);
}

// ---- events ----

static Event *add_event(EventKind kind, int worker, int64_t delay_ms) {
    CHECK(sim.event_count < EVENTS);
    Event *event = &sim.events[sim.event_count++];
    memset(event, 0, sizeof *event);
    event->kind = kind;
    event->worker = worker;
    event->order = sim.order++;
    event->at_ms = sim.now_ms + delay_ms;
    event->life = worker >= 0 ? sim.workers[worker].life : sim.incarnation;
    return event;
}

// A message on one of a worker's four lanes (control and bulk, both ways): delayed, never
// overtaken.
static Event *add_message(EventKind kind, int worker) {
    Worker *w = &sim.workers[worker];
    Event *event = add_event(kind, worker, 1 + below(chance(0.05) ? 2000 : 20));
    int64_t *lane_ms = &w->lane_free_ms[kind];
    event->at_ms = event->at_ms > *lane_ms ? event->at_ms : *lane_ms;
    *lane_ms = event->at_ms;
    event->peer = w->peer;
    return event;
}

static void keep_bytes(Event *event, const void *bytes, size_t size) {
    CHECK(size <= sizeof event->bytes);
    if (size > 0) {
        memcpy(event->bytes, bytes, size);
    }
    event->size = size;
}

static Event take_next_event(void) {
    int best = 0;
    for (int i = 1; i < sim.event_count; i++) {
        const Event *a = &sim.events[i], *b = &sim.events[best];
        if (a->at_ms < b->at_ms || (a->at_ms == b->at_ms && a->order < b->order)) {
            best = i;
        }
    }
    Event event = sim.events[best];
    sim.events[best] = sim.events[--sim.event_count];
    return event;
}

// ---- the owner of the core ----

static Job *job_of(TaskTag tag) {
    CHECK((int)tag < sim.tag_count);
    return &sim.jobs[sim.job_of_tag[tag]];
}

// A body: which round and value the member starts from, and its share.
typedef struct Body {
    uint64_t value;
    uint32_t round, first, count;
} Body;

static void task_body(void *context, TaskTag tag, CoreShare share, Buffer *out) {
    (void)context;
    Job *job = job_of(tag);
    Body body = {job->value, job->round, share.first, share.count};
    if (job->kind != TASK_TRAIN) {
        body.value = right_answer(sim.job_of_tag[tag]); // what the worker will find out
    }
    if (job->kind == TASK_TRAIN) {
        uint32_t mask = ((1u << share.count) - 1) << share.first;
        CHECK_INT(share.count * job->members, SHARDS);
        CHECK(share.first % share.count == 0 && (job->share_mask & mask) == 0);
        job->share_mask |= mask;
    } else {
        CHECK_INT(share.count, 0);
    }
    buffer_append(out, &body, sizeof body);
}

static Status take_answer(void *context, TaskTag tag, CoreShare share, const void *bytes,
                          size_t size) {
    (void)context;
    Job *job = job_of(tag);
    uint64_t answer;
    if (size != sizeof answer) {
        return status_set(STATUS_FORMAT, "an answer of %zu bytes", size);
    }
    memcpy(&answer, bytes, sizeof answer);
    if (job->kind == TASK_TRAIN && share.count == SHARDS && !job->has_state) {
        return STATUS_AGAIN;
    }
    return answer == right_answer(sim.job_of_tag[tag]) ? STATUS_OK
                                                       : status_set(STATUS_FORMAT, "wrong answer");
}

static Status take_state(void *context, TaskTag tag, const void *bytes, size_t size) {
    (void)context;
    Job *job = job_of(tag);
    CHECK_INT(size, sizeof job->value);
    memcpy(&job->value, bytes, sizeof job->value);
    job->round = ROUNDS;
    job->has_state = true;
    return STATUS_OK;
}

static Status take_sum(void *context, TaskTag tag, const CoreSum *sum, Buffer *total,
                       BlobKind *total_kind) {
    (void)context;
    Job *job = job_of(tag);
    uint64_t part;
    uint32_t mask = ((1u << sum->share.count) - 1) << sum->share.first;
    CHECK_INT(sum->size, sizeof part);
    CHECK_INT(sum->round, job->round);
    CHECK((job->sum_mask & mask) == 0);
    memcpy(&part, sum->bytes, sizeof part);
    job->sum_mask |= mask;
    job->sum += part;
    if (job->sum_mask != (1u << SHARDS) - 1) {
        return STATUS_AGAIN;
    }
    buffer_append(total, &job->sum, sizeof job->sum);
    *total_kind = BLOB_TOTAL;
    job->value = next_value(job->value, job->round, job->sum);
    job->round++;
    job->sum_mask = 0;
    job->sum = 0;
    return STATUS_OK;
}

static Status group_changed(void *context, TaskTag tag, uint32_t members) {
    (void)context;
    Job *job = job_of(tag);
    job->members = members;
    job->sum_mask = job->share_mask = 0;
    job->sum = 0;
    job->has_state = false;
    if (members == 0) {
        job->restarts++;
        if (job->round == ROUNDS && job->value != final_value(sim.job_of_tag[tag])) {
            TEST_FAIL("the replica went astray");
        }
    }
    sim.groups += members > 1;
    return STATUS_OK;
}

static uint32_t members_wanted(void *context, TaskTag tag, uint32_t free_workers, uint32_t sessions,
                               uint32_t train_tasks, int64_t waited_ms) {
    (void)context;
    CHECK(free_workers >= 1 && free_workers <= sessions && train_tasks >= 1 && waited_ms >= 0);
    // Models of one, two and four members; a larger group waits a while for its workers.
    uint32_t wanted = 1u << tag % 3;
    if (free_workers < wanted && waited_ms < 5000) {
        return 0;
    }
    while (wanted > free_workers) {
        wanted /= 2;
    }
    return wanted;
}

static Digest digest_of_number(uint64_t number) {
    return digest_of(&number, sizeof number);
}

// A coordinator starts: the journal tells what is done, the rest are tasks again.
static void start_core(void) {
    CoreConfig config = {
        .hooks = {NULL, task_body, take_answer, take_state, take_sum, group_changed,
                  members_wanted},
        .run = digest_of_number(1),
        .secret = digest_of_number(2 + sim.incarnation),
        .incarnation = ++sim.incarnation,
        .kernel = "haswell",
        .fingerprint = digest_of_number(3),
        .libraries = "simulated",
        .alive_ms = ALIVE_MS,
        .workers_most = 20 * WORKERS, // the dead keep their place for a while
    };
    sim.core = core_new(&config);
    CHECK(sim.core != NULL);
    sim.tag_count = 0;
    for (int i = 0; i < TASKS; i++) {
        Job *job = &sim.jobs[i];
        job->commits = 0;
        if (job->is_done || job->is_lost) {
            continue;
        }
        job->tag = (TaskTag)sim.tag_count;
        sim.job_of_tag[sim.tag_count++] = i;
        group_changed(NULL, job->tag, 0);
        // A replica lives in the coordinator's memory: a new one starts from the checkpoint, here
        // the beginning.
        job->round = 0;
        job->value = (uint64_t)i;
        CoreTask task = {.kind = job->kind,
                         .tag = job->tag,
                         .shards = job->kind == TASK_TRAIN ? SHARDS : 0,
                         .deaths = job->deaths,
                         .cannots = job->cannots};
        CHECK_OK(core_add_task(sim.core, &task, sim.now_ms));
    }
}

// ---- workers ----

static Event *say(int worker, const Message *message, const void *bytes, size_t size) {
    Event *event = add_message(TO_CORE, worker);
    event->message = *message;
    keep_bytes(event, bytes, size);
    return event;
}

static void say_hello(int worker) {
    Worker *w = &sim.workers[worker];
    w->is_welcome = false;
    w->allowance = 0;
    w->session++;
    Message hello = {.type = MESSAGE_HELLO};
    hello.hello.protocol_least = PROTOCOL_LEAST;
    hello.hello.protocol_most = PROTOCOL_MOST;
    hello.hello.program = hello.hello.libraries = "sim";
    snprintf(w->name, sizeof w->name, "%d.%d", worker, (int)w->number);
    hello.hello.name = w->name;
    hello.hello.worker_id = digest_of_number(1000 + w->number);
    hello.hello.threads = 1;
    hello.hello.kernel = "haswell";
    hello.hello.fingerprint = digest_of_number(3);
    say(worker, &hello, "", 0);
}

static void connect_worker(int worker) {
    Worker *w = &sim.workers[worker];
    w->life++;
    w->peer = sim.next_peer++;
    w->heard_ms = sim.now_ms;
    w->held_count = 0;
    memset(w->lane_free_ms, 0, sizeof w->lane_free_ms);
    say_hello(worker);
    add_event(BEAT, worker, ALIVE_MS);
}

static void start_worker(int worker) {
    Worker *w = &sim.workers[worker];
    w->is_alive = true;
    w->frozen_until_ms = 0;
    w->number = sim.next_number++;
    connect_worker(worker);
}

static void break_connection(int worker, bool is_noticed) {
    Worker *w = &sim.workers[worker];
    if (is_noticed) {
        Event *event = add_event(CLOSED, worker, 1 + below(50));
        event->peer = w->peer;
    }
    w->life++; // what is on the way is lost
    w->held_count = 0;
    w->is_welcome = false;
}

static void kill_worker(int worker) {
    TRACE("worker %d killed", worker);
    sim.kills++;
    break_connection(worker, chance(0.7));
    sim.workers[worker].is_alive = false;
    add_event(REVIVE, worker, 100 + below(20000));
}

static void give_credit(int worker, int count) {
    sim.workers[worker].allowance += count;
    say(worker, &(Message){.type = MESSAGE_CREDIT, .credit = {(uint32_t)count}}, "", 0);
}

static Held *find_held(Worker *w, TaskTag tag, uint64_t attempt) {
    for (int i = 0; i < w->held_count; i++) {
        if (w->held[i].tag == tag && w->held[i].attempt == attempt) {
            return &w->held[i];
        }
    }
    return NULL;
}

static void add_work(int worker, const Held *held) {
    bool is_slow = chance(0.04); // slower than the lease lasts
    Event *event = add_event(WORK, worker, 1 + below(is_slow ? 40000 : 400));
    event->tag = held->tag;
    event->attempt = held->attempt;
}

static void drop_held(int worker, Held *held) {
    Worker *w = &sim.workers[worker];
    bool is_of_session = w->is_welcome && held->session == w->session;
    *held = w->held[--w->held_count];
    if (is_of_session) {
        give_credit(worker, 1);
    }
}

static void send_result(int worker, Held *held, ResultOutcome outcome) {
    uint64_t answer =
        held->kind == TASK_TRAIN ? held->value : mix((uint64_t)sim.job_of_tag[held->tag], 77);
    Message message = {.type = MESSAGE_RESULTS, .results = {.count = 1}};
    WireResult result = {.task = held->tag, .attempt = held->attempt, .outcome = outcome};
    Buffer why = BUFFER_EMPTY;
    if (outcome == RESULT_DONE) {
        buffer_append(&why, &answer, sizeof answer);
    } else {
        body_encode_cannot(&(CannotBody){.reason = "it cannot"}, &why);
    }
    say(worker, &message, why.bytes, why.size)->item.result = result;
    buffer_done(&why);
    drop_held(worker, held);
}

static void send_blob(int worker, const Held *held, BlobKind kind, uint64_t number) {
    Event *event = add_message(TO_CORE_BLOB, worker);
    event->message = (Message){.type = MESSAGE_BLOB};
    event->message.blob.kind = kind;
    event->message.blob.task = held->tag;
    event->message.blob.attempt = held->attempt;
    event->message.blob.round = held->round;
    event->message.blob.first = kind == BLOB_STATE ? 0 : held->share.first;
    event->message.blob.count = kind == BLOB_STATE ? 0 : held->share.count;
    event->message.blob.total_bytes = sizeof number;
    event->message.blob.digest = digest_of(&number, sizeof number);
    keep_bytes(event, &number, sizeof number);
}

static void send_progress(int worker, const Held *held) {
    Message progress = {.type = MESSAGE_PROGRESS};
    progress.progress.task = held->tag;
    progress.progress.attempt = held->attempt;
    progress.progress.done = held->round + 1;
    progress.progress.total = ROUNDS;
    progress.progress.loss = chance(0.5) ? 1.0 : NAN;
    say(worker, &progress, "", 0);
}

static void train_step(int worker, Held *held) {
    uint64_t sum = share_sum(held->value, held->round, held->share);
    if (held->share.count < SHARDS) {
        if (held->round < ROUNDS) {
            send_blob(worker, held, BLOB_PARTIAL, sum);
            held->waits = true;
        } else {
            send_result(worker, held, RESULT_DONE);
        }
        return;
    }
    if (held->round < ROUNDS) {
        held->value = next_value(held->value, held->round, sum);
        held->round++;
        send_progress(worker, held);
        add_work(worker, held);
        return;
    }
    send_blob(worker, held, BLOB_STATE, held->value);
    send_result(worker, held, RESULT_DONE);
}

static void on_work(int worker, TaskTag tag, uint64_t attempt) {
    Worker *w = &sim.workers[worker];
    Held *held = find_held(w, tag, attempt);
    if (held == NULL || held->waits) {
        return;
    }
    // Tags and jobs belong together only in the incarnation that gave the lease.
    const Job *job = attempt >> 32 == sim.incarnation ? job_of(tag) : NULL;
    if (job != NULL && job->is_poison) {
        kill_worker(worker);
    } else if (held->kind == TASK_TRAIN) {
        train_step(worker, held);
    } else {
        bool cannot = job != NULL && (job->nobody_can || chance(0.03));
        sim.cannots += cannot;
        send_result(worker, held, cannot ? RESULT_CANNOT : RESULT_DONE);
    }
}

static void on_task(int worker, const Event *event) {
    Worker *w = &sim.workers[worker];
    Body body;
    CHECK(w->is_welcome);
    CHECK(w->allowance > 0); // never more than was asked for
    w->allowance--;
    CHECK(w->held_count < HELD);
    CHECK_INT(event->size, sizeof body);
    memcpy(&body, event->bytes, sizeof body);
    Held *held = &w->held[w->held_count++];
    *held = (Held){.tag = (TaskTag)event->item.task.task,
                   .attempt = event->item.task.attempt,
                   .kind = event->item.task.kind,
                   .share = {body.first, body.count},
                   .round = body.round,
                   .value = body.value,
                   .session = w->session};
    add_work(worker, held);
}

static void on_total(int worker, const Event *event) {
    Held *held = find_held(&sim.workers[worker], (TaskTag)event->message.blob.task,
                           event->message.blob.attempt);
    if (held == NULL) {
        return;
    }
    uint64_t total;
    CHECK(held->waits);
    CHECK_INT(event->message.blob.kind, BLOB_TOTAL);
    CHECK_INT(event->message.blob.round, held->round);
    memcpy(&total, event->bytes, sizeof total);
    held->value = next_value(held->value, held->round, total);
    held->round++;
    held->waits = false;
    send_progress(worker, held);
    add_work(worker, held);
}

static void on_control(int worker, const Event *event) {
    Worker *w = &sim.workers[worker];
    const Message *message = &event->message;
    w->heard_ms = sim.now_ms;
    TRACE("worker %d (peer %u, session %u) gets %d", worker, w->peer, w->session,
          (int)message->type);
    Held *held;
    switch ((int)message->type) {
    case MESSAGE_WELCOME:
        w->is_welcome = true;
        w->token = message->welcome.token;
        give_credit(worker, CREDITS);
        break;
    case MESSAGE_TASKS:
        on_task(worker, event);
        break;
    case MESSAGE_CANCEL:
        held = find_held(w, (TaskTag)message->cancel.task, message->cancel.attempt);
        if (held != NULL) {
            drop_held(worker, held);
        }
        break;
    case MESSAGE_REFUSED:
        // After an accident only; code 7 may come once for each message that was on the way.
        CHECK_INT(message->refused.code, REFUSED_UNKNOWN);
        if (w->is_welcome) {
            // One that is in the middle of something may finish it, and send what nobody awaits.
            w->held_count = chance(0.5) ? 0 : w->held_count;
            say_hello(worker);
        }
        break;
    case MESSAGE_ACKS:
    case MESSAGE_ECHO:
        break;
    default:
        TEST_FAIL("a worker got message %d", (int)message->type);
    }
}

static void on_beat(int worker) {
    Worker *w = &sim.workers[worker];
    if (sim.now_ms - w->heard_ms > 10 * ALIVE_MS) {
        break_connection(worker, chance(0.5));
        connect_worker(worker);
        return;
    }
    say(worker, &(Message){.type = MESSAGE_ALIVE}, "", 0);
    add_event(BEAT, worker, ALIVE_MS);
}

// ---- what the core wants done ----

static int worker_of_peer(CorePeer peer) {
    for (int i = 0; i < WORKERS; i++) {
        if (sim.workers[i].peer == peer && sim.workers[i].is_alive) {
            return i;
        }
    }
    return -1;
}

// Tasks of a bundle arrive one after the other.
static void send_tasks(int worker, const CoreAction *action) {
    for (uint32_t i = 0; i < action->message.tasks.count; i++) {
        const WireTask *task = &action->message.tasks.items[i];
        Event *event = add_message(TO_WORKER, worker);
        event->message = action->message;
        event->item.task = *task;
        keep_bytes(event, task->body, task->body_bytes);
    }
}

static void send_to_worker(const CoreAction *action) {
    int worker = worker_of_peer(action->peer);
    for (uint32_t i = 0; action->message.type == MESSAGE_ACKS && i < action->message.acks.count;
         i++) {
        // Either durable now or committed by the coordinator before.
        CHECK(job_of((TaskTag)action->message.acks.items[i].task)->is_done);
    }
    // Every member gets a total, but only its first action carries it.
    static Event total;
    if (action->kind == CORE_TOTAL && action->blob.size > 0) {
        keep_bytes(&total, action->blob.bytes, action->blob.size);
    }
    if (worker < 0) {
        return;
    }
    TRACE("core sends %d to worker %d (peer %u)", (int)action->message.type, worker, action->peer);
    if (action->message.type == MESSAGE_TASKS) {
        send_tasks(worker, action);
        return;
    }
    Event *event = add_message(action->kind == CORE_SEND ? TO_WORKER : TO_WORKER_TOTAL, worker);
    event->message = action->message;
    if (action->kind == CORE_TOTAL) {
        keep_bytes(event, total.bytes, total.size);
    } else {
        keep_bytes(event, action->blob.bytes, action->blob.size);
    }
}

static void on_commit(const CoreAction *action) {
    Job *job = job_of(action->tag);
    uint64_t answer;
    CHECK(!job->is_done && job->commits == 0);
    CHECK_INT(action->blob.size, sizeof answer);
    memcpy(&answer, action->blob.bytes, sizeof answer);
    CHECK(answer == right_answer(sim.job_of_tag[action->tag]));
    job->commits++;
    Event *event = add_event(DURABLE, -1, below(chance(0.2) ? 3000 : 30));
    event->tag = action->tag;
}

static void do_actions(void) {
    CoreAction action;
    while (core_next_action(sim.core, &action)) {
        uint64_t answer;
        int worker;
        switch (action.kind) {
        case CORE_SEND:
        case CORE_TOTAL:
            send_to_worker(&action);
            break;
        case CORE_COMMIT:
            on_commit(&action);
            break;
        case CORE_DROP:
            worker = worker_of_peer(action.peer);
            if (worker >= 0) {
                sim.workers[worker].peer = sim.next_peer++; // a stranger from now on
            }
            break;
        case CORE_IMPOSSIBLE: // told like the next, by no worker here
        case CORE_CANNOT:
            answer = right_answer(sim.job_of_tag[action.tag]);
            CHECK_OK(core_answer(sim.core, action.tag, &answer, sizeof answer, sim.now_ms));
            break;
        case CORE_POISON:
            sim.poisons++;
            if (job_of(action.tag)->is_poison) {
                job_of(action.tag)->is_lost = true;
                core_abandon(sim.core, action.tag);
            } else {
                core_retry(sim.core, action.tag, sim.now_ms);
            }
            break;
        case CORE_LEFT:
        case CORE_NOTE:
            TRACE("core: %s", buffer_cstr(&action.blob));
            break;
        case CORE_FAILED:
            job_of(action.tag)->deaths = action.deaths;
            job_of(action.tag)->cannots = action.cannots;
            break;
        case CORE_ALARM:
            TEST_FAIL("%s", buffer_cstr(&action.blob));
        case CORE_JOINED:
            break;
        }
        core_action_done(&action);
    }
}

// ---- the run ----

static void restart_core(void) {
    TRACE("coordinator restarted");
    sim.restarts++;
    core_free(sim.core);
    start_core();
    for (int i = 0; i < WORKERS; i++) {
        if (sim.workers[i].is_alive && chance(0.5)) {
            break_connection(i, false);
            connect_worker(i);
        } else {
            // The connection was kept up by the messaging layer; its peer number is new.
            sim.workers[i].peer = sim.next_peer++;
        }
    }
}

static void on_accident(void) {
    if (sim.is_calm) {
        return;
    }
    int worker = (int)below(WORKERS);
    Worker *w = &sim.workers[worker];
    uint32_t what = below(100);
    if (what < 4) {
        restart_core();
    } else if (!w->is_alive) {
        // nothing left to break
    } else if (what < 40) {
        kill_worker(worker);
    } else if (what < 70) {
        TRACE("worker %d loses its connection", worker);
        sim.breaks++;
        break_connection(worker, chance(0.5));
        connect_worker(worker);
    } else {
        sim.freezes++;
        int64_t until_ms = sim.now_ms + below(40 * ALIVE_MS);
        w->frozen_until_ms = until_ms > w->frozen_until_ms ? until_ms : w->frozen_until_ms;
        TRACE("worker %d frozen", worker);
    }
    add_event(ACCIDENT, -1, 1 + below(3000))->life = 0;
}

static void give_message(Event *event) {
    Message *message = &event->message;
    if (message->type == MESSAGE_RESULTS) {
        event->item.result.body = event->bytes;
        event->item.result.body_bytes = event->size;
        message->results.items = &event->item.result;
    }
    TRACE("core gets %d from worker %d (peer %u)", (int)message->type, event->worker,
          sim.workers[event->worker].peer);
    // Peers are renumbered by a drop or a new coordinator, whatever lay on the way.
    core_on_message(sim.core, sim.workers[event->worker].peer, message, sim.now_ms);
}

static bool is_void(const Event *event) {
    if (event->kind == ACCIDENT || event->kind == CLOSED) {
        return false;
    }
    if (event->worker < 0) {
        return event->life != sim.incarnation;
    }
    bool is_awaited = sim.workers[event->worker].is_alive || event->kind == REVIVE;
    return !is_awaited || event->life != sim.workers[event->worker].life;
}

static void happen(Event *event) {
    Worker *w = event->worker >= 0 ? &sim.workers[event->worker] : NULL;
    bool is_for_worker = event->kind == TO_WORKER || event->kind == TO_WORKER_TOTAL ||
                         event->kind == WORK || event->kind == BEAT;
    if (is_for_worker && w->frozen_until_ms > sim.now_ms) {
        // Later, in the same order.
        Event *again = add_event(event->kind, event->worker, 0);
        int64_t until_ms = w->frozen_until_ms;
        uint64_t order = event->order;
        *again = *event;
        again->at_ms = until_ms;
        again->order = order;
        return;
    }
    switch (event->kind) {
    case TO_CORE:
        give_message(event);
        break;
    case TO_CORE_BLOB:
        core_on_blob(sim.core, w->token, &event->message, event->bytes, event->size, sim.now_ms);
        break;
    case TO_WORKER:
        on_control(event->worker, event);
        break;
    case TO_WORKER_TOTAL:
        on_total(event->worker, event);
        break;
    case CLOSED:
        core_on_closed(sim.core, event->peer, sim.now_ms);
        break;
    case WORK:
        on_work(event->worker, event->tag, event->attempt);
        break;
    case BEAT:
        on_beat(event->worker);
        break;
    case REVIVE:
        start_worker(event->worker);
        break;
    case DURABLE:
        job_of(event->tag)->is_done = true;
        core_on_durable(sim.core, event->tag, sim.now_ms);
        break;
    case ACCIDENT:
        on_accident();
        break;
    }
}

static void make_world(uint64_t seed) {
    memset(&sim, 0, sizeof sim);
    sim.seed = seed;
    sim.rng = rng_of(seed, "sim", 0, 0);
    sim.trace = getenv("SIM_TRACE") != NULL;
    sim.next_peer = 1;
    for (int i = 0; i < TASKS; i++) {
        uint32_t kind = below(10);
        sim.jobs[i].kind = kind < 3 ? TASK_TRAIN : kind < 6 ? TASK_PROBE : TASK_SCORE;
        bool is_batch = sim.jobs[i].kind != TASK_TRAIN;
        sim.jobs[i].is_poison = is_batch && chance(0.03);
        sim.jobs[i].nobody_can = is_batch && chance(0.05);
    }
    start_core();
    for (int i = 0; i < WORKERS; i++) {
        start_worker(i);
    }
    add_event(ACCIDENT, -1, below(3000))->life = 0;
}

static int count_open(void) {
    int open = 0;
    for (int i = 0; i < TASKS; i++) {
        open += !sim.jobs[i].is_done && !sim.jobs[i].is_lost;
    }
    return open;
}

static void check_end(void) {
    CoreCounts counts = core_counts(sim.core);
    CHECK_INT(counts.waiting, 0);
    CHECK_INT(counts.answered, 0);
    CHECK_INT(counts.done + counts.abandoned, sim.tag_count);
    for (int i = 0; i < TASKS; i++) {
        CHECK(sim.jobs[i].is_done || sim.jobs[i].is_poison);
    }
}

static void run_world(uint64_t seed) {
    long blocks = mem_blocks();
    make_world(seed);
    int64_t tick_ms = 0;
    while (count_open() > 0) {
        CHECK(sim.now_ms < HOURS_MOST * 3600000ll);
        // Accidents end at last, or a run with bad luck would never.
        sim.is_calm = sim.now_ms > 30 * 60000;
        CHECK(sim.event_count > 0);
        Event event = take_next_event();
        if (event.at_ms > tick_ms && tick_ms > sim.now_ms) {
            sim.events[sim.event_count++] = event;
            sim.now_ms = tick_ms;
        } else {
            sim.now_ms = event.at_ms > sim.now_ms ? event.at_ms : sim.now_ms;
            if (!is_void(&event)) {
                happen(&event);
            }
        }
        do_actions();
        tick_ms = core_tick(sim.core, sim.now_ms);
        CHECK(tick_ms > sim.now_ms);
        do_actions();
    }
    check_end();
    core_free(sim.core);
    sim.core = NULL;
    CHECK_INT(mem_blocks(), blocks);
}

TEST(no_accident_loses_or_doubles_a_task) {
    const char *one = getenv("SIM_SEED");
    uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1;
    uint64_t count = one != NULL ? 1 : getenv("AUSCULT_LONG") != NULL ? 20000 : 300;
    int kills = 0, breaks = 0, freezes = 0, restarts = 0, poisons = 0, cannots = 0, groups = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        run_world(seed);
        kills += sim.kills;
        breaks += sim.breaks;
        freezes += sim.freezes;
        restarts += sim.restarts;
        poisons += sim.poisons;
        cannots += sim.cannots;
        groups += sim.groups;
    }
    printf("%llu clusters: %d kills, %d broken connections, %d freezes, %d new coordinators, "
           "%d poisonings, %d refusals, %d groups\n",
           (unsigned long long)count, kills, breaks, freezes, restarts, poisons, cannots, groups);
    if (one == NULL) {
        CHECK(kills > 0 && breaks > 0 && freezes > 0 && restarts > 0 && poisons > 0 &&
              cannots > 0 && groups > 0);
    }
}

// Runs when the test above has failed, which ends before it could say where.
TEST(the_seed_to_run_again_is_told) {
    printf("last cluster: SIM_SEED=%llu\n", (unsigned long long)sim.seed);
    core_free(sim.core);
}

TEST_MAIN_LIST(T(no_accident_loses_or_doubles_a_task) T(the_seed_to_run_again_is_told))
