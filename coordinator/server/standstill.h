// SPDX-License-Identifier: Apache-2.0
//
// What the log says, now and then, while a run stands still for want of workers: nobody is there,
// or nobody who can do what is left. The coordinator's loop alone.
#ifndef AUSCULT_COORDINATOR_SERVER_STANDSTILL_H
#define AUSCULT_COORDINATOR_SERVER_STANDSTILL_H

#include <stdint.h>

#include "coordinator/core/core.h"

// All zeros at first.
typedef struct Standstill {
    int64_t nobody_ms;   // since when nobody is there, or when that was last said; 0: somebody is
    int64_t stranded_ms; // the same for models that nobody who is there can train
} Standstill;

// `endpoint`: where workers are waited for.
void standstill_tick(Standstill *standstill, const CoreCounts *counts, const char *endpoint,
                     int64_t now_ms);

#endif
