// SPDX-License-Identifier: Apache-2.0
#include "common/dsp/tuning.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/dsp/maths.h"

#define LOWEST_HZ  150.0
#define HIGHEST_HZ 4000.0
#define LEAST_PART 0.1f  // of a frame's largest value, above which a peak counts
#define LOWEST_A   27.5f // Hz, four octaves below 440
#define SEMITONES  12.0f
#define STEPS      100 // of a semitone
#define LN2        0.69314718055994530942

typedef struct Peak {
    float height;    // interpolated
    float deviation; // from the nearest semitone, -0.5 .. 0.5
} Peak;

typedef struct Peaks {
    int32_t bins, rate_hz; // of the spectra
    Peak *items;
    uint32_t count, capacity;
} Peaks;

// Deviation of a pitch from the nearest semitone. Rounded to float at every step, as librosa's
// arrays are.
static float deviation_of(float pitch_hz) {
    float octaves = (float)(maths_log((double)(pitch_hz / LOWEST_A)) / LN2);
    float notes = SEMITONES * octaves;
    float rest = notes - floorf(notes);
    return rest >= 0.5f ? rest - 1.0f : rest;
}

// Where between its neighbours the parabola through s[-1], s[0], s[1] has its top; 0 when that is
// further than a bin away.
static float top_of(const float *s) {
    double a = (double)(s[1] + s[-1]) - 2 * (double)s[0];
    double b = (double)(s[1] - s[-1]) / 2;
    return fabs(b) >= fabs(a) ? 0.0f : (float)(-b / a);
}

static bool add_peak(Peaks *peaks, const float *spectrum, int32_t k) {
    if (!mem_grow(&peaks->items, peaks->count, &peaks->capacity, sizeof *peaks->items)) {
        return false;
    }
    const float *s = spectrum + k;
    int32_t n_fft = 2 * (peaks->bins - 1);
    float shift = top_of(s);
    float slope = (s[1] - s[-1]) / 2;
    float pitch = (float)(((double)k + (double)shift) * peaks->rate_hz / n_fft);
    peaks->items[peaks->count++] =
        (Peak){.height = s[0] + 0.5f * slope * shift, .deviation = deviation_of(pitch)};
    return true;
}

static bool add_frame(Peaks *peaks, const float *spectrum) {
    double hz = 1.0 / (2 * (peaks->bins - 1) * (1.0 / peaks->rate_hz));
    double top = HIGHEST_HZ < peaks->rate_hz / 2.0 ? HIGHEST_HZ : peaks->rate_hz / 2.0;
    float least = LEAST_PART * maths_largest(spectrum, (size_t)peaks->bins);
    for (int32_t k = 1; k + 1 < peaks->bins && k * hz < top; k++) {
        // Neighbours that are not above `least` count as zero.
        float left = spectrum[k - 1] > least ? spectrum[k - 1] : 0;
        float right = spectrum[k + 1] > least ? spectrum[k + 1] : 0;
        bool is_peak = spectrum[k] > least && spectrum[k] > left && spectrum[k] >= right;
        if (is_peak && k * hz >= LOWEST_HZ && !add_peak(peaks, spectrum, k)) {
            return false;
        }
    }
    return true;
}

static int by_height(const void *a, const void *b) {
    float left = ((const Peak *)a)->height, right = ((const Peak *)b)->height;
    return (left > right) - (left < right);
}

// The most frequent deviation among the upper half; sorts the peaks.
static double most_frequent(Peaks *peaks) {
    int64_t counts[STEPS] = {0};
    uint32_t n = peaks->count;
    qsort(peaks->items, n, sizeof *peaks->items, by_height);
    float high = peaks->items[n / 2].height;
    float median = n % 2 == 1 ? high : (peaks->items[n / 2 - 1].height + high) / 2;
    for (uint32_t i = 0; i < n; i++) {
        if (peaks->items[i].height >= median) {
            double deviation = (double)peaks->items[i].deviation;
            int bin = (int)((deviation + 0.5) * STEPS);
            bin = bin < STEPS ? bin : STEPS - 1;
            // The edge as numpy.linspace has it, which the product may have missed by a rounding.
            bin -= bin > 0 && deviation < -0.5 + bin * (1.0 / STEPS);
            bin += bin + 1 < STEPS && deviation >= -0.5 + (bin + 1) * (1.0 / STEPS);
            counts[bin]++;
        }
    }
    int best = 0;
    for (int bin = 1; bin < STEPS; bin++) {
        best = counts[bin] > counts[best] ? bin : best;
    }
    return -0.5 + best * (1.0 / STEPS);
}

Status tuning_estimate(const float *power, int64_t frames, int32_t bins, int32_t rate_hz,
                       double *ret_tuning) {
    Peaks peaks = {.bins = bins, .rate_hz = rate_hz};
    bool has_memory = true;
    for (int64_t t = 0; t < frames && has_memory; t++) {
        has_memory = add_frame(&peaks, power + t * bins);
    }
    if (has_memory) {
        *ret_tuning = peaks.count > 0 ? most_frequent(&peaks) : 0;
    }
    mem_free(peaks.items);
    return has_memory ? STATUS_OK : STATUS_MEMORY;
}
