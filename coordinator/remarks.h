// SPDX-License-Identifier: Apache-2.0
//
// What a checking command found in other people's files, in the order in which it was found: each
// one line that names the file, the line of it, and what is wrong. Sticky: add what there is, check
// the status once. One thread.
#ifndef AUSCULT_COORDINATOR_REMARKS_H
#define AUSCULT_COORDINATOR_REMARKS_H

#include <stdint.h>

#include "common/base/status.h"

// Beyond so many of one kind they are only counted: a wrong file is wrong in every row.
#define REMARKS_KEPT_MOST 20

typedef enum RemarkKind {
    REMARK_ERROR,   // what it names cannot be used
    REMARK_WARNING, // used, but somebody should look
    REMARK_NOTE,    // how something was understood
    REMARK_KINDS,   // how many
} RemarkKind;

typedef struct Remark {
    RemarkKind kind;
    char *text; // UTF-8 without control characters
} Remark;

typedef struct Remarks {
    Remark *items; // (count) those kept
    uint32_t count;
    uint32_t capacity;
    uint32_t found[REMARK_KINDS]; // all of a kind, kept or not
    Status status;                // the first failed allocation
} Remarks;

#define REMARKS_EMPTY ((Remarks){0})

void remarks_done(Remarks *remarks);
void remarks_add(Remarks *remarks, RemarkKind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// Adds this thread's status message.
void remarks_add_status(Remarks *remarks, RemarkKind kind);
// How many of a kind were found and not kept.
uint32_t remarks_unkept(const Remarks *remarks, RemarkKind kind);
// "error", "warning", "note"; borrowed for good.
const char *remark_kind_text(RemarkKind kind);

#endif
