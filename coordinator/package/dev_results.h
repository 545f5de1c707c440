// SPDX-License-Identifier: Apache-2.0
//
// The figures on development data that a package's meta.yaml quotes, from the tables of a run. They
// are other ones in 2020 and 2021 than since (meta_figures in meta_check.h). Any thread.
#ifndef AUSCULT_PACKAGE_DEV_RESULTS_H
#define AUSCULT_PACKAGE_DEV_RESULTS_H

#include "coordinator/package/run_system.h"

typedef struct DevResults {
    const RunSystem *system; // that is handed in
    const char *dev_run;     // the run with the figures, of that system or else its primary one
    int year;                // whose figures
    double max_fpr;          // of pAUC, where the run's report has not the year's
    int indent;              // blanks before each line
} DevResults;

// Appends meta.yaml's lines "machine: {...}" of every machine with labels, in per cent.
// *ret_count machines, which may be 0. STATUS_NOT_FOUND, STATUS_FORMAT, STATUS_MEMORY.
Status dev_results_write(const DevResults *results, Buffer *out, size_t *ret_count);

#endif
