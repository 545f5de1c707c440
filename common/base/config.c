// SPDX-License-Identifier: Apache-2.0
#include "common/base/config.h"

#include <string.h>
#include <strings.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/yaml_tree.h"

enum { MOST_KEYS = 256, KEY_BYTES = 64, MOST_VALUE_BYTES = 256 };

typedef struct SeenKey {
    char key[KEY_BYTES];
    int line;
} SeenKey;

typedef struct SeenKeys {
    SeenKey keys[MOST_KEYS]; // (count)
    int count;
} SeenKeys;

// The official program's keys (its baseline.yaml and its options) that are no part of a result.
typedef struct Foreign {
    const char *keys[7]; // NULL-terminated
    const char *why;
} Foreign;
static const Foreign FOREIGN[] = {
    {{"dataset_directory"}, "data are given by --data"},
    {{"result_directory", "export_dir", "model_name_suffix", "tag"}, "results go to --out"},
    {{"dataset", "dev", "d", "eval", "e", "use_ids"}, "all machines below --data are taken"},
    {{"use_cuda", "gpu_id"}, "training runs on processors"},
    {{"log_interval"}, "progress is shown once a second"},
    {{"is_auto_download"}, "nothing is downloaded"},
    {{"mono"}, "the setting `channel` says which channel is read"},
    {{"restart", "checkpoint_path", "train_only", "test_only"},
     "a run goes on by itself; `auscult train` and `auscult score` do single stages"},
    {{NULL}, NULL},
};
enum { FOREIGN_COUNT = sizeof FOREIGN / sizeof FOREIGN[0] };

// Those of its keys for which there is one value here.
static const struct OneValue {
    const char *key, *value;
} ONE_VALUE[] = {{"shuffle", "True"}, {"model", "DCASE2023T2-AE"}};

typedef struct Reader {
    const char *name;  // the file, for messages
    Settings settings; // what has been read so far
    SeenKeys seen;
    char window[MOST_VALUE_BYTES];   // win_length's value, "" when not given
    bool passed_over[FOREIGN_COUNT]; // which were there
} Reader;

// A key as the settings know it.
typedef struct Key {
    char text[KEY_BYTES];
    const Foreign *foreign; // NULL for all others
    const char *only;       // the one value of ONE_VALUE, NULL for all others
} Key;

// ---- keys ----

static Status note_key(const Reader *reader, SeenKeys *seen, const char *key, int line) {
    for (int i = 0; i < seen->count; i++) {
        if (strcmp(seen->keys[i].key, key) == 0) {
            return status_set(STATUS_INVALID, "%s line %d: '%s' stands twice, first in line %d",
                              reader->name, line, key, seen->keys[i].line);
        }
    }
    if (seen->count == MOST_KEYS) {
        return status_set(STATUS_FORMAT, "%s line %d: more than %d keys", reader->name, line,
                          MOST_KEYS);
    }
    SeenKey *added = &seen->keys[seen->count++];
    strcpy(added->key, key);
    added->line = line;
    return STATUS_OK;
}

static Status check_key(const Reader *reader, const char *key, int line) {
    return key[0] != '\0' && strlen(key) < KEY_BYTES
               ? STATUS_OK
               : status_set(STATUS_FORMAT, "%s line %d: '%s' is no key", reader->name, line, key);
}

static const Foreign *find_foreign(const char *key) {
    for (const Foreign *foreign = FOREIGN; foreign->why != NULL; foreign++) {
        for (const char *const *known = foreign->keys; *known != NULL; known++) {
            if (strcmp(*known, key) == 0) {
                return foreign;
            }
        }
    }
    return NULL;
}

static const char *only_value(const char *key) {
    for (size_t i = 0; i < sizeof ONE_VALUE / sizeof ONE_VALUE[0]; i++) {
        if (strcmp(ONE_VALUE[i].key, key) == 0) {
            return ONE_VALUE[i].value;
        }
    }
    return NULL;
}

// Takes the dashes off the official baseline's keys, which are options of its program.
static Status read_key(Reader *reader, const YamlNode *entry, Key *ret_key) {
    const char *text = entry->key + strspn(entry->key, "-");
    bool official = entry->key[0] == '-';
    Status status = check_key(reader, text, entry->key_line);
    if (status != STATUS_OK) {
        return status;
    }
    Key key = {.foreign = official ? find_foreign(text) : NULL,
               .only = official ? only_value(text) : NULL};
    strcpy(key.text, official && strcmp(text, "lr") == 0 ? "learning_rate" : text);
    *ret_key = key;
    return note_key(reader, &reader->seen, key.text, entry->key_line);
}

// ---- values ----

static SettingType type_of(const char *key) {
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        if (strcmp(row->key, key) == 0) {
            return row->type;
        }
    }
    return SETTING_NAME; // which has neither list nor mapping
}

static Status misplaced(const Reader *reader, const char *key, const YamlNode *node,
                        bool may_vary) {
    const SettingRow *row = NULL;
    bool is_known = settings_row(key, &row) == STATUS_OK;
    return status_set(STATUS_FORMAT,
                      "%s line %d: %s has a list or mapping where one value is expected%s",
                      reader->name, node->line, key,
                      is_known && may_vary && node->kind == YAML_IS_LIST
                          ? " (what varies stands in `matrix: {key: [value, ...]}`)"
                          : "");
}

static Status check_scalar(const Reader *reader, const char *key, const YamlNode *node,
                           bool may_vary) {
    if (node->kind != YAML_IS_SCALAR) {
        return misplaced(reader, key, node, may_vary);
    }
    return strlen(node->text) < MOST_VALUE_BYTES
               ? STATUS_OK
               : status_set(STATUS_FORMAT, "%s line %d: a value too long", reader->name,
                            node->line);
}

// A list's items in brackets, as settings_set takes them.
static Status write_list(const Reader *reader, const char *key, const YamlNode *list, Buffer *out) {
    Status status = STATUS_OK;
    buffer_text(out, "[");
    for (const YamlNode *item = list->first; item != NULL && status == STATUS_OK;
         item = item->next) {
        status = check_scalar(reader, key, item, false);
        // Signs that would make one item two.
        if (status == STATUS_OK && strpbrk(item->text, ",[]{}") != NULL) {
            status = status_set(STATUS_INVALID, "%s line %d: '%s' is no item of a list",
                                reader->name, item->line, item->text);
        }
        buffer_format(out, "%s%s", item == list->first ? "" : ", ",
                      status == STATUS_OK ? item->text : "");
    }
    buffer_text(out, "]");
    return status != STATUS_OK ? status : out->status;
}

// A value of the key, which may be a list if `takes_list`.
static Status write_value(const Reader *reader, const char *key, const YamlNode *node,
                          bool takes_list, Buffer *out) {
    if (node->kind == YAML_IS_LIST && takes_list) {
        return write_list(reader, key, node, out);
    }
    Status status = check_scalar(reader, key, node, !takes_list);
    buffer_text(out, status == STATUS_OK ? node->text : "");
    return status != STATUS_OK ? status : out->status;
}

static Status at_line(const Reader *reader, Status status, int line) {
    return status == STATUS_OK ? STATUS_OK
                               : status_prefix(status, "%s line %d", reader->name, line);
}

static Status take_value(Reader *reader, const Key *key, const char *value) {
    if (key->foreign != NULL) {
        reader->passed_over[key->foreign - FOREIGN] = true;
        return STATUS_OK;
    }
    if (key->only != NULL) {
        return strcasecmp(value, key->only) == 0
                   ? STATUS_OK
                   : status_set(STATUS_INVALID, "%s is '%s': accepted is %s", key->text, value,
                                key->only);
    }
    if (strcmp(key->text, "win_length") == 0) {
        strcpy(reader->window, value[0] != '\0' ? value : "null");
    }
    return settings_set(&reader->settings, key->text, value);
}

// ---- the matrix ----

static Status take_axis(Reader *reader, SeenKeys *axes, const YamlNode *axis) {
    Buffer values = BUFFER_EMPTY;
    Status status = check_key(reader, axis->key, axis->key_line);
    if (status == STATUS_OK) { // seed and seeds are one
        const char *key = strcmp(axis->key, "seed") == 0 ? "seeds" : axis->key;
        status = note_key(reader, axes, key, axis->key_line);
    }
    if (status == STATUS_OK) {
        status = write_value(reader, axis->key, axis, true, &values);
    }
    if (status == STATUS_OK) {
        status = at_line(reader, settings_vary(&reader->settings, axis->key, buffer_cstr(&values)),
                         axis->line);
    }
    buffer_done(&values);
    return status;
}

static Status take_matrix(Reader *reader, const YamlNode *matrix) {
    SeenKeys axes = {.count = 0};
    Status status = STATUS_OK;
    reader->settings.matrix = (Matrix){0};
    for (const YamlNode *axis = matrix->first; axis != NULL && status == STATUS_OK;
         axis = axis->next) {
        status = take_axis(reader, &axes, axis);
    }
    return status;
}

// ---- files ----

static Status take_entry(Reader *reader, const YamlNode *entry) {
    Key key;
    Status status = read_key(reader, entry, &key);
    if (status != STATUS_OK) {
        return status;
    }
    SettingType type = type_of(key.text);
    if (type == SETTING_MATRIX && entry->kind == YAML_IS_MAPPING) {
        return take_matrix(reader, entry);
    }
    bool takes_list = key.foreign != NULL || type == SETTING_SEEDS || type == SETTING_SCORES ||
                      type == SETTING_WIDTHS;
    Buffer value = BUFFER_EMPTY;
    status = write_value(reader, key.text, entry, takes_list, &value);
    if (status == STATUS_OK) {
        status = at_line(reader, take_value(reader, &key, buffer_cstr(&value)), entry->line);
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

static Status read_text(Reader *reader, const char *text, size_t size) {
    YamlNode *root = NULL;
    Status status = yaml_tree_read(reader->name, text, size, &root, NULL);
    if (status == STATUS_OK) {
        status = take_tree(reader, root);
    }
    yaml_tree_free(root);
    return status;
}

// "use_cuda, gpu_id (training runs on processors); ...", those that were there
static void write_notes(const Reader *reader, Buffer *out) {
    const char *joint = "";
    for (const Foreign *foreign = FOREIGN; foreign->why != NULL; foreign++) {
        if (!reader->passed_over[foreign - FOREIGN]) {
            continue;
        }
        const char *comma = joint;
        for (int i = 0; i < reader->seen.count; i++) {
            if (find_foreign(reader->seen.keys[i].key) == foreign) {
                buffer_format(out, "%s%s", comma, reader->seen.keys[i].key);
                comma = ", ";
            }
        }
        buffer_format(out, " (%s)", foreign->why);
        joint = "; ";
    }
}

Status config_read_text(const char *name, const char *text, size_t size, Settings *settings) {
    Reader reader = {.name = name, .settings = *settings};
    Status status = read_text(&reader, text, size);
    if (status == STATUS_OK) {
        *settings = reader.settings;
    }
    return status;
}

Status config_read_file(const char *path, Settings *settings, Buffer *notes) {
    Buffer text = BUFFER_EMPTY;
    Reader reader = {.name = path, .settings = *settings};
    Status status = file_read(path, LIMIT_CONFIG_BYTES, &text);
    if (status == STATUS_OK) {
        status = read_text(&reader, buffer_cstr(&text), text.size);
    }
    buffer_done(&text);
    if (status == STATUS_OK) {
        write_notes(&reader, notes);
        status = notes->status;
    }
    if (status == STATUS_OK) {
        *settings = reader.settings;
    }
    return status;
}
