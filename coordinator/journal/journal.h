// SPDX-License-Identifier: Apache-2.0
//
// The run's memory: an SQLite file that holds every finished task's answer by the task's key, how
// often tasks failed, where each model's training stands, and which coordinators there were. Writes
// are queued to a thread of its own, which commits them in groups as large as the load makes them,
// at once when idle. What is not reported by journal_next is not durable and must not be
// acknowledged. Any error of a commit is final: nothing more is written, and every later put and
// journal_next says so. One caller thread beside its own.
#ifndef AUSCULT_COORDINATOR_JOURNAL_JOURNAL_H
#define AUSCULT_COORDINATOR_JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/digest.h"
#include "common/base/status.h"

typedef struct Journal Journal;

// Opens or makes the file RUN/journal.db and takes the run for this process alone, by the lock file
// RUN/journal.lock. An older format is migrated, after a copy. Every answer is read once and
// checked. STATUS_IO: another coordinator has the run (named), or no locks, no room, no permission
// (named, with remedies). STATUS_MISMATCH: written by a newer version. STATUS_FORMAT: damaged, or
// gone or older than the lock file says. A run that another coordinator takes over nevertheless is
// written no more: every transaction asks before and after.
Status journal_open(const char *path, Journal **ret);
// As journal_open, but takes a journal that is older than the lock file says: what was finished
// since is not known, and done anew.
Status journal_open_older(const char *path, Journal **ret);
// Writes what is queued, then closes; a run that was lost is left as it is.
void journal_close(Journal *journal);
// As journal_open, but writes nothing into the journal, so that it works on a full disk: this is no
// coordinator, and no journal_set_*, journal_put_* or journal_drop_* may follow.
Status journal_open_to_read(const char *path, Journal **ret);
// Looks at a run's journal without taking the run: nothing is written, made or locked, and whoever
// works on it does not notice. Reads all of it when nobody does (`is_at_work`: somebody does as far
// as the caller knows; the lock is asked too), its head otherwise. STATUS_FORMAT and
// STATUS_MISMATCH as for journal_open; STATUS_IO. A process that has the journal open itself must
// not ask.
Status journal_look(const char *path, bool is_at_work);
// What people should know of the journal as it was found; NULL: nothing. Borrowed.
const char *journal_warning(const Journal *journal);

// Counts the coordinators that have opened this run: 1 for the first. Never repeats, whatever
// becomes of the journal, as long as the lock file is there.
uint32_t journal_incarnation(const Journal *journal);

// Small facts about the run ("settings", "dataset", "run"). STATUS_NOT_FOUND when there is none.
Status journal_fact(Journal *journal, const char *name, Buffer *out);
// Durable when it returns. Only before the first journal_put_*.
Status journal_set_fact(Journal *journal, const char *name, const void *bytes, size_t size);

// The answer of a finished task. STATUS_NOT_FOUND when it is not finished. Any time.
Status journal_answer(Journal *journal, Digest key, Buffer *out);
// How many tasks of a kind are finished, and how many of those since this journal was opened.
uint64_t journal_count(const Journal *journal, uint32_t kind, uint64_t *ret_of_this);
// Makes a finished task unfinished, and forgets how often it failed. Durable when it returns. Only
// before the first journal_put_*. STATUS_NOT_FOUND when it was not finished.
Status journal_drop_answer(Journal *journal, Digest key);
// How often workers died on a task that is not finished, and how often they could not do it; zeros
// when never.
void journal_failures(const Journal *journal, Digest key, uint32_t *ret_deaths,
                      uint32_t *ret_cannots);

// Where a model's training stood when it was last durable, by the model's folder below the run's
// ("data/fan"): the state is in `file` there. Two generations are kept.
typedef struct JournalState {
    Digest plan; // the training's key
    uint32_t epoch;
    char file[32]; // name within the model's folder
    Digest digest; // of the file's bytes
} JournalState;
// Newest first; 0 to 2 of them in *ret_count.
Status journal_states(Journal *journal, const char *folder, JournalState states[2],
                      uint32_t *ret_count);

// Queues an answer, in the place of an earlier one; `ticket` comes back from journal_next once it
// is durable. UINT32_MAX is the largest kind, 0 none.
Status journal_put_answer(Journal *journal, uint64_t ticket, Digest key, uint32_t kind,
                          const void *bytes, size_t size);
// Queues a model's state: the bytes are written to a file in the model's folder, which is there
// already, then the row. The file of the newest durable state is never touched.
Status journal_put_state(Journal *journal, uint64_t ticket, const char *folder, Digest plan,
                         uint32_t epoch, const void *bytes, size_t size);
// Queues how often a task failed so far; nothing comes back for it. An answer for the same task
// forgets it.
Status journal_put_failure(Journal *journal, Digest key, uint32_t deaths, uint32_t cannots);

// A descriptor that is readable while journal_next has something.
int journal_fd(const Journal *journal);
// The next durable ticket, in the order they were put. STATUS_AGAIN: none; STATUS_IO: the journal
// cannot write any more.
Status journal_next(Journal *journal, uint64_t *ret_ticket);

#endif
