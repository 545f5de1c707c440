// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "common/base/settings.h"
#include "common/base/text.h"

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
    if (row->type == SETTING_CHOICE) {
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

TEST(every_number_takes_its_range_and_no_more) {
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        if (row->type != SETTING_CHOICE && row->type != SETTING_SEEDS) {
            check_number(row);
        }
    }
}

TEST(every_choice_takes_its_words_and_no_more) {
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        Settings settings = preset("default");
        for (int i = 0; row->type == SETTING_CHOICE && row->choices[i] != NULL; i++) {
            CHECK_OK(settings_set(&settings, row->key, row->choices[i]));
            CHECK_TEXT(value_of(&settings, row), row->choices[i]);
        }
        if (row->type == SETTING_CHOICE) {
            check_refused(row, "neither");
            check_refused(row, "");
        }
    }
}

TEST(every_key_changes_the_digest_of_its_stage_and_later_ones) {
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        Settings before = preset("default");
        Settings after = before;
        char other[64];
        if (row->type == SETTING_CHOICE) {
            // The last choice differs from the default, or there is only one.
            int last = 0;
            while (row->choices[last + 1] != NULL) {
                last++;
            }
            if (strcmp(value_of(&before, row), row->choices[last]) == 0) {
                continue;
            }
            text_copy(other, sizeof other, row->choices[last]);
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

TEST(the_written_form_is_yaml_lines_in_table_order) {
    Settings settings = preset("default");
    Buffer text = BUFFER_EMPTY;
    settings_write(&settings, SETTING_FEATURES, &text);
    CHECK_TEXT(buffer_cstr(&text),
               "channel: 0\nn_fft: 1024\nhop_length: 512\nwin_length: 1024\nn_mels: 128\n"
               "power: 2\nfmin: 0\nfmax: 0\npad_mode: zeros\nframes: 5\nframe_hop_length: 1\n");
    buffer_done(&text);
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
    T(every_preset_is_sound_and_reads_back) T(presets_are_those_of_the_design)
        T(every_number_takes_its_range_and_no_more) T(every_choice_takes_its_words_and_no_more)
            T(every_key_changes_the_digest_of_its_stage_and_later_ones)
                T(a_mistyped_key_gets_the_nearest_suggested)
                    T(assignments_split_at_the_first_equals_sign)
                        T(null_stands_for_the_natural_length_and_edge)
                            T(settings_that_do_not_fit_together_are_refused)
                                T(seeds_are_a_list_whose_first_is_the_seed)
                                    T(a_single_seed_is_the_same_in_a_list_or_without)
                                        T(what_is_no_list_of_different_seeds_is_refused)
                                            T(a_change_that_keeps_all_seeds_only_adds)
                                                T(the_written_form_is_yaml_lines_in_table_order)
                                                    T(the_reference_tells_every_key))
