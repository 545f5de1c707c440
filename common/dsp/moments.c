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

// Half of a bin's frames side by side. Written out, since compilers keep sums that are arrays in
// memory, which takes three times as long.
#define HALF (STFT_LANES / 2)
typedef float Half __attribute__((vector_size(4 * HALF)));
typedef double WideHalf __attribute__((vector_size(8 * HALF)));
typedef int64_t WideHalfIndex __attribute__((vector_size(8 * HALF)));

static inline void widen(const float *lanes, WideHalf *ret) {
    Half narrow;
    memcpy(&narrow, lanes, sizeof narrow);
    *ret = __builtin_convertvector(narrow, WideHalf);
}

// One half; all arrays begin with its first lane.
static inline void sum_half(const float *magnitude, const float *power, const float *decibels,
                            int32_t bins, double *sums[5]) {
    WideHalf all = {0}, first = {0}, second = {0}, powers = {0}, levels = {0}, bin = {0};
    const WideHalf least = LEAST_POWER - (WideHalf){0};
    for (int64_t k = 0; k < (int64_t)bins * STFT_LANES; k += STFT_LANES) {
        WideHalf m, p, d;
        widen(magnitude + k, &m);
        widen(power + k, &p);
        widen(decibels + k, &d);
        WideHalf weighted = bin * m;
        WideHalfIndex is_more = p > least;
        all += m;
        first += weighted;
        second += bin * weighted;
        powers += (WideHalf)(((WideHalfIndex)p & is_more) | ((WideHalfIndex)least & ~is_more));
        levels += d;
        bin += 1;
    }
    memcpy(sums[0], &all, sizeof all);
    memcpy(sums[1], &first, sizeof first);
    memcpy(sums[2], &second, sizeof second);
    memcpy(sums[3], &powers, sizeof powers);
    memcpy(sums[4], &levels, sizeof levels);
}

CPU_CLONES
static void sum_bins(const float *magnitude, const float *power, const float *decibels,
                     int32_t bins, LaneSums *sums) {
    for (int half = 0; half < STFT_LANES; half += HALF) {
        double *of_half[5] = {sums->magnitude + half, sums->first + half, sums->second + half,
                              sums->power + half, sums->decibels + half};
        sum_half(magnitude + half, power + half, decibels + half, bins, of_half);
    }
}

// Bins up to which less than the part lies: the index of the first that reaches it.
CPU_CLONES
static void count_below(const float *magnitude, int32_t bins, const double *wanted,
                        double *counts) {
    for (int half = 0; half < STFT_LANES; half += HALF) {
        WideHalf so_far = {0}, part;
        WideHalfIndex below = {0};
        memcpy(&part, wanted + half, sizeof part);
        for (int32_t k = 0; k < bins; k++) {
            WideHalf m;
            widen(magnitude + (int64_t)k * STFT_LANES + half, &m);
            so_far += m;
            below -= so_far < part; // -1 where it is so
        }
        WideHalf result = __builtin_convertvector(below, WideHalf);
        memcpy(counts + half, &result, sizeof result);
    }
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
