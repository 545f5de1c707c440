// SPDX-License-Identifier: Apache-2.0
//
// What the model layer's tests share: a main that starts the BLAS kernel first, a reader for .npy
// files of one kind, small shapes, and synthetic clips.
#ifndef AUSCULT_TESTS_UNIT_MODEL_TEST_H
#define AUSCULT_TESTS_UNIT_MODEL_TEST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/model/linalg.h"
#include "common/model/real.h"
#include "common/model/shape.h"
#include "tests/unit/test.h"

static inline void start_kernel(char **argv) {
    if (linalg_start(KERNEL_AUTO, argv) != STATUS_OK) {
        fprintf(stderr, "%s\n", status_message());
        exit(1);
    }
}

#define MODEL_TEST_MAIN(...)                                                                       \
    int main(int argc, char **argv) {                                                              \
        static const TestCase cases[] = {__VA_ARGS__{NULL, NULL}};                                 \
        start_kernel(argv);                                                                        \
        return test_run_all(cases, argc, argv);                                                    \
    }

// All numbers of a little-endian float32 or float64 .npy file, as double; the caller frees.
static inline double *npy_read(const char *folder, const char *name, size_t *ret_count) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    Buffer file = BUFFER_EMPTY;
    CHECK_OK(file_read(path, 64u << 20, &file));
    CHECK(file.size > 10 && memcmp(file.bytes, "\x93NUMPY", 6) == 0);
    size_t start = 10 + (unsigned char)file.bytes[8] + 256 * (size_t)(unsigned char)file.bytes[9];
    CHECK(start <= file.size && strstr(file.bytes + 10, "'fortran_order': False") != NULL);
    bool is_float = strstr(file.bytes + 10, "'<f4'") != NULL;
    CHECK(is_float || strstr(file.bytes + 10, "'<f8'") != NULL);
    size_t count = (file.size - start) / (is_float ? 4 : 8);
    double *values = mem_new(count, sizeof *values);
    CHECK(values != NULL);
    for (size_t i = 0; i < count; i++) {
        float narrow;
        if (is_float) {
            memcpy(&narrow, file.bytes + start + 4 * i, 4);
            values[i] = (double)narrow;
        } else {
            memcpy(&values[i], file.bytes + start + 8 * i, 8);
        }
    }
    buffer_done(&file);
    *ret_count = count;
    return values;
}

static inline double *golden_read(const char *name, size_t expected_count) {
    size_t count = 0;
    double *values = npy_read(AUSCULT_SOURCE_DIR "/tests/golden/model", name, &count);
    if (expected_count > 0) {
        CHECK_INT(count, expected_count);
    }
    return values;
}

// The official structure, with the widths of tests/golden/make_model.py.
static inline Shape small_shape(void) {
    return (Shape){.n_mels = 4,
                   .frames = 3,
                   .frame_hop_length = 1,
                   .layers = 10,
                   .width = {12, 8, 8, 8, 8, 3, 8, 8, 8, 8, 12}};
}

static inline Shape tiny_shape(void) {
    return (Shape){
        .n_mels = 5, .frames = 2, .frame_hop_length = 1, .layers = 3, .width = {10, 7, 4, 10}};
}

// (frames, n_mels) of something like a log-mel; the caller frees.
static inline float *synthetic_clip(uint64_t number, int64_t frames, int n_mels) {
    Rng rng = rng_of(99, "test clip", number, 0);
    float *clip = mem_new((size_t)(frames * n_mels) + 1, sizeof *clip);
    for (int64_t i = 0; clip != NULL && i < frames * n_mels; i++) {
        clip[i] = (float)(-50.0 + 3.0 * (double)(i % n_mels) + 8.0 * rng_uniform(&rng));
    }
    return clip;
}

// A seed for random tests, from AUSCULT_TEST_SEED or the process's id: printed, so that a
// failure can be run again.
static inline uint64_t test_seed(void) {
    const char *given = getenv("AUSCULT_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)getpid();
    printf("rerun with AUSCULT_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

#endif
