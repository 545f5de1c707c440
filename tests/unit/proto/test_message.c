// SPDX-License-Identifier: Apache-2.0
//
// What is sent is what arrives. AUSCULT_SEED=N repeats a random run.
#include "tests/unit/test.h"

#include <time.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "proto/schema.h"
#include "tests/unit/proto/pack.h"

#define ROUNDS 200

// Texts and blocks of the values that are being sent; freed together.
typedef struct Pool {
    Rng rng;
    void *blocks[20000];
    int count;
} Pool;

static Pool pool;

static void *keep(void *block) {
    CHECK(block != NULL && pool.count < 20000);
    pool.blocks[pool.count++] = block;
    return block;
}

static void pool_clear(void) {
    while (pool.count > 0) {
        mem_free(pool.blocks[--pool.count]);
    }
}

static uint64_t any_u64(void) {
    uint64_t value = (uint64_t)rng_u32(&pool.rng) << 32 | rng_u32(&pool.rng);
    return value >> rng_below(&pool.rng, 64); // small ones often
}

static uint32_t any_in(uint32_t least, uint32_t most) {
    switch (rng_below(&pool.rng, 8)) {
    case 0:
        return least;
    case 1:
        return most;
    default:
        return least + rng_below(&pool.rng, most - least);
    }
}

static uint32_t any_u32(void) {
    return (uint32_t)any_u64();
}

static Digest any_digest(void) {
    Digest digest;
    for (size_t i = 0; i < sizeof digest.bytes; i++) {
        digest.bytes[i] = (unsigned char)rng_u32(&pool.rng);
    }
    return digest;
}

// UTF-8 of at most `most` bytes; every length of sequence occurs.
static const char *any_text(uint32_t most) {
    static const char *const LETTERS[] = {"a",        "/x",           "\n",
                                          "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x94\x8a"};
    uint32_t size = rng_below(&pool.rng, 4) == 0 ? most : rng_below(&pool.rng, most + 1) / 8;
    char *text = keep(mem_new(size + 1, 1));
    uint32_t used = 0;
    while (used < size) {
        const char *letter = LETTERS[rng_below(&pool.rng, 6)];
        uint32_t step = (uint32_t)strlen(letter);
        if (used + step > size) {
            letter = "b";
            step = 1;
        }
        memcpy(text + used, letter, step);
        used += step;
    }
    return text;
}

static const char *any_path(void) {
    const char *name = any_text(200);
    char *path = keep(mem_new(300, 1));
    snprintf(path, 300, "m%s", name);
    for (char *at = path; *at != '\0'; at++) {
        *at = *at == '/' ? '_' : *at;
    }
    memcpy(path, "m/n", strlen(path) >= 3 && (path[3] & 0xC0) != 0x80 ? 3 : 0);
    return path;
}

static const void *any_bytes(size_t most, size_t *ret_size) {
    size_t size = rng_below(&pool.rng, 50) == 0 ? most : rng_below(&pool.rng, 300);
    unsigned char *bytes = keep(mem_new(size, 1));
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)rng_u32(&pool.rng);
    }
    *ret_size = size;
    return bytes;
}

static double any_real(void) {
    return (rng_uniform(&pool.rng) - 0.5) * pow(10, (double)rng_below(&pool.rng, 600) - 300);
}

static void check_digest(Digest actual, Digest expected) {
    CHECK(digest_equal(actual, expected));
}

// Encodes, decodes, and gives what came out; valid until the next call.
static const Message *through(const Message *message) {
    static Decoded *decoded;
    static Buffer bytes;
    if (message == NULL) {
        decoded_free(decoded);
        buffer_done(&bytes);
        decoded = NULL;
        return NULL;
    }
    decoded = decoded != NULL ? decoded : decoded_new();
    buffer_clear(&bytes);
    message_encode(message, &bytes);
    CHECK_OK(bytes.status);
    const Message *ret = NULL;
    CHECK_OK(message_decode(decoded, bytes.bytes, bytes.size, &ret));
    CHECK_INT(ret->type, message->type);
    memset(bytes.bytes, 0xc1, bytes.size); // nothing is borrowed from the sender's bytes
    return ret;
}

static void begin(void) {
    static uint64_t seed;
    if (seed == 0) {
        const char *given = getenv("AUSCULT_SEED");
        seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
        printf("AUSCULT_SEED=%llu\n", (unsigned long long)seed);
    }
    pool.rng = rng_of(seed, "message", 0, 0);
}

static void end(void) {
    pool_clear();
    through(NULL);
    CHECK_INT(mem_blocks(), 0);
}

TEST(hello_arrives_as_it_was_sent) {
    begin();
    for (int i = 0; i < ROUNDS; i++) {
        Message m = {.type = MESSAGE_HELLO};
        m.hello.protocol_least = 1;
        m.hello.protocol_most = any_in(1, 65535);
        m.hello.program = any_text(64);
        m.hello.worker_id = any_digest();
        m.hello.name = any_text(128);
        m.hello.threads = any_in(1, 1024);
        m.hello.kernel = any_text(32);
        m.hello.fingerprint = any_digest();
        m.hello.libraries = any_text(256);
        const Message *r = through(&m);
        CHECK_INT(r->hello.protocol_least, m.hello.protocol_least);
        CHECK_INT(r->hello.protocol_most, m.hello.protocol_most);
        CHECK_TEXT(r->hello.program, m.hello.program);
        check_digest(r->hello.worker_id, m.hello.worker_id);
        CHECK_TEXT(r->hello.name, m.hello.name);
        CHECK_INT(r->hello.threads, m.hello.threads);
        CHECK_TEXT(r->hello.kernel, m.hello.kernel);
        check_digest(r->hello.fingerprint, m.hello.fingerprint);
        CHECK_TEXT(r->hello.libraries, m.hello.libraries);
        pool_clear();
    }
    end();
}

TEST(welcome_arrives_as_it_was_sent) {
    begin();
    for (int i = 0; i < ROUNDS; i++) {
        Message m = {.type = MESSAGE_WELCOME};
        m.welcome.protocol = 1;
        m.welcome.token = any_digest();
        m.welcome.run = any_digest();
        m.welcome.bulk_port = any_in(0, 65535);
        m.welcome.alive_ms = any_in(100, 60000);
        m.welcome.root_count = any_in(0, LIMIT_ROOTS);
        const char *roots[LIMIT_ROOTS];
        m.welcome.roots = roots;
        for (uint32_t k = 0; k < m.welcome.root_count; k++) {
            roots[k] = any_text(i == 0 ? 4096 : 60);
        }
        const Message *r = through(&m);
        CHECK_INT(r->welcome.protocol, 1);
        check_digest(r->welcome.token, m.welcome.token);
        check_digest(r->welcome.run, m.welcome.run);
        CHECK_INT(r->welcome.bulk_port, m.welcome.bulk_port);
        CHECK_INT(r->welcome.alive_ms, m.welcome.alive_ms);
        CHECK_INT(r->welcome.root_count, m.welcome.root_count);
        for (uint32_t k = 0; k < m.welcome.root_count; k++) {
            CHECK_TEXT(r->welcome.roots[k], m.welcome.roots[k]);
        }
        pool_clear();
    }
    end();
}

TEST(tasks_and_results_arrive_as_they_were_sent) {
    begin();
    for (int i = 0; i < ROUNDS; i++) {
        static WireTask tasks[PROTO_BUNDLE];
        uint32_t count = i < 2 ? 1 + (uint32_t)i * (PROTO_BUNDLE - 1) : any_in(1, 20);
        size_t most = PROTO_BODY_BYTES / count - PROTO_ITEM_BYTES;
        for (uint32_t t = 0; t < count; t++) {
            tasks[t] = (WireTask){any_u64(),
                                  any_u64(),
                                  (TaskKind)any_in(TASK_PROBE, TASK_EMPTY),
                                  any_in(1, UINT32_MAX),
                                  NULL,
                                  0};
            tasks[t].body = any_bytes(most, &tasks[t].body_bytes);
        }
        const Message *r =
            through(&(Message){.type = MESSAGE_TASKS, .tasks = {.items = tasks, .count = count}});
        CHECK_INT(r->tasks.count, count);
        for (uint32_t t = 0; t < count; t++) {
            const WireTask *back = &r->tasks.items[t];
            CHECK(back->task == tasks[t].task && back->attempt == tasks[t].attempt);
            CHECK(back->kind == tasks[t].kind && back->lease_ms == tasks[t].lease_ms);
            CHECK_INT(back->body_bytes, tasks[t].body_bytes);
            CHECK(memcmp(back->body, tasks[t].body, back->body_bytes) == 0);
        }

        static WireResult results[PROTO_BUNDLE];
        for (uint32_t t = 0; t < count; t++) {
            results[t] =
                (WireResult){any_u64(), any_u64(),
                             (ResultOutcome)any_in(RESULT_DONE, RESULT_IMPOSSIBLE), NULL, 0};
            results[t].body = any_bytes(most, &results[t].body_bytes);
        }
        r = through(
            &(Message){.type = MESSAGE_RESULTS, .results = {.items = results, .count = count}});
        CHECK_INT(r->results.count, count);
        for (uint32_t t = 0; t < count; t++) {
            const WireResult *back = &r->results.items[t];
            CHECK(back->task == results[t].task && back->attempt == results[t].attempt);
            CHECK_INT(back->outcome, results[t].outcome);
            CHECK_INT(back->body_bytes, results[t].body_bytes);
            CHECK(memcmp(back->body, results[t].body, back->body_bytes) == 0);
        }
        pool_clear();
    }
    end();
}

TEST(small_control_messages_arrive_as_they_were_sent) {
    begin();
    for (int i = 0; i < ROUNDS; i++) {
        Message m = {.type = MESSAGE_CREDIT};
        m.credit.count = any_in(1, PROTO_CREDITS);
        CHECK_INT(through(&m)->credit.count, m.credit.count);

        m = (Message){.type = MESSAGE_PROGRESS};
        m.progress.task = any_u64();
        m.progress.attempt = any_u64();
        m.progress.done = any_u64();
        m.progress.total = any_u64();
        m.progress.loss = i == 0 ? NAN : i == 1 ? INFINITY : any_real(); // a training diverges
        const Message *r = through(&m);
        CHECK(r->progress.task == m.progress.task && r->progress.attempt == m.progress.attempt);
        CHECK(r->progress.done == m.progress.done && r->progress.total == m.progress.total);
        CHECK(i <= 1 ? isnan(r->progress.loss) : r->progress.loss == m.progress.loss);

        WireLease acks[2] = {{any_u64(), any_u64()}, {any_u64(), any_u64()}};
        r = through(&(Message){.type = MESSAGE_ACKS, .acks = {.items = acks, .count = 2}});
        CHECK_INT(r->acks.count, 2);
        CHECK(memcmp(r->acks.items, acks, sizeof acks) == 0);
        m = (Message){.type = MESSAGE_CANCEL, .cancel = acks[0]};
        r = through(&m);
        CHECK(r->cancel.task == m.cancel.task && r->cancel.attempt == m.cancel.attempt);

        m = (Message){.type = MESSAGE_REFUSED};
        m.refused.code = (RefusedCode)any_in(REFUSED_PROTOCOL, REFUSED_ADMISSION);
        m.refused.text = any_text(1024);
        r = through(&m);
        CHECK_INT(r->refused.code, m.refused.code);
        CHECK_TEXT(r->refused.text, m.refused.text);

        m = (Message){.type = MESSAGE_GOODBYE};
        m.goodbye.text = any_text(256);
        CHECK_TEXT(through(&m)->goodbye.text, m.goodbye.text);
        m = (Message){.type = MESSAGE_END};
        m.end.text = any_text(1024);
        CHECK_TEXT(through(&m)->end.text, m.end.text);
        pool_clear();
    }
    through(&(Message){.type = MESSAGE_ALIVE});
    through(&(Message){.type = MESSAGE_ECHO});
    end();
}

TEST(bulk_messages_arrive_as_they_were_sent) {
    begin();
    for (int i = 0; i < ROUNDS; i++) {
        Message m = {.type = MESSAGE_BLOB};
        m.blob.kind = (BlobKind)any_in(BLOB_OBJECT, BLOB_VALIDATION_TOTAL);
        m.blob.task = any_u64();
        m.blob.attempt = any_u64();
        m.blob.epoch = any_in(0, LIMIT_EPOCHS);
        m.blob.round = any_u32();
        m.blob.first = any_in(0, 64);
        m.blob.count = any_in(0, 65 - m.blob.first) % (65 - m.blob.first);
        m.blob.total_bytes = any_in(0, 1u << 30);
        m.blob.digest = any_digest();
        const Message *r = through(&m);
        CHECK_INT(r->blob.kind, m.blob.kind);
        CHECK(r->blob.task == m.blob.task && r->blob.attempt == m.blob.attempt);
        CHECK_INT(r->blob.epoch, m.blob.epoch);
        CHECK_INT(r->blob.round, m.blob.round);
        CHECK_INT(r->blob.first, m.blob.first);
        CHECK_INT(r->blob.count, m.blob.count);
        CHECK(r->blob.total_bytes == m.blob.total_bytes);
        check_digest(r->blob.digest, m.blob.digest);

        m = (Message){.type = MESSAGE_PIECE};
        m.piece.offset = any_in(0, 1u << 30);
        CHECK(through(&m)->piece.offset == m.piece.offset);
        m = (Message){.type = MESSAGE_ATTACH};
        m.attach.token = any_digest();
        m.attach.line = any_in(BULK_WORK, BULK_CLIPS);
        check_digest(through(&m)->attach.token, m.attach.token);
        CHECK_INT(through(&m)->attach.line, m.attach.line);
        m = (Message){.type = MESSAGE_GET};
        m.get.digest = any_digest();
        check_digest(through(&m)->get.digest, m.get.digest);
        m.type = MESSAGE_MISSING;
        check_digest(through(&m)->missing.digest, m.missing.digest);
        m = (Message){.type = MESSAGE_FETCH};
        m.fetch.clip = any_digest();
        m.fetch.offset = any_in(0, 1u << 30);
        check_digest(through(&m)->fetch.clip, m.fetch.clip);
        CHECK(through(&m)->fetch.offset == m.fetch.offset);
        m = (Message){.type = MESSAGE_PART};
        m.part.clip = any_digest();
        m.part.offset = any_in(0, 1u << 30);
        m.part.size_bytes = any_in(0, 1u << 30);
        m.part.version = any_u64();
        r = through(&m);
        check_digest(r->part.clip, m.part.clip);
        CHECK(r->part.offset == m.part.offset && r->part.size_bytes == m.part.size_bytes);
        CHECK(r->part.version == m.part.version);
        m = (Message){.type = MESSAGE_NOT_HERE};
        m.not_here.clip = any_digest();
        m.not_here.reason = "not there";
        r = through(&m);
        check_digest(r->not_here.clip, m.not_here.clip);
        CHECK_TEXT(r->not_here.reason, "not there");
    }
    through(&(Message){.type = MESSAGE_ATTACHED});
    end();
}

static WireClip *any_clips(uint32_t count) {
    WireClip *clips = keep(mem_new(count, sizeof *clips));
    for (uint32_t i = 0; i < count; i++) {
        clips[i].root = any_in(0, LIMIT_ROOTS - 1);
        clips[i].path = any_path();
        clips[i].size_bytes = any_u64();
        clips[i].digest = any_digest();
        clips[i].index = any_in(0, LIMIT_CLIPS - 1);
        clips[i].frames = any_u32();
        clips[i].is_target = any_in(0, 1);
    }
    return clips;
}

static void check_clips(const WireClip *actual, const WireClip *expected, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        CHECK_INT(actual[i].root, expected[i].root);
        CHECK_TEXT(actual[i].path, expected[i].path);
        CHECK(actual[i].size_bytes == expected[i].size_bytes);
    }
}

TEST(bodies_of_tasks_arrive_as_they_were_sent) {
    begin();
    Decoded *decoded = decoded_new();
    Buffer out = BUFFER_EMPTY;
    for (int i = 0; i < ROUNDS / 4; i++) {
        uint32_t count = i < 2 ? (uint32_t)i * PROTO_TASK_CLIPS : any_in(0, 20);
        ProbeBody probe = {any_text(4096), any_clips(count), count}, probe_back;
        buffer_clear(&out);
        body_encode_probe(&probe, &out);
        CHECK_OK(out.status);
        CHECK_OK(body_decode_probe(decoded, out.bytes, out.size, &probe_back));
        CHECK_TEXT(probe_back.settings, probe.settings);
        CHECK_INT(probe_back.clip_count, count);
        check_clips(probe_back.clips, probe.clips, count);

        ScoreBody score = {any_digest(), probe.clips, count}, score_back;
        buffer_clear(&out);
        body_encode_score(&score, &out);
        CHECK_OK(body_decode_score(decoded, out.bytes, out.size, &score_back));
        check_digest(score_back.model, score.model);
        CHECK_INT(score_back.clip_count, count);
        check_clips(score_back.clips, score.clips, count);
        for (uint32_t k = 0; k < count; k++) {
            check_digest(score_back.clips[k].digest, score.clips[k].digest);
        }

        TrainBody train = {any_digest(),  any_digest(), any_in(0, 31),           any_in(1, 32),
                           any_in(0, 50), any_u32(),    any_in(50, LIMIT_EPOCHS)};
        TrainBody train_back;
        buffer_clear(&out);
        body_encode_train(&train, &out);
        CHECK_OK(body_decode_train(decoded, out.bytes, out.size, &train_back));
        check_digest(train_back.plan, train.plan);
        check_digest(train_back.state, train.state);
        CHECK_INT(train_back.first, train.first);
        CHECK_INT(train_back.count, train.count);
        CHECK_INT(train_back.from_epoch, train.from_epoch);
        CHECK_INT(train_back.from_round, train.from_round);
        CHECK_INT(train_back.until_epoch, train.until_epoch);
        pool_clear();
    }
    decoded_free(decoded);
    buffer_done(&out);
    end();
}

TEST(plan_of_many_clips_arrives_as_it_was_sent) {
    begin();
    Decoded *decoded = decoded_new();
    Buffer out = BUFFER_EMPTY;
    enum { CLIPS = 9000 };
    TrainPlan plan = {any_text(4096), any_u64(), 64, any_clips(CLIPS), CLIPS}, back;
    body_encode_plan(&plan, &out);
    CHECK_OK(out.status);
    CHECK_OK(body_decode_plan(decoded, out.bytes, out.size, &back));
    buffer_done(&out);
    CHECK_TEXT(back.settings, plan.settings);
    CHECK(back.model_key == plan.model_key);
    CHECK_INT(back.shards, plan.shards);
    CHECK_INT(back.clip_count, CLIPS);
    check_clips(back.clips, plan.clips, CLIPS);
    for (int k = 0; k < CLIPS; k++) {
        check_digest(back.clips[k].digest, plan.clips[k].digest);
        CHECK_INT(back.clips[k].index, plan.clips[k].index);
        CHECK_INT(back.clips[k].frames, plan.clips[k].frames);
        CHECK_INT(back.clips[k].is_target, plan.clips[k].is_target);
    }
    decoded_free(decoded);
    end();
}

TEST(answers_arrive_as_they_were_sent) {
    begin();
    Decoded *decoded = decoded_new();
    Buffer out = BUFFER_EMPTY;
    for (int i = 0; i < ROUNDS / 4; i++) {
        uint32_t count = i < 2 ? (uint32_t)i * PROTO_TASK_CLIPS : any_in(0, 20), count_back = 77;
        ProbeAnswer probes[PROTO_TASK_CLIPS];
        ScoreAnswer scores[PROTO_TASK_CLIPS];
        static const char row_bytes[40] = "the row of a clip, as bytes";
        for (uint32_t k = 0; k < count; k++) {
            ClipOutcome outcome = (ClipOutcome)any_in(CLIP_USABLE, CLIP_UNREADABLE);
            probes[k] =
                (ProbeAnswer){outcome,    any_u32(),    any_u32(),    any_u32(),    any_u32(),
                              any_real(), any_in(0, 1), any_digest(), any_text(512)};
            scores[k] = (ScoreAnswer){
                outcome,      any_real(), any_real(), row_bytes, any_in(0, sizeof row_bytes),
                any_text(512)};
        }
        const ProbeAnswer *probes_back;
        buffer_clear(&out);
        body_encode_probe_answers(probes, count, &out);
        CHECK_OK(out.status);
        CHECK_OK(
            body_decode_probe_answers(decoded, out.bytes, out.size, &probes_back, &count_back));
        CHECK_INT(count_back, count);
        for (uint32_t k = 0; k < count; k++) {
            CHECK_INT(probes_back[k].outcome, probes[k].outcome);
            CHECK_INT(probes_back[k].frames, probes[k].frames);
            CHECK_INT(probes_back[k].vectors, probes[k].vectors);
            CHECK_INT(probes_back[k].rate_hz, probes[k].rate_hz);
            CHECK_INT(probes_back[k].channels, probes[k].channels);
            CHECK(probes_back[k].seconds == probes[k].seconds);
            CHECK_INT(probes_back[k].is_silent, probes[k].is_silent);
            check_digest(probes_back[k].digest, probes[k].digest);
            CHECK_TEXT(probes_back[k].reason, probes[k].reason);
        }
        const ScoreAnswer *scores_back;
        buffer_clear(&out);
        body_encode_score_answers(scores, count, &out);
        CHECK_OK(
            body_decode_score_answers(decoded, out.bytes, out.size, &scores_back, &count_back));
        CHECK_INT(count_back, count);
        for (uint32_t k = 0; k < count; k++) {
            CHECK_INT(scores_back[k].outcome, scores[k].outcome);
            bool usable = scores[k].outcome == CLIP_USABLE;
            CHECK(scores_back[k].mse == (usable ? scores[k].mse : 0));
            CHECK(scores_back[k].row_mahala == (usable ? scores[k].row_mahala : 0));
            CHECK_INT(scores_back[k].row_bytes, usable ? scores[k].row_bytes : 0);
            CHECK(memcmp(scores_back[k].row, row_bytes, scores_back[k].row_bytes) == 0);
            CHECK_TEXT(scores_back[k].reason, scores[k].reason);
        }
        pool_clear();
    }
    TrainAnswer train = {any_u64(), any_u64(), any_digest()}, train_back;
    buffer_clear(&out);
    body_encode_train_answer(&train, &out);
    CHECK_OK(body_decode_train_answer(decoded, out.bytes, out.size, &train_back));
    CHECK(train_back.rounds == train.rounds && train_back.nanoseconds == train.nanoseconds);
    check_digest(train_back.digest, train.digest);

    double numbers[2] = {1.5, -3};
    ExploreAnswer found[] = {{CLIP_USABLE, true, numbers, sizeof numbers, numbers, 8, ""},
                             {CLIP_LEFT_OUT, true, numbers, sizeof numbers, numbers, 8, "noise"}};
    const ExploreAnswer *found_back;
    uint32_t found_count;
    buffer_clear(&out);
    body_encode_explore_answers(found, 2, &out);
    CHECK_OK(body_decode_explore_answers(decoded, out.bytes, out.size, &found_back, &found_count));
    CHECK_INT(found_count, 2);
    CHECK(found_back[0].is_sound && !found_back[1].is_sound);
    CHECK_INT(found_back[0].numbers_bytes, sizeof numbers);
    CHECK(memcmp(found_back[0].numbers, numbers, sizeof numbers) == 0);
    CHECK_INT(found_back[0].bands_bytes, 8);
    CHECK_INT(found_back[1].numbers_bytes + found_back[1].bands_bytes, 0);
    CHECK_TEXT(found_back[1].reason, "noise");

    PortraitAnswer drawn = {CLIP_USABLE, 3, 2, 1, 4, 16000, true, 2.5, "abcd", 4, ""};
    const PortraitAnswer *drawn_back;
    buffer_clear(&out);
    body_encode_portrait_answers(&drawn, 1, &out);
    CHECK_OK(body_decode_portrait_answers(decoded, out.bytes, out.size, &drawn_back, &found_count));
    CHECK(drawn_back->columns == 3 && drawn_back->mel_rows == 2 && drawn_back->spectrum_rows == 1 &&
          drawn_back->mfcc_rows == 4 && drawn_back->rate_hz == 16000 && drawn_back->has_residual &&
          drawn_back->seconds == 2.5);
    CHECK(drawn_back->values_bytes == 4 && memcmp(drawn_back->values, "abcd", 4) == 0);

    struct CannotClip clips[] = {{3, "is gone"}, {255, "\xc3\xa4"}};
    CannotBody cannot = {"out of memory", clips, 2}, cannot_back;
    buffer_clear(&out);
    body_encode_cannot(&cannot, &out);
    CHECK_OK(body_decode_cannot(decoded, out.bytes, out.size, &cannot_back));
    CHECK_TEXT(cannot_back.reason, "out of memory");
    CHECK_INT(cannot_back.clip_count, 2);
    CHECK_INT(cannot_back.clips[1].clip, 255);
    CHECK_TEXT(cannot_back.clips[0].reason, "is gone");
    CHECK_TEXT(cannot_back.clips[1].reason, "\xc3\xa4");
    decoded_free(decoded);
    buffer_done(&out);
    end();
}

// The message with one field set beyond its limit must not be sent, and `out` keeps what it had.
static void check_not_sent(const Message *message, Status expected, const char *name) {
    Buffer out = BUFFER_EMPTY;
    buffer_text(&out, "before");
    message_encode(message, &out);
    CHECK_INT(out.status, expected);
    CHECK_HAS(status_message(), name);
    CHECK_TEXT(buffer_cstr(&out), "before");
    buffer_done(&out);
}

TEST(what_is_beyond_its_limit_is_not_sent) {
    static char large[5000];
    memset(large, 'a', sizeof large - 1);
    Message m = {.type = MESSAGE_CREDIT, .credit = {.count = PROTO_CREDITS + 1}};
    check_not_sent(&m, STATUS_LIMIT, "count");
    m.credit.count = 0;
    check_not_sent(&m, STATUS_LIMIT, "count");
    WireTask tasks[PROTO_BUNDLE + 1] = {{.kind = TASK_PROBE, .lease_ms = 1}};
    tasks[0].body = large;
    tasks[0].body_bytes = PROTO_BODY_BYTES + 1;
    m = (Message){.type = MESSAGE_TASKS, .tasks = {.items = tasks, .count = 1}};
    check_not_sent(&m, STATUS_LIMIT, "body");
    m.tasks.count = PROTO_BUNDLE + 1;
    check_not_sent(&m, STATUS_LIMIT, "items");
    m = (Message){.type = MESSAGE_WELCOME, .welcome = {.protocol = 1, .alive_ms = 100}};
    const char *roots[LIMIT_ROOTS + 1] = {large};
    m.welcome.root_count = 1;
    m.welcome.roots = roots;
    check_not_sent(&m, STATUS_LIMIT, "roots");
    roots[0] = "\xff";
    check_not_sent(&m, STATUS_INVALID, "roots");
    m.welcome.root_count = LIMIT_ROOTS + 1;
    check_not_sent(&m, STATUS_LIMIT, "roots");
    m = (Message){.type = MESSAGE_BLOB, .blob = {.kind = BLOB_PARTIAL, .first = 60, .count = 5}};
    check_not_sent(&m, STATUS_LIMIT, "shards");

    Buffer out = BUFFER_EMPTY;
    ScoreAnswer nan_score = {.outcome = CLIP_USABLE, .mse = NAN, .row = "", .reason = ""};
    body_encode_score_answers(&nan_score, 1, &out);
    CHECK_INT(out.status, STATUS_INVALID);
    buffer_done(&out);
    WireClip unsafe = {.path = "../a"};
    ProbeBody probe = {"", &unsafe, 1};
    body_encode_probe(&probe, &out);
    CHECK_INT(out.status, STATUS_INVALID);
    CHECK_HAS(status_message(), "path");
    buffer_done(&out);
    ScoreAnswer many[PROTO_TASK_CLIPS + 1] = {{.row = "", .reason = ""}};
    body_encode_score_answers(many, PROTO_TASK_CLIPS + 1, &out);
    CHECK_INT(out.status, STATUS_LIMIT);
    buffer_done(&out);
}

TEST(body_of_too_many_bytes_is_not_sent) {
    static char path[LIMIT_PATH_BYTES + 1];
    memset(path, 'a', LIMIT_PATH_BYTES);
    WireClip clips[PROTO_TASK_CLIPS] = {{0}};
    for (int i = 0; i < PROTO_TASK_CLIPS; i++) {
        clips[i].path = path;
    }
    ProbeBody probe = {"", clips, PROTO_TASK_CLIPS};
    Buffer out = BUFFER_EMPTY;
    body_encode_probe(&probe, &out);
    CHECK_INT(out.status, STATUS_LIMIT);
    CHECK_INT(out.size, 0);
    buffer_done(&out);
}

TEST(texts_for_people_are_made_to_fit) {
    begin();
    static char large[2001];
    for (int i = 0; i < 2000; i += 2) {
        memcpy(large + i, "\xc3\xa4", 2);
    }
    Message m = {.type = MESSAGE_REFUSED, .refused = {REFUSED_FULL, large + 2}};
    CHECK_INT(strlen(through(&m)->refused.text), 1024);
    char odd[2002] = "x";
    strcat(odd, large);
    m.refused.text = odd; // the cut would fall inside a letter
    CHECK_INT(strlen(through(&m)->refused.text), 1023);
    m.refused.text = "cannot open \xff\xc3.wav";
    CHECK_TEXT(through(&m)->refused.text, "cannot open ??.wav");
    end();
}

TEST(message_and_body_of_one_decoded_live_side_by_side) {
    begin();
    Decoded *decoded = decoded_new();
    Buffer body = BUFFER_EMPTY, bytes = BUFFER_EMPTY;
    CannotBody cannot = {"the disk is full", NULL, 0}, back;
    body_encode_cannot(&cannot, &body);
    WireResult result = {.task = 5, .outcome = RESULT_CANNOT};
    result.body = body.bytes;
    result.body_bytes = body.size;
    Message m = {.type = MESSAGE_RESULTS, .results = {.items = &result, .count = 1}};
    message_encode(&m, &bytes);
    const Message *message;
    CHECK_OK(message_decode(decoded, bytes.bytes, bytes.size, &message));
    const WireResult *there = &message->results.items[0];
    CHECK_OK(body_decode_cannot(decoded, there->body, there->body_bytes, &back));
    CHECK_TEXT(back.reason, "the disk is full");
    CHECK_INT(there->task, 5);
    CHECK(memcmp(there->body, body.bytes, body.size) == 0);
    CHECK_OK(body_decode_cannot(decoded, there->body, there->body_bytes, &back));
    decoded_free(decoded);
    buffer_done(&body);
    buffer_done(&bytes);
    end();
}

TEST(outputs_are_untouched_on_failure) {
    Decoded *decoded = decoded_new();
    const Message *message = NULL;
    CHECK_INT(message_decode(decoded, "\x91", 1, &message), STATUS_FORMAT);
    CHECK(message == NULL);
    TrainBody train = {.count = 99};
    CHECK_INT(body_decode_train(decoded, "\x90", 1, &train), STATUS_FORMAT);
    CHECK_INT(train.count, 99);
    uint32_t count = 99;
    const ScoreAnswer *answers = NULL;
    CHECK_INT(body_decode_score_answers(decoded, "\x91\x90", 2, &answers, &count), STATUS_FORMAT);
    CHECK(count == 99 && answers == NULL);
    decoded_free(decoded);
}

TEST(hello_of_a_future_version_still_names_its_versions) {
    Decoded *decoded = decoded_new();
    const Message *message = NULL;
    // [HELLO, 2, 3, "new", [7]]
    CHECK_OK(message_decode(decoded, "\x95\x01\x02\x03\xa3new\x91\x07", 10, &message));
    CHECK_INT(message->hello.protocol_least, 2);
    CHECK_INT(message->hello.protocol_most, 3);
    CHECK_TEXT(message->hello.name, "");
    // [HELLO, 1, 3, "new", [7]]: it claims to speak version 1, so it has to
    CHECK_INT(message_decode(decoded, "\x95\x01\x01\x03\xa3new\x91\x07", 10, &message),
              STATUS_FORMAT);
    // [REFUSED, 1, "old", 9], and the same with code 2
    CHECK_OK(message_decode(decoded, "\x94\x12\x01\xa3old\x09", 8, &message));
    CHECK_TEXT(message->refused.text, "old");
    CHECK_INT(message_decode(decoded, "\x94\x12\x02\xa3old\x09", 8, &message), STATUS_FORMAT);
    decoded_free(decoded);
}

TEST(bytes_are_those_of_the_document) {
    Buffer out = BUFFER_EMPTY;
    Message m = {.type = MESSAGE_PROGRESS, .progress = {1, 1ull << 32, 300, 70000, 0.5}};
    message_encode(&m, &out);
    static const char BYTES[] = "\x96\x04\x01\xcf\0\0\0\1\0\0\0\0\xcd\x01\x2c\xce\0\1\x11\x70"
                                "\xcb\x3f\xe0\0\0\0\0\0\0";
    CHECK_INT(out.size, sizeof BYTES - 1);
    CHECK(memcmp(out.bytes, BYTES, out.size) == 0);
    buffer_clear(&out);
    m = (Message){.type = MESSAGE_ALIVE};
    message_encode(&m, &out);
    CHECK_TEXT(buffer_cstr(&out), "\x91\x05");
    buffer_clear(&out);
    m = (Message){.type = MESSAGE_REFUSED, .refused = {REFUSED_OVER, "over"}};
    message_encode(&m, &out);
    CHECK_TEXT(buffer_cstr(&out), "\x93\x12\x04\xa4over");
    buffer_done(&out);
}

TEST(every_allocation_may_fail) {
    begin();
    Buffer bytes = BUFFER_EMPTY;
    ProbeBody probe = {"a: b\n", any_clips(3), 3}, back;
    body_encode_probe(&probe, &bytes);
    long kept = mem_blocks();
    for (long n = 0;; n++) {
        mem_fail_after(n);
        Decoded *decoded = decoded_new();
        Status status = decoded == NULL
                            ? STATUS_MEMORY
                            : body_decode_probe(decoded, bytes.bytes, bytes.size, &back);
        bool has_failed = mem_has_failed();
        mem_fail_after(-1);
        decoded_free(decoded);
        CHECK_INT(mem_blocks(), kept);
        CHECK_INT(status, has_failed ? STATUS_MEMORY : STATUS_OK);
        if (!has_failed) {
            CHECK(n >= 3);
            break;
        }
    }
    Message m = {.type = MESSAGE_ALIVE};
    Buffer out = BUFFER_EMPTY;
    mem_fail_after(0);
    message_encode(&m, &out);
    mem_fail_after(-1);
    CHECK_INT(out.status, STATUS_MEMORY);
    buffer_done(&out);
    buffer_done(&bytes);
    end();
}

static bool has_path(const Schema *schema) {
    for (uint32_t i = 0; i < schema->field_count; i++) {
        const Field *field = &schema->fields[i];
        if (field->kind == FIELD_PATH || (field->row != NULL && has_path(field->row))) {
            return true;
        }
    }
    return false;
}

TEST(no_message_brings_a_path_to_the_coordinator) {
    static const MessageType FROM_WORKERS[] = {MESSAGE_HELLO,    MESSAGE_CREDIT, MESSAGE_RESULTS,
                                               MESSAGE_PROGRESS, MESSAGE_ALIVE,  MESSAGE_GOODBYE,
                                               MESSAGE_ATTACH,   MESSAGE_GET,    MESSAGE_BLOB,
                                               MESSAGE_PIECE,    MESSAGE_FETCH};
    for (size_t i = 0; i < sizeof FROM_WORKERS / sizeof FROM_WORKERS[0]; i++) {
        const Schema *schema = schema_of_message(FROM_WORKERS[i]);
        CHECK(schema != NULL && !has_path(schema));
    }
    const Schema *const answers[] = {&SCHEMA_PROBE_ANSWER,     &SCHEMA_TRAIN_ANSWER,
                                     &SCHEMA_SCORE_ANSWER,     &SCHEMA_CANNOT,
                                     &SCHEMA_RESIDUALS_ANSWER, &SCHEMA_BATCHES_ANSWER};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        CHECK(!has_path(answers[i]));
    }
    CHECK(has_path(&SCHEMA_SCORE)); // a task's: this looks where paths are
}

TEST_MAIN_LIST(
    T(no_message_brings_a_path_to_the_coordinator) T(hello_arrives_as_it_was_sent) T(
        welcome_arrives_as_it_was_sent) T(tasks_and_results_arrive_as_they_were_sent)
        T(small_control_messages_arrive_as_they_were_sent) T(bulk_messages_arrive_as_they_were_sent)
            T(bodies_of_tasks_arrive_as_they_were_sent) T(plan_of_many_clips_arrives_as_it_was_sent)
                T(answers_arrive_as_they_were_sent) T(what_is_beyond_its_limit_is_not_sent)
                    T(body_of_too_many_bytes_is_not_sent) T(texts_for_people_are_made_to_fit)
                        T(message_and_body_of_one_decoded_live_side_by_side)
                            T(outputs_are_untouched_on_failure)
                                T(hello_of_a_future_version_still_names_its_versions)
                                    T(bytes_are_those_of_the_document) T(every_allocation_may_fail))
