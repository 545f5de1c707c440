// SPDX-License-Identifier: Apache-2.0
//
// The journal's SQLite file: its tables, their migration, one function per statement. Answers are
// only ever appended, numbered 1, 2, 3, ... without a gap, and not indexed: a commit of thousands
// of them touches few pages (random keys in a tree would dirty one each), and a gap or a row whose
// seal does not fit shows damage that SQLite itself does not see. A file that another
// coordinator has taken over is left untouched from then on. One thread at a time.
#ifndef AUSCULT_COORDINATOR_JOURNAL_STORE_H
#define AUSCULT_COORDINATOR_JOURNAL_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "coordinator/journal/run_lock.h"

typedef struct Store Store;

// Opens or makes the file, alone: with the write-ahead log on local disks; with a rollback journal
// where `is_network`, since the log's rules assume one machine's memory. An older version is
// migrated, after a copy beside it ("journal.db" -> "journal-v1.db"). `lock`, borrowed, is as for
// store_guard. STATUS_IO; STATUS_FORMAT: damaged; STATUS_MISMATCH: of a newer version.
Status store_open(const char *path, bool is_network, const RunLock *lock, Store **ret);
// Opens the file only to read it, as it is: nothing is written, made or locked, and an older
// version is not migrated (*ret_is_older; then no rows can be read). Nobody may be writing. Errors
// as for store_open; what another has left unfinished is STATUS_AGAIN.
Status store_open_to_look(const char *path, bool *ret_is_older, Store **ret);
// Accepts NULL. After a loss the file is not touched, nor is the memory given back.
void store_close(Store *store);

// From now on every transaction asks whether the lock file names us; NULL: nobody else can be here.
void store_guard(Store *store, const RunLock *lock);
// Whether a transaction found that another coordinator has the run. Nothing is read or written
// then.
bool store_is_lost(const Store *store);

// The newest coordinator that has opened this run; 0: none has.
Status store_newest_incarnation(Store *store, uint32_t *ret_number);
// Counts this coordinator, by a number greater than all that are known and than `above`. From now
// on every transaction asks whether it is still the newest. Also forgets damaged failures.
Status store_begin_incarnation(Store *store, uint32_t above, uint32_t *ret_number);

// Calls `take` for every answer, in order, with the size of its body. STATUS_FORMAT: damaged; what
// `take` returns.
typedef Status StoreTake(void *context, uint64_t number, Digest key, uint32_t kind, size_t size);
Status store_each_answer(Store *store, StoreTake *take, void *context);
// Likewise for failures: `number` holds deaths << 32 | cannots. Those whose seal does not fit are
// passed over and counted: forgetting one costs a few workers at most, and trusting it could leave
// out a clip.
Status store_each_failure(Store *store, StoreTake *take, void *context, uint32_t *ret_damaged);

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

// STATUS_IO when the run is not ours any more, as store_begin, without a transaction.
Status store_check(Store *store);
// All writing is done between store_begin and store_end, which is called whatever comes: it commits
// if `so_far` is STATUS_OK, and undoes otherwise, with the status and message that there were. Both
// ask whether the run is still ours, the end before and after the commit. STATUS_IO: it is not.
Status store_begin(Store *store);
Status store_end(Store *store, Status so_far);
Status store_put_answer(Store *store, uint64_t number, Digest key, uint32_t kind, const void *bytes,
                        size_t size);
Status store_put_state(Store *store, const char *folder, const StoreState *state);
// deaths and cannots 0: forgets the key.
Status store_put_failure(Store *store, Digest key, uint32_t deaths, uint32_t cannots);

#endif
