// SPDX-License-Identifier: Apache-2.0
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/dsp/logmel.h"
#include "common/dsp/mel.h"
#include "common/dsp/stft.h"
#include "common/dsp/vectors.h"
#include "common/store/npy.h"
#include "tests/unit/test.h"

#define GOLDEN AUSCULT_SOURCE_DIR "/tests/golden/dsp/"
#define FLOOR  -156.5 // just above what digital silence gives

static NpyArray golden(const char *name) {
    char path[512];
    snprintf(path, sizeof path, GOLDEN "%s.npy", name);
    NpyArray array = {0};
    CHECK_OK(npy_read(path, &array));
    CHECK(array.type == NPY_FLOAT32);
    return array;
}

static void check_bank(const char *name, MelConfig config) {
    NpyArray weights = golden(name);
    const float(*rows)[3] = weights.data;
    int64_t bins = config.n_fft / 2 + 1, count = config.n_mels * bins;
    float *expected = mem_new((size_t)count, sizeof *expected);
    float *actual = mem_new((size_t)count, sizeof *actual);
    for (int64_t i = 0; i < weights.shape[0]; i++) {
        expected[(int64_t)rows[i][0] * bins + (int64_t)rows[i][1]] = rows[i][2];
    }
    Mel *mel = mel_new(&config);
    mel_matrix(mel, actual);
    double worst = 0;
    for (int64_t i = 0; i < count; i++) {
        double off = fabs((double)actual[i] - (double)expected[i]);
        worst = off <= worst ? worst : off;
        CHECK((actual[i] > 0) == (expected[i] > 0));
    }
    printf("%s: worst %.2g of %lld weights\n", name, worst, (long long)weights.shape[0]);
    CHECK(worst <= 1e-9);
    mel_free(mel);
    mem_free(expected);
    mem_free(actual);
    npy_done(&weights);
}

TEST(mel_banks_are_librosas) {
    check_bank("mel_16000_1024_128", (MelConfig){16000, 1024, 128, 0, 8000});
    check_bank("mel_16000_512_64", (MelConfig){16000, 512, 64, 0, 8000});
    check_bank("mel_22050_2048_40", (MelConfig){22050, 2048, 40, 50, 8000});
    check_bank("mel_16000_256_128", (MelConfig){16000, 256, 128, 0, 8000});
}

TEST(mel_bands_are_sums_of_weighted_bins) {
    MelConfig config = {16000, 512, 64, 100, 7000};
    int bins = 257;
    float *power = mem_new_aligned(257 * STFT_LANES, sizeof(float));
    float *out = mem_new_aligned(64 * STFT_LANES, sizeof(float));
    float *matrix = mem_new(64 * 257, sizeof(float));
    for (int i = 0; i < bins * STFT_LANES; i++) {
        power[i] = (float)((i * 7919) % 1000) / 500;
    }
    Mel *mel = mel_new(&config);
    mel_matrix(mel, matrix);
    mel_run(mel, power, out);
    for (int m = 0; m < 64; m++) {
        for (int lane = 0; lane < STFT_LANES; lane++) {
            double sum = 0;
            for (int k = 0; k < bins; k++) {
                sum += (double)matrix[m * bins + k] * (double)power[k * STFT_LANES + lane];
            }
            CHECK_NEAR(out[m * STFT_LANES + lane], sum, 1e-6 * sum);
        }
    }
    mel_free(mel);
    mem_free(power);
    mem_free(out);
    mem_free(matrix);
}

TEST(stft_power_is_librosas) {
    NpyArray signal = golden("signal"), power = golden("stft_power");
    StftConfig config = {1024, 512, 1024, PAD_ZEROS};
    Stft *stft = stft_new(&config);
    CHECK_INT(stft_bins(stft), 513);
    CHECK_INT(stft_frames(stft, signal.count), 8);
    float *out = mem_new_aligned(513 * STFT_LANES, sizeof(float));
    stft_run(stft, signal.data, signal.count, 0, out);
    static const int frames[] = {0, 3, 7};
    for (int column = 0; column < 3; column++) {
        for (int k = 0; k < 513; k++) {
            double expected = ((float *)power.data)[k * 3 + column];
            CHECK_NEAR(out[k * STFT_LANES + frames[column]], expected, 1e-6 * expected + 1e-13);
        }
    }
    stft_free(stft);
    mem_free(out);
    npy_done(&signal);
    npy_done(&power);
}

// The transform by its definition, in double.
static double power_by_definition(const float *frame, int n, int k) {
    double real = 0, imaginary = 0;
    for (int i = 0; i < n; i++) {
        double window = 0.5 - 0.5 * cos(2 * 3.14159265358979323846 * i / n);
        double angle = 2 * 3.14159265358979323846 * (double)((int64_t)i * k % n) / n;
        real += (double)frame[i] * window * cos(angle);
        imaginary -= (double)frame[i] * window * sin(angle);
    }
    return real * real + imaginary * imaginary;
}

TEST(every_transform_length_gives_its_definition) {
    NpyArray signal = golden("signal");
    static const int lengths[] = {16, 17, 30, 31, 97, 100};
    for (int c = 0; c < 6; c++) {
        int n = lengths[c], bins = n / 2 + 1;
        StftConfig config = {n, n, n, PAD_ZEROS};
        Stft *stft = stft_new(&config);
        float *out = mem_new_aligned((size_t)bins * STFT_LANES, sizeof(float));
        stft_run(stft, signal.data, signal.count, 8, out);
        for (int lane = 0; lane < STFT_LANES; lane++) {
            const float *frame = (float *)signal.data + (8 + lane) * n - n / 2;
            for (int k = 0; k < bins; k++) {
                double expected = power_by_definition(frame, n, k);
                CHECK_NEAR(out[k * STFT_LANES + lane], expected, 1e-6 * expected + 1e-14);
            }
        }
        stft_free(stft);
        mem_free(out);
    }
    npy_done(&signal);
}

typedef struct Case {
    char name[32], pad[16];
    int rate, first, samples;
    Settings settings;
} Case;

static int read_case(const char *line, Case *c) {
    settings_preset("default", &c->settings);
    Settings *s = &c->settings;
    int fields = sscanf(line, "%31[^,],%d,%d,%d,%d,%d,%d,%d,%lf,%lf,%lf,%15[a-z]", c->name,
                        &c->rate, &c->first, &c->samples, &s->n_fft, &s->hop_length, &s->win_length,
                        &s->n_mels, &s->power, &s->fmin, &s->fmax, c->pad);
    s->pad_mode = strcmp(c->pad, "reflect") == 0 ? PAD_REFLECT : PAD_ZEROS;
    return fields == 12;
}

static void check_case(const Case *c, const float *signal) {
    char name[64];
    snprintf(name, sizeof name, "logmel_%s", c->name);
    NpyArray expected = golden(name);
    LogMel *logmel = logmel_new(&c->settings, c->rate);
    CHECK_INT(logmel_frames(logmel, c->samples), expected.shape[0]);
    CHECK_INT(c->settings.n_mels, expected.shape[1]);
    float *out = mem_new((size_t)expected.count, sizeof *out);
    logmel_run(logmel, signal + c->first, c->samples, out);
    double worst = 0;
    for (int64_t i = 0; i < expected.count; i++) {
        double golden_db = ((float *)expected.data)[i];
        // Digital silence: both at the floor.
        double off = fabs((double)out[i] - golden_db);
        worst = off <= worst ? worst : off;
    }
    printf("%s: worst %.2g dB\n", c->name, worst);
    if (!(worst <= 5e-5)) {
        TEST_FAIL("%s is off by %g dB", c->name, worst);
    }
    logmel_free(logmel);
    mem_free(out);
    npy_done(&expected);
}

TEST(log_mel_is_librosas_for_all_settings) {
    NpyArray signal = golden("signal");
    Buffer text = BUFFER_EMPTY;
    CHECK_OK(file_read(GOLDEN "logmel_cases.csv", 1 << 16, &text));
    int cases = 0;
    for (char *line = strchr(text.bytes, '\n'); line != NULL; line = strchr(line + 1, '\n')) {
        Case c;
        if (read_case(line + 1, &c)) {
            check_case(&c, signal.data);
            cases++;
        }
    }
    CHECK_INT(cases, 12);
    buffer_done(&text);
    npy_done(&signal);
}

TEST(digital_silence_is_exactly_the_floor) {
    Settings settings;
    settings_preset("default", &settings);
    // Loud in its first half: nothing of it may leak into the silent frames beside it.
    enum { COUNT = 16000 };
    float *samples = mem_new(COUNT, sizeof *samples), *out = mem_new(32 * 128, sizeof *out);
    for (int i = 0; i < COUNT / 2; i++) {
        samples[i] = i % 3 == 0 ? 0.9f : -0.9f;
    }
    LogMel *logmel = logmel_new(&settings, 16000);
    CHECK_INT(logmel_frames(logmel, COUNT), 32);
    logmel_run(logmel, samples, COUNT, out);
    for (int t = 0; t < 32; t++) {
        for (int m = 0; m < 128; m++) {
            CHECK((out[t * 128 + m] > (float)FLOOR) == (t < 17));
        }
    }
    logmel_free(logmel);
    mem_free(samples);
    mem_free(out);
}

TEST(bits_do_not_depend_on_addresses_or_history) {
    NpyArray signal = golden("signal");
    Settings settings;
    settings_preset("default", &settings);
    float *first = mem_new(8 * 128, sizeof *first), *again = mem_new(8 * 128, sizeof *again);
    float *moved = mem_new(4016, sizeof *moved);
    LogMel *logmel = logmel_new(&settings, 16000);
    logmel_run(logmel, signal.data, 4000, first);
    for (int shift = 1; shift < 16; shift++) {
        memcpy(moved + shift, signal.data, 4000 * sizeof *moved);
        logmel_run(logmel, moved, 999, again); // another clip in between
        logmel_run(logmel, moved + shift, 4000, again);
        CHECK(memcmp(first, again, 8 * 128 * sizeof *first) == 0);
    }
    LogMel *other = logmel_new(&settings, 16000);
    logmel_run(other, signal.data, 4000, again);
    CHECK(memcmp(first, again, 8 * 128 * sizeof *first) == 0);
    logmel_free(other);
    logmel_free(logmel);
    mem_free(first);
    mem_free(again);
    mem_free(moved);
    npy_done(&signal);
}

TEST(frames_and_vectors_are_counted_as_documented) {
    Settings settings;
    settings_preset("default", &settings);
    LogMel *logmel = logmel_new(&settings, 16000);
    CHECK_INT(logmel_frames(logmel, 0), 0);
    CHECK_INT(logmel_frames(logmel, 1), 1);
    CHECK_INT(logmel_frames(logmel, 511), 1);
    CHECK_INT(logmel_frames(logmel, 512), 2);
    CHECK_INT(logmel_frames(logmel, 160000), 313);
    logmel_free(logmel);
    CHECK_INT(vectors_count(313, 5, 1), 309);
    CHECK_INT(vectors_count(5, 5, 1), 1);
    CHECK_INT(vectors_count(4, 5, 1), 0);
    CHECK_INT(vectors_count(0, 5, 3), 0);
    CHECK_INT(vectors_count(12, 5, 3), 3);
    CHECK_INT(vectors_count(10, 5, 3), 2);
}

TEST(bands_without_width_are_refused) {
    Settings settings;
    settings_preset("default", &settings);
    settings.fmin = 4000;
    CHECK(logmel_new(&settings, 8000) == NULL);
    CHECK_HAS(status_message(), "fmin is 4000 Hz, at a rate of 8000 Hz it must be below 4000");
    CHECK_INT(logmel_check(&settings, 8000), STATUS_INVALID);
    CHECK_OK(logmel_check(&settings, 8001));
}

TEST(failed_allocations_leak_nothing) {
    Settings settings;
    settings_preset("default", &settings);
    logmel_free(logmel_new(&settings, 16000));
    long before = mem_blocks();
    int failures = 0;
    for (;; failures++) {
        mem_fail_after(failures);
        LogMel *logmel = logmel_new(&settings, 16000);
        int failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK((logmel == NULL) == (failed != 0));
        logmel_free(logmel);
        CHECK_INT(mem_blocks(), before);
        if (!failed) {
            break;
        }
    }
    CHECK(failures >= 12);
}

TEST_MAIN_LIST(T(mel_banks_are_librosas) T(mel_bands_are_sums_of_weighted_bins)
                   T(stft_power_is_librosas) T(every_transform_length_gives_its_definition)
                       T(log_mel_is_librosas_for_all_settings)
                           T(digital_silence_is_exactly_the_floor)
                               T(bits_do_not_depend_on_addresses_or_history)
                                   T(frames_and_vectors_are_counted_as_documented)
                                       T(bands_without_width_are_refused)
                                           T(failed_allocations_leak_nothing))
