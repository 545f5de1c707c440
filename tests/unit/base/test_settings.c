// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "common/base/mem.h"
#include "common/base/settings.h"
#include "common/base/text.h"
#include "common/base/variants.h"

static Settings preset(const char *name) {
    Settings settings;
    CHECK_OK(settings_preset(name, &settings));
    return settings;
}

static const SettingRow *row_of(const char *key) {
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        if (strcmp(row->key, key) == 0) {
            return row;
        }
    }
    TEST_FAIL("no row %s", key);
}

// One key's printed value, valid until the next call.
static const char *value_of(const Settings *settings, const SettingRow *row) {
    static char text[256];
    Buffer value = BUFFER_EMPTY;
    settings_value(settings, row, &value);
    text_copy(text, sizeof text, buffer_cstr(&value));
    buffer_done(&value);
    return text;
}

static void check_written_and_read_back(const Settings *settings) {
    Settings back = preset("default");
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        CHECK_OK(settings_set(&back, row->key, value_of(settings, row)));
    }
    CHECK(digest_equal(settings_digest(settings, SETTING_EXECUTION),
                       settings_digest(&back, SETTING_EXECUTION)));
}

TEST(every_preset_is_sound_and_reads_back) {
    for (const char *const *name = settings_preset_names(); *name != NULL; name++) {
        Settings settings = preset(*name);
        CHECK_OK(settings_check(&settings));
        for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
            CHECK_OK(settings_set(&settings, row->key, value_of(&settings, row)));
        }
        check_written_and_read_back(&settings);
    }
}

TEST(presets_are_those_of_the_design) {
    Settings ours = preset("default");
    CHECK_INT(ours.scaler, SCALER_STANDARD);
    CHECK_INT(ours.shards, 4);
    CHECK_INT(ours.model_per, MODEL_PER_MACHINE);
    CHECK_INT(ours.threshold, THRESHOLD_GAMMA_CLIP);
    Settings official = preset("dcase-baseline");
    CHECK_INT(official.scaler, SCALER_NONE);
    CHECK_INT(official.shards, 1);
    CHECK_INT(official.batch_size, 256);
    CHECK_INT(official.n_fft, 1024);
    CHECK_INT(official.hop_length, 512);
    CHECK_INT(official.n_mels, 128);
    CHECK_INT(official.frames, 5);
    CHECK_INT(official.epochs, 100);
    CHECK(official.learning_rate == 0.001 && official.validation_split == 0.1);
    CHECK(official.decision_threshold == 0.9 && official.max_fpr == 0.1 && official.power == 2);
    CHECK_INT(official.seed, 13711);
    CHECK_INT(official.model_per, MODEL_PER_SECTION);
    CHECK_INT(official.threshold, THRESHOLD_GAMMA_BATCH);
    CHECK_INT(official.compat, 1);
    CHECK_TEXT(value_of(&official, row_of("score")), "[MSE, MAHALA]");
    CHECK_INT(ours.compat, 0);
    CHECK_TEXT(value_of(&ours, row_of("score")), "MSE");
    Settings notebook = preset("notebook");
    CHECK_INT(notebook.features, FEATURES_NOTEBOOK);
    CHECK_INT(settings_width(&notebook), 147);
    CHECK_INT(notebook.hop_length, 466);
    CHECK_INT(notebook.batch_size, 256);
    CHECK(notebook.validation_split == 0.2 && notebook.percentile == 95);
    CHECK_INT(settings_preset("defualt", &ours), STATUS_INVALID);
    CHECK_HAS(status_message(), "dcase-baseline");
}

static void check_refused(const SettingRow *row, const char *value) {
    Settings settings = preset("default");
    Settings before = settings;
    CHECK_INT(settings_set(&settings, row->key, value), STATUS_INVALID);
    CHECK(digest_equal(settings_digest(&settings, SETTING_EXECUTION),
                       settings_digest(&before, SETTING_EXECUTION)));
    CHECK_HAS(status_message(), row->key);
    if (row->choices != NULL) {
        for (int i = 0; row->choices[i] != NULL; i++) {
            CHECK_HAS(status_message(), row->choices[i]);
        }
        return;
    }
    char least[TEXT_NUMBER_BYTES], most[TEXT_NUMBER_BYTES];
    text_number(least, row->least);
    text_number(most, row->most);
    CHECK_HAS(status_message(), least);
    CHECK_HAS(status_message(), most);
}

static void check_number(const SettingRow *row) {
    Settings settings = preset("default");
    char least[TEXT_NUMBER_BYTES], most[TEXT_NUMBER_BYTES], beyond[TEXT_NUMBER_BYTES + 2];
    if (row->type == SETTING_REAL) {
        text_number(least, row->least);
        text_number(most, row->most);
        text_number(beyond, row->most * 1.001 + 0.001);
    } else {
        snprintf(least, sizeof least, "%.0f", row->least);
        snprintf(most, sizeof most, "%.0f", row->most);
        snprintf(beyond, sizeof beyond, "%.0f", row->most * 2 + 2);
    }
    CHECK_OK(settings_set(&settings, row->key, least));
    CHECK_TEXT(value_of(&settings, row), least);
    CHECK_OK(settings_set(&settings, row->key, most));
    CHECK_TEXT(value_of(&settings, row), most);
    static const char *const BAD[] = {"-1e30", "nan", "inf", "x", "1x", " 1", "1e999"};
    check_refused(row, beyond);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        check_refused(row, BAD[i]);
    }
    if (row->type != SETTING_REAL) {
        check_refused(row, "1.5");
        check_refused(row, "4294967297000000000000");
    }
}

static bool has_number(const SettingRow *row) {
    return row->type == SETTING_INT || row->type == SETTING_INT64 || row->type == SETTING_REAL;
}

TEST(every_number_takes_its_range_and_no_more) {
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        if (has_number(row)) {
            check_number(row);
        }
    }
}

TEST(every_choice_takes_its_words_and_no_more) {
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        Settings settings = preset("default");
        for (int i = 0; row->choices != NULL && row->choices[i] != NULL; i++) {
            CHECK_OK(settings_set(&settings, row->key, row->choices[i]));
            CHECK_TEXT(value_of(&settings, row), row->choices[i]);
        }
        if (row->choices != NULL) {
            check_refused(row, "neither");
            check_refused(row, "");
        }
    }
}

TEST(every_key_changes_the_digest_of_its_stage_and_later_ones) {
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        Settings before = preset("default");
        if (strcmp(row->key, "fixed_threshold") == 0) { // which is for that alone
            CHECK_OK(settings_set(&before, "threshold", "fixed"));
        }
        Settings after = before;
        char other[64];
        if (row->choices != NULL) {
            // The last choice differs from the default, or there is only one.
            int last = 0;
            while (row->choices[last + 1] != NULL) {
                last++;
            }
            if (strcmp(value_of(&before, row), row->choices[last]) == 0) {
                continue;
            }
            text_copy(other, sizeof other, row->choices[last]);
        } else if (row->type == SETTING_MATRIX || row->type == SETTING_NAME) {
            text_copy(other, sizeof other,
                      row->type == SETTING_NAME ? "seed_2" : "{percentile: [95, 90]}");
        } else {
            snprintf(other, sizeof other, "%.17g", row->most);
        }
        CHECK_OK(settings_set(&after, row->key, other));
        for (int stage = SETTING_FEATURES; stage <= (int)SETTING_EXECUTION; stage++) {
            bool differs = !digest_equal(settings_digest(&before, (SettingStage)stage),
                                         settings_digest(&after, (SettingStage)stage));
            if (differs != (stage >= (int)row->stage)) {
                TEST_FAIL("%s at stage %d", row->key, stage);
            }
        }
    }
}

TEST(a_mistyped_key_gets_the_nearest_suggested) {
    Settings settings = preset("default");
    CHECK_INT(settings_set(&settings, "epoch", "3"), STATUS_INVALID);
    CHECK_HAS(status_message(), "did you mean 'epochs'");
    CHECK_INT(settings_set(&settings, "n_mel", "3"), STATUS_INVALID);
    CHECK_HAS(status_message(), "'n_mels'");
    CHECK_INT(settings_set(&settings, "lerning_rate", "3"), STATUS_INVALID);
    CHECK_HAS(status_message(), "'learning_rate'");
    CHECK_INT(settings_set(&settings, "nothing_like_it", "3"), STATUS_INVALID);
    CHECK_HAS(status_message(), "--help-settings");
}

TEST(assignments_split_at_the_first_equals_sign) {
    Settings settings = preset("default");
    CHECK_OK(settings_assign(&settings, "epochs=7"));
    CHECK_INT(settings.epochs, 7);
    static const char *const BAD[] = {"epochs", "=7", "", "epochs=", "epochs==7", "epochs = 7"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        CHECK_INT(settings_assign(&settings, BAD[i]), STATUS_INVALID);
        CHECK_INT(settings.epochs, 7);
    }
    char longer[200];
    memset(longer, 'k', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    longer[150] = '=';
    CHECK_INT(settings_assign(&settings, longer), STATUS_INVALID);
}

TEST(null_stands_for_the_natural_length_and_edge) {
    Settings settings = preset("default");
    CHECK_OK(settings_assign(&settings, "fmax=4000"));
    CHECK_OK(settings_assign(&settings, "fmax=null"));
    CHECK(settings.fmax == 0);
    CHECK_OK(settings_assign(&settings, "n_fft=512"));
    CHECK_OK(settings_assign(&settings, "win_length=null"));
    CHECK_INT(settings.win_length, 512);
    CHECK_INT(settings_assign(&settings, "epochs=null"), STATUS_INVALID);
}

static void check_clash(const char *first, const char *second, const char *named) {
    Settings settings = preset("default");
    CHECK_OK(settings_assign(&settings, first));
    CHECK_OK(settings_assign(&settings, second));
    CHECK_INT(settings_check(&settings), STATUS_INVALID);
    CHECK_HAS(status_message(), named);
}

TEST(settings_that_do_not_fit_together_are_refused) {
    check_clash("shards=3", "batch_size=9", "power of two");
    check_clash("shards=4", "batch_size=10", "batch_size is 10");
    check_clash("shards=64", "batch_size=64", "2 or more");
    check_clash("n_fft=512", "win_length=513", "win_length is 513");
    check_clash("fmin=4000", "fmax=4000", "fmin");
    check_clash("n_mels=1024", "frames=64", "65536 floats");
    Settings settings = preset("default");
    CHECK_OK(settings_assign(&settings, "shards=64"));
    CHECK_OK(settings_assign(&settings, "batch_size=128"));
    CHECK_OK(settings_check(&settings));
}

static Settings with_seeds(const char *list) {
    Settings settings = preset("default");
    CHECK_OK(settings_set(&settings, "seeds", list));
    CHECK_OK(settings_check(&settings));
    return settings;
}

TEST(seeds_are_a_list_whose_first_is_the_seed) {
    static const char *const FORMS[] = {"[3, 1, 2]", "[3,1,2]", "3,1,2", " 3 , 1,\t2",
                                        "[ 3,1 ,2 ]"};
    for (size_t i = 0; i < sizeof FORMS / sizeof FORMS[0]; i++) {
        Settings settings = with_seeds(FORMS[i]);
        CHECK_INT(settings.seed, 3);
        CHECK_INT(settings_seed_count(&settings), 3);
        CHECK_TEXT(value_of(&settings, row_of("seeds")), "[3, 1, 2]");
        check_written_and_read_back(&settings);
        Settings last = settings_of_seed(&settings, 2);
        Settings alone = preset("default");
        CHECK_OK(settings_set(&alone, "seed", "2"));
        CHECK(digest_equal(settings_digest(&last, SETTING_EXECUTION),
                           settings_digest(&alone, SETTING_EXECUTION)));
    }
}

TEST(a_single_seed_is_the_same_in_a_list_or_without) {
    Settings alone = preset("default");
    CHECK_OK(settings_set(&alone, "seed", "7"));
    Settings listed = with_seeds("[7]");
    CHECK(digest_equal(settings_digest(&listed, SETTING_EXECUTION),
                       settings_digest(&alone, SETTING_EXECUTION)));
    CHECK_INT(settings_seed_count(&listed), 1);
    static const char *const NONE[] = {"[]", "[ ]", "", "null"};
    for (size_t i = 0; i < sizeof NONE / sizeof NONE[0]; i++) {
        CHECK_OK(settings_set(&listed, "seeds", "[8, 9]"));
        CHECK_OK(settings_set(&listed, "seeds", NONE[i]));
        CHECK_INT(listed.seed, 8);
        CHECK_INT(settings_seed_count(&listed), 1);
    }
}

TEST(what_is_no_list_of_different_seeds_is_refused) {
    static const char *const BAD[] = {"[1, 1]",
                                      "[1",
                                      "1]",
                                      "[1,,2]",
                                      "[1,]",
                                      ",",
                                      "[1 2]",
                                      "1.5",
                                      "-1",
                                      "x",
                                      "[[1], 2]",
                                      "[1, 9007199254740993000]",
                                      "1,00000000000000000000000000000000000000000002"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        check_refused(row_of("seeds"), BAD[i]);
    }
    Buffer list = BUFFER_EMPTY;
    for (int seed = 0; seed <= LIMIT_SEEDS; seed++) {
        Settings settings = preset("default");
        buffer_format(&list, "%s%d", seed > 0 ? "," : "", seed);
        CHECK_INT(settings_set(&settings, "seeds", buffer_cstr(&list)),
                  seed < LIMIT_SEEDS ? STATUS_OK : STATUS_INVALID);
    }
    CHECK_HAS(status_message(), "at most 100");
    buffer_done(&list);
    Settings settings = with_seeds("1,2");
    CHECK_OK(settings_set(&settings, "seed", "5"));
    CHECK_INT(settings_check(&settings), STATUS_INVALID);
    CHECK_HAS(status_message(), "seeds begins with 1");
}

// Whether a run that was begun with the one list may go on with the other.
static bool may_go_on(const char *old_seeds, const char *new_seeds, const char *assignment) {
    Settings old = with_seeds(old_seeds);
    Settings now = with_seeds(new_seeds);
    CHECK_OK(settings_assign(&now, assignment));
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        if (!settings_extends(&old, &now, row)) {
            return false;
        }
    }
    return true;
}

TEST(a_change_that_keeps_all_seeds_only_adds) {
    const char *same = "epochs=100";
    CHECK(may_go_on("[1]", "[1]", same));
    CHECK(may_go_on("[1]", "[1, 2]", same));
    CHECK(may_go_on("[1, 2]", "[1, 2, 3]", same));
    CHECK(may_go_on("[1, 2]", "[3, 2, 1]", same));
    CHECK(!may_go_on("[1]", "[2]", same));
    CHECK(!may_go_on("[1, 2]", "[1]", same));
    CHECK(!may_go_on("[1, 2]", "[1, 3]", same));
    CHECK(!may_go_on("[1]", "[1, 2]", "epochs=99"));
    CHECK(!may_go_on("[1]", "[1]", "max_fpr=0.2"));
}

TEST(scores_are_one_or_a_list_of_which_the_first_is_the_score) {
    Settings settings = preset("default");
    CHECK_OK(settings_set(&settings, "score", "[MAHALA, MSE]"));
    CHECK_INT(settings.score, SCORE_MAHALA);
    CHECK_INT(settings.scores.count, 2);
    CHECK_TEXT(value_of(&settings, row_of("score")), "[MAHALA, MSE]");
    check_written_and_read_back(&settings);
    CHECK_OK(settings_set(&settings, "score", "CLIPMAHALA"));
    CHECK_INT(settings.scores.count, 0);
    CHECK_INT(settings.score, SCORE_CLIPMAHALA);
    CHECK_OK(settings_set(&settings, "score", "[MSE]"));
    CHECK_TEXT(value_of(&settings, row_of("score")), "MSE");
    static const char *const BAD[] = {"[]", "[MSE, MSE]", "[MSE, mahala]", "[MSE", "MSE,", "null"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        check_refused(row_of("score"), BAD[i]);
    }
    CHECK_HAS(status_message(), "or a list of them");
}

// ---- the matrix ----

static Settings with_matrix(const char *matrix) {
    Settings settings = preset("default");
    CHECK_OK(settings_set(&settings, "matrix", matrix));
    CHECK_OK(settings_check(&settings));
    return settings;
}

static const char *name_of(const Settings *settings, uint32_t variant, uint32_t system) {
    static char name[LIMIT_SYSTEM_BYTES];
    variants_system_name(settings, variant, system, name);
    return name;
}

TEST(a_matrix_is_written_in_one_form_however_it_was_given) {
    static const char *const FORMS[] = {
        "{n_mels: [64, 128], epochs: [5, 7]}", "{epochs: [5,7],n_mels: [64,128]}",
        " { epochs : [ 5 , 7 ] , n_mels : [ 64 , 128 ] } ",
        "{epochs: [5, 7], n_mels: [64, 128], n_fft: [1024], power: 2, seeds: [13711]}"};
    for (size_t i = 0; i < sizeof FORMS / sizeof FORMS[0]; i++) {
        Settings settings = with_matrix(FORMS[i]);
        CHECK_TEXT(value_of(&settings, row_of("matrix")), "{n_mels: [64, 128], epochs: [5, 7]}");
        CHECK_INT(settings.n_mels, 64);
        CHECK_INT(settings.epochs, 5);
        CHECK_INT(settings.seeds.count, 0);
        check_written_and_read_back(&settings);
    }
    Settings none = with_matrix("{n_mels: [64]}");
    Settings plain = preset("default");
    CHECK_OK(settings_set(&plain, "n_mels", "64"));
    CHECK(digest_equal(settings_digest(&none, SETTING_EXECUTION),
                       settings_digest(&plain, SETTING_EXECUTION)));
    CHECK_OK(settings_set(&plain, "matrix", "{}"));
    CHECK_OK(settings_set(&plain, "matrix", "null"));
    CHECK_INT(plain.matrix.count, 0);
}

TEST(seeds_and_scores_of_a_matrix_are_those_that_stand_alone) {
    Settings listed = with_seeds("[3, 1]");
    CHECK_OK(settings_set(&listed, "score", "[MSE, MAHALA]"));
    static const char *const FORMS[] = {"{seed: [3, 1], score: [MSE, MAHALA]}",
                                        "{score: [MSE, MAHALA], seeds: [3, 1]}"};
    for (size_t i = 0; i < sizeof FORMS / sizeof FORMS[0]; i++) {
        Settings settings = with_matrix(FORMS[i]);
        CHECK(digest_equal(settings_digest(&settings, SETTING_EXECUTION),
                           settings_digest(&listed, SETTING_EXECUTION)));
    }
}

static void check_no_matrix(const char *matrix, const char *named) {
    Settings settings = preset("default");
    Settings before = settings;
    CHECK_INT(settings_set(&settings, "matrix", matrix), STATUS_INVALID);
    CHECK_HAS(status_message(), named);
    CHECK_HAS(status_message(), "matrix");
    CHECK(digest_equal(settings_digest(&settings, SETTING_EXECUTION),
                       settings_digest(&before, SETTING_EXECUTION)));
}

TEST(what_is_no_matrix_is_refused) {
    static const char *const BAD[] = {"[1, 2]",
                                      "{",
                                      "}",
                                      "{n_mels}",
                                      "{n_mels: [64, 128}",
                                      "{n_mels: [64, 128] epochs: [5, 7]}",
                                      "n_mels: [64, 128]",
                                      "{n_mels: [64], ,}",
                                      "{n_mels: [64, 128]]}"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        check_no_matrix(BAD[i], "{key: [value, ...], ...}");
    }
    check_no_matrix("{n_mel: [64, 128]}", "did you mean 'n_mels'");
    check_no_matrix("{n_mels: []}", "n_mels has no value");
    check_no_matrix("{n_mels: [64, 64]}", "n_mels has 64 twice");
    check_no_matrix("{power: [1, 1.0]}", "power has 1.0 twice");
    check_no_matrix("{n_mels: [64, 128], n_mels: [32, 16]}", "'n_mels' stands twice");
    check_no_matrix("{seed: [1, 2], seeds: [3, 4]}", "'seeds' stands twice");
    check_no_matrix("{n_mels: [64], n_mels: 32}", "'n_mels' stands twice");
    check_no_matrix("{numerics: [haswell, skylakex]}", "numerics cannot vary within a run");
    check_no_matrix("{spread: [auto, never]}", "spread cannot vary");
    check_no_matrix("{model_per: [machine, section]}", "which models there are");
    check_no_matrix("{primary: [MSE]}", "primary cannot vary");
    check_no_matrix("{matrix: [MSE]}", "matrix cannot vary");
    Settings settings = preset("default");
    CHECK_INT(settings_set(&settings, "matrix", "{n_mels: [64, 0]}"), STATUS_INVALID);
    CHECK_HAS(status_message(), "n_mels is '0': accepted is a whole number from 1 to 1024");
}

TEST(a_matrix_has_limits) {
    check_no_matrix(
        "{fmin: [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,"
        "27,28,29,30,31,32]}",
        "more than 32 values");
    check_no_matrix("{n_mels: [1,2], frames: [1,2], power: [1,2], fmin: [0,1], epochs: [1,2], "
                    "channel: [0,1], shards: [1,2], max_fpr: [0.1,0.2], percentile: [90,95]}",
                    "at most 8 settings");
    Settings settings = preset("default");
    CHECK_OK(settings_set(&settings, "matrix",
                          "{fmin: [0,1,2,3,4,5,6,7,8,9], fmax: [2000,2001,2002,2003,2004,2005,2006,"
                          "2007,2008,2009], seed: [1,2,3,4,5,6,7,8,9,10]}"));
    CHECK_OK(settings_check(&settings));
    CHECK_OK(settings_set(&settings, "score", "[MSE, MAHALA]"));
    CHECK_INT(settings_check(&settings), STATUS_INVALID);
    CHECK_HAS(status_message(), "make 2000 systems: accepted are at most 1000");
    settings = preset("default");
    CHECK_OK(settings_set(&settings, "matrix",
                          "{frame_hop_length: [1,2], learning_rate: [0.1234567890123,0.2], "
                          "validation_split: [0.1,0.2], decision_threshold: [0.8,0.9], "
                          "batch_size: [256,512], hop_length: [256,512], epochs: [50,100]}"));
    CHECK_INT(settings_check(&settings), STATUS_INVALID);
    CHECK_HAS(status_message(), "name is longer than 127 bytes");
}

TEST(a_varying_setting_is_not_set_beside_the_matrix) {
    Settings settings = with_matrix("{n_mels: [64, 128]}");
    CHECK_OK(settings_set(&settings, "n_mels", "32"));
    CHECK_INT(settings_check(&settings), STATUS_INVALID);
    CHECK_HAS(status_message(), "n_mels is set and varies in the matrix too");
}

TEST(every_combination_is_checked_and_named) {
    Settings settings = preset("default");
    CHECK_OK(settings_set(&settings, "matrix", "{n_fft: [1024, 512], epochs: [5, 7]}"));
    CHECK_INT(settings_check(&settings), STATUS_INVALID);
    CHECK_HAS(status_message(), "with n_fft_512_epochs_5: win_length is 1024");
}

TEST(systems_are_all_combinations_each_with_a_name) {
    static const char *const NAMES[] = {
        "n_mels_64_seed_7_percentile_95_MSE",  "n_mels_64_seed_7_percentile_95_MAHALA",
        "n_mels_64_seed_7_percentile_90_MSE",  "n_mels_64_seed_7_percentile_90_MAHALA",
        "n_mels_64_seed_5_percentile_95_MSE",  "n_mels_64_seed_5_percentile_95_MAHALA",
        "n_mels_64_seed_5_percentile_90_MSE",  "n_mels_64_seed_5_percentile_90_MAHALA",
        "n_mels_128_seed_7_percentile_95_MSE", "n_mels_128_seed_7_percentile_95_MAHALA",
        "n_mels_128_seed_7_percentile_90_MSE", "n_mels_128_seed_7_percentile_90_MAHALA",
        "n_mels_128_seed_5_percentile_95_MSE", "n_mels_128_seed_5_percentile_95_MAHALA",
        "n_mels_128_seed_5_percentile_90_MSE", "n_mels_128_seed_5_percentile_90_MAHALA"};
    Settings settings = with_matrix(
        "{percentile: [95, 90], n_mels: [64, 128], seed: [7, 5], score: [MSE, MAHALA]}");
    CHECK_INT(variants_count(&settings), 4);
    CHECK_INT(variants_systems(&settings), 4);
    for (uint32_t i = 0; i < 16; i++) {
        CHECK_TEXT(name_of(&settings, i / 4, i % 4), NAMES[i]);
        CHECK(variants_is_name(NAMES[i]));
        Settings one = variants_system_settings(&settings, i / 4, i % 4);
        Settings alone = preset("default");
        CHECK_OK(settings_set(&alone, "n_mels", i < 8 ? "64" : "128"));
        CHECK_OK(settings_set(&alone, "seed", i / 4 % 2 == 0 ? "7" : "5"));
        CHECK_OK(settings_set(&alone, "percentile", i / 2 % 2 == 0 ? "95" : "90"));
        CHECK_OK(settings_set(&alone, "score", i % 2 == 0 ? "MSE" : "MAHALA"));
        CHECK(digest_equal(settings_digest(&one, SETTING_EXECUTION),
                           settings_digest(&alone, SETTING_EXECUTION)));
    }
    Settings model = variants_settings(&settings, 3);
    CHECK(model.n_mels == 128 && model.seed == 5 && model.percentile == 95);
    CHECK_INT(model.scores.count, 2);
    CHECK_INT(model.matrix.count, 0);
    char name[LIMIT_SYSTEM_BYTES];
    variants_name(&settings, 3, name);
    CHECK_TEXT(name, "n_mels_128_seed_5");
    variants_setting_name(&settings, 3, 1, name);
    CHECK_TEXT(name, "n_mels_128_percentile_95_MAHALA");
}

TEST(what_does_not_vary_is_no_part_of_a_name) {
    Settings settings = preset("default");
    CHECK_INT(variants_count(&settings), 1);
    CHECK_INT(variants_systems(&settings), 1);
    CHECK_TEXT(name_of(&settings, 0, 0), "");
    settings = with_seeds("[7, 5]");
    CHECK_TEXT(name_of(&settings, 1, 0), "seed_5");
    settings = preset("dcase-baseline");
    CHECK_INT(variants_count(&settings), 1);
    CHECK_TEXT(name_of(&settings, 0, 1), "MAHALA");
    settings = with_matrix("{threshold: [gamma_clip, percentile], learning_rate: [1e-3, 1e-5]}");
    CHECK_TEXT(name_of(&settings, 1, 1), "learning_rate_1e-05_threshold_percentile");
}

TEST(only_what_a_system_may_be_called_is_its_name) {
    static const char *const NAMES[] = {"seed_0",
                                        "MAHALA",
                                        "threshold_gamma_clip",
                                        "threshold_gamma_clip_MSE",
                                        "power_1.5_seed_2",
                                        "learning_rate_1e-05"};
    static const char *const OTHERS[] = {
        "",          "submission", "figures", "section_00",    "seed",
        "seed_",     "seed_x",     "seed_2_", "MAHALA_seed_2", "n_mels_0",
        "score_MSE", "MSE_",       "mse",     "matrix_",       "threshold_gamma"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        CHECK(variants_is_name(NAMES[i]));
    }
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++) {
        CHECK(!variants_is_name(OTHERS[i]));
    }
}

static void check_primary(const char *primary, uint32_t variant, uint32_t system) {
    uint32_t found_variant = 99, found_system = 99;
    Settings settings =
        with_matrix("{n_mels: [6, 64], seed: [1, 12], score: [MSE, MAHALA, CLIPMAHALA]}");
    CHECK_OK(settings_set(&settings, "primary", primary));
    CHECK_OK(settings_check(&settings));
    CHECK(variants_primary(&settings, &found_variant, &found_system));
    CHECK_INT(found_variant, variant);
    CHECK_INT(found_system, system);
    check_written_and_read_back(&settings);
}

TEST(the_primary_system_is_named_by_some_or_all_of_its_parts) {
    check_primary("", 0, 0);
    check_primary("MAHALA", 0, 1);
    check_primary("seed_12", 1, 0);
    check_primary("n_mels_64", 2, 0);
    check_primary("n_mels_64_CLIPMAHALA", 2, 2);
    check_primary("n_mels_64_seed_12_MSE", 3, 0);
    static const char *const BAD[] = {"MAHALA_seed_1", "seed_2", "n_mels_32", "MAHAL", "seed_1_"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        Settings settings = with_seeds("[1, 12]");
        CHECK_OK(settings_set(&settings, "score", "[MSE, MAHALA]"));
        CHECK_OK(settings_set(&settings, "primary", BAD[i]));
        CHECK_INT(settings_check(&settings), STATUS_INVALID);
        CHECK_HAS(status_message(), "there are seed_1_MSE, seed_1_MAHALA, seed_12_MSE");
    }
    Settings settings = preset("default");
    CHECK_OK(settings_set(&settings, "primary", "MSE"));
    CHECK_INT(settings_check(&settings), STATUS_INVALID);
    CHECK_HAS(status_message(), "one system alone");
    CHECK_INT(settings_set(&settings, "primary", "../x"), STATUS_INVALID);
    settings = preset("default");
    CHECK_OK(settings_set(&settings, "ensemble", "zmean"));
    CHECK_INT(settings_check(&settings), STATUS_INVALID);
    CHECK_HAS(status_message(), "ensemble is zmean, but there is one system alone");
    CHECK_OK(settings_set(&settings, "score", "[MSE, MAHALA]"));
    CHECK_OK(settings_check(&settings));
}

// Whether what a run computed under `old` all belongs to one under `now`.
static bool adds(const char *old_matrix, const char *new_matrix) {
    Settings old = with_matrix(old_matrix), now = with_matrix(new_matrix);
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        if (!settings_extends(&old, &now, row)) {
            return false;
        }
    }
    return true;
}

TEST(a_change_that_keeps_all_values_and_scores_only_adds) {
    CHECK(adds("{n_mels: [128]}", "{n_mels: [64, 128]}"));
    CHECK(adds("{n_mels: [64, 128]}", "{n_mels: [32, 128, 64], epochs: [100, 50]}"));
    CHECK(adds("{score: [MSE]}", "{score: [MAHALA, MSE]}"));
    CHECK(adds("{score: [MSE, MAHALA]}", "{score: [MSE, MAHALA, CLIPMAHALA], n_mels: [64, 128]}"));
    CHECK(!adds("{n_mels: [64, 128]}", "{n_mels: [64]}"));
    CHECK(!adds("{n_mels: [64, 128]}", "{n_mels: [64, 32]}"));
    CHECK(!adds("{n_mels: [64]}", "{n_mels: [32, 128]}"));
    CHECK(!adds("{score: [MSE, MAHALA]}", "{score: [MAHALA, CLIPMAHALA]}"));
    CHECK(!adds("{epochs: [100]}", "{epochs: [50, 99]}"));
    Settings old = with_seeds("[1, 2]"), now = old;
    CHECK_OK(settings_set(&now, "primary", "seed_2"));
    CHECK(settings_extends(&old, &now, row_of("primary")));
}

TEST(the_written_form_is_yaml_lines_in_table_order) {
    Settings settings = preset("default");
    Buffer text = BUFFER_EMPTY;
    settings_write(&settings, SETTING_FEATURES, &text);
    CHECK_TEXT(buffer_cstr(&text),
               "channel: 0\nn_fft: 1024\nhop_length: 512\nwin_length: 1024\nn_mels: 128\n"
               "power: 2\nfmin: 0\nfmax: 0\npad_mode: zeros\nframes: 5\nframe_hop_length: 1\n");
    buffer_done(&text);
}

TEST(later_keys_are_written_only_when_they_are_set) {
    Settings settings = preset("default");
    Buffer text = BUFFER_EMPTY;
    settings_write(&settings, SETTING_TRAINING, &text);
    const char *behind = strstr(buffer_cstr(&text), "model_per");
    CHECK(behind != NULL && strstr(buffer_cstr(&text), "features") == NULL);
    CHECK_TEXT(behind, "model_per: machine\nscaler: standard\nshards: 4\nbatch_size: 256\n"
                       "epochs: 100\nlearning_rate: 0.001\nvalidation_split: 0.1\n"
                       "seed: 13711\nnumerics: auto\n");
    buffer_clear(&text);
    settings = preset("notebook");
    settings_write(&settings, SETTING_EXECUTION, &text);
    CHECK_HAS(buffer_cstr(&text), "features: notebook\nchannel: 0\n");
    CHECK_HAS(
        buffer_cstr(&text),
        "scaler: standard\nhidden: [64]\nbatch_norm: false\ninitial_weights: keras\nshards: 1\n");
    buffer_done(&text);
}

TEST(widths_are_a_list_of_up_to_fifteen) {
    Settings settings = preset("default");
    const SettingRow *hidden = row_of("hidden");
    CHECK_TEXT(value_of(&settings, hidden), "[128, 128, 128, 128, 8, 128, 128, 128, 128]");
    CHECK_OK(settings_set(&settings, "hidden", "64"));
    CHECK_TEXT(value_of(&settings, hidden), "[64]");
    CHECK_OK(settings_set(&settings, "hidden", "32,8 , 32"));
    CHECK_TEXT(value_of(&settings, hidden), "[32, 8, 32]");
    static const char *const BAD[] = {"",         "[]",      "[0]",    "[8, x]",
                                      "[8, 1.5]", "[16385]", "[8,,8]", "null"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        CHECK_INT(settings_set(&settings, "hidden", BAD[i]), STATUS_INVALID);
        CHECK_HAS(status_message(), "accepted is a list of whole numbers from 1 to 16384");
    }
    CHECK_OK(settings_set(&settings, "hidden", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15"));
    CHECK_OK(settings_check(&settings));
    CHECK_INT(settings_set(&settings, "hidden", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16"),
              STATUS_INVALID);
    CHECK_HAS(status_message(), "at most 15 layers");
    CHECK_OK(settings_set(&settings, "hidden", "[16384, 16384]"));
    CHECK_INT(settings_check(&settings), STATUS_INVALID);
    CHECK_HAS(status_message(), "hidden makes a network of");
    CHECK_INT(settings_vary(&settings, "hidden", "[64, 32]"), STATUS_INVALID);
    CHECK_HAS(status_message(), "hidden cannot vary within a run");
}

TEST(notebook_features_say_what_does_not_fit_them) {
    static const char *const FAULTS[][3] = {
        {"frames", "5", "features is notebook, one vector a clip: frames is 5"},
        {"frame_hop_length", "2", "frame_hop_length is 2"},
        {"power", "1", "features is notebook and power is 1"},
        {"n_mels", "13", "features is notebook and n_mels is 13: accepted are 14 to 941"},
        {"n_mels", "942", "accepted are 14 to 941"}};
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        Settings settings = preset("notebook");
        CHECK_OK(settings_set(&settings, FAULTS[i][0], FAULTS[i][1]));
        CHECK_INT(settings_check(&settings), STATUS_INVALID);
        CHECK_HAS(status_message(), FAULTS[i][2]);
    }
    Settings settings = preset("notebook");
    CHECK_OK(settings_set(&settings, "score", "[MSE, MAHALA]"));
    CHECK_OK(settings_check(&settings));
    settings.n_mels = LIMIT_COVARIANCE_MELS - 83 + 1;
    CHECK_INT(settings_check(&settings), STATUS_INVALID);
    CHECK_HAS(status_message(), "its covariances are for at most 269");
}

TEST(a_digest_of_part_of_the_settings_is_none) {
    Settings settings;
    CHECK_OK(settings_preset("default", &settings));
    Digest whole, found;
    CHECK_OK(settings_digest_all(&settings, SETTING_EXECUTION, &whole));
    CHECK(digest_equal(whole, settings_digest(&settings, SETTING_EXECUTION)));
    for (long n = 0;; n++) {
        mem_fail_after(n);
        Status status = settings_digest_all(&settings, SETTING_EXECUTION, &found);
        int failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK_INT(status, failed ? STATUS_MEMORY : STATUS_OK);
        if (!failed) {
            CHECK(n > 0 && digest_equal(found, whole));
            break;
        }
    }
}

TEST(a_network_from_elsewhere_is_written_only_where_there_is_one) {
    Settings settings = preset("default");
    Buffer text = BUFFER_EMPTY;
    settings_write(&settings, SETTING_EXECUTION, &text);
    CHECK(strstr(buffer_cstr(&text), "network") == NULL);
    CHECK(strstr(buffer_cstr(&text), "fixed_threshold") == NULL);
    buffer_done(&text);
    Settings other = settings;
    CHECK_OK(settings_set(&other, "network", "0123456789abcdef0123456789abcdef"));
    CHECK(!settings_extends(&settings, &other, row_of("network")));
    CHECK_OK(settings_check(&other));
    CHECK_OK(settings_set(&other, "score", "MAHALA"));
    CHECK_INT(settings_check(&other), STATUS_INVALID);
    CHECK_HAS(status_message(), "MAHALA");
    CHECK_OK(settings_set(&other, "score", "CLIPMAHALA"));
    CHECK_OK(settings_set(&other, "seeds", "[1, 2]"));
    CHECK_INT(settings_check(&other), STATUS_INVALID);
}

TEST(the_reference_tells_every_key) {
    Buffer text = BUFFER_EMPTY;
    settings_reference(&text);
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        CHECK_HAS(buffer_cstr(&text), row->key);
        CHECK_HAS(buffer_cstr(&text), row->help);
    }
    CHECK(row_of("seed")->type == SETTING_INT64);
    buffer_done(&text);
}

TEST_MAIN_LIST(
    T(every_preset_is_sound_and_reads_back) T(presets_are_those_of_the_design) T(
        every_number_takes_its_range_and_no_more) T(every_choice_takes_its_words_and_no_more)
        T(every_key_changes_the_digest_of_its_stage_and_later_ones) T(
            scores_are_one_or_a_list_of_which_the_first_is_the_score)
            T(a_matrix_is_written_in_one_form_however_it_was_given) T(
                seeds_and_scores_of_a_matrix_are_those_that_stand_alone) T(what_is_no_matrix_is_refused)
                T(a_matrix_has_limits) T(a_varying_setting_is_not_set_beside_the_matrix) T(
                    every_combination_is_checked_and_named)
                    T(systems_are_all_combinations_each_with_a_name) T(
                        what_does_not_vary_is_no_part_of_a_name)
                        T(only_what_a_system_may_be_called_is_its_name) T(
                            the_primary_system_is_named_by_some_or_all_of_its_parts)
                            T(a_change_that_keeps_all_values_and_scores_only_adds) T(
                                a_mistyped_key_gets_the_nearest_suggested)
                                T(assignments_split_at_the_first_equals_sign) T(
                                    null_stands_for_the_natural_length_and_edge)
                                    T(settings_that_do_not_fit_together_are_refused) T(
                                        seeds_are_a_list_whose_first_is_the_seed)
                                        T(a_single_seed_is_the_same_in_a_list_or_without) T(
                                            what_is_no_list_of_different_seeds_is_refused)
                                            T(a_change_that_keeps_all_seeds_only_adds) T(
                                                the_written_form_is_yaml_lines_in_table_order)
                                                T(later_keys_are_written_only_when_they_are_set) T(
                                                    widths_are_a_list_of_up_to_fifteen)
                                                    T(notebook_features_say_what_does_not_fit_them) T(
                                                        a_network_from_elsewhere_is_written_only_where_there_is_one)
                                                        T(the_reference_tells_every_key) T(
                                                            a_digest_of_part_of_the_settings_is_none))
