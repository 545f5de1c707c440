// SPDX-License-Identifier: Apache-2.0
//
// How it works. Drawing the held-out vectors leaves the list `training` of vector numbers in
// ascending order; an epoch's permutation `order` then says in which order that list is used.
#include "common/model/shard_data.h"

#include <string.h>

#include "common/base/mem.h"

void shard_data_free(ShardData *shard) {
    mem_free(shard->clips);
    mem_free(shard->first_vector);
    mem_free(shard->is_held_out);
    mem_free(shard->training);
    mem_free(shard->held_out);
    mem_free(shard->order);
}

static Status reserve_clip(ShardData *shard) {
    if (shard->clip_count < shard->clip_capacity) {
        return STATUS_OK;
    }
    int32_t capacity = 2 * shard->clip_capacity + 16;
    TrainClip *clips = mem_resize(shard->clips, (size_t)capacity, sizeof *clips);
    if (clips == NULL) {
        return STATUS_MEMORY;
    }
    shard->clips = clips;
    shard->clip_capacity = capacity;
    return STATUS_OK;
}

// Where a clip belongs among those already there; they come nearly in order.
static int32_t place_of(const ShardData *shard, int32_t index) {
    int32_t place = shard->clip_count;
    while (place > 0 && shard->clips[place - 1].index >= index) {
        place--;
    }
    return place;
}

Status shard_data_add(ShardData *shard, const TrainClip *clip) {
    Status status = reserve_clip(shard);
    if (status != STATUS_OK) {
        return status;
    }
    int32_t place = place_of(shard, clip->index);
    if (place < shard->clip_count && shard->clips[place].index == clip->index) {
        return status_set(STATUS_INVALID, "clip %d was added twice", clip->index);
    }
    memmove(shard->clips + place + 1, shard->clips + place,
            (size_t)(shard->clip_count - place) * sizeof *shard->clips);
    shard->clips[place] = *clip;
    shard->clip_count++;
    return STATUS_OK;
}

static Status allocate_lists(ShardData *shard, int64_t vectors) {
    shard->is_held_out = mem_new((size_t)vectors, 1);
    shard->training = mem_new((size_t)shard->training_count, sizeof(uint32_t));
    shard->held_out = mem_new((size_t)shard->held_out_count, sizeof(uint32_t));
    // The draw permutes all vectors; the epochs' permutations then need no more room.
    shard->order = mem_new((size_t)vectors, sizeof(uint32_t));
    bool complete = shard->is_held_out != NULL && shard->training != NULL &&
                    shard->held_out != NULL && shard->order != NULL;
    return complete ? STATUS_OK : STATUS_MEMORY;
}

static void draw_held_out(ShardData *shard, int64_t vectors, Rng rng) {
    rng_permutation(&rng, shard->order, (uint32_t)vectors);
    for (int64_t i = 0; i < shard->held_out_count; i++) {
        shard->held_out[i] = shard->order[i];
        shard->is_held_out[shard->order[i]] = 1;
    }
    int64_t filled = 0;
    for (int64_t v = 0; v < vectors; v++) {
        if (!shard->is_held_out[v]) {
            shard->training[filled++] = (uint32_t)v;
        }
    }
}

Status shard_data_seal(ShardData *shard, const Shape *shape, const ShardPlan *plan, int s,
                       Rng rng) {
    int64_t vectors = 0;
    shard->first_vector = mem_new((size_t)shard->clip_count, sizeof *shard->first_vector);
    if (shard->first_vector == NULL) {
        return STATUS_MEMORY;
    }
    for (int32_t c = 0; c < shard->clip_count; c++) {
        shard->first_vector[c] = vectors;
        vectors += shape_vectors(shape, shard->clips[c].frames);
    }
    if (vectors != plan->vectors[s]) {
        return status_set(STATUS_INVALID, "shard %d has %lld vectors, the plan says %lld", s,
                          (long long)vectors, (long long)plan->vectors[s]);
    }
    shard->training_count = plan->training[s];
    shard->held_out_count = plan->validation[s];
    Status status = allocate_lists(shard, vectors);
    if (status == STATUS_OK) {
        draw_held_out(shard, vectors, rng);
    }
    return status;
}

void shard_data_sums(const ShardData *shard, const Shape *shape, ScalerSums *clip_sums,
                     ScalerSums *out) {
    scaler_sums_clear(out);
    for (int32_t c = 0; c < shard->clip_count; c++) {
        const TrainClip *clip = &shard->clips[c];
        scaler_sums_clip(clip_sums, shape, clip->log_mel, clip->frames,
                         shard->is_held_out + shard->first_vector[c]);
        scaler_sums_add(out, clip_sums);
    }
}

void shard_data_permute(ShardData *shard, Rng rng) {
    rng_permutation(&rng, shard->order, (uint32_t)shard->training_count);
}

// The clip that holds a vector: the last one that begins at or before it and is not empty.
static int32_t clip_of(const ShardData *shard, int64_t vector) {
    int32_t low = 0, high = shard->clip_count - 1;
    while (low < high) {
        int32_t middle = low + (high - low + 1) / 2;
        if (shard->first_vector[middle] <= vector) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

const float *shard_data_vector(const ShardData *shard, const Shape *shape, uint32_t vector,
                               bool *ret_is_target) {
    int32_t c = clip_of(shard, vector);
    const TrainClip *clip = &shard->clips[c];
    size_t frame = (size_t)(vector - shard->first_vector[c]) * (size_t)shape->frame_hop_length;
    *ret_is_target = clip->is_target;
    return clip->log_mel + frame * (size_t)shape->n_mels;
}
