// SPDX-License-Identifier: Apache-2.0
#include "coordinator/outputs/submission.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/eval/clipname.h"
#include "common/store/csv.h"

// One row of what is handed in.
typedef struct Entry {
    const ScoredClip *clip;
    ClipFile file; // that its row stands in
    double score;
    bool is_anomaly;
} Entry;

typedef struct Entries {
    Entry *items; // by machine, then name
    size_t count;
} Entries;

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Median of the scored of these entries, 0 without any. `room` has place for `count` numbers.
static double median_score(const Entry *entries, size_t count, double *room) {
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (scored_clip_has_score(entries[i].clip)) {
            room[used++] = entries[i].score;
        }
    }
    if (used == 0) {
        return 0;
    }
    qsort(room, used, sizeof *room, by_value);
    double low = room[(used - 1) / 2], high = room[used / 2];
    return low + (high - low) / 2;
}

static const char *section_of(const ScoredClip *clip) {
    return clip->section[0] != '\0' ? clip->section : "00";
}

static size_t machine_end(const Entries *entries, size_t start) {
    size_t end = start + 1;
    while (end < entries->count &&
           strcmp(entries->items[end].clip->machine, entries->items[start].clip->machine) == 0) {
        end++;
    }
    return end;
}

static void fill_missing(Entries *entries, double *room) {
    for (size_t start = 0, end; start < entries->count; start = end) {
        end = machine_end(entries, start);
        double median = median_score(entries->items + start, end - start, room);
        for (size_t i = start; i < end; i++) {
            if (!scored_clip_has_score(entries->items[i].clip)) {
                entries->items[i].score = median;
                entries->items[i].is_anomaly = false;
            }
        }
    }
}

static bool has_eval_clips(const ScoredClip *clips, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (clips[i].is_test && strcmp(clips[i].set, "eval") == 0) {
            return true;
        }
    }
    return false;
}

static bool same_row(const ScoredClip *a, const ScoredClip *b) {
    return strcmp(a->machine, b->machine) == 0 && strcmp(a->file_name, b->file_name) == 0 &&
           strcmp(a->set, b->set) == 0 && b->is_test;
}

// A clip without a score whose name another test clip of its machine has: the challenge takes one
// row for a name, so it has none. Equal names stand side by side.
static bool is_told_apart_by_nothing(const ScoredClip **sorted, size_t count, size_t i) {
    bool before = i > 0 && same_row(sorted[i], sorted[i - 1]);
    bool after = i + 1 < count && same_row(sorted[i], sorted[i + 1]);
    bool other_has_score = (before && scored_clip_has_score(sorted[i - 1])) ||
                           (after && scored_clip_has_score(sorted[i + 1]));
    return !scored_clip_has_score(sorted[i]) && (before || other_has_score);
}

// The caller frees ret_entries->items.
static Status collect(const ScoredClip *clips, size_t count, Entries *ret_entries) {
    const ScoredClip **sorted = NULL;
    Status status = scored_clip_sort(clips, count, ORDER_BY_NAME, &sorted);
    if (status != STATUS_OK) {
        return status;
    }
    Entries entries = {.items = mem_new(count + 1, sizeof *entries.items)};
    double *room = mem_new(count + 1, sizeof *room);
    if (entries.items == NULL || room == NULL) {
        mem_free(entries.items);
        mem_free(room);
        mem_free(sorted);
        return STATUS_MEMORY;
    }
    bool only_eval = has_eval_clips(clips, count);
    for (size_t i = 0; i < count; i++) {
        if (sorted[i]->is_test && (!only_eval || strcmp(sorted[i]->set, "eval") == 0) &&
            !is_told_apart_by_nothing(sorted, count, i)) {
            entries.items[entries.count++] = (Entry){.clip = sorted[i],
                                                     .file = clipname_file(sorted[i]->file_name),
                                                     .score = sorted[i]->score,
                                                     .is_anomaly = sorted[i]->is_anomaly};
        }
    }
    fill_missing(&entries, room);
    mem_free(room);
    mem_free(sorted);
    *ret_entries = entries;
    return STATUS_OK;
}

Status submission_write_table(const char *path, const ScoredClip *clips, size_t count) {
    Entries entries;
    Status status = collect(clips, count, &entries);
    if (status != STATUS_OK) {
        return status;
    }
    CsvWriter writer = CSV_WRITER_EMPTY;
    csv_writer_header(&writer, "machine_type,file_name,anomaly_score,decision_result");
    for (size_t i = 0; i < entries.count; i++) {
        csv_writer_text(&writer, entries.items[i].clip->machine);
        csv_writer_text(&writer, entries.items[i].clip->file_name);
        csv_writer_number(&writer, entries.items[i].score);
        csv_writer_int(&writer, entries.items[i].is_anomaly);
        csv_writer_end_row(&writer);
    }
    status = csv_writer_save(&writer, path);
    csv_writer_done(&writer);
    mem_free(entries.items);
    return status;
}

// The official files

static Status check_name_part(const char *what, const char *part) {
    bool is_good = part[0] != '\0' && part[0] != '.' && strchr(part, '/') == NULL;
    return is_good
               ? STATUS_OK
               : status_set(STATUS_INVALID, "%s '%s' cannot be part of a file name", what, part);
}

static Status save_rows(const char *folder, const char *kind, const Entry *entry,
                        const CsvWriter *rows) {
    char path[LIMIT_PATH_BYTES], part[2 * LIMIT_NAME_BYTES];
    const ScoredClip *clip = entry->clip;
    bool fits = clipname_file_part(entry->file, section_of(clip), part, sizeof part);
    int used =
        fits ? snprintf(path, sizeof path, "%s/%s_%s_%s.csv", folder, kind, clip->machine, part)
             : -1;
    if (used < 0 || (size_t)used >= sizeof path) {
        return status_set(STATUS_LIMIT, "path too long: %s/%s_%s", folder, kind, clip->machine);
    }
    return csv_writer_save(rows, path);
}

// Both files of one machine's section, or of one domain of it.
static Status write_section(const char *folder, const Entry *entries, size_t count) {
    CsvWriter scores = CSV_WRITER_EMPTY, decisions = CSV_WRITER_EMPTY;
    for (size_t i = 0; i < count; i++) {
        csv_writer_text(&scores, entries[i].clip->file_name);
        csv_writer_number(&scores, entries[i].score);
        csv_writer_end_row(&scores);
        csv_writer_text(&decisions, entries[i].clip->file_name);
        csv_writer_int(&decisions, entries[i].is_anomaly);
        csv_writer_end_row(&decisions);
    }
    Status status = save_rows(folder, "anomaly_score", &entries[0], &scores);
    if (status == STATUS_OK) {
        status = save_rows(folder, "decision_result", &entries[0], &decisions);
    }
    csv_writer_done(&scores);
    csv_writer_done(&decisions);
    return status;
}

static int by_section(const void *a, const void *b) {
    const Entry *x = a, *y = b;
    int order = strcmp(section_of(x->clip), section_of(y->clip));
    order = order != 0 ? order : (int)x->file - (int)y->file;
    return order != 0 ? order : strcmp(x->clip->file_name, y->clip->file_name);
}

// Of one machine: `entries` are put in order of section, then walked once.
static Status write_machine(const char *folder, Entry *entries, size_t count) {
    Status status = check_name_part("machine", entries[0].clip->machine);
    qsort(entries, count, sizeof *entries, by_section);
    for (size_t start = 0, end; start < count && status == STATUS_OK; start = end) {
        const char *section = section_of(entries[start].clip);
        for (end = start + 1; end < count && entries[end].file == entries[start].file &&
                              strcmp(section_of(entries[end].clip), section) == 0;) {
            end++;
        }
        status = check_name_part("section", section);
        if (status == STATUS_OK) {
            status = write_section(folder, entries + start, end - start);
        }
    }
    return status;
}

Status submission_write_files(const char *folder, const char *label, const ScoredClip *clips,
                              size_t count) {
    char inner[LIMIT_PATH_BYTES];
    int used = snprintf(inner, sizeof inner, "%s/task2/%s", folder, label);
    if (used < 0 || (size_t)used >= sizeof inner) {
        return status_set(STATUS_LIMIT, "path too long: %s", folder);
    }
    Status status = check_name_part("label", label);
    if (status == STATUS_OK) {
        status = file_make_folders(inner);
    }
    Entries entries = {0};
    if (status == STATUS_OK) {
        status = collect(clips, count, &entries);
    }
    for (size_t start = 0, end; start < entries.count && status == STATUS_OK; start = end) {
        end = machine_end(&entries, start);
        status = write_machine(inner, entries.items + start, end - start);
    }
    mem_free(entries.items);
    return status;
}
