// SPDX-License-Identifier: Apache-2.0
//
// The grammar, with words parted by '_' and the extension taken off first:
//     2020   [normal|anomaly] id DIGITS DIGITS
//     2021-  section DIGITS [source|target] [train|test] [normal|anomaly] [DIGITS] [attributes]
//     2025-  section DIGITS machine|noise [DIGITS] [attributes]             (supplemental)
// A section name must have a number or at least one of the words between, or else it is no name of
// the challenge. Published lists leave out one word or another, so each is optional.
#include "common/eval/clipname.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/text.h"

static const char *const extensions[] = {".wav", ".flac", ".npy"};
static const char *const domains[] = {"", "source", "target"};
static const char *const labels[] = {"", "normal", "anomaly"};
static const char *const splits[] = {"", "train", "test", "supplemental"};
static const char *const keywords[] = {"", "id", "section"};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static int index_of(const char *word, const char *const *words, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(word, words[i]) == 0) {
            return (int)i;
        }
    }
    return -1;
}

// Bytes of the known extension at the end of the name, 0 when there is none: attribute values have
// dots too ("ac_0.08").
static size_t extension_size(const char *name) {
    for (size_t i = 0; i < COUNT(extensions); i++) {
        if (text_ends_nocase(name, extensions[i])) {
            return strlen(extensions[i]);
        }
    }
    return 0;
}

bool clipname_is_clip(const char *path) {
    const char *name = file_name(path);
    size_t extension = extension_size(name);
    return extension > 0 && strlen(name) > extension;
}

// Moves past `word` and the '_' after it when the text goes on with them.
static bool take_word(const char **at, const char *word) {
    size_t size = strlen(word);
    if (strncmp(*at, word, size) != 0 || ((*at)[size] != '_' && (*at)[size] != '\0')) {
        return false;
    }
    *at += size + ((*at)[size] == '_');
    return true;
}

// Takes whichever of words[1..count-1] comes next and returns its index, 0 when none does.
static int take_one_of(const char **at, const char *const *words, size_t count) {
    for (size_t i = 1; i < count; i++) {
        if (take_word(at, words[i])) {
            return (int)i;
        }
    }
    return 0;
}

// Takes a run of at most `most` digits that ends its word; returns their number, 0 for none.
static size_t take_digits(const char **at, size_t most, const char **ret_digits) {
    size_t size = strspn(*at, "0123456789");
    char after = (*at)[size];
    if (size == 0 || size > most || (after != '_' && after != '\0')) {
        return 0;
    }
    *ret_digits = *at;
    *at += size + (after == '_');
    return size;
}

static bool take_section(const char **at, ClipName *name) {
    const char *digits;
    size_t size = take_digits(at, CLIPNAME_SECTION_BYTES - 1, &digits);
    memcpy(name->section, size > 0 ? digits : "", size);
    return size > 0;
}

// 18 digits always fit an int64_t.
static bool take_serial(const char **at, ClipName *name) {
    const char *digits;
    if (take_digits(at, 18, &digits) == 0) {
        return false;
    }
    name->serial = strtoll(digits, NULL, 10);
    return true;
}

static void take_attributes(const char *at, ClipName *name) {
    text_copy(name->attributes, sizeof name->attributes, at);
    size_t size = strlen(name->attributes);
    while (size > 0 && name->attributes[size - 1] == '_') {
        name->attributes[--size] = '\0';
    }
    if (strcmp(name->attributes, "noAttribute") == 0 ||
        strcmp(name->attributes, "noAttributes") == 0) {
        name->attributes[0] = '\0';
    }
}

static bool read_id(const char *at, ClipName *name) {
    name->keyword = KEYWORD_ID;
    name->label = (ClipLabel)take_one_of(&at, labels, COUNT(labels));
    if (!take_word(&at, "id") || !take_section(&at, name) || !take_serial(&at, name)) {
        return false;
    }
    take_attributes(at, name);
    return true;
}

static bool read_section(const char *at, ClipName *name) {
    const char *whole = at;
    name->keyword = KEYWORD_SECTION;
    if (!take_word(&at, "section") || !take_section(&at, name)) {
        return false;
    }
    int domain = take_one_of(&at, domains, COUNT(domains));
    // Names say train and test; "supplemental" is the folder's word, theirs is machine or noise.
    name->split = (ClipSplit)take_one_of(&at, splits, SPLIT_SUPPLEMENTAL);
    name->label = (ClipLabel)take_one_of(&at, labels, COUNT(labels));
    bool says = domain != 0 || name->split != SPLIT_UNKNOWN || name->label != LABEL_UNKNOWN;
    if (!says && (take_word(&at, "machine") || take_word(&at, "noise"))) {
        name->split = SPLIT_SUPPLEMENTAL;
        take_serial(&at, name);
    } else if (!take_serial(&at, name) && !says) {
        return false;
    }
    take_attributes(at, name);
    if (says) {
        name->domain = strstr(whole, "target") != NULL ? DOMAIN_TARGET : DOMAIN_SOURCE;
    }
    return true;
}

ClipName clipname_read(const char *path) {
    const char *file = file_name(path);
    char stem[LIMIT_NAME_BYTES];
    ClipName nothing = {.serial = -1};
    if (!text_copy(stem, sizeof stem, file)) {
        return nothing;
    }
    stem[strlen(stem) - extension_size(stem)] = '\0';
    ClipName name = nothing;
    if (read_section(stem, &name)) {
        return name;
    }
    name = nothing;
    return read_id(stem, &name) ? name : nothing;
}

ClipFile clipname_file(const char *path) {
    ClipName name = clipname_read(path);
    if (name.keyword == KEYWORD_ID) {
        return FILE_OF_ID;
    }
    return name.label != LABEL_UNKNOWN || name.domain == DOMAIN_UNKNOWN ? FILE_OF_SECTION
           : name.domain == DOMAIN_SOURCE                               ? FILE_OF_SOURCE
                                                                        : FILE_OF_TARGET;
}

bool clipname_file_part(ClipFile file, const char *section, char *out, size_t size) {
    static const char *const FORMS[][2] = {[FILE_OF_SECTION] = {"section_", "_test"},
                                           [FILE_OF_ID] = {"id_", ""},
                                           [FILE_OF_SOURCE] = {"section_", "_source_test"},
                                           [FILE_OF_TARGET] = {"section_", "_target_test"}};
    int used = snprintf(out, size, "%s%s%s", FORMS[file][0], section, FORMS[file][1]);
    return used >= 0 && (size_t)used < size;
}

const char *clipname_domain_text(ClipDomain domain) {
    return domains[domain];
}

const char *clipname_label_text(ClipLabel label) {
    return labels[label];
}

const char *clipname_split_text(ClipSplit split) {
    return splits[split];
}

const char *clipname_keyword_text(ClipKeyword keyword) {
    return keywords[keyword];
}

int clipname_domain_of(const char *word) {
    return index_of(word, domains, COUNT(domains));
}

int clipname_label_of(const char *word) {
    return index_of(word, labels, COUNT(labels));
}

int clipname_split_of(const char *word) {
    return index_of(word, splits, COUNT(splits));
}
