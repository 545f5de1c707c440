// SPDX-License-Identifier: Apache-2.0
//
// Log-mel of a clip of 10 s: from samples, from a WAV in memory and from a WAV on the disk, against
// nothing but its transforms and mel products, and against librosa; the notebook vector against
// librosa too.
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/dsp/logmel.h"
#include "common/dsp/mel.h"
#include "common/dsp/stft.h"
#include "common/dsp/wav.h"
#include "common/engine/source.h"
#include "tests/bench/bench.h"
#include "tests/bench/peer.h"
#include "tests/bench/sound.h"

typedef struct LogMelBench {
    char path[LIMIT_PATH_BYTES]; // of the WAV
    Buffer wav;
    WavReader *reader;
    const float *samples; // (SOUND_SAMPLES) the reader's
    LogMel *logmel;
    float *log_mel;           // (frames, n_mels)
    ClipExtractor *extractor; // as the workers use it
    ClipExtractor *notebook;  // the same with the preset's settings
    Stft *stft;               // the limit's
    Mel *mel;
    float *power, *bands; // (bins, STFT_LANES), (n_mels, STFT_LANES)
    int32_t frames;
} LogMelBench;

static Status run_limit(void *context, int32_t times, int64_t *ret_ns) {
    LogMelBench *b = context;
    int64_t start_ns = measure_ns();
    for (int32_t i = 0; i < times; i++) {
        stft_transforms(b->stft, (b->frames + 1) / 2);
        for (int32_t first = 0; first < b->frames; first += STFT_LANES) {
            mel_run(b->mel, b->power, b->bands);
        }
    }
    *ret_ns = measure_ns() - start_ns;
    return STATUS_OK;
}

static Status run_samples(void *context, int32_t times, int64_t *ret_ns) {
    LogMelBench *b = context;
    int64_t start_ns = measure_ns();
    for (int32_t i = 0; i < times; i++) {
        logmel_run(b->logmel, b->samples, SOUND_SAMPLES, b->log_mel);
    }
    *ret_ns = measure_ns() - start_ns;
    return STATUS_OK;
}

static Status run_memory(void *context, int32_t times, int64_t *ret_ns) {
    LogMelBench *b = context;
    Status status = STATUS_OK;
    int64_t start_ns = measure_ns();
    for (int32_t i = 0; i < times && status == STATUS_OK; i++) {
        ClipFeatures features = {0};
        status = clip_extract(b->extractor, "clip.wav", b->wav.bytes, b->wav.size, &features);
        clip_features_done(&features);
    }
    *ret_ns = measure_ns() - start_ns;
    return status;
}

static Status read_often(const LogMelBench *b, ClipExtractor *extractor, int32_t times,
                         int64_t *ret_ns) {
    Status status = STATUS_OK;
    int64_t start_ns = measure_ns();
    for (int32_t i = 0; i < times && status == STATUS_OK; i++) {
        ClipFeatures features = {0};
        status = source_features(extractor, b->path, "clip.wav", b->wav.size, NULL, &features);
        clip_features_done(&features);
    }
    *ret_ns = measure_ns() - start_ns;
    return status;
}

static Status run_file(void *context, int32_t times, int64_t *ret_ns) {
    LogMelBench *b = context;
    return read_often(b, b->extractor, times, ret_ns);
}

static Status run_notebook(void *context, int32_t times, int64_t *ret_ns) {
    LogMelBench *b = context;
    return read_often(b, b->notebook, times, ret_ns);
}

static Status make_limit(const Settings *settings, LogMelBench *b) {
    const StftConfig stft = {.n_fft = settings->n_fft,
                             .hop_length = settings->hop_length,
                             .win_length = settings->win_length,
                             .pad_mode = (PadMode)settings->pad_mode};
    const MelConfig mel = {.rate_hz = SOUND_RATE_HZ,
                           .n_fft = settings->n_fft,
                           .n_mels = settings->n_mels,
                           .fmin_hz = settings->fmin,
                           .fmax_hz = SOUND_RATE_HZ / 2.0};
    b->stft = stft_new(&stft);
    b->mel = mel_new(&mel);
    if (b->stft == NULL || b->mel == NULL) {
        return STATUS_MEMORY;
    }
    size_t bins = (size_t)stft_bins(b->stft), lane_bytes = STFT_LANES * sizeof(float);
    b->frames = (int32_t)stft_frames(b->stft, SOUND_SAMPLES);
    b->power = mem_new_aligned(bins, lane_bytes);
    b->bands = mem_new_aligned((size_t)settings->n_mels, lane_bytes);
    return b->power != NULL && b->bands != NULL ? STATUS_OK : STATUS_MEMORY;
}

static Status make_ours(const Settings *settings, LogMelBench *b) {
    WavFacts facts;
    Settings notebook;
    Status status = settings_preset("notebook", &notebook);
    if (status != STATUS_OK) {
        return status;
    }
    b->notebook = clip_extractor_new(&notebook);
    b->reader = wav_reader_new();
    b->logmel = logmel_new(settings, SOUND_RATE_HZ);
    b->extractor = clip_extractor_new(settings);
    b->log_mel = mem_new_aligned((size_t)(b->frames * settings->n_mels), sizeof *b->log_mel);
    if (b->reader == NULL || b->logmel == NULL || b->extractor == NULL || b->notebook == NULL ||
        b->log_mel == NULL) {
        return STATUS_MEMORY;
    }
    sound_wav(0, &b->wav);
    status = sound_write(b->path, &b->wav);
    if (status == STATUS_OK) {
        status = wav_read(b->reader, "clip.wav", b->wav.bytes, b->wav.size, 0, &facts, &b->samples);
    }
    return status;
}

static Status measure(Bench *bench, LogMelBench *b) {
    static const struct {
        const char *name, *what;
        Status (*run)(void *context, int32_t times, int64_t *ret_ns);
    } ROWS[] = {{"logmel_samples", "log-mel of a 10 s clip, from samples", run_samples},
                {"logmel_wav_memory", "log-mel of a 10 s clip, from a WAV in memory", run_memory},
                {"logmel_wav_file", "log-mel of a 10 s clip, from a WAV file", run_file}};
    const Contender limit = {run_limit, b};
    Status status = STATUS_OK;
    for (size_t r = 0; r < sizeof ROWS / sizeof ROWS[0] && status == STATUS_OK; r++) {
        const Contender ours = {ROWS[r].run, b};
        Duel result;
        status = duel(&ours, &limit, bench->turns, &result);
        if (status == STATUS_OK) {
            bench_duel(bench, ROWS[r].name, ROWS[r].what, "its FFTs and mel products", &result,
                       false);
        }
    }
    return status;
}

static Status measure_librosa(Bench *bench, LogMelBench *b) {
    static const struct {
        const char *work, *name, *what;
        Status (*run)(void *context, int32_t times, int64_t *ret_ns);
    } ROWS[] = {{"logmel", "logmel_librosa", "log-mel of a 10 s clip, from a WAV file", run_file},
                {"notebook", "notebook_librosa", "notebook vector of a 10 s clip, from a WAV file",
                 run_notebook}};
    Status status = STATUS_OK;
    for (size_t r = 0; r < sizeof ROWS / sizeof ROWS[0] && status == STATUS_OK; r++) {
        Peer *peer;
        status = peer_start(bench, ROWS[r].work, b->path, &peer);
        if (status != STATUS_OK || peer == NULL) {
            return status;
        }
        const Contender ours = {ROWS[r].run, b}, theirs = {peer_run, peer};
        Duel result;
        status = duel(&ours, &theirs, bench->turns, &result);
        if (status == STATUS_OK) {
            bench_duel(bench, ROWS[r].name, ROWS[r].what, peer_name(peer), &result, true);
        }
        peer_stop(peer);
    }
    return status;
}

Status bench_logmel(Bench *bench) {
    LogMelBench b = {0};
    Status status = bench_path(bench, "clip.wav", b.path);
    if (status == STATUS_OK) {
        status = make_limit(&bench->settings, &b);
    }
    if (status == STATUS_OK) {
        status = make_ours(&bench->settings, &b);
    }
    if (status == STATUS_OK) {
        status = measure(bench, &b);
    }
    if (status == STATUS_OK) {
        status = measure_librosa(bench, &b);
    }
    buffer_done(&b.wav);
    wav_reader_free(b.reader);
    logmel_free(b.logmel);
    mem_free(b.log_mel);
    clip_extractor_free(b.extractor);
    clip_extractor_free(b.notebook);
    stft_free(b.stft);
    mel_free(b.mel);
    mem_free(b.power);
    mem_free(b.bands);
    return status;
}
