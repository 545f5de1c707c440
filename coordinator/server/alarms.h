// SPDX-License-Identifier: Apache-2.0
//
// How often two workers have given different answers to one task since the run was begun. It
// outlives the coordinator in the journal, so that a run that was stopped and continued still ends
// with an error. Loop thread only.
#ifndef AUSCULT_COORDINATOR_SERVER_ALARMS_H
#define AUSCULT_COORDINATOR_SERVER_ALARMS_H

#include <stdint.h>

#include "common/base/status.h"
#include "coordinator/journal/journal.h"

// 0 for a new run.
uint32_t alarms_count(const Journal *journal);
// One more. Errors are the journal's.
Status alarms_add(Journal *journal);

#endif
