// SPDX-License-Identifier: Apache-2.0
//
// What is told of a clip: of sounds whose level, clipping, silence and mean are known; the spectral
// numbers and bands against librosa's (tests/golden/make_explore.py).
#include "common/engine/exploration.h"

#include "common/base/mem.h"
#include "common/engine/clip.h"
#include "common/store/npy.h"
#include "coordinator/synth/wavfile.h"
#include "tests/unit/test.h"

#define GOLDEN AUSCULT_SOURCE_DIR "/tests/golden/explore/"
#define PI     3.14159265358979323846

enum { COUNT = 16000 };

static Settings settings;
static int16_t sound[COUNT];

static void begin(void) {
    CHECK_OK(settings_preset("default", &settings));
}

static void make_sine(double amplitude, double mean) {
    for (int i = 0; i < COUNT; i++) {
        double value = 32768 * (mean + amplitude * sin(2 * PI * 1000 * i / 16000.0));
        value = value > 32767 ? 32767 : value < -32768 ? -32768 : value;
        sound[i] = (int16_t)lrint(value);
    }
}

static Status explore_bytes(const char *name, const Buffer *bytes, Exploration *ret) {
    ClipExplorer *explorer = clip_explorer_new(&settings);
    Status status = explorer != NULL ? clip_explore(explorer, name, bytes->bytes, bytes->size, ret)
                                     : STATUS_MEMORY;
    clip_explorer_free(explorer);
    return status;
}

static Exploration explore_sound(void) {
    Buffer bytes = BUFFER_EMPTY;
    Exploration found = {0};
    wavfile_format(sound, COUNT, 1, 16000, &bytes);
    CHECK_OK(explore_bytes("x.wav", &bytes, &found));
    CHECK(found.is_sound);
    buffer_done(&bytes);
    return found;
}

TEST(a_sine_has_its_level_and_its_place_in_the_spectrum) {
    begin();
    make_sine(0.5, 0);
    Exploration found = explore_sound();
    const double *n = found.numbers;
    CHECK_NEAR(n[NUMBER_SECONDS], 1, 0);
    CHECK_NEAR(n[NUMBER_RATE_HZ], 16000, 0);
    CHECK_NEAR(n[NUMBER_CHANNELS], 1, 0);
    CHECK_NEAR(n[NUMBER_BITS], 16, 0);
    CHECK_NEAR(n[NUMBER_FRAMES], 32, 0);
    CHECK_NEAR(n[NUMBER_PEAK], 0.5, 1e-9);
    CHECK_NEAR(n[NUMBER_LEVEL_DB], 20 * log10(0.5 / sqrt(2)), 1e-3);
    CHECK_NEAR(n[NUMBER_CREST_DB], 20 * log10(sqrt(2)), 1e-3);
    CHECK_NEAR(n[NUMBER_DC], 0, 1e-6);
    CHECK_NEAR(n[NUMBER_CLIPPED_RUNS], 0, 0);
    CHECK_NEAR(n[NUMBER_SILENT_SHARE], 0, 0);
    CHECK(n[NUMBER_CENTROID_HZ] > 950 && n[NUMBER_CENTROID_HZ] < 1150);
    CHECK(n[NUMBER_FLATNESS] < 0.01);
    exploration_done(&found);
    CHECK_INT(mem_blocks(), 0);
}

TEST(samples_that_stay_at_full_scale_are_clipped) {
    begin();
    make_sine(1.5, 0); // at full scale while |sin| >= 2/3: 8 of 16 samples, in two runs of 4 or 5
    Exploration found = explore_sound();
    int runs = 0, clipped = 0;
    for (int i = 0, length = 0; i <= COUNT; i++) {
        bool at_end = i < COUNT && (sound[i] == 32767 || sound[i] == -32768);
        if (at_end) {
            length++;
        } else {
            runs += length >= EXPLORATION_RUN;
            clipped += length >= EXPLORATION_RUN ? length : 0;
            length = 0;
        }
    }
    CHECK(runs > 1900);
    CHECK_NEAR(found.numbers[NUMBER_CLIPPED_RUNS], runs, 0);
    CHECK_NEAR(found.numbers[NUMBER_CLIPPED_SHARE], (double)clipped / COUNT, 0);
    exploration_done(&found);
    make_sine(0.9999, 0); // touches it at single samples
    found = explore_sound();
    CHECK_NEAR(found.numbers[NUMBER_CLIPPED_RUNS], 0, 0);
    exploration_done(&found);
}

TEST(silence_has_the_least_level_and_no_place) {
    begin();
    memset(sound, 0, sizeof sound);
    Exploration found = explore_sound();
    CHECK_NEAR(found.numbers[NUMBER_LEVEL_DB], -200, 1e-9);
    CHECK_NEAR(found.numbers[NUMBER_SILENT_SHARE], 1, 0);
    CHECK_NEAR(found.numbers[NUMBER_CREST_DB], 0, 0);
    CHECK_NEAR(found.numbers[NUMBER_CENTROID_HZ], 0, 0);
    CHECK_NEAR(found.numbers[NUMBER_ROLLOFF_HZ], 0, 0);
    CHECK_NEAR(found.numbers[NUMBER_FLATNESS], 1, 1e-5);
    CHECK_NEAR(found.spread[5], 0, 0);
    exploration_done(&found);
    make_sine(0.5, 0);
    for (int i = 0; i < COUNT / 2; i++) { // 15 of 32 blocks, and 320 samples of the next
        sound[i] = 0;
    }
    found = explore_sound();
    CHECK_NEAR(found.numbers[NUMBER_SILENT_SHARE], 15.0 / 32, 0);
    exploration_done(&found);
}

TEST(a_mean_beside_zero_is_seen) {
    begin();
    make_sine(0.1, 0.25);
    Exploration found = explore_sound();
    CHECK_NEAR(found.numbers[NUMBER_DC], 0.25, 1e-5);
    exploration_done(&found);
}

TEST(a_log_mel_made_elsewhere_has_bands_and_no_sound) {
    begin();
    CHECK_OK(settings_assign(&settings, "n_mels=3"));
    float values[4][3] = {{1, -2, 5}, {3, -2, 5}, {1, -2, 5}, {3, -2, 9}};
    NpyArray array = {.type = NPY_FLOAT32, .dimensions = 2, .shape = {4, 3}, .data = values};
    Buffer bytes = BUFFER_EMPTY;
    Exploration found = {0};
    npy_format(&array, &bytes);
    CHECK_OK(explore_bytes("x.npy", &bytes, &found));
    CHECK(!found.is_sound);
    CHECK_INT(found.n_mels, 3);
    CHECK_NEAR(found.numbers[NUMBER_FRAMES], 4, 0);
    CHECK_NEAR(found.numbers[NUMBER_LEVEL_DB], 0, 0);
    CHECK_NEAR(found.mean[0], 2, 0);
    CHECK_NEAR(found.spread[0], 1, 0);
    CHECK_NEAR(found.mean[1], -2, 0);
    CHECK_NEAR(found.spread[1], 0, 0);
    CHECK_NEAR(found.mean[2], 6, 0);
    CHECK_NEAR(found.spread[2], sqrt(3), 1e-12);
    exploration_done(&found);
    buffer_done(&bytes);
}

static NpyArray golden(const char *name) {
    char path[300];
    NpyArray array = {0};
    snprintf(path, sizeof path, GOLDEN "%s.npy", name);
    CHECK_OK(npy_read(path, &array));
    return array;
}

TEST(numbers_and_bands_are_those_of_librosa) {
    static const ExplorationNumber NUMBERS[] = {NUMBER_CENTROID_HZ, NUMBER_BANDWIDTH_HZ,
                                                NUMBER_ROLLOFF_HZ, NUMBER_FLATNESS};
    begin();
    NpyArray signals = golden("signals"), numbers = golden("numbers"), bands = golden("bands");
    int64_t length = signals.shape[1], n_mels = bands.shape[2];
    for (int64_t s = 0; s < signals.shape[0]; s++) {
        for (int64_t i = 0; i < length; i++) {
            sound[i] = (int16_t)lrintf(32768 * ((const float *)signals.data)[s * length + i]);
        }
        Buffer bytes = BUFFER_EMPTY;
        Exploration found = {0};
        wavfile_format(sound, length, 1, 16000, &bytes);
        CHECK_OK(explore_bytes("x.wav", &bytes, &found));
        CHECK_INT(found.n_mels, n_mels);
        for (int n = 0; n < 4; n++) {
            double expected = ((const double *)numbers.data)[s * 4 + n];
            CHECK_NEAR(found.numbers[NUMBERS[n]], expected, 1e-5 * expected);
        }
        const double *mean = (const double *)bands.data + 2 * s * n_mels;
        for (int64_t m = 0; m < n_mels; m++) {
            CHECK_NEAR(found.mean[m], mean[m], 1e-3);
            CHECK_NEAR(found.spread[m], mean[n_mels + m], 1e-3);
        }
        exploration_done(&found);
        buffer_done(&bytes);
    }
    npy_done(&signals);
    npy_done(&numbers);
    npy_done(&bands);
}

TEST(the_bands_are_means_of_what_extraction_gives) {
    begin();
    make_sine(0.3, 0);
    Buffer bytes = BUFFER_EMPTY;
    ClipFeatures features;
    ClipExtractor *extractor = clip_extractor_new(&settings);
    wavfile_format(sound, COUNT, 1, 16000, &bytes);
    CHECK_OK(clip_extract(extractor, "x.wav", bytes.bytes, bytes.size, &features));
    Exploration found = explore_sound();
    for (int32_t m = 0; m < settings.n_mels; m++) {
        double sum = 0;
        for (int64_t t = 0; t < features.frames; t++) {
            sum += (double)features.log_mel[t * settings.n_mels + m];
        }
        CHECK_NEAR(found.mean[m], sum / (double)features.frames, 1e-9);
    }
    exploration_done(&found);
    clip_features_done(&features);
    clip_extractor_free(extractor);
    buffer_done(&bytes);
}

static void put_number(Buffer *out, uint32_t value, size_t bytes) {
    buffer_append(out, &value, bytes); // little-endian, as this machine
}

// 32-bit floats: the one format in which sounds can be that loud.
static void put_float_wav(double amplitude, Buffer *out) {
    static const uint16_t FORMAT = 3;
    uint32_t bytes = COUNT * sizeof(float);
    buffer_text(out, "RIFF");
    put_number(out, 36 + bytes, 4);
    buffer_text(out, "WAVEfmt ");
    put_number(out, 16, 4);
    put_number(out, FORMAT, 2);
    put_number(out, 1, 2); // channel
    put_number(out, 16000, 4);
    put_number(out, 64000, 4);
    put_number(out, 4, 2);
    put_number(out, 32, 2);
    buffer_text(out, "data");
    put_number(out, bytes, 4);
    for (int i = 0; i < COUNT; i++) {
        float value = (float)(amplitude * sin(2 * PI * 1000 * i / 16000.0));
        buffer_append(out, &value, sizeof value);
    }
}

TEST(a_sound_of_any_loudness_is_explored_or_refused_as_it_is_extracted) {
    begin();
    ClipExtractor *extractor = clip_extractor_new(&settings);
    CHECK(extractor != NULL);
    int explored = 0, refused = 0;
    for (int exponent = -44; exponent <= 38; exponent++) {
        Buffer bytes = BUFFER_EMPTY;
        Exploration found = {0};
        ClipFeatures features = {0};
        put_float_wav(pow(10, exponent), &bytes);
        Status status = explore_bytes("x.wav", &bytes, &found);
        Status extracted = clip_extract(extractor, "x.wav", bytes.bytes, bytes.size, &features);
        CHECK_INT(status, extracted);
        CHECK(status == STATUS_OK || status == STATUS_FORMAT);
        explored += status == STATUS_OK;
        refused += status != STATUS_OK;
        exploration_done(&found);
        clip_features_done(&features);
        buffer_done(&bytes);
    }
    CHECK(explored > 44 && refused > 10);
    clip_extractor_free(extractor);
    CHECK_INT(mem_blocks(), 0);
}

TEST(what_is_no_clip_is_refused) {
    begin();
    Buffer bytes = BUFFER_EMPTY;
    Exploration found = {0};
    wavfile_format(sound, COUNT, 1, 16000, &bytes);
    bytes.size -= 100;
    CHECK_INT(explore_bytes("x.wav", &bytes, &found), STATUS_FORMAT);
    buffer_clear(&bytes);
    buffer_text(&bytes, "noise");
    CHECK_INT(explore_bytes("x.wav", &bytes, &found), STATUS_FORMAT);
    CHECK_INT(explore_bytes("x.npy", &bytes, &found), STATUS_FORMAT);
    CHECK(found.mean == NULL);
    buffer_done(&bytes);
    CHECK_INT(mem_blocks(), 0);
}

TEST(numbers_that_cannot_be_are_refused) {
    begin();
    make_sine(0.3, 0);
    Exploration found = explore_sound();
    CHECK_OK(exploration_check(&found));
    static const struct {
        ExplorationNumber number;
        double value;
    } WRONG[] = {{NUMBER_PEAK, NAN},         {NUMBER_SECONDS, 0}, {NUMBER_RATE_HZ, 0},
                 {NUMBER_SILENT_SHARE, 1.1}, {NUMBER_FRAMES, 0},  {NUMBER_CENTROID_HZ, -1},
                 {NUMBER_DC, INFINITY}};
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        double right = found.numbers[WRONG[i].number];
        found.numbers[WRONG[i].number] = WRONG[i].value;
        CHECK_INT(exploration_check(&found), STATUS_FORMAT);
        found.numbers[WRONG[i].number] = right;
    }
    found.mean[3] = NAN;
    CHECK_INT(exploration_check(&found), STATUS_FORMAT);
    found.mean[3] = 0;
    found.spread[3] = -1;
    CHECK_INT(exploration_check(&found), STATUS_FORMAT);
    exploration_done(&found);
}

TEST(every_allocation_may_fail) {
    begin();
    make_sine(0.3, 0);
    Buffer bytes = BUFFER_EMPTY;
    wavfile_format(sound, COUNT, 1, 16000, &bytes);
    long before = mem_blocks();
    int failures = 0;
    for (long n = 0;; n++) {
        Exploration found = {0};
        mem_fail_after(n);
        Status status = explore_bytes("x.wav", &bytes, &found);
        bool failed = mem_has_failed() != 0;
        mem_fail_after(-1);
        exploration_done(&found);
        CHECK_INT(mem_blocks(), before);
        if (!failed) {
            CHECK_OK(status);
            break;
        }
        CHECK_INT(status, STATUS_MEMORY);
        failures++;
    }
    CHECK(failures > 10);
    buffer_done(&bytes);
}

TEST_MAIN_LIST(
    T(a_sine_has_its_level_and_its_place_in_the_spectrum)
        T(samples_that_stay_at_full_scale_are_clipped) T(silence_has_the_least_level_and_no_place)
            T(a_mean_beside_zero_is_seen) T(a_log_mel_made_elsewhere_has_bands_and_no_sound)
                T(numbers_and_bands_are_those_of_librosa)
                    T(the_bands_are_means_of_what_extraction_gives)
                        T(a_sound_of_any_loudness_is_explored_or_refused_as_it_is_extracted)
                            T(what_is_no_clip_is_refused) T(numbers_that_cannot_be_are_refused)
                                T(every_allocation_may_fail))
