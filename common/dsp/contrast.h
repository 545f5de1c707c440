// SPDX-License-Identifier: Apache-2.0
//
// Spectral contrast (Jiang et al., 2002): how far peaks stand above valleys in octaves of a
// spectrum. Equal to librosa.feature.spectral_contrast of 0.11 with its defaults: below 200 Hz and
// six octaves from there, the last open to half the rate; the mean magnitude of the highest and of
// the lowest fiftieth of a band's bins. Plain values; any thread.
#ifndef AUSCULT_DSP_CONTRAST_H
#define AUSCULT_DSP_CONTRAST_H

#include <stdint.h>

#include "common/base/status.h"

#define CONTRAST_BANDS 7

typedef struct ContrastBand {
    int32_t first; // lowest bin
    int32_t count; // bins
    int32_t taken; // of them, for the peak and for the valley
} ContrastBand;

typedef struct Contrast {
    ContrastBand bands[CONTRAST_BANDS];
} Contrast;

// STATUS_INVALID when a band has no bins: a rate that does not go beyond 12800 Hz, a transform too
// short to part the octaves.
Status contrast_make(int32_t rate_hz, int32_t n_fft, Contrast *ret);

// One frame: magnitudes (bins) -> means of its bands' highest and lowest. `scratch` (bins).
void contrast_frame(const Contrast *contrast, const float *magnitude, float *scratch,
                    double peaks[CONTRAST_BANDS], double valleys[CONTRAST_BANDS]);

// All of a clip's peaks, or valleys, in place: 10 * log10(max(x, 1e-10)), and no less than the
// largest of them less 80. The contrast is the peak's less the valley's.
void contrast_decibels(double *values, int64_t count);

#endif
