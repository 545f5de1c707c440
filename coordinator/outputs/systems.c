// SPDX-License-Identifier: Apache-2.0
#include "coordinator/outputs/systems.h"

#include <math.h>

#include "common/store/csv.h"

// Mean and standard deviation of what is known of one metric; NaN where there is too little.
static void mean_and_deviation(const SystemRow *rows, size_t count, ReportMetric metric,
                               double *ret_mean, double *ret_deviation) {
    double sum = 0, squares = 0, known = 0;
    for (size_t i = 0; i < count; i++) {
        double value = rows[i].metrics[metric];
        sum += isnan(value) ? 0 : value;
        known += isnan(value) ? 0 : 1;
    }
    double mean = known > 0 ? sum / known : NAN;
    for (size_t i = 0; i < count; i++) {
        double off = rows[i].metrics[metric] - mean;
        squares += isnan(off) ? 0 : off * off;
    }
    *ret_mean = mean;
    *ret_deviation = known > 1 ? sqrt(squares / (known - 1)) : NAN;
}

static void add_figures(CsvWriter *writer, const double figures[REPORT_METRICS]) {
    for (size_t k = 0; k < REPORT_METRICS; k++) {
        csv_writer_number(writer, figures[k]);
    }
    csv_writer_end_row(writer);
}

Status systems_write(const char *path, const SystemRow *rows, size_t count) {
    double means[REPORT_METRICS], deviations[REPORT_METRICS];
    CsvWriter writer = CSV_WRITER_EMPTY;
    csv_writer_header(&writer, "system,seed,auc,auc_source,auc_target,pauc,f1_source,f1_target");
    for (size_t i = 0; i < count; i++) {
        csv_writer_text(&writer, rows[i].name);
        csv_writer_int(&writer, rows[i].seed);
        add_figures(&writer, rows[i].metrics);
    }
    for (size_t k = 0; k < REPORT_METRICS; k++) {
        mean_and_deviation(rows, count, (ReportMetric)k, &means[k], &deviations[k]);
    }
    csv_writer_text(&writer, "mean");
    csv_writer_text(&writer, "");
    add_figures(&writer, means);
    csv_writer_text(&writer, "std");
    csv_writer_text(&writer, "");
    add_figures(&writer, deviations);
    Status status = csv_writer_save(&writer, path);
    csv_writer_done(&writer);
    return status;
}
