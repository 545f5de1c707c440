// SPDX-License-Identifier: Apache-2.0
//
// The pictures of a clip: what is known of the sound stands in them, what the model leaves out adds
// up to its score, and nothing but a portrait is taken for one.
#include "common/engine/portrait.h"

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/engine/source.h"
#include "common/model/linalg.h"
#include "common/model/scorer.h"
#include "common/store/npy.h"
#include "coordinator/synth/wavfile.h"
#include "tests/unit/test.h"

#define PI 3.14159265358979323846

static Settings settings;

static void begin(void) {
    CHECK_OK(settings_preset("default", &settings));
    CHECK_OK(settings_assign(&settings, "n_mels=32"));
}

// A sine of 16 kHz sound, and the same an octave higher from its middle on.
static void make_sine(Buffer *out, int64_t count, double hz, double amplitude) {
    int16_t *sound = mem_new((size_t)count, sizeof *sound);
    for (int64_t i = 0; i < count; i++) {
        double f = i < count / 2 ? hz : 2 * hz;
        sound[i] = (int16_t)lrint(32768 * amplitude * sin(2 * PI * f * (double)i / 16000));
    }
    buffer_clear(out);
    wavfile_format(sound, count, 1, 16000, out);
    mem_free(sound);
}

static void make_npy(Buffer *out, int64_t frames, int64_t bands) {
    Rng rng = rng_of(7, "test portrait", 0, 0);
    float *values = mem_new((size_t)(frames * bands), sizeof *values);
    for (int64_t i = 0; i < frames * bands; i++) {
        values[i] = (float)(-30 + 5 * rng_normal(&rng));
    }
    NpyArray array = {
        .type = NPY_FLOAT32, .dimensions = 2, .shape = {frames, bands}, .data = values};
    buffer_clear(out);
    npy_format(&array, out);
    mem_free(values);
}

static void make_model(int32_t rate_hz, Buffer *out) {
    Shape shape = shape_of_settings(&settings);
    ModelFile file = model_file_blank();
    file.rate_hz = rate_hz;
    file.settings = settings;
    file.replica = replica_new(&shape);
    replica_init(file.replica, 1, 1);
    model_file_write(&file, out);
    CHECK_OK(out->status);
    model_file_done(&file);
}

static Status try_portrait(const Buffer *model, const char *name, const Buffer *clip,
                           Portrait *ret) {
    Portraitist *portraitist = NULL;
    Status status = portraitist_new(&settings, model != NULL ? model->bytes : NULL,
                                    model != NULL ? model->size : 0, &portraitist);
    if (status == STATUS_OK) {
        status = portrait_make(portraitist, name, clip->bytes, clip->size, ret);
    }
    portraitist_free(portraitist);
    return status;
}

static uint32_t loudest_row(const Portrait *portrait, int32_t column) {
    uint32_t best = 0;
    for (int32_t r = 1; r < portrait->spectrum_rows; r++) {
        const float *row = portrait->spectrogram + (size_t)r * (size_t)portrait->columns;
        const float *loudest = portrait->spectrogram + (size_t)best * (size_t)portrait->columns;
        best = row[column] > loudest[column] ? (uint32_t)r : best;
    }
    return best;
}

TEST(a_sound_stands_in_its_pictures_where_it_is) {
    begin();
    Buffer clip = BUFFER_EMPTY;
    Portrait portrait = {0};
    make_sine(&clip, 160000, 1000, 0.5);
    CHECK_OK(try_portrait(NULL, "x.wav", &clip, &portrait));
    CHECK_INT(portrait.rate_hz, 16000);
    CHECK_NEAR(portrait.seconds, 10, 0);
    CHECK_INT(portrait.columns, 313);
    CHECK_INT(portrait.mel_rows, 32);
    CHECK_INT(portrait.mfcc_rows, 20);
    CHECK_INT(portrait.spectrum_rows, PORTRAIT_ROWS);
    CHECK(!portrait.has_residual);
    for (int32_t c = 0; c < portrait.columns; c++) {
        CHECK_NEAR((double)portrait.low[c], -0.5, 0.001);
        CHECK_NEAR((double)portrait.high[c], 0.5, 0.001);
    }
    // Of 513 bins of 15.625 Hz, row r begins with bin r * 513 / 128: bins 64 and 128.
    CHECK_INT(loudest_row(&portrait, 50), 16);
    CHECK_INT(loudest_row(&portrait, 250), 32);
    portrait_done(&portrait);
    buffer_done(&clip);
}

TEST(a_short_clip_has_its_log_mel_frame_by_frame) {
    begin();
    Buffer clip = BUFFER_EMPTY;
    Portrait portrait = {0};
    ClipFeatures features;
    ClipExtractor *extractor = clip_extractor_new(&settings);
    make_sine(&clip, 16000, 700, 0.3);
    CHECK_OK(try_portrait(NULL, "x.wav", &clip, &portrait));
    CHECK_OK(clip_extract(extractor, "x.wav", clip.bytes, clip.size, &features));
    CHECK_INT(portrait.columns, features.frames);
    for (int32_t c = 0; c < portrait.columns; c++) {
        for (int32_t m = 0; m < 32; m++) {
            CHECK_NEAR((double)portrait.log_mel[m * portrait.columns + c],
                       (double)features.log_mel[c * 32 + m], 0.00501);
        }
    }
    clip_features_done(&features);
    clip_extractor_free(extractor);
    portrait_done(&portrait);
    buffer_done(&clip);
}

TEST(a_long_clip_has_means_over_its_frames) {
    begin();
    Buffer clip = BUFFER_EMPTY;
    Portrait portrait = {0};
    ClipFeatures features;
    ClipExtractor *extractor = clip_extractor_new(&settings);
    make_npy(&clip, 1001, 32);
    CHECK_OK(try_portrait(NULL, "x.npy", &clip, &portrait));
    CHECK_OK(clip_extract(extractor, "x.npy", clip.bytes, clip.size, &features));
    CHECK_INT(portrait.columns, PORTRAIT_COLUMNS);
    CHECK(portrait.spectrum_rows == 0 && portrait.rate_hz == 0 && portrait.seconds == 0);
    for (int32_t c = 0; c < portrait.columns; c++) {
        int64_t from = (int64_t)c * 1001 / PORTRAIT_COLUMNS, to = (c + 1) * 1001 / PORTRAIT_COLUMNS;
        double sum = 0;
        for (int64_t t = from; t < to; t++) {
            sum += (double)features.log_mel[t * 32 + 5];
        }
        CHECK_NEAR((double)portrait.log_mel[5 * portrait.columns + c], sum / (double)(to - from),
                   0.00501);
    }
    clip_features_done(&features);
    clip_extractor_free(extractor);
    portrait_done(&portrait);
    buffer_done(&clip);
}

// Each frame counts as often as vectors hold it; then the mean of all squares is the score.
TEST(what_the_model_leaves_adds_up_to_its_score) {
    begin();
    Buffer clip = BUFFER_EMPTY, model = BUFFER_EMPTY;
    Portrait portrait = {0};
    make_model(16000, &model);
    make_sine(&clip, 32000, 900, 0.4);
    CHECK_OK(try_portrait(&model, "x.wav", &clip, &portrait));
    CHECK(portrait.has_residual);
    ModelFile file;
    ClipFeatures features;
    ClipScore score;
    CHECK_OK(model_file_read("m", model.bytes, model.size, &file));
    Scorer *scorer = scorer_new(file.replica);
    ClipExtractor *extractor = clip_extractor_new(&settings);
    CHECK_OK(clip_extract(extractor, "x.wav", clip.bytes, clip.size, &features));
    CHECK_OK(scorer_clip(scorer, features.log_mel, features.frames, &score, NULL, NULL));
    double sum = 0;
    for (int64_t t = 0; t < features.frames; t++) {
        int64_t last = features.frames - 1 - t;
        int64_t held = t < 4 && t < last ? t + 1 : last < 4 ? last + 1 : 5; // by so many vectors
        for (int32_t m = 0; m < 32; m++) {
            double level = (double)portrait.residual[(int64_t)m * portrait.columns + t];
            sum += (double)held * pow(10, level / 10);
        }
    }
    CHECK_NEAR(sum / (double)(features.vectors * 5 * 32) / score.mse, 1, 0.001);
    clip_features_done(&features);
    clip_extractor_free(extractor);
    scorer_free(scorer);
    model_file_done(&file);
    portrait_done(&portrait);
    buffer_done(&clip);
    buffer_done(&model);
}

TEST(a_model_of_averages_leaves_nothing_over_time) {
    CHECK_OK(settings_preset("notebook", &settings));
    Buffer clip = BUFFER_EMPTY, model = BUFFER_EMPTY;
    Portrait portrait = {0};
    make_model(16000, &model);
    make_sine(&clip, 32000, 900, 0.4);
    CHECK_OK(try_portrait(&model, "x.wav", &clip, &portrait));
    CHECK(!portrait.has_residual && portrait.residual == NULL);
    CHECK_INT(portrait.mel_rows, settings.n_mels < PORTRAIT_ROWS ? settings.n_mels : PORTRAIT_ROWS);
    portrait_done(&portrait);
    buffer_done(&clip);
    buffer_done(&model);
}

TEST(what_cannot_be_pictured_says_why) {
    begin();
    Buffer clip = BUFFER_EMPTY, model = BUFFER_EMPTY;
    Portrait portrait = {.columns = 77};
    make_model(44100, &model);
    make_sine(&clip, 32000, 900, 0.4);
    CHECK(try_portrait(&model, "x.wav", &clip, &portrait) == STATUS_FORMAT);
    CHECK_HAS(status_message(), "x.wav: its rate is 16000 Hz, the model's clips have 44100 Hz");
    CHECK(try_portrait(NULL, "x.npy", &clip, &portrait) == STATUS_FORMAT);
    clip.size = 60;
    CHECK(try_portrait(NULL, "x.wav", &clip, &portrait) == STATUS_FORMAT);
    model.size--;
    CHECK(try_portrait(&model, "x.wav", &clip, &portrait) != STATUS_OK);
    CHECK_INT(portrait.columns, 77);
    buffer_done(&clip);
    buffer_done(&model);
}

TEST(what_is_packed_comes_back_bit_by_bit) {
    begin();
    Buffer clip = BUFFER_EMPTY, packed = BUFFER_EMPTY;
    Portrait made = {0}, read = {0};
    make_sine(&clip, 48000, 440, 0.9);
    CHECK_OK(try_portrait(NULL, "x.wav", &clip, &made));
    portrait_pack(&made, &packed);
    CHECK_OK(packed.status);
    CHECK_INT(packed.size, 2 * portrait_count(&made));
    Portrait shape = made;
    CHECK_OK(portrait_unpack(&shape, packed.bytes, packed.size, &read));
    CHECK(memcmp(read.values, made.values, portrait_count(&made) * sizeof(float)) == 0);
    portrait_done(&read);
    portrait_done(&made);
    buffer_done(&clip);
    buffer_done(&packed);
}

TEST(bytes_of_no_portrait_are_refused) {
    static unsigned char bytes[2 * (2 + 3 * PORTRAIT_ROWS + PORTRAIT_MFCC) * PORTRAIT_COLUMNS];
    const Portrait right = {.columns = 3,
                            .mel_rows = 2,
                            .spectrum_rows = 2,
                            .mfcc_rows = 1,
                            .rate_hz = 16000,
                            .seconds = 1};
    Portrait read = {.columns = 77};
    CHECK_OK(portrait_unpack(&right, bytes, 2 * 3 * 7, &read));
    portrait_done(&read);
    read.columns = 77;
    Portrait wrong[10];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        wrong[i] = right;
    }
    wrong[0].columns = 0;
    wrong[1].columns = PORTRAIT_COLUMNS + 1;
    wrong[2].mel_rows = 0;
    wrong[3].mel_rows = PORTRAIT_ROWS + 1;
    wrong[4].spectrum_rows = -1;
    wrong[5].mfcc_rows = PORTRAIT_MFCC + 1;
    wrong[6].seconds = -1;
    wrong[7].seconds = (double)NAN;
    wrong[8].rate_hz = -1;
    wrong[9].has_residual = true; // and no bytes of it
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        size_t size = i == 9 ? 2 * 3 * 7 : 2 * portrait_count(&wrong[i]);
        CHECK(portrait_unpack(&wrong[i], bytes, size < sizeof bytes ? size : sizeof bytes, &read) ==
              STATUS_FORMAT);
    }
    CHECK(portrait_unpack(&right, bytes, 2 * 3 * 7 - 1, &read) == STATUS_FORMAT);
    CHECK(portrait_unpack(&right, bytes, 0, &read) == STATUS_FORMAT);
    CHECK_INT(read.columns, 77);
}

TEST(every_failing_allocation_is_survived) {
    begin();
    Buffer clip = BUFFER_EMPTY, model = BUFFER_EMPTY;
    make_model(16000, &model);
    make_sine(&clip, 16000, 900, 0.4);
    long before = mem_blocks();
    for (long n = 0;; n++) {
        Portrait portrait = {0}, read = {0};
        Buffer packed = BUFFER_EMPTY;
        mem_fail_after(n);
        Status status = try_portrait(&model, "x.wav", &clip, &portrait);
        if (status == STATUS_OK) {
            portrait_pack(&portrait, &packed);
            status = packed.status;
        }
        if (status == STATUS_OK) {
            status = portrait_unpack(&portrait, packed.bytes, packed.size, &read);
        }
        int failed = mem_has_failed();
        mem_fail_after(-1);
        portrait_done(&portrait);
        portrait_done(&read);
        buffer_done(&packed);
        CHECK_INT(mem_blocks(), before);
        CHECK(status == (failed ? STATUS_MEMORY : STATUS_OK));
        if (!failed) {
            break;
        }
    }
    buffer_done(&clip);
    buffer_done(&model);
}

static const TestCase CASES[] = {
    // clang-format off
    T(a_sound_stands_in_its_pictures_where_it_is)
    T(a_short_clip_has_its_log_mel_frame_by_frame)
    T(a_long_clip_has_means_over_its_frames)
    T(what_the_model_leaves_adds_up_to_its_score)
    T(a_model_of_averages_leaves_nothing_over_time)
    T(what_cannot_be_pictured_says_why)
    T(what_is_packed_comes_back_bit_by_bit)
    T(bytes_of_no_portrait_are_refused)
    T(every_failing_allocation_is_survived)
    {NULL, NULL}};
// clang-format on

int main(int argc, char **argv) {
    if (linalg_start(KERNEL_AUTO, argv) != STATUS_OK) {
        fprintf(stderr, "%s\n", status_message());
        return 1;
    }
    return test_run_all(CASES, argc, argv);
}
