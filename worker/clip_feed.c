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

Status clip_feed_use(const ClipFeed *feed, const WireClip *clip, HeldClip **ret_held) {
    char path[LIMIT_PATH_BYTES] = "";
    Status status = STATUS_OK;
    if (!feature_store_has(feed->store, clip)) {
        status = clip_files_path(feed->files, clip, path, sizeof path);
    }
    return status == STATUS_OK ? feature_store_use(feed->store, path, clip, ret_held) : status;
}
