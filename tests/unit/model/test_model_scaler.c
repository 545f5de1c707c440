// SPDX-License-Identifier: Apache-2.0
#include "common/model/scaler.h"

#include <math.h>

#include "common/model/replica.h"
#include "tests/unit/model/model_test.h"

enum { MELS = 3, STACK = 2, D = MELS * STACK, CLIPS = 4 };

static const Shape SHAPE = {
    .n_mels = MELS, .frames = STACK, .frame_hop_length = 1, .layers = 2, .width = {D, 2, D}};

// The golden clips of tests/golden/make_model.py, merged one by one in their order.
static ScalerSums *golden_sums(void) {
    size_t count = 0;
    double *frames = golden_read("scaler_frames", CLIPS);
    double *values = npy_read(AUSCULT_SOURCE_DIR "/tests/golden/model", "scaler_log_mel", &count);
    double *held_out = golden_read("scaler_held_out", 0);
    ScalerSums *sums = scaler_sums_new(D), *clip = scaler_sums_new(D);
    size_t first_frame = 0, first_vector = 0;
    for (int c = 0; c < CLIPS; c++) {
        float log_mel[64];
        uint8_t out[64];
        for (size_t i = 0; i < (size_t)frames[c] * MELS; i++) {
            log_mel[i] = (float)values[first_frame * MELS + i];
        }
        int64_t vectors = shape_vectors(&SHAPE, (int64_t)frames[c]);
        for (int64_t t = 0; t < vectors; t++) {
            out[t] = held_out[first_vector + (size_t)t] != 0;
        }
        scaler_sums_clip(clip, &SHAPE, log_mel, (int64_t)frames[c], out);
        scaler_sums_add(sums, clip);
        first_frame += (size_t)frames[c];
        first_vector += (size_t)vectors;
    }
    CHECK_INT(first_frame * MELS, count);
    mem_free(frames);
    mem_free(values);
    mem_free(held_out);
    scaler_sums_free(clip);
    return sums;
}

TEST(mean_and_scale_agree_with_scikit_learn) {
    ScalerSums *sums = golden_sums();
    double *expected = golden_read("scaler_mean_scale", 2 * D);
    Replica *replica = replica_new(&SHAPE);
    CHECK_OK(replica_set_scaler(replica, sums));
    const Scaler *scaler = replica_scaler(replica);
    for (int j = 0; j < D; j++) {
        CHECK_NEAR(scaler->mean[j], expected[j], 1e-12 * fabs(expected[j]));
        CHECK_NEAR((double)scaler->scale[j], expected[D + j], 1e-7 * expected[D + j]);
    }
    CHECK(scaler->scale[2] == 1 && scaler->scale[5] == 1); // the constant mel band
    mem_free(expected);
    scaler_sums_free(sums);
    replica_free(replica);
}

TEST(scaled_vectors_have_mean_0_and_deviation_1) {
    ScalerSums *sums = scaler_sums_new(D);
    float *clip = synthetic_clip(1, 200, MELS);
    uint8_t held_out[199] = {0};
    scaler_sums_clip(sums, &SHAPE, clip, 200, held_out);
    CHECK_INT(scaler_sums_count(sums), 199);
    Replica *replica = replica_new(&SHAPE);
    CHECK_OK(replica_set_scaler(replica, sums));
    double sum[D] = {0}, squares[D] = {0};
    for (int t = 0; t < 199; t++) {
        real scaled[D];
        scaler_apply(replica_scaler(replica), clip + t * MELS, scaled);
        for (int j = 0; j < D; j++) {
            sum[j] += (double)scaled[j];
            squares[j] += (double)scaled[j] * (double)scaled[j];
        }
    }
    for (int j = 0; j < D; j++) {
        CHECK_NEAR(sum[j] / 199, 0, 1e-5);
        CHECK_NEAR(squares[j] / 199, 1, 1e-5);
    }
    mem_free(clip);
    scaler_sums_free(sums);
    replica_free(replica);
}

TEST(constant_features_are_only_centred) {
    ScalerSums *sums = scaler_sums_new(D);
    float clip[300 * MELS];
    uint8_t held_out[299] = {0};
    for (int i = 0; i < 300 * MELS; i++) {
        clip[i] = -156.53559f; // the floor of digital silence
    }
    scaler_sums_clip(sums, &SHAPE, clip, 300, held_out);
    Replica *replica = replica_new(&SHAPE);
    CHECK_OK(replica_set_scaler(replica, sums));
    real scaled[D];
    scaler_apply(replica_scaler(replica), clip, scaled);
    for (int j = 0; j < D; j++) {
        CHECK(replica_scaler(replica)->scale[j] == 1);
        CHECK_NEAR((double)scaled[j], 0, 1e-4);
    }
    scaler_sums_free(sums);
    replica_free(replica);
}

// A deviation below what the sums can resolve, at a mean of 1e8 over 100 vectors (2.2e-6).
TEST(deviation_lost_in_rounding_counts_as_constant) {
    ScalerSums *sums = scaler_sums_new(D);
    struct {
        ScalerHead head;
        double mean[D], m2[D];
    } block;
    size_t size;
    const void *bytes = scaler_sums_bytes(sums, &size);
    CHECK_INT(size, sizeof block);
    memcpy(&block, bytes, size);
    block.head.count = 100;
    for (int j = 0; j < D; j++) {
        double deviation = j % 2 == 0 ? 1e-6 : 1e-5;
        block.mean[j] = 1e8;
        block.m2[j] = 100 * deviation * deviation;
    }
    CHECK_OK(scaler_sums_read(sums, &block, sizeof block));
    Replica *replica = replica_new(&SHAPE);
    CHECK_OK(replica_set_scaler(replica, sums));
    for (int j = 0; j < D; j++) {
        CHECK_NEAR((double)replica_scaler(replica)->scale[j], j % 2 == 0 ? 1 : 1e-5, 1e-11);
    }
    scaler_sums_free(sums);
    replica_free(replica);
}

TEST(no_scaler_leaves_every_bit) {
    Replica *replica = replica_new(&SHAPE);
    CHECK_OK(replica_set_scaler(replica, NULL));
    float in[D] = {-0.0f, 1e-40f, 3.1f, -156.5f, 1e30f, 7};
    float out[D];
    scaler_apply(replica_scaler(replica), in, out);
    CHECK(memcmp(in, out, sizeof in) == 0);
    replica_free(replica);
}

TEST(scaler_of_no_vectors_is_refused) {
    Replica *replica = replica_new(&SHAPE);
    ScalerSums *sums = scaler_sums_new(D);
    CHECK_INT(replica_set_scaler(replica, sums), STATUS_INVALID);
    scaler_sums_free(sums);
    replica_free(replica);
}

TEST(merged_moments_equal_those_of_all_vectors) {
    Shape shape = SHAPE;
    shape.frame_hop_length = 3;
    float *clip = synthetic_clip(5, 100, MELS);
    uint8_t all[33], left[33], right[33];
    for (int t = 0; t < 33; t++) {
        all[t] = t % 7 == 0;
        left[t] = all[t] || t >= 9;
        right[t] = all[t] || t < 9;
    }
    CHECK_INT(shape_vectors(&shape, 100), 33);
    ScalerSums *whole = scaler_sums_new(D), *a = scaler_sums_new(D), *b = scaler_sums_new(D);
    scaler_sums_clip(whole, &shape, clip, 100, all);
    scaler_sums_clip(a, &shape, clip, 100, left);
    scaler_sums_clip(b, &shape, clip, 100, right);
    scaler_sums_add(a, b);
    CHECK_INT(scaler_sums_count(a), scaler_sums_count(whole));
    CHECK_INT(scaler_sums_count(a), 33 - 5);
    for (int j = 0; j < D; j++) {
        CHECK_NEAR(scaler_sums_mean(a)[j], scaler_sums_mean(whole)[j], 1e-12);
        CHECK_NEAR(scaler_sums_m2(a)[j], scaler_sums_m2(whole)[j], 1e-9);
    }
    mem_free(clip);
    scaler_sums_free(whole);
    scaler_sums_free(a);
    scaler_sums_free(b);
}

TEST(empty_sums_add_nothing) {
    ScalerSums *sums = golden_sums(), *empty = scaler_sums_new(D), *copy = scaler_sums_new(D);
    size_t size = 0;
    char before[1024];
    CHECK(*(const char *)scaler_sums_bytes(sums, &size) == 'A' && size <= sizeof before);
    memcpy(before, scaler_sums_bytes(sums, &size), size);
    scaler_sums_add(sums, empty);
    CHECK(memcmp(before, scaler_sums_bytes(sums, &size), size) == 0);
    scaler_sums_add(copy, sums);
    CHECK(memcmp(before, scaler_sums_bytes(copy, &size), size) == 0);
    scaler_sums_free(sums);
    scaler_sums_free(empty);
    scaler_sums_free(copy);
}

MODEL_TEST_MAIN(T(mean_and_scale_agree_with_scikit_learn)
                    T(scaled_vectors_have_mean_0_and_deviation_1)
                        T(constant_features_are_only_centred)
                            T(deviation_lost_in_rounding_counts_as_constant)
                                T(no_scaler_leaves_every_bit) T(scaler_of_no_vectors_is_refused)
                                    T(merged_moments_equal_those_of_all_vectors)
                                        T(empty_sums_add_nothing))
