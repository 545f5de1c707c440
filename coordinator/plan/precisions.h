// SPDX-License-Identifier: Apache-2.0
//
// From the answers to a model's RESIDUALS tasks, one of each shard, to the yardsticks of MAHALA:
// sums by domain, joined along the shards' tree, and the precisions that become of them. Pure
// functions.
#ifndef AUSCULT_COORDINATOR_PLAN_PRECISIONS_H
#define AUSCULT_COORDINATOR_PLAN_PRECISIONS_H

#include "common/base/buffer.h"
#include "common/engine/yardsticks.h"

// Whether an answer can be that of a shard of so many training vectors. STATUS_FORMAT
Status precisions_check(const Settings *settings, int64_t vectors, const void *bytes, size_t size);
// From the bodies of answers (shard_count), which precisions_check has allowed. A domain with fewer
// than two vectors has no precision; the one that there is stands at `source`. STATUS_INVALID:
// there is none, or a covariance that cannot be inverted; STATUS_MEMORY.
Status precisions_make(const Settings *settings, const Buffer *answers, int32_t shard_count,
                       Yardsticks *out);

#endif
