// SPDX-License-Identifier: Apache-2.0
//
// Where the worker's two threads meet: no task, answer or credit gets lost, and none goes to a
// session that it is not of.
#include <poll.h>
#include <pthread.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/unit/test.h"
#include "worker/desk.h"

static Desk *desk;

static void open_session(uint64_t number) {
    DeskSession *session = mem_new(1, sizeof *session);
    CHECK(session != NULL);
    session->token = digest_of(&number, sizeof number);
    session->root_count = 1;
    snprintf(session->roots[0], sizeof session->roots[0], "/data/%llu", (unsigned long long)number);
    desk_open_session(desk, session);
    mem_free(session);
}

static void begin(void) {
    desk = desk_new();
    CHECK(desk != NULL);
    open_session(1);
}

static void end(void) {
    desk_free(desk);
    desk = NULL;
}

static Status put_kind(uint64_t number, TaskKind kind) {
    DeskTask task = {.task = number, .attempt = number + 100, .kind = kind};
    buffer_format(&task.body, "body %llu", (unsigned long long)number);
    Status status = desk_put_tasks(desk, &task, 1);
    if (status != STATUS_OK) {
        buffer_done(&task.body);
    }
    return status;
}

static Status put(uint64_t number) {
    return put_kind(number, TASK_PROBE);
}

static void take(uint64_t number) {
    DeskTask task;
    CHECK(desk_next_task(desk, &task));
    CHECK_INT(task.task, number);
    char body[32];
    snprintf(body, sizeof body, "body %llu", (unsigned long long)number);
    CHECK_TEXT(buffer_cstr(&task.body), body);
    buffer_done(&task.body);
}

static void answer(const char *text) {
    Buffer body = BUFFER_EMPTY;
    buffer_text(&body, text);
    desk_answer(desk, RESULT_DONE, &body);
    CHECK_INT(body.size, 0); // taken
}

static bool is_readable(int fd) {
    struct pollfd look = {.fd = fd, .events = POLLIN};
    return poll(&look, 1, 0) == 1;
}

// The next answer that the session thread finds.
static void check_answer(uint64_t number, bool is_cancelled, const char *text) {
    DeskAnswer found;
    CHECK_INT(desk_take_answers(desk, &found, 1), 1);
    CHECK_INT(found.task, number);
    CHECK_INT(found.is_cancelled, is_cancelled);
    CHECK_TEXT(buffer_cstr(&found.body), text);
    buffer_done(&found.body);
}

static void check_no_answer(void) {
    DeskAnswer found;
    CHECK_INT(desk_take_answers(desk, &found, 1), 0);
}

// ---- tasks and answers ----

TEST(tasks_are_taken_and_answered_in_order) {
    // Of three kinds: nobody knows yet that they are quick, so that each answer is told at once.
    static const TaskKind KINDS[] = {TASK_PROBE, TASK_SCORE, TASK_TRAIN};
    begin();
    CHECK(desk_is_idle(desk));
    for (uint64_t i = 0; i < 3; i++) {
        CHECK_OK(put_kind(i, KINDS[i]));
    }
    CHECK(!desk_is_idle(desk));
    CHECK(!is_readable(desk_answer_fd(desk)));
    for (uint64_t i = 0; i < 3; i++) {
        take(i);
        CHECK(!desk_is_cancelled(desk));
        answer("done");
        CHECK(is_readable(desk_answer_fd(desk)));
    }
    CHECK(desk_is_idle(desk));
    for (uint64_t i = 0; i < 3; i++) {
        check_answer(i, false, "done");
    }
    check_no_answer();
    CHECK(!is_readable(desk_answer_fd(desk)));
    end();
}

TEST(more_tasks_than_credits_can_be_are_refused) {
    begin();
    uint64_t taken = 0;
    while (put(taken) == STATUS_OK) {
        CHECK(++taken <= PROTO_CREDITS);
    }
    CHECK_INT(taken, PROTO_CREDITS);
    CHECK_HAS(status_message(), "credits");
    end();
}

TEST(a_bundle_that_does_not_fit_is_refused_whole) {
    begin();
    DeskTask tasks[PROTO_CREDITS];
    for (uint64_t i = 0; i < PROTO_CREDITS; i++) {
        tasks[i] = (DeskTask){.task = i, .attempt = i + 100, .kind = TASK_EMPTY};
    }
    CHECK_OK(desk_put_tasks(desk, tasks, PROTO_CREDITS - 1));
    CHECK_INT(desk_put_tasks(desk, tasks, 2), STATUS_LIMIT);
    CHECK_OK(desk_put_tasks(desk, tasks + PROTO_CREDITS - 1, 1));
    DeskTask task;
    for (uint64_t i = 0; i < PROTO_CREDITS; i++) {
        CHECK(desk_next_task(desk, &task));
        CHECK_INT(task.task, i);
        answer("");
    }
    DeskAnswer answers[PROTO_CREDITS];
    CHECK_INT(desk_take_answers(desk, answers, 3), 3);
    CHECK(is_readable(desk_answer_fd(desk)));
    CHECK_INT(desk_take_answers(desk, answers + 3, PROTO_CREDITS), PROTO_CREDITS - 3);
    for (uint64_t i = 0; i < PROTO_CREDITS; i++) {
        CHECK_INT(answers[i].task, i);
        buffer_done(&answers[i].body);
    }
    CHECK(!is_readable(desk_answer_fd(desk)));
    end();
}

// A coordinator that sends tasks and cancels them, while nobody sends the credits back, must not
// fill the desk: what waits to be told counts as well as what waits to be done.
TEST(tasks_sent_and_cancelled_without_end_are_refused) {
    begin();
    Status status = STATUS_OK;
    for (uint64_t i = 0; status == STATUS_OK; i++) {
        CHECK(i <= 2 * PROTO_CREDITS);
        status = put(i);
        desk_cancel(desk, i, i + 100);
    }
    CHECK(status == STATUS_LIMIT);
    // Once they are told there is room again.
    DeskAnswer found;
    while (desk_take_answers(desk, &found, 1) > 0) {
        CHECK(found.is_cancelled);
    }
    CHECK_OK(put(1000));
    end();
}

// ---- cancelling ----

TEST(a_cancelled_waiting_task_gives_its_credit_back_and_is_not_done) {
    begin();
    for (uint64_t i = 0; i < 3; i++) {
        CHECK_OK(put(i));
    }
    desk_cancel(desk, 1, 101);
    CHECK(is_readable(desk_answer_fd(desk)));
    check_answer(1, true, "");
    take(0);
    answer("done");
    take(2);
    answer("done");
    check_answer(0, false, "done");
    check_answer(2, false, "done");
    end();
}

TEST(a_cancelled_task_under_work_gives_its_credit_back_without_an_answer) {
    begin();
    CHECK_OK(put(0));
    CHECK_OK(put(1));
    take(0);
    CHECK(!is_readable(desk_wake_fd(desk)));
    desk_cancel(desk, 0, 100);
    CHECK(desk_is_cancelled(desk));
    CHECK(is_readable(desk_wake_fd(desk)));
    answer("nobody wants this");
    DeskAnswer found;
    CHECK_INT(desk_take_answers(desk, &found, 1), 1);
    CHECK(found.is_cancelled && found.task == 0);
    buffer_done(&found.body);
    // The next task knows nothing of it.
    take(1);
    CHECK(!desk_is_cancelled(desk));
    CHECK(!is_readable(desk_wake_fd(desk)));
    answer("done");
    check_answer(1, false, "done");
    end();
}

TEST(cancelling_another_attempt_or_an_answered_task_changes_nothing) {
    begin();
    CHECK_OK(put(0));
    CHECK_OK(put(1));
    take(0);
    desk_cancel(desk, 0, 999);
    desk_cancel(desk, 1, 999);
    desk_cancel(desk, 77, 177);
    CHECK(!desk_is_cancelled(desk));
    answer("done");
    desk_cancel(desk, 0, 100); // crossed its answer
    check_answer(0, false, "done");
    take(1);
    answer("done");
    check_answer(1, false, "done");
    check_no_answer();
    end();
}

// ---- leaving ----

TEST(a_worker_that_leaves_ends_its_task_and_begins_no_other) {
    begin();
    CHECK_OK(put(0));
    CHECK_OK(put(1));
    take(0);
    CHECK(!desk_is_leaving(desk));
    desk_leave(desk);
    CHECK(desk_is_leaving(desk));
    CHECK(!desk_is_cancelled(desk));
    CHECK(!desk_is_idle(desk));
    answer("done");
    CHECK(desk_is_idle(desk));
    CHECK_OK(put(2)); // sent before the coordinator knew
    CHECK(desk_is_idle(desk));
    check_answer(0, false, "done");
    check_no_answer();
    end();
}

// ---- sessions ----

TEST(a_lost_session_voids_waiting_tasks_answers_and_the_task_under_work) {
    begin();
    CHECK_OK(put(0));
    CHECK_OK(put(1));
    CHECK_OK(put(2));
    take(0);
    answer("for the old session");
    take(1);
    desk_tell_progress(desk, 1, 2, 0.5);
    desk_cancel_all(desk);
    CHECK(desk_is_cancelled(desk));
    CHECK(is_readable(desk_wake_fd(desk)));
    check_no_answer();
    DeskProgress progress;
    CHECK(!desk_take_progress(desk, &progress));
    open_session(2);
    answer("late"); // of a task of the old session, whose credits are gone with it
    check_no_answer();
    CHECK(desk_is_idle(desk));
    CHECK_OK(put(3));
    take(3);
    CHECK(!desk_is_cancelled(desk));
    answer("done");
    check_answer(3, false, "done");
    end();
}

TEST(an_answer_between_two_sessions_reaches_neither) {
    begin();
    CHECK_OK(put(0));
    take(0);
    desk_cancel_all(desk);
    answer("late"); // before the next session is open
    open_session(2);
    check_no_answer();
    end();
}

TEST(a_task_sees_the_session_that_it_came_by) {
    begin();
    CHECK_OK(put(0));
    take(0);
    CHECK_TEXT(desk_session(desk)->roots[0], "/data/1");
    desk_cancel_all(desk);
    open_session(2);
    CHECK_TEXT(desk_session(desk)->roots[0], "/data/1"); // until it is answered
    answer("late");
    CHECK_OK(put(1));
    take(1);
    CHECK_TEXT(desk_session(desk)->roots[0], "/data/2");
    answer("done");
    end();
}

// ---- progress ----

TEST(progress_is_told_once_and_only_while_its_task_is_under_work) {
    begin();
    DeskProgress progress;
    CHECK_OK(put(0));
    CHECK_OK(put(1));
    take(0);
    CHECK(!desk_take_progress(desk, &progress));
    desk_tell_progress(desk, 1, 10, NAN);
    desk_tell_progress(desk, 2, 10, 0.25);
    CHECK(desk_take_progress(desk, &progress));
    CHECK_INT(progress.task, 0);
    CHECK_INT(progress.attempt, 100);
    CHECK_INT(progress.done, 2);
    CHECK_NEAR(progress.loss, 0.25, 0);
    CHECK(!desk_take_progress(desk, &progress));
    desk_tell_progress(desk, 3, 10, NAN);
    answer("done");
    CHECK(!desk_take_progress(desk, &progress));
    take(1);
    CHECK(!desk_take_progress(desk, &progress));
    answer("done");
    end();
}

TEST(steps_are_counted_with_what_is_told_and_begin_anew_with_each_task) {
    begin();
    DeskProgress progress;
    CHECK_OK(put(0));
    CHECK_OK(put(1));
    take(0);
    desk_tell_step(desk);
    desk_tell_step(desk);
    CHECK(desk_take_progress(desk, &progress));
    CHECK(progress.task == 0 && progress.attempt == 100 && progress.done == 2);
    CHECK(progress.total == 0 && isnan(progress.loss));
    desk_tell_progress(desk, 1, 10, NAN);
    desk_tell_step(desk);
    CHECK(desk_take_progress(desk, &progress));
    CHECK(progress.done == 4 && progress.total == 13);
    desk_tell_step(desk);
    answer("done");
    take(1);
    CHECK(!desk_take_progress(desk, &progress));
    desk_tell_step(desk);
    CHECK(desk_take_progress(desk, &progress));
    CHECK(progress.task == 1 && progress.attempt == 101 && progress.done == 1);
    answer("done");
    end();
}

// ---- threads ----

static void *work(void *argument) {
    uint64_t *done = argument;
    DeskTask task;
    while (desk_next_task(desk, &task)) {
        buffer_done(&task.body);
        desk_tell_progress(desk, 1, 1, NAN);
        Buffer body = BUFFER_EMPTY;
        buffer_text(&body, "done");
        desk_answer(desk, RESULT_DONE, &body);
        ++*done;
    }
    return NULL;
}

TEST(every_credit_comes_back_whatever_is_cancelled_when) {
    enum { TASKS = 20000, CREDITS = 2 };
    begin();
    uint64_t done = 0;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, work, &done) == 0);
    uint64_t given = 0, answered = 0, cancelled = 0;
    int credits = CREDITS;
    while (answered < TASKS) {
        while (credits > 0 && given < TASKS) {
            CHECK_OK(put(given));
            if (given % 3 == 0) {
                desk_cancel(desk, given, given + 100);
            }
            given++;
            credits--;
        }
        struct pollfd look = {.fd = desk_answer_fd(desk), .events = POLLIN};
        CHECK(poll(&look, 1, 20000) == 1);
        DeskAnswer found;
        while (desk_take_answers(desk, &found, 1) > 0) {
            CHECK(!found.is_cancelled || found.task % 3 == 0);
            cancelled += found.is_cancelled;
            buffer_done(&found.body);
            answered++;
            credits++;
        }
    }
    desk_stop(desk);
    pthread_join(thread, NULL);
    CHECK_INT(credits, CREDITS);
    CHECK(done + cancelled >= TASKS);
    CHECK(desk_is_idle(desk));
    end();
}

// Two threads that wake each other for every task would do little else.
TEST(answers_to_quick_tasks_are_told_many_at_once) {
    enum { TASKS = 50000 };
    begin();
    uint64_t done = 0;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, work, &done) == 0);
    static DeskAnswer found[PROTO_CREDITS];
    static DeskTask tasks[PROTO_CREDITS];
    uint32_t given = 0, answered = 0, wakes = 0, credits = PROTO_CREDITS;
    while (answered < TASKS) {
        uint32_t count = 0;
        for (; credits > 0 && given < TASKS; credits--) {
            tasks[count++] = (DeskTask){.task = given++, .kind = TASK_EMPTY};
        }
        CHECK_OK(desk_put_tasks(desk, tasks, count));
        struct pollfd look = {.fd = desk_answer_fd(desk), .events = POLLIN};
        CHECK(poll(&look, 1, 20000) == 1);
        uint32_t taken = desk_take_answers(desk, found, PROTO_CREDITS);
        for (uint32_t i = 0; i < taken; i++) {
            CHECK_INT(found[i].task, answered + i);
            buffer_done(&found[i].body);
        }
        answered += taken;
        credits += taken;
        wakes++;
    }
    desk_stop(desk);
    pthread_join(thread, NULL);
    CHECK_INT(done, TASKS);
    CHECK(wakes < TASKS / 4);
    end();
}

// Whether a moment was enough or not, an answer is there or it is told.
TEST(an_answer_that_was_waited_for_awake_is_found_or_told) {
    enum { TASKS = 20000 };
    begin();
    uint64_t done = 0;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, work, &done) == 0);
    for (uint64_t i = 0; i < TASKS; i++) {
        CHECK_OK(put(i));
        desk_await_moment(desk);
        DeskAnswer found;
        while (desk_take_answers(desk, &found, 1) == 0) {
            struct pollfd look = {.fd = desk_answer_fd(desk), .events = POLLIN};
            CHECK(poll(&look, 1, 20000) == 1);
        }
        CHECK_INT(found.task, i);
        buffer_done(&found.body);
    }
    desk_stop(desk);
    pthread_join(thread, NULL);
    CHECK_INT(done, TASKS);
    end();
}

TEST(a_stopped_desk_sends_the_computing_thread_home) {
    begin();
    uint64_t done = 0;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, work, &done) == 0);
    desk_stop(desk); // it waits, or has not yet begun to
    pthread_join(thread, NULL);
    CHECK_INT(done, 0);
    CHECK_OK(put(0)); // freed with the desk
    end();
}

TEST(a_wait_for_a_task_ends_with_it_with_the_stop_or_in_time) {
    begin();
    int64_t since_ms = clock_ms();
    CHECK(!desk_await_task(desk, 30));
    CHECK(clock_ms() - since_ms >= 30);
    CHECK_OK(put(0));
    CHECK(desk_await_task(desk, 600000));
    take(0);
    CHECK(!desk_await_task(desk, 0));
    answer("done");
    desk_stop(desk);
    CHECK(desk_await_task(desk, 600000));
    end();
}

TEST(stopping_cancels_the_task_under_work) {
    begin();
    CHECK_OK(put(0));
    take(0);
    desk_stop(desk);
    CHECK(desk_is_cancelled(desk));
    CHECK(is_readable(desk_wake_fd(desk)));
    answer("late");
    DeskTask task;
    CHECK(!desk_next_task(desk, &task));
    end();
}

TEST(a_desk_frees_all_it_holds) {
    long before = mem_blocks();
    begin();
    CHECK_OK(put(0));
    CHECK_OK(put(1));
    CHECK_OK(put(2));
    take(0);
    answer("never sent");
    take(1);
    desk_cancel(desk, 2, 102);
    answer("never sent");
    end();
    CHECK_INT(mem_blocks(), before);
    mem_fail_after(0);
    CHECK(desk_new() == NULL);
    mem_fail_after(-1);
    CHECK_INT(mem_blocks(), before);
}

TEST_MAIN_LIST(
    T(tasks_are_taken_and_answered_in_order) T(more_tasks_than_credits_can_be_are_refused)
        T(a_bundle_that_does_not_fit_is_refused_whole) T(
            tasks_sent_and_cancelled_without_end_are_refused)
            T(a_worker_that_leaves_ends_its_task_and_begins_no_other) T(
                answers_to_quick_tasks_are_told_many_at_once)
                T(an_answer_that_was_waited_for_awake_is_found_or_told) T(
                    a_cancelled_waiting_task_gives_its_credit_back_and_is_not_done)
                    T(a_cancelled_task_under_work_gives_its_credit_back_without_an_answer) T(
                        cancelling_another_attempt_or_an_answered_task_changes_nothing)
                        T(a_lost_session_voids_waiting_tasks_answers_and_the_task_under_work) T(
                            an_answer_between_two_sessions_reaches_neither)
                            T(a_task_sees_the_session_that_it_came_by) T(
                                progress_is_told_once_and_only_while_its_task_is_under_work)
                                T(steps_are_counted_with_what_is_told_and_begin_anew_with_each_task)
                                    T(every_credit_comes_back_whatever_is_cancelled_when)
                                        T(a_stopped_desk_sends_the_computing_thread_home) T(
                                            a_wait_for_a_task_ends_with_it_with_the_stop_or_in_time)
                                            T(stopping_cancels_the_task_under_work)
                                                T(a_desk_frees_all_it_holds))
