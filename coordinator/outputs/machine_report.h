// SPDX-License-Identifier: Apache-2.0
//
// The figures of each machine: error statistics, share of anomalies, metrics where labels are
// known. Worked out once; report_by_machine.csv and the table on the terminal are made from it.
// Any thread.
#ifndef AUSCULT_OUTPUTS_MACHINE_REPORT_H
#define AUSCULT_OUTPUTS_MACHINE_REPORT_H

#include "coordinator/outputs/scored_clip.h"

#define MACHINE_REPORT_LABEL_BYTES 300 // a machine's name and its set

typedef enum ReportMetric {
    REPORT_AUC,
    REPORT_AUC_SOURCE,
    REPORT_AUC_TARGET,
    REPORT_PAUC,
    REPORT_F1_SOURCE,
    REPORT_F1_TARGET,
    REPORT_METRICS, // how many
} ReportMetric;

// One machine of one set, or a total. NaN is "not known".
typedef struct MachineRow {
    char label[MACHINE_REPORT_LABEL_BYTES]; // "ToyCar"; "fan (eval)" if another set has a fan too
    const char *set;                        // borrowed from the clips; NULL for the whole
    size_t clips_test;                      // test clips, with a score or not
    size_t clips_scored;                    // test clips with a score: n_files
    size_t clips_left_out;                  // of training or test
    double mean_error;                      // of the scored test clips; NaN without any
    double std_error;                       // with n - 1; 0 for a single clip
    double anomaly_rate;                    // share decided anomalous, in per cent
    double score_global; // 0.5 mean_error / (largest of its set) + 0.5 anomaly_rate / 100
    double metrics[REPORT_METRICS]; // arithmetic means over the sections in which they are defined
    double threshold_least, threshold_most; // of its models
} MachineRow;

typedef struct MachineReport {
    MachineRow *rows; // machines by name, then set; then the totals
    size_t machines;  // rows of machines
    size_t totals;    // rows after them: one per set if there are several, and last the whole
} MachineReport;

// Dev and eval sets are separate worlds: a machine has a row per set, and score_global compares it
// with the machines of its own set. A total pools the clips of its machines for n, mean, standard
// deviation and rate; its metrics are harmonic means over the machines where they are defined, and
// it has no score_global. A machine that has no scored test clip has a row without figures.
// Free with machine_report_done, also after a failure. STATUS_MEMORY.
Status machine_report_make(const ScoredClip *clips, size_t count, double max_fpr,
                           MachineReport *ret_report);
void machine_report_done(MachineReport *report);

// report_by_machine.csv: machine_type, n_files, mean_error, std_error, anomaly_rate, score_global,
// auc, auc_source, auc_target, pauc, f1_source, f1_target; unknown figures are empty fields. The
// last row is `all`; with several sets, rows `all (dev)` and so on stand before it.
Status machine_report_write(const char *path, const MachineReport *report);

#endif
