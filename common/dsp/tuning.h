// SPDX-License-Identifier: Apache-2.0
//
// How far a sound's pitches lie from the notes of A = 440 Hz: what librosa's chroma takes as the
// middle of its notes. Equal to librosa.estimate_tuning(S=power, sr=rate_hz) of 0.11 with its
// defaults: peaks of each frame's spectrum between 150 and 4000 Hz that are above a tenth of its
// largest value, interpolated by parabolas; of those at or above the median in height, the most
// frequent deviation from the nearest semitone, in hundredths. Comparisons are made in float, as
// librosa makes them; but of a frame that is flat to rounding, a lone click, rounding alone says
// which bins are peaks, there as here. Any thread.
#ifndef AUSCULT_DSP_TUNING_H
#define AUSCULT_DSP_TUNING_H

#include <stdint.h>

#include "common/base/status.h"

// power (frames, bins), finite, of a transform of 2 * (bins - 1) samples, bins >= 3 -> -0.5 .. 0.49
// in semitones; 0 for a sound without peaks. Only STATUS_MEMORY.
Status tuning_estimate(const float *power, int64_t frames, int32_t bins, int32_t rate_hz,
                       double *ret_tuning);

#endif
