// SPDX-License-Identifier: Apache-2.0
//
// What a run does, in order: every clip is probed, each machine's clips are judged together, each
// model is trained piece by piece, then scores all its clips. Tasks go to the core; what their
// answers mean is known here. Finished tasks are found in the journal by their key and not given
// out again. Reads clips itself only where no worker could. The coordinator's loop alone.
#ifndef AUSCULT_COORDINATOR_PLAN_PLAN_H
#define AUSCULT_COORDINATOR_PLAN_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/settings.h"
#include "coordinator/core/core.h"
#include "coordinator/dataset/dataset.h"
#include "coordinator/explore/portraits.h"
#include "coordinator/explore/summary.h"
#include "coordinator/journal/journal.h"
#include "coordinator/plan/models.h"
#include "coordinator/server/blobs.h"
#include "coordinator/server/owner.h"

typedef enum Stage { STAGE_EXTRACT, STAGE_TRAIN, STAGE_SCORE, STAGE_REPORT } Stage;

typedef struct PlanConfig {
    const Dataset *dataset;   // borrowed, as all here
    const Settings *settings; // numerics resolved
    const char *const *roots; // (root_count) absolute folders
    uint32_t root_count;
    const char *run_folder;
    Stage until;       // the last stage to do
    bool explores;     // every clip that decodes is explored, beside these stages
    Digest arithmetic; // what calculates: of this program (plan_arithmetic), goes into every key
    // (dataset clips) the contents that finished work has read, where a clip's time is another
    // since: zero for all others. NULL: none.
    const Digest *known;
    bool may_redo; // what is finished under other keys may be done anew
    bool retries;  // what workers died on is given to them as if it were new
    bool is_local; // all workers are of this machine: nobody else comes who could do more
    Journal *journal;
    Blobs *blobs;
    const Buffer *network; // from elsewhere (common/engine/network.h), where the settings name one
} PlanConfig;

// What is known of one clip of the dataset in one feature group, by its index there.
typedef struct ClipState {
    bool is_probed, is_silent;
    uint32_t frames, vectors, rate_hz, channels;
    double seconds;
    Digest digest;  // of the file's bytes
    char *left_out; // why no variant of the group uses it, NULL while some may; owned
} ClipState;

// What a system makes of one clip.
typedef struct ClipResult {
    bool is_scored;
    double score;
    const char *left_out; // why this system does not use it, NULL while it does; borrowed
} ClipResult;

// A score's values for single batches of the training, in the baseline's order: training batches,
// then validation batches.
typedef struct BatchValues {
    double *values; // (count) owned
    size_t count;
} BatchValues;

// What is known of one model, by its index in Models.
typedef struct ModelState {
    int32_t rate_hz; // of its machine's clips, 0 when all are log-mels
    char *failure;   // why there is no model, NULL while all is well; owned
    uint32_t epochs; // trained so far
    bool is_trained, is_scored;
    bool is_held; // not touched, since finished work would be done anew (plan_refusal)
    Buffer file;  // the model file without thresholds, once trained; with yardsticks once scored
    BatchValues batches[SCORE_KINDS]; // of MSE once trained, of MAHALA where gamma_batch needs them
    char *no_mahala; // why it has no MAHALA scores; NULL: it has, or none are asked; owned
} ModelState;

// Of a program with this numeric fingerprint.
Digest plan_arithmetic(Digest fingerprint);

typedef struct Plan Plan;
Status plan_new(const PlanConfig *config, Plan **ret);
void plan_free(Plan *plan);
CoreHooks plan_hooks(Plan *plan);
// For the server, by the functions below.
Owner plan_owner(Plan *plan);

// Applies what the journal has and begins nothing: plan_counts, the models' and the clips' states
// then tell what is finished. In place of plan_start.
Status plan_survey(Plan *plan);
// Before a plan of this config begins: what left clips out is unfinished again, in the journal.
Status plan_forget_left_out(const PlanConfig *config);
// Adds the first tasks, or what the journal says is left to do. Errors are the journal's.
Status plan_start(Plan *plan, Core *core, int64_t now_ms);
// The core says that a task's answer is complete: queues it for the journal, ticket = tag.
Status plan_commit(Plan *plan, TaskTag tag, const void *bytes, size_t size);
// The journal has it. Adds the tasks that it lets begin.
Status plan_on_durable(Plan *plan, Core *core, TaskTag tag, int64_t now_ms);
// Workers died on the task, or could not do it, so often by now: outlives this coordinator.
Status plan_on_failed(Plan *plan, TaskTag tag, uint32_t deaths, uint32_t cannots);
// No worker could do the task: decides by looking itself. A training that workers cannot do, and
// whose clips can be read here, waits for other workers; `said` then names the worker, once for
// each. STATUS_IO: so it is, and all workers are local.
Status plan_on_cannot(Plan *plan, Core *core, const OwnerDoubt *doubt, Buffer *said,
                      int64_t now_ms);
// Workers say that nobody can do the task: a fact of the data and the settings.
Status plan_on_impossible(Plan *plan, Core *core, TaskTag tag, const void *bytes, size_t size);
// Workers died on the task: cuts it up, or gives it up.
Status plan_on_poison(Plan *plan, Core *core, TaskTag tag, int64_t now_ms);
// What the task is, for people: "the reading of fan/train/a.wav and 31 more clips".
void plan_describe(const Plan *plan, TaskTag tag, Buffer *out);
// Work that could wait until the core's actions were carried out: to be called after them. Errors
// are the journal's.
Status plan_catch_up(Plan *plan, Core *core, int64_t now_ms);
bool plan_is_over(const Plan *plan);
// Whether anything was left to do when it began.
bool plan_has_worked(const Plan *plan);

typedef struct PlanCounts {
    Stage stage;                  // the first that is not done
    uint64_t clips_probed, clips; // to be probed
    uint64_t epochs_trained, epochs;
    uint64_t clips_scored, clips_to_score;
    uint64_t clips_left_out, models_failed;
    uint64_t clips_explored, clips_to_explore; // where config.explores
    uint64_t portraits, portraits_left;        // asked for so far; of them not yet made or given up
} PlanCounts;
PlanCounts plan_counts(const Plan *plan);

// Of a TRAIN task that is complete and not yet applied. False for others, and without any round.
bool plan_pace(const Plan *plan, TaskTag tag, OwnerPace *ret_pace);

// What was found by exploring; NULL unless config.explores and it is over.
const ExploreSummary *plan_summary(const Plan *plan);
const Models *plan_models(const Plan *plan);
const ModelState *plan_model_state(const Plan *plan, uint32_t model);
const ClipState *plan_clip_state(const Plan *plan, uint32_t group, uint32_t clip);
// The digest of a clip's bytes, as whichever group has read it; false when none has.
bool plan_clip_digest(const Plan *plan, uint32_t clip, Digest *ret_digest);
// The scores that a model has given so far.
uint32_t plan_scored_by(const Plan *plan, uint32_t model);
// Whether a model uses a clip: it is probed and not left out.
bool plan_is_used(const Plan *plan, uint32_t model, uint32_t clip);
ClipResult plan_clip_result(const Plan *plan, uint32_t system, uint32_t clip);
// The pictures that were asked for, made or not: a new array (*ret_count), which the caller frees,
// of borrowed items; those without a model first, then by model; then by label, role, rank, clip.
Status plan_portraits(const Plan *plan, const ClipPortrait ***ret_items, uint32_t *ret_count);
// What was held back since it would do finished work anew, a line for each model; "" as a rule.
const char *plan_refusal(const Plan *plan);
// Lines for the person at the end; borrowed.
const char *plan_warning(const Plan *plan, uint32_t index); // NULL behind the last

#endif
