// SPDX-License-Identifier: Apache-2.0
//
// Structs as JSON, by a table for each that says which member stands under which key; writing and
// reading both go by it. Read through the YAML reader, of which JSON as it is written here is a
// part. Any thread.
#ifndef AUSCULT_COORDINATOR_LIVE_FIELDS_H
#define AUSCULT_COORDINATOR_LIVE_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/yaml_tree.h"

typedef enum FieldKind {
    FIELD_COUNT,  // uint64_t, at most INT64_MAX
    FIELD_NUMBER, // double; null for what is not finite
    FIELD_TEXT,   // char array of `size` bytes, read by snapshot_text
} FieldKind;

typedef struct Field {
    const char *key; // the member's name
    FieldKind kind;
    size_t offset, size;
} Field;

#define FIELD_COUNT_OF(type, member)                                                               \
    { #member, FIELD_COUNT, offsetof(type, member), sizeof(uint64_t) }
#define FIELD_NUMBER_OF(type, member)                                                              \
    { #member, FIELD_NUMBER, offsetof(type, member), sizeof(double) }
#define FIELD_TEXT_OF(type, member)                                                                \
    { #member, FIELD_TEXT, offsetof(type, member), sizeof((type *)0)->member }
#define FIELDS_OF(table) (table), sizeof(table) / sizeof((table)[0])

// Lines of an object: `  "key": value,`, each with a comma behind it.
void fields_write(const Field *fields, size_t count, const void *from, Buffer *out);
// `  "key": [{...}, ...]`, a line for each of the rows, which are structs of `row_bytes`.
void fields_write_list(const char *key, const Field *fields, size_t field_count, const void *rows,
                       size_t row_bytes, uint64_t row_count, Buffer *out);

// False when an entry is absent or of another kind.
bool fields_read(const Field *fields, size_t count, const YamlNode *mapping, void *to);
// The same where an entry may be absent: its member stays as it was.
bool fields_read_present(const Field *fields, size_t count, const YamlNode *mapping, void *to);
// Into as many rows as the list has entries.
bool fields_read_list(const YamlNode *list, const Field *fields, size_t field_count, void *rows,
                      size_t row_bytes);

#endif
