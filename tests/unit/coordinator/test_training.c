// SPDX-License-Identifier: Apache-2.0
//
// The coordinator's end of a training against workers made of Trainers: whoever computed what, and
// wherever a group broke, the state at the end is the same to the bit.
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/model/trainer.h"
#include "coordinator/plan/training.h"
#include "tests/unit/model/model_test.h"

enum {
    CLIPS = 11,
    LEFT_OUT = 5, // keeps its index
    EPOCHS = 4,
    MEMBERS_MOST = 4,
    MODEL_KEY = 77,
};

static Settings settings;
static int64_t frames[CLIPS];
static float *log_mels[CLIPS];
static Shape shape;
static ShardPlan plan;

// ---- the world ----

static void begin_with(const char *const *assignments) {
    CHECK_OK(settings_preset("default", &settings));
    static const char *const SMALL[] = {"n_mels=4", "frames=3", "batch_size=16",
                                        "shards=4", "epochs=4", NULL};
    for (const char *const *a = SMALL; *a != NULL; a++) {
        CHECK_OK(settings_assign(&settings, *a));
    }
    for (const char *const *a = assignments; a != NULL && *a != NULL; a++) {
        CHECK_OK(settings_assign(&settings, *a));
    }
    CHECK_OK(settings_check(&settings));
    Rng rng = rng_of(5, "test training", 0, 0);
    for (int c = 0; c < CLIPS; c++) {
        frames[c] = c == LEFT_OUT ? 0 : 4 + (int64_t)rng_below(&rng, 9);
        log_mels[c] = mem_new((size_t)(frames[c] * settings.n_mels), sizeof(float));
        CHECK(log_mels[c] != NULL);
        for (int64_t i = 0; i < frames[c] * settings.n_mels; i++) {
            log_mels[c][i] = (float)(-40 + 10 * rng_normal(&rng));
        }
    }
    shape = shape_official(&settings);
    CHECK_OK(shard_plan_make(&shape, &settings, frames, CLIPS, &plan));
}

static void begin(void) {
    begin_with(NULL);
}

static void end(void) {
    for (int c = 0; c < CLIPS; c++) {
        mem_free(log_mels[c]);
    }
}

static Training *new_training(void) {
    Training *training;
    CHECK_OK(training_new(&settings, MODEL_KEY, frames, CLIPS, &training));
    return training;
}

// ---- workers ----

typedef struct Member {
    CoreShare share;
    Trainer *trainer;
    Replica *replica;
    Partial *partial;
    ScalerSums *scaler;
    ValidationSums *validation;
} Member;

static Member new_member(const Training *training, CoreShare share) {
    Member m = {.share = share};
    TrainerConfig config = {.shape = shape,
                            .plan = plan,
                            .first_shard = (int32_t)share.first,
                            .shard_count = (int32_t)share.count,
                            .seed = (uint64_t)settings.seed,
                            .model_key = MODEL_KEY};
    CHECK_OK(trainer_new(&config, &m.trainer));
    for (int c = 0; c < CLIPS; c++) {
        uint32_t shard = (uint32_t)(c % settings.shards);
        if (frames[c] > 0 && shard >= share.first && shard < share.first + share.count) {
            TrainClip clip = {.log_mel = log_mels[c], .frames = frames[c], .index = c};
            clip.is_target = c % 3 == 0;
            CHECK_OK(trainer_add_clip(m.trainer, &clip));
        }
    }
    CHECK_OK(trainer_seal(m.trainer));
    const Buffer *state = training != NULL ? training_state(training) : &BUFFER_EMPTY;
    if (state->size > 0) {
        CHECK_OK(replica_read(state->bytes, state->size, &m.replica));
    } else {
        m.replica = replica_new(&shape);
        replica_init(m.replica, (uint64_t)settings.seed, MODEL_KEY);
    }
    m.partial = partial_new(&shape);
    m.scaler = scaler_sums_new(shape_dimension(&shape));
    m.validation = validation_new(plan.validation_rounds);
    return m;
}

static void member_done(Member *m) {
    trainer_free(m->trainer);
    replica_free(m->replica);
    partial_free(m->partial);
    scaler_sums_free(m->scaler);
    validation_free(m->validation);
}

static Digest member_digest(const Member *m, Buffer *bytes) {
    buffer_clear(bytes);
    replica_write(m->replica, REPLICA_ALL, bytes);
    CHECK_OK(bytes->status);
    return digest_of(bytes->bytes, bytes->size);
}

// What the member sends next.
static BlobKind next_kind(const Member *m) {
    if (settings.scaler == SCALER_STANDARD && replica_scaler(m->replica)->count == 0) {
        return BLOB_SCALER_SUM;
    }
    return replica_round(m->replica) < plan.rounds ? BLOB_PARTIAL : BLOB_VALIDATION_SUM;
}

static CoreSum make_sum(Member *m) {
    CoreSum sum = {.kind = next_kind(m),
                   .epoch = (uint32_t)replica_epoch(m->replica),
                   .round = (uint32_t)replica_round(m->replica),
                   .share = m->share};
    if (sum.kind == BLOB_SCALER_SUM) {
        CHECK_OK(trainer_scaler_sums(m->trainer, m->scaler));
        sum.bytes = scaler_sums_bytes(m->scaler, &sum.size);
    } else if (sum.kind == BLOB_PARTIAL) {
        CHECK_OK(trainer_round(m->trainer, m->replica, m->partial));
        sum.bytes = partial_bytes(m->partial, &sum.size);
    } else {
        trainer_validate(m->trainer, m->replica, m->validation);
        sum.bytes = validation_bytes(m->validation, &sum.size);
    }
    return sum;
}

static void take_total(Member *m, BlobKind kind, const void *bytes, size_t size) {
    if (kind == BLOB_SCALER_TOTAL) {
        CHECK_OK(scaler_sums_read(m->scaler, bytes, size));
        CHECK_OK(replica_set_scaler(m->replica, m->scaler));
    } else if (kind == BLOB_TOTAL) {
        CHECK_OK(partial_read(m->partial, bytes, size));
        CHECK_OK(replica_apply(m->replica, m->partial, settings.learning_rate));
    } else {
        CHECK_INT(kind, BLOB_VALIDATION_TOTAL);
        CHECK_OK(validation_read(m->validation, bytes, size));
        CHECK_OK(replica_end_epoch(m->replica, m->validation));
    }
}

// ---- whole pieces ----

static void step_alone(Member *m) {
    CoreSum sum = make_sum(m);
    BlobKind total = sum.kind == BLOB_SCALER_SUM ? BLOB_SCALER_TOTAL
                     : sum.kind == BLOB_PARTIAL  ? BLOB_TOTAL
                                                 : BLOB_VALIDATION_TOTAL;
    Buffer bytes = BUFFER_EMPTY;
    buffer_append(&bytes, sum.bytes, sum.size);
    take_total(m, total, bytes.bytes, bytes.size);
    buffer_done(&bytes);
}

// The end of an undisturbed training by one worker, without any coordinator.
static Digest undisturbed(void) {
    Member m = new_member(NULL, (CoreShare){0, (uint32_t)settings.shards});
    while (replica_epoch(m.replica) < settings.epochs) {
        step_alone(&m);
    }
    Buffer bytes = BUFFER_EMPTY;
    Digest digest = member_digest(&m, &bytes);
    buffer_done(&bytes);
    member_done(&m);
    return digest;
}

static void run_alone(Training *training, uint32_t epochs) {
    training_plan_piece(training, epochs);
    CHECK_OK(training_group_changed(training, 1));
    Member m = new_member(training, (CoreShare){0, (uint32_t)settings.shards});
    while (replica_epoch(m.replica) < training_until(training)) {
        step_alone(&m);
    }
    Buffer bytes = BUFFER_EMPTY;
    Digest digest = member_digest(&m, &bytes);
    // The answer may come before the state.
    CHECK(training_take_answer(training, m.share, digest) == STATUS_AGAIN);
    CHECK(bytes.size <= training_blob_most(training));
    CHECK_OK(training_take_state(training, bytes.bytes, bytes.size));
    CHECK_OK(training_take_answer(training, m.share, digest));
    CHECK_OK(training_end_piece(training));
    buffer_done(&bytes);
    member_done(&m);
}

// Where a group breaks: before its exchange number `exchanges`, once `sums` of its members have
// sent theirs. Negative: not at all.
typedef struct Break {
    int exchanges, sums;
} Break;

// One exchange of all members, the last first. False: it broke.
static bool exchange_all(Training *training, Member *members, int count, int sums) {
    for (int i = count; i-- > 0;) {
        if (sums == count - 1 - i) {
            return false;
        }
        CoreSum sum = make_sum(&members[i]);
        Buffer total = BUFFER_EMPTY;
        BlobKind kind;
        CHECK(sum.size <= training_blob_most(training));
        Status status = training_take_sum(training, &sum, &total, &kind);
        CHECK(status == (i == 0 ? STATUS_OK : STATUS_AGAIN));
        for (int m = 0; i == 0 && m < count; m++) {
            take_total(&members[m], kind, total.bytes, total.size);
        }
        buffer_done(&total);
    }
    return true;
}

static void answer_all(Training *training, Member *members, int count) {
    Buffer bytes = BUFFER_EMPTY;
    for (int i = 0; i < count; i++) {
        Digest digest = member_digest(&members[i], &bytes);
        CHECK_OK(training_take_answer(training, members[i].share, digest));
    }
    buffer_done(&bytes);
    CHECK_OK(training_end_piece(training));
}

// Returns whether the piece came to its end.
static bool run_group(Training *training, int count, uint32_t epochs, Break at) {
    Member members[MEMBERS_MOST];
    training_plan_piece(training, epochs);
    CHECK_OK(training_group_changed(training, (uint32_t)count));
    uint32_t each = (uint32_t)(settings.shards / count);
    for (int i = 0; i < count; i++) {
        members[i] = new_member(training, (CoreShare){(uint32_t)i * each, each});
    }
    bool whole = true;
    for (int e = 0; whole && replica_epoch(members[0].replica) < training_until(training); e++) {
        whole = exchange_all(training, members, count, at.exchanges == e ? at.sums : -1);
    }
    if (whole && at.exchanges != INT32_MAX) {
        answer_all(training, members, count);
    } else {
        whole = false;
        CHECK_OK(training_group_changed(training, 0));
    }
    for (int i = 0; i < count; i++) {
        member_done(&members[i]);
    }
    return whole;
}

static const Break NEVER = {-1, -1};

static void check_end(Training *training, Digest expected) {
    CHECK(training_is_over(training));
    CHECK_INT(training_epoch(training), settings.epochs);
    const Buffer *state = training_state(training);
    CHECK(digest_equal(digest_of(state->bytes, state->size), expected));
    training_free(training);
}

// ---- the same bits ----

TEST(pieces_by_one_worker_end_like_one_run) {
    begin();
    Digest expected = undisturbed();
    for (uint32_t epochs = 1; epochs <= EPOCHS; epochs++) {
        Training *training = new_training();
        while (!training_is_over(training)) {
            run_alone(training, epochs);
        }
        check_end(training, expected);
    }
    end();
}

TEST(groups_of_two_and_four_end_like_one_worker) {
    begin();
    Digest expected = undisturbed();
    for (int members = 2; members <= 4; members *= 2) {
        for (uint32_t epochs = 1; epochs <= EPOCHS; epochs += 3) {
            Training *training = new_training();
            while (!training_is_over(training)) {
                CHECK(run_group(training, members, epochs, NEVER));
            }
            check_end(training, expected);
        }
    }
    end();
}

TEST(turns_of_lone_workers_and_groups_end_alike) {
    begin();
    Digest expected = undisturbed();
    Training *training = new_training();
    CHECK(run_group(training, 2, 1, NEVER));
    run_alone(training, 1);
    CHECK(run_group(training, 4, 1, NEVER));
    run_alone(training, 1);
    check_end(training, expected);
    end();
}

TEST(training_without_scaler_or_held_out_vectors_ends_alike) {
    begin_with((const char *const[]){"scaler=none", "validation_split=0", NULL});
    CHECK_INT(plan.validation_rounds, 0);
    Digest expected = undisturbed();
    Training *training = new_training();
    while (!training_is_over(training)) {
        CHECK(run_group(training, 4, 3, NEVER));
    }
    check_end(training, expected);
    end();
}

// Every place of two epochs: before and after the scaler, in the middle of an epoch, after its last
// round, between epochs; with none, one and all but one of the sums of the exchange there.
TEST(a_group_broken_anywhere_is_continued_to_the_same_end) {
    begin();
    Digest expected = undisturbed();
    int exchanges = 1 + 2 * ((int)plan.rounds + 1);
    CHECK(plan.rounds >= 3);
    for (int at = 0; at < exchanges; at++) {
        for (int sums = 0; sums < 4; sums++) {
            Training *training = new_training();
            CHECK(!run_group(training, 4, 2, (Break){at, sums}));
            CHECK_INT(training_epoch(training), at < 1 ? 0 : (at - 1) / (plan.rounds + 1));
            CHECK_INT(training_round(training), at < 1 ? 0 : (at - 1) % (plan.rounds + 1));
            if ((at + sums) % 2 == 0) {
                run_alone(training, 1);
            }
            while (!training_is_over(training)) {
                CHECK(run_group(training, 2, 2, NEVER));
            }
            check_end(training, expected);
        }
    }
    end();
}

TEST(a_group_broken_again_and_again_ends_alike) {
    begin();
    Digest expected = undisturbed();
    Training *training = new_training();
    for (int i = 0; !training_is_over(training); i++) {
        CHECK(i < 1000);
        (void)run_group(training, i % 2 == 0 ? 2 : 4, 3, (Break){1 + i % 3, i % 2});
    }
    check_end(training, expected);
    end();
}

TEST(a_group_lost_before_its_answers_has_lost_nothing) {
    begin();
    Digest expected = undisturbed();
    Training *training = new_training();
    // All exchanges of all epochs came to pass; the answers did not.
    CHECK(!run_group(training, 4, EPOCHS, (Break){INT32_MAX, 0}));
    CHECK_INT(training_epoch(training), EPOCHS);
    // What is left is a piece without an epoch.
    run_alone(training, 1);
    check_end(training, expected);
    training = new_training();
    CHECK(!run_group(training, 2, EPOCHS, (Break){INT32_MAX, 0}));
    CHECK(run_group(training, 2, 1, NEVER));
    check_end(training, expected);
    end();
}

TEST(a_stored_state_is_gone_on_from) {
    begin();
    Digest expected = undisturbed();
    Training *first = new_training();
    run_alone(first, 2);
    Training *second = new_training();
    const Buffer *state = training_state(first);
    CHECK_OK(training_resume(second, state->bytes, state->size));
    CHECK_INT(training_epoch(second), 2);
    training_free(first);
    CHECK(run_group(second, 2, 2, NEVER));
    check_end(second, expected);
    end();
}

// ---- refusing ----

TEST(damaged_and_foreign_states_are_refused) {
    begin();
    Training *training = new_training();
    run_alone(training, 1);
    Buffer bytes = BUFFER_EMPTY;
    buffer_append(&bytes, training_state(training)->bytes, training_state(training)->size);
    Training *other = new_training();
    for (size_t at = 0; at < bytes.size; at += bytes.size / 300) {
        bytes.bytes[at] ^= 1;
        CHECK(training_resume(other, bytes.bytes, bytes.size) != STATUS_OK);
        CHECK_INT(training_state(other)->size, 0);
        bytes.bytes[at] ^= 1;
    }
    CHECK(training_resume(other, bytes.bytes, bytes.size - 1) == STATUS_FORMAT);
    CHECK(training_resume(other, NULL, 0) == STATUS_FORMAT);
    training_free(other);
    settings.n_mels = 5; // a model of another size
    CHECK_OK(training_new(&settings, MODEL_KEY, frames, CLIPS, &other));
    CHECK(training_resume(other, bytes.bytes, bytes.size) == STATUS_MISMATCH);
    training_free(other);
    training_free(training);
    buffer_done(&bytes);
    end();
}

TEST(a_state_from_outside_the_piece_is_refused) {
    begin();
    Training *training = new_training();
    training_plan_piece(training, 2);
    CHECK_OK(training_group_changed(training, 1));
    Member m = new_member(training, (CoreShare){0, 4});
    Buffer bytes = BUFFER_EMPTY;
    while (replica_epoch(m.replica) < 2 || replica_round(m.replica) < 1) {
        bool is_start = replica_epoch(m.replica) == 0 && replica_round(m.replica) == 0;
        (void)member_digest(&m, &bytes);
        Status status = training_take_state(training, bytes.bytes, bytes.size);
        CHECK(status == (is_start ? STATUS_FORMAT : STATUS_OK)); // no step was done
        step_alone(&m);
    }
    (void)member_digest(&m, &bytes);
    CHECK(training_take_state(training, bytes.bytes, bytes.size) == STATUS_FORMAT);
    buffer_done(&bytes);
    member_done(&m);
    training_free(training);
    end();
}

TEST(the_next_piece_goes_on_where_a_worker_that_left_stood) {
    begin();
    Training *training = new_training();
    training_plan_piece(training, 2);
    CHECK_OK(training_group_changed(training, 1));
    Member m = new_member(training, (CoreShare){0, 4});
    while (replica_epoch(m.replica) < 1 || replica_round(m.replica) < 1) {
        step_alone(&m);
    }
    Buffer bytes = BUFFER_EMPTY;
    Digest digest = member_digest(&m, &bytes);
    CHECK_OK(training_take_state(training, bytes.bytes, bytes.size));
    CHECK_OK(training_take_answer(training, m.share, digest));
    CHECK_OK(training_end_piece(training));
    CHECK_INT(training_epoch(training), 1);
    CHECK_INT(training_round(training), 1);
    CHECK(digest_equal(digest_of(training_state(training)->bytes, training_state(training)->size),
                       digest));
    // A state that was there already brings nothing on.
    training_plan_piece(training, 2);
    CHECK_OK(training_group_changed(training, 1));
    CHECK(training_take_state(training, bytes.bytes, bytes.size) == STATUS_FORMAT);
    buffer_done(&bytes);
    member_done(&m);
    training_free(training);
    end();
}

TEST(an_answer_of_other_bits_is_refused) {
    begin();
    Digest wrong = digest_of("wrong", 5);
    Training *training = new_training();
    training_plan_piece(training, 1);
    CHECK_OK(training_group_changed(training, 1));
    Member m = new_member(training, (CoreShare){0, 4});
    while (replica_epoch(m.replica) < 1) {
        step_alone(&m);
    }
    Buffer bytes = BUFFER_EMPTY;
    (void)member_digest(&m, &bytes);
    CHECK_OK(training_take_state(training, bytes.bytes, bytes.size));
    CHECK(training_take_answer(training, m.share, wrong) == STATUS_FORMAT);
    member_done(&m);
    buffer_done(&bytes);
    CHECK_OK(training_group_changed(training, 0));

    Member members[2];
    CHECK_OK(training_group_changed(training, 2));
    for (uint32_t i = 0; i < 2; i++) {
        members[i] = new_member(training, (CoreShare){2 * i, 2});
    }
    Digest digest = member_digest(&members[0], &bytes);
    CHECK(training_take_answer(training, members[0].share, digest) == STATUS_FORMAT); // too early
    while (replica_epoch(members[0].replica) < 1) {
        CHECK(exchange_all(training, members, 2, -1));
    }
    CHECK(training_take_answer(training, members[0].share, wrong) == STATUS_MISMATCH);
    CHECK_HAS(status_message(), "other bits");
    digest = member_digest(&members[0], &bytes);
    CHECK_OK(training_take_answer(training, members[0].share, digest));
    for (int i = 0; i < 2; i++) {
        member_done(&members[i]);
    }
    buffer_done(&bytes);
    training_free(training);
    end();
}

static Status offer(Training *training, const CoreSum *sum) {
    Buffer total = BUFFER_EMPTY;
    BlobKind kind;
    Status status = training_take_sum(training, sum, &total, &kind);
    buffer_done(&total);
    return status;
}

// A hostile or broken sum is the sender's fault (STATUS_INVALID would end the model), and what is
// there stays as it is.
static void check_wrong_sums(Training *training, const CoreSum *good) {
    CoreSum sum = *good;
    for (int kind = BLOB_OBJECT; kind <= BLOB_VALIDATION_TOTAL; kind++) {
        sum.kind = (BlobKind)kind;
        if (sum.kind != good->kind) {
            CHECK(offer(training, &sum) == STATUS_FORMAT);
        }
    }
    sum = *good;
    sum.epoch++;
    CHECK(offer(training, &sum) == STATUS_FORMAT);
    sum = *good;
    sum.round++;
    CHECK(offer(training, &sum) == STATUS_FORMAT);
    static const CoreShare SHARES[] = {{1, 2}, {0, 3}, {0, 8}, {4, 4}, {0, 0}, {3, 2}};
    for (size_t i = 0; i < sizeof SHARES / sizeof SHARES[0]; i++) {
        sum = *good;
        sum.share = SHARES[i];
        CHECK(offer(training, &sum) == STATUS_FORMAT);
    }
    sum = *good;
    sum.size--;
    CHECK(offer(training, &sum) != STATUS_OK);
    sum.size = 0;
    CHECK(offer(training, &sum) == STATUS_FORMAT);
}

static void check_spoilt_bytes(Training *training, const CoreSum *good) {
    char *bytes = mem_copy(good->bytes, good->size);
    CoreSum sum = *good;
    sum.bytes = bytes;
    bytes[0] ^= 1;
    CHECK(offer(training, &sum) == STATUS_FORMAT);
    bytes[0] ^= 1;
    // Past the end of its shards a member's part is empty, and nothing in it counts.
    bool counts = good->kind == BLOB_SCALER_SUM ||
                  (good->kind == BLOB_PARTIAL && ((const PartialHead *)good->bytes)->rows > 0);
    if (counts) {
        memset(bytes + good->size - 4, 0xff, 4); // the last number is NaN
        CHECK(offer(training, &sum) == STATUS_FORMAT);
    }
    mem_free(bytes);
}

TEST(wrong_sums_are_refused_and_change_nothing) {
    begin();
    Digest expected = undisturbed();
    Training *training = new_training();
    training_plan_piece(training, EPOCHS);
    CHECK_OK(training_group_changed(training, 2));
    Member members[2];
    for (uint32_t i = 0; i < 2; i++) {
        members[i] = new_member(training, (CoreShare){2 * i, 2});
    }
    while (replica_epoch(members[0].replica) < EPOCHS) {
        CoreSum first = make_sum(&members[0]);
        check_wrong_sums(training, &first);
        check_spoilt_bytes(training, &first);
        CHECK(offer(training, &first) == STATUS_AGAIN);
        CHECK(offer(training, &first) == STATUS_FORMAT); // a second time
        CoreSum second = make_sum(&members[1]);
        check_wrong_sums(training, &second);
        Buffer total = BUFFER_EMPTY;
        BlobKind kind;
        CHECK_OK(training_take_sum(training, &second, &total, &kind));
        for (int m = 0; m < 2; m++) {
            take_total(&members[m], kind, total.bytes, total.size);
        }
        buffer_done(&total);
    }
    CoreSum beyond = {.kind = BLOB_PARTIAL, .epoch = EPOCHS, .share = {0, 2}};
    beyond.bytes = partial_bytes(members[0].partial, &beyond.size);
    CHECK(offer(training, &beyond) == STATUS_FORMAT);
    CHECK_HAS(status_message(), "after the last round");
    answer_all(training, members, 2);
    for (int i = 0; i < 2; i++) {
        member_done(&members[i]);
    }
    check_end(training, expected);
    end();
}

TEST(a_sum_after_the_end_of_a_piece_is_refused) {
    begin();
    Training *training = new_training();
    training_plan_piece(training, 1);
    CHECK_OK(training_group_changed(training, 2));
    Member members[2];
    for (uint32_t i = 0; i < 2; i++) {
        members[i] = new_member(training, (CoreShare){2 * i, 2});
    }
    while (replica_epoch(members[0].replica) < 1) {
        CHECK(exchange_all(training, members, 2, -1));
    }
    CoreSum sum = make_sum(&members[0]);
    CHECK(offer(training, &sum) == STATUS_FORMAT);
    answer_all(training, members, 2);
    for (int i = 0; i < 2; i++) {
        member_done(&members[i]);
    }
    training_free(training);
    end();
}

TEST(sums_from_a_lone_worker_are_refused) {
    begin();
    Training *training = new_training();
    training_plan_piece(training, 1);
    CHECK_OK(training_group_changed(training, 1));
    Member m = new_member(training, (CoreShare){0, 4});
    CoreSum sum = make_sum(&m);
    CHECK(offer(training, &sum) == STATUS_FORMAT);
    member_done(&m);
    training_free(training);
    end();
}

// Finite parts whose sum is not: nobody is to blame, and the training cannot go on.
TEST(a_total_beyond_all_numbers_ends_the_training) {
    begin();
    Training *training = new_training();
    training_plan_piece(training, 1);
    CHECK_OK(training_group_changed(training, 2));
    Member members[2];
    for (uint32_t i = 0; i < 2; i++) {
        members[i] = new_member(training, (CoreShare){2 * i, 2});
    }
    CHECK(exchange_all(training, members, 2, -1)); // the scaler
    for (int i = 0; i < 2; i++) {
        CoreSum sum = make_sum(&members[i]);
        partial_gradient(members[i].partial)[7] = (real)3e38;
        sum.bytes = partial_bytes(members[i].partial, &sum.size);
        Status status = offer(training, &sum);
        CHECK(status == (i == 0 ? STATUS_AGAIN : STATUS_INVALID));
    }
    CHECK_HAS(status_message(), "diverged");
    CHECK_OK(training_group_changed(training, 0));
    CHECK_INT(training_round(training), 0);
    for (int i = 0; i < 2; i++) {
        member_done(&members[i]);
    }
    training_free(training);
    end();
}

TEST(every_failing_allocation_is_survived) {
    begin();
    long before = mem_blocks();
    for (long n = 0;; n++) {
        Training *training = NULL;
        mem_fail_after(n);
        Status status = training_new(&settings, MODEL_KEY, frames, CLIPS, &training);
        if (status == STATUS_OK) {
            status = training_group_changed(training, 2);
        }
        int failed = mem_has_failed();
        mem_fail_after(-1);
        training_free(training);
        CHECK_INT(mem_blocks(), before);
        CHECK(status == (failed ? STATUS_MEMORY : STATUS_OK));
        if (!failed) {
            break;
        }
    }
    end();
}

MODEL_TEST_MAIN(
    T(pieces_by_one_worker_end_like_one_run) T(groups_of_two_and_four_end_like_one_worker)
        T(turns_of_lone_workers_and_groups_end_alike)
            T(training_without_scaler_or_held_out_vectors_ends_alike)
                T(a_group_broken_anywhere_is_continued_to_the_same_end)
                    T(a_group_broken_again_and_again_ends_alike) T(
                        a_group_lost_before_its_answers_has_lost_nothing)
                        T(a_stored_state_is_gone_on_from) T(damaged_and_foreign_states_are_refused)
                            T(a_state_from_outside_the_piece_is_refused)
                                T(the_next_piece_goes_on_where_a_worker_that_left_stood)
                                    T(an_answer_of_other_bits_is_refused)
                                        T(wrong_sums_are_refused_and_change_nothing)
                                            T(a_sum_after_the_end_of_a_piece_is_refused)
                                                T(sums_from_a_lone_worker_are_refused)
                                                    T(a_total_beyond_all_numbers_ends_the_training)
                                                        T(every_failing_allocation_is_survived))
