// SPDX-License-Identifier: Apache-2.0
//
// Two answers that differ are not forgotten when the coordinator is stopped.
#include <poll.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "coordinator/server/alarms.h"
#include "tests/unit/test.h"

static Journal *open_in(const char *folder) {
    char path[512];
    Journal *journal = NULL;
    snprintf(path, sizeof path, "%s/journal.db", folder);
    CHECK_OK(journal_open(path, &journal));
    return journal;
}

// All that was put before is durable with it.
static void sync_journal(Journal *journal) {
    Digest key = digest_of("a task", 6);
    uint64_t ticket = 0;
    CHECK_OK(journal_put_answer(journal, 7, key, 1, "done", 4));
    while (journal_next(journal, &ticket) == STATUS_AGAIN) {
        struct pollfd fd = {.fd = journal_fd(journal), .events = POLLIN};
        CHECK(poll(&fd, 1, 20000) == 1);
    }
    CHECK_INT(ticket, 7);
}

TEST(alarms_are_counted_over_all_coordinators_of_a_run) {
    char folder[256];
    snprintf(folder, sizeof folder, "%s", test_folder());
    for (uint32_t life = 0; life < 3; life++) {
        Journal *journal = open_in(folder);
        CHECK_INT(alarms_count(journal), 2 * life);
        CHECK_OK(alarms_add(journal));
        CHECK_OK(alarms_add(journal));
        CHECK_INT(alarms_count(journal), 2 * life + 2);
        sync_journal(journal);
        journal_close(journal);
    }
    file_remove_tree(folder);
}

TEST_MAIN_LIST(T(alarms_are_counted_over_all_coordinators_of_a_run))
