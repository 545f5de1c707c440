// SPDX-License-Identifier: Apache-2.0
#include "common/base/mem.h"
#include "common/dsp/mfcc.h"
#include "tests/unit/test.h"

#define PI 3.14159265358979323846

TEST(coefficients_are_the_cosine_transform_by_its_definition) {
    enum { MELS = 39, WANTED = 14, FRAMES = 3 };
    float log_mel[FRAMES * MELS], out[FRAMES * WANTED];
    for (int i = 0; i < FRAMES * MELS; i++) {
        log_mel[i] = (float)((i * 7919) % 1000) / 10 - 80;
    }
    Mfcc *mfcc = mfcc_new(MELS, WANTED);
    mfcc_run(mfcc, log_mel, FRAMES, out);
    for (int t = 0; t < FRAMES; t++) {
        for (int k = 0; k < WANTED; k++) {
            double sum = 0;
            for (int n = 0; n < MELS; n++) {
                sum += (double)log_mel[t * MELS + n] * cos(PI * (2 * n + 1) * k / (2.0 * MELS));
            }
            sum *= sqrt((k == 0 ? 1.0 : 2.0) / MELS);
            CHECK_NEAR(out[t * WANTED + k], sum, 1e-7 * fabs(sum) + 1e-6);
        }
    }
    mfcc_free(mfcc);
}

// Derivatives of the polynomial that a filter fits are exact, at the edges too.
TEST(slopes_of_lines_and_parabolas_are_exact_up_to_the_ends) {
    enum { FRAMES = 12 };
    float features[FRAMES * 2], out[FRAMES * 2];
    for (int t = 0; t < FRAMES; t++) {
        features[2 * t] = (float)(3 * t - 5);
        features[2 * t + 1] = (float)(2 * t * t - t);
    }
    mfcc_delta(features, FRAMES, 2, 1, out);
    for (int t = 0; t < FRAMES; t++) {
        int centre = t < 4 ? 4 : t > 7 ? 7 : t; // of the nine frames that the line is fitted to
        CHECK_NEAR(out[2 * t], 3, 1e-6);
        CHECK_NEAR(out[2 * t + 1], 4 * centre - 1, 1e-5);
    }
    mfcc_delta(features, FRAMES, 2, 2, out);
    for (int t = 0; t < FRAMES; t++) {
        CHECK_NEAR(out[2 * t], 0, 1e-5);
        CHECK_NEAR(out[2 * t + 1], 4, 1e-5);
    }
}

TEST(failed_allocations_leak_nothing) {
    long before = mem_blocks();
    int failures = 0;
    for (;; failures++) {
        mem_fail_after(failures);
        Mfcc *mfcc = mfcc_new(64, 14);
        int failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK((mfcc == NULL) == (failed != 0));
        mfcc_free(mfcc);
        CHECK_INT(mem_blocks(), before);
        if (!failed) {
            break;
        }
    }
    CHECK_INT(failures, 2);
}

TEST_MAIN_LIST(T(coefficients_are_the_cosine_transform_by_its_definition)
                   T(slopes_of_lines_and_parabolas_are_exact_up_to_the_ends)
                       T(failed_allocations_leak_nothing))
