// SPDX-License-Identifier: Apache-2.0
//
// Samples -> log-mel: stft, power, mel filter bank, decibels. Equal to
// 20/power * log10(max(librosa.feature.melspectrogram(...), 2.220446049250313e-16)) of librosa
// 0.11, transposed. One LogMel serves one rate and is used by one thread at a time.
#ifndef AUSCULT_DSP_LOGMEL_H
#define AUSCULT_DSP_LOGMEL_H

#include <stdint.h>

#include "common/base/settings.h"

typedef struct LogMel LogMel;

// Whether there can be one for clips of rate_hz: STATUS_INVALID when the mel bands have no width,
// fmin not being below fmax or half the rate.
Status logmel_check(const Settings *settings, int32_t rate_hz);
// For the feature settings of `settings`, which passed settings_check. NULL when logmel_check fails
// or memory is out, with the message.
LogMel *logmel_new(const Settings *settings, int32_t rate_hz);
void logmel_free(LogMel *logmel);

// Frames of a clip: 1 + floor(samples / hop_length) for even n_fft; 0 for no samples.
int64_t logmel_frames(const LogMel *logmel, int64_t samples);

// `count` finite samples -> out (logmel_frames(count), n_mels). Infinity where a power leaves
// float's range. Allocates nothing.
void logmel_run(LogMel *logmel, const float *samples, int64_t count, float *out);

// Where the mel bands have their tips, Hz: out (n_mels). STATUS_INVALID as of logmel_check,
// STATUS_MEMORY.
Status logmel_centres(const Settings *settings, int32_t rate_hz, double *out);

#endif
