// SPDX-License-Identifier: Apache-2.0
//
// The parts of a summary, each made from the explorations by a file of its own. Internal to
// coordinator/explore/. All append to or fill the summary; STATUS_MEMORY.
#ifndef AUSCULT_COORDINATOR_EXPLORE_PARTS_H
#define AUSCULT_COORDINATOR_EXPLORE_PARTS_H

#include "coordinator/explore/summary.h"

// groups.c
Status explore_groups_make(ExploreSummary *summary);
// suspicious.c; digests (clips of the dataset)
Status explore_suspicious_make(ExploreSummary *summary, const Digest *digests);
// shift.c
Status explore_shifts_make(ExploreSummary *summary);
// plane.c
Status explore_planes_make(ExploreSummary *summary);
// typical.c
Status explore_typical_make(ExploreSummary *summary);

// Whether the clip was explored; whether it is sound, too.
bool explore_is_there(const ExploreSummary *summary, uint32_t clip);
bool explore_is_sound(const ExploreSummary *summary, uint32_t clip);

#endif
