// SPDX-License-Identifier: Apache-2.0
#include "coordinator/package/dev_results.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/eval/areas.h"
#include "common/eval/clipname.h"
#include "common/store/csv.h"
#include "coordinator/package/author.h"
#include "coordinator/package/meta_check.h"

enum { COLUMNS_MOST = 6 };

// The table of that name, of the system in the run with the figures.
static Status open_table(const DevResults *results, const char *table, CsvReader **ret_reader) {
    char path[LIMIT_PATH_BYTES];
    const char *name = results->system->name;
    int used = snprintf(path, sizeof path, "%s/outputs/%s/%s", results->dev_run, name, table);
    if (name[0] == '\0' || used >= (int)sizeof path || !file_exists(path)) {
        snprintf(path, sizeof path, "%s/outputs/%s", results->dev_run, table);
    }
    return csv_reader_open(path, ret_reader);
}

// Where the columns of these names stand, from the table's first row.
static Status find_columns(CsvReader *reader, const char *const *names, size_t count,
                           size_t *ret_columns) {
    CsvRow header = {0};
    Status status = csv_reader_next(reader, &header);
    for (size_t n = 0; n < count && status == STATUS_OK; n++) {
        status = run_system_find_column(reader, &header, names[n], &ret_columns[n]);
    }
    return status;
}

static void write_line(const DevResults *results, const char *machine, const double *values,
                       Buffer *out) {
    const char *names[META_FIGURES_MOST];
    size_t count = meta_figures(results->year, names);
    buffer_format(out, "%*s", results->indent, "");
    author_write_key(machine, out);
    for (size_t f = 0; f < count; f++) {
        buffer_format(out, "%s%s: %.2f", f == 0 ? ": {" : ", ", names[f], 100 * values[f]);
    }
    buffer_text(out, "}\n");
}

// ---- from the report, which has means over the sections of each machine ----

// A report's row of one machine with figures. Totals and evaluation sets have none that belong
// here.
static bool take_row(const DevResults *results, const CsvRow *row, const size_t *columns,
                     size_t figures, Buffer *out) {
    char name[LIMIT_NAME_BYTES];
    double values[META_FIGURES_MOST];
    text_copy(name, sizeof name, row->fields[columns[0]]);
    if (strcmp(name, "all") == 0 || text_starts(name, "all (") || text_ends(name, " (eval)")) {
        return false;
    }
    for (size_t f = 0; f < figures; f++) {
        size_t column = columns[1 + f];
        if (column >= row->count || text_to_double(row->fields[column], &values[f]) != STATUS_OK) {
            return false;
        }
    }
    name[strlen(name) - (text_ends(name, " (dev)") ? strlen(" (dev)") : 0)] = '\0';
    write_line(results, name, values, out);
    return true;
}

static Status write_from_report(const DevResults *results, Buffer *out, size_t *ret_count) {
    static const char *const OF_2020[] = {"machine_type", "auc", "pauc"};
    static const char *const LATER[] = {"machine_type", "auc_source", "auc_target", "pauc"};
    bool is_2020 = results->year == 2020;
    size_t columns[COLUMNS_MOST], figures = is_2020 ? 2 : 3, count = 0;
    CsvReader *reader = NULL;
    CsvRow row = {0};
    Status status = open_table(results, "report_by_machine.csv", &reader);
    if (status == STATUS_OK) {
        status = find_columns(reader, is_2020 ? OF_2020 : LATER, 1 + figures, columns);
    }
    while (status == STATUS_OK && (status = csv_reader_next(reader, &row)) == STATUS_OK &&
           row.count > 0) {
        count += row.count > columns[0] && take_row(results, &row, columns, figures, out);
    }
    csv_reader_free(reader);
    *ret_count = count;
    return status != STATUS_OK ? status : out->status;
}

// ---- 2021: harmonic means over sections and domains, from the scores ----

typedef struct DevClip {
    char machine[LIMIT_NAME_BYTES];
    char section[CLIPNAME_SECTION_BYTES];
    MetricClip metric;
} DevClip;

typedef struct DevClips {
    DevClip *items; // (count)
    uint32_t count, capacity;
} DevClips;

static int by_place(const void *a, const void *b) {
    const DevClip *x = a, *y = b;
    int order = strcmp(x->machine, y->machine);
    return order != 0 ? order : strcmp(x->section, y->section);
}

// Clips of the development set are those that tell their label by their name.
static Status take_clip(const CsvRow *row, const size_t *columns, DevClips *clips) {
    for (size_t c = 0; c < 3; c++) {
        if (columns[c] >= row->count) {
            return STATUS_OK;
        }
    }
    DevClip made = {.metric = {.label = -1}};
    ClipName name = clipname_read(row->fields[columns[1]]);
    if (name.label == LABEL_UNKNOWN || name.domain == DOMAIN_UNKNOWN ||
        text_to_double(row->fields[columns[2]], &made.metric.score) != STATUS_OK) {
        return STATUS_OK;
    }
    if (!mem_grow(&clips->items, clips->count, &clips->capacity, sizeof *clips->items)) {
        return STATUS_MEMORY;
    }
    text_copy(made.machine, sizeof made.machine, row->fields[columns[0]]);
    text_copy(made.section, sizeof made.section, name.section);
    made.metric.domain = name.domain == DOMAIN_TARGET;
    made.metric.label = name.label == LABEL_ANOMALY;
    clips->items[clips->count++] = made;
    return STATUS_OK;
}

static Status read_clips(const DevResults *results, DevClips *clips) {
    static const char *const NAMES[] = {"machine_type", "file_name", "reconstruction_error"};
    size_t columns[COLUMNS_MOST];
    CsvReader *reader = NULL;
    CsvRow row = {0};
    Status status = open_table(results, "challenge_predictions.csv", &reader);
    if (status == STATUS_OK) {
        status = find_columns(reader, NAMES, 3, columns);
    }
    while (status == STATUS_OK && (status = csv_reader_next(reader, &row)) == STATUS_OK &&
           row.count > 0) {
        status = take_clip(&row, columns, clips);
    }
    csv_reader_free(reader);
    if (status == STATUS_OK && clips->count > 0) {
        qsort(clips->items, clips->count, sizeof *clips->items, by_place);
    }
    return status;
}

// The areas of one section. `room` has place for its clips.
static Status section_areas(const DevClip *clips, size_t count, double max_fpr, MetricClip *room,
                            Areas *ret_areas) {
    AreaRanks *ranks = NULL;
    for (size_t i = 0; i < count; i++) {
        room[i] = clips[i].metric;
    }
    Status status = area_ranks_new(room, count, &ranks);
    if (status == STATUS_OK) {
        *ret_areas = area_ranks_areas(ranks, NULL, max_fpr);
    }
    area_ranks_free(ranks);
    return status;
}

// One machine's line; none where nothing is defined. `room` and `values` (2, 2 * count) have place.
static Status write_machine(const DevResults *results, const DevClip *clips, size_t count,
                            MetricClip *room, double *values, Buffer *out, size_t *ret_count) {
    double *aucs = values, *paucs = values + 2 * count;
    size_t sections = 0;
    Status status = STATUS_OK;
    for (size_t start = 0, end; start < count && status == STATUS_OK; start = end) {
        for (end = start + 1; end < count && by_place(&clips[end], &clips[start]) == 0;) {
            end++;
        }
        Areas areas = {0};
        status = section_areas(clips + start, end - start, results->max_fpr, room, &areas);
        aucs[2 * sections] = areas.auc_source_alone;
        aucs[2 * sections + 1] = areas.auc_target_alone;
        paucs[2 * sections] = areas.pauc_source;
        paucs[2 * sections + 1] = areas.pauc_target;
        sections++;
    }
    double means[] = {metrics_mean_harmonic(aucs, 2 * sections),
                      metrics_mean_harmonic(paucs, 2 * sections)};
    if (status == STATUS_OK && isfinite(means[0]) && isfinite(means[1])) {
        write_line(results, clips[0].machine, means, out);
        ++*ret_count;
    }
    return status;
}

static Status write_from_scores(const DevResults *results, Buffer *out, size_t *ret_count) {
    DevClips clips = {0};
    size_t count = 0;
    Status status = read_clips(results, &clips);
    MetricClip *room = mem_new(clips.count + 1, sizeof *room);
    double *values = mem_new(4 * ((size_t)clips.count + 1), sizeof *values);
    if (status == STATUS_OK && (room == NULL || values == NULL)) {
        status = STATUS_MEMORY;
    }
    for (size_t start = 0, end; start < clips.count && status == STATUS_OK; start = end) {
        const DevClip *first = &clips.items[start];
        for (end = start + 1;
             end < clips.count && strcmp(clips.items[end].machine, first->machine) == 0;) {
            end++;
        }
        status = write_machine(results, first, end - start, room, values, out, &count);
    }
    mem_free(room);
    mem_free(values);
    mem_free(clips.items);
    *ret_count = count;
    return status != STATUS_OK ? status : out->status;
}

Status dev_results_write(const DevResults *results, Buffer *out, size_t *ret_count) {
    return results->year == 2021 ? write_from_scores(results, out, ret_count)
                                 : write_from_report(results, out, ret_count);
}
