// SPDX-License-Identifier: Apache-2.0
#include "coordinator/dataset/dataset.h"

#include <string.h>

#include "common/base/limits.h"
#include "coordinator/dataset/attributes.h"
#include "coordinator/dataset/builder.h"
#include "coordinator/dataset/labels.h"
#include "coordinator/dataset/manifest.h"
#include "coordinator/dataset/pairing.h"
#include "coordinator/dataset/sets.h"
#include "coordinator/dataset/walk.h"

static const char *const set_names[] = {"dev", "eval", "plain"};

const char *dataset_set_text(ClipSet set) {
    return set_names[set];
}

int dataset_set_of(const char *word) {
    for (int i = 0; i <= SET_PLAIN; i++) {
        if (strcmp(word, set_names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

static Status nothing_found(const Builder *b) {
    const char *first = b->options->roots[0];
    const char *more = b->options->root_count > 1 ? " and the other data folders" : "";
    if (b->options->manifest != NULL) {
        return status_set(STATUS_NOT_FOUND, "no clip of %s is in %s%s", b->options->manifest, first,
                          more);
    }
    if (b->stray_count > 0) {
        return status_set(STATUS_NOT_FOUND,
                          "no clips in %s%s: %u lie outside of MACHINE/train and MACHINE/test, "
                          "where they are looked for",
                          first, more, b->stray_count);
    }
    return status_set(STATUS_NOT_FOUND,
                      "no clips in %s%s: looked for .wav, .flac and .npy files in MACHINE/train, "
                      "MACHINE/test and the like",
                      first, more);
}

static bool any_left(const Builder *b) {
    for (uint32_t i = 0; i < b->found_count; i++) {
        if (!b->found[i].dropped) {
            return true;
        }
    }
    return false;
}

static Status build(Builder *b, Dataset **ret_dataset) {
    Status status = b->options->manifest != NULL ? manifest_read(b) : walk_roots(b);
    if (status == STATUS_OK) {
        status = sets_decide(b);
    }
    builder_sort(b);
    if (status == STATUS_OK) {
        status = attributes_apply(b);
    }
    if (status == STATUS_OK) {
        status = pairing_settle(b);
    }
    if (status == STATUS_OK) {
        status = labels_apply(b);
    }
    if (status == STATUS_OK && !any_left(b)) {
        status = nothing_found(b);
    }
    return status == STATUS_OK ? builder_finish(b, ret_dataset) : status;
}

Status dataset_scan(const DatasetOptions *options, Dataset **ret_dataset) {
    if (options->root_count == 0 || options->root_count > LIMIT_ROOTS) {
        return status_set(STATUS_INVALID, "%u data folders given, accepted are 1 to %u",
                          options->root_count, LIMIT_ROOTS);
    }
    Builder builder;
    Status status = builder_init(&builder, options);
    if (status == STATUS_OK) {
        status = build(&builder, ret_dataset);
    }
    builder_done(&builder);
    return status;
}

void dataset_free(Dataset *dataset) {
    if (dataset != NULL) {
        memory_free(dataset->memory);
    }
}

static void digest_clip(DigestStream *stream, const Dataset *dataset, const Clip *clip) {
    const Machine *machine = &dataset->machines[clip->machine];
    digest_add_u64(stream, machine->set);
    digest_add_text(stream, machine->name);
    digest_add_text(stream, clip->path);
    digest_add_u64(stream, clip->split);
    digest_add_text(stream, clip->section);
    digest_add_u64(stream, clip->domain);
    digest_add_u64(stream, clip->label);
    digest_add_u64(stream, clip->size_bytes);
}

static Status digest_clips(const Dataset *dataset, bool with_times, Digest *ret_digest) {
    DigestStream *stream = digest_begin();
    if (stream == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t i = 0; i < dataset->clip_count; i++) {
        digest_clip(stream, dataset, &dataset->clips[i]);
        if (with_times) {
            digest_add_u64(stream, (uint64_t)dataset->clips[i].mtime_ns);
        }
    }
    *ret_digest = digest_end(stream);
    return STATUS_OK;
}

Status dataset_digest(const Dataset *dataset, Digest *ret_digest) {
    return digest_clips(dataset, true, ret_digest);
}

Status dataset_content_digest(const Dataset *dataset, Digest *ret_digest) {
    return digest_clips(dataset, false, ret_digest);
}
