// SPDX-License-Identifier: Apache-2.0
#include "common/model/scorer.h"

#include <math.h>

#include "common/model/autoencoder.h"
#include "tests/unit/model/model_test.h"

// A model that has some running statistics and a scaler.
static Replica *some_model(const Shape *shape, const float *clip, int64_t frames) {
    Replica *replica = replica_new(shape);
    ScalerSums *sums = scaler_sums_new(shape_dimension(shape));
    uint8_t *held_out = mem_new((size_t)frames, 1);
    CHECK(replica != NULL && sums != NULL && held_out != NULL);
    replica_init(replica, 3, 4);
    scaler_sums_clip(sums, shape, clip, frames, held_out);
    CHECK_OK(replica_set_scaler(replica, sums));
    for (size_t i = 0; i < replica_layout(replica)->running; i++) {
        replica_edit_running(replica)[i] += (real)0.25;
    }
    scaler_sums_free(sums);
    mem_free(held_out);
    return replica;
}

// The mean over vectors, each taken through the network alone.
static double plain_score(const Replica *replica, const float *clip, int64_t frames,
                          double *mean_residual) {
    const Shape *shape = replica_shape(replica);
    Autoencoder *net = autoencoder_new(shape, 1);
    autoencoder_fold(net, replica_parameters(replica), replica_running(replica));
    int64_t vectors = shape_vectors(shape, frames);
    double sum = 0.0, loss;
    memset(mean_residual, 0, (size_t)shape->n_mels * sizeof(double));
    for (int64_t t = 0; t < vectors; t++) {
        scaler_apply(replica_scaler(replica), clip + t * shape->frame_hop_length * shape->n_mels,
                     autoencoder_input(net));
        autoencoder_evaluate(net, 1, &loss);
        sum += loss;
        for (int j = 0; j < shape_dimension(shape); j++) {
            mean_residual[j % shape->n_mels] +=
                (double)autoencoder_residual(net)[j] / (double)(vectors * shape->frames);
        }
    }
    autoencoder_free(net);
    return sum / (double)vectors;
}

TEST(score_is_the_mean_over_all_vectors) {
    Shape shape = tiny_shape();
    for (int hop = 1; hop <= 3; hop++) {
        shape.frame_hop_length = hop;
        float *clip = synthetic_clip(1, 700, shape.n_mels);
        Replica *replica = some_model(&shape, clip, 700);
        Scorer *scorer = scorer_new(replica);
        ClipScore score;
        double residual[8], plain[8];
        CHECK_OK(scorer_clip(scorer, clip, 700, &score, residual, NULL));
        CHECK_INT(score.vectors, shape_vectors(&shape, 700));
        double expected = plain_score(replica, clip, 700, plain);
        CHECK_NEAR(score.mse, expected, 1e-6 * expected);
        for (int j = 0; j < shape.n_mels; j++) {
            CHECK_NEAR(residual[j], plain[j], 1e-6);
        }
        scorer_free(scorer);
        replica_free(replica);
        mem_free(clip);
    }
}

TEST(score_does_not_depend_on_what_came_before) {
    Shape shape = tiny_shape();
    float *clip = synthetic_clip(1, 300, shape.n_mels),
          *other = synthetic_clip(2, 513, shape.n_mels);
    Replica *replica = some_model(&shape, clip, 300);
    Scorer *fresh = scorer_new(replica), *used = scorer_new(replica);
    ClipScore first, later;
    CHECK_OK(scorer_clip(used, other, 513, &later, NULL, NULL));
    CHECK_OK(scorer_clip(used, other, 7, &later, NULL, NULL));
    CHECK_OK(scorer_clip(fresh, clip, 300, &first, NULL, NULL));
    CHECK_OK(scorer_clip(used, clip, 300, &later, NULL, NULL));
    CHECK(first.mse == later.mse);
    scorer_free(fresh);
    scorer_free(used);
    replica_free(replica);
    mem_free(clip);
    mem_free(other);
}

TEST(clip_too_short_or_not_finite_is_refused) {
    Shape shape = tiny_shape();
    float *clip = synthetic_clip(1, 300, shape.n_mels);
    Replica *replica = some_model(&shape, clip, 300);
    Scorer *scorer = scorer_new(replica);
    ClipScore score = {.vectors = -1};
    CHECK_INT(scorer_clip(scorer, clip, 1, &score, NULL, NULL), STATUS_FORMAT);
    CHECK_INT(scorer_clip(scorer, clip, 0, &score, NULL, NULL), STATUS_FORMAT);
    clip[77] = NAN;
    CHECK_INT(scorer_clip(scorer, clip, 300, &score, NULL, NULL), STATUS_FORMAT);
    clip[77] = INFINITY;
    CHECK_INT(scorer_clip(scorer, clip, 300, &score, NULL, NULL), STATUS_FORMAT);
    CHECK_INT(score.vectors, -1);
    scorer_free(scorer);
    replica_free(replica);
    mem_free(clip);
}

TEST(failed_allocation_leaks_no_scorer) {
    Shape shape = tiny_shape();
    Replica *replica = replica_new(&shape);
    long before = mem_blocks();
    for (long n = 0;; n++) {
        mem_fail_after(n);
        Scorer *scorer = scorer_new(replica);
        bool failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK((scorer == NULL) == failed);
        scorer_free(scorer);
        CHECK_INT(mem_blocks(), before);
        if (!failed) {
            break;
        }
        CHECK(n < 10);
    }
    replica_free(replica);
}

MODEL_TEST_MAIN(T(score_is_the_mean_over_all_vectors) T(score_does_not_depend_on_what_came_before)
                    T(clip_too_short_or_not_finite_is_refused) T(failed_allocation_leaks_no_scorer))
