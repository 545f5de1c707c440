// SPDX-License-Identifier: Apache-2.0
#include "worker/compute.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"

struct Compute {
    Desk *desk;
    Crew *crew;
    Bulk *bulk;
    ClipFiles *files;
    TaskProbe *probe;
    TaskScore *score;
    TaskTrain *train;
    TaskShard *shard;
    TaskExplore *explore;
    Share *share;        // of train and shard
    FeatureStore *store; // of score and share
    uint64_t extracted;  // clips, when it was last told
    pthread_t thread;
};

static Status run(Compute *compute, const DeskTask *task, Buffer *answer,
                  ResultOutcome *ret_outcome) {
    Status status = STATUS_OK;
    switch (task->kind) {
    case TASK_PROBE:
        status = task_probe_run(compute->probe, task, answer, ret_outcome);
        break;
    case TASK_TRAIN:
        status = task_train_run(compute->train, task, answer, ret_outcome);
        break;
    case TASK_SCORE:
        status = task_score_run(compute->score, task, answer, ret_outcome);
        break;
    case TASK_RESIDUALS:
    case TASK_BATCHES:
        status = task_shard_run(compute->shard, task, answer, ret_outcome);
        break;
    case TASK_EXPLORE:
    case TASK_PORTRAIT:
        status = task_explore_run(compute->explore, task, answer, ret_outcome);
        break;
    case TASK_EMPTY:
        break;
    }
    return status;
}

// What stopped the task as the body of a RESULT 1.
static void explain(Buffer *answer) {
    char reason[512];
    snprintf(reason, sizeof reason, "%.480s", status_message());
    buffer_done(answer);
    body_encode_cannot(&(CannotBody){.reason = reason}, answer);
}

static void tell_features(Compute *compute) {
    FeatureCounts counts = feature_store_counts(compute->store);
    if (counts.extracted > compute->extracted) {
        compute->extracted = counts.extracted;
        log_debug("features: %llu clips extracted, %llu times found again, %.1f MB kept",
                  (unsigned long long)counts.extracted, (unsigned long long)counts.reused,
                  (double)counts.idle_bytes / 1e6);
    }
}

// Waits for a task; false: stop.
static bool next_task(Compute *compute, DeskTask *ret_task) {
    do {
        bulk_rest(compute->bulk, PROTO_REST_MS);
        clip_files_rest(compute->files, PROTO_REST_MS);
    } while (!desk_await_task(compute->desk, PROTO_REST_MS));
    return desk_next_task(compute->desk, ret_task);
}

static void *work(void *argument) {
    Compute *compute = argument;
    DeskTask task;
    while (next_task(compute, &task)) {
        Buffer answer = BUFFER_EMPTY;
        ResultOutcome outcome = RESULT_DONE;
        status_clear();
        Status status = run(compute, &task, &answer, &outcome);
        if (status != STATUS_OK) {
            log_line(status == STATUS_STOPPED ? LOG_DEBUG : LOG_WARNING, "task %llu: %s",
                     (unsigned long long)task.task, status_message());
            outcome = RESULT_CANNOT;
            explain(&answer);
        }
        tell_features(compute);
        desk_answer(compute->desk, outcome, &answer);
        buffer_done(&answer);
        buffer_done(&task.body);
    }
    return NULL;
}

static void free_compute(Compute *compute) {
    task_probe_free(compute->probe);
    task_score_free(compute->score);
    task_train_free(compute->train);
    task_shard_free(compute->shard);
    task_explore_free(compute->explore);
    share_free(compute->share);
    feature_store_free(compute->store);
    clip_files_free(compute->files);
    bulk_free(compute->bulk);
    crew_free(compute->crew);
    mem_free(compute);
}

Status compute_start(ZmqContext *context, Desk *desk, const ComputeConfig *config, Compute **ret) {
    Compute *compute = mem_new(1, sizeof *compute);
    if (compute == NULL) {
        return STATUS_MEMORY;
    }
    compute->desk = desk;
    Status status = crew_new(config->threads, &compute->crew);
    if (status == STATUS_OK) {
        status = clip_files_new(context, desk, &config->files, &compute->files);
    }
    if (status != STATUS_OK) {
        crew_free(compute->crew);
        mem_free(compute);
        return status;
    }
    Crew *crew = compute->crew;
    compute->bulk = bulk_new(context, desk);
    compute->probe = task_probe_new(desk, crew, compute->files);
    compute->store = feature_store_new(config->keep_bytes, config->threads);
    ClipFeed feed = {compute->files, compute->store};
    compute->score = task_score_new(desk, crew, compute->bulk, feed);
    compute->explore = task_explore_new(desk, crew, compute->bulk, compute->files);
    compute->share = share_new(crew, compute->bulk, feed);
    compute->train = task_train_new(desk, compute->bulk, compute->share);
    compute->shard = task_shard_new(desk, compute->bulk, compute->share);
    if (compute->bulk == NULL || compute->probe == NULL || compute->store == NULL ||
        compute->score == NULL || compute->share == NULL || compute->train == NULL ||
        compute->shard == NULL || compute->explore == NULL) {
        status = STATUS_MEMORY;
    } else if (pthread_create(&compute->thread, NULL, work, compute) != 0) {
        status = status_set(STATUS_IO, "cannot start the computing thread");
    }
    if (status != STATUS_OK) {
        free_compute(compute);
        return status;
    }
    *ret = compute;
    return STATUS_OK;
}

void compute_join(Compute *compute) {
    if (compute != NULL) {
        pthread_join(compute->thread, NULL);
        free_compute(compute);
    }
}
