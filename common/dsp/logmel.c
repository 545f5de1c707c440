// SPDX-License-Identifier: Apache-2.0
#include "common/dsp/logmel.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/dsp/maths.h"
#include "common/dsp/mel.h"
#include "common/dsp/stft.h"

#define LEAST_POWER 2.220446049250313e-16 // sys.float_info.epsilon, the baseline's floor

struct LogMel {
    int32_t n_mels;
    double exponent; // of the squared magnitude: power / 2
    MathsDecibel decibel;
    Stft *stft;
    Mel *mel;
    float *power; // (bins, STFT_LANES)
    float *bands; // (n_mels, STFT_LANES)
};

// The upper edge of the highest band.
static double top_hz(const Settings *settings, int32_t rate_hz) {
    return settings->fmax > 0 ? settings->fmax : rate_hz / 2.0;
}

static MelConfig mel_config(const Settings *settings, int32_t rate_hz) {
    return (MelConfig){.rate_hz = rate_hz,
                       .n_fft = settings->n_fft,
                       .n_mels = settings->n_mels,
                       .fmin_hz = settings->fmin,
                       .fmax_hz = top_hz(settings, rate_hz)};
}

static bool make_stages(LogMel *logmel, const Settings *settings, int32_t rate_hz) {
    const StftConfig stft = {.n_fft = settings->n_fft,
                             .hop_length = settings->hop_length,
                             .win_length = settings->win_length,
                             .pad_mode = (PadMode)settings->pad_mode};
    const MelConfig mel = mel_config(settings, rate_hz);
    size_t bins = (size_t)settings->n_fft / 2 + 1, lane_bytes = STFT_LANES * sizeof(float);
    logmel->stft = stft_new(&stft);
    logmel->mel = mel_new(&mel);
    logmel->power = mem_new_aligned(bins, lane_bytes);
    logmel->bands = mem_new_aligned((size_t)settings->n_mels, lane_bytes);
    return logmel->stft != NULL && logmel->mel != NULL && logmel->power != NULL &&
           logmel->bands != NULL;
}

Status logmel_check(const Settings *settings, int32_t rate_hz) {
    double top = top_hz(settings, rate_hz);
    if (!(settings->fmin < top)) {
        return status_set(STATUS_INVALID, "fmin is %g Hz, at a rate of %d Hz it must be below %g",
                          settings->fmin, rate_hz, top);
    }
    return STATUS_OK;
}

LogMel *logmel_new(const Settings *settings, int32_t rate_hz) {
    if (logmel_check(settings, rate_hz) != STATUS_OK) {
        return NULL;
    }
    LogMel *logmel = mem_new(1, sizeof *logmel);
    if (logmel == NULL) {
        return NULL;
    }
    logmel->n_mels = settings->n_mels;
    logmel->exponent = settings->power / 2;
    logmel->decibel = maths_decibel_new(20 / settings->power, LEAST_POWER);
    if (!make_stages(logmel, settings, rate_hz)) {
        logmel_free(logmel);
        return NULL;
    }
    return logmel;
}

void logmel_free(LogMel *logmel) {
    if (logmel != NULL) {
        stft_free(logmel->stft);
        mel_free(logmel->mel);
        mem_free(logmel->power);
        mem_free(logmel->bands);
        mem_free(logmel);
    }
}

int64_t logmel_frames(const LogMel *logmel, int64_t samples) {
    return stft_frames(logmel->stft, samples);
}

typedef float Four __attribute__((vector_size(16)));

static inline Four interleave_low(Four a, Four b) {
    return __builtin_shufflevector(a, b, 0, 4, 1, 5);
}

static inline Four interleave_high(Four a, Four b) {
    return __builtin_shufflevector(a, b, 2, 6, 3, 7);
}

// A 4 x 4 corner turned, by interleaving halves twice:
// in[m * STFT_LANES + lane] -> out[lane * n_mels + m].
static void turn_corner(const float *in, int32_t n_mels, float *out) {
    Four row[4];
    for (int m = 0; m < 4; m++) {
        memcpy(&row[m], in + m * STFT_LANES, sizeof row[m]);
    }
    Four a = interleave_low(row[0], row[2]), b = interleave_high(row[0], row[2]);
    Four c = interleave_low(row[1], row[3]), d = interleave_high(row[1], row[3]);
    Four column[4] = {interleave_low(a, c), interleave_high(a, c), interleave_low(b, d),
                      interleave_high(b, d)};
    for (int lane = 0; lane < 4; lane++) {
        memcpy(out + (int64_t)lane * n_mels, &column[lane], sizeof column[lane]);
    }
}

// bands (n_mels, STFT_LANES) -> the first `frames` columns as rows of out (frames, n_mels).
static void put_frames(const float *bands, int32_t n_mels, int64_t frames, float *out) {
    int64_t lane = 0;
    for (; lane + 3 < frames; lane += 4) {
        int32_t m = 0;
        for (; m + 3 < n_mels; m += 4) {
            turn_corner(bands + m * STFT_LANES + lane, n_mels, out + lane * n_mels + m);
        }
        for (; m < n_mels; m++) {
            for (int64_t l = lane; l < lane + 4; l++) {
                out[l * n_mels + m] = bands[m * STFT_LANES + l];
            }
        }
    }
    for (; lane < frames; lane++) {
        for (int32_t m = 0; m < n_mels; m++) {
            out[lane * n_mels + m] = bands[m * STFT_LANES + lane];
        }
    }
}

void logmel_run(LogMel *logmel, const float *samples, int64_t count, float *out) {
    int64_t total = logmel_frames(logmel, count);
    size_t bins = (size_t)stft_bins(logmel->stft), n_mels = (size_t)logmel->n_mels;
    for (int64_t first = 0; first < total; first += STFT_LANES) {
        int64_t frames = total - first < STFT_LANES ? total - first : STFT_LANES;
        stft_run(logmel->stft, samples, count, first, logmel->power);
        maths_power(logmel->power, bins * STFT_LANES, logmel->exponent);
        mel_run(logmel->mel, logmel->power, logmel->bands);
        maths_decibel(&logmel->decibel, logmel->bands, n_mels * STFT_LANES);
        put_frames(logmel->bands, logmel->n_mels, frames, out + first * logmel->n_mels);
    }
}

Status logmel_centres(const Settings *settings, int32_t rate_hz, double *out) {
    Status status = logmel_check(settings, rate_hz);
    const MelConfig config = mel_config(settings, rate_hz);
    return status == STATUS_OK ? mel_centres(&config, out) : status;
}
