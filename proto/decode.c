// SPDX-License-Identifier: Apache-2.0
//
// How it works: the shape of the bytes is checked first, by a walk that allocates nothing and
// bounds depth, elements and lengths; only then does msgpack-c see them, in a copy of ours. The
// objects that it makes in a zone are read into plain structs by the schema's rows, and the zone is
// emptied. Texts stay where they are in the copy: the byte behind a text is the header of
// the next element, which has been parsed by then, so it can become the text's NUL.
#include <assert.h>
#include <math.h>
#include <msgpack.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "proto/codec.h"

#define DEPTH_MOST            4
#define MESSAGE_ELEMENTS_MOST 2048       // TASKS with all its items has 1,538
#define KEPT_BYTES            (4u << 20) // a larger copy (a plan) is given back
#define ZONE_BYTES            8192

// What one kind of decoding keeps alive.
typedef struct Slot {
    char *bytes; // the copy, with one byte more
    size_t capacity;
    void *rows; // the decoded list, if any
} Slot;

struct Decoded {
    Slot message, body;
    Message value;
    msgpack_zone zone; // empty between calls
};

static void slot_done(Slot *slot) {
    mem_free(slot->bytes);
    mem_free(slot->rows);
}

Decoded *decoded_new(void) {
    Decoded *decoded = mem_new(1, sizeof *decoded);
    if (decoded == NULL) {
        return NULL;
    }
    if (!msgpack_zone_init(&decoded->zone, ZONE_BYTES)) {
        mem_free(decoded);
        status_set(STATUS_MEMORY, "out of memory: %d bytes to decode messages", ZONE_BYTES);
        return NULL;
    }
    return decoded;
}

void decoded_free(Decoded *decoded) {
    if (decoded == NULL) {
        return;
    }
    slot_done(&decoded->message);
    slot_done(&decoded->body);
    msgpack_zone_destroy(&decoded->zone);
    mem_free(decoded);
}

// ---- the shape ----

typedef struct Header {
    size_t bytes;      // of the header itself
    uint64_t payload;  // bytes behind it
    uint64_t elements; // elements behind it
    bool is_array;
} Header;

static uint64_t big_endian(const unsigned char *bytes, size_t count) {
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

// Bytes of the length or number behind a type byte in 0xc0 .. 0xdf, by its last five bits; 0 for
// types that this protocol has not: nil, bool, float32, maps and extensions.
static const unsigned char TRAIL_BYTES[32] = {
    [0x04] = 1, [0x05] = 2, [0x06] = 4,             // bin
    [0x0b] = 8,                                     // float64
    [0x0c] = 1, [0x0d] = 2, [0x0e] = 4, [0x0f] = 8, // uint
    [0x10] = 1, [0x11] = 2, [0x12] = 4, [0x13] = 8, // int, which some encoders use above zero
    [0x19] = 1, [0x1a] = 2, [0x1b] = 4,             // str
    [0x1c] = 2, [0x1d] = 4,                         // array
};

static bool read_header(const unsigned char *at, size_t left, Header *ret) {
    unsigned char type = at[0];
    *ret = (Header){.bytes = 1};
    if (type <= 0x7f) {
        return true;
    }
    if (type >= 0x90 && type <= 0xbf) { // fixarray, fixstr
        ret->is_array = type <= 0x9f;
        ret->elements = ret->is_array ? type & 0x0fu : 0;
        ret->payload = ret->is_array ? 0 : type & 0x1fu;
        return true;
    }
    size_t trail = type >= 0xc0 && type <= 0xdf ? TRAIL_BYTES[type & 0x1f] : 0;
    if (trail == 0 || left < 1 + trail) {
        return false;
    }
    ret->bytes += trail;
    uint64_t number = big_endian(at + 1, trail);
    ret->is_array = type == 0xdc || type == 0xdd;
    ret->elements = ret->is_array ? number : 0;
    bool has_length = type <= 0xc6 || (type >= 0xd9 && type <= 0xdb);
    ret->payload = has_length ? number : 0;
    return true;
}

// NULL, or why the bytes are not exactly one array that this protocol could mean.
static const char *shape_fault(const unsigned char *bytes, size_t size, uint64_t elements_most) {
    uint64_t left_of[DEPTH_MOST]; // elements still to come, per open array
    int depth = 0;
    uint64_t awaited = 1; // elements still to come, in all
    uint64_t elements = 1;
    size_t at = 0;
    while (awaited > 0) {
        Header header;
        if (at >= size || !read_header(bytes + at, size - at, &header)) {
            return at >= size ? "it ends early" : "it holds a type that has no place here";
        }
        if (at == 0 && !header.is_array) {
            return "it is not an array";
        }
        at += header.bytes;
        awaited += header.elements - 1;
        elements += header.elements;
        // Each awaited element has one byte at least.
        if (header.payload > size - at || awaited > size - at) {
            return "it ends early";
        }
        if (elements > elements_most) {
            return "it has too many elements";
        }
        at += (size_t)header.payload;
        if (depth > 0) {
            left_of[depth - 1]--;
        }
        if (header.elements > 0 || (header.is_array && depth == DEPTH_MOST)) {
            if (depth == DEPTH_MOST) {
                return "its arrays are nested too deep";
            }
            left_of[depth++] = header.elements;
        }
        while (depth > 0 && left_of[depth - 1] == 0) {
            depth--;
        }
    }
    return at == size ? NULL : "bytes follow its end";
}

static Status malformed(const char *name, const char *why) {
    return status_set(STATUS_FORMAT, "malformed %s: %s", name, why);
}

// Copies the bytes into the slot, which may hold them already, and ends what it held before.
static Status slot_fill(Slot *slot, const void *bytes, size_t size) {
    char *old = NULL;
    if (slot->capacity < size + 1 || slot->capacity > KEPT_BYTES) {
        char *grown = mem_new(size + 1, 1);
        if (grown == NULL) {
            return STATUS_MEMORY;
        }
        old = slot->bytes;
        slot->bytes = grown;
        slot->capacity = size + 1;
    }
    memmove(slot->bytes, bytes, size);
    mem_free(old);
    mem_free(slot->rows);
    slot->rows = NULL;
    return STATUS_OK;
}

static Status unpack(Decoded *decoded, Slot *slot, const char *name, const void *bytes, size_t size,
                     uint64_t elements_most, msgpack_object *ret_array) {
    const char *fault = shape_fault(bytes, size, elements_most);
    if (fault != NULL) {
        return malformed(name, fault);
    }
    Status status = slot_fill(slot, bytes, size);
    if (status != STATUS_OK) {
        return status;
    }
    size_t offset = 0;
    switch (msgpack_unpack(slot->bytes, size, &offset, &decoded->zone, ret_array)) {
    case MSGPACK_UNPACK_SUCCESS:
        return STATUS_OK;
    case MSGPACK_UNPACK_NOMEM_ERROR:
        return status_set(STATUS_MEMORY, "out of memory: %s of %zu bytes", name, size);
    case MSGPACK_UNPACK_EXTRA_BYTES:
    case MSGPACK_UNPACK_CONTINUE:
    case MSGPACK_UNPACK_PARSE_ERROR:
        break;
    }
    return malformed(name, "it does not unpack");
}

// ---- the fields ----

typedef struct Reader {
    Slot *slot;
    const Schema *schema; // of the whole, for error messages
} Reader;

static Status fault(const Reader *reader, const Field *field, const char *why) {
    return status_set(STATUS_FORMAT, "malformed %s: %s %s", reader->schema->name, field->name, why);
}

static Status read_number(const Reader *reader, const Field *field, const msgpack_object *from,
                          uint64_t *ret) {
    if (from->type != MSGPACK_OBJECT_POSITIVE_INTEGER) {
        return fault(reader, field, "is not an unsigned integer");
    }
    if (from->via.u64 < field->least || from->via.u64 > field->most) {
        return status_set(STATUS_FORMAT, "malformed %s: %s is %llu, accepted are %llu to %llu",
                          reader->schema->name, field->name, (unsigned long long)from->via.u64,
                          (unsigned long long)field->least, (unsigned long long)field->most);
    }
    *ret = from->via.u64;
    return STATUS_OK;
}

static Status read_real(const Reader *reader, const Field *field, const msgpack_object *from,
                        double *ret) {
    if (from->type != MSGPACK_OBJECT_FLOAT64) {
        return fault(reader, field, "is not a 64-bit float");
    }
    if (!isfinite(from->via.f64) && !(field->kind == FIELD_LOSS && isnan(from->via.f64))) {
        return fault(reader, field, "is not a finite number");
    }
    *ret = from->via.f64;
    return STATUS_OK;
}

static Status read_text(const Reader *reader, const Field *field, const msgpack_object *from,
                        uint64_t most, const char **ret) {
    if (from->type != MSGPACK_OBJECT_STR) {
        return fault(reader, field, "is not a text");
    }
    size_t size = from->via.str.size;
    if (size > most) {
        return fault(reader, field, "is too long");
    }
    const char *text = "";
    if (size > 0) {
        char *own = reader->slot->bytes + (from->via.str.ptr - reader->slot->bytes);
        own[size] = '\0';
        text = own;
    }
    if (strlen(text) != size || !text_is_utf8(text)) {
        return fault(reader, field, "is not UTF-8 without NUL");
    }
    if (field->kind == FIELD_PATH && !file_is_safe_relative(text)) {
        return fault(reader, field, "is not a safe relative path");
    }
    *ret = text;
    return STATUS_OK;
}

static Status read_digest(const Reader *reader, const Field *field, const msgpack_object *from,
                          Digest *ret) {
    if (from->type != MSGPACK_OBJECT_BIN || from->via.bin.size != sizeof ret->bytes) {
        return fault(reader, field, "is not a binary of 16 bytes");
    }
    memcpy(ret->bytes, from->via.bin.ptr, sizeof ret->bytes);
    return STATUS_OK;
}

static Status read_bytes(const Reader *reader, const Field *field, const msgpack_object *from,
                         const void **ret_bytes, size_t *ret_size) {
    if (from->type != MSGPACK_OBJECT_BIN) {
        return fault(reader, field, "is not a binary");
    }
    if (from->via.bin.size > field->most) {
        return fault(reader, field, "is too large");
    }
    *ret_bytes = from->via.bin.size > 0 ? from->via.bin.ptr : reader->slot->bytes;
    *ret_size = from->via.bin.size;
    return STATUS_OK;
}

static Status check_list(const Reader *reader, const Field *field, const msgpack_object *from) {
    if (from->type != MSGPACK_OBJECT_ARRAY) {
        return fault(reader, field, "is not an array");
    }
    return from->via.array.size <= field->most ? STATUS_OK
                                               : fault(reader, field, "has too many elements");
}

static Status read_roots(const Reader *reader, const Field *field, const msgpack_object *from,
                         const char *const **ret_roots, uint32_t *ret_count) {
    Status status = check_list(reader, field, from);
    if (status != STATUS_OK) {
        return status;
    }
    assert(reader->slot->rows == NULL); // no schema has two lists
    const char **roots = mem_new(from->via.array.size, sizeof *roots);
    if (roots == NULL) {
        return STATUS_MEMORY;
    }
    reader->slot->rows = roots;
    for (uint32_t i = 0; i < from->via.array.size && status == STATUS_OK; i++) {
        status = read_text(reader, field, &from->via.array.ptr[i], field->least, &roots[i]);
    }
    *ret_roots = roots;
    *ret_count = from->via.array.size;
    return status;
}

static Status read_item(const Reader *reader, const Schema *schema, const msgpack_object *from,
                        char *ret_item);

// Stores the address of the rows at `ret_rows`, where a pointer to any struct may stand.
static Status read_rows(const Reader *reader, const Field *field, const msgpack_object *from,
                        void *ret_rows, uint32_t *ret_count) {
    Status status = check_list(reader, field, from);
    if (status != STATUS_OK) {
        return status;
    }
    assert(reader->slot->rows == NULL); // no schema has two lists
    uint32_t count = from->via.array.size;
    char *rows = mem_new(count, field->row->struct_bytes);
    if (rows == NULL) {
        return STATUS_MEMORY;
    }
    reader->slot->rows = rows;
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        status = read_item(reader, field->row, &from->via.array.ptr[i],
                           rows + i * field->row->struct_bytes);
    }
    memcpy(ret_rows, &rows, sizeof rows);
    *ret_count = count;
    return status;
}

static Status read_field(const Reader *reader, const Field *field, const msgpack_object *from,
                         char *item) {
    void *at = item + field->offset;
    void *count_at = item + field->count_offset;
    uint64_t number = 0;
    Status status = STATUS_OK;
    switch (field->kind) {
    case FIELD_U32:
        status = read_number(reader, field, from, &number);
        *(uint32_t *)at = (uint32_t)number;
        return status;
    case FIELD_U64:
        return read_number(reader, field, from, at);
    case FIELD_BOOL:
        status = read_number(reader, field, from, &number);
        *(bool *)at = number != 0;
        return status;
    case FIELD_REAL:
    case FIELD_LOSS:
        return read_real(reader, field, from, at);
    case FIELD_TEXT:
    case FIELD_PATH:
    case FIELD_REASON:
        return read_text(reader, field, from, field->most, at);
    case FIELD_DIGEST:
        return read_digest(reader, field, from, at);
    case FIELD_BYTES:
        return read_bytes(reader, field, from, at, count_at);
    case FIELD_ROOTS:
        return read_roots(reader, field, from, at, count_at);
    case FIELD_ROWS:
        return read_rows(reader, field, from, at, count_at);
    }
    return STATUS_FORMAT;
}

// Reads fields [begin, end) from the objects of the same places.
static Status read_fields(const Reader *reader, const Schema *schema, uint32_t begin, uint32_t end,
                          const msgpack_object *from, char *item) {
    Status status = STATUS_OK;
    for (uint32_t i = begin; i < end && status == STATUS_OK; i++) {
        status = read_field(reader, &schema->fields[i], &from[i], item);
    }
    return status;
}

static Status wrong_count(const Reader *reader, uint32_t found, uint32_t expected) {
    return status_set(STATUS_FORMAT, "malformed %s: %u fields where %u belong",
                      reader->schema->name, found, expected);
}

static Status check_item(const Reader *reader, const Schema *schema, const char *item) {
    const char *why = schema->check != NULL ? schema->check(item) : NULL;
    return why == NULL ? STATUS_OK : malformed(reader->schema->name, why);
}

static Status read_item(const Reader *reader, const Schema *schema, const msgpack_object *from,
                        char *ret_item) {
    if (from->type != MSGPACK_OBJECT_ARRAY) {
        return malformed(reader->schema->name, "a row is not an array");
    }
    if (from->via.array.size != schema->field_count) {
        return wrong_count(reader, from->via.array.size, schema->field_count);
    }
    Status status =
        read_fields(reader, schema, 0, schema->field_count, from->via.array.ptr, ret_item);
    return status == STATUS_OK ? check_item(reader, schema, ret_item) : status;
}

// ---- messages ----

static void blank_texts(const Schema *schema, char *item) {
    for (uint32_t i = 0; i < schema->field_count; i++) {
        FieldKind kind = schema->fields[i].kind;
        if (kind == FIELD_TEXT || kind == FIELD_REASON) {
            *(const char **)(void *)(item + schema->fields[i].offset) = "";
        }
    }
}

// Fields of a message; `count` of them came.
static Status read_message(const Reader *reader, const msgpack_object *from, uint32_t count,
                           Message *value) {
    const Schema *schema = reader->schema;
    char *item = (char *)value;
    blank_texts(schema, item);
    uint32_t frozen = count >= schema->frozen ? schema->frozen : 0;
    Status status = read_fields(reader, schema, 0, frozen, from, item);
    if (status != STATUS_OK) {
        return status;
    }
    if (frozen > 0 && schema->is_foreign(value)) {
        return check_item(reader, schema, item);
    }
    if (count != schema->field_count) {
        return wrong_count(reader, count, schema->field_count);
    }
    status = read_fields(reader, schema, frozen, count, from, item);
    return status == STATUS_OK ? check_item(reader, schema, item) : status;
}

static Status read_typed(Decoded *decoded, const msgpack_object *array, size_t size) {
    const msgpack_object *from = array->via.array.ptr;
    uint32_t count = array->via.array.size;
    if (count == 0 || from[0].type != MSGPACK_OBJECT_POSITIVE_INTEGER) {
        return malformed("message", "its first element is not a type");
    }
    const Schema *schema = schema_of_message(from[0].via.u64);
    if (schema == NULL) {
        return status_set(STATUS_FORMAT, "malformed message: there is no type %llu",
                          (unsigned long long)from[0].via.u64);
    }
    if (size > schema->bytes_most) {
        return malformed(schema->name, "it is too large");
    }
    memset(&decoded->value, 0, sizeof decoded->value);
    decoded->value.type = (MessageType)from[0].via.u64;
    Reader reader = {.slot = &decoded->message, .schema = schema};
    return read_message(&reader, from + 1, count - 1, &decoded->value);
}

Status message_decode(Decoded *decoded, const void *bytes, size_t size, const Message **ret) {
    if (size > PROTO_CONTROL_BYTES) {
        return malformed("message", "it is too large");
    }
    msgpack_object array;
    Status status =
        unpack(decoded, &decoded->message, "message", bytes, size, MESSAGE_ELEMENTS_MOST, &array);
    if (status == STATUS_OK) {
        status = read_typed(decoded, &array, size);
    }
    msgpack_zone_clear(&decoded->zone);
    if (status == STATUS_OK) {
        *ret = &decoded->value;
    }
    return status;
}

Digest message_clip_name(uint32_t root, const char *path) {
    unsigned char bytes[4 + LIMIT_PATH_BYTES];
    size_t size = strnlen(path, LIMIT_PATH_BYTES);
    for (int i = 0; i < 4; i++) {
        bytes[i] = (unsigned char)(root >> 8 * i);
    }
    memcpy(bytes + 4, path, size);
    return digest_of(bytes, 4 + size);
}

const char *message_type_name(MessageType type) {
    const Schema *schema = schema_of_message(type);
    return schema != NULL ? schema->name : "unknown";
}

// ---- bodies ----

static Status unpack_body(Decoded *decoded, const Schema *schema, const void *bytes, size_t size,
                          msgpack_object *ret_array) {
    if (size > schema->bytes_most) {
        return malformed(schema->name, "it is too large");
    }
    return unpack(decoded, &decoded->body, schema->name, bytes, size, schema->elements_most,
                  ret_array);
}

Status codec_decode(Decoded *decoded, const Schema *schema, const void *bytes, size_t size,
                    void *ret_item) {
    union {
        ProbeBody probe;
        TrainBody train;
        TrainAnswer answer;
        TrainPlan plan;
        ScoreBody score;
        ShardBody shard;
        ResidualsAnswer residuals;
        BatchesAnswer batches;
        CannotBody cannot;
    } item;
    assert(schema->struct_bytes <= sizeof item);
    memset(&item, 0, sizeof item);
    msgpack_object array;
    Status status = unpack_body(decoded, schema, bytes, size, &array);
    if (status == STATUS_OK) {
        Reader reader = {.slot = &decoded->body, .schema = schema};
        status = read_item(&reader, schema, &array, (char *)&item);
    }
    msgpack_zone_clear(&decoded->zone);
    if (status == STATUS_OK) {
        memcpy(ret_item, &item, schema->struct_bytes);
    }
    return status;
}

Status codec_decode_list(Decoded *decoded, const Schema *schema, const void *bytes, size_t size,
                         const void **ret_items, uint32_t *ret_count) {
    const Field rows = {.name = "the list", .most = PROTO_TASK_CLIPS, .row = schema};
    void *items = NULL;
    uint32_t count = 0;
    msgpack_object array;
    Status status = unpack_body(decoded, schema, bytes, size, &array);
    if (status == STATUS_OK) {
        Reader reader = {.slot = &decoded->body, .schema = schema};
        status = read_rows(&reader, &rows, &array, &items, &count);
    }
    msgpack_zone_clear(&decoded->zone);
    if (status == STATUS_OK) {
        *ret_items = items;
        *ret_count = count;
    }
    return status;
}
