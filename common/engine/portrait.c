// SPDX-License-Identifier: Apache-2.0
//
// How it works. A clip's frames are spread over the columns, its bands and bins over the rows; each
// cell is a plain mean, taken in one order. Then everything is rounded to the 16-bit numbers that
// the wire and the journal carry, so that what is drawn does not depend on the way it came.
#include "common/engine/portrait.h"

#include <math.h>
#include <string.h>

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/dsp/maths.h"
#include "common/dsp/mfcc.h"
#include "common/dsp/stft.h"
#include "common/dsp/wav.h"
#include "common/engine/clip.h"
#include "common/engine/model_file.h"
#include "common/engine/network.h"
#include "common/model/scorer.h"

#define LEAST_POWER    2.220446049250313e-16 // as of logmel.c
#define LEAST_RESIDUAL 1e-6                  // -60 dB: nothing was left
#define MFCC_RANGE_DB  80.0f                 // librosa.power_to_db's top_db
#define UNIT_SAMPLE    30000.0
#define UNIT_MFCC      10.0
#define UNIT_DECIBEL   100.0

struct Portraitist {
    Settings settings; // features are log-mels
    WavReader *reader;
    ClipExtractor *extractor;
    Mfcc *mfcc;
    ModelFile model; // where has_model
    bool has_model;
    Scorer *scorer;  // NULL: there is no residual of log-mels
    NetworkRun *run; // of a network from elsewhere, else NULL
};

// ---- shape and wire ----

static int32_t at_most(int64_t value, int32_t most) {
    return value < most ? (int32_t)value : most;
}

size_t portrait_count(const Portrait *shape) {
    int32_t rows = 2 + shape->mel_rows + shape->spectrum_rows + shape->mfcc_rows +
                   (shape->has_residual ? shape->mel_rows : 0);
    return (size_t)rows * (size_t)shape->columns;
}

static bool is_shape(const Portrait *shape) {
    return shape->columns >= 1 && shape->columns <= PORTRAIT_COLUMNS && shape->mel_rows >= 1 &&
           shape->mel_rows <= PORTRAIT_ROWS && shape->spectrum_rows >= 0 &&
           shape->spectrum_rows <= PORTRAIT_ROWS && shape->mfcc_rows >= 0 &&
           shape->mfcc_rows <= PORTRAIT_MFCC && shape->rate_hz >= 0 &&
           shape->rate_hz <= LIMIT_RATE_HZ && shape->seconds >= 0 && isfinite(shape->seconds);
}

// Room for the pictures of this shape.
static Status make_room(const Portrait *shape, Portrait *ret) {
    Portrait made = *shape;
    size_t columns = (size_t)shape->columns;
    made.values = mem_new(portrait_count(shape), sizeof *made.values);
    if (made.values == NULL) {
        return STATUS_MEMORY;
    }
    made.low = made.values;
    made.high = made.low + columns;
    made.log_mel = made.high + columns;
    made.spectrogram = made.log_mel + columns * (size_t)shape->mel_rows;
    made.mfcc = made.spectrogram + columns * (size_t)shape->spectrum_rows;
    made.residual = shape->has_residual ? made.mfcc + columns * (size_t)shape->mfcc_rows : NULL;
    *ret = made;
    return STATUS_OK;
}

void portrait_done(Portrait *portrait) {
    mem_free(portrait->values);
    *portrait = (Portrait){0};
}

// What a value at this place is counted in.
static double unit_at(const Portrait *shape, size_t place) {
    size_t columns = (size_t)shape->columns;
    size_t mfcc = columns * (size_t)(2 + shape->mel_rows + shape->spectrum_rows);
    return place < 2 * columns                                                  ? UNIT_SAMPLE
           : place >= mfcc && place < mfcc + columns * (size_t)shape->mfcc_rows ? UNIT_MFCC
                                                                                : UNIT_DECIBEL;
}

static int16_t count_of(double value, double unit) {
    double scaled = rint(value * unit);
    return (int16_t)(scaled > INT16_MAX ? INT16_MAX : scaled < -INT16_MAX ? -INT16_MAX : scaled);
}

void portrait_pack(const Portrait *portrait, Buffer *out) {
    size_t count = portrait_count(portrait);
    for (size_t i = 0; i < count; i++) {
        uint16_t value = (uint16_t)count_of((double)portrait->values[i], unit_at(portrait, i));
        unsigned char bytes[2] = {(unsigned char)value, (unsigned char)(value >> 8)};
        buffer_append(out, bytes, sizeof bytes);
    }
}

Status portrait_unpack(const Portrait *shape, const void *bytes, size_t size, Portrait *ret) {
    if (!is_shape(shape) || size != 2 * portrait_count(shape)) {
        return status_set(STATUS_FORMAT, "a portrait whose size cannot be");
    }
    Portrait portrait;
    Status status = make_room(shape, &portrait);
    if (status != STATUS_OK) {
        return status;
    }
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size / 2; i++) {
        int16_t value = (int16_t)(uint16_t)(at[2 * i] | at[2 * i + 1] << 8);
        portrait.values[i] = (float)(value / unit_at(shape, i));
    }
    *ret = portrait;
    return STATUS_OK;
}

static void round_values(Portrait *portrait) {
    size_t count = portrait_count(portrait);
    for (size_t i = 0; i < count; i++) {
        double unit = unit_at(portrait, i);
        portrait->values[i] = (float)(count_of((double)portrait->values[i], unit) / unit);
    }
}

// ---- making ----

static Status use_model(Portraitist *portraitist, const void *model, size_t size) {
    Status status = model_file_read("model", model, size, &portraitist->model);
    if (status != STATUS_OK) {
        return status;
    }
    portraitist->has_model = true;
    if (portraitist->model.settings.features != FEATURES_LOGMEL ||
        portraitist->model.settings.n_mels != portraitist->settings.n_mels) {
        return STATUS_OK; // what it could not reconstruct is no picture over time
    }
    portraitist->scorer = model_file_scorer(&portraitist->model, &portraitist->run);
    return portraitist->scorer != NULL ? STATUS_OK : STATUS_MEMORY;
}

Status portraitist_new(const Settings *settings, const void *model, size_t size,
                       Portraitist **ret) {
    Portraitist *portraitist = mem_new(1, sizeof *portraitist);
    if (portraitist == NULL) {
        return STATUS_MEMORY;
    }
    portraitist->settings = *settings;
    portraitist->settings.features = FEATURES_LOGMEL;
    portraitist->settings.frames = model != NULL ? settings->frames : 1;
    portraitist->reader = wav_reader_new();
    portraitist->extractor = clip_extractor_new(&portraitist->settings);
    portraitist->mfcc = mfcc_new(settings->n_mels, at_most(settings->n_mels, PORTRAIT_MFCC));
    bool ok =
        portraitist->reader != NULL && portraitist->extractor != NULL && portraitist->mfcc != NULL;
    Status status = ok ? STATUS_OK : STATUS_MEMORY;
    if (status == STATUS_OK && model != NULL) {
        status = use_model(portraitist, model, size);
    }
    if (status != STATUS_OK) {
        portraitist_free(portraitist);
        return status;
    }
    *ret = portraitist;
    return STATUS_OK;
}

void portraitist_free(Portraitist *portraitist) {
    if (portraitist != NULL) {
        scorer_free(portraitist->scorer);
        network_run_free(portraitist->run);
        if (portraitist->has_model) {
            model_file_done(&portraitist->model);
        }
        mfcc_free(portraitist->mfcc);
        clip_extractor_free(portraitist->extractor);
        wav_reader_free(portraitist->reader);
        mem_free(portraitist);
    }
}

// ---- pictures ----

// Of `count` things over `parts`: where part i begins; it ends where the next begins, and has at
// least one thing as long as parts <= count.
static int64_t part_start(int64_t count, int32_t parts, int64_t i) {
    return i * count / parts;
}

// image (frames, bands) -> out (rows, columns), each cell the mean of the frames and bands in it.
static Status shrink(const float *image, int64_t frames, int32_t bands, int32_t rows,
                     int32_t columns, float *out) {
    double *sums = mem_new((size_t)rows, sizeof *sums);
    if (sums == NULL) {
        return STATUS_MEMORY;
    }
    for (int32_t c = 0; c < columns; c++) {
        int64_t from = part_start(frames, columns, c), to = part_start(frames, columns, c + 1);
        memset(sums, 0, (size_t)rows * sizeof *sums);
        for (int64_t t = from; t < to; t++) {
            for (int32_t r = 0; r < rows; r++) {
                int64_t end = part_start(bands, rows, r + 1);
                for (int64_t b = part_start(bands, rows, r); b < end; b++) {
                    sums[r] += (double)image[t * bands + b];
                }
            }
        }
        for (int32_t r = 0; r < rows; r++) {
            int64_t height = part_start(bands, rows, r + 1) - part_start(bands, rows, r);
            out[(int64_t)r * columns + c] = (float)(sums[r] / (double)((to - from) * height));
        }
    }
    mem_free(sums);
    return STATUS_OK;
}

static void draw_envelope(const float *samples, int64_t count, Portrait *portrait) {
    for (int32_t c = 0; c < portrait->columns; c++) {
        int64_t i = part_start(count, portrait->columns, c);
        int64_t end = part_start(count, portrait->columns, c + 1);
        float low = samples[i < count ? i : count - 1], high = low;
        for (; i < end; i++) {
            low = samples[i] < low ? samples[i] : low;
            high = samples[i] > high ? samples[i] : high;
        }
        portrait->low[c] = low;
        portrait->high[c] = high;
    }
}

// The power of every frame, in decibels, as (frames, bins).
static Status draw_spectrogram(const Settings *s, const float *samples, int64_t count,
                               int64_t frames, Portrait *portrait) {
    const StftConfig config = {s->n_fft, s->hop_length, s->win_length, (PadMode)s->pad_mode};
    MathsDecibel decibel = maths_decibel_new(10, LEAST_POWER);
    int32_t bins = s->n_fft / 2 + 1;
    Stft *stft = stft_new(&config);
    float *lanes = mem_new_aligned((size_t)bins, STFT_LANES * sizeof *lanes);
    float *image = mem_new((size_t)frames * (size_t)bins, sizeof *image);
    Status status = stft != NULL && lanes != NULL && image != NULL ? STATUS_OK : STATUS_MEMORY;
    for (int64_t first = 0; status == STATUS_OK && first < frames; first += STFT_LANES) {
        stft_run(stft, samples, count, first, lanes);
        maths_decibel(&decibel, lanes, (size_t)bins * STFT_LANES);
        for (int64_t l = 0; l < STFT_LANES && first + l < frames; l++) {
            for (int32_t k = 0; k < bins; k++) {
                image[(first + l) * bins + k] = lanes[(int64_t)k * STFT_LANES + l];
            }
        }
    }
    if (status == STATUS_OK) {
        status = shrink(image, frames, bins, portrait->spectrum_rows, portrait->columns,
                        portrait->spectrogram);
    }
    mem_free(image);
    mem_free(lanes);
    stft_free(stft);
    return status;
}

static Status draw_mfcc(const Portraitist *portraitist, const ClipFeatures *clip,
                        Portrait *portrait) {
    size_t size = (size_t)clip->frames * (size_t)portraitist->settings.n_mels;
    float *limited = mem_new(size, sizeof *limited);
    float *image = mem_new((size_t)clip->frames * (size_t)portrait->mfcc_rows, sizeof *image);
    Status status = limited != NULL && image != NULL ? STATUS_OK : STATUS_MEMORY;
    if (status == STATUS_OK) {
        float most = clip->log_mel[0];
        for (size_t i = 0; i < size; i++) {
            most = clip->log_mel[i] > most ? clip->log_mel[i] : most;
        }
        for (size_t i = 0; i < size; i++) {
            float least = most - MFCC_RANGE_DB;
            limited[i] = clip->log_mel[i] > least ? clip->log_mel[i] : least;
        }
        mfcc_run(portraitist->mfcc, limited, clip->frames, image);
        status = shrink(image, clip->frames, portrait->mfcc_rows, portrait->mfcc_rows,
                        portrait->columns, portrait->mfcc);
    }
    mem_free(image);
    mem_free(limited);
    return status;
}

// ---- what the model could not reconstruct ----

typedef struct FrameResiduals {
    int32_t n_mels, frames, hop; // of a vector
    int64_t rows;                // seen so far
    double *sums;                // (frames of the clip, n_mels) squared residuals
    int64_t *counts;             // (frames of the clip) vectors that held the frame
} FrameResiduals;

// Row r of all is frame r % frames of vector r / frames.
static void add_rows(void *context, const real *rows, int64_t count) {
    FrameResiduals *residuals = context;
    for (int64_t i = 0; i < count; i++, residuals->rows++) {
        int64_t frame = residuals->rows / residuals->frames * residuals->hop +
                        residuals->rows % residuals->frames;
        double *sums = residuals->sums + frame * residuals->n_mels;
        const real *row = rows + i * residuals->n_mels;
        for (int32_t m = 0; m < residuals->n_mels; m++) {
            sums[m] += (double)row[m] * (double)row[m];
        }
        residuals->counts[frame]++;
    }
}

// Means of squares, then decibels; frames that no vector holds (a hop longer than a vector, the
// clip's end) are as their neighbour before.
static void to_decibels(const FrameResiduals *residuals, int64_t frames, float *image) {
    MathsDecibel decibel = maths_decibel_new(10, LEAST_RESIDUAL);
    int32_t n_mels = residuals->n_mels;
    for (int64_t t = 0; t < frames; t++) {
        for (int32_t m = 0; m < n_mels; m++) {
            image[t * n_mels + m] =
                residuals->counts[t] > 0
                    ? (float)(residuals->sums[t * n_mels + m] / (double)residuals->counts[t])
                : t > 0 ? image[(t - 1) * n_mels + m]
                        : 0;
        }
    }
    maths_decibel(&decibel, image, (size_t)frames * (size_t)n_mels);
}

static Status draw_residual(const Portraitist *portraitist, const ClipFeatures *clip,
                            Portrait *portrait) {
    const Settings *settings = &portraitist->model.settings;
    int32_t n_mels = settings->n_mels;
    size_t size = (size_t)clip->frames * (size_t)n_mels;
    FrameResiduals residuals = {
        .n_mels = n_mels, .frames = settings->frames, .hop = settings->frame_hop_length};
    float *image = mem_new(size, sizeof *image);
    residuals.sums = mem_new(size, sizeof *residuals.sums);
    residuals.counts = mem_new((size_t)clip->frames, sizeof *residuals.counts);
    bool ok = image != NULL && residuals.sums != NULL && residuals.counts != NULL;
    Status status = ok ? STATUS_OK : STATUS_MEMORY;
    if (status == STATUS_OK) {
        ClipScore score;
        ScorerRows rows = {add_rows, &residuals};
        status = scorer_clip(portraitist->scorer, clip->log_mel, clip->frames, &score, NULL, &rows);
    }
    if (status == STATUS_OK) {
        to_decibels(&residuals, clip->frames, image);
        status = shrink(image, clip->frames, n_mels, portrait->mel_rows, portrait->columns,
                        portrait->residual);
    }
    mem_free(image);
    mem_free(residuals.sums);
    mem_free(residuals.counts);
    return status;
}

// ---- a clip ----

static Status draw(Portraitist *portraitist, const ClipFeatures *clip, const float *samples,
                   int64_t count, Portrait *portrait) {
    const Settings *settings = &portraitist->settings;
    Status status = shrink(clip->log_mel, clip->frames, settings->n_mels, portrait->mel_rows,
                           portrait->columns, portrait->log_mel);
    if (status == STATUS_OK) {
        status = draw_mfcc(portraitist, clip, portrait);
    }
    if (status == STATUS_OK && samples != NULL) {
        draw_envelope(samples, count, portrait);
        status = draw_spectrogram(settings, samples, count, clip->frames, portrait);
    }
    if (status == STATUS_OK && portrait->has_residual) {
        status = draw_residual(portraitist, clip, portrait);
    }
    return status;
}

static Status check_rate(const Portraitist *portraitist, const char *name,
                         const ClipFeatures *clip) {
    int32_t rate_hz = portraitist->has_model ? portraitist->model.rate_hz : 0;
    return clip->rate_hz == 0 || rate_hz == 0 || clip->rate_hz == rate_hz
               ? STATUS_OK
               : status_set(STATUS_FORMAT, "%s: its rate is %d Hz, the model's clips have %d Hz",
                            name, clip->rate_hz, rate_hz);
}

Status portrait_make(Portraitist *portraitist, const char *name, const void *bytes, size_t size,
                     Portrait *ret_portrait) {
    const Settings *settings = &portraitist->settings;
    ClipFeatures clip;
    Status status = clip_extract(portraitist->extractor, name, bytes, size, &clip);
    if (status != STATUS_OK) {
        return status;
    }
    WavFacts facts = {0};
    const float *samples = NULL;
    if (!clip_is_npy(name)) {
        status =
            wav_read(portraitist->reader, name, bytes, size, settings->channel, &facts, &samples);
    }
    if (status == STATUS_OK) {
        status = check_rate(portraitist, name, &clip);
    }
    Portrait shape = {.columns = at_most(clip.frames, PORTRAIT_COLUMNS),
                      .mel_rows = at_most(settings->n_mels, PORTRAIT_ROWS),
                      .spectrum_rows =
                          samples != NULL ? at_most(settings->n_fft / 2 + 1, PORTRAIT_ROWS) : 0,
                      .mfcc_rows = at_most(settings->n_mels, PORTRAIT_MFCC),
                      .rate_hz = clip.rate_hz,
                      .seconds = clip.seconds,
                      .has_residual = portraitist->scorer != NULL};
    Portrait portrait = {0};
    if (status == STATUS_OK) {
        status = make_room(&shape, &portrait);
    }
    if (status == STATUS_OK) {
        status = draw(portraitist, &clip, samples, facts.samples, &portrait);
    }
    clip_features_done(&clip);
    if (status != STATUS_OK) {
        portrait_done(&portrait);
        return status;
    }
    round_values(&portrait);
    *ret_portrait = portrait;
    return STATUS_OK;
}
