// SPDX-License-Identifier: Apache-2.0
//
// The configuration that defines a result, as one plain struct and one table. The table is the
// source of parsing, ranges, help text, key reference and config.yaml. Where data lie, workers,
// addresses and logging are never here. Keys carry the official baseline's names
// (dcase2023_task2_baseline_ae, baseline.yaml) where it has them.
#ifndef AUSCULT_BASE_SETTINGS_H
#define AUSCULT_BASE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/digest.h"
#include "common/base/limits.h"
#include "common/base/status.h"

typedef enum FeatureKind { FEATURES_LOGMEL, FEATURES_NOTEBOOK } FeatureKind;
typedef enum PadMode { PAD_ZEROS, PAD_REFLECT } PadMode;
typedef enum ModelPer { MODEL_PER_MACHINE, MODEL_PER_SECTION } ModelPer;
typedef enum ScalerKind { SCALER_NONE, SCALER_STANDARD } ScalerKind;
typedef enum InitialWeights { WEIGHTS_PYTORCH, WEIGHTS_KERAS } InitialWeights;
typedef enum SpreadMode { SPREAD_AUTO, SPREAD_ALWAYS, SPREAD_NEVER } SpreadMode;
typedef enum ScoreKind { SCORE_MSE, SCORE_MAHALA, SCORE_CLIPMAHALA } ScoreKind;
enum { SCORE_KINDS = SCORE_CLIPMAHALA + 1 };
typedef enum MahalaKind { MAHALA_CODE, MAHALA_PAPER } MahalaKind;
typedef enum ThresholdKind {
    THRESHOLD_GAMMA_CLIP,
    THRESHOLD_GAMMA_BATCH,
    THRESHOLD_PERCENTILE,
    THRESHOLD_FIXED,
} ThresholdKind;

typedef enum H5ScalerKind { H5_SCALER_BESIDE, H5_SCALER_INSIDE } H5ScalerKind;
typedef enum EnsembleKind { ENSEMBLE_NONE, ENSEMBLE_ZMEAN } EnsembleKind;

// Of a notebook vector (common/dsp/notebook.h): its MFCCs, and its floats beside the mel bands.
enum { SETTINGS_NOTEBOOK_MFCC = 14, SETTINGS_NOTEBOOK_BESIDE_MELS = 83 };

typedef struct SettingRow SettingRow;

typedef struct SeedList {
    int32_t count;
    int64_t seeds[LIMIT_SEEDS]; // (count) each once
} SeedList;

typedef struct ScoreList {
    int32_t count;
    int32_t kinds[SCORE_KINDS]; // (count) ScoreKind, each once
} ScoreList;

// Widths of a network's hidden layers.
typedef struct WidthList {
    int32_t count;                // 1 or more
    int32_t widths[LIMIT_HIDDEN]; // (count) 0 behind them
} WidthList;

// A value as the field of Settings holds it; the rest of its bytes are 0.
typedef union SettingNumber {
    int64_t whole;
    int32_t narrow;
    double real;
} SettingNumber;

// One setting that varies.
typedef struct MatrixAxis {
    const SettingRow *row;
    int32_t count;                           // 2 or more
    SettingNumber values[LIMIT_AXIS_VALUES]; // (count) each once
} MatrixAxis;

// A system for every combination. Seeds and scores, which vary likewise, have lists of their own.
typedef struct Matrix {
    int32_t count;
    MatrixAxis axes[LIMIT_AXES]; // (count) in the order of SETTING_TABLE
} Matrix;

typedef struct Settings {
    // Features (librosa.feature.melspectrogram's names)
    int32_t features;         // FeatureKind
    int32_t channel;          // which channel of a clip, 0 = first
    int32_t n_fft;            // samples of one transform
    int32_t hop_length;       // samples from frame to frame
    int32_t win_length;       // samples of the Hann window, centred in n_fft
    int32_t n_mels;           // mel bands
    double power;             // exponent of the magnitude: 1 amplitude, 2 energy
    double fmin;              // Hz, lower edge of the lowest band
    double fmax;              // Hz, upper edge of the highest band; 0 = half the rate
    int32_t pad_mode;         // PadMode
    int32_t frames;           // frames stacked in one vector
    int32_t frame_hop_length; // frames from vector to vector
    // Training
    char network[LIMIT_SYSTEM_BYTES]; // digest of one from elsewhere; "" = trained here
    int32_t model_per;                // ModelPer
    int32_t scaler;                   // ScalerKind
    WidthList hidden;                 // the network's layers between its two ends
    int32_t batch_norm; // 1: batch normalisation before each ReLU, as the official network has it
    int32_t initial_weights; // InitialWeights
    int32_t shards;          // logical shards S of one model, a power of two
    int32_t batch_size;      // vectors of one optimiser step, over all shards
    int32_t epochs;
    double learning_rate;
    double validation_split; // share of the vectors held out
    int64_t seed;            // of the primary system: the first of `seeds` if there are any
    SeedList seeds;          // a system for each; empty when there is one seed alone
    int32_t numerics;        // Kernel (common/model/linalg.h): which BLAS kernel, 0 = auto
    int32_t spread;          // SpreadMode; changes time, never bits
    // Scores and decisions
    int32_t score;             // ScoreKind of the first system
    ScoreList scores;          // a system for each; empty when there is one score alone
    int32_t mahala;            // MahalaKind
    int32_t compat;            // 1: where the official baseline errs, err alike
    int32_t threshold;         // ThresholdKind
    double decision_threshold; // quantile of the gamma distribution that is the threshold
    double percentile;         // per cent of the training scores below the threshold
    double fixed_threshold;    // of threshold: fixed
    double max_fpr;            // false-positive rate at which pAUC ends
    int32_t ensemble;          // EnsembleKind
    int32_t h5_scaler;         // H5ScalerKind: where autoencoder_model.h5 has the scaler
    int32_t pictures;          // 1: of the clips that scored highest and lowest
    // Systems
    Matrix matrix;                    // the field of each of its settings holds the first value
    char primary[LIMIT_SYSTEM_BYTES]; // whose outputs are the run's; "" = the first
} Settings;

// The stage whose tasks read a setting: changing it redoes that stage and those after it.
typedef enum SettingStage {
    SETTING_FEATURES,
    SETTING_TRAINING,
    SETTING_SCORING,
    SETTING_REPORT,
    SETTING_EXECUTION, // changes time, never a result
} SettingStage;

typedef enum SettingType {
    SETTING_INT,    // int32_t
    SETTING_INT64,  // int64_t
    SETTING_REAL,   // double
    SETTING_CHOICE, // int32_t index into `choices`
    SETTING_SEEDS,  // SeedList
    SETTING_SCORES, // int32_t index into `choices`, and Settings.scores
    SETTING_WIDTHS, // WidthList
    SETTING_MATRIX, // Matrix
    SETTING_NAME,   // char[LIMIT_SYSTEM_BYTES]
} SettingType;

struct SettingRow {
    const char *key;
    SettingType type;
    SettingStage stage;
    size_t offset;              // of the field in Settings
    double least, most;         // accepted range of numbers, both ends in it
    const char *const *choices; // NULL-terminated, for SETTING_CHOICE
    const char *help;           // one line, with the unit
    bool is_quiet;              // not written while it has its default: younger than others' runs
};

// Every key in the order of config.yaml; ends with key == NULL.
extern const SettingRow SETTING_TABLE[];

// The row of a key. STATUS_INVALID suggests the nearest known one.
Status settings_row(const char *key, const SettingRow **ret_row);
// "MSE"; borrowed for good.
const char *settings_score_name(ScoreKind kind);

// The preset's values: "default", "dcase-baseline" or "notebook". STATUS_INVALID names the presets
// there are.
Status settings_preset(const char *name, Settings *ret_settings);
// Names of the presets, NULL-terminated.
const char *const *settings_preset_names(void);

// Sets one key from text. STATUS_INVALID for an unknown key (suggesting the nearest known one) or
// a value outside the accepted range (naming the range). "null" is accepted for fmax (half the
// rate) and for win_length (the present n_fft). Seeds are listed as "[1, 2]" or "1,2": the first
// becomes `seed`, and a single one is `seed` and no list; scores likewise, and widths, of which
// each may stand several times. The matrix is written "{n_mels: [64, 128], score: [MSE, MAHALA]}".
Status settings_set(Settings *settings, const char *key, const char *value);
// Has one setting vary over a list as above, as the matrix does with each of its own: the first
// becomes its value; of a list of one nothing else stays. STATUS_INVALID also for a setting that
// cannot vary within a run.
Status settings_vary(Settings *settings, const char *key, const char *values);
// Sets from one "key=value".
Status settings_assign(Settings *settings, const char *assignment);
// What no single key can tell: batch_size / shards whole, win_length <= n_fft, fmin < fmax, ..., of
// every combination that the matrix makes; and that `primary` is one of the systems.
Status settings_check(const Settings *settings);

// One key's value as text.
void settings_value(const Settings *settings, const SettingRow *row, Buffer *out);
// Appends "key: value\n" for every key whose stage is at most `last`, in table order, but for an
// empty list of seeds, matrix or name, and quiet ones that have their default; this is
// config.yaml's body, what workers are sent, and what digests cover.
void settings_write(const Settings *settings, SettingStage last, Buffer *out);
// Floats of one row of a clip's features, of which `frames` make a vector: n_mels, or all of a
// notebook vector.
int32_t settings_width(const Settings *settings);
// Whether a score is the one, or one of those, that are asked for.
bool settings_wants(const Settings *settings, ScoreKind kind);
// How many seeds there are, 1 or more; and the settings of one of them: that seed and no list, as
// if the run had no other. `index` is below the count.
int32_t settings_seed_count(const Settings *settings);
Settings settings_of_seed(const Settings *settings, int32_t index);
// Whether one key's change only adds to what a run computes, so that nothing finished is redone:
// all of old's values, one or several of a list or the matrix, are still among now's.
bool settings_extends(const Settings *old, const Settings *now, const SettingRow *row);
// Digest of what settings_write gives for stages up to `last`. What is kept or looked up by it asks
// settings_digest_all, which says STATUS_MEMORY where the text did not fit memory: a digest of part
// of it would be that of other settings.
Status settings_digest_all(const Settings *settings, SettingStage last, Digest *ret_digest);
Digest settings_digest(const Settings *settings, SettingStage last);
// Appends the key reference: key, default, accepted range and help, for --help-settings.
void settings_reference(Buffer *out);

#endif
