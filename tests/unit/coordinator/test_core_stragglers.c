// SPDX-License-Identifier: Apache-2.0
//
// Tasks that take long at the end of a stage are given to an idle worker as well: who is first
// wins, and the other's answer is compared.
#include "tests/unit/coordinator/core_test.h"

enum { STRAGGLER_MS = 500 };

static uint64_t first, second; // attempts of workers 1 and 2 at task 0

// Workers 1 and 2 both hold task 0; 1 holds task 1 behind it, or alone when there is none.
static void double_it(uint32_t behind) {
    begin(4);
    join(1, 1 + behind);
    for (TaskTag tag = 0; tag <= behind; tag++) {
        add(TASK_SCORE, tag);
    }
    after(0);
    first = given(1, 0);
    join(2, 4);
    after(STRAGGLER_MS - 1);
    CHECK_INT(count_given(2), 0);
    after(1);
    second = given(2, 0);
    CHECK(first != 0 && second != 0 && first != second);
}

TEST(a_straggler_is_doubled_once) {
    double_it(0);
    CHECK(!cancelled(1, 0));
    join(3, 4);
    after(10 * STRAGGLER_MS);
    CHECK_INT(count_given(3), 0);
    end();
}

TEST(nothing_is_doubled_while_work_waits) {
    begin(4);
    join(1, 1);
    add(TASK_SCORE, 0);
    after(0);
    join(2, 1);
    add(TASK_SCORE, 1);
    add(TASK_SCORE, 2);
    after(STRAGGLER_MS);
    CHECK_INT(count_given(2), 1);
    CHECK(given(2, 1) != 0);
    end();
}

TEST(what_usually_takes_long_is_no_straggler) {
    begin(4);
    join(1, 1);
    add(TASK_SCORE, 0);
    after(0);
    uint64_t attempt = given(1, 0);
    after(2 * ALIVE_MS);
    answer(1, 0, attempt);
    ask(1, 1);
    add(TASK_SCORE, 1);
    after(0);
    CHECK(given(1, 1) != 0);
    join(2, 1);
    after(6 * ALIVE_MS - 1);
    CHECK_INT(count_given(2), 0);
    after(1);
    CHECK_INT(count_given(2), 1);
    end();
}

TEST(trainings_are_not_doubled) {
    begin(4);
    join(1, 1);
    add(TASK_TRAIN, 0);
    after(0);
    join(2, 4);
    after(4 * STRAGGLER_MS);
    CHECK_INT(count_given(2), 0);
    end();
}

TEST(what_a_worker_died_on_is_not_doubled) {
    begin(4);
    CoreTask task = {.kind = TASK_SCORE, .tag = 0, .deaths = 1};
    CHECK_OK(core_add_task(core, &task, now_ms));
    join(1, 1);
    join(2, 1);
    after(4 * STRAGGLER_MS);
    CHECK_INT(count_given(1) + count_given(2), 1);
    end();
}

TEST(the_first_answer_wins_and_the_second_is_compared) {
    double_it(0);
    answer_with(2, 0, second, "a number");
    after(0);
    CHECK(find(CORE_COMMIT, 2, 0) == NULL && find(CORE_COMMIT, 0, 0) != NULL);
    CHECK(!cancelled(1, 0));
    core_on_durable(core, 0, now_ms);
    after(0);
    CHECK(acknowledged(2, 0) && !acknowledged(1, 0));
    answer_with(1, 0, first, "a number");
    after(0);
    CHECK(acknowledged(1, 0));
    CHECK(find(CORE_COMMIT, 0, 0) == NULL && find(CORE_ALARM, 0, 0) == NULL);
    CHECK_INT(core_counts(core).done, 1);
    end();
}

static void check_alarm(void) {
    const CoreAction *alarm = find(CORE_ALARM, 0, 0);
    CHECK(alarm != NULL);
    CHECK_INT(alarm->tag, 0);
    CHECK_HAS(buffer_cstr(&alarm->blob), "worker-1");
    CHECK_HAS(buffer_cstr(&alarm->blob), "worker-2");
}

TEST(other_bits_raise_an_alarm_that_names_both) {
    double_it(0);
    answer_with(1, 0, first, "a number");
    answer_with(2, 0, second, "another number");
    after(0);
    check_alarm();
    CHECK_TEXT(told(CORE_COMMIT, 0), "a number");
    core_on_durable(core, 0, now_ms);
    after(0);
    CHECK(acknowledged(1, 0) && acknowledged(2, 0));
    end();
}

TEST(answers_are_compared_after_one_worker_has_left) {
    double_it(0);
    answer_with(1, 0, first, "a number");
    lose(1);
    core_on_durable(core, 0, now_ms);
    answer_with(2, 0, second, "another number");
    after(0);
    check_alarm();
    end();
}

TEST(an_answer_whose_lease_is_gone_is_compared_too) {
    double_it(0);
    lose(2);
    answer_with(1, 0, first, "a number");
    core_on_durable(core, 0, now_ms);
    join_as(3, 2, 0);
    answer_with(3, 0, second, "another number");
    after(0);
    check_alarm();
    end();
}

TEST(an_answer_that_is_not_valid_raises_no_alarm) {
    double_it(0);
    answer_with(1, 0, first, "a number");
    next_verdict = STATUS_FORMAT;
    answer_with(2, 0, second, "nonsense");
    after(0);
    CHECK(find(CORE_ALARM, 0, 0) == NULL);
    CHECK_INT(sent(2, MESSAGE_REFUSED)->refused.code, REFUSED_MALFORMED);
    end();
}

TEST(what_was_not_begun_yet_is_spared_the_slower_worker) {
    double_it(1);
    uint64_t behind = given(2, 1);
    if (behind == 0) {
        answer(2, 0, second);
        after(0);
        behind = given(2, 1);
    }
    CHECK(behind != 0);
    answer(2, 1, behind);
    after(0);
    CHECK(cancelled(1, 1) && !cancelled(1, 0));
    end();
}

TEST(who_is_only_compared_is_neither_blamed_nor_waited_for) {
    double_it(0);
    answer(2, 0, second);
    core_on_durable(core, 0, now_ms);
    after(60 * ALIVE_MS);
    CHECK(find(CORE_FAILED, 0, 0) == NULL);
    CHECK_INT(core_counts(core).sessions, 2);
    CHECK_INT(core_counts(core).waiting, 0);
    lose(1);
    after(0);
    CHECK(find(CORE_FAILED, 0, 0) == NULL);
    CHECK_INT(core_counts(core).done, 1);
    end();
}

TEST(one_of_two_holders_may_be_lost) {
    double_it(0);
    lose(2);
    after(0);
    CHECK_INT(core_counts(core).waiting, 0);
    answer(1, 0, first);
    after(0);
    CHECK(find(CORE_COMMIT, 0, 0) != NULL);
    end();
}

TEST(a_third_that_cannot_is_remembered_while_another_holds_the_task) {
    begin(4);
    CoreTask task = {.kind = TASK_SCORE, .tag = 0, .cannots = 2};
    CHECK_OK(core_add_task(core, &task, now_ms));
    join(1, 1);
    after(0);
    CHECK(given(1, 0) != 0);
    join(2, 1);
    join(3, 1);
    after(STRAGGLER_MS);
    CorePeer other = given(2, 0) != 0 ? 2 : 3;
    cannot(other, 0, given(other, 0), RESULT_CANNOT);
    after(0);
    CHECK(find(CORE_CANNOT, 0, 0) == NULL);
    say(1, &(Message){.type = MESSAGE_GOODBYE, .goodbye = {""}});
    is_speaking[1] = false;
    after(0);
    CHECK(find(CORE_CANNOT, 0, 0) != NULL);
    CHECK_INT(count_given(2) + count_given(3), 0);
    end();
}

TEST(both_holders_may_be_lost) {
    double_it(0);
    lose(2);
    lose(1);
    CHECK_INT(core_counts(core).waiting, 1);
    join(3, 1);
    after(0);
    CHECK(given(3, 0) != 0);
    end();
}

TEST_MAIN_LIST(
    T(a_straggler_is_doubled_once) T(nothing_is_doubled_while_work_waits) T(
        what_usually_takes_long_is_no_straggler) T(trainings_are_not_doubled)
        T(what_a_worker_died_on_is_not_doubled) T(the_first_answer_wins_and_the_second_is_compared)
            T(other_bits_raise_an_alarm_that_names_both)
                T(answers_are_compared_after_one_worker_has_left)
                    T(an_answer_whose_lease_is_gone_is_compared_too)
                        T(an_answer_that_is_not_valid_raises_no_alarm)
                            T(what_was_not_begun_yet_is_spared_the_slower_worker) T(
                                who_is_only_compared_is_neither_blamed_nor_waited_for)
                                T(one_of_two_holders_may_be_lost) T(
                                    a_third_that_cannot_is_remembered_while_another_holds_the_task)
                                    T(both_holders_may_be_lost))
