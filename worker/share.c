// SPDX-License-Identifier: Apache-2.0
#include "worker/share.h"

#include <stdio.h>
#include <string.h>

#include "common/base/config.h"
#include "common/base/mem.h"
#include "worker/clip_loop.h"

struct Share {
    Crew *crew;
    Bulk *bulk;
    ClipFeed feed; // what is in it is borrowed
    // The plan:
    bool has_plan;
    Digest plan_digest;
    Decoded *decoded; // holds what `plan` borrows
    TrainPlan plan;
    Settings settings;
    Shape shape;
    ShardPlan shards;
    // The shards:
    Trainer *trainer;
    uint32_t first, count;
    HeldClip **clips; // (clip_count) in use; the trainer borrows their log-mels
    uint32_t clip_count;
};

Share *share_new(Crew *crew, Bulk *bulk, ClipFeed feed) {
    Share *share = mem_new(1, sizeof *share);
    if (share == NULL) {
        return NULL;
    }
    share->crew = crew;
    share->bulk = bulk;
    share->feed = feed;
    share->decoded = decoded_new();
    if (share->decoded == NULL) {
        mem_free(share);
        return NULL;
    }
    return share;
}

static void drop_trainer(Share *share) {
    trainer_free(share->trainer);
    share->trainer = NULL;
    for (uint32_t i = 0; i < share->clip_count; i++) {
        feature_store_release(share->feed.store, share->clips[i]);
    }
    mem_free(share->clips);
    share->clips = NULL;
    share->clip_count = 0;
}

void share_free(Share *share) {
    if (share != NULL) {
        drop_trainer(share);
        decoded_free(share->decoded);
        mem_free(share);
    }
}

const TrainPlan *share_plan(const Share *share) {
    return &share->plan;
}

const Settings *share_settings(const Share *share) {
    return &share->settings;
}

const Shape *share_shape(const Share *share) {
    return &share->shape;
}

const ShardPlan *share_shards(const Share *share) {
    return &share->shards;
}

// ---- plan ----

static Status make_shard_plan(Share *share) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < share->plan.clip_count; i++) {
        uint32_t index = share->plan.clips[i].index;
        count = index >= count ? index + 1 : count;
    }
    if (count > LIMIT_CLIPS) {
        return status_set(STATUS_LIMIT, "a plan of %u clips", count);
    }
    int64_t *frames = mem_new(count, sizeof *frames);
    if (frames == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t i = 0; i < share->plan.clip_count; i++) {
        frames[share->plan.clips[i].index] = share->plan.clips[i].frames;
    }
    Status status =
        shard_plan_make(&share->shape, &share->settings, frames, (int32_t)count, &share->shards);
    mem_free(frames);
    return status;
}

static Status read_plan(Share *share, const Buffer *bytes) {
    Status status = body_decode_plan(share->decoded, bytes->bytes, bytes->size, &share->plan);
    if (status == STATUS_OK) {
        status = settings_preset("default", &share->settings);
    }
    if (status == STATUS_OK) {
        status = config_read_text("plan", share->plan.settings, strlen(share->plan.settings),
                                  &share->settings);
    }
    if (status == STATUS_OK) {
        status = settings_check(&share->settings);
    }
    if (status == STATUS_OK && share->plan.shards != (uint32_t)share->settings.shards) {
        status = status_set(STATUS_FORMAT, "a plan of %u shards whose settings say %d",
                            share->plan.shards, share->settings.shards);
    }
    if (status == STATUS_OK) {
        share->shape = shape_of_settings(&share->settings);
        status = make_shard_plan(share);
    }
    return status;
}

Status share_use_plan(Share *share, Digest plan) {
    if (share->has_plan && digest_equal(share->plan_digest, plan)) {
        return STATUS_OK;
    }
    drop_trainer(share);
    share->has_plan = false;
    Buffer bytes = BUFFER_EMPTY;
    Status status = bulk_get(share->bulk, plan, &bytes);
    if (status == STATUS_OK) {
        status = read_plan(share, &bytes);
    }
    if (status == STATUS_OK) {
        share->has_plan = true;
        share->plan_digest = plan;
    }
    buffer_done(&bytes);
    return status;
}

// ---- shards ----

static bool owns(const Share *share, const WireClip *clip) {
    uint32_t shard = clip->index % share->plan.shards;
    return shard >= share->first && shard < share->first + share->count;
}

// The clips that could not be loaded, as the body of a RESULT 1.
typedef struct CannotList {
    struct CannotClip clips[PROTO_TASK_CLIPS];
    char reasons[PROTO_TASK_CLIPS][512];
    uint32_t count;
} CannotList;

static void note_cannot(CannotList *list, const WireClip *clip) {
    if (list->count < PROTO_TASK_CLIPS) {
        char *reason = list->reasons[list->count];
        snprintf(reason, sizeof list->reasons[0], "%.480s", status_message());
        list->clips[list->count++] = (struct CannotClip){clip->index, reason};
    }
}

// The loading of a trainer's clips.
typedef struct Loading {
    Share *share;
    WireClip *clips; // (count) of the plan's those that the shards have
    uint32_t count;
    FedClip *fed; // (slots)
    ShareStep *step;
    void *context;
    CannotList *cannot;
} Loading;

static Status step_on(void *context, uint32_t done) {
    const Loading *loading = context;
    uint32_t left = loading->count - done, most = clip_slots(loading->share->crew);
    Status status = STATUS_OK;
    for (uint32_t i = 0; status == STATUS_OK && i < left && i < most; i++) {
        status = loading->step(loading->context);
    }
    return status;
}

static Status find_clip(void *context, uint32_t index, uint32_t slot) {
    const Loading *loading = context;
    return clip_feed_find(&loading->share->feed, &loading->clips[index], &loading->fed[slot]);
}

static Status read_clip(void *context, uint32_t index, uint32_t slot, int lane) {
    const Loading *loading = context;
    (void)index;
    return clip_feed_read(&loading->share->feed, &loading->fed[slot], lane);
}

static Status add_clip(Share *share, const WireClip *clip, FedClip *fed) {
    HeldClip *held;
    Status status = clip_feed_keep(&share->feed, fed, &held);
    if (status != STATUS_OK) {
        return status;
    }
    share->clips[share->clip_count++] = held;
    const ClipFeatures *features = held_clip_features(held);
    if (features->frames != clip->frames) {
        return status_set(STATUS_FORMAT, "%u frames were planned, %lld are there", clip->frames,
                          (long long)features->frames);
    }
    TrainClip added = {.log_mel = features->log_mel,
                       .frames = features->frames,
                       .index = (int32_t)clip->index,
                       .is_target = clip->is_target};
    return trainer_add_clip(share->trainer, &added);
}

static void end_clip(void *context, uint32_t index, uint32_t slot, Status status) {
    const Loading *loading = context;
    const WireClip *clip = &loading->clips[index];
    FedClip *fed = &loading->fed[slot];
    if (status != STATUS_OK) {
        clip_feed_drop(&loading->share->feed, fed);
    } else {
        status = add_clip(loading->share, clip, fed);
    }
    if (status != STATUS_OK) {
        note_cannot(loading->cannot, clip);
    }
}

static void pick_clips(Loading *loading) {
    const TrainPlan *plan = &loading->share->plan;
    for (uint32_t i = 0; i < plan->clip_count; i++) {
        if (owns(loading->share, &plan->clips[i])) {
            loading->clips[loading->count++] = plan->clips[i];
        }
    }
}

static Status load_clips(Share *share, ShareStep *step, void *context, CannotList *cannot) {
    static const ClipSteps STEPS = {find_clip, read_clip, end_clip};
    Loading loading = {.share = share, .step = step, .context = context, .cannot = cannot};
    loading.clips = mem_new(share->plan.clip_count, sizeof *loading.clips);
    loading.fed = mem_new(clip_slots(share->crew), sizeof *loading.fed);
    bool complete = loading.clips != NULL && loading.fed != NULL;
    Status status =
        complete ? feature_store_set(share->feed.store, &share->settings) : STATUS_MEMORY;
    if (status == STATUS_OK) {
        pick_clips(&loading);
        status = clip_feed_expect(&share->feed, loading.clips, loading.count);
    }
    if (status == STATUS_OK) {
        ClipBatches batches = {share->crew, loading.count, &STEPS, &loading, step_on};
        status = clip_batches_run(&batches);
    }
    mem_free(loading.clips);
    mem_free(loading.fed);
    return status;
}

static Status make_trainer(Share *share, ShareStep *step, void *context, CannotList *cannot) {
    TrainerConfig config = {.shape = share->shape,
                            .plan = share->shards,
                            .first_shard = (int32_t)share->first,
                            .shard_count = (int32_t)share->count,
                            .seed = (uint64_t)share->settings.seed,
                            .model_key = share->plan.model_key,
                            .crew = share->crew};
    share->clips = mem_new(share->plan.clip_count, sizeof(HeldClip *));
    Status status = share->clips != NULL ? trainer_new(&config, &share->trainer) : STATUS_MEMORY;
    if (status == STATUS_OK) {
        status = load_clips(share, step, context, cannot);
    }
    if (status == STATUS_OK && cannot->count == 0) {
        status = trainer_seal(share->trainer);
    }
    return status;
}

static Status load_shards(Share *share, uint32_t first, uint32_t count, ShareStep *step,
                          void *context, Buffer *answer, ResultOutcome *ret_outcome) {
    CannotList *cannot = mem_new(1, sizeof *cannot);
    if (cannot == NULL) {
        return STATUS_MEMORY;
    }
    drop_trainer(share);
    share->first = first;
    share->count = count;
    Status status = make_trainer(share, step, context, cannot);
    if (status == STATUS_OK && cannot->count > 0) {
        *ret_outcome = RESULT_CANNOT;
        CannotBody body = {cannot->reasons[0], cannot->clips, cannot->count};
        body_encode_cannot(&body, answer);
        status = answer->status;
    }
    if (status != STATUS_OK || cannot->count > 0) {
        drop_trainer(share);
    }
    mem_free(cannot);
    return status;
}

Status share_use_shards(Share *share, uint32_t first, uint32_t count, bool may_have_more,
                        ShareStep *step, void *context, Buffer *answer, ResultOutcome *ret_outcome,
                        Trainer **ret_trainer) {
    bool is_same = share->first == first && share->count == count;
    bool is_part = share->first <= first && first + count <= share->first + share->count;
    bool is_held = share->trainer != NULL && (may_have_more ? is_part : is_same);
    Status status = STATUS_OK;
    if (!shard_is_subtree((int32_t)share->plan.shards, (int32_t)first, (int32_t)count)) {
        status = status_set(STATUS_FORMAT, "shards %u to %u of %u", first, first + count - 1,
                            share->plan.shards);
    } else if (!is_held) {
        status = load_shards(share, first, count, step, context, answer, ret_outcome);
    }
    *ret_trainer = share->trainer;
    return status;
}
