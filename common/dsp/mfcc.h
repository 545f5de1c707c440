// SPDX-License-Identifier: Apache-2.0
//
// Mel-frequency cepstral coefficients of a log-mel, and the slopes of any features over time. Equal
// to librosa.feature.mfcc(S=log_mel.T, n_mfcc=n).T and librosa.feature.delta(features.T).T of 0.11
// with their defaults: an orthonormal DCT-II over the bands, and Savitzky and Golay's filter of
// width 9, the polynomial's degree that of the derivative, mode "interp". Immutable once made: any
// thread.
#ifndef AUSCULT_DSP_MFCC_H
#define AUSCULT_DSP_MFCC_H

#include <stdint.h>

#define MFCC_DELTA_WIDTH 9 // frames that a slope is fitted to; a clip needs as many

typedef struct Mfcc Mfcc;

// The first n_mfcc coefficients of n_mels bands, 1 <= n_mfcc <= n_mels <= LIMIT_MELS. NULL when out
// of memory.
Mfcc *mfcc_new(int32_t n_mels, int32_t n_mfcc);
void mfcc_free(Mfcc *mfcc);

// log_mel (frames, n_mels) in decibels, relative to whatever the caller wants -> out (frames,
// n_mfcc). librosa's mfcc(y=...) takes decibels of power relative to 1 that end 80 dB below the
// clip's largest. Allocates nothing.
void mfcc_run(const Mfcc *mfcc, const float *log_mel, int64_t frames, float *out);

// First (order 1) or second (order 2) derivative over time, per frame, of each column: features
// (frames, columns) -> out likewise, which must not be the same memory. frames >= MFCC_DELTA_WIDTH.
// The first and last four frames have the derivative of the polynomial through the outermost nine.
// Allocates nothing.
void mfcc_delta(const float *features, int64_t frames, int32_t columns, int order, float *out);

#endif
