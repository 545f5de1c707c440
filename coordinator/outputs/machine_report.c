// SPDX-License-Identifier: Apache-2.0
//
// How it works: clips sorted by machine, set and section fall into runs. A run of one machine and
// set becomes a row, with one call of the metrics per section; totals go over the same clips again.
#include "coordinator/outputs/machine_report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/eval/metrics.h"
#include "common/store/csv.h"
#include "coordinator/outputs/left_out.h"

static bool same(const char *a, const char *b) {
    return strcmp(a, b) == 0;
}

static bool is_counted(const ScoredClip *clip) {
    return clip->is_test && scored_clip_has_score(clip);
}

// Statistics of the errors

// Of the clips of `set`, or of all if it is NULL. Two passes, in the order given.
static void fill_statistics(const ScoredClip *const *clips, size_t count, const char *set,
                            MachineRow *row) {
    double sum = 0, squares = 0;
    size_t flagged = 0;
    for (size_t i = 0; i < count; i++) {
        const ScoredClip *clip = clips[i];
        if (set != NULL && !same(clip->set, set)) {
            continue;
        }
        row->clips_test += clip->is_test;
        row->clips_left_out += left_out_reason(clip) != NULL;
        if (is_counted(clip)) {
            row->clips_scored++;
            flagged += clip->is_anomaly;
            sum += clip->score;
        }
    }
    double n = (double)row->clips_scored;
    if (row->clips_scored == 0) {
        row->mean_error = row->std_error = row->anomaly_rate = NAN;
        return;
    }
    row->mean_error = sum / n;
    row->anomaly_rate = 100 * (double)flagged / n;
    for (size_t i = 0; i < count; i++) {
        if (is_counted(clips[i]) && (set == NULL || same(clips[i]->set, set))) {
            double d = clips[i]->score - row->mean_error;
            squares += d * d;
        }
    }
    row->std_error = row->clips_scored > 1 ? sqrt(squares / (n - 1)) : 0;
}

static void fill_thresholds(const ScoredClip *const *clips, size_t count, MachineRow *row) {
    row->threshold_least = row->threshold_most = NAN;
    for (size_t i = 0; i < count; i++) {
        if (is_counted(clips[i])) { // fmin and fmax pass over a NaN
            row->threshold_least = fmin(row->threshold_least, clips[i]->threshold);
            row->threshold_most = fmax(row->threshold_most, clips[i]->threshold);
        }
    }
}

// Metrics

// Sums of what was defined in the sections so far.
typedef struct SectionSums {
    double sum[REPORT_METRICS];
    size_t used[REPORT_METRICS];
} SectionSums;

static void add_section(SectionSums *sums, const Metrics *metrics) {
    const double values[REPORT_METRICS] = {
        [REPORT_AUC] = metrics->auc,
        [REPORT_AUC_SOURCE] = metrics->auc_source,
        [REPORT_AUC_TARGET] = metrics->auc_target,
        [REPORT_PAUC] = metrics->pauc,
        [REPORT_F1_SOURCE] = metrics->f1_source,
        [REPORT_F1_TARGET] = metrics->f1_target,
    };
    for (size_t k = 0; k < REPORT_METRICS; k++) {
        if (!isnan(values[k])) {
            sums->sum[k] += values[k];
            sums->used[k]++;
        }
    }
}

// `room` has place for `count` clips.
static Status measure_section(const ScoredClip *const *clips, size_t count, double max_fpr,
                              MetricClip *room, SectionSums *sums) {
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_counted(clips[i])) {
            room[used++] = (MetricClip){.score = clips[i]->score,
                                        .domain = clips[i]->domain,
                                        .label = clips[i]->label,
                                        .is_anomaly = clips[i]->is_anomaly};
        }
    }
    Metrics metrics;
    Status status = metrics_of_clips(room, used, max_fpr, &metrics);
    if (status == STATUS_OK) {
        add_section(sums, &metrics);
    }
    return status;
}

static Status fill_metrics(const ScoredClip *const *clips, size_t count, double max_fpr,
                           MetricClip *room, MachineRow *row) {
    SectionSums sums = {0};
    for (size_t start = 0, end; start < count; start = end) {
        for (end = start + 1; end < count && same(clips[end]->section, clips[start]->section);) {
            end++;
        }
        Status status = measure_section(clips + start, end - start, max_fpr, room, &sums);
        if (status != STATUS_OK) {
            return status;
        }
    }
    for (size_t k = 0; k < REPORT_METRICS; k++) {
        row->metrics[k] = sums.used[k] > 0 ? sums.sum[k] / (double)sums.used[k] : NAN;
    }
    return STATUS_OK;
}

// Rows

static size_t run_end(const ScoredClip *const *clips, size_t count, size_t start) {
    size_t end = start + 1;
    while (end < count && same(clips[end]->machine, clips[start]->machine) &&
           same(clips[end]->set, clips[start]->set)) {
        end++;
    }
    return end;
}

static const char *set_name(const char *set) {
    return set[0] != '\0' ? set : "plain";
}

static void fill_label(const ScoredClip *const *clips, size_t count, size_t start, size_t end,
                       MachineRow *row) {
    const char *machine = clips[start]->machine;
    bool is_shared = (start > 0 && same(clips[start - 1]->machine, machine)) ||
                     (end < count && same(clips[end]->machine, machine));
    if (is_shared) {
        snprintf(row->label, sizeof row->label, "%s (%s)", machine, set_name(clips[start]->set));
    } else {
        snprintf(row->label, sizeof row->label, "%s", machine);
    }
}

static Status fill_machines(const ScoredClip *const *clips, size_t count, double max_fpr,
                            MetricClip *room, MachineReport *report) {
    Status status = STATUS_OK;
    for (size_t start = 0, end; start < count && status == STATUS_OK; start = end) {
        end = run_end(clips, count, start);
        MachineRow *row = &report->rows[report->machines++];
        row->set = clips[start]->set;
        fill_label(clips, count, start, end, row);
        fill_statistics(clips + start, end - start, NULL, row);
        fill_thresholds(clips + start, end - start, row);
        status = fill_metrics(clips + start, end - start, max_fpr, room, row);
    }
    return status;
}

static double largest_mean(const MachineReport *report, const char *set) {
    double largest = 0;
    for (size_t i = 0; i < report->machines; i++) {
        if (same(report->rows[i].set, set)) {
            largest = fmax(largest, report->rows[i].mean_error); // passes over NaN
        }
    }
    return largest;
}

// The sets in order of name, at most `most`; dcase.md knows three.
static size_t list_sets(const MachineReport *report, const char **out, size_t most) {
    size_t count = 0;
    for (size_t i = 0; i < report->machines; i++) {
        const char *set = report->rows[i].set;
        size_t place = 0;
        while (place < count && strcmp(out[place], set) < 0) {
            place++;
        }
        if ((place < count && same(out[place], set)) || count == most) {
            continue;
        }
        memmove(out + place + 1, out + place, (count - place) * sizeof *out);
        out[place] = set;
        count++;
    }
    return count;
}

enum { SETS_MOST = 8 };

static void fill_global_scores(MachineReport *report, const char *const *sets, size_t count) {
    for (size_t s = 0; s < count; s++) {
        double largest = largest_mean(report, sets[s]);
        for (size_t i = 0; i < report->machines; i++) {
            MachineRow *row = &report->rows[i];
            if (same(row->set, sets[s])) {
                double share = largest > 0 ? row->mean_error / largest : 0;
                row->score_global = 0.5 * share + 0.5 * row->anomaly_rate / 100;
            }
        }
    }
}

// `values` has room for one number per machine.
static void add_total(const ScoredClip *const *clips, size_t count, const char *set, double *values,
                      MachineReport *report) {
    MachineRow *row = &report->rows[report->machines + report->totals++];
    row->set = set;
    if (set != NULL) {
        snprintf(row->label, sizeof row->label, "all (%s)", set_name(set));
    } else {
        snprintf(row->label, sizeof row->label, "all");
    }
    fill_statistics(clips, count, set, row);
    row->score_global = row->threshold_least = row->threshold_most = NAN;
    for (size_t k = 0; k < REPORT_METRICS; k++) {
        size_t used = 0;
        for (size_t i = 0; i < report->machines; i++) {
            if (set == NULL || same(report->rows[i].set, set)) {
                values[used++] = report->rows[i].metrics[k];
            }
        }
        row->metrics[k] = metrics_mean_harmonic(values, used);
    }
}

static Status fill_report(const ScoredClip *const *clips, size_t count, double max_fpr,
                          MachineReport *report) {
    size_t machines = 0;
    for (size_t start = 0; start < count; start = run_end(clips, count, start)) {
        machines++;
    }
    report->rows = mem_new(machines + SETS_MOST + 1, sizeof *report->rows);
    MetricClip *room = mem_new(count + 1, sizeof *room);
    double *values = mem_new(machines + 1, sizeof *values);
    Status status = STATUS_MEMORY;
    if (report->rows != NULL && room != NULL && values != NULL) {
        status = fill_machines(clips, count, max_fpr, room, report);
    }
    if (status == STATUS_OK) {
        const char *sets[SETS_MOST];
        size_t set_count = list_sets(report, sets, SETS_MOST);
        fill_global_scores(report, sets, set_count);
        for (size_t s = 0; s < set_count && set_count > 1; s++) {
            add_total(clips, count, sets[s], values, report);
        }
        add_total(clips, count, NULL, values, report);
    }
    mem_free(values);
    mem_free(room);
    return status;
}

Status machine_report_make(const ScoredClip *clips, size_t count, double max_fpr,
                           MachineReport *ret_report) {
    MachineReport report = {0};
    const ScoredClip **sorted = NULL;
    Status status = scored_clip_sort(clips, count, ORDER_BY_SECTION, &sorted);
    if (status != STATUS_OK) {
        return status;
    }
    status = fill_report(sorted, count, max_fpr, &report);
    mem_free(sorted);
    if (status != STATUS_OK) {
        machine_report_done(&report);
        return status;
    }
    *ret_report = report;
    return STATUS_OK;
}

void machine_report_done(MachineReport *report) {
    mem_free(report->rows);
    *report = (MachineReport){0};
}

Status machine_report_write(const char *path, const MachineReport *report) {
    CsvWriter writer = CSV_WRITER_EMPTY;
    csv_writer_header(&writer,
                      "machine_type,n_files,mean_error,std_error,anomaly_rate,score_global,auc,"
                      "auc_source,auc_target,pauc,f1_source,f1_target");
    for (size_t i = 0; i < report->machines + report->totals; i++) {
        const MachineRow *row = &report->rows[i];
        csv_writer_text(&writer, row->label);
        csv_writer_int(&writer, (int64_t)row->clips_scored);
        csv_writer_number(&writer, row->mean_error);
        csv_writer_number(&writer, row->std_error);
        csv_writer_number(&writer, row->anomaly_rate);
        csv_writer_number(&writer, row->score_global);
        for (size_t k = 0; k < REPORT_METRICS; k++) {
            csv_writer_number(&writer, row->metrics[k]);
        }
        csv_writer_end_row(&writer);
    }
    Status status = csv_writer_save(&writer, path);
    csv_writer_done(&writer);
    return status;
}
