// SPDX-License-Identifier: Apache-2.0
//
// Built twice: on the float library and, as test_model_network_double, on the double one.
#include <math.h>

#include "common/model/autoencoder.h"
#include "common/model/partial.h"
#include "common/model/replica.h"
#include "tests/unit/model/model_test.h"

#ifdef AUSCULT_MODEL_DOUBLE
#define TOLERANCE 1e-9
#else
#define TOLERANCE 1e-4
#endif

enum { ROWS = 16 };
static const int GOLDEN_ROWS[3] = {16, 11, 16};

typedef struct Bench {
    Autoencoder *net;
    Replica *replica;
    Partial *partial;
    double row_loss[256];
} Bench;

static Bench bench_new(const Shape *shape, int rows) {
    Bench bench = {.net = autoencoder_new(shape, rows),
                   .replica = replica_new(shape),
                   .partial = partial_new(shape)};
    CHECK(bench.net != NULL && bench.replica != NULL && bench.partial != NULL);
    replica_init(bench.replica, 1, 2);
    return bench;
}

static void bench_done(Bench *bench) {
    autoencoder_free(bench->net);
    replica_free(bench->replica);
    partial_free(bench->partial);
}

static void set_rows(Bench *bench, const double *values, int rows, int dimension) {
    real *input = autoencoder_input(bench->net);
    for (int i = 0; i < rows * dimension; i++) {
        input[i] = (real)values[i];
    }
}

// One micro-batch into bench->partial; gives its mean loss.
static double train(Bench *bench, int rows) {
    autoencoder_train(bench->net, replica_parameters(bench->replica), rows,
                      partial_gradient(bench->partial), partial_statistics(bench->partial),
                      bench->row_loss);
    PartialHead *head = partial_head(bench->partial);
    head->rows = head->source_rows = rows;
    head->loss = 0.0;
    for (int i = 0; i < rows; i++) {
        head->loss += bench->row_loss[i];
    }
    head->source_loss = head->loss;
    return head->loss / rows;
}

static void set_parameters(Replica *replica, const double *values) {
    real *parameters = replica_edit_parameters(replica);
    for (size_t i = 0; i < replica_layout(replica)->parameters; i++) {
        parameters[i] = (real)values[i];
    }
}

// Whether a parameter is a bias in front of a batch normalisation: its gradient is noise around 0.
static bool is_silent(const Layout *layout, size_t parameter) {
    for (int l = 0; l + 1 < layout->layers; l++) {
        const LayerPlace *place = &layout->layer[l];
        if (parameter >= place->bias && parameter < place->gamma) {
            return true;
        }
    }
    return false;
}

TEST(steps_agree_with_pytorch) {
    Shape shape = small_shape();
    Bench bench = bench_new(&shape, ROWS);
    const Layout *layout = replica_layout(bench.replica);
    double *batches = golden_read("batches", (16 + 11 + 16) * 12);
    double *losses = golden_read("losses", 3);
    double *start = golden_read("parameters_0", layout->parameters);
    set_parameters(bench.replica, start);
    size_t first_row = 0;
    for (int step = 0; step < 3; step++) {
        char name[32];
        set_rows(&bench, batches + first_row * 12, GOLDEN_ROWS[step], 12);
        first_row += (size_t)GOLDEN_ROWS[step];
        double loss = train(&bench, GOLDEN_ROWS[step]);
        CHECK_NEAR(loss, losses[step], TOLERANCE * losses[step]);
        snprintf(name, sizeof name, "gradient_%d", step + 1);
        double *gradient = golden_read(name, layout->parameters);
        for (size_t i = 0; i < layout->parameters; i++) {
            double got = (double)partial_gradient(bench.partial)[i] / GOLDEN_ROWS[step];
            CHECK_NEAR(got, is_silent(layout, i) ? 0.0 : gradient[i], TOLERANCE);
        }
        CHECK_OK(replica_apply(bench.replica, bench.partial, 1e-3));
        snprintf(name, sizeof name, "parameters_%d", step + 1);
        double *parameters = golden_read(name, layout->parameters);
        for (size_t i = 0; i < layout->parameters; i++) {
            double expected = is_silent(layout, i) ? start[i] : parameters[i];
            CHECK_NEAR((double)replica_parameters(bench.replica)[i], expected, TOLERANCE);
        }
        mem_free(gradient);
        mem_free(parameters);
    }
    mem_free(batches);
    mem_free(losses);
    mem_free(start);
    bench_done(&bench);
}

// After the first step: later PyTorch's running means follow its silent biases, which walk by
// noise.
TEST(running_statistics_agree_with_pytorch) {
    Shape shape = small_shape();
    Bench bench = bench_new(&shape, ROWS);
    const Layout *layout = replica_layout(bench.replica);
    double *batches = golden_read("batches", 0);
    double *start = golden_read("parameters_0", layout->parameters);
    double *running = golden_read("running_1", layout->running);
    set_parameters(bench.replica, start);
    set_rows(&bench, batches, ROWS, 12);
    train(&bench, ROWS);
    CHECK_OK(replica_apply(bench.replica, bench.partial, 1e-3));
    for (size_t i = 0; i < layout->running; i++) {
        CHECK_NEAR((double)replica_running(bench.replica)[i], running[i], TOLERANCE);
    }
    mem_free(batches);
    mem_free(start);
    mem_free(running);
    bench_done(&bench);
}

TEST(evaluation_agrees_with_pytorch) {
    Shape shape = small_shape();
    Bench bench = bench_new(&shape, ROWS);
    const Layout *layout = replica_layout(bench.replica);
    double *batches = golden_read("batches", 0);
    double *parameters = golden_read("parameters_3", layout->parameters);
    double *running = golden_read("running_3", layout->running);
    double *expected = golden_read("evaluation", ROWS);
    set_parameters(bench.replica, parameters);
    for (size_t i = 0; i < layout->running; i++) {
        replica_edit_running(bench.replica)[i] = (real)running[i];
    }
    autoencoder_fold(bench.net, replica_parameters(bench.replica), replica_running(bench.replica));
    set_rows(&bench, batches, ROWS, 12);
    autoencoder_evaluate(bench.net, ROWS, bench.row_loss);
    for (int i = 0; i < ROWS; i++) {
        CHECK_NEAR(bench.row_loss[i], expected[i], TOLERANCE * expected[i]);
        double sum = 0.0;
        for (int j = 0; j < 12; j++) {
            double r = (double)autoencoder_residual(bench.net)[i * 12 + j];
            sum += r * r;
        }
        CHECK_NEAR(sum / 12, bench.row_loss[i], TOLERANCE * expected[i]);
    }
    mem_free(batches);
    mem_free(parameters);
    mem_free(running);
    mem_free(expected);
    bench_done(&bench);
}

static void random_rows(Bench *bench, uint64_t seed, int rows, int dimension) {
    Rng rng = rng_of(seed, "test rows", 0, 0);
    for (int i = 0; i < rows * dimension; i++) {
        autoencoder_input(bench->net)[i] = (real)rng_normal(&rng);
    }
}

static bool same_values(const Partial *a, const Partial *b) {
    size_t size, other;
    const char *bytes = partial_bytes(a, &size), *others = partial_bytes(b, &other);
    return size == other && memcmp(bytes, others, size) == 0;
}

TEST(padding_rows_change_nothing) {
    Shape shape = small_shape();
    Bench clean = bench_new(&shape, ROWS), soiled = bench_new(&shape, ROWS);
    random_rows(&soiled, 5, ROWS, 12);
    train(&soiled, ROWS);
    random_rows(&clean, 7, 5, 12);
    random_rows(&soiled, 7, 5, 12);
    autoencoder_input(soiled.net)[5 * 12] = (real)NAN;
    double loss = train(&clean, 5);
    CHECK(isfinite(loss));
    CHECK(train(&soiled, 5) == loss);
    CHECK(same_values(clean.partial, soiled.partial));
    bench_done(&clean);
    bench_done(&soiled);
}

// The same five rows in a network of exactly five: other shapes of product, so only close.
TEST(short_micro_batch_equals_one_of_its_own_height) {
    Shape shape = small_shape();
    Bench wide = bench_new(&shape, ROWS), exact = bench_new(&shape, 5);
    random_rows(&wide, 7, 5, 12);
    random_rows(&exact, 7, 5, 12);
    double loss = train(&wide, 5);
    CHECK_NEAR(train(&exact, 5), loss, TOLERANCE * loss);
    const Layout *layout = replica_layout(wide.replica);
    for (size_t i = 0; i < layout->parameters; i++) {
        double expected = (double)partial_gradient(exact.partial)[i];
        CHECK_NEAR((double)partial_gradient(wide.partial)[i], expected,
                   20 * TOLERANCE * (1 + fabs(expected)));
    }
    for (size_t i = 0; i < layout->running; i++) {
        double expected = (double)partial_statistics(exact.partial)[i];
        CHECK_NEAR((double)partial_statistics(wide.partial)[i], expected,
                   20 * TOLERANCE * (1 + fabs(expected)));
    }
    bench_done(&wide);
    bench_done(&exact);
}

TEST(same_input_gives_the_same_bits) {
    Shape shape = small_shape();
    Bench first = bench_new(&shape, ROWS), second = bench_new(&shape, ROWS);
    random_rows(&second, 1, ROWS, 12);
    train(&second, 9);
    random_rows(&first, 3, ROWS, 12);
    random_rows(&second, 3, ROWS, 12);
    train(&first, ROWS);
    train(&second, ROWS);
    CHECK(same_values(first.partial, second.partial));
    bench_done(&first);
    bench_done(&second);
}

TEST(not_a_number_reaches_the_loss) {
    Shape shape = small_shape();
    Bench bench = bench_new(&shape, ROWS);
    random_rows(&bench, 3, ROWS, 12);
    replica_edit_parameters(bench.replica)[3] = (real)NAN;
    CHECK(isnan(train(&bench, ROWS)));
    bench_done(&bench);
}

TEST(failed_allocation_leaks_no_network) {
    Shape shape = small_shape();
    long before = mem_blocks();
    for (long n = 0;; n++) {
        mem_fail_after(n);
        Autoencoder *net = autoencoder_new(&shape, 4);
        bool failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK((net == NULL) == failed);
        autoencoder_free(net);
        CHECK_INT(mem_blocks(), before);
        if (!failed) {
            break;
        }
        CHECK(n < 10);
    }
}

#ifdef AUSCULT_MODEL_DOUBLE
static double loss_at(Bench *bench, int rows) {
    return train(bench, rows) * rows;
}

// Central differences over every parameter; where a ReLU flips within the step the difference
// means nothing, so two step sizes must agree before it counts.
TEST(gradients_agree_with_finite_differences) {
    Shape shape = small_shape();
    Bench bench = bench_new(&shape, ROWS);
    random_rows(&bench, 11, 13, 12);
    train(&bench, 13);
    const Layout *layout = replica_layout(bench.replica);
    double *gradient = mem_copy(partial_gradient(bench.partial), layout->parameters * 8);
    real *parameters = replica_edit_parameters(bench.replica);
    int compared = 0;
    double worst = 0.0;
    for (size_t i = 0; i < layout->parameters; i++) {
        double kept = parameters[i], slope[2];
        for (int k = 0; k < 2; k++) {
            double h = k == 0 ? 1e-5 : 5e-6;
            parameters[i] = kept + h;
            double up = loss_at(&bench, 13);
            parameters[i] = kept - h;
            slope[k] = (up - loss_at(&bench, 13)) / (2 * h);
        }
        parameters[i] = kept;
        if (fabs(slope[0] - slope[1]) <= 1e-6) {
            CHECK_NEAR(gradient[i], slope[1], 2e-6);
            worst = fmax(worst, fabs(gradient[i] - slope[1]));
            compared++;
        }
    }
    printf("%d of %zu parameters compared, worst difference %g\n", compared, layout->parameters,
           worst);
    CHECK(compared > (int)layout->parameters * 9 / 10);
    mem_free(gradient);
    bench_done(&bench);
}
#endif

// ---- The official baseline's own first steps (shared data) ----

static char trace_folder[256];

static bool unpack_trace(void) {
    char file[1024], command[4096];
    if (test_shared() == NULL) {
        return false;
    }
    snprintf(file, sizeof file, "%s/data/baseline_run/training_trace.npz", test_shared());
    if (access(file, R_OK) != 0) {
        return false;
    }
    snprintf(trace_folder, sizeof trace_folder, "%s", test_folder());
    snprintf(command, sizeof command, "python3 '%s/tests/golden/unpack_npz.py' '%s' '%s'",
             AUSCULT_SOURCE_DIR, file, trace_folder);
    return system(command) == 0;
}

// PyTorch's name of a tensor: five linear layers in the encoder, five in the decoder, each but the
// last followed by two modules.
static const char *torch_name(const char *kind, int layer, bool of_norm, const char *tensor) {
    static char name[128];
    snprintf(name, sizeof name, "%s.%s.%d.%s", kind, layer < 5 ? "encoder" : "decoder",
             3 * (layer % 5) + of_norm, tensor);
    return name;
}

static void load_tensor(const char *name, size_t count, real *out) {
    size_t actual = 0;
    double *values = npy_read(trace_folder, name, &actual);
    CHECK_INT(actual, count);
    for (size_t i = 0; i < count; i++) {
        out[i] = (real)values[i];
    }
    mem_free(values);
}

static void load_parameters(const char *kind, Replica *replica) {
    real *parameters = replica_edit_parameters(replica);
    for (int l = 0; l < 10; l++) {
        const LayerPlace *place = &replica_layout(replica)->layer[l];
        size_t out = (size_t)place->out, in = (size_t)place->in;
        load_tensor(torch_name(kind, l, false, "weight"), out * in, parameters + place->weight);
        load_tensor(torch_name(kind, l, false, "bias"), out, parameters + place->bias);
        if (place->has_norm) {
            load_tensor(torch_name(kind, l, true, "weight"), out, parameters + place->gamma);
            load_tensor(torch_name(kind, l, true, "bias"), out, parameters + place->beta);
        }
    }
}

typedef struct Agreement {
    long close, all; // gradient elements within 1e-4 of their tensor's largest
    double worst;    // difference relative to that
} Agreement;

static void compare_tensor(const char *name, size_t count, const real *sums, Agreement *agreement) {
    size_t actual = 0;
    double *expected = npy_read(trace_folder, name, &actual);
    CHECK_INT(actual, count);
    double largest = 0.0;
    for (size_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs(expected[i]));
    }
    for (size_t i = 0; i < count; i++) {
        double difference = fabs((double)sums[i] / 256 - expected[i]) / largest;
        CHECK(isfinite(difference));
        agreement->worst = fmax(agreement->worst, difference);
        agreement->close += difference <= 1e-4;
        agreement->all++;
    }
    mem_free(expected);
}

static Agreement compare_gradient(const Layout *layout, const real *sums) {
    Agreement agreement = {0};
    for (int l = 0; l < 10; l++) {
        const LayerPlace *place = &layout->layer[l];
        size_t out = (size_t)place->out, in = (size_t)place->in;
        compare_tensor(torch_name("grad1", l, false, "weight"), out * in, sums + place->weight,
                       &agreement);
        if (place->has_norm) {
            compare_tensor(torch_name("grad1", l, true, "weight"), out, sums + place->gamma,
                           &agreement);
            compare_tensor(torch_name("grad1", l, true, "bias"), out, sums + place->beta,
                           &agreement);
        } else {
            compare_tensor(torch_name("grad1", l, false, "bias"), out, sums + place->bias,
                           &agreement);
        }
    }
    return agreement;
}

static void check_trace(Bench *bench) {
    size_t count = 0;
    double *batches = npy_read(trace_folder, "batches", &count);
    double *losses = npy_read(trace_folder, "losses_float64", &count);
    CHECK_INT(count, 3);
    load_parameters("init", bench->replica);
    for (int step = 0; step < 3; step++) {
        set_rows(bench, batches + (size_t)step * 256 * 640, 256, 640);
        double loss = train(bench, 256);
        double difference = fabs(loss - losses[step]) / losses[step];
        printf("step %d: loss %.9g, relative difference %.2g\n", step + 1, loss, difference);
#ifdef AUSCULT_MODEL_DOUBLE
        CHECK_NEAR(difference, 0, 1e-6);
#else
        CHECK_NEAR(difference, 0, step == 0 ? 1e-6 : 1e-4);
#endif
        if (step == 0) {
            Agreement agreement =
                compare_gradient(replica_layout(bench->replica), partial_gradient(bench->partial));
            double share = (double)agreement.close / (double)agreement.all;
            printf("gradient: %.4f %% within 1e-4, worst %.2g of its tensor's largest\n",
                   100 * share, agreement.worst);
#ifdef AUSCULT_MODEL_DOUBLE
            CHECK(agreement.worst <= 1e-4);
#else
            CHECK(share >= 0.99);
#endif
        }
        CHECK_OK(replica_apply(bench->replica, bench->partial, 1e-3));
    }
    mem_free(batches);
    mem_free(losses);
}

TEST(official_baseline_takes_the_same_steps) {
    if (!unpack_trace()) {
        TEST_SKIP("no shared data or no python3");
    }
    Settings settings;
    CHECK_OK(settings_preset("dcase-baseline", &settings));
    Shape shape = shape_official(&settings);
    Bench bench = bench_new(&shape, 256);
    CHECK_INT(replica_layout(bench.replica)->parameters, 267928);
    check_trace(&bench);
    bench_done(&bench);
    CHECK_OK(file_remove_tree(trace_folder));
}

#ifdef AUSCULT_MODEL_DOUBLE
#define DOUBLE_TESTS T(gradients_agree_with_finite_differences)
#else
#define DOUBLE_TESTS
#endif

MODEL_TEST_MAIN(T(steps_agree_with_pytorch) T(running_statistics_agree_with_pytorch)
                    T(evaluation_agrees_with_pytorch) T(padding_rows_change_nothing)
                        T(short_micro_batch_equals_one_of_its_own_height)
                            T(same_input_gives_the_same_bits) T(not_a_number_reaches_the_loss)
                                T(failed_allocation_leaks_no_network)
                                    DOUBLE_TESTS T(official_baseline_takes_the_same_steps))
