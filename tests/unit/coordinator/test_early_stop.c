// SPDX-License-Identifier: Apache-2.0
//
// Whoever stops a run gets exit status 75 (schedulers start such a run again), however early.
#include <signal.h>
#include <sys/wait.h>

#include "common/base/file.h"
#include "tests/unit/test.h"

static char folder[256];

static void put_clips(void) {
    char path[512];
    // Nothing to train on: a run that is not stopped in time ends by itself.
    snprintf(path, sizeof path, "%s/data/fan/train", folder);
    CHECK_OK(file_make_folders(path));
    snprintf(path, sizeof path, "%s/data/fan/train/1.wav", folder);
    CHECK_OK(file_write(path, "RIFF", 4));
}

static pid_t start_run(void) {
    char data[512], run[512];
    snprintf(data, sizeof data, "%s/data", folder);
    snprintf(run, sizeof run, "%s/run", folder);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        // As from a shell, whatever the tests were started by.
        unsetenv("OPENBLAS_CORETYPE");
        execl(AUSCULT_BIN_DIR "/auscult", "auscult", "run", "--data", data, "--out", run, "--local",
              "1", "-q", NULL);
        _exit(127);
    }
    return pid;
}

static void check_stopped_after(int number, useconds_t wait_us) {
    char journal[512];
    snprintf(folder, sizeof folder, "%s", test_folder());
    snprintf(journal, sizeof journal, "%s/run/journal.db", folder);
    put_clips();
    pid_t pid = start_run();
    for (int i = 0; !file_exists(journal); i++) {
        CHECK(i < 10000 && waitpid(pid, NULL, WNOHANG) == 0);
        usleep(1000);
    }
    usleep(wait_us);
    CHECK(kill(pid, number) == 0);
    int how = 0;
    CHECK(waitpid(pid, &how, 0) == pid);
    if (!WIFEXITED(how)) {
        TEST_FAIL("ended by signal %d, %u us after its journal was there", WTERMSIG(how), wait_us);
    }
    // 3: it had come to its end before.
    CHECK(WEXITSTATUS(how) == 75 || (wait_us > 0 && WEXITSTATUS(how) == 3));
    file_remove_tree(folder);
}

TEST(a_run_that_is_stopped_while_it_opens_says_that_it_can_be_continued) {
    for (useconds_t wait_us = 0; wait_us < 200000; wait_us = wait_us * 2 + 1000) {
        check_stopped_after(SIGTERM, wait_us);
        check_stopped_after(SIGINT, wait_us);
    }
}

TEST_MAIN_LIST(T(a_run_that_is_stopped_while_it_opens_says_that_it_can_be_continued))
