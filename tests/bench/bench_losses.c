// SPDX-License-Identifier: Apache-2.0
//
// What it costs when a process goes: how soon the task of a killed and of a stopped worker is with
// another, how soon a coordinator that was killed with many tasks in its journal serves again and
// has its workers back, and whether anything that it had acknowledged is lost or counts twice.
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "tests/bench/bench.h"
#include "tests/bench/client.h"
#include "tests/bench/empty.h"

enum {
    KILLS = 20, // of workers, for each run that was asked for
    WAIT_MS = 60000,
    TASKS_MS = 600000,
    WORKERS = 2,
    MORE_PERCENT = 25, // tasks that are left when the coordinator is killed
};

typedef struct Scene {
    Bench *bench;
    Fingerprint fingerprint;
    EmptyTold *told;
    ClientTold *holder, *other; // who is lost, and who gets its task
    char folder[LIMIT_PATH_BYTES];
    char endpoint[CHANNEL_ADDRESS_BYTES];
    pid_t coordinator;
} Scene;

static Status open_scene(Scene *scene, Bench *bench) {
    *scene = (Scene){.bench = bench,
                     .told = process_share(sizeof(EmptyTold)),
                     .holder = process_share(sizeof(ClientTold)),
                     .other = process_share(sizeof(ClientTold))};
    Status status = scene->told != NULL && scene->holder != NULL && scene->other != NULL
                        ? bench_path(bench, "losses", scene->folder)
                        : STATUS_MEMORY;
    return status == STATUS_OK ? fingerprint_make(&scene->fingerprint) : status;
}

static void close_scene(Scene *scene) {
    process_end(&scene->coordinator, SIGKILL);
    process_unshare(scene->told, sizeof *scene->told);
    process_unshare(scene->holder, sizeof *scene->holder);
    process_unshare(scene->other, sizeof *scene->other);
}

static Status start_coordinator(Scene *scene, const EmptyConfig *pattern) {
    EmptyConfig config = *pattern;
    config.bench = scene->bench;
    config.fingerprint = &scene->fingerprint;
    config.run = scene->folder;
    config.bind = "tcp://127.0.0.1:0";
    config.told = scene->told;
    memset(scene->told, 0, sizeof *scene->told);
    return empty_start(&config, &scene->coordinator, scene->endpoint);
}

static Status start_anew(Scene *scene, const EmptyConfig *pattern) {
    Status status = file_is_folder(scene->folder) ? file_remove_tree(scene->folder) : STATUS_OK;
    return status == STATUS_OK ? start_coordinator(scene, pattern) : status;
}

static Status start_client(Scene *scene, ClientTold *told, bool answers, pid_t *ret_pid) {
    ClientConfig config = {.bench = scene->bench,
                           .fingerprint = &scene->fingerprint,
                           .endpoint = scene->endpoint,
                           .answers = answers,
                           .told = told};
    memset(told, 0, sizeof *told);
    Status status = client_start(&config, ret_pid);
    return status == STATUS_OK ? process_wait(&told->welcomes, 1, WAIT_MS, "a worker") : status;
}

static Status grant(ClientTold *told) {
    uint32_t credits = atomic_fetch_add(&told->credits, 1) + 1;
    return process_wait(&told->granted, credits, WAIT_MS, "a credit");
}

typedef struct Loss {
    int signal_number;
    bool has_idle; // another worker waits for a task meanwhile, else it comes once one is lost
} Loss;

// A worker takes a task and goes, another gets it.
static Status lose_worker(Scene *scene, const Loss *loss, double *ret_ms) {
    pid_t holder = 0;
    uint32_t got = atomic_load(&scene->other->tasks);
    Status status = start_client(scene, scene->holder, false, &holder);
    if (status == STATUS_OK) {
        status = grant(scene->holder);
    }
    if (status == STATUS_OK) {
        atomic_fetch_add(&scene->told->wanted, 1);
        status = process_wait(&scene->holder->tasks, 1, WAIT_MS, "a task");
    }
    if (status == STATUS_OK && loss->has_idle) {
        status = grant(scene->other);
    }
    uint32_t left = atomic_load(&scene->told->left);
    int64_t since_ns = clock_ns();
    if (status == STATUS_OK) {
        kill(holder, loss->signal_number);
    }
    if (status == STATUS_OK && !loss->has_idle) {
        status = process_wait(&scene->told->left, left + 1, WAIT_MS, "the loss of a worker");
        status = status == STATUS_OK ? grant(scene->other) : status;
    }
    if (status == STATUS_OK) {
        status = process_wait(&scene->other->tasks, got + 1, WAIT_MS, "a lost worker's task");
        *ret_ms = (double)(atomic_load(&scene->other->task_ns) - since_ns) / 1e6;
    }
    process_end(&holder, SIGKILL);
    return status;
}

static Status lose_workers(Scene *scene, const Loss *loss, int32_t turns, double *ret_ms) {
    EmptyConfig config = {.mode = EMPTY_ASKED, .tasks = 1000000};
    pid_t other = 0;
    Status status = start_anew(scene, &config);
    if (status == STATUS_OK) {
        status = start_client(scene, scene->other, true, &other);
    }
    for (int32_t t = 0; t < turns && status == STATUS_OK; t++) {
        status = lose_worker(scene, loss, &ret_ms[t]);
    }
    process_end(&other, SIGKILL);
    process_end(&scene->coordinator, SIGKILL);
    return status;
}

static void loss_figure(Bench *bench, const char *name, const char *what, double goal_ms,
                        double *ms, int32_t turns) {
    Figure *figure = bench_goal(bench, name, what, "ms", 0, "goal", goal_ms);
    figure->value = range_of(ms, turns);
    figure->ratio = (Range){figure->value.least / goal_ms, figure->value.median / goal_ms,
                            figure->value.most / goal_ms};
    figure->turns = turns;
}

static Status measure_loss(Scene *scene, const Loss *loss, int32_t turns, const char *name,
                           const char *what, double goal_ms) {
    double *ms = mem_new((size_t)turns, sizeof *ms);
    Status status = ms != NULL ? lose_workers(scene, loss, turns, ms) : STATUS_MEMORY;
    if (status == STATUS_OK) {
        loss_figure(scene->bench, name, what, goal_ms, ms, turns);
    }
    mem_free(ms);
    return status;
}

// A stopped worker's task is soon doubled where another is idle: the loss by itself takes longer.
static Status measure_workers(Scene *scene) {
    int32_t runs = scene->bench->runs;
    Loss killed = {SIGKILL, true}, stopped_idle = {SIGSTOP, true}, stopped = {SIGSTOP, false};
    Status status = measure_loss(scene, &killed, KILLS * runs, "worker_killed",
                                 "a killed worker's task, until another has it", 100);
    if (status == STATUS_OK) {
        status = measure_loss(scene, &stopped_idle, runs, "worker_stopped_idle",
                              "a stopped worker's task, another being idle", 3500);
    }
    return status == STATUS_OK ? measure_loss(scene, &stopped, runs, "worker_stopped",
                                              "a stopped worker's task, all others busy", 3500)
                               : status;
}

// ---- the coordinator ----

typedef struct Tally {
    uint32_t acknowledged, lost, twice;
} Tally;

static Tally tally_of(const unsigned char *marks, uint32_t tasks) {
    Tally tally = {0};
    for (uint32_t i = 0; i < tasks; i++) {
        bool was_durable = (marks[i] & EMPTY_DURABLE) != 0;
        tally.acknowledged += was_durable;
        tally.twice += (marks[i] & EMPTY_TWICE) != 0;
    }
    return tally;
}

// What the killed coordinator had told to be durable must be found by the next.
static uint32_t lost_of(const unsigned char *before, const unsigned char *marks, uint32_t tasks) {
    uint32_t lost = 0;
    for (uint32_t i = 0; i < tasks; i++) {
        lost += (before[i] & EMPTY_DURABLE) != 0 && (marks[i] & EMPTY_FOUND) == 0;
    }
    return lost;
}

typedef struct Restart {
    uint32_t tasks;
    unsigned char *marks, *before; // (tasks) shared; as the killed coordinator left them
    double serving_ms, back_ms;
    Tally tally;
} Restart;

static Status kill_coordinator(Scene *scene, Restart *restart, pid_t workers[WORKERS]) {
    EmptyConfig config = {.mode = EMPTY_AT_ONCE,
                          .tasks = restart->tasks,
                          .workers = WORKERS,
                          .stays = true,
                          .marks = restart->marks};
    Status status = start_anew(scene, &config);
    for (int w = 0; w < WORKERS && status == STATUS_OK; w++) {
        status = process_start_worker(scene->bench, scene->endpoint, &workers[w]);
    }
    if (status == STATUS_OK) {
        status = process_wait(&scene->told->durable, (uint32_t)scene->bench->tasks, TASKS_MS,
                              "many durable tasks");
    }
    process_end(&scene->coordinator, SIGKILL);
    memcpy(restart->before, restart->marks, restart->tasks);
    return status;
}

// One that looks for the coordinator without a pause tells when it serves, the workers that lost it
// when they are back.
static Status start_again(Scene *scene, Restart *restart) {
    EmptyConfig config = {.mode = EMPTY_AT_ONCE,
                          .tasks = restart->tasks,
                          .workers = WORKERS + 1,
                          .stays = true,
                          .marks = restart->marks};
    ClientConfig looks = {.bench = scene->bench,
                          .fingerprint = &scene->fingerprint,
                          .endpoint = scene->endpoint,
                          .told = scene->other};
    pid_t client = 0;
    memset(scene->other, 0, sizeof *scene->other);
    Status status = client_start(&looks, &client);
    int64_t since_ns = clock_ns();
    if (status == STATUS_OK) {
        status = start_coordinator(scene, &config);
    }
    if (status == STATUS_OK) {
        status = process_wait(&scene->told->workers, WORKERS + 1, WAIT_MS, "workers to come back");
    }
    if (status == STATUS_OK) {
        status = process_wait(&scene->other->welcomes, 1, WAIT_MS, "a welcome");
    }
    restart->serving_ms = (double)(atomic_load(&scene->other->welcome_ns) - since_ns) / 1e6;
    restart->back_ms = (double)(atomic_load(&scene->told->joined_ns) - since_ns) / 1e6;
    atomic_store(&scene->told->may_end, 1);
    if (status == STATUS_OK) {
        status = process_join(&scene->coordinator, TASKS_MS);
    }
    process_end(&client, SIGKILL);
    return status;
}

static Status run_restart(Scene *scene, Restart *restart) {
    pid_t workers[WORKERS] = {0};
    memset(restart->marks, 0, restart->tasks);
    Status status = kill_coordinator(scene, restart, workers);
    if (status == STATUS_OK) {
        status = start_again(scene, restart);
    }
    for (int w = 0; w < WORKERS; w++) {
        process_end(&workers[w], SIGTERM);
    }
    restart->tally = tally_of(restart->before, restart->tasks);
    restart->tally.twice = tally_of(restart->marks, restart->tasks).twice;
    restart->tally.lost = lost_of(restart->before, restart->marks, restart->tasks);
    uint64_t finished = 0;
    if (status == STATUS_OK) {
        status = empty_count(scene->folder, &finished);
    }
    return status == STATUS_OK && finished != restart->tasks
               ? status_set(STATUS_FORMAT, "the journal has %llu of %u empty tasks",
                            (unsigned long long)finished, restart->tasks)
               : status;
}

static Status measure_restarts(Scene *scene) {
    Bench *bench = scene->bench;
    double serving_ms[100], back_ms[100];
    Tally sum = {0};
    uint32_t tasks = (uint32_t)((int64_t)bench->tasks * (100 + MORE_PERCENT) / 100);
    Restart restart = {.tasks = tasks, .marks = process_share(tasks), .before = mem_new(tasks, 1)};
    Status status = restart.marks != NULL && restart.before != NULL ? STATUS_OK : STATUS_MEMORY;
    for (int32_t r = 0; r < bench->runs && status == STATUS_OK; r++) {
        status = run_restart(scene, &restart);
        serving_ms[r] = restart.serving_ms;
        back_ms[r] = restart.back_ms;
        sum.acknowledged += restart.tally.acknowledged;
        sum.lost += restart.tally.lost;
        sum.twice += restart.tally.twice;
    }
    process_unshare(restart.marks, tasks);
    mem_free(restart.before);
    if (status == STATUS_OK) {
        loss_figure(bench, "restart_serving", "a killed coordinator, until it serves again", 1000,
                    serving_ms, bench->runs);
        loss_figure(bench, "restart_back", "and until its workers are back", 5000, back_ms,
                    bench->runs);
        bench_goal(bench, "acknowledged_lost", "acknowledged tasks that are lost", "", sum.lost,
                   "acknowledged when it was killed", sum.acknowledged);
        bench_goal(bench, "acknowledged_twice", "and that count twice", "", sum.twice,
                   "acknowledged when it was killed", sum.acknowledged);
    }
    return status;
}

Status bench_losses(Bench *bench) {
    Scene scene;
    Status status = open_scene(&scene, bench);
    if (status == STATUS_OK) {
        status = measure_workers(&scene);
    }
    if (status == STATUS_OK) {
        status = measure_restarts(&scene);
    }
    close_scene(&scene);
    return status;
}
