// SPDX-License-Identifier: Apache-2.0
//
// A synthetic data set in the shape of one year's challenge: folders, names, attributes files,
// domains, hidden labels and their ground truth, for the demo, for tests and for load. The same
// options give the same bytes, and a clip does not change when others are added. One thread.
#ifndef AUSCULT_COORDINATOR_SYNTH_SYNTH_H
#define AUSCULT_COORDINATOR_SYNTH_SYNTH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"

#define SYNTH_YEAR_FIRST   2020
#define SYNTH_YEAR_LAST    2026
#define SYNTH_MACHINES_MAX 256
#define SYNTH_CLIPS_MAX    100000 // training or test clips of one machine
#define SYNTH_SECONDS_MAX  600
#define SYNTH_RATE_LEAST   4000
#define SYNTH_RATE_MOST    192000
#define SYNTH_CHANNELS_MAX 8

typedef struct SynthOptions {
    const char *out;             // folder: absent or empty
    const char *const *machines; // (machine_count) names; NULL: the first ones of that year
    uint32_t machine_count;      // in each set
    int32_t year;
    int32_t train;  // training clips of a machine, over its sections
    int32_t test;   // test clips of a machine: half of them anomalous, half from each domain
    double seconds; // length of a clip
    int32_t rate_hz;
    int32_t channels;
    uint64_t seed;
    bool dev;  // write the development set
    bool eval; // write the evaluation set: anonymous test clips, ground truth beside it
    bool npy;  // write log-mels of channel 0, float32 (frames, 128), instead of sound
    void (*progress)(void *context, uint32_t done, uint32_t total); // may be NULL
    void *progress_context;
} SynthOptions;

// Ten seconds of 16 kHz, both sets, 2 machines, 100 training and 40 test clips each, year 2023.
SynthOptions synth_defaults(void);
// Clips that these options give.
uint32_t synth_clip_count(const SynthOptions *options);

// Writes <out>/{dev_data,eval_data}/raw/<machine>/... and <out>/eval_data_list_<year>.csv.
// STATUS_INVALID: an option outside its range, or `out` is not empty; STATUS_IO: no room, or what
// the system says; what was written until then stays. No file is ever written over.
Status synth_write(const SynthOptions *options);

#endif
