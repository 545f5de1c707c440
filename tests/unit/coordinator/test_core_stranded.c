// SPDX-License-Identifier: Apache-2.0
//
// Trainings that workers cannot do and the owner finds nothing wrong with: they wait for others.
#include "tests/unit/coordinator/core_test.h"

enum { PAUSE_MS = 30000 }; // before who failed is asked again, in another session

static const TaskKind KINDS[] = {TASK_TRAIN, TASK_RESIDUALS};

// Task 0 is refused by peer 1; the owner looks, and lets it wait.
static void strand(TaskKind kind) {
    begin(2000);
    add(kind, 0);
    join(1, 8);
    after(0);
    cannot(1, 0, given(1, 0), RESULT_CANNOT);
    after(0);
    const CoreAction *asked = find(CORE_CANNOT, 0, 0);
    CHECK(asked != NULL);
    CHECK_TEXT(buffer_cstr(&asked->items), "worker-1");
    core_wait(core, 0, now_ms);
    ask(1, 1);
    after(0);
}

static void check_waits(void) {
    CHECK(given(1, 0) == 0 && find(CORE_CANNOT, 0, 0) == NULL);
    CHECK_INT(core_counts(core).waiting, 1);
    CHECK_INT(core_counts(core).stranded, 1);
}

TEST(a_stranded_training_is_not_given_to_who_failed_it_nor_asked_about_again) {
    for (size_t k = 0; k < 2; k++) {
        strand(KINDS[k]);
        check_waits();
        after(10 * PAUSE_MS);
        check_waits();
        end();
    }
}

TEST(a_stranded_training_goes_to_the_first_other_worker_at_once) {
    for (size_t k = 0; k < 2; k++) {
        strand(KINDS[k]);
        after(10 * PAUSE_MS);
        join(2, 1);
        after(0);
        CHECK(given(2, 0) != 0);
        CHECK_INT(core_counts(core).stranded, 0);
        end();
    }
}

TEST(the_owner_is_asked_again_when_another_worker_fails_too) {
    for (size_t k = 0; k < 2; k++) {
        strand(KINDS[k]);
        join(2, 1);
        after(0);
        cannot(2, 0, given(2, 0), RESULT_CANNOT);
        after(0);
        const CoreAction *asked = find(CORE_CANNOT, 0, 0);
        CHECK(asked != NULL && asked->blob.size > 0);
        CHECK_TEXT(buffer_cstr(&asked->items), "worker-2");
        core_wait(core, 0, now_ms);
        lose(2); // who is left has failed it, which the owner knows
        after(PAUSE_MS);
        check_waits();
        end();
    }
}

TEST(the_owner_is_asked_again_when_another_worker_gives_a_wrong_answer) {
    strand(TASK_TRAIN);
    join(2, 1);
    after(0);
    next_verdict = STATUS_FORMAT;
    answer(2, 0, given(2, 0));
    after(0);
    CHECK_INT(core_counts(core).sessions, 1);
    CHECK(find(CORE_CANNOT, 0, 0) != NULL);
    end();
}

TEST(the_owner_is_not_asked_again_when_one_leaves_that_could) {
    strand(TASK_TRAIN);
    join(2, 0); // busy elsewhere
    after(ALIVE_MS);
    CHECK_INT(core_counts(core).stranded, 0);
    lose(2);
    after(ALIVE_MS);
    check_waits();
    end();
}

TEST(who_failed_and_comes_back_is_asked_again_after_a_while_that_doubles) {
    for (size_t k = 0; k < 2; k++) {
        strand(KINDS[k]);
        int64_t pause_ms = PAUSE_MS;
        for (CorePeer peer = 2; peer < 5; peer++) {
            lose(peer - 1);
            join_as(peer, 1, 8);
            after(pause_ms - 1500);
            CHECK(given(peer, 0) == 0);
            after(2500);
            CHECK(given(peer, 0) != 0);
            cannot(peer, 0, given(peer, 0), RESULT_CANNOT);
            after(0);
            CHECK(find(CORE_CANNOT, 0, 0) != NULL);
            core_wait(core, 0, now_ms);
            pause_ms *= 2;
        }
        end();
    }
}

TEST(a_stranded_training_waits_while_nobody_is_there) {
    strand(TASK_TRAIN);
    lose(1);
    after(2 * PAUSE_MS);
    check_waits();
    join(2, 1);
    after(0);
    CHECK(given(2, 0) != 0);
    end();
}

// Workers are kept free for models that wait to be trained: not for one that none of them may have.
TEST(a_stranded_training_holds_nothing_up) {
    strand(TASK_TRAIN);
    for (TaskTag tag = 1; tag < 6; tag++) {
        add(TASK_SCORE, tag);
    }
    after(0);
    CHECK_INT(count_given(1), 5);
    end();
}

TEST(a_worker_that_could_is_kept_free_for_a_stranded_training) {
    strand(TASK_TRAIN);
    join(2, 4);
    add(TASK_TRAIN, 1);
    for (TaskTag tag = 2; tag < 8; tag++) {
        add(TASK_SCORE, tag);
    }
    after(0);
    CHECK_INT(count_given(2), 1);
    CHECK(given(2, 0) != 0 || given(2, 1) != 0);
    end();
}

// None of as many as there can be at once is forgotten and asked again.
TEST(all_workers_that_failed_are_remembered) {
    enum { WORKERS = 1000 };
    begin(2 * WORKERS);
    add(TASK_TRAIN, 0);
    for (CorePeer peer = 1; peer <= WORKERS; peer++) {
        Message hello = hello_of(peer);
        say(peer, &hello);
        ask(peer, 1);
        after(0);
        CHECK(given(peer, 0) != 0);
        cannot(peer, 0, given(peer, 0), RESULT_CANNOT);
        ask(peer, 1);
        after(0);
        CHECK_INT(count_given(peer), 0);
        CHECK(find(CORE_CANNOT, 0, 0) != NULL);
        core_wait(core, 0, now_ms);
    }
    after(0);
    for (CorePeer peer = 1; peer <= WORKERS; peer++) {
        CHECK_INT(count_given(peer), 0);
    }
    CHECK_INT(core_counts(core).stranded, 1);
    end();
}

TEST(a_stranded_training_that_begins_anew_forgets_who_failed_it) {
    strand(TASK_TRAIN);
    join(2, 1);
    after(0);
    cannot(2, 0, given(2, 0), RESULT_CANNOT);
    after(0);
    core_retry(core, 0, now_ms);
    after(0);
    CHECK(given(1, 0) != 0 || given(2, 0) != 0);
    end();
}

TEST_MAIN_LIST(
    T(a_stranded_training_is_not_given_to_who_failed_it_nor_asked_about_again)
        T(a_stranded_training_goes_to_the_first_other_worker_at_once)
            T(the_owner_is_asked_again_when_another_worker_fails_too)
                T(who_failed_and_comes_back_is_asked_again_after_a_while_that_doubles)
                    T(the_owner_is_asked_again_when_another_worker_gives_a_wrong_answer)
                        T(the_owner_is_not_asked_again_when_one_leaves_that_could)
                            T(a_stranded_training_waits_while_nobody_is_there)
                                T(a_stranded_training_holds_nothing_up) T(
                                    a_worker_that_could_is_kept_free_for_a_stranded_training)
                                    T(all_workers_that_failed_are_remembered) T(
                                        a_stranded_training_that_begins_anew_forgets_who_failed_it))
