// SPDX-License-Identifier: Apache-2.0
#include "coordinator/package/expected.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

static bool has_eval(const Dataset *dataset) {
    for (uint32_t i = 0; i < dataset->machine_count; i++) {
        if (dataset->machines[i].set == SET_EVAL && dataset->machines[i].test_count > 0) {
            return true;
        }
    }
    return false;
}

static int by_place(const void *a, const void *b) {
    const ExpectedClip *x = a, *y = b;
    int order = strcmp(x->machine, y->machine);
    order = order != 0 ? order : strcmp(x->section, y->section);
    order = order != 0 ? order : (int)x->file - (int)y->file;
    return order != 0 ? order : strcmp(x->name, y->name);
}

static const char *section_of(const char *section) {
    return section[0] != '\0' ? section : "00";
}

// Sorts what was collected and gives it away, or says that there is nothing.
static Status finish(Expected *made, const char *what, Expected *ret_expected) {
    if (made->count == 0) {
        expected_done(made);
        return status_set(STATUS_NOT_FOUND, "%s no test clips to hold a package against", what);
    }
    qsort(made->clips, made->count, sizeof *made->clips, by_place);
    *ret_expected = *made;
    return STATUS_OK;
}

Status expected_make(const Dataset *dataset, Expected *ret_expected) {
    Expected made = {.clips = mem_new(dataset->clip_count + 1, sizeof *made.clips)};
    if (made.clips == NULL) {
        return STATUS_MEMORY;
    }
    bool only_eval = has_eval(dataset);
    for (uint32_t i = 0; i < dataset->clip_count; i++) {
        const Clip *clip = &dataset->clips[i];
        const Machine *machine = &dataset->machines[clip->machine];
        if (clip->split == SPLIT_TEST && (!only_eval || machine->set == SET_EVAL)) {
            made.clips[made.count++] = (ExpectedClip){.machine = machine->name,
                                                      .section = section_of(clip->section),
                                                      .name = clip->name,
                                                      .file = clipname_file(clip->name)};
        }
    }
    return finish(&made, "the data have", ret_expected);
}

Status expected_from_truth(const Truth *truth, Expected *ret_expected) {
    Expected made = {.clips = mem_new((size_t)truth->count + 1, sizeof *made.clips)};
    if (made.clips == NULL) {
        return STATUS_MEMORY;
    }
    bool only_eval = false;
    for (uint32_t i = 0; i < truth->count; i++) {
        only_eval |= truth->clips[i].set == SET_EVAL;
    }
    for (uint32_t i = 0; i < truth->count; i++) {
        const TruthClip *clip = &truth->clips[i];
        if (!only_eval || clip->set == SET_EVAL) {
            made.clips[made.count++] = (ExpectedClip){.machine = clip->machine,
                                                      .section = section_of(clip->section),
                                                      .name = clip->name,
                                                      .file = clipname_file(clip->name)};
        }
    }
    return finish(&made, "the ground truth has", ret_expected);
}

void expected_done(Expected *expected) {
    mem_free(expected->clips);
    *expected = (Expected){0};
}

size_t expected_end(const Expected *expected, size_t start) {
    const ExpectedClip *first = &expected->clips[start];
    size_t end = start + 1;
    while (end < expected->count && expected->clips[end].file == first->file &&
           strcmp(expected->clips[end].machine, first->machine) == 0 &&
           strcmp(expected->clips[end].section, first->section) == 0) {
        end++;
    }
    return end;
}

size_t expected_find(const Expected *expected, const char *machine, const char *section,
                     ClipFile file) {
    size_t at = 0;
    while (at < expected->count &&
           (expected->clips[at].file != file || strcmp(expected->clips[at].machine, machine) != 0 ||
            strcmp(expected->clips[at].section, section) != 0)) {
        at = expected_end(expected, at);
    }
    return at;
}
