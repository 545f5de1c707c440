// SPDX-License-Identifier: Apache-2.0
//
// A YAML file as a tree in which everything knows its line: for configuration, author files and
// other people's meta.yaml, whose readers judge keys and types themselves and say where. Read
// through libyaml. Aliases and a second document are refused, since no file of ours has them
// and aliases are how a small file becomes a large tree. A tree never changes; any thread.
#ifndef AUSCULT_BASE_YAML_TREE_H
#define AUSCULT_BASE_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

typedef enum YamlKind { YAML_IS_SCALAR, YAML_IS_LIST, YAML_IS_MAPPING } YamlKind;

typedef struct YamlNode {
    YamlKind kind;
    bool is_plain;          // a scalar without quotes: it may be meant as number, boolean or null
    int line;               // where it begins, from 1; a block's is its first entry's
    int key_line;           // where `key` stands
    char *key;              // of a mapping's entry, else NULL
    char *text;             // of a scalar, without NUL inside, else NULL
    struct YamlNode *first; // of a list or mapping, in the file's order; repeated keys stay
    struct YamlNode *next;  // in the list or mapping that holds it
    uint32_t count;         // entries
} YamlNode;

// `name` stands for the file in messages, which are "NAME line N: ...". An empty file gives an
// empty mapping. STATUS_FORMAT when it is not YAML, is not UTF-8, has what is refused, or nests
// deeper than LIMIT_DEPTH; then *ret_line, which may be NULL, is the line (as it is 0 else).
Status yaml_tree_read(const char *name, const char *bytes, size_t size, YamlNode **ret_root,
                      int *ret_line);
void yaml_tree_free(YamlNode *root);

// The mapping's first entry with that key, NULL when there is none or `mapping` is none.
const YamlNode *yaml_node_find(const YamlNode *mapping, const char *key);
// Whether the node is no value: nothing, "~" or "null", not in quotes.
bool yaml_node_is_null(const YamlNode *node);

#endif
