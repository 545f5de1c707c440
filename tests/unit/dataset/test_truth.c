// SPDX-License-Identifier: Apache-2.0
#include "coordinator/dataset/truth.h"

#include "tests/unit/dataset/tree.h"

static Truth *read_truth(const char *path) {
    Truth *truth = NULL;
    CHECK_OK(truth_read(tree_path(path), 0, &truth));
    return truth;
}

static const TruthClip *find(const Truth *truth, const char *machine, const char *name) {
    const TruthClip *clip = truth_find(truth, machine, name);
    if (clip == NULL) {
        TEST_FAIL("no clip %s of %s", name, machine);
    }
    return clip;
}

#define CHECK_CLIP(truth, machine, name, expected_label, expected_domain)                          \
    do {                                                                                           \
        const TruthClip *check_clip = find((truth), (machine), (name));                            \
        CHECK_TEXT(clipname_label_text(check_clip->label), (expected_label));                      \
        CHECK_TEXT(clipname_domain_text(check_clip->domain), (expected_domain));                   \
    } while (0)

static void check_finding(const Remarks *remarks, RemarkKind kind, const char *part) {
    for (uint32_t i = 0; i < remarks->count; i++) {
        if (remarks->items[i].kind == kind && strstr(remarks->items[i].text, part) != NULL) {
            return;
        }
    }
    TEST_FAIL("no %s has \"%s\"", remark_kind_text(kind), part);
}

static void check_no_remarks(const Truth *truth) {
    if (truth->remarks.count > 0) {
        TEST_FAIL("unexpected: %s", truth->remarks.items[0].text);
    }
}

// ---- forms ----

TEST(a_list_names_machines_and_pairs_of_names) {
    tree_begin();
    put_text("eval_data_list_2023.csv",
             "ToyTank\n"
             "section_00_0000.wav,section_00_source_test_normal_0007_speed_1.wav\n"
             "section_00_0001.wav,section_00_target_test_anomaly_0003_speed_2.wav\n"
             "bandsaw\n"
             "section_00_0000.wav,section_00_source_test_anomaly_0001_noAttribute.wav\n");
    Truth *truth = read_truth("eval_data_list_2023.csv");
    check_no_remarks(truth);
    CHECK_INT(truth->count, 3);
    CHECK_INT(truth->labelled, 3);
    CHECK_INT(truth->year, 2023);
    CHECK_CLIP(truth, "ToyTank", "section_00_0000.wav", "normal", "source");
    CHECK_CLIP(truth, "ToyTank", "section_00_0001.wav", "anomaly", "target");
    CHECK_CLIP(truth, "bandsaw", "section_00_0000.wav", "anomaly", "source");
    const TruthClip *clip =
        find(truth, "ToyTank", "section_00_target_test_anomaly_0003_speed_2.wav");
    CHECK_TEXT(clip->name, "section_00_0001.wav"); // known by either name
    CHECK_INT(clip->attribute_count, 1);
    CHECK_TEXT(clip->attributes[0].value, "2");
    CHECK(truth_find(truth, "bandsaw", "section_00_0001.wav") == NULL);
    truth_free(truth);
    tree_end();
}

TEST(a_list_of_2020_has_a_third_column_and_no_domains) {
    tree_begin();
    put_text("eval_data_list.csv", "\xEF\xBB\xBF"
                                   "fan\r\n"
                                   "id_01_00000000.wav,normal_id_01_00000000.wav,0\r\n"
                                   "id_01_00000001.wav,anomaly_id_01_00000000.wav,1\r\n");
    Truth *truth = read_truth("eval_data_list.csv");
    check_no_remarks(truth);
    CHECK_INT(truth->year, 2020);
    CHECK_CLIP(truth, "fan", "id_01_00000001.wav", "anomaly", "");
    CHECK_TEXT(find(truth, "fan", "id_01_00000000.wav")->section, "01");
    truth_free(truth);
    tree_end();
}

static void put_evaluator(const char *machine, const char *labels, const char *domains,
                          const char *attributes) {
    char path[256];
    snprintf(path, sizeof path, "e/ground_truth_data/ground_truth_%s_section_00_test.csv", machine);
    put_text(path, labels);
    snprintf(path, sizeof path, "e/ground_truth_domain/ground_truth_%s_section_00_test.csv",
             machine);
    put_text(path, domains);
    snprintf(path, sizeof path, "e/ground_truth_attributes/ground_truth_%s_section_00_test.csv",
             machine);
    put_text(path, attributes);
}

static void put_robot(void) {
    put_evaluator("RoboticArm", "section_00_0000.wav,0\nsection_00_0001.wav,1\n",
                  "section_00_0000.wav,1\nsection_00_0001.wav,0\n",
                  "section_00_0000.wav,section_00_target_normal_0035_weight15_BckgF\n"
                  "section_00_0001.wav,section_00_source_anomaly_0041_weight20_BckgC\n");
}

TEST(folders_of_the_evaluator_are_found_below_and_joined) {
    tree_begin();
    put_robot();
    Truth *truth = read_truth("");
    check_no_remarks(truth);
    CHECK_INT(truth->labelled, 2);
    CHECK_CLIP(truth, "RoboticArm", "section_00_0000.wav", "normal", "target");
    // This machine's names lack "_test_".
    const TruthClip *clip =
        find(truth, "RoboticArm", "section_00_source_anomaly_0041_weight20_BckgC.wav");
    CHECK_TEXT(clip->name, "section_00_0001.wav");
    CHECK_INT(clip->attribute_count, 1);
    CHECK_TEXT(clip->attributes[0].name, "attribute"); // weight20 is no parameter with value BckgC
    CHECK_TEXT(clip->attributes[0].value, "weight20_BckgC");
    truth_free(truth);
    // One file of labels brings its siblings.
    truth = read_truth("e/ground_truth_data/ground_truth_RoboticArm_section_00_test.csv");
    CHECK_CLIP(truth, "RoboticArm", "section_00_0001.wav", "anomaly", "source");
    truth_free(truth);
    tree_end();
}

TEST(files_of_2021_say_the_domain_in_their_names) {
    tree_begin();
    put_text("ground_truth_data/ground_truth_fan_section_03_source_test.csv",
             "section_03_source_test_0000.wav,0\n");
    put_text("ground_truth_data/ground_truth_fan_section_03_target_test.csv",
             "section_03_target_test_0000.wav,1\n");
    Truth *truth = read_truth("");
    check_no_remarks(truth);
    CHECK_INT(truth->year, 2021);
    CHECK_CLIP(truth, "fan", "section_03_source_test_0000.wav", "normal", "source");
    CHECK_CLIP(truth, "fan", "section_03_target_test_0000.wav", "anomaly", "target");
    truth_free(truth);
    tree_end();
}

TEST(a_correspondence_file_is_read_in_either_order) {
    tree_begin();
    put_text(
        "raw/fan/attributes_00_test_correspondence.csv",
        "source_file_name,target_file_name\n"
        "fan/test/section_00_0000.wav,fan/test_rename/section_00_source_test_normal_0000_v_1.wav\n"
        "fan/test_rename/section_00_target_test_anomaly_0001_v_1.wav,fan/test/"
        "section_00_0001.wav\n");
    Truth *truth = read_truth("raw");
    check_no_remarks(truth);
    CHECK_CLIP(truth, "fan", "section_00_0000.wav", "normal", "source");
    CHECK_CLIP(truth, "fan", "section_00_0001.wav", "anomaly", "target");
    truth_free(truth);
    tree_end();
}

TEST(renamed_copies_give_their_labels_by_content) {
    tree_begin();
    put_text("eval_data/raw/fan/test/section_00_0000.wav", "one");
    put_text("eval_data/raw/fan/test/section_00_0001.wav", "two");
    put_text("eval_data/raw/fan/test_rename/section_00_source_test_normal_0000_.wav", "two");
    put_text("eval_data/raw/fan/test_rename/section_00_target_test_anomaly_0001_.wav", "one");
    Truth *truth = read_truth("");
    CHECK_CLIP(truth, "fan", "section_00_0000.wav", "anomaly", "target");
    CHECK_CLIP(truth, "fan", "section_00_0001.wav", "normal", "source");
    CHECK_INT(find(truth, "fan", "section_00_0001.wav")->set, SET_EVAL);
    truth_free(truth);
    tree_end();
}

TEST(a_development_set_is_its_own_ground_truth) {
    tree_begin();
    put("dev_data/raw/fan/train/section_00_source_train_normal_0000_v_1.wav");
    put("dev_data/raw/fan/test/section_00_target_test_anomaly_0000_v_2.wav");
    Truth *truth = read_truth("dev_data");
    CHECK_INT(truth->count, 1); // nobody judges training clips
    const TruthClip *clip = find(truth, "fan", "section_00_target_test_anomaly_0000_v_2.wav");
    CHECK_INT(clip->label, LABEL_ANOMALY);
    CHECK_INT(clip->set, SET_DEV);
    CHECK_TEXT(clip->attributes[0].name, "v");
    truth_free(truth);
    tree_end();
}

// ---- given to a scan ----

static Dataset *scan_with_truth(const char *path) {
    char truth[512];
    snprintf(truth, sizeof truth, "%s", tree_path(path));
    const char *root = tree;
    DatasetOptions options = {.roots = &root, .root_count = 1, .truth = truth};
    Dataset *dataset = NULL;
    CHECK_OK(dataset_scan(&options, &dataset));
    return dataset;
}

TEST(a_scan_labels_hidden_test_clips_and_no_others) {
    tree_begin();
    put("eval_data/raw/fan/train/section_00_source_train_normal_0000_v_1.wav");
    put("eval_data/raw/fan/test/section_00_0000.wav");
    put("eval_data/raw/fan/test/section_00_0001.wav");
    put("dev_data/raw/valve/test/section_00_source_test_normal_0000_v_1.wav");
    put_text("list.csv", "fan\n"
                         "section_00_0000.wav,section_00_target_test_anomaly_0007_v_2.wav\n"
                         "section_00_0001.wav,none\n");
    Dataset *dataset = scan_with_truth("list.csv");
    const Clip *clip = clip_of(dataset, "eval_data/raw/fan/test/section_00_0000.wav");
    CHECK_INT(clip->label, LABEL_ANOMALY);
    CHECK_INT(clip->domain, DOMAIN_TARGET);
    CHECK_TEXT(attributes_text(clip), "v=2");
    clip = clip_of(dataset, "eval_data/raw/fan/test/section_00_0001.wav");
    CHECK_INT(clip->label, LABEL_UNKNOWN);
    CHECK_WARNING(dataset, "list.csv:3: this name tells neither");
    CHECK_NOTE(dataset, "1 test clips have their labels from the ground truth");
    dataset_free(dataset);
    tree_end();
}

TEST(a_scan_warns_of_labels_that_contradict_or_fit_nothing) {
    tree_begin();
    put("fan/test/section_00_source_test_normal_0000_v_1.wav");
    put_text("g/ground_truth_data/ground_truth_fan_section_00_test.csv",
             "section_00_source_test_normal_0000_v_1.wav,1\n");
    Dataset *dataset = scan_with_truth("g");
    CHECK_INT(clip_of(dataset, "fan/test/section_00_source_test_normal_0000_v_1.wav")->label,
              LABEL_NORMAL);
    CHECK_WARNING(dataset, "test.csv:1: suspicious");
    CHECK_WARNING(dataset, "labels none of the test clips");
    dataset_free(dataset);
    tree_end();
}

// ---- contradictions ----

TEST(the_evaluator_is_believed_before_a_list_and_both_are_named) {
    tree_begin();
    put_robot();
    put_text("eval_data_list_2024.csv",
             "RoboticArm\n"
             "section_00_0000.wav,section_00_target_test_anomaly_0000_x.wav\n"
             "section_00_0001.wav,section_00_source_test_anomaly_0001_x.wav\n");
    Truth *truth = read_truth("");
    CHECK_CLIP(truth, "RoboticArm", "section_00_0000.wav", "normal", "target");
    CHECK_INT(truth->remarks.found[REMARK_WARNING], 1);
    check_finding(&truth->remarks, REMARK_WARNING,
                  "eval_data_list_2024.csv:2: suspicious: section_00_0000.wav of RoboticArm is "
                  "anomaly here, but normal");
    truth_free(truth);
    tree_end();
}

TEST(a_third_column_that_contradicts_the_name_is_suspicious) {
    tree_begin();
    put_text("list.csv", "fan\n"
                         "id_01_00000000.wav,normal_id_01_00000000.wav,1\n");
    Truth *truth = read_truth("list.csv");
    check_finding(&truth->remarks, REMARK_WARNING, "list.csv:2: ");
    CHECK_CLIP(truth, "fan", "id_01_00000000.wav", "anomaly", "");
    truth_free(truth);
    tree_end();
}

TEST(labels_that_contradict_the_clips_own_name_are_suspicious) {
    tree_begin();
    put_text("ground_truth_data/ground_truth_fan_section_00_test.csv",
             "section_00_source_test_normal_0000_.wav,1\n");
    Truth *truth = read_truth("");
    check_finding(&truth->remarks, REMARK_WARNING, "test.csv:1: suspicious");
    truth_free(truth);
    tree_end();
}

TEST(a_telling_name_of_another_section_or_domain_is_suspicious) {
    tree_begin();
    put_text("list.csv",
             "fan\n"
             "section_00_0001.wav,section_01_target_test_anomaly_0000.wav\n"
             "section_03_source_test_0000.wav,section_03_target_test_normal_0000.wav\n"
             "section_03_source_test_0001.wav,section_03_source_test_normal_0001.wav\n");
    Truth *truth = read_truth("list.csv");
    check_finding(&truth->remarks, REMARK_WARNING, "list.csv:2: section_00_0001.wav is called");
    check_finding(&truth->remarks, REMARK_WARNING, "of another section");
    check_finding(&truth->remarks, REMARK_WARNING, "list.csv:3: section_03_source_test_0000.wav");
    check_finding(&truth->remarks, REMARK_WARNING, "of another domain");
    CHECK_INT(truth->remarks.count, 2);
    CHECK_CLIP(truth, "fan", "section_00_0001.wav", "anomaly", "target");
    CHECK_TEXT(truth_find(truth, "fan", "section_00_0001.wav")->section, "00");
    CHECK_CLIP(truth, "fan", "section_03_source_test_0000.wav", "normal", "source");
    truth_free(truth);
    tree_end();
}

TEST(the_list_of_2022_is_known_to_be_wrong) {
    tree_begin();
    put_text("eval_data_list_2022.csv",
             "ToyCar\n"
             "section_03_0000.wav,section_03_source_test_normal_0000_x.wav\n");
    Truth *truth = read_truth("");
    check_finding(&truth->remarks, REMARK_NOTE, "608 clips of ToyCar and ToyTrain");
    truth_free(truth);
    tree_end();
}

// ---- what is wrong with a file ----

TEST(wrong_rows_are_named_and_the_rest_goes_on) {
    tree_begin();
    put_text("ground_truth_data/ground_truth_fan_section_00_test.csv", "section_00_0000.wav,0\n"
                                                                       "section_00_0001.wav,2\n"
                                                                       "section_00_0002.wav\n"
                                                                       "section_00_0000.wav,0\n"
                                                                       "section_00_0003.wav,1\n"
                                                                       "section_00_0004.wav,\"1\n");
    Truth *truth = read_truth("");
    CHECK_INT(truth->labelled, 2);
    CHECK_CLIP(truth, "fan", "section_00_0001.wav", "", "");
    check_finding(&truth->remarks, REMARK_ERROR, "test.csv:2: neither 0 nor 1: '2'");
    check_finding(&truth->remarks, REMARK_ERROR, "test.csv:3: not a name and 0 or 1");
    check_finding(&truth->remarks, REMARK_WARNING,
                  "test.csv:4: section_00_0000.wav again, first at line 1");
    check_finding(&truth->remarks, REMARK_ERROR, "never closed: the rest of it is not read");
    truth_free(truth);
    tree_end();
}

TEST(wrong_rows_of_a_list_are_named) {
    tree_begin();
    put_text("eval_data_list_2024.csv",
             "section_00_0000.wav,section_00_source_test_normal_0.wav\n"
             "fan\n"
             "section_00_0001.wav,section_00_0001.wav\n"
             "section_00_0002.wav,a,b,c\n"
             "section_00_0003.wav,section_00_source_test_normal_3.wav\n");
    Truth *truth = read_truth("");
    CHECK_INT(truth->labelled, 1);
    check_finding(&truth->remarks, REMARK_ERROR, ":1: a clip before any line that names");
    check_finding(&truth->remarks, REMARK_ERROR, ":3: this name tells neither");
    check_finding(&truth->remarks, REMARK_ERROR, ":4: not an anonymous and a telling name");
    truth_free(truth);
    tree_end();
}

TEST(lists_of_several_years_need_a_choice) {
    tree_begin();
    put_text("eval_data_list_2023.csv",
             "fan\nsection_00_0000.wav,section_00_source_test_normal_0000_.wav\n");
    put_text("eval_data_list_2024.csv",
             "fan\nsection_00_0000.wav,section_00_source_test_anomaly_0000_.wav\n");
    Truth *truth = NULL;
    CHECK_INT(truth_read(tree, 0, &truth), STATUS_INVALID);
    CHECK_HAS(status_message(), "2023 and 2024 among them");
    CHECK_OK(truth_read(tree, 2024, &truth));
    CHECK_CLIP(truth, "fan", "section_00_0000.wav", "anomaly", "source");
    truth_free(truth);
    tree_end();
}

TEST(no_labels_at_all_are_a_failure_that_says_what_was_looked_for) {
    tree_begin();
    put("fan/test/section_00_0000.wav");
    Truth *truth = NULL;
    CHECK_INT(truth_read(tree, 0, &truth), STATUS_NOT_FOUND);
    CHECK_HAS(status_message(), "looked for eval_data_list_YYYY.csv");
    CHECK_INT(truth_read(tree_path("nowhere"), 0, &truth), STATUS_NOT_FOUND);
    tree_end();
}

TEST(every_failed_allocation_is_reported_and_leaks_nothing) {
    tree_begin();
    put_robot();
    put("dev/fan/test/section_00_target_test_anomaly_0000_v_2.wav");
    long blocks = mem_blocks();
    for (long n = 0;; n++) {
        Truth *truth = NULL;
        mem_fail_after(n);
        Status status = truth_read(tree, 0, &truth);
        int has_failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK_INT(status, has_failed ? STATUS_MEMORY : STATUS_OK);
        truth_free(truth);
        CHECK_INT(mem_blocks(), blocks);
        if (!has_failed) {
            break;
        }
    }
    tree_end();
}

TEST_MAIN_LIST(
    T(a_scan_labels_hidden_test_clips_and_no_others) T(
        a_scan_warns_of_labels_that_contradict_or_fit_nothing)
        T(a_list_names_machines_and_pairs_of_names) T(
            a_list_of_2020_has_a_third_column_and_no_domains)
            T(folders_of_the_evaluator_are_found_below_and_joined) T(
                files_of_2021_say_the_domain_in_their_names)
                T(a_correspondence_file_is_read_in_either_order) T(
                    renamed_copies_give_their_labels_by_content)
                    T(a_development_set_is_its_own_ground_truth) T(
                        the_evaluator_is_believed_before_a_list_and_both_are_named)
                        T(a_third_column_that_contradicts_the_name_is_suspicious) T(
                            labels_that_contradict_the_clips_own_name_are_suspicious)
                            T(a_telling_name_of_another_section_or_domain_is_suspicious) T(
                                the_list_of_2022_is_known_to_be_wrong)
                                T(wrong_rows_are_named_and_the_rest_goes_on) T(
                                    wrong_rows_of_a_list_are_named)
                                    T(lists_of_several_years_need_a_choice) T(
                                        no_labels_at_all_are_a_failure_that_says_what_was_looked_for)
                                        T(every_failed_allocation_is_reported_and_leaks_nothing))
