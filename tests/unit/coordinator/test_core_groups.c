// SPDX-License-Identifier: Apache-2.0
//
// Models that several workers train together.
#include "tests/unit/coordinator/core_test.h"

static Digest token_of(CorePeer peer) {
    CoreSession session;
    CHECK(core_session(core, peer, &session));
    return session.token;
}

static void send_blob(CorePeer peer, BlobKind kind, uint64_t attempt, uint32_t first,
                      uint32_t count) {
    Message header = {.type = MESSAGE_BLOB};
    header.blob.kind = kind;
    header.blob.attempt = attempt;
    header.blob.first = first;
    header.blob.count = count;
    core_on_blob(core, token_of(peer), &header, "sum", 3, now_ms);
}

static void send_sum(CorePeer peer, uint64_t attempt, uint32_t first, uint32_t count) {
    send_blob(peer, BLOB_PARTIAL, attempt, first, count);
}

static bool has_share(CorePeer peer, const char *body) {
    const Message *tasks = sent(peer, MESSAGE_TASKS);
    return tasks != NULL && tasks->tasks.items[0].body_bytes == strlen(body) &&
           memcmp(tasks->tasks.items[0].body, body, strlen(body)) == 0;
}

// Two members of task 0; attempts[0] has the first half.
static void form_pair(CorePeer peers[2], uint64_t attempts[2]) {
    wanted = 2;
    add(TASK_TRAIN, 0);
    join(1, 1);
    after(0);
    CHECK(given(1, 0) == 0); // one worker is no group of two
    join(2, 1);
    after(0);
    peers[0] = has_share(1, "0:0+2") ? 1 : 2;
    peers[1] = 3 - peers[0];
    for (int i = 0; i < 2; i++) {
        attempts[i] = given(peers[i], 0);
        CHECK(attempts[i] != 0);
    }
}

TEST(members_of_a_group_own_halves_and_get_every_total) {
    CorePeer peers[2];
    uint64_t attempts[2];
    begin(4);
    form_pair(peers, attempts);
    CHECK(has_share(peers[0], "0:0+2") && has_share(peers[1], "0:2+2"));
    send_sum(peers[0], attempts[0], 0, 2);
    after(0);
    CHECK(find(CORE_TOTAL, 0, 0) == NULL);
    gives_total = true;
    send_sum(peers[1], attempts[1], 2, 2);
    after(0);
    int with_bytes = 0;
    for (int i = 0; i < 2; i++) {
        const CoreAction *total = find(CORE_TOTAL, peers[i], 0);
        CHECK(total != NULL && total->message.blob.attempt == attempts[i]);
        CHECK_INT(total->message.blob.total_bytes, 5);
        with_bytes += total->blob.size == 5;
    }
    CHECK_INT(with_bytes, 1);
    CHECK_TEXT(buffer_cstr(&find(CORE_TOTAL, 0, 0)->blob), "total");
    answer(peers[0], 0, attempts[0]);
    after(0);
    CHECK(find(CORE_COMMIT, 0, 0) == NULL);
    answer(peers[1], 0, attempts[1]);
    after(0);
    CHECK(find(CORE_COMMIT, 0, 0) != NULL);
    core_on_durable(core, 0, now_ms);
    after(0);
    CHECK(acknowledged(1, 0) && acknowledged(2, 0));
    end();
}

TEST(a_blob_is_waited_for_from_who_holds_the_training_alone) {
    CorePeer peers[2];
    uint64_t attempts[2];
    begin(4);
    form_pair(peers, attempts);
    add(TASK_SCORE, 1);
    join(3, 1);
    after(0);
    Message header = {.type = MESSAGE_BLOB};
    header.blob.attempt = attempts[0];
    CHECK_INT(core_blob_most(core, token_of(peers[0]), &header), BLOB_MOST);
    CHECK_INT(core_blob_most(core, token_of(peers[1]), &header), 0);
    CHECK_INT(core_blob_most(core, digest_of_number(77), &header), 0);
    header.blob.task = 1;
    header.blob.attempt = given(3, 1);
    CHECK(header.blob.attempt != 0);
    CHECK_INT(core_blob_most(core, token_of(3), &header), 0); // no training
    header.blob.task = 2;
    CHECK_INT(core_blob_most(core, token_of(3), &header), 0);
    end();
}

TEST(a_lost_member_ends_the_group_and_a_new_one_forms) {
    CorePeer peers[2];
    uint64_t attempts[2];
    begin(4);
    form_pair(peers, attempts);
    lose(peers[0]);
    after(0);
    CHECK_INT(sent(peers[1], MESSAGE_CANCEL)->cancel.attempt, attempts[1]);
    CHECK_INT(changes, 1);
    CHECK(find(CORE_FAILED, 0, 0) == NULL);
    wanted = 1;
    ask(peers[1], 1);
    after(0);
    CHECK(given(peers[1], 0) != 0 && given(peers[1], 0) != attempts[1]);
    CHECK(has_share(peers[1], "0:0+4"));
    end();
}

TEST(a_member_that_has_answered_and_is_lost_does_not_count) {
    CorePeer peers[2];
    uint64_t attempts[2];
    begin(4);
    form_pair(peers, attempts);
    answer(peers[0], 0, attempts[0]);
    lose(peers[1]);
    wanted = 1;
    ask(peers[0], 1);
    after(0);
    uint64_t again = given(peers[0], 0);
    CHECK(again != 0);
    answer(peers[0], 0, attempts[0]); // of the group that is no more
    after(0);
    CHECK(find(CORE_COMMIT, 0, 0) == NULL);
    answer(peers[0], 0, again);
    after(0);
    CHECK(find(CORE_COMMIT, 0, 0) != NULL);
    end();
}

TEST(a_member_that_lost_its_bulk_connection_ends_the_group_at_once) {
    CorePeer peers[2];
    uint64_t attempts[2];
    begin(4);
    form_pair(peers, attempts);
    for (int i = 0; i < 10; i++) {
        core_on_bulk_closed(core, token_of(peers[0]), now_ms);
        ask(peers[0], 1);
        ask(peers[1], 1);
        after(0);
        // Nobody died and nobody failed: the same two go on.
        CHECK(cancelled(1, 0) && cancelled(2, 0));
        CHECK(given(1, 0) != 0 && given(2, 0) != 0);
        CHECK(find(CORE_FAILED, 0, 0) == NULL && find(CORE_LEFT, 0, 0) == NULL);
        CHECK_INT(changes, i + 1);
    }
    end();
}

TEST(a_bulk_connection_is_not_missed_by_who_trains_alone) {
    begin(4);
    join(1, 1);
    add(TASK_TRAIN, 0);
    after(0);
    CHECK(given(1, 0) != 0);
    core_on_bulk_closed(core, token_of(1), now_ms);
    after(0);
    CHECK(!cancelled(1, 0));
    end();
}

TEST(a_bulk_connection_is_not_missed_by_who_does_not_train) {
    begin(4);
    join(1, 1);
    add(TASK_SCORE, 0);
    after(0);
    core_on_bulk_closed(core, token_of(1), now_ms);
    core_on_bulk_closed(core, digest_of_number(99), now_ms);
    after(0);
    CHECK(!cancelled(1, 0));
    end();
}

TEST(who_waits_for_others_is_not_blamed_for_their_delay) {
    CorePeer peers[2];
    uint64_t attempts[2];
    begin(4);
    form_pair(peers, attempts);
    send_sum(peers[0], attempts[0], 0, 2);
    bool is_cancelled = false;
    for (int i = 0; i < 60 && !is_cancelled; i++) {
        after(ALIVE_MS);
        is_cancelled = cancelled(peers[1], 0);
        const CoreAction *note = find(CORE_NOTE, 0, 0);
        CHECK((note != NULL) == is_cancelled);
    }
    CHECK(is_cancelled);
    char name[32];
    snprintf(name, sizeof name, "worker-%u", peers[1]);
    CHECK_HAS(told(CORE_NOTE, 0), name);
    // The one that was slow is not asked before it shows that it is there again.
    wanted = 1;
    ask(peers[0], 1);
    after(0);
    CHECK(given(peers[0], 0) != 0);
    end();
}

TEST(a_total_starts_the_clock_of_those_who_waited) {
    CorePeer peers[2];
    uint64_t attempts[2];
    begin(4);
    form_pair(peers, attempts);
    send_sum(peers[0], attempts[0], 0, 2);
    gives_total = true;
    send_sum(peers[1], attempts[1], 2, 2);
    gives_total = false;
    send_sum(peers[1], attempts[1], 2, 2); // the next round; the first member hangs
    after(11 * ALIVE_MS);
    char name[32];
    snprintf(name, sizeof name, "worker-%u", peers[0]);
    CHECK_HAS(told(CORE_NOTE, 0), name);
    end();
}

TEST(a_sum_of_shards_that_a_member_does_not_own_ends_its_session) {
    CorePeer peers[2];
    uint64_t attempts[2];
    begin(4);
    form_pair(peers, attempts);
    send_sum(peers[0], attempts[0], 2, 2);
    after(0);
    CHECK_INT(sent(peers[0], MESSAGE_REFUSED)->refused.code, REFUSED_MALFORMED);
    CHECK(cancelled(peers[1], 0));
    end();
}

TEST(a_sum_that_ends_all_hope_blames_no_worker) {
    CorePeer peers[2];
    uint64_t attempts[2];
    begin(4);
    form_pair(peers, attempts);
    send_sum(peers[0], attempts[0], 0, 2);
    sum_verdict = STATUS_INVALID;
    send_sum(peers[1], attempts[1], 2, 2);
    after(0);
    const CoreAction *action = find(CORE_IMPOSSIBLE, 0, 0);
    CHECK(action != NULL && action->tag == 0);
    CHECK_TEXT(buffer_cstr(&action->blob), "diverged");
    for (CorePeer peer = 1; peer <= 2; peer++) {
        CHECK(cancelled(peer, 0));
        CHECK(sent(peer, MESSAGE_REFUSED) == NULL);
    }
    CHECK_INT(changes, 1);
    core_abandon(core, 0);
    after(1000);
    CHECK_INT(count_given(1) + count_given(2), 0);
    CHECK_INT(core_counts(core).abandoned, 1);
    end();
}

TEST(a_lone_trainers_answer_waits_for_its_state) {
    begin(4);
    add(TASK_TRAIN, 0);
    join(1, 1);
    after(0);
    uint64_t attempt = given(1, 0);
    next_verdict = STATUS_AGAIN;
    answer(1, 0, attempt);
    after(0);
    CHECK(find(CORE_COMMIT, 0, 0) == NULL);
    next_verdict = STATUS_OK;
    send_blob(1, BLOB_STATE, attempt, 0, 0);
    after(0);
    CHECK_TEXT(told(CORE_COMMIT, 0), "body");
    end();
}

// Its result came and its credit with it; the STATE was lost with its bulk connection, unnoticed.
TEST(a_lone_trainer_whose_state_is_lost_trains_again) {
    begin(4);
    add(TASK_TRAIN, 0);
    join(1, 1);
    after(0);
    next_verdict = STATUS_AGAIN;
    answer(1, 0, given(1, 0));
    ask(1, 1);
    bool again = false;
    for (int i = 0; i < 30 && !again; i++) {
        after(ALIVE_MS);
        say(1, &(Message){.type = MESSAGE_ALIVE});
        again = given(1, 0) != 0;
    }
    CHECK(again);
    end();
}

// Over a slow wire a state of three megabytes takes longer than any lease.
TEST(a_lone_trainer_whose_state_comes_slowly_keeps_its_lease) {
    begin(4);
    add(TASK_TRAIN, 0);
    join(1, 1);
    after(0);
    uint64_t attempt = given(1, 0);
    next_verdict = STATUS_AGAIN;
    answer(1, 0, attempt);
    ask(1, 1);
    next_verdict = STATUS_OK;
    Message header = {.type = MESSAGE_BLOB};
    header.blob.kind = BLOB_STATE;
    header.blob.attempt = attempt;
    for (int i = 0; i < 60; i++) {
        after(ALIVE_MS);
        say(1, &(Message){.type = MESSAGE_ALIVE});
        if (i % 5 == 0) {
            core_on_piece(core, token_of(1), &header, now_ms);
        }
        CHECK(given(1, 0) == 0 && sent(1, MESSAGE_CANCEL) == NULL);
    }
    send_blob(1, BLOB_STATE, attempt, 0, 0);
    after(0);
    CHECK_TEXT(told(CORE_COMMIT, 0), "body");
    core_on_piece(core, token_of(1), &header, now_ms); // of nothing any more
    end();
}

TEST(a_training_that_nobody_there_can_do_is_looked_at) {
    begin(4);
    add(TASK_TRAIN, 0);
    join(1, 2);
    after(0);
    next_verdict = STATUS_FORMAT;
    answer(1, 0, given(1, 0));
    after(ALIVE_MS);
    CHECK(find(CORE_CANNOT, 0, 0) == NULL); // nobody is there at all
    next_verdict = STATUS_OK;
    join_as(2, 1, 1); // the same worker
    after(0);
    CHECK(given(2, 0) == 0 && find(CORE_CANNOT, 0, 0) != NULL);
    core_retry(core, 0, now_ms);
    after(0);
    CHECK(given(2, 0) != 0);
    end();
}

TEST(while_models_wait_nobody_gets_a_second_task) {
    begin(4);
    wanted = 2;
    join(1, 10);
    add(TASK_TRAIN, 0);
    for (TaskTag tag = 1; tag < 6; tag++) {
        add(TASK_SCORE, tag);
    }
    after(0);
    CHECK_INT(count_given(1), 1);
    end();
}

TEST_MAIN_LIST(
    T(members_of_a_group_own_halves_and_get_every_total)
        T(a_blob_is_waited_for_from_who_holds_the_training_alone)
            T(a_lost_member_ends_the_group_and_a_new_one_forms)
                T(a_member_that_has_answered_and_is_lost_does_not_count)
                    T(a_member_that_lost_its_bulk_connection_ends_the_group_at_once)
                        T(a_bulk_connection_is_not_missed_by_who_trains_alone)
                            T(a_bulk_connection_is_not_missed_by_who_does_not_train) T(
                                who_waits_for_others_is_not_blamed_for_their_delay)
                                T(a_total_starts_the_clock_of_those_who_waited) T(
                                    a_sum_of_shards_that_a_member_does_not_own_ends_its_session)
                                    T(a_sum_that_ends_all_hope_blames_no_worker) T(
                                        a_lone_trainers_answer_waits_for_its_state)
                                        T(a_lone_trainer_whose_state_is_lost_trains_again) T(
                                            a_lone_trainer_whose_state_comes_slowly_keeps_its_lease)
                                            T(a_training_that_nobody_there_can_do_is_looked_at)
                                                T(while_models_wait_nobody_gets_a_second_task))
