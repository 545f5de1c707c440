// SPDX-License-Identifier: Apache-2.0
#include "coordinator/outputs/predictions.h"

#include "common/base/mem.h"
#include "common/store/csv.h"
#include "common/store/npy.h"

static void write_row(CsvWriter *writer, const ScoredClip *clip) {
    static const char *const DOMAINS[] = {"", "source", "target"};
    static const char *const LABELS[] = {"", "normal", "anomaly"};
    csv_writer_text(writer, clip->file_name);
    csv_writer_text(writer, clip->machine);
    csv_writer_text(writer, clip->section);
    csv_writer_text(writer, DOMAINS[clip->domain + 1]);
    csv_writer_text(writer, LABELS[clip->label + 1]);
    csv_writer_number(writer, clip->score);
    csv_writer_number(writer, clip->threshold);
    csv_writer_int(writer, clip->is_anomaly);
    csv_writer_end_row(writer);
}

// Whether the clip has a row.
static bool has_row(const ScoredClip *clip) {
    return clip->is_test && scored_clip_has_score(clip);
}

Status predictions_write(const char *path, const ScoredClip *clips, size_t count) {
    const ScoredClip **sorted = NULL;
    Status status = scored_clip_sort(clips, count, ORDER_BY_NAME, &sorted);
    if (status != STATUS_OK) {
        return status;
    }
    CsvWriter writer = CSV_WRITER_EMPTY;
    csv_writer_header(&writer, "file_name,machine_type,section,domain,label,reconstruction_error,"
                               "threshold,is_anomaly");
    for (size_t i = 0; i < count; i++) {
        if (has_row(sorted[i])) {
            write_row(&writer, sorted[i]);
        }
    }
    status = csv_writer_save(&writer, path);
    csv_writer_done(&writer);
    mem_free(sorted);
    return status;
}

Status predictions_write_scores(const char *path, const ScoredClip *clips, size_t count) {
    const ScoredClip **sorted = NULL;
    Status status = scored_clip_sort(clips, count, ORDER_BY_NAME, &sorted);
    if (status != STATUS_OK) {
        return status;
    }
    int64_t rows = 0;
    double *scores = mem_new(count, sizeof *scores);
    for (size_t i = 0; scores != NULL && i < count; i++) {
        if (has_row(sorted[i])) {
            scores[rows++] = sorted[i]->score;
        }
    }
    status = scores != NULL ? npy_write_float64(path, scores, 1, &rows) : STATUS_MEMORY;
    mem_free(scores);
    mem_free(sorted);
    return status;
}
