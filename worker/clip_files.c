// SPDX-License-Identifier: Apache-2.0
#include "worker/clip_files.h"

#include <stdio.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "worker/clip_fetch.h"

struct ClipFiles {
    Desk *desk;
    bool may_fetch, has_said;
    uint64_t fetched, fetched_bytes;
    ClipCache *cache;
    ClipFetch *fetch;
    Decoded *decoded; // of the task that waits
    ClipWish *wishes;
    uint32_t wish_count, wish_capacity;
};

static const Digest UNKNOWN;

Status clip_files_new(ZmqContext *context, Desk *desk, const ClipFilesConfig *config,
                      ClipFiles **ret) {
    ClipFiles *files = mem_new(1, sizeof *files);
    if (files == NULL) {
        return STATUS_MEMORY;
    }
    *files = (ClipFiles){.desk = desk, .may_fetch = config->may_fetch};
    Status status = STATUS_OK;
    if (config->may_fetch) {
        status = clip_cache_open(config->cache_folder, config->cache_bytes, &files->cache);
    }
    if (status == STATUS_OK && config->may_fetch) {
        files->fetch = clip_fetch_new(context, desk, files->cache);
        files->decoded = decoded_new();
        status = files->fetch != NULL && files->decoded != NULL ? STATUS_OK : STATUS_MEMORY;
    }
    if (status != STATUS_OK) {
        clip_files_free(files);
        return status;
    }
    *ret = files;
    return STATUS_OK;
}

void clip_files_free(ClipFiles *files) {
    if (files != NULL) {
        if (files->fetched > 0) {
            log_info("%llu clips (%.1f MB) came from the coordinator",
                     (unsigned long long)files->fetched, (double)files->fetched_bytes / 1e6);
        }
        clip_fetch_free(files->fetch);
        clip_cache_close(files->cache);
        decoded_free(files->decoded);
        mem_free(files->wishes);
        mem_free(files);
    }
}

void clip_files_rest(ClipFiles *files, int64_t unused_ms) {
    if (files->fetch != NULL) {
        clip_fetch_rest(files->fetch, unused_ms);
    }
}

// In a data folder of this machine. STATUS_INVALID, STATUS_LIMIT.
static Status own_path(const ClipFiles *files, const WireClip *clip, char *out, size_t size) {
    const DeskSession *session = desk_session(files->desk);
    if (clip->root >= session->root_count) {
        return status_set(STATUS_INVALID, "data root %u: this worker has %u (--data)", clip->root,
                          session->root_count);
    }
    return file_join(out, size, session->roots[clip->root], clip->path);
}

// Whether that is a file like the one that was scanned. What is in it is compared by its reader.
static bool is_there(const char *path, const WireClip *clip) {
    FileFacts facts;
    return file_facts(path, &facts) == STATUS_OK && facts.size_bytes == clip->size_bytes;
}

static ClipWish wish_of(const WireClip *clip) {
    return (ClipWish){.name = message_clip_name(clip->root, clip->path),
                      .size_bytes = clip->size_bytes,
                      .digest = clip->digest};
}

// ---- what comes next ----

static void add_wish(ClipFiles *files, const WireClip *clip) {
    char path[LIMIT_PATH_BYTES];
    if (own_path(files, clip, path, sizeof path) == STATUS_OK && is_there(path, clip)) {
        return;
    }
    if (!digest_equal(clip->digest, UNKNOWN)) {
        int fd = clip_cache_find(files->cache, clip->digest, clip->size_bytes);
        if (fd >= 0) {
            close(fd);
            return;
        }
    }
    if (mem_grow(&files->wishes, files->wish_count, &files->wish_capacity, sizeof(ClipWish))) {
        files->wishes[files->wish_count++] = wish_of(clip);
    }
}

// One that the task under work wants as well is among the wishes already.
static void add_new_wishes(ClipFiles *files, const WireClip *clips, uint32_t count) {
    uint32_t of_this = files->wish_count;
    for (uint32_t i = 0; i < count; i++) {
        Digest name = message_clip_name(clips[i].root, clips[i].path);
        bool is_new = true;
        for (uint32_t w = 0; w < of_this && is_new; w++) {
            is_new = !digest_equal(files->wishes[w].name, name);
        }
        if (is_new) {
            add_wish(files, &clips[i]);
        }
    }
}

static void look_ahead(ClipFiles *files) {
    DeskTask next = {0};
    if (!desk_peek(files->desk, &next)) {
        return;
    }
    ProbeBody probe;
    ScoreBody score;
    ExploreBody explore;
    if (next.kind == TASK_PROBE &&
        body_decode_probe(files->decoded, next.body.bytes, next.body.size, &probe) == STATUS_OK) {
        add_new_wishes(files, probe.clips, probe.clip_count);
    } else if (next.kind == TASK_SCORE && body_decode_score(files->decoded, next.body.bytes,
                                                            next.body.size, &score) == STATUS_OK) {
        add_new_wishes(files, score.clips, score.clip_count);
    } else if ((next.kind == TASK_EXPLORE || next.kind == TASK_PORTRAIT) &&
               body_decode_explore(files->decoded, next.body.bytes, next.body.size, &explore) ==
                   STATUS_OK) {
        add_new_wishes(files, explore.clips, explore.clip_count);
    }
    buffer_done(&next.body);
}

void clip_files_expect(ClipFiles *files, const WireClip *clips, uint32_t count) {
    if (!files->may_fetch) {
        return;
    }
    files->wish_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        add_wish(files, &clips[i]);
    }
    if (files->wish_count > 0 || files->has_said) { // else all is here, and will be
        look_ahead(files);
        (void)clip_fetch_expect(files->fetch, files->wishes, files->wish_count);
    }
}

// ---- one clip ----

static Status fetch_clip(ClipFiles *files, const WireClip *clip, int *ret_fd) {
    if (!digest_equal(clip->digest, UNKNOWN)) {
        *ret_fd = clip_cache_find(files->cache, clip->digest, clip->size_bytes);
    }
    if (*ret_fd >= 0) {
        return STATUS_OK;
    }
    if (!files->has_said) {
        files->has_said = true;
        log_info("%s is not here as it was scanned: this worker gets its clips from the "
                 "coordinator",
                 clip->path);
    }
    ClipWish wish = wish_of(clip);
    Status status = clip_fetch_get(files->fetch, &wish, ret_fd);
    if (status == STATUS_OK) {
        files->fetched++;
        files->fetched_bytes += clip->size_bytes;
    }
    return status;
}

Status clip_files_path(ClipFiles *files, const WireClip *clip, ClipPath *ret_path) {
    ret_path->fd = -1;
    Status status = own_path(files, clip, ret_path->path, sizeof ret_path->path);
    if (!files->may_fetch || (status == STATUS_OK && is_there(ret_path->path, clip))) {
        return status;
    }
    status = fetch_clip(files, clip, &ret_path->fd);
    if (status == STATUS_OK) {
        snprintf(ret_path->path, sizeof ret_path->path, "/proc/self/fd/%d", ret_path->fd);
    }
    return status;
}

void clip_path_done(ClipPath *path) {
    if (path->fd >= 0) {
        close(path->fd);
        path->fd = -1;
    }
}
