// SPDX-License-Identifier: Apache-2.0
//
// Chroma: how much of a frame's power belongs to each of the twelve notes, C first, whatever the
// octave. Equal to librosa.feature.chroma_stft of 0.11 with its defaults (filters.chroma: Gaussian
// bumps about the notes, columns of length 1, weighted about the fifth octave; each frame divided
// by its largest). A bank is plain memory of the caller's; any thread.
#ifndef AUSCULT_DSP_CHROMA_H
#define AUSCULT_DSP_CHROMA_H

#include <stdint.h>

#include "common/base/status.h"

#define CHROMA_NOTES 12

// The filter bank of transforms of n_fft samples, for notes that are off by `tuning` semitones
// (tuning.h): out (n_fft / 2 + 1, CHROMA_NOTES). STATUS_MEMORY.
Status chroma_bank(int32_t rate_hz, int32_t n_fft, double tuning, float *out);

// One frame: power (bins) -> out (CHROMA_NOTES), the largest 1; all 0 for silence.
void chroma_frame(const float *bank, int32_t bins, const float *power, float out[CHROMA_NOTES]);

#endif
