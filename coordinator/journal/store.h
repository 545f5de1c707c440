// SPDX-License-Identifier: Apache-2.0
//
// The journal's SQLite file: its tables, their migration, one function per statement. Answers are
// only ever appended, numbered 1, 2, 3, ... without a gap, and not indexed: a commit of thousands
// of them touches few pages (random keys in a tree would dirty one each), and a gap or a row whose
// seal does not fit shows damage that SQLite itself does not see. One thread at a time. The only
// includer of sqlite3.h.
#ifndef AUSCULT_COORDINATOR_JOURNAL_STORE_H
#define AUSCULT_COORDINATOR_JOURNAL_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/digest.h"
#include "common/base/status.h"

// The schema's version. A change adds a step to migrate older files and raises it.
enum { STORE_VERSION = 2 };

typedef struct Store Store;

// Opens or makes the file, alone: with the write-ahead log on local disks; with a rollback journal
// where `is_network`, since the log's rules assume one machine's memory. An older version is
// migrated, after a copy beside it ("journal.db" -> "journal-v1.db"). STATUS_IO; STATUS_FORMAT:
// damaged; STATUS_MISMATCH: of a newer version.
Status store_open(const char *path, bool is_network, Store **ret);
void store_close(Store *store); // accepts NULL

// Counts the coordinators that have opened this run, this one included.
Status store_begin_incarnation(Store *store, uint32_t *ret_number);

// Calls `take` for every answer, in order, with the size of its body. STATUS_FORMAT: damaged; what
// `take` returns.
typedef Status StoreTake(void *context, uint64_t number, Digest key, uint32_t kind, size_t size);
Status store_each_answer(Store *store, StoreTake *take, void *context);
// Likewise for failures: `number` holds deaths << 32 | cannots.
Status store_each_failure(Store *store, StoreTake *take, void *context);

// The body of one answer. STATUS_FORMAT when it is not that of `key`.
Status store_answer(Store *store, uint64_t number, Digest key, Buffer *out);

// STATUS_NOT_FOUND when there is none.
Status store_fact(Store *store, const char *name, Buffer *out);
Status store_set_fact(Store *store, const char *name, const void *bytes, size_t size);

// One generation of a model's state.
typedef struct StoreState {
    Digest plan; // the training's key
    uint32_t epoch, generation;
    Digest digest; // of the file's bytes
} StoreState;
// The generations of a folder's states, newest first; how many in *ret_count, at most 2.
Status store_states(Store *store, const char *folder, StoreState states[2], uint32_t *ret_count);

// Between store_begin and store_commit; store_roll_back after any failure.
Status store_begin(Store *store);
Status store_commit(Store *store);
void store_roll_back(Store *store);
Status store_put_answer(Store *store, uint64_t number, Digest key, uint32_t kind, const void *bytes,
                        size_t size);
Status store_put_state(Store *store, const char *folder, const StoreState *state);
// deaths and cannots 0: forgets the key.
Status store_put_failure(Store *store, Digest key, uint32_t deaths, uint32_t cannots);

#endif
