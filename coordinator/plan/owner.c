// SPDX-License-Identifier: Apache-2.0
//
// The plan as the server's owner.
#include <math.h>

#include "coordinator/plan/state.h"

static Status start(void *context, Core *core, int64_t now_ms) {
    return plan_start(context, core, now_ms);
}

static bool is_over(void *context) {
    return plan_is_over(context);
}

static Status commit(void *context, TaskTag tag, const void *bytes, size_t size) {
    return plan_commit(context, tag, bytes, size);
}

static Status on_durable(void *context, Core *core, TaskTag tag, int64_t now_ms) {
    return plan_on_durable(context, core, tag, now_ms);
}

static Status on_failed(void *context, TaskTag tag, uint32_t deaths, uint32_t cannots) {
    return plan_on_failed(context, tag, deaths, cannots);
}

static Status on_cannot(void *context, Core *core, const OwnerDoubt *doubt, Buffer *said,
                        int64_t now_ms) {
    return plan_on_cannot(context, core, doubt, said, now_ms);
}

static Status on_impossible(void *context, Core *core, TaskTag tag, const void *bytes,
                            size_t size) {
    return plan_on_impossible(context, core, tag, bytes, size);
}

static Status on_poison(void *context, Core *core, TaskTag tag, int64_t now_ms) {
    return plan_on_poison(context, core, tag, now_ms);
}

static void describe(void *context, TaskTag tag, Buffer *out) {
    plan_describe(context, tag, out);
}

static Status catch_up(void *context, Core *core, int64_t now_ms) {
    return plan_catch_up(context, core, now_ms);
}

static void progress(void *context, ProgressFacts *facts) {
    PlanCounts counts = plan_counts(context);
    RunStage stage = plan_run_stage(context, &counts);
    facts->loss = stage == AT_TRAIN ? facts->loss : NAN;
    facts->stage = stage != AT_REPORT ? run_stage_text(stage) : NULL;
    switch (stage) {
    case AT_EXTRACT:
        facts->unit = "clips";
        facts->done = counts.clips_probed;
        facts->total = counts.clips;
        break;
    case AT_EXPLORE:
        facts->unit = "clips";
        facts->done = counts.clips_explored;
        facts->total = counts.clips_to_explore;
        break;
    case AT_TRAIN:
        facts->unit = "epochs";
        facts->done = counts.epochs_trained;
        facts->total = counts.epochs;
        break;
    case AT_SCORE:
        facts->unit = "clips";
        facts->done = counts.clips_scored;
        facts->total = counts.clips_to_score;
        break;
    case AT_PICTURES:
        facts->unit = "pictures";
        facts->done = counts.portraits - counts.portraits_left;
        facts->total = counts.portraits;
        break;
    case AT_REPORT:
        break;
    }
}

static void found(void *context, Buffer *out) {
    PlanCounts counts = plan_counts(context);
    const Plan *plan = context;
    if (plan->config.explores && counts.clips_probed > 0) {
        buffer_format(out, "resumed: %llu of %llu clips were read, %llu explored",
                      (unsigned long long)counts.clips_probed, (unsigned long long)counts.clips,
                      (unsigned long long)counts.clips_explored);
    } else if (counts.clips_probed > 0) {
        buffer_format(out,
                      "resumed: %llu of %llu clips were read, %llu of %llu epochs trained, %llu of "
                      "%llu clips scored",
                      (unsigned long long)counts.clips_probed, (unsigned long long)counts.clips,
                      (unsigned long long)counts.epochs_trained, (unsigned long long)counts.epochs,
                      (unsigned long long)counts.clips_scored,
                      (unsigned long long)plan_clips_to_score(context));
    }
}

static void tell(void *context, Snapshot *snapshot, Status ended) {
    plan_look(context, snapshot, ended);
}

static Status clip_path(void *context, Digest clip, char *out, size_t size) {
    Plan *plan = context;
    uint32_t index;
    if (plan->clip_names == NULL) {
        plan->clip_names = clip_names_new(plan->config.dataset);
        if (plan->clip_names == NULL) {
            return STATUS_MEMORY;
        }
    }
    Status status = clip_names_find(plan->clip_names, clip, &index);
    return status == STATUS_OK ? plan_clip_path(plan, index, out, size) : status;
}

static bool pace(void *context, TaskTag tag, OwnerPace *ret_pace) {
    return plan_pace(context, tag, ret_pace);
}

Owner plan_owner(Plan *plan) {
    return (Owner){.context = plan,
                   .hooks = plan_hooks(plan),
                   .start = start,
                   .found = found,
                   .is_over = is_over,
                   .commit = commit,
                   .on_durable = on_durable,
                   .on_failed = on_failed,
                   .on_cannot = on_cannot,
                   .on_impossible = on_impossible,
                   .on_poison = on_poison,
                   .clip_path = clip_path,
                   .describe = describe,
                   .catch_up = catch_up,
                   .progress = progress,
                   .tell = tell,
                   .pace = pace};
}
