// SPDX-License-Identifier: Apache-2.0
//
// Everything that lets people follow a run: once a second a snapshot of it goes to RUN/status.json,
// to the live page if there is one, and into the cluster's story, which is written to
// RUN/logs/cluster.json and cluster.html. It costs the coordinator's loop the making of the
// snapshot; who reads the page is served by a thread of its own and never waited for. Facts of
// the cluster: nothing here reaches a result. The coordinator's loop alone.
#ifndef AUSCULT_COORDINATOR_LIVE_LIVE_H
#define AUSCULT_COORDINATOR_LIVE_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/core/core.h"
#include "coordinator/live/snapshot.h"

typedef struct LiveConfig {
    const char *run_folder; // borrowed, as all here
    const char *http;       // HOST:PORT of the live page, NULL for none
} LiveConfig;

// What the loop knows when it tells.
typedef struct LiveMoment {
    const Core *core;
    uint64_t alarms;
    const char *stage; // under way, as ProgressFacts has it: another one is told of at once
    Status ended;      // what ended the loop; STATUS_AGAIN while it goes on
    int64_t now_ms;
} LiveMoment;

// The owner's part: stage, counts, models, and what each worker is at.
typedef struct LiveOwner {
    void (*complete)(void *context, Snapshot *snapshot, Status ended);
    void *context;
} LiveOwner;

typedef struct Live Live;
// Opens the page, if one is wanted. STATUS_INVALID: it cannot be opened at that address.
Status live_new(const LiveConfig *config, Live **ret);
void live_free(Live *live);
// Where the page is: "http://127.0.0.1:8080/"; "" for none.
const char *live_url(const Live *live);

// All below accept NULL: nobody looks on.
// A worker's session began, or ended: `left` is the core's CORE_LEFT.
void live_joined(Live *live, const CoreSession *session);
void live_left(Live *live, const CoreAction *left);
// Workers died on a task too often.
void live_poison(Live *live);
// Takes the snapshot: once a second while the loop goes on, and at last. A folder that takes no
// file has other worries, which the journal tells.
void live_tell(Live *live, const LiveMoment *moment, const LiveOwner *owner);
// The same, only where it is due.
void live_tell_in_time(Live *live, const LiveMoment *moment, const LiveOwner *owner);
// The loop is over and its results are being written: the page says so.
void live_reporting(Live *live);
// How it ended: writes status.json for good, and the cluster's story. STATUS_IO: the latter cannot
// be written.
Status live_end(Live *live, RunState state);

#endif
