// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include <pthread.h>

#include "common/base/limits.h"
#include "common/base/status.h"

TEST(a_failure_leaves_its_message) {
    CHECK_INT(status_set(STATUS_IO, "cannot open %s: %s", "x.wav", "no such file"), STATUS_IO);
    CHECK_TEXT(status_message(), "cannot open x.wav: no such file");
    status_clear();
    CHECK_TEXT(status_message(), "");
}

TEST(a_prefix_keeps_code_and_message) {
    status_set(STATUS_FORMAT, "no RIFF header");
    CHECK_INT(status_prefix(STATUS_FORMAT, "%s", "x.wav"), STATUS_FORMAT);
    CHECK_TEXT(status_message(), "x.wav: no RIFF header");
}

TEST(a_message_may_be_built_from_the_last_one) {
    status_set(STATUS_IO, "inner");
    status_set(STATUS_IO, "outer (%s)", status_message());
    CHECK_TEXT(status_message(), "outer (inner)");
    status_prefix(STATUS_IO, "%s", status_message());
    CHECK_TEXT(status_message(), "outer (inner): outer (inner)");
}

TEST(a_message_too_long_is_cut_at_the_limit) {
    char text[3 * LIMIT_MESSAGE_BYTES];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    status_set(STATUS_IO, "%s", text);
    CHECK_INT(strlen(status_message()), LIMIT_MESSAGE_BYTES - 1);
    status_set(STATUS_IO, "kept");
    status_prefix(STATUS_IO, "%s", text);
    CHECK_INT(strlen(status_message()), LIMIT_MESSAGE_BYTES - 1);
}

static void *fail_elsewhere(void *seen) {
    strcpy(seen, status_message());
    status_set(STATUS_IO, "theirs");
    return NULL;
}

TEST(each_thread_has_its_own_message) {
    char seen[LIMIT_MESSAGE_BYTES] = "unset";
    pthread_t thread;
    status_set(STATUS_IO, "ours");
    CHECK_INT(pthread_create(&thread, NULL, fail_elsewhere, seen), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_TEXT(seen, "");
    CHECK_TEXT(status_message(), "ours");
}

TEST_MAIN_LIST(T(a_failure_leaves_its_message) T(a_prefix_keeps_code_and_message)
                   T(a_message_may_be_built_from_the_last_one)
                       T(a_message_too_long_is_cut_at_the_limit) T(each_thread_has_its_own_message))
