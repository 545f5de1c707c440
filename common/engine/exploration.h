// SPDX-License-Identifier: Apache-2.0
//
// One clip as `auscult eda` sees it: the bytes of its file -> numbers about level and spectrum, and
// the mean and spread of its log-mel over time. One pass of decoding and one of transforms. Pure:
// what comes out, errors included, depends on bytes and settings alone. One Explorer is used by one
// thread at a time.
#ifndef AUSCULT_ENGINE_EXPLORATION_H
#define AUSCULT_ENGINE_EXPLORATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/limits.h"
#include "common/base/settings.h"
#include "common/base/status.h"

// What is measured of a clip. The order is that of the wire and of eda_clips.csv: a new one goes to
// the end, and changes the version in coordinator/explore/keys.
typedef enum ExplorationNumber {
    NUMBER_SECONDS,      // length
    NUMBER_RATE_HZ,      // samples per second
    NUMBER_CHANNELS,     // in the file; all other numbers are of the channel that the settings name
    NUMBER_BITS,         // of a sample in the file, 0 where the format has none (compressed)
    NUMBER_FRAMES,       // STFT frames
    NUMBER_PEAK,         // largest magnitude, 1 = full scale
    NUMBER_LEVEL_DB,     // RMS relative to full scale, at least -200
    NUMBER_CREST_DB,     // peak over RMS, 0 for silence
    NUMBER_DC,           // mean sample, 1 = full scale
    NUMBER_CLIPPED_RUNS, // runs of EXPLORATION_RUN samples or more at full scale, of one sign
    NUMBER_CLIPPED_SHARE, // of the samples, those in such runs
    NUMBER_SILENT_SHARE,  // of the blocks of hop_length samples, those below EXPLORATION_SILENCE_DB
    NUMBER_CENTROID_HZ,   // means over frames of librosa 0.11's spectral_centroid,
    NUMBER_BANDWIDTH_HZ,  // spectral_bandwidth (p = 2),
    NUMBER_ROLLOFF_HZ,    // spectral_rolloff (85 %),
    NUMBER_FLATNESS,      // spectral_flatness (power 2, amin 1e-10)
    EXPLORATION_NUMBERS
} ExplorationNumber;

#define EXPLORATION_RUN        3 // samples at full scale that no healthy converter gives in a row
#define EXPLORATION_FULL_SCALE 0.999 // the highest values of 8 bits and up, 0.992 of 8 bits apart
#define EXPLORATION_SILENCE_DB (-60.0)

typedef struct ExplorationFact {
    const char *column; // of eda_clips.csv: "level_db"
    const char *title;  // for people: "level"
    const char *unit;   // "dB re full scale", "" for none
} ExplorationFact;
// (EXPLORATION_NUMBERS)
extern const ExplorationFact EXPLORATION_FACTS[EXPLORATION_NUMBERS];

typedef struct Exploration {
    bool is_sound;                       // false: a log-mel made elsewhere; only frames is measured
    double numbers[EXPLORATION_NUMBERS]; // by ExplorationNumber; finite, 0 where not measured
    int32_t n_mels;
    double *mean;   // (n_mels) dB, mean over frames of each log-mel band; owned
    double *spread; // (n_mels) dB, its standard deviation over frames (divided by frames); in mean
} Exploration;

// Frees what it holds; accepts {0}.
void exploration_done(Exploration *exploration);
// Room for n_mels bands. STATUS_MEMORY.
Status exploration_init(Exploration *exploration, int32_t n_mels);
// Whether numbers and bands can be: finite, in their ranges. STATUS_FORMAT says which is not.
Status exploration_check(const Exploration *exploration);

typedef struct ClipExplorer ClipExplorer;
// Of the settings' front end (n_fft, hop_length, win_length, n_mels, power, fmin, fmax, pad_mode,
// channel), which passed settings_check; log-mels also where the features are others. NULL when out
// of memory.
ClipExplorer *clip_explorer_new(const Settings *settings);
void clip_explorer_free(ClipExplorer *explorer);
// STATUS_FORMAT as clip_extract, STATUS_MEMORY. The caller calls exploration_done.
Status clip_explore(ClipExplorer *explorer, const char *name, const void *bytes, size_t size,
                    Exploration *ret_exploration);

#endif
