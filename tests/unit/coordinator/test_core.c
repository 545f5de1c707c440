// SPDX-License-Identifier: Apache-2.0
//
// The scheduler's rules one by one, from the state pictures of PROTOCOL.md; tests/sim has them all
// at once. Time is what the test says it is.
#include "tests/unit/test.h"

#include <stdbool.h>
#include <stdint.h>

#include "common/base/mem.h"
#include "coordinator/core/core.h"

enum { ALIVE_MS = 1000, INCARNATION = 5, SHARDS = 4 };

static Core *core;
static int64_t now_ms;
static Status next_verdict; // of take_answer
static uint32_t wanted;     // members of the next group
static uint32_t changes;    // calls of group_changed with 0 members
static bool gives_total;    // take_sum completes the round
static Status sum_verdict;  // of take_sum, if it is STATUS_INVALID

static void task_body(void *context, TaskTag tag, CoreShare share, Buffer *out) {
    (void)context;
    buffer_format(out, "%u:%u+%u", tag, share.first, share.count);
}

static Status take_answer(void *context, TaskTag tag, CoreShare share, const void *bytes,
                          size_t size) {
    (void)context, (void)tag, (void)share, (void)bytes, (void)size;
    return next_verdict == STATUS_OK ? STATUS_OK : status_set(next_verdict, "as ordered");
}

static Status take_state(void *context, TaskTag tag, const void *bytes, size_t size) {
    (void)context, (void)tag, (void)bytes, (void)size;
    return STATUS_OK;
}

static Status take_sum(void *context, TaskTag tag, const CoreSum *sum, Buffer *total,
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

static Status group_changed(void *context, TaskTag tag, uint32_t members) {
    (void)context, (void)tag;
    changes += members == 0;
    return STATUS_OK;
}

static uint32_t members_wanted(void *context, TaskTag tag, uint32_t free_workers, uint32_t sessions,
                               uint32_t train_tasks, int64_t waited_ms) {
    (void)context, (void)tag, (void)sessions, (void)train_tasks, (void)waited_ms;
    return wanted <= free_workers ? wanted : 0;
}

static Digest digest_of_number(uint64_t number) {
    return digest_of(&number, sizeof number);
}

static void begin(uint32_t workers_most) {
    CoreConfig config = {
        .hooks = {NULL, task_body, take_answer, take_state, take_sum, group_changed,
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
    next_verdict = STATUS_OK;
    wanted = 1;
    changes = 0;
    gives_total = false;
    sum_verdict = STATUS_OK;
    core = core_new(&config);
    CHECK(core != NULL);
}

// ---- what comes out ----

static CoreAction kept[256];
static int kept_count;

static void forget_actions(void) {
    for (int i = 0; i < kept_count; i++) {
        buffer_done(&kept[i].blob);
    }
    kept_count = 0;
}

// Lets time pass, ticks, and keeps all actions since the last call.
static void after(int64_t ms) {
    forget_actions();
    now_ms += ms;
    CHECK(core_tick(core, now_ms) > now_ms);
    while (core_next_action(core, &kept[kept_count])) {
        CHECK(++kept_count < 256);
    }
}

static void end(void) {
    forget_actions();
    core_free(core);
    core = NULL;
}

static const CoreAction *find(CoreActionKind kind, CorePeer peer, int type) {
    for (int i = 0; i < kept_count; i++) {
        bool is_peers = kind != CORE_SEND || ((int)kept[i].message.type == type);
        if (kept[i].kind == kind && is_peers && (peer == 0 || kept[i].peer == peer)) {
            return &kept[i];
        }
    }
    return NULL;
}

// What the action of this kind tells, "" when there is none.
static const char *told(CoreActionKind kind, CorePeer peer) {
    const CoreAction *action = find(kind, peer, 0);
    return action != NULL ? action->text : "";
}

static const Message *sent(CorePeer peer, MessageType type) {
    const CoreAction *action = find(CORE_SEND, peer, (int)type);
    return action != NULL ? &action->message : NULL;
}

static int count_sent(CorePeer peer, MessageType type) {
    int count = 0;
    for (int i = 0; i < kept_count; i++) {
        count += kept[i].kind == CORE_SEND && kept[i].peer == peer && kept[i].message.type == type;
    }
    return count;
}

// ---- what goes in ----

static Message hello_of(uint64_t worker) {
    Message hello = {.type = MESSAGE_HELLO};
    hello.hello.protocol_least = hello.hello.protocol_most = PROTOCOL_MOST;
    hello.hello.program = hello.hello.libraries = "test";
    hello.hello.name = "worker";
    hello.hello.worker_id = digest_of_number(worker);
    hello.hello.threads = 1;
    hello.hello.kernel = "haswell";
    hello.hello.fingerprint = digest_of_number(3);
    return hello;
}

static void say(CorePeer peer, const Message *message) {
    core_on_message(core, peer, message, now_ms);
}

// A worker that is welcome, with so many credits.
static void join(CorePeer peer, uint32_t credits) {
    Message hello = hello_of(peer);
    say(peer, &hello);
    if (credits > 0) {
        say(peer, &(Message){.type = MESSAGE_CREDIT, .credit = {credits}});
    }
}

static void add(TaskKind kind, TaskTag tag) {
    CHECK_OK(core_add_task(core, kind, tag, kind == TASK_TRAIN ? SHARDS : 0, now_ms));
}

// The attempt of the TASK that the peer was sent, 0 when it was sent none.
static uint64_t attempt_of(CorePeer peer) {
    const Message *task = sent(peer, MESSAGE_TASKS);
    return task != NULL ? task->tasks.items[0].attempt : 0;
}

static void answer(CorePeer peer, TaskTag tag, uint64_t attempt, ResultOutcome outcome) {
    WireResult result = {tag, attempt, outcome, "body", 4};
    Buffer why = BUFFER_EMPTY;
    if (outcome != RESULT_DONE) {
        body_encode_cannot(&(CannotBody){.reason = "it is dark here"}, &why);
        result.body = why.bytes;
        result.body_bytes = why.size;
    }
    say(peer, &(Message){.type = MESSAGE_RESULTS, .results = {.items = &result, .count = 1}});
    buffer_done(&why);
}

// ---- sessions ----

static void check_refused(Message hello, RefusedCode code, const char *part) {
    begin(1);
    say(7, &hello);
    after(0);
    const Message *refused = sent(7, MESSAGE_REFUSED);
    CHECK(refused != NULL && sent(7, MESSAGE_WELCOME) == NULL);
    CHECK_INT(refused->refused.code, code);
    CHECK_HAS(refused->refused.text, part);
    CHECK_INT(core_counts(core).sessions, 0);
    CHECK_HAS(told(CORE_NOTE, 0), "refused");
    end();
}

TEST(workers_that_do_not_fit_are_refused_by_name) {
    Message hello = hello_of(1);
    hello.hello.protocol_least = hello.hello.protocol_most = PROTOCOL_MOST + 4;
    check_refused(hello, REFUSED_PROTOCOL, "protocol 5 to 5");
    hello = hello_of(1);
    hello.hello.kernel = "prescott";
    check_refused(hello, REFUSED_KERNEL, "'haswell'");
    hello = hello_of(1);
    hello.hello.fingerprint = digest_of_number(4);
    check_refused(hello, REFUSED_FINGERPRINT, "bits");
}

TEST(one_worker_too_many_is_refused) {
    begin(2);
    join(1, 0);
    join(2, 0);
    join(3, 0);
    after(0);
    CHECK(sent(1, MESSAGE_WELCOME) != NULL && sent(2, MESSAGE_WELCOME) != NULL);
    CHECK_INT(sent(3, MESSAGE_REFUSED)->refused.code, REFUSED_FULL);
    end();
}

TEST(who_has_no_session_is_told_to_say_hello) {
    begin(4);
    say(1, &(Message){.type = MESSAGE_ALIVE});
    after(0);
    CHECK_INT(sent(1, MESSAGE_REFUSED)->refused.code, REFUSED_UNKNOWN);
    end();
}

TEST(a_coordinators_message_from_a_worker_ends_its_session) {
    begin(4);
    join(1, 1);
    add(TASK_PROBE, 0);
    after(0);
    say(1, &(Message){.type = MESSAGE_END, .end = {"so there"}});
    after(0);
    CHECK_INT(sent(1, MESSAGE_REFUSED)->refused.code, REFUSED_MALFORMED);
    CHECK(find(CORE_DROP, 1, 0) != NULL);
    CHECK_INT(core_counts(core).waiting, 1);
    end();
}

TEST(a_second_hello_replaces_the_session) {
    begin(4);
    join(1, 1);
    add(TASK_PROBE, 0);
    after(0);
    uint64_t old = attempt_of(1);
    // The same process on another connection: its lease is free at once.
    Message hello = hello_of(1);
    say(2, &hello);
    say(2, &(Message){.type = MESSAGE_CREDIT, .credit = {1}});
    after(0);
    CHECK_INT(core_counts(core).sessions, 1);
    CHECK(attempt_of(2) != 0 && attempt_of(2) != old);
    end();
}

TEST(tokens_of_sessions_differ) {
    begin(4);
    join(1, 0);
    join(2, 0);
    after(0);
    Digest one = sent(1, MESSAGE_WELCOME)->welcome.token;
    Digest other = sent(2, MESSAGE_WELCOME)->welcome.token;
    CorePeer peer = 0;
    CHECK(!digest_equal(one, other));
    CHECK(core_peer_of_token(core, other, &peer));
    CHECK_INT(peer, 2);
    CHECK(!core_peer_of_token(core, digest_of_number(77), &peer));
    end();
}

// ---- leases ----

TEST(nobody_is_sent_more_than_it_asked_for) {
    begin(4);
    join(1, 2);
    for (TaskTag tag = 0; tag < 5; tag++) {
        add(TASK_SCORE, tag);
    }
    after(0);
    CHECK_INT(count_sent(1, MESSAGE_TASKS), 2);
    after(ALIVE_MS);
    CHECK_INT(count_sent(1, MESSAGE_TASKS), 0);
    // However many it asks for, it holds at most as many as the protocol lets it ask for at once.
    for (int i = 0; i < 10; i++) {
        say(1, &(Message){.type = MESSAGE_CREDIT, .credit = {64}});
    }
    for (TaskTag tag = 5; tag < 200; tag++) {
        add(TASK_SCORE, tag);
    }
    after(0);
    CHECK_INT(count_sent(1, MESSAGE_TASKS), 62);
    end();
}

TEST(an_answer_is_acknowledged_only_once_it_is_durable) {
    begin(4);
    join(1, 1);
    add(TASK_PROBE, 0);
    after(0);
    uint64_t attempt = attempt_of(1);
    CHECK_INT(attempt >> 32, INCARNATION);
    answer(1, 0, attempt, RESULT_DONE);
    after(0);
    const CoreAction *commit = find(CORE_COMMIT, 0, 0);
    CHECK(commit != NULL && commit->blob.size == 4);
    CHECK(sent(1, MESSAGE_ACKS) == NULL);
    CHECK_INT(core_counts(core).done, 0);
    core_on_durable(core, 0, now_ms);
    after(0);
    CHECK(sent(1, MESSAGE_ACKS)->acks.items[0].attempt == attempt);
    CHECK_INT(core_counts(core).done, 1);
    // Said once more, it is acknowledged once more and dropped.
    answer(1, 0, attempt, RESULT_DONE);
    after(0);
    CHECK(sent(1, MESSAGE_ACKS) != NULL && find(CORE_COMMIT, 0, 0) == NULL);
    end();
}

TEST(a_dead_worker_returns_its_lease) {
    begin(4);
    join(1, 1);
    add(TASK_PROBE, 0);
    after(0);
    core_on_closed(core, 1, now_ms);
    join(2, 1);
    after(0);
    CHECK(attempt_of(2) != 0);
    CHECK_INT(core_counts(core).retries, 1);
    end();
}

TEST(a_silent_worker_keeps_its_lease_for_a_while_and_gets_no_more) {
    begin(4);
    join(1, 2);
    add(TASK_PROBE, 0);
    after(0);
    CHECK(attempt_of(1) != 0);
    after(3 * ALIVE_MS);
    add(TASK_PROBE, 1);
    after(0);
    CHECK_INT(count_sent(1, MESSAGE_TASKS), 0);
    CHECK_INT(core_counts(core).sessions, 1);
    say(1, &(Message){.type = MESSAGE_ALIVE});
    after(0);
    CHECK(sent(1, MESSAGE_ECHO) != NULL);
    CHECK_INT(count_sent(1, MESSAGE_TASKS), 1);
    after(30 * ALIVE_MS);
    CHECK_INT(core_counts(core).sessions, 0);
    CHECK(find(CORE_DROP, 1, 0) != NULL && find(CORE_LEFT, 1, 0) != NULL);
    CHECK_INT(core_counts(core).waiting, 2);
    end();
}

TEST(a_lease_ends_at_its_deadline_unless_progress_moves_it) {
    begin(4);
    join(1, 1);
    add(TASK_PROBE, 0);
    after(0);
    uint64_t attempt = attempt_of(1);
    uint32_t lease_ms = sent(1, MESSAGE_TASKS)->tasks.items[0].lease_ms;
    Message progress = {.type = MESSAGE_PROGRESS, .progress = {0, attempt, 1, 9, NAN}};
    for (int64_t waited = 0; waited < 3 * (int64_t)lease_ms; waited += ALIVE_MS) {
        progress.progress.done++;
        say(1, &progress);
        after(ALIVE_MS);
        CHECK(sent(1, MESSAGE_CANCEL) == NULL);
    }
    // The same count again is no progress.
    int64_t waited = 0;
    while (sent(1, MESSAGE_CANCEL) == NULL) {
        say(1, &progress);
        after(ALIVE_MS);
        waited += ALIVE_MS;
        CHECK(waited <= (int64_t)lease_ms + ALIVE_MS);
    }
    CHECK_INT(core_counts(core).waiting, 1);
    // Its answer is right all the same, and taken from whoever sends it.
    answer(1, 0, attempt, RESULT_DONE);
    after(0);
    CHECK(find(CORE_COMMIT, 0, 0) != NULL);
    end();
}

TEST(a_second_answer_is_dropped) {
    begin(4);
    join(1, 1);
    add(TASK_PROBE, 0);
    after(0);
    uint64_t first = attempt_of(1);
    after(29 * ALIVE_MS); // past the deadline, not yet lost
    join(2, 1);
    after(0);
    uint64_t second = attempt_of(2);
    CHECK(second != 0);
    answer(2, 0, second, RESULT_DONE);
    after(0);
    CHECK(find(CORE_COMMIT, 0, 0) != NULL);
    // Before the disk, and after it.
    answer(1, 0, first, RESULT_DONE);
    after(0);
    CHECK(find(CORE_COMMIT, 0, 0) == NULL && sent(1, MESSAGE_ACKS) == NULL);
    core_on_durable(core, 0, now_ms);
    answer(1, 0, first, RESULT_DONE);
    after(0);
    CHECK(find(CORE_COMMIT, 0, 0) == NULL && sent(1, MESSAGE_ACKS) != NULL);
    end();
}

TEST(an_answer_to_an_earlier_coordinator_is_passed_over) {
    begin(4);
    join(1, 1);
    add(TASK_PROBE, 0);
    after(0);
    answer(1, 0, (uint64_t)(INCARNATION - 1) << 32 | 1, RESULT_DONE);
    after(0);
    CHECK(find(CORE_COMMIT, 0, 0) == NULL && sent(1, MESSAGE_REFUSED) == NULL);
    CHECK_INT(core_counts(core).sessions, 1);
    end();
}

TEST(a_wrong_answer_ends_the_session_and_frees_the_task) {
    begin(4);
    join(1, 1);
    add(TASK_PROBE, 0);
    after(0);
    next_verdict = STATUS_FORMAT;
    answer(1, 0, attempt_of(1), RESULT_DONE);
    after(0);
    CHECK_INT(sent(1, MESSAGE_REFUSED)->refused.code, REFUSED_MALFORMED);
    CHECK_INT(core_counts(core).sessions, 0);
    CHECK_INT(core_counts(core).waiting, 1);
    CHECK(find(CORE_COMMIT, 0, 0) == NULL);
    end();
}

TEST(a_worker_that_cannot_say_why_it_cannot_is_refused) {
    begin(2);
    join(1, 2);
    add(TASK_PROBE, 0);
    after(0);
    WireResult junk = {0, attempt_of(1), RESULT_CANNOT, "junk", 4};
    Message result = {.type = MESSAGE_RESULTS, .results = {.items = &junk, .count = 1}};
    say(1, &result);
    after(0);
    CHECK_INT(sent(1, MESSAGE_REFUSED)->refused.code, REFUSED_MALFORMED);
    CHECK_INT(core_counts(core).waiting, 1);
    CHECK(find(CORE_CANNOT, 0, 0) == NULL);
    end();
}

TEST(only_a_training_can_be_impossible) {
    begin(2);
    join(1, 2);
    add(TASK_SCORE, 0);
    after(0);
    answer(1, 0, attempt_of(1), RESULT_IMPOSSIBLE);
    after(0);
    CHECK_INT(sent(1, MESSAGE_REFUSED)->refused.code, REFUSED_MALFORMED);
    CHECK_INT(core_counts(core).waiting, 1);
    CHECK(find(CORE_IMPOSSIBLE, 0, 0) == NULL);
    end();
}

TEST(a_worker_that_cannot_is_not_asked_again_while_there_are_others) {
    begin(4);
    join(1, 4);
    join(2, 4);
    add(TASK_PROBE, 0);
    after(0);
    CorePeer first = attempt_of(1) != 0 ? 1 : 2;
    CorePeer other = 3 - first;
    answer(first, 0, attempt_of(first), RESULT_CANNOT);
    after(0);
    CHECK(attempt_of(first) == 0 && attempt_of(other) != 0);
    // When nobody is left, the owner looks by itself.
    answer(other, 0, attempt_of(other), RESULT_CANNOT);
    after(0);
    CHECK(find(CORE_CANNOT, 0, 0) != NULL);
    CHECK(attempt_of(1) == 0 && attempt_of(2) == 0);
    CHECK_OK(core_answer(core, 0, "body", 4, now_ms));
    after(0);
    CHECK(find(CORE_COMMIT, 0, 0) != NULL);
    end();
}

TEST(a_task_that_kills_its_workers_is_given_up_by_the_owner) {
    begin(8);
    add(TASK_SCORE, 0);
    for (CorePeer peer = 1; find(CORE_POISON, 0, 0) == NULL; peer++) {
        CHECK(peer < 8);
        join(peer, 1);
        after(0);
        CHECK(attempt_of(peer) != 0);
        core_on_closed(core, peer, now_ms);
        after(0);
    }
    core_abandon(core, 0);
    join(20, 1);
    after(0);
    CHECK(attempt_of(20) == 0);
    CHECK_INT(core_counts(core).abandoned, 1);
    end();
}

TEST(a_worker_that_leaves_politely_poisons_nothing) {
    begin(8);
    add(TASK_SCORE, 0);
    for (CorePeer peer = 1; peer < 7; peer++) {
        join(peer, 1);
        after(0);
        CHECK(attempt_of(peer) != 0);
        say(peer, &(Message){.type = MESSAGE_GOODBYE, .goodbye = {"shift is over"}});
        after(0);
        CHECK(find(CORE_POISON, 0, 0) == NULL);
        CHECK_HAS(told(CORE_LEFT, peer), "shift is over");
    }
    end();
}

// ---- models ----

static void send_sum(CorePeer peer, uint64_t attempt, uint32_t first, uint32_t count) {
    Message header = {.type = MESSAGE_BLOB};
    header.blob.kind = BLOB_PARTIAL;
    header.blob.attempt = attempt;
    header.blob.first = first;
    header.blob.count = count;
    CoreSession session;
    CHECK(core_session(core, peer, &session));
    core_on_blob(core, session.token, &header, "sum", 3, now_ms);
}

// Two members of task 0; their attempts.
static void form_pair(uint64_t attempts[2]) {
    wanted = 2;
    add(TASK_TRAIN, 0);
    join(1, 1);
    after(0);
    CHECK(attempt_of(1) == 0); // one worker is no group of two
    join(2, 1);
    after(0);
    attempts[0] = attempt_of(1);
    attempts[1] = attempt_of(2);
    CHECK(attempts[0] != 0 && attempts[1] != 0);
}

TEST(members_of_a_group_own_halves_and_get_every_total) {
    uint64_t attempts[2];
    begin(4);
    form_pair(attempts);
    CHECK(memcmp(sent(1, MESSAGE_TASKS)->tasks.items[0].body, "0:0+2", 5) == 0);
    CHECK(memcmp(sent(2, MESSAGE_TASKS)->tasks.items[0].body, "0:2+2", 5) == 0);
    send_sum(1, attempts[0], 0, 2);
    after(0);
    CHECK(find(CORE_TOTAL, 0, 0) == NULL);
    gives_total = true;
    send_sum(2, attempts[1], 2, 2);
    after(0);
    for (CorePeer peer = 1; peer <= 2; peer++) {
        const CoreAction *total = find(CORE_TOTAL, peer, 0);
        CHECK(total != NULL && total->message.blob.attempt == attempts[peer - 1]);
        CHECK_INT(total->message.blob.total_bytes, 5);
        CHECK_TEXT(buffer_cstr(&total->blob), peer == 1 ? "total" : "");
    }
    answer(1, 0, attempts[0], RESULT_DONE);
    after(0);
    CHECK(find(CORE_COMMIT, 0, 0) == NULL);
    answer(2, 0, attempts[1], RESULT_DONE);
    after(0);
    CHECK(find(CORE_COMMIT, 0, 0) != NULL);
    end();
}

TEST(a_lost_member_ends_the_group_and_a_new_one_forms) {
    uint64_t attempts[2];
    begin(4);
    form_pair(attempts);
    core_on_closed(core, 1, now_ms);
    after(0);
    CHECK_INT(sent(2, MESSAGE_CANCEL)->cancel.attempt, attempts[1]);
    CHECK_INT(changes, 1);
    wanted = 1;
    say(2, &(Message){.type = MESSAGE_CREDIT, .credit = {1}});
    after(200);
    CHECK(attempt_of(2) != 0 && attempt_of(2) != attempts[1]);
    CHECK(memcmp(sent(2, MESSAGE_TASKS)->tasks.items[0].body, "0:0+4", 5) == 0);
    end();
}

TEST(who_waits_for_others_is_not_blamed_for_their_delay) {
    uint64_t attempts[2];
    begin(4);
    form_pair(attempts);
    send_sum(1, attempts[0], 0, 2);
    bool is_cancelled = false;
    for (int i = 0; i < 60 && !is_cancelled; i++) {
        say(1, &(Message){.type = MESSAGE_ALIVE});
        say(2, &(Message){.type = MESSAGE_ALIVE});
        after(ALIVE_MS);
        is_cancelled = sent(2, MESSAGE_CANCEL) != NULL;
        const CoreAction *note = find(CORE_NOTE, 0, 0);
        CHECK((note != NULL) == is_cancelled);
    }
    CHECK(is_cancelled);
    end();
}

TEST(a_sum_of_shards_that_a_member_does_not_own_ends_its_session) {
    uint64_t attempts[2];
    begin(4);
    form_pair(attempts);
    send_sum(1, attempts[0], 2, 2);
    after(0);
    CHECK_INT(sent(1, MESSAGE_REFUSED)->refused.code, REFUSED_MALFORMED);
    CHECK(sent(2, MESSAGE_CANCEL) != NULL);
    end();
}

TEST(a_sum_that_ends_all_hope_blames_no_worker) {
    uint64_t attempts[2];
    begin(4);
    form_pair(attempts);
    send_sum(1, attempts[0], 0, 2);
    sum_verdict = STATUS_INVALID;
    send_sum(2, attempts[1], 2, 2);
    after(0);
    const CoreAction *action = find(CORE_IMPOSSIBLE, 0, 0);
    CHECK(action != NULL && action->tag == 0);
    CHECK_TEXT(buffer_cstr(&action->blob), "diverged");
    for (CorePeer peer = 1; peer <= 2; peer++) {
        CHECK_INT(sent(peer, MESSAGE_CANCEL)->cancel.attempt, attempts[peer - 1]);
        CHECK(sent(peer, MESSAGE_REFUSED) == NULL);
    }
    CHECK_INT(changes, 1);
    core_abandon(core, 0);
    after(1000);
    CHECK(sent(1, MESSAGE_TASKS) == NULL && sent(2, MESSAGE_TASKS) == NULL);
    CHECK_INT(core_counts(core).abandoned, 1);
    end();
}

TEST(poison_and_training_do_not_meet) {
    begin(16);
    add(TASK_TRAIN, 0);
    for (CorePeer peer = 1; peer < 12; peer++) {
        join(peer, 1);
        after(200);
        CHECK(attempt_of(peer) != 0);
        core_on_closed(core, peer, now_ms);
        after(0);
        CHECK(find(CORE_POISON, 0, 0) == NULL);
    }
    end();
}

TEST(the_end_is_told_to_all) {
    begin(4);
    join(1, 1);
    join(2, 1);
    add(TASK_PROBE, 0);
    after(0);
    core_end(core, "the run is over");
    after(0);
    CHECK_TEXT(sent(1, MESSAGE_END)->end.text, "the run is over");
    CHECK(sent(2, MESSAGE_END) != NULL);
    CHECK_INT(core_counts(core).sessions, 0);
    end();
}

TEST(a_core_frees_all_it_had) {
    long before = mem_blocks();
    begin(4);
    join(1, 3);
    add(TASK_PROBE, 0);
    add(TASK_TRAIN, 1);
    after(0);
    answer(1, 0, attempt_of(1), RESULT_CANNOT);
    end();
    CHECK_INT(mem_blocks(), before);
}

TEST_MAIN_LIST(
    T(a_worker_that_cannot_say_why_it_cannot_is_refused) T(only_a_training_can_be_impossible) T(
        workers_that_do_not_fit_are_refused_by_name) T(one_worker_too_many_is_refused)
        T(who_has_no_session_is_told_to_say_hello) T(
            a_coordinators_message_from_a_worker_ends_its_session)
            T(a_second_hello_replaces_the_session) T(tokens_of_sessions_differ) T(
                nobody_is_sent_more_than_it_asked_for)
                T(an_answer_is_acknowledged_only_once_it_is_durable) T(
                    a_dead_worker_returns_its_lease)
                    T(a_silent_worker_keeps_its_lease_for_a_while_and_gets_no_more) T(
                        a_lease_ends_at_its_deadline_unless_progress_moves_it)
                        T(a_second_answer_is_dropped) T(
                            an_answer_to_an_earlier_coordinator_is_passed_over)
                            T(a_wrong_answer_ends_the_session_and_frees_the_task) T(
                                a_worker_that_cannot_is_not_asked_again_while_there_are_others)
                                T(a_task_that_kills_its_workers_is_given_up_by_the_owner) T(
                                    a_worker_that_leaves_politely_poisons_nothing)
                                    T(members_of_a_group_own_halves_and_get_every_total) T(
                                        a_lost_member_ends_the_group_and_a_new_one_forms)
                                        T(who_waits_for_others_is_not_blamed_for_their_delay) T(
                                            a_sum_of_shards_that_a_member_does_not_own_ends_its_session)
                                            T(a_sum_that_ends_all_hope_blames_no_worker)
                                                T(poison_and_training_do_not_meet)
                                                    T(the_end_is_told_to_all)
                                                        T(a_core_frees_all_it_had))
