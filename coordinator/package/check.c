// SPDX-License-Identifier: Apache-2.0
//
// How it works: every entry of the archive is looked at once as a path (tidy), and those that lie
// in task2/<label>/ are handed to their system. A system's files are read (sheet.c, meta_check.c)
// and held against each other (system_check.c).
#include "coordinator/package/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "coordinator/package/meta_check.h"
#include "coordinator/package/sheet.h"
#include "coordinator/package/system_check.h"
#include "coordinator/package/years.h"

enum { SYSTEMS_MOST = 4 }; // of one team

// A file of a system.
typedef struct Member {
    char label[LIMIT_NAME_BYTES];
    const char *name; // borrowed from the entry's path
    const ArchiveEntry *entry;
} Member;

typedef struct Checker {
    const CheckConfig *config;
    Complaints *complaints;
    char prefix[LIMIT_NAME_BYTES]; // of every path, before "task2/": "" in a good zip
    char above[LIMIT_NAME_BYTES];  // what a folder lacks before its paths: "task2/", "task2/x/"
    Member *members;               // (count) by label, then name
    size_t count;
    int year;      // to hold it against; 0 when nobody knows, or when the clips are known
    int form_year; // whose forms of files and meta.yaml it has; 0 when nobody knows
} Checker;

#define ERROR_AT(checker, path, ...)                                                               \
    complaints_add((checker)->complaints, COMPLAINT_ERROR, path, 0, __VA_ARGS__)
#define WARN_AT(checker, path, ...)                                                                \
    complaints_add((checker)->complaints, COMPLAINT_WARNING, path, 0, __VA_ARGS__)

bool package_is_label(const char *label) {
    const char *task = strstr(label, "_task2_");
    const char *first = strchr(label, '_');
    size_t word = strspn(label, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
    return task != NULL && word == strlen(label) && first != label && first < task &&
           first + 1 < task && task[7] >= '1' && task[7] <= '0' + SYSTEMS_MOST && task[8] == '\0';
}

// ---- paths ----

static bool is_junk(const char *path) {
    static const char *const NAMES[] = {".DS_Store", "Thumbs.db", "desktop.ini"};
    const char *name = file_name(path);
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (strcmp(name, NAMES[i]) == 0) {
            return true;
        }
    }
    return text_starts(path, "__MACOSX/") || strstr(path, "/__MACOSX/") != NULL ||
           text_starts(name, "._") || text_ends(name, "~") || text_ends(name, ".swp");
}

// Paths as other programs would unpack them.
static bool is_dangerous(const ArchiveEntry *entry) {
    char path[LIMIT_PATH_BYTES];
    bool fits = text_copy(path, sizeof path, entry->path);
    size_t length = strlen(path);
    if (fits && entry->is_folder && length > 0) {
        path[length - 1] = '\0';
    }
    return !fits || !file_is_safe_relative(path) || strchr(path, '\\') != NULL ||
           (length > 1 && path[1] == ':');
}

static int by_entry_path(const void *a, const void *b) {
    return strcmp((*(const ArchiveEntry *const *)a)->path, (*(const ArchiveEntry *const *)b)->path);
}

static Status find_doubles(const Checker *checker) {
    const Archive *archive = checker->config->archive;
    const ArchiveEntry **sorted = mem_new(archive->count + 1, sizeof *sorted);
    if (sorted == NULL) {
        return STATUS_MEMORY;
    }
    for (size_t i = 0; i < archive->count; i++) {
        sorted[i] = &archive->entries[i];
    }
    qsort(sorted, archive->count, sizeof *sorted, by_entry_path);
    for (size_t i = 1; i < archive->count; i++) {
        if (strcmp(sorted[i]->path, sorted[i - 1]->path) == 0) {
            ERROR_AT(checker, sorted[i]->path,
                     "the zip holds this file twice; keep one, programs differ in which they take");
        }
    }
    mem_free(sorted);
    return STATUS_OK;
}

// Where task2/ is: at the top, below another folder, or at or above the folder that was given.
static void find_root(Checker *checker) {
    const Archive *archive = checker->config->archive;
    const char *below = NULL, *loose = NULL;
    for (size_t i = 0; i < archive->count; i++) {
        const char *path = archive->entries[i].path, *inner = strstr(path, "/task2/");
        if (text_starts(path, "task2/")) {
            return;
        }
        if (is_junk(path)) {
            continue;
        }
        below = below == NULL && inner != NULL && inner != path ? path : below;
        loose = loose == NULL && strchr(path, '/') == NULL && text_ends(path, ".meta.yaml") ? path
                                                                                            : loose;
    }
    const char *name = file_name(checker->config->name);
    if (below != NULL) {
        snprintf(checker->prefix, sizeof checker->prefix, "%.*s",
                 (int)(strstr(below, "/task2/") + 1 - below), below);
        ERROR_AT(checker, checker->prefix, "task2/ lies below this folder; pack task2/ at the top");
    } else if (strcmp(name, "task2") == 0) {
        snprintf(checker->above, sizeof checker->above, "task2/");
    } else if (loose != NULL) {
        snprintf(checker->above, sizeof checker->above, "task2/%s/", name);
    } else {
        ERROR_AT(checker, checker->config->name,
                 "no folder task2/; a package holds task2/LABEL/ for each system");
    }
}

// A path below task2/<label>/ becomes a member.
static void place(Checker *checker, const ArchiveEntry *entry) {
    char path[LIMIT_PATH_BYTES + LIMIT_NAME_BYTES];
    snprintf(path, sizeof path, "%s%s", checker->above, entry->path + strlen(checker->prefix));
    const char *label = text_starts(path, "task2/") ? path + strlen("task2/") : NULL;
    const char *end = label != NULL ? strchr(label, '/') : NULL;
    bool is_report = text_ends(path, ".pdf");
    if (end == NULL || strchr(end + 1, '/') != NULL || end - label >= LIMIT_NAME_BYTES) {
        if (!is_report) {
            WARN_AT(checker, entry->path,
                    "nobody expects this file here; files lie in task2/LABEL/, remove it");
        }
        return;
    }
    Member *member = &checker->members[checker->count++];
    member->entry = entry;
    member->name = file_name(entry->path);
    snprintf(member->label, sizeof member->label, "%.*s", (int)(end - label), label);
}

static int by_member(const void *a, const void *b) {
    const Member *x = a, *y = b;
    int order = strcmp(x->label, y->label);
    return order != 0 ? order : strcmp(x->name, y->name);
}

static Status tidy(Checker *checker) {
    const Archive *archive = checker->config->archive;
    checker->members = mem_new(archive->count + 1, sizeof *checker->members);
    Status status = checker->members != NULL ? find_doubles(checker) : STATUS_MEMORY;
    if (status != STATUS_OK) {
        return status;
    }
    find_root(checker);
    for (size_t i = 0; i < archive->count; i++) {
        const ArchiveEntry *entry = &archive->entries[i];
        if (is_dangerous(entry)) {
            ERROR_AT(checker, entry->path,
                     "the path leads out of the package or is not portable; use relative paths "
                     "with '/'");
        } else if (entry->trouble != NULL) {
            ERROR_AT(checker, entry->path, "the file %s; pack it as a plain file", entry->trouble);
        } else if (is_junk(entry->path)) {
            WARN_AT(checker, entry->path, "left by a desktop or editor; remove it");
        } else if (!entry->is_folder && text_starts(entry->path, checker->prefix)) {
            place(checker, entry);
        }
    }
    qsort(checker->members, checker->count, sizeof *checker->members, by_member);
    return STATUS_OK;
}

// ---- the year ----

// Whether most score files are called as one of these parts of a name says.
static bool most_are_called(const Checker *checker, const char *part, const char *other_part) {
    size_t files = 0, such = 0;
    for (size_t i = 0; i < checker->count; i++) {
        const char *name = checker->members[i].name;
        bool is_score = text_starts(name, "anomaly_score_");
        files += is_score;
        such += is_score && (strstr(name, part) != NULL || strstr(name, other_part) != NULL);
    }
    return 2 * such > files;
}

// By the form of the names, which 2020 and 2021 have alone; else the year most of whose machines
// are there, the latest of equals.
static int recognise_year(const Checker *checker) {
    if (most_are_called(checker, "_id_", "_id_")) {
        return 2020;
    }
    if (most_are_called(checker, "_source_test.csv", "_target_test.csv")) {
        return 2021;
    }
    int best = 0;
    double best_share = 0;
    for (int year = YEAR_FIRST; year <= YEAR_LAST; year++) {
        size_t machines = 0, found = 0;
        for (const YearMachine *machine = year_machines(year); machine->name != NULL; machine++) {
            bool is_there = false;
            for (size_t i = 0; i < checker->count && !is_there; i++) {
                char start[LIMIT_NAME_BYTES];
                snprintf(start, sizeof start, "anomaly_score_%s_section_%s_", machine->name,
                         machine->sections[0]);
                is_there = text_starts(checker->members[i].name, start);
            }
            machines++;
            found += is_there;
        }
        double share = (double)found / (double)machines;
        if (share >= best_share && share > 0) {
            best_share = share;
            best = year;
        }
    }
    return best;
}

// ---- one system ----

static Status read_sheets(Checker *checker, const Member *members, size_t count, Sheet *sheets,
                          size_t *ret_count) {
    Status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        Sheet *sheet = &sheets[*ret_count];
        if (sheet_parse_name(members[i].entry->path, checker->complaints, sheet)) {
            ++*ret_count;
            status = sheet_read(members[i].entry, checker->config->expected == NULL,
                                checker->complaints, sheet);
        }
    }
    return status;
}

static Status check_sheets(Checker *checker, const char *folder, const Member *members,
                           size_t count) {
    size_t read = 0;
    Sheet *sheets = mem_new(count, sizeof *sheets);
    if (sheets == NULL) {
        return STATUS_MEMORY;
    }
    Status status = read_sheets(checker, members, count, sheets, &read);
    if (status == STATUS_OK) {
        SystemCheck check = {.folder = folder,
                             .sheets = sheets,
                             .count = read,
                             .year = checker->year,
                             .expected = checker->config->expected};
        system_check(&check, checker->complaints);
    }
    for (size_t i = 0; i < read; i++) {
        sheet_done(&sheets[i]);
    }
    mem_free(sheets);
    return status;
}

// Files that are no sheets: one meta file, perhaps a report, nothing else.
static Status check_others(Checker *checker, const char *folder, const Member *members,
                           size_t count) {
    char wanted[2 * LIMIT_NAME_BYTES];
    bool has_meta = false;
    Status status = STATUS_OK;
    snprintf(wanted, sizeof wanted, "%s.meta.yaml", members[0].label);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        const char *name = members[i].name, *path = members[i].entry->path;
        if (strcmp(name, wanted) == 0) {
            has_meta = true;
            status = meta_check(members[i].entry, members[i].label, checker->form_year,
                                checker->complaints);
        } else if (text_ends(name, ".yaml") || text_ends(name, ".yml")) {
            ERROR_AT(checker, path, "the name is not that of the folder; call it %s", wanted);
        } else if (!text_starts(name, "anomaly_score_") && !text_starts(name, "decision_result_") &&
                   !text_ends(name, ".pdf")) {
            WARN_AT(checker, path, "nobody expects this file; remove it");
        }
    }
    if (!has_meta) {
        ERROR_AT(checker, folder, "%s is missing; add it", wanted);
    }
    return status;
}

static Status check_system(Checker *checker, const Member *members, size_t count) {
    char folder[2 * LIMIT_NAME_BYTES + 16];
    snprintf(folder, sizeof folder, "%stask2/%s", checker->prefix, members[0].label);
    if (!package_is_label(members[0].label)) {
        ERROR_AT(checker, folder,
                 "the label has not the form LastName_Institute_task2_N with N of 1 to %d; rename "
                 "the folder, its meta file and the label in it",
                 SYSTEMS_MOST);
    }
    Status status = check_others(checker, folder, members, count);
    return status == STATUS_OK ? check_sheets(checker, folder, members, count) : status;
}

static bool same_team(const char *a, const char *b) {
    const char *task = strstr(a, "_task2_");
    return task != NULL && strncmp(a, b, (size_t)(task - a) + strlen("_task2_")) == 0;
}

static Status check_systems(Checker *checker) {
    Status status = STATUS_OK;
    size_t systems = 0;
    for (size_t start = 0, end; start < checker->count && status == STATUS_OK; start = end) {
        const Member *first = &checker->members[start];
        for (end = start + 1;
             end < checker->count && strcmp(checker->members[end].label, first->label) == 0;) {
            end++;
        }
        systems++;
        if (start > 0 && !same_team(checker->members[0].label, first->label)) {
            WARN_AT(checker, first->label,
                    "another team's label than '%s'; a package is of one team",
                    checker->members[0].label);
        }
        status = check_system(checker, first, end - start);
    }
    if (systems > SYSTEMS_MOST) {
        ERROR_AT(checker, "task2", "%zu systems; a team may hand in %d", systems, SYSTEMS_MOST);
    } else if (systems == 0) {
        ERROR_AT(checker, checker->config->name, "no system's folder; there must be task2/LABEL/");
    }
    return status;
}

Status package_check(const CheckConfig *config, Complaints *ret_complaints) {
    Complaints complaints = COMPLAINTS_EMPTY;
    Checker checker = {.config = config, .complaints = &complaints};
    Status status = tidy(&checker);
    if (status == STATUS_OK) {
        checker.form_year = config->year != 0 ? config->year : recognise_year(&checker);
        checker.year = config->expected != NULL ? 0 : checker.form_year;
        if (checker.year == 0 && config->expected == NULL && checker.count > 0) {
            WARN_AT(&checker, config->name,
                    "no year's machines are here, so missing ones are not told; say --year or "
                    "--data");
        }
        status = check_systems(&checker);
    }
    mem_free(checker.members);
    status = status == STATUS_OK ? complaints.status : status;
    if (status != STATUS_OK) {
        complaints_done(&complaints);
        return status;
    }
    complaints_sort(&complaints);
    *ret_complaints = complaints;
    return STATUS_OK;
}
