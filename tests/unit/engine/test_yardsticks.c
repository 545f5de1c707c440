// SPDX-License-Identifier: Apache-2.0
#include "common/engine/yardsticks.h"

#include <math.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/unit/test.h"

enum { N = 3 };

static Precision diagonal(double value) {
    Precision precision = {.n_mels = N, .matrix = mem_new(N * N, sizeof(double))};
    for (int i = 0; i < N; i++) {
        precision.matrix[i * N + i] = value;
    }
    precision.matrix[1] = precision.matrix[N] = 0.25 * value;
    return precision;
}

static Yardsticks all_of_them(void) {
    Yardsticks made = {.source = diagonal(2), .target = diagonal(1)};
    made.clip.precision = diagonal(4);
    made.clip.precision.shrinkage = 0.125;
    made.target.ridge = 1e-9;
    made.clip.mean = mem_new(N, sizeof(double));
    made.clip.mean[0] = 1;
    return made;
}

TEST(each_kind_of_score_has_its_yardstick) {
    const double row[N] = {1, 0, 2};
    const ClipMeasure measure = {.mse = 7, .row_mahala = 9, .row = row};
    Yardsticks none, all = all_of_them();
    memset(&none, 0, sizeof none);
    CHECK(yardsticks_score(&none, SCORE_MSE, MAHALA_CODE, &measure) == 7);
    CHECK(isnan(yardsticks_score(&none, SCORE_MAHALA, MAHALA_CODE, &measure)));
    CHECK(isnan(yardsticks_score(&none, SCORE_CLIPMAHALA, MAHALA_CODE, &measure)));
    CHECK(yardsticks_score(&all, SCORE_MAHALA, MAHALA_CODE, &measure) == 5); // the target's is less
    CHECK(yardsticks_score(&all, SCORE_MAHALA, MAHALA_PAPER, &measure) == 9);
    CHECK(yardsticks_score(&all, SCORE_CLIPMAHALA, MAHALA_CODE, &measure) == 16);
    precision_done(&all.target);
    all.target = (Precision){0};
    CHECK(yardsticks_score(&all, SCORE_MAHALA, MAHALA_CODE, &measure) == 10);
    yardsticks_done(&all);
}

TEST(what_is_written_comes_back) {
    for (int missing = 0; missing < 8; missing++) {
        Yardsticks made = all_of_them(), read;
        if ((missing & 1) != 0) {
            precision_done(&made.source);
        }
        if ((missing & 2) != 0) {
            precision_done(&made.target);
        }
        if ((missing & 4) != 0) {
            clip_yardstick_done(&made.clip);
        }
        Buffer bytes = BUFFER_EMPTY, again = BUFFER_EMPTY;
        yardsticks_write(&made, &bytes);
        CHECK_OK(bytes.status);
        CHECK_OK(yardsticks_read(bytes.bytes, bytes.size, N, &read));
        CHECK(yardsticks_give(&read, SCORE_MAHALA) == ((missing & 1) == 0));
        CHECK((yardsticks_target(&read) != NULL) == ((missing & 2) == 0));
        CHECK(yardsticks_give(&read, SCORE_CLIPMAHALA) == ((missing & 4) == 0));
        CHECK(missing != 0 ||
              (read.clip.precision.shrinkage == 0.125 && read.target.ridge == 1e-9 &&
               read.clip.mean[0] == 1 && read.source.matrix[N] == 0.5));
        yardsticks_write(&read, &again);
        CHECK(again.size == bytes.size && memcmp(again.bytes, bytes.bytes, again.size) == 0);
        yardsticks_done(&made);
        yardsticks_done(&read);
        buffer_done(&bytes);
        buffer_done(&again);
    }
}

TEST(bytes_that_cannot_be_are_refused_and_leak_nothing) {
    Yardsticks made = all_of_them(), read;
    Buffer bytes = BUFFER_EMPTY;
    yardsticks_write(&made, &bytes);
    long before = mem_blocks();
    for (size_t size = 0; size < bytes.size; size++) {
        CHECK_INT(yardsticks_read(bytes.bytes, size, N, &read), STATUS_FORMAT);
    }
    CHECK_INT(yardsticks_read(bytes.bytes, bytes.size, N + 1, &read), STATUS_FORMAT);
    CHECK_HAS(status_message(), "3 mel bands for a model of 4");
    static const double BAD[] = {NAN, INFINITY, -1};
    for (int k = 0; k < 3; k++) {
        char kept[8];
        char *diagonal_at = bytes.bytes + 8 + 16; // of the source's first band
        memcpy(kept, diagonal_at, 8);
        memcpy(diagonal_at, &BAD[k], 8);
        CHECK_INT(yardsticks_read(bytes.bytes, bytes.size, N, &read), STATUS_FORMAT);
        memcpy(diagonal_at, kept, 8);
    }
    buffer_append(&bytes, "x", 1);
    CHECK_INT(yardsticks_read(bytes.bytes, bytes.size, N, &read), STATUS_FORMAT);
    CHECK_HAS(status_message(), "behind the yardsticks");
    for (long n = 0; n < 4; n++) {
        mem_fail_after(n);
        Status status = yardsticks_read(bytes.bytes, bytes.size - 1, N, &read);
        mem_fail_after(-1);
        CHECK_INT(status, STATUS_MEMORY);
    }
    CHECK_INT(mem_blocks(), before);
    yardsticks_done(&made);
    buffer_done(&bytes);
}

TEST_MAIN_LIST(T(each_kind_of_score_has_its_yardstick) T(what_is_written_comes_back)
                   T(bytes_that_cannot_be_are_refused_and_leak_nothing))
