// SPDX-License-Identifier: Apache-2.0
#include "common/base/config.h"

#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "common/base/file.h"
#include "common/base/limits.h"

enum { MOST_KEYS = 256 };

// The reader walks libyaml's events: a mapping's scalars come as key, value, key, value.
typedef struct Reader {
    const char *name;  // the file, for messages
    Settings settings; // what has been read so far
    char key[64];      // the key that waits for its value, "" when none does
    int depth;         // 0 outside, 1 inside the one mapping
    const SettingRow *seen[MOST_KEYS];
    int seen_count;
    bool passing_over; // the waiting key is one of PASSED_OVER
    bool shuffling;    // the waiting key is the baseline's shuffle
    bool in_list;      // inside a list
    int list_line;     // where it begins
    Buffer list;       // its items so far, as settings_set takes them
    char window[256];  // win_length's value, "" when not given
} Reader;

// The official baseline.yaml's keys about folders, devices and printing: no part of a result.
static const char *const PASSED_OVER[] = {"dataset_directory", "result_directory",
                                          "export_dir",        "use_cuda",
                                          "log_interval",      "model",
                                          "is_auto_download",  NULL};

static int line_of(const yaml_event_t *event) {
    return (int)event->start_mark.line + 1;
}

static Status note_key(Reader *reader, const char *key, int line) {
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        if (strcmp(row->key, key) != 0) {
            continue;
        }
        for (int i = 0; i < reader->seen_count; i++) {
            if (reader->seen[i] == row) {
                return status_set(STATUS_INVALID, "%s line %d: '%s' stands twice", reader->name,
                                  line, key);
            }
        }
        reader->seen[reader->seen_count++ % MOST_KEYS] = row;
    }
    return STATUS_OK;
}

// Takes the dashes off the official baseline's keys, which are options of its program.
static Status take_key(Reader *reader, const char *key, int line) {
    bool official = key[0] == '-';
    key += strspn(key, "-");
    if (key[0] == '\0' || strlen(key) >= sizeof reader->key) {
        return status_set(STATUS_FORMAT, "%s line %d: '%s' is no key", reader->name, line, key);
    }
    if (official && strcmp(key, "lr") == 0) {
        key = "learning_rate";
    }
    strcpy(reader->key, key);
    for (int i = 0; official && PASSED_OVER[i] != NULL; i++) {
        reader->passing_over |= strcmp(key, PASSED_OVER[i]) == 0;
    }
    reader->shuffling = official && strcmp(key, "shuffle") == 0;
    return note_key(reader, key, line);
}

static Status take_value(Reader *reader, const char *value) {
    if (reader->passing_over) {
        return STATUS_OK;
    }
    if (reader->shuffling) {
        return strcasecmp(value, "true") == 0
                   ? STATUS_OK
                   : status_set(STATUS_INVALID, "shuffle is '%s': accepted is True", value);
    }
    if (strcmp(reader->key, "win_length") == 0) {
        strcpy(reader->window, value[0] != '\0' ? value : "null");
    }
    return settings_set(&reader->settings, reader->key, value);
}

// The waiting key has got its value.
static Status end_value(Reader *reader, const char *value, int line) {
    Status status = take_value(reader, value);
    reader->key[0] = '\0';
    reader->passing_over = false;
    return status == STATUS_OK ? STATUS_OK
                               : status_prefix(status, "%s line %d", reader->name, line);
}

static Status take_scalar(Reader *reader, const yaml_event_t *event) {
    const char *value = (const char *)event->data.scalar.value;
    int line = line_of(event);
    if (reader->depth == 0) {
        return status_set(STATUS_FORMAT, "%s line %d: expected 'key: value' lines", reader->name,
                          line);
    }
    if (strlen(value) != event->data.scalar.length || strlen(value) >= 256) {
        return status_set(STATUS_FORMAT, "%s line %d: a value too long or with a zero byte",
                          reader->name, line);
    }
    if (reader->key[0] == '\0') {
        return take_key(reader, value, line);
    }
    if (reader->in_list) {
        buffer_format(&reader->list, "%s%s", reader->list.size > 1 ? ", " : "", value);
        return reader->list.status;
    }
    return end_value(reader, value, line);
}

static bool takes_list(const Reader *reader) {
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        if (strcmp(row->key, reader->key) == 0) {
            return row->type == SETTING_SEEDS;
        }
    }
    return false;
}

static Status begin_list(Reader *reader, const yaml_event_t *event) {
    reader->in_list = true;
    reader->list_line = line_of(event);
    buffer_clear(&reader->list);
    buffer_text(&reader->list, "[");
    return reader->list.status;
}

static Status end_list(Reader *reader) {
    reader->in_list = false;
    buffer_text(&reader->list, "]");
    return reader->list.status == STATUS_OK
               ? end_value(reader, buffer_cstr(&reader->list), reader->list_line)
               : reader->list.status;
}

static Status take_event(Reader *reader, const yaml_event_t *event) {
    if (event->type == YAML_SCALAR_EVENT) {
        return take_scalar(reader, event);
    }
    bool begins = event->type == YAML_SEQUENCE_START_EVENT;
    if (begins && reader->depth > 0 && !reader->in_list && takes_list(reader)) {
        return begin_list(reader, event);
    }
    if (reader->in_list && event->type == YAML_SEQUENCE_END_EVENT) {
        return end_list(reader);
    }
    bool nested = reader->depth > 0 && event->type != YAML_MAPPING_END_EVENT;
    bool other = begins || event->type == YAML_ALIAS_EVENT;
    if (nested || other) {
        return status_set(STATUS_FORMAT,
                          "%s line %d: %s%s a list, mapping or alias where one value "
                          "is expected",
                          reader->name, line_of(event), reader->key,
                          reader->key[0] != '\0' ? " has" : "");
    }
    if (event->type == YAML_MAPPING_START_EVENT) {
        reader->depth = 1;
    } else if (event->type == YAML_MAPPING_END_EVENT) {
        reader->depth = 0;
    }
    return STATUS_OK;
}

Status config_read_text(const char *name, const char *text, size_t size, Settings *settings) {
    Reader reader = {.name = name, .settings = *settings};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        return status_set(STATUS_MEMORY, "out of memory while reading %s", name);
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    Status status = STATUS_OK;
    bool ended = false;
    while (status == STATUS_OK && !ended) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            status =
                status_set(STATUS_FORMAT, "%s line %d: %s", name, (int)parser.problem_mark.line + 1,
                           parser.problem != NULL ? parser.problem : "not YAML");
            break;
        }
        ended = event.type == YAML_STREAM_END_EVENT;
        status = take_event(&reader, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    buffer_done(&reader.list);
    if (status == STATUS_OK && reader.window[0] != '\0') {
        // Once more, since null means n_fft, which may stand below it.
        status = settings_set(&reader.settings, "win_length", reader.window);
    }
    if (status == STATUS_OK) {
        *settings = reader.settings;
    }
    return status;
}

Status config_read_file(const char *path, Settings *settings) {
    Buffer text = BUFFER_EMPTY;
    Status status = file_read(path, LIMIT_CONFIG_BYTES, &text);
    if (status == STATUS_OK) {
        status = config_read_text(path, buffer_cstr(&text), text.size, settings);
    }
    buffer_done(&text);
    return status;
}
