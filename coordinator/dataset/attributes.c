// SPDX-License-Identifier: Apache-2.0
#include "coordinator/dataset/attributes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/store/csv.h"
#include "coordinator/dataset/walk.h"

// Pairs on their way to a clip; texts borrowed.
typedef struct Pairs {
    uint32_t count;
    const char *names[LIMIT_ATTRIBUTES];
    const char *values[LIMIT_ATTRIBUTES];
} Pairs;

static Status give(DatasetMemory *memory, const Pairs *pairs, Clip *clip) {
    ClipAttribute *attributes = memory_new(memory, pairs->count + 1, sizeof *attributes);
    if (attributes == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t i = 0; i < pairs->count; i++) {
        attributes[i].name = memory_text(memory, pairs->names[i]);
        attributes[i].value = memory_text(memory, pairs->values[i]);
        if (attributes[i].name == NULL || attributes[i].value == NULL) {
            return STATUS_MEMORY;
        }
    }
    clip->attributes = attributes;
    clip->attribute_count = pairs->count;
    return STATUS_OK;
}

// "spd", "v1pat", "m-n", but not "weight20" or "4": a word with a number at its end has its value
// in itself, and what follows it is no value of it.
static bool is_parameter(const char *word) {
    size_t size = strlen(word);
    return size > 0 && strchr("0123456789", word[size - 1]) == NULL;
}

Status attributes_of_name(DatasetMemory *memory, const char *text, Clip *clip) {
    if (text[0] == '\0') {
        return STATUS_OK;
    }
    char copy[LIMIT_NAME_BYTES];
    text_copy(copy, sizeof copy, text);
    const char *words[2 * LIMIT_ATTRIBUTES];
    uint32_t count = 0;
    char *at = copy, *word;
    while ((word = strsep(&at, "_")) != NULL && count < 2 * LIMIT_ATTRIBUTES) {
        words[count++] = word;
    }
    bool pairs_up = count % 2 == 0 && word == NULL;
    for (uint32_t i = 0; i < count; i += 2) {
        pairs_up = pairs_up && is_parameter(words[i]);
    }
    Pairs pairs = {.count = 1, .names = {"attribute"}, .values = {text}};
    if (pairs_up) {
        pairs.count = count / 2;
        for (uint32_t i = 0; i < pairs.count; i++) {
            pairs.names[i] = words[2 * i];
            pairs.values[i] = words[2 * i + 1];
        }
    }
    return give(memory, &pairs, clip);
}

static void format_escaped(const char *text, Buffer *out) {
    for (; *text != '\0'; text++) {
        if (*text == ';' || *text == '=' || *text == '\\') {
            buffer_append(out, "\\", 1);
        }
        buffer_append(out, text, 1);
    }
}

void attributes_format(const Clip *clip, Buffer *out) {
    for (uint32_t i = 0; i < clip->attribute_count; i++) {
        buffer_text(out, i > 0 ? ";" : "");
        format_escaped(clip->attributes[i].name, out);
        buffer_append(out, "=", 1);
        format_escaped(clip->attributes[i].value, out);
    }
}

// Cuts *at at the next unescaped `end` or at its own end, taking escapes out in place, and moves
// *at behind it. Returns whether `end` was there.
static bool cut(char **at, char end) {
    char *read = *at, *write = *at;
    while (*read != '\0' && *read != end) {
        read += *read == '\\' && read[1] != '\0';
        *write++ = *read++;
    }
    bool found = *read == end;
    *at = read + found;
    *write = '\0';
    return found;
}

// Where an unescaped `end` stands, or the end of the text.
static char *find(char *at, char end) {
    while (*at != '\0' && *at != end) {
        at += at[0] == '\\' && at[1] != '\0' ? 2 : 1;
    }
    return at;
}

Status attributes_parse(DatasetMemory *memory, const char *text, Clip *clip) {
    char *copy = mem_copy_text(text);
    if (copy == NULL) {
        return STATUS_MEMORY;
    }
    Pairs pairs = {0};
    Status status = STATUS_OK;
    char *at = copy;
    while (*at != '\0' && status == STATUS_OK) {
        // Cutting takes escapes out, so the pair's end is looked for before its middle is cut.
        char *end = find(at, ';');
        char *next = end + (*end != '\0');
        *end = '\0';
        char *name = at;
        if (pairs.count == LIMIT_ATTRIBUTES) {
            status = status_set(STATUS_INVALID, "more than %d attributes", LIMIT_ATTRIBUTES);
        } else if (!cut(&at, '=') || name[0] == '\0') {
            status = status_set(STATUS_INVALID, "attributes '%s' are not name=value;...", text);
        } else {
            char *value = at;
            cut(&at, '\0');
            pairs.names[pairs.count] = name;
            pairs.values[pairs.count++] = value;
        }
        at = next;
    }
    if (status == STATUS_OK) {
        status = give(memory, &pairs, clip);
    }
    mem_free(copy);
    return status;
}

// Every file found, by set, machine and base name: what rows are looked up in.
typedef struct Index {
    Found **items;
    uint32_t count;
} Index;

static int compare_key(ClipSet set, const char *machine, const char *name, const Found *found) {
    int order = ((int)set > (int)found->set) - ((int)set < (int)found->set);
    order = order != 0 ? order : strcmp(machine, found->machine);
    return order != 0 ? order : strcmp(name, found->clip.name);
}

static int compare_items(const void *left, const void *right) {
    const Found *a = *(Found *const *)left, *b = *(Found *const *)right;
    int order = compare_key(a->set, a->machine, a->clip.name, b);
    return order != 0 ? order : (a > b) - (a < b);
}

static Status index_build(Builder *b, Index *index) {
    index->items = mem_new(b->found_count + 1, sizeof *index->items);
    if (index->items == NULL) {
        return STATUS_MEMORY;
    }
    index->count = b->found_count;
    for (uint32_t i = 0; i < b->found_count; i++) {
        index->items[i] = &b->found[i];
    }
    qsort(index->items, index->count, sizeof *index->items, compare_items);
    return STATUS_OK;
}

// The first item of that name, or index->count.
static uint32_t index_find(const Index *index, const Place *place, const char *name) {
    uint32_t low = 0, high = index->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_key(place->set, place->machine, name, index->items[middle]) > 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool index_matches(const Index *index, uint32_t i, const Place *place, const char *name) {
    return i < index->count && compare_key(place->set, place->machine, name, index->items[i]) == 0;
}

// One side file while it is read.
typedef struct SideReader {
    Builder *builder;
    const Index *index;
    const Place *place;
    CsvReader *csv;
    CsvRow row;
    uint32_t unmatched; // rows that name no clip
} SideReader;

// Beyond these a file's unmatched rows are only counted: a set of which only a part was downloaded
// has thousands.
#define UNMATCHED_SHOWN 3

static Status warn_row(SideReader *side, const char *why) {
    csv_reader_fail(side->csv, &side->row, STATUS_FORMAT, "%s", why);
    return builder_warn(side->builder, "%s", status_message());
}

static Status count_unmatched(SideReader *side) {
    return side->unmatched++ < UNMATCHED_SHOWN ? warn_row(side, "no clip has this name")
                                               : STATUS_OK;
}

// The pairs of a row behind its file name; false when they do not pair up.
static bool row_pairs(const CsvRow *row, Pairs *pairs) {
    *pairs = (Pairs){0};
    if (row->count % 2 != 1) {
        return false;
    }
    for (size_t i = 1; i + 1 < row->count; i += 2) {
        const char *name = row->fields[i], *value = row->fields[i + 1];
        if (name[0] == '\0' && value[0] == '\0') {
            continue; // a row with fewer attributes than its header
        }
        if (name[0] == '\0' || !text_is_clean(name) || !text_is_clean(value) ||
            pairs->count == LIMIT_ATTRIBUTES) {
            return false;
        }
        pairs->names[pairs->count] = name;
        pairs->values[pairs->count++] = value;
    }
    return true;
}

// Attributes named label or domain speak where the name is silent.
static void learn_from_pairs(const Pairs *pairs, Clip *clip) {
    for (uint32_t i = 0; i < pairs->count; i++) {
        int label = clipname_label_of(pairs->values[i]);
        int domain = clipname_domain_of(pairs->values[i]);
        if (strcmp(pairs->names[i], "label") == 0 && clip->label == LABEL_UNKNOWN && label > 0) {
            clip->label = (ClipLabel)label;
        }
        if (strcmp(pairs->names[i], "domain") == 0 && clip->domain == DOMAIN_UNKNOWN &&
            domain > 0) {
            clip->domain = (ClipDomain)domain;
        }
    }
}

static FolderKind kind_of_path(const char *path) {
    char folder[LIMIT_PATH_BYTES];
    if (!text_copy(folder, sizeof folder, path)) {
        return FOLDER_NONE;
    }
    char *slash = strrchr(folder, '/');
    if (slash == NULL) {
        return FOLDER_NONE;
    }
    *slash = '\0';
    return walk_folder_kind(file_name(folder));
}

// A row for "fan/train/1.wav" is not for fan/test/1.wav; the folders of test clips are one here.
static bool fits_folder(FolderKind wanted, FolderKind folder) {
    bool alone = wanted == FOLDER_TRAIN || wanted == FOLDER_SUPPLEMENTAL;
    bool folder_alone = folder == FOLDER_TRAIN || folder == FOLDER_SUPPLEMENTAL;
    return wanted == FOLDER_NONE || (alone || folder_alone ? wanted == folder : true);
}

static Status apply_attributes(SideReader *side) {
    Pairs pairs;
    if (!row_pairs(&side->row, &pairs)) {
        return warn_row(side, "not a file name and pairs of parameter and value");
    }
    const char *path = side->row.fields[0], *name = file_name(path);
    FolderKind kind = kind_of_path(path);
    bool matched = false;
    Status status = STATUS_OK;
    for (uint32_t i = index_find(side->index, side->place, name);
         status == STATUS_OK && index_matches(side->index, i, side->place, name); i++) {
        Found *found = side->index->items[i];
        if (!fits_folder(kind, found->folder)) {
            continue;
        }
        matched = true;
        learn_from_pairs(&pairs, &found->clip);
        if (pairs.count > 0) {
            status = give(side->builder->memory, &pairs, &found->clip);
        }
    }
    return status != STATUS_OK || matched ? status : count_unmatched(side);
}

// A hidden test clip takes from its other name what its own does not tell.
static Status reveal(SideReader *side, const char *hidden, const char *telling, bool *matched) {
    ClipName told = clipname_read(telling);
    char with_extension[LIMIT_NAME_BYTES + 8];
    snprintf(with_extension, sizeof with_extension, "%s%s", file_name(hidden),
             clipname_is_clip(hidden) ? "" : ".wav");
    Status status = STATUS_OK;
    for (uint32_t i = index_find(side->index, side->place, with_extension);
         status == STATUS_OK && told.label != LABEL_UNKNOWN &&
         index_matches(side->index, i, side->place, with_extension);
         i++) {
        Found *found = side->index->items[i];
        *matched = true;
        if (found->clip.split != SPLIT_TEST || found->clip.label != LABEL_UNKNOWN) {
            continue;
        }
        found->clip.label = told.label;
        found->clip.domain = told.domain;
        if (found->clip.attribute_count == 0) {
            status = attributes_of_name(side->builder->memory, told.attributes, &found->clip);
        }
    }
    return status;
}

static Status apply_correspondence(SideReader *side) {
    if (side->row.count != 2) {
        return warn_row(side, "not a pair of file names");
    }
    bool matched = false;
    Status status = reveal(side, side->row.fields[0], side->row.fields[1], &matched);
    if (status == STATUS_OK) {
        status = reveal(side, side->row.fields[1], side->row.fields[0], &matched);
    }
    return status != STATUS_OK || matched ? status : count_unmatched(side);
}

static Status read_rows(SideReader *side) {
    Status status = csv_reader_next(side->csv, &side->row);
    bool correspondence = false;
    if (status == STATUS_OK && side->row.count > 0) {
        correspondence = strcmp(side->row.fields[0], "source_file_name") == 0;
        if (!correspondence && strcmp(side->row.fields[0], "file_name") != 0) {
            return warn_row(side, "the first column is not file_name: file ignored");
        }
    }
    while (status == STATUS_OK && side->row.count > 0) {
        status = csv_reader_next(side->csv, &side->row);
        if (status != STATUS_OK || side->row.count == 0) {
            break;
        }
        // A failure of these is memory, so it must not be taken for the reader's.
        Status applied = correspondence ? apply_correspondence(side) : apply_attributes(side);
        if (applied != STATUS_OK) {
            return applied;
        }
    }
    return status == STATUS_FORMAT || status == STATUS_LIMIT
               ? builder_warn(side->builder, "%s: the rest of the file is ignored",
                              status_message())
               : status;
}

static Status apply_file(Builder *b, const Index *index, const SideFile *file) {
    const Place *place = &b->places[file->place];
    SideReader side = {.builder = b, .index = index, .place = place};
    char path[LIMIT_PATH_BYTES];
    Status status = file_join(path, sizeof path, b->options->roots[place->root], file->path);
    if (status == STATUS_OK) {
        status = csv_reader_open(path, &side.csv);
    }
    if (status != STATUS_OK) {
        return status == STATUS_MEMORY ? status : builder_warn(b, "%s: ignored", status_message());
    }
    status = read_rows(&side);
    if (status == STATUS_OK && side.unmatched > UNMATCHED_SHOWN) {
        status = builder_warn(b, "%s: %u more rows name no clip", path,
                              side.unmatched - UNMATCHED_SHOWN);
    }
    csv_reader_free(side.csv);
    return status;
}

Status attributes_apply(Builder *b) {
    if (b->side_file_count == 0) {
        return STATUS_OK;
    }
    Index index = {0};
    Status status = index_build(b, &index);
    for (uint32_t i = 0; i < b->side_file_count && status == STATUS_OK; i++) {
        status = apply_file(b, &index, &b->side_files[i]);
    }
    mem_free(index.items);
    return status;
}
