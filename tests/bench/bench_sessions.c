// SPDX-License-Identifier: Apache-2.0
//
// A thousand workers on one coordinator, over tcp without keys and with them: their sessions are
// held for a while, with signs of life and with tasks for all of them, and cost memory and
// processor time. Most of the memory is libzmq's, of each connection: keys add to it, and so do
// messages, since its queues of 16 KiB each way use their pages one after the other, and twice that
// in the end. So it is told twice: while all have both lanes, and in the end, when those who do
// not use the bulk lane have closed it.
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "tests/bench/bench.h"
#include "tests/bench/client.h"
#include "tests/bench/empty.h"

enum {
    CROWDS = 8,           // processes
    CROWD_SESSIONS = 128, // of each: a ZeroMQ context has 1,023 sockets, a lane takes three
    SESSIONS = CROWDS * CROWD_SESSIONS,
    WAIT_MS = 120000,
    TURN_MS = 100,
    TASK_MS = 10000, // as if each worker's task took so long
    TASKS_PER_TURN = SESSIONS * TURN_MS / TASK_MS,
};
#define KIB_GOAL   64.0 // of a session
#define CORES_GOAL 0.5  // of all of them

// What the figures are called.
static const struct {
    const char *lanes, *lanes_text, *memory, *memory_text, *cores, *cores_text, *tasks, *tasks_text,
        *lost, *lost_text;
} NAMES[2] = {
    {"memory_lanes", "coordinator's memory of a worker, both lanes open", "memory_worker",
     "the same, held", "sessions_cores", "coordinator's processors for 1,024 workers",
     "sessions_tasks", "durable tasks of 1,024 workers", "sessions_lost", "of their sessions lost"},
    {"memory_lanes_keys", "its memory of a worker with keys, both lanes open", "memory_worker_keys",
     "the same, held", "sessions_cores_keys", "its processors for 1,024 workers with keys",
     "sessions_tasks_keys", "their durable tasks", "sessions_lost_keys", "of their sessions lost"}};

typedef struct Gathering {
    Bench *bench;
    bool has_keys;
    EmptyTold *told;
    ClientTold *clients;
    pid_t coordinator;
    pid_t crowds[CROWDS];
    double empty_bytes; // the coordinator's without sessions
} Gathering;

static Status gather(Gathering *all, Fingerprint *fingerprint) {
    char folder[LIMIT_PATH_BYTES], keys[LIMIT_PATH_BYTES], endpoint[CHANNEL_ADDRESS_BYTES];
    Status status = bench_path(all->bench, all->has_keys ? "locked" : "open", folder);
    if (status == STATUS_OK) {
        status = file_join(keys, sizeof keys, folder, "keys/" KEYS_WORKER);
    }
    EmptyConfig config = {.bench = all->bench,
                          .fingerprint = fingerprint,
                          .run = folder,
                          .bind = "tcp://127.0.0.1:0",
                          .mode = EMPTY_ASKED,
                          .tasks = 100000000 / TURN_MS, // more than there is time for
                          .has_keys = all->has_keys,
                          .told = all->told};
    if (status == STATUS_OK) {
        status = empty_start(&config, &all->coordinator, endpoint);
    }
    all->empty_bytes = process_resident_bytes(all->coordinator);
    ClientConfig client = {.bench = all->bench,
                           .fingerprint = fingerprint,
                           .endpoint = endpoint,
                           .keys = all->has_keys ? keys : NULL,
                           .sessions = CROWD_SESSIONS,
                           .answers = true,
                           .told = all->clients};
    for (int c = 0; c < CROWDS && status == STATUS_OK; c++) {
        status = client_start_crowd(&client, &all->crowds[c]);
    }
    return status == STATUS_OK
               ? process_wait(&all->clients->granted, SESSIONS, WAIT_MS, "a thousand sessions")
               : status;
}

// Tasks for all, turn by turn, until the time is over and they are done.
static Status hold(Gathering *all) {
    uint32_t before = atomic_load(&all->told->durable), wanted = before;
    int64_t until_ms = clock_ms() + 1000 * (int64_t)all->bench->hold_s;
    while (clock_ms() < until_ms && !bench_is_stopped()) {
        usleep(1000 * TURN_MS);
        atomic_store(&all->told->wanted, wanted += TASKS_PER_TURN);
    }
    return process_wait(&all->told->durable, wanted, WAIT_MS, "the tasks of a thousand sessions");
}

static double kib_of_each(const Gathering *all) {
    return (process_resident_bytes(all->coordinator) - all->empty_bytes) / SESSIONS / 1024;
}

static Status measure(Gathering *all) {
    double kib_of_lanes = kib_of_each(all);
    uint32_t durable = atomic_load(&all->told->durable), signs = atomic_load(&all->clients->signs);
    double spent_s = process_spent_by(all->coordinator);
    int64_t since_ms = clock_ms();
    Status status = hold(all);
    double seconds = (double)(clock_ms() - since_ms) / 1e3;
    if (status != STATUS_OK) {
        return status;
    }
    spent_s = process_spent_by(all->coordinator) - spent_s;
    uint32_t lost = atomic_load(&all->told->left);
    int n = all->has_keys;
    bench_goal(all->bench, NAMES[n].lanes, NAMES[n].lanes_text, "KB", kib_of_lanes, "goal",
               KIB_GOAL);
    bench_goal(all->bench, NAMES[n].memory, NAMES[n].memory_text, "KB", kib_of_each(all), "goal",
               KIB_GOAL);
    bench_goal(all->bench, NAMES[n].cores, NAMES[n].cores_text, "cores", spent_s / seconds, "goal",
               CORES_GOAL);
    bench_goal(all->bench, NAMES[n].tasks, NAMES[n].tasks_text, "/s",
               (atomic_load(&all->told->durable) - durable) / seconds, "signs of life",
               (atomic_load(&all->clients->signs) - signs) / seconds);
    bench_goal(all->bench, NAMES[n].lost, NAMES[n].lost_text, "", lost, "held",
               atomic_load(&all->told->workers));
    return STATUS_OK;
}

static Status hold_a_thousand(Bench *bench, bool has_keys) {
    Fingerprint fingerprint;
    Gathering all = {.bench = bench,
                     .has_keys = has_keys,
                     .told = process_share(sizeof(EmptyTold)),
                     .clients = process_share(sizeof(ClientTold))};
    Status status =
        all.told != NULL && all.clients != NULL ? fingerprint_make(&fingerprint) : STATUS_MEMORY;
    if (status == STATUS_OK) {
        status = gather(&all, &fingerprint);
    }
    if (status == STATUS_OK) {
        status = measure(&all);
    }
    for (int c = 0; c < CROWDS; c++) {
        process_end(&all.crowds[c], SIGKILL);
    }
    process_end(&all.coordinator, SIGKILL);
    process_unshare(all.told, sizeof *all.told);
    process_unshare(all.clients, sizeof *all.clients);
    return status;
}

Status bench_sessions(Bench *bench) {
    Status status = hold_a_thousand(bench, false);
    return status == STATUS_OK ? hold_a_thousand(bench, true) : status;
}
