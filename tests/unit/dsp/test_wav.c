// SPDX-License-Identifier: Apache-2.0
#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/dsp/wav.h"
#include "common/store/npy.h"
#include "tests/unit/test.h"

#define GOLDEN AUSCULT_SOURCE_DIR "/tests/golden/dsp/sound_"

static void put_number(Buffer *out, uint32_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        char byte = (char)(value >> (8 * i));
        buffer_append(out, &byte, 1);
    }
}

// A WAV of `format` (1 PCM, 3 float) that promises `promised` bytes of sound and holds `size`.
static void make_wav(Buffer *out, int format, int channels, int bits, uint32_t rate_hz,
                     uint32_t promised, const void *sound, size_t size) {
    int frame_bytes = channels * bits / 8;
    buffer_clear(out);
    buffer_text(out, "RIFF");
    put_number(out, 36 + promised, 4);
    buffer_text(out, "WAVEfmt ");
    put_number(out, 16, 4);
    put_number(out, (uint32_t)format, 2);
    put_number(out, (uint32_t)channels, 2);
    put_number(out, rate_hz, 4);
    put_number(out, rate_hz * (uint32_t)frame_bytes, 4);
    put_number(out, (uint32_t)frame_bytes, 2);
    put_number(out, (uint32_t)bits, 2);
    buffer_text(out, "data");
    put_number(out, promised, 4);
    buffer_append(out, sound, size);
}

// Reads one channel of a file in memory; leaves no reader behind.
static Status read_once(const void *bytes, size_t size, int32_t channel, WavFacts *facts) {
    WavReader *reader = wav_reader_new();
    const float *samples = NULL;
    Status status = wav_read(reader, "x.wav", bytes, size, channel, facts, &samples);
    wav_reader_free(reader);
    return status;
}

static Status read_wav(int format, int channels, int bits, uint32_t rate_hz, uint32_t promised,
                       const void *sound, size_t size, WavFacts *facts) {
    Buffer bytes = BUFFER_EMPTY;
    make_wav(&bytes, format, channels, bits, rate_hz, promised, sound, size);
    Status status = read_once(bytes.bytes, bytes.size, 0, facts);
    buffer_done(&bytes);
    return status;
}

TEST(every_format_gives_soundfiles_samples) {
    static const char *files[] = {
        "pcm16.wav",      "pcm24.wav", "pcm32.wav",   "unsigned8.wav",     "float.wav",
        "double.wav",     "alaw.wav",  "adpcm.wav",   "stereo.wav",        "rf64.wav",
        "extensible.wav", "aiff.aiff", "flac16.flac", "flac24_stereo.flac"};
    WavReader *reader = wav_reader_new();
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[512];
        Buffer bytes = BUFFER_EMPTY;
        NpyArray expected = {0};
        snprintf(path, sizeof path, GOLDEN "%s", files[i]);
        CHECK_OK(file_read(path, 1 << 20, &bytes));
        snprintf(strrchr(path, '.'), 5, ".npy");
        CHECK_OK(npy_read(path, &expected));
        for (int32_t channel = 0; channel < expected.shape[1]; channel++) {
            WavFacts facts;
            const float *samples;
            CHECK_OK(
                wav_read(reader, files[i], bytes.bytes, bytes.size, channel, &facts, &samples));
            CHECK_INT(facts.rate_hz, 16000);
            CHECK_INT(facts.channels, expected.shape[1]);
            CHECK_INT(facts.samples, expected.shape[0]);
            CHECK(!facts.is_silent);
            for (int64_t k = 0; k < facts.samples; k++) {
                float value = ((float *)expected.data)[k * facts.channels + channel];
                if (samples[k] != value) {
                    TEST_FAIL("%s: sample %lld is %.9g, expected %.9g", files[i], (long long)k,
                              (double)samples[k], (double)value);
                }
            }
        }
        npy_done(&expected);
        buffer_done(&bytes);
    }
    wav_reader_free(reader);
}

TEST(long_clips_of_several_channels_are_taken_apart) {
    enum { COUNT = 10001, CHANNELS = 3 };
    int16_t *sound = mem_new(COUNT * CHANNELS, sizeof *sound);
    for (int i = 0; i < COUNT * CHANNELS; i++) {
        sound[i] = (int16_t)(i * 31);
    }
    Buffer bytes = BUFFER_EMPTY;
    make_wav(&bytes, 1, CHANNELS, 16, 48000, COUNT * CHANNELS * 2, sound, COUNT * CHANNELS * 2);
    WavReader *reader = wav_reader_new();
    WavFacts facts;
    const float *samples;
    CHECK_OK(wav_read(reader, "x.wav", bytes.bytes, bytes.size, 2, &facts, &samples));
    CHECK_INT(facts.samples, COUNT);
    for (int i = 0; i < COUNT; i++) {
        CHECK(samples[i] == (float)sound[i * CHANNELS + 2] / 32768);
    }
    wav_reader_free(reader);
    buffer_done(&bytes);
    mem_free(sound);
}

static const int16_t SOUND[8] = {0, 1, -1, 32767, -32768, 5, 6, 7};

TEST(a_truncated_wav_says_so) {
    WavFacts facts;
    CHECK_OK(read_wav(1, 1, 16, 16000, 16, SOUND, 16, &facts));
    CHECK_INT(facts.samples, 8);
    CHECK_INT(read_wav(1, 1, 16, 16000, 20, SOUND, 16, &facts), STATUS_FORMAT);
    CHECK_TEXT(status_message(), "x.wav: truncated: header promises 10 samples, 8 are there");
    CHECK_INT(read_wav(1, 1, 16, 16000, 17, SOUND, 16, &facts), STATUS_FORMAT);
    CHECK_INT(read_wav(1, 1, 16, 16000, 16, SOUND, 0, &facts), STATUS_FORMAT);
    CHECK_TEXT(status_message(), "x.wav: truncated: header promises 8 samples, 0 are there");
}

TEST(a_wav_of_unknown_length_is_read_to_its_end) {
    static const uint32_t promises[] = {0xffffffff, 0x7ffff000, 0x80000000};
    for (int i = 0; i < 3; i++) {
        WavFacts facts;
        CHECK_OK(read_wav(1, 1, 16, 16000, promises[i], SOUND, 16, &facts));
        CHECK_INT(facts.samples, 8);
    }
    // What libsndfile leaves when it is not closed; any other header that says 0 means it.
    Buffer bytes = BUFFER_EMPTY;
    WavFacts facts;
    make_wav(&bytes, 1, 1, 16, 16000, 0, SOUND, 16);
    bytes.bytes[4] = 8;
    char longer[64] = {0}; // libsndfile wants more than 44 bytes for that
    buffer_append(&bytes, longer, sizeof longer);
    CHECK_OK(read_once(bytes.bytes, bytes.size, 0, &facts));
    CHECK_INT(facts.samples, 8 + 32);
    buffer_done(&bytes);
}

TEST(bytes_behind_the_sound_are_no_sound) {
    int16_t sound[16] = {1, 2, 3, 4};
    WavFacts facts;
    CHECK_OK(read_wav(1, 1, 16, 16000, 8, sound, 32, &facts));
    CHECK_INT(facts.samples, 4);
}

TEST(what_is_no_sound_is_named) {
    WavFacts facts;
    CHECK_INT(read_once("", 0, 0, &facts), STATUS_FORMAT);
    CHECK_TEXT(status_message(), "x.wav: empty, 0 bytes");
    CHECK_INT(read_once("this is a text, not a sound", 27, 0, &facts), STATUS_FORMAT);
    CHECK_TEXT(status_message(), "x.wav: not a sound file that can be read");
    CHECK_INT(read_wav(1, 1, 16, 16000, 0, SOUND, 0, &facts), STATUS_FORMAT);
    CHECK_TEXT(status_message(), "x.wav: no samples");
    CHECK_INT(read_wav(1, 1, 16, 0, 16, SOUND, 16, &facts), STATUS_FORMAT);
    CHECK_INT(read_wav(1, 1, 16, LIMIT_RATE_HZ + 1, 16, SOUND, 16, &facts), STATUS_FORMAT);
    CHECK_HAS(status_message(), "a rate of 384001 Hz");
    CHECK_INT(read_wav(1, 0, 16, 16000, 16, SOUND, 16, &facts), STATUS_FORMAT);
    char many[2 * (LIMIT_CHANNELS + 1)] = {0};
    CHECK_INT(read_wav(1, LIMIT_CHANNELS + 1, 16, 16000, sizeof many, many, sizeof many, &facts),
              STATUS_FORMAT);
    CHECK_HAS(status_message(), "65 channels");
}

TEST(a_missing_channel_is_named) {
    Buffer bytes = BUFFER_EMPTY;
    WavFacts facts;
    make_wav(&bytes, 1, 2, 16, 16000, 16, SOUND, 16);
    CHECK_OK(read_once(bytes.bytes, bytes.size, 1, &facts));
    CHECK_INT(facts.samples, 4);
    CHECK_INT(read_once(bytes.bytes, bytes.size, 2, &facts), STATUS_FORMAT);
    CHECK_TEXT(status_message(), "x.wav: there is no channel 2, the last one is 1");
    buffer_done(&bytes);
}

TEST(samples_that_are_not_finite_are_refused) {
    float sound[6] = {0, 0.5f, -0.5f, NAN, 0, INFINITY};
    WavFacts facts;
    CHECK_INT(read_wav(3, 1, 32, 16000, sizeof sound, sound, sizeof sound, &facts), STATUS_FORMAT);
    CHECK_TEXT(status_message(), "x.wav: sample 3 is NaN");
    sound[3] = 1;
    CHECK_INT(read_wav(3, 1, 32, 16000, sizeof sound, sound, sizeof sound, &facts), STATUS_FORMAT);
    CHECK_TEXT(status_message(), "x.wav: sample 5 is infinite");
    sound[5] = -3e30f;
    CHECK_OK(read_wav(3, 1, 32, 16000, sizeof sound, sound, sizeof sound, &facts));
}

TEST(silence_is_sound_and_flagged) {
    int16_t sound[100] = {0};
    WavFacts facts;
    CHECK_OK(read_wav(1, 1, 16, 16000, sizeof sound, sound, sizeof sound, &facts));
    CHECK(facts.is_silent);
    sound[99] = -1;
    CHECK_OK(read_wav(1, 1, 16, 16000, sizeof sound, sound, sizeof sound, &facts));
    CHECK(!facts.is_silent);
    float minus_zero[2] = {-0.0f, 0};
    CHECK_OK(read_wav(3, 1, 32, 16000, sizeof minus_zero, minus_zero, 8, &facts));
    CHECK(facts.is_silent);
}

TEST(a_truncated_flac_is_refused) {
    Buffer bytes = BUFFER_EMPTY;
    CHECK_OK(file_read(GOLDEN "flac16.flac", 1 << 20, &bytes));
    for (size_t size = 1; size < bytes.size; size++) {
        char *cut = mem_copy(bytes.bytes, size); // exact, for the address sanitizer
        WavFacts facts;
        CHECK_INT(read_once(cut, size, 0, &facts), STATUS_FORMAT);
        mem_free(cut);
    }
    buffer_done(&bytes);
}

TEST(every_cut_of_a_wav_is_refused) {
    static const char *files[] = {GOLDEN "pcm16.wav", GOLDEN "extensible.wav", GOLDEN "rf64.wav",
                                  GOLDEN "adpcm.wav"};
    for (int i = 0; i < 4; i++) {
        Buffer bytes = BUFFER_EMPTY;
        CHECK_OK(file_read(files[i], 1 << 20, &bytes));
        for (size_t size = 0; size < bytes.size; size++) {
            char *cut = mem_copy(bytes.bytes, size);
            WavFacts facts;
            if (read_once(cut, size, 0, &facts) != STATUS_FORMAT) {
                TEST_FAIL("%s: accepted when cut to %zu bytes", files[i], size);
            }
            mem_free(cut);
        }
        buffer_done(&bytes);
    }
}

TEST(random_damage_never_crashes) {
    static const char *files[] = {GOLDEN "pcm16.wav", GOLDEN "extensible.wav",
                                  GOLDEN "rf64.wav",  GOLDEN "adpcm.wav",
                                  GOLDEN "aiff.aiff", GOLDEN "flac16.flac"};
    const char *given = getenv("AUSCULT_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 20261122;
    printf("again: AUSCULT_TEST_SEED=%llu test_wav random_damage_never_crashes\n",
           (unsigned long long)seed);
    Rng rng = rng_of(seed, "wav damage", 0, 0);
    WavReader *reader = wav_reader_new();
    int refused = 0, rounds = 3000;
    for (int round = 0; round < rounds; round++) {
        Buffer bytes = BUFFER_EMPTY;
        CHECK_OK(file_read(files[round % 6], 1 << 20, &bytes));
        char *copy = mem_copy(bytes.bytes, bytes.size);
        for (uint32_t hits = 1 + rng_below(&rng, 4); hits > 0; hits--) {
            copy[rng_below(&rng, 100)] = (char)rng_u32(&rng);
        }
        WavFacts facts;
        const float *samples;
        Status status = wav_read(reader, "x.wav", copy, bytes.size, 0, &facts, &samples);
        CHECK(status == STATUS_OK || status == STATUS_FORMAT);
        refused += status != STATUS_OK;
        mem_free(copy);
        buffer_done(&bytes);
    }
    printf("%d of %d refused\n", refused, rounds);
    CHECK(refused > rounds / 10 && refused < rounds);
    wav_reader_free(reader);
}

TEST(failed_allocations_leak_nothing) {
    Buffer bytes = BUFFER_EMPTY;
    make_wav(&bytes, 1, 2, 16, 16000, 16, SOUND, 16);
    long before = mem_blocks();
    int failures = 0;
    for (;; failures++) {
        mem_fail_after(failures);
        WavReader *reader = wav_reader_new();
        Status status = STATUS_MEMORY;
        WavFacts facts;
        const float *samples;
        if (reader != NULL) {
            status = wav_read(reader, "x.wav", bytes.bytes, bytes.size, 0, &facts, &samples);
        }
        int failed = mem_has_failed();
        mem_fail_after(-1);
        wav_reader_free(reader);
        CHECK_INT(mem_blocks(), before);
        CHECK_INT(status, failed ? STATUS_MEMORY : STATUS_OK);
        if (!failed) {
            break;
        }
    }
    CHECK_INT(failures, 3);
    buffer_done(&bytes);
}

TEST_MAIN_LIST(
    T(every_format_gives_soundfiles_samples) T(long_clips_of_several_channels_are_taken_apart)
        T(a_truncated_wav_says_so) T(a_wav_of_unknown_length_is_read_to_its_end)
            T(bytes_behind_the_sound_are_no_sound) T(what_is_no_sound_is_named)
                T(a_missing_channel_is_named) T(samples_that_are_not_finite_are_refused)
                    T(silence_is_sound_and_flagged) T(a_truncated_flac_is_refused)
                        T(every_cut_of_a_wav_is_refused) T(random_damage_never_crashes)
                            T(failed_allocations_leak_nothing))
