// SPDX-License-Identifier: Apache-2.0
//
// Whether the challenge would take a package: task2/<label>/ for each of at most four systems, with
// <label>.meta.yaml and, for every evaluation machine and section, anomaly_score_... and
// decision_result_... of every test clip. Anybody's package, not only ours. Any thread.
#ifndef AUSCULT_PACKAGE_CHECK_H
#define AUSCULT_PACKAGE_CHECK_H

#include "coordinator/package/archive.h"
#include "coordinator/package/complaint.h"
#include "coordinator/package/expected.h"

typedef struct CheckConfig {
    const Archive *archive;
    const char *name;         // of the folder or zip, as a folder may be task2/ or a system's own
    int year;                 // 0: recognised by the machines
    const Expected *expected; // the clips there must be, or NULL: judged by the year and the names
} CheckConfig;

// All complaints, sorted. STATUS_MEMORY.
Status package_check(const CheckConfig *config, Complaints *ret_complaints);

// Whether a label has the form LastName_Inst_task2_1, the number 1 to 4.
bool package_is_label(const char *label);

#endif
