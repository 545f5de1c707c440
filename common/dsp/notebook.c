// SPDX-License-Identifier: Apache-2.0
//
// How it works. Chroma needs the tuning and decibels the largest value of the whole clip, so the
// spectrogram is made first and kept, frame by frame in a row; everything else is one pass over it.
// Means and deviations are summed in double, frame after frame.
#include "common/dsp/notebook.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/dsp/chroma.h"
#include "common/dsp/contrast.h"
#include "common/dsp/maths.h"
#include "common/dsp/mel.h"
#include "common/dsp/mfcc.h"
#include "common/dsp/spectral.h"
#include "common/dsp/stft.h"
#include "common/dsp/tuning.h"

#define LEAST_POWER 1e-10 // librosa.power_to_db's amin
#define RANGE_DB    80.0f // and its top_db

static_assert(SETTINGS_NOTEBOOK_BESIDE_MELS ==
                  3 * SETTINGS_NOTEBOOK_MFCC + 2 * (CHROMA_NOTES + CONTRAST_BANDS) + 3,
              "the width of the vector");
static_assert(NOTEBOOK_LEAST_FRAMES >= MFCC_DELTA_WIDTH, "frames for a slope");

struct Notebook {
    SpectralConfig spectral;
    int32_t bins, n_mels;
    MathsDecibel decibel;
    Contrast contrast;
    Stft *stft;
    Mel *mel;
    Mfcc *mfcc;
    float *power;     // (bins, STFT_LANES)
    float *bands;     // (n_mels, STFT_LANES)
    float *bank;      // (bins, CHROMA_NOTES) of the clip's tuning
    float *magnitude; // (bins) of a frame
    float *scratch;   // (bins)
};

// One clip under work, all by frames.
typedef struct Clip {
    int64_t frames;
    float *power;    // (frames, bins)
    float *mel;      // (frames, n_mels) decibels
    float *mfcc;     // (frames, SETTINGS_NOTEBOOK_MFCC)
    float *delta;    // (frames, SETTINGS_NOTEBOOK_MFCC)
    float *chroma;   // (frames, CHROMA_NOTES)
    double *peaks;   // (frames, CONTRAST_BANDS)
    double *valleys; // (frames, CONTRAST_BANDS)
} Clip;

static double top_hz(const Settings *settings, int32_t rate_hz) {
    return settings->fmax > 0 ? settings->fmax : rate_hz / 2.0;
}

Status notebook_check(const Settings *settings, int32_t rate_hz) {
    double top = top_hz(settings, rate_hz);
    Contrast contrast;
    if (!(settings->fmin < top)) {
        return status_set(STATUS_INVALID, "fmin is %g Hz, at a rate of %d Hz it must be below %g",
                          settings->fmin, rate_hz, top);
    }
    return contrast_make(rate_hz, settings->n_fft, &contrast);
}

static bool make_stages(Notebook *notebook, const Settings *settings, int32_t rate_hz) {
    const StftConfig stft = {.n_fft = settings->n_fft,
                             .hop_length = settings->hop_length,
                             .win_length = settings->win_length,
                             .pad_mode = (PadMode)settings->pad_mode};
    const MelConfig mel = {.rate_hz = rate_hz,
                           .n_fft = settings->n_fft,
                           .n_mels = settings->n_mels,
                           .fmin_hz = settings->fmin,
                           .fmax_hz = top_hz(settings, rate_hz)};
    size_t bins = (size_t)notebook->bins, lane_bytes = STFT_LANES * sizeof(float);
    notebook->stft = stft_new(&stft);
    notebook->mel = mel_new(&mel);
    notebook->mfcc = mfcc_new(settings->n_mels, SETTINGS_NOTEBOOK_MFCC);
    notebook->power = mem_new_aligned(bins, lane_bytes);
    notebook->bands = mem_new_aligned((size_t)settings->n_mels, lane_bytes);
    notebook->bank = mem_new(CHROMA_NOTES * bins, sizeof(float));
    notebook->magnitude = mem_new(bins, sizeof(float));
    notebook->scratch = mem_new(bins, sizeof(float));
    return notebook->stft != NULL && notebook->mel != NULL && notebook->mfcc != NULL &&
           notebook->power != NULL && notebook->bands != NULL && notebook->bank != NULL &&
           notebook->magnitude != NULL && notebook->scratch != NULL;
}

Notebook *notebook_new(const Settings *settings, int32_t rate_hz) {
    if (notebook_check(settings, rate_hz) != STATUS_OK) {
        return NULL;
    }
    Notebook *notebook = mem_new(1, sizeof *notebook);
    if (notebook == NULL) {
        return NULL;
    }
    notebook->spectral = (SpectralConfig){.rate_hz = rate_hz, .n_fft = settings->n_fft};
    notebook->bins = settings->n_fft / 2 + 1;
    notebook->n_mels = settings->n_mels;
    notebook->decibel = maths_decibel_new(10, LEAST_POWER);
    Status status = contrast_make(rate_hz, settings->n_fft, &notebook->contrast);
    if (status != STATUS_OK || !make_stages(notebook, settings, rate_hz)) {
        notebook_free(notebook);
        return NULL;
    }
    return notebook;
}

void notebook_free(Notebook *notebook) {
    if (notebook != NULL) {
        stft_free(notebook->stft);
        mel_free(notebook->mel);
        mfcc_free(notebook->mfcc);
        mem_free(notebook->power);
        mem_free(notebook->bands);
        mem_free(notebook->bank);
        mem_free(notebook->magnitude);
        mem_free(notebook->scratch);
        mem_free(notebook);
    }
}

int64_t notebook_frames(const Notebook *notebook, int64_t samples) {
    return stft_frames(notebook->stft, samples);
}

static void clip_done(Clip *clip) {
    mem_free(clip->power);
    mem_free(clip->mel);
    mem_free(clip->mfcc);
    mem_free(clip->delta);
    mem_free(clip->chroma);
    mem_free(clip->peaks);
    mem_free(clip->valleys);
}

static bool clip_init(const Notebook *notebook, int64_t frames, Clip *clip) {
    size_t count = (size_t)frames;
    *clip = (Clip){.frames = frames};
    clip->power = mem_new(count, (size_t)notebook->bins * sizeof(float));
    clip->mel = mem_new(count, (size_t)notebook->n_mels * sizeof(float));
    clip->mfcc = mem_new(count, SETTINGS_NOTEBOOK_MFCC * sizeof(float));
    clip->delta = mem_new(count, SETTINGS_NOTEBOOK_MFCC * sizeof(float));
    clip->chroma = mem_new(count, CHROMA_NOTES * sizeof(float));
    clip->peaks = mem_new(count, CONTRAST_BANDS * sizeof(double));
    clip->valleys = mem_new(count, CONTRAST_BANDS * sizeof(double));
    return clip->power != NULL && clip->mel != NULL && clip->mfcc != NULL && clip->delta != NULL &&
           clip->chroma != NULL && clip->peaks != NULL && clip->valleys != NULL;
}

// in (rows, STFT_LANES) -> the first `frames` columns as rows of out (frames, rows).
static void put_frames(const float *in, int32_t rows, int64_t frames, float *out) {
    for (int64_t lane = 0; lane < frames; lane++) {
        for (int32_t r = 0; r < rows; r++) {
            out[lane * rows + r] = in[(int64_t)r * STFT_LANES + lane];
        }
    }
}

// Chroma is relative, so that of digital silence nothing must be left but zeros.
static void silence(Notebook *notebook, const float *samples, int64_t count, int64_t first,
                    int64_t frames) {
    for (int64_t lane = 0; lane < frames; lane++) {
        bool is_silent = stft_is_silent(notebook->stft, samples, count, first + lane);
        for (int64_t k = 0; is_silent && k < notebook->bins; k++) {
            notebook->power[k * STFT_LANES + lane] = 0;
        }
    }
}

// Powers, and decibels of mel bands.
static void take_spectra(Notebook *notebook, const float *samples, int64_t count, Clip *clip) {
    int32_t n_mels = notebook->n_mels;
    for (int64_t first = 0; first < clip->frames; first += STFT_LANES) {
        int64_t left = clip->frames - first, frames = left < STFT_LANES ? left : STFT_LANES;
        stft_run(notebook->stft, samples, count, first, notebook->power);
        silence(notebook, samples, count, first, frames);
        mel_run(notebook->mel, notebook->power, notebook->bands);
        maths_decibel(&notebook->decibel, notebook->bands, (size_t)n_mels * STFT_LANES);
        put_frames(notebook->power, notebook->bins, frames, clip->power + first * notebook->bins);
        put_frames(notebook->bands, n_mels, frames, clip->mel + first * n_mels);
    }
}

// Decibels relative to the clip's largest, 0, and no less than -80.
static void relate_to_largest(float *decibels, int64_t count) {
    float largest = decibels[0];
    for (int64_t i = 1; i < count; i++) {
        largest = decibels[i] > largest ? decibels[i] : largest;
    }
    for (int64_t i = 0; i < count; i++) {
        float value = decibels[i] - largest;
        decibels[i] = value > -RANGE_DB ? value : -RANGE_DB;
    }
}

// Means over time of (frames, columns), and the deviations about them if there is room for them.
static void sum_up(const float *values, int64_t frames, int32_t columns, float *means,
                   float *deviations) {
    for (int32_t c = 0; c < columns; c++) {
        double sum = 0, squares = 0;
        for (int64_t t = 0; t < frames; t++) {
            sum += (double)values[t * columns + c];
        }
        double mean = sum / (double)frames;
        for (int64_t t = 0; t < frames && deviations != NULL; t++) {
            double apart = (double)values[t * columns + c] - mean;
            squares += apart * apart;
        }
        means[c] = (float)mean;
        if (deviations != NULL) {
            deviations[c] = (float)sqrt(squares / (double)frames);
        }
    }
}

// Mel bands, MFCCs and their slopes.
static float *put_cepstra(const Notebook *notebook, Clip *clip, float *out) {
    int64_t frames = clip->frames;
    relate_to_largest(clip->mel, frames * notebook->n_mels);
    sum_up(clip->mel, frames, notebook->n_mels, out, NULL);
    out += notebook->n_mels;
    mfcc_run(notebook->mfcc, clip->mel, frames, clip->mfcc);
    sum_up(clip->mfcc, frames, SETTINGS_NOTEBOOK_MFCC, out, NULL);
    for (int order = 1; order <= 2; order++) {
        out += SETTINGS_NOTEBOOK_MFCC;
        mfcc_delta(clip->mfcc, frames, SETTINGS_NOTEBOOK_MFCC, order, clip->delta);
        sum_up(clip->delta, frames, SETTINGS_NOTEBOOK_MFCC, out, NULL);
    }
    return out + SETTINGS_NOTEBOOK_MFCC;
}

// Chroma of every frame, peaks and valleys, and the three means of single numbers into `out`.
static void take_frames(Notebook *notebook, const float *samples, int64_t count, Clip *clip,
                        float *out) {
    double centroid = 0, rolloff = 0, rms = 0;
    for (int64_t t = 0; t < clip->frames; t++) {
        const float *power = clip->power + t * notebook->bins;
        memcpy(notebook->magnitude, power, (size_t)notebook->bins * sizeof *power);
        maths_power(notebook->magnitude, (size_t)notebook->bins, 0.5);
        chroma_frame(notebook->bank, notebook->bins, power, clip->chroma + t * CHROMA_NOTES);
        contrast_frame(&notebook->contrast, notebook->magnitude, notebook->scratch,
                       clip->peaks + t * CONTRAST_BANDS, clip->valleys + t * CONTRAST_BANDS);
        centroid += spectral_centroid(&notebook->spectral, notebook->magnitude);
        rolloff += spectral_rolloff(&notebook->spectral, notebook->magnitude, notebook->scratch);
        rms +=
            spectral_rms(stft_samples(notebook->stft, samples, count, t), notebook->spectral.n_fft);
    }
    out[0] = (float)(centroid / (double)clip->frames);
    out[1] = (float)(rolloff / (double)clip->frames);
    out[2] = (float)(rms / (double)clip->frames);
}

static void put_contrast(Clip *clip, float *means, float *deviations) {
    int64_t count = clip->frames * CONTRAST_BANDS;
    contrast_decibels(clip->peaks, count);
    contrast_decibels(clip->valleys, count);
    float *contrast = clip->mfcc; // of more columns, and not needed any more
    static_assert(CONTRAST_BANDS <= SETTINGS_NOTEBOOK_MFCC, "room for the contrast");
    for (int64_t i = 0; i < count; i++) {
        contrast[i] = (float)(clip->peaks[i] - clip->valleys[i]);
    }
    sum_up(contrast, clip->frames, CONTRAST_BANDS, means, deviations);
}

static Status run(Notebook *notebook, const float *samples, int64_t count, Clip *clip, float *out) {
    int32_t rate_hz = notebook->spectral.rate_hz, bins = notebook->bins;
    double tuning = 0;
    take_spectra(notebook, samples, count, clip);
    if (!isfinite(maths_largest(clip->power, (size_t)(clip->frames * bins)))) {
        return status_set(STATUS_FORMAT, "so loud that its power leaves the range of numbers");
    }
    Status status = tuning_estimate(clip->power, clip->frames, bins, rate_hz, &tuning);
    if (status == STATUS_OK) {
        status = chroma_bank(rate_hz, notebook->spectral.n_fft, tuning, notebook->bank);
    }
    if (status != STATUS_OK) {
        return status;
    }
    float *chroma = put_cepstra(notebook, clip, out);
    float *contrast = chroma + CHROMA_NOTES, *single = contrast + CONTRAST_BANDS;
    float *deviations = single + 3;
    take_frames(notebook, samples, count, clip, single);
    sum_up(clip->chroma, clip->frames, CHROMA_NOTES, chroma, deviations);
    put_contrast(clip, contrast, deviations + CHROMA_NOTES);
    return STATUS_OK;
}

Status notebook_run(Notebook *notebook, const float *samples, int64_t count, float *out) {
    Clip clip;
    int64_t frames = notebook_frames(notebook, count);
    assert(frames >= NOTEBOOK_LEAST_FRAMES);
    Status status = clip_init(notebook, frames, &clip) ? run(notebook, samples, count, &clip, out)
                                                       : STATUS_MEMORY;
    clip_done(&clip);
    return status;
}
