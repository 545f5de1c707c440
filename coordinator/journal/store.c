// SPDX-License-Identifier: Apache-2.0
#include "coordinator/journal/store.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/journal/seal.h"
#include "coordinator/journal/store_file.h"

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
    GET_NEWEST,
} Statement;

static const char *const SQL[STORE_STATEMENTS] = {
    [PUT_ANSWER] = "INSERT INTO answer VALUES (?1, ?2, ?3, ?4, ?5)",
    [GET_ANSWER] = "SELECT key, kind, body, seal FROM answer WHERE number = ?1",
    [PUT_STATE] = "INSERT OR REPLACE INTO state SELECT ?1, ?2, ?3, ?4, ?5, next,"
                  " seal_row(?1, ?2, ?3, ?4, ?5, next) FROM"
                  " (SELECT coalesce(max(turn), 0) + 1 AS next FROM state WHERE folder = ?1)",
    [GET_STATES] = "SELECT generation, plan, epoch, digest,"
                   " seal IS seal_row(folder, generation, plan, epoch, digest, turn)"
                   " FROM state WHERE folder = ?1 ORDER BY turn DESC LIMIT 2",
    [PUT_FAILURE] = "INSERT OR REPLACE INTO failure VALUES (?1, ?2, ?3, seal_row(?1, ?2, ?3))",
    [DROP_FAILURE] = "DELETE FROM failure WHERE key = ?1",
    [PUT_FACT] = "INSERT OR REPLACE INTO fact VALUES (?1, ?2, ?3)",
    [GET_FACT] = "SELECT value, seal FROM fact WHERE name = ?1",
    [GET_NEWEST] = "SELECT coalesce(max(number), 0) FROM incarnation",
};

// ---- statements ----

static sqlite3_stmt *begin_statement(Store *store, Statement which) {
    sqlite3_stmt *statement = store->statements[which];
    sqlite3_reset(statement);
    return statement;
}

static Status end_statement(Store *store, sqlite3_stmt *statement, int code) {
    Status status =
        code == SQLITE_DONE || code == SQLITE_ROW ? STATUS_OK : store_failed(store, code);
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

Status store_prepare(Store *store) {
    for (int s = 0; s < STORE_STATEMENTS; s++) {
        int code = sqlite3_prepare_v3(store->database, SQL[s], -1, SQLITE_PREPARE_PERSISTENT,
                                      &store->statements[s], NULL);
        if (code != SQLITE_OK) {
            return store_failed(store, code);
        }
    }
    return STATUS_OK;
}

// ---- incarnations ----

Status store_newest_incarnation(Store *store, uint32_t *ret_number) {
    sqlite3_stmt *statement = begin_statement(store, GET_NEWEST);
    int code = sqlite3_step(statement);
    int64_t newest = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    Status status = end_statement(store, statement, code);
    if (status == STATUS_OK && (newest < 0 || newest >= UINT32_MAX)) {
        status = store_damaged(store, "incarnation", (uint64_t)newest);
    }
    if (status == STATUS_OK) {
        *ret_number = (uint32_t)newest;
    }
    return status;
}

Status store_begin_incarnation(Store *store, uint32_t above, uint32_t *ret_number) {
    uint32_t newest = 0;
    Status status = store_begin(store);
    if (status != STATUS_OK) {
        return store_end(store, status);
    }
    status = store_newest_incarnation(store, &newest);
    newest = (newest > above ? newest : above) + 1;
    char sql[128];
    snprintf(sql, sizeof sql, "INSERT INTO incarnation VALUES (%u, %ld)", newest, (long)getpid());
    if (status == STATUS_OK) {
        status = store_run(store, sql);
    }
    if (status == STATUS_OK) { // what store_each_failure passed over
        status = store_run(store, "DELETE FROM failure"
                                  " WHERE seal IS NOT seal_row(key, deaths, cannots)");
    }
    status = store_end(store, status);
    if (status == STATUS_OK) {
        store->incarnation = *ret_number = newest;
    }
    return status;
}

// ---- answers ----

static bool is_sealed(sqlite3_stmt *statement, int first, Digest *ret_key, uint32_t *ret_kind) {
    const void *body = sqlite3_column_blob(statement, first + 2);
    size_t size = (size_t)sqlite3_column_bytes(statement, first + 2);
    *ret_kind = (uint32_t)sqlite3_column_int64(statement, first + 1);
    return column_digest(statement, first, ret_key) &&
           seal_of_body(ret_key->bytes, sizeof ret_key->bytes, *ret_kind, body, size) ==
               sqlite3_column_int64(statement, first + 3);
}

// Reads what the scans of answers and failures do not, so that a file that lacks a page is known at
// once.
static Status read_small_tables(Store *store) {
    int64_t odd = 0;
    Status status =
        store_query(store, "SELECT count(*) FROM fact WHERE seal_of(name, 0, value) <> seal", &odd);
    if (status == STATUS_OK && odd > 0) {
        return store_damaged(store, "facts:", (uint64_t)odd);
    }
    if (status == STATUS_OK) {
        status = store_query(store,
                             "SELECT count(*) FROM state WHERE seal IS NOT"
                             " seal_row(folder, generation, plan, epoch, digest, turn)",
                             &odd);
    }
    return status == STATUS_OK && odd > 0 ? store_damaged(store, "states:", (uint64_t)odd) : status;
}

Status store_each_answer(Store *store, StoreTake *take, void *context) {
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(
        store->database, "SELECT number, key, kind, body, seal FROM answer ORDER BY number", -1,
        &statement, NULL);
    Status status = code == SQLITE_OK ? read_small_tables(store) : store_failed(store, code);
    uint64_t expected = 1;
    while (status == STATUS_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        Digest key;
        uint32_t kind;
        uint64_t number = (uint64_t)sqlite3_column_int64(statement, 0);
        bool ok = number == expected++ && is_sealed(statement, 1, &key, &kind);
        size_t size = (size_t)sqlite3_column_bytes(statement, 3);
        status = ok ? take(context, number, key, kind, size)
                    : store_damaged(store, "answer", expected - 1);
    }
    if (status == STATUS_OK && code != SQLITE_DONE) {
        status = store_failed(store, code);
    }
    sqlite3_finalize(statement);
    return status;
}

Status store_each_failure(Store *store, StoreTake *take, void *context, uint32_t *ret_damaged) {
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(store->database,
                                  "SELECT key, deaths, cannots,"
                                  " seal IS seal_row(key, deaths, cannots) FROM failure",
                                  -1, &statement, NULL);
    Status status = code == SQLITE_OK ? STATUS_OK : store_failed(store, code);
    uint32_t odd = 0;
    while (status == STATUS_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        Digest key;
        uint64_t deaths = (uint64_t)sqlite3_column_int64(statement, 1);
        uint64_t cannots = (uint64_t)sqlite3_column_int64(statement, 2);
        if (sqlite3_column_int(statement, 3) == 1 && column_digest(statement, 0, &key)) {
            status = take(context, deaths << 32 | (uint32_t)cannots, key, 0, 0);
        } else {
            odd++;
        }
    }
    if (status == STATUS_OK && code != SQLITE_DONE) {
        status = store_failed(store, code);
    }
    sqlite3_finalize(statement);
    if (status == STATUS_OK) {
        *ret_damaged = odd;
    }
    return status;
}

Status store_answer(Store *store, uint64_t number, Digest key, Buffer *out) {
    if (store->is_lost) { // it may hold what was never committed
        return store_lost(store);
    }
    sqlite3_stmt *statement = begin_statement(store, GET_ANSWER);
    sqlite3_bind_int64(statement, 1, (int64_t)number);
    int code = sqlite3_step(statement);
    Status status =
        code == SQLITE_ROW || code == SQLITE_DONE ? STATUS_OK : store_failed(store, code);
    if (status == STATUS_OK) {
        Digest there;
        uint32_t kind;
        bool ok = code == SQLITE_ROW && is_sealed(statement, 0, &there, &kind) &&
                  digest_equal(there, key);
        status = ok ? STATUS_OK : store_damaged(store, "answer", number);
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
    sqlite3_bind_int64(statement, 5, seal_of_body(key.bytes, sizeof key.bytes, kind, bytes, size));
    return end_statement(store, statement, sqlite3_step(statement));
}

// ---- facts ----

Status store_fact(Store *store, const char *name, Buffer *out) {
    if (store->is_lost) { // it may hold what was never committed
        return store_lost(store);
    }
    sqlite3_stmt *statement = begin_statement(store, GET_FACT);
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    int code = sqlite3_step(statement);
    Status status = STATUS_OK;
    if (code == SQLITE_ROW) {
        const void *value = sqlite3_column_blob(statement, 0);
        size_t size = (size_t)sqlite3_column_bytes(statement, 0);
        if (seal_of_body(name, strlen(name), 0, value, size) !=
            sqlite3_column_int64(statement, 1)) {
            status = store_damaged(store, name, 0);
        } else {
            buffer_clear(out);
            buffer_append(out, value, size);
            status = out->status;
        }
    } else {
        status = code == SQLITE_DONE ? status_set(STATUS_NOT_FOUND, "not in the journal: %s", name)
                                     : store_failed(store, code);
    }
    sqlite3_reset(statement);
    return status;
}

Status store_set_fact(Store *store, const char *name, const void *bytes, size_t size) {
    sqlite3_stmt *statement = begin_statement(store, PUT_FACT);
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    bind_bytes(statement, 2, bytes, size);
    sqlite3_bind_int64(statement, 3, seal_of_body(name, strlen(name), 0, bytes, size));
    return end_statement(store, statement, sqlite3_step(statement));
}

// ---- states and failures ----

Status store_states(Store *store, const char *folder, StoreState states[2], uint32_t *ret_count) {
    if (store->is_lost) { // it may hold what was never committed
        return store_lost(store);
    }
    sqlite3_stmt *statement = begin_statement(store, GET_STATES);
    sqlite3_bind_text(statement, 1, folder, -1, SQLITE_STATIC);
    uint32_t count = 0;
    int code;
    Status status = STATUS_OK;
    while (status == STATUS_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        StoreState *state = &states[count];
        state->generation = (uint32_t)sqlite3_column_int64(statement, 0);
        state->epoch = (uint32_t)sqlite3_column_int64(statement, 2);
        bool ok = sqlite3_column_int(statement, 4) == 1 && state->generation < 2 &&
                  column_digest(statement, 1, &state->plan) &&
                  column_digest(statement, 3, &state->digest);
        status = ok ? STATUS_OK : store_damaged(store, "state", count);
        count += ok;
    }
    if (status == STATUS_OK && code != SQLITE_DONE) {
        status = store_failed(store, code);
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
