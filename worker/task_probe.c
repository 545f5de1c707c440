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
    Crew *crew;
    ClipExtractor *extractors[CREW_LANES_MOST]; // of the crew's lanes
    Digest settings;                            // of the text that the extractors were made from
};

TaskProbe *task_probe_new(Desk *desk, Crew *crew, ClipFiles *files) {
    TaskProbe *probe = mem_new(1, sizeof *probe);
    if (probe != NULL) {
        probe->desk = desk;
        probe->crew = crew;
        probe->files = files;
        probe->decoded = decoded_new();
        if (probe->decoded == NULL) {
            mem_free(probe);
            return NULL;
        }
    }
    return probe;
}

static void drop_extractors(TaskProbe *probe) {
    for (int l = 0; l < crew_lanes(probe->crew); l++) {
        clip_extractor_free(probe->extractors[l]);
        probe->extractors[l] = NULL;
    }
}

void task_probe_free(TaskProbe *probe) {
    if (probe != NULL) {
        drop_extractors(probe);
        decoded_free(probe->decoded);
        mem_free(probe);
    }
}

static Status use_settings(TaskProbe *probe, const char *text) {
    Digest digest = digest_of(text, strlen(text));
    int lanes = crew_lanes(probe->crew);
    if (probe->extractors[lanes - 1] != NULL && digest_equal(digest, probe->settings)) {
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
    drop_extractors(probe);
    for (int l = 0; l < lanes; l++) {
        probe->extractors[l] = clip_extractor_new(&settings);
        if (probe->extractors[l] == NULL) {
            return STATUS_MEMORY;
        }
    }
    probe->settings = digest;
    return STATUS_OK;
}

typedef struct ProbeWork {
    TaskProbe *probe;
    const ProbeBody *body;
    ClipPath *paths;    // (slots)
    SourceFacts *facts; // (slots)
    // (body->clip_count)
    ClipOutcome *outcomes;
    ClipReason *reasons;
    ProbeAnswer *answers;
} ProbeWork;

static Status find_clip(void *context, uint32_t index, uint32_t slot) {
    const ProbeWork *work = context;
    work->facts[slot] = (SourceFacts){0};
    return clip_files_path(work->probe->files, &work->body->clips[index], &work->paths[slot]);
}

static Status probe_clip(void *context, uint32_t index, uint32_t slot, int lane) {
    const ProbeWork *work = context;
    const WireClip *clip = &work->body->clips[index];
    return source_probe(work->probe->extractors[lane], work->paths[slot].path, clip->path,
                        clip->size_bytes, &work->facts[slot]);
}

static void end_clip(void *context, uint32_t index, uint32_t slot, Status status) {
    const ProbeWork *work = context;
    const SourceFacts *facts = &work->facts[slot];
    (void)status; // the outcome tells
    clip_path_done(&work->paths[slot]);
    work->answers[index] = (ProbeAnswer){.outcome = work->outcomes[index],
                                         .frames = facts->frames,
                                         .vectors = facts->vectors,
                                         .rate_hz = facts->rate_hz,
                                         .channels = facts->channels,
                                         .seconds = facts->seconds,
                                         .is_silent = facts->is_silent,
                                         .digest = facts->digest,
                                         .reason = work->reasons[index]};
}

static Status probe_all(TaskProbe *probe, const ProbeBody *body, Buffer *answer,
                        ResultOutcome *ret_outcome) {
    static const ClipSteps STEPS = {find_clip, probe_clip, end_clip};
    uint32_t slots = clip_slots(probe->crew), count = body->clip_count;
    ProbeWork work = {.probe = probe, .body = body};
    work.paths = mem_new(slots, sizeof *work.paths);
    work.facts = mem_new(slots, sizeof *work.facts);
    work.outcomes = mem_new(count, sizeof *work.outcomes);
    work.reasons = mem_new(count, sizeof *work.reasons);
    work.answers = mem_new(count, sizeof *work.answers);
    bool ok = work.paths != NULL && work.facts != NULL && work.outcomes != NULL &&
              work.reasons != NULL && work.answers != NULL;
    clip_files_expect(probe->files, body->clips, count);
    ClipLoop loop = {probe->desk, probe->crew, count, &STEPS, &work, work.outcomes, work.reasons};
    Status status = ok ? clip_loop_run(&loop, answer, ret_outcome) : STATUS_MEMORY;
    if (status == STATUS_OK && *ret_outcome == RESULT_DONE) {
        body_encode_probe_answers(work.answers, count, answer);
        status = answer->status;
    }
    mem_free(work.paths);
    mem_free(work.facts);
    mem_free(work.outcomes);
    mem_free(work.reasons);
    mem_free(work.answers);
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
