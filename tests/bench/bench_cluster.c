// SPDX-License-Identifier: Apache-2.0
//
// Figures of real runs, coordinator and workers as processes over ipc: the step of a model that two
// workers train together against one worker alone, and the memory of a worker that trains on 1,000
// clips of 10 s.
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/store/npy.h"
#include "tests/bench/bench.h"
#include "tests/bench/cluster.h"
#include "tests/bench/process.h"
#include "tests/bench/sound.h"

enum {
    SPREAD_CLIPS = 64,   // 70 rounds an epoch at batch 256
    SPREAD_EPOCHS = 12,  // some three seconds of one worker
    MEMORY_CLIPS = 1000, // what the limit on memory speaks of
    MEMORY_SOUNDS = 8,   // different ones among them; the others are links
};

typedef struct Folders {
    char data[LIMIT_PATH_BYTES], train[LIMIT_PATH_BYTES], run[LIMIT_PATH_BYTES];
} Folders;

static Status make_folders(const Bench *bench, const char *name, Folders *ret) {
    char path[LIMIT_PATH_BYTES];
    Status status = bench_path(bench, name, ret->data);
    if (status == STATUS_OK) {
        snprintf(path, sizeof path, "%s/machine/train", name);
        status = bench_path(bench, path, ret->train);
    }
    if (status == STATUS_OK) {
        snprintf(path, sizeof path, "%s-run", name);
        status = bench_path(bench, path, ret->run);
    }
    return status == STATUS_OK ? file_make_folders(ret->train) : status;
}

// ---- the spread step ----

static Status write_log_mel(const Bench *bench, const char *path, uint64_t number, float *log_mel) {
    Buffer bytes = BUFFER_EMPTY;
    sound_log_mel(number, SOUND_FRAMES, bench->settings.n_mels, log_mel);
    NpyArray array = {.type = NPY_FLOAT32,
                      .dimensions = 2,
                      .shape = {SOUND_FRAMES, bench->settings.n_mels},
                      .data = log_mel};
    npy_format(&array, &bytes);
    Status status = sound_write(path, &bytes);
    buffer_done(&bytes);
    return status;
}

static Status write_log_mels(const Bench *bench, const Folders *folders) {
    float *log_mel = mem_new((size_t)SOUND_FRAMES * (size_t)bench->settings.n_mels, sizeof(float));
    Status status = log_mel != NULL ? STATUS_OK : STATUS_MEMORY;
    for (int i = 0; i < SPREAD_CLIPS && status == STATUS_OK; i++) {
        char name[32], path[LIMIT_PATH_BYTES];
        snprintf(name, sizeof name, "clip_%04d.npy", i);
        status = file_join(path, sizeof path, folders->train, name);
        if (status == STATUS_OK) {
            status = write_log_mel(bench, path, (uint64_t)i, log_mel);
        }
    }
    mem_free(log_mel);
    return status;
}

static Status run_spread(const Bench *bench, const Folders *folders, int32_t batch_size,
                         uint32_t workers, double *ret_us) {
    ClusterRun run = {.command = "train",
                      .data = folders->data,
                      .run = folders->run,
                      .workers = workers,
                      .spread = workers > 1 ? "always" : "never",
                      .batch_size = batch_size,
                      .epochs = SPREAD_EPOCHS};
    Status status = cluster_run(bench, &run);
    return status == STATUS_OK ? cluster_round_us(folders->run, workers, ret_us) : status;
}

static Status measure_spread(Bench *bench, const Folders *folders, int32_t batch_size,
                             const char *name, const char *what) {
    double *together = mem_new((size_t)bench->runs, 3 * sizeof *together);
    if (together == NULL) {
        return STATUS_MEMORY;
    }
    double *alone = together + bench->runs, *ratio = alone + bench->runs;
    Status status = STATUS_OK;
    for (int32_t r = 0; r < bench->runs && status == STATUS_OK; r++) {
        status = run_spread(bench, folders, batch_size, 2, &together[r]);
        if (status == STATUS_OK) {
            status = run_spread(bench, folders, batch_size, 1, &alone[r]);
        }
        together[r] /= 1e3;
        alone[r] /= 1e3;
        ratio[r] = together[r] / alone[r];
    }
    if (status == STATUS_OK) {
        Figure *figure = bench_figure(bench, name, what);
        figure->unit = "ms";
        snprintf(figure->against, sizeof figure->against, "one worker alone");
        figure->ratio_is = "value / other";
        figure->value = range_of(together, bench->runs);
        figure->other = range_of(alone, bench->runs);
        figure->ratio = range_of(ratio, bench->runs);
        figure->turns = bench->runs;
    }
    mem_free(together);
    return status;
}

Status bench_spread(Bench *bench) {
    Folders folders;
    if (CPU_COUNT(&bench->all_cpus) < 2) {
        bench_note(bench, "spread: two workers need two processors, there is one");
        return STATUS_OK;
    }
    Status status = make_folders(bench, "spread", &folders);
    if (status == STATUS_OK) {
        status = write_log_mels(bench, &folders);
    }
    if (status == STATUS_OK) {
        status = measure_spread(bench, &folders, 256, "spread_256",
                                "step of two workers together, batch 256");
    }
    if (status == STATUS_OK) {
        status = measure_spread(bench, &folders, 1024, "spread_1024",
                                "step of two workers together, batch 1,024");
    }
    return status;
}

// ---- memory ----

typedef struct Memory {
    pid_t worker;      // 0 until it is found
    double peak_bytes; // of its resident memory, as the system keeps it
} Memory;

static pid_t find_child(pid_t parent) {
    DIR *folder = opendir("/proc");
    pid_t found = 0;
    const struct dirent *entry;
    while (folder != NULL && found == 0 && (entry = readdir(folder)) != NULL) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 0 && process_number(pid, "PPid:") == parent) {
            found = pid;
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return found;
}

// The peak only grows while the program stays the same, so the last value is the one that counts;
// the highest is kept, since the process that becomes the worker starts as a copy of another.
static void watch_memory(void *context, pid_t coordinator) {
    Memory *memory = context;
    if (memory->worker == 0) {
        memory->worker = find_child(coordinator);
    }
    long kilobytes = memory->worker > 0 ? process_number(memory->worker, "VmHWM:") : -1;
    if (kilobytes > 0) {
        memory->peak_bytes = fmax(memory->peak_bytes, 1024.0 * (double)kilobytes);
    }
}

static Status write_sounds(const Folders *folders) {
    char first[LIMIT_PATH_BYTES], path[LIMIT_PATH_BYTES], name[32];
    Status status = STATUS_OK;
    for (int i = 0; i < MEMORY_CLIPS && status == STATUS_OK; i++) {
        snprintf(name, sizeof name, "clip_%04d.wav", i);
        status = file_join(path, sizeof path, folders->train, name);
        if (status == STATUS_OK && i < MEMORY_SOUNDS) {
            Buffer wav = BUFFER_EMPTY;
            sound_wav((uint64_t)i, &wav);
            status = sound_write(path, &wav);
            buffer_done(&wav);
            continue;
        }
        snprintf(name, sizeof name, "clip_%04d.wav", i % MEMORY_SOUNDS);
        if (status == STATUS_OK) {
            status = file_join(first, sizeof first, folders->train, name);
        }
        if (status == STATUS_OK && link(first, path) != 0) {
            status = status_set(STATUS_IO, "cannot link %s: %s", path, strerror(errno));
        }
    }
    return status;
}

Status bench_memory(Bench *bench) {
    Folders folders;
    Memory memory = {0};
    Status status = make_folders(bench, "memory", &folders);
    if (status == STATUS_OK) {
        status = write_sounds(&folders);
    }
    ClusterRun run = {.command = "run",
                      .data = folders.data,
                      .run = folders.run,
                      .workers = 1,
                      .spread = "never",
                      .batch_size = 256,
                      .epochs = 2,
                      .watch = watch_memory,
                      .context = &memory};
    if (status == STATUS_OK) {
        status = cluster_run(bench, &run);
    }
    if (status == STATUS_OK && !(memory.peak_bytes > 0)) {
        status = status_set(STATUS_NOT_FOUND, "the worker's memory could not be seen in /proc");
    }
    if (status != STATUS_OK) {
        return status;
    }
    double features = (double)MEMORY_CLIPS * SOUND_FRAMES * bench->settings.n_mels * sizeof(float);
    bench_goal(bench, "memory", "peak memory of a worker training on 1,000 clips of 10 s", "MB",
               memory.peak_bytes / 1e6, "its features", features / 1e6);
    return STATUS_OK;
}
