// SPDX-License-Identifier: Apache-2.0
#include "common/base/config.h"

#include <string.h>
#include <strings.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/yaml_tree.h"

enum { MOST_KEYS = 256, MOST_VALUE_BYTES = 256 };

typedef struct Reader {
    const char *name;  // the file, for messages
    Settings settings; // what has been read so far
    const SettingRow *seen[MOST_KEYS];
    int seen_count;
    char window[MOST_VALUE_BYTES]; // win_length's value, "" when not given
} Reader;

// A key as the settings know it.
typedef struct Key {
    char text[64];
    int line;
    bool is_passed_over; // one of PASSED_OVER
    bool is_shuffle;     // the baseline's shuffle
} Key;

// The official baseline.yaml's keys about folders, devices and printing: no part of a result.
static const char *const PASSED_OVER[] = {"dataset_directory", "result_directory",
                                          "export_dir",        "use_cuda",
                                          "log_interval",      "model",
                                          "is_auto_download",  NULL};

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
static Status read_key(Reader *reader, const YamlNode *entry, Key *ret_key) {
    const char *text = entry->key + strspn(entry->key, "-");
    bool official = entry->key[0] == '-';
    Key key = {.line = entry->key_line};
    if (text[0] == '\0' || strlen(text) >= sizeof key.text) {
        return status_set(STATUS_FORMAT, "%s line %d: '%s' is no key", reader->name, key.line,
                          text);
    }
    strcpy(key.text, official && strcmp(text, "lr") == 0 ? "learning_rate" : text);
    for (int i = 0; official && PASSED_OVER[i] != NULL; i++) {
        key.is_passed_over |= strcmp(text, PASSED_OVER[i]) == 0;
    }
    key.is_shuffle = official && strcmp(text, "shuffle") == 0;
    *ret_key = key;
    return note_key(reader, key.text, key.line);
}

static Status take_value(Reader *reader, const Key *key, const char *value) {
    if (key->is_passed_over) {
        return STATUS_OK;
    }
    if (key->is_shuffle) {
        return strcasecmp(value, "true") == 0
                   ? STATUS_OK
                   : status_set(STATUS_INVALID, "shuffle is '%s': accepted is True", value);
    }
    if (strcmp(key->text, "win_length") == 0) {
        strcpy(reader->window, value[0] != '\0' ? value : "null");
    }
    return settings_set(&reader->settings, key->text, value);
}

static bool takes_list(const char *key) {
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        if (strcmp(row->key, key) == 0) {
            return row->type == SETTING_SEEDS;
        }
    }
    return false;
}

static Status check_scalar(const Reader *reader, const Key *key, const YamlNode *node) {
    if (node->kind != YAML_IS_SCALAR) {
        return status_set(STATUS_FORMAT,
                          "%s line %d: %s has a list or mapping where one value is expected",
                          reader->name, node->line, key->text);
    }
    return strlen(node->text) < MOST_VALUE_BYTES
               ? STATUS_OK
               : status_set(STATUS_FORMAT, "%s line %d: a value too long", reader->name,
                            node->line);
}

// A value as settings_set takes it: a list's items stand in brackets.
static Status write_value(const Reader *reader, const Key *key, const YamlNode *node, Buffer *out) {
    if (node->kind != YAML_IS_LIST || !takes_list(key->text)) {
        Status status = check_scalar(reader, key, node);
        buffer_text(out, status == STATUS_OK ? node->text : "");
        return status != STATUS_OK ? status : out->status;
    }
    Status status = STATUS_OK;
    buffer_text(out, "[");
    for (const YamlNode *item = node->first; item != NULL && status == STATUS_OK;
         item = item->next) {
        status = check_scalar(reader, key, item);
        if (status == STATUS_OK) {
            buffer_format(out, "%s%s", item == node->first ? "" : ", ", item->text);
        }
    }
    buffer_text(out, "]");
    return status != STATUS_OK ? status : out->status;
}

static Status take_entry(Reader *reader, const YamlNode *entry) {
    Key key;
    Status status = read_key(reader, entry, &key);
    if (status != STATUS_OK) {
        return status;
    }
    Buffer value = BUFFER_EMPTY;
    status = write_value(reader, &key, entry, &value);
    if (status == STATUS_OK) {
        status = take_value(reader, &key, buffer_cstr(&value));
        status = status == STATUS_OK
                     ? STATUS_OK
                     : status_prefix(status, "%s line %d", reader->name, entry->line);
    }
    buffer_done(&value);
    return status;
}

static Status take_tree(Reader *reader, const YamlNode *root) {
    if (root->kind != YAML_IS_MAPPING) {
        return status_set(STATUS_FORMAT, "%s line %d: expected 'key: value' lines", reader->name,
                          root->line);
    }
    Status status = STATUS_OK;
    for (const YamlNode *entry = root->first; entry != NULL && status == STATUS_OK;
         entry = entry->next) {
        status = take_entry(reader, entry);
    }
    if (status == STATUS_OK && reader->window[0] != '\0') {
        // Once more, since null means n_fft, which may stand below it.
        status = settings_set(&reader->settings, "win_length", reader->window);
    }
    return status;
}

Status config_read_text(const char *name, const char *text, size_t size, Settings *settings) {
    Reader reader = {.name = name, .settings = *settings};
    YamlNode *root = NULL;
    Status status = yaml_tree_read(name, text, size, &root, NULL);
    if (status != STATUS_OK) {
        return status;
    }
    status = take_tree(&reader, root);
    yaml_tree_free(root);
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
