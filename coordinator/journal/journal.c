// SPDX-License-Identifier: Apache-2.0
//
// How it works. The caller's thread appends records to a queue and wakes the writer, which takes
// the whole queue, writes the files of states among it (each synced and renamed), puts all rows
// into one transaction, commits, and only then moves the tickets to the list of durable ones and
// raises the descriptor. Under load the queue grows while a commit runs, so the next transaction is
// larger: that is all there is to group commit. Reads use the same connection under a lock that the
// writer holds only while it talks to SQLite.
#include "coordinator/journal/journal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"

// The schema's version. A change adds a step to migrate older files and raises it.
enum { SCHEMA_VERSION = 1 };

// In one transaction: a coordinator that is killed in the middle of it leaves an empty file.
static const char SCHEMA[] =
    "BEGIN;"
    "CREATE TABLE fact (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE incarnation (number INTEGER PRIMARY KEY, pid INTEGER NOT NULL);"
    "CREATE TABLE answer (key BLOB PRIMARY KEY, kind INTEGER NOT NULL, body BLOB NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE state (plan BLOB PRIMARY KEY, epoch INTEGER NOT NULL, file TEXT NOT NULL,"
    " digest BLOB NOT NULL) WITHOUT ROWID;"
    "PRAGMA user_version = 1;"
    "COMMIT;";

typedef struct Record {
    struct Record *next;
    uint64_t ticket;
    bool is_state;
    Digest key;    // of the task, or of the plan
    uint32_t kind; // TaskKind, or the state's epoch
    char *path;    // states only
    void *bytes;   // answer body or state
    size_t size;
} Record;

struct Journal {
    sqlite3 *database;
    char *path;
    uint32_t incarnation;
    int fd;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; // the queue, the tickets, `failed`, `closing`
    pthread_mutex_t database_lock;
    pthread_cond_t more;
    Record *first, *last; // queued
    uint64_t *tickets;    // durable: those from ticket_first on are not yet taken
    size_t ticket_first, ticket_count, ticket_capacity;
    size_t outstanding; // records put whose tickets have not been taken
    bool closing;
    bool failed;
    char failure[512];
};

static Status from_sqlite(sqlite3 *database, int code, const char *path) {
    Status status = code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? STATUS_FORMAT : STATUS_IO;
    if (code == SQLITE_BUSY) {
        return status_set(STATUS_IO, "another coordinator is working on this run (%s is locked)",
                          path);
    }
    const char *why = database != NULL ? sqlite3_errmsg(database) : sqlite3_errstr(code);
    return status_set(status, "journal %s: %s", path, why);
}

static Status run_sql(Journal *journal, const char *sql) {
    int code = sqlite3_exec(journal->database, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? STATUS_OK : from_sqlite(journal->database, code, journal->path);
}

static Status query_int(Journal *journal, const char *sql, int64_t *ret_value) {
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(journal->database, sql, -1, &statement, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
    }
    Status status = STATUS_OK;
    if (code == SQLITE_ROW) {
        *ret_value = sqlite3_column_int64(statement, 0);
    } else {
        status = from_sqlite(journal->database, code, journal->path);
    }
    sqlite3_finalize(statement);
    return status;
}

// Exclusive locking keeps a second coordinator out for as long as this one lives, and lets WAL work
// without shared memory.
static Status prepare(Journal *journal) {
    Status status = run_sql(journal, "PRAGMA locking_mode = EXCLUSIVE;"
                                     "PRAGMA journal_mode = WAL;"
                                     "PRAGMA synchronous = FULL;"
                                     "BEGIN EXCLUSIVE; COMMIT;");
    int64_t version = 0;
    if (status == STATUS_OK) {
        status = query_int(journal, "PRAGMA user_version", &version);
    }
    if (status == STATUS_OK && version > SCHEMA_VERSION) {
        return status_set(STATUS_MISMATCH,
                          "journal %s was written by a newer version of auscult (its format is %d, "
                          "this program knows %d)",
                          journal->path, (int)version, SCHEMA_VERSION);
    }
    if (status == STATUS_OK && version == 0) {
        status = run_sql(journal, SCHEMA);
    }
    return status;
}

static Status begin_incarnation(Journal *journal) {
    int64_t last = 0;
    Status status = query_int(journal, "SELECT coalesce(max(number), 0) FROM incarnation", &last);
    if (status != STATUS_OK) {
        return status;
    }
    journal->incarnation = (uint32_t)last + 1;
    char *sql = sqlite3_mprintf("INSERT INTO incarnation VALUES (%u, %d)", journal->incarnation,
                                (int)getpid());
    status = sql != NULL ? run_sql(journal, sql) : status_set(STATUS_MEMORY, "out of memory");
    sqlite3_free(sql);
    return status;
}

// ---- the writer ----

static void free_record(Record *record) {
    if (record != NULL) {
        mem_free(record->path);
        mem_free(record->bytes);
        mem_free(record);
    }
}

static Status insert(Journal *journal, const Record *record) {
    const char *sql = record->is_state ? "INSERT OR REPLACE INTO state VALUES (?1, ?2, ?3, ?4)"
                                       : "INSERT OR REPLACE INTO answer VALUES (?1, ?2, ?3)";
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(journal->database, sql, -1, &statement, NULL);
    Digest digest = {{0}};
    if (code == SQLITE_OK) {
        sqlite3_bind_blob(statement, 1, record->key.bytes, sizeof record->key.bytes, SQLITE_STATIC);
        sqlite3_bind_int64(statement, 2, record->kind);
        if (record->is_state) {
            digest = digest_of(record->bytes, record->size);
            sqlite3_bind_text(statement, 3, file_name(record->path), -1, SQLITE_STATIC);
            sqlite3_bind_blob(statement, 4, digest.bytes, sizeof digest.bytes, SQLITE_STATIC);
        } else {
            sqlite3_bind_blob64(statement, 3, record->size > 0 ? record->bytes : "", record->size,
                                SQLITE_STATIC);
        }
        code = sqlite3_step(statement);
    }
    sqlite3_finalize(statement);
    return code == SQLITE_DONE ? STATUS_OK : from_sqlite(journal->database, code, journal->path);
}

static Status write_group(Journal *journal, const Record *records) {
    Status status = STATUS_OK;
    for (const Record *r = records; r != NULL && status == STATUS_OK; r = r->next) {
        if (r->is_state) {
            status = file_write(r->path, r->bytes, r->size);
        }
    }
    if (status != STATUS_OK) {
        return status;
    }
    pthread_mutex_lock(&journal->database_lock);
    status = run_sql(journal, "BEGIN IMMEDIATE");
    for (const Record *r = records; r != NULL && status == STATUS_OK; r = r->next) {
        status = insert(journal, r);
    }
    if (status == STATUS_OK) {
        status = run_sql(journal, "COMMIT");
    }
    if (status != STATUS_OK) { // nobody may read what is not durable
        (void)sqlite3_exec(journal->database, "ROLLBACK", NULL, NULL, NULL);
    }
    pthread_mutex_unlock(&journal->database_lock);
    return status;
}

static void wake_caller(Journal *journal) {
    uint64_t one = 1;
    ssize_t written = write(journal->fd, &one, sizeof one);
    (void)written; // only fails when the counter is full, and then it is readable anyway
}

static void report_group(Journal *journal, const Record *records, Status status) {
    pthread_mutex_lock(&journal->lock);
    if (status != STATUS_OK) {
        journal->failed = true;
        text_copy(journal->failure, sizeof journal->failure, status_message());
    }
    for (const Record *r = records; r != NULL && status == STATUS_OK; r = r->next) {
        journal->tickets[journal->ticket_count++] = r->ticket;
    }
    pthread_mutex_unlock(&journal->lock);
    wake_caller(journal);
}

static void *writer(void *argument) {
    Journal *journal = argument;
    for (;;) {
        pthread_mutex_lock(&journal->lock);
        while (journal->first == NULL && !journal->closing) {
            pthread_cond_wait(&journal->more, &journal->lock);
        }
        Record *records = journal->first;
        journal->first = journal->last = NULL;
        bool stop = records == NULL || journal->failed;
        pthread_mutex_unlock(&journal->lock);
        if (!stop) {
            report_group(journal, records, write_group(journal, records));
        }
        while (records != NULL) {
            Record *next = records->next;
            free_record(records);
            records = next;
        }
        if (stop) {
            return NULL;
        }
    }
}

// ---- opening and closing ----

static Status start_writer(Journal *journal) {
    journal->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (journal->fd < 0) {
        return status_set(STATUS_IO, "cannot make an eventfd: %s", strerror(errno));
    }
    // Signals are the main thread's: one that reached the writer, whose mask nobody has set, would
    // end the program by its default action.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&journal->thread, NULL, writer, journal);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        return status_set(STATUS_IO, "cannot start the journal's thread");
    }
    journal->has_thread = true;
    return STATUS_OK;
}

Status journal_open(const char *path, Journal **ret) {
    Journal *journal = mem_new(1, sizeof *journal);
    if (journal == NULL) {
        return STATUS_MEMORY;
    }
    journal->fd = -1;
    pthread_mutex_init(&journal->lock, NULL);
    pthread_mutex_init(&journal->database_lock, NULL);
    pthread_cond_init(&journal->more, NULL);
    journal->path = mem_copy_text(path);
    Status status = journal->path != NULL ? STATUS_OK : STATUS_MEMORY;
    if (status == STATUS_OK) {
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;
        int code = sqlite3_open_v2(path, &journal->database, flags, NULL);
        status = code == SQLITE_OK ? STATUS_OK : from_sqlite(journal->database, code, path);
    }
    if (status == STATUS_OK) {
        status = prepare(journal);
    }
    if (status == STATUS_OK) {
        status = begin_incarnation(journal);
    }
    if (status == STATUS_OK) {
        status = start_writer(journal);
    }
    if (status != STATUS_OK) {
        journal_close(journal);
        return status;
    }
    *ret = journal;
    return STATUS_OK;
}

void journal_close(Journal *journal) {
    if (journal == NULL) {
        return;
    }
    if (journal->has_thread) {
        pthread_mutex_lock(&journal->lock);
        journal->closing = true;
        pthread_cond_signal(&journal->more);
        pthread_mutex_unlock(&journal->lock);
        pthread_join(journal->thread, NULL);
    }
    while (journal->first != NULL) { // only what came after a failure
        Record *next = journal->first->next;
        free_record(journal->first);
        journal->first = next;
    }
    sqlite3_close(journal->database);
    if (journal->fd >= 0) {
        close(journal->fd);
    }
    pthread_mutex_destroy(&journal->lock);
    pthread_mutex_destroy(&journal->database_lock);
    pthread_cond_destroy(&journal->more);
    mem_free(journal->tickets);
    mem_free(journal->path);
    mem_free(journal);
}

uint32_t journal_incarnation(const Journal *journal) {
    return journal->incarnation;
}

int journal_fd(const Journal *journal) {
    return journal->fd;
}

// ---- reading ----

// Runs a query with one key and hands its first row to `take`.
static Status query_row(Journal *journal, const char *sql, const void *key, size_t key_size,
                        bool key_is_text, Status (*take)(sqlite3_stmt *, void *), void *context) {
    pthread_mutex_lock(&journal->database_lock);
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(journal->database, sql, -1, &statement, NULL);
    if (code == SQLITE_OK && key_is_text) {
        code = sqlite3_bind_text(statement, 1, key, (int)key_size, SQLITE_STATIC);
    } else if (code == SQLITE_OK) {
        code = sqlite3_bind_blob(statement, 1, key, (int)key_size, SQLITE_STATIC);
    }
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
    }
    Status status = STATUS_OK;
    if (code == SQLITE_ROW) {
        status = take(statement, context);
    } else if (code == SQLITE_DONE) {
        status = status_set(STATUS_NOT_FOUND, "not in the journal");
    } else {
        status = from_sqlite(journal->database, code, journal->path);
    }
    sqlite3_finalize(statement);
    pthread_mutex_unlock(&journal->database_lock);
    return status;
}

static Status take_blob(sqlite3_stmt *statement, void *context) {
    Buffer *out = context;
    buffer_clear(out);
    buffer_append(out, sqlite3_column_blob(statement, 0),
                  (size_t)sqlite3_column_bytes(statement, 0));
    return out->status;
}

Status journal_fact(Journal *journal, const char *name, Buffer *out) {
    return query_row(journal, "SELECT value FROM fact WHERE name = ?1", name, strlen(name), true,
                     take_blob, out);
}

Status journal_set_fact(Journal *journal, const char *name, const void *bytes, size_t size) {
    sqlite3_stmt *statement = NULL;
    pthread_mutex_lock(&journal->database_lock);
    int code = sqlite3_prepare_v2(journal->database, "INSERT OR REPLACE INTO fact VALUES (?1, ?2)",
                                  -1, &statement, NULL);
    if (code == SQLITE_OK) {
        sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
        sqlite3_bind_blob64(statement, 2, size > 0 ? bytes : "", size, SQLITE_STATIC);
        code = sqlite3_step(statement);
    }
    Status status =
        code == SQLITE_DONE ? STATUS_OK : from_sqlite(journal->database, code, journal->path);
    sqlite3_finalize(statement);
    pthread_mutex_unlock(&journal->database_lock);
    return status;
}

Status journal_answer(Journal *journal, Digest key, Buffer *out) {
    return query_row(journal, "SELECT body FROM answer WHERE key = ?1", key.bytes, sizeof key.bytes,
                     false, take_blob, out);
}

static Status take_state(sqlite3_stmt *statement, void *context) {
    JournalState *state = context;
    state->epoch = (uint32_t)sqlite3_column_int64(statement, 0);
    text_copy(state->file, sizeof state->file, (const char *)sqlite3_column_text(statement, 1));
    if (sqlite3_column_bytes(statement, 2) == (int)sizeof state->digest.bytes) {
        memcpy(state->digest.bytes, sqlite3_column_blob(statement, 2), sizeof state->digest.bytes);
    }
    return STATUS_OK;
}

Status journal_state(Journal *journal, Digest plan, JournalState *ret_state) {
    JournalState state = {0};
    Status status = query_row(journal, "SELECT epoch, file, digest FROM state WHERE plan = ?1",
                              plan.bytes, sizeof plan.bytes, false, take_state, &state);
    if (status == STATUS_OK) {
        *ret_state = state;
    }
    return status;
}

// ---- writing ----

// The room for the ticket is made here, so that the writer cannot run out of memory after a commit.
static Status append(Journal *journal, Record *record) {
    Status status = STATUS_OK;
    pthread_mutex_lock(&journal->lock);
    size_t needed = journal->ticket_first + journal->outstanding + 1;
    if (journal->failed) {
        status = status_set(STATUS_IO, "%s", journal->failure);
    } else if (needed > journal->ticket_capacity) {
        uint64_t *grown = mem_resize(journal->tickets, 2 * needed, sizeof *grown);
        if (grown == NULL) {
            status = STATUS_MEMORY;
        } else {
            journal->tickets = grown;
            journal->ticket_capacity = 2 * needed;
        }
    }
    if (status == STATUS_OK) {
        if (journal->last != NULL) {
            journal->last->next = record;
        } else {
            journal->first = record;
        }
        journal->last = record;
        journal->outstanding++;
        pthread_cond_signal(&journal->more);
    }
    pthread_mutex_unlock(&journal->lock);
    if (status != STATUS_OK) {
        free_record(record);
    }
    return status;
}

static Record *new_record(uint64_t ticket, Digest key, uint32_t kind, const void *bytes,
                          size_t size) {
    Record *record = mem_new(1, sizeof *record);
    if (record != NULL) {
        record->ticket = ticket;
        record->key = key;
        record->kind = kind;
        record->size = size;
        record->bytes = mem_copy(bytes, size);
    }
    if (record != NULL && record->bytes == NULL) {
        free_record(record);
        return NULL;
    }
    return record;
}

Status journal_put_answer(Journal *journal, uint64_t ticket, Digest key, uint32_t kind,
                          const void *bytes, size_t size) {
    Record *record = new_record(ticket, key, kind, bytes, size);
    return record != NULL ? append(journal, record) : STATUS_MEMORY;
}

Status journal_put_state(Journal *journal, uint64_t ticket, Digest plan, uint32_t epoch,
                         const char *path, const void *bytes, size_t size) {
    Record *record = new_record(ticket, plan, epoch, bytes, size);
    if (record == NULL) {
        return STATUS_MEMORY;
    }
    record->is_state = true;
    record->path = mem_copy_text(path);
    if (record->path == NULL) {
        free_record(record);
        return STATUS_MEMORY;
    }
    return append(journal, record);
}

Status journal_next(Journal *journal, uint64_t *ret_ticket) {
    Status status = STATUS_AGAIN;
    pthread_mutex_lock(&journal->lock);
    if (journal->ticket_first < journal->ticket_count) {
        *ret_ticket = journal->tickets[journal->ticket_first++];
        journal->outstanding--;
        if (journal->ticket_first == journal->ticket_count) {
            journal->ticket_first = journal->ticket_count = 0;
        }
        status = STATUS_OK;
    } else if (journal->failed) {
        status = status_set(STATUS_IO, "%s", journal->failure);
    } else {
        uint64_t count;
        ssize_t got = read(journal->fd, &count, sizeof count);
        (void)got; // nothing to read is fine
    }
    pthread_mutex_unlock(&journal->lock);
    return status;
}
