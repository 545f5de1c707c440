// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <string.h>

#include "coordinator/live/snapshot.h"
#include "coordinator/live/words.h"

enum {
    BAR_CELLS = 20,     // of a stage's bar
    WORKERS_SHOWN = 32, // on a terminal, which does not scroll
    MODELS_SHOWN = 16,
};

static void bar(const SnapshotStage *stage, char out[BAR_CELLS + 1]) {
    double share = stage->total > 0 ? (double)stage->done / (double)stage->total : 0;
    int full = (int)floor(share * BAR_CELLS);
    for (int i = 0; i < BAR_CELLS; i++) {
        out[i] = i < full ? '#' : '.';
    }
    out[BAR_CELLS] = '\0';
}

// "clips read      12 of 40  [######..............] 3.1/s, 9 s left"
static void print_stage(const SnapshotStage *stage, bool is_running, Buffer *out) {
    char cells[BAR_CELLS + 1], left[WORDS_BYTES], rate[WORDS_BYTES];
    buffer_format(out, "  %-15s %llu of %llu", stage->text, (unsigned long long)stage->done,
                  (unsigned long long)stage->total);
    if (is_running && stage->done < stage->total) {
        bar(stage, cells);
        words_rate(rate, stage->per_second);
        words_time(left, stage->seconds_left);
        buffer_format(out, "  [%s]%s%s%s%s%s", cells, rate[0] != '\0' ? " " : "", rate,
                      left[0] != '\0' ? ", " : "", left, left[0] != '\0' ? " left" : "");
    }
    buffer_text(out, "\n");
}

static void print_workers(const Snapshot *snapshot, Buffer *out) {
    if (snapshot->worker_count == 0) {
        return;
    }
    buffer_format(out, "\n  %-28s %-8s %5s %8s %6s  %s\n", "worker", "state", "busy", "answers",
                  "heard", "at");
    for (uint64_t w = 0; w < snapshot->worker_count && w < WORKERS_SHOWN; w++) {
        const SnapshotWorker *worker = &snapshot->worker_list[w];
        char heard[WORDS_BYTES];
        words_short_time(heard, worker->silent_seconds);
        buffer_format(out, "  %-28.28s %-8s %4.0f%% %8llu %6s  %.60s", worker->name, worker->state,
                      100 * worker->busy_share, (unsigned long long)worker->tasks_done, heard,
                      worker->work);
        if (!isnan(worker->loss)) {
            buffer_format(out, ", loss %.4g", worker->loss);
        }
        buffer_text(out, "\n");
    }
    if (snapshot->worker_count > WORKERS_SHOWN) {
        buffer_format(out, "  and %llu more\n",
                      (unsigned long long)(snapshot->worker_count - WORKERS_SHOWN));
    }
}

static bool is_at_work(const SnapshotModel *model) {
    return strcmp(model->state, "training") == 0;
}

static void print_models(const Snapshot *snapshot, Buffer *out) {
    int shown = 0;
    for (uint64_t m = 0; m < snapshot->model_count && shown < MODELS_SHOWN; m++) {
        const SnapshotModel *model = &snapshot->model_list[m];
        if (!is_at_work(model)) {
            continue;
        }
        buffer_text(out, shown++ == 0 ? "\n" : "");
        buffer_format(out, "  %-28.60s %-8s %llu of %llu epochs", model->label, model->state,
                      (unsigned long long)model->epochs_trained, (unsigned long long)model->epochs);
        if (!isnan(model->loss)) {
            buffer_format(out, ", loss %.4g", model->loss);
        }
        buffer_text(out, "\n");
    }
}

static void print_trouble(const Snapshot *snapshot, Buffer *out) {
    buffer_format(out, "  %-15s %llu clips, %llu models\n", "left out",
                  (unsigned long long)snapshot->clips_left_out,
                  (unsigned long long)snapshot->models_failed);
    if (snapshot->retries + snapshot->poison + snapshot->alarms > 0) {
        buffer_format(out, "  %-15s retries %llu, poison %llu, alarms %llu\n", "trouble",
                      (unsigned long long)snapshot->retries, (unsigned long long)snapshot->poison,
                      (unsigned long long)snapshot->alarms);
    }
}

void snapshot_print(const Snapshot *snapshot, Buffer *out) {
    bool is_running = snapshot->state == RUN_RUNNING;
    if (is_running && snapshot->models_stranded > 0) {
        buffer_format(out, "  %-15s %llu model%s, for a worker that can read the data\n", "waiting",
                      (unsigned long long)snapshot->models_stranded,
                      snapshot->models_stranded == 1 ? "" : "s");
    }
    for (int s = 0; s < SNAPSHOT_STAGES; s++) {
        if (snapshot_has_stage(snapshot, (RunStage)s)) {
            SnapshotStage stage = snapshot_stage(snapshot, (RunStage)s);
            print_stage(&stage, is_running, out);
        }
    }
    print_trouble(snapshot, out);
    if (is_running) {
        print_models(snapshot, out);
        print_workers(snapshot, out);
    }
}

void snapshot_line(const Snapshot *snapshot, Buffer *out) {
    if (snapshot->state != RUN_RUNNING || snapshot->stage == AT_REPORT) {
        buffer_format(out, "%s\n",
                      snapshot->state == RUN_RUNNING ? "report   writing the results"
                                                     : run_state_text(snapshot->state));
        return;
    }
    SnapshotStage stage = snapshot_stage(snapshot, snapshot->stage);
    char rate[WORDS_BYTES], left[WORDS_BYTES];
    words_rate(rate, stage.per_second);
    words_time(left, stage.seconds_left);
    buffer_format(out, "%-8s %llu/%llu %s", stage.name, (unsigned long long)stage.done,
                  (unsigned long long)stage.total, stage.unit);
    if (rate[0] != '\0') {
        buffer_format(out, ", %s", rate);
    }
    if (left[0] != '\0') {
        buffer_format(out, ", %s left", left);
    }
    buffer_format(out, ", %llu worker%s", (unsigned long long)snapshot->workers,
                  snapshot->workers == 1 ? "" : "s");
    if (!isnan(snapshot->loss)) {
        buffer_format(out, ", loss %.4g", snapshot->loss);
    }
    buffer_text(out, "\n");
}
