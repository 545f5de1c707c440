// SPDX-License-Identifier: Apache-2.0
//
// What workers measure of a trained model, and the scores that become of it.
//
// How it works. SCORE tasks give each clip's mean squared error and mean residual row. Where a
// system asks for MAHALA, RESIDUALS tasks, one for each shard, give sums over the training vectors'
// residual rows; joined along the shards' tree they become the precisions, which go into the model
// file. Only then can there be tasks that read precisions: SCORE itself where the distance of every
// row counts (mahala: paper), and BATCHES where the threshold is made from the batches' scores
// (gamma_batch). When nothing is outstanding each clip gets its score of every kind; CLIPMAHALA's
// yardstick is made then, from the training clips' rows. Whatever came from the journal was
// measured by an earlier coordinator, which changes nothing here.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/engine/model_file.h"
#include "common/model/shard_plan.h"
#include "coordinator/plan/precisions.h"
#include "coordinator/plan/state.h"

struct Measuring {
    ShardPlan shards;
    uint32_t shards_left; // of the shard tasks under way
    Buffer *answers;      // (shards.shards) the bodies of the answers to them
    bool awaits_clips;    // SCORE tasks are not added yet
    bool has_precise_blob;
    Digest precise_blob; // the model file with precisions
    double *rows;        // (clips of the dataset, n_mels) by place; NULL when no score needs them
    Yardsticks yardsticks;
};

bool measuring_wants(const Plan *plan, uint32_t model, ScoreKind kind) {
    return settings_wants(plan->models.models[model].settings, kind);
}

void measuring_free(Measuring *measuring) {
    if (measuring != NULL) {
        for (int32_t s = 0; measuring->answers != NULL && s < measuring->shards.shards; s++) {
            buffer_done(&measuring->answers[s]);
        }
        mem_free(measuring->answers);
        mem_free(measuring->rows);
        yardsticks_done(&measuring->yardsticks);
        mem_free(measuring);
    }
}

// ---- the model file ----

// Writes the yardsticks that are known into the model's file.
static Status put_yardsticks(Plan *plan, uint32_t model) {
    Buffer *bytes = &plan->model_states[model].file;
    ModelFile file;
    Status status = model_file_read("model", bytes->bytes, bytes->size, &file);
    if (status != STATUS_OK) {
        return status;
    }
    Buffer written = BUFFER_EMPTY;
    Yardsticks read = file.yardsticks;
    file.yardsticks = plan->work[model].measuring->yardsticks;
    model_file_write(&file, &written);
    file.yardsticks = read;
    model_file_done(&file);
    if (written.status != STATUS_OK) {
        buffer_done(&written);
        return STATUS_MEMORY;
    }
    buffer_done(bytes);
    *bytes = written;
    return STATUS_OK;
}

bool measuring_has_precisions(const Plan *plan, uint32_t model) {
    const Measuring *measuring = plan->work[model].measuring;
    return measuring != NULL && measuring->yardsticks.source.matrix != NULL;
}

Digest measuring_model_blob(const Plan *plan, const PlanTask *task) {
    const ModelWork *work = &plan->work[task->owner];
    bool reads_precisions = task->kind == TASK_BATCHES ||
                            (task->kind == TASK_SCORE && work->measuring->has_precise_blob);
    return reads_precisions ? work->measuring->precise_blob : work->model_blob;
}

// ---- tasks ----

static bool is_paper(const Plan *plan, uint32_t model) {
    return measuring_wants(plan, model, SCORE_MAHALA) &&
           plan->models.models[model].settings->mahala == MAHALA_PAPER;
}

static bool needs_rows(const Plan *plan, uint32_t model) {
    return (measuring_wants(plan, model, SCORE_MAHALA) && !is_paper(plan, model)) ||
           measuring_wants(plan, model, SCORE_CLIPMAHALA);
}

static Status make_shard_plan(const Plan *plan, uint32_t model, ShardPlan *ret) {
    const Model *facts = &plan->models.models[model];
    Shape shape = shape_of_settings(facts->settings);
    int64_t *frames = plan_training_frames(plan, model);
    Status status = frames != NULL ? shard_plan_make(&shape, facts->settings, frames,
                                                     (int32_t)facts->train_count, ret)
                                   : STATUS_MEMORY;
    mem_free(frames);
    return status;
}

static Status make(Plan *plan, uint32_t model) {
    const Model *facts = &plan->models.models[model];
    size_t clips = (size_t)facts->train_count + facts->test_count;
    Measuring *measuring = mem_new(1, sizeof *measuring);
    if (measuring == NULL) {
        return STATUS_MEMORY;
    }
    measuring_free(plan->work[model].measuring);
    plan->work[model].measuring = measuring;
    Status status = foreign_is(plan, model) ? STATUS_OK // nothing is asked of shards
                                            : make_shard_plan(plan, model, &measuring->shards);
    measuring->answers = mem_new((size_t)measuring->shards.shards, sizeof *measuring->answers);
    if (needs_rows(plan, model)) {
        measuring->rows =
            mem_new(clips * (size_t)settings_width(facts->settings), sizeof *measuring->rows);
    }
    bool ok = measuring->answers != NULL && (measuring->rows != NULL || !needs_rows(plan, model));
    return status != STATUS_OK ? status : ok ? STATUS_OK : STATUS_MEMORY;
}

static Status add_shards(Plan *plan, Core *core, uint32_t model, TaskKind kind, int64_t now_ms) {
    Measuring *measuring = plan->work[model].measuring;
    uint32_t shards = (uint32_t)measuring->shards.shards;
    measuring->shards_left = shards;
    Status status = STATUS_OK;
    for (uint32_t s = 0; s < shards && status == STATUS_OK; s++) {
        PlanTask task = {.kind = kind, .owner = model, .first = s, .count = 1};
        status = stage_add(plan, core, &task, now_ms);
    }
    return status;
}

static Status add_clips(Plan *plan, Core *core, uint32_t model, int64_t now_ms) {
    const Model *facts = &plan->models.models[model];
    PlanTask train = {.kind = TASK_SCORE, .owner = model, .count = facts->train_count};
    PlanTask test = {.kind = TASK_SCORE,
                     .owner = model,
                     .first = facts->train_count,
                     .count = facts->test_count};
    plan->work[model].measuring->awaits_clips = false;
    Status status = plan_cut(plan, core, &train, now_ms);
    return status == STATUS_OK ? plan_cut(plan, core, &test, now_ms) : status;
}

Status measuring_begin(Plan *plan, Core *core, uint32_t model, int64_t now_ms) {
    const Model *facts = &plan->models.models[model];
    ModelWork *work = &plan->work[model];
    PlanTask all = {
        .kind = TASK_SCORE, .owner = model, .count = facts->train_count + facts->test_count};
    Status status = make(plan, model);
    if (status != STATUS_OK) {
        return status;
    }
    // Counted before any task is added, since an answer from the journal counts at once.
    work->scores_left = plan_count_clips(plan, &all);
    plan->counts.clips_to_score += work->scores_left;
    work->measuring->awaits_clips = true;
    if (measuring_wants(plan, model, SCORE_MAHALA)) {
        status = add_shards(plan, core, model, TASK_RESIDUALS, now_ms);
    }
    // Those that read precisions come after them; a survey may never get there.
    bool adds_clips = work->measuring != NULL && work->measuring->awaits_clips &&
                      (!is_paper(plan, model) || plan->is_survey);
    return status == STATUS_OK && adds_clips ? add_clips(plan, core, model, now_ms) : status;
}

// ---- its end ----

static double *row_of(const Plan *plan, uint32_t model, uint32_t place) {
    const Measuring *measuring = plan->work[model].measuring;
    size_t n_mels = (size_t)settings_width(plan->models.models[model].settings);
    return measuring->rows != NULL ? measuring->rows + place * n_mels : NULL;
}

static ClipScore *score_at(const Plan *plan, uint32_t model, uint32_t place) {
    const Model *facts = &plan->models.models[model];
    uint32_t clip =
        place < facts->train_count ? facts->train[place] : facts->test[place - facts->train_count];
    return plan_score_of(plan, facts->variant, clip);
}

static void warn_of_ridge(Plan *plan, uint32_t model, const char *whose,
                          const Precision *precision) {
    if (precision->ridge > 0) {
        plan_warn(
            plan,
            "%s: the covariance of its %s residuals is singular; %g was added to its diagonal",
            plan->models.models[model].label, whose, precision->ridge);
    }
}

static Status make_clip_yardstick(Plan *plan, uint32_t model) {
    const Model *facts = &plan->models.models[model];
    size_t n_mels = (size_t)settings_width(facts->settings);
    double *rows = mem_new(facts->train_count * n_mels, sizeof *rows);
    if (rows == NULL) {
        return STATUS_MEMORY;
    }
    int64_t count = 0;
    for (uint32_t i = 0; i < facts->train_count; i++) {
        if (score_at(plan, model, i)->is_scored) {
            memcpy(rows + (size_t)count++ * n_mels, row_of(plan, model, i), n_mels * sizeof *rows);
        }
    }
    Status status = clip_yardstick_make(rows, count, (int)n_mels,
                                        &plan->work[model].measuring->yardsticks.clip);
    mem_free(rows);
    warn_of_ridge(plan, model, "training clips' mean",
                  &plan->work[model].measuring->yardsticks.clip.precision);
    return status == STATUS_INVALID ? STATUS_OK : status; // without a clip there is no score either
}

static void fill_scores(Plan *plan, uint32_t model) {
    static const ScoreKind OF_ROWS[] = {SCORE_MAHALA, SCORE_CLIPMAHALA};
    const Model *facts = &plan->models.models[model];
    const Yardsticks *yardsticks = &plan->work[model].measuring->yardsticks;
    for (uint32_t i = 0; i < facts->train_count + facts->test_count; i++) {
        ClipScore *score = score_at(plan, model, i);
        for (size_t k = 0; k < sizeof OF_ROWS / sizeof OF_ROWS[0] && score->is_scored; k++) {
            ClipMeasure measure = {.row_mahala = score->by_kind[SCORE_MAHALA],
                                   .row = row_of(plan, model, i)};
            if (measuring_wants(plan, model, OF_ROWS[k])) {
                score->by_kind[OF_ROWS[k]] = yardsticks_score(
                    yardsticks, OF_ROWS[k], (MahalaKind)facts->settings->mahala, &measure);
            }
        }
    }
}

static void drop_blobs(Plan *plan, uint32_t model) {
    ModelWork *work = &plan->work[model];
    if (plan->is_survey) {
        return;
    }
    blobs_drop(plan->config.blobs, work->model_blob);
    if (work->measuring->has_precise_blob) {
        blobs_drop(plan->config.blobs, work->measuring->precise_blob);
    }
    if (work->has_plan_blob) {
        blobs_drop(plan->config.blobs, work->plan_blob);
        work->has_plan_blob = false;
    }
}

// Once nothing of it is outstanding: the scores of every kind.
static Status end_if_over(Plan *plan, Core *core, uint32_t model, int64_t now_ms) {
    ModelWork *work = &plan->work[model];
    Measuring *measuring = work->measuring;
    if (work->scores_left > 0 || measuring->shards_left > 0 || measuring->awaits_clips) {
        return STATUS_OK;
    }
    Status status = STATUS_OK;
    if (measuring_wants(plan, model, SCORE_CLIPMAHALA)) {
        status = make_clip_yardstick(plan, model);
    }
    if (status == STATUS_OK && needs_rows(plan, model) && !plan->is_survey) {
        status = put_yardsticks(plan, model);
    }
    if (status != STATUS_OK) {
        return status;
    }
    fill_scores(plan, model);
    drop_blobs(plan, model);
    measuring_free(measuring);
    work->measuring = NULL;
    plan->model_states[model].is_scored = true;
    plan->models_left--;
    return portraying_begin(plan, core, model, now_ms);
}

// ---- clips ----

static void take_clip(Plan *plan, const PlanTask *task, uint32_t place, uint32_t clip,
                      const ScoreAnswer *answer) {
    ClipScore *score = plan_score_of(plan, plan->models.models[task->owner].variant, clip);
    double *row = row_of(plan, task->owner, place);
    if (answer->outcome != CLIP_USABLE) {
        plan_leave_out_of(plan, task->owner, clip, answer->reason);
        return;
    }
    score->is_scored = true;
    score->by_kind[SCORE_MSE] = answer->mse;
    score->by_kind[SCORE_MAHALA] = answer->row_mahala;
    if (row != NULL) {
        memcpy(row, answer->row, answer->row_bytes); // checked by hooks.c
    }
}

Status measuring_take_clips(Plan *plan, Core *core, const PlanTask *task, const Buffer *answer,
                            int64_t now_ms) {
    Decoded *decoded = decoded_new();
    const ScoreAnswer *answers;
    uint32_t count = 0, taken = 0;
    Status status = decoded != NULL ? body_decode_score_answers(decoded, answer->bytes,
                                                                answer->size, &answers, &count)
                                    : STATUS_MEMORY;
    if (status == STATUS_OK && count != plan_count_clips(plan, task)) {
        status = plan_other_clips();
    }
    // What an answer leaves out does not count any more: the clips are found before.
    uint32_t clips[CLIPS_PER_TASK_MOST], places[CLIPS_PER_TASK_MOST];
    for (uint32_t i = 0; status == STATUS_OK && i < task->count; i++) {
        uint32_t clip = plan_task_clip(plan, task, task->first + i);
        if (clip != NO_CLIP) {
            clips[taken] = clip;
            places[taken++] = task->first + i;
        }
    }
    for (uint32_t i = 0; i < taken; i++) {
        take_clip(plan, task, places[i], clips[i], &answers[i]);
    }
    decoded_free(decoded);
    plan->counts.clips_scored += taken;
    plan->work[task->owner].scores_left -= taken;
    return status == STATUS_OK ? end_if_over(plan, core, task->owner, now_ms) : status;
}

// ---- shards ----

static Status check_scores(const void *bytes, size_t size, int64_t vectors, int32_t rows) {
    size_t expected = (size_t)((vectors + rows - 1) / rows) * sizeof(double);
    if (size != expected) {
        return status_set(STATUS_FORMAT, "scores of another number of batches than the shard's");
    }
    for (size_t at = 0; at < size; at += sizeof(double)) {
        double score;
        memcpy(&score, (const char *)bytes + at, sizeof score);
        if (!isfinite(score)) {
            return status_set(STATUS_FORMAT, "a batch's score that is not finite");
        }
    }
    return STATUS_OK;
}

Status measuring_check_shard(const Plan *plan, const PlanTask *task, const void *bytes,
                             size_t size) {
    const Measuring *measuring = plan->work[task->owner].measuring;
    if (measuring == NULL) {
        return STATUS_OK; // it comes once more, or late, and is only compared with the first one
    }
    const ShardPlan *shards = &measuring->shards;
    int64_t training = shards->training[task->first];
    if (task->kind == TASK_RESIDUALS) {
        return precisions_check(plan->models.models[task->owner].settings, training, bytes, size);
    }
    Decoded *decoded = decoded_new();
    BatchesAnswer answer;
    Status status =
        decoded != NULL ? body_decode_batches_answer(decoded, bytes, size, &answer) : STATUS_MEMORY;
    if (status == STATUS_OK) {
        status = check_scores(answer.training, answer.training_bytes, training, shards->rows);
    }
    if (status == STATUS_OK) {
        status = check_scores(answer.held_out, answer.held_out_bytes,
                              shards->validation[task->first], shards->rows);
    }
    decoded_free(decoded);
    return status;
}

static Status hold_precise_blob(Plan *plan, uint32_t model) {
    Measuring *measuring = plan->work[model].measuring;
    const Buffer *file = &plan->model_states[model].file;
    Status status = put_yardsticks(plan, model);
    if (status == STATUS_OK) {
        status = blobs_hold(plan->config.blobs, file->bytes, file->size, &measuring->precise_blob);
        measuring->has_precise_blob = status == STATUS_OK;
    }
    return status;
}

// Why a model's clips get no MAHALA scores; what waits for precisions goes on without.
static Status go_without(Plan *plan, Core *core, uint32_t model, const char *reason,
                         int64_t now_ms) {
    ModelState *state = &plan->model_states[model];
    plan_warn(plan, "%s: no MAHALA scores: %s", plan->models.models[model].label, reason);
    mem_free(state->no_mahala);
    state->no_mahala = mem_copy_text(reason);
    plan->work[model].measuring->shards_left = 0;
    bool awaits = plan->work[model].measuring->awaits_clips;
    Status status = state->no_mahala != NULL ? STATUS_OK : STATUS_MEMORY;
    if (status == STATUS_OK && awaits) {
        return add_clips(plan, core, model, now_ms);
    }
    return status == STATUS_OK ? end_if_over(plan, core, model, now_ms) : status;
}

static Status residuals_done(Plan *plan, Core *core, uint32_t model, int64_t now_ms) {
    Measuring *measuring = plan->work[model].measuring;
    Status status = precisions_make(plan->models.models[model].settings, measuring->answers,
                                    measuring->shards.shards, &measuring->yardsticks);
    if (status == STATUS_INVALID) {
        char reason[LIMIT_MESSAGE_BYTES];
        snprintf(reason, sizeof reason, "%s", status_message());
        return go_without(plan, core, model, reason, now_ms);
    }
    if (status != STATUS_OK) {
        return status;
    }
    warn_of_ridge(plan, model, "training vectors'", &measuring->yardsticks.source);
    warn_of_ridge(plan, model, "target training vectors'", &measuring->yardsticks.target);
    bool needs_batches = models_decide_by(&plan->models, model, THRESHOLD_GAMMA_BATCH);
    if (!plan->is_survey && (needs_batches || measuring->awaits_clips)) {
        status = hold_precise_blob(plan, model);
    }
    if (status == STATUS_OK && needs_batches) {
        status = add_shards(plan, core, model, TASK_BATCHES, now_ms);
    }
    // The last of its tasks may have ended the measuring, if all answers were journalled.
    measuring = plan->work[model].measuring;
    if (status == STATUS_OK && measuring != NULL && measuring->awaits_clips) {
        return add_clips(plan, core, model, now_ms);
    }
    return status == STATUS_OK && measuring != NULL ? end_if_over(plan, core, model, now_ms)
                                                    : status;
}

// The batches' scores, those of training batches of all shards first.
static Status keep_batches(Plan *plan, uint32_t model) {
    const Measuring *measuring = plan->work[model].measuring;
    BatchValues *batches = &plan->model_states[model].batches[SCORE_MAHALA];
    Buffer values = BUFFER_EMPTY;
    Decoded *decoded = decoded_new();
    Status status = decoded != NULL ? STATUS_OK : STATUS_MEMORY;
    for (int32_t i = 0; status == STATUS_OK && i < 2 * measuring->shards.shards; i++) {
        const Buffer *body = &measuring->answers[i % measuring->shards.shards];
        bool is_training = i < measuring->shards.shards;
        BatchesAnswer answer;
        status = body_decode_batches_answer(decoded, body->bytes, body->size, &answer);
        if (status == STATUS_OK) {
            buffer_append(&values, is_training ? answer.training : answer.held_out,
                          is_training ? answer.training_bytes : answer.held_out_bytes);
            status = values.status;
        }
    }
    decoded_free(decoded);
    if (status == STATUS_OK) {
        batches->count = values.size / sizeof(double);
        batches->values = mem_new(batches->count, sizeof(double));
        status = batches->values != NULL ? STATUS_OK : STATUS_MEMORY;
    }
    if (status == STATUS_OK && values.size > 0) {
        memcpy(batches->values, values.bytes, values.size);
    }
    buffer_done(&values);
    return status;
}

Status measuring_take_shard(Plan *plan, Core *core, const PlanTask *task, const Buffer *answer,
                            int64_t now_ms) {
    Measuring *measuring = plan->work[task->owner].measuring;
    if (measuring == NULL || measuring->shards_left == 0) {
        return STATUS_OK; // of a model that goes without
    }
    Buffer *kept = &measuring->answers[task->first];
    buffer_clear(kept);
    buffer_append(kept, answer->bytes, answer->size);
    if (kept->status != STATUS_OK || --measuring->shards_left > 0) {
        return kept->status;
    }
    if (task->kind == TASK_RESIDUALS) {
        return residuals_done(plan, core, task->owner, now_ms);
    }
    Status status = keep_batches(plan, task->owner);
    return status == STATUS_OK ? end_if_over(plan, core, task->owner, now_ms) : status;
}

Status measuring_give_up(Plan *plan, Core *core, const PlanTask *task, const char *reason,
                         int64_t now_ms) {
    Measuring *measuring = plan->work[task->owner].measuring;
    return measuring != NULL && measuring->shards_left > 0
               ? go_without(plan, core, task->owner, reason, now_ms)
               : STATUS_OK;
}
