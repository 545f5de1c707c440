// SPDX-License-Identifier: Apache-2.0
//
// MessagePack by hand, so that the tests of proto/ do not trust the library that proto/ uses, and
// the fields of every message and body as PROTOCOL.md lists them, so that they do not trust
// proto/schema.c either.
#ifndef AUSCULT_TESTS_UNIT_PROTO_PACK_H
#define AUSCULT_TESTS_UNIT_PROTO_PACK_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "common/base/buffer.h"
#include "proto/message.h"

static inline void pack_number(Buffer *out, unsigned char type, uint64_t value, int bytes) {
    buffer_append(out, &type, 1);
    for (int i = bytes - 1; i >= 0; i--) {
        unsigned char byte = (unsigned char)(value >> (8 * i));
        buffer_append(out, &byte, 1);
    }
}

static inline void pack_u(Buffer *out, uint64_t value) {
    pack_number(out, 0xcf, value, 8);
}

static inline void pack_f(Buffer *out, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    pack_number(out, 0xcb, bits, 8);
}

static inline void pack_array(Buffer *out, uint32_t count) {
    pack_number(out, 0xdd, count, 4);
}

static inline void pack_text(Buffer *out, const char *text, uint32_t size) {
    pack_number(out, 0xdb, size, 4);
    buffer_append(out, text, size);
}

static inline void pack_bytes(Buffer *out, const char *bytes, uint32_t size) {
    pack_number(out, 0xc6, size, 4);
    buffer_append(out, bytes, size);
}

// One field: u, f (finite), l (loss), s (text), p (path), d (digest), b (binary), r (roots),
// and [ for a list of rows, whose fields are all those that follow.
typedef struct Spec {
    char kind;
    uint64_t least, most; // numbers: range; s, p, b: most bytes; r, [: most elements
    uint64_t usual;       // numbers: added to `least` where nothing else is asked for
} Spec;

typedef struct Form {
    const char *name;
    uint64_t type; // of a message, 0 for a body
    bool is_list;  // a body that is a list of rows with these fields
    Spec fields[14];
    Status (*decode)(Decoded *decoded, const void *bytes, size_t size);
} Form;

static inline Status decode_message(Decoded *decoded, const void *bytes, size_t size) {
    const Message *message;
    return message_decode(decoded, bytes, size, &message);
}

#define DECODE_BODY(name_, type_)                                                                  \
    static inline Status decode_##name_(Decoded *decoded, const void *bytes, size_t size) {        \
        type_ body;                                                                                \
        return body_decode_##name_(decoded, bytes, size, &body);                                   \
    }
DECODE_BODY(probe, ProbeBody)
DECODE_BODY(train, TrainBody)
DECODE_BODY(train_answer, TrainAnswer)
DECODE_BODY(plan, TrainPlan)
DECODE_BODY(score, ScoreBody)
DECODE_BODY(cannot, CannotBody)

static inline Status decode_probe_answers(Decoded *decoded, const void *bytes, size_t size) {
    const ProbeAnswer *answers;
    uint32_t count;
    return body_decode_probe_answers(decoded, bytes, size, &answers, &count);
}

static inline Status decode_score_answers(Decoded *decoded, const void *bytes, size_t size) {
    const ScoreAnswer *answers;
    uint32_t count;
    return body_decode_score_answers(decoded, bytes, size, &answers, &count);
}

static inline Status decode_explore_answers(Decoded *decoded, const void *bytes, size_t size) {
    const ExploreAnswer *answers;
    uint32_t count;
    return body_decode_explore_answers(decoded, bytes, size, &answers, &count);
}

static inline Status decode_portrait_answers(Decoded *decoded, const void *bytes, size_t size) {
    const PortraitAnswer *answers;
    uint32_t count;
    return body_decode_portrait_answers(decoded, bytes, size, &answers, &count);
}

#define DECODE(name_, Type_)                                                                       \
    static inline Status decode_##name_(Decoded *decoded, const void *bytes, size_t size) {        \
        Type_ body;                                                                                \
        return body_decode_##name_(decoded, bytes, size, &body);                                   \
    }
DECODE(shard, ShardBody)
DECODE(residuals_answer, ResidualsAnswer)
DECODE(batches_answer, BatchesAnswer)
DECODE(explore, ExploreBody)
#undef DECODE

#define U(least_, most_)                                                                           \
    { 'u', least_, most_, 0 }
#define U32                                                                                        \
    { 'u', 0, UINT32_MAX, 0 }
#define U64                                                                                        \
    { 'u', 0, UINT64_MAX, 0 }
#define S(most_)                                                                                   \
    { 's', 0, most_, 0 }
#define P                                                                                          \
    { 'p', 0, 4096, 0 }
#define D                                                                                          \
    { 'd', 0, 0, 0 }
#define F                                                                                          \
    { 'f', 0, 0, 0 }
#define B                                                                                          \
    { 'b', 0, PROTO_BODY_BYTES, 0 }
#define HALF                                                                                       \
    { 'b', 0, PROTO_HALF_BYTES, 0 }
#define ROWS(most_)                                                                                \
    { '[', 0, most_, 0 }
#define SOME_ROWS                                                                                  \
    { '[', 1, 256, 0 }

static const Form FORMS[] = {
    {"HELLO",
     1,
     0,
     {U(1, 1), U(1, 65535), S(64), D, S(128), U(1, 1024), S(32), D, S(256)},
     decode_message},
    {"CREDIT", 2, 0, {U(1, 1024)}, decode_message},
    {"RESULTS", 3, 0, {SOME_ROWS, U64, U64, U(0, 2), B}, decode_message},
    {"PROGRESS", 4, 0, {U64, U64, U64, U64, {'l', 0, 0, 0}}, decode_message},
    {"ALIVE", 5, 0, {{0}}, decode_message},
    {"GOODBYE", 6, 0, {S(256)}, decode_message},
    {"WELCOME",
     17,
     0,
     {U(1, 1), D, D, U(0, 65535), U(100, 60000), {'r', 0, 64, 0}},
     decode_message},
    {"REFUSED", 18, 0, {{'u', 1, 8, 1}, S(1024)}, decode_message},
    {"TASKS", 19, 0, {SOME_ROWS, U64, U64, U(1, 8), U(1, UINT32_MAX), B}, decode_message},
    {"ACKS", 20, 0, {SOME_ROWS, U64, U64}, decode_message},
    {"CANCEL", 21, 0, {U64, U64}, decode_message},
    {"END", 22, 0, {S(1024)}, decode_message},
    {"ECHO", 23, 0, {{0}}, decode_message},
    {"ATTACH", 33, 0, {D, U(0, 1)}, decode_message},
    {"ATTACHED", 34, 0, {{0}}, decode_message},
    {"GET", 35, 0, {D}, decode_message},
    {"BLOB",
     36,
     0,
     {U(1, 8), U64, U64, U(0, 1000000), U32, U(0, 64), U(0, 64), U(0, 1ull << 30), D},
     decode_message},
    {"PIECE", 37, 0, {U(0, 1ull << 30)}, decode_message},
    {"MISSING", 38, 0, {D}, decode_message},
    {"FETCH", 39, 0, {D, U(0, 1ull << 30)}, decode_message},
    {"PART", 40, 0, {D, U(0, 1ull << 30), U(0, 1ull << 30), U64}, decode_message},
    {"NOT_HERE", 41, 0, {D, S(512)}, decode_message},
    {"PROBE", 0, 0, {S(4096), ROWS(256), U(0, 63), P, U64}, decode_probe},
    {"TRAIN",
     0,
     0,
     {D, D, U(0, 63), U(1, 64), U(0, 1000000), U32, {'u', 0, 1000000, 1000000}},
     decode_train},
    {"TRAIN answer", 0, 0, {U64, U64, D}, decode_train_answer},
    {"plan",
     0,
     0,
     {S(4096), U64, U(1, 64), ROWS(4000000), U(0, 63), P, U64, D, U(0, 3999999), U32, U(0, 1)},
     decode_plan},
    {"SCORE", 0, 0, {D, ROWS(256), U(0, 63), P, U64, D}, decode_score},
    {"shard", 0, 0, {D, D, U(0, 63)}, decode_shard},
    {"RESIDUALS answer", 0, 0, {HALF, HALF}, decode_residuals_answer},
    {"BATCHES answer", 0, 0, {HALF, HALF}, decode_batches_answer},
    {"CANNOT", 0, 0, {S(512), ROWS(256), U(0, 3999999), S(512)}, decode_cannot},
    {"PROBE answer",
     0,
     1,
     {U(0, 2), U32, U32, U32, U32, F, U(0, 1), D, S(512)},
     decode_probe_answers},
    {"EXPLORE", 0, 0, {S(4096), D, ROWS(256), U(0, 63), P, U64, D}, decode_explore},
    {"EXPLORE answer",
     0,
     1,
     {U(0, 2), U(0, 1), {'b', 0, 512, 0}, {'b', 0, 16384, 0}, S(512)},
     decode_explore_answers},
    {"PORTRAIT answer",
     0,
     1,
     {U(0, 2), U(0, 1024), U(0, 1024), U(0, 1024), U(0, 1024), U(0, 384000), U(0, 1), F, HALF,
      S(512)},
     decode_portrait_answers},
    {"SCORE answer", 0, 1, {U(0, 2), F, F, {'b', 0, 8192, 0}, S(512)}, decode_score_answers},
};
#define FORM_COUNT (sizeof FORMS / sizeof FORMS[0])

#undef U
#undef U32
#undef U64
#undef S
#undef P
#undef D
#undef F
#undef B
#undef HALF
#undef ROWS
#undef SOME_ROWS

// How one field is written differently from its usual value, and what must come of it.
typedef enum Twist {
    TWIST_NONE,
    TWIST_LEAST,
    TWIST_MOST,
    TWIST_BELOW,
    TWIST_BEYOND,
    TWIST_TYPE,
    TWIST_NUL,
    TWIST_UTF8,
    TWIST_UNSAFE,
    TWIST_NAN,
    TWIST_COUNT,
} Twist;

// Whether the twist exists for the kind of field; *ret_accept: whether it must decode.
static inline bool twist_applies(const Spec *spec, Twist twist, bool *ret_accept) {
    bool is_text = spec->kind == 's' || spec->kind == 'p' || spec->kind == 'r';
    *ret_accept = twist <= TWIST_MOST || (spec->kind == 'l' && twist == TWIST_NAN);
    switch (twist) {
    case TWIST_NONE:
        return true;
    case TWIST_LEAST: // an empty path is not safe
        return spec->kind != 'p' && spec->kind != 'd';
    case TWIST_MOST: // a plan's four million rows would take too long here
        return spec->kind != 'd' && !(spec->kind == '[' && spec->most > 256);
    case TWIST_BELOW:
        return spec->kind == 'd' || (strchr("u[", spec->kind) != NULL && spec->least > 0);
    case TWIST_BEYOND:
        return !(spec->kind == 'u' && spec->most == UINT64_MAX) &&
               !(spec->kind == '[' && spec->most > 256);
    case TWIST_TYPE:
        *ret_accept = false;
        return true;
    case TWIST_NUL:
    case TWIST_UTF8:
        return is_text;
    case TWIST_UNSAFE:
        return spec->kind == 'p';
    case TWIST_NAN:
        return spec->kind == 'f' || spec->kind == 'l';
    case TWIST_COUNT:
        break;
    }
    return false;
}

static char pack_scratch[PROTO_BODY_BYTES + 64]; // letters; filled by pack_form

static inline void pack_some_text(Buffer *out, const Spec *spec, Twist twist) {
    uint32_t most = spec->kind == 'r' ? 4096 : (uint32_t)spec->most;
    uint32_t size = twist == TWIST_LEAST ? 0 : twist == TWIST_BEYOND ? most + 1 : most;
    if (twist == TWIST_NUL) {
        pack_text(out, "a\0b", 3);
    } else if (twist == TWIST_UTF8) {
        pack_text(out, "a\xc3", 2);
    } else if (twist == TWIST_UNSAFE) {
        pack_text(out, "a/../b", 6);
    } else if (twist == TWIST_NONE) {
        pack_text(out, "a/\xc3\xa4", 4);
    } else {
        pack_text(out, pack_scratch, size);
    }
}

static inline void pack_field(Buffer *out, const Spec *spec, Twist twist) {
    uint32_t off_by = twist == TWIST_BELOW ? 15 : twist == TWIST_BEYOND ? 17 : 16;
    switch (spec->kind) {
    case 'u':
        pack_u(out, twist == TWIST_NONE    ? spec->least + spec->usual
                    : twist == TWIST_LEAST ? spec->least
                    : twist == TWIST_MOST  ? spec->most
                    : twist == TWIST_BELOW ? spec->least - 1
                                           : spec->most + 1);
        return;
    case 'f':
    case 'l':
        pack_f(out, twist == TWIST_NAN      ? NAN
                    : twist == TWIST_BEYOND ? INFINITY
                    : twist == TWIST_MOST   ? 1.7976931348623157e308
                                            : 0.5);
        return;
    case 's':
    case 'p':
        pack_some_text(out, spec, twist);
        return;
    case 'd':
        pack_bytes(out, pack_scratch, off_by);
        return;
    case 'b':
        pack_bytes(out, pack_scratch,
                   twist == TWIST_MOST     ? (uint32_t)spec->most
                   : twist == TWIST_BEYOND ? (uint32_t)spec->most + 1
                   : twist == TWIST_LEAST  ? 0
                                           : 3);
        return;
    default: {
        uint32_t count = twist == TWIST_BELOW    ? 0
                         : twist == TWIST_LEAST  ? (uint32_t)spec->least
                         : twist == TWIST_MOST   ? (uint32_t)spec->most
                         : twist == TWIST_BEYOND ? (uint32_t)spec->most + 1
                                                 : 2;
        pack_array(out, count);
        for (uint32_t i = 0; i < count && spec->kind == 'r'; i++) {
            pack_some_text(out, spec, twist == TWIST_BEYOND ? TWIST_MOST : twist);
        }
        return;
    }
    }
}

// A field of another type than the right one.
static inline void pack_wrong(Buffer *out, const Spec *spec) {
    if (spec->kind == 'u' || spec->kind == 'd' || spec->kind == 'b') {
        pack_text(out, pack_scratch, 16);
    } else {
        pack_u(out, 0);
    }
}

static inline int form_fields(const Form *form) {
    int count = 0;
    while (count < 14 && form->fields[count].kind != 0) {
        count++;
    }
    return count;
}

// Where the rows' fields begin, or the number of fields when there are no rows.
static inline int form_rows(const Form *form) {
    int at = 0;
    while (!form->is_list && at < form_fields(form) && form->fields[at].kind != '[') {
        at++;
    }
    return form->is_list ? 0 : at < form_fields(form) ? at + 1 : at;
}

static inline void pack_row(Buffer *out, const Form *form, int field, Twist twist, int more) {
    int begin = form_rows(form);
    int end = form_fields(form) + (more < 0 ? more : 0);
    pack_array(out, (uint32_t)(form_fields(form) - begin + more));
    for (int i = begin; i < end; i++) {
        if (i == field && twist == TWIST_TYPE) {
            pack_wrong(out, &form->fields[i]);
        } else {
            pack_field(out, &form->fields[i], i == field ? twist : TWIST_NONE);
        }
    }
    if (more > 0) {
        pack_u(out, 0);
    }
}

// The form with usual values, but for `field`, which is twisted. `more` and `row_more`: 1 for a
// field too many, -1 for one too few, in the outer array or in the last row.
static inline void pack_form(Buffer *out, const Form *form, int field, Twist twist, int more,
                             int row_more) {
    memset(pack_scratch, 'a', sizeof pack_scratch);
    int rows = form_rows(form);
    const Spec list = {.kind = '[', .most = 256};
    bool has_rows = form->is_list || rows < form_fields(form);
    if (!form->is_list) {
        pack_array(out, (uint32_t)(rows + (form->type != 0) + more));
    }
    if (form->type != 0) {
        pack_u(out, form->type);
    }
    for (int i = 0; i < rows + (more < 0 ? more : 0); i++) {
        if (i == field && twist == TWIST_TYPE) {
            pack_wrong(out, &form->fields[i]);
        } else {
            pack_field(out, &form->fields[i], i == field ? twist : TWIST_NONE);
        }
    }
    if (form->is_list) {
        pack_field(out, &list, TWIST_NONE);
    }
    bool list_twisted = has_rows && !form->is_list && field == rows - 1;
    uint32_t count = !list_twisted || twist == TWIST_NONE ? 2
                     : twist == TWIST_MOST                ? 256
                     : twist == TWIST_BEYOND              ? 257
                     : twist == TWIST_LEAST               ? (uint32_t)form->fields[field].least
                                                          : 0;
    for (uint32_t i = 0; has_rows && more >= 0 && i < count; i++) {
        bool last = i + 1 == count;
        pack_row(out, form, last && field >= rows ? field : -1, twist, last ? row_more : 0);
    }
    if (more > 0) {
        pack_u(out, 0);
    }
}

#endif
