// SPDX-License-Identifier: Apache-2.0
//
// How it works. Eight frames at a time go through the transform; their moments are taken, then they
// go on through the mel bank and the logarithm, and nothing of them is kept but sums. Logarithms
// are our own, so that every processor finds the same numbers.
#include "common/engine/exploration.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "common/base/clones.h"
#include "common/base/mem.h"
#include "common/dsp/logmel.h"
#include "common/dsp/maths.h"
#include "common/dsp/mel.h"
#include "common/dsp/moments.h"
#include "common/dsp/stft.h"
#include "common/dsp/wav.h"
#include "common/engine/clip.h"

#define LEAST_POWER     2.220446049250313e-16 // as of logmel.c
#define LEAST_AMPLITUDE 1e-10                 // -200 dB
#define DB_PER_NEPER    8.685889638065036     // 20 / ln(10)
#define SILENCE_POWER   1e-6                  // EXPLORATION_SILENCE_DB
#define LANES           8

const ExplorationFact EXPLORATION_FACTS[EXPLORATION_NUMBERS] = {
    [NUMBER_SECONDS] = {"seconds", "length", "s"},
    [NUMBER_RATE_HZ] = {"rate_hz", "sampling rate", "Hz"},
    [NUMBER_CHANNELS] = {"channels", "channels", ""},
    [NUMBER_BITS] = {"bits", "bits of a sample", ""},
    [NUMBER_FRAMES] = {"frames", "frames", ""},
    [NUMBER_PEAK] = {"peak", "peak", "of full scale"},
    [NUMBER_LEVEL_DB] = {"level_db", "level (RMS)", "dB re full scale"},
    [NUMBER_CREST_DB] = {"crest_db", "crest factor", "dB"},
    [NUMBER_DC] = {"dc", "DC offset", "of full scale"},
    [NUMBER_CLIPPED_RUNS] = {"clipped_runs", "clipped runs", ""},
    [NUMBER_CLIPPED_SHARE] = {"clipped_share", "clipped share", "of samples"},
    [NUMBER_SILENT_SHARE] = {"silent_share", "silent share", "of time"},
    [NUMBER_CENTROID_HZ] = {"centroid_hz", "spectral centroid", "Hz"},
    [NUMBER_BANDWIDTH_HZ] = {"bandwidth_hz", "spectral bandwidth", "Hz"},
    [NUMBER_ROLLOFF_HZ] = {"rolloff_hz", "spectral rolloff (85 %)", "Hz"},
    [NUMBER_FLATNESS] = {"flatness", "spectral flatness", ""},
};

// What one rate needs.
typedef struct Front {
    int32_t rate_hz; // 0: not made yet
    Stft *stft;
    Mel *mel;
    Moments *moments;
} Front;

struct ClipExplorer {
    Settings settings;
    MathsDecibel decibel;
    WavReader *reader;
    ClipExtractor *extractor; // of .npy log-mels
    Front front;              // of the last clip's rate; a machine's clips have one
    float *power;             // (bins, STFT_LANES)
    float *bands;             // (n_mels, STFT_LANES)
    double *sums;             // (2, n_mels) of decibels, and of their squares
};

// ---- what is found ----

Status exploration_init(Exploration *exploration, int32_t n_mels) {
    double *block = mem_new(2 * (size_t)n_mels, sizeof *block);
    if (block == NULL) {
        return STATUS_MEMORY;
    }
    *exploration = (Exploration){.n_mels = n_mels, .mean = block, .spread = block + n_mels};
    return STATUS_OK;
}

void exploration_done(Exploration *exploration) {
    mem_free(exploration->mean);
    *exploration = (Exploration){0};
}

Status exploration_check(const Exploration *exploration) {
    const double *n = exploration->numbers;
    for (int i = 0; i < EXPLORATION_NUMBERS; i++) {
        bool has_sign = i == NUMBER_LEVEL_DB || i == NUMBER_DC;
        if (!isfinite(n[i]) || (n[i] < 0 && !has_sign)) {
            return status_set(STATUS_FORMAT, "a %s that cannot be", EXPLORATION_FACTS[i].title);
        }
    }
    if (!(n[NUMBER_FRAMES] >= 1) || !(n[NUMBER_SILENT_SHARE] <= 1) ||
        !(n[NUMBER_CLIPPED_SHARE] <= 1) ||
        (exploration->is_sound && !(n[NUMBER_RATE_HZ] >= 1 && n[NUMBER_SECONDS] > 0))) {
        return status_set(STATUS_FORMAT, "a length, rate or share that cannot be");
    }
    for (int32_t m = 0; m < exploration->n_mels; m++) {
        if (!isfinite(exploration->mean[m]) || !(exploration->spread[m] >= 0) ||
            !isfinite(exploration->spread[m])) {
            return status_set(STATUS_FORMAT, "a mel band that cannot be");
        }
    }
    return STATUS_OK;
}

// ---- making ----

static void front_done(Front *front) {
    stft_free(front->stft);
    mel_free(front->mel);
    moments_free(front->moments);
    *front = (Front){0};
}

ClipExplorer *clip_explorer_new(const Settings *settings) {
    ClipExplorer *explorer = mem_new(1, sizeof *explorer);
    if (explorer == NULL) {
        return NULL;
    }
    explorer->settings = *settings;
    explorer->settings.features = FEATURES_LOGMEL;
    explorer->settings.frames = 1; // a clip of one frame can be looked at
    explorer->decibel = maths_decibel_new(20 / settings->power, LEAST_POWER);
    size_t bins = (size_t)settings->n_fft / 2 + 1, n_mels = (size_t)settings->n_mels;
    size_t lane_bytes = STFT_LANES * sizeof(float);
    explorer->reader = wav_reader_new();
    explorer->extractor = clip_extractor_new(&explorer->settings);
    explorer->power = mem_new_aligned(bins, lane_bytes);
    explorer->bands = mem_new_aligned(n_mels, lane_bytes);
    explorer->sums = mem_new(2 * n_mels, sizeof(double));
    if (explorer->reader == NULL || explorer->extractor == NULL || explorer->power == NULL ||
        explorer->bands == NULL || explorer->sums == NULL) {
        clip_explorer_free(explorer);
        return NULL;
    }
    return explorer;
}

void clip_explorer_free(ClipExplorer *explorer) {
    if (explorer != NULL) {
        front_done(&explorer->front);
        wav_reader_free(explorer->reader);
        clip_extractor_free(explorer->extractor);
        mem_free(explorer->power);
        mem_free(explorer->bands);
        mem_free(explorer->sums);
        mem_free(explorer);
    }
}

static Status use_rate(ClipExplorer *explorer, int32_t rate_hz) {
    Front *front = &explorer->front;
    const Settings *s = &explorer->settings;
    if (front->rate_hz == rate_hz) {
        return STATUS_OK;
    }
    if (logmel_check(s, rate_hz) != STATUS_OK) {
        return STATUS_FORMAT;
    }
    front_done(front);
    const StftConfig stft = {s->n_fft, s->hop_length, s->win_length, (PadMode)s->pad_mode};
    const MelConfig mel = {.rate_hz = rate_hz,
                           .n_fft = s->n_fft,
                           .n_mels = s->n_mels,
                           .fmin_hz = s->fmin,
                           .fmax_hz = s->fmax > 0 ? s->fmax : rate_hz / 2.0};
    front->stft = stft_new(&stft);
    front->mel = mel_new(&mel);
    front->moments = moments_new(rate_hz, s->n_fft);
    if (front->stft == NULL || front->mel == NULL || front->moments == NULL) {
        front_done(front);
        return STATUS_MEMORY;
    }
    front->rate_hz = rate_hz;
    return STATUS_OK;
}

// ---- samples ----

static double decibels_of(double amplitude) {
    return DB_PER_NEPER * maths_log(amplitude > LEAST_AMPLITUDE ? amplitude : LEAST_AMPLITUDE);
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

CPU_CLONES
static void sum_block(const float *samples, int64_t count, double *ret_sum, double *ret_squares) {
    double sum[LANES] = {0}, squares[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            double x = (double)samples[i + l];
            sum[l] += x;
            squares[l] += x * x;
        }
    }
    for (int l = 0; i < count; i++, l++) {
        sum[l] += (double)samples[i];
        squares[l] += (double)samples[i] * (double)samples[i];
    }
    *ret_sum = join(sum);
    *ret_squares = join(squares);
}

// -1, 0 or 1: at full scale below, not, above.
static int scale_end(float sample, float limit) {
    return (sample >= limit) - (sample <= -limit);
}

static void count_clipping(const float *samples, int64_t count, float limit, double *numbers) {
    int64_t runs = 0, clipped = 0;
    for (int64_t i = 0; i < count;) {
        int end = scale_end(samples[i], limit);
        int64_t first = i++;
        while (end != 0 && i < count && scale_end(samples[i], limit) == end) {
            i++;
        }
        if (i - first >= EXPLORATION_RUN) {
            runs++;
            clipped += i - first;
        }
    }
    numbers[NUMBER_CLIPPED_RUNS] = (double)runs;
    numbers[NUMBER_CLIPPED_SHARE] = (double)clipped / (double)count;
}

static void look_at_samples(const float *samples, int64_t count, const WavFacts *facts, int64_t hop,
                            double *numbers) {
    double sum = 0, squares = 0;
    int64_t silent = 0, blocks = (count + hop - 1) / hop;
    for (int64_t b = 0; b < blocks; b++) {
        int64_t size = count - b * hop < hop ? count - b * hop : hop;
        double block_sum, block_squares;
        sum_block(samples + b * hop, size, &block_sum, &block_squares);
        sum += block_sum;
        squares += block_squares;
        silent += block_squares / (double)size < SILENCE_POWER;
    }
    double rms = sqrt(squares / (double)count);
    double peak = (double)maths_largest(samples, (size_t)count);
    float limit = facts->bits == 8 ? 0.992f : (float)EXPLORATION_FULL_SCALE;
    numbers[NUMBER_PEAK] = peak;
    numbers[NUMBER_LEVEL_DB] = decibels_of(rms);
    numbers[NUMBER_CREST_DB] =
        rms > LEAST_AMPLITUDE ? fmax(decibels_of(peak) - numbers[NUMBER_LEVEL_DB], 0) : 0;
    numbers[NUMBER_DC] = sum / (double)count;
    numbers[NUMBER_SILENT_SHARE] = (double)silent / (double)blocks;
    if (peak >= (double)limit) {
        count_clipping(samples, count, limit, numbers);
    }
}

// ---- spectrum ----

// bands (n_mels, STFT_LANES) in decibels, of which the first `frames` lanes count.
CPU_CLONES
static void add_bands(const float *bands, int32_t n_mels, int64_t frames, double *sums) {
    for (int32_t m = 0; m < n_mels; m++) {
        double sum = 0, squares = 0;
        for (int64_t l = 0; l < frames; l++) {
            double value = (double)bands[(int64_t)m * STFT_LANES + l];
            sum += value;
            squares += value * value;
        }
        sums[m] += sum;
        sums[n_mels + m] += squares;
    }
}

static void take_bands(const double *sums, int64_t frames, Exploration *exploration) {
    for (int32_t m = 0; m < exploration->n_mels; m++) {
        double mean = sums[m] / (double)frames;
        double variance = sums[exploration->n_mels + m] / (double)frames - mean * mean;
        exploration->mean[m] = mean;
        exploration->spread[m] = sqrt(variance > 0 ? variance : 0);
    }
}

// Whether no power of a frame can be beyond a float: a window's weights are at most 1.
static bool is_within_powers(double peak, int32_t n_fft) {
    double most = peak * n_fft;
    return most * most < (double)FLT_MAX;
}

// STATUS_FORMAT: a sound so loud that its powers are no numbers.
static Status look_at_spectrum(ClipExplorer *explorer, const float *samples, int64_t count,
                               Exploration *exploration) {
    const Settings *settings = &explorer->settings;
    const Front *front = &explorer->front;
    size_t bins = (size_t)stft_bins(front->stft), n_mels = (size_t)settings->n_mels;
    int64_t total = stft_frames(front->stft, count);
    MomentSums moments = {0};
    bool is_safe = is_within_powers(exploration->numbers[NUMBER_PEAK], settings->n_fft);
    memset(explorer->sums, 0, 2 * n_mels * sizeof *explorer->sums);
    for (int64_t first = 0; first < total; first += STFT_LANES) {
        int64_t frames = total - first < STFT_LANES ? total - first : STFT_LANES;
        stft_run(front->stft, samples, count, first, explorer->power);
        if (!is_safe && !isfinite(maths_largest(explorer->power, bins * STFT_LANES))) {
            return status_set(STATUS_FORMAT, "so loud that its power leaves the range of numbers");
        }
        moments_add(front->moments, explorer->power, (int32_t)frames, &moments);
        maths_power(explorer->power, bins * STFT_LANES, settings->power / 2);
        mel_run(front->mel, explorer->power, explorer->bands);
        maths_decibel(&explorer->decibel, explorer->bands, n_mels * STFT_LANES);
        add_bands(explorer->bands, settings->n_mels, frames, explorer->sums);
    }
    double *numbers = exploration->numbers;
    numbers[NUMBER_FRAMES] = (double)total;
    numbers[NUMBER_CENTROID_HZ] = moments.centroid_hz / (double)total;
    numbers[NUMBER_BANDWIDTH_HZ] = moments.bandwidth_hz / (double)total;
    numbers[NUMBER_ROLLOFF_HZ] = moments.rolloff_hz / (double)total;
    numbers[NUMBER_FLATNESS] = moments.flatness / (double)total;
    take_bands(explorer->sums, total, exploration);
    return exploration_check(exploration);
}

// ---- a clip ----

static Status explore_sound(ClipExplorer *explorer, const char *name, const void *bytes,
                            size_t size, Exploration *exploration) {
    WavFacts facts;
    const float *samples;
    Status status =
        wav_read(explorer->reader, name, bytes, size, explorer->settings.channel, &facts, &samples);
    if (status != STATUS_OK) {
        return status;
    }
    status = use_rate(explorer, facts.rate_hz);
    if (status != STATUS_OK) {
        return status == STATUS_FORMAT ? status_prefix(status, "%s", name) : status;
    }
    double *numbers = exploration->numbers;
    exploration->is_sound = true;
    numbers[NUMBER_SECONDS] = (double)facts.samples / facts.rate_hz;
    numbers[NUMBER_RATE_HZ] = facts.rate_hz;
    numbers[NUMBER_CHANNELS] = facts.channels;
    numbers[NUMBER_BITS] = facts.bits;
    look_at_samples(samples, facts.samples, &facts, explorer->settings.hop_length, numbers);
    Status checked = look_at_spectrum(explorer, samples, facts.samples, exploration);
    return checked == STATUS_OK ? checked : status_prefix(checked, "%s", name);
}

static Status explore_npy(ClipExplorer *explorer, const char *name, const void *bytes, size_t size,
                          Exploration *exploration) {
    ClipFeatures clip;
    Status status = clip_extract(explorer->extractor, name, bytes, size, &clip);
    if (status != STATUS_OK) {
        return status;
    }
    int32_t n_mels = exploration->n_mels;
    memset(explorer->sums, 0, 2 * (size_t)n_mels * sizeof *explorer->sums);
    for (int64_t t = 0; t < clip.frames; t++) {
        for (int32_t m = 0; m < n_mels; m++) {
            double value = (double)clip.log_mel[t * n_mels + m];
            explorer->sums[m] += value;
            explorer->sums[n_mels + m] += value * value;
        }
    }
    exploration->numbers[NUMBER_FRAMES] = (double)clip.frames;
    take_bands(explorer->sums, clip.frames, exploration);
    clip_features_done(&clip);
    return exploration_check(exploration);
}

Status clip_explore(ClipExplorer *explorer, const char *name, const void *bytes, size_t size,
                    Exploration *ret_exploration) {
    Exploration exploration;
    Status status = exploration_init(&exploration, explorer->settings.n_mels);
    if (status != STATUS_OK) {
        return status;
    }
    status = clip_is_npy(name) ? explore_npy(explorer, name, bytes, size, &exploration)
                               : explore_sound(explorer, name, bytes, size, &exploration);
    if (status != STATUS_OK) {
        exploration_done(&exploration);
        return status;
    }
    *ret_exploration = exploration;
    return STATUS_OK;
}
