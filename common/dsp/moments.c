// SPDX-License-Identifier: Apache-2.0
#include "common/dsp/moments.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "common/base/clones.h"
#include "common/base/mem.h"
#include "common/dsp/maths.h"
#include "common/dsp/stft.h"

#define ROLLOFF_PART 0.85
#define LEAST_POWER  1e-10
#define TENTH_OF_BEL 0.23025850929940457 // ln(10) / 10: decibels to nepers of power

struct Moments {
    double step_hz; // from bin to bin
    int32_t bins;
    MathsDecibel decibel;
    float *magnitude; // (bins, STFT_LANES)
    float *decibels;  // (bins, STFT_LANES) of the power
};

// Sums over the bins, lane by lane; k counts bins.
typedef struct LaneSums {
    double magnitude[STFT_LANES], first[STFT_LANES], second[STFT_LANES]; // times 1, k, k * k
    double power[STFT_LANES], decibels[STFT_LANES];
} LaneSums;

Moments *moments_new(int32_t rate_hz, int32_t n_fft) {
    Moments *moments = mem_new(1, sizeof *moments);
    if (moments == NULL) {
        return NULL;
    }
    moments->step_hz = 1.0 / (n_fft * (1.0 / rate_hz)); // as numpy.fft.rfftfreq rounds it
    moments->bins = n_fft / 2 + 1;
    moments->decibel = maths_decibel_new(10, LEAST_POWER);
    size_t lane_bytes = STFT_LANES * sizeof(float);
    moments->magnitude = mem_new_aligned((size_t)moments->bins, lane_bytes);
    moments->decibels = mem_new_aligned((size_t)moments->bins, lane_bytes);
    if (moments->magnitude == NULL || moments->decibels == NULL) {
        moments_free(moments);
        return NULL;
    }
    return moments;
}

void moments_free(Moments *moments) {
    if (moments != NULL) {
        mem_free(moments->magnitude);
        mem_free(moments->decibels);
        mem_free(moments);
    }
}

CPU_CLONES
static void sum_bins(const float *magnitude, const float *power, const float *decibels,
                     int32_t bins, LaneSums *sums) {
    LaneSums s = {0};
    for (int32_t k = 0; k < bins; k++) {
        const float *m = magnitude + (int64_t)k * STFT_LANES;
        const float *p = power + (int64_t)k * STFT_LANES;
        const float *d = decibels + (int64_t)k * STFT_LANES;
        for (int l = 0; l < STFT_LANES; l++) {
            double first = (double)k * (double)m[l];
            s.magnitude[l] += (double)m[l];
            s.first[l] += first;
            s.second[l] += (double)k * first;
            s.power[l] += (double)p[l] > LEAST_POWER ? (double)p[l] : LEAST_POWER;
            s.decibels[l] += (double)d[l];
        }
    }
    *sums = s;
}

// Bins up to which less than the part lies: the index of the first that reaches it.
CPU_CLONES
static void count_below(const float *magnitude, int32_t bins, const double *wanted,
                        double *counts) {
    double so_far[STFT_LANES] = {0}, below[STFT_LANES] = {0};
    for (int32_t k = 0; k < bins; k++) {
        const float *m = magnitude + (int64_t)k * STFT_LANES;
        for (int l = 0; l < STFT_LANES; l++) {
            so_far[l] += (double)m[l];
            below[l] += so_far[l] < wanted[l] ? 1.0 : 0.0;
        }
    }
    memcpy(counts, below, sizeof below);
}

void moments_add(Moments *moments, const float *power, int32_t frames, MomentSums *sums) {
    size_t count = (size_t)moments->bins * STFT_LANES;
    LaneSums lanes;
    double wanted[STFT_LANES], below[STFT_LANES];
    memcpy(moments->magnitude, power, count * sizeof *power);
    memcpy(moments->decibels, power, count * sizeof *power);
    maths_power(moments->magnitude, count, 0.5);
    maths_decibel(&moments->decibel, moments->decibels, count);
    sum_bins(moments->magnitude, power, moments->decibels, moments->bins, &lanes);
    for (int l = 0; l < STFT_LANES; l++) {
        wanted[l] = ROLLOFF_PART * lanes.magnitude[l];
    }
    count_below(moments->magnitude, moments->bins, wanted, below);
    for (int l = 0; l < frames; l++) {
        double whole = lanes.magnitude[l] < (double)FLT_MIN ? 1 : lanes.magnitude[l];
        double centre = lanes.first[l] / whole;
        double square = lanes.second[l] / whole - centre * centre;
        sums->centroid_hz += moments->step_hz * centre;
        sums->bandwidth_hz += moments->step_hz * sqrt(square > 0 ? square : 0);
        sums->rolloff_hz += moments->step_hz * below[l];
        sums->flatness += maths_exp(TENTH_OF_BEL * lanes.decibels[l] / moments->bins) /
                          (lanes.power[l] / moments->bins);
    }
}
