// SPDX-License-Identifier: Apache-2.0
//
// The live page's server as the coordinator's loop uses it. What it answers to whom is tested with
// real requests in tests/cluster/test_live.py.
#include "tests/unit/test.h"

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "coordinator/live/http.h"
#include "coordinator/live/live.h"

TEST(a_free_port_is_found_and_told) {
    Http *one, *other;
    CHECK_OK(http_start("127.0.0.1:0", "run", &one));
    CHECK_OK(http_start("127.0.0.1:0", "run", &other));
    CHECK(text_starts(http_url(one), "http://127.0.0.1:") && !text_ends(http_url(one), ":0/"));
    CHECK(strcmp(http_url(one), http_url(other)) != 0);
    http_stop(one);
    http_stop(other);
    http_stop(NULL);
}

TEST(a_port_that_is_taken_is_named) {
    Http *one, *other = NULL;
    CHECK_OK(http_start("127.0.0.1:0", "run", &one));
    char address[64];
    snprintf(address, sizeof address, "%.*s", (int)strlen(http_url(one)) - 8, http_url(one) + 7);
    CHECK_INT(http_start(address, "run", &other), STATUS_INVALID);
    CHECK(other == NULL);
    CHECK_HAS(status_message(), "cannot listen at 127.0.0.1 port ");
    http_stop(one);
}

TEST(nobody_is_waited_for_where_nobody_looked) {
    Http *http;
    Snapshot *snapshot = snapshot_new(0, 0);
    CHECK_OK(http_start("127.0.0.1:0", "run", &http));
    for (int i = 0; i < 100; i++) {
        http_publish(http, snapshot); // never taken out
    }
    int64_t since_ms = clock_ms();
    http_linger(http, 60000);
    CHECK(clock_ms() - since_ms < 10000);
    http_stop(http);
    snapshot_free(snapshot);
}

TEST(every_failing_allocation_leaves_nothing_behind) {
    const char *folder = test_folder();
    char logs[512];
    snprintf(logs, sizeof logs, "%s/logs", folder);
    CHECK_OK(file_make_folders(logs));
    LiveConfig config = {.run_folder = folder, .http = "127.0.0.1:0"};
    long blocks = mem_blocks();
    bool is_through = false;
    for (long n = 0; !is_through; n++) {
        Live *live = NULL;
        mem_fail_after(n);
        Status status = live_new(&config, &live);
        is_through = !mem_has_failed();
        mem_fail_after(-1);
        CHECK(is_through ? status == STATUS_OK : status == STATUS_MEMORY && live == NULL);
        live_free(live);
        CHECK_INT(mem_blocks(), blocks);
    }
    CHECK_OK(file_remove_tree(folder));
}

TEST(what_is_told_of_nobody_is_nothing) {
    live_joined(NULL, &(CoreSession){.name = "a"});
    live_left(NULL, &(CoreAction){.kind = CORE_LEFT});
    live_poison(NULL);
    live_reporting(NULL);
    CHECK_OK(live_end(NULL, RUN_DONE));
    live_free(NULL);
}

TEST_MAIN_LIST(T(a_free_port_is_found_and_told) T(a_port_that_is_taken_is_named)
                   T(nobody_is_waited_for_where_nobody_looked)
                       T(every_failing_allocation_leaves_nothing_behind)
                           T(what_is_told_of_nobody_is_nothing))
