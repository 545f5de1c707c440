// SPDX-License-Identifier: Apache-2.0
//
// How it works. Which row holds a key's answer is kept in memory, by the caller's thread alone,
// from the moment that it takes a record from the writer (writer.c), which commits in a thread of
// its own. Reads use the same connection under a lock that the writer holds only while it talks to
// SQLite (store.c). The lock file keeps others out, or notices them (run_lock.c).
#include "coordinator/journal/journal.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "coordinator/journal/check.h"
#include "coordinator/journal/key_index.h"
#include "coordinator/journal/writer.h"

enum {
    KINDS = 16, // task kinds that are counted apart
    // On a network file system whose last coordinator did not sign off: time in which that one, if
    // it lives after all, meets our name in the lock file and stops.
    FENCE_MS = 2000,
};

struct Journal {
    Store *store;
    RunLock *lock;
    Writer *writer;
    char *folder; // of the run
    uint32_t incarnation;
    char warning[128]; // empty: none
    pthread_mutex_t store_lock;
    KeyIndex answers;  // task key -> row number | EMPTY | kind << 56; 0 for a dropped one
    KeyIndex failures; // task key -> deaths << 32 | cannots
    uint64_t rows;     // given out so far
    uint64_t counts[KINDS], counts_of_this[KINDS];
};

// ---- opening and closing ----

static void count_kind(Journal *journal, uint64_t number, int64_t change, bool of_this) {
    uint32_t kind = (uint32_t)(number >> 56);
    if (number != 0 && kind < KINDS) {
        journal->counts[kind] += (uint64_t)change;
        journal->counts_of_this[kind] += of_this ? (uint64_t)change : 0;
    }
}

// What is known of a row beside its number. An empty body need not be read.
static const uint64_t EMPTY = (uint64_t)1 << 55;
static const uint64_t ROW = ((uint64_t)1 << 55) - 1;

static Status remember_answer(Journal *journal, uint64_t row, Digest key, uint32_t kind,
                              size_t size, bool of_this) {
    uint64_t number = row | (uint64_t)kind << 56 | (size == 0 ? EMPTY : 0);
    number = kind != 0 ? number : 0; // kind 0: dropped
    count_kind(journal, key_index_get(&journal->answers, key), -1, false);
    count_kind(journal, number, 1, of_this);
    return key_index_set(&journal->answers, key, number);
}

static Status load_answer(void *context, uint64_t row, Digest key, uint32_t kind, size_t size) {
    Journal *journal = context;
    journal->rows = row;
    return remember_answer(journal, row, key, kind, size, false);
}

static Status load_failure(void *context, uint64_t number, Digest key, uint32_t kind, size_t size) {
    (void)kind, (void)size;
    return key_index_set(&((Journal *)context)->failures, key, number);
}

// The lock file keeps the number of the last coordinator, so that an old copy of the journal, or
// one whose log is lost, is not taken for the whole run.
static Status compare_with_lock(Journal *journal, const RunLockPast *past, const char *path) {
    uint32_t newest = 0;
    Status status = store_newest_incarnation(journal->store, &newest);
    return status == STATUS_OK ? check_age(path, newest, past->number) : status;
}

static Status load(Journal *journal) {
    uint32_t damaged = 0;
    Status status = store_each_answer(journal->store, load_answer, journal);
    if (status == STATUS_OK) {
        status = store_each_failure(journal->store, load_failure, journal, &damaged);
    }
    if (damaged > 0) {
        snprintf(journal->warning, sizeof journal->warning,
                 "the journal's count of failures was damaged for %u tasks; they are tried as if "
                 "they had never failed",
                 damaged);
    }
    return status;
}

// Durable first in the journal, then in the lock file: whoever is killed between the two has done
// nothing yet under that number.
static Status begin_incarnation(Journal *journal, const RunLockPast *past) {
    Status status = store_begin_incarnation(journal->store, past->number, &journal->incarnation);
    return status == STATUS_OK ? run_lock_sign(journal->lock, journal->incarnation) : status;
}

// Signs the lock file, before the database is touched if there may be one who has it open.
static Status take_over(Journal *journal, const RunLockPast *past, bool is_network,
                        const char *path) {
    Status status = check_is_there(path);
    if (status == STATUS_OK) {
        status = run_lock_sign(journal->lock, past->number);
    }
    if (status == STATUS_OK && is_network && !past->was_closed) {
        struct timespec wait = {FENCE_MS / 1000, FENCE_MS % 1000 * 1000000L};
        nanosleep(&wait, NULL);
    }
    return status;
}

typedef enum Use {
    USE_NEWEST, // to go on from; refused when it is older than the lock file says
    USE_ANY,    // to go on from, older or not
    USE_READ,   // nothing is written
} Use;

static Status open_store(Journal *journal, const char *path, bool is_network, Use use,
                         bool was_there) {
    bool is_older = false;
    Status status =
        use == USE_READ ? store_open_to_look(path, &is_older, &journal->store) : STATUS_AGAIN;
    if (status == STATUS_OK && is_older) {
        store_close(journal->store);
        journal->store = NULL;
        status = STATUS_AGAIN;
    }
    if (status != STATUS_AGAIN) {
        return status;
    }
    // To be written, or to be migrated or mended before it can be read. A new run is nobody's until
    // its journal is there.
    return store_open(path, is_network, was_there ? journal->lock : NULL, &journal->store);
}

static Status open_parts(Journal *journal, const char *path, Use use) {
    char lock_path[LIMIT_PATH_BYTES];
    RunLockPast past;
    Status status = file_join(lock_path, sizeof lock_path, journal->folder, "journal.lock");
    if (status == STATUS_OK) {
        status = run_lock_take(lock_path, &journal->lock, &past);
    }
    bool is_network = run_lock_network(journal->folder) != NULL;
    if (status == STATUS_OK && past.was_there) {
        status = take_over(journal, &past, is_network, path);
    }
    if (status == STATUS_OK) {
        status = open_store(journal, path, is_network, use, past.was_there);
    }
    if (status == STATUS_OK && !past.was_there) {
        status = run_lock_sign(journal->lock, 0);
        store_guard(journal->store, journal->lock);
    }
    if (status == STATUS_OK && use != USE_ANY) {
        status = compare_with_lock(journal, &past, path);
    }
    if (status == STATUS_OK) {
        status = load(journal);
    }
    return status == STATUS_OK && use != USE_READ ? begin_incarnation(journal, &past) : status;
}

static Status start_writer(Journal *journal) {
    WriterConfig config = {
        .store = journal->store, .store_lock = &journal->store_lock, .run_folder = journal->folder};
    return writer_start(&config, &journal->writer);
}

static char *folder_of(const char *path) {
    char folder[LIMIT_PATH_BYTES];
    text_copy(folder, sizeof folder, path);
    char *slash = strrchr(folder, '/');
    if (slash == NULL) {
        return mem_copy_text(".");
    }
    *slash = '\0';
    return mem_copy_text(slash == folder ? "/" : folder);
}

static Status open_journal(const char *path, Use use, Journal **ret) {
    Journal *journal = mem_new(1, sizeof *journal);
    if (journal == NULL) {
        return STATUS_MEMORY;
    }
    pthread_mutex_init(&journal->store_lock, NULL);
    journal->folder = folder_of(path);
    Status status = journal->folder != NULL ? STATUS_OK : STATUS_MEMORY;
    if (status == STATUS_OK) {
        status = open_parts(journal, path, use);
    }
    if (status == STATUS_OK && use != USE_READ) {
        status = start_writer(journal);
    }
    if (status != STATUS_OK) {
        char message[LIMIT_MESSAGE_BYTES];
        text_copy(message, sizeof message, status_message());
        journal_close(journal);
        return status_set(status, "%s", message);
    }
    *ret = journal;
    return STATUS_OK;
}

Status journal_open(const char *path, Journal **ret) {
    return open_journal(path, USE_NEWEST, ret);
}

Status journal_open_older(const char *path, Journal **ret) {
    return open_journal(path, USE_ANY, ret);
}

Status journal_open_to_read(const char *path, Journal **ret) {
    return open_journal(path, USE_READ, ret);
}

void journal_close(Journal *journal) {
    if (journal == NULL) {
        return;
    }
    writer_stop(journal->writer);
    bool is_lost = journal->store != NULL && store_is_lost(journal->store);
    store_close(journal->store);
    run_lock_free(journal->lock, !is_lost);
    key_index_done(&journal->answers);
    key_index_done(&journal->failures);
    pthread_mutex_destroy(&journal->store_lock);
    mem_free(journal->folder);
    mem_free(journal);
}

uint32_t journal_incarnation(const Journal *journal) {
    return journal->incarnation;
}

const char *journal_warning(const Journal *journal) {
    return journal->warning[0] != '\0' ? journal->warning : NULL;
}

int journal_fd(const Journal *journal) {
    return writer_fd(journal->writer);
}

// ---- reading ----

Status journal_fact(Journal *journal, const char *name, Buffer *out) {
    pthread_mutex_lock(&journal->store_lock);
    Status status = store_fact(journal->store, name, out);
    pthread_mutex_unlock(&journal->store_lock);
    return status;
}

Status journal_set_fact(Journal *journal, const char *name, const void *bytes, size_t size) {
    pthread_mutex_lock(&journal->store_lock);
    Status status = store_begin(journal->store);
    if (status == STATUS_OK) {
        status = store_set_fact(journal->store, name, bytes, size);
    }
    status = store_end(journal->store, status);
    pthread_mutex_unlock(&journal->store_lock);
    return status;
}

Status journal_answer(Journal *journal, Digest key, Buffer *out) {
    uint64_t number = key_index_get(&journal->answers, key);
    if (number == 0) {
        return STATUS_NOT_FOUND;
    }
    if ((number & EMPTY) != 0) {
        buffer_clear(out);
        return STATUS_OK;
    }
    pthread_mutex_lock(&journal->store_lock);
    Status status = store_answer(journal->store, number & ROW, key, out);
    pthread_mutex_unlock(&journal->store_lock);
    return status;
}

uint64_t journal_count(const Journal *journal, uint32_t kind, uint64_t *ret_of_this) {
    *ret_of_this = kind < KINDS ? journal->counts_of_this[kind] : 0;
    return kind < KINDS ? journal->counts[kind] : 0;
}

// A row of kind 0 in its place, so that the numbers of rows stay without a gap.
Status journal_drop_answer(Journal *journal, Digest key) {
    if (key_index_get(&journal->answers, key) == 0) {
        return STATUS_NOT_FOUND;
    }
    pthread_mutex_lock(&journal->store_lock);
    Status status = store_begin(journal->store);
    if (status == STATUS_OK) {
        status = store_put_answer(journal->store, journal->rows + 1, key, 0, NULL, 0);
    }
    if (status == STATUS_OK) {
        status = store_put_failure(journal->store, key, 0, 0);
    }
    status = store_end(journal->store, status);
    pthread_mutex_unlock(&journal->store_lock);
    if (status != STATUS_OK) {
        return status;
    }
    journal->rows++;
    status = key_index_set(&journal->failures, key, 0);
    return status == STATUS_OK ? remember_answer(journal, journal->rows, key, 0, 0, false) : status;
}

void journal_failures(const Journal *journal, Digest key, uint32_t *ret_deaths,
                      uint32_t *ret_cannots) {
    uint64_t number = key_index_get(&journal->failures, key);
    *ret_deaths = (uint32_t)(number >> 32);
    *ret_cannots = (uint32_t)number;
}

Status journal_states(Journal *journal, const char *folder, JournalState states[2],
                      uint32_t *ret_count) {
    StoreState rows[2];
    uint32_t count = 0;
    pthread_mutex_lock(&journal->store_lock);
    Status status = store_states(journal->store, folder, rows, &count);
    pthread_mutex_unlock(&journal->store_lock);
    for (uint32_t i = 0; status == STATUS_OK && i < count; i++) {
        states[i] =
            (JournalState){.plan = rows[i].plan, .epoch = rows[i].epoch, .digest = rows[i].digest};
        text_copy(states[i].file, sizeof states[i].file, writer_state_file(rows[i].generation));
    }
    if (status == STATUS_OK) {
        *ret_count = count;
    }
    return status;
}

// ---- writing ----

Status journal_put_answer(Journal *journal, uint64_t ticket, Digest key, uint32_t kind,
                          const void *bytes, size_t size) {
    Record *record = record_new(RECORD_ANSWER, key, bytes, size, NULL);
    if (record == NULL) {
        return STATUS_MEMORY;
    }
    record->ticket = ticket;
    record->detail = kind;
    record->number = journal->rows + 1;
    if (key_index_get(&journal->failures, key) != 0) {
        record->more = 1;
        Status status = key_index_set(&journal->failures, key, 0);
        if (status != STATUS_OK) {
            mem_free(record);
            return status;
        }
    }
    Status status = writer_put(journal->writer, record);
    journal->rows += status == STATUS_OK;
    return status;
}

Status journal_put_state(Journal *journal, uint64_t ticket, const char *folder, Digest plan,
                         uint32_t epoch, const void *bytes, size_t size) {
    Record *record = record_new(RECORD_STATE, plan, bytes, size, folder);
    if (record == NULL) {
        return STATUS_MEMORY;
    }
    record->ticket = ticket;
    record->detail = epoch;
    return writer_put(journal->writer, record);
}

Status journal_put_failure(Journal *journal, Digest key, uint32_t deaths, uint32_t cannots) {
    Record *record = record_new(RECORD_FAILURE, key, NULL, 0, NULL);
    if (record == NULL) {
        return STATUS_MEMORY;
    }
    record->detail = deaths;
    record->more = cannots;
    Status status = key_index_set(&journal->failures, key, (uint64_t)deaths << 32 | cannots);
    if (status != STATUS_OK) {
        mem_free(record);
        return status;
    }
    return writer_put(journal->writer, record);
}

Status journal_next(Journal *journal, uint64_t *ret_ticket) {
    for (;;) {
        Record *record;
        Status status = writer_take(journal->writer, &record);
        if (status != STATUS_OK) {
            return status;
        }
        bool is_told = record->kind != RECORD_FAILURE;
        if (record->kind == RECORD_ANSWER) {
            status = remember_answer(journal, record->number, record->key, record->detail,
                                     record->size, true);
        }
        if (is_told) {
            *ret_ticket = record->ticket;
        }
        mem_free(record);
        if (is_told || status != STATUS_OK) {
            return status;
        }
    }
}
