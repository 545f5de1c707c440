// SPDX-License-Identifier: Apache-2.0
//
// What lies in a run's folder and belongs to nothing any more: folders of models that data and
// settings no longer have, and their histories.
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/text.h"
#include "coordinator/run.h"

typedef struct Search {
    const char *out;
    const Models *models;
    bool removes;
    Buffer *found;    // lines: what it is
    uint64_t freed;   // bytes of what was found
    uint32_t folders; // of models
} Search;

static bool is_of_a_model(const Search *search, const char *folder) {
    for (uint32_t m = 0; m < search->models->count; m++) {
        const Model *model = &search->models->models[m];
        if (strcmp(model->folder, folder) == 0 || strcmp(model->home, folder) == 0) {
            return true;
        }
    }
    return false;
}

static void take_file(Search *search, const char *path) {
    FileFacts facts;
    if (file_facts(path, &facts) == STATUS_OK) {
        search->freed += facts.size_bytes;
    }
    if (search->removes) {
        (void)unlink(path);
    }
}

// The files of one folder below RUN/data, and the folders in it; `folder` is "" for RUN/data
// itself, whose files are nobody's.
static Status look_into(Search *search, const char *folder, int depth) {
    char path[LIMIT_PATH_BYTES], inner[LIMIT_PATH_BYTES];
    bool is_stale = folder[0] != '\0' && !is_of_a_model(search, folder);
    uint32_t files = 0;
    int used = snprintf(path, sizeof path, "%s/data/%s", search->out, folder);
    DIR *entries = used >= 0 && (size_t)used < sizeof path ? opendir(path) : NULL;
    if (entries == NULL || depth > 4) { // machine, section, setting, seed
        if (entries != NULL) {
            closedir(entries);
        }
        return STATUS_OK;
    }
    Status status = STATUS_OK;
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(entries)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        status = file_join(inner, sizeof inner, path, entry->d_name);
        if (status == STATUS_OK && file_is_folder(inner)) {
            char below[LIMIT_PATH_BYTES];
            snprintf(below, sizeof below, "%s%s%s", folder, folder[0] != '\0' ? "/" : "",
                     entry->d_name);
            status = look_into(search, below, depth + 1);
        } else if (status == STATUS_OK && is_stale) {
            files++;
            take_file(search, inner);
        }
    }
    closedir(entries);
    if (is_stale && search->removes) {
        (void)rmdir(path); // stays where a model's folder is in it
    }
    if (is_stale && files > 0) {
        search->folders++;
        buffer_format(search->found, "data/%s\n", folder);
    }
    return status;
}

static bool has_history(const Search *search, const char *name) {
    for (uint32_t m = 0; m < search->models->count; m++) {
        char expected[3 * LIMIT_NAME_BYTES];
        snprintf(expected, sizeof expected, "history_%s.csv", search->models->models[m].label);
        if (strcmp(expected, name) == 0) {
            return true;
        }
    }
    return false;
}

static void look_at_histories(Search *search) {
    char path[LIMIT_PATH_BYTES], inner[LIMIT_PATH_BYTES];
    DIR *entries =
        file_join(path, sizeof path, search->out, "logs") == STATUS_OK ? opendir(path) : NULL;
    for (struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;) {
        if (strncmp(entry->d_name, "history_", 8) == 0 && text_ends(entry->d_name, ".csv") &&
            !has_history(search, entry->d_name) &&
            file_join(inner, sizeof inner, path, entry->d_name) == STATUS_OK) {
            buffer_format(search->found, "logs/%s\n", entry->d_name);
            take_file(search, inner);
        }
    }
    if (entries != NULL) {
        closedir(entries);
    }
}

Status run_find_stale(const char *out, const Models *models, bool removes, RunStale *ret_stale) {
    Buffer found = BUFFER_EMPTY;
    Search search = {.out = out, .models = models, .removes = removes, .found = &found};
    Status status = look_into(&search, "", 0);
    if (status == STATUS_OK) {
        look_at_histories(&search);
        status = found.status;
    }
    if (status != STATUS_OK) {
        buffer_done(&found);
        return status;
    }
    *ret_stale = (RunStale){found, search.freed, search.folders};
    return STATUS_OK;
}
