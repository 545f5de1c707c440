// SPDX-License-Identifier: Apache-2.0
//
// The computing thread: takes tasks from the desk, does them one after the other, each with all of
// its crew, answers. What it holds between tasks (extractor, plan, features, replica) only saves
// time; an answer depends on its task alone.
#ifndef AUSCULT_WORKER_COMPUTE_H
#define AUSCULT_WORKER_COMPUTE_H

#include "worker/bulk.h"
#include "worker/clip_feed.h"
#include "worker/desk.h"
#include "worker/share.h"

typedef struct Compute Compute;
typedef struct ComputeConfig {
    ClipFilesConfig files;
    uint64_t keep_bytes; // of features that no task uses just now
    int threads;         // for each task, 1 to CREW_LANES_MOST
} ComputeConfig;
// Starts the threads. STATUS_MEMORY, STATUS_IO.
Status compute_start(ZmqContext *context, Desk *desk, const ComputeConfig *config, Compute **ret);
// desk_stop must have been called; waits for the thread.
void compute_join(Compute *compute);

// ---- for the files of the single kinds of task ----

typedef struct TaskProbe TaskProbe;
TaskProbe *task_probe_new(Desk *desk, Crew *crew, ClipFiles *files); // all is borrowed, as below
void task_probe_free(TaskProbe *probe);
// Each appends the body of a RESULT and says its outcome. STATUS_STOPPED: cancelled, no
// answer; any other failure: this worker cannot, status_message says why.
Status task_probe_run(TaskProbe *probe, const DeskTask *task, Buffer *answer,
                      ResultOutcome *ret_outcome);

typedef struct TaskScore TaskScore;
TaskScore *task_score_new(Desk *desk, Crew *crew, Bulk *bulk, ClipFeed feed);
void task_score_free(TaskScore *score);
Status task_score_run(TaskScore *score, const DeskTask *task, Buffer *answer,
                      ResultOutcome *ret_outcome);

typedef struct TaskTrain TaskTrain;
TaskTrain *task_train_new(Desk *desk, Bulk *bulk, Share *share);
void task_train_free(TaskTrain *train);
Status task_train_run(TaskTrain *train, const DeskTask *task, Buffer *answer,
                      ResultOutcome *ret_outcome);

typedef struct TaskShard TaskShard;
TaskShard *task_shard_new(Desk *desk, Bulk *bulk, Share *share);
void task_shard_free(TaskShard *shard);
Status task_shard_run(TaskShard *shard, const DeskTask *task, Buffer *answer,
                      ResultOutcome *ret_outcome);

// EXPLORE and PORTRAIT.
typedef struct TaskExplore TaskExplore;
TaskExplore *task_explore_new(Desk *desk, Crew *crew, Bulk *bulk, ClipFiles *files);
void task_explore_free(TaskExplore *explore);
Status task_explore_run(TaskExplore *explore, const DeskTask *task, Buffer *answer,
                        ResultOutcome *ret_outcome);

#endif
