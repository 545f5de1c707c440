// SPDX-License-Identifier: Apache-2.0
//
// The mel filter bank: power per transform bin -> power per mel band. Equal to
// librosa.filters.mel(sr, n_fft, n_mels, fmin, fmax) of 0.11 (Slaney's scale and area norm,
// float32). Stands between stft and the logarithm. Immutable once made: any thread.
#ifndef AUSCULT_DSP_MEL_H
#define AUSCULT_DSP_MEL_H

#include <stdint.h>

#include "common/dsp/stft.h"

typedef struct MelConfig {
    int32_t rate_hz;
    int32_t n_fft;  // samples of one transform; bins = n_fft / 2 + 1
    int32_t n_mels; // bands
    double fmin_hz; // lower edge of the lowest band
    double fmax_hz; // upper edge of the highest band, above fmin_hz
} MelConfig;

typedef struct Mel Mel;

// NULL when out of memory.
Mel *mel_new(const MelConfig *config);
void mel_free(Mel *mel);

// The frequencies of the bands' tips in Hz, lowest first: out (n_mels). STATUS_MEMORY
Status mel_centres(const MelConfig *config, double *out);

// The weights as a full matrix, for tests and figures: out (n_mels, bins).
void mel_matrix(const Mel *mel, float *out);

// For STFT_LANES frames side by side: power (bins, STFT_LANES) -> out (n_mels, STFT_LANES), both
// 32-byte aligned. Sums run over even and odd bins of a band, lowest first, then both are added.
void mel_run(const Mel *mel, const float *power, float *out);

#endif
