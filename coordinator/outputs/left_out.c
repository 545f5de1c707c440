// SPDX-License-Identifier: Apache-2.0
#include "coordinator/outputs/left_out.h"

#include <math.h>

#include "common/base/mem.h"
#include "common/store/csv.h"

const char *left_out_reason(const ScoredClip *clip) {
    if (clip->left_out_reason != NULL) {
        return clip->left_out_reason;
    }
    return clip->is_scored && !isfinite(clip->score) ? "its score is not a finite number" : NULL;
}

Status left_out_write(const char *path, const ScoredClip *clips, size_t count) {
    const ScoredClip **sorted = NULL;
    Status status = scored_clip_sort(clips, count, ORDER_BY_PATH, &sorted);
    if (status != STATUS_OK) {
        return status;
    }
    CsvWriter writer = CSV_WRITER_EMPTY;
    csv_writer_header(&writer, "clip,reason");
    for (size_t i = 0; i < count; i++) {
        const char *reason = left_out_reason(sorted[i]);
        if (reason != NULL) {
            csv_writer_text(&writer, sorted[i]->path);
            csv_writer_text(&writer, reason);
            csv_writer_end_row(&writer);
        }
    }
    status = csv_writer_save(&writer, path);
    csv_writer_done(&writer);
    mem_free(sorted);
    return status;
}
