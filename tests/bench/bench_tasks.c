// SPDX-License-Identifier: Apache-2.0
//
// Empty tasks through one coordinator and two real workers: how many become durable in a second,
// beside what the journal alone and ZeroMQ alone do, and how long one of them takes, beside the
// commit alone.
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "coordinator/journal/journal.h"
#include "tests/bench/bench.h"
#include "tests/bench/empty.h"
#include "tests/bench/process.h"

enum {
    WORKERS = 2,
    JOIN_MS = 30000,
    TASKS_MS = 600000,     // for all tasks, on any machine
    UNDER_WAY_MOST = 8192, // rows that the journal alone is given before it is waited for
    TRIPS = 1000,
    RUNS_MOST = 100,
    MESSAGE_BYTES = 24, // about what a result takes in a bundle
};

typedef struct Runs {
    Bench *bench;
    Fingerprint fingerprint;
    EmptyTold *told;
    char folder[LIMIT_PATH_BYTES];
    const char *bind;
    EmptyMode mode;
    uint32_t tasks;
} Runs;

// ---- one cluster of empty tasks ----

static Status begin(Runs *runs, pid_t *coordinator, pid_t workers[WORKERS]) {
    char endpoint[CHANNEL_ADDRESS_BYTES];
    EmptyConfig config = {.bench = runs->bench,
                          .fingerprint = &runs->fingerprint,
                          .run = runs->folder,
                          .bind = runs->bind,
                          .mode = runs->mode,
                          .tasks = runs->tasks,
                          .workers = WORKERS,
                          .told = runs->told};
    memset(runs->told, 0, sizeof *runs->told);
    Status status = file_is_folder(runs->folder) ? file_remove_tree(runs->folder) : STATUS_OK;
    if (status == STATUS_OK) {
        status = empty_start(&config, coordinator, endpoint);
    }
    for (int w = 0; w < WORKERS && status == STATUS_OK; w++) {
        status = process_start_worker(runs->bench, endpoint, &workers[w]);
    }
    return status;
}

static Status run_tasks(Runs *runs) {
    pid_t coordinator = 0, workers[WORKERS] = {0};
    uint64_t finished = 0;
    Status status = begin(runs, &coordinator, workers);
    if (status == STATUS_OK) {
        status = process_wait(&runs->told->workers, WORKERS, JOIN_MS, "workers");
    }
    if (status == STATUS_OK) {
        status = process_join(&coordinator, TASKS_MS);
    }
    process_end(&coordinator, SIGKILL);
    for (int w = 0; w < WORKERS; w++) {
        process_end(&workers[w], SIGTERM);
    }
    if (status == STATUS_OK) {
        status = empty_count(runs->folder, &finished);
    }
    uint64_t commits = atomic_load(&runs->told->trips);
    if (status == STATUS_OK && finished != runs->tasks + commits) {
        status = status_set(STATUS_FORMAT, "the journal has %llu of %u empty tasks",
                            (unsigned long long)(finished - commits), runs->tasks);
    }
    return status;
}

static double per_second(double count, int64_t ns) {
    return count / ((double)ns / 1e9);
}

static Status measure_tasks(Runs *runs, const char *bind, double *ret_per_second) {
    runs->bind = bind;
    runs->mode = EMPTY_AT_ONCE;
    runs->tasks = (uint32_t)runs->bench->tasks;
    Status status = run_tasks(runs);
    *ret_per_second = per_second(runs->tasks, atomic_load(&runs->told->ended_ns) -
                                                  atomic_load(&runs->told->begun_ns));
    return status;
}

// ---- the journal alone ----

static Status take_rows(Journal *journal, uint32_t *done, uint32_t put, uint32_t under_way_most) {
    uint64_t ticket;
    Status status = STATUS_OK;
    while (status == STATUS_OK && put - *done > under_way_most) {
        status = journal_next(journal, &ticket);
        if (status == STATUS_OK) {
            ++*done;
        } else if (status == STATUS_AGAIN) {
            struct pollfd wait = {.fd = journal_fd(journal), .events = POLLIN};
            poll(&wait, 1, -1);
            status = STATUS_OK;
        }
    }
    return status;
}

static Status write_rows(Journal *journal, uint32_t rows) {
    uint32_t done = 0;
    Status status = STATUS_OK;
    for (uint32_t i = 0; i < rows && status == STATUS_OK; i++) {
        status = journal_put_answer(journal, i, digest_of(&i, sizeof i), 4, "", 0);
        if (status == STATUS_OK && (i + 1) % 256 == 0) {
            status = take_rows(journal, &done, i + 1, UNDER_WAY_MOST);
        }
    }
    return status == STATUS_OK ? take_rows(journal, &done, rows, 0) : status;
}

static int be_journal(void *context) {
    Runs *runs = context;
    char path[LIMIT_PATH_BYTES];
    Journal *journal = NULL;
    Status status = file_join(path, sizeof path, runs->folder, "journal.db");
    if (status == STATUS_OK) {
        status = journal_open(path, &journal);
    }
    atomic_store(&runs->told->begun_ns, clock_ns());
    if (status == STATUS_OK) {
        status = write_rows(journal, runs->tasks);
    }
    atomic_store(&runs->told->ended_ns, clock_ns());
    journal_close(journal);
    return status == STATUS_OK ? 0 : 1;
}

static Status measure_rows(Runs *runs, double *ret_per_second) {
    pid_t pid = 0;
    Status status = file_remove_tree(runs->folder);
    if (status == STATUS_OK) {
        status = file_make_folders(runs->folder);
    }
    if (status == STATUS_OK) {
        status = process_start(runs->bench, be_journal, runs, &pid);
    }
    if (status == STATUS_OK) {
        status = process_join(&pid, TASKS_MS);
    }
    *ret_per_second = per_second(runs->tasks, atomic_load(&runs->told->ended_ns) -
                                                  atomic_load(&runs->told->begun_ns));
    return status;
}

// ---- ZeroMQ alone ----

typedef struct Pipe {
    char endpoint[CHANNEL_ADDRESS_BYTES];
    atomic_uint is_open;
    uint32_t messages; // of each of two senders
    int64_t begun_ns, ended_ns;
    double trip_ns[TRIPS]; // of a message there and back
} Pipe;

static int be_sender(void *context) {
    const Pipe *pipe = context;
    const char bytes[MESSAGE_BYTES] = "";
    ZmqContext *zmq = zmq_context_new();
    Line *line;
    Status status =
        zmq != NULL ? line_open(zmq, pipe->endpoint, LANE_CONTROL, &line) : STATUS_MEMORY;
    for (uint32_t i = 0; i < pipe->messages && status == STATUS_OK; i++) {
        status = line_send(line, bytes, sizeof bytes, NULL, 0, JOIN_MS);
    }
    if (status == STATUS_OK) {
        line_close(line);
        zmq_context_free(zmq);
    }
    return status == STATUS_OK ? 0 : 1;
}

static int be_receiver(void *context) {
    Pipe *pipe = context;
    ZmqContext *zmq = zmq_context_new();
    Listener *listener;
    if (zmq == NULL || listener_open(zmq, "tcp://127.0.0.1:0", 16, &listener) != STATUS_OK) {
        return 1;
    }
    snprintf(pipe->endpoint, sizeof pipe->endpoint, "%s", listener_endpoint(listener));
    atomic_store(&pipe->is_open, 1);
    for (uint32_t got = 0; got < WORKERS * pipe->messages;) {
        ListenerEvent event;
        listener_wait(listener, -1);
        while (listener_next(listener, &event)) {
            if (event.kind == LISTENER_MESSAGE && got++ == 0) {
                pipe->begun_ns = clock_ns();
            }
        }
    }
    pipe->ended_ns = clock_ns();
    return 0;
}

static Status measure_messages(Runs *runs, double *ret_per_second) {
    pid_t receiver = 0, senders[WORKERS] = {0};
    Pipe *pipe = process_share(sizeof *pipe);
    if (pipe == NULL) {
        return STATUS_MEMORY;
    }
    pipe->messages = runs->tasks / WORKERS;
    Status status = process_start(runs->bench, be_receiver, pipe, &receiver);
    if (status == STATUS_OK) {
        status = process_wait(&pipe->is_open, 1, JOIN_MS, "a socket");
    }
    for (int w = 0; w < WORKERS && status == STATUS_OK; w++) {
        status = process_start(runs->bench, be_sender, pipe, &senders[w]);
    }
    if (status == STATUS_OK) {
        status = process_join(&receiver, TASKS_MS);
    }
    process_end(&receiver, SIGKILL);
    for (int w = 0; w < WORKERS; w++) {
        process_end(&senders[w], SIGKILL);
    }
    *ret_per_second = per_second(WORKERS * pipe->messages, pipe->ended_ns - pipe->begun_ns);
    process_unshare(pipe, sizeof *pipe);
    return status;
}

// Sends back what comes, until it is ended.
static int be_echo(void *context) {
    const Pipe *pipe = context;
    ZmqContext *zmq = zmq_context_new();
    Line *line;
    Status status =
        zmq != NULL ? line_open(zmq, pipe->endpoint, LANE_CONTROL, &line) : STATUS_MEMORY;
    const char hello[MESSAGE_BYTES] = "";
    if (status == STATUS_OK) {
        status = line_send(line, hello, sizeof hello, NULL, 0, JOIN_MS);
    }
    while (status == STATUS_OK) {
        LineMessage message;
        bool is_woken;
        status = line_receive(line, -1, TASKS_MS, &message, &is_woken);
        if (status == STATUS_OK) {
            status = line_send(line, hello, sizeof hello, NULL, 0, JOIN_MS);
        }
    }
    return 1;
}

// The next message; false when none comes.
static bool hear(Listener *listener, PeerId *ret_peer) {
    ListenerEvent event;
    int64_t end_ms = clock_ms() + JOIN_MS;
    while (clock_ms() < end_ms) {
        listener_wait(listener, JOIN_MS);
        while (listener_next(listener, &event)) {
            if (event.kind == LISTENER_MESSAGE) {
                *ret_peer = event.peer;
                return true;
            }
        }
    }
    return false;
}

// One message after the other, with a pause between them in which all threads fall asleep, as they
// do while a commit lasts.
static int be_caller(void *context) {
    static const struct timespec PAUSE = {0, 250000};
    const char bytes[MESSAGE_BYTES] = "";
    Pipe *pipe = context;
    ZmqContext *zmq = zmq_context_new();
    Listener *listener;
    PeerId peer;
    if (zmq == NULL || listener_open(zmq, "tcp://127.0.0.1:0", 16, &listener) != STATUS_OK) {
        return 1;
    }
    snprintf(pipe->endpoint, sizeof pipe->endpoint, "%s", listener_endpoint(listener));
    atomic_store(&pipe->is_open, 1);
    bool ok = hear(listener, &peer);
    for (uint32_t i = 0; i < TRIPS && ok; i++) {
        nanosleep(&PAUSE, NULL);
        int64_t begun_ns = clock_ns();
        ok = listener_send(listener, LANE_CONTROL, peer, bytes, sizeof bytes, NULL, 0) ==
                 STATUS_OK &&
             hear(listener, &peer);
        pipe->trip_ns[i] = (double)(clock_ns() - begun_ns);
    }
    return ok ? 0 : 1;
}

static Status measure_echo(const Runs *runs, double trip_ns[TRIPS]) {
    pid_t caller = 0, echo = 0;
    Pipe *pipe = process_share(sizeof *pipe);
    if (pipe == NULL) {
        return STATUS_MEMORY;
    }
    Status status = process_start(runs->bench, be_caller, pipe, &caller);
    if (status == STATUS_OK) {
        status = process_wait(&pipe->is_open, 1, JOIN_MS, "a socket");
    }
    if (status == STATUS_OK) {
        status = process_start(runs->bench, be_echo, pipe, &echo);
    }
    if (status == STATUS_OK) {
        status = process_join(&caller, TASKS_MS);
    }
    process_end(&caller, SIGKILL);
    process_end(&echo, SIGKILL);
    memcpy(trip_ns, pipe->trip_ns, TRIPS * sizeof *trip_ns);
    process_unshare(pipe, sizeof *pipe);
    return status;
}

// ---- figures ----

// `values` and `others` in thousands a second, turn by turn.
static void rate_figure(Bench *bench, const char *name, const char *what, const char *against,
                        const double *values, const double *others) {
    double value[RUNS_MOST], other[RUNS_MOST], ratio[RUNS_MOST];
    for (int32_t r = 0; r < bench->runs; r++) {
        value[r] = values[r] / 1e3;
        other[r] = others[r] / 1e3;
        ratio[r] = values[r] / others[r];
    }
    Figure *figure = bench_figure(bench, name, what);
    figure->unit = "k/s";
    snprintf(figure->against, sizeof figure->against, "%s", against);
    figure->ratio_is = "value / other";
    figure->value = range_of(value, bench->runs);
    figure->other = range_of(other, bench->runs);
    figure->ratio = range_of(ratio, bench->runs);
    figure->turns = bench->runs;
}

// Of what was done since; the processes' own beginnings count, which a million tasks make small.
static double spent_us(const Runs *runs, double since_ns) {
    return (process_spent_ns() - since_ns) / runs->tasks / 1e3;
}

// Holds on a machine that does other things too, where rates do not.
static void spent_figure(Bench *bench, double *values, double *others) {
    double ratio[RUNS_MOST];
    for (int32_t r = 0; r < bench->runs; r++) {
        ratio[r] = values[r] / others[r];
    }
    Figure *figure =
        bench_figure(bench, "tasks_cpu", "processor time of a task, all processes, tcp");
    figure->unit = "us";
    snprintf(figure->against, sizeof figure->against, "of a row of the journal");
    figure->ratio_is = "value / other";
    figure->value = range_of(values, bench->runs);
    figure->other = range_of(others, bench->runs);
    figure->ratio = range_of(ratio, bench->runs);
    figure->turns = bench->runs;
}

static Status measure_rates(Runs *runs) {
    double tcp[RUNS_MOST], ipc[RUNS_MOST], rows[RUNS_MOST], messages[RUNS_MOST];
    double task_us[RUNS_MOST], row_us[RUNS_MOST];
    Bench *bench = runs->bench;
    Status status = STATUS_OK;
    for (int32_t r = 0; r < bench->runs && status == STATUS_OK; r++) {
        double since_ns = process_spent_ns();
        status = measure_tasks(runs, "tcp://127.0.0.1:0", &tcp[r]);
        task_us[r] = spent_us(runs, since_ns);
        since_ns = process_spent_ns();
        if (status == STATUS_OK) {
            status = measure_rows(runs, &rows[r]);
        }
        row_us[r] = spent_us(runs, since_ns);
        if (status == STATUS_OK) {
            status = measure_tasks(runs, NULL, &ipc[r]);
        }
        if (status == STATUS_OK) {
            status = measure_messages(runs, &messages[r]);
        }
    }
    if (status == STATUS_OK) {
        rate_figure(bench, "tasks_tcp", "durable empty tasks, two workers, tcp",
                    "rows of the journal alone", tcp, rows);
        rate_figure(bench, "tasks_ipc", "durable empty tasks, two workers, ipc",
                    "messages of ZeroMQ alone, tcp", ipc, messages);
        spent_figure(bench, task_us, row_us);
    }
    return status;
}

static Range of_trips(const double *ns, uint32_t trips, double *scratch) {
    for (uint32_t i = 0; i < trips; i++) {
        scratch[i] = ns[i] / 1e6;
    }
    return range_of(scratch, (int32_t)trips);
}

static void trip_figures(Bench *bench, const EmptyTold *told, const double *echo_ns,
                         uint32_t trips) {
    static double scratch[EMPTY_TRIPS_MOST], over[EMPTY_TRIPS_MOST];
    Figure *figure = bench_figure(bench, "round_trip", "one task, from added to durable");
    figure->unit = "ms";
    snprintf(figure->against, sizeof figure->against, "the commit alone");
    figure->ratio_is = "value / other";
    figure->turns = (int32_t)trips;
    figure->other = of_trips(told->commit_ns, trips, scratch);
    double commit_p95_ms = scratch[trips * 95 / 100];
    figure->value = of_trips(told->trip_ns, trips, scratch);
    double trip_p95_ms = scratch[trips * 95 / 100];
    for (uint32_t i = 0; i < trips; i++) {
        over[i] = told->trip_ns[i] / told->commit_ns[i];
    }
    figure->ratio = range_of(over, (int32_t)trips);
    bench_goal(bench, "round_trip_p95", "its 95th percentile", "ms", trip_p95_ms, "the commit's",
               commit_p95_ms);
    for (uint32_t i = 0; i < trips; i++) {
        over[i] = told->trip_ns[i] - told->commit_ns[i];
    }
    bench_goal(bench, "round_trip_over", "what it takes beyond its commit, median", "ms",
               of_trips(over, trips, scratch).median, "goal", 0.15);
    bench_goal(bench, "round_trip_floor", "the same", "ms", of_trips(over, trips, scratch).median,
               "a message there and back by ZeroMQ alone",
               of_trips(echo_ns, trips, scratch).median);
}

static Status measure_trips(Runs *runs) {
    runs->mode = EMPTY_IN_TURN;
    runs->bind = "tcp://127.0.0.1:0";
    runs->tasks = TRIPS;
    Status status = run_tasks(runs);
    static double echo_ns[TRIPS];
    if (status == STATUS_OK) {
        status = measure_echo(runs, echo_ns);
    }
    if (status == STATUS_OK) {
        trip_figures(runs->bench, runs->told, echo_ns, TRIPS);
    }
    return status;
}

Status bench_tasks(Bench *bench) {
    Runs runs = {.bench = bench, .told = process_share(sizeof(EmptyTold))};
    if (runs.told == NULL) {
        return STATUS_MEMORY;
    }
    Status status = bench_path(bench, "tasks", runs.folder);
    if (status == STATUS_OK) {
        status = fingerprint_make(&runs.fingerprint);
    }
    if (status == STATUS_OK) {
        status = measure_rates(&runs);
    }
    if (status == STATUS_OK) {
        status = measure_trips(&runs);
    }
    process_unshare(runs.told, sizeof *runs.told);
    return status;
}
