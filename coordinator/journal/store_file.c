// SPDX-License-Identifier: Apache-2.0
#include "coordinator/journal/store_file.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "coordinator/journal/check.h"
#include "coordinator/journal/schema.h"
#include "coordinator/journal/seal.h"

// ---- errors ----

// How much of a path is its folder, "" being none.
static int folder_bytes(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? (int)(slash - path) : 0;
}

Status store_failed(const Store *store, int code) {
    const char *why =
        store->database != NULL ? sqlite3_errmsg(store->database) : sqlite3_errstr(code);
    switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return check_damaged(store->path, why);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return status_set(STATUS_IO, "journal %s is in use by another program", store->path);
    case SQLITE_FULL:
        return status_set(STATUS_IO,
                          "journal %s: the disk is full: make room on it (`auscult clean %.*s` "
                          "removes what the run no longer needs), then start the run again; what "
                          "was finished is kept",
                          store->path, folder_bytes(store->path), store->path);
    case SQLITE_NOMEM:
        return status_set(STATUS_MEMORY, "journal %s: out of memory", store->path);
    default:
        return status_set(STATUS_IO, "journal %s: %s", store->path, why);
    }
}

Status store_damaged(const Store *store, const char *what, uint64_t number) {
    char why[128];
    snprintf(why, sizeof why, "%s %llu", what, (unsigned long long)number);
    return check_damaged(store->path, why);
}

Status store_run(Store *store, const char *sql) {
    int code = sqlite3_exec(store->database, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? STATUS_OK : store_failed(store, code);
}

Status store_query(Store *store, const char *sql, int64_t *ret_value) {
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
    }
    Status status = STATUS_OK;
    if (code == SQLITE_ROW) {
        *ret_value = sqlite3_column_int64(statement, 0);
    } else {
        status = store_failed(store, code);
    }
    sqlite3_finalize(statement);
    return status;
}

// ---- seals ----

// seal_of(key or name, kind, body) in SQL.
static void seal_of(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    const void *key = sqlite3_value_blob(values[0]), *body = sqlite3_value_blob(values[2]);
    size_t key_bytes = (size_t)sqlite3_value_bytes(values[0]);
    size_t body_bytes = (size_t)sqlite3_value_bytes(values[2]);
    uint32_t kind = (uint32_t)sqlite3_value_int64(values[1]);
    sqlite3_result_int64(context, seal_of_body(key, key_bytes, kind, body, body_bytes));
}

// seal_row(column, ...) in SQL. Numbers count as their 8 bytes, lowest first.
static void seal_row(sqlite3_context *context, int count, sqlite3_value **values) {
    Seal seal = {0};
    for (int i = 0; i < count; i++) {
        int type = sqlite3_value_type(values[i]);
        if (type == SQLITE_INTEGER) {
            unsigned char bytes[8];
            uint64_t number = (uint64_t)sqlite3_value_int64(values[i]);
            for (int b = 0; b < 8; b++) {
                bytes[b] = (unsigned char)(number >> (8 * b));
            }
            seal_add(&seal, (uint32_t)type, bytes, sizeof bytes);
        } else {
            const void *bytes = sqlite3_value_blob(values[i]);
            seal_add(&seal, (uint32_t)type, bytes, (size_t)sqlite3_value_bytes(values[i]));
        }
    }
    sqlite3_result_int64(context, seal_end(&seal));
}

// ---- transactions ----

Status store_lost(const Store *store) {
    return status_set(STATUS_IO,
                      "journal %s: another coordinator has taken this run over; this one writes "
                      "nothing more",
                      store->path);
}

static Status check_name(Store *store) {
    Status status = store->lock != NULL ? run_lock_check(store->lock) : STATUS_OK;
    store->is_lost = store->is_lost || status != STATUS_OK;
    return status;
}

static Status check_incarnation(Store *store) {
    if (store->incarnation == 0) {
        return STATUS_OK;
    }
    uint32_t newest = 0;
    Status status = store_newest_incarnation(store, &newest);
    if (status == STATUS_OK && newest != store->incarnation) {
        store->is_lost = true;
        status = store_lost(store);
    }
    return status;
}

// The file is SQLite's alone, so it takes what it has in memory for what is there. Where locks may
// lie it is made to look.
static void forget_pages(Store *store) {
    if (store->is_network) {
        (void)sqlite3_file_control(store->database, "main", SQLITE_FCNTL_RESET_CACHE, NULL);
    }
}

Status store_check(Store *store) {
    if (store->is_lost) {
        return store_lost(store);
    }
    forget_pages(store);
    Status status = check_name(store);
    return status == STATUS_OK ? check_incarnation(store) : status;
}

Status store_begin(Store *store) {
    if (store->is_lost) {
        return store_lost(store);
    }
    forget_pages(store);
    Status status = check_name(store);
    if (status == STATUS_OK) {
        status = store_run(store, "BEGIN IMMEDIATE");
    }
    return status == STATUS_OK ? check_incarnation(store) : status;
}

static Status commit(Store *store) {
    Status status = check_name(store);
    if (status == STATUS_OK) {
        status = store_run(store, "COMMIT");
    }
    return status == STATUS_OK ? check_name(store) : status;
}

Status store_end(Store *store, Status so_far) {
    Status status = so_far == STATUS_OK ? commit(store) : so_far;
    if (status != STATUS_OK && !store->is_lost) { // nobody may read what is not durable
        char message[LIMIT_MESSAGE_BYTES];
        text_copy(message, sizeof message, status_message());
        (void)sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
        status = status_set(status, "%s", message);
    }
    return status;
}

// ---- opening ----

// A copy of an older file, complete and synced, before it is changed.
static Status copy_aside(Store *store, int version) {
    char path[LIMIT_PATH_BYTES];
    int stem = (int)strlen(store->path) - (int)strlen(".db");
    snprintf(path, sizeof path, "%.*s-v%d.db", stem, store->path, version);
    unlink(path); // of a migration that did not end
    sqlite3 *copy = NULL;
    int code = sqlite3_open_v2(path, &copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    sqlite3_backup *backup = NULL;
    if (code == SQLITE_OK) {
        backup = sqlite3_backup_init(copy, "main", store->database, "main");
        code = backup != NULL ? sqlite3_backup_step(backup, -1) : sqlite3_errcode(copy);
    }
    if (backup != NULL) {
        code = sqlite3_backup_finish(backup);
    }
    Status status = STATUS_OK;
    if (code != SQLITE_OK) {
        status = status_set(STATUS_IO, "cannot copy journal %s to %s before it is migrated: %s",
                            store->path, path, copy != NULL ? sqlite3_errmsg(copy) : "?");
    }
    sqlite3_close(copy);
    return status;
}

static Status read_version(Store *store, int64_t *ret_version) {
    Status status = store_query(store, "PRAGMA user_version", ret_version);
    return status == STATUS_OK ? check_version(store->path, *ret_version) : status;
}

// In one transaction: a coordinator that is killed in the middle of it leaves the file as it was.
static Status migrate(Store *store) {
    int64_t version = 0;
    Status status = read_version(store, &version);
    if (status == STATUS_OK && store->lock != NULL) {
        status = check_has_tables(store->path, version);
    }
    if (status != STATUS_OK || version == SCHEMA_VERSION) {
        return status;
    }
    if (version > 0) {
        status = copy_aside(store, (int)version);
    }
    if (status == STATUS_OK) {
        status = store_begin(store);
    }
    if (status == STATUS_OK) {
        status = store_end(store, store_run(store, schema_from((int)version)));
    }
    return status;
}

// Exclusive locking keeps other programs out for as long as this one lives, and lets the
// write-ahead log work without shared memory. The log is synced at every commit; with EXTRA the
// folder as well after a rollback journal is removed, or a power cut could bring it back and undo
// what was committed: on local disks that of the very first transaction, which is the change to the
// log, and with it the whole log.
static Status set_modes(Store *store, bool is_network) {
    return store_run(store, is_network ? "PRAGMA locking_mode = EXCLUSIVE;"
                                         "PRAGMA synchronous = EXTRA;"
                                         "PRAGMA journal_mode = DELETE;"
                                         "BEGIN EXCLUSIVE; COMMIT;"
                                       : "PRAGMA locking_mode = EXCLUSIVE;"
                                         "PRAGMA synchronous = EXTRA;"
                                         "PRAGMA journal_mode = WAL;"
                                         "BEGIN EXCLUSIVE; COMMIT;");
}

// `path` as the file's name, or as a URI that says more (then `flags` say so).
static Status open_database(Store *store, const char *path, int flags, const char *vfs) {
    enum { FUNCTION_FLAGS = SQLITE_UTF8 | SQLITE_DETERMINISTIC };
    // Its callers keep threads apart, and nobody asks it how much memory it has.
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    int code = sqlite3_open_v2(path, &store->database, flags | SQLITE_OPEN_NOMUTEX, vfs);
    if (code == SQLITE_OK) {
        code = sqlite3_create_function(store->database, "seal_of", 3, FUNCTION_FLAGS, NULL, seal_of,
                                       NULL, NULL);
    }
    if (code == SQLITE_OK) {
        code = sqlite3_create_function(store->database, "seal_row", -1, FUNCTION_FLAGS, NULL,
                                       seal_row, NULL, NULL);
    }
    return code == SQLITE_OK ? STATUS_OK : store_failed(store, code);
}

static Status set_path(Store *store, const char *path) {
    return snprintf(store->path, sizeof store->path, "%s", path) < (int)sizeof store->path
               ? STATUS_OK
               : status_set(STATUS_LIMIT, "path too long: %s", path);
}

Status store_open(const char *path, bool is_network, const RunLock *lock, Store **ret) {
    Store *store = mem_new(1, sizeof *store);
    if (store == NULL) {
        return STATUS_MEMORY;
    }
    store->is_network = is_network;
    store->lock = lock;
    Status status = set_path(store, path);
    if (status == STATUS_OK) {
        status = open_database(store, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    }
    if (status == STATUS_OK) {
        status = set_modes(store, is_network);
    }
    if (status == STATUS_OK) {
        status = migrate(store);
    }
    if (status == STATUS_OK) {
        status = store_prepare(store);
    }
    if (status != STATUS_OK) {
        store_close(store);
        return status;
    }
    *ret = store;
    return STATUS_OK;
}

// ---- looking on ----

static uint64_t size_beside(const Store *store, const char *end) {
    char path[LIMIT_PATH_BYTES + 16];
    FileFacts facts;
    snprintf(path, sizeof path, "%s%s", store->path, end);
    return file_facts(path, &facts) == STATUS_OK ? facts.size_bytes : 0;
}

// Whether a coordinator on a network file system was killed in a transaction: the rollback journal
// begins with the file format's magic until it is used up.
static bool is_unfinished(const Store *store) {
    char path[LIMIT_PATH_BYTES + 16];
    unsigned char head = 0;
    snprintf(path, sizeof path, "%s-journal", store->path);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return false;
    }
    bool is_used = fread(&head, 1, 1, file) == 1 && head == 0xd9;
    fclose(file);
    return is_used;
}

// "file:PATH?immutable=1", with every other byte than those of plain names as %XX.
static void immutable_uri(const char *path, char *out) {
    static const char PLAIN[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-";
    char *end = out + sprintf(out, "file:");
    for (const char *c = path; *c != '\0'; c++) {
        end += sprintf(end, strchr(PLAIN, *c) != NULL ? "%c" : "%%%02X", (unsigned char)*c);
    }
    strcpy(end, "?immutable=1");
}

// Without a log the file is all there is. With one, both are read without locks, the log's index in
// this process's memory, and nothing is written back at the end.
static Status open_to_read(Store *store) {
    char uri[3 * LIMIT_PATH_BYTES + 32];
    if (size_beside(store, "-wal") == 0) {
        immutable_uri(store->path, uri);
        return open_database(store, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
    }
    Status status = open_database(store, store->path, SQLITE_OPEN_READONLY, "unix-none");
    if (status == STATUS_OK) {
        sqlite3_db_config(store->database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        status = store_run(store, "PRAGMA locking_mode = EXCLUSIVE");
    }
    return status;
}

Status store_open_to_look(const char *path, bool *ret_is_older, Store **ret) {
    Store *store = mem_new(1, sizeof *store);
    if (store == NULL) {
        return STATUS_MEMORY;
    }
    int64_t version = 0;
    Status status = set_path(store, path);
    if (status == STATUS_OK && is_unfinished(store)) {
        status = status_set(STATUS_AGAIN, "%s has an unfinished transaction", path);
    }
    if (status == STATUS_OK) {
        status = open_to_read(store);
    }
    if (status == STATUS_OK) {
        status = read_version(store, &version);
    }
    if (status == STATUS_OK) {
        status = check_has_tables(path, version);
    }
    if (status == STATUS_OK && version == SCHEMA_VERSION) {
        status = store_prepare(store);
    }
    if (status != STATUS_OK) {
        store_close(store);
        return status;
    }
    *ret_is_older = version < SCHEMA_VERSION;
    *ret = store;
    return STATUS_OK;
}

// ---- closing ----

void store_guard(Store *store, const RunLock *lock) {
    store->lock = lock;
}

// A run that was lost is another's: SQLite, when it closes a file, undoes transactions, writes the
// log back and removes it. So the connection is left as it stands, as the process's death would
// leave it, and the system closes its files when that comes.
static void abandon(Store *store) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static Store *all; // reachable, so that leaks are known from what is kept on purpose
    pthread_mutex_lock(&lock);
    store->next_lost = all;
    all = store;
    pthread_mutex_unlock(&lock);
}

void store_close(Store *store) {
    if (store == NULL) {
        return;
    }
    if (store->is_lost) {
        abandon(store);
        return;
    }
    for (int s = 0; s < STORE_STATEMENTS; s++) {
        sqlite3_finalize(store->statements[s]);
    }
    sqlite3_close(store->database);
    mem_free(store);
}

bool store_is_lost(const Store *store) {
    return store->is_lost;
}
