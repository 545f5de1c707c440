// SPDX-License-Identifier: Apache-2.0
//
// Samples -> one vector per clip, the features of the notebooks that this system supersedes. With
// S = |stft| of n_fft, hop_length, win_length and pad_mode as set, these calls of librosa 0.11:
//     mel      = power_to_db(feature.melspectrogram(S=S**2, n_mels=n_mels, fmin, fmax), ref=np.max)
//     mfcc     = feature.mfcc(S=mel, n_mfcc=14); first = feature.delta(mfcc, order=1); second = 2
//     chroma   = feature.chroma_stft(S=S**2)          (tuning estimated, as by default)
//     contrast = feature.spectral_contrast(S=S)
//     centroid, rolloff = feature.spectral_centroid(S=S), spectral_rolloff(S=S)
//     rms      = feature.rms(y=y, frame_length=n_fft, hop_length=hop_length)
// The vector has the means over time of mel (n_mels), mfcc (14), first (14), second (14), chroma
// (12), contrast (7), centroid, rolloff (Hz), rms, then the deviations over time (numpy.std) of
// chroma (12) and contrast (7): n_mels + 83 floats. What is recorded of the notebooks are the
// kinds of features, 64 mels, 14 MFCCs and 147 floats in all; that the 19 beyond the means are
// these deviations is our reading. One Notebook serves one rate and one thread at a time.
#ifndef AUSCULT_DSP_NOTEBOOK_H
#define AUSCULT_DSP_NOTEBOOK_H

#include <stdint.h>

#include "common/base/settings.h"

#define NOTEBOOK_LEAST_FRAMES 9 // a slope is fitted to as many

typedef struct Notebook Notebook;

// Whether there can be one for clips of rate_hz: STATUS_INVALID when mel bands or the octaves of
// the contrast have no width.
Status notebook_check(const Settings *settings, int32_t rate_hz);
// For the feature settings of `settings`, which passed settings_check. NULL when notebook_check
// fails or memory is out, with the message.
Notebook *notebook_new(const Settings *settings, int32_t rate_hz);
void notebook_free(Notebook *notebook);

// Frames that the vector is averaged over: 1 + floor(samples / hop_length) for even n_fft.
int64_t notebook_frames(const Notebook *notebook, int64_t samples);

// `count` finite samples of NOTEBOOK_LEAST_FRAMES frames or more -> out (settings_width).
// STATUS_FORMAT where a power leaves float's range; STATUS_MEMORY.
Status notebook_run(Notebook *notebook, const float *samples, int64_t count, float *out);

#endif
