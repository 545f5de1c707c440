// SPDX-License-Identifier: Apache-2.0
#include "coordinator/live/story.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "coordinator/live/fields.h"

enum { STORY_BYTES = 4 << 20 }; // of the file: all rows there can be take 1 MB

// Of a worker of this incarnation: what its earlier sessions add up to, and the present one.
typedef struct Present {
    uint64_t tasks_before;
    double busy_before, here_before;
    int64_t since_ms; // its session began, since 1970; 0: it has none
} Present;

struct Story {
    const char *run_folder;
    StoryIncarnation *incarnations; // (incarnation_count) the last is this one
    uint32_t incarnation_count;
    StoryWorker *workers; // (worker_count) by when they joined
    Present *present;     // (worker_count) of the same rows
    uint32_t worker_count;
    StoryWorker others;
    bool has_looked; // the first look tells what was there before
    uint64_t read_before, explored_before, trained_before, scored_before, pictures_before;
    int64_t looked_ms; // the last look, since 1970
    RunStage stage;    // that was under way then
    bool is_reporting; // results are being written
};

// ---- the file ----

static const Field INCARNATION[] = {
    FIELD_COUNT_OF(StoryIncarnation, number),
    FIELD_TEXT_OF(StoryIncarnation, state),
    FIELD_TEXT_OF(StoryIncarnation, host),
    FIELD_COUNT_OF(StoryIncarnation, process),
    FIELD_COUNT_OF(StoryIncarnation, began_ms),
    FIELD_COUNT_OF(StoryIncarnation, ended_ms),
    FIELD_COUNT_OF(StoryIncarnation, workers_most),
    FIELD_COUNT_OF(StoryIncarnation, tasks_done),
    FIELD_COUNT_OF(StoryIncarnation, retries),
    FIELD_COUNT_OF(StoryIncarnation, poison),
    FIELD_COUNT_OF(StoryIncarnation, alarms),
    FIELD_COUNT_OF(StoryIncarnation, clips_read),
    FIELD_COUNT_OF(StoryIncarnation, clips_explored),
    FIELD_COUNT_OF(StoryIncarnation, epochs_trained),
    FIELD_COUNT_OF(StoryIncarnation, clips_scored),
    FIELD_COUNT_OF(StoryIncarnation, pictures_made),
    FIELD_NUMBER_OF(StoryIncarnation, extract_seconds),
    FIELD_NUMBER_OF(StoryIncarnation, explore_seconds),
    FIELD_NUMBER_OF(StoryIncarnation, train_seconds),
    FIELD_NUMBER_OF(StoryIncarnation, score_seconds),
    FIELD_NUMBER_OF(StoryIncarnation, pictures_seconds),
    FIELD_NUMBER_OF(StoryIncarnation, report_seconds),
    FIELD_NUMBER_OF(StoryIncarnation, read_busy_seconds),
    FIELD_NUMBER_OF(StoryIncarnation, explore_busy_seconds),
    FIELD_NUMBER_OF(StoryIncarnation, train_busy_seconds),
    FIELD_NUMBER_OF(StoryIncarnation, score_busy_seconds),
    FIELD_NUMBER_OF(StoryIncarnation, pictures_busy_seconds),
};

static const Field WORKER[] = {
    FIELD_TEXT_OF(StoryWorker, name),          FIELD_COUNT_OF(StoryWorker, incarnation),
    FIELD_COUNT_OF(StoryWorker, joined_ms),    FIELD_COUNT_OF(StoryWorker, left_ms),
    FIELD_TEXT_OF(StoryWorker, why),           FIELD_COUNT_OF(StoryWorker, sessions),
    FIELD_COUNT_OF(StoryWorker, tasks_done),   FIELD_NUMBER_OF(StoryWorker, here_seconds),
    FIELD_NUMBER_OF(StoryWorker, busy_seconds)};

static Status path_of(const Story *story, const char *name, char out[LIMIT_PATH_BYTES]) {
    return file_join(out, LIMIT_PATH_BYTES, story->run_folder, name);
}

Status story_write(const Story *story) {
    char path[LIMIT_PATH_BYTES];
    Buffer text = BUFFER_EMPTY;
    buffer_text(&text, "{\n  \"format\": 1,\n");
    fields_write_list("incarnations", FIELDS_OF(INCARNATION), story->incarnations,
                      sizeof(StoryIncarnation), story->incarnation_count, &text);
    buffer_text(&text, ",\n");
    fields_write_list("workers", FIELDS_OF(WORKER), story->workers, sizeof(StoryWorker),
                      story->worker_count, &text);
    buffer_text(&text, ",\n");
    fields_write_list("others", FIELDS_OF(WORKER), &story->others, sizeof(StoryWorker),
                      story->others.sessions > 0, &text);
    buffer_text(&text, "\n}\n");
    Status status = text.status;
    if (status == STATUS_OK) {
        status = path_of(story, "logs/cluster.json", path);
    }
    if (status == STATUS_OK) {
        status = file_replace(path, buffer_cstr(&text), text.size);
    }
    buffer_done(&text);
    return status;
}

Status story_write_page(const Story *story) {
    char path[LIMIT_PATH_BYTES];
    Buffer text = BUFFER_EMPTY;
    story_page(story, story->run_folder, &text);
    Status status = text.status;
    if (status == STATUS_OK) {
        status = path_of(story, "logs/cluster.html", path);
    }
    if (status == STATUS_OK) {
        status = file_replace(path, buffer_cstr(&text), text.size);
    }
    buffer_done(&text);
    return status;
}

static const YamlNode *list_of(const YamlNode *root, const char *key, uint32_t most) {
    const YamlNode *node = yaml_node_find(root, key);
    return node != NULL && node->kind == YAML_IS_LIST && node->count <= most ? node : NULL;
}

static bool take_tree(Story *story, const YamlNode *root) {
    const YamlNode *format = yaml_node_find(root, "format");
    const YamlNode *incarnations = list_of(root, "incarnations", STORY_INCARNATIONS);
    const YamlNode *workers = list_of(root, "workers", STORY_WORKERS);
    const YamlNode *others = list_of(root, "others", 1);
    if (format == NULL || format->text == NULL || strcmp(format->text, "1") != 0 ||
        incarnations == NULL || workers == NULL || others == NULL ||
        !fields_read_list(incarnations, FIELDS_OF(INCARNATION), story->incarnations,
                          sizeof(StoryIncarnation)) ||
        !fields_read_list(workers, FIELDS_OF(WORKER), story->workers, sizeof(StoryWorker)) ||
        !fields_read_list(others, FIELDS_OF(WORKER), &story->others, sizeof(StoryWorker))) {
        return false;
    }
    story->incarnation_count = incarnations->count;
    story->worker_count = workers->count;
    return true;
}

static void forget(Story *story) {
    memset(story->incarnations, 0, STORY_INCARNATIONS * sizeof *story->incarnations);
    memset(story->workers, 0, STORY_WORKERS * sizeof *story->workers);
    story->others = (StoryWorker){.incarnation = 0};
}

// A file that is damaged, or of another format, is not worth a run: it is kept aside, and the story
// begins anew. STATUS_MEMORY: it may be fine.
static Status read_file(Story *story) {
    char path[LIMIT_PATH_BYTES], aside[LIMIT_PATH_BYTES];
    Buffer text = BUFFER_EMPTY;
    YamlNode *root = NULL;
    Status status = path_of(story, "logs/cluster.json", path);
    if (status == STATUS_OK) {
        status = file_read(path, STORY_BYTES, &text);
    }
    if (status == STATUS_OK) {
        status = yaml_tree_read(path, buffer_cstr(&text), text.size, &root, NULL);
    }
    if (status == STATUS_OK && !take_tree(story, root)) {
        status = STATUS_FORMAT;
    }
    yaml_tree_free(root);
    buffer_done(&text);
    if (status != STATUS_OK && status != STATUS_MEMORY) {
        forget(story);
        if (status != STATUS_NOT_FOUND &&
            path_of(story, "logs/cluster.json.old", aside) == STATUS_OK) {
            (void)rename(path, aside);
        }
        status = STATUS_OK;
    }
    return status;
}

// ---- beginning and end ----

// One that did not get to say how it ended was killed, and its workers with it, as far as is known.
static void close_earlier(Story *story) {
    for (uint32_t i = 0; i < story->incarnation_count; i++) {
        StoryIncarnation *one = &story->incarnations[i];
        if (strcmp(one->state, "running") == 0) {
            text_copy(one->state, sizeof one->state, "killed");
        }
        for (uint32_t w = 0; w < story->worker_count; w++) {
            StoryWorker *worker = &story->workers[w];
            if (worker->incarnation == one->number && worker->left_ms == 0) {
                worker->left_ms = one->ended_ms;
                text_copy(worker->why, sizeof worker->why, "the coordinator ended");
            }
        }
    }
}

static StoryIncarnation *current(const Story *story) {
    return &story->incarnations[story->incarnation_count - 1];
}

static void begin_incarnation(Story *story) {
    uint64_t number = story->incarnation_count > 0 ? current(story)->number + 1 : 1;
    if (story->incarnation_count == STORY_INCARNATIONS) {
        story->incarnation_count--;
        memmove(story->incarnations, story->incarnations + 1,
                story->incarnation_count * sizeof *story->incarnations);
    }
    StoryIncarnation *one = &story->incarnations[story->incarnation_count++];
    char host[LIMIT_NAME_BYTES] = "";
    (void)gethostname(host, sizeof host - 1);
    int64_t now_ms = clock_wall_ms();
    *one = (StoryIncarnation){.state = "running",
                              .number = number,
                              .process = (uint64_t)getpid(),
                              .began_ms = (uint64_t)now_ms,
                              .ended_ms = (uint64_t)now_ms};
    snapshot_text(one->host, sizeof one->host, host);
    story->looked_ms = now_ms;
}

Status story_open(const char *run_folder, Story **ret) {
    Story *story = mem_new(1, sizeof *story);
    if (story == NULL) {
        return STATUS_MEMORY;
    }
    story->run_folder = run_folder;
    story->incarnations = mem_new(STORY_INCARNATIONS, sizeof *story->incarnations);
    story->workers = mem_new(STORY_WORKERS, sizeof *story->workers);
    story->present = mem_new(STORY_WORKERS, sizeof *story->present);
    Status status = story->incarnations != NULL && story->workers != NULL && story->present != NULL
                        ? read_file(story)
                        : STATUS_MEMORY;
    if (status != STATUS_OK) {
        story_free(story);
        return status;
    }
    close_earlier(story);
    begin_incarnation(story);
    *ret = story;
    return STATUS_OK;
}

void story_free(Story *story) {
    if (story != NULL) {
        mem_free(story->incarnations);
        mem_free(story->workers);
        mem_free(story->present);
        mem_free(story);
    }
}

// ---- workers ----

static uint32_t find_worker(const Story *story, const char *name) {
    char fit[LIMIT_NAME_BYTES];
    snapshot_text(fit, sizeof fit, name);
    uint32_t w = story->worker_count;
    while (w > 0 && (story->workers[w - 1].incarnation != current(story)->number ||
                     strcmp(story->workers[w - 1].name, fit) != 0)) {
        w--;
    }
    return w > 0 ? w - 1 : UINT32_MAX;
}

// The oldest that is gone, or the oldest of all, joins those that are not listed.
static void make_room(Story *story) {
    uint32_t oldest = 0;
    while (oldest + 1 < story->worker_count && story->workers[oldest].left_ms == 0) {
        oldest++;
    }
    const StoryWorker *worker = &story->workers[oldest];
    story->others.sessions++;
    story->others.tasks_done += worker->tasks_done;
    story->others.here_seconds += worker->here_seconds;
    story->others.busy_seconds += worker->busy_seconds;
    uint32_t behind = --story->worker_count - oldest;
    memmove(&story->workers[oldest], &story->workers[oldest + 1], behind * sizeof *story->workers);
    memmove(&story->present[oldest], &story->present[oldest + 1], behind * sizeof *story->present);
}

void story_joined(Story *story, const char *name, int64_t wall_ms) {
    uint32_t w = find_worker(story, name);
    if (w == UINT32_MAX) {
        if (story->worker_count == STORY_WORKERS) {
            make_room(story);
        }
        w = story->worker_count++;
        StoryWorker *worker = &story->workers[w];
        *worker =
            (StoryWorker){.incarnation = current(story)->number, .joined_ms = (uint64_t)wall_ms};
        snapshot_text(worker->name, sizeof worker->name, name);
        story->present[w] = (Present){.since_ms = 0};
    }
    StoryWorker *worker = &story->workers[w];
    worker->left_ms = 0;
    worker->why[0] = '\0';
    worker->sessions++;
    story->present[w] = (Present){.tasks_before = worker->tasks_done,
                                  .busy_before = worker->busy_seconds,
                                  .here_before = worker->here_seconds,
                                  .since_ms = wall_ms};
}

static void update(Story *story, uint32_t w, uint64_t tasks, double busy_seconds,
                   double here_seconds) {
    const Present *present = &story->present[w];
    StoryWorker *worker = &story->workers[w];
    worker->tasks_done = present->tasks_before + tasks;
    worker->busy_seconds = present->busy_before + busy_seconds;
    worker->here_seconds = present->here_before + here_seconds;
}

void story_left(Story *story, const StoryLeft *left, int64_t wall_ms) {
    uint32_t w = find_worker(story, left->name);
    if (w == UINT32_MAX || story->present[w].since_ms == 0) {
        return;
    }
    double here = (double)(wall_ms - story->present[w].since_ms) / 1e3;
    StoryWorker *worker = &story->workers[w];
    update(story, w, left->tasks_done, (double)left->busy_ms / 1e3, here > 0 ? here : 0);
    // "NAME: why"
    size_t name_bytes = strlen(left->name);
    bool has_name = text_starts(left->why, left->name) && left->why[name_bytes] == ':';
    snapshot_text(worker->why, sizeof worker->why,
                  has_name ? left->why + name_bytes + 2 : left->why);
    worker->left_ms = (uint64_t)wall_ms;
    story->present[w].since_ms = 0;
}

// ---- the look ----

static double busy_of(const CoreCounts *counts, TaskKind kind) {
    return (double)counts->kinds[kind].busy_ms / 1e3;
}

static int by_name(const void *a, const void *b, void *context) {
    const Story *story = context;
    return strcmp(story->workers[*(const uint32_t *)a].name,
                  story->workers[*(const uint32_t *)b].name);
}

// The rows of those who are there, in the order of their names.
static uint32_t sort_present(const Story *story, uint32_t out[STORY_WORKERS]) {
    uint32_t count = 0;
    for (uint32_t w = 0; w < story->worker_count; w++) {
        if (story->present[w].since_ms != 0) {
            out[count++] = w;
        }
    }
    qsort_r(out, count, sizeof out[0], by_name, (void *)(uintptr_t)story);
    return count;
}

// Both lists by name: one walk, however many there are.
static void look_at_workers(Story *story, const Snapshot *snapshot) {
    uint32_t rows[STORY_WORKERS];
    uint32_t count = sort_present(story, rows);
    uint64_t seen = 0;
    for (uint32_t r = 0; r < count; r++) {
        const char *name = story->workers[rows[r]].name;
        const SnapshotWorker *list = snapshot->worker_list;
        while (seen < snapshot->worker_count && strcmp(list[seen].name, name) < 0) {
            seen++;
        }
        if (seen < snapshot->worker_count && strcmp(list[seen].name, name) == 0) {
            update(story, rows[r], list[seen].tasks_done,
                   list[seen].busy_share * list[seen].here_seconds, list[seen].here_seconds);
        }
    }
}

static void note_stage(Story *story, RunStage stage, int64_t wall_ms) {
    StoryIncarnation *one = current(story);
    double *const seconds[SNAPSHOT_STAGES + 1] = {&one->extract_seconds,  &one->explore_seconds,
                                                  &one->train_seconds,    &one->score_seconds,
                                                  &one->pictures_seconds, &one->report_seconds};
    if (wall_ms > story->looked_ms) {
        *seconds[story->stage] += (double)(wall_ms - story->looked_ms) / 1e3;
    }
    story->looked_ms = wall_ms;
    story->stage = stage;
    one->ended_ms = (uint64_t)wall_ms;
}

static uint64_t since(uint64_t now, uint64_t before) {
    return now > before ? now - before : 0;
}

void story_look(Story *story, const Snapshot *snapshot, const CoreCounts *counts, int64_t wall_ms) {
    StoryIncarnation *one = current(story);
    if (!story->has_looked) {
        story->has_looked = true;
        story->read_before = snapshot->clips_read;
        story->explored_before = snapshot->clips_explored;
        story->trained_before = snapshot->epochs_trained;
        story->scored_before = snapshot->clips_scored;
        story->pictures_before = snapshot->pictures_made;
    }
    note_stage(story, snapshot->stage, wall_ms);
    one->workers_most =
        snapshot->workers > one->workers_most ? snapshot->workers : one->workers_most;
    one->tasks_done = snapshot->tasks_done;
    one->retries = snapshot->retries;
    one->poison = snapshot->poison;
    one->alarms = snapshot->alarms;
    one->clips_read = since(snapshot->clips_read, story->read_before);
    one->clips_explored = since(snapshot->clips_explored, story->explored_before);
    one->epochs_trained = since(snapshot->epochs_trained, story->trained_before);
    one->clips_scored = since(snapshot->clips_scored, story->scored_before);
    one->pictures_made = since(snapshot->pictures_made, story->pictures_before);
    one->read_busy_seconds = busy_of(counts, TASK_PROBE);
    one->explore_busy_seconds = busy_of(counts, TASK_EXPLORE);
    one->pictures_busy_seconds = busy_of(counts, TASK_PORTRAIT);
    one->train_busy_seconds = busy_of(counts, TASK_TRAIN);
    one->score_busy_seconds = busy_of(counts, TASK_SCORE) + busy_of(counts, TASK_RESIDUALS) +
                              busy_of(counts, TASK_BATCHES);
    look_at_workers(story, snapshot);
}

void story_reporting(Story *story, int64_t wall_ms) {
    note_stage(story, AT_REPORT, wall_ms);
    story->is_reporting = true;
}

void story_end(Story *story, const char *state, int64_t wall_ms) {
    StoryIncarnation *one = current(story);
    if (story->is_reporting) {
        note_stage(story, AT_REPORT, wall_ms);
    }
    one->ended_ms = (uint64_t)wall_ms;
    text_copy(one->state, sizeof one->state, state);
    for (uint32_t w = 0; w < story->worker_count; w++) {
        StoryWorker *worker = &story->workers[w];
        if (worker->incarnation == one->number && worker->left_ms == 0) {
            worker->left_ms = (uint64_t)wall_ms;
            text_copy(worker->why, sizeof worker->why, "the coordinator ended");
        }
    }
}

// ---- looking in ----

uint64_t story_number(const Story *story) {
    return current(story)->number;
}

const StoryIncarnation *story_incarnations(const Story *story, uint32_t *ret_count) {
    *ret_count = story->incarnation_count;
    return story->incarnations;
}

const StoryWorker *story_workers(const Story *story, uint32_t *ret_count) {
    *ret_count = story->worker_count;
    return story->workers;
}

const StoryWorker *story_others(const Story *story) {
    return &story->others;
}
