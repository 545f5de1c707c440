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
    Crew *crew;
    Bulk *bulk;
    ClipFeed feed; // what is in it is borrowed
    Decoded *decoded;
    SourceScorer *scorers[CREW_LANES_MOST]; // of the crew's lanes
    Digest model;                           // that they were made from
};

TaskScore *task_score_new(Desk *desk, Crew *crew, Bulk *bulk, ClipFeed feed) {
    TaskScore *score = mem_new(1, sizeof *score);
    if (score != NULL) {
        score->desk = desk;
        score->crew = crew;
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

static void drop_scorers(TaskScore *score) {
    for (int l = 0; l < crew_lanes(score->crew); l++) {
        source_scorer_free(score->scorers[l]);
        score->scorers[l] = NULL;
    }
}

void task_score_free(TaskScore *score) {
    if (score != NULL) {
        drop_scorers(score);
        decoded_free(score->decoded);
        mem_free(score);
    }
}

static Status use_model(TaskScore *score, Digest model) {
    int lanes = crew_lanes(score->crew);
    if (score->scorers[lanes - 1] != NULL && digest_equal(score->model, model)) {
        return STATUS_OK;
    }
    Buffer file = BUFFER_EMPTY;
    Status status = bulk_get(score->bulk, model, &file);
    if (status == STATUS_OK) {
        drop_scorers(score);
        score->model = model;
    }
    for (int l = 0; l < lanes && status == STATUS_OK; l++) {
        status = source_scorer_new(file.bytes, file.size, &score->scorers[l]);
    }
    buffer_done(&file);
    return status;
}

typedef struct ScoreWork {
    TaskScore *score;
    const ScoreBody *body;
    FedClip *fed;          // (slots)
    ClipMeasure *measures; // (slots)
    // (body->clip_count)
    ClipOutcome *outcomes;
    ClipReason *reasons;
    ScoreAnswer *answers;
    double *rows; // (body->clip_count, n_mels) that the answers borrow
    size_t n_mels;
} ScoreWork;

static const Settings *settings_of(const TaskScore *score) {
    return &source_scorer_model(score->scorers[0])->settings;
}

static Status find_clip(void *context, uint32_t index, uint32_t slot) {
    const ScoreWork *work = context;
    work->measures[slot] = (ClipMeasure){0};
    return clip_feed_find(&work->score->feed, &work->body->clips[index], &work->fed[slot]);
}

static Status score_clip(void *context, uint32_t index, uint32_t slot, int lane) {
    const ScoreWork *work = context;
    FedClip *fed = &work->fed[slot];
    Status status = clip_feed_read(&work->score->feed, fed, lane);
    return status == STATUS_OK
               ? source_measure_features(work->score->scorers[lane], fed_clip_features(fed),
                                         work->rows + index * work->n_mels, &work->measures[slot])
               : status;
}

// Features that could be read are kept for other models, whatever this one made of them.
static void let_go(const ClipFeed *feed, FedClip *fed) {
    HeldClip *held;
    if (fed_clip_features(fed)->log_mel == NULL) {
        clip_feed_drop(feed, fed);
    } else if (clip_feed_keep(feed, fed, &held) == STATUS_OK) {
        feature_store_release(feed->store, held);
    }
}

static void end_clip(void *context, uint32_t index, uint32_t slot, Status status) {
    const ScoreWork *work = context;
    const ClipMeasure *measure = &work->measures[slot];
    (void)status; // the outcome tells
    let_go(&work->score->feed, &work->fed[slot]);
    work->answers[index] = (ScoreAnswer){.outcome = work->outcomes[index],
                                         .mse = measure->mse,
                                         .row_mahala = measure->row_mahala,
                                         .row = work->rows + index * work->n_mels,
                                         .row_bytes = work->n_mels * sizeof *work->rows,
                                         .reason = work->reasons[index]};
}

static Status score_all(TaskScore *score, const ScoreBody *body, Buffer *answer,
                        ResultOutcome *ret_outcome) {
    static const ClipSteps STEPS = {find_clip, score_clip, end_clip};
    uint32_t slots = clip_slots(score->crew), count = body->clip_count;
    ScoreWork work = {
        .score = score, .body = body, .n_mels = (size_t)settings_width(settings_of(score))};
    work.fed = mem_new(slots, sizeof *work.fed);
    work.measures = mem_new(slots, sizeof *work.measures);
    work.outcomes = mem_new(count, sizeof *work.outcomes);
    work.reasons = mem_new(count, sizeof *work.reasons);
    work.answers = mem_new(count, sizeof *work.answers);
    work.rows = mem_new(count * work.n_mels, sizeof *work.rows);
    bool ok = work.fed != NULL && work.measures != NULL && work.outcomes != NULL &&
              work.reasons != NULL && work.answers != NULL && work.rows != NULL;
    ClipLoop loop = {score->desk, score->crew, count, &STEPS, &work, work.outcomes, work.reasons};
    Status status = ok ? clip_feed_expect(&score->feed, body->clips, count) : STATUS_MEMORY;
    if (status == STATUS_OK) {
        status = clip_loop_run(&loop, answer, ret_outcome);
    }
    if (status == STATUS_OK && *ret_outcome == RESULT_DONE) {
        body_encode_score_answers(work.answers, count, answer);
        status = answer->status;
    }
    mem_free(work.fed);
    mem_free(work.measures);
    mem_free(work.outcomes);
    mem_free(work.reasons);
    mem_free(work.answers);
    mem_free(work.rows);
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
        status = feature_store_set(score->feed.store, settings_of(score));
    }
    return status == STATUS_OK ? score_all(score, &body, answer, ret_outcome) : status;
}
