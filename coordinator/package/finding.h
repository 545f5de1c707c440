// SPDX-License-Identifier: Apache-2.0
//
// What a checker has to say: a sorted, bounded list of findings, each naming file and line, what is
// wrong, and what to do. Sticky: add all, ask once. One thread.
#ifndef AUSCULT_PACKAGE_FINDING_H
#define AUSCULT_PACKAGE_FINDING_H

#include <stddef.h>

#include "common/base/buffer.h"

typedef enum Severity { FINDING_ERROR, FINDING_WARNING } Severity;

typedef struct Finding {
    char *path; // in the package, as a reader can print it
    int line;   // from 1; 0 for the file as a whole
    Severity severity;
    char *text; // "what; what to do"
} Finding;

typedef struct Findings {
    Finding *items; // (count) those that are kept
    size_t count, capacity;
    size_t errors, warnings; // of all, kept or not
    size_t hidden;           // beyond LIMIT_FINDINGS, or too many one after another of one file
    Status status;           // the first failure
} Findings;

#define FINDINGS_EMPTY ((Findings){0})

void findings_done(Findings *findings);
void findings_add(Findings *findings, Severity severity, const char *path, int line,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));
// By path, line, severity, text: the same whatever the order in which they were added.
void findings_sort(Findings *findings);
// A line "path:line: error: text" for each, and a last one with the counts.
void findings_format(const Findings *findings, Buffer *out);
// {"errors":N,"warnings":N,"hidden":N,"findings":[{"path","line","severity","text"},...]}
void findings_json(const Findings *findings, Buffer *out);

#endif
