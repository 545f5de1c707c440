// SPDX-License-Identifier: Apache-2.0
//
// What a coordinator leaves in its run's folder.
#include "tests/unit/test.h"

#include <sys/stat.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "worker/notice.h"

#define KEY "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"

static Status read_text(const char *text, Notice *ret) {
    char path[300];
    const char *folder = test_folder();
    snprintf(path, sizeof path, "%s/endpoint", folder);
    CHECK_OK(file_replace(path, text, strlen(text)));
    Status status = notice_read(folder, ret);
    (void)file_remove_tree(folder);
    return status;
}

TEST(address_and_key_are_read) {
    Notice notice;
    CHECK_OK(read_text("tcp://node-7:5555\ncoordinator: " KEY "\n", &notice));
    CHECK_TEXT(notice.endpoint, "tcp://node-7:5555");
    CHECK_TEXT(notice.key, KEY);
    CHECK_OK(read_text("ipc:///tmp/x/control\n", &notice));
    CHECK_TEXT(notice.endpoint, "ipc:///tmp/x/control");
    CHECK_TEXT(notice.key, "");
}

TEST(what_is_no_notice_is_named_with_its_line) {
    static const char *const BAD[][2] = {
        {"", "endpoint:1"},
        {"http://x\n", "endpoint:1"},
        {"tcp://a:1\ncoordinator: \n", "endpoint:2"},
        {"tcp://a:1\ncoordinator: " KEY "x\n", "endpoint:2"},
        {"tcp://a:1\ncoordinator: rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]y \"\n", "endpoint:2"},
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        Notice notice = {.endpoint = "before"};
        CHECK_INT(read_text(BAD[i][0], &notice), STATUS_FORMAT);
        CHECK_HAS(status_message(), BAD[i][1]);
        CHECK_TEXT(notice.endpoint, "before");
    }
    char text[CHANNEL_ADDRESS_BYTES + 10] = "tcp://";
    memset(text + 6, 'a', sizeof text - 7);
    text[sizeof text - 1] = '\0';
    Notice notice;
    CHECK_INT(read_text(text, &notice), STATUS_FORMAT);
}

TEST(no_coordinator_is_told_from_trouble) {
    Notice notice;
    CHECK_INT(notice_read("/no/such/run", &notice), STATUS_NOT_FOUND);
    CHECK_HAS(status_message(), "no coordinator is running on /no/such/run");
    const char *folder = test_folder();
    char path[300];
    snprintf(path, sizeof path, "%s/endpoint", folder);
    CHECK_INT(mkdir(path, 0700), 0);
    CHECK_INT(notice_read(folder, &notice), STATUS_IO);
    (void)file_remove_tree(folder);
}

TEST(every_allocation_may_fail) {
    Notice notice;
    mem_fail_after(0);
    Status status = read_text("tcp://a:1\n", &notice);
    mem_fail_after(-1);
    CHECK_INT(status, STATUS_MEMORY);
}

TEST_MAIN_LIST(T(address_and_key_are_read) T(what_is_no_notice_is_named_with_its_line)
                   T(no_coordinator_is_told_from_trouble) T(every_allocation_may_fail))
