// SPDX-License-Identifier: Apache-2.0
//
// The clips of a run by the names that FETCH has for them: what a worker may be sent is exactly
// what is in here. One thread.
#ifndef AUSCULT_COORDINATOR_PLAN_CLIP_NAMES_H
#define AUSCULT_COORDINATOR_PLAN_CLIP_NAMES_H

#include "common/base/digest.h"
#include "coordinator/dataset/dataset.h"

typedef struct ClipNames ClipNames;
// Of all clips of the data set, which is not kept. NULL when out of memory.
ClipNames *clip_names_new(const Dataset *dataset);
void clip_names_free(ClipNames *names);
// Index into Dataset.clips. STATUS_NOT_FOUND.
Status clip_names_find(const ClipNames *names, Digest name, uint32_t *ret_clip);

#endif
