// SPDX-License-Identifier: Apache-2.0
//
// What a run's own plan needs for tasks that wait: a machine of very many clips that nobody has
// read yet, in a process of its own. One thread.
#ifndef AUSCULT_BENCH_PLAN_MEMORY_H
#define AUSCULT_BENCH_PLAN_MEMORY_H

#include "tests/bench/bench.h"

// Resident bytes of a waiting task, the core's part included; `folder` is made for its journal.
Status plan_memory(const Bench *bench, const char *folder, double *ret_bytes);

#endif
