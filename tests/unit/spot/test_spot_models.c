// SPDX-License-Identifier: Apache-2.0
#include "coordinator/spot/spot_models.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/engine/model_file.h"
#include "common/store/npy.h"
#include "tests/unit/test.h"

static char root[256];

static void begin(void) {
    snprintf(root, sizeof root, "%s", test_folder());
}

static void end(void) {
    CHECK_OK(file_remove_tree(root));
}

static const char *in_root(const char *name) {
    static char path[4][1024];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", root, name);
    return path[next];
}

typedef struct Made {
    const char *folder, *set, *machine, *section;
    Kernel kernel;
    uint64_t seed;
} Made;

static Settings small_settings(Kernel kernel) {
    Settings settings;
    CHECK_OK(settings_preset("default", &settings));
    settings.n_mels = 8;
    settings.frames = 2;
    settings.numerics = (int32_t)kernel;
    return settings;
}

static void put_model(Made made) {
    ModelFile file = {.rate_hz = 16000, .thresholds = {{2.5, "mle"}, {NAN, ""}, {NAN, ""}}};
    Buffer bytes = BUFFER_EMPTY;
    file.settings = small_settings(made.kernel);
    snprintf(file.set, sizeof file.set, "%s", made.set);
    snprintf(file.machine, sizeof file.machine, "%s", made.machine);
    snprintf(file.section, sizeof file.section, "%s", made.section);
    Shape shape = shape_official(&file.settings);
    file.replica = replica_new(&shape);
    replica_init(file.replica, made.seed, 1);
    model_file_write(&file, &bytes);
    CHECK_OK(file_make_folders(in_root(made.folder)));
    char path[1024];
    snprintf(path, sizeof path, "%s/" MODEL_FILE_NAME, in_root(made.folder));
    CHECK_OK(file_write_buffer(path, &bytes));
    model_file_done(&file);
    buffer_done(&bytes);
}

static void damage(const char *folder) {
    char path[1024];
    Buffer bytes = BUFFER_EMPTY;
    snprintf(path, sizeof path, "%s/" MODEL_FILE_NAME, in_root(folder));
    CHECK_OK(file_read(path, MODEL_FILE_BYTES, &bytes));
    bytes.bytes[bytes.size / 2] ^= 1;
    CHECK_OK(file_write_buffer(path, &bytes));
    buffer_done(&bytes);
}

static SpotModels *open_models(const char *name) {
    SpotModels *models = NULL;
    CHECK_OK(spot_models_open(in_root(name), NULL, &models));
    return models;
}

static const char *chosen(const SpotModels *models, const char *path) {
    uint32_t index = UINT32_MAX;
    CHECK_OK(spot_models_choose(models, path, &index));
    return spot_models_get(models, index)->name;
}

static const char *refusal(const SpotModels *models, const char *path) {
    uint32_t index = 77;
    CHECK(spot_models_choose(models, path, &index) != STATUS_OK);
    CHECK_INT(index, 77);
    return status_message();
}

TEST(models_of_a_run_are_found_by_their_files) {
    begin();
    put_model((Made){"run/data/pump", "dev", "pump", "", KERNEL_HASWELL, 1});
    put_model((Made){"run/data/fan/section_00", "dev", "fan", "00", KERNEL_HASWELL, 2});
    CHECK_OK(file_make_folders(in_root("run/outputs")));
    SpotModels *models = open_models("run");
    CHECK_INT(spot_models_count(models), 2);
    CHECK_TEXT(spot_models_get(models, 0)->name, "fan/section_00");
    CHECK_TEXT(spot_models_get(models, 0)->machine, "fan");
    CHECK_TEXT(spot_models_get(models, 0)->section, "00");
    CHECK_TEXT(spot_models_get(models, 1)->name, "pump");
    CHECK_NEAR(spot_models_get(models, 1)->threshold, 2.5, 0);
    CHECK(spot_models_get(models, 1)->kernel == KERNEL_HASWELL);
    CHECK(spot_models_get(models, 1)->damage == NULL);
    spot_models_free(models);
    models = open_models("run/data/pump/" MODEL_FILE_NAME);
    CHECK_INT(spot_models_count(models), 1);
    CHECK_TEXT(spot_models_get(models, 0)->machine, "pump");
    spot_models_free(models);
    end();
}

TEST(a_single_model_takes_every_clip) {
    begin();
    put_model((Made){"m/section_03", "dev", "fan", "03", KERNEL_HASWELL, 1});
    SpotModels *models = open_models("m");
    CHECK_TEXT(chosen(models, "x.wav"), "section_03");
    CHECK_TEXT(chosen(models, "pump/section_00_0000.wav"), "section_03");
    spot_models_free(models);
    end();
}

TEST(the_nearest_folder_called_like_a_machine_decides) {
    begin();
    put_model((Made){"data/fan", "dev", "fan", "", KERNEL_HASWELL, 1});
    put_model((Made){"data/pump", "dev", "pump", "", KERNEL_HASWELL, 2});
    SpotModels *models = open_models(".");
    CHECK_TEXT(chosen(models, "fan/test/x.wav"), "fan");
    CHECK_TEXT(chosen(models, "/a/fan/b/pump//c/section_07_0000.wav"), "pump");
    CHECK_HAS(refusal(models, "fan.wav"), "no folder on its path is called like a machine");
    CHECK_HAS(refusal(models, "/fans/x.wav"), "there are the models fan, pump (name one with");
    // A link is resolved when the path as given tells nothing.
    CHECK_OK(file_make_folders(in_root("clips/pump")));
    CHECK_OK(file_write(in_root("clips/pump/x.wav"), "", 0));
    CHECK_INT(symlink("clips/pump", in_root("today")), 0);
    CHECK_TEXT(chosen(models, in_root("today/x.wav")), "pump");
    spot_models_free(models);
    end();
}

TEST(sections_decide_among_a_machines_models) {
    begin();
    put_model((Made){"fan/section_00", "dev", "fan", "00", KERNEL_HASWELL, 1});
    put_model((Made){"fan/section_01", "dev", "fan", "01", KERNEL_HASWELL, 2});
    put_model((Made){"pump/section_00", "dev", "pump", "00", KERNEL_HASWELL, 3});
    SpotModels *models = open_models(".");
    CHECK_TEXT(chosen(models, "fan/section_01_source_test_normal_0000.wav"), "fan/section_01");
    CHECK_TEXT(chosen(models, "fan/test/section_00_0000.wav"), "fan/section_00");
    CHECK_HAS(refusal(models, "fan/section_02_0000.wav"), "none is for section 02");
    CHECK_HAS(refusal(models, "fan/section_02_0000.wav"), "models fan/section_00, fan/section_01 ");
    CHECK_HAS(refusal(models, "fan/hum.wav"), "its name tells no section");
    CHECK_TEXT(chosen(models, "pump/hum.wav"), "pump/section_00");
    CHECK_HAS(refusal(models, "pump/section_01_0000.wav"), "none is for section 01");
    spot_models_free(models);
    // A machine's folder names the machine.
    models = open_models("fan");
    CHECK_TEXT(chosen(models, "section_01_0000.wav"), "section_01");
    CHECK_HAS(refusal(models, "hum.wav"), "there are the models section_00, section_01 ");
    spot_models_free(models);
    end();
}

TEST(sets_decide_between_models_of_one_machine) {
    begin();
    put_model((Made){"fan.dev", "dev", "fan", "", KERNEL_HASWELL, 1});
    put_model((Made){"fan.eval", "eval", "fan", "", KERNEL_HASWELL, 2});
    SpotModels *models = open_models(".");
    CHECK_TEXT(chosen(models, "dev_data/fan/test/section_00_0000.wav"), "fan.dev");
    CHECK_TEXT(chosen(models, "dev_data/eval_data/fan/test/x.wav"), "fan.eval");
    CHECK_TEXT(chosen(models, "additional_training_data/fan/x.wav"), "fan.eval");
    CHECK_HAS(refusal(models, "fan/test/section_00_0000.wav"), "several fit");
    spot_models_free(models);
    end();
}

TEST(a_further_seeds_model_is_used_where_it_is_named) {
    begin();
    put_model((Made){"data/fan", "dev", "fan", "", KERNEL_HASWELL, 1});
    put_model((Made){"data/fan/seed_2", "dev", "fan", "", KERNEL_HASWELL, 2});
    put_model((Made){"data/fan/seed_33", "dev", "fan", "", KERNEL_HASWELL, 3});
    put_model((Made){"data/seed_4", "dev", "seed_4", "", KERNEL_HASWELL, 4}); // a machine
    put_model((Made){"data/pump/section_00/seed_2", "dev", "pump", "00", KERNEL_HASWELL, 2});
    damage("data/pump/section_00/seed_2"); // its primary one has no model
    SpotModels *models = open_models(".");
    CHECK_INT(spot_models_count(models), 3);
    CHECK_TEXT(chosen(models, "fan/test/a.wav"), "fan");
    CHECK_TEXT(chosen(models, "seed_4/test/a.wav"), "seed_4");
    CHECK_TEXT(spot_models_get(models, 1)->machine, "pump");
    CHECK_TEXT(spot_models_get(models, 1)->section, "00");
    spot_models_free(models);
    models = open_models("data/fan");
    CHECK_INT(spot_models_count(models), 1);
    spot_models_free(models);
    static const char *const NAMED[] = {"data/fan/seed_2", "data/fan/seed_2/",
                                        ("data/fan/seed_2/" MODEL_FILE_NAME)};
    for (size_t i = 0; i < sizeof NAMED / sizeof NAMED[0]; i++) {
        models = open_models(NAMED[i]);
        CHECK_INT(spot_models_count(models), 1);
        CHECK_TEXT(spot_models_get(models, 0)->machine, "fan");
        spot_models_free(models);
    }
    end();
}

TEST(clips_of_a_damaged_model_go_to_no_other) {
    begin();
    put_model((Made){"data/fan.dev/section_00", "dev", "fan", "00", KERNEL_HASWELL, 1});
    put_model((Made){"data/pump", "dev", "pump", "", KERNEL_HASWELL, 2});
    damage("data/fan.dev/section_00");
    SpotModels *models = open_models(".");
    CHECK_INT(spot_models_count(models), 2);
    CHECK_HAS(spot_models_get(models, 0)->damage, "digest does not match");
    CHECK_TEXT(spot_models_get(models, 0)->machine, "fan");
    CHECK_TEXT(spot_models_get(models, 0)->section, "00");
    CHECK_TEXT(chosen(models, "pump/x.wav"), "pump");
    CHECK_HAS(refusal(models, "fan/section_00_0000.wav"), "its model cannot be used: ");
    CHECK_HAS(refusal(models, "x.wav"), "no folder on its path");
    spot_models_free(models);
    end();
}

TEST(where_no_model_can_be_used_the_reason_is_told) {
    begin();
    SpotModels *models = NULL;
    CHECK_INT(spot_models_open(in_root("absent"), NULL, &models), STATUS_NOT_FOUND);
    CHECK_HAS(status_message(), "there is no ");
    CHECK_INT(spot_models_open(root, NULL, &models), STATUS_NOT_FOUND);
    CHECK_HAS(status_message(), "no trained model in ");
    put_model((Made){"fan", "dev", "fan", "", KERNEL_HASWELL, 1});
    damage("fan");
    CHECK_INT(spot_models_open(root, NULL, &models), STATUS_FORMAT);
    CHECK_HAS(status_message(), "fan/" MODEL_FILE_NAME " is damaged");
    CHECK_OK(file_write(in_root("fan/" MODEL_FILE_NAME),
                        "AUSCMODL\3\0\0\0............................", 40));
    CHECK_INT(spot_models_open(root, NULL, &models), STATUS_FORMAT);
    CHECK_HAS(status_message(), "a model file of version 3, this program reads version 2");
    CHECK_OK(file_write(in_root("fan/" MODEL_FILE_NAME), "", 0));
    CHECK_INT(spot_models_open(root, NULL, &models), STATUS_FORMAT);
    CHECK_HAS(status_message(), "is not an auscult model file");
    CHECK(models == NULL);
    end();
}

TEST(the_kernel_is_the_one_of_the_training) {
    char note[LIMIT_MESSAGE_BYTES];
    begin();
    put_model((Made){"a", "dev", "fan", "", KERNEL_HASWELL, 1});
    SpotModels *models = open_models("a");
    CHECK(spot_models_kernel(models, KERNEL_SKYLAKEX, note) == KERNEL_HASWELL);
    CHECK_TEXT(note, "");
    CHECK(spot_models_kernel(models, KERNEL_PRESCOTT, note) == KERNEL_PRESCOTT);
    CHECK_HAS(note, "was trained with kernel haswell, which this processor cannot run: with "
                    "prescott, scores may differ");
    spot_models_free(models);
    put_model((Made){"b", "dev", "pump", "", KERNEL_PRESCOTT, 1});
    models = open_models(".");
    CHECK(spot_models_kernel(models, KERNEL_HASWELL, note) == KERNEL_HASWELL);
    CHECK_HAS(note, "model a was trained with kernel haswell, model b with prescott");
    spot_models_free(models);
    put_model((Made){"c", "dev", "pump", "", KERNEL_AUTO, 1});
    models = open_models("c");
    CHECK(spot_models_kernel(models, KERNEL_HASWELL, note) == KERNEL_HASWELL);
    CHECK_TEXT(note, "");
    spot_models_free(models);
    end();
}

TEST(more_models_than_stay_loaded_score_as_alone) {
    enum { MODELS = 20 };
    float log_mel[5 * 8];
    double first[MODELS];
    char folder[32];
    begin();
    for (int i = 0; i < 5 * 8; i++) {
        log_mel[i] = (float)(i * 7 % 11) - 3.5f;
    }
    CHECK_OK(npy_write_float32(in_root("clip.npy"), log_mel, 2, (int64_t[]){5, 8}));
    for (int i = 0; i < MODELS; i++) {
        snprintf(folder, sizeof folder, "m%02d", i);
        put_model((Made){folder, "dev", folder, "", KERNEL_HASWELL, (uint64_t)i + 1});
    }
    SpotModels *models = open_models(".");
    for (int i = 0; i < 2 * MODELS; i++) {
        double score = -1;
        CHECK_OK(spot_models_score(models, (uint32_t)(i % MODELS), in_root("clip.npy"), &score));
        CHECK(score > 0);
        if (i < MODELS) {
            first[i] = score;
            CHECK(i == 0 || score != first[i - 1]);
        } else {
            CHECK(score == first[i - MODELS]);
        }
    }
    spot_models_free(models);
    end();
}

TEST(a_model_is_asked_for_one_score_and_lacks_the_others) {
    begin();
    put_model((Made){"fan", "dev", "fan", "", KERNEL_HASWELL, 1});
    ScoreKind kind = SCORE_MSE;
    SpotModels *models = NULL;
    CHECK_OK(spot_models_open(root, &kind, &models));
    CHECK_INT(spot_models_get(models, 0)->score, SCORE_MSE);
    CHECK(!spot_models_get(models, 0)->has_others);
    spot_models_free(models);
    kind = SCORE_MAHALA;
    CHECK_INT(spot_models_open(root, &kind, &models), STATUS_FORMAT);
    CHECK_HAS(status_message(), "fan/" MODEL_FILE_NAME ": its MAHALA scores were never made, it "
                                "gives MSE");
    end();
}

TEST(every_failed_allocation_is_told_and_leaks_nothing) {
    begin();
    put_model((Made){"fan", "dev", "fan", "", KERNEL_HASWELL, 1});
    put_model((Made){"pump", "dev", "pump", "", KERNEL_HASWELL, 1});
    damage("pump");
    for (long n = 0;; n++) {
        long before = mem_blocks();
        SpotModels *models = NULL;
        uint32_t index = 0;
        mem_fail_after(n);
        Status status = spot_models_open(root, NULL, &models);
        if (status == STATUS_OK) {
            status = spot_models_choose(models, "fan/x.wav", &index);
        }
        int failed = mem_has_failed();
        mem_fail_after(-1);
        spot_models_free(models);
        CHECK_INT(mem_blocks(), before);
        if (!failed) {
            CHECK_INT(status, STATUS_OK);
            break;
        }
        CHECK_INT(status, STATUS_MEMORY);
        CHECK(n < 500);
    }
    end();
}

// clang-format off
TEST_MAIN_LIST(
    T(models_of_a_run_are_found_by_their_files)
    T(a_single_model_takes_every_clip)
    T(the_nearest_folder_called_like_a_machine_decides)
    T(sections_decide_among_a_machines_models)
    T(sets_decide_between_models_of_one_machine)
    T(a_further_seeds_model_is_used_where_it_is_named)
    T(clips_of_a_damaged_model_go_to_no_other)
    T(where_no_model_can_be_used_the_reason_is_told)
    T(the_kernel_is_the_one_of_the_training)
    T(more_models_than_stay_loaded_score_as_alone)
    T(a_model_is_asked_for_one_score_and_lacks_the_others)
    T(every_failed_allocation_is_told_and_leaks_nothing))
