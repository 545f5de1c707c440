// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <stdbool.h>

#include "common/base/file.h"
#include "common/base/log.h"

static const char *folder;
static int kept_stderr;

// From here on stderr goes to a file, whose contents stderr_end appends to `out`.
static void stderr_begin(void) {
    char path[300];
    folder = test_folder();
    snprintf(path, sizeof path, "%s/stderr", folder);
    fflush(stderr);
    kept_stderr = dup(2);
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    dup2(fd, 2);
    close(fd);
}

static void stderr_end(Buffer *out) {
    char path[300];
    fflush(stderr);
    dup2(kept_stderr, 2);
    close(kept_stderr);
    snprintf(path, sizeof path, "%s/stderr", folder);
    if (file_read(path, 1 << 20, out) != STATUS_OK) {
        fprintf(stderr, "%s\n", status_message());
    }
}

TEST(stderr_shows_warnings_unless_told_otherwise) {
    Buffer said = BUFFER_EMPTY;
    stderr_begin();
    log_error("e%d", 1);
    log_warning("w1");
    log_info("i1");
    log_set_level(LOG_ERROR);
    log_warning("w2");
    log_set_level(LOG_DEBUG);
    log_debug("d3");
    log_set_program("auscult-worker");
    log_info("i3");
    log_set_program("auscult");
    log_set_level(LOG_WARNING);
    stderr_end(&said);
    CHECK_TEXT(buffer_cstr(&said), "auscult: error: e1\nauscult: warning: w1\n"
                                   "auscult: d3\nauscult-worker: i3\n");
    buffer_done(&said);
    CHECK_OK(file_remove_tree(folder));
}

static bool matches(const char *text, const char *pattern) {
    regex_t regex;
    regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB);
    bool found = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

TEST(the_file_gets_everything_with_the_time) {
    Buffer said = BUFFER_EMPTY, written = BUFFER_EMPTY;
    char path[300];
    stderr_begin();
    snprintf(path, sizeof path, "%s/log", folder);
    Status first = log_open(path);
    log_debug("one");
    log_close();
    log_debug("nowhere");
    Status again = log_open(path);
    log_info("two");
    log_close();
    stderr_end(&said);
    CHECK_OK(first);
    CHECK_OK(again);
    CHECK_TEXT(buffer_cstr(&said), "");
    CHECK_OK(file_read(path, 1 << 20, &written));
    CHECK(matches(buffer_cstr(&written), "^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:"
                                         "[0-6][0-9]\\.[0-9]{3}Z debug one\n"
                                         "20[0-9T:.-]+Z info two\n$"));
    buffer_done(&said);
    buffer_done(&written);
    CHECK_OK(file_remove_tree(folder));
}

TEST(a_log_that_cannot_be_opened_is_an_error) {
    CHECK_INT(log_open("/nonexistent/log"), STATUS_IO);
    CHECK_HAS(status_message(), "/nonexistent/log");
}

static void wipe_progress(void) {
    fprintf(stderr, "[wiped]");
}

TEST(a_progress_line_is_wiped_before_each_stderr_line) {
    Buffer said = BUFFER_EMPTY;
    stderr_begin();
    log_set_hook(wipe_progress);
    log_info("hidden");
    log_warning("shown");
    log_set_hook(NULL);
    stderr_end(&said);
    CHECK_TEXT(buffer_cstr(&said), "[wiped]auscult: warning: shown\n");
    buffer_done(&said);
    CHECK_OK(file_remove_tree(folder));
}

enum { THREADS = 4, LINES = 200 };

static void *write_lines(void *number) {
    for (int i = 0; i < LINES; i++) {
        log_debug("thread %d says a line of some length", *(int *)number);
    }
    return NULL;
}

TEST(lines_of_threads_do_not_mix) {
    char path[300];
    Buffer written = BUFFER_EMPTY;
    pthread_t threads[THREADS];
    int numbers[THREADS], counts[THREADS] = {0};
    const char *here = test_folder();
    snprintf(path, sizeof path, "%s/log", here);
    CHECK_OK(log_open(path));
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        CHECK_INT(pthread_create(&threads[i], NULL, write_lines, &numbers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    }
    log_close();
    CHECK_OK(file_read(path, 1 << 20, &written));
    for (char *line = strtok(written.bytes, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        CHECK(matches(line, "^[0-9T:.-]+Z debug thread [0-3] says a line of some length$"));
        counts[strstr(line, "thread ")[7] - '0']++;
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_INT(counts[i], LINES);
    }
    buffer_done(&written);
    CHECK_OK(file_remove_tree(here));
}

TEST_MAIN_LIST(T(stderr_shows_warnings_unless_told_otherwise)
                   T(the_file_gets_everything_with_the_time)
                       T(a_log_that_cannot_be_opened_is_an_error)
                           T(a_progress_line_is_wiped_before_each_stderr_line)
                               T(lines_of_threads_do_not_mix))
