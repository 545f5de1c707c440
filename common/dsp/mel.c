// SPDX-License-Identifier: Apache-2.0
#include "common/dsp/mel.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/clones.h"
#include "common/base/mem.h"
#include "common/dsp/maths.h"

// Slaney's Auditory Toolbox: linear below 1000 Hz, logarithmic above, 27 mels per factor of 6.4.
#define HZ_PER_MEL  (200.0 / 3)
#define BREAK_HZ    1000.0
#define BREAK_MEL   (BREAK_HZ / HZ_PER_MEL)
#define STEP_FACTOR 6.4
#define STEPS       27.0

typedef struct Band {
    int32_t first;  // lowest bin with a weight
    int32_t count;  // bins with weights; 0 when the band falls between two bins
    int32_t offset; // of its first weight in `weights`
} Band;

struct Mel {
    int32_t bins, n_mels;
    Band *bands;    // (n_mels)
    float *weights; // all bands' one after another
};

static double mel_of_hz(double hz) {
    if (hz < BREAK_HZ) {
        return hz / HZ_PER_MEL;
    }
    return BREAK_MEL + maths_log(hz / BREAK_HZ) / (maths_log(STEP_FACTOR) / STEPS);
}

static double hz_of_mel(double mel) {
    if (mel < BREAK_MEL) {
        return HZ_PER_MEL * mel;
    }
    return BREAK_HZ * maths_exp(maths_log(STEP_FACTOR) / STEPS * (mel - BREAK_MEL));
}

// Weight of a bin at `hz` in the triangle over edges[0..2], rounded to float before and after the
// area norm, as librosa does.
static float weight_at(double hz, const double *edges) {
    double rising = (hz - edges[0]) / (edges[1] - edges[0]);
    double falling = (edges[2] - hz) / (edges[2] - edges[1]);
    double least = rising < falling ? rising : falling;
    float triangle = least > 0 ? (float)least : 0.0f;
    return (float)((double)triangle * (2.0 / (edges[2] - edges[0])));
}

// n_mels + 2 edges, equally spaced on the mel scale.
static void fill_edges(const MelConfig *config, double *edges) {
    double low = mel_of_hz(config->fmin_hz), high = mel_of_hz(config->fmax_hz);
    int32_t steps = config->n_mels + 1;
    double step = (high - low) / steps;
    for (int32_t i = 0; i <= steps; i++) {
        edges[i] = hz_of_mel(i < steps ? low + i * step : high);
    }
}

static void find_bands(Mel *mel, const double *edges, double hz_per_bin) {
    int32_t offset = 0;
    for (int32_t m = 0; m < mel->n_mels; m++) {
        Band *band = &mel->bands[m];
        band->offset = offset;
        for (int32_t k = 0; k < mel->bins; k++) {
            if (weight_at(k * hz_per_bin, edges + m) > 0) {
                band->first = band->count == 0 ? k : band->first;
                band->count = k - band->first + 1;
            }
        }
        offset += band->count;
    }
}

static void fill_weights(Mel *mel, const double *edges, double hz_per_bin) {
    for (int32_t m = 0; m < mel->n_mels; m++) {
        const Band *band = &mel->bands[m];
        for (int32_t i = 0; i < band->count; i++) {
            mel->weights[band->offset + i] = weight_at((band->first + i) * hz_per_bin, edges + m);
        }
    }
}

Status mel_centres(const MelConfig *config, double *out) {
    double *edges = mem_new((size_t)config->n_mels + 2, sizeof *edges);
    if (edges == NULL) {
        return STATUS_MEMORY;
    }
    fill_edges(config, edges);
    memcpy(out, edges + 1, (size_t)config->n_mels * sizeof *out);
    mem_free(edges);
    return STATUS_OK;
}

Mel *mel_new(const MelConfig *config) {
    assert(config->n_mels > 0 && config->n_fft > 0 && config->rate_hz > 0);
    assert(config->fmin_hz >= 0 && config->fmin_hz < config->fmax_hz);
    Mel *mel = mem_new(1, sizeof *mel);
    double *edges = mem_new((size_t)config->n_mels + 2, sizeof *edges);
    if (mel == NULL || edges == NULL) {
        goto failed;
    }
    double hz_per_bin = 1.0 / (config->n_fft * (1.0 / config->rate_hz));
    mel->n_mels = config->n_mels;
    mel->bins = config->n_fft / 2 + 1;
    mel->bands = mem_new((size_t)mel->n_mels, sizeof *mel->bands);
    if (mel->bands == NULL) {
        goto failed;
    }
    fill_edges(config, edges);
    find_bands(mel, edges, hz_per_bin);
    const Band *last = &mel->bands[mel->n_mels - 1];
    mel->weights = mem_new((size_t)(last->offset + last->count), sizeof *mel->weights);
    if (mel->weights == NULL) {
        goto failed;
    }
    fill_weights(mel, edges, hz_per_bin);
    mem_free(edges);
    return mel;
failed:
    mem_free(edges);
    mel_free(mel);
    return NULL;
}

void mel_free(Mel *mel) {
    if (mel != NULL) {
        mem_free(mel->bands);
        mem_free(mel->weights);
        mem_free(mel);
    }
}

void mel_matrix(const Mel *mel, float *out) {
    for (int32_t m = 0; m < mel->n_mels; m++) {
        const Band *band = &mel->bands[m];
        for (int32_t k = 0; k < mel->bins; k++) {
            bool is_inside = k >= band->first && k < band->first + band->count;
            out[(int64_t)m * mel->bins + k] =
                is_inside ? mel->weights[band->offset + k - band->first] : 0.0f;
        }
    }
}

// One value of each frame; the compiler makes of it what the processor has.
typedef float Lanes __attribute__((vector_size(4 * STFT_LANES)));

CPU_CLONES
void mel_run(const Mel *mel, const float *power, float *out) {
    const Lanes *columns = (const Lanes *)(const void *)power;
    Lanes *bands = (Lanes *)(void *)out;
    for (int32_t m = 0; m < mel->n_mels; m++) {
        const Band *band = &mel->bands[m];
        const float *weights = mel->weights + band->offset;
        const Lanes *column = columns + band->first;
        // Two sums: an addition must not wait for the one before it.
        Lanes even = {0}, odd = {0};
        int32_t i = 0;
        for (; i + 1 < band->count; i += 2) {
            even += weights[i] * column[i];
            odd += weights[i + 1] * column[i + 1];
        }
        if (i < band->count) {
            even += weights[i] * column[i];
        }
        bands[m] = even + odd;
    }
}
