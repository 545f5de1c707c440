// SPDX-License-Identifier: Apache-2.0
//
// A submission package from finished runs: each system's official files and a meta.yaml under its
// label, checked as anybody's package is, before there is a file. The same runs and author file
// give the same bytes.
#ifndef AUSCULT_PACKAGE_BUILD_H
#define AUSCULT_PACKAGE_BUILD_H

#include "coordinator/package/check.h"

enum { PACKAGE_SYSTEMS_MOST = 4 };

typedef struct PackageConfig {
    const char *const *runs;    // (run_count) folders of finished runs
    const char *const *systems; // (system_count) names of those to hand in, "primary" for the
                                // first; none: all
    const char *dev_run;        // its report has the figures of results; NULL: each run's own has
    const char *author;         // file, see author.h
    const char *label;          // "Doe_Inst", without "_task2_1"
    const char *out;            // file to write
    const Expected *expected;   // see CheckConfig
    uint32_t run_count;
    uint32_t system_count;
    int year;       // see CheckConfig
    bool is_strict; // clips without a score are errors
} PackageConfig;

// Writes the package when the checker has no errors, else nothing. What it has to say is in
// *ret_complaints, warnings too. STATUS_INVALID: no such system, more than four; STATUS_NOT_FOUND:
// no finished run; what reading the author file says; STATUS_IO.
Status package_build(const PackageConfig *config, Complaints *ret_complaints);

#endif
