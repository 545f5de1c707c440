// SPDX-License-Identifier: Apache-2.0
#include "coordinator/live/fields.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "common/base/text.h"
#include "coordinator/live/snapshot.h"

// ---- writing ----

static void write_field(const Field *field, const void *from, Buffer *out) {
    const char *at = (const char *)from + field->offset;
    buffer_format(out, "\"%s\": ", field->key);
    uint64_t count;
    double number;
    switch (field->kind) {
    case FIELD_COUNT:
        memcpy(&count, at, sizeof count);
        buffer_format(out, "%llu", (unsigned long long)count);
        break;
    case FIELD_NUMBER:
        memcpy(&number, at, sizeof number);
        if (isfinite(number)) {
            buffer_format(out, "%.6g", number);
        } else {
            buffer_text(out, "null");
        }
        break;
    case FIELD_TEXT:
        buffer_json(out, at);
        break;
    }
}

void fields_write(const Field *fields, size_t count, const void *from, Buffer *out) {
    for (size_t f = 0; f < count; f++) {
        buffer_text(out, "  ");
        write_field(&fields[f], from, out);
        buffer_text(out, ",\n");
    }
}

void fields_write_list(const char *key, const Field *fields, size_t field_count, const void *rows,
                       size_t row_bytes, uint64_t row_count, Buffer *out) {
    buffer_format(out, "  \"%s\": [", key);
    for (uint64_t r = 0; r < row_count; r++) {
        buffer_text(out, r > 0 ? ",\n    {" : "\n    {");
        for (size_t f = 0; f < field_count; f++) {
            buffer_text(out, f > 0 ? ", " : "");
            write_field(&fields[f], (const char *)rows + r * row_bytes, out);
        }
        buffer_text(out, "}");
    }
    buffer_text(out, row_count > 0 ? "\n  ]" : "]");
}

// ---- reading ----

static bool read_field(const Field *field, const YamlNode *mapping, void *to) {
    char *at = (char *)to + field->offset;
    const YamlNode *node = yaml_node_find(mapping, field->key);
    if (node == NULL || node->kind != YAML_IS_SCALAR) {
        return false;
    }
    int64_t count;
    double number = NAN;
    switch (field->kind) {
    case FIELD_COUNT:
        if (text_to_int(node->text, &count) != STATUS_OK || count < 0) {
            return false;
        }
        memcpy(at, &(uint64_t){(uint64_t)count}, sizeof(uint64_t));
        return true;
    case FIELD_NUMBER:
        if (!yaml_node_is_null(node) && text_to_double(node->text, &number) != STATUS_OK) {
            return false;
        }
        memcpy(at, &number, sizeof number);
        return true;
    case FIELD_TEXT:
        snapshot_text(at, field->size, node->text);
        return !node->is_plain;
    }
    return false;
}

bool fields_read(const Field *fields, size_t count, const YamlNode *mapping, void *to) {
    bool fine = mapping != NULL && mapping->kind == YAML_IS_MAPPING;
    for (size_t f = 0; f < count && fine; f++) {
        fine = read_field(&fields[f], mapping, to);
    }
    return fine;
}

bool fields_read_present(const Field *fields, size_t count, const YamlNode *mapping, void *to) {
    bool fine = mapping != NULL && mapping->kind == YAML_IS_MAPPING;
    for (size_t f = 0; f < count && fine; f++) {
        fine =
            yaml_node_find(mapping, fields[f].key) == NULL || read_field(&fields[f], mapping, to);
    }
    return fine;
}

bool fields_read_list(const YamlNode *list, const Field *fields, size_t field_count, void *rows,
                      size_t row_bytes) {
    char *row = rows;
    for (const YamlNode *node = list->first; node != NULL; node = node->next, row += row_bytes) {
        if (!fields_read(fields, field_count, node, row)) {
            return false;
        }
    }
    return true;
}
