// SPDX-License-Identifier: Apache-2.0
//
// Which models a data set gives, and what they are called.
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "coordinator/plan/models.h"
#include "tests/unit/test.h"

static char folder[256];
static Dataset *dataset;
static Models models;

static void begin(void) {
    snprintf(folder, sizeof folder, "%s", test_folder());
}

static void put(const char *path) {
    char full[1024], parent[1024];
    snprintf(full, sizeof full, "%s/%s", folder, path);
    snprintf(parent, sizeof parent, "%s", full);
    *strrchr(parent, '/') = '\0';
    CHECK_OK(file_make_folders(parent));
    CHECK_OK(file_write(full, "not read here", 13));
}

static void make_with(ModelPer per, const char *key, const char *value) {
    const char *roots[] = {folder};
    DatasetOptions options = {.roots = roots, .root_count = 1};
    CHECK_OK(dataset_scan(&options, &dataset));
    Settings settings;
    CHECK_OK(settings_preset("default", &settings));
    settings.model_per = (int32_t)per;
    CHECK_OK(settings_set(&settings, key, value));
    CHECK_OK(settings_check(&settings));
    CHECK_OK(models_make(dataset, &settings, &models));
}

static void make_seeds(ModelPer per, const char *seeds) {
    make_with(per, "seeds", seeds);
}

static void make(ModelPer per) {
    make_seeds(per, "");
}

static void unmake(void) {
    models_done(&models);
    dataset_free(dataset);
}

static void end(void) {
    unmake();
    file_remove_tree(folder);
}

static const Model *model_called(const char *label) {
    for (uint32_t i = 0; i < models.count; i++) {
        if (strcmp(models.models[i].label, label) == 0) {
            return &models.models[i];
        }
    }
    TEST_FAIL("no model %s", label);
    return NULL;
}

static void check_all_differ(void) {
    for (uint32_t i = 0; i < models.count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            CHECK(strcmp(models.models[i].label, models.models[j].label) != 0);
            CHECK(strcmp(models.models[i].home, models.models[j].home) != 0);
            CHECK(strcmp(models.models[i].folder, models.models[j].folder) != 0);
            CHECK((models.models[i].key == models.models[j].key) ==
                  (i % models.per_variant == j % models.per_variant));
        }
    }
}

TEST(one_model_for_each_machine_with_its_clips_in_order) {
    begin();
    put("dev_data/pump/train/section_01_source_train_normal_0002_x.wav");
    put("dev_data/pump/train/section_00_source_train_normal_0001_x.wav");
    put("dev_data/pump/test/section_00_source_test_anomaly_0001_x.wav");
    put("dev_data/fan/train/section_00_source_train_normal_0001_x.wav");
    put("dev_data/fan/supplemental/section_00_noise_0001.wav");
    make(MODEL_PER_MACHINE);
    CHECK_INT(models.count, 2);
    CHECK_TEXT(models.models[0].label, "fan");
    CHECK_TEXT(models.models[1].label, "pump");
    CHECK_TEXT(models.models[1].home, "pump");
    CHECK_TEXT(models.models[1].section, "");
    CHECK_INT(models.models[1].train_count, 2);
    CHECK_INT(models.models[1].test_count, 1);
    CHECK_TEXT(dataset->clips[models.models[1].train[0]].section, "00");
    CHECK_TEXT(dataset->clips[models.models[1].train[1]].section, "01");
    for (uint32_t c = 0; c < dataset->clip_count; c++) {
        uint32_t model = models.model_of_clip[c];
        if (dataset->clips[c].split == SPLIT_SUPPLEMENTAL) {
            CHECK(model == UINT32_MAX);
        } else {
            CHECK_INT(models.models[model].machine, dataset->clips[c].machine);
        }
    }
    check_all_differ();
    end();
}

TEST(sections_have_models_of_their_own_when_asked_for) {
    begin();
    put("fan/train/section_02_source_train_normal_0001_x.wav");
    put("fan/train/section_00_source_train_normal_0001_x.wav");
    put("fan/test/section_01_source_test_normal_0001_x.wav");
    put("fan/test/strange.wav");
    make(MODEL_PER_SECTION);
    static const char *const LABELS[] = {"fan", "fan_section_00", "fan_section_01",
                                         "fan_section_02"};
    static const char *const HOMES[] = {"fan", "fan/section_00", "fan/section_01",
                                        "fan/section_02"};
    CHECK_INT(models.count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        CHECK_TEXT(models.models[i].label, LABELS[i]);
        CHECK_TEXT(models.models[i].home, HOMES[i]);
    }
    CHECK_INT(model_called("fan_section_01")->train_count, 0);
    CHECK_INT(model_called("fan_section_01")->test_count, 1);
    CHECK_INT(model_called("fan")->test_count, 1);
    check_all_differ();
    end();
}

TEST(a_machine_of_two_sets_is_two_models) {
    begin();
    put("dev_data/fan/train/section_00_source_train_normal_0001_x.wav");
    put("eval_data/fan/train/section_03_source_train_normal_0001_x.wav");
    put("dev_data/pump/train/section_00_source_train_normal_0001_x.wav");
    make(MODEL_PER_MACHINE);
    CHECK_INT(models.count, 3);
    CHECK_TEXT(model_called("fan.dev")->home, "fan.dev");
    CHECK_TEXT(model_called("fan.eval")->home, "fan.eval");
    CHECK_TEXT(model_called("pump")->home, "pump");
    check_all_differ();
    end();
}

TEST(a_machines_key_and_checkpoints_do_not_depend_on_what_else_there_is) {
    begin();
    put("dev_data/fan/train/section_00_source_train_normal_0001_x.wav");
    make(MODEL_PER_MACHINE);
    uint64_t key = model_called("fan")->key;
    char folder_before[2 * LIMIT_NAME_BYTES];
    text_copy(folder_before, sizeof folder_before, model_called("fan")->folder);
    models_done(&models);
    dataset_free(dataset);
    put("eval_data/fan/train/section_03_source_train_normal_0001_x.wav");
    put("dev_data/aaa/train/section_00_source_train_normal_0001_x.wav");
    make(MODEL_PER_MACHINE);
    CHECK(model_called("fan.dev")->key == key);
    CHECK_TEXT(model_called("fan.dev")->folder, folder_before);
    CHECK_TEXT(model_called("fan.eval")->folder, "fan/eval/seed_13711");
    end();
}

TEST(machines_called_like_our_models_write_files_of_their_own) {
    begin();
    put("dev_data/fan/train/section_00_source_train_normal_0001_x.wav");
    put("eval_data/fan/train/section_00_source_train_normal_0001_x.wav");
    put("dev_data/fan.dev/train/a.wav");
    put("dev_data/fan.dev~2/train/a.wav");
    put("eval_data/pump/train/section_00_source_train_normal_0001_x.wav");
    put("eval_data/pump_section_00/train/a.wav");
    put("eval_data/lone_section_00/train/a.wav");
    make(MODEL_PER_SECTION);
    check_all_differ();
    CHECK_TEXT(model_called("fan.dev_section_00")->home, "fan.dev/section_00");
    CHECK_TEXT(model_called("pump_section_00")->home, "pump/section_00");
    CHECK_TEXT(model_called("pump_section_00~2")->home, "pump_section_00~2");
    CHECK_TEXT(model_called("lone_section_00")->home, "lone_section_00");
    models_done(&models);
    dataset_free(dataset);
    make(MODEL_PER_MACHINE);
    check_all_differ();
    CHECK_TEXT(dataset->machines[model_called("fan.dev")->machine].name, "fan");
    CHECK_TEXT(dataset->machines[model_called("fan.dev~3")->machine].name, "fan.dev");
    CHECK_TEXT(dataset->machines[model_called("fan.dev~2")->machine].name, "fan.dev~2");
    end();
}

TEST(each_seed_has_a_model_of_everything) {
    begin();
    put("fan/train/section_00_source_train_normal_0001_x.wav");
    put("fan/train/section_01_source_train_normal_0001_x.wav");
    put("fan/test/section_01_source_test_normal_0001_x.wav");
    put("pump/train/a.wav");
    put("pump/supplemental/b.wav");
    make_seeds(MODEL_PER_SECTION, "[7, 5, 9]");
    CHECK_INT(models.system_count, 3);
    CHECK_INT(models.per_variant, 3);
    CHECK_INT(models.count, 9);
    check_all_differ();
    const Model *first = model_called("fan_section_01");
    const Model *last = model_called("fan_section_01_seed_9");
    CHECK_TEXT(first->home, "fan/section_01");
    CHECK_TEXT(first->folder, "fan/section_01/dev/seed_7");
    CHECK_TEXT(last->home, "fan/section_01/seed_9");
    CHECK_TEXT(last->folder, "fan/section_01/dev/seed_9");
    CHECK(first->key == last->key && first->test == last->test && last->test_count == 1);
    CHECK_INT(first->settings->seed, 7);
    CHECK_INT(last->settings->seed, 9);
    CHECK_INT(last->settings->seeds.count, 0);
    for (uint32_t c = 0; c < dataset->clip_count; c++) {
        for (uint32_t s = 0; s < models.system_count; s++) {
            uint32_t model = models_of_clip(&models, s, c);
            bool is_used = dataset->clips[c].split != SPLIT_SUPPLEMENTAL;
            CHECK((model != UINT32_MAX) == is_used);
            if (is_used) {
                CHECK_INT(models.models[model].variant, models.systems[s].variant);
                CHECK_INT(models.models[model].machine, dataset->clips[c].machine);
                CHECK_TEXT(models.models[model].section, dataset->clips[c].section);
            }
        }
    }
    end();
}

// The folder of the checkpoints of a machine's model with this seed.
static const char *checkpoints_of(const char *machine, int64_t seed) {
    for (uint32_t i = 0; i < models.count; i++) {
        const Model *model = &models.models[i];
        if (strcmp(dataset->machines[model->machine].name, machine) == 0 &&
            model->settings->seed == seed) {
            return model->folder;
        }
    }
    TEST_FAIL("no model of %s with seed %lld", machine, (long long)seed);
    return NULL;
}

TEST(checkpoints_stay_where_they_are_whatever_other_seeds_there_are) {
    static const char *const LISTS[] = {"[7]", "[7, 5]", "[5, 7]", "[1, 2, 7]"};
    begin();
    put("fan/train/a.wav");
    put("fan_seed_5/train/a.wav"); // called like our model of another seed
    put("fan_seed_5~2/train/a.wav");
    for (size_t i = 0; i < sizeof LISTS / sizeof LISTS[0]; i++) {
        make_seeds(MODEL_PER_MACHINE, LISTS[i]);
        check_all_differ();
        CHECK_TEXT(checkpoints_of("fan", 7), "fan/seed_7");
        CHECK_TEXT(checkpoints_of("fan_seed_5", 7), "fan_seed_5/seed_7");
        CHECK_TEXT(model_called("fan_seed_5")->home, "fan_seed_5");
        unmake();
    }
    make_seeds(MODEL_PER_MACHINE, "[7, 5]");
    CHECK_TEXT(model_called("fan_seed_5~3")->home, "fan/seed_5");
    end();
}

TEST(systems_that_differ_in_score_or_report_share_their_models) {
    begin();
    put("fan/train/a.wav");
    put("fan/test/b.wav");
    put("pump/train/a.wav");
    make_with(MODEL_PER_MACHINE, "matrix",
              "{score: [MSE, MAHALA], percentile: [95, 90], epochs: [5, 7]}");
    CHECK_INT(models.group_count, 1);
    CHECK_INT(models.variant_count, 2);
    CHECK_INT(models.system_count, 8);
    CHECK_INT(models.count, 4);
    check_all_differ();
    for (uint32_t s = 0; s < models.system_count; s++) {
        const System *system = &models.systems[s];
        CHECK_INT(system->variant, s / 4);
        CHECK_INT(models_of_system(&models, s), 2 * (s / 4));
        CHECK_INT(system->settings.epochs, s / 4 == 0 ? 5 : 7);
        CHECK_INT(system->settings.score, s % 2 == 0 ? SCORE_MSE : SCORE_MAHALA);
    }
    CHECK_TEXT(models.systems[7].name, "epochs_7_percentile_90_MAHALA");
    CHECK_TEXT(model_called("fan_epochs_7")->home, "fan/epochs_7");
    CHECK_INT(model_called("fan_epochs_7")->settings->scores.count, 2);
    CHECK(models_decide_by(&models, 0, THRESHOLD_GAMMA_CLIP));
    CHECK(!models_decide_by(&models, 0, THRESHOLD_PERCENTILE));
    end();
}

TEST(variants_with_the_same_features_are_of_one_group) {
    begin();
    put("fan/train/a.wav");
    make_with(MODEL_PER_MACHINE, "matrix", "{n_mels: [64, 128], epochs: [5, 7], seed: [1, 2]}");
    CHECK_INT(models.variant_count, 8);
    CHECK_INT(models.group_count, 2);
    for (uint32_t m = 0; m < models.count; m++) {
        uint32_t group = models_group(&models, m);
        CHECK_INT(models.groups[group].settings.n_mels, models.models[m].settings->n_mels);
        CHECK(digest_equal(models.groups[group].digest,
                           settings_digest(models.models[m].settings, SETTING_FEATURES)));
    }
    end();
}

// The folder of the checkpoints of the model with these mel bands and this seed.
static const char *checkpoints_with(int32_t n_mels, int64_t seed) {
    for (uint32_t i = 0; i < models.count; i++) {
        const Settings *settings = models.models[i].settings;
        if (settings->n_mels == n_mels && settings->seed == seed) {
            return models.models[i].folder;
        }
    }
    TEST_FAIL("no model with %d mel bands", n_mels);
    return NULL;
}

TEST(checkpoints_stay_where_they_are_whatever_other_values_there_are) {
    static const char *const LISTS[] = {
        "{n_mels: [64, 32], seed: [7]}", "{n_mels: [64, 32], seed: [5, 7]}",
        "{n_mels: [16, 32, 64], seed: [7]}",
        "{n_mels: [128, 64], seed: [1, 7], score: [MSE, MAHALA], percentile: [90, 95]}"};
    begin();
    put("fan/train/a.wav");
    for (size_t i = 0; i < sizeof LISTS / sizeof LISTS[0]; i++) {
        make_with(MODEL_PER_MACHINE, "matrix", LISTS[i]);
        check_all_differ();
        CHECK_TEXT(checkpoints_with(64, 7), "fan/n_mels_64_seed_7");
        unmake();
    }
    make(MODEL_PER_MACHINE);
    end();
}

TEST(the_primary_system_its_variant_and_group_come_first) {
    begin();
    put("fan/train/a.wav");
    put("fan/test/b.wav");
    const char *roots[] = {folder};
    DatasetOptions options = {.roots = roots, .root_count = 1};
    CHECK_OK(dataset_scan(&options, &dataset));
    Settings settings;
    CHECK_OK(settings_preset("default", &settings));
    CHECK_OK(settings_set(&settings, "matrix", "{n_mels: [16, 32, 64], score: [MSE, MAHALA]}"));
    CHECK_OK(settings_set(&settings, "primary", "n_mels_32_MAHALA"));
    CHECK_OK(settings_check(&settings));
    CHECK_OK(models_make(dataset, &settings, &models));
    static const char *const NAMES[] = {"n_mels_32_MAHALA", "n_mels_32_MSE", "n_mels_16_MSE",
                                        "n_mels_16_MAHALA", "n_mels_64_MSE", "n_mels_64_MAHALA"};
    for (uint32_t s = 0; s < models.system_count; s++) {
        CHECK_TEXT(models.systems[s].name, NAMES[s]);
    }
    CHECK_TEXT(models.models[0].home, "fan");
    CHECK_INT(models.models[0].settings->n_mels, 32);
    CHECK_INT(models.groups[0].settings.n_mels, 32);
    CHECK_TEXT(models.models[1].home, "fan/n_mels_16");
    CHECK_TEXT(models.models[1].label, "fan_n_mels_16");
    end();
}

TEST(a_name_too_long_for_a_file_is_refused) {
    char path[400], machine[160];
    begin();
    memset(machine, 'm', sizeof machine - 1);
    machine[sizeof machine - 1] = '\0';
    snprintf(path, sizeof path, "%s/train/a.wav", machine);
    put(path);
    make(MODEL_PER_MACHINE);
    models_done(&models);
    Settings settings;
    CHECK_OK(settings_preset("default", &settings));
    CHECK_OK(settings_set(
        &settings, "matrix",
        "{learning_rate: [0.001, 0.002], hop_length: [256, 512], frame_hop_length: [1, 2], "
        "validation_split: [0.1, 0.2], batch_size: [256, 512], frames: [4, 5]}"));
    CHECK_OK(settings_check(&settings));
    CHECK_INT(models_make(dataset, &settings, &models), STATUS_LIMIT);
    CHECK_HAS(status_message(), machine);
    end();
}

TEST(every_failing_allocation_is_survived) {
    begin();
    put("fan/train/section_00_source_train_normal_0001_x.wav");
    put("fan/train/section_01_source_train_normal_0001_x.wav");
    put("fan/test/section_01_source_test_normal_0001_x.wav");
    make(MODEL_PER_SECTION);
    models_done(&models);
    Settings settings;
    CHECK_OK(settings_preset("default", &settings));
    settings.model_per = MODEL_PER_SECTION;
    CHECK_OK(settings_set(&settings, "matrix", "{n_mels: [64, 32], seed: [1, 2]}"));
    long before = mem_blocks();
    for (long n = 0;; n++) {
        mem_fail_after(n);
        Status status = models_make(dataset, &settings, &models);
        int failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK(status == (failed ? STATUS_MEMORY : STATUS_OK));
        if (!failed) {
            break;
        }
        CHECK_INT(mem_blocks(), before);
    }
    end();
}

TEST_MAIN_LIST(
    T(one_model_for_each_machine_with_its_clips_in_order)
        T(sections_have_models_of_their_own_when_asked_for) T(a_machine_of_two_sets_is_two_models)
            T(a_machines_key_and_checkpoints_do_not_depend_on_what_else_there_is)
                T(machines_called_like_our_models_write_files_of_their_own)
                    T(each_seed_has_a_model_of_everything)
                        T(checkpoints_stay_where_they_are_whatever_other_seeds_there_are)
                            T(systems_that_differ_in_score_or_report_share_their_models)
                                T(variants_with_the_same_features_are_of_one_group) T(
                                    checkpoints_stay_where_they_are_whatever_other_values_there_are)
                                    T(the_primary_system_its_variant_and_group_come_first)
                                        T(a_name_too_long_for_a_file_is_refused)
                                            T(every_failing_allocation_is_survived))
