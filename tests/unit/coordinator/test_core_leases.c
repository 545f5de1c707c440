// SPDX-License-Identifier: Apache-2.0
//
// Tasks given out and answered: credits, bundles, deadlines, acknowledgements.
#include "tests/unit/coordinator/core_test.h"

#include "common/base/limits.h"

static void add_many(TaskKind kind, TaskTag first, uint32_t count) {
    for (TaskTag tag = first; tag < first + count; tag++) {
        add(kind, tag);
    }
}

TEST(nobody_is_sent_more_than_it_asked_for) {
    begin(4);
    join(1, 2);
    add_many(TASK_SCORE, 0, 2000);
    after(0);
    CHECK_INT(count_given(1), 2);
    after(ALIVE_MS / 2);
    CHECK_INT(count_given(1), 0);
    // However many it asks for, it holds at most as many as the protocol lets it ask for at once.
    for (int i = 0; i < 10; i++) {
        ask(1, PROTO_CREDITS);
    }
    after(0);
    CHECK_INT(count_given(1), PROTO_CREDITS - 2);
    end();
}

TEST(who_winds_up_gives_nothing_out_and_takes_what_comes) {
    begin(4);
    join(1, 4);
    add_many(TASK_SCORE, 0, 1);
    after(0);
    CHECK_INT(count_given(1), 1);
    uint64_t attempt = given(1, 0);
    core_wind_up(core);
    add_many(TASK_SCORE, 1, 10);
    after(0);
    CHECK_INT(count_given(1), 0);
    CHECK_INT(core_counts(core).held, 1);
    answer(1, 0, attempt);
    after(0);
    CHECK_INT(count_given(1), 0);
    CHECK_INT(core_counts(core).held, 0);
    CHECK_INT(core_counts(core).answered, 1);
    core_on_durable(core, 0, now_ms);
    after(0);
    CHECK(acknowledged(1, 0));
    CHECK_INT(core_counts(core).answered, 0);
    end();
}

TEST(tasks_of_one_turn_come_in_bundles) {
    begin(4);
    join(1, 300);
    add_many(TASK_EMPTY, 0, 300);
    after(0);
    int bundles = 0;
    uint64_t next = 0;
    for (int i = 0; i < kept_count; i++) {
        if (kept[i].kind == CORE_SEND && kept[i].message.type == MESSAGE_TASKS) {
            bundles++;
            for (uint32_t t = 0; t < kept[i].message.tasks.count; t++, next++) {
                const WireTask *task = &kept[i].message.tasks.items[t];
                char body[32];
                snprintf(body, sizeof body, "%llu:0+0", (unsigned long long)next);
                CHECK_INT(task->task, next);
                CHECK_INT(task->body_bytes, strlen(body));
                CHECK(memcmp(task->body, body, strlen(body)) == 0);
            }
        }
    }
    CHECK_INT(next, 300);
    CHECK_INT(bundles, 2);
    end();
}

TEST(a_bundle_fits_its_message) {
    begin(4);
    join(1, 5);
    body_bytes = PROTO_BODY_BYTES / 2 - 200;
    add_many(TASK_PROBE, 0, 5);
    after(0);
    CHECK_INT(count_given(1), 5);
    for (int i = 0; i < kept_count; i++) {
        if (kept[i].kind == CORE_SEND) {
            Buffer bytes = BUFFER_EMPTY;
            message_encode(&kept[i].message, &bytes);
            CHECK_OK(bytes.status);
            CHECK(bytes.size <= PROTO_CONTROL_BYTES);
            buffer_done(&bytes);
        }
    }
    end();
}

TEST(acknowledgements_of_one_turn_come_in_bundles) {
    begin(4);
    join(1, 300);
    add_many(TASK_EMPTY, 0, 300);
    after(0);
    WireResult results[300];
    for (TaskTag tag = 0; tag < 300; tag++) {
        results[tag] = (WireResult){tag, given(1, tag), RESULT_DONE, "", 0};
    }
    say(1, &(Message){.type = MESSAGE_RESULTS, .results = {.items = results, .count = 256}});
    say(1, &(Message){.type = MESSAGE_RESULTS, .results = {.items = results + 256, .count = 44}});
    after(0);
    // In whatever order the disk has them.
    for (TaskTag tag = 300; tag > 0; tag--) {
        core_on_durable(core, tag - 1, now_ms);
    }
    after(0);
    uint32_t acks = 0;
    int bundles = 0;
    for (int i = 0; i < kept_count; i++) {
        if (kept[i].kind == CORE_SEND && kept[i].message.type == MESSAGE_ACKS) {
            bundles++;
            acks += kept[i].message.acks.count;
        }
    }
    CHECK_INT(acks, 300);
    CHECK_INT(bundles, 2);
    CHECK_INT(core_counts(core).done, 300);
    end();
}

TEST(work_is_shared_out_evenly) {
    begin(4);
    for (CorePeer peer = 1; peer <= 3; peer++) {
        join(peer, 100);
    }
    add_many(TASK_SCORE, 0, 30);
    after(0);
    for (CorePeer peer = 1; peer <= 3; peer++) {
        CHECK_INT(count_given(peer), 10);
    }
    join(4, 100); // who comes late gets what is left
    add_many(TASK_SCORE, 30, 10);
    after(0);
    CHECK_INT(count_given(4), 10);
    end();
}

static void add_at(TaskTag tag, uint32_t place) {
    CoreTask task = {.kind = TASK_SCORE, .tag = tag, .place = place};
    CHECK_OK(core_add_task(core, &task, now_ms));
}

TEST(who_holds_what_a_task_reads_is_given_it_unless_others_have_less_to_do) {
    begin(4);
    join(1, 1);
    add_at(0, 7);
    after(0);
    answer(1, 0, given(1, 0));
    join(2, 8);
    after(0);
    ask(1, 8);
    for (TaskTag tag = 1; tag <= 4; tag++) {
        add_at(tag, 7);
    }
    after(0);
    // Two more than the other, but no further.
    CHECK_INT(count_given(1), 3);
    CHECK(given(1, 1) != 0 && given(1, 2) != 0 && given(1, 3) != 0 && given(2, 4) != 0);
    answer(2, 4, given(2, 4));
    after(0);
    add_at(5, 7); // the other did the last one of it
    add_at(6, 9); // nobody has done any of this
    after(0);
    CHECK(given(2, 5) != 0 && given(2, 6) != 0);
    lose(2);
    after(0);
    CHECK(given(1, 5) != 0 && given(1, 6) != 0);
    end();
}

TEST(an_answer_is_acknowledged_only_once_it_is_durable) {
    begin(4);
    join(1, 1);
    add(TASK_PROBE, 0);
    after(0);
    uint64_t attempt = given(1, 0);
    CHECK_INT(attempt >> 32, INCARNATION);
    answer(1, 0, attempt);
    after(0);
    const CoreAction *commit = find(CORE_COMMIT, 0, 0);
    CHECK(commit != NULL && commit->blob.size == 4);
    CHECK(!acknowledged(1, 0));
    CHECK_INT(core_counts(core).done, 0);
    core_on_durable(core, 0, now_ms);
    after(0);
    CHECK_INT(sent(1, MESSAGE_ACKS)->acks.items[0].attempt, attempt);
    CHECK_INT(core_counts(core).done, 1);
    // Said once more, it is acknowledged once more and dropped.
    answer(1, 0, attempt);
    after(0);
    CHECK(acknowledged(1, 0) && find(CORE_COMMIT, 0, 0) == NULL);
    end();
}

TEST(who_has_left_is_not_acknowledged) {
    begin(4);
    join(1, 1);
    add(TASK_PROBE, 0);
    after(0);
    answer(1, 0, given(1, 0));
    lose(1);
    core_on_durable(core, 0, now_ms);
    after(0);
    CHECK(find(CORE_SEND, 1, MESSAGE_ACKS) == NULL);
    CHECK_INT(core_counts(core).done, 1);
    end();
}

TEST(no_more_is_given_out_than_the_disk_can_follow) {
    enum { MANY = 70000, MOST = 65536 };
    begin(4);
    join(1, PROTO_CREDITS);
    add_many(TASK_EMPTY, 0, MANY);
    TaskTag done = 0;
    for (uint32_t count; after(0), (count = count_given(1)) > 0;) {
        WireResult results[PROTO_CREDITS];
        for (uint32_t i = 0; i < count; i++) {
            results[i] = (WireResult){done + i, given(1, done) + i, RESULT_DONE, "", 0};
        }
        say(1, &(Message){.type = MESSAGE_RESULTS, .results = {.items = results, .count = count}});
        ask(1, count);
        done += count;
    }
    CHECK(done >= MOST && done < MOST + PROTO_CREDITS && done < MANY);
    for (TaskTag tag = 0; tag < done; tag++) {
        core_on_durable(core, tag, now_ms);
    }
    after(0);
    CHECK(count_given(1) > 0);
    end();
}

TEST(a_dead_worker_returns_its_leases_in_their_order) {
    begin(4);
    join(1, 3);
    add_many(TASK_PROBE, 0, 4);
    after(0);
    CHECK_INT(count_given(1), 3);
    lose(1);
    join(2, 1);
    after(0);
    CHECK(given(2, 0) != 0); // what was under work comes first
    answer(2, 0, given(2, 0));
    ask(2, 1);
    after(0);
    CHECK(given(2, 1) != 0);
    CHECK_INT(core_counts(core).retries, 3);
    end();
}

TEST(a_lease_ends_at_its_deadline_unless_progress_moves_it) {
    begin(4);
    join(1, 2);
    add_many(TASK_PROBE, 0, 2);
    after(0);
    uint64_t attempt = given(1, 0);
    uint32_t lease_ms = sent(1, MESSAGE_TASKS)->tasks.items[0].lease_ms;
    Message progress = {.type = MESSAGE_PROGRESS, .progress = {0, attempt, 1, 9, NAN}};
    for (int64_t waited = 0; waited < 3 * (int64_t)lease_ms; waited += ALIVE_MS) {
        progress.progress.done++;
        say(1, &progress);
        after(ALIVE_MS);
        CHECK(find(CORE_NOTE, 0, 0) == NULL);
    }
    // The same count again is no progress.
    int64_t waited = 0;
    while (find(CORE_NOTE, 0, 0) == NULL) {
        say(1, &progress);
        after(ALIVE_MS);
        waited += ALIVE_MS;
        CHECK(waited <= (int64_t)lease_ms + ALIVE_MS);
    }
    CHECK_HAS(told(CORE_NOTE, 0), "worker-1 made no progress with task 0");
    // What waited behind it has not been begun there; it itself has, and is not cancelled.
    CHECK(cancelled(1, 1) && !cancelled(1, 0));
    CHECK_INT(core_counts(core).waiting, 2);
    // Its answer is right all the same, and taken from whoever sends it.
    answer(1, 0, attempt);
    after(0);
    CHECK_INT(find(CORE_COMMIT, 0, 0)->tag, 0);
    end();
}

TEST(what_waits_at_a_worker_is_not_judged) {
    begin(4);
    join(1, 2);
    add_many(TASK_PROBE, 0, 2);
    after(0);
    uint64_t first = given(1, 0);
    uint64_t second = given(1, 1);
    after(9 * ALIVE_MS);
    answer(1, 0, first);
    after(9 * ALIVE_MS); // from its own beginning
    CHECK(find(CORE_NOTE, 0, 0) == NULL);
    answer(1, 1, second);
    after(0);
    CHECK_INT(find(CORE_COMMIT, 0, 0)->tag, 1);
    end();
}

TEST(a_hung_worker_gets_nothing_until_it_works_again) {
    begin(4);
    join(1, 5);
    add(TASK_PROBE, 0);
    after(0);
    uint64_t attempt = given(1, 0);
    after(11 * ALIVE_MS);
    CHECK(find(CORE_NOTE, 0, 0) != NULL);
    add(TASK_PROBE, 1);
    ask(1, 1); // what it did not begin comes back
    after(5 * ALIVE_MS);
    CHECK_INT(count_given(1), 0);
    CHECK_INT(core_counts(core).waiting, 2);
    answer(1, 0, attempt);
    after(0);
    CHECK(given(1, 1) != 0);
    end();
}

TEST(deadlines_follow_what_tasks_take) {
    begin(4);
    join(1, 1);
    for (TaskTag tag = 0; tag < 20; tag++) {
        add(TASK_SCORE, tag);
        after(0);
        uint64_t attempt = given(1, tag);
        CHECK(attempt != 0);
        after(6 * ALIVE_MS);
        answer(1, tag, attempt);
        ask(1, 1);
    }
    add(TASK_SCORE, 20);
    add(TASK_PROBE, 21);
    after(0);
    uint32_t lease_ms = sent(1, MESSAGE_TASKS)->tasks.items[0].lease_ms;
    CHECK(lease_ms >= 60 * ALIVE_MS && lease_ms < 120 * ALIVE_MS);
    answer(1, 20, given(1, 20));
    ask(1, 1);
    after(0);
    lease_ms = sent(1, MESSAGE_TASKS)->tasks.items[0].lease_ms;
    CHECK_INT(lease_ms, 10 * ALIVE_MS); // another kind, of which nothing is known
    end();
}

TEST(an_answer_to_an_earlier_coordinator_is_passed_over) {
    begin(4);
    join(1, 1);
    add(TASK_PROBE, 0);
    after(0);
    answer(1, 0, (uint64_t)(INCARNATION - 1) << 32 | 1);
    after(0);
    CHECK(find(CORE_COMMIT, 0, 0) == NULL && sent(1, MESSAGE_REFUSED) == NULL);
    CHECK_INT(core_counts(core).sessions, 1);
    end();
}

TEST(an_answer_to_no_task_ends_the_session) {
    begin(4);
    join(1, 1);
    add(TASK_PROBE, 0);
    after(0);
    answer(1, 7, given(1, 0));
    after(0);
    CHECK_INT(sent(1, MESSAGE_REFUSED)->refused.code, REFUSED_MALFORMED);
    CHECK_INT(core_counts(core).waiting, 1);
    end();
}

TEST(an_answer_is_taken_whoever_sends_it) {
    begin(4);
    join(1, 1);
    add(TASK_PROBE, 0);
    after(0);
    uint64_t attempt = given(1, 0);
    lose(1);
    after(0);
    join_as(2, 1, 0); // it comes back and says what it found
    answer(2, 0, attempt);
    after(0);
    CHECK(find(CORE_COMMIT, 0, 0) != NULL);
    CHECK_INT(core_counts(core).waiting, 0);
    core_on_durable(core, 0, now_ms);
    after(0);
    CHECK(acknowledged(2, 0));
    end();
}

TEST(a_core_frees_all_it_had) {
    long before = mem_blocks();
    begin(4);
    join(1, 3);
    add(TASK_PROBE, 0);
    add(TASK_TRAIN, 1);
    add(TASK_PROBE, 2);
    after(0);
    cannot(1, 0, given(1, 0), RESULT_CANNOT);
    core_tick(core, now_ms);
    join(2, 3);
    core_tick(core, now_ms);
    answer(2, 2, given(2, 2));
    end();
    CHECK_INT(mem_blocks(), before);
}

static void make_and_free(void) {
    CoreConfig config = {.kernel = "haswell", .libraries = "", .alive_ms = ALIVE_MS};
    core_free(core_new(&config));
}

TEST(a_core_without_memory_is_none) {
    long before = mem_blocks();
    for (long allowed = 0; allowed < 100; allowed++) {
        mem_fail_after(allowed);
        make_and_free();
        CHECK_INT(mem_blocks(), before);
        if (!mem_has_failed()) {
            mem_fail_after(-1);
            return;
        }
    }
    TEST_FAIL("it never had enough");
}

TEST_MAIN_LIST(
    T(nobody_is_sent_more_than_it_asked_for) T(tasks_of_one_turn_come_in_bundles) T(
        a_bundle_fits_its_message) T(acknowledgements_of_one_turn_come_in_bundles)
        T(who_winds_up_gives_nothing_out_and_takes_what_comes) T(work_is_shared_out_evenly) T(
            who_holds_what_a_task_reads_is_given_it_unless_others_have_less_to_do)
            T(an_answer_is_acknowledged_only_once_it_is_durable) T(who_has_left_is_not_acknowledged)
                T(no_more_is_given_out_than_the_disk_can_follow)
                    T(a_dead_worker_returns_its_leases_in_their_order)
                        T(a_lease_ends_at_its_deadline_unless_progress_moves_it)
                            T(what_waits_at_a_worker_is_not_judged)
                                T(a_hung_worker_gets_nothing_until_it_works_again)
                                    T(deadlines_follow_what_tasks_take)
                                        T(an_answer_to_an_earlier_coordinator_is_passed_over)
                                            T(an_answer_to_no_task_ends_the_session)
                                                T(an_answer_is_taken_whoever_sends_it)
                                                    T(a_core_frees_all_it_had)
                                                        T(a_core_without_memory_is_none))
