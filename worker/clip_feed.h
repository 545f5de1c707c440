// SPDX-License-Identifier: Apache-2.0
//
// Where a task gets a clip's features: from the store where they are, else from a file that holds
// the clip. The computing thread alone.
#ifndef AUSCULT_WORKER_CLIP_FEED_H
#define AUSCULT_WORKER_CLIP_FEED_H

#include "worker/clip_files.h"
#include "worker/feature_store.h"

typedef struct ClipFeed {
    ClipFiles *files;    // borrowed
    FeatureStore *store; // borrowed; its settings are set before the feed is used
} ClipFeed;

// The task under work will want these, in this order. Saves time only. STATUS_MEMORY.
Status clip_feed_expect(const ClipFeed *feed, const WireClip *clips, uint32_t count);
// One use of the clip, to be given back by feature_store_release. Fails as clip_files_path and
// source_features do.
Status clip_feed_use(const ClipFeed *feed, const WireClip *clip, HeldClip **ret_held);

#endif
