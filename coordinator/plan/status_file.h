// SPDX-License-Identifier: Apache-2.0
//
// RUN/status.json: how far a run is, for people and programs that look on, since the journal is the
// coordinator's alone while it runs. Replaced at once and whole; what is durable is in the journal.
#ifndef AUSCULT_COORDINATOR_PLAN_STATUS_FILE_H
#define AUSCULT_COORDINATOR_PLAN_STATUS_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/status.h"

typedef enum RunState { RUN_RUNNING, RUN_STOPPED, RUN_FAILED, RUN_DONE } RunState;

typedef struct StatusFacts {
    RunState state;
    const char *stage; // "extract", "train", "score" or "report"; static
    uint64_t clips_read, clips;
    uint64_t epochs_trained, epochs;
    uint64_t clips_scored, clips_to_score;
    uint64_t clips_left_out, models_failed;
    uint64_t models_stranded; // no worker that is there can train them
    uint64_t workers;
} StatusFacts;

// With this process and the time. STATUS_IO.
Status status_file_write(const char *run_folder, const StatusFacts *facts);
// The file as it is, into `text`; and what it says. `*ret_is_alive`: that coordinator is at work
// now, as far as can be told. STATUS_NOT_FOUND: there is none; STATUS_FORMAT.
Status status_file_read(const char *run_folder, Buffer *text, StatusFacts *ret_facts,
                        bool *ret_is_alive);
// "running", "stopped", "failed" or "done".
const char *run_state_text(RunState state);

#endif
