// SPDX-License-Identifier: Apache-2.0
//
// They stand among the failures of tasks, as the deaths of a task that there is not: a task's key
// digests far more than this name.
#include "coordinator/server/alarms.h"

#include "common/base/digest.h"

static Digest key(void) {
    static const char NAME[] = "alarms";
    return digest_of(NAME, sizeof NAME);
}

uint32_t alarms_count(const Journal *journal) {
    uint32_t count, none;
    journal_failures(journal, key(), &count, &none);
    return count;
}

Status alarms_add(Journal *journal) {
    return journal_put_failure(journal, key(), alarms_count(journal) + 1, 0);
}
