// SPDX-License-Identifier: Apache-2.0
//
// RUN/status.json: how far a run is, for people and programs that look on, since the journal is the
// coordinator's alone while it runs. Replaced at once and whole; what is durable is in the journal.
#ifndef AUSCULT_COORDINATOR_LIVE_STATUS_FILE_H
#define AUSCULT_COORDINATOR_LIVE_STATUS_FILE_H

#include <stdbool.h>

#include "common/base/buffer.h"
#include "common/base/status.h"
#include "coordinator/live/snapshot.h"

// STATUS_IO.
Status status_file_write(const char *run_folder, const Snapshot *snapshot);
// The file as it is, into `text`; and what it says, which the caller frees. `*ret_is_alive`: that
// coordinator is at work now, as far as can be told. STATUS_NOT_FOUND: there is none;
// STATUS_FORMAT.
Status status_file_read(const char *run_folder, Buffer *text, Snapshot **ret, bool *ret_is_alive);

#endif
