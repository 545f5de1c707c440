// SPDX-License-Identifier: Apache-2.0
//
// What the two halves of the store share: store_file.c opens, migrates, begins, ends and closes;
// store.c reads and writes rows. Nobody else includes it.
#ifndef AUSCULT_COORDINATOR_JOURNAL_STORE_FILE_H
#define AUSCULT_COORDINATOR_JOURNAL_STORE_FILE_H

#include "common/base/limits.h"
#include "coordinator/journal/store.h"

enum { STORE_STATEMENTS = 9 }; // those of store.c

struct Store {
    struct sqlite3 *database;
    char path[LIMIT_PATH_BYTES];
    struct sqlite3_stmt *statements[STORE_STATEMENTS];
    bool is_network;
    const RunLock *lock;  // names the coordinator who may write; NULL: nobody else can be there
    uint32_t incarnation; // the newest in the file as long as the run is ours; 0: not begun
    bool is_lost;         // the run is another's, and the file is not to be touched any more
    struct Store *next_lost;
};

// Sets the message for a code of SQLite's, with what can be done.
Status store_failed(const Store *store, int code);
// STATUS_IO, that the run is another's.
Status store_lost(const Store *store);
// STATUS_FORMAT, "damaged (WHAT NUMBER)" with what can be done.
Status store_damaged(const Store *store, const char *what, uint64_t number);
Status store_run(Store *store, const char *sql);
// The first column of the first row.
Status store_query(Store *store, const char *sql, int64_t *ret_value);
// Every statement that is used more than once, prepared once.
Status store_prepare(Store *store);

#endif
