// SPDX-License-Identifier: Apache-2.0
#include "coordinator/outputs/scored_clip.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

bool scored_clip_has_score(const ScoredClip *clip) {
    return clip->is_scored && isfinite(clip->score);
}

// Compares field after field until one differs.
static int compare(const char *const *a, const char *const *b, size_t fields) {
    int order = 0;
    for (size_t i = 0; i < fields && order == 0; i++) {
        order = strcmp(a[i], b[i]);
    }
    return order;
}

static int by_name(const void *a, const void *b) {
    const ScoredClip *x = *(const ScoredClip *const *)a, *y = *(const ScoredClip *const *)b;
    const char *of_x[] = {x->machine, x->file_name, x->set, x->section, x->path};
    const char *of_y[] = {y->machine, y->file_name, y->set, y->section, y->path};
    return compare(of_x, of_y, 5);
}

static int by_section(const void *a, const void *b) {
    const ScoredClip *x = *(const ScoredClip *const *)a, *y = *(const ScoredClip *const *)b;
    const char *of_x[] = {x->machine, x->set, x->section, x->file_name, x->path};
    const char *of_y[] = {y->machine, y->set, y->section, y->file_name, y->path};
    return compare(of_x, of_y, 5);
}

static int by_path(const void *a, const void *b) {
    const ScoredClip *x = *(const ScoredClip *const *)a, *y = *(const ScoredClip *const *)b;
    const char *of_x[] = {x->path, x->machine, x->set};
    const char *of_y[] = {y->path, y->machine, y->set};
    return compare(of_x, of_y, 3);
}

Status scored_clip_sort(const ScoredClip *clips, size_t count, ScoredClipOrder order,
                        const ScoredClip ***ret_sorted) {
    static int (*const COMPARE[])(const void *, const void *) = {
        [ORDER_BY_NAME] = by_name,
        [ORDER_BY_SECTION] = by_section,
        [ORDER_BY_PATH] = by_path,
    };
    const ScoredClip **sorted = mem_new(count > 0 ? count : 1, sizeof *sorted);
    if (sorted == NULL) {
        return STATUS_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        sorted[i] = &clips[i];
    }
    qsort(sorted, count, sizeof *sorted, COMPARE[order]);
    *ret_sorted = sorted;
    return STATUS_OK;
}
