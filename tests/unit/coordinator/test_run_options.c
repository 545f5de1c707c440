// SPDX-License-Identifier: Apache-2.0
//
// The command line of a run: what is accepted, and what is said of what is not.
#include "common/base/file.h"
#include "coordinator/run_options.h"
#include "tests/unit/test.h"

static RunOptions options;
static char said[4096]; // what the last parse printed, on either stream

static int parse(const char *const *words) {
    char *argv[128];
    int argc = 0;
    argv[argc++] = (char *)(size_t) "run";
    for (; *words != NULL; words++) {
        argv[argc++] = (char *)(size_t)*words;
    }
    argv[argc] = NULL;
    char name[] = "/tmp/auscult-options-XXXXXX";
    int file = mkstemp(name);
    CHECK(file >= 0);
    unlink(name);
    fflush(NULL);
    int kept[2] = {dup(1), dup(2)};
    dup2(file, 1);
    dup2(file, 2);
    int status = run_options_parse(argc, argv, &options);
    fflush(NULL);
    for (int fd = 0; fd < 2; fd++) {
        dup2(kept[fd], fd + 1);
        close(kept[fd]);
    }
    ssize_t size = pread(file, said, sizeof said - 1, 0);
    said[size > 0 ? size : 0] = '\0';
    close(file);
    return status;
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

// A usage error that names what was given and what is accepted.
#define CHECK_REFUSED(given, accepted, ...)                                                        \
    do {                                                                                           \
        CHECK_INT(PARSE(__VA_ARGS__), 2);                                                          \
        CHECK_HAS(said, given);                                                                    \
        CHECK_HAS(said, accepted);                                                                 \
        CHECK_HAS(said, "auscult run");                                                            \
    } while (0)

TEST(a_plain_command_line_is_taken) {
    CHECK_INT(PARSE("--data", "a", "--out", "b", "--data", "c d", "--local", "3", "--strict",
                    "--set", "epochs=3", "--label", "Me_Inst_task2_1"),
              -1);
    CHECK_INT(options.root_count, 2);
    CHECK_TEXT(options.roots[1], "c d");
    CHECK_TEXT(options.out, "b");
    CHECK_INT(options.local_workers, 3);
    CHECK(options.is_strict && !options.is_quiet && !options.is_json);
    CHECK_INT(options.assignment_count, 1);
    CHECK_TEXT(said, "");
}

TEST(what_is_not_said_has_defaults) {
    CHECK_INT(PARSE("--out", "b"), -1);
    CHECK_INT(options.root_count, 0);
    CHECK(options.local_workers == UINT32_MAX && options.bind == NULL && options.preset == NULL);
    CHECK_TEXT(options.label, "auscult_task2_1");
}

TEST(help_and_version_are_no_errors) {
    CHECK_INT(PARSE("--help"), 0);
    CHECK_HAS(said, "usage: auscult run");
    CHECK_INT(PARSE("--version"), 0);
    CHECK_HAS(said, AUSCULT_VERSION);
    CHECK_INT(PARSE("--help-settings"), 0);
    CHECK_HAS(said, "n_mels");
}

TEST(wrong_values_name_what_is_accepted) {
    CHECK_REFUSED("-1", "0 to 1024", "--out", "b", "--local", "-1");
    CHECK_REFUSED("1025", "0 to 1024", "--out", "b", "--local", "1025");
    CHECK_REFUSED("2 ", "0 to 1024", "--out", "b", "--local", "2 ");
    CHECK_REFUSED("many", "0 to 1024", "--out", "b", "--local", "many");
    CHECK_REFUSED("99999999999999999999", "0 to 1024", "--out", "b", "--local",
                  "99999999999999999999");
    CHECK_REFUSED("udp://x:1", "tcp://HOST:PORT", "--out", "b", "--bind", "udp://x:1");
    CHECK_REFUSED("a b", "letters, digits", "--out", "b", "--label", "a b");
    CHECK_REFUSED("../x", "letters, digits", "--out", "b", "--label", "../x");
    CHECK_REFUSED(".x", "letters, digits", "--out", "b", "--label", ".x");
    CHECK_REFUSED("", "letters, digits", "--out", "b", "--label", "");
    CHECK_REFUSED("--local 0", "--bind", "--out", "b", "--local", "0");
    CHECK_REFUSED("stray", "--data DIR", "--out", "b", "stray");
}

// "--out $RUN" with RUN not set: the root of the disk would be the run's folder.
TEST(a_run_needs_a_folder_with_a_name) {
    CHECK_REFUSED("--out", "missing", "--data", "a");
    CHECK_REFUSED("--out", "missing", "--data", "a", "--out", "");
    CHECK_REFUSED("--data", "empty", "--data", "", "--out", "b");
}

TEST(unknown_options_and_missing_values_are_refused) {
    CHECK_INT(PARSE("--out", "b", "--unheard-of"), 2);
    CHECK_HAS(said, "unheard-of");
    CHECK_INT(PARSE("--out"), 2);
    CHECK_HAS(said, "out");
}

TEST(tcp_has_keys_unless_it_is_asked_to_have_none) {
    CHECK_INT(PARSE("--out", "b", "--bind", "tcp://127.0.0.1:0"), -1);
    CHECK_INT(PARSE("--out", "b", "--bind", "tcp://127.0.0.1:0", "--keys", "k"), -1);
    CHECK_INT(PARSE("--out", "b", "--bind", "tcp://127.0.0.1:0", "--insecure"), -1);
    CHECK_INT(PARSE("--out", "b", "--bind", "ipc:///tmp/x/y"), -1);
}

TEST(as_many_roots_as_there_can_be) {
    const char *words[LIMIT_ROOTS + 3];
    for (uint32_t i = 0; i <= LIMIT_ROOTS; i++) {
        words[i] = "--data=x";
    }
    words[LIMIT_ROOTS] = "--out=b";
    words[LIMIT_ROOTS + 1] = NULL;
    CHECK_INT(parse(words), -1);
    CHECK_INT(options.root_count, LIMIT_ROOTS);
    words[LIMIT_ROOTS] = "--data=x";
    CHECK_INT(parse(words), 2);
    CHECK_HAS(said, "at most 64");
}

static Buffer no_notes; // these tests have no file of the official baseline

static Status settings_of(const char *const *assignments, Settings *out) {
    RunOptions made = {0};
    for (; *assignments != NULL; assignments++) {
        made.assignments[made.assignment_count++] = *assignments;
    }
    return run_options_settings(&made, out, &no_notes);
}

#define SETTINGS(out, ...) settings_of((const char *const[]){__VA_ARGS__, NULL}, out)

TEST(settings_are_checked_one_by_one_and_together) {
    Settings settings = {.epochs = 77};
    CHECK(SETTINGS(&settings, "epochs=0") == STATUS_INVALID);
    CHECK_HAS(status_message(), "1000000");
    CHECK(SETTINGS(&settings, "epoch=3") == STATUS_INVALID);
    CHECK_HAS(status_message(), "epochs");
    CHECK(SETTINGS(&settings, "epochs") == STATUS_INVALID);
    CHECK(SETTINGS(&settings, "shards=3") == STATUS_INVALID);
    CHECK(SETTINGS(&settings, "batch_size=10") == STATUS_INVALID); // no whole micro-batches
    CHECK_INT(settings.epochs, 77);                                // untouched
    CHECK_OK(SETTINGS(&settings, "epochs=3", "epochs=4"));
    CHECK_INT(settings.epochs, 4); // the last one counts
}

TEST(preset_then_file_then_assignments) {
    char path[512];
    const char *folder = test_folder();
    snprintf(path, sizeof path, "%s/c.yaml", folder);
    CHECK_OK(file_write(path, "epochs: 5\nbatch_size: 128\n", 26));
    RunOptions made = {.preset = "dcase-baseline", .config = path};
    Settings settings;
    CHECK_OK(run_options_settings(&made, &settings, &no_notes));
    CHECK_INT(settings.epochs, 5);
    CHECK_INT(settings.shards, 1); // the preset's
    made.assignments[made.assignment_count++] = "epochs=6";
    CHECK_OK(run_options_settings(&made, &settings, &no_notes));
    CHECK_INT(settings.epochs, 6);
    CHECK_INT(settings.batch_size, 128);
    made.preset = "unheard_of";
    CHECK(run_options_settings(&made, &settings, &no_notes) == STATUS_INVALID);
    CHECK_HAS(status_message(), "dcase-baseline");
    made.preset = NULL;
    made.config = "/nowhere/c.yaml";
    CHECK(run_options_settings(&made, &settings, &no_notes) == STATUS_NOT_FOUND);
    CHECK_HAS(status_message(), "/nowhere/c.yaml");
    CHECK_INT(no_notes.size, 0);
    file_remove_tree(folder);
}

TEST_MAIN_LIST(T(a_plain_command_line_is_taken) T(what_is_not_said_has_defaults)
                   T(help_and_version_are_no_errors) T(wrong_values_name_what_is_accepted)
                       T(a_run_needs_a_folder_with_a_name)
                           T(unknown_options_and_missing_values_are_refused)
                               T(tcp_has_keys_unless_it_is_asked_to_have_none)
                                   T(as_many_roots_as_there_can_be)
                                       T(settings_are_checked_one_by_one_and_together)
                                           T(preset_then_file_then_assignments))
