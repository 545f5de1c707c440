// SPDX-License-Identifier: Apache-2.0
//
// PROBE: does each clip decode, and what is it? Reads and decodes all of it; no transforms.
#include <string.h>

#include "common/base/config.h"
#include "common/base/mem.h"
#include "common/engine/source.h"
#include "worker/clip_loop.h"
#include "worker/compute.h"

struct TaskProbe {
    Desk *desk;
    ClipFiles *files;
    Decoded *decoded;
    ClipExtractor *extractor;
    Digest settings; // of the text that the extractor was made from
};

TaskProbe *task_probe_new(Desk *desk, ClipFiles *files) {
    TaskProbe *probe = mem_new(1, sizeof *probe);
    if (probe != NULL) {
        probe->desk = desk;
        probe->files = files;
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

typedef struct ProbeWork {
    TaskProbe *probe;
    const ProbeBody *body;
    ProbeAnswer *answers; // (body->clip_count)
} ProbeWork;

static ClipOutcome probe_clip(void *context, uint32_t index, ClipReason reason) {
    const ProbeWork *work = context;
    const WireClip *clip = &work->body->clips[index];
    char path[LIMIT_PATH_BYTES];
    SourceFacts facts = {0};
    Status status = clip_files_path(work->probe->files, clip, path, sizeof path);
    if (status == STATUS_OK) {
        status = source_probe(work->probe->extractor, path, clip->path, clip->size_bytes, &facts);
    }
    ClipOutcome outcome = clip_loop_outcome(status, reason);
    work->answers[index] = (ProbeAnswer){.outcome = outcome,
                                         .frames = facts.frames,
                                         .vectors = facts.vectors,
                                         .rate_hz = facts.rate_hz,
                                         .channels = facts.channels,
                                         .seconds = facts.seconds,
                                         .is_silent = facts.is_silent,
                                         .digest = facts.digest,
                                         .reason = reason};
    return outcome;
}

static Status probe_all(TaskProbe *probe, const ProbeBody *body, Buffer *answer,
                        ResultOutcome *ret_outcome) {
    ProbeAnswer *answers = mem_new(body->clip_count, sizeof *answers);
    ClipReason *reasons = mem_new(body->clip_count, sizeof *reasons);
    ProbeWork work = {probe, body, answers};
    clip_files_expect(probe->files, body->clips, body->clip_count);
    ClipLoop loop = {probe->desk, body->clip_count, probe_clip, &work, reasons};
    Status status = answers != NULL && reasons != NULL ? clip_loop_run(&loop, answer, ret_outcome)
                                                       : STATUS_MEMORY;
    if (status == STATUS_OK && *ret_outcome == RESULT_DONE) {
        body_encode_probe_answers(answers, body->clip_count, answer);
        status = answer->status;
    }
    mem_free(answers);
    mem_free(reasons);
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
