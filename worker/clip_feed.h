// SPDX-License-Identifier: Apache-2.0
//
// Where a task gets a clip's features: from the store where they are, else from a file that holds
// the clip. The computing thread alone, clip_feed_read apart.
#ifndef AUSCULT_WORKER_CLIP_FEED_H
#define AUSCULT_WORKER_CLIP_FEED_H

#include "worker/clip_files.h"
#include "worker/feature_store.h"

typedef struct ClipFeed {
    ClipFiles *files;    // borrowed
    FeatureStore *store; // borrowed; its settings are set before the feed is used
} ClipFeed;

// A clip on its way.
typedef struct FedClip {
    const WireClip *clip; // borrowed
    HeldClip *held;       // NULL: it is not in the store
    ClipPath path;        // where it is to be read then
    ClipFeatures fresh;   // as it was read
} FedClip;

// The task under work will want these, in this order. Saves time only. STATUS_MEMORY.
Status clip_feed_expect(const ClipFeed *feed, const WireClip *clips, uint32_t count);
// First: where it is. Fails as clip_files_path does; nothing is held then.
Status clip_feed_find(const ClipFeed *feed, const WireClip *clip, FedClip *ret_fed);
// Then, on any lane: its features. Fails as feature_store_read does.
Status clip_feed_read(const ClipFeed *feed, FedClip *fed, int lane);
const ClipFeatures *fed_clip_features(const FedClip *fed);
// In the end one of these: one use of the clip, to be given back by feature_store_release, or
// STATUS_MEMORY; or nothing, whether it was read or not.
Status clip_feed_keep(const ClipFeed *feed, FedClip *fed, HeldClip **ret_held);
void clip_feed_drop(const ClipFeed *feed, FedClip *fed);

#endif
