// SPDX-License-Identifier: Apache-2.0
#include "coordinator/journal/check.h"

#include <stdbool.h>

#include "common/base/file.h"
#include "coordinator/journal/schema.h"

#define RESTART "begin anew with --restart, --data and the settings; this run is kept aside"
#define REMEDY  "put a copy of it back, or " RESTART

Status check_is_there(const char *path) {
    FileFacts facts;
    bool is_there = file_facts(path, &facts) == STATUS_OK && facts.size_bytes > 0;
    return is_there ? STATUS_OK
                    : status_set(STATUS_FORMAT,
                                 "journal %s is gone or empty, although this run has been worked "
                                 "on: " REMEDY,
                                 path);
}

Status check_has_tables(const char *path, int64_t version) {
    return version > 0 ? STATUS_OK
                       : status_set(STATUS_FORMAT,
                                    "journal %s holds nothing, although this run has been worked "
                                    "on, so its log %s-wal was lost: put that back, or " RESTART,
                                    path, file_name(path));
}

Status check_version(const char *path, int64_t version) {
    if (version <= SCHEMA_VERSION) {
        return STATUS_OK;
    }
    return status_set(STATUS_MISMATCH,
                      "journal %s was written by a newer version of auscult (its format is %lld, "
                      "this program knows %d): continue with that version, or " RESTART,
                      path, (long long)version, SCHEMA_VERSION);
}

Status check_age(const char *path, uint32_t newest, uint32_t number) {
    if (newest >= number) {
        return STATUS_OK;
    }
    return status_set(
        STATUS_FORMAT,
        "journal %s is older than the run: it knows %u of the %u coordinators that have "
        "worked on it, so it is an old copy, or its log %s-wal was damaged or left "
        "behind: put the newest journal.db back, with its journal.db-wal if there is "
        "one; or go on from what it knows with --update, which does the rest anew; or " RESTART,
        path, newest, number, file_name(path));
}

Status check_damaged(const char *path, const char *why) {
    return status_set(STATUS_FORMAT, "journal %s is damaged (%s): " REMEDY, path, why);
}
