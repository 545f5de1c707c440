// SPDX-License-Identifier: Apache-2.0
#include "coordinator/results/stale.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/variants.h"
#include "common/engine/keras_file.h"
#include "common/engine/model_file.h"
#include "coordinator/outputs/systems.h"

// ---- outputs of an earlier state ----

#define MARK "outputs/outdated.txt"

Status stale_mark_outputs(const char *run_folder) {
    static const char *const LATER[] = {"outputs/challenge_predictions.csv",
                                        "outputs/report_by_machine.csv"};
    static const char TEXT[] = "Other files here are of an earlier state of this run: of other "
                               "data, settings or models. `auscult run --out RUN` makes them "
                               "anew.\n";
    char path[LIMIT_PATH_BYTES];
    bool has_outputs = false;
    for (size_t i = 0; i < sizeof LATER / sizeof LATER[0]; i++) {
        Status status = file_join(path, sizeof path, run_folder, LATER[i]);
        has_outputs |= status == STATUS_OK && file_exists(path);
    }
    Status status = file_join(path, sizeof path, run_folder, MARK);
    return status == STATUS_OK && has_outputs ? file_write(path, TEXT, strlen(TEXT)) : status;
}

Status stale_unmark_outputs(const char *run_folder) {
    char path[LIMIT_PATH_BYTES];
    Status status = file_join(path, sizeof path, run_folder, MARK);
    if (status == STATUS_OK && unlink(path) != 0 && errno != ENOENT) {
        status = status_set(STATUS_IO, "cannot remove %s: %s", path, strerror(errno));
    }
    return status;
}

bool stale_is_marked(const char *run_folder) {
    char path[LIMIT_PATH_BYTES];
    return file_join(path, sizeof path, run_folder, MARK) == STATUS_OK && file_exists(path);
}

// ---- systems that are no more ----

// Whether the outputs of a further system stand in a folder of this name.
static bool is_system(const Models *models, const char *name) {
    for (uint32_t s = 1; s < models->system_count; s++) {
        if (strcmp(models->systems[s].name, name) == 0) {
            return true;
        }
    }
    return false;
}

// Whether the models of a further variant stand in a folder of this name.
static bool is_variant(const Models *models, const char *name) {
    for (uint32_t v = 1; v < models->variant_count; v++) {
        if (strcmp(models->variants[v].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static Status join(char out[LIMIT_PATH_BYTES], const char *a, const char *b, const char *c) {
    int used = snprintf(out, LIMIT_PATH_BYTES, "%s/%s%s%s", a, b, c[0] != '\0' ? "/" : "", c);
    return used >= 0 && used < LIMIT_PATH_BYTES ? STATUS_OK
                                                : status_set(STATUS_LIMIT, "path too long: %s", a);
}

static Status remove_file(const char *folder, const char *system, const char *name) {
    char path[LIMIT_PATH_BYTES];
    Status status = join(path, folder, system, name);
    if (status == STATUS_OK && unlink(path) != 0 && errno != ENOENT) {
        status = status_set(STATUS_IO, "cannot remove %s: %s", path, strerror(errno));
    }
    return status;
}

static Status remove_outputs(const char *folder, const char *system) {
    char path[LIMIT_PATH_BYTES];
    Status status = join(path, folder, system, "");
    return status == STATUS_OK ? file_remove_tree(path) : status;
}

static Status remove_results(const char *folder, const char *system) {
    static const char *const NAMES[] = {MODEL_FILE_NAME, KERAS_FILE_NAME, SCALER_FILE_NAME,
                                        "threshold.npy"};
    Status status = STATUS_OK;
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0] && status == STATUS_OK; i++) {
        status = remove_file(folder, system, NAMES[i]);
    }
    return status;
}

// Does so to every folder in `folder` that is called as a system or variant may be and is not in
// use; `folder` need not exist.
static Status each_stale(const char *folder, const Models *models,
                         bool (*is_in_use)(const Models *models, const char *name),
                         Status (*remove)(const char *folder, const char *system)) {
    DIR *opened = opendir(folder);
    Status status = STATUS_OK;
    if (opened == NULL) {
        return errno == ENOENT
                   ? STATUS_OK
                   : status_set(STATUS_IO, "cannot read %s: %s", folder, strerror(errno));
    }
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(opened)) != NULL;) {
        if (variants_is_name(entry->d_name) && !is_in_use(models, entry->d_name)) {
            status = remove(folder, entry->d_name);
        }
    }
    closedir(opened);
    return status;
}

Status stale_remove(const char *run_folder, const Models *models, const char *ensemble) {
    char path[LIMIT_PATH_BYTES];
    Status status = join(path, run_folder, "outputs", "");
    if (status == STATUS_OK) {
        status = each_stale(path, models, is_system, remove_outputs);
    }
    if (status == STATUS_OK && ensemble[0] != '\0') {
        char folder[LIMIT_PATH_BYTES];
        status = join(folder, path, ensemble, "");
        if (status == STATUS_OK && file_exists(folder)) {
            status = file_remove_tree(folder);
        }
    }
    if (status == STATUS_OK && models->system_count == 1) {
        status = remove_file(run_folder, "outputs", SYSTEMS_FILE);
    }
    if (status == STATUS_OK && models->system_count == 1) {
        status = remove_file(run_folder, "outputs", SYSTEMS_EACH_FILE);
    }
    for (uint32_t m = 0; m < models->per_variant && status == STATUS_OK; m++) {
        status = join(path, run_folder, "data", models->models[m].home);
        if (status == STATUS_OK) {
            status = each_stale(path, models, is_variant, remove_results);
        }
    }
    return status;
}
