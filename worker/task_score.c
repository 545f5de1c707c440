// SPDX-License-Identifier: Apache-2.0
//
// SCORE: each clip's mean squared reconstruction error under one model.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/engine/source.h"
#include "worker/compute.h"

struct TaskScore {
    Desk *desk;
    Bulk *bulk;
    Decoded *decoded;
    SourceScorer *scorer;
    Digest model; // that the scorer was made from
};

TaskScore *task_score_new(Desk *desk, Bulk *bulk) {
    TaskScore *score = mem_new(1, sizeof *score);
    if (score != NULL) {
        score->desk = desk;
        score->bulk = bulk;
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

typedef char Reason[512];

static void score_clip(TaskScore *score, const WireClip *clip, ScoreAnswer *answer, Reason reason) {
    char path[LIMIT_PATH_BYTES];
    double value = 0;
    Status status = compute_clip_path(score->desk, clip, path, sizeof path);
    if (status == STATUS_OK) {
        status =
            source_score(score->scorer, path, clip->path, clip->size_bytes, &clip->digest, &value);
    }
    if (status != STATUS_OK) {
        snprintf(reason, sizeof(Reason), "%.480s", status_message());
    }
    *answer = (ScoreAnswer){.outcome = status == STATUS_OK       ? CLIP_USABLE
                                       : status == STATUS_FORMAT ? CLIP_LEFT_OUT
                                                                 : CLIP_UNREADABLE,
                            .score = value,
                            .reason = reason};
}

static Status score_all(TaskScore *score, const ScoreBody *body, Buffer *answer,
                        ResultOutcome *ret_outcome) {
    ScoreAnswer *answers = mem_new(body->clip_count, sizeof *answers);
    Reason *reasons = mem_new(body->clip_count, sizeof *reasons);
    struct CannotClip *cannot = mem_new(body->clip_count, sizeof *cannot);
    Status status =
        answers != NULL && reasons != NULL && cannot != NULL ? STATUS_OK : STATUS_MEMORY;
    uint32_t cannot_count = 0;
    for (uint32_t i = 0; status == STATUS_OK && i < body->clip_count; i++) {
        if (desk_is_cancelled(score->desk)) {
            status = status_set(STATUS_STOPPED, "cancelled");
            break;
        }
        score_clip(score, &body->clips[i], &answers[i], reasons[i]);
        if (answers[i].outcome == CLIP_UNREADABLE) {
            cannot[cannot_count++] = (struct CannotClip){i, reasons[i]};
        }
        desk_tell_progress(score->desk, i + 1, body->clip_count, NAN);
    }
    if (status == STATUS_OK && cannot_count > 0) {
        *ret_outcome = RESULT_CANNOT;
        body_encode_cannot(&(CannotBody){cannot[0].reason, cannot, cannot_count}, answer);
        status = answer->status;
    } else if (status == STATUS_OK) {
        body_encode_score_answers(answers, body->clip_count, answer);
        status = answer->status;
    }
    mem_free(answers);
    mem_free(reasons);
    mem_free(cannot);
    return status;
}

Status task_score_run(TaskScore *score, const DeskTask *task, Buffer *answer,
                      ResultOutcome *ret_outcome) {
    ScoreBody body;
    Status status = body_decode_score(score->decoded, task->body.bytes, task->body.size, &body);
    if (status == STATUS_OK) {
        status = use_model(score, body.model);
    }
    return status == STATUS_OK ? score_all(score, &body, answer, ret_outcome) : status;
}
