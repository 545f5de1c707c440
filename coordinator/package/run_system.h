// SPDX-License-Identifier: Apache-2.0
//
// The systems of a finished run as its folder shows them: their official files, the model that
// made them, and their figures on development data. Reads files only; the run may be anybody's.
#ifndef AUSCULT_PACKAGE_RUN_SYSTEM_H
#define AUSCULT_PACKAGE_RUN_SYSTEM_H

#include <stdbool.h>

#include "common/base/limits.h"
#include "common/base/settings.h"
#include "common/model/shape.h"
#include "common/store/csv.h"
#include "coordinator/package/archive.h"

typedef struct RunSystem {
    const char *run;                // folder; borrowed
    char name[LIMIT_NAME_BYTES];    // of its outputs: "seed_2"; "" for the primary one
    char outputs[LIMIT_PATH_BYTES]; // RUN/outputs or RUN/outputs/<name>
    char files[LIMIT_PATH_BYTES];   // .../submission/task2/<label>, its official files
} RunSystem;

typedef struct RunSystems {
    RunSystem *items; // (count) the primary one first, then by name
    size_t count;
} RunSystems;

// What of the model a meta.yaml tells.
typedef struct RunModel {
    Settings settings; // of the system
    Shape shape;
    int32_t rate_hz;             // 0 where clips are log-mels
    char path[LIMIT_PATH_BYTES]; // of its file: systems that differ in score alone share one
} RunModel;

// Adds the run's systems. STATUS_NOT_FOUND: it has no official files (yet).
Status run_systems_find(const char *run, RunSystems *systems);
void run_systems_done(RunSystems *systems);

// Adds the system's score and decision files as `folder`/name. *ret_year: 2020 or 2021 when they
// are in that year's form, else 0.
Status run_system_add_files(const RunSystem *system, const char *folder, Archive *archive,
                            int *ret_year);
// Rows of the score files that stand for clips without a score: they got their machine's median.
// `ret_names` gets the first few for people.
Status run_system_count_left_out(const RunSystem *system, size_t *ret_count, Buffer *ret_names);
// Whether it is the mean of the run's other systems.
bool run_system_is_ensemble(const RunSystem *system);
// From a model of one of the machines that are handed in. STATUS_NOT_FOUND when none is there.
Status run_system_model(const RunSystem *system, RunModel *ret_model);
// Where the column of that name stands in a table's header. STATUS_FORMAT.
Status run_system_find_column(const CsvReader *reader, const CsvRow *header, const char *name,
                              size_t *ret_index);

#endif
