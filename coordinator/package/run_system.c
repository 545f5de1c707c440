// SPDX-License-Identifier: Apache-2.0
#include "coordinator/package/run_system.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/engine/model_file.h"
#include "common/engine/network.h"
#include "common/store/csv.h"
#include "coordinator/package/author.h"
#include "coordinator/package/sheet.h"

enum { NAMES_SHOWN = 5 }; // of clips without a score

void run_systems_done(RunSystems *systems) {
    mem_free(systems->items);
    *systems = (RunSystems){0};
}

// ---- which systems there are ----

// The only folder in submission/task2/, as a run writes it: one label.
static Status find_files(RunSystem *system) {
    char task[LIMIT_PATH_BYTES];
    Status status = file_join(task, sizeof task, system->outputs, "submission/task2");
    DIR *open = status == STATUS_OK ? opendir(task) : NULL;
    if (open == NULL) {
        return status != STATUS_OK
                   ? status
                   : status_set(STATUS_NOT_FOUND,
                                "%s has no submission files: let `auscult run` end first", task);
    }
    char label[LIMIT_NAME_BYTES] = "";
    for (struct dirent *found; (found = readdir(open)) != NULL;) {
        // Several, where --label changed: the last by name, whatever the disk's order.
        if (found->d_name[0] != '.' && strcmp(found->d_name, label) > 0) {
            text_copy(label, sizeof label, found->d_name);
        }
    }
    closedir(open);
    return label[0] != '\0' ? file_join(system->files, sizeof system->files, task, label)
                            : status_set(STATUS_NOT_FOUND, "%s is empty", task);
}

static Status add_system(const char *run, const char *name, RunSystems *systems) {
    RunSystem made = {.run = run};
    char outputs[LIMIT_PATH_BYTES];
    Status status = file_join(outputs, sizeof outputs, run, "outputs");
    text_copy(made.name, sizeof made.name, name);
    if (status == STATUS_OK && name[0] != '\0') {
        status = file_join(made.outputs, sizeof made.outputs, outputs, name);
    } else {
        text_copy(made.outputs, sizeof made.outputs, outputs);
    }
    if (status == STATUS_OK) {
        status = find_files(&made);
    }
    if (status != STATUS_OK) {
        return status;
    }
    RunSystem *grown = mem_resize(systems->items, systems->count + 1, sizeof *grown);
    if (grown == NULL) {
        return STATUS_MEMORY;
    }
    systems->items = grown;
    systems->items[systems->count++] = made;
    return STATUS_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const RunSystem *)a)->name, ((const RunSystem *)b)->name);
}

Status run_systems_find(const char *run, RunSystems *systems) {
    char outputs[LIMIT_PATH_BYTES];
    size_t first = systems->count;
    Status status = file_join(outputs, sizeof outputs, run, "outputs");
    DIR *open = status == STATUS_OK ? opendir(outputs) : NULL;
    if (open == NULL) {
        return status != STATUS_OK ? status
                                   : status_set(STATUS_NOT_FOUND, "%s is no run with outputs: %s",
                                                run, strerror(errno));
    }
    status = add_system(run, "", systems);
    for (struct dirent *found; status == STATUS_OK && (found = readdir(open)) != NULL;) {
        char inner[LIMIT_PATH_BYTES];
        int used = snprintf(inner, sizeof inner, "%s/%s/submission/task2", outputs, found->d_name);
        if (found->d_name[0] != '.' && used < (int)sizeof inner && file_is_folder(inner)) {
            status = add_system(run, found->d_name, systems);
        }
    }
    closedir(open);
    if (status == STATUS_OK) {
        qsort(systems->items + first, systems->count - first, sizeof *systems->items, by_name);
    }
    return status;
}

// ---- its files ----

Status run_system_add_files(const RunSystem *system, const char *folder, Archive *archive,
                            int *ret_year) {
    Archive files = ARCHIVE_EMPTY;
    Complaints complaints = COMPLAINTS_EMPTY; // of names, which the package's check will tell
    Status status = archive_read(system->files, &files);
    for (size_t i = 0; i < files.count && status == STATUS_OK; i++) {
        const ArchiveEntry *entry = &files.entries[i];
        char path[LIMIT_PATH_BYTES];
        Sheet sheet;
        bool is_sheet = sheet_parse_name(entry->path, &complaints, &sheet) &&
                        !(sheet.is_decision && sheet.file == FILE_OF_ID); // 2020 asked for none
        if (is_sheet && entry->trouble != NULL) {
            status = status_set(STATUS_IO, "%s/%s %s", system->files, entry->path, entry->trouble);
        } else if (is_sheet) {
            *ret_year = sheet.file == FILE_OF_ID ? 2020 : sheet.file == FILE_OF_SECTION ? 0 : 2021;
            status = file_join(path, sizeof path, folder, entry->path);
            status = status == STATUS_OK
                         ? archive_add(archive, path, entry->bytes.bytes, entry->bytes.size)
                         : status;
        }
    }
    complaints_done(&complaints);
    archive_done(&files);
    return status;
}

// ---- clips without a score ----

// "machine/name" of every row, sorted.
typedef struct ClipKeys {
    char **items; // (count)
    uint32_t count, capacity;
} ClipKeys;

static void keys_done(ClipKeys *keys) {
    for (size_t i = 0; i < keys->count; i++) {
        mem_free(keys->items[i]);
    }
    mem_free(keys->items);
}

static int by_key(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static Status add_key(ClipKeys *keys, const char *machine, const char *name) {
    char key[2 * LIMIT_NAME_BYTES];
    snprintf(key, sizeof key, "%s/%s", machine, name);
    if (!mem_grow(&keys->items, keys->count, &keys->capacity, sizeof *keys->items)) {
        return STATUS_MEMORY;
    }
    keys->items[keys->count] = mem_copy_text(key);
    return keys->items[keys->count] != NULL ? (keys->count++, STATUS_OK) : STATUS_MEMORY;
}

Status run_system_find_column(const CsvReader *reader, const CsvRow *header, const char *name,
                              size_t *ret_index) {
    for (size_t i = 0; i < header->count; i++) {
        if (strcmp(header->fields[i], name) == 0) {
            *ret_index = i;
            return STATUS_OK;
        }
    }
    return csv_reader_fail(reader, header, STATUS_FORMAT, "no column '%s'", name);
}

static Status read_keys(const RunSystem *system, const char *table, ClipKeys *keys) {
    char path[LIMIT_PATH_BYTES];
    CsvReader *reader = NULL;
    CsvRow row = {0};
    size_t machine = 0, name = 0;
    Status status = file_join(path, sizeof path, system->outputs, table);
    status = status == STATUS_OK ? csv_reader_open(path, &reader) : status;
    status = status == STATUS_OK ? csv_reader_next(reader, &row) : status;
    status = status == STATUS_OK ? run_system_find_column(reader, &row, "machine_type", &machine)
                                 : status;
    status =
        status == STATUS_OK ? run_system_find_column(reader, &row, "file_name", &name) : status;
    while (status == STATUS_OK && (status = csv_reader_next(reader, &row)) == STATUS_OK &&
           row.count > 0) {
        status = row.count > machine && row.count > name
                     ? add_key(keys, row.fields[machine], row.fields[name])
                     : csv_reader_fail(reader, &row, STATUS_FORMAT, "%zu fields", row.count);
    }
    csv_reader_free(reader);
    if (status == STATUS_OK && keys->count > 0) {
        qsort(keys->items, keys->count, sizeof *keys->items, by_key);
    }
    return status;
}

Status run_system_count_left_out(const RunSystem *system, size_t *ret_count, Buffer *ret_names) {
    ClipKeys scored = {0}, handed_in = {0};
    size_t count = 0;
    Status status = read_keys(system, "challenge_predictions.csv", &scored);
    status = status == STATUS_OK ? read_keys(system, "dcase_submission.csv", &handed_in) : status;
    for (size_t i = 0; i < handed_in.count && status == STATUS_OK; i++) {
        if (scored.count == 0 || bsearch(&handed_in.items[i], scored.items, scored.count,
                                         sizeof *scored.items, by_key) == NULL) {
            if (count++ < NAMES_SHOWN) {
                buffer_format(ret_names, "%s%s", count > 1 ? ", " : "", handed_in.items[i]);
            }
        }
    }
    keys_done(&scored);
    keys_done(&handed_in);
    if (status == STATUS_OK) {
        *ret_count = count;
        status = ret_names->status;
    }
    return status;
}

// ---- its model ----

// A word of the system's name that is a kind of score is its score: models are shared by scores.
static void take_score(const char *name, Settings *settings) {
    char words[LIMIT_NAME_BYTES];
    text_copy(words, sizeof words, name);
    char *save = NULL;
    for (char *word = strtok_r(words, "_", &save); word != NULL;
         word = strtok_r(NULL, "_", &save)) {
        if (strcmp(word, "MSE") == 0 || text_ends(word, "MAHALA")) {
            (void)settings_set(settings, "score", word); // a seed's name is no score: left as it is
        }
    }
}

static Status read_model(const RunSystem *system, const char *path, RunModel *ret_model) {
    Buffer bytes = BUFFER_EMPTY;
    ModelFile file = {0};
    Status status = file_read(path, MODEL_FILE_BYTES, &bytes);
    if (status == STATUS_OK) {
        status = model_file_read(path, bytes.bytes, bytes.size, &file);
    }
    buffer_done(&bytes);
    if (status != STATUS_OK) {
        return status;
    }
    *ret_model =
        (RunModel){.settings = file.settings,
                   .shape = file.network != NULL ? network_shape(file.network, &file.settings)
                                                 : *replica_shape(file.replica),
                   .rate_hz = file.rate_hz};
    model_file_done(&file);
    text_copy(ret_model->path, sizeof ret_model->path, path);
    bool is_primary = system->name[0] == '\0';
    take_score(is_primary ? ret_model->settings.primary : system->name, &ret_model->settings);
    return STATUS_OK;
}

// Where a run keeps the model of that machine and section: the system's own, or the one it shares.
static bool find_model(const RunSystem *system, const Sheet *sheet, char *out, size_t size) {
    static const char *const SETS[] = {"", ".eval", ".plain"};
    char section[LIMIT_NAME_BYTES];
    snprintf(section, sizeof section, "/section_%s", sheet->section);
    for (int choice = 0; choice < 3 * 2 * 2; choice++) {
        bool own = choice < 6;
        if (own && system->name[0] == '\0') {
            continue;
        }
        snprintf(out, size, "%s/data/%s%s%s%s%s/" MODEL_FILE_NAME, system->run, sheet->machine,
                 SETS[choice % 3], choice / 3 % 2 == 1 ? section : "", own ? "/" : "",
                 own ? system->name : "");
        if (file_exists(out)) {
            return true;
        }
    }
    return false;
}

bool run_system_is_ensemble(const RunSystem *system) {
    return strcmp(system->name, "zmean") == 0; // as `ensemble` calls it
}

Status run_system_model(const RunSystem *system, RunModel *ret_model) {
    char path[LIMIT_PATH_BYTES] = "";
    bool found = false;
    Archive files = ARCHIVE_EMPTY;
    Complaints complaints = COMPLAINTS_EMPTY;
    Status status = archive_read(system->files, &files);
    for (size_t i = 0; i < files.count && !found && status == STATUS_OK; i++) {
        Sheet sheet;
        found = sheet_parse_name(files.entries[i].path, &complaints, &sheet) &&
                find_model(system, &sheet, path, sizeof path);
    }
    complaints_done(&complaints);
    archive_done(&files);
    if (status != STATUS_OK) {
        return status;
    }
    return found ? read_model(system, path, ret_model)
                 : status_set(STATUS_NOT_FOUND, "%s/data has no model of a machine of %s",
                              system->run, system->files);
}
