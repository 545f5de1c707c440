// SPDX-License-Identifier: Apache-2.0
//
// What `auscult eda` prints at its end: a line for each machine, and how many clips are suspicious
// of what.
#ifndef AUSCULT_COORDINATOR_EXPLORE_CLOSING_H
#define AUSCULT_COORDINATOR_EXPLORE_CLOSING_H

#include "common/base/buffer.h"
#include "coordinator/explore/summary.h"

// For people.
void explore_closing_format(const ExploreSummary *summary, Buffer *out);
// The same as a JSON array, an object for each machine.
void explore_closing_json(const ExploreSummary *summary, Buffer *out);

#endif
