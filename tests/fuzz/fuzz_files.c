// SPDX-License-Identifier: Apache-2.0
//
// Binary files of others: sound, .npy, pickles of scalers, our own model files; the first byte says
// what it is to be.
#include <string.h>

#include "common/base/mem.h"
#include "common/base/settings.h"
#include "common/engine/clip.h"
#include "common/engine/model_file.h"
#include "common/store/npy.h"
#include "common/store/pickle.h"
#include "tests/fuzz/fuzz.h"

static void read_clip(const char *name, const uint8_t *data, size_t size) {
    Settings settings;
    if (settings_preset("default", &settings) != STATUS_OK) {
        return;
    }
    ClipExtractor *extractor = clip_extractor_new(&settings);
    ClipFeatures features = {0};
    if (extractor != NULL && clip_extract(extractor, name, data, size, &features) == STATUS_OK) {
        clip_features_done(&features);
    }
    clip_extractor_free(extractor);
}

static void read_sound(const uint8_t *data, size_t size) {
    read_clip("fuzz.wav", data, size);
}

static void read_features(const uint8_t *data, size_t size) {
    read_clip("fuzz.npy", data, size);
}

static void read_npy(const uint8_t *data, size_t size) {
    NpyArray array = {0};
    if (npy_parse("fuzz", data, size, &array) == STATUS_OK) {
        npy_done(&array);
    }
}

static void read_pickle(const uint8_t *data, size_t size) {
    StandardScaler scaler = {0};
    if (pickle_read_scaler("fuzz", data, size, &scaler) == STATUS_OK) {
        standard_scaler_done(&scaler);
    }
}

static void read_model(const uint8_t *data, size_t size) {
    ModelFile file;
    if (model_file_read("fuzz", data, size, &file) == STATUS_OK) {
        model_file_done(&file);
    }
}

static void (*const READERS[])(const uint8_t *, size_t) = {read_sound, read_features, read_npy,
                                                           read_pickle, read_model};
enum { READER_COUNT = sizeof READERS / sizeof READERS[0] };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0) {
        READERS[data[0] % READER_COUNT](data + 1, size - 1);
    }
    return 0;
}

// 16-bit PCM, a ramp of so many samples.
static void make_wav(uint32_t samples, Buffer *out) {
    uint32_t bytes = 2 * samples, whole = 36 + bytes, sixteen = 16, rate = 16000, per = 32000;
    uint16_t pcm = 1, channels = 1, block = 2, bits = 16;
    buffer_append(out, "RIFF", 4);
    buffer_append(out, &whole, 4);
    buffer_append(out, "WAVEfmt ", 8);
    buffer_append(out, &sixteen, 4);
    buffer_append(out, &pcm, 2);
    buffer_append(out, &channels, 2);
    buffer_append(out, &rate, 4);
    buffer_append(out, &per, 4);
    buffer_append(out, &block, 2);
    buffer_append(out, &bits, 2);
    buffer_append(out, "data", 4);
    buffer_append(out, &bytes, 4);
    for (uint32_t i = 0; i < samples; i++) {
        int16_t sample = (int16_t)(i * 37);
        buffer_append(out, &sample, 2);
    }
}

static void make_npy(int64_t rows, int64_t columns, Buffer *out) {
    float *data = mem_new((size_t)(rows * columns), sizeof *data);
    NpyArray array = {.type = NPY_FLOAT32, .dimensions = 2, .shape = {rows, columns}, .data = data};
    array.count = rows * columns;
    npy_format(&array, out);
    mem_free(data);
}

bool fuzz_seed(uint32_t index, Buffer *out) {
    static const char KINDS[] = {0, 0, 1, 2, 3, 4};
    if (index >= sizeof KINDS) {
        return false;
    }
    buffer_append(out, &KINDS[index], 1);
    StandardScaler scaler;
    switch (index) {
    case 0:
        make_wav(4000, out);
        break;
    case 1:
        make_wav(0, out);
        break;
    case 2:
        make_npy(7, 128, out);
        break;
    case 3:
        make_npy(3, 2, out);
        break;
    case 4:
        if (standard_scaler_new(4, &scaler) == STATUS_OK) {
            pickle_write_scaler(&scaler, out);
            standard_scaler_done(&scaler);
        }
        break;
    default:
        buffer_append(out, "AUSCMODL\x02\0\0\0\x10\0\0\0", 16);
        break;
    }
    return true;
}
