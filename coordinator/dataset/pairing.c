// SPDX-License-Identifier: Apache-2.0
#include "coordinator/dataset/pairing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"

// The files of one machine: a run of the sorted table.
typedef struct Run {
    Builder *builder;
    Found *files;
    uint32_t count;
} Run;

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

static bool is_divided(FolderKind folder) {
    return folder == FOLDER_SOURCE_TEST || folder == FOLDER_TARGET_TEST;
}

// By split and name; of equal names test/ before source_test/ and target_test/, then by path.
static int compare_names(const void *left, const void *right) {
    const Found *a = *(Found *const *)left, *b = *(Found *const *)right;
    int order = ORDER(a->clip.split, b->clip.split);
    order = order != 0 ? order : strcmp(a->clip.name, b->clip.name);
    order = order != 0 ? order : ORDER(a->folder, b->folder);
    return order != 0 ? order : ORDER(a, b);
}

// Two files of one name in one split: what becomes of the second.
static Status settle_twin(Builder *b, Found *first, Found *twin, uint32_t *doubled) {
    bool same_size = first->clip.size_bytes == twin->clip.size_bytes;
    if (first->folder == FOLDER_TEST && is_divided(twin->folder) && same_size) {
        if (first->clip.domain == DOMAIN_UNKNOWN) {
            first->clip.domain = twin->clip.domain;
        }
        twin->dropped = true;
        ++*doubled;
        return STATUS_OK;
    }
    bool same_root = first->clip.root == twin->clip.root;
    twin->clip.left_out = builder_reason(b, "same name as %s%s, which is used%s", first->clip.path,
                                         same_root ? "" : " below another --data",
                                         same_size ? "" : " (the two differ in size)");
    return twin->clip.left_out != NULL ? STATUS_OK : STATUS_MEMORY;
}

static Status settle_twins(Run *run) {
    Found **sorted = mem_new(run->count + 1, sizeof *sorted);
    if (sorted == NULL) {
        return STATUS_MEMORY;
    }
    uint32_t count = 0, doubled = 0;
    for (uint32_t i = 0; i < run->count; i++) {
        if (run->files[i].folder != FOLDER_TEST_RENAME) {
            sorted[count++] = &run->files[i];
        }
    }
    qsort(sorted, count, sizeof *sorted, compare_names);
    Status status = STATUS_OK;
    Found *first = NULL;
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        if (first != NULL && first->clip.split == sorted[i]->clip.split &&
            strcmp(first->clip.name, sorted[i]->clip.name) == 0) {
            status = settle_twin(run->builder, first, sorted[i], &doubled);
        } else {
            first = sorted[i];
        }
    }
    mem_free(sorted);
    if (status == STATUS_OK && doubled > 0) {
        status = builder_note(run->builder,
                              "%s (%s): %u test clips lie in test/ and again in source_test/ or "
                              "target_test/: those in test/ are used",
                              run->files[0].machine, dataset_set_text(run->files[0].set), doubled);
    }
    return status;
}

// A test clip or a renamed copy, with what its bytes are known by.
typedef struct Content {
    Found *file;
    uint64_t size_bytes;
    Digest digest;
    bool renamed;
    bool readable;
} Content;

static int compare_contents(const void *left, const void *right) {
    const Content *a = left, *b = right;
    int order = ORDER(a->size_bytes, b->size_bytes);
    order = order != 0 ? order : ORDER(b->readable, a->readable);
    order = order != 0 ? order : memcmp(a->digest.bytes, b->digest.bytes, sizeof a->digest.bytes);
    order = order != 0 ? order : ORDER(a->renamed, b->renamed);
    return order != 0 ? order : ORDER(a->file, b->file);
}

static Status read_content(Builder *b, Content *content, Buffer *bytes) {
    char path[LIMIT_PATH_BYTES];
    const Clip *clip = &content->file->clip;
    Status status = file_join(path, sizeof path, b->options->roots[clip->root], clip->path);
    if (status == STATUS_OK) {
        status = file_read(path, LIMIT_CLIP_BYTES, bytes);
    }
    if (status == STATUS_OK) {
        content->digest = digest_of(buffer_cstr(bytes), bytes->size);
        content->readable = true;
        return STATUS_OK;
    }
    return status == STATUS_MEMORY
               ? status
               : builder_warn(b, "%s: not paired with test_rename", status_message());
}

// Reads what has a possible partner of the same size; `contents` are sorted by size.
static Status read_contents(Builder *b, Content *contents, uint32_t count) {
    Buffer bytes = BUFFER_EMPTY;
    Status status = STATUS_OK;
    for (uint32_t first = 0, end; first < count && status == STATUS_OK; first = end) {
        uint32_t renamed = 0;
        for (end = first; end < count && contents[end].size_bytes == contents[first].size_bytes;
             end++) {
            renamed += contents[end].renamed;
        }
        bool possible = renamed > 0 && renamed < end - first;
        for (uint32_t i = first; possible && i < end && status == STATUS_OK; i++) {
            status = read_content(b, &contents[i], &bytes);
        }
    }
    buffer_done(&bytes);
    return status;
}

// What pairing one machine came to.
typedef struct PairingResult {
    uint32_t paired, unpaired;
    const Found *example; // of the unpaired
} PairingResult;

static void take_labels(const Clip *from, Clip *to) {
    to->label = from->label != LABEL_UNKNOWN ? from->label : to->label;
    to->domain = from->domain != DOMAIN_UNKNOWN ? from->domain : to->domain;
    if (to->section[0] == '\0') {
        to->section = from->section;
        to->keyword = from->keyword;
    }
    if (from->attribute_count > 0) {
        to->attributes = from->attributes;
        to->attribute_count = from->attribute_count;
    }
}

// One run of equal content: test clips first, then renamed ones. Several test clips of the same
// bytes are told apart by nothing, so their copies must agree.
static Status pair_equals(Run *run, const Content *equal, uint32_t count, PairingResult *result) {
    uint32_t tests = 0;
    while (tests < count && !equal[tests].renamed) {
        tests++;
    }
    bool agree = true;
    for (uint32_t i = tests; i < count; i++) {
        const Clip *clip = &equal[i].file->clip, *other = &equal[tests].file->clip;
        agree = agree && clip->label == other->label && clip->domain == other->domain;
    }
    if (tests == 0 || tests == count || !agree || !equal[0].readable) {
        for (uint32_t i = tests; i < count; i++) {
            result->example = result->unpaired++ == 0 ? equal[i].file : result->example;
        }
        return agree ? STATUS_OK
                     : builder_warn(run->builder,
                                    "%s: the copies of this clip in test_rename/ contradict each "
                                    "other: it stays without label",
                                    equal[0].file->clip.path);
    }
    for (uint32_t i = 0; i < tests; i++) {
        take_labels(&equal[tests].file->clip, &equal[i].file->clip);
    }
    result->paired += tests;
    return STATUS_OK;
}

static bool same_content(const Content *a, const Content *b) {
    return a->size_bytes == b->size_bytes && a->readable == b->readable &&
           digest_equal(a->digest, b->digest);
}

static Status pair_all(Run *run, Content *contents, uint32_t count) {
    qsort(contents, count, sizeof *contents, compare_contents);
    Status status = read_contents(run->builder, contents, count);
    qsort(contents, count, sizeof *contents, compare_contents);
    PairingResult result = {0};
    for (uint32_t first = 0, end; first < count && status == STATUS_OK; first = end) {
        for (end = first + 1; end < count && same_content(&contents[end], &contents[first]);
             end++) {
        }
        status = pair_equals(run, contents + first, end - first, &result);
    }
    const char *set = dataset_set_text(run->files[0].set);
    if (status == STATUS_OK && result.paired > 0) {
        status = builder_note(run->builder,
                              "%s (%s): %u test clips have their labels from test_rename/, paired "
                              "by content",
                              run->files[0].machine, set, result.paired);
    }
    if (status == STATUS_OK && result.unpaired > 0) {
        status = builder_warn(
            run->builder, "%s (%s): %u clips of test_rename/ are none of test/'s, such as %s",
            run->files[0].machine, set, result.unpaired, result.example->clip.path);
    }
    return status;
}

// Without any test clip the renamed ones are all there is.
static Status use_renamed(Run *run) {
    for (uint32_t i = 0; i < run->count; i++) {
        if (run->files[i].folder == FOLDER_TEST_RENAME) {
            run->files[i].folder = FOLDER_TEST;
        }
    }
    return builder_warn(run->builder,
                        "%s (%s): test_rename/ without test/: its clips are taken as test clips",
                        run->files[0].machine, dataset_set_text(run->files[0].set));
}

static Status settle_renamed(Run *run) {
    Content *contents = mem_new(run->count, sizeof *contents);
    if (contents == NULL) {
        return STATUS_MEMORY;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < run->count; i++) {
        Found *file = &run->files[i];
        bool copy = file->folder == FOLDER_TEST_RENAME;
        if (copy || (file->clip.split == SPLIT_TEST && !file->dropped)) {
            contents[count++] =
                (Content){.file = file, .size_bytes = file->clip.size_bytes, .renamed = copy};
        }
        file->dropped = file->dropped || copy;
    }
    Status status = pair_all(run, contents, count);
    mem_free(contents);
    return status;
}

static void settle_training(Run *run) {
    for (uint32_t i = 0; i < run->count; i++) {
        Clip *clip = &run->files[i].clip;
        if (clip->split != SPLIT_TRAIN) {
            continue;
        }
        if (clip->label == LABEL_UNKNOWN) {
            clip->label = LABEL_NORMAL;
        }
        if (clip->label == LABEL_ANOMALY && clip->left_out == NULL) {
            clip->left_out = "an anomaly among the training clips";
        }
    }
}

static Status settle(Run *run) {
    uint32_t tests = 0, renamed = 0;
    for (uint32_t i = 0; i < run->count; i++) {
        bool copy = run->files[i].folder == FOLDER_TEST_RENAME;
        renamed += copy;
        tests += !copy && run->files[i].clip.split == SPLIT_TEST;
    }
    Status status = renamed > 0 && tests == 0 ? use_renamed(run) : STATUS_OK;
    if (status == STATUS_OK) {
        status = settle_twins(run);
    }
    if (status == STATUS_OK && renamed > 0 && tests > 0) {
        status = settle_renamed(run);
    }
    settle_training(run);
    return status;
}

Status pairing_settle(Builder *b) {
    Status status = STATUS_OK;
    for (uint32_t first = 0, end; first < b->found_count && status == STATUS_OK; first = end) {
        const Found *head = &b->found[first];
        for (end = first + 1; end < b->found_count && b->found[end].set == head->set &&
                              strcmp(b->found[end].machine, head->machine) == 0;
             end++) {
        }
        Run run = {b, &b->found[first], end - first};
        status = settle(&run);
    }
    return status;
}
