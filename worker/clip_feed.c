// SPDX-License-Identifier: Apache-2.0
#include "worker/clip_feed.h"

#include "common/base/limits.h"
#include "common/base/mem.h"

// No file is looked for, much less fetched, of a clip whose features are there.
Status clip_feed_expect(const ClipFeed *feed, const WireClip *clips, uint32_t count) {
    WireClip *missing = mem_new(count, sizeof *missing);
    uint32_t missing_count = 0;
    if (missing == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!feature_store_has(feed->store, &clips[i])) {
            missing[missing_count++] = clips[i];
        }
    }
    clip_files_expect(feed->files, missing, missing_count);
    mem_free(missing);
    return STATUS_OK;
}

Status clip_feed_find(const ClipFeed *feed, const WireClip *clip, FedClip *ret_fed) {
    ret_fed->clip = clip;
    ret_fed->path.fd = -1;
    ret_fed->fresh = (ClipFeatures){0};
    ret_fed->held = feature_store_take(feed->store, clip);
    return ret_fed->held != NULL ? STATUS_OK : clip_files_path(feed->files, clip, &ret_fed->path);
}

Status clip_feed_read(const ClipFeed *feed, FedClip *fed, int lane) {
    return fed->held != NULL
               ? STATUS_OK
               : feature_store_read(feed->store, fed->path.path, fed->clip, lane, &fed->fresh);
}

const ClipFeatures *fed_clip_features(const FedClip *fed) {
    return fed->held != NULL ? held_clip_features(fed->held) : &fed->fresh;
}

Status clip_feed_keep(const ClipFeed *feed, FedClip *fed, HeldClip **ret_held) {
    clip_path_done(&fed->path);
    *ret_held = fed->held;
    return fed->held != NULL ? STATUS_OK
                             : feature_store_put(feed->store, fed->clip, &fed->fresh, ret_held);
}

void clip_feed_drop(const ClipFeed *feed, FedClip *fed) {
    clip_path_done(&fed->path);
    clip_features_done(&fed->fresh);
    if (fed->held != NULL) {
        feature_store_release(feed->store, fed->held);
        fed->held = NULL;
    }
}
