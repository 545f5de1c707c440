// SPDX-License-Identifier: Apache-2.0
#include "coordinator/evaluate/find.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"

enum {
    SEARCH_DEPTH = 8,      // RUN/outputs/<system>/submission/task2/<label> is six
    SYSTEMS_MOST = 10000,  // the challenge had 100 of a year
    FILES_MOST = 100000,   // of one folder
    FOLDERS_MOST = 100000, // somebody gave the root of a disk
};

typedef struct Search {
    SystemList *list;
    const char *root; // as given
    bool predictions_first;
} Search;

typedef struct Names {
    char **texts; // (count) sorted
    uint32_t count, capacity;
} Names;

// ---- lists ----

static void names_done(Names *names) {
    for (uint32_t i = 0; i < names->count; i++) {
        mem_free(names->texts[i]);
    }
    mem_free(names->texts);
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static Status names_add(Names *names, const char *name) {
    if (names->count == FILES_MOST) {
        return status_set(STATUS_LIMIT, "more than %d files in one folder", FILES_MOST);
    }
    char *copy = mem_copy_text(name);
    if (copy == NULL ||
        !mem_grow(&names->texts, names->count, &names->capacity, sizeof *names->texts)) {
        mem_free(copy);
        return STATUS_MEMORY;
    }
    names->texts[names->count++] = copy;
    return STATUS_OK;
}

// Score files and folders; neither clips nor what is hidden.
static Status names_read(const char *folder, Names *names) {
    DIR *open = opendir(folder);
    if (open == NULL) {
        return status_set(STATUS_IO, "cannot open %s: %s", folder, strerror(errno));
    }
    Status status = STATUS_OK;
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(open)) != NULL;) {
        if (entry->d_name[0] != '.' && !clipname_is_clip(entry->d_name)) {
            status = names_add(names, entry->d_name);
        }
    }
    closedir(open);
    if (names->count > 0) {
        qsort(names->texts, names->count, sizeof *names->texts, by_text);
    }
    return status;
}

// ---- systems ----

static void system_done(SystemFiles *system) {
    for (uint32_t i = 0; i < system->count; i++) {
        mem_free(system->files[i].path);
    }
    mem_free(system->files);
    mem_free(system->name);
    mem_free(system->folder);
}

void system_list_done(SystemList *list) {
    for (uint32_t i = 0; i < list->count; i++) {
        system_done(&list->systems[i]);
    }
    mem_free(list->systems);
    *list = (SystemList){0};
}

static bool is_folder_of_runs(const char *part, size_t size) {
    static const char *const PARTS[] = {"outputs", "submission", "task2"};
    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0]; i++) {
        if (strlen(PARTS[i]) == size && strncmp(part, PARTS[i], size) == 0) {
            return true;
        }
    }
    return false;
}

// The last part of where the root really is ("." and "run/" have names too), cut at
// RUN/outputs/... where that says more.
static void name_of_root(const char *root, char out[LIMIT_PATH_BYTES]) {
    char real[PATH_MAX];
    if (realpath(root, real) == NULL) {
        text_copy(out, LIMIT_PATH_BYTES, root);
        return;
    }
    char *slash = strrchr(real, '/');
    while (slash != NULL && slash > real && is_folder_of_runs(slash + 1, strlen(slash + 1))) {
        *slash = '\0';
        slash = strrchr(real, '/');
    }
    text_copy(out, LIMIT_PATH_BYTES, slash != NULL ? slash + 1 : real);
}

// Of the folder, below the root.
static void name_of_system(const Search *search, const char *folder, char out[LIMIT_PATH_BYTES]) {
    const char *at = folder + strlen(search->root);
    size_t used = 0;
    out[0] = '\0';
    while (*at != '\0') {
        at += strspn(at, "/");
        size_t size = strcspn(at, "/");
        if (size > 0 && !is_folder_of_runs(at, size) && used + size + 2 < LIMIT_PATH_BYTES) {
            used += (size_t)snprintf(out + used, LIMIT_PATH_BYTES - used, "%s%.*s",
                                     used > 0 ? "/" : "", (int)size, at);
        }
        at += size;
    }
    if (used == 0) {
        name_of_root(search->root, out);
    }
}

static bool has_name(const SystemList *list, const char *name) {
    for (uint32_t i = 0; i < list->count; i++) {
        if (strcmp(list->systems[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static Status begin_system(Search *search, const char *folder, const char *variant) {
    SystemList *list = search->list;
    char base[LIMIT_PATH_BYTES], name[LIMIT_PATH_BYTES + LIMIT_NAME_BYTES + 32];
    name_of_system(search, folder, base);
    snprintf(name, sizeof name, "%s%s%s", base, variant[0] != '\0' ? " " : "", variant);
    for (int number = 2; has_name(list, name); number++) {
        snprintf(name, sizeof name, "%s%s%s (%d)", base, variant[0] != '\0' ? " " : "", variant,
                 number);
    }
    if (list->count == SYSTEMS_MOST) {
        return status_set(STATUS_LIMIT, "more than %d systems in %s", SYSTEMS_MOST, search->root);
    }
    if (!mem_grow(&list->systems, list->count, &list->capacity, sizeof *list->systems)) {
        return STATUS_MEMORY;
    }
    SystemFiles *system = &list->systems[list->count++];
    *system = (SystemFiles){.name = mem_copy_text(name), .folder = mem_copy_text(folder)};
    return system->name != NULL && system->folder != NULL ? STATUS_OK : STATUS_MEMORY;
}

static Status add_file(SystemFiles *system, const char *folder, const char *name) {
    char path[LIMIT_PATH_BYTES];
    Status status = folder[0] != '\0' ? file_join(path, sizeof path, folder, name) : STATUS_OK;
    if (status != STATUS_OK) {
        return status;
    }
    const char *where = folder[0] != '\0' ? path : name;
    if (!mem_grow(&system->files, system->count, &system->capacity, sizeof *system->files)) {
        return STATUS_MEMORY;
    }
    char *copy = mem_copy_text(where);
    if (copy == NULL) {
        return STATUS_MEMORY;
    }
    system->files[system->count++] = (ScoreFile){copy, score_name_read(where)};
    return STATUS_OK;
}

static bool is_score_file(const ScoreName *name) {
    return name->kind == SCORE_VALUES || name->kind == SCORE_DECISIONS;
}

// Whether all score files of the folder are of one variant, as they are of whoever hands in.
static bool has_one_variant(const Names *names) {
    ScoreName first = {0};
    for (uint32_t i = 0; i < names->count; i++) {
        ScoreName name = score_name_read(names->texts[i]);
        if (is_score_file(&name) && first.kind == SCORE_NONE) {
            first = name;
        } else if (is_score_file(&name) && strcmp(name.variant, first.variant) != 0) {
            return false;
        }
    }
    return true;
}

// The files of one variant; `taken` marks those that have a system.
static Status add_variant(Search *search, const char *folder, const Names *names, bool *taken,
                          uint32_t first, bool is_only) {
    ScoreName wanted = score_name_read(names->texts[first]);
    Status status = begin_system(search, folder, is_only ? "" : wanted.variant);
    uint32_t at = search->list->count - 1;
    for (uint32_t i = first; i < names->count && status == STATUS_OK; i++) {
        ScoreName name = score_name_read(names->texts[i]);
        if (is_score_file(&name) && !taken[i] && strcmp(name.variant, wanted.variant) == 0) {
            taken[i] = true;
            status = add_file(&search->list->systems[at], folder, names->texts[i]);
        }
    }
    return status;
}

static Status add_folder(Search *search, const char *folder, const Names *names) {
    bool is_only = has_one_variant(names);
    bool *taken = mem_new(names->count + 1, sizeof *taken);
    Status status = taken != NULL ? STATUS_OK : STATUS_MEMORY;
    for (uint32_t i = 0; i < names->count && status == STATUS_OK; i++) {
        ScoreName name = score_name_read(names->texts[i]);
        if (is_score_file(&name) && !taken[i]) {
            status = add_variant(search, folder, names, taken, i, is_only);
        }
    }
    mem_free(taken);
    return status;
}

static Status add_predictions(Search *search, const char *folder) {
    Status status = begin_system(search, folder, "");
    return status == STATUS_OK ? add_file(&search->list->systems[search->list->count - 1], folder,
                                          "challenge_predictions.csv")
                               : status;
}

// ---- folders ----

static bool has_text(const Names *names, const char *text) {
    const char *key = text;
    return names->count > 0 &&
           bsearch(&key, names->texts, names->count, sizeof key, by_text) != NULL;
}

static Status search_folder(Search *search, const char *folder, int depth);

static Status search_below(Search *search, const char *folder, const Names *names, bool skip_runs,
                           int depth) {
    Status status = STATUS_OK;
    for (uint32_t i = 0; i < names->count && status == STATUS_OK; i++) {
        char path[LIMIT_PATH_BYTES];
        bool is_skipped = skip_runs && strcmp(names->texts[i], "submission") == 0;
        if (!is_skipped && file_join(path, sizeof path, folder, names->texts[i]) == STATUS_OK &&
            file_is_folder(path)) {
            status = search_folder(search, path, depth + 1);
        }
    }
    return status;
}

static Status search_folder(Search *search, const char *folder, int depth) {
    if (depth > SEARCH_DEPTH || ++search->list->folders > FOLDERS_MOST) {
        return STATUS_OK;
    }
    Names names = {0};
    Status status = names_read(folder, &names);
    bool has_predictions = has_text(&names, "challenge_predictions.csv");
    bool takes_predictions =
        has_predictions && (search->predictions_first || !has_text(&names, "submission"));
    if (status == STATUS_OK) {
        status = add_folder(search, folder, &names);
    }
    if (status == STATUS_OK && takes_predictions) {
        status = add_predictions(search, folder);
    }
    if (status == STATUS_OK) {
        status = search_below(search, folder, &names, takes_predictions, depth);
    }
    names_done(&names);
    return depth > 0 && status == STATUS_IO ? STATUS_OK : status; // it may be nobody's business
}

static int by_system_name(const void *a, const void *b) {
    return strcmp(((const SystemFiles *)a)->name, ((const SystemFiles *)b)->name);
}

Status system_list_add(SystemList *list, const char *path, bool predictions_first) {
    Search search = {.list = list, .root = path, .predictions_first = predictions_first};
    Status status;
    if (file_is_folder(path)) {
        status = search_folder(&search, path, 0);
    } else if (!file_exists(path)) {
        status = status_set(STATUS_NOT_FOUND, "there is no %s", path);
    } else if (score_name_read(path).kind == SCORE_NONE) {
        status = status_set(STATUS_INVALID,
                            "%s: neither a folder nor a file named anomaly_score_..., "
                            "decision_result_... or challenge_predictions.csv",
                            path);
    } else {
        status = begin_system(&search, path, "");
        if (status == STATUS_OK) {
            status = add_file(&list->systems[list->count - 1], "", path);
        }
    }
    if (status == STATUS_OK && list->count > 0) {
        qsort(list->systems, list->count, sizeof *list->systems, by_system_name);
    }
    return status;
}
