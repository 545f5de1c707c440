// SPDX-License-Identifier: Apache-2.0
#include "worker/share.h"

#include <stdio.h>
#include <string.h>

#include "common/base/config.h"
#include "common/base/mem.h"
#include "worker/compute.h"

struct Share {
    Desk *desk;
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

Share *share_new(Desk *desk, Bulk *bulk, ClipFeed feed) {
    Share *share = mem_new(1, sizeof *share);
    if (share == NULL) {
        return NULL;
    }
    share->desk = desk;
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

static Status load_clip(Share *share, const WireClip *clip) {
    HeldClip *held;
    Status status = clip_feed_use(&share->feed, clip, &held);
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

// Tells where the clips of the shards will be looked for.
static Status expect_clips(const Share *share) {
    WireClip *clips = mem_new(share->plan.clip_count, sizeof *clips);
    if (clips == NULL) {
        return STATUS_MEMORY;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < share->plan.clip_count; i++) {
        if (owns(share, &share->plan.clips[i])) {
            clips[count++] = share->plan.clips[i];
        }
    }
    Status status = clip_feed_expect(&share->feed, clips, count);
    mem_free(clips);
    return status;
}

static Status load_clips(Share *share, ShareStep *step, void *context, CannotList *cannot) {
    Status status = feature_store_set(share->feed.store, &share->settings);
    if (status == STATUS_OK) {
        status = expect_clips(share);
    }
    for (uint32_t i = 0; status == STATUS_OK && i < share->plan.clip_count; i++) {
        const WireClip *clip = &share->plan.clips[i];
        if (!owns(share, clip)) {
            continue;
        }
        status = step(context);
        if (status == STATUS_OK && load_clip(share, clip) != STATUS_OK) {
            note_cannot(cannot, clip);
        }
    }
    return status;
}

static Status make_trainer(Share *share, ShareStep *step, void *context, CannotList *cannot) {
    TrainerConfig config = {.shape = share->shape,
                            .plan = share->shards,
                            .first_shard = (int32_t)share->first,
                            .shard_count = (int32_t)share->count,
                            .seed = (uint64_t)share->settings.seed,
                            .model_key = share->plan.model_key};
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
