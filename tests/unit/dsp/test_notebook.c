// SPDX-License-Identifier: Apache-2.0
//
// Each feature of each frame, and the vectors, against librosa's (tests/golden/make_notebook.py).
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/dsp/chroma.h"
#include "common/dsp/contrast.h"
#include "common/dsp/feature_set.h"
#include "common/dsp/maths.h"
#include "common/dsp/mfcc.h"
#include "common/dsp/notebook.h"
#include "common/dsp/spectral.h"
#include "common/dsp/stft.h"
#include "common/dsp/tuning.h"
#include "common/store/npy.h"
#include "tests/unit/test.h"

#define GOLDEN AUSCULT_SOURCE_DIR "/tests/golden/notebook/"

enum { MFCC = SETTINGS_NOTEBOOK_MFCC, MOST_CASES = 16 };

typedef struct Case {
    char name[32], pad[16];
    int rate, first, samples;
    Settings settings;
    double tuning;
} Case;

static NpyArray signals;
static Case clips[MOST_CASES];
static int case_count;

static NpyArray golden(const char *kind, const char *name) {
    char path[512];
    snprintf(path, sizeof path, GOLDEN "%s%s.npy", kind, name);
    NpyArray array = {0};
    CHECK_OK(npy_read(path, &array));
    CHECK(array.type == NPY_FLOAT32);
    return array;
}

static int read_case(const char *line, Case *c) {
    settings_preset("notebook", &c->settings);
    Settings *s = &c->settings;
    int fields = sscanf(line, "%31[^,],%d,%d,%d,%d,%d,%d,%d,%lf,%lf,%15[a-z],%lf", c->name,
                        &c->rate, &c->first, &c->samples, &s->n_fft, &s->hop_length, &s->win_length,
                        &s->n_mels, &s->fmin, &s->fmax, c->pad, &c->tuning);
    s->pad_mode = strcmp(c->pad, "reflect") == 0 ? PAD_REFLECT : PAD_ZEROS;
    return fields == 12;
}

static void read_cases(void) {
    if (case_count > 0) {
        return;
    }
    Buffer text = BUFFER_EMPTY;
    signals = golden("signals", "");
    CHECK_OK(file_read(GOLDEN "cases.csv", 1 << 16, &text));
    for (char *line = strchr(text.bytes, '\n'); line != NULL; line = strchr(line + 1, '\n')) {
        case_count += read_case(line + 1, &clips[case_count]);
        CHECK(case_count < MOST_CASES);
    }
    buffer_done(&text);
    CHECK_INT(case_count, 9);
}

static const float *samples_of(const Case *c) {
    return (const float *)signals.data + c->first;
}

// The largest difference between columns [first, first + count) of the golden frames and `actual`
// (frames, count), each divided by 1 plus the golden number's size.
static double worst_of(const NpyArray *expected, int64_t first, int64_t count,
                       const float *actual) {
    double worst = 0;
    for (int64_t t = 0; t < expected->shape[0]; t++) {
        for (int64_t j = 0; j < count; j++) {
            double wanted = ((float *)expected->data)[t * expected->shape[1] + first + j];
            double off = fabs((double)actual[t * count + j] - wanted) / (1 + fabs(wanted));
            worst = off <= worst ? worst : off;
        }
    }
    return worst;
}

// One case's powers by frames, (frames, bins).
typedef struct Spectra {
    Stft *stft;
    int64_t frames;
    int32_t bins;
    float *power;
} Spectra;

static Spectra spectra_of(const Case *c) {
    StftConfig config = {c->settings.n_fft, c->settings.hop_length, c->settings.win_length,
                         (PadMode)c->settings.pad_mode};
    Spectra s = {.stft = stft_new(&config), .bins = c->settings.n_fft / 2 + 1};
    s.frames = stft_frames(s.stft, c->samples);
    s.power = mem_new((size_t)(s.frames * s.bins), sizeof *s.power);
    float *lanes = mem_new_aligned((size_t)s.bins, STFT_LANES * sizeof *lanes);
    for (int64_t t = 0; t < s.frames; t++) {
        if (t % STFT_LANES == 0) {
            stft_run(s.stft, samples_of(c), c->samples, t, lanes);
        }
        bool is_silent = stft_is_silent(s.stft, samples_of(c), c->samples, t);
        for (int32_t k = 0; k < s.bins; k++) {
            s.power[t * s.bins + k] = is_silent ? 0 : lanes[k * STFT_LANES + t % STFT_LANES];
        }
    }
    mem_free(lanes);
    return s;
}

static void spectra_done(Spectra *s) {
    stft_free(s->stft);
    mem_free(s->power);
}

TEST(tunings_are_librosas) {
    read_cases();
    for (int i = 0; i < case_count; i++) {
        Spectra s = spectra_of(&clips[i]);
        double tuning = 7;
        CHECK_OK(tuning_estimate(s.power, s.frames, s.bins, clips[i].rate, &tuning));
        printf("%s: %.2f\n", clips[i].name, tuning);
        CHECK_NEAR(tuning, clips[i].tuning, 1e-9);
        spectra_done(&s);
    }
}

static void check_chroma(const Case *c) {
    NpyArray expected = golden("frames_", c->name);
    Spectra s = spectra_of(c);
    float *bank = mem_new(CHROMA_NOTES * (size_t)s.bins, sizeof *bank);
    float *chroma = mem_new(CHROMA_NOTES * (size_t)s.frames, sizeof *chroma);
    CHECK_INT(expected.shape[0], s.frames);
    CHECK_OK(chroma_bank(c->rate, c->settings.n_fft, c->tuning, bank));
    for (int64_t t = 0; t < s.frames; t++) {
        chroma_frame(bank, s.bins, s.power + t * s.bins, chroma + t * CHROMA_NOTES);
    }
    double worst = worst_of(&expected, c->settings.n_mels + 3 * MFCC, CHROMA_NOTES, chroma);
    printf("%s: chroma off by %.2g\n", c->name, worst);
    CHECK(worst <= 2e-6);
    mem_free(bank);
    mem_free(chroma);
    spectra_done(&s);
    npy_done(&expected);
}

TEST(chroma_is_librosas) {
    read_cases();
    for (int i = 0; i < case_count; i++) {
        check_chroma(&clips[i]);
    }
}

static void check_frames(const Case *c) {
    NpyArray expected = golden("frames_", c->name);
    Spectra s = spectra_of(c);
    int64_t bands = s.frames * CONTRAST_BANDS, first = c->settings.n_mels + 3 * MFCC + CHROMA_NOTES;
    float *magnitude = mem_new((size_t)s.bins, sizeof *magnitude);
    float *scratch = mem_new((size_t)s.bins, sizeof *scratch);
    double *peaks = mem_new((size_t)bands, sizeof *peaks);
    double *valleys = mem_new((size_t)bands, sizeof *valleys);
    float *out = mem_new((size_t)bands, sizeof *out);
    float *single = mem_new((size_t)s.frames * 3, sizeof *single);
    SpectralConfig config = {c->rate, c->settings.n_fft};
    Contrast contrast;
    CHECK_OK(contrast_make(c->rate, c->settings.n_fft, &contrast));
    for (int64_t t = 0; t < s.frames; t++) {
        memcpy(magnitude, s.power + t * s.bins, (size_t)s.bins * sizeof *magnitude);
        maths_power(magnitude, (size_t)s.bins, 0.5);
        contrast_frame(&contrast, magnitude, scratch, peaks + t * CONTRAST_BANDS,
                       valleys + t * CONTRAST_BANDS);
        single[3 * t] = (float)spectral_centroid(&config, magnitude);
        single[3 * t + 1] = (float)spectral_rolloff(&config, magnitude, scratch);
        single[3 * t + 2] = (float)spectral_rms(stft_samples(s.stft, samples_of(c), c->samples, t),
                                                c->settings.n_fft);
    }
    contrast_decibels(peaks, bands);
    contrast_decibels(valleys, bands);
    for (int64_t i = 0; i < bands; i++) {
        out[i] = (float)(peaks[i] - valleys[i]);
    }
    double worst = worst_of(&expected, first, CONTRAST_BANDS, out);
    double worst_single = worst_of(&expected, first + CONTRAST_BANDS, 3, single);
    printf("%s: contrast off by %.2g, centroid, rolloff and RMS by %.2g\n", c->name, worst,
           worst_single);
    CHECK(worst <= 1e-4);
    CHECK(worst_single <= 2e-6);
    mem_free(magnitude);
    mem_free(scratch);
    mem_free(peaks);
    mem_free(valleys);
    mem_free(out);
    mem_free(single);
    spectra_done(&s);
    npy_done(&expected);
}

TEST(contrast_centroid_rolloff_and_rms_are_librosas) {
    read_cases();
    for (int i = 0; i < case_count; i++) {
        check_frames(&clips[i]);
    }
}

// From librosa's own mel decibels, so that nothing but the transform and the slopes is compared.
static void check_cepstra(const Case *c) {
    NpyArray expected = golden("frames_", c->name);
    int64_t frames = expected.shape[0], columns = expected.shape[1], n_mels = c->settings.n_mels;
    float *mel = mem_new((size_t)(frames * n_mels), sizeof *mel);
    float *mfcc = mem_new((size_t)frames * MFCC, sizeof *mfcc);
    float *delta = mem_new((size_t)frames * MFCC, sizeof *delta);
    for (int64_t t = 0; t < frames; t++) {
        memcpy(mel + t * n_mels, (float *)expected.data + t * columns,
               (size_t)n_mels * sizeof *mel);
    }
    Mfcc *maker = mfcc_new((int32_t)n_mels, MFCC);
    mfcc_run(maker, mel, frames, mfcc);
    double worst = worst_of(&expected, n_mels, MFCC, mfcc);
    printf("%s: MFCCs off by %.2g\n", c->name, worst);
    CHECK(worst <= 1e-5);
    for (int order = 1; order <= 2; order++) {
        mfcc_delta(mfcc, frames, MFCC, order, delta);
        worst = worst_of(&expected, n_mels + order * MFCC, MFCC, delta);
        printf("%s: slopes of order %d off by %.2g\n", c->name, order, worst);
        CHECK(worst <= 3e-5);
    }
    mfcc_free(maker);
    mem_free(mel);
    mem_free(mfcc);
    mem_free(delta);
    npy_done(&expected);
}

TEST(mfccs_and_slopes_are_librosas) {
    read_cases();
    for (int i = 0; i < case_count; i++) {
        check_cepstra(&clips[i]);
    }
}

static void check_vector(const Case *c) {
    NpyArray expected = golden("vector_", c->name);
    CHECK_OK(settings_check(&c->settings));
    CHECK_INT(settings_width(&c->settings), expected.count);
    FeatureSet *set = feature_set_new(&c->settings, c->rate);
    int64_t rows = 0;
    CHECK_OK(feature_set_rows(set, c->samples, &rows));
    CHECK_INT(rows, 1);
    float *out = mem_new((size_t)expected.count, sizeof *out);
    CHECK_OK(feature_set_run(set, samples_of(c), c->samples, out));
    double worst = 0;
    for (int64_t i = 0; i < expected.count; i++) {
        double wanted = ((float *)expected.data)[i];
        double off = fabs((double)out[i] - wanted) / (1 + fabs(wanted));
        worst = off <= worst ? worst : off;
    }
    printf("%s: vector off by %.2g\n", c->name, worst);
    CHECK(worst <= 1e-5);
    feature_set_free(set);
    mem_free(out);
    npy_done(&expected);
}

TEST(vectors_are_librosas) {
    read_cases();
    for (int i = 0; i < case_count; i++) {
        check_vector(&clips[i]);
    }
    CHECK_INT(settings_width(&clips[0].settings), 147);
}

TEST(bits_do_not_depend_on_what_was_before) {
    read_cases();
    float first[147], other[147], again[147];
    Notebook *notebook = notebook_new(&clips[0].settings, 16000);
    CHECK_OK(notebook_run(notebook, samples_of(&clips[0]), 5000, first));
    CHECK_OK(notebook_run(notebook, samples_of(&clips[2]), 4900, other));
    CHECK_OK(notebook_run(notebook, samples_of(&clips[0]), 5000, again));
    CHECK(memcmp(first, again, sizeof first) == 0);
    CHECK(memcmp(first, other, sizeof first) != 0);
    notebook_free(notebook);
}

TEST(clips_that_give_no_vector_are_refused) {
    read_cases();
    Settings settings = clips[0].settings;
    FeatureSet *set = feature_set_new(&settings, 16000);
    int64_t rows = 7;
    CHECK_INT(feature_set_rows(set, 8 * 466 - 1, &rows), STATUS_FORMAT);
    CHECK_TEXT(status_message(), "8 frames, a vector needs 9");
    CHECK_INT(rows, 7);
    CHECK_OK(feature_set_rows(set, 8 * 466, &rows));
    CHECK_INT(feature_set_rows(set, 500ll << 20, &rows), STATUS_FORMAT);
    CHECK_HAS(status_message(), "with 257 bins");
    float *loud = mem_new(5000, sizeof *loud), out[147];
    for (int i = 0; i < 5000; i++) {
        loud[i] = i % 2 == 0 ? 1e30f : -1e30f;
    }
    CHECK_INT(feature_set_run(set, loud, 5000, out), STATUS_FORMAT);
    CHECK_HAS(status_message(), "so loud");
    mem_free(loud);
    feature_set_free(set);
}

TEST(rates_and_transforms_without_octaves_are_refused) {
    read_cases();
    Settings settings = clips[0].settings;
    CHECK_INT(notebook_check(&settings, 12800), STATUS_INVALID);
    CHECK_HAS(status_message(), "a rate of 12800 Hz is too low for spectral contrast");
    CHECK_OK(notebook_check(&settings, 13000));
    settings.n_fft = settings.win_length = 64; // 250 Hz from bin to bin
    CHECK_INT(notebook_check(&settings, 16000), STATUS_INVALID);
    CHECK(feature_set_new(&settings, 16000) == NULL);
    CHECK_HAS(status_message(), "n_fft is 64, at a rate of 16000 Hz too short");
    settings.n_fft = settings.win_length = 512;
    settings.fmin = 9000;
    CHECK_INT(feature_set_check(&settings, 16000), STATUS_INVALID);
    CHECK_HAS(status_message(), "fmin is 9000 Hz");
}

TEST(failed_allocations_leak_nothing) {
    read_cases();
    float out[147];
    long before = mem_blocks();
    int failures = 0;
    for (;; failures++) {
        mem_fail_after(failures);
        FeatureSet *set = feature_set_new(&clips[0].settings, 16000);
        Status status =
            set != NULL ? feature_set_run(set, samples_of(&clips[0]), 5000, out) : STATUS_MEMORY;
        int failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK_INT(status, failed ? STATUS_MEMORY : STATUS_OK);
        feature_set_free(set);
        CHECK_INT(mem_blocks(), before);
        if (!failed) {
            break;
        }
    }
    CHECK(failures >= 25);
}

TEST_MAIN_LIST(T(tunings_are_librosas) T(chroma_is_librosas)
                   T(contrast_centroid_rolloff_and_rms_are_librosas)
                       T(mfccs_and_slopes_are_librosas) T(vectors_are_librosas)
                           T(bits_do_not_depend_on_what_was_before)
                               T(clips_that_give_no_vector_are_refused)
                                   T(rates_and_transforms_without_octaves_are_refused)
                                       T(failed_allocations_leak_nothing))
