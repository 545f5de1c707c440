// SPDX-License-Identifier: Apache-2.0
//
// EXPLORE: what is to be told of each clip. PORTRAIT: its pictures, and what a model could not
// reconstruct of it. Neither trains or scores anything.
#include <string.h>

#include "common/base/config.h"
#include "common/base/mem.h"
#include "common/engine/source.h"
#include "worker/clip_loop.h"
#include "worker/compute.h"

struct TaskExplore {
    Desk *desk;
    Crew *crew;
    Bulk *bulk;
    ClipFiles *files;
    Decoded *decoded;
    ClipExplorer *explorers[CREW_LANES_MOST]; // of the crew's lanes
    Digest explorer_settings;                 // of the text that they were made from
    Portraitist *portraitist;
    Digest portraitist_settings, portraitist_model; // likewise
};

TaskExplore *task_explore_new(Desk *desk, Crew *crew, Bulk *bulk, ClipFiles *files) {
    TaskExplore *explore = mem_new(1, sizeof *explore);
    if (explore != NULL) {
        explore->desk = desk;
        explore->crew = crew;
        explore->bulk = bulk;
        explore->files = files;
        explore->decoded = decoded_new();
        if (explore->decoded == NULL) {
            mem_free(explore);
            return NULL;
        }
    }
    return explore;
}

static void drop_explorers(TaskExplore *explore) {
    for (int l = 0; l < crew_lanes(explore->crew); l++) {
        clip_explorer_free(explore->explorers[l]);
        explore->explorers[l] = NULL;
    }
}

void task_explore_free(TaskExplore *explore) {
    if (explore != NULL) {
        drop_explorers(explore);
        portraitist_free(explore->portraitist);
        decoded_free(explore->decoded);
        mem_free(explore);
    }
}

static Status read_settings(const char *text, Settings *ret_settings) {
    Status status = settings_preset("default", ret_settings);
    if (status == STATUS_OK) {
        status = config_read_text("task", text, strlen(text), ret_settings);
    }
    return status == STATUS_OK ? settings_check(ret_settings) : status;
}

static Status use_explorer(TaskExplore *explore, const char *text) {
    Digest digest = digest_of(text, strlen(text));
    int lanes = crew_lanes(explore->crew);
    if (explore->explorers[lanes - 1] != NULL && digest_equal(digest, explore->explorer_settings)) {
        return STATUS_OK;
    }
    Settings settings;
    Status status = read_settings(text, &settings);
    if (status != STATUS_OK) {
        return status;
    }
    drop_explorers(explore);
    for (int l = 0; l < lanes; l++) {
        explore->explorers[l] = clip_explorer_new(&settings);
        if (explore->explorers[l] == NULL) {
            return STATUS_MEMORY;
        }
    }
    explore->explorer_settings = digest;
    return STATUS_OK;
}

static Status use_portraitist(TaskExplore *explore, const char *text, Digest model) {
    static const Digest none;
    Digest digest = digest_of(text, strlen(text));
    if (explore->portraitist != NULL && digest_equal(digest, explore->portraitist_settings) &&
        digest_equal(model, explore->portraitist_model)) {
        return STATUS_OK;
    }
    bool has_model = !digest_equal(model, none);
    Settings settings;
    Buffer file = BUFFER_EMPTY;
    Status status = read_settings(text, &settings);
    if (status == STATUS_OK && has_model) {
        status = bulk_get(explore->bulk, model, &file);
    }
    if (status == STATUS_OK) {
        portraitist_free(explore->portraitist);
        explore->portraitist = NULL;
        status = portraitist_new(&settings, has_model ? file.bytes : NULL, file.size,
                                 &explore->portraitist);
        explore->portraitist_settings = digest;
        explore->portraitist_model = model;
    }
    buffer_done(&file);
    return status;
}

// ---- EXPLORE ----

typedef struct ExploreWork {
    TaskExplore *explore;
    const ExploreBody *body;
    ClipPath *paths; // (slots)
    // (body->clip_count)
    ClipOutcome *outcomes;
    ClipReason *reasons;
    Exploration *found; // that the answers borrow
    ExploreAnswer *answers;
} ExploreWork;

static Status find_clip(void *context, uint32_t index, uint32_t slot) {
    const ExploreWork *work = context;
    return clip_files_path(work->explore->files, &work->body->clips[index], &work->paths[slot]);
}

static Status explore_clip(void *context, uint32_t index, uint32_t slot, int lane) {
    const ExploreWork *work = context;
    const WireClip *clip = &work->body->clips[index];
    return source_explore(work->explore->explorers[lane], work->paths[slot].path, clip->path,
                          clip->size_bytes, &clip->digest, &work->found[index]);
}

static void end_explored(void *context, uint32_t index, uint32_t slot, Status status) {
    const ExploreWork *work = context;
    const Exploration *found = &work->found[index];
    (void)status; // the outcome tells
    clip_path_done(&work->paths[slot]);
    work->answers[index] =
        (ExploreAnswer){.outcome = work->outcomes[index],
                        .is_sound = found->is_sound,
                        .numbers = found->numbers,
                        .numbers_bytes = sizeof found->numbers,
                        .bands = found->mean,
                        .bands_bytes = 2 * (size_t)found->n_mels * sizeof *found->mean,
                        .reason = work->reasons[index]};
}

static Status explore_all(TaskExplore *explore, const ExploreBody *body, Buffer *answer,
                          ResultOutcome *ret_outcome) {
    static const ClipSteps STEPS = {find_clip, explore_clip, end_explored};
    uint32_t count = body->clip_count;
    ExploreWork work = {.explore = explore, .body = body};
    work.paths = mem_new(clip_slots(explore->crew), sizeof *work.paths);
    work.outcomes = mem_new(count, sizeof *work.outcomes);
    work.reasons = mem_new(count, sizeof *work.reasons);
    work.found = mem_new(count, sizeof *work.found);
    work.answers = mem_new(count, sizeof *work.answers);
    bool ok = work.paths != NULL && work.outcomes != NULL && work.reasons != NULL &&
              work.found != NULL && work.answers != NULL;
    clip_files_expect(explore->files, body->clips, count);
    ClipLoop loop = {explore->desk, explore->crew, count,       &STEPS,
                     &work,         work.outcomes, work.reasons};
    Status status = ok ? clip_loop_run(&loop, answer, ret_outcome) : STATUS_MEMORY;
    if (status == STATUS_OK && *ret_outcome == RESULT_DONE) {
        body_encode_explore_answers(work.answers, count, answer);
        status = answer->status;
    }
    for (uint32_t i = 0; work.found != NULL && i < count; i++) {
        exploration_done(&work.found[i]);
    }
    mem_free(work.paths);
    mem_free(work.outcomes);
    mem_free(work.reasons);
    mem_free(work.found);
    mem_free(work.answers);
    return status;
}

// ---- PORTRAIT ----

typedef struct PortraitWork {
    TaskExplore *explore;
    const WireClip *clip; // the only one
    ClipPath path;
    Portrait made;
    ClipOutcome outcome;
    ClipReason reason;
} PortraitWork;

static Status find_sitter(void *context, uint32_t index, uint32_t slot) {
    PortraitWork *work = context;
    (void)slot;
    return clip_files_path(work->explore->files, work->clip + index, &work->path);
}

static Status portray_clip(void *context, uint32_t index, uint32_t slot, int lane) {
    PortraitWork *work = context;
    const WireClip *clip = work->clip + index;
    (void)slot;
    (void)lane;
    return source_portrait(work->explore->portraitist, work->path.path, clip->path,
                           clip->size_bytes, &clip->digest, &work->made);
}

static void end_portrayed(void *context, uint32_t index, uint32_t slot, Status status) {
    PortraitWork *work = context;
    (void)index;
    (void)slot;
    (void)status; // the outcome tells
    clip_path_done(&work->path);
}

static void encode_portrait(const PortraitWork *work, Buffer *answer) {
    const Portrait *made = &work->made; // zeros unless usable
    Buffer values = BUFFER_EMPTY;
    if (work->outcome == CLIP_USABLE) {
        portrait_pack(made, &values);
    }
    PortraitAnswer row = {.outcome = work->outcome,
                          .columns = (uint32_t)made->columns,
                          .mel_rows = (uint32_t)made->mel_rows,
                          .spectrum_rows = (uint32_t)made->spectrum_rows,
                          .mfcc_rows = (uint32_t)made->mfcc_rows,
                          .rate_hz = (uint32_t)made->rate_hz,
                          .has_residual = made->has_residual,
                          .seconds = made->seconds,
                          .values = values.bytes,
                          .values_bytes = values.size,
                          .reason = work->reason};
    body_encode_portrait_answers(&row, 1, answer);
    if (values.status != STATUS_OK) {
        answer->status = values.status;
    }
    buffer_done(&values);
}

static Status portray(TaskExplore *explore, const ExploreBody *body, Buffer *answer,
                      ResultOutcome *ret_outcome) {
    static const ClipSteps STEPS = {find_sitter, portray_clip, end_portrayed};
    PortraitWork work = {.explore = explore, .clip = body->clips};
    if (body->clip_count != 1) {
        return status_set(STATUS_FORMAT, "%u clips in a PORTRAIT task", body->clip_count);
    }
    clip_files_expect(explore->files, body->clips, 1);
    ClipLoop loop = {explore->desk, NULL, 1, &STEPS, &work, &work.outcome, &work.reason};
    Status status = clip_loop_run(&loop, answer, ret_outcome);
    if (status == STATUS_OK && *ret_outcome == RESULT_DONE) {
        encode_portrait(&work, answer);
        status = answer->status;
    }
    portrait_done(&work.made);
    return status;
}

Status task_explore_run(TaskExplore *explore, const DeskTask *task, Buffer *answer,
                        ResultOutcome *ret_outcome) {
    ExploreBody body;
    Status status = body_decode_explore(explore->decoded, task->body.bytes, task->body.size, &body);
    if (status != STATUS_OK) {
        return status;
    }
    if (task->kind == TASK_EXPLORE) {
        status = use_explorer(explore, body.settings);
        return status == STATUS_OK ? explore_all(explore, &body, answer, ret_outcome) : status;
    }
    status = use_portraitist(explore, body.settings, body.model);
    return status == STATUS_OK ? portray(explore, &body, answer, ret_outcome) : status;
}
