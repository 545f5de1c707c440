// SPDX-License-Identifier: Apache-2.0
//
// How a run stands at one moment: what RUN/status.json holds, and what the live page, the metrics
// and `auscult status` show, each by a rendering of its own from this one struct. The coordinator's
// loop makes one each second; it is never changed once it is published, so any thread may read it.
// Facts of the cluster, never part of a result.
#ifndef AUSCULT_COORDINATOR_LIVE_SNAPSHOT_H
#define AUSCULT_COORDINATOR_LIVE_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/limits.h"
#include "common/base/status.h"

enum {
    SNAPSHOT_STAGES = 5,   // that have counts: all but report
    SNAPSHOT_MODELS = 256, // models in the list at most: beyond, those at work come first
};

typedef enum RunState { RUN_RUNNING, RUN_STOPPED, RUN_FAILED, RUN_DONE } RunState;
typedef enum RunStage {
    AT_EXTRACT,
    AT_EXPLORE,
    AT_TRAIN,
    AT_SCORE,
    AT_PICTURES,
    AT_REPORT
} RunStage;

// One worker that is connected. Texts are fit for people: UTF-8 without control characters.
typedef struct SnapshotWorker {
    char name[LIMIT_NAME_BYTES]; // host and process id, as it says
    char state[16];              // "working", "idle", or "quiet": not heard of for seconds
    char work[LIMIT_NAME_BYTES]; // what is under work there, "" when it is idle
    uint64_t leases;             // tasks that it holds, the one under work included
    uint64_t tasks_done;         // answers taken from it in this session
    uint64_t done, total;        // of the task under work, in its own units; total 0: not told yet
    double loss;                 // of a training under work; NaN: none told
    double silent_seconds;       // since its last sign of life
    double here_seconds;         // since its session began
    double busy_share;           // of that time with something to do, 0..1
    uint32_t tag;                // of the task under work, UINT32_MAX for none; not in the file
} SnapshotWorker;

typedef struct SnapshotModel {
    char label[2 * LIMIT_NAME_BYTES]; // as Model has it
    char state[16];                   // "waiting", "training", "scoring", "done" or "failed"
    uint64_t epochs_trained, epochs;
    uint64_t workers; // that train it now
    double loss;      // of its training, as a worker last told; NaN: not told in this incarnation
} SnapshotModel;

typedef struct Snapshot {
    RunState state;
    RunStage stage;
    uint64_t clips_read, clips; // as all totals: 0 where this command does not come to that stage
    uint64_t clips_explored, clips_to_explore; // of the machines whose clips are read
    uint64_t epochs_trained, epochs;
    uint64_t clips_scored, clips_to_score;
    uint64_t pictures_made, pictures; // of clips, those asked for so far
    uint64_t clips_left_out, models_failed;
    uint64_t models_stranded; // no worker that is there can train them
    uint64_t workers;
    uint64_t workers_idle;                          // of them without anything to do
    uint64_t models, models_training, models_done;  // all; with workers on them; scored
    uint64_t tasks_waiting, tasks_held, tasks_done; // of this incarnation
    uint64_t retries;                               // tasks given out again, likewise
    uint64_t poison;                                // tasks that workers died on, likewise
    uint64_t alarms;                                // answers that contradicted each other
    uint64_t incarnation;                           // how often the run was begun or continued
    uint64_t began_ms, written_ms;                  // this incarnation, this snapshot; since 1970
    uint64_t process;                               // of the coordinator
    // That the stages took so far, likewise, and how fast they went; or 0.
    double extract_seconds, explore_seconds, train_seconds, score_seconds, pictures_seconds;
    double extract_per_second, explore_per_second, train_per_second, score_per_second,
        pictures_per_second;
    double seconds_left;         // of the stage under way; NaN: nobody knows
    double loss;                 // the last that any worker told; NaN: none
    char host[LIMIT_NAME_BYTES]; // of the coordinator
    char http[128];              // where the live page is, "" for none
    SnapshotWorker *worker_list; // (worker_count) by name; owned
    uint64_t worker_count;
    SnapshotModel *model_list; // (model_count) in the run's order; owned
    uint64_t model_count;
} Snapshot;

// A stage's part of it.
typedef struct SnapshotStage {
    const char *name; // "extract"
    const char *text; // "clips read"
    const char *unit; // "clips"
    uint64_t done, total;
    double seconds, per_second;
    double seconds_left; // NaN: nobody knows, or it is not the stage under way
} SnapshotStage;

// All zeros, with room for so many. NULL when out of memory.
Snapshot *snapshot_new(uint32_t workers, uint32_t models);
void snapshot_free(Snapshot *snapshot);
// NULL when out of memory.
Snapshot *snapshot_copy(const Snapshot *snapshot);
SnapshotStage snapshot_stage(const Snapshot *snapshot, RunStage stage); // not of AT_REPORT
// Whether there is anything of it to be told.
bool snapshot_has_stage(const Snapshot *snapshot, RunStage stage);
// "running", "stopped", "failed" or "done".
const char *run_state_text(RunState state);
// "extract", "explore", "train", "score", "pictures" or "report".
const char *run_stage_text(RunStage stage);
// Copies a name from data or a worker: cut to fit, `?` for what is not UTF-8, control characters
// and what YAML takes for none.
void snapshot_text(char *out, size_t size, const char *text);

// snapshot_json.c: the object that status.json holds, and back. `name` stands for the file in
// messages. STATUS_FORMAT, STATUS_MEMORY.
void snapshot_json(const Snapshot *snapshot, Buffer *out);
Status snapshot_from_json(const char *name, const char *bytes, size_t size, Snapshot **ret);

// snapshot_metrics.c: in the text format 0.0.4 of Prometheus.
void snapshot_metrics(const Snapshot *snapshot, Buffer *out);

// snapshot_page.c: the live page. `log_tail`: the last lines of the log.
void snapshot_page(const Snapshot *snapshot, const char *run, const char *log_tail, Buffer *out);
// The script of its own that the page asks for at /live.js.
void snapshot_script(Buffer *out);

// snapshot_print.c: for a terminal, and a single line for where nothing can be redrawn.
void snapshot_print(const Snapshot *snapshot, Buffer *out);
void snapshot_line(const Snapshot *snapshot, Buffer *out);

#endif
