// SPDX-License-Identifier: Apache-2.0
//
// How it works. While a coordinator is at work its files change under the eyes of whoever looks on,
// and SQLite's own locks keep everybody out: then only the head of the file is looked at. While
// none is, the whole is read and checked as at an opening. One may come meanwhile, so that what is
// found wrong counts only if there is still nobody at the end.
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "coordinator/journal/check.h"
#include "coordinator/journal/journal.h"
#include "coordinator/journal/run_lock.h"
#include "coordinator/journal/schema.h"
#include "coordinator/journal/store.h"

// SQLite's file format: these 16 bytes, and the schema's version in 4 at byte 60, highest first.
static const char MAGIC[16] = "SQLite format 3";
enum { HEAD_BYTES = 64, VERSION_AT = 60 };

static Status look_at_head(const char *path) {
    unsigned char head[HEAD_BYTES] = {0};
    FILE *file = fopen(path, "rb");
    size_t size = file != NULL ? fread(head, 1, sizeof head, file) : 0;
    if (file != NULL) {
        fclose(file);
    }
    if (size < sizeof head || memcmp(head, MAGIC, sizeof MAGIC) != 0) {
        return check_damaged(path, "it is no database");
    }
    uint32_t version = 0;
    for (int i = 0; i < 4; i++) {
        version = version << 8 | head[VERSION_AT + i];
    }
    return check_version(path, version);
}

static Status pass_over(void *context, uint64_t number, Digest key, uint32_t kind, size_t size) {
    (void)context, (void)number, (void)key, (void)kind, (void)size;
    return STATUS_OK;
}

static Status look_at_rows(Store *store, const char *path, uint32_t number) {
    uint32_t newest = 0, damaged = 0;
    Status status = store_newest_incarnation(store, &newest);
    if (status == STATUS_OK) {
        status = check_age(path, newest, number);
    }
    if (status == STATUS_OK) {
        status = store_each_answer(store, pass_over, NULL);
    }
    return status == STATUS_OK ? store_each_failure(store, pass_over, NULL, &damaged) : status;
}

static Status look_at_all(const char *path, uint32_t number) {
    Store *store = NULL;
    bool is_older = false;
    Status status = store_open_to_look(path, &is_older, &store);
    if (status == STATUS_OK && !is_older) {
        status = look_at_rows(store, path, number);
    }
    store_close(store);
    return status == STATUS_AGAIN ? look_at_head(path) : status;
}

Status journal_look(const char *path, bool is_at_work) {
    char lock_path[LIMIT_PATH_BYTES], why[LIMIT_MESSAGE_BYTES];
    RunLockPast past = {0}, later = {0};
    bool is_held = false;
    int stem = (int)(file_name(path) - path);
    if (snprintf(lock_path, sizeof lock_path, "%.*sjournal.lock", stem, path) >=
        (int)sizeof lock_path) {
        return status_set(STATUS_LIMIT, "path too long: %s", path);
    }
    (void)run_lock_look(lock_path, &past, &is_held); // nobody, where there is none
    Status status = check_is_there(path);
    if (status == STATUS_OK) {
        status = is_held || is_at_work ? look_at_head(path) : look_at_all(path, past.number);
    }
    if (status == STATUS_OK || is_held || is_at_work) {
        return status;
    }
    text_copy(why, sizeof why, status_message());
    (void)run_lock_look(lock_path, &later, &is_held);
    if (is_held || later.number != past.number || later.was_closed != past.was_closed) {
        return STATUS_OK; // somebody has begun to work on it, and has checked it before
    }
    return status_set(status, "%s", why);
}
