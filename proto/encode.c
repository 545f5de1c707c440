// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <math.h>
#include <msgpack.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/text.h"
#include "proto/codec.h"

// The longest text for people: REFUSED's and END's.
#define REASON_BYTES_MOST 1024

typedef struct Writer {
    msgpack_packer packer;
    const Schema *schema; // of the whole, for error messages
    Buffer *out;
    size_t start; // out's size before
} Writer;

static int append(void *buffer, const char *bytes, size_t size) {
    Buffer *out = buffer;
    buffer_append(out, bytes, size);
    return out->status == STATUS_OK ? 0 : -1;
}

static void writer_init(Writer *writer, const Schema *schema, Buffer *out) {
    *writer = (Writer){.schema = schema, .out = out, .start = out->size};
    msgpack_packer_init(&writer->packer, out, append);
}

static void writer_fail(Writer *writer, Status status, const char *name, const char *what) {
    if (writer->out->status == STATUS_OK) {
        writer->out->status =
            status_set(status, "cannot send %s: %s %s", writer->schema->name, name, what);
    }
}

// The whole must fit as well; whatever failed, the bytes are as before.
static void writer_end(Writer *writer) {
    Buffer *out = writer->out;
    if (out->size - writer->start > writer->schema->bytes_most) {
        writer_fail(writer, STATUS_LIMIT, "it", "is too large");
    }
    if (out->status != STATUS_OK && out->bytes != NULL) {
        out->size = writer->start;
        out->bytes[out->size] = '\0';
    }
}

static void write_text(Writer *writer, const Field *field, const char *text, uint64_t most) {
    assert(text != NULL);
    size_t size = strlen(text);
    if (size > most) {
        writer_fail(writer, STATUS_LIMIT, field->name, "is too long");
    } else if (!text_is_utf8(text)) {
        writer_fail(writer, STATUS_INVALID, field->name, "is not UTF-8");
    } else if (field->kind == FIELD_PATH && !file_is_safe_relative(text)) {
        writer_fail(writer, STATUS_INVALID, field->name, "is not a safe relative path");
    }
    msgpack_pack_str_with_body(&writer->packer, text, size);
}

static void write_reason(Writer *writer, const Field *field, const char *text) {
    assert(text != NULL && field->most <= REASON_BYTES_MOST);
    char fitted[REASON_BYTES_MOST + 1];
    text_fit(fitted, (size_t)field->most + 1, text);
    msgpack_pack_str_with_body(&writer->packer, fitted, strlen(fitted));
}

static void write_number(Writer *writer, const Field *field, uint64_t value) {
    if (value < field->least || value > field->most) {
        writer_fail(writer, STATUS_LIMIT, field->name, "is out of range");
    }
    msgpack_pack_uint64(&writer->packer, value);
}

static void write_real(Writer *writer, const Field *field, double value) {
    if (field->kind == FIELD_REAL && !isfinite(value)) {
        writer_fail(writer, STATUS_INVALID, field->name, "is not a finite number");
    }
    msgpack_pack_double(&writer->packer, value);
}

static void write_bytes(Writer *writer, const Field *field, const void *bytes, size_t size) {
    if (size > field->most) {
        writer_fail(writer, STATUS_LIMIT, field->name, "is too large");
        return;
    }
    msgpack_pack_bin_with_body(&writer->packer, bytes, size);
}

static void write_roots(Writer *writer, const Field *field, const char *const *roots,
                        uint32_t count) {
    if (count > field->most) {
        writer_fail(writer, STATUS_LIMIT, field->name, "are too many");
        return;
    }
    msgpack_pack_array(&writer->packer, count);
    for (uint32_t i = 0; i < count; i++) {
        write_text(writer, field, roots[i], field->least);
    }
}

static void write_fields(Writer *writer, const Schema *schema, const char *item);

static void write_rows(Writer *writer, const Field *field, const char *rows, uint32_t count) {
    if (count > field->most) {
        writer_fail(writer, STATUS_LIMIT, field->name, "are too many");
        return;
    }
    msgpack_pack_array(&writer->packer, count);
    for (uint32_t i = 0; i < count && writer->out->status == STATUS_OK; i++) {
        msgpack_pack_array(&writer->packer, field->row->field_count);
        write_fields(writer, field->row, rows + i * field->row->struct_bytes);
    }
}

// Pointers to any type, read as bytes: an lvalue of another pointer type would be an alias.
static const void *pointer_at(const char *at) {
    const void *pointer;
    memcpy(&pointer, at, sizeof pointer);
    return pointer;
}

static void write_field(Writer *writer, const Field *field, const char *item) {
    const char *at = item + field->offset;
    const char *count_at = item + field->count_offset;
    switch (field->kind) {
    case FIELD_U32:
        write_number(writer, field, *(const uint32_t *)(const void *)at);
        return;
    case FIELD_U64:
        write_number(writer, field, *(const uint64_t *)(const void *)at);
        return;
    case FIELD_BOOL:
        write_number(writer, field, *(const bool *)at);
        return;
    case FIELD_REAL:
        write_real(writer, field, *(const double *)(const void *)at);
        return;
    case FIELD_LOSS: {
        double loss = *(const double *)(const void *)at;
        write_real(writer, field, isfinite(loss) ? loss : NAN);
        return;
    }
    case FIELD_TEXT:
    case FIELD_PATH:
        write_text(writer, field, pointer_at(at), field->most);
        return;
    case FIELD_REASON:
        write_reason(writer, field, pointer_at(at));
        return;
    case FIELD_DIGEST:
        msgpack_pack_bin_with_body(&writer->packer, at, sizeof(Digest));
        return;
    case FIELD_BYTES:
        write_bytes(writer, field, pointer_at(at), *(const size_t *)(const void *)count_at);
        return;
    case FIELD_ROOTS:
        write_roots(writer, field, pointer_at(at), *(const uint32_t *)(const void *)count_at);
        return;
    case FIELD_ROWS:
        write_rows(writer, field, pointer_at(at), *(const uint32_t *)(const void *)count_at);
        return;
    }
}

static void write_fields(Writer *writer, const Schema *schema, const char *item) {
    for (uint32_t i = 0; i < schema->field_count; i++) {
        write_field(writer, &schema->fields[i], item);
    }
    const char *reason = schema->check != NULL ? schema->check(item) : NULL;
    if (reason != NULL) {
        writer_fail(writer, STATUS_LIMIT, "its fields:", reason);
    }
}

void message_encode(const Message *message, Buffer *out) {
    const Schema *schema = schema_of_message(message->type);
    assert(schema != NULL);
    Writer writer;
    writer_init(&writer, schema, out);
    msgpack_pack_array(&writer.packer, schema->field_count + 1);
    msgpack_pack_uint32(&writer.packer, (uint32_t)message->type);
    write_fields(&writer, schema, (const char *)message);
    writer_end(&writer);
}

void codec_encode(const Schema *schema, const void *item, Buffer *out) {
    Writer writer;
    writer_init(&writer, schema, out);
    msgpack_pack_array(&writer.packer, schema->field_count);
    write_fields(&writer, schema, item);
    writer_end(&writer);
}

void codec_encode_list(const Schema *schema, const void *items, uint32_t count, Buffer *out) {
    const Field rows = {.name = "its rows", .most = PROTO_TASK_CLIPS, .row = schema};
    Writer writer;
    writer_init(&writer, schema, out);
    write_rows(&writer, &rows, items, count);
    writer_end(&writer);
}
