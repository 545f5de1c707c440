// SPDX-License-Identifier: Apache-2.0
//
// Gets clips from the coordinator, over a bulk connection of its own: a few parts are always on
// their way, also those of clips that are needed only next, so that the wire works while this
// worker computes. What has come whole is checked and lies in the cache. The computing thread
// alone.
#ifndef AUSCULT_WORKER_CLIP_FETCH_H
#define AUSCULT_WORKER_CLIP_FETCH_H

#include "worker/clip_cache.h"
#include "worker/desk.h"

// A clip as it is asked for.
typedef struct ClipWish {
    Digest name;         // message_clip_name
    uint64_t size_bytes; // of its file
    Digest digest;       // of its contents, all zero before they are known
} ClipWish;

typedef struct ClipFetch ClipFetch;
// All are borrowed for its life. NULL when out of memory.
ClipFetch *clip_fetch_new(ZmqContext *context, Desk *desk, ClipCache *cache);
void clip_fetch_free(ClipFetch *fetch);
// As bulk_rest, unless parts are on their way.
void clip_fetch_rest(ClipFetch *fetch, int64_t unused_ms);

// What will be asked for next, in this order; what was expected before and is not among it is
// forgotten. STATUS_MEMORY.
Status clip_fetch_expect(ClipFetch *fetch, const ClipWish *wishes, uint32_t count);
// Waits for the clip: a descriptor of a file that holds it, the caller's to close. STATUS_STOPPED:
// the task is cancelled; STATUS_MISMATCH: the coordinator has another file than was scanned or
// first read; STATUS_IO: it cannot read it, or does not answer.
Status clip_fetch_get(ClipFetch *fetch, const ClipWish *wish, int *ret_fd);

#endif
