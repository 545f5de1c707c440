// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "common/base/config.h"
#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"

// Compares values, since padding between them may differ.
static bool same(const Settings *a, const Settings *b) {
    return digest_equal(settings_digest(a, SETTING_EXECUTION),
                        settings_digest(b, SETTING_EXECUTION));
}

static Settings read_ok(const char *text) {
    Settings settings;
    CHECK_OK(settings_preset("default", &settings));
    CHECK_OK(config_read_text("x.yaml", text, strlen(text), &settings));
    return settings;
}

// The text must be refused with `status`, the message must hold all of `parts`, separated by '|',
// and the settings must be as they were.
static void check_refused_bytes(const char *text, size_t size, Status status, const char *parts) {
    Settings settings, before;
    char copy[256];
    CHECK_OK(settings_preset("default", &settings));
    before = settings;
    CHECK_INT(config_read_text("x.yaml", text, size, &settings), status);
    CHECK(same(&settings, &before));
    snprintf(copy, sizeof copy, "%s", parts);
    for (char *part = strtok(copy, "|"); part != NULL; part = strtok(NULL, "|")) {
        CHECK_HAS(status_message(), part);
    }
}

static void check_refused(const char *text, Status status, const char *parts) {
    check_refused_bytes(text, strlen(text), status, parts);
}

TEST(keys_of_a_file_are_applied) {
    Settings s =
        read_ok("# ours\nn_mels: 64   # fewer\n\nepochs: 7\nscaler: \"none\"\nfmax: null\n");
    CHECK_INT(s.n_mels, 64);
    CHECK_INT(s.epochs, 7);
    CHECK_INT(s.scaler, SCALER_NONE);
    CHECK(s.fmax == 0);
    CHECK_INT(s.n_fft, 1024);
}

TEST(a_file_without_keys_changes_nothing) {
    static const char *const EMPTY[] = {"", "\n", "# only a remark\n", "{}\n"};
    Settings defaults;
    CHECK_OK(settings_preset("default", &defaults));
    for (size_t i = 0; i < sizeof EMPTY / sizeof EMPTY[0]; i++) {
        Settings s = read_ok(EMPTY[i]);
        CHECK(same(&s, &defaults));
    }
}

TEST(what_is_written_reads_back_the_same) {
    Settings s = read_ok("learning_rate: 0.30000000000000004\nseed: 9007199254740992\n"
                         "threshold: percentile\nspread: never\nfmin: 1e-3\n");
    Buffer text = BUFFER_EMPTY;
    settings_write(&s, SETTING_EXECUTION, &text);
    Settings back = read_ok(buffer_cstr(&text));
    CHECK(same(&back, &s));
    buffer_done(&text);
}

TEST(line_ends_and_a_byte_order_mark_do_not_matter) {
    CHECK_INT(read_ok("n_mels: 64\r\nepochs: 7\r\n").epochs, 7);
    CHECK_INT(read_ok("\xEF\xBB\xBFn_mels: 64\nepochs: 7").epochs, 7);
    check_refused("\r\nepochs: 7\r\nepochz: 8\r\n", STATUS_INVALID, "line 3|epochs");
}

TEST(seeds_are_read_from_lists_of_both_forms) {
    static const char *const FORMS[] = {
        "seeds: [3, 1, 2]\nepochs: 7\n", "seeds:\n  - 3\n  - 1\n  - 2\nepochs: 7\n",
        "seeds:\n- 3\n- 1 # one\n- \"2\"\nepochs: 7\n", "seeds: 3, 1, 2\nepochs: 7\n",
        "seed: 4\nseeds: [3,\n 1, 2]\nepochs: 7\n"};
    for (size_t i = 0; i < sizeof FORMS / sizeof FORMS[0]; i++) {
        Settings s = read_ok(FORMS[i]);
        CHECK_INT(s.seeds.count, 3);
        CHECK_INT(s.seed, 3);
        CHECK_INT(s.seeds.seeds[2], 2);
        CHECK_INT(s.epochs, 7);
        Buffer text = BUFFER_EMPTY;
        settings_write(&s, SETTING_EXECUTION, &text);
        CHECK_HAS(buffer_cstr(&text), "seed: 3\nseeds: [3, 1, 2]\n");
        Settings back = read_ok(buffer_cstr(&text));
        CHECK(same(&back, &s));
        buffer_done(&text);
    }
    CHECK_INT(read_ok("seeds: []\nepochs: 7\n").epochs, 7);
    CHECK_INT(read_ok("seeds: [5]\n").seed, 5);
    check_refused("epochs: 7\nseeds:\n- 1\n- x\n", STATUS_INVALID, "line 3|seeds|[1, x]");
    check_refused("seeds: [1, 1]\n", STATUS_INVALID, "line 1|seeds|each once");
    check_refused("seeds: [[1], 2]\n", STATUS_FORMAT, "line 1|seeds");
    check_refused("seeds: [{a: 1}]\n", STATUS_FORMAT, "line 1|seeds");
    check_refused("seeds: [1, 2\n", STATUS_FORMAT, "x.yaml line");
    check_refused("seeds: [1]\nseeds: [2]\n", STATUS_INVALID, "line 2|seeds|twice|in line 1");
    check_refused("seeds: [1, \"2, 3\"]\n", STATUS_INVALID, "line 1|'2, 3' is no item");
}

TEST(scores_are_read_alone_or_from_lists) {
    CHECK_INT(read_ok("score: MAHALA\n").score, SCORE_MAHALA);
    Settings s = read_ok("score:\n- MSE\n- 'CLIPMAHALA'\nepochs: 7\n");
    CHECK_INT(s.scores.count, 2);
    CHECK_INT(s.scores.kinds[1], SCORE_CLIPMAHALA);
    CHECK_INT(s.epochs, 7);
    check_refused("epochs: 7\nscore: [MSE, 3]\n", STATUS_INVALID, "line 2|score|MAHALA");
    check_refused("score: {MSE: 1}\n", STATUS_FORMAT, "line 1|score");
}

TEST(a_matrix_is_read_from_a_mapping_of_both_forms) {
    static const char *const FORMS[] = {
        "matrix: {n_mels: [64, 128], seed: [7, 5], score: [MSE, MAHALA]}\nepochs: 7\n",
        ("matrix:\n  n_mels: [64, 128]\n  seeds:\n    - 7\n    - 5\n  score:\n  - MSE\n  - MAHALA\n"
         "  power: 2\nepochs: 7\n"),
        "score: [MSE, MAHALA]\nseeds: 7, 5\nmatrix: \"{n_mels: [64, 128]}\"\nepochs: 7\n"};
    for (size_t i = 0; i < sizeof FORMS / sizeof FORMS[0]; i++) {
        Settings s = read_ok(FORMS[i]);
        CHECK_OK(settings_check(&s));
        CHECK_INT(s.epochs, 7);
        Buffer text = BUFFER_EMPTY;
        settings_write(&s, SETTING_EXECUTION, &text);
        CHECK_HAS(buffer_cstr(&text), "seed: 7\nseeds: [7, 5]\n");
        CHECK_HAS(buffer_cstr(&text), "score: [MSE, MAHALA]\n");
        CHECK_HAS(buffer_cstr(&text), "matrix: {n_mels: [64, 128]}\n");
        Settings back = read_ok(buffer_cstr(&text));
        CHECK(same(&back, &s));
        buffer_done(&text);
    }
}

TEST(faults_of_a_matrix_are_named_with_their_own_line) {
    check_refused("matrix:\n  n_mels: [64, 128]\n  epoch: [1, 2]\n", STATUS_INVALID,
                  "line 3|matrix|'epochs'");
    check_refused("matrix:\n  n_mels: [64, 0]\n", STATUS_INVALID, "line 2|n_mels|from 1 to 1024");
    check_refused("matrix:\n  n_mels: [64, 32]\n  n_mels: [16, 8]\n", STATUS_INVALID,
                  "line 3|n_mels|twice, first in line 2");
    check_refused("matrix:\n  numerics: [auto, haswell]\n", STATUS_INVALID, "line 2|cannot vary");
    check_refused("matrix:\n  n_mels:\n    a: 1\n", STATUS_FORMAT, "line 3|n_mels");
    check_refused("matrix:\n  n_mels: [[1, 2], 3]\n", STATUS_FORMAT, "line 2");
    check_refused("matrix: [64, 128]\n", STATUS_FORMAT, "line 1|matrix");
    check_refused("matrix: 64\n", STATUS_INVALID, "line 1|matrix|{key: [value, ...], ...}");
    check_refused("matrix: {}\nmatrix: {}\n", STATUS_INVALID, "line 2|matrix|twice");
}

TEST(errors_name_file_and_line) {
    check_refused("n_mels: 64\n\nepoch: 7\n", STATUS_INVALID, "x.yaml line 3|epoch|epochs");
    check_refused("n_mels: 64\nepochs: 0\n", STATUS_INVALID, "x.yaml line 2|from 1 to 1000000");
    check_refused("# a\n# b\npad_mode: mirror\n", STATUS_INVALID, "line 3|zeros or reflect");
    check_refused("epochs:\n", STATUS_INVALID, "line 1|epochs");
}

TEST(a_repeated_key_is_refused) {
    check_refused("epochs: 7\nn_mels: 64\nepochs: 7\n", STATUS_INVALID, "line 3|epochs|twice");
    check_refused("--epochs: 7\nepochs: 7\n", STATUS_INVALID, "line 2|epochs|twice");
}

TEST(only_flat_keys_with_one_value_are_accepted) {
    check_refused("feature:\n  n_mels: 64\n", STATUS_FORMAT, "line 2|feature");
    check_refused("epochs: [1, 2]\n", STATUS_FORMAT, "line 1|epochs|matrix: {");
    check_refused("- epochs\n- n_mels\n", STATUS_FORMAT, "line 1");
    check_refused("epochs\n", STATUS_FORMAT, "line 1|key: value");
    check_refused("n_mels: &a 64\nepochs: *a\n", STATUS_FORMAT, "line 2|alias");
    check_refused("[1]: 2\n", STATUS_FORMAT, "line 1");
    check_refused("\"\": 2\n", STATUS_FORMAT, "line 1|no key");
}

TEST(what_is_not_yaml_is_refused_with_its_line) {
    check_refused("n_mels: 64\n\tepochs: 7\n", STATUS_FORMAT, "x.yaml line 2|a tab");
    check_refused("matrix:\n\tn_mels: [64, 128]\n", STATUS_FORMAT, "x.yaml line 2|a tab");
    check_refused("n_mels: 64\nepochs: \"7\n", STATUS_FORMAT, "x.yaml line");
    check_refused("n_mels: 64\nepochs: 7: 8\n", STATUS_FORMAT, "x.yaml line 2");
    check_refused("n_mels: \xFF\n", STATUS_FORMAT, "x.yaml line 1");
    check_refused_bytes("n_mels: 6\0004\n", 12, STATUS_FORMAT, "x.yaml line 1");
    check_refused("\"n_mels\\0\": 64\n", STATUS_FORMAT, "line 1|zero byte");
    check_refused("RIFF\x01\x02", STATUS_FORMAT, "x.yaml");
}

TEST(long_keys_and_values_are_refused) {
    char text[2000];
    memset(text, 'a', sizeof text);
    memcpy(text + 100, ": 1\n", 5);
    check_refused(text, STATUS_FORMAT, "no key");
    memset(text, 'a', sizeof text);
    memcpy(text, "epochs: ", 8);
    memcpy(text + 1000, "\n", 2);
    check_refused(text, STATUS_FORMAT, "line 1|too long");
}

// Deep nesting must not be followed: the first bracket already is an answer.
TEST(deep_nesting_is_refused_at_once) {
    static char text[200000];
    memset(text, '[', sizeof text - 1);
    check_refused(text, STATUS_FORMAT, "line 1");
}

TEST(the_official_baselines_file_is_accepted_as_it_is) {
    // The keys of dcase2023_task2_baseline_ae's baseline.yaml, other values where ours would not
    // tell whether they were read.
    Settings s = read_ok("--dataset_directory: ./data\n--result_directory: ./results\n"
                         "--export_dir: baseline\n\n--use_cuda: True\n--log_interval: 100\n"
                         "--model: DCASE2023T2-AE\n--score: MSE\n--seed: 4\n"
                         "--is_auto_download: False\n\n--max_fpr: 0.2\n--decision_threshold: 0.8\n"
                         "\n# feature\n--n_mels: 64\n--frames: 3\n--frame_hop_length: 2\n"
                         "--win_length: null\n--n_fft: 512\n--hop_length: 256\n--power: 1.0\n"
                         "--fmin: 10.0\n--fmax: null\n\n# fit\n--batch_size: 128\n--epochs: 9\n"
                         "-lr: 0.01\n--shuffle: True\n--validation_split: 0.2\n");
    CHECK_INT(s.score, SCORE_MSE);
    CHECK_INT(s.seed, 4);
    CHECK(s.max_fpr == 0.2 && s.decision_threshold == 0.8);
    CHECK_INT(s.n_mels, 64);
    CHECK_INT(s.frames, 3);
    CHECK_INT(s.frame_hop_length, 2);
    CHECK_INT(s.n_fft, 512);
    CHECK_INT(s.hop_length, 256);
    CHECK_INT(s.win_length, 512); // null: n_fft, though it stands below
    CHECK(s.power == 1 && s.fmin == 10 && s.fmax == 0);
    CHECK_INT(s.batch_size, 128);
    CHECK_INT(s.epochs, 9);
    CHECK(s.learning_rate == 0.01 && s.validation_split == 0.2);
    CHECK_OK(settings_check(&s));
}

TEST(what_of_the_official_file_does_not_apply_is_told_once_and_why) {
    char path[300];
    Settings s, defaults;
    Buffer notes = BUFFER_EMPTY;
    const char *folder = test_folder();
    snprintf(path, sizeof path, "%s/baseline.yaml", folder);
    static const char TEXT[] =
        "--dataset_directory: ./data\n--use_cuda: True\n--gpu_id: [0, 1]\n--n_mels: 64\n"
        "--model: DCASE2023T2-AE\n-tag: x\n--export_dir: baseline\n--use_ids: [ ]\n";
    CHECK_OK(settings_preset("default", &defaults));
    s = defaults;
    CHECK_OK(file_write(path, TEXT, sizeof TEXT - 1));
    CHECK_OK(config_read_file(path, &s, &notes));
    CHECK_TEXT(buffer_cstr(&notes),
               "dataset_directory (data are given by --data); tag, export_dir (results go to "
               "--out); use_ids (all machines below --data are taken); use_cuda, gpu_id (training "
               "runs on processors)");
    CHECK_INT(s.n_mels, 64);
    CHECK_OK(settings_set(&s, "n_mels", "128"));
    CHECK(same(&s, &defaults));
    buffer_done(&notes);
    CHECK_OK(file_write(path, "n_mels: 64\n", 11));
    CHECK_OK(config_read_file(path, &s, &notes));
    CHECK_INT(notes.size, 0);
    CHECK_OK(file_remove_tree(folder));
    check_refused("--use_cuda: True\n--use_cuda: True\n", STATUS_INVALID, "line 2|use_cuda|twice");
    check_refused("--model: OTHER\n", STATUS_INVALID, "line 1|model|DCASE2023T2-AE");
}

TEST(only_the_dashed_form_passes_over_the_baselines_own_keys) {
    check_refused("use_cuda: True\n", STATUS_INVALID, "line 1|use_cuda");
    check_refused("lr: 0.1\n", STATUS_INVALID, "line 1|lr");
    check_refused("--n_mel: 64\n", STATUS_INVALID, "line 1|n_mels");
    check_refused("--shuffle: False\n", STATUS_INVALID, "line 1|shuffle|True");
    check_refused("--model: [a]\n", STATUS_FORMAT, "line 1");
    check_refused("--: 1\n", STATUS_FORMAT, "line 1|no key");
}

TEST(files_are_bounded_and_named) {
    char path[300];
    Buffer notes = BUFFER_EMPTY;
    Settings settings;
    const char *folder = test_folder();
    snprintf(path, sizeof path, "%s/c.yaml", folder);
    CHECK_OK(settings_preset("default", &settings));
    CHECK_INT(config_read_file(path, &settings, &notes), STATUS_NOT_FOUND);
    CHECK_HAS(status_message(), path);
    CHECK_OK(file_write(path, "epochs: 3\n", 10));
    CHECK_OK(config_read_file(path, &settings, &notes));
    CHECK_INT(settings.epochs, 3);
    CHECK_OK(file_write(path, "epochs: x\n", 10));
    CHECK_INT(config_read_file(path, &settings, &notes), STATUS_INVALID);
    CHECK_HAS(status_message(), "c.yaml line 1");
    static char big[LIMIT_CONFIG_BYTES + 1];
    memset(big, '\n', sizeof big);
    CHECK_OK(file_write(path, big, sizeof big));
    CHECK_INT(config_read_file(path, &settings, &notes), STATUS_LIMIT);
    CHECK_OK(file_remove_tree(folder));
}

TEST(no_memory_is_an_error_and_leaks_nothing) {
    static const char TEXT[] = "seeds: [1, 2]\nmatrix: {n_mels: [64, 128]}\n--use_cuda: 1\n";
    char path[300];
    Settings settings;
    const char *folder = test_folder();
    snprintf(path, sizeof path, "%s/c.yaml", folder);
    CHECK_OK(file_write(path, TEXT, sizeof TEXT - 1));
    CHECK_OK(settings_preset("default", &settings));
    long before = mem_blocks();
    for (long successes = 0;; successes++) {
        Buffer notes = BUFFER_EMPTY;
        mem_fail_after(successes);
        Status status = config_read_file(path, &settings, &notes);
        int failed = mem_has_failed();
        mem_fail_after(-1);
        buffer_done(&notes);
        CHECK_INT(mem_blocks(), before);
        if (!failed) {
            CHECK_INT(status, STATUS_OK);
            CHECK(successes > 0);
            break;
        }
        CHECK_INT(status, STATUS_MEMORY);
    }
    CHECK_OK(file_remove_tree(folder));
}

TEST_MAIN_LIST(
    T(keys_of_a_file_are_applied) T(a_file_without_keys_changes_nothing)
        T(what_is_written_reads_back_the_same) T(line_ends_and_a_byte_order_mark_do_not_matter)
            T(seeds_are_read_from_lists_of_both_forms) T(scores_are_read_alone_or_from_lists)
                T(a_matrix_is_read_from_a_mapping_of_both_forms)
                    T(faults_of_a_matrix_are_named_with_their_own_line) T(
                        what_of_the_official_file_does_not_apply_is_told_once_and_why)
                        T(errors_name_file_and_line) T(a_repeated_key_is_refused) T(
                            only_flat_keys_with_one_value_are_accepted)
                            T(what_is_not_yaml_is_refused_with_its_line) T(
                                long_keys_and_values_are_refused) T(deep_nesting_is_refused_at_once)
                                T(the_official_baselines_file_is_accepted_as_it_is)
                                    T(only_the_dashed_form_passes_over_the_baselines_own_keys)
                                        T(files_are_bounded_and_named)
                                            T(no_memory_is_an_error_and_leaks_nothing))
