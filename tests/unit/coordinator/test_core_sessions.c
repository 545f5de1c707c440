// SPDX-License-Identifier: Apache-2.0
//
// Who is admitted, who is heard of, who is gone.
#include "tests/unit/coordinator/core_test.h"

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

TEST(an_unwanted_hello_is_refused_and_ends_what_session_there_was) {
    begin(4);
    join(1, 0);
    after(0);
    CHECK_INT(core_counts(core).sessions, 1);
    core_on_unwanted(core, 1, "too often", now_ms);
    core_on_unwanted(core, 2, "too often", now_ms);
    after(0);
    CHECK_INT(core_counts(core).sessions, 0);
    CHECK_INT(sent(1, MESSAGE_REFUSED)->refused.code, REFUSED_FULL);
    CHECK_INT(sent(2, MESSAGE_REFUSED)->refused.code, REFUSED_FULL);
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
    CHECK_INT(core_counts(core).waiting, 1);
    after(0);
    CHECK_INT(sent(1, MESSAGE_REFUSED)->refused.code, REFUSED_MALFORMED);
    CHECK(find(CORE_DROP, 1, 0) != NULL);
    end();
}

TEST(a_second_hello_replaces_the_session) {
    begin(4);
    join(1, 1);
    add(TASK_PROBE, 0);
    after(0);
    uint64_t old = given(1, 0);
    // The same process on another connection: its lease is free at once, and nobody died.
    join_as(2, 1, 1);
    after(0);
    CHECK_INT(core_counts(core).sessions, 1);
    CHECK(given(2, 0) != 0 && given(2, 0) != old);
    CHECK(find(CORE_FAILED, 0, 0) == NULL);
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

TEST(a_thousand_sessions_are_told_apart) {
    enum { MANY = 1024 };
    begin(MANY);
    for (CorePeer peer = 1; peer <= MANY; peer++) {
        Message hello = hello_of(peer);
        say(peer, &hello);
        ask(peer, 1);
    }
    for (TaskTag tag = 0; tag < MANY; tag++) {
        add(TASK_EMPTY, tag);
    }
    after(0);
    for (CorePeer peer = 1; peer <= MANY; peer++) {
        CHECK_INT(count_given(peer), 1);
        CoreSession session;
        CorePeer found = 0;
        CHECK(core_session(core, peer, &session));
        CHECK(core_peer_of_token(core, session.token, &found) && found == peer);
    }
    for (CorePeer peer = 1; peer <= MANY; peer += 2) {
        core_on_closed(core, peer, now_ms);
    }
    CHECK_INT(core_counts(core).sessions, MANY / 2);
    for (CorePeer peer = 1; peer <= MANY; peer++) {
        CoreSession session;
        CHECK(core_session(core, peer, &session) == (peer % 2 == 0));
    }
    CHECK_INT(core_counts(core).waiting, MANY / 2);
    end();
}

TEST(a_silent_worker_keeps_its_lease_for_a_while_and_gets_no_more) {
    begin(4);
    join(1, 2);
    add(TASK_TRAIN, 0);
    after(0);
    CHECK(given(1, 0) != 0);
    is_speaking[1] = false;
    join(2, 0);
    after(3 * ALIVE_MS);
    add(TASK_PROBE, 1);
    after(0);
    CHECK_INT(core_counts(core).sessions, 2);
    CHECK_INT(core_counts(core).waiting, 1);
    after(26 * ALIVE_MS);
    CHECK_INT(core_counts(core).sessions, 2);
    after(ALIVE_MS);
    CHECK_INT(core_counts(core).sessions, 1);
    CHECK(find(CORE_DROP, 1, 0) != NULL && find(CORE_LEFT, 1, 0) != NULL);
    CHECK_INT(core_counts(core).waiting, 2);
    end();
}

TEST(a_quiet_worker_gets_no_work_until_it_is_heard) {
    begin(4);
    join(1, 2);
    after(0);
    is_speaking[1] = false;
    after(3 * ALIVE_MS);
    add(TASK_PROBE, 0);
    after(0);
    CHECK_INT(count_given(1), 0);
    say(1, &(Message){.type = MESSAGE_ALIVE});
    after(0);
    CHECK(sent(1, MESSAGE_ECHO) != NULL);
    CHECK(given(1, 0) != 0);
    end();
}

TEST(a_loop_that_was_late_judges_nobody_before_it_has_listened) {
    begin(4);
    join(1, 1);
    add(TASK_PROBE, 0);
    after(0);
    uint64_t attempt = given(1, 0);
    // The coordinator slept for a minute; what its worker said lies unread.
    forget_actions();
    now_ms += 60 * ALIVE_MS;
    int64_t due_ms = core_tick(core, now_ms);
    CHECK(due_ms <= now_ms + ALIVE_MS);
    CHECK_INT(core_counts(core).sessions, 1);
    answer(1, 0, attempt);
    after(due_ms - now_ms);
    CHECK(find(CORE_COMMIT, 0, 0) != NULL);
    CHECK(find(CORE_LEFT, 0, 0) == NULL && find(CORE_FAILED, 0, 0) == NULL);
    // One that has said nothing all the while is judged then.
    core_on_durable(core, 0, now_ms);
    is_speaking[1] = false;
    forget_actions();
    now_ms += 60 * ALIVE_MS;
    core_tick(core, now_ms);
    CHECK_INT(core_counts(core).sessions, 1);
    after(ALIVE_MS);
    CHECK_INT(core_counts(core).sessions, 0);
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

TEST(workers_that_come_and_go_leave_no_memory_behind) {
    begin(4);
    long blocks = 0;
    for (uint64_t worker = 1; worker <= 20000; worker++) {
        join_as(1, worker, 1);
        after(0);
        lose(1);
        after(0);
        forget_actions();
        blocks = worker == 2000 ? mem_blocks() : blocks;
    }
    CHECK_INT(mem_blocks(), blocks);
    end();
}

TEST(a_second_hello_on_a_connection_ends_session_and_connection) {
    begin(4);
    join(1, 1);
    add(TASK_PROBE, 0);
    after(0);
    Message hello = hello_of(2); // though it calls itself another worker
    say(1, &hello);
    after(0);
    CHECK_INT(sent(1, MESSAGE_REFUSED)->refused.code, REFUSED_MALFORMED);
    CHECK(find(CORE_DROP, 1, 0) != NULL && sent(1, MESSAGE_WELCOME) == NULL);
    CHECK_INT(core_counts(core).sessions, 0);
    CHECK_INT(core_counts(core).waiting, 1);
    end();
}

// Tells of a task's progress; `loss` may be NaN.
static void report(CorePeer peer, TaskTag tag, uint64_t done, double loss) {
    Message message = {.type = MESSAGE_PROGRESS};
    message.progress.task = tag;
    message.progress.attempt = given(peer, tag);
    message.progress.done = done;
    message.progress.total = 9;
    message.progress.loss = loss;
    say(peer, &message);
}

TEST(a_session_tells_what_is_under_work_and_how_long_it_was_busy) {
    CoreSession session;
    begin(4);
    join(1, 2);
    after(1000); // nothing to do yet
    CHECK(core_session_at(core, 0, now_ms, &session));
    CHECK(!core_session_at(core, 1, now_ms, &(CoreSession){0}));
    CHECK_TEXT(session.name, "worker-1");
    CHECK_INT(session.busy_ms, 0);
    CHECK_INT(session.leases, 0);
    int64_t joined_ms = session.joined_ms;
    CHECK_INT(now_ms - joined_ms, 1000);
    add(TASK_PROBE, 0);
    add(TASK_SCORE, 1);
    after(0);
    uint64_t first = given(1, 0), second = given(1, 1);
    report(1, 0, 4, 0.5);
    now_ms += 300;
    CHECK(core_session_at(core, 0, now_ms, &session));
    CHECK_INT(session.leases, 2);
    CHECK_INT(session.tag, 0);
    CHECK_INT(session.done, 4);
    CHECK_INT(session.total, 9);
    CHECK_NEAR(session.loss, 0.5, 0);
    CHECK_INT(session.busy_ms, 300);
    report(1, 0, 5, NAN); // keeps the last loss
    CHECK(core_session_at(core, 0, now_ms, &session));
    CHECK_NEAR(session.loss, 0.5, 0);
    answer(1, 0, first);
    CHECK(core_session_at(core, 0, now_ms, &session));
    CHECK_INT(session.tag, 1); // of which nothing was told
    CHECK_INT(session.done, 0);
    CHECK(isnan(session.loss));
    now_ms += 200;
    answer(1, 1, second);
    now_ms += 5000; // idle
    CHECK(core_session_at(core, 0, now_ms, &session));
    CHECK_INT(session.busy_ms, 500);
    CHECK_INT(session.tasks_done, 2);
    CHECK_INT(session.joined_ms, joined_ms);
    CoreCounts counts = core_counts(core);
    CHECK_INT(counts.kinds[TASK_PROBE].answered, 1);
    CHECK_INT(counts.kinds[TASK_PROBE].busy_ms, 300);
    CHECK_INT(counts.kinds[TASK_SCORE].busy_ms, 200);
    end();
}

TEST(who_leaves_is_told_with_name_work_and_time) {
    begin(4);
    join(1, 2);
    add(TASK_PROBE, 0);
    add(TASK_PROBE, 1);
    after(0);
    now_ms += 100;
    answer(1, 0, given(1, 0));
    now_ms += 50;
    lose(1);
    after(0);
    const CoreAction *left = find(CORE_LEFT, 1, 0);
    CHECK(left != NULL);
    CHECK_TEXT(buffer_cstr(&left->items), "worker-1");
    CHECK_INT(left->tasks_done, 1);
    CHECK_INT(left->busy_ms, 150);
    end();
}

TEST_MAIN_LIST(
    T(a_session_tells_what_is_under_work_and_how_long_it_was_busy)
        T(who_leaves_is_told_with_name_work_and_time)
            T(a_second_hello_on_a_connection_ends_session_and_connection)
                T(workers_that_do_not_fit_are_refused_by_name) T(one_worker_too_many_is_refused)
                    T(an_unwanted_hello_is_refused_and_ends_what_session_there_was)
                        T(who_has_no_session_is_told_to_say_hello)
                            T(a_coordinators_message_from_a_worker_ends_its_session) T(
                                a_second_hello_replaces_the_session) T(tokens_of_sessions_differ)
                                T(a_thousand_sessions_are_told_apart) T(
                                    a_silent_worker_keeps_its_lease_for_a_while_and_gets_no_more)
                                    T(a_quiet_worker_gets_no_work_until_it_is_heard)
                                        T(a_loop_that_was_late_judges_nobody_before_it_has_listened)

                                            T(the_end_is_told_to_all)
                                                T(workers_that_come_and_go_leave_no_memory_behind))
