// SPDX-License-Identifier: Apache-2.0
//
// A map from task keys to numbers, in memory: which row of the journal holds a task's answer. Keys
// are digests, so their own bits spread them over the table. Nothing is ever taken out (a number 0
// is as good as none). 24 bytes for a key and its number, 16 to 32 for its place. One thread.
#ifndef AUSCULT_COORDINATOR_JOURNAL_KEY_INDEX_H
#define AUSCULT_COORDINATOR_JOURNAL_KEY_INDEX_H

#include <stdint.h>

#include "common/base/digest.h"
#include "common/base/status.h"

typedef struct KeyIndex {
    struct KeyIndexEntry {
        Digest key;
        uint64_t number;
    } * entries; // (count) in the order they came
    uint32_t count, capacity;
    // (place_count) at hashed places: in the upper half a part of the key, so that few other
    // entries are looked at; in the lower half the entry's number plus 1; 0: free
    uint64_t *places;
    uint32_t place_count; // a power of two, at least twice `capacity`; 0: none yet
} KeyIndex;

// The number of a key, 0 when it has none.
uint64_t key_index_get(const KeyIndex *index, Digest key);
// Gives a key its number, in the place of an earlier one. STATUS_MEMORY.
Status key_index_set(KeyIndex *index, Digest key, uint64_t number);
void key_index_done(KeyIndex *index);

#endif
