// SPDX-License-Identifier: Apache-2.0
//
// What a checking command found in other people's files, in the order in which it was found: each
// one line that names the file, the line of it, and what is wrong. Sticky: add what there is, check
// the status once. One thread.
#ifndef AUSCULT_COORDINATOR_FINDINGS_H
#define AUSCULT_COORDINATOR_FINDINGS_H

#include <stdint.h>

#include "common/base/status.h"

// Beyond so many of one kind they are only counted: a wrong file is wrong in every row.
#define FINDINGS_KEPT_MOST 20

typedef enum FindingKind {
    FINDING_ERROR,   // what it names cannot be used
    FINDING_WARNING, // used, but somebody should look
    FINDING_NOTE,    // how something was understood
    FINDING_KINDS,   // how many
} FindingKind;

typedef struct Finding {
    FindingKind kind;
    char *text; // UTF-8 without control characters
} Finding;

typedef struct Findings {
    Finding *items; // (count) those kept
    uint32_t count;
    uint32_t capacity;
    uint32_t found[FINDING_KINDS]; // all of a kind, kept or not
    Status status;                 // the first failed allocation
} Findings;

#define FINDINGS_EMPTY ((Findings){0})

void findings_done(Findings *findings);
void findings_add(Findings *findings, FindingKind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// Adds this thread's status message.
void findings_add_status(Findings *findings, FindingKind kind);
// How many of a kind were found and not kept.
uint32_t findings_unkept(const Findings *findings, FindingKind kind);
// "error", "warning", "note"; borrowed for good.
const char *finding_kind_text(FindingKind kind);

#endif
