// SPDX-License-Identifier: Apache-2.0
//
// systems.csv: the figures of every system of a run side by side. Any thread.
#ifndef AUSCULT_OUTPUTS_SYSTEMS_H
#define AUSCULT_OUTPUTS_SYSTEMS_H

#include <stdint.h>

#include "coordinator/outputs/machine_report.h"

typedef struct SystemRow {
    const char *name; // "seed_2"; borrowed
    int64_t seed;
    double metrics[REPORT_METRICS]; // of all machines, as the report's last row has them
} SystemRow;

// Columns system, seed, auc, auc_source, auc_target, pauc, f1_source, f1_target; a row for each
// system in the order given, then `mean` and `std` (with n - 1) over those where a figure is known.
// Unknown figures are empty fields, and so is the deviation of fewer than two.
Status systems_write(const char *path, const SystemRow *rows, size_t count);

#endif
