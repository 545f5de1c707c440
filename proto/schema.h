// SPDX-License-Identifier: Apache-2.0
//
// The tables of PROTOCOL.md: which fields a message, a body or a row of a body has, in which
// order, where they lie in their struct, and what they accept. Encoding and decoding both run from
// them, so that one row says all about a field. Internal to proto/; knows nothing of MessagePack.
// Any thread; no state.
#ifndef AUSCULT_PROTO_SCHEMA_H
#define AUSCULT_PROTO_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"

typedef enum FieldKind {
    FIELD_U32,    // uint32_t or an enumeration
    FIELD_U64,    // uint64_t
    FIELD_BOOL,   // bool, 0 or 1 on the wire
    FIELD_REAL,   // double, finite
    FIELD_LOSS,   // double, finite, NaN when there is none; another is sent as NaN
    FIELD_TEXT,   // const char *, UTF-8 without NUL
    FIELD_PATH,   // as FIELD_TEXT, and file_is_safe_relative
    FIELD_REASON, // as FIELD_TEXT, for people: made to fit when it is encoded
    FIELD_DIGEST, // Digest
    FIELD_BYTES,  // const void *, its size a size_t at `count_offset`
    FIELD_ROOTS,  // const char *[most], how many a uint32_t at `count_offset`
    FIELD_ROWS,   // a pointer to structs of `row`, how many a uint32_t at `count_offset`
} FieldKind;

typedef struct Schema Schema;

typedef struct Field {
    const char *name; // as in PROTOCOL.md
    FieldKind kind;
    size_t offset;       // in the struct
    size_t count_offset; // in the struct, where the kind has one
    uint64_t least;      // numbers: the smallest accepted
    uint64_t most;       // numbers: the largest; texts and binaries: bytes; lists: elements
    const Schema *row;   // FIELD_ROWS only
} Field;

struct Schema {
    const char *name; // "TASK", "the body of TRAIN", for messages
    const Field *fields;
    uint32_t field_count;
    size_t struct_bytes;
    size_t bytes_most;      // of the encoded form, for what is encoded by itself
    uint32_t elements_most; // of a body: MessagePack elements in all, its own array included
    // What no single field can tell: the reason it is malformed, NULL when it is not.
    const char *(*check)(const void *item);
    // The first `frozen` fields keep their form in every version. When is_foreign says that these
    // came from a version without one in common with ours, the others are not read.
    uint32_t frozen;
    bool (*is_foreign)(const void *item);
};

// The schema of a message (its struct is Message); NULL for an unknown type.
const Schema *schema_of_message(uint64_t type);

extern const Schema SCHEMA_PROBE, SCHEMA_TRAIN, SCHEMA_TRAIN_ANSWER, SCHEMA_PLAN, SCHEMA_SCORE,
    SCHEMA_SHARD, SCHEMA_RESIDUALS_ANSWER, SCHEMA_BATCHES_ANSWER, SCHEMA_EXPLORE, SCHEMA_CANNOT;
// Answers are lists without an enclosing array: what one row has, and at most PROTO_TASK_CLIPS.
extern const Schema SCHEMA_PROBE_ANSWER, SCHEMA_SCORE_ANSWER, SCHEMA_EXPLORE_ANSWER,
    SCHEMA_PORTRAIT_ANSWER;

#endif
