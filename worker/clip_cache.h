// SPDX-License-Identifier: Apache-2.0
//
// Clips that came from the coordinator, kept on this worker's disk by content and within a bound:
// what was used longest ago goes first. In a folder that was named they outlive the worker, and
// several workers may share it; without one they lie in files without a name, which go with the
// process. What the disk cannot take is kept in memory until it is used. The computing thread
// alone.
#ifndef AUSCULT_WORKER_CLIP_CACHE_H
#define AUSCULT_WORKER_CLIP_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/digest.h"
#include "common/base/status.h"

typedef struct ClipCache ClipCache;
// `folder` is made if need be; NULL: files without a name in $TMPDIR or /tmp. A folder that several
// workers share may exceed `bytes_most` by a 64th for each of them. STATUS_IO, STATUS_MEMORY,
// STATUS_LIMIT.
Status clip_cache_open(const char *folder, uint64_t bytes_most, ClipCache **ret);
void clip_cache_close(ClipCache *cache);
// A descriptor, the caller's to close, of a file that holds just what the digest says: it has been
// read and compared. -1 when there is none.
int clip_cache_find(ClipCache *cache, Digest digest, uint64_t size_bytes);
// Keeps the bytes, and gives a descriptor as above. STATUS_IO only where memory cannot take them
// either.
Status clip_cache_put(ClipCache *cache, Digest digest, const void *bytes, size_t size, int *ret_fd);

#endif
