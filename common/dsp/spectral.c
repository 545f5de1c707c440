// SPDX-License-Identifier: Apache-2.0
#include "common/dsp/spectral.h"

#include <float.h>
#include <math.h>

#define ROLLOFF_PART 0.85f
#define LANES        8

// Hz from bin to bin, as numpy.fft.rfftfreq rounds it.
static double step_hz(const SpectralConfig *config) {
    return 1.0 / (config->n_fft * (1.0 / config->rate_hz));
}

// Sums run in lanes side by side, which are joined as a tree.
static double join(double lanes[LANES]) {
    for (int width = LANES / 2; width > 0; width /= 2) {
        for (int l = 0; l < width; l++) {
            lanes[l] += lanes[l + width];
        }
    }
    return lanes[0];
}

double spectral_centroid(const SpectralConfig *config, const float *magnitude) {
    double sums[LANES] = {0}, weighted[LANES] = {0};
    int32_t bins = config->n_fft / 2 + 1, k = 0;
    for (; k + LANES <= bins; k += LANES) {
        for (int l = 0; l < LANES; l++) {
            sums[l] += (double)magnitude[k + l];
            weighted[l] += (double)(k + l) * (double)magnitude[k + l];
        }
    }
    for (int l = 0; k < bins; k++, l++) {
        sums[l] += (double)magnitude[k];
        weighted[l] += (double)k * (double)magnitude[k];
    }
    double sum = join(sums);
    return step_hz(config) * join(weighted) / (sum < (double)FLT_MIN ? 1 : sum);
}

double spectral_rolloff(const SpectralConfig *config, const float *magnitude, float *scratch) {
    int32_t bins = config->n_fft / 2 + 1, low = 0, high = bins - 1;
    float sum = 0;
    for (int32_t k = 0; k < bins; k++) {
        sum += magnitude[k];
        scratch[k] = sum;
    }
    float wanted = ROLLOFF_PART * sum;
    while (low < high) { // the first sum that is not below
        int32_t middle = (low + high) / 2;
        if (scratch[middle] < wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low * step_hz(config);
}

double spectral_rms(const float *samples, int32_t count) {
    double sums[LANES] = {0};
    int32_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            sums[l] += (double)samples[i + l] * (double)samples[i + l];
        }
    }
    for (int l = 0; i < count; i++, l++) {
        sums[l] += (double)samples[i] * (double)samples[i];
    }
    return sqrt(join(sums) / count);
}
