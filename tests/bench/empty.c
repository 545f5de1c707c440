// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/empty.h"

#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "coordinator/server/server.h"

enum { SERVING_MS = 60000 }; // for a coordinator to serve, with a million tasks in its journal

typedef struct Empty {
    const EmptyConfig *config;
    EmptyTold *told;
    Journal *journal;
    Core *core;
    uint32_t *indices; // (tags) which task a tag is
    uint32_t tag_count;
    uint32_t next;    // task to be added
    int64_t added_ns; // EMPTY_IN_TURN: the task under way
    Status status;    // what adding them between the loop's turns came to
} Empty;

static Digest key_of(uint64_t index) {
    return digest_of(&index, sizeof index);
}

// ---- tasks ----

static Status add(Empty *empty, uint32_t index) {
    CoreTask task = {.kind = TASK_EMPTY, .tag = empty->tag_count};
    empty->indices[empty->tag_count++] = index;
    empty->added_ns = clock_ns();
    return core_add_task(empty->core, &task, clock_ms());
}

static void note_found(Empty *empty, uint32_t index) {
    atomic_fetch_add(&empty->told->found, 1);
    if (empty->config->marks != NULL) {
        empty->config->marks[index] |= EMPTY_FOUND;
    }
}

static Status add_all(Empty *empty) {
    Buffer answer = BUFFER_EMPTY;
    Status status = STATUS_OK;
    for (; empty->next < empty->config->tasks && status == STATUS_OK; empty->next++) {
        status = journal_answer(empty->journal, key_of(empty->next), &answer);
        if (status == STATUS_OK) {
            note_found(empty, empty->next);
        } else if (status == STATUS_NOT_FOUND) {
            status = add(empty, empty->next);
        }
    }
    buffer_done(&answer);
    return status;
}

static Status start(void *context, Core *core, int64_t now_ms) {
    Empty *empty = context;
    (void)now_ms;
    empty->core = core;
    // What an earlier coordinator left is looked up before anybody is served, as a plan does it.
    uint64_t of_this;
    bool is_resumed = journal_count(empty->journal, TASK_EMPTY, &of_this) > 0;
    if (empty->config->mode != EMPTY_AT_ONCE || (empty->config->workers > 0 && !is_resumed)) {
        return STATUS_OK;
    }
    double before = process_resident_bytes(getpid());
    Status status = add_all(empty);
    empty->told->waiting_bytes = process_resident_bytes(getpid()) - before;
    return status;
}

static bool is_over(void *context) {
    const Empty *empty = context;
    EmptyTold *told = empty->told;
    bool may_end = !empty->config->stays || atomic_load(&told->may_end) != 0;
    return empty->status != STATUS_OK ||
           (may_end &&
            atomic_load(&told->durable) + atomic_load(&told->found) == empty->config->tasks);
}

// What is due between the loop's turns: tasks that may begin.
static Status add_due(Empty *empty) {
    const EmptyConfig *config = empty->config;
    bool has_all = atomic_load(&empty->told->workers) >= config->workers;
    Status status = STATUS_OK;
    switch (config->mode) {
    case EMPTY_AT_ONCE:
        return has_all ? add_all(empty) : STATUS_OK;
    case EMPTY_IN_TURN:
        return has_all && empty->next == 0 ? add(empty, empty->next++) : STATUS_OK;
    case EMPTY_ASKED:
        while (status == STATUS_OK && empty->next < config->tasks &&
               empty->next < atomic_load(&empty->told->wanted)) {
            status = add(empty, empty->next++);
        }
    }
    return status;
}

static void progress(void *context, ProgressFacts *facts) {
    Empty *empty = context;
    facts->loss = NAN;
    uint32_t before = atomic_exchange(&empty->told->workers, facts->workers);
    atomic_fetch_add(&empty->told->left, before > facts->workers ? before - facts->workers : 0);
    if (facts->workers >= empty->config->workers && atomic_load(&empty->told->joined_ns) == 0) {
        atomic_store(&empty->told->joined_ns, clock_ns());
    }
    atomic_store(&empty->told->is_serving, 1);
    empty->status = add_due(empty);
}

// ---- answers ----

static void task_body(void *context, TaskTag tag, CoreShare share, Buffer *out) {
    Empty *empty = context;
    (void)tag;
    (void)share;
    (void)out;
    if (atomic_load_explicit(&empty->told->begun_ns, memory_order_relaxed) == 0) {
        atomic_store(&empty->told->begun_ns, clock_ns());
    }
}

static Status take_answer(void *context, TaskTag tag, CoreShare share, const void *bytes,
                          size_t size) {
    (void)context;
    (void)tag;
    (void)share;
    (void)bytes;
    return size == 0 ? STATUS_OK : status_set(STATUS_FORMAT, "the answer is not empty");
}

static Status commit(void *context, TaskTag tag, const void *bytes, size_t size) {
    Empty *empty = context;
    (void)bytes;
    return journal_put_answer(empty->journal, tag, key_of(empty->indices[tag]), TASK_EMPTY, "",
                              size);
}

// A commit by itself, from the request to the news of it.
static Status commit_alone(Empty *empty, double *ret_ns) {
    int64_t since_ns = clock_ns();
    uint64_t ticket;
    Status status = journal_put_answer(
        empty->journal, 0, key_of(UINT32_MAX + (uint64_t)empty->next), TASK_EMPTY, "", 0);
    while (status == STATUS_OK &&
           (status = journal_next(empty->journal, &ticket)) == STATUS_AGAIN) {
        struct pollfd wait = {.fd = journal_fd(empty->journal), .events = POLLIN};
        poll(&wait, 1, -1);
        status = STATUS_OK;
    }
    *ret_ns = (double)(clock_ns() - since_ns);
    return status;
}

static Status end_trip(Empty *empty) {
    EmptyTold *told = empty->told;
    uint32_t trip = atomic_load(&told->trips);
    told->trip_ns[trip] = (double)(clock_ns() - empty->added_ns);
    Status status = commit_alone(empty, &told->commit_ns[trip]);
    atomic_store(&told->trips, trip + 1);
    return status == STATUS_OK && empty->next < empty->config->tasks ? add(empty, empty->next++)
                                                                     : status;
}

static Status on_durable(void *context, Core *core, TaskTag tag, int64_t now_ms) {
    Empty *empty = context;
    EmptyTold *told = empty->told;
    (void)core;
    (void)now_ms;
    if (empty->config->marks != NULL) {
        unsigned char *mark = &empty->config->marks[empty->indices[tag]];
        *mark |= *mark == 0 ? EMPTY_DURABLE : EMPTY_TWICE;
    }
    if (atomic_fetch_add(&told->durable, 1) + atomic_load(&told->found) + 1 ==
        empty->config->tasks) {
        atomic_store(&told->ended_ns, clock_ns());
    }
    return empty->config->mode == EMPTY_IN_TURN ? end_trip(empty) : STATUS_OK;
}

// ---- what no empty task comes to ----

static Status on_failed(void *context, TaskTag tag, uint32_t deaths, uint32_t cannots) {
    (void)context;
    (void)tag;
    (void)deaths;
    (void)cannots;
    return STATUS_OK;
}

static Status wrong(void) {
    return status_set(STATUS_INVALID, "no worker does an empty task");
}

static Status on_cannot(void *context, Core *core, const OwnerDoubt *doubt, Buffer *said,
                        int64_t now_ms) {
    (void)context;
    (void)core;
    (void)doubt;
    (void)said;
    (void)now_ms;
    return wrong();
}

static Status on_impossible(void *context, Core *core, TaskTag tag, const void *bytes,
                            size_t size) {
    (void)context;
    (void)core;
    (void)tag;
    (void)bytes;
    (void)size;
    return wrong();
}

static Status on_poison(void *context, Core *core, TaskTag tag, int64_t now_ms) {
    (void)context;
    (void)core;
    (void)tag;
    (void)now_ms;
    return wrong();
}

static void describe(void *context, TaskTag tag, Buffer *out) {
    (void)context;
    buffer_format(out, "empty task %u", tag);
}

static Status catch_up(void *context, Core *core, int64_t now_ms) {
    (void)context;
    (void)core;
    (void)now_ms;
    return STATUS_OK;
}

static bool pace(void *context, TaskTag tag, OwnerPace *ret_pace) {
    (void)context;
    (void)tag;
    (void)ret_pace;
    return false;
}

// ---- the process ----

static Status serve(Empty *empty, Blobs *blobs) {
    const EmptyConfig *config = empty->config;
    Owner owner = {.context = empty,
                   .hooks = {.context = empty, .task_body = task_body, .take_answer = take_answer},
                   .start = start,
                   .is_over = is_over,
                   .commit = commit,
                   .on_durable = on_durable,
                   .on_failed = on_failed,
                   .on_cannot = on_cannot,
                   .on_impossible = on_impossible,
                   .on_poison = on_poison,
                   .describe = describe,
                   .catch_up = catch_up,
                   .progress = progress,
                   .pace = pace};
    ServerConfig server = {.owner = &owner,
                           .journal = empty->journal,
                           .blobs = blobs,
                           .run_folder = config->run,
                           .bind = config->bind,
                           .is_insecure = !config->has_keys,
                           .kernel = (Kernel)config->bench->settings.numerics,
                           .fingerprint = config->fingerprint,
                           .is_quiet = true};
    uint32_t alarms;
    return server_run(&server, &alarms);
}

static int be_coordinator(void *context) {
    Empty empty = {.config = context};
    char path[LIMIT_PATH_BYTES];
    empty.told = empty.config->told;
    log_set_program("auscult-bench");
    log_set_level(LOG_ERROR);
    Blobs *blobs = blobs_new();
    empty.indices = mem_new(empty.config->tasks, sizeof *empty.indices);
    Status status = file_join(path, sizeof path, empty.config->run, "journal.db");
    if (status == STATUS_OK && (blobs == NULL || empty.indices == NULL)) {
        status = STATUS_MEMORY;
    }
    if (status == STATUS_OK) {
        status = journal_open(path, &empty.journal);
    }
    if (status == STATUS_OK) {
        status = serve(&empty, blobs);
        status = status == STATUS_OK ? empty.status : status;
    }
    if (status != STATUS_OK && status != STATUS_STOPPED) {
        log_error("%s", status_message());
    }
    journal_close(empty.journal);
    mem_free(empty.indices);
    blobs_free(blobs);
    return status == STATUS_OK || status == STATUS_STOPPED ? 0 : 1;
}

static Status read_endpoint(const char *run, char out[CHANNEL_ADDRESS_BYTES]) {
    char path[LIMIT_PATH_BYTES];
    Buffer text = BUFFER_EMPTY;
    Status status = file_join(path, sizeof path, run, "endpoint");
    if (status == STATUS_OK) {
        status = file_read(path, CHANNEL_ADDRESS_BYTES - 1, &text);
    }
    if (status == STATUS_OK) {
        snprintf(out, CHANNEL_ADDRESS_BYTES, "%.*s", (int)strcspn(buffer_cstr(&text), "\n"),
                 buffer_cstr(&text));
    }
    buffer_done(&text);
    return status;
}

Status empty_start(const EmptyConfig *config, pid_t *ret_pid,
                   char endpoint[CHANNEL_ADDRESS_BYTES]) {
    Status status = file_make_folders(config->run);
    pid_t pid = 0;
    if (status == STATUS_OK) {
        status = process_start(config->bench, be_coordinator, (void *)(size_t)config, &pid);
    }
    if (status == STATUS_OK) {
        status = process_wait(&config->told->is_serving, 1, SERVING_MS, "the coordinator");
    }
    if (status == STATUS_OK) {
        status = read_endpoint(config->run, endpoint);
    }
    if (status != STATUS_OK) {
        process_end(&pid, SIGKILL);
        return status;
    }
    *ret_pid = pid;
    return STATUS_OK;
}

Status empty_count(const char *run, uint64_t *ret_count) {
    char path[LIMIT_PATH_BYTES];
    Journal *journal = NULL;
    uint64_t of_this;
    Status status = file_join(path, sizeof path, run, "journal.db");
    if (status == STATUS_OK) {
        status = journal_open(path, &journal);
    }
    if (status == STATUS_OK) {
        *ret_count = journal_count(journal, TASK_EMPTY, &of_this);
    }
    journal_close(journal);
    return status;
}
