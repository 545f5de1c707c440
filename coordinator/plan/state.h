// SPDX-License-Identifier: Apache-2.0
//
// What the plan is made of, shared by its own files and nobody else.
#ifndef AUSCULT_COORDINATOR_PLAN_STATE_H
#define AUSCULT_COORDINATOR_PLAN_STATE_H

#include "coordinator/explore/portraits.h"
#include "coordinator/plan/clip_names.h"
#include "coordinator/plan/plan.h"
#include "coordinator/plan/training.h"

enum {
    CLIPS_PER_TASK = 32, // on average: some tens of milliseconds, small enough to share out evenly
    CLIPS_PER_TASK_MOST = 64,
    PIECE_MS = 2000,  // a piece of training takes about so long: what a crash can cost
    PIECE_GROWTH = 4, // and is at most so many times the one before
};

#define NO_CLIP UINT32_MAX

// A machine in a feature group: group * machines + machine. Its clips are probed there.
typedef uint32_t Site;

// A million of these wait in a large run.
typedef struct PlanTask {
    Digest key;     // what the journal knows it by
    Buffer *answer; // complete, on its way to the disk; NULL before and after, owned
    uint32_t owner; // the site of a PROBE or EXPLORE, the item of Plan.portraits of a PORTRAIT, the
                    // model of the others
    uint32_t first; // PROBE, SCORE, EXPLORE: of the places of the owner's clips (cuts.c);
                    // RESIDUALS, BATCHES: the shard
    uint32_t count; // places; those whose clip is not used do not count
    TaskKind kind;
} PlanTask;
_Static_assert(sizeof(PlanTask) <= 48, "100 bytes for a waiting task, and the core needs its part");

typedef struct Measuring Measuring;

// What is known of a model while it is worked on; results are in ModelState.
typedef struct ModelWork {
    Training *training;
    Digest plan_blob, state_blob; // held in Blobs
    bool has_plan_blob, has_state_blob;
    Digest key;            // of the training: what the journal knows it by
    uint32_t piece_epochs; // of the piece under way
    double round_ns[8];    // measured, by log2 of the members; 0: not yet
    uint32_t members;      // of the piece under way
    uint64_t piece_rounds; // that the last answer of a piece tells of
    double piece_round_ns; // and the time that each took
    uint32_t scores_left;  // clips whose scores are outstanding
    Digest model_blob;     // the model file, while it scores
    Measuring *measuring;  // while it scores (measuring.c)
    double loss;           // of the training, as a worker last told it; 0: nobody has
    uint32_t workers;      // that train it, while a snapshot is made; 0 else
    bool is_open;          // its TRAIN tasks are with the core, one after the other
} ModelWork;

typedef struct ClipScore {
    bool is_scored;
    double by_kind[SCORE_KINDS]; // of the scores that some system has
    char *left_out;              // why this variant does not use the clip; owned
} ClipScore;

struct Plan {
    PlanConfig config;
    Models models;
    ClipState *clips;  // (groups, dataset clips)
    ClipScore *scores; // (variants, dataset clips)
    ModelState *model_states;
    ModelWork *work;       // (models)
    uint32_t *probes_left; // (sites) clips not yet probed
    PlanTask *tasks;
    uint32_t task_count, task_capacity;
    char **warnings;
    uint32_t warning_count, warning_capacity;
    PlanCounts counts;
    char **unable; // (unable_count) workers that could not train what they can here; owned names
    uint32_t unable_count;
    uint32_t behind;      // model whose replica may have a total to apply
    uint32_t models_left; // not yet where config.until ends
    uint32_t *ready;      // (models) that wait to be trained: from ready_first to ready_count
    uint32_t ready_first, ready_count;
    uint32_t open_count;       // models that are open
    uint32_t sites_left;       // not yet judged
    ClipNames *clip_names;     // once a worker has asked for a clip
    Exploration *explorations; // (clips of the dataset) n_mels 0: none; NULL until there are any
    uint32_t explores_left;    // clips whose exploration is outstanding
    bool is_explored;          // all are there, and the summary of them
    ExploreSummary summary;
    PortraitSet portraits;  // asked for so far, in the order of that; never moved
    uint32_t *portraits_of; // (models) outstanding ones, for which its blob is held
    Digest *portrait_blobs; // (models) its model file, while there are
    Buffer refusal;         // see plan_refusal
    bool is_survey;         // nothing is begun: what is finished is counted
    bool forgets;           // and what left clips out is dropped from the journal
    bool looks_itself;      // the answer that is being taken is the coordinator's own
};

// plan.c
void plan_warn(Plan *plan, const char *format, ...) __attribute__((format(printf, 2, 3)));
// A clip as a feature group has it.
ClipState *plan_clip_in(const Plan *plan, uint32_t group, uint32_t clip);
// As a model's group has it.
const ClipState *plan_clip_of(const Plan *plan, uint32_t model, uint32_t clip);
void plan_leave_out(Plan *plan, uint32_t group, uint32_t clip, const char *reason);
// For this model only: those of other variants, which may be further on, go their own way.
void plan_leave_out_of(Plan *plan, uint32_t model, uint32_t clip, const char *reason);
void plan_fail_model(Plan *plan, uint32_t model, const char *reason);
// What is known of a clip's scores in a variant.
ClipScore *plan_score_of(const Plan *plan, uint32_t variant, uint32_t clip);
// The two that make a site.
uint32_t plan_group_at(const Plan *plan, Site site);
const Machine *plan_machine_at(const Plan *plan, Site site);
// The feature settings by which a PROBE task reads its clips.
const Settings *plan_probe_settings(const Plan *plan, const PlanTask *task);
Status plan_other_clips(void); // STATUS_FORMAT: an answer that is not for a task's clips
// A new array (train_count) of the frames of the model's training clips, 0 where one is left out;
// NULL when out of memory.
int64_t *plan_training_frames(const Plan *plan, uint32_t model);
Status plan_clip_path(const Plan *plan, uint32_t clip, char *out, size_t size);
Status plan_apply(Plan *plan, Core *core, const PlanTask *task, const Buffer *answer,
                  int64_t now_ms);

// keys.c: STATUS_MEMORY
Status plan_key(const Plan *plan, PlanTask *task); // of all but TRAIN, into it
Status plan_key_training(const Plan *plan, uint32_t model, Digest *ret_key);

// cuts.c
// The clip at a place of a PROBE or SCORE task, NO_CLIP when it is not used.
uint32_t plan_task_clip(const Plan *plan, const PlanTask *task, uint32_t place);
// All of a task that plan_cut made; returns how many.
uint32_t plan_task_clips(const Plan *plan, const PlanTask *task, uint32_t out[CLIPS_PER_TASK_MOST]);
// See CoreTask: tasks that begin with neighbours of the same clips are of one place.
uint32_t plan_place(const Plan *plan, const PlanTask *task);
uint32_t plan_count_clips(const Plan *plan, const PlanTask *task);
// Adds the tasks for all the places of `whole`.
Status plan_cut(Plan *plan, Core *core, const PlanTask *whole, int64_t now_ms);

// checkpoints.c
// The model's folder below the run's, as the journal knows it.
Status plan_model_folder(const Plan *plan, uint32_t model, char *out, size_t size);
// Where states of this training already are, in a folder that no other model has, it is the model's
// from now on. Once the training's key is known.
Status checkpoint_settle(Plan *plan, uint32_t model);
// Has the state of the training made durable, ticket = tag.
Status checkpoint_put(Plan *plan, TaskTag tag, uint32_t model);
// Goes on from the newest whole state of this training that there is; what is damaged is warned of.
Status checkpoint_resume(Plan *plan, uint32_t model);
// How many epochs the journal knows of this training, and of another one in the same place.
uint32_t checkpoint_epochs(const Plan *plan, uint32_t model);
uint32_t checkpoint_epochs_of_others(const Plan *plan, uint32_t model);

// foreign.c: models whose network was made elsewhere
bool foreign_is(const Plan *plan, uint32_t model);
// Epochs that a model is to be trained: none of those, else the settings'.
uint64_t foreign_epochs(const Plan *plan, uint32_t model);
// In place of a training: fails the model, or it can score.
Status foreign_begin(Plan *plan, uint32_t model);
// The model's file.
Status foreign_write(Plan *plan, uint32_t model);

// stages.c: which tasks there are, and what a finished one begins
Status stage_add(Plan *plan, Core *core, const PlanTask *task, int64_t now_ms);
Status stage_probe(Plan *plan, Core *core, int64_t now_ms);
Status stage_site_ready(Plan *plan, Core *core, Site site, int64_t now_ms);
Status stage_train(Plan *plan, Core *core, uint32_t model, int64_t now_ms);
// Lets as many models be trained as there are workers: a worker that trains one to its end reads
// its clips once, one that took turns would read them for every piece.
Status stage_open_trainings(Plan *plan, Core *core, int64_t now_ms);
// The model's training is over, done or failed.
void stage_close_training(Plan *plan, uint32_t model);
Status stage_piece_done(Plan *plan, Core *core, uint32_t model, int64_t now_ms);
// Begins a training anew after a clip of it was left out; `tag` is its doubted task.
Status stage_retrain(Plan *plan, Core *core, uint32_t model, TaskTag tag, int64_t now_ms);

// The clip of a task of one is left out for this reason.
Status stage_give_up(Plan *plan, Core *core, const PlanTask *single, const char *reason,
                     int64_t now_ms);

// measuring.c: what workers measure of a trained model's clips and shards, and its scores
// Whether some system asks this score of a model.
bool measuring_wants(const Plan *plan, uint32_t model, ScoreKind kind);
// Adds the tasks; the model's file must be there.
Status measuring_begin(Plan *plan, Core *core, uint32_t model, int64_t now_ms);
void measuring_free(Measuring *measuring); // accepts NULL
// Of SCORE; of RESIDUALS or BATCHES.
Status measuring_take_clips(Plan *plan, Core *core, const PlanTask *task, const Buffer *answer,
                            int64_t now_ms);
Status measuring_take_shard(Plan *plan, Core *core, const PlanTask *task, const Buffer *answer,
                            int64_t now_ms);
// Whether an answer to RESIDUALS or BATCHES can be. STATUS_FORMAT
Status measuring_check_shard(const Plan *plan, const PlanTask *task, const void *bytes,
                             size_t size);
// Nobody can do the model's RESIDUALS or BATCHES: it has no MAHALA scores.
Status measuring_give_up(Plan *plan, Core *core, const PlanTask *task, const char *reason,
                         int64_t now_ms);
// Whether tasks that are added now can read precisions.
bool measuring_has_precisions(const Plan *plan, uint32_t model);
// For the bodies of its tasks: the model file with precisions where they are needed.
Digest measuring_model_blob(const Plan *plan, const PlanTask *task);

// look.c: what all systems are to score, before the first model is so far
uint64_t plan_clips_to_score(const Plan *plan);
RunStage plan_run_stage(const Plan *plan, const PlanCounts *counts);
// Completes what the loop knows, for who looks on: stage, counts, models, what workers are at.
void plan_look(Plan *plan, Snapshot *snapshot, Status ended);

// exploring.c: what is to be told of clips
// Whether a clip is explored: it is probed and decodes.
bool exploring_takes(const Plan *plan, uint32_t clip);
// Adds the tasks of a site that is ready, where the plan explores.
Status exploring_site_ready(Plan *plan, Core *core, Site site, int64_t now_ms);
Status exploring_check(const Plan *plan, const ExploreAnswer *answer); // STATUS_FORMAT
Status exploring_take(Plan *plan, Core *core, const PlanTask *task, const Buffer *answer,
                      int64_t now_ms);
// The coordinator's own answer, where no worker has one. STATUS_MEMORY
Status exploring_answer(Plan *plan, const PlanTask *task, Buffer *out);
void exploring_free(Plan *plan);
// portraying.c: pictures of single clips
// Asks for those of a scored model's highest and lowest clips, where the run wants pictures.
Status portraying_begin(Plan *plan, Core *core, uint32_t model, int64_t now_ms);
// Asks for one of a clip that is probed; of `item` all but what is made of it. With a model its
// file must be there. It is made, or found in the journal, before the plan is over.
Status portraying_ask(Plan *plan, Core *core, const ClipPortrait *item, int64_t now_ms);
// The item of a PORTRAIT task, and what its clip's bytes are.
const ClipPortrait *portraying_item(const Plan *plan, const PlanTask *task);
const Digest *portraying_digest(const Plan *plan, const PlanTask *task);
void portraying_body(const Plan *plan, const PlanTask *task, Buffer *out);
// Whether an answer can be, and what it says. STATUS_FORMAT
Status portraying_look(const Plan *plan, const PlanTask *task, const void *bytes, size_t size,
                       ClipOutcome *ret_outcome);
Status portraying_take(Plan *plan, const PlanTask *task, const Buffer *answer);
// The coordinator's own answer, where no worker has one. STATUS_MEMORY
Status portraying_answer(Plan *plan, const PlanTask *task, Buffer *out);
// The run goes on without this picture.
void portraying_give_up(Plan *plan, const PlanTask *task, const char *reason);

// comparing.c: whether workers read the data that this machine has
// A PROBE answer whose clips are, by the one that is looked at, others than here. STATUS_FORMAT
// names it; STATUS_MEMORY
Status comparing_check(const Plan *plan, const PlanTask *task, const void *bytes, size_t size);
// The digest of the clip's bytes as some group's answer has it, false when none has come.
bool comparing_told(const Plan *plan, uint32_t clip, Digest *ret_digest);
// Whether the clip's contents are known to be others.
bool comparing_contradicts(const Plan *plan, uint32_t clip, const ProbeAnswer *told);

// doubts.c: a PROBE answer that leaves clips out, or contradicts what is known, as this machine's
// own read has it; `out` is empty when both agree
Status doubt_probe(Plan *plan, const PlanTask *task, const void *bytes, size_t size, Buffer *out);

// hooks.c: bodies, answers, groups
bool hook_leaves_out(const Plan *plan, const PlanTask *task, const Buffer *answer);
// Whether an answer holds for good: not when a clip was only out of reach.
bool hook_is_final(const Plan *plan, const PlanTask *task, const Buffer *answer);
void hook_task_body(void *context, TaskTag tag, CoreShare share, Buffer *out);
Status hook_take_answer(void *context, TaskTag tag, CoreShare share, const void *bytes,
                        size_t size);
uint64_t hook_blob_most(void *context, TaskTag tag);
Status hook_take_state(void *context, TaskTag tag, const void *bytes, size_t size);
Status hook_take_sum(void *context, TaskTag tag, const CoreSum *sum, Buffer *total,
                     BlobKind *total_kind);
Status hook_group_changed(void *context, TaskTag tag, uint32_t members);
uint32_t hook_members_wanted(void *context, TaskTag tag, uint32_t free_workers, uint32_t sessions,
                             uint32_t train_tasks, int64_t waited_ms);

#endif
