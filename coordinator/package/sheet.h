// SPDX-License-Identifier: Apache-2.0
//
// One score or decision file of a package, read byte by byte: the organisers' programs are strict
// about what a spreadsheet forgives. What is wrong becomes complaints; what can be understood
// becomes rows all the same, so that one fault does not hide another. One thread.
#ifndef AUSCULT_PACKAGE_SHEET_H
#define AUSCULT_PACKAGE_SHEET_H

#include <stdbool.h>

#include "common/base/limits.h"
#include "common/eval/clipname.h"
#include "coordinator/package/archive.h"
#include "coordinator/package/complaint.h"

typedef struct SheetRow {
    const char *name; // borrowed from Sheet.text
    double value;     // NaN where it could not be read
    int line;
} SheetRow;

typedef struct Sheet {
    const char *path; // for complaints; borrowed from the archive
    bool is_decision; // else scores
    char machine[LIMIT_NAME_BYTES];
    char section[16]; // "00"
    ClipFile file;    // which of the section's files it is
    char part[64];    // what follows the machine: "section_00_test", the same in both files
    char *text;       // the rows' names lie in it
    SheetRow *rows;   // (count) sorted by name; repeated names stay
    size_t count;
} Sheet;

// What a file's name says: kind, machine, section. False when it is no score or decision file;
// names that begin like one and go on wrongly become complaints.
bool sheet_parse_name(const char *path, Complaints *complaints, Sheet *ret_sheet);
// The rows. Whether names are those of clips is judged by `checks_names` (off when a list of the
// right ones is at hand). STATUS_MEMORY.
Status sheet_read(const ArchiveEntry *entry, bool checks_names, Complaints *complaints,
                  Sheet *sheet);
void sheet_done(Sheet *sheet);

// The row of that name, NULL when there is none.
const SheetRow *sheet_find(const Sheet *sheet, const char *name);

#endif
