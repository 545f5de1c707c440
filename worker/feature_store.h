// SPDX-License-Identifier: Apache-2.0
//
// The log-mels of clips, each extracted once for all tasks that want it: those of several models
// whose features are made alike, those of training and scoring. A clip is known by its contents and
// the settings of its features, so what is given is bit for bit what would be extracted again. What
// is in use stays; of what nobody uses, what was used last, up to a bound. The computing thread
// alone, feature_store_read apart.
#ifndef AUSCULT_WORKER_FEATURE_STORE_H
#define AUSCULT_WORKER_FEATURE_STORE_H

#include "common/base/crew.h"
#include "common/engine/clip.h"
#include "proto/message.h"

typedef struct FeatureStore FeatureStore;
typedef struct HeldClip HeldClip; // one use of a clip

typedef struct FeatureCounts {
    uint64_t extracted;  // log-mels made, ever
    uint64_t reused;     // uses of one that was there, ever
    uint64_t idle_bytes; // of what nobody uses now
} FeatureCounts;

// How many bytes of unused log-mels a worker of this machine keeps: LIMIT_IDLE_FEATURE_BYTES, less
// where a worker on each processor would take more than an eighth of the memory with that.
uint64_t feature_store_usual_bytes(void);

// Keeps at most so many bytes of what nobody uses; 0: nothing. Extracts on so many lanes. NULL when
// out of memory.
FeatureStore *feature_store_new(uint64_t idle_bytes_most, int lanes);
void feature_store_free(FeatureStore *store);

// What is used from now on has the features of these settings, which passed settings_check.
// STATUS_MEMORY.
Status feature_store_set(FeatureStore *store, const Settings *settings);
// Whether the clip's features are there.
bool feature_store_has(const FeatureStore *store, const WireClip *clip);
// A use of the clip whose features are there, borrowed until it is released, once for each use;
// NULL when they are not.
HeldClip *feature_store_take(FeatureStore *store, const WireClip *clip);
// The features of a clip that is not there, from its file; the caller's. Fails as source_features
// does (common/engine/source.h). Several lanes at a time.
Status feature_store_read(const FeatureStore *store, const char *path, const WireClip *clip,
                          int lane, ClipFeatures *ret_features);
// A use of the clip with these features, which are the store's from here on, also on failure.
// STATUS_MEMORY.
Status feature_store_put(FeatureStore *store, const WireClip *clip, ClipFeatures *features,
                         HeldClip **ret_held);
const ClipFeatures *held_clip_features(const HeldClip *held);
void feature_store_release(FeatureStore *store, HeldClip *held);

FeatureCounts feature_store_counts(const FeatureStore *store);

#endif
