// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include "coordinator/commands.h"
#include "tests/unit/dataset/tree.h"

static char stdout_text[65536];

// Runs the command with its stdout in a file; returns the exit status.
static int run(int (*command)(int, char **), const char *const *words) {
    char *argv[16];
    int argc = 0;
    for (; words[argc] != NULL; argc++) {
        argv[argc] = (char *)(uintptr_t)words[argc];
    }
    argv[argc] = NULL;
    char path[512];
    snprintf(path, sizeof path, "%s.stdout", tree);
    fflush(stdout);
    int kept = dup(STDOUT_FILENO), quiet = dup(STDERR_FILENO);
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), null = open("/dev/null", O_WRONLY);
    CHECK(kept >= 0 && quiet >= 0 && file >= 0 && null >= 0);
    dup2(file, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    int status = command(argc, argv);
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    dup2(quiet, STDERR_FILENO);
    ssize_t size = pread(file, stdout_text, sizeof stdout_text - 1, 0);
    stdout_text[size > 0 ? size : 0] = '\0';
    close(kept), close(quiet), close(file), close(null);
    unlink(path);
    return status;
}

#define RUN(command, ...) run(command, (const char *const[]){__VA_ARGS__, NULL})

static void put_fan(void) {
    put("fan/train/section_00_source_train_normal_0000_v_1.wav");
    put("fan/train/section_00_source_train_anomaly_0001_v_1.wav");
    put("fan/test/section_00_target_test_anomaly_0000_v_2.wav");
}

TEST(scan_prints_machines_clips_and_what_is_left_out) {
    tree_begin();
    put_fan();
    CHECK_INT(RUN(cmd_scan, "scan", "--data", tree), 0);
    CHECK_HAS(stdout_text, "set  machine  year  sections  train  test");
    CHECK_HAS(stdout_text, "dev  fan      -     00            2     1");
    CHECK_HAS(stdout_text, "dev  fan      00       target  anomaly  test   v=2         "
                           "fan/test/section_00_target_test_anomaly_0000_v_2.wav\n");
    CHECK_HAS(stdout_text, "left out: fan/train/section_00_source_train_anomaly_0001_v_1.wav: an "
                           "anomaly among the training clips\n");
    CHECK_INT(RUN(cmd_scan, "scan", "--data", tree, "--summary"), 0);
    CHECK(strstr(stdout_text, "fan/test/") == NULL);
    tree_end();
}

TEST(scan_csv_is_a_manifest) {
    tree_begin();
    put_fan();
    char csv[512];
    snprintf(csv, sizeof csv, "%s/all.csv", tree);
    CHECK_INT(RUN(cmd_scan, "scan", "--data", tree, "--csv", "-"), 0);
    CHECK(strncmp(stdout_text, "root,path,set,machine,", 22) == 0);
    char printed[sizeof stdout_text];
    memcpy(printed, stdout_text, sizeof printed);
    CHECK_INT(RUN(cmd_scan, "scan", "--data", tree, "--csv", csv), 0);
    CHECK_HAS(stdout_text, "set  machine");
    CHECK_INT(RUN(cmd_scan, "scan", "--data", tree, "--manifest", csv, "--csv", "-"), 0);
    CHECK_TEXT(stdout_text, printed);
    tree_end();
}

TEST(scan_json_names_unknown_as_null) {
    tree_begin();
    put("press \"3\"/train/1.wav");
    put("press \"3\"/test/1.wav");
    CHECK_INT(RUN(cmd_scan, "scan", "--data", tree, "--json"), 0);
    CHECK_HAS(stdout_text, "{\"machines\":[\n{\"set\":\"plain\",\"machine\":\"press \\\"3\\\"\","
                           "\"year\":null,\"train\":1,\"test\":1,\"supplemental\":0}],");
    CHECK_HAS(stdout_text, "\"section\":null,\"domain\":null,\"label\":null,\"split\":\"test\"");
    CHECK_HAS(stdout_text, "\"warnings\":[]}\n");
    tree_end();
}

TEST(scan_exit_status_tells_usage_from_failure) {
    tree_begin();
    CHECK_INT(RUN(cmd_scan, "scan"), 2);
    CHECK_INT(RUN(cmd_scan, "scan", "--nonsense"), 2);
    CHECK_INT(RUN(cmd_scan, "scan", tree), 2);
    CHECK_INT(RUN(cmd_scan, "scan", "--data", tree, "--csv", "-", "--json"), 2);
    CHECK_INT(RUN(cmd_scan, "scan", "--data", tree), 3);
    CHECK_INT(RUN(cmd_scan, "scan", "--data", "/nowhere/at/all"), 3);
    CHECK_INT(RUN(cmd_scan, "scan", "--help"), 0);
    CHECK_HAS(stdout_text, "usage: auscult scan --data DIR");
    put_fan();
    CHECK_INT(RUN(cmd_scan, "scan", "--data", tree, "--csv", "/nowhere/at/all.csv"), 3);
    tree_end();
}

TEST(synth_writes_what_scan_reads) {
    tree_begin();
    char out[512];
    snprintf(out, sizeof out, "%s/set", tree);
    CHECK_INT(RUN(cmd_synth, "synth", "--out", out, "--machines", "saw,press", "--train", "4",
                  "--test", "4", "--seconds", "0.1", "--year", "2026", "--set", "dev"),
              0);
    CHECK_INT(RUN(cmd_scan, "scan", "--data", out), 0);
    CHECK_HAS(stdout_text, "dev  press");
    CHECK_HAS(stdout_text, "dev  saw");
    tree_end();
}

TEST(synth_exit_status_tells_usage_from_failure) {
    tree_begin();
    put("full/x");
    char full[512];
    snprintf(full, sizeof full, "%s/full", tree);
    CHECK_INT(RUN(cmd_synth, "synth"), 2);
    CHECK_INT(RUN(cmd_synth, "synth", "--out", full), 2);
    CHECK_INT(RUN(cmd_synth, "synth", "--out", full, "--year", "1999"), 2);
    CHECK_INT(RUN(cmd_synth, "synth", "--out", full, "--train", "many"), 2);
    CHECK_INT(RUN(cmd_synth, "synth", "--out", full, "--set", "some"), 2);
    CHECK_INT(RUN(cmd_synth, "synth", "--out", "/proc/none"), 3);
    CHECK_INT(RUN(cmd_synth, "synth", "-h"), 0);
    CHECK_HAS(stdout_text, "usage: auscult synth --out DIR");
    tree_end();
}

// clang-format off
TEST_MAIN_LIST(
    T(scan_prints_machines_clips_and_what_is_left_out)
    T(scan_csv_is_a_manifest)
    T(scan_json_names_unknown_as_null)
    T(scan_exit_status_tells_usage_from_failure)
    T(synth_writes_what_scan_reads)
    T(synth_exit_status_tells_usage_from_failure))
