// SPDX-License-Identifier: Apache-2.0
//
// The run's memory: an SQLite file that holds every finished task's answer by the task's key, where
// each model's training stands, and which coordinators there were. Writes are queued to a thread of
// its own, which commits them in groups as large as the load makes them, at once when idle. What is
// not reported by journal_next is not durable and must not be acknowledged. Any error of a commit
// is final: nothing more is written, and every later put and journal_next says so. One caller
// thread beside its own. The only includer of sqlite3.h.
#ifndef AUSCULT_COORDINATOR_JOURNAL_JOURNAL_H
#define AUSCULT_COORDINATOR_JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/digest.h"
#include "common/base/status.h"

typedef struct Journal Journal;

// Opens or makes the file and takes it for this process alone: another coordinator on the same run
// is STATUS_IO naming it. STATUS_MISMATCH: written by a newer version. STATUS_FORMAT: damaged.
Status journal_open(const char *path, Journal **ret);
// Writes what is queued, then closes.
void journal_close(Journal *journal);

// Counts the coordinators that have opened this run: 1 for the first.
uint32_t journal_incarnation(const Journal *journal);

// Small facts about the run ("settings", "dataset", "run"). STATUS_NOT_FOUND when there is none.
// Only before the first journal_put_*.
Status journal_fact(Journal *journal, const char *name, Buffer *out);
Status journal_set_fact(Journal *journal, const char *name, const void *bytes, size_t size);

// The answer of a finished task. STATUS_NOT_FOUND when it is not finished. Any time.
Status journal_answer(Journal *journal, Digest key, Buffer *out);

// Where a model's training stood when it was last durable: the state is in `file`.
typedef struct JournalState {
    uint32_t epoch;
    char file[64]; // name within the model's folder
    Digest digest; // of the file's bytes
} JournalState;
Status journal_state(Journal *journal, Digest plan, JournalState *ret_state);

// Queues an answer, in the place of an earlier one; `ticket` comes back from journal_next once it
// is durable.
Status journal_put_answer(Journal *journal, uint64_t ticket, Digest key, uint32_t kind,
                          const void *bytes, size_t size);
// Queues a model's state: the bytes are written to `path` (a file of that name that the journal
// still refers to is never touched: the caller alternates two names), then the row.
Status journal_put_state(Journal *journal, uint64_t ticket, Digest plan, uint32_t epoch,
                         const char *path, const void *bytes, size_t size);

// A descriptor that is readable while journal_next has something.
int journal_fd(const Journal *journal);
// The next durable ticket. STATUS_AGAIN: none; STATUS_IO: the journal cannot write any more.
Status journal_next(Journal *journal, uint64_t *ret_ticket);

#endif
