// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/dataset/tree.h"

TEST(development_set_of_2023_is_understood) {
    tree_begin();
    put("dev_data/raw/fan/train/section_00_source_train_normal_0000_m-n_X.wav");
    put("dev_data/raw/fan/train/section_00_target_train_normal_0000_m-n_Y.wav");
    put("dev_data/raw/fan/test/section_00_target_test_anomaly_0001_m-n_Z.wav");
    Dataset *dataset = scan("");
    CHECK_INT(dataset->clip_count, 3);
    CHECK_INT(dataset->machine_count, 1);
    CHECK_INT(dataset->machines[0].train_count, 2);
    CHECK_INT(dataset->machines[0].test_count, 1);
    CHECK_TEXT(dataset->machines[0].name, "fan");
    CHECK_INT(dataset->machines[0].set, SET_DEV);
    const Clip *clip =
        clip_of(dataset, "dev_data/raw/fan/test/section_00_target_test_anomaly_0001_m-n_Z.wav");
    CHECK_TEXT(clip->section, "00");
    CHECK_TEXT(clip->name, "section_00_target_test_anomaly_0001_m-n_Z.wav");
    CHECK_INT(clip->domain, DOMAIN_TARGET);
    CHECK_INT(clip->label, LABEL_ANOMALY);
    CHECK_INT(clip->split, SPLIT_TEST);
    CHECK_INT(clip->size_bytes, 1);
    CHECK(clip->mtime_ns > 0);
    CHECK_TEXT(attributes_text(clip), "m-n=Z");
    CHECK_NO_WARNINGS(dataset);
    dataset_free(dataset);
    tree_end();
}

TEST(clips_are_sorted_by_set_machine_split_and_path) {
    tree_begin();
    put("b/test/2.wav");
    put("b/train/9.wav");
    put("b/train/10.wav");
    put("a/supplemental/0.wav");
    put("a/train/1.wav");
    put("a/test/1.wav");
    put("eval_data/z/test/section_00_0000.wav");
    put("eval_data/z/train/section_00_source_train_normal_0000_.wav");
    static const char *const expected[] = {
        "eval_data/z/train/section_00_source_train_normal_0000_.wav",
        "eval_data/z/test/section_00_0000.wav",
        "a/train/1.wav",
        "a/test/1.wav",
        "a/supplemental/0.wav",
        "b/train/10.wav",
        "b/train/9.wav",
        "b/test/2.wav",
    };
    Dataset *dataset = scan("");
    CHECK_INT(dataset->clip_count, 8);
    for (int i = 0; i < 8; i++) {
        CHECK_TEXT(dataset->clips[i].path, expected[i]);
    }
    CHECK_INT(dataset->machine_count, 3);
    CHECK_INT(dataset->machines[1].first_clip, 2);
    CHECK_INT(dataset->machines[1].clip_count, 3);
    CHECK_INT(dataset->machines[1].supplemental_count, 1);
    CHECK_INT(dataset->clips[3].machine, 1);
    dataset_free(dataset);
    tree_end();
}

TEST(any_names_are_data_train_normal_test_unlabelled) {
    tree_begin();
    put("press 3/train/monday morning.wav");
    put("press 3/test/Tuesday.FLAC");
    put("press 3/test/wednesday.npy");
    Dataset *dataset = scan("");
    CHECK_INT(dataset->machines[0].set, SET_PLAIN);
    CHECK_INT(dataset->machines[0].year, 0);
    CHECK_INT(clip_of(dataset, "press 3/train/monday morning.wav")->label, LABEL_NORMAL);
    CHECK_INT(clip_of(dataset, "press 3/test/Tuesday.FLAC")->label, LABEL_UNKNOWN);
    CHECK_INT(clip_of(dataset, "press 3/test/wednesday.npy")->split, SPLIT_TEST);
    CHECK_NO_WARNINGS(dataset);
    dataset_free(dataset);
    tree_end();
}

TEST(root_may_be_a_machine_folder_itself) {
    tree_begin();
    put("fan/train/1.wav");
    put("fan/test/2.wav");
    Dataset *dataset = scan("fan");
    CHECK_INT(dataset->machine_count, 1);
    CHECK_TEXT(dataset->machines[0].name, "fan");
    CHECK_TEXT(dataset->clips[0].path, "train/1.wav");
    dataset_free(dataset);
    dataset = scan("fan/");
    CHECK_TEXT(dataset->machines[0].name, "fan");
    dataset_free(dataset);
    tree_end();
}

TEST(set_comes_from_folder_names) {
    tree_begin();
    put("x/dev_data/raw/fan/train/1.wav");
    put("x/dev_data/raw/fan/test/1.wav");
    put("x/eval_data/raw/fan/test/1.wav");
    put("x/eval_data/raw/fan/train/1.wav");
    put("x/Additional_Training/pump/train/1.wav");
    put("x/evaluation/saw/train/1.wav");
    put("x/somewhere/saw/train/1.wav");
    Dataset *dataset = scan("x");
    CHECK_INT(machine_of(dataset, SET_DEV, "fan")->clip_count, 2);
    CHECK_INT(machine_of(dataset, SET_EVAL, "fan")->clip_count, 2);
    CHECK_INT(machine_of(dataset, SET_EVAL, "pump")->clip_count, 1);
    CHECK_INT(machine_of(dataset, SET_EVAL, "saw")->clip_count, 1);
    CHECK_INT(machine_of(dataset, SET_PLAIN, "saw")->clip_count, 1);
    dataset_free(dataset);
    tree_end();
}

TEST(set_comes_from_folder_names_above_the_root) {
    tree_begin();
    put("dcase2024t2/dev_data/raw/fan/train/1.wav");
    Dataset *dataset = scan("dcase2024t2/dev_data/raw");
    CHECK_INT(machine_of(dataset, SET_DEV, "fan")->year, 2024);
    dataset_free(dataset);
    dataset = scan("dcase2024t2/dev_data/raw/fan");
    CHECK_INT(machine_of(dataset, SET_DEV, "fan")->year, 2024);
    dataset_free(dataset);
    tree_end();
}

TEST(set_comes_from_test_names_where_folders_are_silent) {
    tree_begin();
    put("d/train/section_00_source_train_normal_0000_.wav");
    put("d/test/section_00_source_test_normal_0000_.wav");
    put("e/train/section_00_source_train_normal_0000_.wav");
    put("e/test/section_00_0000.wav");
    put("m/test/section_00_0000.wav");
    put("m/test/section_00_source_test_normal_0000_.wav");
    put("t/train/section_00_source_train_normal_0000_.wav");
    Dataset *dataset = scan("");
    CHECK_INT(machine_of(dataset, SET_DEV, "d")->clip_count, 2);
    CHECK_INT(machine_of(dataset, SET_EVAL, "e")->clip_count, 2);
    CHECK_INT(machine_of(dataset, SET_PLAIN, "m")->clip_count, 2);
    CHECK_INT(machine_of(dataset, SET_PLAIN, "t")->clip_count, 1);
    dataset_free(dataset);
    tree_end();
}

TEST(training_and_test_part_of_a_machine_join_over_roots) {
    tree_begin();
    put("download1/ToyDrone/train/section_00_source_train_normal_0000_.wav");
    put("download2/ToyDrone/test/section_00_0000.wav");
    Dataset *dataset = NULL;
    CHECK_OK(scan_roots(NULL, &dataset, "download1", "download2", NULL));
    CHECK_INT(dataset->machine_count, 1);
    CHECK_INT(dataset->machines[0].set, SET_EVAL);
    CHECK_INT(dataset->machines[0].train_count, 1);
    CHECK_INT(dataset->machines[0].test_count, 1);
    CHECK_INT(dataset->clips[0].root, 0);
    CHECK_INT(dataset->clips[1].root, 1);
    CHECK_NO_WARNINGS(dataset);
    dataset_free(dataset);
    tree_end();
}

TEST(training_part_joins_the_set_that_has_its_sections) {
    tree_begin();
    put("a/fan/test/normal_id_00_00000000.wav");
    put("b/fan/test/id_01_00000000.wav");
    put("c/fan/train/normal_id_01_00000000.wav");
    put("d/fan/train/normal_id_00_00000007.wav");
    put("e/fan/train/normal_id_09_00000007.wav");
    Dataset *dataset = scan("");
    const Machine *dev = machine_of(dataset, SET_DEV, "fan");
    const Machine *eval = machine_of(dataset, SET_EVAL, "fan");
    CHECK_TEXT(dataset->clips[dev->first_clip].path, "d/fan/train/normal_id_00_00000007.wav");
    CHECK_TEXT(dataset->clips[eval->first_clip].path, "c/fan/train/normal_id_01_00000000.wav");
    CHECK_INT(machine_of(dataset, SET_PLAIN, "fan")->train_count, 1);
    CHECK_WARNING(dataset, "e/fan: nothing tells to which set");
    dataset_free(dataset);
    tree_end();
}

TEST(order_of_roots_changes_root_indices_only) {
    tree_begin();
    put("one/fan/train/a.wav");
    put("one/fan/train/c.wav");
    put("two/fan/train/b.wav");
    put("two/fan/train/c.wav");
    put_text("two/fan/test/c.wav", "longer");
    Dataset *forth = NULL, *back = NULL;
    CHECK_OK(scan_roots(NULL, &forth, "one", "two", NULL));
    CHECK_OK(scan_roots(NULL, &back, "two", "one", NULL));
    Digest a, b;
    CHECK_OK(dataset_digest(forth, &a));
    CHECK_OK(dataset_digest(back, &b));
    CHECK(digest_equal(a, b));
    CHECK_INT(forth->clip_count, back->clip_count);
    for (uint32_t i = 0; i < forth->clip_count; i++) {
        CHECK_TEXT(forth->clips[i].path, back->clips[i].path);
        CHECK_INT(forth->clips[i].root, 1 - back->clips[i].root);
    }
    dataset_free(forth);
    dataset_free(back);
    tree_end();
}

TEST(evaluation_set_of_2020_has_year_and_id) {
    tree_begin();
    put("fan/train/normal_id_01_00000000.wav");
    put("fan/test/id_01_00000000.wav");
    Dataset *dataset = scan("");
    const Machine *fan = machine_of(dataset, SET_EVAL, "fan");
    CHECK_INT(fan->year, 2020);
    CHECK_INT(dataset->clips[1].keyword, KEYWORD_ID);
    CHECK_TEXT(dataset->clips[1].section, "01");
    CHECK_INT(dataset->clips[1].domain, DOMAIN_UNKNOWN);
    dataset_free(dataset);
    tree_end();
}

TEST(one_machine_of_two_years_is_warned_of) {
    tree_begin();
    put("dcase2020/fan/test/normal_id_01_00000000.wav");
    put("dcase2023/fan/train/section_00_source_train_normal_0000_.wav");
    put("dcase2023/fan/test/section_00_source_test_normal_0000_.wav");
    Dataset *dataset = scan("");
    CHECK_INT(dataset->machines[0].year, 0);
    CHECK_WARNING(dataset, "fan (dev): clips of different years are taken as one machine");
    dataset_free(dataset);
    tree_end();
}

TEST(divided_test_folders_of_2021_are_test_clips_with_a_domain) {
    tree_begin();
    put("fan/train/section_00_source_train_normal_0000_.wav");
    put("fan/source_test/section_00_source_test_normal_0000.wav");
    put("fan/target_test/section_00_0001.wav");
    Dataset *dataset = scan("");
    CHECK_INT(dataset->machines[0].test_count, 2);
    CHECK_INT(dataset->machines[0].year, 2021);
    CHECK_INT(clip_of(dataset, "fan/target_test/section_00_0001.wav")->domain, DOMAIN_TARGET);
    dataset_free(dataset);
    tree_end();
}

TEST(doubled_tree_of_2021_counts_each_clip_once) {
    tree_begin();
    put("dev_data/fan/train/section_00_source_train_normal_0000_.wav");
    put("dev_data/fan/test/section_00_source_test_normal_0000.wav");
    put("dev_data/fan/source_test/section_00_source_test_normal_0000.wav");
    put("dev_data/fan/test/section_00_0001.wav");
    put("dev_data/fan/target_test/section_00_0001.wav");
    put("dev_data/fan/target_test/section_00_target_test_normal_0002.wav");
    Dataset *dataset = scan("");
    CHECK_INT(dataset->machines[0].test_count, 3);
    CHECK_INT(dataset->left_out_count, 0);
    CHECK_INT(clip_of(dataset, "dev_data/fan/test/section_00_0001.wav")->domain, DOMAIN_TARGET);
    clip_of(dataset, "dev_data/fan/test/section_00_source_test_normal_0000.wav");
    clip_of(dataset, "dev_data/fan/target_test/section_00_target_test_normal_0002.wav");
    CHECK_NOTE(dataset, "fan (dev): 2 test clips lie in test/ and again");
    CHECK_NO_WARNINGS(dataset);
    dataset_free(dataset);
    tree_end();
}

TEST(supplemental_clips_are_never_training_clips) {
    tree_begin();
    put("eval_data/fan/train/section_00_source_train_normal_0000_.wav");
    put("eval_data/fan/train/section_00_noise_0003_.wav");
    put("eval_data/fan/supplemental/section_00_machine_0001_.wav");
    put("eval_data/fan/test/section_00_0000.wav");
    Dataset *dataset = scan("");
    CHECK_INT(dataset->machines[0].train_count, 1);
    CHECK_INT(dataset->machines[0].supplemental_count, 2);
    CHECK_INT(clip_of(dataset, "eval_data/fan/train/section_00_noise_0003_.wav")->split,
              SPLIT_SUPPLEMENTAL);
    dataset_free(dataset);
    tree_end();
}

TEST(renamed_test_clips_give_labels_by_content) {
    tree_begin();
    put("eval_data/fan/train/section_00_source_train_normal_0000_.wav");
    put_text("eval_data/fan/test/section_00_0000.wav", "first clip");
    put_text("eval_data/fan/test/section_00_0001.wav", "other clip");
    put_text("eval_data/fan/test/section_00_0002.wav", "a third clip");
    put_text("eval_data/fan/test_rename/section_00_source_test_normal_0000_v_1.wav", "other clip");
    put_text("eval_data/fan/test_rename/section_00_target_test_anomaly_0000_v_2.wav", "first clip");
    put_text("eval_data/fan/test_rename/section_00_target_test_anomaly_0001_v_3.wav", "4th clip..");
    Dataset *dataset = scan("");
    CHECK_INT(dataset->clip_count, 4);
    const Clip *first = clip_of(dataset, "eval_data/fan/test/section_00_0000.wav");
    const Clip *other = clip_of(dataset, "eval_data/fan/test/section_00_0001.wav");
    CHECK_INT(first->label, LABEL_ANOMALY);
    CHECK_INT(first->domain, DOMAIN_TARGET);
    CHECK_TEXT(attributes_text(first), "v=2");
    CHECK_INT(other->label, LABEL_NORMAL);
    CHECK_INT(other->domain, DOMAIN_SOURCE);
    CHECK_INT(clip_of(dataset, "eval_data/fan/test/section_00_0002.wav")->label, LABEL_UNKNOWN);
    CHECK_NOTE(dataset, "2 test clips have their labels from test_rename/");
    CHECK_WARNING(dataset, "1 clips of test_rename/ are none of test/'s, such as eval_data/fan/"
                           "test_rename/section_00_target_test_anomaly_0001_v_3.wav");
    dataset_free(dataset);
    tree_end();
}

TEST(contradicting_renamed_clips_give_no_label) {
    tree_begin();
    put_text("fan/test/section_00_0000.wav", "silence");
    put_text("fan/test/section_00_0001.wav", "silence");
    put_text("fan/test_rename/section_00_source_test_normal_0000_.wav", "silence");
    put_text("fan/test_rename/section_00_source_test_anomaly_0000_.wav", "silence");
    Dataset *dataset = scan("");
    CHECK_INT(dataset->clip_count, 2);
    CHECK_INT(dataset->clips[0].label, LABEL_UNKNOWN);
    CHECK_WARNING(dataset, "contradict each other");
    dataset_free(dataset);
    tree_end();
}

TEST(renamed_clips_alone_are_test_clips) {
    tree_begin();
    put("fan/test_rename/section_00_source_test_normal_0000_.wav");
    put("fan/train/section_00_source_train_normal_0000_.wav");
    Dataset *dataset = scan("");
    CHECK_INT(dataset->machines[0].test_count, 1);
    CHECK_WARNING(dataset, "test_rename/ without test/");
    dataset_free(dataset);
    tree_end();
}

TEST(attributes_files_speak_before_names) {
    tree_begin();
    put("dev_data/fan/train/section_00_source_train_normal_0000_v_1.wav");
    put("dev_data/fan/train/section_00_source_train_normal_0001_v_2_w_3.wav");
    put("dev_data/fan/test/section_00_source_test_normal_0000_A_B_C.wav");
    put_text("dev_data/fan/attributes_00.csv",
             "file_name,d1p,d1v,d2p,d2v\r\n"
             "fan/train/section_00_source_train_normal_0000_v_1.wav,speed,1.5,load,\"a,b\"\r\n");
    Dataset *dataset = scan("");
    CHECK_TEXT(attributes_text(&dataset->clips[0]), "speed=1.5;load=a,b");
    CHECK_TEXT(attributes_text(&dataset->clips[1]), "v=2;w=3");
    CHECK_TEXT(attributes_text(&dataset->clips[2]), "attribute=A_B_C");
    CHECK_NO_WARNINGS(dataset);
    dataset_free(dataset);
    tree_end();
}

TEST(attributes_row_is_for_its_folder_alone) {
    tree_begin();
    put("fan/train/1.wav");
    put("fan/test/1.wav");
    put_text("fan/attributes_00.csv",
             "file_name,d1p,d1v,d2p,d2v\nfan/test/1.wav,label,anomaly,domain,target\n");
    Dataset *dataset = scan("");
    CHECK_INT(dataset->clips[0].label, LABEL_NORMAL);
    CHECK_INT(dataset->clips[0].attribute_count, 0);
    CHECK_INT(dataset->clips[1].label, LABEL_ANOMALY);
    CHECK_INT(dataset->clips[1].domain, DOMAIN_TARGET);
    dataset_free(dataset);
    tree_end();
}

TEST(attributes_file_may_have_names_only) {
    tree_begin();
    put("fan/train/section_00_source_train_normal_0000_v_1.wav");
    put("fan/test/section_00_source_test_normal_0000_v_1.wav");
    put_text("fan/attributes_00.csv",
             "file_name\nfan/train/section_00_source_train_normal_0000_v_1.wav\n");
    Dataset *dataset = scan("");
    CHECK_TEXT(attributes_text(&dataset->clips[0]), "v=1");
    CHECK_NO_WARNINGS(dataset);
    dataset_free(dataset);
    tree_end();
}

TEST(attributes_in_another_root_find_their_clips) {
    tree_begin();
    put("one/fan/train/section_00_source_train_normal_0000_.wav");
    put("two/fan/test/section_00_source_test_normal_0000_.wav");
    put_text("two/fan/attributes_00.csv", "file_name,d1p,d1v\n"
                                          "train/section_00_source_train_normal_0000_.wav,v,1\n");
    Dataset *dataset = NULL;
    CHECK_OK(scan_roots(NULL, &dataset, "one", "two", NULL));
    CHECK_TEXT(attributes_text(&dataset->clips[0]), "v=1");
    dataset_free(dataset);
    tree_end();
}

TEST(broken_attributes_rows_are_warned_of_by_line) {
    tree_begin();
    put("fan/train/1.wav");
    put("fan/test/2.wav");
    put_text("fan/attributes_00.csv", "file_name,d1p,d1v\n"
                                      "fan/train/1.wav,speed\n"
                                      "fan/train/none.wav,speed,1\n"
                                      "a,b,c\na,b,c\na,b,c\na,b,c\n"
                                      "fan/train/1.wav,speed,9\n"
                                      "fan/train/1.wav,\"speed\n");
    put_text("fan/attributes_01.csv", "name,what\nfan/train/1.wav,speed\n");
    Dataset *dataset = scan("");
    CHECK_WARNING(dataset, "attributes_00.csv:2: not a file name and pairs");
    CHECK_WARNING(dataset, "attributes_00.csv:3: no clip has this name");
    CHECK_WARNING(dataset, "attributes_00.csv: 2 more rows name no clip");
    CHECK_WARNING(dataset, "attributes_00.csv:9:");
    CHECK_WARNING(dataset, "attributes_01.csv:1: the first column is not file_name");
    CHECK_TEXT(attributes_text(&dataset->clips[0]), "speed=9");
    dataset_free(dataset);
    tree_end();
}

TEST(correspondence_file_reveals_hidden_clips) {
    tree_begin();
    put("eval_data/fan/train/section_00_source_train_normal_0000_.wav");
    put("eval_data/fan/test/section_00_0000.wav");
    put("eval_data/fan/test/section_00_0001.wav");
    put_text("eval_data/fan/attributes_00_test_correspondence.csv",
             "source_file_name,target_file_name\n"
             "test/section_00_0000.wav,section_00_target_test_anomaly_0003_v_7.wav\n"
             "section_00_source_test_normal_0001_,section_00_0001\n");
    Dataset *dataset = scan("");
    CHECK_INT(dataset->clips[1].label, LABEL_ANOMALY);
    CHECK_INT(dataset->clips[1].domain, DOMAIN_TARGET);
    CHECK_TEXT(attributes_text(&dataset->clips[1]), "v=7");
    CHECK_INT(dataset->clips[2].label, LABEL_NORMAL);
    CHECK_NO_WARNINGS(dataset);
    dataset_free(dataset);
    tree_end();
}

TEST(real_clips_of_2020_are_understood) {
    const char *shared = test_shared();
    if (shared == NULL) {
        TEST_SKIP("shared data not there");
    }
    snprintf(tree, sizeof tree, "%s/data/real_clips", shared);
    Dataset *dataset = scan("dcase2020");
    CHECK_INT(dataset->machine_count, 6);
    CHECK_INT(dataset->clip_count, 36 + 75);
    uint32_t anomalies = 0;
    for (uint32_t i = 0; i < dataset->clip_count; i++) {
        const Clip *clip = &dataset->clips[i];
        anomalies += clip->label == LABEL_ANOMALY;
        CHECK_INT(clip->keyword, KEYWORD_ID);
        CHECK(clip->section[0] == '0' && clip->label != LABEL_UNKNOWN);
    }
    CHECK_INT(anomalies, 18);
    const Machine *slider = machine_of(dataset, SET_DEV, "slider");
    CHECK_INT(slider->train_count, 75);
    CHECK_INT(slider->test_count, 6);
    CHECK_INT(slider->year, 2020);
    CHECK_INT(dataset->warning_count, 5);
    CHECK_WARNING(dataset, "pump (dev): no training clips");
    dataset_free(dataset);
}

TEST(real_clips_of_2023_are_understood) {
    const char *shared = test_shared();
    if (shared == NULL) {
        TEST_SKIP("shared data not there");
    }
    snprintf(tree, sizeof tree, "%s/data/real_clips", shared);
    Dataset *dataset = scan("dcase2023");
    CHECK_INT(dataset->machine_count, 7);
    CHECK_INT(dataset->clip_count, 28);
    for (uint32_t i = 0; i < dataset->clip_count; i++) {
        const Clip *clip = &dataset->clips[i];
        CHECK_TEXT(clip->section, "00");
        CHECK(clip->domain != DOMAIN_UNKNOWN && clip->label != LABEL_UNKNOWN);
        CHECK(clip->attribute_count >= 1 && strcmp(clip->attributes[0].name, "attribute") != 0);
    }
    const Machine *train = machine_of(dataset, SET_DEV, "ToyTrain");
    CHECK_INT(train->year, 2023);
    CHECK_TEXT(attributes_text(&dataset->clips[train->first_clip]), "car=C2;spd=7;mic=1");
    CHECK_NO_WARNINGS(dataset);
    dataset_free(dataset);
}

// clang-format off
TEST_MAIN_LIST(
    T(development_set_of_2023_is_understood)
    T(clips_are_sorted_by_set_machine_split_and_path)
    T(any_names_are_data_train_normal_test_unlabelled)
    T(root_may_be_a_machine_folder_itself)
    T(set_comes_from_folder_names)
    T(set_comes_from_folder_names_above_the_root)
    T(set_comes_from_test_names_where_folders_are_silent)
    T(training_and_test_part_of_a_machine_join_over_roots)
    T(training_part_joins_the_set_that_has_its_sections)
    T(order_of_roots_changes_root_indices_only)
    T(evaluation_set_of_2020_has_year_and_id)
    T(one_machine_of_two_years_is_warned_of)
    T(divided_test_folders_of_2021_are_test_clips_with_a_domain)
    T(doubled_tree_of_2021_counts_each_clip_once)
    T(supplemental_clips_are_never_training_clips)
    T(renamed_test_clips_give_labels_by_content)
    T(contradicting_renamed_clips_give_no_label)
    T(renamed_clips_alone_are_test_clips)
    T(attributes_files_speak_before_names)
    T(attributes_row_is_for_its_folder_alone)
    T(attributes_file_may_have_names_only)
    T(attributes_in_another_root_find_their_clips)
    T(broken_attributes_rows_are_warned_of_by_line)
    T(correspondence_file_reveals_hidden_clips)
    T(real_clips_of_2020_are_understood)
    T(real_clips_of_2023_are_understood))
