// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/plan_memory.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "coordinator/plan/plan.h"
#include "tests/bench/process.h"

enum {
    CLIPS = 640000, // some 20,000 tasks
    NAME_BYTES = 24,
    PLAN_MS = 120000,
    MAPPED_BYTES = 65536,
};

typedef struct PlanMemory {
    const Bench *bench;
    const char *folder;
    double bytes; // of a task
    bool is_done;
} PlanMemory;

// Made here, since a million files would have to be looked at to scan them.
static Status make_dataset(Dataset *dataset, Machine *machine) {
    Clip *clips = mem_new(CLIPS, sizeof *clips);
    char *names = mem_new(CLIPS, NAME_BYTES);
    if (clips == NULL || names == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t c = 0; c < CLIPS; c++) {
        char *name = names + (size_t)c * NAME_BYTES;
        snprintf(name, NAME_BYTES, "fan/train/%07u.wav", c);
        clips[c] = (Clip){.path = name,
                          .name = file_name(name),
                          .section = "00",
                          .size_bytes = 320044,
                          .split = SPLIT_TRAIN,
                          .domain = DOMAIN_SOURCE,
                          .label = LABEL_NORMAL};
    }
    *machine =
        (Machine){.name = "fan", .set = SET_PLAIN, .clip_count = CLIPS, .train_count = CLIPS};
    *dataset =
        (Dataset){.clips = clips, .machines = machine, .clip_count = CLIPS, .machine_count = 1};
    return STATUS_OK;
}

static Status start_plan(PlanMemory *memory, Plan *plan) {
    CoreConfig config = {
        .hooks = plan_hooks(plan), .libraries = "", .alive_ms = 1000, .workers_most = 1};
    Core *core = core_new(&config);
    if (core == NULL) {
        return STATUS_MEMORY;
    }
    double before = process_resident_bytes(getpid());
    Status status = plan_start(plan, core, clock_ms());
    memory->bytes = (process_resident_bytes(getpid()) - before) / (double)core_counts(core).waiting;
    return status;
}

// The system takes back what the process holds.
static void *make_plan(void *context) {
    PlanMemory *memory = context;
    Dataset dataset;
    Machine machine;
    char path[LIMIT_PATH_BYTES];
    PlanConfig config = {.dataset = &dataset,
                         .settings = &memory->bench->settings,
                         .run_folder = memory->folder,
                         .until = STAGE_REPORT,
                         .blobs = blobs_new()};
    Plan *plan;
    Status status = make_dataset(&dataset, &machine);
    if (status == STATUS_OK) {
        status = file_join(path, sizeof path, memory->folder, "journal.db");
    }
    if (status == STATUS_OK) {
        status = journal_open(path, &config.journal);
    }
    if (status == STATUS_OK) {
        status = plan_new(&config, &plan);
    }
    if (status == STATUS_OK) {
        status = start_plan(memory, plan);
    }
    if (status != STATUS_OK) {
        fprintf(stderr, "auscult-bench: a plan of many tasks: %s\n", status_message());
    }
    memory->is_done = status == STATUS_OK;
    return NULL;
}

// A million tasks lie in mappings of their own, which grow without leaving holes behind: so must
// these fewer ones, whatever malloc learned so far. And what the past left unused in the heap would
// be taken first and not be seen: a new thread has a heap of its own.
static int be_plan(void *context) {
    PlanMemory *memory = context;
    pthread_t thread;
    mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
    if (pthread_create(&thread, NULL, make_plan, memory) != 0) {
        return 1;
    }
    pthread_join(thread, NULL);
    return memory->is_done ? 0 : 1;
}

Status plan_memory(const Bench *bench, const char *folder, double *ret_bytes) {
    PlanMemory *memory = process_share(sizeof *memory);
    pid_t pid = 0;
    if (memory == NULL) {
        return STATUS_MEMORY;
    }
    *memory = (PlanMemory){.bench = bench, .folder = folder};
    Status status = file_make_folders(folder);
    if (status == STATUS_OK) {
        status = process_start(bench, be_plan, memory, &pid);
    }
    if (status == STATUS_OK) {
        status = process_join(&pid, PLAN_MS);
    }
    *ret_bytes = memory->bytes;
    process_unshare(memory, sizeof *memory);
    return status;
}
