// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the core share: a core with a fake owner, workers that say what the test lets
// them say, and time that is what the test says it is.
#ifndef AUSCULT_TESTS_UNIT_COORDINATOR_CORE_TEST_H
#define AUSCULT_TESTS_UNIT_COORDINATOR_CORE_TEST_H

#include "tests/unit/test.h"

#include <stdbool.h>
#include <stdint.h>

#include "common/base/mem.h"
#include "coordinator/core/core.h"

enum { ALIVE_MS = 1000, INCARNATION = 5, SHARDS = 4, PEERS = 32, STEP_MS = 500, KEPT = 4096 };

static Core *core;
static int64_t now_ms;
static bool is_speaking[PEERS]; // peers that say ALIVE while time passes
static Status next_verdict;     // of take_answer
static uint32_t wanted;         // members of the next group
static uint32_t changes;        // calls of group_changed with 0 members
static bool gives_total;        // take_sum completes the round
static Status sum_verdict;      // of take_sum, if it is STATUS_INVALID
static size_t body_bytes;       // of a task's body, when its text is not enough

// ---- the owner ----

static inline void task_body(void *context, TaskTag tag, CoreShare share, Buffer *out) {
    (void)context;
    buffer_format(out, "%u:%u+%u", tag, share.first, share.count);
    while (out->size < body_bytes) {
        buffer_text(out, ".");
    }
}

static inline Status take_answer(void *context, TaskTag tag, CoreShare share, const void *bytes,
                                 size_t size) {
    (void)context, (void)tag, (void)share, (void)bytes, (void)size;
    return next_verdict == STATUS_OK ? STATUS_OK : status_set(next_verdict, "as ordered");
}

enum { BLOB_MOST = 1000 };

static inline uint64_t blob_most(void *context, TaskTag tag) {
    (void)context;
    return BLOB_MOST + tag;
}

static inline Status take_state(void *context, TaskTag tag, const void *bytes, size_t size) {
    (void)context, (void)tag, (void)bytes, (void)size;
    return STATUS_OK;
}

static inline Status take_sum(void *context, TaskTag tag, const CoreSum *sum, Buffer *total,
                              BlobKind *total_kind) {
    (void)context, (void)tag, (void)sum;
    if (sum_verdict == STATUS_INVALID) {
        buffer_text(total, "diverged");
        return status_set(sum_verdict, "as ordered");
    }
    if (!gives_total) {
        return STATUS_AGAIN;
    }
    buffer_text(total, "total");
    *total_kind = BLOB_TOTAL;
    return STATUS_OK;
}

static inline Status group_changed(void *context, TaskTag tag, uint32_t members) {
    (void)context, (void)tag;
    changes += members == 0;
    return STATUS_OK;
}

static inline uint32_t members_wanted(void *context, TaskTag tag, uint32_t free_workers,
                                      uint32_t sessions, uint32_t train_tasks, int64_t waited_ms) {
    (void)context, (void)tag, (void)sessions, (void)train_tasks, (void)waited_ms;
    return wanted <= free_workers ? wanted : 0;
}

static inline Digest digest_of_number(uint64_t number) {
    return digest_of(&number, sizeof number);
}

static inline void begin(uint32_t workers_most) {
    CoreConfig config = {
        .hooks = {NULL, task_body, take_answer, blob_most, take_state, take_sum, group_changed,
                  members_wanted},
        .secret = digest_of_number(9),
        .incarnation = INCARNATION,
        .kernel = "haswell",
        .fingerprint = digest_of_number(3),
        .libraries = "simulated",
        .alive_ms = ALIVE_MS,
        .workers_most = workers_most,
    };
    now_ms = 1000000;
    memset(is_speaking, 0, sizeof is_speaking);
    next_verdict = STATUS_OK;
    wanted = 1;
    changes = 0;
    gives_total = false;
    sum_verdict = STATUS_OK;
    body_bytes = 0;
    core = core_new(&config);
    CHECK(core != NULL);
}

// ---- what comes out ----

static CoreAction kept[KEPT];
static int kept_count;

static inline void forget_actions(void) {
    for (int i = 0; i < kept_count; i++) {
        core_action_done(&kept[i]);
    }
    kept_count = 0;
}

static inline void tick(void) {
    CHECK(core_tick(core, now_ms) > now_ms);
    while (core_next_action(core, &kept[kept_count])) {
        CHECK(++kept_count < KEPT);
    }
}

static inline void say(CorePeer peer, const Message *message) {
    core_on_message(core, peer, message, now_ms);
}

// Lets time pass while the workers that are there say ALIVE, and keeps all actions since the last
// call.
static inline void after(int64_t ms) {
    forget_actions();
    for (; ms > STEP_MS; ms -= STEP_MS) {
        now_ms += STEP_MS;
        for (CorePeer peer = 0; peer < PEERS; peer++) {
            if (is_speaking[peer]) {
                say(peer, &(Message){.type = MESSAGE_ALIVE});
            }
        }
        tick();
    }
    now_ms += ms;
    tick();
}

static inline void end(void) {
    forget_actions();
    core_free(core);
    core = NULL;
}

static inline const CoreAction *find(CoreActionKind kind, CorePeer peer, int type) {
    for (int i = 0; i < kept_count; i++) {
        bool is_type = kind != CORE_SEND || ((int)kept[i].message.type == type);
        if (kept[i].kind == kind && is_type && (peer == 0 || kept[i].peer == peer)) {
            return &kept[i];
        }
    }
    return NULL;
}

// What the action of this kind tells, "" when there is none.
static inline const char *told(CoreActionKind kind, CorePeer peer) {
    const CoreAction *action = find(kind, peer, 0);
    return action != NULL ? buffer_cstr(&action->blob) : "";
}

static inline const Message *sent(CorePeer peer, MessageType type) {
    const CoreAction *action = find(CORE_SEND, peer, (int)type);
    return action != NULL ? &action->message : NULL;
}

// The attempt of the task that the peer was given, 0 when it was not.
static inline uint64_t given(CorePeer peer, TaskTag tag) {
    for (int i = 0; i < kept_count; i++) {
        const Message *message = &kept[i].message;
        bool is_tasks = kept[i].kind == CORE_SEND && message->type == MESSAGE_TASKS;
        for (uint32_t t = 0; is_tasks && kept[i].peer == peer && t < message->tasks.count; t++) {
            if (message->tasks.items[t].task == tag) {
                return message->tasks.items[t].attempt;
            }
        }
    }
    return 0;
}

// How many tasks the peer was given.
static inline uint32_t count_given(CorePeer peer) {
    uint32_t count = 0;
    for (int i = 0; i < kept_count; i++) {
        bool is_tasks = kept[i].kind == CORE_SEND && kept[i].message.type == MESSAGE_TASKS;
        count += is_tasks && kept[i].peer == peer ? kept[i].message.tasks.count : 0;
    }
    return count;
}

// Whether the peer was told that its answer is durable.
static inline bool acknowledged(CorePeer peer, TaskTag tag) {
    for (int i = 0; i < kept_count; i++) {
        const Message *message = &kept[i].message;
        bool is_acks = kept[i].kind == CORE_SEND && message->type == MESSAGE_ACKS;
        for (uint32_t a = 0; is_acks && kept[i].peer == peer && a < message->acks.count; a++) {
            if (message->acks.items[a].task == tag) {
                return true;
            }
        }
    }
    return false;
}

static inline bool cancelled(CorePeer peer, TaskTag tag) {
    for (int i = 0; i < kept_count; i++) {
        if (kept[i].kind == CORE_SEND && kept[i].message.type == MESSAGE_CANCEL &&
            kept[i].peer == peer && kept[i].message.cancel.task == tag) {
            return true;
        }
    }
    return false;
}

// ---- what goes in ----

static inline Message hello_of(uint64_t worker) {
    static char name[32];
    snprintf(name, sizeof name, "worker-%llu", (unsigned long long)worker);
    Message hello = {.type = MESSAGE_HELLO};
    hello.hello.protocol_least = hello.hello.protocol_most = PROTOCOL_MOST;
    hello.hello.program = hello.hello.libraries = "test";
    hello.hello.name = name;
    hello.hello.worker_id = digest_of_number(worker);
    hello.hello.threads = 1;
    hello.hello.kernel = "haswell";
    hello.hello.fingerprint = digest_of_number(3);
    return hello;
}

static inline void ask(CorePeer peer, uint32_t credits) {
    say(peer, &(Message){.type = MESSAGE_CREDIT, .credit = {credits}});
}

// This worker on this connection, with so many credits.
static inline void join_as(CorePeer peer, uint64_t worker, uint32_t credits) {
    Message hello = hello_of(worker);
    say(peer, &hello);
    if (credits > 0) {
        ask(peer, credits);
    }
    is_speaking[peer] = true;
}

// A worker of its own.
static inline void join(CorePeer peer, uint32_t credits) {
    join_as(peer, peer, credits);
}

static inline void lose(CorePeer peer) {
    is_speaking[peer] = false;
    core_on_closed(core, peer, now_ms);
}

static inline void add(TaskKind kind, TaskTag tag) {
    CoreTask task = {.kind = kind, .tag = tag, .shards = kind == TASK_TRAIN ? SHARDS : 0};
    CHECK_OK(core_add_task(core, &task, now_ms));
}

static inline void answer_with(CorePeer peer, TaskTag tag, uint64_t attempt, const char *body) {
    WireResult result = {tag, attempt, RESULT_DONE, body, strlen(body)};
    say(peer, &(Message){.type = MESSAGE_RESULTS, .results = {.items = &result, .count = 1}});
}

static inline void answer(CorePeer peer, TaskTag tag, uint64_t attempt) {
    answer_with(peer, tag, attempt, "body");
}

static inline void cannot(CorePeer peer, TaskTag tag, uint64_t attempt, ResultOutcome outcome) {
    Buffer why = BUFFER_EMPTY;
    body_encode_cannot(&(CannotBody){.reason = "it is dark here"}, &why);
    WireResult result = {tag, attempt, outcome, why.bytes, why.size};
    say(peer, &(Message){.type = MESSAGE_RESULTS, .results = {.items = &result, .count = 1}});
    buffer_done(&why);
}

#endif
