// SPDX-License-Identifier: Apache-2.0
#include "common/engine/fingerprint.h"

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/dsp/logmel.h"
#include "common/model/scorer.h"
#include "common/model/trainer.h"

enum { RATE_HZ = 16000, SAMPLES = 160000 };

// Two settings: the two batch shapes that runs use most, 256 rows at once and four times 64.
static const int32_t SHARDS[] = {1, 4};

// A rising hum in noise, without libm.
static void make_sound(float *out) {
    Rng rng = rng_of(1, "fingerprint", 0, 0);
    double phase = 0;
    for (int i = 0; i < SAMPLES; i++) {
        phase += 0.01 + 1e-6 * i;
        phase -= phase >= 1 ? 1 : 0;
        out[i] = (float)(0.3 * (2 * phase - 1) + 0.1 * (rng_uniform(&rng) - 0.5));
    }
}

static Status train_some(const Settings *settings, const float *log_mel, int64_t frames,
                         Replica *replica) {
    Shape shape = shape_official(settings);
    TrainerConfig config = {.shape = shape, .shard_count = settings->shards, .seed = 1};
    int64_t all_frames[4];
    for (int32_t i = 0; i < settings->shards; i++) {
        all_frames[i] = frames;
    }
    Trainer *trainer = NULL;
    Partial *partial = partial_new(&shape);
    ScalerSums *sums = scaler_sums_new(shape_dimension(&shape));
    Status status = partial != NULL && sums != NULL ? STATUS_OK : STATUS_MEMORY;
    if (status == STATUS_OK) {
        status = shard_plan_make(&shape, settings, all_frames, settings->shards, &config.plan);
    }
    if (status == STATUS_OK) {
        status = trainer_new(&config, &trainer);
    }
    for (int32_t i = 0; i < settings->shards && status == STATUS_OK; i++) {
        TrainClip clip = {.log_mel = log_mel, .frames = frames, .index = i, .is_target = i == 1};
        status = trainer_add_clip(trainer, &clip);
    }
    if (status == STATUS_OK) {
        status = trainer_seal(trainer);
    }
    if (status == STATUS_OK) {
        status = trainer_scaler_sums(trainer, sums);
    }
    if (status == STATUS_OK) {
        status = replica_set_scaler(replica, sums);
    }
    for (int round = 0; round < 2 && status == STATUS_OK; round++) {
        status = trainer_round(trainer, replica, partial);
        if (status == STATUS_OK) {
            status = replica_apply(replica, partial, settings->learning_rate);
        }
    }
    trainer_free(trainer);
    partial_free(partial);
    scaler_sums_free(sums);
    return status;
}

static Status add_training(DigestStream *stream, Settings settings, int32_t shards,
                           const float *log_mel, int64_t frames) {
    settings.shards = shards;
    Shape shape = shape_official(&settings);
    Replica *replica = replica_new(&shape);
    Buffer bytes = BUFFER_EMPTY;
    Scorer *scorer = NULL;
    ClipScore score = {0};
    Status status = replica != NULL ? STATUS_OK : STATUS_MEMORY;
    if (status == STATUS_OK) {
        replica_init(replica, 1, 1);
        status = train_some(&settings, log_mel, frames, replica);
    }
    if (status == STATUS_OK) {
        scorer = scorer_new(replica);
        status =
            scorer != NULL ? scorer_clip(scorer, log_mel, frames, &score, NULL) : STATUS_MEMORY;
    }
    if (status == STATUS_OK) {
        replica_write(replica, REPLICA_ALL, &bytes);
        digest_add(stream, buffer_cstr(&bytes), bytes.size);
        digest_add(stream, &score.mse, sizeof score.mse);
    }
    scorer_free(scorer);
    replica_free(replica);
    buffer_done(&bytes);
    return status;
}

static Status add_everything(DigestStream *stream, const Settings *settings, LogMel *logmel,
                             float *samples, float *log_mel) {
    int64_t frames = logmel_frames(logmel, SAMPLES);
    make_sound(samples);
    logmel_run(logmel, samples, SAMPLES, log_mel);
    digest_add(stream, log_mel, (size_t)(frames * settings->n_mels) * sizeof *log_mel);
    Status status = STATUS_OK;
    for (size_t i = 0; i < sizeof SHARDS / sizeof SHARDS[0] && status == STATUS_OK; i++) {
        status = add_training(stream, *settings, SHARDS[i], log_mel, frames);
    }
    return status;
}

Status fingerprint_make(Digest *ret_fingerprint) {
    Settings settings;
    Status status = settings_preset("default", &settings);
    if (status != STATUS_OK) {
        return status;
    }
    LogMel *logmel = logmel_new(&settings, RATE_HZ);
    float *samples = mem_new(SAMPLES, sizeof *samples);
    int64_t frames = logmel != NULL ? logmel_frames(logmel, SAMPLES) : 0;
    float *log_mel = mem_new((size_t)(frames * settings.n_mels), sizeof *log_mel);
    DigestStream *stream = digest_begin();
    status = STATUS_MEMORY;
    if (logmel != NULL && samples != NULL && log_mel != NULL && stream != NULL) {
        status = add_everything(stream, &settings, logmel, samples, log_mel);
    }
    if (stream != NULL) {
        Digest digest = digest_end(stream);
        if (status == STATUS_OK) {
            *ret_fingerprint = digest;
        }
    }
    mem_free(log_mel);
    mem_free(samples);
    logmel_free(logmel);
    return status;
}
