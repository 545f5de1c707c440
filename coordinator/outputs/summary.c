// SPDX-License-Identifier: Apache-2.0
#include "coordinator/outputs/summary.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include "coordinator/table.h"

// A name from a folder may hold what moves a terminal's cursor.
static void add_label(Table *table, const char *label) {
    char shown[MACHINE_REPORT_LABEL_BYTES];
    snprintf(shown, sizeof shown, "%s", label);
    for (char *at = shown; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7F) {
            *at = '?';
        }
    }
    table_text(table, shown);
}

static void add_metric(Table *table, double value) {
    char text[32] = "";
    if (!isnan(value)) {
        snprintf(text, sizeof text, "%.4f", value);
    }
    table_text(table, text);
}

static void add_thresholds(Table *table, double least, double most) {
    char text[80] = "";
    if (!isnan(least) && least == most) {
        snprintf(text, sizeof text, "%.6g", least);
    } else if (!isnan(least)) {
        snprintf(text, sizeof text, "%.6g .. %.6g", least, most);
    }
    table_text(table, text);
}

static void add_row(Table *table, const MachineRow *row, bool has_domains) {
    add_label(table, row->label);
    table_number(table, (int64_t)row->clips_test);
    table_number(table, (int64_t)row->clips_left_out);
    add_metric(table, row->metrics[has_domains ? REPORT_AUC_SOURCE : REPORT_AUC]);
    if (has_domains) {
        add_metric(table, row->metrics[REPORT_AUC_TARGET]);
    }
    add_metric(table, row->metrics[REPORT_PAUC]);
    add_thresholds(table, row->threshold_least, row->threshold_most);
}

static bool any_machine_has_domains(const MachineReport *report) {
    for (size_t i = 0; i < report->machines; i++) {
        const double *metrics = report->rows[i].metrics;
        if (!isnan(metrics[REPORT_AUC_SOURCE]) && !isnan(metrics[REPORT_AUC_TARGET])) {
            return true;
        }
    }
    return false;
}

void summary_format(const MachineReport *report, Buffer *out) {
    static const char *const WITH_DOMAINS[] = {
        "machine", "test clips", "left out", "AUC source", "AUC target", "pAUC", "threshold", NULL};
    static const char *const WITHOUT[] = {"machine", "test clips", "left out", "AUC",
                                          "pAUC",    "threshold",  NULL};
    bool has_domains = any_machine_has_domains(report);
    Table table;
    table_init(&table, has_domains ? WITH_DOMAINS : WITHOUT);
    table.numeric = ~1u; // all but the name are figures
    for (size_t i = 0; i < report->machines + report->totals; i++) {
        add_row(&table, &report->rows[i], has_domains);
    }
    table_format(&table, out);
    table_done(&table);
}

static void add_json_metric(const char *name, double value, Buffer *out) {
    buffer_format(out, ", \"%s\": ", name);
    if (isfinite(value)) {
        buffer_number(out, value);
    } else {
        buffer_text(out, "null"); // JSON has no NaN
    }
}

void summary_json(const MachineReport *report, Buffer *out) {
    static const char *const NAMES[REPORT_METRICS] = {[REPORT_AUC] = "auc",
                                                      [REPORT_AUC_SOURCE] = "auc_source",
                                                      [REPORT_AUC_TARGET] = "auc_target",
                                                      [REPORT_PAUC] = "pauc",
                                                      [REPORT_F1_SOURCE] = "f1_source",
                                                      [REPORT_F1_TARGET] = "f1_target"};
    buffer_text(out, "[");
    for (size_t r = 0; r < report->machines + report->totals; r++) {
        const MachineRow *row = &report->rows[r];
        buffer_text(out, r > 0 ? ",\n {\"machine_type\": " : "{\"machine_type\": ");
        buffer_json(out, row->label);
        buffer_format(out, ", \"n_files\": %zu, \"left_out\": %zu", row->clips_scored,
                      row->clips_left_out);
        for (int m = 0; m < REPORT_METRICS; m++) {
            add_json_metric(NAMES[m], row->metrics[m], out);
        }
        buffer_text(out, "}");
    }
    buffer_text(out, "]\n");
}
