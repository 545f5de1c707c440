// SPDX-License-Identifier: Apache-2.0
//
// What makes a journal unusable, in one wording for whoever opens it or looks on: each sets a
// message that says what can be done. Pure but for check_is_there.
#ifndef AUSCULT_COORDINATOR_JOURNAL_CHECK_H
#define AUSCULT_COORDINATOR_JOURNAL_CHECK_H

#include <stdint.h>

#include "common/base/status.h"

// STATUS_FORMAT: gone or empty, although the run has been worked on.
Status check_is_there(const char *path);
// STATUS_FORMAT: version 0, which is that of a file without tables, although the run has been
// worked on: all was in its log.
Status check_has_tables(const char *path, int64_t version);
// STATUS_MISMATCH: of a newer version than SCHEMA_VERSION.
Status check_version(const char *path, int64_t version);
// STATUS_FORMAT: the journal knows fewer coordinators than the lock file (`number`), so that it is
// an old copy, or one whose log is lost.
Status check_age(const char *path, uint32_t newest, uint32_t number);
// STATUS_FORMAT, always.
Status check_damaged(const char *path, const char *why);

#endif
