// SPDX-License-Identifier: Apache-2.0
//
// Vectors: `frames` neighbouring log-mel frames stacked. In a log-mel (T, n_mels) the frames of a
// vector are neighbours in memory already: vector i is the frames * n_mels floats that begin at
// frame i * frame_hop_length, so nothing is ever copied for it. Any thread.
#ifndef AUSCULT_DSP_VECTORS_H
#define AUSCULT_DSP_VECTORS_H

#include <stdint.h>

// Vectors of `total` frames: floor((total - frames) / frame_hop_length) + 1, and 0 when
// total < frames.
int64_t vectors_count(int64_t total, int32_t frames, int32_t frame_hop_length);

#endif
