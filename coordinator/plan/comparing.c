// SPDX-License-Identifier: Apache-2.0
//
// Whether workers read the data that this machine has. One with a data folder of its own tells of
// each clip what its bytes are, before anybody else has read them, and what it tells holds for the
// run from then on. DCASE's clips all have one size, so the folder of another year would do. To
// read every clip here as well would make this machine the slowest worker: of each answer one clip
// is compared, and of all those whose contents are known already their digests.
#include "common/base/file.h"
#include "common/engine/source.h"
#include "coordinator/plan/state.h"

enum { COMPARED_BYTES_MOST = 16 << 20 }; // of a clip: some milliseconds of the loop's time

static const Digest NONE;

// A file that has changed here since the scan says nothing of what a worker has.
static bool is_as_scanned(const char *path, const Clip *clip) {
    FileFacts facts;
    return file_facts(path, &facts) == STATUS_OK && facts.size_bytes == clip->size_bytes &&
           facts.mtime_ns == clip->mtime_ns;
}

// The smallest clip, as the cheapest one, that the worker has read; NO_CLIP: none is small.
static uint32_t choose(const Plan *plan, const uint32_t *clips, const ProbeAnswer *told,
                       uint32_t count) {
    uint32_t best = NO_CLIP;
    uint64_t least = COMPARED_BYTES_MOST + 1;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t size = plan->config.dataset->clips[clips[i]].size_bytes;
        if (size < least && told[i].outcome != CLIP_UNREADABLE) {
            least = size;
            best = i;
        }
    }
    return best;
}

static Status compare(const Plan *plan, const PlanTask *task, const ProbeAnswer *told,
                      uint32_t count) {
    uint32_t clips[CLIPS_PER_TASK_MOST];
    if (plan_task_clips(plan, task, clips) != count) {
        return STATUS_OK; // is complained of elsewhere
    }
    uint32_t chosen = choose(plan, clips, told, count);
    char path[LIMIT_PATH_BYTES];
    if (chosen == NO_CLIP || plan_clip_path(plan, clips[chosen], path, sizeof path) != STATUS_OK) {
        return STATUS_OK;
    }
    const Clip *clip = &plan->config.dataset->clips[clips[chosen]];
    Buffer bytes = BUFFER_EMPTY;
    Status status = source_read(path, clip->size_bytes, &told[chosen].digest, &bytes, NULL);
    buffer_done(&bytes);
    return status == STATUS_MISMATCH && is_as_scanned(path, clip)
               ? status_set(
                     STATUS_FORMAT,
                     "%.300s holds other bytes at the worker than at the coordinator: is the "
                     "worker's data folder (--data) another data set's?",
                     clip->path)
               : STATUS_OK;
}

Status comparing_check(const Plan *plan, const PlanTask *task, const void *bytes, size_t size) {
    if (plan->config.is_local || plan->looks_itself) {
        return STATUS_OK;
    }
    Decoded *decoded = decoded_new();
    const ProbeAnswer *told;
    uint32_t count;
    Status status = decoded != NULL ? body_decode_probe_answers(decoded, bytes, size, &told, &count)
                                    : STATUS_MEMORY;
    if (status == STATUS_OK) {
        status = compare(plan, task, told, count);
    }
    decoded_free(decoded);
    return status;
}

// Of an answer that is on the way to the disk there is the digest alone.
bool comparing_told(const Plan *plan, uint32_t clip, Digest *ret_digest) {
    for (uint32_t g = 0; g < plan->models.group_count; g++) {
        Digest told = plan_clip_in(plan, g, clip)->digest;
        if (!digest_equal(told, NONE)) {
            *ret_digest = told;
            return true;
        }
    }
    return false;
}

bool comparing_contradicts(const Plan *plan, uint32_t clip, const ProbeAnswer *told) {
    Digest known = plan->config.known != NULL ? plan->config.known[clip] : NONE;
    bool is_known = !digest_equal(known, NONE) || comparing_told(plan, clip, &known);
    return is_known && !digest_equal(known, told->digest);
}
