// SPDX-License-Identifier: Apache-2.0
//
// RESIDUALS and BATCHES: one shard's training vectors through the trained model, micro-batch by
// micro-batch as an epoch has them: sums over their residual rows by domain, or each micro-batch's
// Mahalanobis score.
#include <math.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/engine/model_file.h"
#include "worker/compute.h"

struct TaskShard {
    Desk *desk;
    Bulk *bulk;
    Share *share; // borrowed
    Decoded *decoded;
    // The task under work:
    uint64_t done; // clips loaded plus micro-batches
    uint64_t total;
    int32_t index; // of the shard
};

TaskShard *task_shard_new(Desk *desk, Bulk *bulk, Share *share) {
    TaskShard *shard = mem_new(1, sizeof *shard);
    if (shard == NULL) {
        return NULL;
    }
    *shard = (TaskShard){.desk = desk, .bulk = bulk, .share = share, .decoded = decoded_new()};
    if (shard->decoded == NULL) {
        mem_free(shard);
        return NULL;
    }
    return shard;
}

void task_shard_free(TaskShard *shard) {
    if (shard != NULL) {
        decoded_free(shard->decoded);
        mem_free(shard);
    }
}

static Status step(void *context) {
    TaskShard *shard = context;
    desk_tell_progress(shard->desk, ++shard->done, shard->total, NAN);
    return desk_is_cancelled(shard->desk) ? status_set(STATUS_STOPPED, "cancelled") : STATUS_OK;
}

static Status fetch_model(TaskShard *shard, Digest digest, ModelFile *ret_file) {
    Buffer bytes = BUFFER_EMPTY;
    Status status = bulk_get(shard->bulk, digest, &bytes);
    if (status == STATUS_OK) {
        status = model_file_read("model", bytes.bytes, bytes.size, ret_file);
    }
    buffer_done(&bytes);
    if (status == STATUS_OK &&
        (ret_file->replica == NULL ||
         !shape_equal(replica_shape(ret_file->replica), share_shape(shard->share)))) {
        model_file_done(ret_file);
        status = status_set(STATUS_FORMAT, "a model of another network than the plan's");
    }
    return status;
}

// ---- RESIDUALS ----

typedef struct SumWork {
    TaskShard *shard;
    ResidualSums *source, *target;
} SumWork;

static Status add_batch(void *context, const ResidualBatch *batch) {
    const SumWork *work = context;
    int frames = share_settings(work->shard->share)->frames;
    if (!batch->is_held_out) {
        residual_sums_add(work->source, batch->residuals, batch->is_target, batch->rows, frames,
                          false);
        residual_sums_add(work->target, batch->residuals, batch->is_target, batch->rows, frames,
                          true);
    }
    return step(work->shard);
}

static Status sum_residuals(TaskShard *shard, Trainer *trainer, const ModelFile *model,
                            Buffer *answer) {
    const Settings *settings = share_settings(shard->share);
    bool is_compat = settings->compat != 0;
    SumWork work = {shard, residual_sums_new(settings_width(settings), is_compat),
                    residual_sums_new(settings_width(settings), is_compat)};
    Status status = work.source != NULL && work.target != NULL
                        ? trainer_residuals(trainer, model->replica, shard->index, add_batch, &work)
                        : STATUS_MEMORY;
    if (status == STATUS_OK) {
        ResidualsAnswer sums;
        sums.source = residual_sums_bytes(work.source, &sums.source_bytes);
        sums.target = residual_sums_bytes(work.target, &sums.target_bytes);
        body_encode_residuals_answer(&sums, answer);
        status = answer->status;
    }
    residual_sums_free(work.source);
    residual_sums_free(work.target);
    return status;
}

// ---- BATCHES ----

typedef struct BatchWork {
    TaskShard *shard;
    const Yardsticks *yardsticks;
    Buffer training, held_out; // doubles
} BatchWork;

static void mean_row(const ResidualBatch *batch, int frames, int n_mels, double *out) {
    int64_t rows = (int64_t)batch->rows * frames;
    memset(out, 0, (size_t)n_mels * sizeof *out);
    for (int64_t i = 0; i < rows; i++) {
        for (int j = 0; j < n_mels; j++) {
            out[j] += (double)batch->residuals[i * n_mels + j];
        }
    }
    for (int j = 0; j < n_mels; j++) {
        out[j] /= (double)rows;
    }
}

static Status score_batch(void *context, const ResidualBatch *batch) {
    BatchWork *work = context;
    const Settings *settings = share_settings(work->shard->share);
    double row[LIMIT_MELS];
    mean_row(batch, settings->frames, settings_width(settings), row);
    double score =
        mahala_of_row(&work->yardsticks->source, yardsticks_target(work->yardsticks), row);
    buffer_append(batch->is_held_out ? &work->held_out : &work->training, &score, sizeof score);
    return step(work->shard);
}

static Status score_batches(TaskShard *shard, Trainer *trainer, const ModelFile *model,
                            Buffer *answer) {
    if (!model_file_gives(model, SCORE_MAHALA)) {
        return status_set(STATUS_FORMAT, "a model without precisions");
    }
    BatchWork work = {.shard = shard, .yardsticks = &model->yardsticks};
    Status status = trainer_residuals(trainer, model->replica, shard->index, score_batch, &work);
    if (status == STATUS_OK) {
        BatchesAnswer scores = {.training = work.training.bytes,
                                .held_out = work.held_out.bytes,
                                .training_bytes = work.training.size,
                                .held_out_bytes = work.held_out.size};
        status = work.training.status != STATUS_OK ? work.training.status : work.held_out.status;
        if (status == STATUS_OK) {
            body_encode_batches_answer(&scores, answer);
            status = answer->status;
        }
    }
    buffer_done(&work.training);
    buffer_done(&work.held_out);
    return status;
}

Status task_shard_run(TaskShard *shard, const DeskTask *task, Buffer *answer,
                      ResultOutcome *ret_outcome) {
    ShardBody body;
    Status status = body_decode_shard(shard->decoded, task->body.bytes, task->body.size, &body);
    if (status == STATUS_OK) {
        status = share_use_plan(shard->share, body.plan);
    }
    if (status != STATUS_OK) {
        return status;
    }
    ModelFile model;
    Trainer *trainer = NULL;
    const ShardPlan *plan = share_shards(shard->share);
    shard->done = 0;
    shard->index = (int32_t)body.shard;
    shard->total =
        share_plan(shard->share)->clip_count + (uint64_t)(plan->rounds + plan->validation_rounds);
    status = share_use_shards(shard->share, body.shard, 1, true, step, shard, answer, ret_outcome,
                              &trainer);
    if (status != STATUS_OK || *ret_outcome != RESULT_DONE) {
        return status;
    }
    status = fetch_model(shard, body.model, &model);
    if (status == STATUS_OK) {
        status = task->kind == TASK_RESIDUALS ? sum_residuals(shard, trainer, &model, answer)
                                              : score_batches(shard, trainer, &model, answer);
        model_file_done(&model);
    }
    return status;
}
