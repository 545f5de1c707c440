// SPDX-License-Identifier: Apache-2.0
//
// A trained model as one file, enough to score anywhere: weights, running statistics, scaler,
// feature settings, rate; the yardsticks of the Mahalanobis scores, and a threshold for each score.
// Written by the coordinator, sent to workers that score, read by `auscult score`. Any thread.
//
// Layout, little-endian, without gaps:
//     8 bytes   magic "AUSCMODL"
//     4 bytes   version, 2. Another version is refused by name; a change of layout raises it.
//     4 bytes   T, bytes of the text
//     8 bytes   R, bytes of the replica
//     8 bytes   Y, bytes of the yardsticks
//     T bytes   text, UTF-8 lines "key: value": set, machine, section, rate_hz, for each score with
//               a threshold threshold_MSE, threshold_method_MSE (and so on), made_by; then a line
//               "settings:" and config.yaml's lines
//     R bytes   replica_write(REPLICA_MODEL): see common/model/replica.h; of a network that was
//               trained elsewhere, network_write: see common/engine/network.h
//     Y bytes   yardsticks_write: see common/engine/yardsticks.h
//     16 bytes  XXH3-128 of everything before
#ifndef AUSCULT_ENGINE_MODEL_FILE_H
#define AUSCULT_ENGINE_MODEL_FILE_H

#include <math.h>
#include <stdbool.h>

#include "common/base/buffer.h"
#include "common/base/limits.h"
#include "common/base/settings.h"
#include "common/engine/yardsticks.h"
#include "common/model/replica.h"

#define MODEL_FILE_NAME         "autoencoder_model.bin"
#define MODEL_FILE_NO_THRESHOLD NAN
#define MODEL_FILE_BYTES        (1ull << 30) // most that is read

typedef struct Network Network;       // common/engine/network.h
typedef struct NetworkRun NetworkRun; // likewise
typedef struct Scorer Scorer;         // common/model/scorer.h

typedef struct ModelThreshold {
    double value;    // decision 1 when a score is greater; NaN: not known (yet)
    char method[32]; // decision_method_name, "" when there is none
} ModelThreshold;

typedef struct ModelFile {
    char set[16];
    char machine[LIMIT_NAME_BYTES];
    char section[LIMIT_NAME_BYTES]; // "" for a whole machine
    int32_t rate_hz;                // of the clips it was trained on, 0 for log-mels from elsewhere
    ModelThreshold thresholds[SCORE_KINDS];
    Yardsticks yardsticks; // owned by whoever made the ModelFile
    Settings settings;
    Replica *replica; // owned by whoever made the ModelFile; NULL where there is a network
    Network *network; // one that was trained elsewhere; NULL where there is a replica
} ModelFile;

// No thresholds, no yardsticks, all else 0.
ModelFile model_file_blank(void);
// Whether it can give scores of this kind: its yardstick is there.
bool model_file_gives(const ModelFile *file, ScoreKind kind);
// Appends the file's bytes; failure is out's status.
void model_file_write(const ModelFile *file, Buffer *out);
// STATUS_FORMAT (damaged, not a model file), STATUS_MISMATCH (another version). The caller calls
// model_file_done.
Status model_file_read(const char *name, const void *bytes, size_t size, ModelFile *ret_file);
void model_file_done(ModelFile *file);
// What scores by its replica or network, which is borrowed. *ret_run is the network's memory, NULL
// for a replica, and outlives the scorer: scorer_free, then network_run_free. NULL when out of
// memory.
Scorer *model_file_scorer(const ModelFile *file, NetworkRun **ret_run);

#endif
