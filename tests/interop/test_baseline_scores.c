// SPDX-License-Identifier: Apache-2.0
//
// The official baseline's own trained weights, as a model file of ours, must give its own scores.
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/engine/source.h"
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

static SourceScorer *official_scorer(void) {
    ModelFile file = {.set = "dev",
                      .machine = "slider",
                      .section = "00",
                      .rate_hz = 16000,
                      .threshold = MODEL_FILE_NO_THRESHOLD};
    Buffer bytes = BUFFER_EMPTY;
    SourceScorer *scorer = NULL;
    CHECK_OK(settings_preset("dcase-baseline", &file.settings));
    Shape shape = shape_official(&file.settings);
    file.replica = replica_new(&shape);
    load_replica(file.replica);
    model_file_write(&file, &bytes);
    CHECK_OK(source_scorer_new(bytes.bytes, bytes.size, &scorer));
    model_file_done(&file);
    buffer_done(&bytes);
    return scorer;
}

// The official score of the clip that the official run knew under `name`.
static double official_score(const char *name) {
    CsvReader *reader = NULL;
    CsvRow row;
    double score = NAN;
    CHECK_OK(csv_reader_open(shared_file("baseline_run/anomaly_score_MSE.csv"), &reader));
    do {
        CHECK_OK(csv_reader_next(reader, &row));
        if (row.count == 2 && strcmp(row.fields[0], name) == 0) {
            CHECK_OK(text_to_double(row.fields[1], &score));
        }
    } while (row.count > 0);
    csv_reader_free(reader);
    return score;
}

static double difference_of(SourceScorer *scorer, const char *clip, const char *name) {
    char path[1200];
    double score = NAN, official = official_score(file_name(name));
    snprintf(path, sizeof path, "%s/%s", shared_file("real_clips/dcase2020/slider"), clip);
    CHECK_OK(source_score(scorer, path, file_name(path), 0, NULL, &score));
    double difference = fabs(score - official) / official;
    printf("%s: %.9g, official %.9g, relative difference %.2g\n", clip, score, official,
           difference);
    return difference;
}

TEST(official_weights_give_the_official_scores) {
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

    CsvReader *reader = NULL;
    CsvRow row;
    int compared = 0;
    double worst = 0;
    CHECK_OK(csv_reader_open(shared_file("baseline_run/names.csv"), &reader));
    do {
        CHECK_OK(csv_reader_next(reader, &row));
        if (row.count == 2 && text_starts(row.fields[0], "test/")) {
            double difference = difference_of(scorer, row.fields[0], row.fields[1]);
            CHECK(difference <= 1e-5);
            worst = fmax(worst, difference);
            compared++;
        }
    } while (row.count > 0);
    printf("worst relative difference %.2g\n", worst);
    CHECK_INT(compared, 6);
    csv_reader_free(reader);
    source_scorer_free(scorer);
}

TEST_MAIN_LIST(T(official_weights_give_the_official_scores))
