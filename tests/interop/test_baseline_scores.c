// SPDX-License-Identifier: Apache-2.0
//
// The official baseline's own trained weights, as a model file of ours, must give its own scores.
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/engine/source.h"
#include "common/eval/decision.h"
#include "common/store/csv.h"
#include "common/store/npy.h"
#include "tests/unit/test.h"

static char weights[256]; // the folder of the unpacked tensors

static const char *shared_file(const char *name) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/data/%s", test_shared() != NULL ? test_shared() : "", name);
    return path;
}

// Tensors are named as PyTorch does: five linear layers in the encoder, five in the decoder, each
// but the last followed by two modules.
static void load_tensor(int layer, bool of_norm, const char *tensor, size_t count, real *out) {
    char path[512];
    NpyArray array;
    snprintf(path, sizeof path, "%s/%s.%d.%s.npy", weights, layer < 5 ? "encoder" : "decoder",
             3 * (layer % 5) + of_norm, tensor);
    CHECK_OK(npy_read(path, &array));
    CHECK_INT(array.type, NPY_FLOAT32);
    CHECK_INT(array.count, count);
    memcpy(out, array.data, count * sizeof *out);
    npy_done(&array);
}

static void load_replica(Replica *replica) {
    real *parameters = replica_edit_parameters(replica), *running = replica_edit_running(replica);
    for (int l = 0; l < 10; l++) {
        const LayerPlace *place = &replica_layout(replica)->layer[l];
        size_t out = (size_t)place->out, in = (size_t)place->in;
        load_tensor(l, false, "weight", out * in, parameters + place->weight);
        load_tensor(l, false, "bias", out, parameters + place->bias);
        if (place->has_norm) {
            load_tensor(l, true, "weight", out, parameters + place->gamma);
            load_tensor(l, true, "bias", out, parameters + place->beta);
            load_tensor(l, true, "running_mean", out, running + place->mean);
            load_tensor(l, true, "running_var", out, running + place->variance);
        }
    }
}

// A covariance as the baseline keeps it, in single precision, and its inverse.
static Precision load_precision(const char *name) {
    char path[512];
    NpyArray array;
    double *covariance = mem_new(128 * 128, sizeof *covariance);
    Precision precision;
    snprintf(path, sizeof path, "%s/%s.npy", weights, name);
    CHECK_OK(npy_read(path, &array));
    CHECK(array.type == NPY_FLOAT32 && array.count == 128 * 128);
    for (int i = 0; i < 128 * 128; i++) {
        covariance[i] = (double)((const float *)array.data)[i];
    }
    CHECK_OK(precision_of_covariance(covariance, 128, &precision));
    CHECK(precision.ridge == 0);
    mem_free(covariance);
    npy_done(&array);
    return precision;
}

static SourceScorer *official_scorer(void) {
    ModelFile file = model_file_blank();
    file.rate_hz = 16000;
    Buffer bytes = BUFFER_EMPTY;
    SourceScorer *scorer = NULL;
    CHECK_OK(settings_preset("dcase-baseline", &file.settings));
    Shape shape = shape_official(&file.settings);
    file.replica = replica_new(&shape);
    load_replica(file.replica);
    file.yardsticks.source = load_precision("cov_source");
    file.yardsticks.target = load_precision("cov_target");
    model_file_write(&file, &bytes);
    CHECK_OK(source_scorer_new(bytes.bytes, bytes.size, &scorer));
    model_file_done(&file);
    buffer_done(&bytes);
    return scorer;
}

// What the official run wrote for the clip that it knew under `name`.
static double official(const char *file, const char *name) {
    char path[300];
    CsvReader *reader = NULL;
    CsvRow row;
    double value = NAN;
    snprintf(path, sizeof path, "baseline_run/%s", file);
    CHECK_OK(csv_reader_open(shared_file(path), &reader));
    do {
        CHECK_OK(csv_reader_next(reader, &row));
        if (row.count == 2 && strcmp(row.fields[0], file_name(name)) == 0) {
            CHECK_OK(text_to_double(row.fields[1], &value));
        }
    } while (row.count > 0);
    csv_reader_free(reader);
    return value;
}

// The threshold that the official run decided with: the last number of its file.
static double official_threshold(const char *file) {
    char path[300];
    CsvReader *reader = NULL;
    CsvRow row;
    double value = NAN;
    snprintf(path, sizeof path, "baseline_run/%s", file);
    CHECK_OK(csv_reader_open(shared_file(path), &reader));
    do {
        CHECK_OK(csv_reader_next(reader, &row));
        if (row.count > 0) {
            (void)text_to_double(row.fields[row.count - 1], &value);
        }
    } while (row.count > 0);
    csv_reader_free(reader);
    return value;
}

typedef struct Kind {
    ScoreKind kind;
    const char *scores, *decisions, *gamma;
    double tolerance; // relative
    double worst;
} Kind;

static void compare(SourceScorer *scorer, const char *clip, const char *name, Kind *kind) {
    char path[1200];
    double row[LIMIT_MELS], expected = official(kind->scores, name);
    ClipMeasure measure;
    snprintf(path, sizeof path, "%s/%s", shared_file("real_clips/dcase2020/slider"), clip);
    CHECK_OK(source_measure(scorer, path, file_name(path), 0, NULL, row, &measure));
    double score = source_score(scorer, kind->kind, &measure);
    double difference = fabs(score - expected) / expected;
    printf("%s: %.9g, official %.9g, relative difference %.2g\n", clip, score, expected,
           difference);
    CHECK(difference <= kind->tolerance);
    CHECK(decision_is_anomaly(score, official_threshold(kind->gamma)) ==
          (official(kind->decisions, name) != 0));
    kind->worst = fmax(kind->worst, difference);
}

TEST(official_weights_give_the_official_scores_and_decisions) {
    if (test_shared() == NULL || !file_exists(shared_file("baseline_run/weights.npz"))) {
        TEST_SKIP("no shared data");
    }
    if (system("python3 -c '' 2>/dev/null") != 0) {
        TEST_SKIP("no python3");
    }
    char command[4096];
    snprintf(weights, sizeof weights, "%s", test_folder());
    snprintf(command, sizeof command, "python3 '%s/tests/golden/unpack_npz.py' '%s' '%s'",
             AUSCULT_SOURCE_DIR, shared_file("baseline_run/weights.npz"), weights);
    CHECK_INT(system(command), 0);
    SourceScorer *scorer = official_scorer();
    CHECK_OK(file_remove_tree(weights));

    Kind kinds[] = {
        {SCORE_MSE, "anomaly_score_MSE.csv", "decision_result_MSE.csv", "gamma_mse.csv", 1e-5, 0},
        {SCORE_MAHALA, "anomaly_score_MAHALA.csv", "decision_result_MAHALA.csv", "gamma_mahala.csv",
         1e-4, 0}};
    CsvReader *reader = NULL;
    CsvRow row;
    int compared = 0;
    CHECK_OK(csv_reader_open(shared_file("baseline_run/names.csv"), &reader));
    do {
        CHECK_OK(csv_reader_next(reader, &row));
        for (int k = 0; k < 2 && row.count == 2 && text_starts(row.fields[0], "test/"); k++) {
            compare(scorer, row.fields[0], row.fields[1], &kinds[k]);
            compared++;
        }
    } while (row.count > 0);
    printf("worst relative differences: MSE %.2g, MAHALA %.2g\n", kinds[0].worst, kinds[1].worst);
    CHECK_INT(compared, 12);
    csv_reader_free(reader);
    source_scorer_free(scorer);
}

TEST_MAIN_LIST(T(official_weights_give_the_official_scores_and_decisions))
