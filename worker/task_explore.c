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
    Bulk *bulk;
    ClipFiles *files;
    Decoded *decoded;
    ClipExplorer *explorer;
    Digest explorer_settings; // of the text that the explorer was made from
    Portraitist *portraitist;
    Digest portraitist_settings, portraitist_model; // likewise
};

TaskExplore *task_explore_new(Desk *desk, Bulk *bulk, ClipFiles *files) {
    TaskExplore *explore = mem_new(1, sizeof *explore);
    if (explore != NULL) {
        explore->desk = desk;
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

void task_explore_free(TaskExplore *explore) {
    if (explore != NULL) {
        clip_explorer_free(explore->explorer);
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
    if (explore->explorer != NULL && digest_equal(digest, explore->explorer_settings)) {
        return STATUS_OK;
    }
    Settings settings;
    Status status = read_settings(text, &settings);
    if (status != STATUS_OK) {
        return status;
    }
    clip_explorer_free(explore->explorer);
    explore->explorer = clip_explorer_new(&settings);
    explore->explorer_settings = digest;
    return explore->explorer != NULL ? STATUS_OK : STATUS_MEMORY;
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
    Exploration *found;     // (body->clip_count) that the answers borrow
    ExploreAnswer *answers; // (body->clip_count)
} ExploreWork;

static ClipOutcome explore_clip(void *context, uint32_t index, ClipReason reason) {
    const ExploreWork *work = context;
    const WireClip *clip = &work->body->clips[index];
    Exploration *found = &work->found[index];
    char path[LIMIT_PATH_BYTES];
    Status status = clip_files_path(work->explore->files, clip, path, sizeof path);
    if (status == STATUS_OK) {
        status = source_explore(work->explore->explorer, path, clip->path, clip->size_bytes,
                                &clip->digest, found);
    }
    ClipOutcome outcome = clip_loop_outcome(status, reason);
    work->answers[index] =
        (ExploreAnswer){.outcome = outcome,
                        .is_sound = found->is_sound,
                        .numbers = found->numbers,
                        .numbers_bytes = sizeof found->numbers,
                        .bands = found->mean,
                        .bands_bytes = 2 * (size_t)found->n_mels * sizeof *found->mean,
                        .reason = reason};
    return outcome;
}

static Status explore_all(TaskExplore *explore, const ExploreBody *body, Buffer *answer,
                          ResultOutcome *ret_outcome) {
    ExploreAnswer *answers = mem_new(body->clip_count, sizeof *answers);
    ClipReason *reasons = mem_new(body->clip_count, sizeof *reasons);
    Exploration *found = mem_new(body->clip_count, sizeof *found);
    ExploreWork work = {explore, body, found, answers};
    clip_files_expect(explore->files, body->clips, body->clip_count);
    ClipLoop loop = {explore->desk, body->clip_count, explore_clip, &work, reasons};
    bool ok = answers != NULL && reasons != NULL && found != NULL;
    Status status = ok ? clip_loop_run(&loop, answer, ret_outcome) : STATUS_MEMORY;
    if (status == STATUS_OK && *ret_outcome == RESULT_DONE) {
        body_encode_explore_answers(answers, body->clip_count, answer);
        status = answer->status;
    }
    for (uint32_t i = 0; found != NULL && i < body->clip_count; i++) {
        exploration_done(&found[i]);
    }
    mem_free(answers);
    mem_free(reasons);
    mem_free(found);
    return status;
}

// ---- PORTRAIT ----

typedef struct PortraitWork {
    TaskExplore *explore;
    const WireClip *clip; // the only one
    Portrait made;
    ClipOutcome outcome;
} PortraitWork;

static ClipOutcome portray_clip(void *context, uint32_t index, ClipReason reason) {
    PortraitWork *work = context;
    const WireClip *clip = work->clip + index;
    char path[LIMIT_PATH_BYTES];
    Status status = clip_files_path(work->explore->files, clip, path, sizeof path);
    if (status == STATUS_OK) {
        status = source_portrait(work->explore->portraitist, path, clip->path, clip->size_bytes,
                                 &clip->digest, &work->made);
    }
    work->outcome = clip_loop_outcome(status, reason);
    return work->outcome;
}

static void encode_portrait(const PortraitWork *work, const char *reason, Buffer *answer) {
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
                          .reason = reason};
    body_encode_portrait_answers(&row, 1, answer);
    if (values.status != STATUS_OK) {
        answer->status = values.status;
    }
    buffer_done(&values);
}

static Status portray(TaskExplore *explore, const ExploreBody *body, Buffer *answer,
                      ResultOutcome *ret_outcome) {
    ClipReason reasons[1] = {""};
    PortraitWork work = {.explore = explore, .clip = body->clips};
    if (body->clip_count != 1) {
        return status_set(STATUS_FORMAT, "%u clips in a PORTRAIT task", body->clip_count);
    }
    clip_files_expect(explore->files, body->clips, 1);
    ClipLoop loop = {explore->desk, 1, portray_clip, &work, reasons};
    Status status = clip_loop_run(&loop, answer, ret_outcome);
    if (status == STATUS_OK && *ret_outcome == RESULT_DONE) {
        encode_portrait(&work, reasons[0], answer);
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
