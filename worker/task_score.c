// SPDX-License-Identifier: Apache-2.0
//
// SCORE: what one model measures of each clip: mean squared reconstruction error, mean residual
// row.
#include <string.h>

#include "common/base/mem.h"
#include "common/engine/source.h"
#include "worker/clip_loop.h"
#include "worker/compute.h"

struct TaskScore {
    Desk *desk;
    Bulk *bulk;
    ClipFeed feed; // what is in it is borrowed
    Decoded *decoded;
    SourceScorer *scorer;
    Digest model; // that the scorer was made from
};

TaskScore *task_score_new(Desk *desk, Bulk *bulk, ClipFeed feed) {
    TaskScore *score = mem_new(1, sizeof *score);
    if (score != NULL) {
        score->desk = desk;
        score->bulk = bulk;
        score->feed = feed;
        score->decoded = decoded_new();
        if (score->decoded == NULL) {
            mem_free(score);
            return NULL;
        }
    }
    return score;
}

void task_score_free(TaskScore *score) {
    if (score != NULL) {
        source_scorer_free(score->scorer);
        decoded_free(score->decoded);
        mem_free(score);
    }
}

static Status use_model(TaskScore *score, Digest model) {
    if (score->scorer != NULL && digest_equal(score->model, model)) {
        return STATUS_OK;
    }
    Buffer file = BUFFER_EMPTY;
    Status status = bulk_get(score->bulk, model, &file);
    if (status == STATUS_OK) {
        source_scorer_free(score->scorer);
        score->scorer = NULL;
        status = source_scorer_new(file.bytes, file.size, &score->scorer);
        score->model = model;
    }
    buffer_done(&file);
    return status;
}

typedef struct ScoreWork {
    TaskScore *score;
    const ScoreBody *body;
    ScoreAnswer *answers; // (body->clip_count)
    double *rows;         // (body->clip_count, n_mels) that the answers borrow
    size_t n_mels;
} ScoreWork;

static ClipOutcome score_clip(void *context, uint32_t index, ClipReason reason) {
    const ScoreWork *work = context;
    const WireClip *clip = &work->body->clips[index];
    double *row = work->rows + index * work->n_mels;
    ClipMeasure measure = {0};
    HeldClip *held = NULL;
    Status status = clip_feed_use(&work->score->feed, clip, &held);
    if (status == STATUS_OK) {
        status =
            source_measure_features(work->score->scorer, held_clip_features(held), row, &measure);
        feature_store_release(work->score->feed.store, held);
    }
    ClipOutcome outcome = clip_loop_outcome(status, reason);
    work->answers[index] = (ScoreAnswer){.outcome = outcome,
                                         .mse = measure.mse,
                                         .row_mahala = measure.row_mahala,
                                         .row = row,
                                         .row_bytes = work->n_mels * sizeof *row,
                                         .reason = reason};
    return outcome;
}

static Status score_all(TaskScore *score, const ScoreBody *body, Buffer *answer,
                        ResultOutcome *ret_outcome) {
    ScoreAnswer *answers = mem_new(body->clip_count, sizeof *answers);
    ClipReason *reasons = mem_new(body->clip_count, sizeof *reasons);
    size_t n_mels = (size_t)settings_width(&source_scorer_model(score->scorer)->settings);
    double *rows = mem_new(body->clip_count * n_mels, sizeof *rows);
    ScoreWork work = {score, body, answers, rows, n_mels};
    ClipLoop loop = {score->desk, body->clip_count, score_clip, &work, reasons};
    bool ok = answers != NULL && reasons != NULL && rows != NULL;
    Status status =
        ok ? clip_feed_expect(&score->feed, body->clips, body->clip_count) : STATUS_MEMORY;
    if (status == STATUS_OK) {
        status = clip_loop_run(&loop, answer, ret_outcome);
    }
    if (status == STATUS_OK && *ret_outcome == RESULT_DONE) {
        body_encode_score_answers(answers, body->clip_count, answer);
        status = answer->status;
    }
    mem_free(answers);
    mem_free(reasons);
    mem_free(rows);
    return status;
}

Status task_score_run(TaskScore *score, const DeskTask *task, Buffer *answer,
                      ResultOutcome *ret_outcome) {
    ScoreBody body;
    Status status = body_decode_score(score->decoded, task->body.bytes, task->body.size, &body);
    if (status == STATUS_OK) {
        status = use_model(score, body.model);
    }
    if (status == STATUS_OK) {
        status =
            feature_store_set(score->feed.store, &source_scorer_model(score->scorer)->settings);
    }
    return status == STATUS_OK ? score_all(score, &body, answer, ret_outcome) : status;
}
