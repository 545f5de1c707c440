// SPDX-License-Identifier: Apache-2.0
#include "coordinator/server/standstill.h"

#include <stdbool.h>

#include "common/base/log.h"

enum {
    NOBODY_MS = 10000,   // without any worker for so long: say so
    STRANDED_MS = 60000, // each worker that could not was named; this is for who looks hours later
};

// Whether what has been so since `*since_ms` is to be said now.
static bool is_due(bool is_so, int64_t *since_ms, int64_t every_ms, int64_t now_ms) {
    if (!is_so || *since_ms == 0) {
        *since_ms = is_so ? now_ms : 0;
        return false;
    }
    bool due = now_ms - *since_ms > every_ms;
    *since_ms = due ? now_ms : *since_ms;
    return due;
}

void standstill_tick(Standstill *standstill, const CoreCounts *counts, const char *endpoint,
                     int64_t now_ms) {
    uint32_t workers = counts->sessions;
    if (is_due(workers == 0, &standstill->nobody_ms, NOBODY_MS, now_ms)) {
        log_warning("no worker is connected; waiting at %s", endpoint);
    }
    if (is_due(workers > 0 && counts->stranded > 0, &standstill->stranded_ms, STRANDED_MS,
               now_ms)) {
        log_warning("%llu model%s for a worker that can read the data; the %u that %s cannot (see "
                    "above): start one whose --data is right at %s, or stop the run and continue "
                    "it later",
                    (unsigned long long)counts->stranded,
                    counts->stranded == 1 ? " waits" : "s wait", workers,
                    workers == 1 ? "is here" : "are here", endpoint);
    }
}
