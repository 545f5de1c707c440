// SPDX-License-Identifier: Apache-2.0
//
// The plan's part of a snapshot.
#include <math.h>

#include "common/base/text.h"
#include "coordinator/plan/state.h"

// Each variant scores every clip.
uint64_t plan_clips_to_score(const Plan *plan) {
    const Models *models = plan_models(plan);
    uint64_t clips = plan_counts(plan).clips;
    return models->group_count > 0 ? clips / models->group_count * models->variant_count : 0;
}

static RunState state_of(const Plan *plan, Status ended) {
    bool is_held = plan_refusal(plan)[0] != '\0';
    if (ended == STATUS_AGAIN || (ended == STATUS_OK && !is_held)) {
        return RUN_RUNNING; // the results are still to be written
    }
    return ended == STATUS_STOPPED || is_held ? RUN_STOPPED : RUN_FAILED;
}

// The first that is not done, of those that this command comes to.
RunStage plan_run_stage(const Plan *plan, const PlanCounts *counts) {
    Stage until = plan->config.until;
    if (counts->stage == STAGE_EXTRACT) {
        return AT_EXTRACT;
    }
    if (counts->clips_explored < counts->clips_to_explore) {
        return AT_EXPLORE;
    }
    if (counts->stage == STAGE_TRAIN && until >= STAGE_TRAIN) {
        return AT_TRAIN;
    }
    if (counts->stage == STAGE_SCORE && until >= STAGE_SCORE) {
        return AT_SCORE;
    }
    return counts->portraits_left > 0 ? AT_PICTURES : AT_REPORT;
}

static uint64_t count_good(const Plan *plan, uint32_t model, const uint32_t *clips,
                           uint32_t count) {
    uint64_t good = 0;
    for (uint32_t i = 0; i < count; i++) {
        good += plan_clip_of(plan, model, clips[i])->left_out == NULL;
    }
    return good;
}

// Each variant scores every clip that is not left out, as those of a model that failed are.
static void look_at_scoring(const Plan *plan, Snapshot *snapshot) {
    const Models *models = plan_models(plan);
    for (uint32_t m = 0; m < models->count; m++) {
        const Model *model = &models->models[m];
        uint64_t good = count_good(plan, m, model->train, model->train_count) +
                        count_good(plan, m, model->test, model->test_count);
        if (plan_model_state(plan, m)->failure == NULL) {
            snapshot->clips_to_score += good;
        } else if (model->variant == 0) {
            snapshot->clips_left_out += good;
        }
    }
}

static void look_at_counts(const Plan *plan, Snapshot *snapshot) {
    PlanCounts counts = plan_counts(plan);
    snapshot->clips_left_out = counts.clips_left_out;
    snapshot->stage = plan_run_stage(plan, &counts);
    snapshot->clips_read = counts.clips_probed;
    snapshot->clips = counts.clips;
    snapshot->clips_explored = counts.clips_explored;
    snapshot->clips_to_explore = counts.clips_to_explore;
    if (plan->config.until >= STAGE_TRAIN) {
        snapshot->epochs_trained = counts.epochs_trained;
        snapshot->epochs = counts.epochs;
    }
    if (plan->config.until >= STAGE_SCORE) {
        snapshot->clips_scored = counts.clips_scored;
        look_at_scoring(plan, snapshot);
    }
    snapshot->pictures_made = counts.portraits - counts.portraits_left;
    snapshot->pictures = counts.portraits;
    snapshot->models_failed = counts.models_failed;
}

// The model that a task trains, UINT32_MAX for other tasks.
static uint32_t trained_by(const Plan *plan, TaskTag tag) {
    return tag < plan->task_count && plan->tasks[tag].kind == TASK_TRAIN ? plan->tasks[tag].owner
                                                                         : UINT32_MAX;
}

static void look_at_workers(Plan *plan, Snapshot *snapshot) {
    Buffer what = BUFFER_EMPTY;
    for (uint64_t w = 0; w < snapshot->worker_count; w++) {
        SnapshotWorker *worker = &snapshot->worker_list[w];
        uint32_t model = trained_by(plan, worker->tag);
        if (worker->tag < plan->task_count) {
            buffer_clear(&what);
            plan_describe(plan, worker->tag, &what);
            snapshot_text(worker->work, sizeof worker->work, buffer_cstr(&what));
        }
        if (model != UINT32_MAX) {
            plan->work[model].workers++;
            plan->work[model].loss = isnan(worker->loss) ? plan->work[model].loss : worker->loss;
        }
    }
    buffer_done(&what);
}

static const char *model_state(const Plan *plan, uint32_t model) {
    const ModelState *state = plan_model_state(plan, model);
    return state->failure != NULL          ? "failed"
           : state->is_scored              ? "done"
           : state->is_trained             ? "scoring"
           : plan->work[model].workers > 0 ? "training"
                                           : "waiting";
}

static void take_model(const Plan *plan, uint32_t model, SnapshotModel *ret) {
    const Model *one = &plan_models(plan)->models[model];
    const ModelWork *work = &plan->work[model];
    uint64_t epochs = foreign_epochs(plan, model);
    *ret = (SnapshotModel){.epochs_trained = epochs > 0 ? plan_model_state(plan, model)->epochs : 0,
                           .epochs = epochs,
                           .workers = work->workers,
                           .loss = work->loss > 0 ? work->loss : NAN};
    snapshot_text(ret->label, sizeof ret->label, one->label);
    text_copy(ret->state, sizeof ret->state, model_state(plan, model));
}

// All where there is room for all, else those at work, scoring or failed first.
static void look_at_models(Plan *plan, Snapshot *snapshot) {
    uint32_t count = plan->config.until >= STAGE_TRAIN ? plan_models(plan)->count : 0;
    snapshot->models = count;
    for (uint32_t m = 0; m < count; m++) {
        const ModelState *state = plan_model_state(plan, m);
        bool is_training = plan->work[m].workers > 0;
        bool is_under_way =
            is_training || state->failure != NULL || (state->is_trained && !state->is_scored);
        snapshot->models_training += is_training;
        snapshot->models_done += state->is_scored;
        if (snapshot->model_count < SNAPSHOT_MODELS && (count <= SNAPSHOT_MODELS || is_under_way)) {
            take_model(plan, m, &snapshot->model_list[snapshot->model_count++]);
        }
        plan->work[m].workers = 0; // for the next look
    }
}

void plan_look(Plan *plan, Snapshot *snapshot, Status ended) {
    snapshot->state = state_of(plan, ended);
    look_at_counts(plan, snapshot);
    look_at_workers(plan, snapshot);
    look_at_models(plan, snapshot);
}
