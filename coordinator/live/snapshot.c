// SPDX-License-Identifier: Apache-2.0
#include "coordinator/live/snapshot.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

static const char *const STATES[] = {"running", "stopped", "failed", "done"};
static const char *const STAGES[] = {"extract", "explore", "train", "score", "pictures", "report"};

const char *run_state_text(RunState state) {
    return STATES[state];
}

const char *run_stage_text(RunStage stage) {
    return STAGES[stage];
}

Snapshot *snapshot_new(uint32_t workers, uint32_t models) {
    Snapshot *snapshot = mem_new(1, sizeof *snapshot);
    if (snapshot == NULL) {
        return NULL;
    }
    // One more, so that no list is empty.
    snapshot->worker_list = mem_new((size_t)workers + 1, sizeof *snapshot->worker_list);
    snapshot->model_list = mem_new((size_t)models + 1, sizeof *snapshot->model_list);
    snapshot->seconds_left = snapshot->loss = NAN;
    if (snapshot->worker_list == NULL || snapshot->model_list == NULL) {
        snapshot_free(snapshot);
        return NULL;
    }
    return snapshot;
}

void snapshot_free(Snapshot *snapshot) {
    if (snapshot != NULL) {
        mem_free(snapshot->worker_list);
        mem_free(snapshot->model_list);
        mem_free(snapshot);
    }
}

Snapshot *snapshot_copy(const Snapshot *snapshot) {
    Snapshot *copy =
        snapshot_new((uint32_t)snapshot->worker_count, (uint32_t)snapshot->model_count);
    if (copy != NULL) {
        SnapshotWorker *workers = copy->worker_list;
        SnapshotModel *models = copy->model_list;
        *copy = *snapshot;
        copy->worker_list = workers;
        copy->model_list = models;
        memcpy(workers, snapshot->worker_list, snapshot->worker_count * sizeof *workers);
        memcpy(models, snapshot->model_list, snapshot->model_count * sizeof *models);
    }
    return copy;
}

SnapshotStage snapshot_stage(const Snapshot *s, RunStage stage) {
    SnapshotStage stages[SNAPSHOT_STAGES] = {
        {"extract", "clips read", "clips", s->clips_read, s->clips, s->extract_seconds,
         s->extract_per_second, NAN},
        {"explore", "clips explored", "clips", s->clips_explored, s->clips_to_explore,
         s->explore_seconds, s->explore_per_second, NAN},
        {"train", "epochs trained", "epochs", s->epochs_trained, s->epochs, s->train_seconds,
         s->train_per_second, NAN},
        {"score", "clips scored", "clips", s->clips_scored, s->clips_to_score, s->score_seconds,
         s->score_per_second, NAN},
        {"pictures", "pictures made", "pictures", s->pictures_made, s->pictures,
         s->pictures_seconds, s->pictures_per_second, NAN}};
    SnapshotStage one = stages[stage];
    // A later stage goes as fast as what it waits for.
    if (stage == s->stage && one.done < one.total && one.per_second > 0) {
        one.seconds_left = (double)(one.total - one.done) / one.per_second;
    }
    return one;
}

bool snapshot_has_stage(const Snapshot *snapshot, RunStage stage) {
    return stage == AT_EXTRACT || snapshot_stage(snapshot, stage).total > 0;
}

// Characters that text_fit lets pass and that steer a terminal, or that YAML does not know: C1
// controls, byte order marks and U+FFFE, U+FFFF.
static size_t odd_bytes(const unsigned char *c) {
    if (*c < 0x20 || *c == 0x7F) {
        return 1;
    }
    if (c[0] == 0xC2 && c[1] >= 0x80 && c[1] < 0xA0) {
        return 2;
    }
    bool is_mark = c[0] == 0xEF && c[1] == 0xBB && c[2] == 0xBF;
    bool is_none = c[0] == 0xEF && c[1] == 0xBF && (c[2] == 0xBE || c[2] == 0xBF);
    return is_mark || is_none ? 3 : 0;
}

void snapshot_text(char *out, size_t size, const char *text) {
    text_fit(out, size, text);
    for (unsigned char *c = (unsigned char *)out; *c != '\0';) {
        size_t odd = odd_bytes(c);
        memset(c, '?', odd);
        c += odd > 0 ? odd : 1;
    }
}
