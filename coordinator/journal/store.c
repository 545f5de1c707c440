// SPDX-License-Identifier: Apache-2.0
#include "coordinator/journal/store.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"

// Every statement that is used more than once, prepared once.
typedef enum Statement {
    PUT_ANSWER,
    GET_ANSWER,
    PUT_STATE,
    GET_STATES,
    PUT_FAILURE,
    DROP_FAILURE,
    PUT_FACT,
    GET_FACT,
    STATEMENTS,
} Statement;

static const char *const SQL[STATEMENTS] = {
    [PUT_ANSWER] = "INSERT INTO answer VALUES (?1, ?2, ?3, ?4, ?5)",
    [GET_ANSWER] = "SELECT key, kind, body, seal FROM answer WHERE number = ?1",
    [PUT_STATE] = "INSERT OR REPLACE INTO state VALUES (?1, ?2, ?3, ?4, ?5,"
                  " (SELECT coalesce(max(turn), 0) + 1 FROM state WHERE folder = ?1))",
    [GET_STATES] = "SELECT generation, plan, epoch, digest FROM state WHERE folder = ?1"
                   " ORDER BY turn DESC LIMIT 2",
    [PUT_FAILURE] = "INSERT OR REPLACE INTO failure VALUES (?1, ?2, ?3)",
    [DROP_FAILURE] = "DELETE FROM failure WHERE key = ?1",
    [PUT_FACT] = "INSERT OR REPLACE INTO fact VALUES (?1, ?2, ?3)",
    [GET_FACT] = "SELECT value, seal FROM fact WHERE name = ?1",
};

// In one transaction: a coordinator that is killed in the middle of it leaves the file as it was.
#define TABLES                                                                                     \
    "CREATE TABLE fact (name TEXT PRIMARY KEY, value BLOB NOT NULL, seal INTEGER NOT NULL)"        \
    " WITHOUT ROWID;"                                                                              \
    "CREATE TABLE incarnation (number INTEGER PRIMARY KEY, pid INTEGER NOT NULL);"                 \
    "CREATE TABLE answer (number INTEGER PRIMARY KEY, key BLOB NOT NULL, kind INTEGER NOT NULL,"   \
    " body BLOB NOT NULL, seal INTEGER NOT NULL);"                                                 \
    "CREATE TABLE state (folder TEXT NOT NULL, generation INTEGER NOT NULL, plan BLOB NOT NULL,"   \
    " epoch INTEGER NOT NULL, digest BLOB NOT NULL, turn INTEGER NOT NULL,"                        \
    " PRIMARY KEY (folder, generation)) WITHOUT ROWID;"                                            \
    "CREATE TABLE failure (key BLOB PRIMARY KEY, deaths INTEGER NOT NULL,"                         \
    " cannots INTEGER NOT NULL) WITHOUT ROWID;"

static const char SCHEMA[] = "BEGIN;" TABLES "PRAGMA user_version = 2; COMMIT;";

// Version 1 kept answers in a tree by key, and states without their folder: trainings that were
// under way begin anew.
static const char FROM_1[] =
    "BEGIN;"
    "ALTER TABLE fact RENAME TO fact_1;"
    "ALTER TABLE incarnation RENAME TO incarnation_1;"
    "ALTER TABLE answer RENAME TO answer_1;"
    "ALTER TABLE state RENAME TO state_1;" TABLES
    "INSERT INTO incarnation SELECT number, pid FROM incarnation_1;"
    "INSERT INTO fact SELECT name, value, seal_of(name, 0, value) FROM fact_1;"
    "INSERT INTO answer SELECT row_number() OVER (), key, kind, body, seal_of(key, kind, body)"
    " FROM answer_1;"
    "DROP TABLE fact_1; DROP TABLE incarnation_1; DROP TABLE answer_1; DROP TABLE state_1;"
    "PRAGMA user_version = 2; COMMIT;";

struct Store {
    sqlite3 *database;
    char path[LIMIT_PATH_BYTES];
    sqlite3_stmt *statements[STATEMENTS];
};

// ---- errors ----

static Status failed(const Store *store, int code) {
    const char *why =
        store->database != NULL ? sqlite3_errmsg(store->database) : sqlite3_errstr(code);
    switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return status_set(STATUS_FORMAT,
                          "journal %s is damaged (%s): put a copy of it back, or begin anew with "
                          "--restart, which keeps this run aside",
                          store->path, why);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return status_set(STATUS_IO, "journal %s is in use by another program", store->path);
    case SQLITE_FULL:
        return status_set(STATUS_IO, "journal %s: the disk is full", store->path);
    case SQLITE_NOMEM:
        return status_set(STATUS_MEMORY, "journal %s: out of memory", store->path);
    default:
        return status_set(STATUS_IO, "journal %s: %s", store->path, why);
    }
}

static Status damaged(const Store *store, const char *what, uint64_t number) {
    return status_set(STATUS_FORMAT,
                      "journal %s is damaged (%s %llu): put a copy of it back, or begin anew with "
                      "--restart, which keeps this run aside",
                      store->path, what, (unsigned long long)number);
}

static Status run_sql(Store *store, const char *sql) {
    int code = sqlite3_exec(store->database, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? STATUS_OK : failed(store, code);
}

// ---- seals ----

// What a row must say of itself: 63 bits over all of it.
static int64_t seal(const void *key, size_t key_bytes, uint32_t kind, const void *body,
                    size_t body_bytes) {
    unsigned char parts[36];
    Digest of_key = digest_of(key, key_bytes), of_body = digest_of(body, body_bytes);
    memcpy(parts, of_key.bytes, 16);
    memcpy(parts + 16, of_body.bytes, 16);
    for (int i = 0; i < 4; i++) {
        parts[32 + i] = (unsigned char)(kind >> (8 * i));
    }
    Digest whole = digest_of(parts, sizeof parts);
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++) {
        bits = bits << 8 | whole.bytes[i];
    }
    return (int64_t)(bits >> 1);
}

// seal_of(key or name, kind, body) for migrations.
static void seal_of(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    const void *key = sqlite3_value_blob(values[0]), *body = sqlite3_value_blob(values[2]);
    size_t key_bytes = (size_t)sqlite3_value_bytes(values[0]);
    size_t body_bytes = (size_t)sqlite3_value_bytes(values[2]);
    sqlite3_result_int64(
        context, seal(key, key_bytes, (uint32_t)sqlite3_value_int64(values[1]), body, body_bytes));
}

// ---- statements ----

static sqlite3_stmt *begin_statement(Store *store, Statement which) {
    sqlite3_stmt *statement = store->statements[which];
    sqlite3_reset(statement);
    return statement;
}

static Status end_statement(Store *store, sqlite3_stmt *statement, int code) {
    Status status = code == SQLITE_DONE || code == SQLITE_ROW ? STATUS_OK : failed(store, code);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return status;
}

static void bind_bytes(sqlite3_stmt *statement, int at, const void *bytes, size_t size) {
    sqlite3_bind_blob64(statement, at, size > 0 ? bytes : "", size, SQLITE_STATIC);
}

static bool column_digest(sqlite3_stmt *statement, int at, Digest *ret) {
    if (sqlite3_column_bytes(statement, at) != (int)sizeof ret->bytes) {
        return false;
    }
    memcpy(ret->bytes, sqlite3_column_blob(statement, at), sizeof ret->bytes);
    return true;
}

static Status query_int(Store *store, const char *sql, int64_t *ret_value) {
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
    }
    Status status = STATUS_OK;
    if (code == SQLITE_ROW) {
        *ret_value = sqlite3_column_int64(statement, 0);
    } else {
        status = failed(store, code);
    }
    sqlite3_finalize(statement);
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

static Status migrate(Store *store) {
    int64_t version = 0;
    Status status = query_int(store, "PRAGMA user_version", &version);
    if (status != STATUS_OK) {
        return status;
    }
    if (version > STORE_VERSION) {
        return status_set(STATUS_MISMATCH,
                          "journal %s was written by a newer version of auscult (its format is %d, "
                          "this program knows %d): continue with that version, or begin anew with "
                          "--restart, which keeps this run aside",
                          store->path, (int)version, STORE_VERSION);
    }
    if (version == 0) {
        return run_sql(store, SCHEMA);
    }
    if (version == 1) {
        status = copy_aside(store, 1);
        if (status == STATUS_OK) {
            status = run_sql(store, FROM_1);
        }
    }
    return status;
}

// Exclusive locking keeps other programs out for as long as this one lives, and lets the
// write-ahead log work without shared memory. The log is synced at every commit (FULL); a rollback
// journal's folder as well (EXTRA), or a power cut could bring an undone commit back to life.
static Status set_modes(Store *store, bool is_network) {
    return run_sql(store, is_network ? "PRAGMA locking_mode = EXCLUSIVE;"
                                       "PRAGMA journal_mode = DELETE;"
                                       "PRAGMA synchronous = EXTRA;"
                                       "BEGIN EXCLUSIVE; COMMIT;"
                                     : "PRAGMA locking_mode = EXCLUSIVE;"
                                       "PRAGMA journal_mode = WAL;"
                                       "PRAGMA synchronous = FULL;"
                                       "BEGIN EXCLUSIVE; COMMIT;");
}

static Status prepare_statements(Store *store) {
    for (int s = 0; s < STATEMENTS; s++) {
        int code = sqlite3_prepare_v3(store->database, SQL[s], -1, SQLITE_PREPARE_PERSISTENT,
                                      &store->statements[s], NULL);
        if (code != SQLITE_OK) {
            return failed(store, code);
        }
    }
    return STATUS_OK;
}

static Status open_database(Store *store, const char *path) {
    if (snprintf(store->path, sizeof store->path, "%s", path) >= (int)sizeof store->path) {
        return status_set(STATUS_LIMIT, "path too long: %s", path);
    }
    // Its callers keep threads apart, and nobody asks it how much memory it has.
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int code = sqlite3_open_v2(path, &store->database, flags, NULL);
    if (code == SQLITE_OK) {
        code =
            sqlite3_create_function(store->database, "seal_of", 3,
                                    SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, seal_of, NULL, NULL);
    }
    return code == SQLITE_OK ? STATUS_OK : failed(store, code);
}

Status store_open(const char *path, bool is_network, Store **ret) {
    Store *store = mem_new(1, sizeof *store);
    if (store == NULL) {
        return STATUS_MEMORY;
    }
    Status status = open_database(store, path);
    if (status == STATUS_OK) {
        status = set_modes(store, is_network);
    }
    if (status == STATUS_OK) {
        status = migrate(store);
    }
    if (status == STATUS_OK) {
        status = prepare_statements(store);
    }
    if (status != STATUS_OK) {
        store_close(store);
        return status;
    }
    *ret = store;
    return STATUS_OK;
}

void store_close(Store *store) {
    if (store == NULL) {
        return;
    }
    for (int s = 0; s < STATEMENTS; s++) {
        sqlite3_finalize(store->statements[s]);
    }
    sqlite3_close(store->database);
    mem_free(store);
}

Status store_begin_incarnation(Store *store, uint32_t *ret_number) {
    int64_t last = 0;
    Status status = query_int(store, "SELECT coalesce(max(number), 0) FROM incarnation", &last);
    if (status != STATUS_OK) {
        return status;
    }
    char sql[128];
    snprintf(sql, sizeof sql, "INSERT INTO incarnation VALUES (%lld, %ld)", (long long)last + 1,
             (long)getpid());
    status = run_sql(store, sql);
    if (status == STATUS_OK) {
        *ret_number = (uint32_t)last + 1;
    }
    return status;
}

// ---- answers ----

static bool is_sealed(sqlite3_stmt *statement, int first, Digest *ret_key, uint32_t *ret_kind) {
    const void *body = sqlite3_column_blob(statement, first + 2);
    size_t size = (size_t)sqlite3_column_bytes(statement, first + 2);
    *ret_kind = (uint32_t)sqlite3_column_int64(statement, first + 1);
    return column_digest(statement, first, ret_key) &&
           seal(ret_key->bytes, sizeof ret_key->bytes, *ret_kind, body, size) ==
               sqlite3_column_int64(statement, first + 3);
}

// Reads what the scans of answers and failures do not, so that a file that lacks a page is known at
// once.
static Status read_small_tables(Store *store) {
    int64_t odd = 0;
    Status status =
        query_int(store, "SELECT count(*) FROM fact WHERE seal_of(name, 0, value) <> seal", &odd);
    if (status == STATUS_OK && odd > 0) {
        return damaged(store, "facts:", (uint64_t)odd);
    }
    if (status == STATUS_OK) {
        status = query_int(store,
                           "SELECT count(*) FROM state WHERE length(folder) = 0 OR"
                           " length(plan) <> 16 OR length(digest) <> 16",
                           &odd);
    }
    return status == STATUS_OK && odd > 0 ? damaged(store, "states:", (uint64_t)odd) : status;
}

Status store_each_answer(Store *store, StoreTake *take, void *context) {
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(
        store->database, "SELECT number, key, kind, body, seal FROM answer ORDER BY number", -1,
        &statement, NULL);
    Status status = code == SQLITE_OK ? read_small_tables(store) : failed(store, code);
    uint64_t expected = 1;
    while (status == STATUS_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        Digest key;
        uint32_t kind;
        uint64_t number = (uint64_t)sqlite3_column_int64(statement, 0);
        bool ok = number == expected++ && is_sealed(statement, 1, &key, &kind);
        size_t size = (size_t)sqlite3_column_bytes(statement, 3);
        status =
            ok ? take(context, number, key, kind, size) : damaged(store, "answer", expected - 1);
    }
    if (status == STATUS_OK && code != SQLITE_DONE) {
        status = failed(store, code);
    }
    sqlite3_finalize(statement);
    return status;
}

Status store_each_failure(Store *store, StoreTake *take, void *context) {
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(store->database, "SELECT key, deaths, cannots FROM failure", -1,
                                  &statement, NULL);
    Status status = code == SQLITE_OK ? STATUS_OK : failed(store, code);
    while (status == STATUS_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        Digest key;
        uint64_t deaths = (uint64_t)sqlite3_column_int64(statement, 1);
        uint64_t cannots = (uint64_t)sqlite3_column_int64(statement, 2);
        status = column_digest(statement, 0, &key)
                     ? take(context, deaths << 32 | (uint32_t)cannots, key, 0, 0)
                     : damaged(store, "failure of a task that died", deaths);
    }
    if (status == STATUS_OK && code != SQLITE_DONE) {
        status = failed(store, code);
    }
    sqlite3_finalize(statement);
    return status;
}

Status store_answer(Store *store, uint64_t number, Digest key, Buffer *out) {
    sqlite3_stmt *statement = begin_statement(store, GET_ANSWER);
    sqlite3_bind_int64(statement, 1, (int64_t)number);
    int code = sqlite3_step(statement);
    Status status = code == SQLITE_ROW || code == SQLITE_DONE ? STATUS_OK : failed(store, code);
    if (status == STATUS_OK) {
        Digest there;
        uint32_t kind;
        bool ok = code == SQLITE_ROW && is_sealed(statement, 0, &there, &kind) &&
                  digest_equal(there, key);
        status = ok ? STATUS_OK : damaged(store, "answer", number);
    }
    if (status == STATUS_OK) {
        buffer_clear(out);
        buffer_append(out, sqlite3_column_blob(statement, 2),
                      (size_t)sqlite3_column_bytes(statement, 2));
        status = out->status;
    }
    sqlite3_reset(statement);
    return status;
}

Status store_put_answer(Store *store, uint64_t number, Digest key, uint32_t kind, const void *bytes,
                        size_t size) {
    sqlite3_stmt *statement = begin_statement(store, PUT_ANSWER);
    sqlite3_bind_int64(statement, 1, (int64_t)number);
    bind_bytes(statement, 2, key.bytes, sizeof key.bytes);
    sqlite3_bind_int64(statement, 3, kind);
    bind_bytes(statement, 4, bytes, size);
    sqlite3_bind_int64(statement, 5, seal(key.bytes, sizeof key.bytes, kind, bytes, size));
    return end_statement(store, statement, sqlite3_step(statement));
}

// ---- facts ----

Status store_fact(Store *store, const char *name, Buffer *out) {
    sqlite3_stmt *statement = begin_statement(store, GET_FACT);
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    int code = sqlite3_step(statement);
    Status status = STATUS_OK;
    if (code == SQLITE_ROW) {
        const void *value = sqlite3_column_blob(statement, 0);
        size_t size = (size_t)sqlite3_column_bytes(statement, 0);
        if (seal(name, strlen(name), 0, value, size) != sqlite3_column_int64(statement, 1)) {
            status = damaged(store, name, 0);
        } else {
            buffer_clear(out);
            buffer_append(out, value, size);
            status = out->status;
        }
    } else {
        status = code == SQLITE_DONE ? status_set(STATUS_NOT_FOUND, "not in the journal: %s", name)
                                     : failed(store, code);
    }
    sqlite3_reset(statement);
    return status;
}

Status store_set_fact(Store *store, const char *name, const void *bytes, size_t size) {
    sqlite3_stmt *statement = begin_statement(store, PUT_FACT);
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    bind_bytes(statement, 2, bytes, size);
    sqlite3_bind_int64(statement, 3, seal(name, strlen(name), 0, bytes, size));
    return end_statement(store, statement, sqlite3_step(statement));
}

// ---- states and failures ----

Status store_states(Store *store, const char *folder, StoreState states[2], uint32_t *ret_count) {
    sqlite3_stmt *statement = begin_statement(store, GET_STATES);
    sqlite3_bind_text(statement, 1, folder, -1, SQLITE_STATIC);
    uint32_t count = 0;
    int code;
    Status status = STATUS_OK;
    while (status == STATUS_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        StoreState *state = &states[count];
        state->generation = (uint32_t)sqlite3_column_int64(statement, 0);
        state->epoch = (uint32_t)sqlite3_column_int64(statement, 2);
        bool ok = state->generation < 2 && column_digest(statement, 1, &state->plan) &&
                  column_digest(statement, 3, &state->digest);
        status = ok ? STATUS_OK : damaged(store, "state", count);
        count += ok;
    }
    if (status == STATUS_OK && code != SQLITE_DONE) {
        status = failed(store, code);
    }
    sqlite3_reset(statement);
    if (status == STATUS_OK) {
        *ret_count = count;
    }
    return status;
}

Status store_put_state(Store *store, const char *folder, const StoreState *state) {
    sqlite3_stmt *statement = begin_statement(store, PUT_STATE);
    sqlite3_bind_text(statement, 1, folder, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, state->generation);
    bind_bytes(statement, 3, state->plan.bytes, sizeof state->plan.bytes);
    sqlite3_bind_int64(statement, 4, state->epoch);
    bind_bytes(statement, 5, state->digest.bytes, sizeof state->digest.bytes);
    return end_statement(store, statement, sqlite3_step(statement));
}

Status store_put_failure(Store *store, Digest key, uint32_t deaths, uint32_t cannots) {
    bool drops = deaths == 0 && cannots == 0;
    sqlite3_stmt *statement = begin_statement(store, drops ? DROP_FAILURE : PUT_FAILURE);
    bind_bytes(statement, 1, key.bytes, sizeof key.bytes);
    if (!drops) {
        sqlite3_bind_int64(statement, 2, deaths);
        sqlite3_bind_int64(statement, 3, cannots);
    }
    return end_statement(store, statement, sqlite3_step(statement));
}

// ---- transactions ----

Status store_begin(Store *store) {
    return run_sql(store, "BEGIN IMMEDIATE");
}

Status store_commit(Store *store) {
    return run_sql(store, "COMMIT");
}

void store_roll_back(Store *store) {
    (void)sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
}
