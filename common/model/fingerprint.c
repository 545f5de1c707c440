// SPDX-License-Identifier: Apache-2.0
#include "common/model/fingerprint.h"

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/model/scorer.h"
#include "common/model/trainer.h"

enum { CLIPS = 4, FRAMES = 300, MELS = 128 };

typedef struct Work {
    float *features; // (CLIPS, FRAMES, MELS)
    Trainer *trainer;
    Replica *replica;
    ScalerSums *sums;
    Partial *total;
    ValidationSums *losses;
    Scorer *scorer;
    Buffer bytes;
} Work;

static Status make_features(Work *work) {
    size_t count = (size_t)CLIPS * FRAMES * MELS;
    work->features = mem_new(count, sizeof *work->features);
    if (work->features == NULL) {
        return STATUS_MEMORY;
    }
    Rng rng = rng_of(1, "model fingerprint", 0, 0);
    for (size_t i = 0; i < count; i++) {
        work->features[i] = (float)(-80.0 + 60.0 * rng_uniform(&rng));
    }
    return STATUS_OK;
}

static Status make_trainer(Work *work, TrainerConfig *config) {
    Settings settings;
    Status status = settings_preset("default", &settings);
    int64_t frames[CLIPS] = {FRAMES, FRAMES, FRAMES, FRAMES};
    settings.shards = CLIPS;
    settings.batch_size = 256;
    config->shape = shape_official(&settings);
    config->shard_count = CLIPS;
    if (status == STATUS_OK) {
        status = shard_plan_make(&config->shape, &settings, frames, CLIPS, &config->plan);
    }
    if (status == STATUS_OK) {
        status = trainer_new(config, &work->trainer);
    }
    for (int32_t c = 0; c < CLIPS && status == STATUS_OK; c++) {
        TrainClip clip = {work->features + (size_t)c * FRAMES * MELS, FRAMES, c, c == 0};
        status = trainer_add_clip(work->trainer, &clip);
    }
    return status == STATUS_OK ? trainer_seal(work->trainer) : status;
}

static Status make_state(Work *work, const TrainerConfig *config) {
    work->replica = replica_new(&config->shape);
    work->sums = scaler_sums_new(shape_dimension(&config->shape));
    work->total = partial_new(&config->shape);
    work->losses = validation_new(config->plan.validation_rounds);
    bool complete =
        work->replica != NULL && work->sums != NULL && work->total != NULL && work->losses != NULL;
    if (!complete) {
        return STATUS_MEMORY;
    }
    replica_init(work->replica, 1, 1);
    Status status = trainer_scaler_sums(work->trainer, work->sums);
    return status == STATUS_OK ? replica_set_scaler(work->replica, work->sums) : status;
}

static Status train(Work *work) {
    Status status = STATUS_OK;
    for (int round = 0; round < 2 && status == STATUS_OK; round++) {
        status = trainer_round(work->trainer, work->replica, work->total);
        if (status == STATUS_OK) {
            status = replica_apply(work->replica, work->total, 1e-3);
        }
    }
    if (status != STATUS_OK) {
        return status;
    }
    trainer_validate(work->trainer, work->replica, work->losses);
    return replica_end_epoch(work->replica, work->losses);
}

static Status sum_up(Work *work, Digest *ret_digest) {
    ClipScore score;
    work->scorer = scorer_new(work->replica);
    if (work->scorer == NULL) {
        return STATUS_MEMORY;
    }
    Status status = scorer_clip(work->scorer, work->features, FRAMES, &score, NULL, NULL);
    if (status != STATUS_OK) {
        return status;
    }
    replica_write(work->replica, REPLICA_ALL, &work->bytes);
    buffer_append(&work->bytes, &score.mse, sizeof score.mse);
    if (work->bytes.status == STATUS_OK) {
        *ret_digest = digest_of(work->bytes.bytes, work->bytes.size);
    }
    return work->bytes.status;
}

Status model_fingerprint(Digest *ret_digest) {
    Work work = {0};
    TrainerConfig config = {.seed = 1, .model_key = 1};
    Status status = make_features(&work);
    status = status == STATUS_OK ? make_trainer(&work, &config) : status;
    status = status == STATUS_OK ? make_state(&work, &config) : status;
    status = status == STATUS_OK ? train(&work) : status;
    status = status == STATUS_OK ? sum_up(&work, ret_digest) : status;
    scorer_free(work.scorer);
    validation_free(work.losses);
    partial_free(work.total);
    scaler_sums_free(work.sums);
    replica_free(work.replica);
    trainer_free(work.trainer);
    mem_free(work.features);
    buffer_done(&work.bytes);
    return status;
}
