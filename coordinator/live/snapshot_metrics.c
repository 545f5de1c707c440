// SPDX-License-Identifier: Apache-2.0
//
// Names as Prometheus wants them: base units, counters with _total, gauges without. All series of a
// metric stand together under one HELP and TYPE.
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "coordinator/live/snapshot.h"

typedef struct Metric {
    const char *name; // without "auscult_"
    const char *type; // "gauge" or "counter"
    const char *help;
} Metric;

static void head(const Metric *metric, Buffer *out) {
    buffer_format(out, "# HELP auscult_%s %s\n# TYPE auscult_%s %s\n", metric->name, metric->help,
                  metric->name, metric->type);
}

static void label(const char *key, const char *value, Buffer *out) {
    buffer_format(out, "{%s=\"", key);
    for (; *value != '\0'; value++) {
        if (*value == '\n') {
            buffer_text(out, "\\n");
        } else {
            buffer_text(out, *value == '\\' || *value == '"' ? "\\" : "");
            buffer_append(out, value, 1);
        }
    }
    buffer_text(out, "\"}");
}

static void value(double number, Buffer *out) {
    if (isnan(number)) {
        buffer_text(out, " NaN\n");
    } else {
        buffer_format(out, " %.10g\n", number);
    }
}

static void labelled(const Metric *metric, const char *key, const char *text, double number,
                     Buffer *out) {
    buffer_format(out, "auscult_%s", metric->name);
    label(key, text, out);
    value(number, out);
}

// ---- of the run ----

static const struct {
    Metric metric;
    size_t offset; // of the uint64_t in Snapshot
} COUNTS[] = {
    {{"clips_left_out", "gauge", "Clips that cannot be used."}, offsetof(Snapshot, clips_left_out)},
    {{"tasks_waiting", "gauge", "Tasks that wait for a worker."},
     offsetof(Snapshot, tasks_waiting)},
    {{"tasks_held", "gauge", "Tasks that workers hold."}, offsetof(Snapshot, tasks_held)},
    {{"tasks_done_total", "counter", "Tasks whose answer is durable, of this incarnation."},
     offsetof(Snapshot, tasks_done)},
    {{"retries_total", "counter", "Tasks given out again, of this incarnation."},
     offsetof(Snapshot, retries)},
    {{"poison_total", "counter", "Tasks that workers died on, of this incarnation."},
     offsetof(Snapshot, poison)},
    {{"alarms_total", "counter", "Answers of one worker that another contradicted."},
     offsetof(Snapshot, alarms)},
    {{"incarnation", "gauge", "How often the run was begun or continued."},
     offsetof(Snapshot, incarnation)},
};

static void run_counts(const Snapshot *snapshot, Buffer *out) {
    for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++) {
        uint64_t count;
        memcpy(&count, (const char *)snapshot + COUNTS[i].offset, sizeof count);
        head(&COUNTS[i].metric, out);
        buffer_format(out, "auscult_%s %llu\n", COUNTS[i].metric.name, (unsigned long long)count);
    }
}

static void times(const Snapshot *snapshot, Buffer *out) {
    static const Metric BEGAN = {"start_time_seconds", "gauge",
                                 "When this incarnation began, since 1970."};
    static const Metric WRITTEN = {"snapshot_time_seconds", "gauge",
                                   "When these numbers were taken, since 1970."};
    head(&BEGAN, out);
    buffer_format(out, "auscult_%s %.3f\n", BEGAN.name, (double)snapshot->began_ms / 1e3);
    head(&WRITTEN, out);
    buffer_format(out, "auscult_%s %.3f\n", WRITTEN.name, (double)snapshot->written_ms / 1e3);
}

static void states(const Snapshot *snapshot, Buffer *out) {
    static const Metric STATE = {"run_state", "gauge", "1 for the state that the run is in."};
    static const Metric STAGE = {"run_stage", "gauge", "1 for the first stage that is not done."};
    static const Metric INFO = {"build_info", "gauge", "The program's version; always 1."};
    head(&INFO, out);
    labelled(&INFO, "version", AUSCULT_VERSION, 1, out);
    head(&STATE, out);
    for (int s = RUN_RUNNING; s <= RUN_DONE; s++) {
        labelled(&STATE, "state", run_state_text((RunState)s), s == (int)snapshot->state, out);
    }
    head(&STAGE, out);
    for (int s = AT_EXTRACT; s <= AT_REPORT; s++) {
        labelled(&STAGE, "stage", run_stage_text((RunStage)s), s == (int)snapshot->stage, out);
    }
}

static double stage_done(const SnapshotStage *stage) {
    return (double)stage->done;
}

static double stage_items(const SnapshotStage *stage) {
    return (double)stage->total;
}

static double stage_seconds(const SnapshotStage *stage) {
    return stage->seconds;
}

static double stage_rate(const SnapshotStage *stage) {
    return stage->per_second;
}

static double stage_left(const SnapshotStage *stage) {
    return stage->seconds_left;
}

static void stages(const Snapshot *snapshot, Buffer *out) {
    static const struct {
        Metric metric;
        double (*of)(const SnapshotStage *stage);
    } METRICS[] = {
        {{"stage_items", "gauge", "What a stage has to do: clips, epochs, pictures."}, stage_items},
        {{"stage_items_done", "gauge", "What of it is done."}, stage_done},
        {{"stage_items_per_second", "gauge", "How fast, in this incarnation."}, stage_rate},
        {{"stage_seconds", "gauge", "Time under way in this incarnation."}, stage_seconds},
        {{"stage_left_seconds", "gauge", "Time left at that rate; NaN: not known."}, stage_left},
    };
    for (size_t m = 0; m < sizeof METRICS / sizeof METRICS[0]; m++) {
        head(&METRICS[m].metric, out);
        for (int s = 0; s < SNAPSHOT_STAGES; s++) {
            SnapshotStage stage = snapshot_stage(snapshot, (RunStage)s);
            labelled(&METRICS[m].metric, "stage", stage.name, METRICS[m].of(&stage), out);
        }
    }
}

// ---- of models and workers ----

static void models(const Snapshot *snapshot, Buffer *out) {
    static const Metric MODELS = {"models", "gauge", "Models by what they are at."};
    static const Metric LOSS = {"model_loss", "gauge",
                                "Training loss of the models under training, as last told."};
    uint64_t known = snapshot->models_training + snapshot->models_stranded + snapshot->models_done +
                     snapshot->models_failed;
    head(&MODELS, out);
    labelled(&MODELS, "state", "training", (double)snapshot->models_training, out);
    labelled(&MODELS, "state", "stranded", (double)snapshot->models_stranded, out);
    labelled(&MODELS, "state", "done", (double)snapshot->models_done, out);
    labelled(&MODELS, "state", "failed", (double)snapshot->models_failed, out);
    labelled(&MODELS, "state", "other",
             known < snapshot->models ? (double)(snapshot->models - known) : 0, out);
    head(&LOSS, out);
    for (uint64_t m = 0; m < snapshot->model_count; m++) {
        const SnapshotModel *model = &snapshot->model_list[m];
        if (strcmp(model->state, "training") == 0 && !isnan(model->loss)) {
            labelled(&LOSS, "model", model->label, model->loss, out);
        }
    }
}

static double worker_leases(const SnapshotWorker *worker) {
    return (double)worker->leases;
}

static double worker_done(const SnapshotWorker *worker) {
    return (double)worker->tasks_done;
}

static double worker_silent(const SnapshotWorker *worker) {
    return worker->silent_seconds;
}

static double worker_busy(const SnapshotWorker *worker) {
    return worker->busy_share;
}

static void workers(const Snapshot *snapshot, Buffer *out) {
    static const Metric WORKERS = {"workers", "gauge", "Workers that are connected."};
    static const Metric IDLE = {"workers_idle", "gauge", "Of them without anything to do."};
    static const struct {
        Metric metric;
        double (*of)(const SnapshotWorker *worker);
    } METRICS[] = {
        {{"worker_tasks_held", "gauge", "Tasks that the worker holds."}, worker_leases},
        {{"worker_tasks_done_total", "counter", "Its answers, in this session."}, worker_done},
        {{"worker_silent_seconds", "gauge", "Time since its last sign of life."}, worker_silent},
        {{"worker_busy_ratio", "gauge", "Share of its session with something to do."}, worker_busy},
    };
    head(&WORKERS, out);
    buffer_format(out, "auscult_workers %llu\n", (unsigned long long)snapshot->workers);
    head(&IDLE, out);
    buffer_format(out, "auscult_workers_idle %llu\n", (unsigned long long)snapshot->workers_idle);
    for (size_t m = 0; m < sizeof METRICS / sizeof METRICS[0]; m++) {
        head(&METRICS[m].metric, out);
        for (uint64_t w = 0; w < snapshot->worker_count; w++) {
            const SnapshotWorker *worker = &snapshot->worker_list[w];
            labelled(&METRICS[m].metric, "worker", worker->name, METRICS[m].of(worker), out);
        }
    }
}

void snapshot_metrics(const Snapshot *snapshot, Buffer *out) {
    states(snapshot, out);
    times(snapshot, out);
    run_counts(snapshot, out);
    stages(snapshot, out);
    models(snapshot, out);
    workers(snapshot, out);
}
