// SPDX-License-Identifier: Apache-2.0
#include "coordinator/plan/clip_names.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "proto/message.h"

typedef struct Entry {
    Digest name;
    uint32_t clip;
} Entry;

struct ClipNames {
    uint32_t count;
    Entry entries[]; // by name
};

static int by_name(const void *left, const void *right) {
    const Entry *a = left, *b = right;
    return memcmp(a->name.bytes, b->name.bytes, sizeof a->name.bytes);
}

ClipNames *clip_names_new(const Dataset *dataset) {
    ClipNames *names = mem_new(1, sizeof *names + dataset->clip_count * sizeof(Entry));
    if (names == NULL) {
        return NULL;
    }
    names->count = dataset->clip_count;
    for (uint32_t i = 0; i < names->count; i++) {
        const Clip *clip = &dataset->clips[i];
        names->entries[i] = (Entry){message_clip_name(clip->root, clip->path), i};
    }
    qsort(names->entries, names->count, sizeof(Entry), by_name);
    return names;
}

void clip_names_free(ClipNames *names) {
    mem_free(names);
}

Status clip_names_find(const ClipNames *names, Digest name, uint32_t *ret_clip) {
    Entry wanted = {.name = name};
    const Entry *found = bsearch(&wanted, names->entries, names->count, sizeof(Entry), by_name);
    if (found == NULL) {
        return STATUS_NOT_FOUND;
    }
    *ret_clip = found->clip;
    return STATUS_OK;
}
