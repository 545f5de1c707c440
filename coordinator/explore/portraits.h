// SPDX-License-Identifier: Apache-2.0
//
// The pictures that a run has of single clips, and why these clips. Answers of PORTRAIT tasks,
// which the journal keeps; what draws (coordinator/pages) reads them by plan_portraits
// (coordinator/plan/plan.h). A clip whose portrait failed is not there. The coordinator's loop
// alone.
#ifndef AUSCULT_COORDINATOR_EXPLORE_PORTRAITS_H
#define AUSCULT_COORDINATOR_EXPLORE_PORTRAITS_H

#include "common/engine/portrait.h"
#include "coordinator/dataset/dataset.h"

typedef enum PortraitRole {
    PORTRAIT_TYPICAL, // of `auscult eda`: nearest to the median of its machine, domain and label
    PORTRAIT_HIGHEST, // of a run: among the highest scores of the label in its model's test clips
    PORTRAIT_LOWEST,  // and the lowest
} PortraitRole;

typedef struct ClipPortrait {
    uint32_t clip;  // index into Dataset.clips
    uint32_t model; // whose residual it has, an index into Models; UINT32_MAX: none
    PortraitRole role;
    uint32_t rank;    // 0: the most typical, the highest, the lowest
    ClipLabel label;  // unknown: the challenge hides it
    double score;     // of the primary system; 0 for PORTRAIT_TYPICAL
    bool is_there;    // false: it could not be made
    Portrait picture; // owned by the set
} ClipPortrait;

typedef struct PortraitSet {
    ClipPortrait *items; // (count) as they were asked for: plan_portraits gives them in order
    uint32_t count, capacity;
} PortraitSet;

// A new item at the end, all else 0. NULL: out of memory.
ClipPortrait *portrait_set_add(PortraitSet *set);
void portrait_set_done(PortraitSet *set); // accepts {0}

#endif
