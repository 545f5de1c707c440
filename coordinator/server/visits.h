// SPDX-License-Identifier: Apache-2.0
//
// How often HELLO was said within the last minute, in all and from each address: a HELLO makes the
// coordinator remember a worker, and one that replaces another's session gives its work away again.
// The limits are LIMIT_HELLOS and its neighbours. One thread; time is passed in.
#ifndef AUSCULT_COORDINATOR_SERVER_VISITS_H
#define AUSCULT_COORDINATOR_SERVER_VISITS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Visits Visits;
// NULL when out of memory.
Visits *visits_new(void);
void visits_free(Visits *visits);
// Counts a HELLO from a numeric address, "" where there is none (ipc: never one too many). False:
// it is one too many in this minute.
bool visits_admit(Visits *visits, const char *address, int64_t now_ms);

#endif
