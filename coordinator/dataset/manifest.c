// SPDX-License-Identifier: Apache-2.0
#include "coordinator/dataset/manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/store/csv.h"
#include "coordinator/dataset/attributes.h"
#include "coordinator/dataset/walk.h"

typedef enum Column {
    COLUMN_ROOT,
    COLUMN_PATH,
    COLUMN_SET,
    COLUMN_MACHINE,
    COLUMN_SECTION,
    COLUMN_DOMAIN,
    COLUMN_LABEL,
    COLUMN_SPLIT,
    COLUMN_SIZE,
    COLUMN_MTIME,
    COLUMN_ATTRIBUTES,
    COLUMN_COUNT,
} Column;

static const char *const column_names[COLUMN_COUNT] = {
    "root",  "path",  "set",        "machine",  "section",    "domain",
    "label", "split", "size_bytes", "mtime_ns", "attributes",
};

typedef struct Manifest {
    Builder *builder;
    CsvReader *csv;
    CsvRow row;
    size_t fields;               // of the header
    int columns[COLUMN_COUNT];   // where each stands in a row, -1 when it does not
    uint32_t changed;            // clips of another size or time than the manifest says
    const char *changed_example; // one of them
} Manifest;

static const char *field(const Manifest *m, Column column) {
    return m->columns[column] < 0 ? "" : m->row.fields[m->columns[column]];
}

static Status refuse(const Manifest *m, const char *what, const char *value, const char *accepted) {
    char clean[LIMIT_NAME_BYTES];
    builder_escape(value, clean, sizeof clean);
    return csv_reader_fail(m->csv, &m->row, STATUS_INVALID, "%s '%s' is not %s", what, clean,
                           accepted);
}

static Status read_header(Manifest *m) {
    Status status = csv_reader_next(m->csv, &m->row);
    if (status != STATUS_OK) {
        return status;
    }
    m->fields = m->row.count;
    for (int column = 0; column < COLUMN_COUNT; column++) {
        m->columns[column] = -1;
        for (size_t i = 0; i < m->row.count; i++) {
            if (strcmp(m->row.fields[i], column_names[column]) == 0) {
                m->columns[column] = (int)i;
            }
        }
    }
    static const Column required[] = {COLUMN_PATH, COLUMN_MACHINE, COLUMN_SPLIT};
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        if (m->columns[required[i]] < 0) {
            return csv_reader_fail(m->csv, &m->row, STATUS_FORMAT, "there is no column %s",
                                   column_names[required[i]]);
        }
    }
    return STATUS_OK;
}

// One part of a path, since machines and sections name folders.
static bool is_part(const char *text, size_t most_bytes) {
    return strlen(text) < most_bytes && strchr(text, '/') == NULL && file_is_safe_relative(text) &&
           text_is_clean(text);
}

static Status check_row(const Manifest *m) {
    if (m->row.count != m->fields) {
        return csv_reader_fail(m->csv, &m->row, STATUS_FORMAT,
                               "the row has %zu fields, the header %zu", m->row.count, m->fields);
    }
    const char *path = field(m, COLUMN_PATH), *machine = field(m, COLUMN_MACHINE);
    if (!file_is_safe_relative(path) || !text_is_clean(path) || strlen(path) >= LIMIT_PATH_BYTES ||
        strlen(file_name(path)) >= LIMIT_NAME_BYTES) {
        return refuse(m, "path", path, "a relative path without . or .. in it");
    }
    if (!clipname_is_clip(path)) {
        return refuse(m, "path", path, "a .wav, .flac or .npy file");
    }
    if (!is_part(machine, LIMIT_MACHINE_BYTES)) {
        return refuse(m, "machine", machine, "a plain name of at most 160 bytes");
    }
    const char *section = field(m, COLUMN_SECTION);
    if (section[0] != '\0' && !is_part(section, CLIPNAME_SECTION_BYTES)) {
        return refuse(m, "section", section, "a plain name of at most 15 bytes");
    }
    return STATUS_OK;
}

// The folder a walk would have found the clip in, where the path shows it.
static FolderKind folder_of(const char *path, ClipSplit split) {
    char folder[LIMIT_PATH_BYTES];
    text_copy(folder, sizeof folder, path);
    char *slash = strrchr(folder, '/');
    if (slash != NULL) {
        *slash = '\0';
        FolderKind kind = walk_folder_kind(file_name(folder));
        if (split == SPLIT_TEST && (kind == FOLDER_SOURCE_TEST || kind == FOLDER_TARGET_TEST)) {
            return kind;
        }
    }
    return split == SPLIT_TRAIN  ? FOLDER_TRAIN
           : split == SPLIT_TEST ? FOLDER_TEST
                                 : FOLDER_SUPPLEMENTAL;
}

// Looks for the file under the root that the row names, then under the others.
static Status locate(const Manifest *m, uint32_t *ret_root, FileFacts *ret_facts) {
    const DatasetOptions *options = m->builder->options;
    int64_t named = -1;
    const char *text = field(m, COLUMN_ROOT);
    if (text[0] != '\0' && (text_to_int(text, &named) != STATUS_OK || named < 0)) {
        return refuse(m, "root", text, "the number of a data folder, 0 for the first");
    }
    Status status = STATUS_NOT_FOUND;
    for (uint32_t i = 0; i <= options->root_count; i++) {
        int64_t root = i == 0 ? named : (int64_t)i - 1;
        char path[LIMIT_PATH_BYTES];
        if (root < 0 || root >= options->root_count || (i > 0 && root == named)) {
            continue;
        }
        Status looked = file_join(path, sizeof path, options->roots[root], field(m, COLUMN_PATH));
        looked = looked == STATUS_OK ? file_facts(path, ret_facts) : looked;
        if (looked == STATUS_OK) {
            *ret_root = (uint32_t)root;
            return STATUS_OK;
        }
        status = looked != STATUS_NOT_FOUND ? STATUS_IO : status;
    }
    return status;
}

// Notes a clip whose size or time is not what the row says.
static Status compare_facts(Manifest *m, const Clip *clip) {
    int64_t size = -1, mtime = -1;
    const char *size_text = field(m, COLUMN_SIZE), *mtime_text = field(m, COLUMN_MTIME);
    if (size_text[0] != '\0' && (text_to_int(size_text, &size) != STATUS_OK || size < 0)) {
        return refuse(m, "size_bytes", size_text, "a whole number");
    }
    if (mtime_text[0] != '\0' && text_to_int(mtime_text, &mtime) != STATUS_OK) {
        return refuse(m, "mtime_ns", mtime_text, "a whole number");
    }
    if ((size_text[0] != '\0' && (uint64_t)size != clip->size_bytes) ||
        (mtime_text[0] != '\0' && mtime != clip->mtime_ns)) {
        m->changed_example = m->changed++ == 0 ? clip->path : m->changed_example;
    }
    return STATUS_OK;
}

// Reads the words of a row; -1 marks one that is no such word.
static Status read_words(const Manifest *m, Found *found, bool *ret_set_known) {
    const char *set_text = field(m, COLUMN_SET);
    int set = dataset_set_of(set_text);
    int domain = clipname_domain_of(field(m, COLUMN_DOMAIN));
    int label = clipname_label_of(field(m, COLUMN_LABEL));
    int split = clipname_split_of(field(m, COLUMN_SPLIT));
    if (set < 0 && set_text[0] != '\0') {
        return refuse(m, "set", set_text, "dev, eval or plain");
    }
    if (domain < 0) {
        return refuse(m, "domain", field(m, COLUMN_DOMAIN), "source or target");
    }
    if (label < 0) {
        return refuse(m, "label", field(m, COLUMN_LABEL), "normal or anomaly");
    }
    if (split < 0 || split == SPLIT_UNKNOWN) {
        return refuse(m, "split", field(m, COLUMN_SPLIT), "train, test or supplemental");
    }
    found->set = set >= 0 ? (ClipSet)set : SET_PLAIN;
    found->clip.domain = (ClipDomain)domain;
    found->clip.label = (ClipLabel)label;
    found->clip.split = (ClipSplit)split;
    *ret_set_known = set >= 0;
    return STATUS_OK;
}

// What the row says goes before what the name says.
static Status override(Manifest *m, const Clip *said, Clip *clip) {
    clip->split = said->split;
    clip->domain = said->domain != DOMAIN_UNKNOWN ? said->domain : clip->domain;
    clip->label = said->label != LABEL_UNKNOWN ? said->label : clip->label;
    const char *section = field(m, COLUMN_SECTION), *attributes = field(m, COLUMN_ATTRIBUTES);
    if (section[0] != '\0') {
        clip->keyword = clip->keyword != KEYWORD_NONE ? clip->keyword : KEYWORD_SECTION;
        clip->section = memory_text(m->builder->memory, section);
        if (clip->section == NULL) {
            clip->section = "";
            return STATUS_MEMORY;
        }
    }
    if (attributes[0] == '\0') {
        return STATUS_OK;
    }
    if (!text_is_clean(attributes)) {
        return refuse(m, "attributes", attributes, "clean UTF-8");
    }
    Status status = attributes_parse(m->builder->memory, attributes, clip);
    if (status == STATUS_INVALID) {
        char why[LIMIT_MESSAGE_BYTES];
        text_copy(why, sizeof why, status_message());
        return csv_reader_fail(m->csv, &m->row, STATUS_INVALID, "%s", why);
    }
    return status;
}

// Until places are made, Found.place holds 1 where the row names a set.
static Status add_row(Manifest *m) {
    Builder *b = m->builder;
    Found said = {0};
    bool set_known = false;
    uint32_t root = 0;
    FileFacts facts;
    Status status = check_row(m);
    status = status == STATUS_OK ? read_words(m, &said, &set_known) : status;
    status = status == STATUS_OK ? locate(m, &root, &facts) : status;
    if (status == STATUS_NOT_FOUND || status == STATUS_IO) {
        return builder_leave_out(b, 0, field(m, COLUMN_MACHINE), field(m, COLUMN_PATH),
                                 status == STATUS_IO ? "cannot be looked at" : "no such file");
    }
    if (status != STATUS_OK) {
        return status;
    }
    Found *found = builder_add_found(b);
    if (found == NULL) {
        return b->found_count >= LIMIT_CLIPS ? STATUS_LIMIT : STATUS_MEMORY;
    }
    found->clip.path = memory_text(b->memory, field(m, COLUMN_PATH));
    found->machine = memory_text(b->memory, field(m, COLUMN_MACHINE));
    if (found->clip.path == NULL || found->machine == NULL) {
        return STATUS_MEMORY;
    }
    found->set = said.set;
    found->place = set_known;
    found->folder = folder_of(found->clip.path, said.clip.split);
    found->clip.root = root;
    found->clip.size_bytes = facts.size_bytes;
    found->clip.mtime_ns = facts.mtime_ns;
    status = builder_understand(b, found);
    status = status == STATUS_OK ? override(m, &said.clip, &found->clip) : status;
    return status == STATUS_OK ? compare_facts(m, &found->clip) : status;
}

// Bytes of the machine folder's path: the clip's path without its last two parts.
static size_t place_size(const char *path) {
    const char *name = file_name(path);
    size_t size = (size_t)(name - path);
    for (size_t i = size > 0 ? size - 1 : 0; i > 0; i--) {
        if (path[i - 1] == '/') {
            return i - 1;
        }
    }
    return 0;
}

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

static int compare_rows(const void *left, const void *right) {
    const Found *a = left, *b = right;
    int order = strcmp(a->machine, b->machine);
    order = order != 0 ? order : ORDER(a->place, b->place);
    order = order != 0 ? order : ORDER(a->set, b->set);
    order = order != 0 ? order : ORDER(a->clip.root, b->clip.root);
    order = order != 0 ? order : strcmp(a->clip.path, b->clip.path);
    return order != 0 ? order : ORDER(a->folder, b->folder);
}

static bool same_place(const Found *a, const Found *b) {
    size_t size = place_size(a->clip.path);
    return strcmp(a->machine, b->machine) == 0 && a->set == b->set &&
           a->clip.root == b->clip.root && size == place_size(b->clip.path) &&
           memcmp(a->clip.path, b->clip.path, size) == 0;
}

// Gives each run of rows that a walk would have found in one machine folder a place.
static Status make_places(Builder *b) {
    if (b->found_count > 0) {
        qsort(b->found, b->found_count, sizeof *b->found, compare_rows);
    }
    uint32_t known_before = 0;
    for (uint32_t i = 0; i < b->found_count; i++) {
        Found *found = &b->found[i];
        uint32_t known = found->place;
        if (i == 0 || known != known_before || !same_place(&b->found[i - 1], found)) {
            Place *place = builder_add_place(b);
            if (place == NULL) {
                return b->place_count >= LIMIT_MACHINES ? STATUS_LIMIT : STATUS_MEMORY;
            }
            char path[LIMIT_PATH_BYTES];
            snprintf(path, sizeof path, "%.*s", (int)place_size(found->clip.path),
                     found->clip.path);
            place->machine = found->machine;
            place->path = memory_text(b->memory, path);
            place->root = found->clip.root;
            place->first_found = i;
            place->set = found->set;
            place->set_known = known != 0;
            if (place->path == NULL) {
                place->path = "";
                return STATUS_MEMORY;
            }
        }
        known_before = known;
        found->place = b->place_count - 1;
        b->places[found->place].found_count++;
    }
    return STATUS_OK;
}

static Status read_rows(Manifest *m) {
    Status status = read_header(m);
    while (status == STATUS_OK) {
        status = csv_reader_next(m->csv, &m->row);
        if (status != STATUS_OK || m->row.count == 0) {
            break;
        }
        status = add_row(m);
    }
    if (status == STATUS_OK && m->changed > 0) {
        status = builder_warn(m->builder,
                              "%s: %u clips have changed since it was written (size or time), such "
                              "as %s",
                              m->builder->options->manifest, m->changed, m->changed_example);
    }
    return status;
}

Status manifest_read(Builder *builder) {
    Manifest manifest = {.builder = builder};
    Status status = csv_reader_open(builder->options->manifest, &manifest.csv);
    if (status != STATUS_OK) {
        return status;
    }
    status = read_rows(&manifest);
    csv_reader_free(manifest.csv);
    return status == STATUS_OK ? make_places(builder) : status;
}

void dataset_write_csv(const Dataset *dataset, Buffer *out) {
    CsvWriter csv = CSV_WRITER_EMPTY;
    Buffer attributes = BUFFER_EMPTY;
    for (int column = 0; column < COLUMN_COUNT; column++) {
        csv_writer_text(&csv, column_names[column]);
    }
    csv_writer_end_row(&csv);
    for (uint32_t i = 0; i < dataset->clip_count; i++) {
        const Clip *clip = &dataset->clips[i];
        const Machine *machine = &dataset->machines[clip->machine];
        buffer_clear(&attributes);
        attributes_format(clip, &attributes);
        csv_writer_int(&csv, clip->root);
        csv_writer_text(&csv, clip->path);
        csv_writer_text(&csv, dataset_set_text(machine->set));
        csv_writer_text(&csv, machine->name);
        csv_writer_text(&csv, clip->section);
        csv_writer_text(&csv, clipname_domain_text(clip->domain));
        csv_writer_text(&csv, clipname_label_text(clip->label));
        csv_writer_text(&csv, clipname_split_text(clip->split));
        csv_writer_int(&csv, (int64_t)clip->size_bytes);
        csv_writer_int(&csv, clip->mtime_ns);
        csv_writer_text(&csv, buffer_cstr(&attributes));
        csv_writer_end_row(&csv);
    }
    buffer_append(out, buffer_cstr(&csv.text), csv.text.size);
    if (csv.text.status != STATUS_OK || attributes.status != STATUS_OK) {
        out->status = STATUS_MEMORY;
    }
    buffer_done(&attributes);
    csv_writer_done(&csv);
}
