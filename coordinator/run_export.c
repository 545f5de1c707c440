// SPDX-License-Identifier: Apache-2.0
//
// `auscult extract --export`: every usable clip's features as files that NumPy or h5py open. They
// are made here, once more, since workers keep none: some threads extract a batch of clips, which
// is then written in the data's order, so that the same data give the same bytes.
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/engine/source.h"
#include "common/store/hdf5_file.h"
#include "common/store/npy.h"
#include "coordinator/run.h"

enum { BATCH_CLIPS = 64, THREADS_MOST = 16 };

typedef struct Slot {
    uint32_t clip; // index into Dataset.clips
    ClipFeatures features;
    Status status;
    char reason[512]; // where it failed
} Slot;

typedef struct Export {
    const Run *run;
    const Settings *settings;
    ClipExtractor *extractors[THREADS_MOST];
    int threads;
    Slot slots[BATCH_CLIPS];
    uint32_t count;       // slots of the batch
    atomic_uint next;     // of them to be extracted
    Hdf5Writer *writer;   // of the machine under way, NULL for .npy
    uint64_t clips;       // written
    uint64_t clips_wrong; // that could not be read again
} Export;

typedef struct Thread {
    Export *export;
    ClipExtractor *extractor;
} Thread;

static void *extract_some(void *argument) {
    const Thread *thread = argument;
    Export *export = thread->export;
    const Run *run = export->run;
    for (uint32_t i; (i = atomic_fetch_add(&export->next, 1)) < export->count;) {
        Slot *slot = &export->slots[i];
        const Clip *clip = &run->dataset->clips[slot->clip];
        const ClipState *state = plan_clip_state(run->plan, 0, slot->clip);
        char path[LIMIT_PATH_BYTES];
        slot->status = file_join(path, sizeof path, run->roots[clip->root], clip->path);
        if (slot->status == STATUS_OK) {
            slot->status = source_features(thread->extractor, path, clip->path, clip->size_bytes,
                                           &state->digest, &slot->features);
        }
        if (slot->status != STATUS_OK) {
            snprintf(slot->reason, sizeof slot->reason, "%.500s", status_message());
        }
    }
    return NULL;
}

// With fewer threads than wished for it only takes longer.
static void extract_batch(Export *export) {
    pthread_t threads[THREADS_MOST];
    Thread with[THREADS_MOST];
    int started = 1;
    atomic_store(&export->next, 0);
    for (int i = 0; i < export->threads; i++) {
        with[i] = (Thread){export, export->extractors[i]};
    }
    while (started < export->threads &&
           pthread_create(&threads[started], NULL, extract_some, &with[started]) == 0) {
        started++;
    }
    (void)extract_some(&with[0]);
    for (int i = 1; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
}

static Status write_npy(const Export *export, const Slot *slot, const int64_t shape[2]) {
    const Dataset *dataset = export->run->dataset;
    const Clip *clip = &dataset->clips[slot->clip];
    char path[LIMIT_PATH_BYTES];
    int used = snprintf(path, sizeof path, "%s/features/%s/%s.npy", export->run->options.out,
                        dataset_set_text(dataset->machines[clip->machine].set), clip->path);
    if (used < 0 || (size_t)used >= sizeof path) {
        return status_set(STATUS_LIMIT, "path too long: %s", clip->path);
    }
    char *slash = strrchr(path, '/');
    *slash = '\0';
    Status status = file_make_folders(path);
    *slash = '/';
    NpyArray array = {.type = NPY_FLOAT32,
                      .dimensions = 2,
                      .shape = {shape[0], shape[1]},
                      .count = shape[0] * shape[1],
                      .data = slot->features.log_mel};
    Buffer bytes = BUFFER_EMPTY;
    npy_format(&array, &bytes);
    if (status == STATUS_OK) {
        status =
            bytes.status != STATUS_OK ? bytes.status : file_replace(path, bytes.bytes, bytes.size);
    }
    buffer_done(&bytes);
    return status;
}

static Status write_slot(Export *export, const Slot *slot) {
    const Clip *clip = &export->run->dataset->clips[slot->clip];
    const int64_t shape[2] = {slot->features.frames, settings_width(export->settings)};
    if (slot->status == STATUS_MEMORY) {
        return STATUS_MEMORY;
    }
    if (slot->status != STATUS_OK) {
        log_warning("not exported: %s: %s", clip->path, slot->reason);
        export->clips_wrong++;
        return STATUS_OK;
    }
    export->clips++;
    if (export->writer == NULL) {
        return write_npy(export, slot, shape);
    }
    char path[LIMIT_PATH_BYTES + 1];
    snprintf(path, sizeof path, "/%s", clip->path);
    hdf5_write_floats(export->writer, path, slot->features.log_mel, 2, shape);
    return STATUS_OK; // hdf5_writer_end tells
}

static Status do_batch(Export *export) {
    extract_batch(export);
    Status status = STATUS_OK;
    for (uint32_t i = 0; i < export->count; i++) {
        if (status == STATUS_OK) {
            status = write_slot(export, &export->slots[i]);
        }
        clip_features_done(&export->slots[i].features);
    }
    export->count = 0;
    return status;
}

static Status export_clips(Export *export, const Machine *machine) {
    Status status = STATUS_OK;
    for (uint32_t i = 0; i < machine->clip_count && status == STATUS_OK; i++) {
        uint32_t clip = machine->first_clip + i;
        const ClipState *state = plan_clip_state(export->run->plan, 0, clip);
        if (state->is_probed && state->left_out == NULL) {
            export->slots[export->count++] = (Slot){.clip = clip};
        }
        if (export->count == BATCH_CLIPS) {
            status = do_batch(export);
        }
    }
    return status == STATUS_OK && export->count > 0 ? do_batch(export) : status;
}

// A machine's file is made beside its place, and takes it when it is whole.
static Status export_hdf5(Export *export, const Machine *machine) {
    char folder[LIMIT_PATH_BYTES], path[LIMIT_PATH_BYTES], part[LIMIT_PATH_BYTES];
    int used = snprintf(folder, sizeof folder, "%s/features/%s", export->run->options.out,
                        dataset_set_text(machine->set));
    int used_path = snprintf(path, sizeof path, "%s/%s.h5", folder, machine->name);
    int used_part = snprintf(part, sizeof part, "%s/%s.h5.part", folder, machine->name);
    if (used < 0 || used_path < 0 || used_part < 0 || (size_t)used_part >= sizeof part) {
        return status_set(STATUS_LIMIT, "path too long: %s", export->run->options.out);
    }
    Status status = file_make_folders(folder);
    if (status != STATUS_OK) {
        return status;
    }
    export->writer = hdf5_writer_new_at(part);
    if (export->writer == NULL) {
        return STATUS_MEMORY;
    }
    Buffer settings = BUFFER_EMPTY;
    settings_write(export->settings, SETTING_FEATURES, &settings);
    hdf5_write_text(export->writer, "/", "settings", buffer_cstr(&settings));
    buffer_done(&settings);
    status = export_clips(export, machine);
    if (status == STATUS_OK) {
        status = hdf5_writer_end(export->writer, NULL);
    }
    hdf5_writer_free(export->writer);
    export->writer = NULL;
    if (status == STATUS_OK && rename(part, path) != 0) {
        status = status_set(STATUS_IO, "cannot rename %s: %s", part, strerror(errno));
    }
    if (status != STATUS_OK) {
        (void)unlink(part);
    }
    return status;
}

static Status make_extractors(Export *export) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    export->threads = cores < 1 ? 1 : cores > THREADS_MOST ? THREADS_MOST : (int)cores;
    for (int i = 0; i < export->threads; i++) {
        export->extractors[i] = clip_extractor_new(export->settings);
        if (export->extractors[i] == NULL) {
            return STATUS_MEMORY;
        }
    }
    return STATUS_OK;
}

Status run_export(const Run *run) {
    if (run->options.export == NULL) {
        return STATUS_OK;
    }
    bool is_npy = strcmp(run->options.export, "npy") == 0;
    Export *export = mem_new(1, sizeof *export);
    if (export == NULL) {
        return STATUS_MEMORY;
    }
    export->run = run;
    export->settings = &plan_models(run->plan)->groups[0].settings;
    Status status = make_extractors(export);
    for (uint32_t m = 0; m < run->dataset->machine_count && status == STATUS_OK; m++) {
        const Machine *machine = &run->dataset->machines[m];
        status = is_npy ? export_clips(export, machine) : export_hdf5(export, machine);
    }
    if (status == STATUS_OK) {
        log_info("features of %llu clips: %s/features", (unsigned long long)export->clips,
                 run->options.out);
        if (plan_models(run->plan)->group_count > 1) {
            log_info("of the first of the run's kinds of features (`primary` says whose)");
        }
    }
    for (int i = 0; i < export->threads; i++) {
        clip_extractor_free(export->extractors[i]);
    }
    mem_free(export);
    return status;
}
