// SPDX-License-Identifier: Apache-2.0
//
// The figures of a run's systems side by side: systems.csv of every setting, as mean and deviation
// over its seeds, systems_each.csv of every system. Any thread.
#ifndef AUSCULT_OUTPUTS_SYSTEMS_H
#define AUSCULT_OUTPUTS_SYSTEMS_H

#include <stdint.h>

#include "coordinator/outputs/machine_report.h"

#define SYSTEMS_FILE      "systems.csv"
#define SYSTEMS_EACH_FILE "systems_each.csv"

typedef struct SystemRow {
    const char *name;    // "n_mels_64_seed_2_MAHALA"; borrowed
    const char *setting; // what it shares with those of other seeds: "n_mels_64_MAHALA"; borrowed
    int64_t seed;
    double metrics[REPORT_METRICS]; // of all machines, as the report's last row has them
} SystemRow;

// systems.csv: columns setting, seeds, then auc, auc_std, ... of all metrics of ReportMetric; a row
// for each setting in the order in which the settings come first. Means and deviations (with n - 1)
// are over the seeds for which a figure is known; unknown ones are empty fields, and so is the
// deviation of fewer than two.
Status systems_write(const char *path, const SystemRow *rows, size_t count);
// systems_each.csv: columns system, seed, auc, auc_source, auc_target, pauc, f1_source, f1_target;
// a row for each system in the order given.
Status systems_write_each(const char *path, const SystemRow *rows, size_t count);

#endif
