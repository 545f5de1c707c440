// SPDX-License-Identifier: Apache-2.0
//
// A begun run that is opened by a program that calculates other bits, or the same bits otherwise.
#include <poll.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/model/linalg.h"
#include "coordinator/run.h"
#include "coordinator/synth/wavfile.h"
#include "tests/unit/test.h"

static char folder[256], data[300], out[300];
static char **program; // argv of this test

static Status open_run(Run *run) {
    *run = (Run){.until = STAGE_REPORT};
    run->options.out = out;
    run->options.roots[0] = data;
    run->options.root_count = 1;
    CHECK_OK(settings_preset("default", &run->settings));
    return run_open(run, program);
}

static void put_clip(const char *name) {
    enum { SAMPLES = 16000 };
    static int16_t sound[SAMPLES];
    Buffer file = BUFFER_EMPTY;
    char path[400];
    for (int i = 0; i < SAMPLES; i++) {
        sound[i] = (int16_t)(i * 7919 % 20011 - 10000);
    }
    wavfile_format(sound, SAMPLES, 1, 16000, &file);
    snprintf(path, sizeof path, "%s/fan/train/%s", data, name);
    CHECK_OK(file_write_buffer(path, &file));
    buffer_done(&file);
}

// Has the first task's answer journalled, as if a worker had read the clip.
static void finish_a_clip(Run *run) {
    CoreConfig config = {
        .hooks = plan_hooks(run->plan), .kernel = "", .libraries = "", .workers_most = 1};
    Core *core = core_new(&config);
    Buffer body = BUFFER_EMPTY;
    ProbeAnswer answer = {
        .frames = 32, .vectors = 28, .rate_hz = 16000, .channels = 1, .seconds = 1, .reason = ""};
    body_encode_probe_answers(&answer, 1, &body);
    CHECK_OK(plan_start(run->plan, core, 0));
    CHECK_OK(plan_commit(run->plan, 0, body.bytes, body.size));
    struct pollfd fd = {.fd = journal_fd(run->journal), .events = POLLIN};
    CHECK(poll(&fd, 1, 10000) == 1);
    uint64_t ticket;
    CHECK_OK(journal_next(run->journal, &ticket));
    CHECK_INT(ticket, 0);
    buffer_done(&body);
    core_free(core);
}

static void begin(bool finishes) {
    char path[400];
    Run run;
    snprintf(folder, sizeof folder, "%s", test_folder());
    snprintf(data, sizeof data, "%s/data", folder);
    snprintf(out, sizeof out, "%s/run", folder);
    snprintf(path, sizeof path, "%s/fan/train", data);
    CHECK_OK(file_make_folders(path));
    put_clip("normal_0.wav");
    CHECK_OK(open_run(&run));
    if (finishes) {
        finish_a_clip(&run);
    }
    run_close(&run);
}

static void end(Run *run) {
    run_close(run);
    file_remove_tree(folder);
}

static bool log_has(const char *part) {
    char path[400];
    Buffer text = BUFFER_EMPTY;
    snprintf(path, sizeof path, "%s/logs/coordinator.log", out);
    CHECK_OK(file_read(path, 1 << 20, &text));
    bool found = strstr(buffer_cstr(&text), part) != NULL;
    buffer_done(&text);
    return found;
}

TEST(finished_work_of_a_program_that_calculates_other_bits_is_not_continued) {
    begin(true);
    Run run;
    CHECK_OK(open_run(&run));
    run.fingerprint.digest.bytes[3] ^= 1;
    snprintf(run.fingerprint.parts, sizeof run.fingerprint.parts, "another library");
    CHECK(run_judge_changes(&run) == STATUS_INVALID);
    CHECK_HAS(status_message(), "--update");
    CHECK_HAS(status_message(), "numerics");
    CHECK_HAS(status_message(), "--restart");
    CHECK(log_has("1 clip read; other programs calculate other bits"));
    CHECK(log_has("calculated so far by: auscult " AUSCULT_VERSION ", kernel "));
    CHECK(log_has("OpenBLAS") && log_has("another library"));
    CHECK(!run.may_redo);
    run.options.is_update = true;
    CHECK_OK(run_judge_changes(&run));
    CHECK(run.may_redo);
    end(&run);
}

TEST(another_program_of_the_same_bits_goes_on_and_says_so) {
    begin(true);
    Run run;
    CHECK_OK(open_run(&run));
    CHECK(!log_has("the same bits"));
    snprintf(run.fingerprint.parts, sizeof run.fingerprint.parts, "a newer library");
    CHECK_OK(run_judge_changes(&run));
    CHECK(log_has("a newer library: the same bits"));
    CHECK(!run.may_redo);
    end(&run);
}

TEST(a_run_in_which_nothing_is_finished_may_go_on_anywhere) {
    begin(false);
    Run run;
    CHECK_OK(open_run(&run));
    run.fingerprint.digest.bytes[3] ^= 1;
    CHECK_OK(run_judge_changes(&run));
    end(&run);
}

static const TestCase CASES[] = {
    // clang-format off
    T(finished_work_of_a_program_that_calculates_other_bits_is_not_continued)
    T(another_program_of_the_same_bits_goes_on_and_says_so)
    T(a_run_in_which_nothing_is_finished_may_go_on_anywhere)
    {NULL, NULL}};
// clang-format on

int main(int argc, char **argv) {
    program = argv;
    if (linalg_start(KERNEL_AUTO, argv) != STATUS_OK) {
        fprintf(stderr, "%s\n", status_message());
        return 1;
    }
    return test_run_all(CASES, argc, argv);
}
