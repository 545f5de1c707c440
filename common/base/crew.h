// SPDX-License-Identifier: Apache-2.0
//
// Some threads that do the items of one piece of work at a time, together with the caller. Who does
// which item is left to chance, so what comes of an item must depend on the item alone; `lane` says
// whose scratch memory to use. Threads wait between pieces, briefly awake and then asleep, and take
// no signals. One thread calls; the pieces do not nest.
#ifndef AUSCULT_BASE_CREW_H
#define AUSCULT_BASE_CREW_H

#include <stdint.h>

#include "common/base/status.h"

#define CREW_LANES_MOST 64

typedef struct Crew Crew;

// Does one item; lane is in [0, crew_lanes) and no two items are done on it at the same time. The
// caller's lane is 0. A status message stays in the thread that set it.
typedef void CrewWork(void *context, uint32_t item, int lane);

// Of so many lanes, 1 to CREW_LANES_MOST, with a thread for each but the caller's. STATUS_MEMORY,
// STATUS_IO: a thread cannot be started.
Status crew_new(int lanes, Crew **ret);
void crew_free(Crew *crew);       // accepts NULL
int crew_lanes(const Crew *crew); // NULL is a crew of one: the caller
// Returns when all `count` items are done.
void crew_run(Crew *crew, uint32_t count, CrewWork *work, void *context);

// How many lanes this process may well have: the processors that it may run on, as its affinity
// and its control group's quota (version 2) say; at most CREW_LANES_MOST.
int crew_usual_lanes(void);

#endif
