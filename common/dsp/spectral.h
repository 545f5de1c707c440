// SPDX-License-Identifier: Apache-2.0
//
// Single numbers about a frame. Equal to librosa.feature.spectral_centroid, spectral_rolloff and
// rms of 0.11 with their defaults. Any thread.
#ifndef AUSCULT_DSP_SPECTRAL_H
#define AUSCULT_DSP_SPECTRAL_H

#include <stdint.h>

typedef struct SpectralConfig {
    int32_t rate_hz;
    int32_t n_fft; // samples of the transform; bins = n_fft / 2 + 1
} SpectralConfig;

// Hz, the mean frequency, weighted by magnitude (bins); 0 for silence.
double spectral_centroid(const SpectralConfig *config, const float *magnitude);
// Hz, the lowest bin up to which 85 % of the magnitude (bins) lie, summed in float as librosa sums;
// 0 for silence. `scratch` (bins).
double spectral_rolloff(const SpectralConfig *config, const float *magnitude, float *scratch);
// The root of the mean square of `count` samples.
double spectral_rms(const float *samples, int32_t count);

#endif
