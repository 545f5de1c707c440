// SPDX-License-Identifier: Apache-2.0
//
// Networks from elsewhere: what each step computes, and that bytes are believed only when sound.
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/engine/keras_file.h"
#include "common/engine/network.h"
#include "common/model/scorer.h"
#include "tests/unit/test.h"

// Over vectors of two frames of one float each.
static Settings small_settings(void) {
    Settings settings;
    CHECK_OK(settings_preset("default", &settings));
    CHECK_OK(settings_assign(&settings, "n_mels=1"));
    CHECK_OK(settings_assign(&settings, "frames=2"));
    return settings;
}

static Network *identity(void) {
    static const float WEIGHT[] = {1, 0, 0, 1};
    Network *network = network_new(2);
    CHECK(network != NULL);
    CHECK_OK(network_add_dense(network, 2, WEIGHT, NULL));
    return network;
}

// The network's output for one vector, found from the residual.
static void run_one(const Network *network, const float in[2], double out[2]) {
    Settings settings = small_settings();
    NetworkRun *run = network_run_new(network, &settings);
    CHECK(run != NULL);
    ScorerNetwork scorer = network_run_scorer(run);
    double loss;
    scorer.take_vector(scorer.context, in, scorer.input);
    scorer.evaluate(scorer.context, 1, &loss);
    const real *residual = scorer.residual(scorer.context);
    for (int j = 0; j < 2; j++) {
        out[j] = (double)residual[j] + (double)scorer.input[j];
    }
    CHECK_NEAR(loss, ((double)residual[0] * residual[0] + (double)residual[1] * residual[1]) / 2,
               1e-6 * (1 + loss));
    network_run_free(run);
}

TEST(every_activation_is_its_formula) {
    static const struct {
        Activation activation;
        double slope, most, below, above; // of -2 and of 3
    } CASES[] = {
        {ACTIVATION_RELU, 0, 0, 0, 3},
        {ACTIVATION_RELU, 0.25, 0, -0.5, 3},
        {ACTIVATION_RELU, 0, 2.5, 0, 2.5},
        {ACTIVATION_TANH, 0, 0, -0.964027580075817, 0.995054753686730},
        {ACTIVATION_SIGMOID, 0, 0, 0.119202922022118, 0.952574126822433},
        {ACTIVATION_ELU, 1.5, 0, 1.5 * -0.864664716763387, 3},
        {ACTIVATION_SELU, 0, 0, -1.520166468595695, 3.152102961044642},
        {ACTIVATION_SOFTPLUS, 0, 0, 0.126928011042972, 3.048587351573742},
        {ACTIVATION_SOFTSIGN, 0, 0, -2.0 / 3, 0.75},
        {ACTIVATION_SWISH, 0, 0, -0.238405844044235, 2.857722380467300},
        {ACTIVATION_EXPONENTIAL, 0, 0, 0.135335283236613, 20.085536923187668},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        Network *network = identity();
        double out[2];
        CHECK_OK(
            network_add_activation(network, CASES[i].activation, CASES[i].slope, CASES[i].most));
        run_one(network, (const float[]){-2, 3}, out);
        CHECK_NEAR(out[0], CASES[i].below, 1e-6);
        CHECK_NEAR(out[1], CASES[i].above, 4e-6);
        network_free(network);
    }
}

TEST(extreme_inputs_stay_numbers) {
    for (int a = 0; a < ACTIVATIONS; a++) {
        Network *network = identity();
        double out[2];
        CHECK_OK(network_add_activation(network, (Activation)a, 1, 0));
        run_one(network, (const float[]){-1e4f, 80}, out);
        CHECK(!isnan(out[0]) && !isnan(out[1]));
        network_free(network);
    }
}

TEST(scaler_and_normalisation_and_bias_are_applied) {
    Network *network = network_new(2);
    double out[2];
    CHECK_OK(network_set_scaler(network, (const float[]){1, 2}, (const float[]){2, 4}));
    CHECK_OK(network_add_dense(network, 2, (const float[]){1, 2, 3, 4}, (const float[]){10, 20}));
    CHECK_OK(network_add_norm(network, (const float[]){2, 1}, (const float[]){1, 0},
                              (const float[]){5, 6}, (const float[]){3, 8}, 1));
    run_one(network, (const float[]){3, 10}, out); // scaled: 1, 2; dense: 15, 31
    CHECK_NEAR(out[0], (15 - 5) / 2.0 * 2 + 1, 1e-5);
    CHECK_NEAR(out[1], (31 - 6) / 3.0, 1e-5);
    network_free(network);
}

TEST(what_does_not_fit_is_refused) {
    Network *network = network_new(2);
    CHECK_INT(network_check(network), STATUS_FORMAT);
    CHECK_OK(network_add_dense(network, 3, (const float[]){1, 2, 3, 4, 5, 6}, NULL));
    CHECK_INT(network_check(network), STATUS_FORMAT);
    CHECK_HAS(status_message(), "from 2 to 3");
    const float bad[] = {1, NAN, 3};
    CHECK_INT(network_add_norm(network, NULL, NULL, bad, bad, 1), STATUS_FORMAT);
    CHECK_INT(network_add_norm(network, NULL, NULL, (const float[]){0, 0, 0},
                               (const float[]){-1, 1, 1}, 0),
              STATUS_FORMAT);
    CHECK_INT(network_set_scaler(network, (const float[]){0, 0}, (const float[]){1, 0}),
              STATUS_FORMAT);
    network_free(network);
}

static void write_typical(Buffer *out) {
    Network *network = identity();
    CHECK_OK(network_set_scaler(network, (const float[]){1, 2}, (const float[]){2, 4}));
    CHECK_OK(
        network_add_norm(network, NULL, NULL, (const float[]){5, 6}, (const float[]){3, 8}, 1));
    CHECK_OK(network_add_activation(network, ACTIVATION_RELU, 0, 0));
    network_write(network, out);
    CHECK_OK(out->status);
    network_free(network);
}

TEST(bytes_come_back) {
    Buffer first = BUFFER_EMPTY, second = BUFFER_EMPTY;
    Network *network;
    write_typical(&first);
    CHECK(network_is_block(first.bytes, first.size));
    CHECK_OK(network_read(first.bytes, first.size, &network));
    CHECK_INT(network_dimension(network), 2);
    CHECK(network_has_scaler(network));
    network_write(network, &second);
    CHECK_INT(second.size, first.size);
    CHECK(memcmp(second.bytes, first.bytes, first.size) == 0);
    network_free(network);
    buffer_done(&first);
    buffer_done(&second);
}

TEST(damaged_bytes_are_refused_or_sound) {
    Buffer bytes = BUFFER_EMPTY;
    write_typical(&bytes);
    long before = mem_blocks();
    for (size_t size = 0; size < bytes.size; size++) {
        Network *network;
        CHECK(network_read(bytes.bytes, size, &network) != STATUS_OK);
    }
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        Network *network;
        bytes.bytes[bit / 8] ^= (char)(1 << bit % 8);
        if (network_read(bytes.bytes, bytes.size, &network) == STATUS_OK) {
            double out[2];
            run_one(network, (const float[]){-2, 3}, out);
            network_free(network);
        }
        bytes.bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
    CHECK_INT(mem_blocks(), before);
    buffer_done(&bytes);
}

// A small replica with a scaler, its numbers drawn.
static Replica *make_replica(void) {
    Shape shape = {
        .n_mels = 3, .frames = 2, .frame_hop_length = 1, .layers = 3, .width = {6, 4, 2, 6}};
    Replica *replica = replica_new(&shape);
    CHECK(replica != NULL);
    replica_init(replica, 5, 6);
    for (size_t i = 0; i < replica_layout(replica)->running; i++) {
        replica_edit_running(replica)[i] = (real)(0.1 + 0.01 * (double)i);
    }
    const float log_mel[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3};
    ScalerSums *sums = scaler_sums_new(6);
    CHECK(sums != NULL);
    scaler_sums_clip(sums, &shape, log_mel, 4, (const uint8_t[3]){0});
    CHECK_OK(replica_set_scaler(replica, sums));
    scaler_sums_free(sums);
    return replica;
}

TEST(our_own_file_for_keras_scores_alike) {
    Settings settings = small_settings();
    CHECK_OK(settings_assign(&settings, "n_mels=3"));
    Replica *replica = make_replica();
    Buffer bytes = BUFFER_EMPTY;
    Network *network;
    CHECK_OK(keras_file_write(replica, true, &bytes));
    CHECK_OK(keras_file_read("x.h5", bytes.bytes, bytes.size, &network));
    CHECK(network_has_scaler(network));
    NetworkRun *run = network_run_new(network, &settings);
    ScorerNetwork given = network_run_scorer(run);
    Scorer *ours = scorer_new(replica), *theirs = scorer_new_of(&given);
    CHECK(ours != NULL && theirs != NULL);
    float clip[3 * 80];
    for (size_t i = 0; i < sizeof clip / sizeof clip[0]; i++) {
        clip[i] = (float)((i * 37) % 19) - 6;
    }
    ClipScore mine, other;
    double row[3], other_row[3];
    CHECK_OK(scorer_clip(ours, clip, 80, &mine, row, NULL));
    CHECK_OK(scorer_clip(theirs, clip, 80, &other, other_row, NULL));
    CHECK_NEAR(other.mse / mine.mse, 1, 1e-5);
    CHECK_INT(other.vectors, mine.vectors);
    for (int j = 0; j < 3; j++) {
        CHECK_NEAR(other_row[j], row[j], 1e-5 * (1 + fabs(row[j])));
    }
    scorer_free(ours);
    scorer_free(theirs);
    network_run_free(run);
    network_free(network);
    buffer_done(&bytes);
    replica_free(replica);
}

TEST(a_failing_allocation_leaks_nothing) {
    Replica *replica = make_replica();
    Settings settings = small_settings();
    CHECK_OK(settings_assign(&settings, "n_mels=3"));
    Buffer file = BUFFER_EMPTY;
    CHECK_OK(keras_file_write(replica, true, &file));
    long before = mem_blocks();
    for (long n = 0;; n++) {
        Network *network = NULL, *again = NULL;
        NetworkRun *run = NULL;
        Buffer bytes = BUFFER_EMPTY;
        mem_fail_after(n);
        Status status = keras_file_read("x.h5", file.bytes, file.size, &network);
        if (status == STATUS_OK) {
            network_write(network, &bytes);
            status = bytes.status;
        }
        if (status == STATUS_OK) {
            status = network_read(bytes.bytes, bytes.size, &again);
        }
        if (status == STATUS_OK) {
            run = network_run_new(again, &settings);
            status = run != NULL ? STATUS_OK : STATUS_MEMORY;
        }
        int has_failed = mem_has_failed();
        mem_fail_after(-1);
        network_run_free(run);
        network_free(network);
        network_free(again);
        buffer_done(&bytes);
        CHECK_INT(mem_blocks(), before);
        if (!has_failed) {
            CHECK_OK(status);
            CHECK(n > 20);
            break;
        }
        CHECK_INT(status, STATUS_MEMORY);
    }
    buffer_done(&file);
    replica_free(replica);
}

TEST_MAIN_LIST(T(every_activation_is_its_formula) T(extreme_inputs_stay_numbers)
                   T(scaler_and_normalisation_and_bias_are_applied) T(what_does_not_fit_is_refused)
                       T(bytes_come_back) T(damaged_bytes_are_refused_or_sound)
                           T(our_own_file_for_keras_scores_alike)
                               T(a_failing_allocation_leaks_nothing))
