// SPDX-License-Identifier: Apache-2.0
//
// The files below a folder that somebody named, one after the other in sorted order: clips to be
// scored on the spot, or the models of a run. Unlike a data root's, these folders have no layout.
// Folders are read one at a time and every file is handed out at once. One thread per walk.
#ifndef AUSCULT_COORDINATOR_SPOT_SPOT_WALK_H
#define AUSCULT_COORDINATOR_SPOT_SPOT_WALK_H

#include <stdbool.h>

#include "common/base/status.h"

typedef struct SpotWalk {
    // Whether a file of this name, met inside a folder, is wanted.
    bool (*wants)(const char *name);
    // Gets each wanted file; `path` is borrowed for the call. A failure ends the walk.
    Status (*take)(void *context, const char *path);
    // Is told what cannot be gone into, and why; the walk goes on. `reason` names no path.
    void (*refuse)(void *context, const char *path, const char *reason);
    void *context;
} SpotWalk;

// Goes through `root` depth first, names in the order of their bytes. What is no folder is taken as
// it is, whatever its name and even if it does not exist: reading it will tell. Paths begin with
// `root` as it was given. Hidden names are passed over. Links are followed, but no folder is read
// twice, so loops end; folders deeper than LIMIT_DEPTH are refused. Returns what `take` returned,
// or STATUS_MEMORY.
Status spot_walk(const SpotWalk *walk, const char *root);

#endif
