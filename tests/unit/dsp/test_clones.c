// SPDX-License-Identifier: Apache-2.0
//
// Clones for newer processors must give the bits of the plain code. What this machine lacks,
// another that runs this test has.
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/dsp/logmel.h"
#include "common/dsp/maths.h"
#include "common/dsp/moments.h"
#include "common/dsp/stft.h"
#include "tests/unit/test.h"

// plain_dsp.c
LogMel *plain_logmel_new(const Settings *settings, int32_t rate_hz);
void plain_logmel_free(LogMel *logmel);
void plain_logmel_run(LogMel *logmel, const float *samples, int64_t count, float *out);
Moments *plain_moments_new(int32_t rate_hz, int32_t n_fft);
void plain_moments_free(Moments *moments);
void plain_moments_add(Moments *moments, const float *power, int32_t frames, MomentSums *sums);
float plain_maths_largest(const float *values, size_t count);

static void check_settings(const Settings *settings, const float *samples, int64_t count) {
    LogMel *cloned = logmel_new(settings, 16000), *plain = plain_logmel_new(settings, 16000);
    size_t values = (size_t)(logmel_frames(cloned, count) * settings->n_mels);
    float *a = mem_new(values, sizeof *a), *b = mem_new(values, sizeof *b);
    logmel_run(cloned, samples, count, a);
    plain_logmel_run(plain, samples, count, b);
    CHECK(memcmp(a, b, values * sizeof *a) == 0);
    CHECK(a[values / 2] > -156 && a[values / 2] < 100);
    logmel_free(cloned);
    plain_logmel_free(plain);
    mem_free(a);
    mem_free(b);
}

static void check_moments(const float *samples, int64_t count, int32_t n_fft) {
    const StftConfig config = {n_fft, n_fft / 2, n_fft, PAD_ZEROS};
    Stft *stft = stft_new(&config);
    Moments *cloned = moments_new(16000, n_fft), *plain = plain_moments_new(16000, n_fft);
    float *power = mem_new_aligned((size_t)stft_bins(stft), STFT_LANES * sizeof *power);
    MomentSums a = {0}, b = {0};
    for (int64_t first = 0; first < stft_frames(stft, count); first += STFT_LANES) {
        stft_run(stft, samples, count, first, power);
        moments_add(cloned, power, STFT_LANES, &a);
        plain_moments_add(plain, power, STFT_LANES, &b);
    }
    CHECK(memcmp(&a, &b, sizeof a) == 0);
    CHECK(a.centroid_hz > 0 && a.bandwidth_hz > 0 && a.rolloff_hz > 0 && a.flatness > 0);
    moments_free(cloned);
    plain_moments_free(plain);
    stft_free(stft);
    mem_free(power);
}

TEST(clones_give_the_bits_of_plain_code) {
    enum { COUNT = 30001 };
    float *samples = mem_new(COUNT, sizeof *samples);
    Rng rng = rng_of(7, "clones", 0, 0);
    for (int i = 0; i < COUNT; i++) {
        samples[i] = (float)(rng_normal(&rng) * (1.001 + sin(i * 0.0007)) * 0.1);
    }
    Settings settings;
    settings_preset("default", &settings);
    check_settings(&settings, samples, COUNT);
    settings.power = 1;
    settings.pad_mode = PAD_REFLECT;
    check_settings(&settings, samples, COUNT);
    settings.power = 1.3;
    settings.n_fft = 403;
    settings.win_length = 331;
    settings.n_mels = 61;
    check_settings(&settings, samples, COUNT);
    check_moments(samples, COUNT, 1024);
    check_moments(samples, COUNT, 403);
    CHECK(maths_largest(samples, COUNT) == plain_maths_largest(samples, COUNT));
    mem_free(samples);
}

TEST_MAIN_LIST(T(clones_give_the_bits_of_plain_code))
