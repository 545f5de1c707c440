// SPDX-License-Identifier: Apache-2.0
//
// The official baseline's own trained weights, as a model file of ours, must give its own scores.
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/text.h"
#include "common/engine/source.h"
#include "common/eval/clipname.h"
#include "common/eval/decision.h"
#include "common/eval/metrics.h"
#include "common/model/scorer.h"
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
    const char *results;
    double tolerance; // relative
    double worst;
    MetricClip clips[6];
    size_t count;
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
    bool is_anomaly = decision_is_anomaly(score, official_threshold(kind->gamma));
    CHECK(is_anomaly == (official(kind->decisions, name) != 0));
    kind->worst = fmax(kind->worst, difference);
    ClipName facts = clipname_read(name);
    CHECK(kind->count < 6);
    kind->clips[kind->count++] = (MetricClip){.score = score,
                                              .domain = facts.domain == DOMAIN_TARGET,
                                              .label = facts.label == LABEL_ANOMALY,
                                              .is_anomaly = is_anomaly};
}

// The official run's own table, from our scores and decisions.
static void compare_results(const Kind *kind) {
    char path[300];
    CsvReader *reader = NULL;
    CsvRow row;
    Metrics m;
    CHECK_OK(metrics_of_clips(kind->clips, kind->count, 0.1, &m));
    const double actual[] = {m.auc_source,       m.auc_target,    m.pauc,
                             m.pauc_source,      m.pauc_target,   m.precision_source,
                             m.precision_target, m.recall_source, m.recall_target,
                             m.f1_source,        m.f1_target};
    snprintf(path, sizeof path, "baseline_run/%s", kind->results);
    CHECK_OK(csv_reader_open(shared_file(path), &reader));
    CHECK_OK(csv_reader_next(reader, &row));
    CHECK_OK(csv_reader_next(reader, &row));
    CHECK_INT(row.count, 12);
    for (size_t i = 0; i < 11; i++) {
        double expected;
        CHECK_OK(text_to_double(row.fields[i + 1], &expected));
        CHECK_NEAR(actual[i], expected, 1e-14);
    }
    csv_reader_free(reader);
}

static void unpack_weights(void) {
    char command[4096];
    snprintf(weights, sizeof weights, "%s", test_folder());
    snprintf(command, sizeof command, "python3 '%s/tests/golden/unpack_npz.py' '%s' '%s'",
             AUSCULT_SOURCE_DIR, shared_file("baseline_run/weights.npz"), weights);
    CHECK_INT(system(command), 0);
}

#define SKIP_WITHOUT_THE_RUN()                                                                     \
    if (test_shared() == NULL || !file_exists(shared_file("baseline_run/weights.npz"))) {          \
        TEST_SKIP("no shared data");                                                               \
    }                                                                                              \
    if (system("python3 -c '' 2>/dev/null") != 0) {                                                \
        TEST_SKIP("no python3");                                                                   \
    }

TEST(official_weights_give_the_official_scores_and_decisions) {
    SKIP_WITHOUT_THE_RUN();
    unpack_weights();
    SourceScorer *scorer = official_scorer();
    CHECK_OK(file_remove_tree(weights));

    Kind kinds[] = {{SCORE_MSE, "anomaly_score_MSE.csv", "decision_result_MSE.csv", "gamma_mse.csv",
                     "result_MSE.csv", 1e-5, .worst = 0},
                    {SCORE_MAHALA, "anomaly_score_MAHALA.csv", "decision_result_MAHALA.csv",
                     "gamma_mahala.csv", "result_MAHALA.csv", 1e-4, .worst = 0}};
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
    compare_results(&kinds[0]);
    compare_results(&kinds[1]);
    csv_reader_free(reader);
    source_scorer_free(scorer);
}

// The residuals of all training vectors of the official run.
typedef struct Residuals {
    float *numbers; // (vectors, 640)
    uint8_t *is_target;
    int64_t vectors, room;
    uint8_t of_target; // of the clip at hand
} Residuals;

static void keep_rows(void *context, const real *rows, int64_t count) {
    Residuals *kept = context;
    CHECK_INT(count % 5, 0);
    CHECK(kept->vectors + count / 5 <= kept->room);
    memcpy(kept->numbers + kept->vectors * 640, rows, (size_t)count * 128 * sizeof *rows);
    memset(kept->is_target + kept->vectors, kept->of_target, (size_t)count / 5);
    kept->vectors += count / 5;
}

static void keep_clip(const char *clip, const char *name, ClipExtractor *extractor, Scorer *scorer,
                      Residuals *kept) {
    char path[1200];
    ClipFeatures features;
    ClipScore score;
    ScorerRows rows = {keep_rows, kept};
    snprintf(path, sizeof path, "%s/%s", shared_file("real_clips/dcase2020/slider"), clip);
    CHECK_OK(source_features(extractor, path, file_name(path), 0, NULL, &features));
    kept->of_target = clipname_read(name).domain == DOMAIN_TARGET;
    CHECK_OK(scorer_clip(scorer, features.log_mel, features.frames, &score, NULL, &rows));
    clip_features_done(&features);
}

static void keep_training_clips(Residuals *kept) {
    Settings settings;
    CsvReader *reader = NULL;
    CsvRow row;
    CHECK_OK(settings_preset("dcase-baseline", &settings));
    Shape shape = shape_official(&settings);
    Replica *replica = replica_new(&shape);
    load_replica(replica);
    Scorer *scorer = scorer_new(replica);
    ClipExtractor *extractor = clip_extractor_new(&settings);
    CHECK_OK(csv_reader_open(shared_file("baseline_run/names.csv"), &reader));
    do {
        CHECK_OK(csv_reader_next(reader, &row));
        if (row.count == 2 && text_starts(row.fields[0], "train/")) {
            keep_clip(row.fields[0], row.fields[1], extractor, scorer, kept);
        }
    } while (row.count > 0);
    csv_reader_free(reader);
    clip_extractor_free(extractor);
    scorer_free(scorer);
    replica_free(replica);
}

// In batches of 256 drawn at random from nine tenths of the vectors, as the official run had them.
static void sum_batches(const Residuals *kept, ResidualSums *source, ResidualSums *target) {
    Rng rng = rng_of(1, "batches", 0, 0);
    int64_t *order = mem_new((size_t)kept->vectors, sizeof *order);
    float *batch = mem_new(256 * 640, sizeof *batch);
    uint8_t is_target[256];
    for (int64_t i = 0; i < kept->vectors; i++) {
        int64_t other = (int64_t)rng_below(&rng, (uint32_t)i + 1);
        order[i] = order[other];
        order[other] = i;
    }
    int64_t used = kept->vectors * 9 / 10;
    for (int64_t first = 0; first < used; first += 256) {
        int count = used - first < 256 ? (int)(used - first) : 256;
        for (int k = 0; k < count; k++) {
            memcpy(batch + k * 640, kept->numbers + order[first + k] * 640, 640 * sizeof *batch);
            is_target[k] = kept->is_target[order[first + k]];
        }
        residual_sums_add(source, batch, is_target, count, 5, false);
        residual_sums_add(target, batch, is_target, count, 5, true);
    }
    mem_free(order);
    mem_free(batch);
}

// The largest difference from the official covariance, relative to what its diagonal allows.
static double difference_from(const char *name, const ResidualSums *sums) {
    char path[512];
    NpyArray array;
    double *own = mem_new(128 * 128, sizeof *own), worst = 0;
    CHECK_OK(residual_sums_covariance(sums, own));
    snprintf(path, sizeof path, "%s/%s.npy", weights, name);
    CHECK_OK(npy_read(path, &array));
    const float *official = array.data;
    for (int i = 0; i < 128; i++) {
        for (int j = 0; j < 128; j++) {
            double scale = sqrt((double)official[i * 129] * (double)official[j * 129]);
            double difference = fabs(own[i * 128 + j] - (double)official[i * 128 + j]) / scale;
            worst = difference <= worst ? worst : difference;
        }
    }
    npy_done(&array);
    mem_free(own);
    return worst;
}

// Its batches and its held-out vectors were drawn by PyTorch, so ours are others: the covariances
// of two such draws differ by some percent; by the right divisor, of rows, they would by 80.
TEST(compat_sums_of_the_training_clips_are_the_official_covariances_but_for_the_draw) {
    SKIP_WITHOUT_THE_RUN();
    unpack_weights();
    Residuals kept = {.room = 75 * 400};
    kept.numbers = mem_new((size_t)kept.room * 640, sizeof *kept.numbers);
    kept.is_target = mem_new((size_t)kept.room, 1);
    keep_training_clips(&kept);
    ResidualSums *source = residual_sums_new(128, true), *target = residual_sums_new(128, true);
    sum_batches(&kept, source, target);
    double of_source = difference_from("cov_source", source);
    double of_target = difference_from("cov_target", target);
    printf("%lld and %lld vectors, differences %.3g and %.3g\n",
           (long long)residual_sums_vectors(source), (long long)residual_sums_vectors(target),
           of_source, of_target);
    CHECK(of_source <= 0.05);
    CHECK(of_target <= 0.15);
    residual_sums_free(source);
    residual_sums_free(target);
    mem_free(kept.numbers);
    mem_free(kept.is_target);
    CHECK_OK(file_remove_tree(weights));
}

TEST_MAIN_LIST(T(official_weights_give_the_official_scores_and_decisions) T(
    compat_sums_of_the_training_clips_are_the_official_covariances_but_for_the_draw))
