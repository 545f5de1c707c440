// SPDX-License-Identifier: Apache-2.0
//
// Short-time Fourier transform: samples -> power per frame and bin, as librosa.stft(center=True)
// with a periodic Hann window. FFTW works in double, as librosa's transform does: in float, quiet
// bands beside loud ones are off by 1e-3 dB and more. One Stft is used by one thread at a time;
// several may be made and freed in parallel.
#ifndef AUSCULT_DSP_STFT_H
#define AUSCULT_DSP_STFT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/settings.h"

#define STFT_LANES 8 // frames side by side in what stft_run gives: one AVX register of floats

typedef struct StftConfig {
    int32_t n_fft;      // samples of one transform, even or odd
    int32_t hop_length; // samples from frame to frame
    int32_t win_length; // samples of the window, at most n_fft, centred in it
    PadMode pad_mode;   // what stands before the first and behind the last sample
} StftConfig;

typedef struct Stft Stft;

// NULL when out of memory.
Stft *stft_new(const StftConfig *config);
void stft_free(Stft *stft);

// n_fft / 2 + 1.
int32_t stft_bins(const Stft *stft);
// Frames of a clip: 1 + floor(samples / hop_length) for even n_fft; 0 for no samples.
int64_t stft_frames(const Stft *stft, int64_t samples);

// Squared magnitudes of frames first .. first + STFT_LANES - 1, one frame per column:
// out (bins, STFT_LANES). Frames beyond the last are zero. Frame t is centred on sample
// t * hop_length. Reflection is numpy's, repeated as often as a short clip needs. Allocates
// nothing.
void stft_run(Stft *stft, const float *samples, int64_t count, int64_t first, float *out);

// The n_fft samples of frame t, padded where they stick out of the clip, without the window.
// Borrowed until the next call, or from the samples.
const float *stft_samples(Stft *stft, const float *samples, int64_t count, int64_t t);
// Whether frame t is zero under the window: its power then is 0, but stft_run may give what crossed
// over from a loud neighbour, some 1e-30 of that.
bool stft_is_silent(Stft *stft, const float *samples, int64_t count, int64_t t);

// Nothing but `count` of the transforms that stft_run makes of two frames each, on whatever is in
// memory: what the benchmark takes as the limit.
void stft_transforms(Stft *stft, int64_t count);
// Name and version of the library that transforms; borrowed for good.
const char *stft_library(void);

#endif
