// SPDX-License-Identifier: Apache-2.0
#include "coordinator/outputs/systems.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/store/csv.h"

static const char *const METRICS[REPORT_METRICS] = {"auc",  "auc_source", "auc_target",
                                                    "pauc", "f1_source",  "f1_target"};

static bool is_alike(const SystemRow *a, const SystemRow *b) {
    return strcmp(a->setting, b->setting) == 0;
}

// Mean and standard deviation of what is known of one metric among the rows that are like `like`;
// NaN where there is too little.
static void mean_and_deviation(const SystemRow *rows, size_t count, const SystemRow *like,
                               size_t metric, double *ret_mean, double *ret_deviation) {
    double sum = 0, squares = 0, known = 0;
    for (size_t i = 0; i < count; i++) {
        double value = is_alike(&rows[i], like) ? rows[i].metrics[metric] : NAN;
        sum += isnan(value) ? 0 : value;
        known += isnan(value) ? 0 : 1;
    }
    double mean = known > 0 ? sum / known : NAN;
    for (size_t i = 0; i < count; i++) {
        double off = is_alike(&rows[i], like) ? rows[i].metrics[metric] - mean : NAN;
        squares += isnan(off) ? 0 : off * off;
    }
    *ret_mean = mean;
    *ret_deviation = known > 1 ? sqrt(squares / (known - 1)) : NAN;
}

static bool is_first_of_its_setting(const SystemRow *rows, size_t index) {
    for (size_t i = 0; i < index; i++) {
        if (is_alike(&rows[i], &rows[index])) {
            return false;
        }
    }
    return true;
}

static void add_setting(CsvWriter *writer, const SystemRow *rows, size_t count,
                        const SystemRow *like) {
    int64_t seeds = 0;
    for (size_t i = 0; i < count; i++) {
        seeds += is_alike(&rows[i], like);
    }
    csv_writer_text(writer, like->setting);
    csv_writer_int(writer, seeds);
    for (size_t k = 0; k < REPORT_METRICS; k++) {
        double mean, deviation;
        mean_and_deviation(rows, count, like, k, &mean, &deviation);
        csv_writer_number(writer, mean);
        csv_writer_number(writer, deviation);
    }
    csv_writer_end_row(writer);
}

static Status save(CsvWriter *writer, const char *path) {
    Status status = csv_writer_save(writer, path);
    csv_writer_done(writer);
    return status;
}

Status systems_write(const char *path, const SystemRow *rows, size_t count) {
    CsvWriter writer = CSV_WRITER_EMPTY;
    csv_writer_text(&writer, "setting");
    csv_writer_text(&writer, "seeds");
    for (size_t k = 0; k < REPORT_METRICS; k++) {
        char deviation[32];
        snprintf(deviation, sizeof deviation, "%s_std", METRICS[k]);
        csv_writer_text(&writer, METRICS[k]);
        csv_writer_text(&writer, deviation);
    }
    csv_writer_end_row(&writer);
    for (size_t i = 0; i < count; i++) {
        if (is_first_of_its_setting(rows, i)) {
            add_setting(&writer, rows, count, &rows[i]);
        }
    }
    return save(&writer, path);
}

Status systems_write_each(const char *path, const SystemRow *rows, size_t count) {
    CsvWriter writer = CSV_WRITER_EMPTY;
    csv_writer_text(&writer, "system");
    csv_writer_text(&writer, "seed");
    for (size_t k = 0; k < REPORT_METRICS; k++) {
        csv_writer_text(&writer, METRICS[k]);
    }
    csv_writer_end_row(&writer);
    for (size_t i = 0; i < count; i++) {
        csv_writer_text(&writer, rows[i].name);
        csv_writer_int(&writer, rows[i].seed);
        for (size_t k = 0; k < REPORT_METRICS; k++) {
            csv_writer_number(&writer, rows[i].metrics[k]);
        }
        csv_writer_end_row(&writer);
    }
    return save(&writer, path);
}
