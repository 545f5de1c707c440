// SPDX-License-Identifier: Apache-2.0
//
// One table for each struct says which member stands under which key; writing and reading both go
// by it.
#include <stddef.h>
#include <string.h>

#include "coordinator/live/fields.h"
#include "coordinator/live/snapshot.h"

static const Field RUN[] = {
    FIELD_COUNT_OF(Snapshot, clips_read),
    FIELD_COUNT_OF(Snapshot, clips),
    FIELD_COUNT_OF(Snapshot, clips_explored),
    FIELD_COUNT_OF(Snapshot, clips_to_explore),
    FIELD_COUNT_OF(Snapshot, epochs_trained),
    FIELD_COUNT_OF(Snapshot, epochs),
    FIELD_COUNT_OF(Snapshot, clips_scored),
    FIELD_COUNT_OF(Snapshot, clips_to_score),
    FIELD_COUNT_OF(Snapshot, pictures_made),
    FIELD_COUNT_OF(Snapshot, pictures),
    FIELD_COUNT_OF(Snapshot, clips_left_out),
    FIELD_COUNT_OF(Snapshot, models_failed),
    FIELD_COUNT_OF(Snapshot, models_stranded),
    FIELD_COUNT_OF(Snapshot, workers),
    FIELD_COUNT_OF(Snapshot, workers_idle),
    FIELD_COUNT_OF(Snapshot, models),
    FIELD_COUNT_OF(Snapshot, models_training),
    FIELD_COUNT_OF(Snapshot, models_done),
    FIELD_COUNT_OF(Snapshot, tasks_waiting),
    FIELD_COUNT_OF(Snapshot, tasks_held),
    FIELD_COUNT_OF(Snapshot, tasks_done),
    FIELD_COUNT_OF(Snapshot, retries),
    FIELD_COUNT_OF(Snapshot, poison),
    FIELD_COUNT_OF(Snapshot, alarms),
    FIELD_COUNT_OF(Snapshot, incarnation),
    FIELD_NUMBER_OF(Snapshot, extract_seconds),
    FIELD_NUMBER_OF(Snapshot, explore_seconds),
    FIELD_NUMBER_OF(Snapshot, train_seconds),
    FIELD_NUMBER_OF(Snapshot, score_seconds),
    FIELD_NUMBER_OF(Snapshot, pictures_seconds),
    FIELD_NUMBER_OF(Snapshot, extract_per_second),
    FIELD_NUMBER_OF(Snapshot, explore_per_second),
    FIELD_NUMBER_OF(Snapshot, train_per_second),
    FIELD_NUMBER_OF(Snapshot, score_per_second),
    FIELD_NUMBER_OF(Snapshot, pictures_per_second),
    FIELD_NUMBER_OF(Snapshot, seconds_left),
    FIELD_NUMBER_OF(Snapshot, loss),
    FIELD_TEXT_OF(Snapshot, http),
    FIELD_TEXT_OF(Snapshot, host),
    FIELD_COUNT_OF(Snapshot, process),
    FIELD_COUNT_OF(Snapshot, began_ms),
    FIELD_COUNT_OF(Snapshot, written_ms),
};

static const Field WORKER[] = {
    FIELD_TEXT_OF(SnapshotWorker, name),
    FIELD_TEXT_OF(SnapshotWorker, state),
    FIELD_TEXT_OF(SnapshotWorker, work),
    FIELD_COUNT_OF(SnapshotWorker, leases),
    FIELD_COUNT_OF(SnapshotWorker, tasks_done),
    FIELD_COUNT_OF(SnapshotWorker, done),
    FIELD_COUNT_OF(SnapshotWorker, total),
    FIELD_NUMBER_OF(SnapshotWorker, loss),
    FIELD_NUMBER_OF(SnapshotWorker, silent_seconds),
    FIELD_NUMBER_OF(SnapshotWorker, here_seconds),
    FIELD_NUMBER_OF(SnapshotWorker, busy_share),
};

static const Field MODEL[] = {
    FIELD_TEXT_OF(SnapshotModel, label),           FIELD_TEXT_OF(SnapshotModel, state),
    FIELD_COUNT_OF(SnapshotModel, epochs_trained), FIELD_COUNT_OF(SnapshotModel, epochs),
    FIELD_COUNT_OF(SnapshotModel, workers),        FIELD_NUMBER_OF(SnapshotModel, loss),
};

void snapshot_json(const Snapshot *snapshot, Buffer *out) {
    buffer_format(out, "{\n  \"state\": \"%s\",\n  \"stage\": \"%s\",\n",
                  run_state_text(snapshot->state), run_stage_text(snapshot->stage));
    fields_write(FIELDS_OF(RUN), snapshot, out);
    fields_write_list("worker_list", FIELDS_OF(WORKER), snapshot->worker_list,
                      sizeof(SnapshotWorker), snapshot->worker_count, out);
    buffer_text(out, ",\n");
    fields_write_list("model_list", FIELDS_OF(MODEL), snapshot->model_list, sizeof(SnapshotModel),
                      snapshot->model_count, out);
    buffer_text(out, "\n}\n");
}

// The index of the entry's text among the words that `text_of` has, -1 when it is none.
static int read_word(const YamlNode *root, const char *key, int count,
                     const char *(*text_of)(int)) {
    const YamlNode *node = yaml_node_find(root, key);
    for (int i = 0; i < count && node != NULL && node->text != NULL; i++) {
        if (strcmp(node->text, text_of(i)) == 0) {
            return i;
        }
    }
    return -1;
}

static const char *state_text(int state) {
    return run_state_text((RunState)state);
}

static const char *stage_text(int stage) {
    return run_stage_text((RunStage)stage);
}

// The rows of a list that may be absent; false when the entry is no list.
static bool find_list(const YamlNode *root, const char *key, const YamlNode **ret) {
    static const YamlNode NONE = {.kind = YAML_IS_LIST};
    const YamlNode *node = yaml_node_find(root, key);
    *ret = node != NULL ? node : &NONE;
    return (*ret)->kind == YAML_IS_LIST;
}

// What an older program did not know yet may be absent.
static Status read_tree(const char *name, const YamlNode *root, Snapshot **ret) {
    const YamlNode *workers, *models;
    int state = read_word(root, "state", RUN_DONE + 1, state_text);
    int stage = read_word(root, "stage", AT_REPORT + 1, stage_text);
    if (!find_list(root, "worker_list", &workers) || !find_list(root, "model_list", &models) ||
        state < 0 || stage < 0 || yaml_node_find(root, "written_ms") == NULL) {
        return status_set(STATUS_FORMAT, "%s is not well formed", name);
    }
    Snapshot *snapshot = snapshot_new(workers->count, models->count);
    if (snapshot == NULL) {
        return STATUS_MEMORY;
    }
    snapshot->state = (RunState)state;
    snapshot->stage = (RunStage)stage;
    snapshot->worker_count = workers->count;
    snapshot->model_count = models->count;
    if (!fields_read_present(FIELDS_OF(RUN), root, snapshot) ||
        !fields_read_list(workers, FIELDS_OF(WORKER), snapshot->worker_list,
                          sizeof(SnapshotWorker)) ||
        !fields_read_list(models, FIELDS_OF(MODEL), snapshot->model_list, sizeof(SnapshotModel))) {
        snapshot_free(snapshot);
        return status_set(STATUS_FORMAT, "%s is not well formed", name);
    }
    *ret = snapshot;
    return STATUS_OK;
}

Status snapshot_from_json(const char *name, const char *bytes, size_t size, Snapshot **ret) {
    YamlNode *root = NULL;
    Status status = yaml_tree_read(name, bytes, size, &root, NULL);
    if (status == STATUS_OK) {
        status = read_tree(name, root, ret);
    }
    yaml_tree_free(root);
    return status;
}
