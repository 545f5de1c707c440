// SPDX-License-Identifier: Apache-2.0
//
// What a checker has to say: a sorted, bounded list of complaints, each naming file and line, what
// is wrong, and what to do. Sticky: add all, ask once. One thread.
#ifndef AUSCULT_PACKAGE_COMPLAINT_H
#define AUSCULT_PACKAGE_COMPLAINT_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"

typedef enum Severity { COMPLAINT_ERROR, COMPLAINT_WARNING } Severity;

typedef struct Complaint {
    char *path; // in the package, as a reader can print it
    int line;   // from 1; 0 for the file as a whole
    Severity severity;
    char *text; // "what; what to do"
} Complaint;

typedef struct Complaints {
    Complaint *items; // (count) those that are kept
    uint32_t count, capacity;
    size_t errors, warnings; // of all, kept or not
    size_t hidden;           // beyond LIMIT_FINDINGS, or too many one after another of one file
    Status status;           // the first failure
} Complaints;

#define COMPLAINTS_EMPTY ((Complaints){0})

void complaints_done(Complaints *complaints);
void complaints_add(Complaints *complaints, Severity severity, const char *path, int line,
                    const char *format, ...) __attribute__((format(printf, 5, 6)));
// By path, line, severity, text: the same whatever the order in which they were added.
void complaints_sort(Complaints *complaints);
// A line "path:line: error: text" for each, and a last one with the counts.
void complaints_format(const Complaints *complaints, Buffer *out);
// {"errors":N,"warnings":N,"hidden":N,"findings":[{"path","line","severity","text"},...]}
void complaints_json(const Complaints *complaints, Buffer *out);

#endif
