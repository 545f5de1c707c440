// SPDX-License-Identifier: Apache-2.0
//
// The cluster's own story of a run: who worked on it, when, how much of the time, how fast it went,
// what had to be done again, how long each stage took. It lives in RUN/logs/cluster.json, which
// each coordinator of the run (an incarnation) reads, adds to and replaces, and as a page in
// cluster.html beside it. Bounded: of very many the oldest are put together. Times and hosts stand
// here and nowhere among the results. The coordinator's loop alone.
#ifndef AUSCULT_COORDINATOR_LIVE_STORY_H
#define AUSCULT_COORDINATOR_LIVE_STORY_H

#include <stdint.h>

#include "coordinator/core/core.h"
#include "coordinator/live/snapshot.h"

enum {
    STORY_WORKERS = 1024,     // rows: the most that work at one time
    STORY_INCARNATIONS = 256, // a run that is stopped more often is listed from the newest on
    STORY_WHY_BYTES = 160,
};

// A worker in one incarnation; its sessions there taken together.
typedef struct StoryWorker {
    char name[LIMIT_NAME_BYTES];
    char why[STORY_WHY_BYTES]; // its last session ended; "" while it is there
    uint64_t incarnation;
    uint64_t joined_ms, left_ms; // since 1970; left_ms 0 while it is there
    uint64_t sessions;           // more than 1: its connection was lost in between
    uint64_t tasks_done;
    double here_seconds, busy_seconds; // of its sessions; with something to do
} StoryWorker;

typedef struct StoryIncarnation {
    char state[16]; // "running", then "stopped", "failed", "done"; "killed" found out later
    char host[LIMIT_NAME_BYTES];
    uint64_t number;
    uint64_t process;
    uint64_t began_ms, ended_ms; // since 1970
    uint64_t workers_most;       // at one time
    uint64_t tasks_done, retries, poison, alarms;
    // In it, not before.
    uint64_t clips_read, clips_explored, epochs_trained, clips_scored, pictures_made;
    // While each was the first not done.
    double extract_seconds, explore_seconds, train_seconds, score_seconds, pictures_seconds,
        report_seconds;
    // Of workers, by task.
    double read_busy_seconds, explore_busy_seconds, train_busy_seconds, score_busy_seconds,
        pictures_busy_seconds;
} StoryIncarnation;

typedef struct Story Story;

// Begins this incarnation's part, numbered from 1 on; goes on from what the file has, and from
// nothing where it is absent or cannot be understood (that one is kept as cluster.json.old).
// `run_folder` is borrowed. STATUS_MEMORY.
Status story_open(const char *run_folder, Story **ret);
uint64_t story_number(const Story *story); // of this incarnation
void story_free(Story *story);             // accepts NULL

void story_joined(Story *story, const char *name, int64_t wall_ms);
typedef struct StoryLeft {
    const char *name, *why; // borrowed for the call
    uint64_t tasks_done;    // in the session that has ended
    int64_t busy_ms;        // likewise
} StoryLeft;
void story_left(Story *story, const StoryLeft *left, int64_t wall_ms);
// Once a second, before the snapshot is published.
void story_look(Story *story, const Snapshot *snapshot, const CoreCounts *counts, int64_t wall_ms);
// From here to story_end results are written.
void story_reporting(Story *story, int64_t wall_ms);
void story_end(Story *story, const char *state, int64_t wall_ms);

// What is known, for pages and tests; borrowed until the next call.
const StoryIncarnation *story_incarnations(const Story *story, uint32_t *ret_count);
const StoryWorker *story_workers(const Story *story, uint32_t *ret_count);
// Workers that were too many to be listed, together; `sessions` is how many they were.
const StoryWorker *story_others(const Story *story);

// logs/cluster.json, logs/cluster.html. STATUS_IO, STATUS_MEMORY.
Status story_write(const Story *story);
Status story_write_page(const Story *story);
// story_page.c: the page.
void story_page(const Story *story, const char *run, Buffer *out);

#endif
