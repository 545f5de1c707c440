// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/dataset/tree.h"

TEST(anomaly_among_training_clips_is_left_out_and_keeps_its_index) {
    tree_begin();
    put("fan/train/anomaly_id_00_00000000.wav");
    put("fan/train/normal_id_00_00000000.wav");
    put("fan/test/normal_id_00_00000001.wav");
    Dataset *dataset = scan("");
    CHECK_INT(dataset->machines[0].train_count, 2);
    CHECK_TEXT(dataset->clips[0].left_out, "an anomaly among the training clips");
    CHECK(dataset->clips[1].left_out == NULL);
    CHECK_INT(dataset->left_out_count, 1);
    CHECK_INT(dataset->left_out[0].clip, 0);
    CHECK_TEXT(dataset->left_out[0].machine, "fan");
    CHECK_TEXT(dataset->left_out[0].path, "fan/train/anomaly_id_00_00000000.wav");
    dataset_free(dataset);
    tree_end();
}

TEST(second_clip_of_a_name_is_left_out_naming_the_first) {
    tree_begin();
    put("dev_data/fan/test/1.wav");
    put("other/dev_data/fan/test/1.wav");
    put("dev_data/fan/train/1.wav");
    put_text("other/dev_data/fan/train/1.wav", "more");
    put("eval_data/fan/test/1.wav");
    Dataset *dataset = scan("");
    const Clip *train = clip_of(dataset, "other/dev_data/fan/train/1.wav");
    CHECK_TEXT(clip_of(dataset, "other/dev_data/fan/test/1.wav")->left_out,
               "same name as dev_data/fan/test/1.wav, which is used");
    CHECK_TEXT(train->left_out, "same name as dev_data/fan/train/1.wav, which is used (the two "
                                "differ in size)");
    CHECK_INT(dataset->left_out_count, 2);
    dataset_free(dataset);
    tree_end();
}

TEST(divided_copy_of_another_size_is_left_out_not_dropped) {
    tree_begin();
    put("fan/test/section_00_source_test_normal_0000.wav");
    put_text("fan/source_test/section_00_source_test_normal_0000.wav", "longer");
    Dataset *dataset = scan("");
    CHECK_INT(dataset->left_out_count, 1);
    CHECK_TEXT(dataset->left_out[0].path, "fan/source_test/section_00_source_test_normal_0000.wav");
    dataset_free(dataset);
    tree_end();
}

// Files of the run are named after the machine, with a set, a section and more around it.
TEST(a_machine_name_too_long_for_file_names_is_ignored_with_a_warning) {
    char fits[LIMIT_NAME_BYTES], long_one[LIMIT_NAME_BYTES];
    tree_begin();
    snprintf(
        fits, sizeof fits, "%.*s", LIMIT_MACHINE_BYTES - 1,
        "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm"
        "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm");
    snprintf(long_one, sizeof long_one, "%sm", fits);
    char path[2 * LIMIT_NAME_BYTES];
    snprintf(path, sizeof path, "%s/train/1.wav", fits);
    put(path);
    snprintf(path, sizeof path, "%s/train/1.wav", long_one);
    put(path);
    Dataset *dataset = scan("");
    CHECK_INT(dataset->machine_count, 1);
    CHECK_TEXT(dataset->machines[0].name, fits);
    CHECK_WARNING(dataset, "its name cannot be a machine's: ignored");
    dataset_free(dataset);
    tree_end();
}

TEST(symlink_loop_ends_with_a_warning) {
    tree_begin();
    put("fan/train/1.wav");
    put("fan/test/1.wav");
    CHECK(symlink("..", tree_path("fan/loop")) == 0);
    CHECK(symlink(".", tree_path("fan/train/self")) == 0);
    CHECK(symlink("fan", tree_path("again")) == 0);
    Dataset *dataset = scan("");
    CHECK_INT(dataset->clip_count, 2);
    CHECK_TEXT(dataset->machines[0].name, "fan");
    CHECK_WARNING(dataset, "/fan/loop: leads to a folder that has been read already");
    CHECK_WARNING(dataset, "/again: leads to a folder that has been read already");
    dataset_free(dataset);
    tree_end();
}

TEST(links_to_folders_and_files_are_followed) {
    tree_begin();
    put("store/a/1.wav");
    put("store/2.wav");
    CHECK_OK(file_make_folders(tree_path("data/fan/test")));
    CHECK(symlink("../../store/a", tree_path("data/fan/train")) == 0);
    CHECK(symlink("../../../store/2.wav", tree_path("data/fan/test/2.wav")) == 0);
    CHECK(symlink("nowhere", tree_path("data/fan/test/3.wav")) == 0);
    CHECK(symlink("nowhere", tree_path("data/gone")) == 0);
    Dataset *dataset = scan("data");
    CHECK_INT(dataset->clip_count, 2);
    CHECK_INT(dataset->machines[0].train_count, 1);
    CHECK_WARNING(dataset, "fan/test/3.wav: cannot be looked at");
    CHECK_WARNING(dataset, "/gone: leads nowhere");
    dataset_free(dataset);
    tree_end();
}

TEST(deep_folders_are_a_warning) {
    tree_begin();
    char path[512] = "";
    for (int i = 0; i < LIMIT_DEPTH + 3; i++) {
        strcat(path, "d/");
    }
    strcat(path, "fan/train/1.wav");
    put(path);
    put("fan/train/1.wav");
    Dataset *dataset = scan("");
    CHECK_INT(dataset->clip_count, 1);
    CHECK_WARNING(dataset, "16 folders deep: ignored");
    dataset_free(dataset);
    tree_end();
}

TEST(unreadable_folder_and_file_are_named) {
    if (geteuid() == 0) {
        TEST_SKIP("root may read everything");
    }
    tree_begin();
    put("fan/train/1.wav");
    put("fan/test/1.wav");
    put("pump/train/1.wav");
    CHECK(chmod(tree_path("fan/train/1.wav"), 0) == 0);
    CHECK(chmod(tree_path("pump/train"), 0) == 0);
    Dataset *dataset = scan("");
    CHECK_WARNING(dataset, "fan/train/1.wav: may not be read");
    CHECK_WARNING(dataset, "pump/train: cannot be opened");
    dataset_free(dataset);
    CHECK(chmod(tree_path("pump/train"), 0700) == 0);
    tree_end();
}

TEST(unclean_names_are_left_out_escaped) {
    tree_begin();
    put("fan/train/1.wav");
    put("fan/test/bad\xFFname.wav");
    put("fan/test/new\nline.wav");
    put("fan/test/gr\xC3\xBC\xC3\x9F.wav");
    put("m\xE9nage/train/1.wav");
    Dataset *dataset = scan("");
    CHECK_INT(dataset->clip_count, 2);
    CHECK_INT(dataset->left_out_count, 2);
    CHECK_TEXT(dataset->left_out[0].path, "fan/test/bad\\xFFname.wav");
    CHECK_INT(dataset->left_out[0].clip, -1);
    CHECK_WARNING(dataset, "new\\x0Aline.wav: left out: the name is not clean UTF-8");
    CHECK_WARNING(dataset, "m\\xE9nage: the name is not clean UTF-8");
    dataset_free(dataset);
    tree_end();
}

TEST(other_files_are_one_warning_a_folder) {
    tree_begin();
    put("fan/train/1.wav");
    put("fan/train/notes.txt");
    put("fan/train/1.mp3");
    put("fan/train/sub/2.wav");
    put("fan/train/.hidden.wav");
    put("fan/train/.DS_Store");
    put("fan/test/1.wav");
    put("__MACOSX/fan/train/1.wav");
    put("loose.wav");
    Dataset *dataset = scan("");
    CHECK_INT(dataset->clip_count, 2);
    CHECK_INT(dataset->warning_count, 3);
    CHECK_WARNING(dataset, "fan/train: 2 files that are no clips ignored, such as 1.mp3");
    CHECK_WARNING(dataset, "fan/train: 1 folders inside it ignored, such as sub");
    CHECK_WARNING(dataset, "1 clips that lie in no train or test folder ignored");
    dataset_free(dataset);
    tree_end();
}

TEST(folder_called_like_a_clip_and_fifo_are_no_clips) {
    tree_begin();
    put("fan/train/1.wav");
    put("fan/test/1.wav");
    CHECK_OK(file_make_folders(tree_path("fan/train/2.wav")));
    CHECK(mkfifo(tree_path("fan/test/3.wav"), 0600) == 0);
    Dataset *dataset = scan("");
    CHECK_INT(dataset->clip_count, 2);
    CHECK_WARNING(dataset, "fan/test/3.wav: has a clip's name but is not a file");
    dataset_free(dataset);
    tree_end();
}

TEST(machine_without_training_or_test_clips_is_warned_of) {
    tree_begin();
    put("dev_data/fan/test/1.wav");
    put("dev_data/pump/train/1.wav");
    put("dev_data/saw/train/section_00_source_train_anomaly_0000.wav");
    put("dev_data/saw/test/1.wav");
    Dataset *dataset = scan("");
    CHECK_INT(dataset->warning_count, 3);
    CHECK_WARNING(dataset, "fan (dev): no training clips");
    CHECK_WARNING(dataset, "pump (dev): no test clips");
    CHECK_WARNING(dataset, "saw (dev): no training clips");
    dataset_free(dataset);
    tree_end();
}

TEST(no_clips_is_one_clear_sentence) {
    tree_begin();
    CHECK_OK(file_make_folders(tree_path("fan/train")));
    Dataset *dataset = NULL;
    CHECK_INT(scan_roots(NULL, &dataset, "", NULL), STATUS_NOT_FOUND);
    CHECK(dataset == NULL);
    CHECK_HAS(status_message(), "no clips in ");
    CHECK_HAS(status_message(), "looked for .wav, .flac and .npy files in MACHINE/train");
    put("fan/1.wav");
    CHECK_INT(scan_roots(NULL, &dataset, "", NULL), STATUS_NOT_FOUND);
    CHECK_HAS(status_message(), "1 lie outside of MACHINE/train");
    tree_end();
}

TEST(absent_root_is_an_error) {
    tree_begin();
    put("fan/train/1.wav");
    Dataset *dataset = NULL;
    CHECK_INT(scan_roots(NULL, &dataset, "", "absent", NULL), STATUS_NOT_FOUND);
    CHECK_HAS(status_message(), "/absent");
    CHECK_INT(scan_roots(NULL, &dataset, "fan/train/1.wav", NULL), STATUS_NOT_FOUND);
    CHECK_INT(scan_roots(NULL, &dataset, NULL), STATUS_INVALID);
    tree_end();
}

TEST(same_root_twice_is_read_once) {
    tree_begin();
    put("fan/train/1.wav");
    put("fan/test/1.wav");
    Dataset *dataset = NULL;
    CHECK_OK(scan_roots(NULL, &dataset, "", "", NULL));
    CHECK_INT(dataset->clip_count, 2);
    CHECK_INT(dataset->left_out_count, 0);
    CHECK_WARNING(dataset, "has been read already as part of another data folder");
    dataset_free(dataset);
    tree_end();
}

TEST(failing_allocations_leak_nothing) {
    tree_begin();
    put("fan/train/section_00_source_train_normal_0000_v_1.wav");
    put_text("fan/test/section_00_0000.wav", "one");
    put_text("fan/test_rename/section_00_source_test_normal_0000_.wav", "one");
    put_text("fan/attributes_00.csv",
             "file_name,d1p,d1v\ntrain/section_00_source_train_normal_0000_v_1.wav,v,2\n");
    Dataset *dataset = NULL;
    long blocks = mem_blocks();
    long successes = 0;
    for (;; successes++) {
        mem_fail_after(successes);
        Status status = scan_roots(NULL, &dataset, "", NULL);
        int failed = mem_has_failed();
        mem_fail_after(-1);
        if (!failed) {
            CHECK_OK(status);
            break;
        }
        CHECK_INT(status, STATUS_MEMORY);
        CHECK_INT(mem_blocks(), blocks);
    }
    CHECK(successes > 10);
    dataset_free(dataset);
    CHECK_INT(mem_blocks(), blocks);
    tree_end();
}

TEST(thousands_of_clips_are_scanned_and_sorted) {
    tree_begin();
    char path[256];
    for (int i = 0; i < 2500; i++) {
        snprintf(path, sizeof path, "m%02d/%s/section_00_%s_%04d_v_%d.wav", i % 20,
                 i % 5 == 0 ? "test" : "train",
                 i % 5 == 0 ? "source_test_anomaly" : "source_train_normal", i, i % 7);
        put(path);
    }
    Dataset *dataset = scan("");
    CHECK_INT(dataset->clip_count, 2500);
    CHECK_INT(dataset->machine_count, 20);
    for (uint32_t i = 1; i < dataset->clip_count; i++) {
        const Clip *a = &dataset->clips[i - 1], *b = &dataset->clips[i];
        CHECK(a->machine < b->machine ||
              (a->machine == b->machine &&
               (a->split < b->split || (a->split == b->split && strcmp(a->path, b->path) < 0))));
    }
    dataset_free(dataset);
    tree_end();
}

TEST_MAIN_LIST(
    T(anomaly_among_training_clips_is_left_out_and_keeps_its_index)
        T(second_clip_of_a_name_is_left_out_naming_the_first)
            T(divided_copy_of_another_size_is_left_out_not_dropped)
                T(a_machine_name_too_long_for_file_names_is_ignored_with_a_warning)
                    T(symlink_loop_ends_with_a_warning) T(links_to_folders_and_files_are_followed)
                        T(deep_folders_are_a_warning) T(unreadable_folder_and_file_are_named)
                            T(unclean_names_are_left_out_escaped)
                                T(other_files_are_one_warning_a_folder)
                                    T(folder_called_like_a_clip_and_fifo_are_no_clips) T(
                                        machine_without_training_or_test_clips_is_warned_of)
                                        T(no_clips_is_one_clear_sentence) T(absent_root_is_an_error)
                                            T(same_root_twice_is_read_once)
                                                T(failing_allocations_leak_nothing)
                                                    T(thousands_of_clips_are_scanned_and_sorted))
