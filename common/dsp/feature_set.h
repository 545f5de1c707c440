// SPDX-License-Identifier: Apache-2.0
//
// Samples -> the rows of features that the settings ask for: log-mel frames (logmel.h), or one
// notebook vector (notebook.h). A row has settings_width floats, and `frames` rows make a vector.
// The only place that tells one kind from the other. One FeatureSet serves one rate and is used by
// one thread at a time.
#ifndef AUSCULT_DSP_FEATURE_SET_H
#define AUSCULT_DSP_FEATURE_SET_H

#include <stdint.h>

#include "common/base/settings.h"

typedef struct FeatureSet FeatureSet;

// Whether there can be one for clips of rate_hz: STATUS_INVALID as of logmel_check or
// notebook_check.
Status feature_set_check(const Settings *settings, int32_t rate_hz);
// For the feature settings of `settings`, which passed settings_check. NULL when feature_set_check
// fails or memory is out, with the message.
FeatureSet *feature_set_new(const Settings *settings, int32_t rate_hz);
void feature_set_free(FeatureSet *set);

// Rows of a clip of so many samples. STATUS_FORMAT when it is too short for any vector, or its
// spectrum beyond LIMIT_CLIP_BYTES.
Status feature_set_rows(const FeatureSet *set, int64_t samples, int64_t *ret_rows);

// `count` finite samples of which feature_set_rows told the rows -> out (rows, settings_width).
// STATUS_FORMAT, STATUS_MEMORY.
Status feature_set_run(FeatureSet *set, const float *samples, int64_t count, float *out);

#endif
