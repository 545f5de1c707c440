// SPDX-License-Identifier: Apache-2.0
#include "common/base/yaml_tree.h"

#include <string.h>
#include <yaml.h>

#include "common/base/limits.h"
#include "common/base/mem.h"

// The reader walks libyaml's events. open[depth] is the list or mapping that is being filled; a
// mapping's scalars come as key, value, key, value.
typedef struct Reader {
    const char *name;            // the file, for messages
    YamlNode *root;              // NULL until its event came
    YamlNode *open[LIMIT_DEPTH]; // (depth) from the root down
    YamlNode *last[LIMIT_DEPTH]; // (depth) the last entry of each, NULL while empty
    int depth;                   // how many are open
    char *key;                   // that waits for its value, or NULL
    int key_line;                // where it stands
    int line;                    // of the event that is being taken
    int documents;               // begun so far
} Reader;

static Status refuse(const Reader *reader, const char *what) {
    return status_set(STATUS_FORMAT, "%s line %d: %s", reader->name, reader->line, what);
}

static void node_free(YamlNode *node) {
    mem_free(node->key);
    mem_free(node->text);
    mem_free(node);
}

// No deeper than LIMIT_DEPTH.
void yaml_tree_free(YamlNode *root) {
    if (root == NULL) {
        return;
    }
    for (YamlNode *entry = root->first, *next; entry != NULL; entry = next) {
        next = entry->next;
        yaml_tree_free(entry);
    }
    node_free(root);
}

// Hangs the node into what is open; the waiting key becomes its own.
static void hang(Reader *reader, YamlNode *node) {
    node->line = reader->line;
    if (reader->depth == 0) {
        reader->root = node;
        return;
    }
    YamlNode *parent = reader->open[reader->depth - 1], **last = &reader->last[reader->depth - 1];
    node->key = reader->key;
    node->key_line = reader->key_line;
    reader->key = NULL;
    *(*last == NULL ? &parent->first : &(*last)->next) = node;
    *last = node;
    parent->count++;
}

static bool wants_key(const Reader *reader) {
    return reader->depth > 0 && reader->open[reader->depth - 1]->kind == YAML_IS_MAPPING &&
           reader->key == NULL;
}

static Status take_scalar(Reader *reader, const yaml_event_t *event) {
    const char *value = (const char *)event->data.scalar.value;
    if (strlen(value) != event->data.scalar.length) {
        return refuse(reader, "a value with a zero byte");
    }
    char *copy = mem_copy_text(value);
    if (copy == NULL) {
        return STATUS_MEMORY;
    }
    if (wants_key(reader)) {
        reader->key = copy;
        reader->key_line = reader->line;
        return STATUS_OK;
    }
    YamlNode *node = mem_new(1, sizeof *node);
    if (node == NULL) {
        mem_free(copy);
        return STATUS_MEMORY;
    }
    node->kind = YAML_IS_SCALAR;
    node->text = copy;
    node->is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    hang(reader, node);
    return STATUS_OK;
}

static Status begin(Reader *reader, YamlKind kind) {
    if (wants_key(reader)) {
        return refuse(reader, "a list or mapping where a key is expected");
    }
    if (reader->depth == LIMIT_DEPTH) {
        return refuse(reader, "nested too deep");
    }
    YamlNode *node = mem_new(1, sizeof *node);
    if (node == NULL) {
        return STATUS_MEMORY;
    }
    node->kind = kind;
    hang(reader, node);
    reader->open[reader->depth] = node;
    reader->last[reader->depth++] = NULL;
    return STATUS_OK;
}

static Status take_event(Reader *reader, const yaml_event_t *event) {
    reader->line = (int)event->start_mark.line + 1;
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return reader->documents++ == 0 ? STATUS_OK : refuse(reader, "a second document");
    case YAML_SCALAR_EVENT:
        return take_scalar(reader, event);
    case YAML_SEQUENCE_START_EVENT:
        return begin(reader, YAML_IS_LIST);
    case YAML_MAPPING_START_EVENT:
        return begin(reader, YAML_IS_MAPPING);
    case YAML_ALIAS_EVENT:
        return refuse(reader, "an alias, which is not taken here");
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        reader->depth--;
        return STATUS_OK;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return STATUS_OK;
    }
    return STATUS_OK;
}

// libyaml's words for a tab are about tokens; people look for a tab.
static bool is_tab(const yaml_parser_t *parser) {
    return parser->error == YAML_SCANNER_ERROR && parser->problem != NULL &&
           strstr(parser->problem, "cannot start any token") != NULL &&
           parser->buffer.pointer < parser->buffer.last && *parser->buffer.pointer == '\t';
}

// How many lines there are before a byte of the text.
static int lines_before(const char *bytes, size_t offset) {
    int lines = 0;
    for (size_t i = 0; i < offset; i++) {
        lines += bytes[i] == '\n';
    }
    return lines;
}

static Status parse_failure(Reader *reader, const yaml_parser_t *parser, const char *bytes,
                            size_t size) {
    if (parser->error == YAML_MEMORY_ERROR) {
        return status_set(STATUS_MEMORY, "out of memory while reading %s", reader->name);
    }
    // What is no text has an offset and no mark.
    bool has_mark = parser->error != YAML_READER_ERROR;
    size_t offset = parser->problem_offset < size ? parser->problem_offset : size;
    reader->line = 1 + (has_mark ? (int)parser->problem_mark.line : lines_before(bytes, offset));
    if (is_tab(parser)) {
        return refuse(reader, "a tab where only spaces are taken");
    }
    return refuse(reader, parser->problem != NULL ? parser->problem : "not YAML");
}

static Status read_events(Reader *reader, yaml_parser_t *parser, const char *bytes, size_t size) {
    for (bool ended = false; !ended;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) {
            return parse_failure(reader, parser, bytes, size);
        }
        ended = event.type == YAML_STREAM_END_EVENT;
        Status status = take_event(reader, &event);
        yaml_event_delete(&event);
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (reader->root == NULL) {
        reader->line = 1;
        return begin(reader, YAML_IS_MAPPING);
    }
    return STATUS_OK;
}

Status yaml_tree_read(const char *name, const char *bytes, size_t size, YamlNode **ret_root,
                      int *ret_line) {
    Reader reader = {.name = name};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        return status_set(STATUS_MEMORY, "out of memory while reading %s", name);
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, size);
    Status status = read_events(&reader, &parser, bytes, size);
    yaml_parser_delete(&parser);
    mem_free(reader.key);
    if (ret_line != NULL) {
        *ret_line = status == STATUS_FORMAT ? reader.line : 0;
    }
    if (status != STATUS_OK) {
        yaml_tree_free(reader.root);
        return status;
    }
    *ret_root = reader.root;
    return STATUS_OK;
}

const YamlNode *yaml_node_find(const YamlNode *mapping, const char *key) {
    if (mapping == NULL || mapping->kind != YAML_IS_MAPPING) {
        return NULL;
    }
    const YamlNode *entry = mapping->first;
    while (entry != NULL && strcmp(entry->key, key) != 0) {
        entry = entry->next;
    }
    return entry;
}

bool yaml_node_is_null(const YamlNode *node) {
    static const char *const NULLS[] = {"", "~", "null", "Null", "NULL"};
    bool found = false;
    for (size_t i = 0; i < sizeof NULLS / sizeof NULLS[0]; i++) {
        found |= node->kind == YAML_IS_SCALAR && strcmp(node->text, NULLS[i]) == 0;
    }
    return found && node->is_plain;
}
