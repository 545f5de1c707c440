// SPDX-License-Identifier: Apache-2.0
#include "common/dsp/spectral.h"

#include <float.h>
#include <math.h>

#define ROLLOFF_PART 0.85f

// Hz from bin to bin, as numpy.fft.rfftfreq rounds it.
static double step_hz(const SpectralConfig *config) {
    return 1.0 / (config->n_fft * (1.0 / config->rate_hz));
}

double spectral_centroid(const SpectralConfig *config, const float *magnitude) {
    double sum = 0, weighted = 0, hz = step_hz(config);
    for (int32_t k = 0; k <= config->n_fft / 2; k++) {
        sum += (double)magnitude[k];
        weighted += k * hz * (double)magnitude[k];
    }
    return sum < (double)FLT_MIN ? weighted : weighted / sum;
}

double spectral_rolloff(const SpectralConfig *config, const float *magnitude) {
    int32_t bins = config->n_fft / 2 + 1, k = 0;
    float total = 0, sum = 0;
    for (int32_t i = 0; i < bins; i++) {
        total += magnitude[i];
    }
    float wanted = ROLLOFF_PART * total;
    for (sum = magnitude[0]; k + 1 < bins && sum < wanted; sum += magnitude[k]) {
        k++;
    }
    return k * step_hz(config);
}

double spectral_rms(const float *samples, int32_t count) {
    double sum = 0;
    for (int32_t i = 0; i < count; i++) {
        sum += (double)samples[i] * (double)samples[i];
    }
    return sqrt(sum / count);
}
