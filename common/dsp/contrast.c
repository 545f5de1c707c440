// SPDX-License-Identifier: Apache-2.0
#include "common/dsp/contrast.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/dsp/maths.h"

#define LOWEST_HZ 200.0 // where the octaves begin
#define QUANTILE  0.02
#define LEAST     1e-10
#define KEPT_MOST 16 // bins of each kind that are found without sorting all
#define RANGE_DB  80.0
#define LN10      2.30258509299404568402

Status contrast_make(int32_t rate_hz, int32_t n_fft, Contrast *ret) {
    Contrast contrast;
    int32_t bins = n_fft / 2 + 1;
    double hz = 1.0 / (n_fft * (1.0 / rate_hz)), low = 0, high = LOWEST_HZ;
    for (int b = 0; b < CONTRAST_BANDS; b++) {
        bool is_last = b + 1 == CONTRAST_BANDS;
        int32_t first = 0, end = 0; // of the bins within the octave, both edges in it
        while (first < bins && first * hz < low) {
            first++;
        }
        for (end = first; end < bins && end * hz <= high; end++) {
        }
        if (low >= 0.5 * rate_hz) {
            return status_set(STATUS_INVALID,
                              "a rate of %d Hz is too low for spectral contrast, whose last octave "
                              "begins at %g Hz",
                              rate_hz, low);
        }
        if (end == first || (b == 0 && end < 2)) {
            return status_set(
                STATUS_INVALID,
                "n_fft is %d, at a rate of %d Hz too short for spectral contrast: too "
                "few bins between %g and %g Hz",
                n_fft, rate_hz, low, high);
        }
        // A band begins with the bin below its octave, and leaves its last one to the next.
        first -= b > 0;
        end = is_last ? bins : end;
        int32_t taken = (int32_t)rint(QUANTILE * (end - first));
        contrast.bands[b] = (ContrastBand){
            .first = first, .count = end - first - !is_last, .taken = taken > 1 ? taken : 1};
        low = high;
        high *= 2;
    }
    *ret = contrast;
    return STATUS_OK;
}

static int by_size(const void *a, const void *b) {
    float left = *(const float *)a, right = *(const float *)b;
    return (left > right) - (left < right);
}

static double mean_of(const float *values, int32_t count) {
    double sum = 0;
    for (int32_t i = 0; i < count; i++) {
        sum += (double)values[i];
    }
    return sum / count;
}

// The mean of the `taken` smallest of sign * values. They are kept in order, from the smallest on;
// few of the others get as far as the end of that list.
static double mean_of_least(const float *values, int32_t count, int32_t taken, float sign) {
    float kept[KEPT_MOST];
    for (int32_t i = 0; i < count; i++) {
        float value = sign * values[i];
        int32_t place = i < taken ? i : taken - 1;
        if (i >= taken && !(value < kept[place])) {
            continue;
        }
        for (; place > 0 && kept[place - 1] > value; place--) {
            kept[place] = kept[place - 1];
        }
        kept[place] = value;
    }
    return (double)sign * mean_of(kept, taken);
}

// The usual case, one bin of each kind, needs no order. Magnitudes are in the order of their bits.
static void extremes(const float *values, int32_t count, double *ret_peak, double *ret_valley) {
    int32_t least = INT32_MAX, most = 0;
    for (int32_t i = 0; i < count; i++) {
        int32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        least = bits < least ? bits : least;
        most = bits > most ? bits : most;
    }
    float valley, peak;
    memcpy(&valley, &least, sizeof valley);
    memcpy(&peak, &most, sizeof peak);
    *ret_peak = (double)peak;
    *ret_valley = (double)valley;
}

void contrast_frame(const Contrast *contrast, const float *magnitude, float *scratch,
                    double peaks[CONTRAST_BANDS], double valleys[CONTRAST_BANDS]) {
    for (int b = 0; b < CONTRAST_BANDS; b++) {
        const ContrastBand *band = &contrast->bands[b];
        const float *values = magnitude + band->first;
        if (band->taken == 1) {
            extremes(values, band->count, &peaks[b], &valleys[b]);
            continue;
        }
        if (band->taken <= KEPT_MOST) {
            peaks[b] = mean_of_least(values, band->count, band->taken, -1);
            valleys[b] = mean_of_least(values, band->count, band->taken, 1);
            continue;
        }
        memcpy(scratch, values, (size_t)band->count * sizeof *scratch);
        qsort(scratch, (size_t)band->count, sizeof *scratch, by_size);
        peaks[b] = mean_of(scratch + band->count - band->taken, band->taken);
        valleys[b] = mean_of(scratch, band->taken);
    }
}

void contrast_decibels(double *values, int64_t count) {
    double most = -INFINITY;
    for (int64_t i = 0; i < count; i++) {
        double value = values[i] > LEAST ? values[i] : LEAST;
        values[i] = 10 / LN10 * maths_log(value);
        most = values[i] > most ? values[i] : most;
    }
    for (int64_t i = 0; i < count; i++) {
        values[i] = values[i] > most - RANGE_DB ? values[i] : most - RANGE_DB;
    }
}
