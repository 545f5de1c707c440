// SPDX-License-Identifier: Apache-2.0
//
// What the coordinator's memory goes to: tasks that wait and, over a soak, workers that come and
// go.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "tests/bench/bench.h"
#include "tests/bench/client.h"
#include "tests/bench/empty.h"
#include "tests/bench/plan_memory.h"

enum {
    WAIT_MS = 120000,
    SOAK_PERCENT_WARM = 20, // of a soak, after which memory is expected to stay
    SOAK_WORKERS = 2,
    SOAK_TASKS_PER_TURN = 2, // few, since what is finished is remembered: that is no leak
};

typedef struct Hall {
    Bench *bench;
    Fingerprint fingerprint;
    EmptyTold *told;
    ClientTold *clients;
    char folder[LIMIT_PATH_BYTES];
    char endpoint[CHANNEL_ADDRESS_BYTES];
    pid_t coordinator;
} Hall;

static Status open_hall(Hall *hall, Bench *bench) {
    *hall = (Hall){.bench = bench,
                   .told = process_share(sizeof(EmptyTold)),
                   .clients = process_share(sizeof(ClientTold))};
    Status status = hall->told != NULL && hall->clients != NULL
                        ? bench_path(bench, "capacity", hall->folder)
                        : STATUS_MEMORY;
    return status == STATUS_OK ? fingerprint_make(&hall->fingerprint) : status;
}

static void close_hall(Hall *hall) {
    process_end(&hall->coordinator, SIGKILL);
    process_unshare(hall->told, sizeof *hall->told);
    process_unshare(hall->clients, sizeof *hall->clients);
}

static Status start(Hall *hall, EmptyMode mode, uint32_t tasks) {
    EmptyConfig config = {.bench = hall->bench,
                          .fingerprint = &hall->fingerprint,
                          .run = hall->folder,
                          .bind = "tcp://127.0.0.1:0",
                          .mode = mode,
                          .tasks = tasks,
                          .told = hall->told};
    memset(hall->told, 0, sizeof *hall->told);
    memset(hall->clients, 0, sizeof *hall->clients);
    Status status = file_is_folder(hall->folder) ? file_remove_tree(hall->folder) : STATUS_OK;
    return status == STATUS_OK ? empty_start(&config, &hall->coordinator, hall->endpoint) : status;
}

static Status measure_waiting(Hall *hall) {
    uint32_t tasks = (uint32_t)hall->bench->tasks;
    Status status = start(hall, EMPTY_AT_ONCE, tasks);
    process_end(&hall->coordinator, SIGKILL);
    if (status == STATUS_OK) {
        bench_goal(hall->bench, "memory_waiting_task", "coordinator's memory of a waiting task",
                   "B", hall->told->waiting_bytes / tasks, "goal", 100);
    }
    return status;
}

static Status measure_plan(Hall *hall) {
    char folder[LIMIT_PATH_BYTES];
    double bytes;
    Status status = bench_path(hall->bench, "plan", folder);
    if (status == STATUS_OK) {
        status = plan_memory(hall->bench, folder, &bytes);
    }
    if (status == STATUS_OK) {
        bench_goal(hall->bench, "memory_plan_task", "the same of a run's own plan", "B", bytes,
                   "goal", 100);
    }
    return status;
}

Status bench_capacity(Bench *bench) {
    Hall hall;
    Status status = open_hall(&hall, bench);
    if (status == STATUS_OK) {
        status = measure_waiting(&hall);
    }
    if (status == STATUS_OK) {
        status = measure_plan(&hall);
    }
    close_hall(&hall);
    return status;
}

// ---- the soak ----

// Each turn a worker joins, another that has worked since the turn before is ended, asked or
// killed in turns, and tasks are done meanwhile.
static Status soak_turn(Hall *hall, pid_t *worker, uint32_t turn) {
    uint32_t before = atomic_load(&hall->told->durable);
    process_end(worker, turn % 2 == 0 ? SIGTERM : SIGKILL);
    Status status = process_start_worker(hall->bench, hall->endpoint, worker);
    atomic_fetch_add(&hall->told->wanted, SOAK_TASKS_PER_TURN);
    return status == STATUS_OK ? process_wait(&hall->told->durable, before + SOAK_TASKS_PER_TURN,
                                              WAIT_MS, "tasks of a soak")
                               : status;
}

Status bench_soak(Bench *bench) {
    Hall hall;
    pid_t workers[SOAK_WORKERS] = {0};
    Status status = open_hall(&hall, bench);
    if (status == STATUS_OK) {
        status = start(&hall, EMPTY_ASKED, 10000000);
    }
    int64_t since_ms = clock_ms(), whole_ms = (int64_t)bench->minutes * 60000;
    double warm_bytes = 0;
    uint32_t turns = 0;
    for (int64_t now_ms = since_ms; status == STATUS_OK && now_ms < since_ms + whole_ms;
         now_ms = clock_ms()) {
        status = soak_turn(&hall, &workers[turns % SOAK_WORKERS], turns);
        if (warm_bytes == 0 && now_ms - since_ms > whole_ms * SOAK_PERCENT_WARM / 100) {
            warm_bytes = process_resident_bytes(hall.coordinator);
        }
        turns++;
    }
    double end_bytes = process_resident_bytes(hall.coordinator);
    for (int w = 0; w < SOAK_WORKERS; w++) {
        process_end(&workers[w], SIGKILL);
    }
    if (status == STATUS_OK) {
        Figure *figure = bench_goal(bench, "soak", "coordinator's memory at the end of a soak",
                                    "MB", end_bytes / 1e6, "after a fifth of it", warm_bytes / 1e6);
        figure->turns = (int32_t)turns;
    }
    close_hall(&hall);
    return status;
}
