// SPDX-License-Identifier: Apache-2.0
#include "coordinator/server/blobs.h"

#include "common/base/mem.h"

typedef struct Entry {
    Digest digest;
    SharedPayload *payload;
    size_t size;
    uint32_t holds;
} Entry;

// Some three blobs for each model under work: a search from front to back is quick enough.
struct Blobs {
    Entry *entries;
    uint32_t count, capacity;
};

Blobs *blobs_new(void) {
    return mem_new(1, sizeof(Blobs));
}

void blobs_free(Blobs *blobs) {
    if (blobs == NULL) {
        return;
    }
    for (uint32_t i = 0; i < blobs->count; i++) {
        shared_payload_release(blobs->entries[i].payload);
    }
    mem_free(blobs->entries);
    mem_free(blobs);
}

static Entry *find(const Blobs *blobs, Digest digest) {
    for (uint32_t i = 0; i < blobs->count; i++) {
        if (digest_equal(blobs->entries[i].digest, digest)) {
            return &blobs->entries[i];
        }
    }
    return NULL;
}

Status blobs_hold(Blobs *blobs, const void *bytes, size_t size, Digest *ret_digest) {
    Digest digest = digest_of(bytes, size);
    Entry *entry = find(blobs, digest);
    if (entry != NULL) {
        entry->holds++;
        *ret_digest = digest;
        return STATUS_OK;
    }
    if (blobs->count == blobs->capacity) {
        uint32_t capacity = 2 * blobs->capacity + 16;
        Entry *grown = mem_resize(blobs->entries, capacity, sizeof *grown);
        if (grown == NULL) {
            return STATUS_MEMORY;
        }
        blobs->entries = grown;
        blobs->capacity = capacity;
    }
    SharedPayload *payload = shared_payload_new(bytes, size);
    if (payload == NULL) {
        return STATUS_MEMORY;
    }
    blobs->entries[blobs->count++] = (Entry){digest, payload, size, 1};
    *ret_digest = digest;
    return STATUS_OK;
}

void blobs_drop(Blobs *blobs, Digest digest) {
    Entry *entry = find(blobs, digest);
    if (entry != NULL && --entry->holds == 0) {
        shared_payload_release(entry->payload);
        *entry = blobs->entries[--blobs->count];
    }
}

SharedPayload *blobs_find(const Blobs *blobs, Digest digest, size_t *ret_size) {
    const Entry *entry = find(blobs, digest);
    if (entry == NULL) {
        return NULL;
    }
    *ret_size = entry->size;
    return entry->payload;
}
