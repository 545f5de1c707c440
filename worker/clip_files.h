// SPDX-License-Identifier: Apache-2.0
//
// Where a worker finds a clip: in a data folder of its own (--data, or where the coordinator has
// them), else among those it has kept, else at the coordinator. The computing thread alone.
#ifndef AUSCULT_WORKER_CLIP_FILES_H
#define AUSCULT_WORKER_CLIP_FILES_H

#include "worker/desk.h"

typedef struct ClipFilesConfig {
    bool may_fetch;           // from the coordinator, what is not here
    const char *cache_folder; // for what was fetched; NULL: files that go with the process
    uint64_t cache_bytes;     // most of it
} ClipFilesConfig;

typedef struct ClipFiles ClipFiles;
// The desk is borrowed. STATUS_MEMORY, STATUS_IO names the cache's folder.
Status clip_files_new(ZmqContext *context, Desk *desk, const ClipFilesConfig *config,
                      ClipFiles **ret);
void clip_files_free(ClipFiles *files);
// As clip_fetch_rest.
void clip_files_rest(ClipFiles *files, int64_t unused_ms);

// The task under work will want these, in this order; those of the task that waits behind it are
// added. Saves time only.
void clip_files_expect(ClipFiles *files, const WireClip *clips, uint32_t count);

// Where a clip is; any thread may read it there.
typedef struct ClipPath {
    char path[LIMIT_PATH_BYTES];
    int fd; // keeps the file there, -1 for none
} ClipPath;

// A path that holds the clip until clip_path_done, whatever becomes of the file's name. A clip
// whose digest is all zero may be any file of its size. Where it cannot be fetched either: what
// clip_fetch_get returns; STATUS_INVALID for a root that there is not; *ret_path holds nothing
// then.
Status clip_files_path(ClipFiles *files, const WireClip *clip, ClipPath *ret_path);
void clip_path_done(ClipPath *path);

#endif
