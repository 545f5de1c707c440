// SPDX-License-Identifier: Apache-2.0
#include "common/model/weights.h"

#include "tests/unit/model/model_test.h"

static Shape official(void) {
    Settings settings;
    CHECK_OK(settings_preset("default", &settings));
    return shape_official(&settings);
}

TEST(official_network_has_267928_parameters) {
    Shape shape = official();
    CHECK_OK(shape_check(&shape));
    Layout layout = shape_layout(&shape);
    CHECK_INT(layout.parameters, 267928);
    CHECK_INT(layout.running, 2 * (8 * 128 + 8));
    CHECK_INT(shape_dimension(&shape), 640);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

// Kolmogorov's distance of scaled values from the uniform distribution on [-1, 1], times the root
// of their number.
static double uniform_distance(const real *values, size_t count, double bound) {
    double *sorted = mem_new(count, sizeof *sorted);
    for (size_t i = 0; i < count; i++) {
        sorted[i] = (double)values[i] / bound;
    }
    qsort(sorted, count, sizeof *sorted, ascending);
    double largest = 0.0;
    for (size_t i = 0; i < count; i++) {
        double expected = (sorted[i] + 1) / 2;
        largest = fmax(largest, fabs(expected - (double)i / (double)count));
        largest = fmax(largest, fabs(expected - (double)(i + 1) / (double)count));
    }
    mem_free(sorted);
    return largest * sqrt((double)count);
}

static void check_uniform(const char *what, int layer, const real *values, size_t count, int in) {
    double bound = 1.0 / sqrt(in), sum = 0.0, squares = 0.0;
    for (size_t i = 0; i < count; i++) {
        double value = (double)values[i];
        CHECK(fabs(value) <= bound * (1 + 1e-7));
        sum += value;
        squares += value * value;
    }
    double n = (double)count, distance = uniform_distance(values, count, bound);
    printf("layer %d %s: mean %.2g deviations off, variance ratio %.4f, KS %.2f\n", layer, what,
           sum / n / (bound / sqrt(3 * n)), squares / n / (bound * bound / 3), distance);
    CHECK_NEAR(sum / n, 0, 4 * bound / sqrt(3 * n));
    // The variance of a uniform variable's square is 4/45 of the bound's fourth power.
    CHECK_NEAR(squares / n, bound * bound / 3, 4 * bound * bound * sqrt(4.0 / 45 / n));
    CHECK(distance < 1.95); // exceeded by one draw in a thousand; the seed is fixed
}

TEST(initial_weights_are_uniform_within_their_bounds) {
    Shape shape = official();
    Layout layout = shape_layout(&shape);
    real *parameters = mem_new(layout.parameters, sizeof *parameters);
    weights_init(&layout, 13711, 7, parameters);
    for (int l = 0; l < layout.layers; l++) {
        const LayerPlace *place = &layout.layer[l];
        size_t out = (size_t)place->out;
        check_uniform("weight", l, parameters + place->weight, out * (size_t)place->in, place->in);
        check_uniform("bias", l, parameters + place->bias, out, place->in);
        for (size_t j = 0; place->has_norm && j < out; j++) {
            CHECK(parameters[place->gamma + j] == 1 && parameters[place->beta + j] == 0);
        }
    }
    mem_free(parameters);
}

TEST(running_statistics_begin_at_0_and_1) {
    Shape shape = tiny_shape();
    Layout layout = shape_layout(&shape);
    real running[64];
    CHECK_INT(layout.running, 2 * (7 + 4));
    weights_init_running(&layout, running);
    for (int j = 0; j < 7; j++) {
        CHECK(running[j] == 0 && running[7 + j] == 1);
    }
}

TEST(seed_and_model_change_the_weights) {
    Shape shape = tiny_shape();
    Layout layout = shape_layout(&shape);
    real first[256], again[256], other[256];
    CHECK(layout.parameters <= 256);
    size_t bytes = layout.parameters * sizeof(real);
    weights_init(&layout, 1, 2, first);
    weights_init(&layout, 1, 2, again);
    CHECK(memcmp(first, again, bytes) == 0);
    weights_init(&layout, 2, 2, other);
    CHECK(memcmp(first, other, bytes) != 0);
    weights_init(&layout, 1, 3, other);
    CHECK(memcmp(first, other, bytes) != 0);
}

TEST(tensors_fill_the_blocks_without_gaps) {
    Shape shape = small_shape();
    Layout layout = shape_layout(&shape);
    size_t at = 0, running = 0;
    for (int l = 0; l < layout.layers; l++) {
        const LayerPlace *place = &layout.layer[l];
        CHECK_INT(place->weight, at);
        CHECK_INT(place->bias, at += (size_t)place->out * (size_t)place->in);
        at += (size_t)place->out;
        if (place->has_norm) {
            CHECK_INT(place->gamma, at);
            CHECK_INT(place->beta, at += (size_t)place->out);
            at += (size_t)place->out;
            CHECK_INT(place->mean, running);
            CHECK_INT(place->variance, running += (size_t)place->out);
            running += (size_t)place->out;
        }
    }
    CHECK_INT(layout.parameters, at);
    CHECK_INT(layout.running, running);
}

TEST(impossible_shapes_are_refused) {
    Shape shape = small_shape();
    CHECK_OK(shape_check(&shape));
    for (int i = 0; i < (int)(sizeof shape / sizeof(int32_t)); i++) {
        static const int32_t wrong[] = {0, -1, INT32_MIN, INT32_MAX, 1 << 20};
        for (int k = 0; k < 5; k++) {
            int32_t fields[sizeof shape / sizeof(int32_t)];
            memcpy(fields, &shape, sizeof shape);
            if (fields[i] == wrong[k]) {
                continue;
            }
            fields[i] = wrong[k];
            Shape changed;
            memcpy(&changed, fields, sizeof changed);
            CHECK_INT(shape_check(&changed), STATUS_FORMAT);
        }
    }
}

TEST(vectors_are_counted_by_their_hop) {
    Shape shape = small_shape(); // 3 frames
    CHECK_INT(shape_vectors(&shape, 0), 0);
    CHECK_INT(shape_vectors(&shape, 2), 0);
    CHECK_INT(shape_vectors(&shape, 3), 1);
    CHECK_INT(shape_vectors(&shape, 10), 8);
    shape.frame_hop_length = 4;
    CHECK_INT(shape_vectors(&shape, 6), 1);
    CHECK_INT(shape_vectors(&shape, 7), 2);
}

MODEL_TEST_MAIN(T(official_network_has_267928_parameters)
                    T(initial_weights_are_uniform_within_their_bounds)
                        T(running_statistics_begin_at_0_and_1) T(seed_and_model_change_the_weights)
                            T(tensors_fill_the_blocks_without_gaps) T(impossible_shapes_are_refused)
                                T(vectors_are_counted_by_their_hop))
