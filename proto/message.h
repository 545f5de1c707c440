// SPDX-License-Identifier: Apache-2.0
//
// The messages of PROTOCOL.md as plain structs, and their MessagePack form. Decoding trusts
// nothing: counts are checked against the bytes present and against the limits of PROTOCOL.md
// before anything is allocated; every type has exactly its fields. Texts and binaries of a decoded
// message are borrowed from the Decoded that holds them. Any thread; no state.
#ifndef AUSCULT_PROTO_MESSAGE_H
#define AUSCULT_PROTO_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/digest.h"
#include "common/base/limits.h"
#include "common/base/status.h"

#define PROTOCOL_LEAST 1
#define PROTOCOL_MOST  1

#define PROTO_CONTROL_BYTES (1u << 20) // one control message
#define PROTO_HEADER_BYTES  4096u      // one bulk header
#define PROTO_PIECE_BYTES   (256u << 10)
#define PROTO_BLOB_BYTES    (1ull << 30)
#define PROTO_BODY_BYTES    ((1u << 20) - 1024) // a body and its message's other fields fit in one
#define PROTO_HALF_BYTES    (PROTO_BODY_BYTES / 2 - 64) // one of two binaries of a body
#define PROTO_TASK_CLIPS    256
#define PROTO_ITEM_BYTES                                                                           \
    32                      // an item of a bundle beside its body, at most: bodies and items
                            // together must stay within PROTO_BODY_BYTES
#define PROTO_BUNDLE  256   // tasks, results or acknowledgements in one message
#define PROTO_CREDITS 1024  // tasks that a worker may have asked for
#define PROTO_PARTS   4     // of clips that a worker may have asked for: 1 MiB on its way to each
#define PROTO_REST_MS 10000 // a worker closes a bulk connection that was not used for so long

typedef enum MessageType {
    MESSAGE_HELLO = 1,
    MESSAGE_CREDIT = 2,
    MESSAGE_RESULTS = 3,
    MESSAGE_PROGRESS = 4,
    MESSAGE_ALIVE = 5,
    MESSAGE_GOODBYE = 6,
    MESSAGE_WELCOME = 17,
    MESSAGE_REFUSED = 18,
    MESSAGE_TASKS = 19,
    MESSAGE_ACKS = 20,
    MESSAGE_CANCEL = 21,
    MESSAGE_END = 22,
    MESSAGE_ECHO = 23,
    MESSAGE_ATTACH = 33,
    MESSAGE_ATTACHED = 34,
    MESSAGE_GET = 35,
    MESSAGE_BLOB = 36,
    MESSAGE_PIECE = 37,
    MESSAGE_MISSING = 38,
    MESSAGE_FETCH = 39,
    MESSAGE_PART = 40,
    MESSAGE_NOT_HERE = 41,
} MessageType;

typedef enum RefusedCode {
    REFUSED_PROTOCOL = 1,
    REFUSED_KERNEL = 2,
    REFUSED_FINGERPRINT = 3,
    REFUSED_OVER = 4,
    REFUSED_FULL = 5,
    REFUSED_MALFORMED = 6,
    REFUSED_UNKNOWN = 7,
    REFUSED_ADMISSION = 8,
} RefusedCode;

typedef enum TaskKind {
    TASK_PROBE = 1,
    TASK_TRAIN = 2,
    TASK_SCORE = 3,
    TASK_RESIDUALS = 4, // of one shard's training vectors: what covariances are made from
    TASK_BATCHES = 5,   // of one shard's micro-batches: what the baseline's threshold is made from
    TASK_EMPTY = 6,     // nothing to do: measures the system itself
    TASK_EXPLORE = 7,   // what is to be told of clips, without any model
    TASK_PORTRAIT = 8,  // the pictures of a clip, and what a model could not reconstruct of it
    TASK_KIND_MOST = TASK_PORTRAIT,
} TaskKind;
typedef enum ResultOutcome {
    RESULT_DONE = 0,
    RESULT_CANNOT = 1,     // this worker cannot: somebody else must try
    RESULT_IMPOSSIBLE = 2, // nobody can: a fact of the task
} ResultOutcome;
typedef enum ClipOutcome { CLIP_USABLE = 0, CLIP_LEFT_OUT = 1, CLIP_UNREADABLE = 2 } ClipOutcome;

// What a bulk connection is for. A session has one of each at most.
typedef enum BulkLine {
    BULK_WORK = 0,  // what tasks need and give
    BULK_CLIPS = 1, // clips' files, for workers that do not see the data
} BulkLine;

typedef enum BlobKind {
    BLOB_OBJECT = 1,
    BLOB_STATE = 2,
    BLOB_SCALER_SUM = 3,
    BLOB_SCALER_TOTAL = 4,
    BLOB_PARTIAL = 5,
    BLOB_TOTAL = 6,
    BLOB_VALIDATION_SUM = 7,
    BLOB_VALIDATION_TOTAL = 8,
} BlobKind;

// The items of bundles. Bodies are borrowed, as all texts and binaries of a message.
typedef struct WireTask {
    uint64_t task, attempt;
    TaskKind kind;
    uint32_t lease_ms;
    const void *body;
    size_t body_bytes;
} WireTask;

typedef struct WireResult {
    uint64_t task, attempt;
    ResultOutcome outcome;
    const void *body;
    size_t body_bytes;
} WireResult;

typedef struct WireLease {
    uint64_t task, attempt;
} WireLease;

typedef struct Message {
    MessageType type;
    union {
        struct {
            uint32_t protocol_least, protocol_most;
            const char *program;
            Digest worker_id;
            const char *name;
            uint32_t threads;
            const char *kernel;
            Digest fingerprint;
            const char *libraries;
        } hello;
        struct {
            uint32_t count;
        } credit;
        struct {
            const WireResult *items; // (count) 1 to PROTO_BUNDLE, here and below
            uint32_t count;
        } results;
        struct {
            uint64_t task, attempt, done, total;
            double loss;
        } progress;
        struct {
            const char *text; // GOODBYE's reason, END's text
        } goodbye, end;
        struct {
            uint32_t protocol;
            Digest token, run;
            uint32_t bulk_port;
            uint32_t alive_ms;
            const char *const *roots; // (root_count)
            uint32_t root_count;
        } welcome;
        struct {
            RefusedCode code;
            const char *text;
        } refused;
        struct {
            const WireTask *items;
            uint32_t count;
        } tasks;
        struct {
            const WireLease *items;
            uint32_t count;
        } acks;
        WireLease cancel;
        struct {
            Digest token;
            BulkLine line;
        } attach;
        struct {
            Digest digest;
        } get, missing;
        struct {
            BlobKind kind;
            uint64_t task, attempt;
            uint32_t epoch, round, first, count;
            uint64_t total_bytes;
            Digest digest;
        } blob;
        struct {
            uint64_t offset;
        } piece;
        struct {
            Digest clip;         // message_clip_name of root and path
            const char *reason;  // NOT_HERE
            uint64_t offset;     // FETCH, PART
            uint64_t size_bytes; // PART: of the whole file
            uint64_t version;    // PART: changes when the file does
        } fetch, part, not_here;
    };
} Message;

// Appends the message's bytes. Failure is out's sticky status, and the bytes are those from before:
// STATUS_LIMIT when a field exceeds its limit (a bug or an over-long text of ours), STATUS_INVALID
// for a text that is not UTF-8, an unsafe path or a number that is not finite. Texts for people
// (reasons, REFUSED's and END's text) never fail: they are cut to fit between two characters, and
// what is not UTF-8 becomes '?'. The body encoders below do the same; a body beyond
// PROTO_BODY_BYTES is STATUS_LIMIT (256 clips with paths of 4 KiB would be).
void message_encode(const Message *message, Buffer *out);

// A decoded message and a decoded body, and the memory their texts lie in. The two are held apart:
// a body may be decoded by the same Decoded as the message that it came in, and both live on. The
// message (with its body pointer) lives until the next message_decode, a body until the next
// body_decode_*; the bytes that they were decoded from are not needed any more.
typedef struct Decoded Decoded;
Decoded *decoded_new(void);
void decoded_free(Decoded *decoded);
// The message; STATUS_FORMAT names what is malformed, *ret is untouched then. What `decoded` held
// of a message before is gone in either case. A HELLO none of whose versions is ours has only
// protocol_least and protocol_most (see PROTOCOL.md); its texts are "".
Status message_decode(Decoded *decoded, const void *bytes, size_t size, const Message **ret);

// How FETCH names a clip: XXH3-128 of its root, 4 bytes little-endian, and its path. A path never
// travels from a worker to the coordinator.
Digest message_clip_name(uint32_t root, const char *path);

// For people: "TASKS", "HELLO", ...
const char *message_type_name(MessageType type);

// ---- bodies of tasks and answers (PROTOCOL.md, "Task kinds and their bodies") ----

typedef struct WireClip {
    uint32_t root;
    const char *path;
    uint64_t size_bytes;
    Digest digest;   // SCORE and plan only
    uint32_t index;  // plan only: among the model's sorted training clips
    uint32_t frames; // plan only
    bool is_target;  // plan only
} WireClip;

typedef struct ProbeBody {
    const char *settings;
    WireClip *clips;
    uint32_t clip_count;
} ProbeBody;

typedef struct ProbeAnswer {
    ClipOutcome outcome;
    uint32_t frames, vectors, rate_hz, channels;
    double seconds;
    bool is_silent;
    Digest digest;
    const char *reason; // "" when usable
} ProbeAnswer;

typedef struct TrainBody {
    Digest plan, state;
    uint32_t first, count, from_epoch, from_round, until_epoch;
} TrainBody;

typedef struct TrainAnswer {
    uint64_t rounds, nanoseconds; // what was computed by this member, and how long it took
    Digest digest;                // of its replica as written
} TrainAnswer;

typedef struct TrainPlan {
    const char *settings;
    uint64_t model_key;
    uint32_t shards;
    WireClip *clips;
    uint32_t clip_count;
} TrainPlan;

typedef struct ScoreBody {
    Digest model;
    WireClip *clips;
    uint32_t clip_count;
} ScoreBody;

// What a model makes of a clip: everything that any score is computed from.
typedef struct ScoreAnswer {
    ClipOutcome outcome;
    double mse;         // finite; 0 on the wire unless usable
    double row_mahala;  // finite; 0 unless the model file has precisions
    const void *row;    // (row_bytes / 8) the mean residual row, doubles; no bytes unless usable
    size_t row_bytes;   // n_mels * 8
    const char *reason; // "" when usable
} ScoreAnswer;

// RESIDUALS and BATCHES: one shard of a trained model.
typedef struct ShardBody {
    Digest plan, model;
    uint32_t shard;
} ShardBody;

// Sums over the residual rows of the shard's training vectors, of one domain each, as
// residual_sums_bytes gives them.
typedef struct ResidualsAnswer {
    const void *source, *target;
    size_t source_bytes, target_bytes;
} ResidualsAnswer;

// Mahalanobis scores of the shard's micro-batches, doubles: first the training batches, then the
// validation batches.
typedef struct BatchesAnswer {
    const void *training, *held_out;
    size_t training_bytes, held_out_bytes;
} BatchesAnswer;

// EXPLORE and PORTRAIT.
typedef struct ExploreBody {
    const char *settings;
    Digest model; // of PORTRAIT: a model file, or zeros; of EXPLORE zeros
    WireClip *clips;
    uint32_t clip_count;
} ExploreBody;

// What is found in a clip; engine/exploration.h has the order and the units.
typedef struct ExploreAnswer {
    ClipOutcome outcome;
    bool is_sound;
    const void *numbers; // (numbers_bytes / 8) doubles; no bytes unless usable, as the bands
    size_t numbers_bytes;
    const void *bands; // (2, n_mels) doubles: mean and spread of the log-mel over time
    size_t bands_bytes;
    const char *reason; // "" when usable
} ExploreAnswer;

// A clip's pictures; engine/portrait.h has their shapes and units.
typedef struct PortraitAnswer {
    ClipOutcome outcome;
    uint32_t columns, mel_rows, spectrum_rows, mfcc_rows;
    uint32_t rate_hz;
    bool has_residual;
    double seconds;
    const void *values; // 16-bit numbers, little-endian; no bytes unless usable
    size_t values_bytes;
    const char *reason; // "" when usable
} PortraitAnswer;

typedef struct CannotBody {
    const char *reason;
    struct CannotClip {
        uint32_t clip;
        const char *reason;
    } * clips;
    uint32_t clip_count;
} CannotBody;

void body_encode_probe(const ProbeBody *body, Buffer *out);
void body_encode_probe_answers(const ProbeAnswer *answers, uint32_t count, Buffer *out);
void body_encode_train(const TrainBody *body, Buffer *out);
void body_encode_train_answer(const TrainAnswer *answer, Buffer *out);
void body_encode_plan(const TrainPlan *plan, Buffer *out);
void body_encode_score(const ScoreBody *body, Buffer *out);
void body_encode_score_answers(const ScoreAnswer *answers, uint32_t count, Buffer *out);
void body_encode_shard(const ShardBody *body, Buffer *out);
void body_encode_residuals_answer(const ResidualsAnswer *answer, Buffer *out);
void body_encode_batches_answer(const BatchesAnswer *answer, Buffer *out);
void body_encode_explore(const ExploreBody *body, Buffer *out);
void body_encode_explore_answers(const ExploreAnswer *answers, uint32_t count, Buffer *out);
void body_encode_portrait_answers(const PortraitAnswer *answers, uint32_t count, Buffer *out);
void body_encode_cannot(const CannotBody *body, Buffer *out);

// Decoders: what they give borrows from `decoded`, which keeps a copy of everything until the next
// body_decode_*. STATUS_FORMAT on anything but the exact schema; paths that are not safe
// (file_is_safe_relative) are malformed. Outputs are untouched on failure.
Status body_decode_probe(Decoded *decoded, const void *bytes, size_t size, ProbeBody *ret);
Status body_decode_probe_answers(Decoded *decoded, const void *bytes, size_t size,
                                 const ProbeAnswer **ret, uint32_t *ret_count);
Status body_decode_train(Decoded *decoded, const void *bytes, size_t size, TrainBody *ret);
Status body_decode_train_answer(Decoded *decoded, const void *bytes, size_t size, TrainAnswer *ret);
Status body_decode_plan(Decoded *decoded, const void *bytes, size_t size, TrainPlan *ret);
Status body_decode_score(Decoded *decoded, const void *bytes, size_t size, ScoreBody *ret);
Status body_decode_score_answers(Decoded *decoded, const void *bytes, size_t size,
                                 const ScoreAnswer **ret, uint32_t *ret_count);
Status body_decode_shard(Decoded *decoded, const void *bytes, size_t size, ShardBody *ret);
Status body_decode_residuals_answer(Decoded *decoded, const void *bytes, size_t size,
                                    ResidualsAnswer *ret);
Status body_decode_batches_answer(Decoded *decoded, const void *bytes, size_t size,
                                  BatchesAnswer *ret);
Status body_decode_explore(Decoded *decoded, const void *bytes, size_t size, ExploreBody *ret);
Status body_decode_explore_answers(Decoded *decoded, const void *bytes, size_t size,
                                   const ExploreAnswer **ret, uint32_t *ret_count);
Status body_decode_portrait_answers(Decoded *decoded, const void *bytes, size_t size,
                                    const PortraitAnswer **ret, uint32_t *ret_count);
Status body_decode_cannot(Decoded *decoded, const void *bytes, size_t size, CannotBody *ret);

#endif
