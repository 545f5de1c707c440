// SPDX-License-Identifier: Apache-2.0
//
// Pictures of single clips, which workers make once everything else that they are of is done.
//
// How it works. A picture is asked for as an item of Plan.portraits, and is a PORTRAIT task of one
// clip: made by a worker, kept in the journal, found there by a later coordinator. A picture is
// never worth a run: where it cannot be made the item stays without one, a warning says why, and
// the next coordinator tries again. A model's file is held for workers as long as pictures by it
// are outstanding.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/engine/source.h"
#include "coordinator/plan/state.h"

// For each model and label of its test clips.
enum { HIGHEST_COUNT = 2, LOWEST_COUNT = 1, LABEL_COUNT = 3 };
// By their place, not by who is ready first: the same ones on any cluster.
enum { MODELS_MOST = LIMIT_PORTRAITS / (LABEL_COUNT * (HIGHEST_COUNT + LOWEST_COUNT)) };

// ---- which ----

typedef struct ScoredPlace {
    double score;
    uint32_t clip;
} ScoredPlace;

// The highest score first; of equal ones the clip that stands first in the dataset, by path.
static int compare_places(const void *left, const void *right) {
    const ScoredPlace *a = left, *b = right;
    return a->score != b->score ? (a->score < b->score) - (a->score > b->score)
                                : (a->clip > b->clip) - (a->clip < b->clip);
}

// The model's scored test clips of a label, sorted; returns how many.
static uint32_t sort_places(const Plan *plan, uint32_t model, ClipLabel label, ScoredPlace *out) {
    const Model *facts = &plan->models.models[model];
    uint32_t count = 0;
    for (uint32_t i = 0; i < facts->test_count; i++) {
        uint32_t clip = facts->test[i];
        ClipResult result = plan_clip_result(plan, 0, clip);
        if (plan->config.dataset->clips[clip].label == label && result.left_out == NULL &&
            result.is_scored && isfinite(result.score)) {
            out[count++] = (ScoredPlace){result.score, clip};
        }
    }
    qsort(out, count, sizeof *out, compare_places);
    return count;
}

static Status ask_for_label(Plan *plan, Core *core, uint32_t model, ClipLabel label,
                            const ScoredPlace *places, uint32_t count, int64_t now_ms) {
    uint32_t highest = count < HIGHEST_COUNT ? count : HIGHEST_COUNT;
    uint32_t lowest = count - highest < LOWEST_COUNT ? count - highest : LOWEST_COUNT;
    Status status = STATUS_OK;
    for (uint32_t i = 0; i < highest + lowest && status == STATUS_OK; i++) {
        bool is_high = i < highest;
        uint32_t rank = is_high ? i : i - highest;
        const ScoredPlace *place = &places[is_high ? rank : count - 1 - rank];
        ClipPortrait item = {.clip = place->clip,
                             .model = model,
                             .role = is_high ? PORTRAIT_HIGHEST : PORTRAIT_LOWEST,
                             .rank = rank,
                             .label = label,
                             .score = place->score};
        status = portraying_ask(plan, core, &item, now_ms);
    }
    return status;
}

// Only what the report shows: models of the primary system.
static bool is_shown(const Plan *plan, uint32_t model) {
    uint32_t first = models_of_system(&plan->models, 0);
    return plan->config.until >= STAGE_REPORT && plan->config.settings->pictures != 0 &&
           model >= first && model < first + plan->models.per_variant;
}

Status portraying_begin(Plan *plan, Core *core, uint32_t model, int64_t now_ms) {
    static const ClipLabel LABELS[LABEL_COUNT] = {LABEL_NORMAL, LABEL_ANOMALY, LABEL_UNKNOWN};
    if (!is_shown(plan, model)) {
        return STATUS_OK;
    }
    if (model - models_of_system(&plan->models, 0) >= MODELS_MOST) {
        plan_warn(plan, "pictures of the first %d models only, of %u", MODELS_MOST,
                  plan->models.per_variant);
        return STATUS_OK;
    }
    ScoredPlace *places = mem_new(plan->models.models[model].test_count, sizeof *places);
    Status status = places != NULL ? STATUS_OK : STATUS_MEMORY;
    for (int i = 0; i < LABEL_COUNT && status == STATUS_OK; i++) {
        uint32_t count = sort_places(plan, model, LABELS[i], places);
        status = ask_for_label(plan, core, model, LABELS[i], places, count, now_ms);
    }
    mem_free(places);
    return status;
}

// ---- tasks ----

static ClipPortrait *item_of(const Plan *plan, const PlanTask *task) {
    return &plan->portraits.items[task->owner];
}

static bool has_model(const ClipPortrait *item) {
    return item->model != UINT32_MAX;
}

const ClipPortrait *portraying_item(const Plan *plan, const PlanTask *task) {
    return item_of(plan, task);
}

// Pictures without a model are of the primary system's features.
static uint32_t group_of(const Plan *plan, const ClipPortrait *item) {
    return has_model(item) ? models_group(&plan->models, item->model) : 0;
}

const Digest *portraying_digest(const Plan *plan, const PlanTask *task) {
    const ClipPortrait *item = item_of(plan, task);
    return &plan_clip_in(plan, group_of(plan, item), item->clip)->digest;
}

// The settings that a picture is made by.
static const Settings *settings_of(const Plan *plan, const PlanTask *task) {
    const ClipPortrait *item = item_of(plan, task);
    return has_model(item) ? plan->models.models[item->model].settings
                           : &plan->models.groups[group_of(plan, item)].settings;
}

static Status hold_model(Plan *plan, uint32_t model) {
    const Buffer *file = &plan->model_states[model].file;
    if (plan->is_survey || plan->portraits_of[model]++ > 0) {
        return STATUS_OK;
    }
    return blobs_hold(plan->config.blobs, file->bytes, file->size, &plan->portrait_blobs[model]);
}

// One picture less is outstanding, made or not.
static void settle(Plan *plan, const ClipPortrait *item) {
    plan->counts.portraits_left--;
    if (has_model(item) && !plan->is_survey && --plan->portraits_of[item->model] == 0) {
        blobs_drop(plan->config.blobs, plan->portrait_blobs[item->model]);
    }
}

Status portraying_ask(Plan *plan, Core *core, const ClipPortrait *item, int64_t now_ms) {
    ClipPortrait *added = portrait_set_add(&plan->portraits);
    if (added == NULL) {
        return STATUS_MEMORY;
    }
    *added = *item;
    PlanTask task = {.kind = TASK_PORTRAIT, .owner = plan->portraits.count - 1, .count = 1};
    // Before the task is added, since an answer from the journal settles it at once.
    Status status = has_model(item) ? hold_model(plan, item->model) : STATUS_OK;
    plan->counts.portraits++;
    plan->counts.portraits_left++;
    return status == STATUS_OK ? stage_add(plan, core, &task, now_ms) : status;
}

void portraying_body(const Plan *plan, const PlanTask *task, Buffer *out) {
    const ClipPortrait *item = item_of(plan, task);
    const Clip *clip = &plan->config.dataset->clips[item->clip];
    WireClip wire = {.root = clip->root,
                     .path = clip->path,
                     .size_bytes = clip->size_bytes,
                     .digest = *portraying_digest(plan, task)};
    Buffer settings = BUFFER_EMPTY;
    settings_write(settings_of(plan, task), SETTING_FEATURES, &settings);
    ExploreBody body = {.settings = buffer_cstr(&settings), .clips = &wire, .clip_count = 1};
    if (has_model(item)) {
        body.model = plan->portrait_blobs[item->model];
    }
    if (settings.status == STATUS_OK) {
        body_encode_explore(&body, out);
    } else {
        out->status = settings.status;
    }
    buffer_done(&settings);
}

// ---- answers ----

// What an answer says of its clip.
typedef struct Said {
    ClipOutcome outcome;
    Portrait portrait;                // where usable; the caller's
    char reason[LIMIT_MESSAGE_BYTES]; // where not
} Said;

static Status read_answer(const void *bytes, size_t size, Said *ret_said) {
    const PortraitAnswer *answer;
    uint32_t count = 0;
    Decoded *decoded = decoded_new();
    Status status = decoded != NULL
                        ? body_decode_portrait_answers(decoded, bytes, size, &answer, &count)
                        : STATUS_MEMORY;
    if (status == STATUS_OK && count != 1) {
        status = status_set(STATUS_FORMAT, "%u portraits of one clip", count);
    }
    if (status == STATUS_OK && answer->outcome == CLIP_USABLE) {
        Portrait shape = {.columns = (int32_t)answer->columns,
                          .mel_rows = (int32_t)answer->mel_rows,
                          .spectrum_rows = (int32_t)answer->spectrum_rows,
                          .mfcc_rows = (int32_t)answer->mfcc_rows,
                          .rate_hz = (int32_t)answer->rate_hz,
                          .seconds = answer->seconds,
                          .has_residual = answer->has_residual};
        status = portrait_unpack(&shape, answer->values, answer->values_bytes, &ret_said->portrait);
    }
    if (status == STATUS_OK) {
        ret_said->outcome = answer->outcome;
        snprintf(ret_said->reason, sizeof ret_said->reason, "%s", answer->reason);
    }
    decoded_free(decoded);
    return status;
}

// A picture has the bands of its settings, and a residual where there is a model of log-mels.
static Status check_shape(const Plan *plan, const PlanTask *task, const Portrait *portrait) {
    const Settings *settings = settings_of(plan, task);
    bool is_residual = has_model(item_of(plan, task)) && settings->features == FEATURES_LOGMEL;
    int32_t mel_rows = settings->n_mels < PORTRAIT_ROWS ? settings->n_mels : PORTRAIT_ROWS;
    return portrait->mel_rows == mel_rows && portrait->has_residual == is_residual
               ? STATUS_OK
               : status_set(STATUS_FORMAT, "a portrait of other settings");
}

Status portraying_look(const Plan *plan, const PlanTask *task, const void *bytes, size_t size,
                       ClipOutcome *ret_outcome) {
    Said said = {0};
    Status status = read_answer(bytes, size, &said);
    if (status == STATUS_OK && said.outcome == CLIP_USABLE) {
        status = check_shape(plan, task, &said.portrait);
    } else if (status == STATUS_OK && said.reason[0] == '\0') {
        status = status_set(STATUS_FORMAT, "no portrait, and no reason");
    }
    portrait_done(&said.portrait);
    if (status == STATUS_OK) {
        *ret_outcome = said.outcome;
    }
    return status;
}

void portraying_give_up(Plan *plan, const PlanTask *task, const char *reason) {
    const ClipPortrait *item = item_of(plan, task);
    plan_warn(plan, "no picture of %s: %.300s", plan->config.dataset->clips[item->clip].path,
              reason);
    settle(plan, item);
}

Status portraying_take(Plan *plan, const PlanTask *task, const Buffer *answer) {
    ClipPortrait *item = item_of(plan, task);
    Said said = {0};
    Status status = read_answer(answer->bytes, answer->size, &said);
    if (status != STATUS_OK) {
        return status;
    }
    if (said.outcome != CLIP_USABLE) {
        portraying_give_up(plan, task, said.reason);
        return STATUS_OK;
    }
    item->picture = said.portrait;
    item->is_there = true;
    settle(plan, item);
    return STATUS_OK;
}

// ---- what no worker could do ----

static Status portray_here(const Plan *plan, const PlanTask *task, Portrait *ret_portrait) {
    const ClipPortrait *item = item_of(plan, task);
    const Clip *clip = &plan->config.dataset->clips[item->clip];
    const Buffer *file = has_model(item) ? &plan->model_states[item->model].file : NULL;
    char path[LIMIT_PATH_BYTES];
    Portraitist *portraitist = NULL;
    Status status = plan_clip_path(plan, item->clip, path, sizeof path);
    if (status == STATUS_OK) {
        status = portraitist_new(settings_of(plan, task), file != NULL ? file->bytes : NULL,
                                 file != NULL ? file->size : 0, &portraitist);
    }
    if (status == STATUS_OK) {
        status = source_portrait(portraitist, path, clip->path, clip->size_bytes,
                                 portraying_digest(plan, task), ret_portrait);
    }
    portraitist_free(portraitist);
    return status;
}

Status portraying_answer(Plan *plan, const PlanTask *task, Buffer *out) {
    Portrait portrait = {0};
    char reason[LIMIT_MESSAGE_BYTES] = "";
    Buffer values = BUFFER_EMPTY;
    Status status = portray_here(plan, task, &portrait);
    PortraitAnswer answer = {.outcome = CLIP_UNREADABLE, .reason = reason};
    if (status == STATUS_MEMORY) {
        return status;
    }
    if (status == STATUS_OK) {
        portrait_pack(&portrait, &values);
        answer = (PortraitAnswer){.outcome = CLIP_USABLE,
                                  .columns = (uint32_t)portrait.columns,
                                  .mel_rows = (uint32_t)portrait.mel_rows,
                                  .spectrum_rows = (uint32_t)portrait.spectrum_rows,
                                  .mfcc_rows = (uint32_t)portrait.mfcc_rows,
                                  .rate_hz = (uint32_t)portrait.rate_hz,
                                  .has_residual = portrait.has_residual,
                                  .seconds = portrait.seconds,
                                  .values = values.bytes,
                                  .values_bytes = values.size,
                                  .reason = reason};
    } else {
        snprintf(reason, sizeof reason, "%.480s", status_message());
    }
    status = values.status;
    if (status == STATUS_OK) {
        body_encode_portrait_answers(&answer, 1, out);
        status = out->status;
    }
    buffer_done(&values);
    portrait_done(&portrait);
    return status;
}

// ---- for those who draw ----

static int compare_keys(const uint64_t *a, const uint64_t *b, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (a[i] != b[i]) {
            return a[i] < b[i] ? -1 : 1;
        }
    }
    return 0;
}

static int compare_items(const void *left, const void *right) {
    const ClipPortrait *a = *(const ClipPortrait *const *)left;
    const ClipPortrait *b = *(const ClipPortrait *const *)right;
    // Those without a model first: their role is the first, too.
    const uint64_t of_a[] = {(uint32_t)(a->model + 1), a->label, a->role, a->rank, a->clip};
    const uint64_t of_b[] = {(uint32_t)(b->model + 1), b->label, b->role, b->rank, b->clip};
    return compare_keys(of_a, of_b, sizeof of_a / sizeof of_a[0]);
}

Status plan_portraits(const Plan *plan, const ClipPortrait ***ret_items, uint32_t *ret_count) {
    uint32_t count = plan->portraits.count;
    const ClipPortrait **items = mem_new(count, sizeof(const ClipPortrait *));
    if (items == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        items[i] = &plan->portraits.items[i];
    }
    qsort(items, count, sizeof(const ClipPortrait *), compare_items);
    *ret_items = items;
    *ret_count = count;
    return STATUS_OK;
}
