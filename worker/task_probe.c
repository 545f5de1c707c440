// SPDX-License-Identifier: Apache-2.0
//
// PROBE: does each clip decode, and what is it? Reads and decodes all of it; no transforms.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/config.h"
#include "common/base/mem.h"
#include "common/engine/source.h"
#include "worker/compute.h"

struct TaskProbe {
    Desk *desk;
    Decoded *decoded;
    ClipExtractor *extractor;
    Digest settings; // of the text that the extractor was made from
};

TaskProbe *task_probe_new(Desk *desk) {
    TaskProbe *probe = mem_new(1, sizeof *probe);
    if (probe != NULL) {
        probe->desk = desk;
        probe->decoded = decoded_new();
        if (probe->decoded == NULL) {
            mem_free(probe);
            return NULL;
        }
    }
    return probe;
}

void task_probe_free(TaskProbe *probe) {
    if (probe != NULL) {
        clip_extractor_free(probe->extractor);
        decoded_free(probe->decoded);
        mem_free(probe);
    }
}

static Status use_settings(TaskProbe *probe, const char *text) {
    Digest digest = digest_of(text, strlen(text));
    if (probe->extractor != NULL && digest_equal(digest, probe->settings)) {
        return STATUS_OK;
    }
    Settings settings;
    Status status = settings_preset("default", &settings);
    if (status == STATUS_OK) {
        status = config_read_text("task", text, strlen(text), &settings);
    }
    if (status == STATUS_OK) {
        status = settings_check(&settings);
    }
    if (status != STATUS_OK) {
        return status;
    }
    clip_extractor_free(probe->extractor);
    probe->extractor = clip_extractor_new(&settings);
    probe->settings = digest;
    return probe->extractor != NULL ? STATUS_OK : STATUS_MEMORY;
}

typedef char Reason[512];

static Status probe_clip(TaskProbe *probe, const WireClip *clip, ProbeAnswer *answer,
                         Reason reason) {
    char path[LIMIT_PATH_BYTES];
    SourceFacts facts = {0};
    Status status = compute_clip_path(probe->desk, clip, path, sizeof path);
    if (status == STATUS_OK) {
        status = source_probe(probe->extractor, path, clip->path, clip->size_bytes, &facts);
    }
    if (status != STATUS_OK) {
        snprintf(reason, sizeof(Reason), "%.480s", status_message());
    }
    *answer = (ProbeAnswer){.outcome = status == STATUS_OK       ? CLIP_USABLE
                                       : status == STATUS_FORMAT ? CLIP_LEFT_OUT
                                                                 : CLIP_UNREADABLE,
                            .frames = facts.frames,
                            .vectors = facts.vectors,
                            .rate_hz = facts.rate_hz,
                            .channels = facts.channels,
                            .seconds = facts.seconds,
                            .is_silent = facts.is_silent,
                            .digest = facts.digest,
                            .reason = reason};
    return status;
}

static Status probe_all(TaskProbe *probe, const ProbeBody *body, Buffer *answer,
                        ResultOutcome *ret_outcome) {
    ProbeAnswer *answers = mem_new(body->clip_count, sizeof *answers);
    Reason *reasons = mem_new(body->clip_count, sizeof *reasons);
    struct CannotClip *cannot = mem_new(body->clip_count, sizeof *cannot);
    Status status =
        answers != NULL && reasons != NULL && cannot != NULL ? STATUS_OK : STATUS_MEMORY;
    uint32_t cannot_count = 0;
    for (uint32_t i = 0; status == STATUS_OK && i < body->clip_count; i++) {
        if (desk_is_cancelled(probe->desk)) {
            status = status_set(STATUS_STOPPED, "cancelled");
            break;
        }
        (void)probe_clip(probe, &body->clips[i], &answers[i], reasons[i]);
        if (answers[i].outcome == CLIP_UNREADABLE) {
            cannot[cannot_count++] = (struct CannotClip){i, reasons[i]};
        }
        desk_tell_progress(probe->desk, i + 1, body->clip_count, NAN);
    }
    if (status == STATUS_OK && cannot_count > 0) {
        *ret_outcome = RESULT_CANNOT;
        body_encode_cannot(&(CannotBody){cannot[0].reason, cannot, cannot_count}, answer);
        status = answer->status;
    } else if (status == STATUS_OK) {
        body_encode_probe_answers(answers, body->clip_count, answer);
        status = answer->status;
    }
    mem_free(answers);
    mem_free(reasons);
    mem_free(cannot);
    return status;
}

Status task_probe_run(TaskProbe *probe, const DeskTask *task, Buffer *answer,
                      ResultOutcome *ret_outcome) {
    ProbeBody body;
    Status status = body_decode_probe(probe->decoded, task->body.bytes, task->body.size, &body);
    if (status == STATUS_OK) {
        status = use_settings(probe, body.settings);
    }
    return status == STATUS_OK ? probe_all(probe, &body, answer, ret_outcome) : status;
}
