// SPDX-License-Identifier: Apache-2.0
//
// Where the sound of frames lies in the spectrum, for STFT_LANES frames side by side: the sums that
// means over a clip are taken from. Equal to librosa 0.11's spectral_centroid, spectral_bandwidth
// (p = 2), spectral_rolloff (85 %) and spectral_flatness (power 2, amin 1e-10) of |stft| with their
// defaults; a frame of zeros has 0 in all but flatness, which is 1. One Moments belongs to one
// thread.
#ifndef AUSCULT_DSP_MOMENTS_H
#define AUSCULT_DSP_MOMENTS_H

#include <stdint.h>

// Sums over frames so far.
typedef struct MomentSums {
    double centroid_hz, bandwidth_hz, rolloff_hz, flatness;
} MomentSums;

typedef struct Moments Moments;
// NULL when out of memory.
Moments *moments_new(int32_t rate_hz, int32_t n_fft);
void moments_free(Moments *moments);
// power (bins, STFT_LANES) is stft_run's, 32-byte aligned; the first `frames` lanes count.
void moments_add(Moments *moments, const float *power, int32_t frames, MomentSums *sums);

#endif
