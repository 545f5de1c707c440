// SPDX-License-Identifier: Apache-2.0
//
// Tasks that workers fail, or die on: who is asked next, who is blamed, what is poison.
#include "tests/unit/coordinator/core_test.h"

enum { GRACE_MS = 10000 };

// A new worker is given task 0 and dies of it.
static void die_on_it(CorePeer peer) {
    join(peer, 1);
    after(0);
    CHECK(given(peer, 0) != 0);
    lose(peer);
}

static void check_failed(uint32_t deaths, uint32_t cannots) {
    const CoreAction *failed = find(CORE_FAILED, 0, 0);
    CHECK(failed != NULL);
    CHECK_INT(failed->deaths, deaths);
    CHECK_INT(failed->cannots, cannots);
}

TEST(a_wrong_answer_ends_the_session_and_frees_the_task) {
    begin(4);
    join(1, 1);
    add(TASK_PROBE, 0);
    after(0);
    next_verdict = STATUS_FORMAT;
    answer(1, 0, given(1, 0));
    after(0);
    CHECK_INT(sent(1, MESSAGE_REFUSED)->refused.code, REFUSED_MALFORMED);
    CHECK_INT(core_counts(core).sessions, 0);
    CHECK_INT(core_counts(core).waiting, 1);
    CHECK(find(CORE_COMMIT, 0, 0) == NULL);
    check_failed(0, 1);
    end();
}

TEST(a_worker_that_cannot_say_why_it_cannot_is_refused) {
    begin(2);
    join(1, 2);
    add(TASK_PROBE, 0);
    after(0);
    WireResult junk = {0, given(1, 0), RESULT_CANNOT, "junk", 4};
    say(1, &(Message){.type = MESSAGE_RESULTS, .results = {.items = &junk, .count = 1}});
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
    cannot(1, 0, given(1, 0), RESULT_IMPOSSIBLE);
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
    CorePeer first = given(1, 0) != 0 ? 1 : 2;
    CorePeer other = 3 - first;
    cannot(first, 0, given(first, 0), RESULT_CANNOT);
    after(0);
    CHECK(given(first, 0) == 0 && given(other, 0) != 0);
    // When nobody is left, the owner looks by itself.
    cannot(other, 0, given(other, 0), RESULT_CANNOT);
    after(0);
    const CoreAction *action = find(CORE_CANNOT, 0, 0);
    CHECK(action != NULL && action->blob.size > 0);
    CHECK(given(1, 0) == 0 && given(2, 0) == 0);
    CHECK_OK(core_answer(core, 0, "body", 4, now_ms));
    after(0);
    CHECK(find(CORE_COMMIT, 0, 0) != NULL);
    end();
}

TEST(three_that_cannot_are_enough) {
    begin(8);
    for (CorePeer peer = 1; peer <= 5; peer++) {
        join(peer, 1);
    }
    add(TASK_PROBE, 0);
    int asked = 0;
    for (after(0); find(CORE_CANNOT, 0, 0) == NULL; after(0)) {
        for (CorePeer peer = 1; peer <= 5; peer++) {
            if (given(peer, 0) != 0) {
                cannot(peer, 0, given(peer, 0), RESULT_CANNOT);
                asked++;
                break;
            }
        }
        CHECK(asked < 5);
    }
    CHECK_INT(asked, 3);
    end();
}

TEST(who_could_is_waited_for_and_missed_once_it_leaves) {
    begin(4);
    join(1, 4);
    join(2, 0); // could, and is busy elsewhere
    add(TASK_PROBE, 0);
    after(0);
    cannot(1, 0, given(1, 0), RESULT_CANNOT);
    after(ALIVE_MS);
    CHECK(find(CORE_CANNOT, 0, 0) == NULL && given(1, 0) == 0);
    lose(2);
    after(ALIVE_MS);
    CHECK(find(CORE_CANNOT, 0, 0) != NULL);
    end();
}

// ---- deaths ----

TEST(a_task_that_kills_its_workers_is_given_up_by_the_owner) {
    begin(8);
    add(TASK_SCORE, 0);
    for (CorePeer peer = 1; peer <= 3; peer++) {
        die_on_it(peer);
        after(0);
        check_failed(peer, 0);
        CHECK(find(CORE_POISON, 0, 0) == NULL);
    }
    // One of them may come back yet; until then nobody else is put at risk.
    join(4, 1);
    after(GRACE_MS - 1);
    CHECK(find(CORE_POISON, 0, 0) == NULL && given(4, 0) == 0);
    after(1);
    CHECK_INT(find(CORE_POISON, 0, 0)->tag, 0);
    core_abandon(core, 0);
    after(0);
    CHECK(given(4, 0) == 0);
    CHECK_INT(core_counts(core).abandoned, 1);
    end();
}

TEST(a_worker_that_comes_back_did_not_die) {
    begin(8);
    add(TASK_SCORE, 0);
    for (CorePeer peer = 1; peer <= 6; peer++) {
        join_as(peer, 77, 1);
        after(0);
        CHECK(given(peer, 0) != 0);
        lose(peer);
        after(0);
        check_failed(1, 0);
    }
    join_as(7, 77, 1);
    after(0);
    check_failed(0, 0);
    end();
}

TEST(a_condemned_task_is_pardoned_when_one_of_the_dead_comes_back) {
    begin(8);
    add(TASK_SCORE, 0);
    for (CorePeer peer = 1; peer <= 3; peer++) {
        die_on_it(peer);
    }
    after(GRACE_MS / 2);
    join_as(4, 2, 1);
    after(GRACE_MS);
    CHECK(find(CORE_POISON, 0, 0) == NULL);
    CHECK(given(4, 0) != 0);
    answer(4, 0, given(4, 0));
    after(0);
    CHECK(find(CORE_COMMIT, 0, 0) != NULL);
    end();
}

TEST(an_answer_pardons_a_condemned_task) {
    begin(8);
    add(TASK_SCORE, 0);
    join(1, 1);
    after(0);
    uint64_t attempt = given(1, 0);
    lose(1);
    die_on_it(2);
    die_on_it(3);
    join(4, 0);
    answer(4, 0, attempt);
    after(2 * GRACE_MS);
    CHECK(find(CORE_COMMIT, 0, 0) != NULL && find(CORE_POISON, 0, 0) == NULL);
    CHECK_INT(core_counts(core).waiting, 0);
    end();
}

TEST(a_death_blames_only_what_was_under_work) {
    begin(8);
    for (TaskTag tag = 0; tag < 3; tag++) {
        add(TASK_SCORE, tag);
    }
    for (CorePeer peer = 1; peer <= 3; peer++) {
        join(peer, 3);
        after(0);
        CHECK_INT(count_given(peer), peer < 3 ? 3 : 1); // the suspect is alone at last
        lose(peer);
        after(0);
        CHECK_INT(find(CORE_FAILED, 0, 0)->tag, 0);
    }
    join(4, 3);
    after(GRACE_MS);
    CHECK(given(4, 0) == 0 && given(4, 1) != 0 && given(4, 2) != 0);
    CHECK_INT(find(CORE_POISON, 0, 0)->tag, 0);
    end();
}

TEST(a_suspect_is_given_alone_to_a_fresh_worker) {
    begin(8);
    join(1, 2);
    add(TASK_SCORE, 0);
    after(0);
    answer(1, 0, given(1, 0)); // so that 1 is not fresh
    ask(1, 1);
    CoreTask suspect = {.kind = TASK_SCORE, .tag = 1, .deaths = 2};
    CHECK_OK(core_add_task(core, &suspect, now_ms));
    add(TASK_SCORE, 2);
    add(TASK_SCORE, 3);
    join(2, 3);
    after(0);
    CHECK(given(2, 1) != 0);
    CHECK_INT(count_given(2), 1);
    CHECK(given(1, 2) != 0 && given(1, 3) != 0);
    answer(2, 1, given(2, 1));
    add(TASK_SCORE, 4);
    after(0);
    CHECK(given(2, 4) != 0);
    end();
}

TEST(a_suspect_does_not_join_a_busy_worker) {
    begin(8);
    join(1, 3);
    add(TASK_SCORE, 0);
    after(0);
    uint64_t attempt = given(1, 0);
    CoreTask suspect = {.kind = TASK_SCORE, .tag = 1, .deaths = 2};
    CHECK_OK(core_add_task(core, &suspect, now_ms));
    after(0);
    CHECK(given(1, 1) == 0);
    answer(1, 0, attempt);
    after(0);
    CHECK(given(1, 1) != 0);
    end();
}

TEST(failures_are_known_to_the_next_coordinator) {
    begin(8);
    CoreTask task = {.kind = TASK_SCORE, .tag = 0, .deaths = 2};
    CHECK_OK(core_add_task(core, &task, now_ms));
    die_on_it(1);
    after(GRACE_MS);
    CHECK(find(CORE_POISON, 0, 0) != NULL);
    end();
}

TEST(a_hung_worker_counts_as_dead_and_the_next_lease_is_longer) {
    begin(8);
    join(1, 1);
    add(TASK_SCORE, 0);
    after(0);
    uint32_t lease_ms = sent(1, MESSAGE_TASKS)->tasks.items[0].lease_ms;
    after(lease_ms);
    check_failed(1, 0);
    join(2, 1);
    after(0);
    CHECK_INT(sent(2, MESSAGE_TASKS)->tasks.items[0].lease_ms, 4 * lease_ms);
    end();
}

TEST(the_only_worker_is_asked_again_after_it_seemed_dead) {
    begin(8);
    join(1, 2);
    add(TASK_SCORE, 0);
    add(TASK_SCORE, 1);
    after(0);
    uint64_t second = given(1, 1);
    after(11 * ALIVE_MS);
    check_failed(1, 0);
    answer(1, 1, second); // it did not hang, it went wrong somehow
    ask(1, 1);
    after(ALIVE_MS);
    CHECK(given(1, 0) != 0);
    end();
}

TEST(a_worker_that_leaves_politely_poisons_nothing) {
    begin(8);
    add(TASK_SCORE, 0);
    for (CorePeer peer = 1; peer < 7; peer++) {
        join(peer, 1);
        after(0);
        CHECK(given(peer, 0) != 0);
        say(peer, &(Message){.type = MESSAGE_GOODBYE, .goodbye = {"shift is over"}});
        is_speaking[peer] = false;
        after(0);
        CHECK(find(CORE_FAILED, 0, 0) == NULL);
        CHECK_HAS(told(CORE_LEFT, peer), "shift is over");
    }
    end();
}

TEST(poison_and_training_do_not_meet) {
    begin(16);
    add(TASK_TRAIN, 0);
    for (CorePeer peer = 1; peer < 12; peer++) {
        die_on_it(peer);
        after(GRACE_MS);
        CHECK(find(CORE_POISON, 0, 0) == NULL && find(CORE_FAILED, 0, 0) == NULL);
    }
    end();
}

TEST(a_task_that_begins_anew_has_no_failures_in_the_journal_either) {
    begin(4);
    join(1, 1);
    add(TASK_PROBE, 0);
    after(0);
    cannot(1, 0, given(1, 0), RESULT_CANNOT);
    ask(1, 1);
    after(0);
    check_failed(0, 1);
    CHECK(find(CORE_CANNOT, 0, 0) != NULL);
    forget_actions();
    core_retry(core, 0, now_ms);
    after(0);
    CHECK(given(1, 0) != 0);
    check_failed(0, 0);
    end();
}

TEST_MAIN_LIST(
    T(a_task_that_begins_anew_has_no_failures_in_the_journal_either) T(
        a_wrong_answer_ends_the_session_and_frees_the_task)
        T(a_worker_that_cannot_say_why_it_cannot_is_refused) T(only_a_training_can_be_impossible) T(
            a_worker_that_cannot_is_not_asked_again_while_there_are_others)
            T(three_that_cannot_are_enough) T(who_could_is_waited_for_and_missed_once_it_leaves) T(
                a_task_that_kills_its_workers_is_given_up_by_the_owner)
                T(a_worker_that_comes_back_did_not_die) T(
                    a_condemned_task_is_pardoned_when_one_of_the_dead_comes_back)
                    T(an_answer_pardons_a_condemned_task) T(a_death_blames_only_what_was_under_work)
                        T(a_suspect_is_given_alone_to_a_fresh_worker)
                            T(a_suspect_does_not_join_a_busy_worker)
                                T(failures_are_known_to_the_next_coordinator)
                                    T(a_hung_worker_counts_as_dead_and_the_next_lease_is_longer)
                                        T(the_only_worker_is_asked_again_after_it_seemed_dead)
                                            T(a_worker_that_leaves_politely_poisons_nothing)
                                                T(poison_and_training_do_not_meet))
