// SPDX-License-Identifier: Apache-2.0
#include "coordinator/package/system_check.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/eval/clipname.h"
#include "coordinator/package/years.h"

static const char *kind_text(bool is_decision) {
    return is_decision ? "decision_result" : "anomaly_score";
}

// The other file of the pair; NULL when it is not there.
static const Sheet *partner_of(const SystemCheck *check, const Sheet *sheet) {
    for (size_t i = 0; i < check->count; i++) {
        const Sheet *other = &check->sheets[i];
        if (other->is_decision != sheet->is_decision &&
            strcmp(other->machine, sheet->machine) == 0 && strcmp(other->part, sheet->part) == 0) {
            return other;
        }
    }
    return NULL;
}

static bool has_sheet(const SystemCheck *check, const char *machine, const char *part,
                      bool is_decision) {
    for (size_t i = 0; i < check->count; i++) {
        const Sheet *sheet = &check->sheets[i];
        if (sheet->is_decision == is_decision && strcmp(sheet->machine, machine) == 0 &&
            strcmp(sheet->part, part) == 0) {
            return true;
        }
    }
    return false;
}

// ---- which files there are ----

static void require_files(const SystemCheck *check, const char *machine, const char *section,
                          ClipFile file, Complaints *complaints) {
    char part[2 * LIMIT_NAME_BYTES];
    (void)clipname_file_part(file, section, part, sizeof part);
    for (int decision = 0; decision <= 1; decision++) {
        bool is_wanted = decision == 0 || (file != FILE_OF_ID && year_has_decisions(check->year));
        if (is_wanted && !has_sheet(check, machine, part, decision == 1)) {
            complaints_add(complaints, COMPLAINT_ERROR, check->folder, 0,
                           "%s_%s_%s.csv is missing; add it", kind_text(decision == 1), machine,
                           part);
        }
    }
}

static void require_all_files(const SystemCheck *check, Complaints *complaints) {
    if (check->expected != NULL) {
        const Expected *expected = check->expected;
        for (size_t at = 0; at < expected->count; at = expected_end(expected, at)) {
            const ExpectedClip *first = &expected->clips[at];
            require_files(check, first->machine, first->section, first->file, complaints);
        }
        return;
    }
    ClipFile files[2];
    size_t count = year_files(check->year, files);
    const YearMachine *machine = year_machines(check->year);
    for (; machine != NULL && machine->name != NULL; machine++) {
        for (const char *const *section = machine->sections; *section != NULL; section++) {
            for (size_t f = 0; f < count; f++) {
                require_files(check, machine->name, *section, files[f], complaints);
            }
        }
    }
}

// Whether the file is called as its year calls it.
static bool is_well_named(const Sheet *sheet, int year) {
    ClipFile files[2];
    char part[2 * LIMIT_NAME_BYTES];
    size_t count = year_files(year, files);
    for (size_t f = 0; f < count; f++) {
        if (clipname_file_part(files[f], sheet->section, part, sizeof part) &&
            strcmp(part, sheet->part) == 0) {
            return true;
        }
    }
    return false;
}

static bool year_has(const Sheet *sheet, int year) {
    const YearMachine *machine = year_find(year, sheet->machine);
    const char *const *section = machine != NULL ? machine->sections : NULL;
    while (section != NULL && *section != NULL && strcmp(*section, sheet->section) != 0) {
        section++;
    }
    return section != NULL && *section != NULL;
}

// A file that nobody asked for.
static void check_wanted(const SystemCheck *check, const Sheet *sheet, Complaints *complaints) {
    if (check->expected != NULL) {
        if (expected_find(check->expected, sheet->machine, sheet->section, sheet->file) ==
            check->expected->count) {
            complaints_add(complaints, COMPLAINT_ERROR, sheet->path, 0,
                           "the data have no test clips of %s, %s; remove the file", sheet->machine,
                           sheet->part);
        }
        return;
    }
    if (check->year != 0 && year_has(sheet, check->year) && !is_well_named(sheet, check->year)) {
        ClipFile files[2];
        char part[2 * LIMIT_NAME_BYTES];
        (void)year_files(check->year, files);
        (void)clipname_file_part(files[0], sheet->section, part, sizeof part);
        complaints_add(complaints, COMPLAINT_ERROR, sheet->path, 0,
                       "%d has no file of this name; there it is %s_%s_%s.csv", check->year,
                       kind_text(sheet->is_decision), sheet->machine, part);
    }
    if (check->year == 0 || year_has(sheet, check->year)) {
        return;
    }
    const char *nearest = year_nearest(check->year, sheet->machine);
    if (nearest != NULL && strcmp(nearest, sheet->machine) == 0) {
        complaints_add(complaints, COMPLAINT_ERROR, sheet->path, 0,
                       "%s has no section %s in %d's evaluation set; remove the file",
                       sheet->machine, sheet->section, check->year);
        return;
    }
    complaints_add(complaints, COMPLAINT_ERROR, sheet->path, 0,
                   "'%s' is no machine of %d's evaluation set; %s%s%s", sheet->machine, check->year,
                   nearest != NULL ? "did you mean '" : "remove the file",
                   nearest != NULL ? nearest : "", nearest != NULL ? "'?" : "");
}

// ---- which clips they hold ----

static void check_exact(const SystemCheck *check, const Sheet *sheet, Complaints *complaints) {
    const Expected *expected = check->expected;
    size_t start = expected_find(expected, sheet->machine, sheet->section, sheet->file);
    if (start == expected->count) {
        return; // told already
    }
    size_t end = expected_end(expected, start);
    for (size_t i = start; i < end; i++) {
        if (sheet_find(sheet, expected->clips[i].name) == NULL) {
            complaints_add(complaints, COMPLAINT_ERROR, sheet->path, 0,
                           "no row for the clip '%s'; every clip of the set needs one",
                           expected->clips[i].name);
        }
    }
    size_t at = start; // both are sorted by name
    for (size_t i = 0; i < sheet->count; i++) {
        while (at < end && strcmp(expected->clips[at].name, sheet->rows[i].name) < 0) {
            at++;
        }
        if (at == end || strcmp(expected->clips[at].name, sheet->rows[i].name) != 0) {
            complaints_add(complaints, COMPLAINT_ERROR, sheet->path, sheet->rows[i].line,
                           "'%s' is no test clip of this machine and section; remove the row",
                           sheet->rows[i].name);
        }
    }
}

// Numbers run from 0 or 1 without gaps. Rows are sorted by name, and numbers have leading zeros.
static void check_numbering(const SystemCheck *check, const Sheet *sheet, Complaints *complaints) {
    int64_t last = -1, told = 0;
    size_t clips = 0;
    for (size_t i = 0; i < sheet->count; i++) {
        int64_t serial = clipname_read(sheet->rows[i].name).serial;
        if (serial < 0 || serial == last) {
            continue; // told already
        }
        int64_t first_missing = last + 1;
        if (serial > (last < 0 ? 1 : last + 1) && told++ < 5) {
            complaints_add(complaints, COMPLAINT_ERROR, sheet->path, sheet->rows[i].line,
                           "the clips numbered %" PRId64 " to %" PRId64
                           " are missing before '%s'; every clip needs a row",
                           first_missing, serial - 1, sheet->rows[i].name);
        }
        last = serial;
        clips++;
    }
    size_t usual = year_clips(check->year);
    if (usual > 0 && clips > 0 && clips != usual) {
        complaints_add(complaints, COMPLAINT_WARNING, sheet->path, 0,
                       "%zu clips, where %d's files have %zu; check that all are there", clips,
                       check->year, usual);
    }
}

// ---- a pair ----

static void check_same_clips(const Sheet *sheet, const Sheet *other, Complaints *complaints) {
    for (size_t i = 0; i < sheet->count; i++) {
        if (sheet_find(other, sheet->rows[i].name) == NULL) {
            complaints_add(complaints, COMPLAINT_ERROR, sheet->path, sheet->rows[i].line,
                           "'%s' has no row in the %s file; both need every clip",
                           sheet->rows[i].name, kind_text(other->is_decision));
        }
    }
}

// The highest score decided normal must be below the lowest decided anomalous.
static void check_threshold(const Sheet *scores, const Sheet *decisions, Complaints *complaints) {
    const SheetRow *highest = NULL, *lowest = NULL;
    for (size_t i = 0; i < scores->count; i++) {
        const SheetRow *score = &scores->rows[i];
        const SheetRow *decision = sheet_find(decisions, score->name);
        if (decision == NULL || isnan(decision->value) || isnan(score->value)) {
            continue;
        }
        if (decision->value == 0 && (highest == NULL || score->value > highest->value)) {
            highest = score;
        } else if (decision->value == 1 && (lowest == NULL || score->value < lowest->value)) {
            lowest = score;
        }
    }
    if (highest != NULL && lowest != NULL && highest->value >= lowest->value) {
        complaints_add(complaints, COMPLAINT_WARNING, decisions->path,
                       sheet_find(decisions, lowest->name)->line,
                       "no single threshold explains the decisions: '%s' is anomalous with score "
                       "%.9g, '%s' is normal with %.9g; check that they belong to these scores",
                       lowest->name, lowest->value, highest->name, highest->value);
    }
}

static void check_constant(const Sheet *scores, Complaints *complaints) {
    for (size_t i = 0; i < scores->count; i++) {
        if (!(scores->rows[i].value == scores->rows[0].value)) {
            return;
        }
    }
    if (scores->count > 1) {
        complaints_add(complaints, COMPLAINT_WARNING, scores->path, 0,
                       "all scores are %.9g, which tells no clip from another; check your system",
                       scores->rows[0].value);
    }
}

static void check_sheet(const SystemCheck *check, const Sheet *sheet, Complaints *complaints) {
    check_wanted(check, sheet, complaints);
    if (check->expected != NULL) {
        check_exact(check, sheet, complaints);
    } else {
        check_numbering(check, sheet, complaints);
    }
    const Sheet *partner = partner_of(check, sheet);
    if (partner != NULL && partner->rows != NULL && sheet->rows != NULL) {
        check_same_clips(sheet, partner, complaints);
    }
    if (!sheet->is_decision) {
        check_constant(sheet, complaints);
        if (partner != NULL) {
            check_threshold(sheet, partner, complaints);
        }
    }
}

void system_check(const SystemCheck *check, Complaints *complaints) {
    require_all_files(check, complaints);
    for (size_t i = 0; i < check->count; i++) {
        check_sheet(check, &check->sheets[i], complaints);
    }
}
