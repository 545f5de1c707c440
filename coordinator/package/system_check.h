// SPDX-License-Identifier: Apache-2.0
//
// The score and decision files of one system of a package, held against each other and against
// what there must be. Any thread.
#ifndef AUSCULT_PACKAGE_SYSTEM_CHECK_H
#define AUSCULT_PACKAGE_SYSTEM_CHECK_H

#include "coordinator/package/complaint.h"
#include "coordinator/package/expected.h"
#include "coordinator/package/sheet.h"

typedef struct SystemCheck {
    const char *folder;       // "task2/<label>", for complaints
    const Sheet *sheets;      // (count) read
    size_t count;             //
    int year;                 // 0 when nobody knows
    const Expected *expected; // or NULL
} SystemCheck;

void system_check(const SystemCheck *check, Complaints *complaints);

#endif
