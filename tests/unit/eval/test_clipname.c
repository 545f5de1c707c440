// SPDX-License-Identifier: Apache-2.0
#include "common/eval/clipname.h"

#include "tests/unit/test.h"

// One name and all that it says.
typedef struct Row {
    const char *path;
    ClipKeyword keyword;
    const char *section;
    ClipDomain domain;
    ClipLabel label;
    ClipSplit split;
    int64_t serial;
    const char *attributes;
} Row;

#define S  KEYWORD_SECTION
#define N  KEYWORD_NONE
#define ID KEYWORD_ID

static void check_rows(const Row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const Row *row = &rows[i];
        ClipName name = clipname_read(row->path);
        if (name.keyword != row->keyword || strcmp(name.section, row->section) != 0 ||
            name.domain != row->domain || name.label != row->label || name.split != row->split ||
            name.serial != row->serial || strcmp(name.attributes, row->attributes) != 0) {
            TEST_FAIL("%s is read as keyword %d section \"%s\" domain %d label %d split %d "
                      "serial %lld attributes \"%s\"",
                      row->path, name.keyword, name.section, name.domain, name.label, name.split,
                      (long long)name.serial, name.attributes);
        }
    }
}

#define CHECK_ROWS(...)                                                                            \
    do {                                                                                           \
        static const Row rows[] = {__VA_ARGS__};                                                   \
        check_rows(rows, sizeof rows / sizeof rows[0]);                                            \
    } while (0)

TEST(names_of_2020_have_ids_and_no_domains) {
    CHECK_ROWS({"fan/train/normal_id_00_00000071.wav", ID, "00", 0, LABEL_NORMAL, 0, 71, ""},
               {"anomaly_id_06_00000208.wav", ID, "06", 0, LABEL_ANOMALY, 0, 208, ""},
               {"id_05_00000000.wav", ID, "05", 0, LABEL_UNKNOWN, 0, 0, ""});
}

TEST(names_of_2021_show_the_domain_of_hidden_clips) {
    CHECK_ROWS({"section_00_source_train_normal_0000_strength_1_ambient.wav", S, "00",
                DOMAIN_SOURCE, LABEL_NORMAL, SPLIT_TRAIN, 0, "strength_1_ambient"},
               {"section_03_source_test_0000.wav", S, "03", DOMAIN_SOURCE, 0, SPLIT_TEST, 0, ""},
               {"section_03_target_test_0199.wav", S, "03", DOMAIN_TARGET, 0, SPLIT_TEST, 199, ""},
               {"source_test/section_02_source_test_anomaly_0007.wav", S, "02", DOMAIN_SOURCE,
                LABEL_ANOMALY, SPLIT_TEST, 7, ""});
}

TEST(names_since_2022_say_everything) {
    CHECK_ROWS({"section_00_target_test_anomaly_0015_car_A2_spd_6_mic_2.wav", S, "00",
                DOMAIN_TARGET, LABEL_ANOMALY, SPLIT_TEST, 15, "car_A2_spd_6_mic_2"},
               {"section_00_source_train_normal_0853_vel_500_ac_0.30.wav", S, "00", DOMAIN_SOURCE,
                LABEL_NORMAL, SPLIT_TRAIN, 853, "vel_500_ac_0.30"},
               {"section_00_source_test_anomaly_0022_m-n_W.FLAC", S, "00", DOMAIN_SOURCE,
                LABEL_ANOMALY, SPLIT_TEST, 22, "m-n_W"},
               {"section_02_source_train_normal_0001_pat_00.npy", S, "02", DOMAIN_SOURCE,
                LABEL_NORMAL, SPLIT_TRAIN, 1, "pat_00"});
}

TEST(anonymous_names_hide_domain_and_label) {
    CHECK_ROWS({"section_00_0000.wav", S, "00", 0, 0, 0, 0, ""},
               {"section_05_0199.WAV", S, "05", 0, 0, 0, 199, ""},
               {"section_00_0000", S, "00", 0, 0, 0, 0, ""});
}

TEST(name_with_test_word_as_a_readme_has_it_is_understood) {
    CHECK_ROWS({"section_00_test_0000.wav", S, "00", DOMAIN_SOURCE, 0, SPLIT_TEST, 0, ""});
}

TEST(name_without_test_word_keeps_its_label) {
    CHECK_ROWS(
        {"section_00_source_normal_0001_noAttributes.wav", S, "00", DOMAIN_SOURCE, LABEL_NORMAL, 0,
         1, ""},
        {"section_00_target_anomaly_0200.wav", S, "00", DOMAIN_TARGET, LABEL_ANOMALY, 0, 200, ""});
}

TEST(hidden_attributes_are_none) {
    CHECK_ROWS({"section_00_source_train_normal_0001_noAttribute.wav", S, "00", DOMAIN_SOURCE,
                LABEL_NORMAL, SPLIT_TRAIN, 1, ""},
               {"section_00_source_train_normal_0001_noAttributes.wav", S, "00", DOMAIN_SOURCE,
                LABEL_NORMAL, SPLIT_TRAIN, 1, ""},
               {"section_00_source_train_normal_0001_.wav", S, "00", DOMAIN_SOURCE, LABEL_NORMAL,
                SPLIT_TRAIN, 1, ""});
}

TEST(supplemental_names_have_their_own_split) {
    CHECK_ROWS({"section_00_machine_0001_.wav", S, "00", 0, 0, SPLIT_SUPPLEMENTAL, 1, ""},
               {"section_00_noise_0042_env_2.wav", S, "00", 0, 0, SPLIT_SUPPLEMENTAL, 42, "env_2"},
               {"section_00_noise_.wav", S, "00", 0, 0, SPLIT_SUPPLEMENTAL, -1, ""});
}

TEST(target_anywhere_in_the_name_means_target) {
    CHECK_ROWS({"section_00_test_normal_0001_pos_target.wav", S, "00", DOMAIN_TARGET, LABEL_NORMAL,
                SPLIT_TEST, 1, "pos_target"},
               {"section_00_normal_0001.wav", S, "00", DOMAIN_SOURCE, LABEL_NORMAL, 0, 1, ""});
}

TEST(other_names_say_nothing) {
    CHECK_ROWS(
        {"rec 17.wav", N, "", 0, 0, 0, -1, ""}, {"", N, "", 0, 0, 0, -1, ""},
        {".wav", N, "", 0, 0, 0, -1, ""}, {"section_00.wav", N, "", 0, 0, 0, -1, ""},
        {"section_.wav", N, "", 0, 0, 0, -1, ""}, {"section_00_hello.wav", N, "", 0, 0, 0, -1, ""},
        {"section_x_0000.wav", N, "", 0, 0, 0, -1, ""},
        {"section_0000000000000000_0000.wav", N, "", 0, 0, 0, -1, ""},
        {"sectional_00_0000.wav", N, "", 0, 0, 0, -1, ""}, {"id_01.wav", N, "", 0, 0, 0, -1, ""},
        {"normal_01.wav", N, "", 0, 0, 0, -1, ""}, {"my_target_3.wav", N, "", 0, 0, 0, -1, ""},
        {"id_01_1234567890123456789.wav", N, "", 0, 0, 0, -1, ""});
}

TEST(very_long_name_says_nothing) {
    char path[600] = "section_00_0000_";
    memset(path + 16, 'a', 500);
    CHECK_INT(clipname_read(path).keyword, KEYWORD_NONE);
}

TEST(clips_are_known_by_extension_in_any_case) {
    CHECK(clipname_is_clip("a/b.wav") && clipname_is_clip("b.WAV") && clipname_is_clip("b.Flac") &&
          clipname_is_clip("b.npy"));
    CHECK(!clipname_is_clip("b.mp3") && !clipname_is_clip("wav") && !clipname_is_clip(".wav") &&
          !clipname_is_clip("b.wav.part") && !clipname_is_clip("a.wav/"));
}

TEST(words_read_back) {
    for (int i = 0; i < 3; i++) {
        CHECK_INT(clipname_domain_of(clipname_domain_text((ClipDomain)i)), i);
        CHECK_INT(clipname_label_of(clipname_label_text((ClipLabel)i)), i);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_INT(clipname_split_of(clipname_split_text((ClipSplit)i)), i);
    }
    CHECK_INT(clipname_label_of("Normal"), -1);
    CHECK_TEXT(clipname_keyword_text(KEYWORD_ID), "id");
    CHECK_TEXT(clipname_keyword_text(KEYWORD_SECTION), "section");
}

static void check_part(const char *clip, const char *section, const char *part) {
    char found[64];
    CHECK(clipname_file_part(clipname_file(clip), section, found, sizeof found));
    CHECK_TEXT(found, part);
}

TEST(the_file_of_a_clip_is_called_as_its_year_calls_it) {
    check_part("id_01_00000000.wav", "01", "id_01");
    check_part("anomaly_id_04_00000000.wav", "04", "id_04");
    check_part("section_03_source_test_0000.wav", "03", "section_03_source_test");
    check_part("section_03_target_test_0000.wav", "03", "section_03_target_test");
    check_part("section_00_target_test_normal_0000.wav", "00", "section_00_test");
    check_part("section_00_0000.wav", "00", "section_00_test");
    check_part("whatever.wav", "00", "section_00_test");
    char small[8];
    CHECK(!clipname_file_part(FILE_OF_SECTION, "00", small, sizeof small));
}

TEST_MAIN_LIST(
    T(names_of_2020_have_ids_and_no_domains) T(names_of_2021_show_the_domain_of_hidden_clips)
        T(names_since_2022_say_everything) T(anonymous_names_hide_domain_and_label)
            T(name_with_test_word_as_a_readme_has_it_is_understood)
                T(name_without_test_word_keeps_its_label) T(hidden_attributes_are_none)
                    T(supplemental_names_have_their_own_split)
                        T(target_anywhere_in_the_name_means_target) T(other_names_say_nothing)
                            T(very_long_name_says_nothing)
                                T(clips_are_known_by_extension_in_any_case) T(words_read_back)
                                    T(the_file_of_a_clip_is_called_as_its_year_calls_it))
