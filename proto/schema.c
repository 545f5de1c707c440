// SPDX-License-Identifier: Apache-2.0
#include "proto/schema.h"

#include "common/base/limits.h"

// Enumerations travel as FIELD_U32 and are stored through a uint32_t.
_Static_assert(sizeof(RefusedCode) == 4 && sizeof(TaskKind) == 4 && sizeof(ResultOutcome) == 4 &&
                   sizeof(ClipOutcome) == 4 && sizeof(BlobKind) == 4 && sizeof(BulkLine) == 4,
               "enumerations have the size of an uint32_t");

#define NAME_BYTES      64
#define PEER_BYTES      128
#define KERNEL_BYTES    32
#define LIBRARIES_BYTES 256
#define REASON_BYTES    512
#define TEXT_BYTES      1024
#define SETTINGS_BYTES  4096
#define ROW_BYTES       (LIMIT_MELS * 8)
#define NUMBERS_BYTES   512  // of EXPLORE: 16 numbers, and room for more
#define PICTURE_SIDE    1024 // rows or columns of a picture

#define FIELD(kind_, type_, member_, least_, most_)                                                \
    { #member_, FIELD_##kind_, offsetof(type_, member_), 0, least_, most_, NULL }
#define U32(type_, member_, least_, most_) FIELD(U32, type_, member_, least_, most_)
#define U64(type_, member_)                FIELD(U64, type_, member_, 0, UINT64_MAX)
#define DIGEST(type_, member_)             FIELD(DIGEST, type_, member_, 0, 16)
#define TEXT(type_, member_, most_)        FIELD(TEXT, type_, member_, 0, most_)
#define REASON(type_, member_, most_)      FIELD(REASON, type_, member_, 0, most_)
#define PATH(type_, member_)               FIELD(PATH, type_, member_, 0, LIMIT_PATH_BYTES)
#define BYTES(type_, member_, count_)                                                              \
    {                                                                                              \
#member_, FIELD_BYTES, offsetof(type_, member_), offsetof(type_, count_), 0,               \
            PROTO_BODY_BYTES, NULL                                                                 \
    }
#define HALF_BYTES(type_, member_, count_)                                                         \
    {                                                                                              \
#member_, FIELD_BYTES, offsetof(type_, member_), offsetof(type_, count_), 0,               \
            PROTO_HALF_BYTES, NULL                                                                 \
    }
#define ROWS(type_, member_, count_, most_, row_)                                                  \
    { #member_, FIELD_ROWS, offsetof(type_, member_), offsetof(type_, count_), 0, most_, row_ }

#define COUNT_OF(rows_) (sizeof(rows_) / sizeof((rows_)[0]))

#define ROW(name_, type_, fields_)                                                                 \
    {                                                                                              \
        .name = name_, .fields = fields_, .field_count = COUNT_OF(fields_),                        \
        .struct_bytes = sizeof(type_)                                                              \
    }

// ---- messages ----

static const Field HELLO_FIELDS[] = {
    U32(Message, hello.protocol_least, 1, UINT16_MAX),
    U32(Message, hello.protocol_most, 1, UINT16_MAX),
    TEXT(Message, hello.program, NAME_BYTES),
    DIGEST(Message, hello.worker_id),
    TEXT(Message, hello.name, PEER_BYTES),
    U32(Message, hello.threads, 1, 1024),
    TEXT(Message, hello.kernel, KERNEL_BYTES),
    DIGEST(Message, hello.fingerprint),
    TEXT(Message, hello.libraries, LIBRARIES_BYTES),
};
static const Field CREDIT_FIELDS[] = {U32(Message, credit.count, 1, PROTO_CREDITS)};
static const Field RESULT_FIELDS[] = {
    U64(WireResult, task),
    U64(WireResult, attempt),
    U32(WireResult, outcome, RESULT_DONE, RESULT_IMPOSSIBLE),
    BYTES(WireResult, body, body_bytes),
};
static const Schema RESULT = ROW("a result", WireResult, RESULT_FIELDS);
static const Field RESULTS_FIELDS[] = {
    ROWS(Message, results.items, results.count, PROTO_BUNDLE, &RESULT)};
static const Field PROGRESS_FIELDS[] = {
    U64(Message, progress.task),
    U64(Message, progress.attempt),
    U64(Message, progress.done),
    U64(Message, progress.total),
    FIELD(LOSS, Message, progress.loss, 0, 0),
};
static const Field GOODBYE_FIELDS[] = {REASON(Message, goodbye.text, 256)};
static const Field WELCOME_FIELDS[] = {
    U32(Message, welcome.protocol, PROTOCOL_LEAST, PROTOCOL_MOST),
    DIGEST(Message, welcome.token),
    DIGEST(Message, welcome.run),
    U32(Message, welcome.bulk_port, 0, UINT16_MAX),
    U32(Message, welcome.alive_ms, 100, 60000),
    {"welcome.roots", FIELD_ROOTS, offsetof(Message, welcome.roots),
     offsetof(Message, welcome.root_count), LIMIT_PATH_BYTES, LIMIT_ROOTS, NULL},
};
static const Field REFUSED_FIELDS[] = {
    U32(Message, refused.code, REFUSED_PROTOCOL, REFUSED_ADMISSION),
    REASON(Message, refused.text, TEXT_BYTES),
};
static const Field TASK_FIELDS[] = {
    U64(WireTask, task),
    U64(WireTask, attempt),
    U32(WireTask, kind, TASK_PROBE, TASK_KIND_MOST),
    U32(WireTask, lease_ms, 1, UINT32_MAX),
    BYTES(WireTask, body, body_bytes),
};
static const Schema TASK = ROW("a task", WireTask, TASK_FIELDS);
static const Field TASKS_FIELDS[] = {ROWS(Message, tasks.items, tasks.count, PROTO_BUNDLE, &TASK)};
static const Field ACK_FIELDS[] = {U64(WireLease, task), U64(WireLease, attempt)};
static const Schema ACK = ROW("an acknowledgement", WireLease, ACK_FIELDS);
static const Field ACKS_FIELDS[] = {ROWS(Message, acks.items, acks.count, PROTO_BUNDLE, &ACK)};
static const Field CANCEL_FIELDS[] = {U64(Message, cancel.task), U64(Message, cancel.attempt)};
static const Field END_FIELDS[] = {REASON(Message, end.text, TEXT_BYTES)};
static const Field ATTACH_FIELDS[] = {DIGEST(Message, attach.token),
                                      U32(Message, attach.line, BULK_WORK, BULK_CLIPS)};
static const Field GET_FIELDS[] = {DIGEST(Message, get.digest)};
static const Field BLOB_FIELDS[] = {
    U32(Message, blob.kind, BLOB_OBJECT, BLOB_VALIDATION_TOTAL),
    U64(Message, blob.task),
    U64(Message, blob.attempt),
    U32(Message, blob.epoch, 0, LIMIT_EPOCHS),
    U32(Message, blob.round, 0, UINT32_MAX),
    U32(Message, blob.first, 0, LIMIT_SHARDS),
    U32(Message, blob.count, 0, LIMIT_SHARDS),
    FIELD(U64, Message, blob.total_bytes, 0, PROTO_BLOB_BYTES),
    DIGEST(Message, blob.digest),
};
static const Field PIECE_FIELDS[] = {FIELD(U64, Message, piece.offset, 0, PROTO_BLOB_BYTES)};
static const Field MISSING_FIELDS[] = {DIGEST(Message, missing.digest)};
static const Field FETCH_FIELDS[] = {DIGEST(Message, fetch.clip),
                                     FIELD(U64, Message, fetch.offset, 0, LIMIT_CLIP_BYTES)};
static const Field PART_FIELDS[] = {
    DIGEST(Message, part.clip),
    FIELD(U64, Message, part.offset, 0, LIMIT_CLIP_BYTES),
    FIELD(U64, Message, part.size_bytes, 0, LIMIT_CLIP_BYTES),
    U64(Message, part.version),
};
static const Field NOT_HERE_FIELDS[] = {DIGEST(Message, not_here.clip),
                                        REASON(Message, not_here.reason, REASON_BYTES)};

static const char BEYOND_SHARDS[] = "first + count is beyond the shards there can be";

static const char *check_hello(const void *item) {
    const Message *message = item;
    bool ordered = message->hello.protocol_least <= message->hello.protocol_most;
    return ordered ? NULL : "protocol_least is above protocol_most";
}

static const char *check_blob(const void *item) {
    const Message *message = item;
    return message->blob.first + message->blob.count <= LIMIT_SHARDS ? NULL : BEYOND_SHARDS;
}

static const char EMPTY_BUNDLE[] = "there is nothing in it";

static const char *check_tasks(const void *item) {
    return ((const Message *)item)->tasks.count > 0 ? NULL : EMPTY_BUNDLE;
}

static const char *check_results(const void *item) {
    return ((const Message *)item)->results.count > 0 ? NULL : EMPTY_BUNDLE;
}

static const char *check_acks(const void *item) {
    return ((const Message *)item)->acks.count > 0 ? NULL : EMPTY_BUNDLE;
}

// A HELLO of versions none of which is ours, which must be answered with REFUSED 1.
static bool is_foreign_hello(const void *item) {
    const Message *message = item;
    return message->hello.protocol_least > PROTOCOL_MOST ||
           message->hello.protocol_most < PROTOCOL_LEAST;
}

static bool is_foreign_refused(const void *item) {
    const Message *message = item;
    return message->refused.code == REFUSED_PROTOCOL;
}

#define MESSAGE(name_, fields_, bytes_, ...)                                                       \
    {                                                                                              \
        .name = name_, .fields = fields_, .field_count = COUNT_OF(fields_),                        \
        .struct_bytes = sizeof(Message), .bytes_most = bytes_, __VA_ARGS__                         \
    }
#define CONTROL(name_, fields_, ...) MESSAGE(name_, fields_, PROTO_CONTROL_BYTES, __VA_ARGS__)
#define BULK(name_, fields_, ...)    MESSAGE(name_, fields_, PROTO_HEADER_BYTES, __VA_ARGS__)
#define EMPTY(name_)                                                                               \
    { .name = name_, .struct_bytes = sizeof(Message), .bytes_most = PROTO_HEADER_BYTES }

// By type number; the gaps have no name.
static const Schema MESSAGES[] = {
    [MESSAGE_HELLO] = CONTROL("HELLO", HELLO_FIELDS, .check = check_hello, .frozen = 2,
                              .is_foreign = is_foreign_hello),
    [MESSAGE_CREDIT] = CONTROL("CREDIT", CREDIT_FIELDS, .check = NULL),
    [MESSAGE_RESULTS] = CONTROL("RESULTS", RESULTS_FIELDS, .check = check_results),
    [MESSAGE_PROGRESS] = CONTROL("PROGRESS", PROGRESS_FIELDS, .check = NULL),
    [MESSAGE_ALIVE] = EMPTY("ALIVE"),
    [MESSAGE_GOODBYE] = CONTROL("GOODBYE", GOODBYE_FIELDS, .check = NULL),
    [MESSAGE_WELCOME] = CONTROL("WELCOME", WELCOME_FIELDS, .check = NULL),
    [MESSAGE_REFUSED] = CONTROL("REFUSED", REFUSED_FIELDS, .check = NULL, .frozen = 2,
                                .is_foreign = is_foreign_refused),
    [MESSAGE_TASKS] = CONTROL("TASKS", TASKS_FIELDS, .check = check_tasks),
    [MESSAGE_ACKS] = CONTROL("ACKS", ACKS_FIELDS, .check = check_acks),
    [MESSAGE_CANCEL] = CONTROL("CANCEL", CANCEL_FIELDS, .check = NULL),
    [MESSAGE_END] = CONTROL("END", END_FIELDS, .check = NULL),
    [MESSAGE_ECHO] = EMPTY("ECHO"),
    [MESSAGE_ATTACH] = BULK("ATTACH", ATTACH_FIELDS, .check = NULL),
    [MESSAGE_ATTACHED] = EMPTY("ATTACHED"),
    [MESSAGE_GET] = BULK("GET", GET_FIELDS, .check = NULL),
    [MESSAGE_BLOB] = BULK("BLOB", BLOB_FIELDS, .check = check_blob),
    [MESSAGE_PIECE] = BULK("PIECE", PIECE_FIELDS, .check = NULL),
    [MESSAGE_MISSING] = BULK("MISSING", MISSING_FIELDS, .check = NULL),
    [MESSAGE_FETCH] = BULK("FETCH", FETCH_FIELDS, .check = NULL),
    [MESSAGE_PART] = BULK("PART", PART_FIELDS, .check = NULL),
    [MESSAGE_NOT_HERE] = BULK("NOT_HERE", NOT_HERE_FIELDS, .check = NULL),
};

const Schema *schema_of_message(uint64_t type) {
    bool known = type < COUNT_OF(MESSAGES) && MESSAGES[type].name != NULL;
    return known ? &MESSAGES[type] : NULL;
}

// ---- bodies ----

#define CLIP_NAME                                                                                  \
    U32(WireClip, root, 0, LIMIT_ROOTS - 1), PATH(WireClip, path), U64(WireClip, size_bytes)

static const Field PROBE_CLIP_FIELDS[] = {CLIP_NAME};
static const Field SCORE_CLIP_FIELDS[] = {CLIP_NAME, DIGEST(WireClip, digest)};
static const Field PLAN_CLIP_FIELDS[] = {
    CLIP_NAME,
    DIGEST(WireClip, digest),
    U32(WireClip, index, 0, LIMIT_CLIPS - 1),
    U32(WireClip, frames, 0, UINT32_MAX),
    FIELD(BOOL, WireClip, is_target, 0, 1),
};
typedef struct CannotClip CannotClip;
static const Field CANNOT_CLIP_FIELDS[] = {
    U32(CannotClip, clip, 0, LIMIT_CLIPS - 1),
    REASON(CannotClip, reason, REASON_BYTES),
};

static const Schema PROBE_CLIP = ROW("a clip to probe", WireClip, PROBE_CLIP_FIELDS);
static const Schema SCORE_CLIP = ROW("a clip to score", WireClip, SCORE_CLIP_FIELDS);
static const Schema PLAN_CLIP = ROW("a clip of a plan", WireClip, PLAN_CLIP_FIELDS);
static const Schema CANNOT_CLIP = ROW("a clip not read", CannotClip, CANNOT_CLIP_FIELDS);

static const Field PROBE_FIELDS[] = {
    TEXT(ProbeBody, settings, SETTINGS_BYTES),
    ROWS(ProbeBody, clips, clip_count, PROTO_TASK_CLIPS, &PROBE_CLIP),
};
static const Field TRAIN_FIELDS[] = {
    DIGEST(TrainBody, plan),
    DIGEST(TrainBody, state),
    U32(TrainBody, first, 0, LIMIT_SHARDS - 1),
    U32(TrainBody, count, 1, LIMIT_SHARDS),
    U32(TrainBody, from_epoch, 0, LIMIT_EPOCHS),
    U32(TrainBody, from_round, 0, UINT32_MAX),
    U32(TrainBody, until_epoch, 0, LIMIT_EPOCHS),
};
static const Field TRAIN_ANSWER_FIELDS[] = {
    U64(TrainAnswer, rounds),
    U64(TrainAnswer, nanoseconds),
    DIGEST(TrainAnswer, digest),
};
static const Field PLAN_FIELDS[] = {
    TEXT(TrainPlan, settings, SETTINGS_BYTES),
    U64(TrainPlan, model_key),
    U32(TrainPlan, shards, 1, LIMIT_SHARDS),
    ROWS(TrainPlan, clips, clip_count, LIMIT_CLIPS, &PLAN_CLIP),
};
static const Field SCORE_FIELDS[] = {
    DIGEST(ScoreBody, model),
    ROWS(ScoreBody, clips, clip_count, PROTO_TASK_CLIPS, &SCORE_CLIP),
};
static const Field CANNOT_FIELDS[] = {
    REASON(CannotBody, reason, REASON_BYTES),
    ROWS(CannotBody, clips, clip_count, PROTO_TASK_CLIPS, &CANNOT_CLIP),
};
static const Field PROBE_ANSWER_FIELDS[] = {
    U32(ProbeAnswer, outcome, CLIP_USABLE, CLIP_UNREADABLE),
    U32(ProbeAnswer, frames, 0, UINT32_MAX),
    U32(ProbeAnswer, vectors, 0, UINT32_MAX),
    U32(ProbeAnswer, rate_hz, 0, UINT32_MAX),
    U32(ProbeAnswer, channels, 0, UINT32_MAX),
    FIELD(REAL, ProbeAnswer, seconds, 0, 0),
    FIELD(BOOL, ProbeAnswer, is_silent, 0, 1),
    DIGEST(ProbeAnswer, digest),
    REASON(ProbeAnswer, reason, REASON_BYTES),
};
static const Field SCORE_ANSWER_FIELDS[] = {
    U32(ScoreAnswer, outcome, CLIP_USABLE, CLIP_UNREADABLE),
    FIELD(REAL, ScoreAnswer, mse, 0, 0),
    FIELD(REAL, ScoreAnswer, row_mahala, 0, 0),
    {"row", FIELD_BYTES, offsetof(ScoreAnswer, row), offsetof(ScoreAnswer, row_bytes), 0, ROW_BYTES,
     NULL},
    REASON(ScoreAnswer, reason, REASON_BYTES),
};
static const Field EXPLORE_FIELDS[] = {
    TEXT(ExploreBody, settings, SETTINGS_BYTES),
    DIGEST(ExploreBody, model),
    ROWS(ExploreBody, clips, clip_count, PROTO_TASK_CLIPS, &SCORE_CLIP),
};
static const Field EXPLORE_ANSWER_FIELDS[] = {
    U32(ExploreAnswer, outcome, CLIP_USABLE, CLIP_UNREADABLE),
    FIELD(BOOL, ExploreAnswer, is_sound, 0, 1),
    {"numbers", FIELD_BYTES, offsetof(ExploreAnswer, numbers),
     offsetof(ExploreAnswer, numbers_bytes), 0, NUMBERS_BYTES, NULL},
    {"bands", FIELD_BYTES, offsetof(ExploreAnswer, bands), offsetof(ExploreAnswer, bands_bytes), 0,
     2 * ROW_BYTES, NULL},
    REASON(ExploreAnswer, reason, REASON_BYTES),
};
static const Field PORTRAIT_ANSWER_FIELDS[] = {
    U32(PortraitAnswer, outcome, CLIP_USABLE, CLIP_UNREADABLE),
    U32(PortraitAnswer, columns, 0, PICTURE_SIDE),
    U32(PortraitAnswer, mel_rows, 0, PICTURE_SIDE),
    U32(PortraitAnswer, spectrum_rows, 0, PICTURE_SIDE),
    U32(PortraitAnswer, mfcc_rows, 0, PICTURE_SIDE),
    U32(PortraitAnswer, rate_hz, 0, LIMIT_RATE_HZ),
    FIELD(BOOL, PortraitAnswer, has_residual, 0, 1),
    FIELD(REAL, PortraitAnswer, seconds, 0, 0),
    HALF_BYTES(PortraitAnswer, values, values_bytes),
    REASON(PortraitAnswer, reason, REASON_BYTES),
};
static const Field SHARD_FIELDS[] = {
    DIGEST(ShardBody, plan),
    DIGEST(ShardBody, model),
    U32(ShardBody, shard, 0, LIMIT_SHARDS - 1),
};
static const Field RESIDUALS_ANSWER_FIELDS[] = {
    HALF_BYTES(ResidualsAnswer, source, source_bytes),
    HALF_BYTES(ResidualsAnswer, target, target_bytes),
};
static const Field BATCHES_ANSWER_FIELDS[] = {
    HALF_BYTES(BatchesAnswer, training, training_bytes),
    HALF_BYTES(BatchesAnswer, held_out, held_out_bytes),
};

static const char *check_train(const void *item) {
    const TrainBody *body = item;
    if (body->first + body->count > LIMIT_SHARDS) {
        return BEYOND_SHARDS;
    }
    return body->from_epoch <= body->until_epoch ? NULL : "from_epoch is after until_epoch";
}

// Elements: the outer array, the fields, and for each row its array and its fields.
#define ELEMENTS(fields_, rows_, row_fields_)                                                      \
    (uint32_t)(1 + COUNT_OF(fields_) + (rows_) * (1 + COUNT_OF(row_fields_)))
#define BODY(name_, type_, fields_, bytes_, elements_, check_)                                     \
    {                                                                                              \
        .name = name_, .fields = fields_, .field_count = COUNT_OF(fields_),                        \
        .struct_bytes = sizeof(type_), .bytes_most = bytes_, .elements_most = elements_,           \
        .check = check_                                                                            \
    }

const Schema SCHEMA_PROBE = BODY("the body of PROBE", ProbeBody, PROBE_FIELDS, PROTO_BODY_BYTES,
                                 ELEMENTS(PROBE_FIELDS, PROTO_TASK_CLIPS, PROBE_CLIP_FIELDS), NULL);
const Schema SCHEMA_TRAIN = BODY("the body of TRAIN", TrainBody, TRAIN_FIELDS, PROTO_BODY_BYTES,
                                 1 + COUNT_OF(TRAIN_FIELDS), check_train);
const Schema SCHEMA_TRAIN_ANSWER = BODY("the answer to TRAIN", TrainAnswer, TRAIN_ANSWER_FIELDS,
                                        PROTO_BODY_BYTES, 1 + COUNT_OF(TRAIN_ANSWER_FIELDS), NULL);
const Schema SCHEMA_PLAN =
    BODY("the plan of a model", TrainPlan, PLAN_FIELDS, PROTO_BLOB_BYTES,
         ELEMENTS(PLAN_FIELDS, (uint64_t)LIMIT_CLIPS, PLAN_CLIP_FIELDS), NULL);
const Schema SCHEMA_SCORE = BODY("the body of SCORE", ScoreBody, SCORE_FIELDS, PROTO_BODY_BYTES,
                                 ELEMENTS(SCORE_FIELDS, PROTO_TASK_CLIPS, SCORE_CLIP_FIELDS), NULL);
const Schema SCHEMA_SHARD = BODY("the body of RESIDUALS or BATCHES", ShardBody, SHARD_FIELDS,
                                 PROTO_BODY_BYTES, 1 + COUNT_OF(SHARD_FIELDS), NULL);
const Schema SCHEMA_RESIDUALS_ANSWER =
    BODY("the answer to RESIDUALS", ResidualsAnswer, RESIDUALS_ANSWER_FIELDS, PROTO_BODY_BYTES,
         1 + COUNT_OF(RESIDUALS_ANSWER_FIELDS), NULL);
const Schema SCHEMA_BATCHES_ANSWER =
    BODY("the answer to BATCHES", BatchesAnswer, BATCHES_ANSWER_FIELDS, PROTO_BODY_BYTES,
         1 + COUNT_OF(BATCHES_ANSWER_FIELDS), NULL);
const Schema SCHEMA_EXPLORE =
    BODY("the body of EXPLORE or PORTRAIT", ExploreBody, EXPLORE_FIELDS, PROTO_BODY_BYTES,
         ELEMENTS(EXPLORE_FIELDS, PROTO_TASK_CLIPS, SCORE_CLIP_FIELDS), NULL);
const Schema SCHEMA_CANNOT =
    BODY("the body of an answer that cannot", CannotBody, CANNOT_FIELDS, PROTO_BODY_BYTES,
         ELEMENTS(CANNOT_FIELDS, PROTO_TASK_CLIPS, CANNOT_CLIP_FIELDS), NULL);
const Schema SCHEMA_PROBE_ANSWER =
    BODY("the answer to PROBE", ProbeAnswer, PROBE_ANSWER_FIELDS, PROTO_BODY_BYTES,
         1 + PROTO_TASK_CLIPS * (1 + COUNT_OF(PROBE_ANSWER_FIELDS)), NULL);
const Schema SCHEMA_SCORE_ANSWER =
    BODY("the answer to SCORE", ScoreAnswer, SCORE_ANSWER_FIELDS, PROTO_BODY_BYTES,
         1 + PROTO_TASK_CLIPS * (1 + COUNT_OF(SCORE_ANSWER_FIELDS)), NULL);
const Schema SCHEMA_EXPLORE_ANSWER =
    BODY("the answer to EXPLORE", ExploreAnswer, EXPLORE_ANSWER_FIELDS, PROTO_BODY_BYTES,
         1 + PROTO_TASK_CLIPS * (1 + COUNT_OF(EXPLORE_ANSWER_FIELDS)), NULL);
const Schema SCHEMA_PORTRAIT_ANSWER =
    BODY("the answer to PORTRAIT", PortraitAnswer, PORTRAIT_ANSWER_FIELDS, PROTO_BODY_BYTES,
         1 + PROTO_TASK_CLIPS * (1 + COUNT_OF(PORTRAIT_ANSWER_FIELDS)), NULL);
