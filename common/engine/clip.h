// SPDX-License-Identifier: Apache-2.0
//
// One clip: the bytes of its file -> facts and features, log-mel frames or a notebook vector. The
// only place that knows sound files and .npy files alike. Pure: what comes out, errors included,
// depends on bytes and settings alone. One ClipExtractor is used by one thread at a time.
#ifndef AUSCULT_ENGINE_CLIP_H
#define AUSCULT_ENGINE_CLIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/settings.h"

typedef struct ClipFeatures {
    float *log_mel;   // (frames, settings_width), owned; NULL from clip_probe
    int64_t frames;   // T, at least settings.frames; 1 of notebook features
    int64_t vectors;  // vector i is the settings.frames rows from row i * frame_hop_length; >= 1
    int32_t rate_hz;  // 0 for a .npy
    int32_t channels; // in the file; 1 for a .npy
    double seconds;   // 0 for a .npy
    bool is_silent;   // sound whose every sample is zero: usable, but worth a warning
} ClipFeatures;

typedef struct ClipExtractor ClipExtractor;

// Keeps a copy of the settings, which passed settings_check. NULL when out of memory.
ClipExtractor *clip_extractor_new(const Settings *settings);
void clip_extractor_free(ClipExtractor *extractor);

// Whether the name says .npy (letter case aside): float32 (frames, settings_width), a log-mel or
// notebook vectors made elsewhere and used as they are. Every other clip is sound.
bool clip_is_npy(const char *name);

// STATUS_FORMAT when the clip cannot be used, saying why: what wav_read refuses; a .npy of another
// shape or type or with values that are not finite; fewer frames than a vector needs; a rate at
// which the mel bands have no width; powers out of float's range. STATUS_MEMORY otherwise. `name`
// is for messages and the .npy decision only.
Status clip_extract(ClipExtractor *extractor, const char *name, const void *bytes, size_t size,
                    ClipFeatures *ret_features);
// The facts only, log_mel NULL. Decodes all of the clip but transforms nothing, so all but powers
// out of range is found as by clip_extract.
Status clip_probe(ClipExtractor *extractor, const char *name, const void *bytes, size_t size,
                  ClipFeatures *ret_features);
// Frees the log-mel; accepts {0}.
void clip_features_done(ClipFeatures *features);

#endif
