// SPDX-License-Identifier: Apache-2.0
#include "worker/clip_loop.h"

#include <math.h>
#include <stdio.h>

#include "common/base/mem.h"

ClipOutcome clip_loop_outcome(Status status, ClipReason reason) {
    if (status == STATUS_OK) {
        return CLIP_USABLE;
    }
    snprintf(reason, sizeof(ClipReason), "%.480s", status_message());
    return status == STATUS_FORMAT ? CLIP_LEFT_OUT : CLIP_UNREADABLE;
}

Status clip_loop_run(const ClipLoop *loop, Buffer *answer, ResultOutcome *ret_outcome) {
    struct CannotClip *cannot = mem_new(loop->count, sizeof *cannot);
    uint32_t cannot_count = 0;
    if (cannot == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t i = 0; i < loop->count; i++) {
        if (desk_is_cancelled(loop->desk)) {
            mem_free(cannot);
            return status_set(STATUS_STOPPED, "cancelled");
        }
        if (loop->work(loop->context, i, loop->reasons[i]) == CLIP_UNREADABLE) {
            cannot[cannot_count++] = (struct CannotClip){i, loop->reasons[i]};
        }
        desk_tell_progress(loop->desk, i + 1, loop->count, NAN);
    }
    Status status = STATUS_OK;
    if (cannot_count > 0) {
        *ret_outcome = RESULT_CANNOT;
        body_encode_cannot(&(CannotBody){cannot[0].reason, cannot, cannot_count}, answer);
        status = answer->status;
    }
    mem_free(cannot);
    return status;
}
