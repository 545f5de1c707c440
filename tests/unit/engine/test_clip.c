// SPDX-License-Identifier: Apache-2.0
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/dsp/logmel.h"
#include "common/engine/clip.h"
#include "common/store/npy.h"
#include "tests/unit/test.h"

#define GOLDEN AUSCULT_SOURCE_DIR "/tests/golden/dsp/"

static Settings defaults(void) {
    Settings settings;
    settings_preset("default", &settings);
    return settings;
}

// 16-bit mono WAV of `count` samples, all of them `value`.
static void make_wav(Buffer *out, uint32_t rate_hz, uint32_t count, int16_t value) {
    unsigned char header[44] = "RIFF....WAVEfmt \20\0\0\0\1\0\1\0........\2\0\20\0data....";
    uint32_t numbers[4][2] = {
        {4, 36 + 2 * count}, {24, rate_hz}, {28, 2 * rate_hz}, {40, 2 * count}};
    for (int i = 0; i < 4; i++) {
        for (int byte = 0; byte < 4; byte++) {
            header[numbers[i][0] + (uint32_t)byte] = (unsigned char)(numbers[i][1] >> (8 * byte));
        }
    }
    buffer_clear(out);
    buffer_append(out, header, sizeof header);
    for (uint32_t i = 0; i < count; i++) {
        buffer_append(out, &value, sizeof value);
    }
}

static void make_npy(Buffer *out, NpyType type, int64_t rows, int64_t columns, void *data) {
    NpyArray array = {.type = type, .dimensions = 2, .shape = {rows, columns}, .data = data};
    buffer_clear(out);
    npy_format(&array, out);
}

// Extracts and probes: both must agree. Leaves nothing behind.
static Status try_clip(const Settings *settings, const char *name, const Buffer *bytes,
                       ClipFeatures *facts) {
    ClipExtractor *extractor = clip_extractor_new(settings);
    ClipFeatures features = {0}, probed = {0};
    Status probe = clip_probe(extractor, name, bytes->bytes, bytes->size, &probed);
    Status status = clip_extract(extractor, name, bytes->bytes, bytes->size, &features);
    clip_extractor_free(extractor);
    CHECK_INT(probe, status);
    CHECK(probed.log_mel == NULL && probed.frames == features.frames &&
          probed.vectors == features.vectors && probed.rate_hz == features.rate_hz &&
          probed.channels == features.channels && probed.seconds == features.seconds &&
          probed.is_silent == features.is_silent);
    CHECK((features.log_mel != NULL) == (status == STATUS_OK));
    clip_features_done(&features);
    *facts = features;
    return status;
}

TEST(a_wav_gives_facts_and_log_mel) {
    Settings settings = defaults();
    Buffer bytes = BUFFER_EMPTY;
    ClipFeatures facts;
    make_wav(&bytes, 16000, 160000, 77);
    CHECK_OK(try_clip(&settings, "a.wav", &bytes, &facts));
    CHECK_INT(facts.frames, 313);
    CHECK_INT(facts.vectors, 309);
    CHECK_INT(facts.rate_hz, 16000);
    CHECK_INT(facts.channels, 1);
    CHECK_NEAR(facts.seconds, 10, 0);
    CHECK(!facts.is_silent);
    settings.frame_hop_length = 4;
    CHECK_OK(try_clip(&settings, "a.wav", &bytes, &facts));
    CHECK_INT(facts.vectors, 78);
    make_wav(&bytes, 16000, 16000, 0);
    CHECK_OK(try_clip(&settings, "a.wav", &bytes, &facts));
    CHECK(facts.is_silent);
    buffer_done(&bytes);
}

TEST(short_clip_gives_no_vectors) {
    Settings settings = defaults();
    Buffer bytes = BUFFER_EMPTY;
    ClipFeatures facts;
    make_wav(&bytes, 16000, 2047, 1);
    CHECK_INT(try_clip(&settings, "m/a.wav", &bytes, &facts), STATUS_FORMAT);
    CHECK_TEXT(status_message(), "m/a.wav: 4 frames, a vector needs 5");
    make_wav(&bytes, 16000, 2048, 1);
    CHECK_OK(try_clip(&settings, "m/a.wav", &bytes, &facts));
    CHECK_INT(facts.vectors, 1);
    make_wav(&bytes, 16000, 1, 1);
    CHECK_INT(try_clip(&settings, "m/a.wav", &bytes, &facts), STATUS_FORMAT);
    CHECK_TEXT(status_message(), "m/a.wav: 1 frame, a vector needs 5");
    buffer_done(&bytes);
}

TEST(a_notebook_clip_is_one_vector) {
    Settings settings;
    settings_preset("notebook", &settings);
    Buffer bytes = BUFFER_EMPTY;
    ClipFeatures facts;
    make_wav(&bytes, 16000, 160000, 77);
    CHECK_OK(try_clip(&settings, "a.wav", &bytes, &facts));
    CHECK_INT(facts.frames, 1);
    CHECK_INT(facts.vectors, 1);
    CHECK_NEAR(facts.seconds, 10, 0);
    make_wav(&bytes, 16000, 16000, 0);
    CHECK_OK(try_clip(&settings, "a.wav", &bytes, &facts));
    CHECK(facts.is_silent);
    make_wav(&bytes, 16000, 8 * 466 - 1, 1);
    CHECK_INT(try_clip(&settings, "m/a.wav", &bytes, &facts), STATUS_FORMAT);
    CHECK_TEXT(status_message(), "m/a.wav: 8 frames, a vector needs 9");
    make_wav(&bytes, 8000, 16000, 1);
    CHECK_INT(try_clip(&settings, "m/a.wav", &bytes, &facts), STATUS_FORMAT);
    CHECK_HAS(status_message(), "m/a.wav: a rate of 8000 Hz is too low for spectral contrast");
    float rows[2 * 147] = {0};
    make_npy(&bytes, NPY_FLOAT32, 2, 147, rows);
    CHECK_OK(try_clip(&settings, "a.npy", &bytes, &facts));
    CHECK_INT(facts.vectors, 2);
    rows[147 + 3] = NAN;
    make_npy(&bytes, NPY_FLOAT32, 2, 147, rows);
    CHECK_INT(try_clip(&settings, "a.npy", &bytes, &facts), STATUS_FORMAT);
    CHECK_TEXT(status_message(), "a.npy: frame 1, feature 3 is NaN");
    make_npy(&bytes, NPY_FLOAT32, 2, 64, rows);
    CHECK_INT(try_clip(&settings, "a.npy", &bytes, &facts), STATUS_FORMAT);
    CHECK_HAS(status_message(), "expected (frames, 147)");
    buffer_done(&bytes);
}

TEST(broken_sound_is_the_clips_fault) {
    Settings settings = defaults();
    Buffer bytes = BUFFER_EMPTY;
    ClipFeatures facts;
    CHECK_INT(try_clip(&settings, "a.wav", &bytes, &facts), STATUS_FORMAT);
    buffer_text(&bytes, "no sound at all");
    CHECK_INT(try_clip(&settings, "a.wav", &bytes, &facts), STATUS_FORMAT);
    CHECK_INT(try_clip(&settings, "a.npy", &bytes, &facts), STATUS_FORMAT);
    CHECK_TEXT(status_message(), "a.npy is no .npy file");
    buffer_done(&bytes);
}

TEST(a_rate_too_low_for_fmin_is_the_clips_fault) {
    Settings settings = defaults();
    settings.fmin = 5000;
    Buffer bytes = BUFFER_EMPTY;
    ClipFeatures facts;
    make_wav(&bytes, 8000, 8000, 1);
    CHECK_INT(try_clip(&settings, "a.wav", &bytes, &facts), STATUS_FORMAT);
    CHECK_HAS(status_message(), "a.wav: fmin is 5000 Hz");
    buffer_done(&bytes);
}

TEST(powers_beyond_floats_are_refused) {
    Settings settings = defaults();
    Buffer bytes = BUFFER_EMPTY;
    ClipFeatures features = {0};
    float *sound = mem_new(4096, sizeof *sound);
    for (int i = 0; i < 4096; i++) {
        sound[i] = i % 2 ? 1e30f : -1e30f;
    }
    make_wav(&bytes, 16000, 8192, 0);
    bytes.bytes[20] = 3;  // float
    bytes.bytes[32] = 4;  // bytes of a frame
    bytes.bytes[34] = 32; // bits
    memcpy(bytes.bytes + 44, sound, 4 * 4096);
    ClipExtractor *extractor = clip_extractor_new(&settings);
    CHECK_INT(clip_extract(extractor, "a.wav", bytes.bytes, bytes.size, &features), STATUS_FORMAT);
    CHECK_HAS(status_message(), "a.wav: frame ");
    CHECK_HAS(status_message(), " is infinite");
    clip_extractor_free(extractor);
    mem_free(sound);
    buffer_done(&bytes);
}

TEST(a_npy_is_used_as_it_is) {
    Settings settings = defaults();
    float log_mel[6 * 128];
    for (int i = 0; i < 6 * 128; i++) {
        log_mel[i] = (float)i / 10 - 80;
    }
    Buffer bytes = BUFFER_EMPTY;
    make_npy(&bytes, NPY_FLOAT32, 6, 128, log_mel);
    ClipExtractor *extractor = clip_extractor_new(&settings);
    ClipFeatures features = {0};
    CHECK_OK(clip_extract(extractor, "a.NPY", bytes.bytes, bytes.size, &features));
    CHECK(memcmp(features.log_mel, log_mel, sizeof log_mel) == 0);
    CHECK_INT(features.frames, 6);
    CHECK_INT(features.vectors, 2);
    CHECK_INT(features.rate_hz, 0);
    clip_features_done(&features);
    clip_extractor_free(extractor);
    buffer_done(&bytes);
}

TEST(a_npy_of_another_kind_is_named) {
    Settings settings = defaults();
    static double data[700 * 2];
    float *floats = (float *)data;
    Buffer bytes = BUFFER_EMPTY;
    ClipFeatures facts;
    make_npy(&bytes, NPY_FLOAT32, 10, 64, data);
    CHECK_INT(try_clip(&settings, "a.npy", &bytes, &facts), STATUS_FORMAT);
    CHECK_TEXT(status_message(), "a.npy: (10, 64) of type <f4, expected (frames, 128) of type <f4");
    make_npy(&bytes, NPY_FLOAT64, 10, 128, data);
    CHECK_INT(try_clip(&settings, "a.npy", &bytes, &facts), STATUS_FORMAT);
    CHECK_HAS(status_message(), "(10, 128) of type <f8");
    make_npy(&bytes, NPY_FLOAT32, 3, 128, data);
    CHECK_INT(try_clip(&settings, "a.npy", &bytes, &facts), STATUS_FORMAT);
    CHECK_TEXT(status_message(), "a.npy: 3 frames, a vector needs 5");
    make_npy(&bytes, NPY_FLOAT32, 0, 128, data);
    CHECK_INT(try_clip(&settings, "a.npy", &bytes, &facts), STATUS_FORMAT);
    floats[3 * 128 + 7] = NAN;
    make_npy(&bytes, NPY_FLOAT32, 6, 128, data);
    CHECK_INT(try_clip(&settings, "a.npy", &bytes, &facts), STATUS_FORMAT);
    CHECK_TEXT(status_message(), "a.npy: frame 3, mel band 7 is NaN");
    buffer_done(&bytes);
}

TEST(many_rates_in_turn_give_the_same_bits) {
    Settings settings = defaults();
    Buffer bytes = BUFFER_EMPTY;
    ClipExtractor *extractor = clip_extractor_new(&settings);
    ClipFeatures first = {0}, again = {0};
    make_wav(&bytes, 16000, 4000, 1234);
    CHECK_OK(clip_extract(extractor, "a.wav", bytes.bytes, bytes.size, &first));
    for (uint32_t rate_hz = 8000; rate_hz < 16000; rate_hz += 1000) {
        make_wav(&bytes, rate_hz, 4000, 1234);
        CHECK_OK(clip_extract(extractor, "a.wav", bytes.bytes, bytes.size, &again));
        CHECK_INT(again.rate_hz, rate_hz);
        clip_features_done(&again);
    }
    make_wav(&bytes, 16000, 4000, 1234);
    CHECK_OK(clip_extract(extractor, "a.wav", bytes.bytes, bytes.size, &again));
    CHECK(memcmp(first.log_mel, again.log_mel, (size_t)first.frames * 128 * sizeof(float)) == 0);
    clip_features_done(&first);
    clip_features_done(&again);
    clip_extractor_free(extractor);
    buffer_done(&bytes);
}

TEST(failed_allocations_leak_nothing) {
    Settings settings = defaults();
    Buffer bytes = BUFFER_EMPTY;
    make_wav(&bytes, 16000, 4000, 1234);
    long before = mem_blocks();
    int failures = 0;
    for (;; failures++) {
        mem_fail_after(failures);
        ClipExtractor *extractor = clip_extractor_new(&settings);
        ClipFeatures features = {0};
        Status status = STATUS_MEMORY;
        if (extractor != NULL) {
            status = clip_extract(extractor, "a.wav", bytes.bytes, bytes.size, &features);
        }
        int failed = mem_has_failed();
        mem_fail_after(-1);
        clip_features_done(&features);
        clip_extractor_free(extractor);
        CHECK_INT(mem_blocks(), before);
        CHECK_INT(status, failed ? STATUS_MEMORY : STATUS_OK);
        if (!failed) {
            break;
        }
    }
    CHECK(failures >= 15);
    buffer_done(&bytes);
}

static void check_parity(const char *shared, const char *clip) {
    char path[1024];
    Buffer sound = BUFFER_EMPTY, parity = BUFFER_EMPTY;
    snprintf(path, sizeof path, "%s/data/real_clips/dcase2020/ToyCar/test/%s.wav", shared, clip);
    CHECK_OK(file_read(path, 1 << 24, &sound));
    snprintf(path, sizeof path, "%s/data/real_clips/toycar_logmel_parity/%s_hist_librosa.bin",
             shared, clip);
    CHECK_OK(file_read(path, 1 << 24, &parity));
    CHECK_INT(parity.size, 200 * 128 * sizeof(float));
    Settings settings = defaults();
    ClipExtractor *extractor = clip_extractor_new(&settings);
    ClipFeatures features = {0};
    CHECK_OK(clip_extract(extractor, path, sound.bytes, sound.size, &features));
    CHECK(features.frames >= 250);
    double worst = 0;
    for (int i = 0; i < 200 * 128; i++) {
        float expected;
        memcpy(&expected, parity.bytes + (size_t)i * sizeof expected, sizeof expected);
        double off = fabs((double)features.log_mel[50 * 128 + i] - (double)expected);
        worst = off <= worst ? worst : off;
    }
    printf("%s: worst %.2g dB\n", clip, worst);
    CHECK(worst <= 1e-4);
    clip_features_done(&features);
    clip_extractor_free(extractor);
    buffer_done(&sound);
    buffer_done(&parity);
}

TEST(toycar_log_mels_are_mlperfs) {
    const char *shared = test_shared();
    if (shared == NULL) {
        TEST_SKIP("no shared data");
    }
    static const char *clips[] = {"anomaly_id_04_00000005", "anomaly_id_04_00000167",
                                  "anomaly_id_04_00000261", "normal_id_04_00000006",
                                  "normal_id_04_00000057",  "normal_id_04_00000172"};
    for (int i = 0; i < 6; i++) {
        check_parity(shared, clips[i]);
    }
}

TEST_MAIN_LIST(T(a_wav_gives_facts_and_log_mel) T(short_clip_gives_no_vectors)
                   T(a_notebook_clip_is_one_vector) T(broken_sound_is_the_clips_fault)
                       T(a_rate_too_low_for_fmin_is_the_clips_fault)
                           T(powers_beyond_floats_are_refused) T(a_npy_is_used_as_it_is)
                               T(a_npy_of_another_kind_is_named)
                                   T(many_rates_in_turn_give_the_same_bits)
                                       T(failed_allocations_leak_nothing)
                                           T(toycar_log_mels_are_mlperfs))
