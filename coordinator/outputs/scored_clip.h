// SPDX-License-Identifier: Apache-2.0
//
// One clip of a run with all that is known of it at the end. Every output file is a pure function
// of an array of these, whatever its order: the report's last step. Any thread.
#ifndef AUSCULT_OUTPUTS_SCORED_CLIP_H
#define AUSCULT_OUTPUTS_SCORED_CLIP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"

// All texts are borrowed, UTF-8 and never NULL, but for left_out_reason.
typedef struct ScoredClip {
    const char *machine;         // machine type; not empty
    const char *section;         // "00", "" if none
    const char *set;             // "dev", "eval", "" for plain
    const char *file_name;       // base name
    const char *path;            // relative to its data root, for left_out.csv
    int domain;                  // 0 source, 1 target, -1 unknown
    int label;                   // 0 normal, 1 anomaly, -1 unknown
    bool is_test;                // of the test split, else of training
    bool is_scored;              // score, threshold and is_anomaly are set
    double score;                // a clip whose score is not finite counts as not scored
    double threshold;            // NaN if its model has none
    bool is_anomaly;             // the decision
    const char *left_out_reason; // NULL if it was not left out
} ScoredClip;

// Scored, and with a finite score.
bool scored_clip_has_score(const ScoredClip *clip);

typedef enum ScoredClipOrder {
    ORDER_BY_NAME,    // machine, file name, set, section, path: what files of rows want
    ORDER_BY_SECTION, // machine, set, section, file name, path: what sums by machine want
    ORDER_BY_PATH,    // path, machine, set
} ScoredClipOrder;

// Pointers to all clips in the given order (texts by strcmp); the caller frees *ret_sorted with
// mem_free. STATUS_MEMORY.
Status scored_clip_sort(const ScoredClip *clips, size_t count, ScoredClipOrder order,
                        const ScoredClip ***ret_sorted);

#endif
