// SPDX-License-Identifier: Apache-2.0
#include "coordinator/journal/key_index.h"

#include <string.h>

#include "common/base/mem.h"

enum { ENTRIES_LEAST = 64 };

static uint64_t bits_of(Digest key) {
    uint64_t bits;
    memcpy(&bits, key.bytes, sizeof bits);
    return bits;
}

static uint64_t place_with(Digest key, uint32_t entry) {
    return (bits_of(key) & ~(uint64_t)UINT32_MAX) | (entry + 1);
}

// The entry that a place, which is not free, holds.
static struct KeyIndexEntry *entry_at(const KeyIndex *index, uint32_t place) {
    return &index->entries[(uint32_t)index->places[place] - 1];
}

// The place of a key, or the free one where it belongs.
static uint32_t place_of(const KeyIndex *index, Digest key) {
    uint64_t bits = bits_of(key);
    uint32_t mask = index->place_count - 1;
    uint32_t place = (uint32_t)bits & mask;
    while (index->places[place] != 0 && !(index->places[place] >> 32 == bits >> 32 &&
                                          digest_equal(entry_at(index, place)->key, key))) {
        place = (place + 1) & mask;
    }
    return place;
}

uint64_t key_index_get(const KeyIndex *index, Digest key) {
    if (index->place_count == 0) {
        return 0;
    }
    uint32_t place = place_of(index, key);
    return index->places[place] != 0 ? entry_at(index, place)->number : 0;
}

static Status grow(KeyIndex *index) {
    uint32_t capacity = index->capacity > 0 ? 2 * index->capacity : ENTRIES_LEAST;
    struct KeyIndexEntry *entries = mem_resize(index->entries, capacity, sizeof *entries);
    if (entries == NULL) {
        return STATUS_MEMORY;
    }
    index->entries = entries;
    uint64_t *places = mem_new(2 * (size_t)capacity, sizeof *places);
    if (places == NULL) {
        return STATUS_MEMORY;
    }
    mem_free(index->places);
    index->places = places;
    index->place_count = 2 * capacity;
    index->capacity = capacity;
    for (uint32_t i = 0; i < index->count; i++) {
        Digest key = index->entries[i].key;
        index->places[place_of(index, key)] = place_with(key, i);
    }
    return STATUS_OK;
}

Status key_index_set(KeyIndex *index, Digest key, uint64_t number) {
    if (index->count == index->capacity) {
        Status status = grow(index);
        if (status != STATUS_OK) {
            return status;
        }
    }
    uint32_t place = place_of(index, key);
    if (index->places[place] == 0) {
        index->entries[index->count].key = key;
        index->places[place] = place_with(key, index->count++);
    }
    entry_at(index, place)->number = number;
    return STATUS_OK;
}

void key_index_done(KeyIndex *index) {
    mem_free(index->entries);
    mem_free(index->places);
    *index = (KeyIndex){0};
}
