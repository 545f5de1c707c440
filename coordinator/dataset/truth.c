// SPDX-License-Identifier: Apache-2.0
//
// How it works: every row of every file becomes a statement about a clip. Sorted by clip, and among
// those of one clip by how much they are believed, they are folded into one: what is not yet known
// is taken over, what is known otherwise is a contradiction.
#include "coordinator/dataset/truth.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "coordinator/dataset/attributes.h"
#include "coordinator/dataset/truth_build.h"

// Folders below the one given that are looked into: data/dcase2024t2/eval_data/raw/fan is five.
enum { SEARCH_DEPTH = 6 };

struct TruthKey {
    const char *machine, *name;
    const TruthClip *clip;
};

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

// ---- statements ----

static bool copy_text(TruthBuilder *b, const char **text) {
    *text = (*text)[0] != '\0' ? memory_text(b->memory, *text) : "";
    return *text != NULL;
}

static void contradict(TruthBuilder *b, const Statement *s, const char *known, const char *said) {
    char where[32] = "";
    if (s->line > 0) {
        snprintf(where, sizeof where, ":%zu", s->line);
    }
    remarks_add(&b->remarks, REMARK_WARNING,
                "%s%s: suspicious: %s of %s is %s here, but %s by another name or file", s->file,
                where, s->name, s->machine, said, known);
}

static Status add_telling(TruthBuilder *b, Statement *s) {
    ClipName told = clipname_read(s->telling);
    s->label = s->label != LABEL_UNKNOWN ? s->label : told.label;
    s->domain = s->domain != DOMAIN_UNKNOWN ? s->domain : told.domain;
    Clip clip = {0};
    Status status = attributes_of_name(b->memory, told.attributes, &clip);
    s->attributes = clip.attributes;
    s->attribute_count = clip.attribute_count;
    return status;
}

Status truth_state(TruthBuilder *b, const Statement *said) {
    if (b->count >= 4 * LIMIT_CLIPS) {
        return status_set(STATUS_LIMIT, "more than %u clips in the ground truth", LIMIT_CLIPS);
    }
    if (!mem_grow(&b->statements, b->count, &b->capacity, sizeof *b->statements)) {
        return STATUS_MEMORY;
    }
    Statement s = *said;
    ClipName name = clipname_read(s.name);
    s.section = s.section[0] != '\0' ? s.section : name.section;
    s.domain = s.domain != DOMAIN_UNKNOWN ? s.domain : name.domain;
    s.order = b->count;
    if (s.label == LABEL_UNKNOWN) {
        s.label = s.telling[0] == '\0' ? name.label : s.label;
    } else if (name.label != LABEL_UNKNOWN && name.label != s.label) {
        contradict(b, &s, clipname_label_text(name.label), clipname_label_text(s.label));
    }
    if (!copy_text(b, &s.machine) || !copy_text(b, &s.section) || !copy_text(b, &s.name) ||
        !copy_text(b, &s.telling) || !copy_text(b, &s.file)) {
        return STATUS_MEMORY;
    }
    Status status = s.telling[0] != '\0' ? add_telling(b, &s) : STATUS_OK;
    b->statements[b->count++] = s;
    return status;
}

// ---- the clips of a data root ----

static Status state_clip(TruthBuilder *b, const Dataset *dataset, const Clip *clip) {
    const Machine *machine = &dataset->machines[clip->machine];
    Statement s = {.form = FORM_DATA,
                   .set = machine->set,
                   .domain = clip->domain,
                   .label = clip->label,
                   .machine = machine->name,
                   .section = clip->section,
                   .name = clip->name,
                   .telling = "",
                   .file = clip->path};
    Status status = truth_state(b, &s);
    // Attributes of the data come from side files too, not from names alone.
    Clip copy = {0};
    Buffer text = BUFFER_EMPTY;
    attributes_format(clip, &text);
    if (status == STATUS_OK && text.status == STATUS_OK && text.size > 0) {
        status = attributes_parse(b->memory, buffer_cstr(&text), &copy);
        b->statements[b->count - 1].attributes = copy.attributes;
        b->statements[b->count - 1].attribute_count = copy.attribute_count;
    }
    status = status == STATUS_OK ? text.status : status;
    buffer_done(&text);
    return status;
}

static Status state_dataset(TruthBuilder *b, const Dataset *dataset) {
    Status status = STATUS_OK;
    for (uint32_t i = 0; i < dataset->clip_count && status == STATUS_OK; i++) {
        const Clip *clip = &dataset->clips[i];
        if (clip->split == SPLIT_TEST && clip->left_out == NULL) {
            status = state_clip(b, dataset, clip);
        }
    }
    for (uint32_t i = 0; i < dataset->machine_count && b->year == 0; i++) {
        b->year = dataset->machines[i].year;
    }
    for (uint32_t i = 0; i < dataset->warning_count; i++) {
        remarks_add(&b->remarks, REMARK_NOTE, "%s", dataset->warnings[i]);
    }
    return status;
}

// No clips there is no fault: the folder may hold files of labels only.
static Status read_data(TruthBuilder *b, const char *path) {
    DatasetOptions options = {.roots = &path, .root_count = 1};
    Dataset *dataset = NULL;
    Status status = dataset_scan(&options, &dataset);
    if (status == STATUS_OK) {
        status = state_dataset(b, dataset);
    } else if (status == STATUS_NOT_FOUND) {
        status = STATUS_OK;
    }
    dataset_free(dataset);
    return status;
}

// ---- the files ----

// Paths found, in order of folder and name.
typedef struct Search {
    TruthBuilder *builder;
    TextList paths;
    uint32_t folders;
} Search;

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// Names of folders and of files that may be ground truth. Thousands of clips are passed over.
static Status list_folder(Search *search, const char *folder, TextList *names) {
    DIR *open = opendir(folder);
    if (open == NULL) {
        return status_set(STATUS_IO, "cannot open %s: %s", folder, strerror(errno));
    }
    Status status = STATUS_OK;
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(open)) != NULL;) {
        if (entry->d_name[0] == '.' || clipname_is_clip(entry->d_name)) {
            continue;
        }
        char *copy = memory_text(search->builder->memory, entry->d_name);
        bool has_room = mem_grow(&names->texts, names->count, &names->capacity, sizeof copy);
        status = copy != NULL && has_room ? STATUS_OK : STATUS_MEMORY;
        if (status == STATUS_OK) {
            names->texts[names->count++] = copy;
        }
    }
    closedir(open);
    if (status == STATUS_OK && names->count > 0) {
        qsort(names->texts, names->count, sizeof *names->texts, by_name);
    }
    return status;
}

static Status search_folder(Search *search, const char *folder, int depth) {
    TextList names = {0};
    if (depth > SEARCH_DEPTH || ++search->folders > LIMIT_MACHINES) {
        return STATUS_OK;
    }
    Status status = list_folder(search, folder, &names);
    for (uint32_t i = 0; i < names.count && status == STATUS_OK; i++) {
        char path[LIMIT_PATH_BYTES];
        if (file_join(path, sizeof path, folder, names.texts[i]) != STATUS_OK) {
            continue; // too long for any program
        }
        if (truth_form_of(path) != FORM_NONE && !file_is_folder(path)) {
            TextList *paths = &search->paths;
            char *copy = memory_text(search->builder->memory, path);
            bool has_room = mem_grow(&paths->texts, paths->count, &paths->capacity, sizeof copy);
            status = copy != NULL && has_room ? STATUS_OK : STATUS_MEMORY;
            if (status == STATUS_OK) {
                paths->texts[paths->count++] = copy;
            }
        } else if (file_is_folder(path)) {
            status = search_folder(search, path, depth + 1);
        }
    }
    mem_free(names.texts);
    return depth > 0 && status == STATUS_IO ? STATUS_OK : status; // it may be nobody's business
}

// The lists of all years lie side by side in the baseline's repository.
static Status choose_year(Search *search, const char *path, int32_t wanted) {
    int32_t found = 0;
    for (uint32_t i = 0; i < search->paths.count; i++) {
        int32_t year = truth_list_year(search->paths.texts[i]);
        if (year != 0 && found != 0 && year != found && wanted == 0) {
            return status_set(STATUS_INVALID,
                              "%s has lists of several years, %d and %d among them: say which one "
                              "with --year",
                              path, (int)found, (int)year);
        }
        found = year != 0 ? year : found;
    }
    search->builder->year = wanted != 0 ? wanted : found;
    return STATUS_OK;
}

static Status read_files(Search *search) {
    TruthBuilder *b = search->builder;
    Status status = STATUS_OK;
    for (uint32_t i = 0; i < search->paths.count && status == STATUS_OK; i++) {
        const char *path = search->paths.texts[i];
        int32_t year = truth_list_year(path);
        if (year == 0 || year == b->year) {
            status = truth_file_read(b, path, truth_form_of(path));
        }
    }
    return status;
}

static Status read_folder(TruthBuilder *b, const char *path, int32_t year) {
    Search search = {.builder = b};
    Status status = search_folder(&search, path, 0);
    if (status == STATUS_OK) {
        status = choose_year(&search, path, year);
    }
    if (status == STATUS_OK) {
        status = read_files(&search);
    }
    mem_free(search.paths.texts);
    return status == STATUS_OK ? read_data(b, path) : status;
}

// An evaluator's file of labels has its domains and attributes in the folders beside its own.
static Status read_siblings(TruthBuilder *b, const char *path) {
    static const char *const FOLDERS[] = {"ground_truth_domain", "ground_truth_attributes"};
    Status status = STATUS_OK;
    for (int i = 0; i < 2 && status == STATUS_OK; i++) {
        char folder[LIMIT_PATH_BYTES], sibling[LIMIT_PATH_BYTES];
        const char *slash = strrchr(path, '/');
        int size = slash != NULL ? (int)(slash - path) : 0;
        snprintf(folder, sizeof folder, "%.*s%s..", size, path, slash != NULL ? "/" : "");
        int used =
            snprintf(sibling, sizeof sibling, "%s/%s/%s", folder, FOLDERS[i], file_name(path));
        if (used > 0 && (size_t)used < sizeof sibling && file_exists(sibling)) {
            status = truth_file_read(b, sibling, truth_form_of(sibling));
        }
    }
    return status;
}

static Status read_file(TruthBuilder *b, const char *path, int32_t year) {
    TruthForm form = truth_form_of(path);
    if (form == FORM_NONE) {
        form = FORM_LIST; // people rename it; its rows tell whether it is one
    }
    b->year = year != 0 ? year : truth_list_year(path);
    Status status = truth_file_read(b, path, form);
    return status == STATUS_OK && form == FORM_LABELS ? read_siblings(b, path) : status;
}

// ---- folding ----

static int compare_statements(const void *left, const void *right) {
    const Statement *a = left, *b = right;
    int order = strcmp(a->machine, b->machine);
    order = order != 0 ? order : strcmp(a->section, b->section);
    order = order != 0 ? order : strcmp(a->name, b->name);
    order = order != 0 ? order : ORDER(a->form, b->form);
    return order != 0 ? order : ORDER(a->order, b->order);
}

static bool same_clip(const Statement *a, const Statement *b) {
    return strcmp(a->machine, b->machine) == 0 && strcmp(a->section, b->section) == 0 &&
           strcmp(a->name, b->name) == 0;
}

static void fold(TruthBuilder *b, const Statement *s, TruthClip *clip) {
    if (clip->label == LABEL_UNKNOWN) {
        clip->label = s->label;
    } else if (s->label != LABEL_UNKNOWN && s->label != clip->label) {
        contradict(b, s, clipname_label_text(clip->label), clipname_label_text(s->label));
    }
    if (clip->domain == DOMAIN_UNKNOWN) {
        clip->domain = s->domain;
    } else if (s->domain != DOMAIN_UNKNOWN && s->domain != clip->domain) {
        contradict(b, s, clipname_domain_text(clip->domain), clipname_domain_text(s->domain));
    }
    clip->telling = clip->telling[0] != '\0' ? clip->telling : s->telling;
    if (clip->attribute_count == 0) {
        clip->attributes = s->attributes;
        clip->attribute_count = s->attribute_count;
    }
}

// Says of a clip what has been said already in the same file.
static void check_twice(TruthBuilder *b, const Statement *before, const Statement *s) {
    if (before->form == s->form && s->form != FORM_DATA && strcmp(before->file, s->file) == 0) {
        remarks_add(&b->remarks, REMARK_WARNING, "%s:%zu: %s again, first at line %zu", s->file,
                    s->line, s->name, before->line);
    }
}

static Status fold_all(TruthBuilder *b, Truth *truth) {
    TruthClip *clips = memory_new(b->memory, b->count + 1, sizeof *clips);
    if (clips == NULL) {
        return STATUS_MEMORY;
    }
    if (b->count > 0) {
        qsort(b->statements, b->count, sizeof *b->statements, compare_statements);
    }
    for (uint32_t i = 0; i < b->count; i++) {
        const Statement *s = &b->statements[i];
        if (i == 0 || !same_clip(s, s - 1)) {
            clips[truth->count++] = (TruthClip){.machine = s->machine,
                                                .section = s->section,
                                                .name = s->name,
                                                .telling = "",
                                                .set = s->set};
        } else {
            check_twice(b, s - 1, s);
        }
        fold(b, s, &clips[truth->count - 1]);
    }
    for (uint32_t i = 0; i < truth->count; i++) {
        truth->labelled += clips[i].label != LABEL_UNKNOWN;
    }
    truth->clips = clips;
    return STATUS_OK;
}

// ---- looking up ----

static int compare_key(const char *machine, const char *name, const struct TruthKey *key) {
    int order = strcmp(machine, key->machine);
    return order != 0 ? order : strcmp(name, key->name);
}

static int compare_keys(const void *left, const void *right) {
    const struct TruthKey *a = left, *b = right;
    int order = compare_key(a->machine, a->name, b);
    return order != 0 ? order : ORDER(a->clip, b->clip);
}

// Two clips of one telling name are told apart by their own names only.
static uint32_t drop_doubles(TruthBuilder *b, struct TruthKey *keys, uint32_t count) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (kept == 0 || compare_key(keys[i].machine, keys[i].name, &keys[kept - 1]) != 0) {
            keys[kept++] = keys[i];
            continue;
        }
        remarks_add(&b->remarks, REMARK_WARNING,
                    "two clips of %s are named %s in the ground truth: %s and %s", keys[i].machine,
                    keys[i].name, keys[kept - 1].clip->name, keys[i].clip->name);
    }
    return kept;
}

static Status make_keys(TruthBuilder *b, Truth *truth) {
    struct TruthKey *keys = memory_new(b->memory, 2 * (size_t)truth->count + 1, sizeof *keys);
    if (keys == NULL) {
        return STATUS_MEMORY;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < truth->count; i++) {
        const TruthClip *clip = &truth->clips[i];
        keys[count++] = (struct TruthKey){clip->machine, clip->name, clip};
        if (clip->telling[0] != '\0' && strcmp(clip->telling, clip->name) != 0) {
            keys[count++] = (struct TruthKey){clip->machine, clip->telling, clip};
        }
    }
    qsort(keys, count, sizeof *keys, compare_keys);
    truth->keys = keys;
    truth->key_count = drop_doubles(b, keys, count);
    return STATUS_OK;
}

const TruthClip *truth_find(const Truth *truth, const char *machine, const char *name) {
    uint32_t low = 0, high = truth->key_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_key(machine, name, &truth->keys[middle]);
        if (order == 0) {
            return truth->keys[middle].clip;
        }
        low = order > 0 ? middle + 1 : low;
        high = order > 0 ? high : middle;
    }
    return NULL;
}

bool truth_same_section(const char *a, const char *b) {
    return strcmp(a[0] != '\0' ? a : "00", b[0] != '\0' ? b : "00") == 0;
}

// ---- all of it ----

// Names of 2020 and of 2021 are those years' own.
static int32_t year_of_names(const Truth *truth) {
    for (uint32_t i = 0; i < truth->count; i++) {
        const TruthClip *clip = &truth->clips[i];
        ClipName name = clipname_read(clip->name);
        if (clip->set == SET_EVAL && name.keyword == KEYWORD_ID) {
            return 2020;
        }
        if (clip->set == SET_EVAL && name.split == SPLIT_TEST && name.label == LABEL_UNKNOWN) {
            return 2021;
        }
    }
    return 0;
}

static bool has_machine(const Truth *truth, const char *machine) {
    for (uint32_t i = 0; i < truth->count; i++) {
        if (strcmp(truth->clips[i].machine, machine) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_form(const TruthBuilder *b, TruthForm from, TruthForm to) {
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->statements[i].form >= from && b->statements[i].form <= to) {
            return true;
        }
    }
    return false;
}

// One list is known to be wrong, and nothing in the list itself shows it.
static void warn_of_list_2022(TruthBuilder *b, const Truth *truth) {
    bool is_listed = truth->year == 2022 && has_form(b, FORM_LIST, FORM_LIST);
    if (is_listed && !has_form(b, FORM_LABELS, FORM_LABELS) &&
        (has_machine(truth, "ToyCar") || has_machine(truth, "ToyTrain"))) {
        remarks_add(&b->remarks, REMARK_NOTE,
                    "the baseline's eval_data_list_2022.csv has wrong labels for 608 clips of "
                    "ToyCar and ToyTrain: give the evaluator's ground_truth folders with it");
    }
}

static Status finish(TruthBuilder *b, const char *path, Truth **ret_truth) {
    Truth *truth = memory_new(b->memory, 1, sizeof *truth);
    if (truth == NULL) {
        return STATUS_MEMORY;
    }
    Status status = fold_all(b, truth);
    if (status == STATUS_OK) {
        status = make_keys(b, truth);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (truth->labelled == 0) {
        return status_set(
            STATUS_NOT_FOUND,
            "no labels in %s: looked for eval_data_list_YYYY.csv, ground_truth_data/, "
            "attributes_NN_test_correspondence.csv and test clips with telling names%s%s",
            path, b->remarks.count > 0 ? "; first: " : "",
            b->remarks.count > 0 ? b->remarks.items[0].text : "");
    }
    truth->year = b->year != 0 ? b->year : year_of_names(truth);
    warn_of_list_2022(b, truth);
    truth->remarks = b->remarks;
    truth->memory = b->memory;
    b->remarks = REMARKS_EMPTY;
    b->memory = NULL;
    *ret_truth = truth;
    return STATUS_OK;
}

Status truth_read(const char *path, int32_t year, Truth **ret_truth) {
    TruthBuilder builder = {.memory = memory_begin()};
    Status status = builder.memory == NULL ? STATUS_MEMORY
                    : file_is_folder(path) ? read_folder(&builder, path, year)
                    : file_exists(path)    ? read_file(&builder, path, year)
                                           : status_set(STATUS_NOT_FOUND, "there is no %s", path);
    if (status == STATUS_OK) {
        status = builder.remarks.status;
    }
    if (status == STATUS_OK) {
        status = finish(&builder, path, ret_truth);
    }
    mem_free(builder.statements);
    remarks_done(&builder.remarks);
    memory_free(builder.memory);
    return status;
}

void truth_free(Truth *truth) {
    if (truth != NULL) {
        remarks_done(&truth->remarks);
        memory_free(truth->memory);
    }
}
