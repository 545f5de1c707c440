// SPDX-License-Identifier: Apache-2.0
//
// The command line of `run` and of its single stages, and the run folder it leads to: options,
// configuration by precedence (preset < file < --set), what a resumed run remembers.
#ifndef AUSCULT_COORDINATOR_RUN_OPTIONS_H
#define AUSCULT_COORDINATOR_RUN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/limits.h"
#include "common/base/settings.h"
#include "coordinator/plan/plan.h"

typedef struct RunOptions {
    const char *roots[LIMIT_ROOTS]; // as typed
    uint32_t root_count;
    const char *manifest;
    const char *truth;
    const char *out;
    const char *export;    // "npy" or "hdf5": the clips' features as files; NULL for none
    const char *model;     // a network from elsewhere, NULL: train
    const char *scaler;    // its scaler, or NULL
    const char *threshold; // its threshold, or NULL
    const char *bind;
    const char *keys;       // folder; NULL: the run's own
    const char *http;       // of the live page, NULL for none
    uint32_t local_workers; // UINT32_MAX: not given
    const char *config;
    const char *preset;
    const char *assignments[256];
    uint32_t assignment_count;
    const char *label;
    bool is_insecure, is_strict, is_quiet, is_verbose, is_dry, is_json;
    bool is_update, is_retry, is_restart;
} RunOptions;

// Returns -1 to go on, else the exit status (help and usage have been printed).
int run_options_parse(int argc, char **argv, RunOptions *options);

// Preset, file and assignments together, checked but for `primary`. Errors are for usage. Appends
// to `notes` what config_read_file does.
Status run_options_settings(const RunOptions *options, Settings *ret_settings, Buffer *notes);

#endif
