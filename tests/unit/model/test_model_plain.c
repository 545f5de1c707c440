// SPDX-License-Identifier: Apache-2.0
//
// Networks without batch normalisation, and of other widths than the official one's.
#include <math.h>

#include "common/model/autoencoder.h"
#include "common/model/partial.h"
#include "common/model/replica.h"
#include "common/model/shard_plan.h"
#include "common/model/trainer.h"
#include "tests/unit/model/model_test.h"

enum { ROWS = 16, WIDEST = 16, LAYERS = 3 };

static Shape plain_shape(void) {
    return (Shape){.n_mels = 11,
                   .frames = 1,
                   .frame_hop_length = 1,
                   .layers = LAYERS,
                   .width = {11, 7, 5, 11},
                   .is_plain = 1};
}

// The network by its definition, in double, on one row: loss, and gradient added to `gradient`.
static double row_by_definition(const Layout *layout, const real *parameters, const double *x,
                                double *gradient) {
    double a[LAYERS + 1][WIDEST] = {{0}}, g[LAYERS + 1][WIDEST] = {{0}}, loss = 0;
    memcpy(a[0], x, (size_t)layout->layer[0].in * sizeof *x);
    for (int l = 0; l < LAYERS; l++) {
        const LayerPlace *place = &layout->layer[l];
        for (int o = 0; o < place->out; o++) {
            double sum = (double)parameters[place->bias + (size_t)o];
            for (int i = 0; i < place->in; i++) {
                sum += (double)parameters[place->weight + (size_t)(o * place->in + i)] * a[l][i];
            }
            a[l + 1][o] = l + 1 < LAYERS && sum < 0 ? 0 : sum;
        }
    }
    int dimension = layout->layer[0].in;
    for (int j = 0; j < dimension; j++) {
        double apart = a[LAYERS][j] - x[j];
        loss += apart * apart / dimension;
        g[LAYERS][j] = 2 * apart / dimension;
    }
    for (int l = LAYERS - 1; l >= 0; l--) {
        const LayerPlace *place = &layout->layer[l];
        for (int o = 0; o < place->out; o++) {
            double slope = l + 1 < LAYERS && !(a[l + 1][o] > 0) ? 0 : g[l + 1][o];
            gradient[place->bias + (size_t)o] += slope;
            for (int i = 0; i < place->in; i++) {
                size_t at = place->weight + (size_t)(o * place->in + i);
                gradient[at] += slope * a[l][i];
                g[l][i] += slope * (double)parameters[at];
            }
        }
    }
    return loss;
}

static double value_at(int row, int column) {
    return sin(1.7 * row + 0.9 * column) + 0.1 * row;
}

static void fill_input(Autoencoder *net, int rows, int dimension) {
    for (int i = 0; i < rows * dimension; i++) {
        autoencoder_input(net)[i] = (real)value_at(i / dimension, i % dimension);
    }
}

static void check_step(int rows) {
    Shape shape = plain_shape();
    CHECK_OK(shape_check(&shape));
    Autoencoder *net = autoencoder_new(&shape, ROWS);
    Replica *replica = replica_new(&shape);
    Partial *partial = partial_new(&shape);
    const Layout *layout = replica_layout(replica);
    replica_init(replica, 5, 6);
    CHECK_INT(layout->running, 0);
    double *expected = mem_new(layout->parameters, sizeof *expected), row_loss[ROWS];
    fill_input(net, rows, 11);
    autoencoder_train(net, replica_parameters(replica), rows, partial_gradient(partial),
                      partial_statistics(partial), row_loss);
    for (int i = 0; i < rows; i++) {
        double x[WIDEST];
        for (int j = 0; j < 11; j++) {
            x[j] = (double)(real)value_at(i, j);
        }
        double loss = row_by_definition(layout, replica_parameters(replica), x, expected);
        CHECK_NEAR(row_loss[i], loss, 1e-5 * loss);
    }
    for (size_t i = 0; i < layout->parameters; i++) {
        CHECK_NEAR((double)partial_gradient(partial)[i], expected[i], 2e-5);
    }
    // Scoring sees the same network.
    double again[ROWS];
    fill_input(net, rows, 11);
    autoencoder_fold(net, replica_parameters(replica), replica_running(replica));
    autoencoder_evaluate(net, rows, again);
    for (int i = 0; i < rows; i++) {
        CHECK_NEAR(again[i], row_loss[i], 1e-6 * row_loss[i]);
    }
    mem_free(expected);
    autoencoder_free(net);
    replica_free(replica);
    partial_free(partial);
}

TEST(plain_network_is_its_definition) {
    check_step(ROWS);
    check_step(ROWS - 5); // padding rows behind them
    check_step(1);        // no variance to be taken of one vector
}

TEST(plain_replica_reads_back_and_stays_plain) {
    Shape shape = plain_shape();
    Replica *replica = replica_new(&shape), *back = NULL;
    replica_init(replica, 5, 6);
    Buffer bytes = BUFFER_EMPTY;
    replica_write(replica, REPLICA_ALL, &bytes);
    CHECK_OK(replica_read(bytes.bytes, bytes.size, &back));
    CHECK(shape_equal(&shape, replica_shape(back)));
    CHECK(!replica_layout(back)->layer[0].has_norm && replica_layout(back)->layer[0].has_relu);
    CHECK(memcmp(replica_parameters(replica), replica_parameters(back),
                 replica_layout(back)->parameters * sizeof(real)) == 0);
    Shape normal = shape;
    normal.is_plain = 0;
    CHECK(!shape_equal(&normal, &shape));
    normal.is_plain = 2;
    CHECK_INT(shape_check(&normal), STATUS_FORMAT);
    replica_free(replica);
    replica_free(back);
    buffer_done(&bytes);
}

TEST(settings_say_the_initial_weights) {
    Settings settings;
    CHECK_OK(settings_preset("notebook", &settings));
    Shape shape = shape_of_settings(&settings);
    Replica *replica = replica_new(&shape);
    const Layout *layout = replica_layout(replica);
    replica_begin(replica, &settings, 3);
    for (int l = 0; l < 2; l++) {
        const LayerPlace *place = &layout->layer[l];
        size_t count = (size_t)(place->in * place->out);
        double bound = sqrt(6.0 / (147 + 64)), most = 0, squares = 0;
        for (size_t i = 0; i < count; i++) {
            double weight = (double)replica_parameters(replica)[place->weight + i];
            most = fabs(weight) > most ? fabs(weight) : most;
            squares += weight * weight;
        }
        CHECK(most <= bound && most > 0.99 * bound);
        CHECK_NEAR(squares / (double)count, bound * bound / 3, 0.03 * bound * bound);
        for (int o = 0; o < place->out; o++) {
            CHECK(replica_parameters(replica)[place->bias + (size_t)o] == 0);
        }
    }
    Replica *plain = replica_new(&shape);
    settings.initial_weights = WEIGHTS_PYTORCH;
    replica_begin(replica, &settings, 3);
    replica_init(plain, (uint64_t)settings.seed, 3);
    CHECK(memcmp(replica_parameters(replica), replica_parameters(plain),
                 layout->parameters * sizeof(real)) == 0);
    replica_free(replica);
    replica_free(plain);
}

TEST(settings_say_the_network) {
    Settings settings;
    CHECK_OK(settings_preset("notebook", &settings));
    Shape shape = shape_of_settings(&settings);
    CHECK_OK(shape_check(&shape));
    CHECK_INT(shape.layers, 2);
    CHECK_INT(shape.width[0], 147);
    CHECK_INT(shape.width[1], 64);
    CHECK_INT(shape.width[2], 147);
    CHECK_INT(shape_layout(&shape).parameters, 147 * 64 + 64 + 64 * 147 + 147);
    CHECK_OK(settings_preset("default", &settings));
    Shape ours = shape_of_settings(&settings), official = shape_official(&settings);
    CHECK(shape_equal(&ours, &official));
    CHECK_OK(settings_set(&settings, "hidden", "[32, 4, 32]"));
    shape = shape_of_settings(&settings);
    CHECK_OK(shape_check(&shape));
    CHECK_INT(shape.layers, 4);
    CHECK_INT(shape.width[2], 4);
    CHECK_INT(shape.width[4], 640);
    CHECK(shape_layout(&shape).layer[2].has_norm && !shape_layout(&shape).layer[3].has_norm);
}

// One vector a clip, and not many clips.
static Status plan_of(int clips, double split, ShardPlan *plan) {
    Settings settings;
    int64_t frames[64];
    CHECK_OK(settings_preset("notebook", &settings));
    settings.validation_split = split;
    Shape shape = shape_of_settings(&settings);
    for (int i = 0; i < clips; i++) {
        frames[i] = 1;
    }
    return shard_plan_make(&shape, &settings, frames, clips, plan);
}

TEST(few_clips_of_one_vector_are_counted_right) {
    ShardPlan plan;
    CHECK_OK(plan_of(11, 0.2, &plan));
    CHECK_INT(plan.validation[0], 3); // rounded up
    CHECK_INT(plan.training[0], 8);
    CHECK_INT(plan.rounds, 1);
    CHECK_OK(plan_of(2, 0.2, &plan)); // one to train on is enough without batch norm
    CHECK_INT(plan.training[0], 1);
    CHECK_INT(plan_of(1, 0.2, &plan), STATUS_INVALID);
    CHECK_HAS(status_message(), "too few vectors to train on in 1 clips");
    CHECK_OK(plan_of(1, 0, &plan));
}

// 17 vectors in batches of 16: the one that is left over makes a step of its own.
TEST(a_last_batch_of_one_is_trained_on) {
    Settings settings;
    CHECK_OK(settings_preset("notebook", &settings));
    settings.batch_size = 16;
    settings.validation_split = 0;
    enum { CLIPS = 17, WIDTH = 11 };
    int64_t frames[CLIPS];
    float vectors[CLIPS][WIDTH];
    TrainerConfig config = {.shape = plain_shape(), .seed = 1, .model_key = 2, .shard_count = 1};
    for (int i = 0; i < CLIPS; i++) {
        frames[i] = 1;
        for (int j = 0; j < WIDTH; j++) {
            vectors[i][j] = (float)value_at(i, j);
        }
    }
    CHECK_OK(shard_plan_make(&config.shape, &settings, frames, CLIPS, &config.plan));
    CHECK_INT(config.plan.rounds, 2);
    Trainer *trainer = NULL;
    CHECK_OK(trainer_new(&config, &trainer));
    for (int i = 0; i < CLIPS; i++) {
        TrainClip clip = {.log_mel = vectors[i], .frames = 1, .index = i};
        CHECK_OK(trainer_add_clip(trainer, &clip));
    }
    CHECK_OK(trainer_seal(trainer));
    Replica *replica = replica_new(&config.shape);
    Partial *total = partial_new(&config.shape);
    ValidationSums *validation = validation_new(config.plan.validation_rounds);
    replica_init(replica, 1, 2);
    double first = 0;
    for (int epoch = 0; epoch < 200; epoch++) {
        for (int round = 0; round < 2; round++) {
            CHECK_OK(trainer_round(trainer, replica, total));
            CHECK_INT(partial_head_of(total)->rows, round == 0 ? 16 : 1);
            CHECK_OK(replica_apply(replica, total, 1e-2));
        }
        CHECK_OK(replica_end_epoch(replica, validation));
        first = epoch == 0 ? replica_history(replica)[0].loss : first;
    }
    CHECK_INT(replica_step(replica), 400);
    CHECK(replica_history(replica)[199].loss < 0.2 * first);
    trainer_free(trainer);
    replica_free(replica);
    partial_free(total);
    validation_free(validation);
}

MODEL_TEST_MAIN(T(plain_network_is_its_definition) T(plain_replica_reads_back_and_stays_plain)
                    T(settings_say_the_network) T(settings_say_the_initial_weights)
                        T(few_clips_of_one_vector_are_counted_right)
                            T(a_last_batch_of_one_is_trained_on))
