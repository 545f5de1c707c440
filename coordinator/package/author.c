// SPDX-License-Identifier: Apache-2.0
#include "coordinator/package/author.h"

#include <string.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/text.h"

const char AUTHOR_TEMPLATE[] =
    "# What auscult package cannot know of a submission. Fill it in, then\n"
    "#   auscult package --run RUN --label LastName_Inst --author THIS_FILE\n"
    "name:            # in the tables of results, where there is room\n"
    "abbreviation:    # where there is little: 10 characters at most\n"
    "authors:         # in the order in which they are to be named; one is corresponding\n"
    "  - lastname:\n"
    "    firstname:\n"
    "    email:\n"
    "    corresponding: true\n"
    "    affiliation:\n"
    "      institution:\n"
    "      department: null\n"
    "      location: null\n"
    "\n"
    "# Only where they apply:\n"
    "#data_augmentation: null\n"
    "#attribute_usage: null\n"
    "#external_data_usage: null\n"
    "#development_data_usage: null\n"
    "#domain_adaptation_method: null\n"
    "#domain_generalization_method: null\n"
    "#source_code: https://...\n"
    "#external_datasets:\n"
    "#  - name:\n"
    "#    url:\n"
    "#    total_audio_length:   # minutes\n";

static const char *const KEYS[] = {"name",
                                   "abbreviation",
                                   "authors", // these are needed
                                   "data_augmentation",
                                   "attribute_usage",
                                   "external_data_usage",
                                   "development_data_usage",
                                   "domain_adaptation_method",
                                   "domain_generalization_method",
                                   "source_code",
                                   "external_datasets"};

enum { KEY_COUNT = sizeof KEYS / sizeof KEYS[0], KEYS_NEEDED = 3 };

static Status check_key(const char *path, const YamlNode *root, const YamlNode *entry) {
    const char *nearest = KEYS[0];
    int least = 64;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        int distance = text_distance(KEYS[i], entry->key);
        if (distance < least) {
            least = distance;
            nearest = KEYS[i];
        }
    }
    if (least > 0) {
        return status_set(STATUS_INVALID, "%s line %d: unknown key '%.80s', did you mean '%s'?",
                          path, entry->key_line, entry->key, nearest);
    }
    return yaml_node_find(root, entry->key) == entry
               ? STATUS_OK
               : status_set(STATUS_INVALID, "%s line %d: '%s' stands twice", path, entry->key_line,
                            entry->key);
}

static Status check_root(const char *path, const YamlNode *root) {
    if (root->kind != YAML_IS_MAPPING) {
        return status_set(STATUS_FORMAT, "%s line %d: expected 'key: value' lines", path,
                          root->line);
    }
    Status status = STATUS_OK;
    for (const YamlNode *entry = root->first; entry != NULL && status == STATUS_OK;
         entry = entry->next) {
        status = check_key(path, root, entry);
    }
    for (size_t i = 0; i < KEYS_NEEDED && status == STATUS_OK; i++) {
        const YamlNode *entry = yaml_node_find(root, KEYS[i]);
        if (entry == NULL || yaml_node_is_null(entry)) {
            status = status_set(STATUS_INVALID, "%s line %d: '%s' is missing or empty", path,
                                entry != NULL ? entry->key_line : 1, KEYS[i]);
        }
    }
    return status;
}

Status author_read(const char *path, YamlNode **ret_root) {
    Buffer text = BUFFER_EMPTY;
    YamlNode *root = NULL;
    Status status = file_read(path, LIMIT_CONFIG_BYTES, &text);
    if (status == STATUS_OK) {
        status = yaml_tree_read(path, buffer_cstr(&text), text.size, &root, NULL);
    }
    buffer_done(&text);
    if (status == STATUS_OK) {
        status = check_root(path, root);
    }
    if (status != STATUS_OK) {
        yaml_tree_free(root);
        return status;
    }
    *ret_root = root;
    return STATUS_OK;
}

static void write_indent(int indent, Buffer *out) {
    buffer_format(out, "%*s", indent, "");
}

void author_write_key(const char *key, Buffer *out) {
    static const char PLAIN[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    bool is_word = key[0] != '\0' && strspn(key, PLAIN) == strlen(key);
    double number;
    if (is_word && text_to_double(key, &number) != STATUS_OK) {
        buffer_text(out, key);
    } else {
        buffer_json(out, key);
    }
}

// Numbers, truth values and null stay what they are; other text goes into quotes, which every
// reader understands alike.
static void write_scalar(const YamlNode *node, Buffer *out) {
    double number;
    bool is_word = strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0;
    if (yaml_node_is_null(node)) {
        buffer_text(out, "null");
    } else if (node->is_plain && (is_word || text_to_double(node->text, &number) == STATUS_OK)) {
        buffer_text(out, node->text);
    } else {
        buffer_json(out, node->text);
    }
}

// The value, after "key:" or "-".
static void write_value(const YamlNode *node, int indent, Buffer *out) {
    if (node->kind == YAML_IS_SCALAR) {
        buffer_text(out, " ");
        write_scalar(node, out);
        buffer_text(out, "\n");
        return;
    }
    if (node->count == 0) {
        buffer_text(out, node->kind == YAML_IS_LIST ? " []\n" : " {}\n");
        return;
    }
    buffer_text(out, "\n");
    for (const YamlNode *entry = node->first; entry != NULL; entry = entry->next) {
        write_indent(indent + 2, out);
        if (entry->key != NULL) {
            author_write_key(entry->key, out);
        }
        buffer_text(out, entry->key != NULL ? ":" : "-");
        write_value(entry, indent + 2, out); // LIMIT_DEPTH at most
    }
}

void author_write(const YamlNode *root, const char *key, int indent, const char *otherwise,
                  Buffer *out) {
    const YamlNode *node = yaml_node_find(root, key);
    write_indent(indent, out);
    buffer_format(out, "%s:", key);
    if (node == NULL) {
        buffer_format(out, " %s\n", otherwise);
    } else {
        write_value(node, indent, out);
    }
}
