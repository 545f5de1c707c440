// SPDX-License-Identifier: Apache-2.0
//
// A clip where it lies: reading its file, probing it, scoring it. Workers do this, and the
// coordinator where no worker could. Statuses tell whose fault a failure is: STATUS_FORMAT is a
// fact of the data (the bytes were read and do not decode), every other is this machine's (it
// cannot be opened, it is not what was scanned). Messages are reasons for left_out.csv: they name
// no folder. One thread at a time per object.
#ifndef AUSCULT_ENGINE_SOURCE_H
#define AUSCULT_ENGINE_SOURCE_H

#include "common/base/digest.h"
#include "common/engine/clip.h"
#include "common/engine/exploration.h"
#include "common/engine/model_file.h"
#include "common/engine/portrait.h"

// Reads the whole file into `bytes`. size_bytes: what the scan saw; `expected`: its digest once
// known, or NULL. STATUS_NOT_FOUND, STATUS_IO; STATUS_MISMATCH: it has changed since.
Status source_read(const char *path, uint64_t size_bytes, const Digest *expected, Buffer *bytes,
                   Digest *ret_digest);

typedef struct SourceFacts {
    uint32_t frames, vectors, rate_hz, channels;
    double seconds;
    bool is_silent;
    Digest digest; // set whenever the file could be read, also on STATUS_FORMAT
} SourceFacts;

// `name` is the file's name; its ending tells sound from .npy.
Status source_probe(ClipExtractor *extractor, const char *path, const char *name,
                    uint64_t size_bytes, SourceFacts *ret_facts);

// The clip's log-mel; the caller calls clip_features_done.
Status source_features(ClipExtractor *extractor, const char *path, const char *name,
                       uint64_t size_bytes, const Digest *expected, ClipFeatures *ret_features);

// What is to be told of the clip, and its pictures; the caller calls exploration_done or
// portrait_done.
Status source_explore(ClipExplorer *explorer, const char *path, const char *name,
                      uint64_t size_bytes, const Digest *expected, Exploration *ret_exploration);
Status source_portrait(Portraitist *portraitist, const char *path, const char *name,
                       uint64_t size_bytes, const Digest *expected, Portrait *ret_portrait);

// Measures clips with one model.
typedef struct SourceScorer SourceScorer;
// From a model file's bytes. STATUS_FORMAT, STATUS_MISMATCH, STATUS_MEMORY.
Status source_scorer_new(const void *model, size_t size, SourceScorer **ret);
void source_scorer_free(SourceScorer *scorer);
const ModelFile *source_scorer_model(const SourceScorer *scorer);
// size_bytes 0 and expected NULL: whatever the file is now. STATUS_FORMAT also when the clip's rate
// is not the model's. row_mahala is measured when the model has precisions and its settings say
// mahala: paper. The measure borrows `row` (n_mels).
Status source_measure(SourceScorer *scorer, const char *path, const char *name, uint64_t size_bytes,
                      const Digest *expected, double *row, ClipMeasure *ret_measure);
// The same of a clip whose features, made with the model's settings, are there already.
Status source_measure_features(SourceScorer *scorer, const ClipFeatures *clip, double *row,
                               ClipMeasure *ret_measure);
// The score of this kind of what was measured; NaN when the model has no yardstick for it.
double source_score(const SourceScorer *scorer, ScoreKind kind, const ClipMeasure *measure);

#endif
