// SPDX-License-Identifier: Apache-2.0
//
// The author file: what a run cannot know of its submission. A small YAML file whose parts go into
// meta.yaml as they stand. Any thread.
#ifndef AUSCULT_PACKAGE_AUTHOR_H
#define AUSCULT_PACKAGE_AUTHOR_H

#include "common/base/buffer.h"
#include "common/base/yaml_tree.h"

// A file to be filled in, with remarks.
extern const char AUTHOR_TEMPLATE[];

// Errors name file and line: STATUS_FORMAT (no YAML, no mapping), STATUS_INVALID for a key that is
// unknown, repeated or missing. Values are judged with the whole package. Free with yaml_tree_free.
Status author_read(const char *path, YamlNode **ret_root);

// Appends a line "KEY: ..." with the value that stands in the file, lists and mappings on lines of
// their own, `indent` blanks before each; with `otherwise` (YAML) where the file has none.
void author_write(const YamlNode *root, const char *key, int indent, const char *otherwise,
                  Buffer *out);
// Appends a key, in quotes where it is more than a word.
void author_write_key(const char *key, Buffer *out);

#endif
