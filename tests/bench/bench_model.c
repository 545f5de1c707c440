// SPDX-License-Identifier: Apache-2.0
//
// One training step at batch 256 with 1 and with 4 shards, and the forward pass, against nothing
// but their matrix products, and against PyTorch; the step by several threads against one.
#include <stdio.h>

#include "common/base/mem.h"
#include "common/model/autoencoder.h"
#include "common/model/scorer.h"
#include "common/model/trainer.h"
#include "tests/bench/bench.h"
#include "tests/bench/peer.h"
#include "tests/bench/sound.h"

enum {
    BATCH = 256,
    CLIPS = 24, // 26 steps an epoch
};

// A worker that trains one model alone.
typedef struct StepBench {
    Crew *crew; // borrowed; NULL: one thread
    Settings settings;
    Shape shape;
    ShardPlan plan;
    float *clips; // (CLIPS, SOUND_FRAMES, n_mels)
    Trainer *trainer;
    Replica *replica;
    Partial *total;
    ScalerSums *scaler_sums;
    ValidationSums *validation;
    Autoencoder *net; // the limit's, for micro-batches of BATCH / shards rows
    real *gradient;   // (parameters) likewise
    double *row_loss; // (BATCH)
} StepBench;

static Status end_epoch(StepBench *b) {
    trainer_validate(b->trainer, b->replica, b->validation);
    return replica_end_epoch(b->replica, b->validation);
}

// Validation, once in an epoch, is not part of a step.
static Status run_step(void *context, int32_t times, int64_t *ret_ns) {
    StepBench *b = context;
    int64_t ns = 0;
    for (int32_t i = 0; i < times; i++) {
        int64_t start_ns = measure_ns();
        Status status = trainer_round(b->trainer, b->replica, b->total);
        if (status == STATUS_OK) {
            status = replica_apply(b->replica, b->total, b->settings.learning_rate);
        }
        ns += measure_ns() - start_ns;
        if (status == STATUS_OK && replica_round(b->replica) == b->plan.rounds) {
            status = end_epoch(b);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    *ret_ns = ns;
    return STATUS_OK;
}

static Status run_products(void *context, int32_t times, int64_t *ret_ns) {
    StepBench *b = context;
    int64_t start_ns = measure_ns();
    for (int32_t i = 0; i < times * b->settings.shards; i++) {
        autoencoder_products(b->net, replica_parameters(b->replica), b->gradient);
    }
    *ret_ns = measure_ns() - start_ns;
    return STATUS_OK;
}

static Status run_forward(void *context, int32_t times, int64_t *ret_ns) {
    StepBench *b = context;
    int64_t start_ns = measure_ns();
    for (int32_t i = 0; i < times; i++) {
        autoencoder_evaluate(b->net, BATCH, b->row_loss);
    }
    *ret_ns = measure_ns() - start_ns;
    return STATUS_OK;
}

static Status run_forward_products(void *context, int32_t times, int64_t *ret_ns) {
    StepBench *b = context;
    int64_t start_ns = measure_ns();
    for (int32_t i = 0; i < times; i++) {
        autoencoder_forward_products(b->net, replica_parameters(b->replica));
    }
    *ret_ns = measure_ns() - start_ns;
    return STATUS_OK;
}

// ---- making it ----

static Status add_clips(StepBench *b) {
    size_t clip_floats = (size_t)SOUND_FRAMES * (size_t)b->shape.n_mels;
    for (int32_t i = 0; i < CLIPS; i++) {
        float *log_mel = b->clips + (size_t)i * clip_floats;
        sound_log_mel((uint64_t)i, SOUND_FRAMES, b->shape.n_mels, log_mel);
        TrainClip clip = {.log_mel = log_mel, .frames = SOUND_FRAMES, .index = i};
        Status status = trainer_add_clip(b->trainer, &clip);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return trainer_seal(b->trainer);
}

static Status make_trainer(StepBench *b) {
    int64_t frames[CLIPS];
    for (int32_t i = 0; i < CLIPS; i++) {
        frames[i] = SOUND_FRAMES;
    }
    Status status = shard_plan_make(&b->shape, &b->settings, frames, CLIPS, &b->plan);
    TrainerConfig config = {.shape = b->shape,
                            .plan = b->plan,
                            .shard_count = b->settings.shards,
                            .seed = (uint64_t)b->settings.seed,
                            .crew = b->crew};
    if (status == STATUS_OK) {
        status = trainer_new(&config, &b->trainer);
    }
    b->clips = mem_new((size_t)CLIPS * SOUND_FRAMES, (size_t)b->shape.n_mels * sizeof(float));
    if (b->clips == NULL) {
        status = STATUS_MEMORY;
    }
    return status == STATUS_OK ? add_clips(b) : status;
}

static Status make_state(StepBench *b) {
    int32_t rows = BATCH / b->settings.shards;
    b->replica = replica_new(&b->shape);
    b->total = partial_new(&b->shape);
    b->scaler_sums = scaler_sums_new(shape_dimension(&b->shape));
    b->validation = validation_new(b->plan.validation_rounds);
    b->net = autoencoder_new(&b->shape, rows);
    b->gradient = mem_new_aligned(shape_layout(&b->shape).parameters, sizeof *b->gradient);
    b->row_loss = mem_new(BATCH, sizeof *b->row_loss);
    if (b->replica == NULL || b->total == NULL || b->scaler_sums == NULL || b->validation == NULL ||
        b->net == NULL || b->gradient == NULL || b->row_loss == NULL) {
        return STATUS_MEMORY;
    }
    replica_init(b->replica, (uint64_t)b->settings.seed, 0);
    Status status = trainer_scaler_sums(b->trainer, b->scaler_sums);
    if (status == STATUS_OK) {
        status = replica_set_scaler(b->replica, b->scaler_sums);
    }
    // The products work on what a real pass leaves.
    real *input = autoencoder_input(b->net);
    for (size_t i = 0; i < (size_t)rows * (size_t)shape_dimension(&b->shape); i++) {
        input[i] = (real)(0.125 * (b->clips[i] + 30));
    }
    autoencoder_fold(b->net, replica_parameters(b->replica), replica_running(b->replica));
    autoencoder_evaluate(b->net, rows, b->row_loss);
    return status;
}

static Status make_step(const Bench *bench, int32_t shards, StepBench *b) {
    b->settings = bench->settings;
    b->settings.batch_size = BATCH;
    b->settings.shards = shards;
    b->shape = shape_official(&b->settings);
    Status status = make_trainer(b);
    return status == STATUS_OK ? make_state(b) : status;
}

static void step_done(StepBench *b) {
    trainer_free(b->trainer);
    replica_free(b->replica);
    partial_free(b->total);
    scaler_sums_free(b->scaler_sums);
    validation_free(b->validation);
    autoencoder_free(b->net);
    mem_free(b->gradient);
    mem_free(b->row_loss);
    mem_free(b->clips);
}

// ---- the figures ----

static Status measure_peer(Bench *bench, const char *work, const char *name, const char *what,
                           const Contender *ours) {
    Peer *peer;
    Status status = peer_start(bench, work, "256", &peer);
    if (status != STATUS_OK || peer == NULL) {
        return status;
    }
    const Contender theirs = {peer_run, peer};
    Duel result;
    status = duel(ours, &theirs, bench->turns, &result);
    if (status == STATUS_OK) {
        bench_duel(bench, name, what, peer_name(peer), &result, true);
    }
    peer_stop(peer);
    return status;
}

static Status measure_step(Bench *bench, int32_t shards, const char *name, const char *what) {
    StepBench b = {0};
    Duel result;
    const Contender ours = {run_step, &b}, limit = {run_products, &b};
    Status status = make_step(bench, shards, &b);
    if (status == STATUS_OK) {
        status = duel(&ours, &limit, bench->turns, &result);
    }
    if (status == STATUS_OK) {
        bench_duel(bench, name, what, "its matrix products", &result, false);
        if (shards == 1) {
            status = measure_peer(bench, "step", "step_pytorch", what, &ours);
        }
    }
    step_done(&b);
    return status;
}

Status bench_step(Bench *bench) {
    Status status = measure_step(bench, 1, "step_1_shard", "training step at batch 256, 1 shard");
    if (status == STATUS_OK) {
        status = measure_step(bench, 4, "step_4_shards", "training step at batch 256, 4 shards");
    }
    return status;
}

// A step of eight shards, in the time that passes.
static Status measure_threads(Bench *bench, Crew *crew) {
    static char what[64];
    StepBench many = {.crew = crew}, one = {0};
    Duel result;
    const Contender ours = {run_step, &many}, other = {run_step, &one};
    snprintf(what, sizeof what, "training step at batch 256, 8 shards, %d threads",
             crew_lanes(crew));
    Status status = make_step(bench, 8, &many);
    if (status == STATUS_OK) {
        status = make_step(bench, 8, &one);
    }
    if (status == STATUS_OK) {
        status = duel(&ours, &other, bench->turns, &result);
    }
    if (status == STATUS_OK) {
        bench_duel(bench, "threads", what, "one thread", &result, true);
    }
    step_done(&many);
    step_done(&one);
    return status;
}

Status bench_threads(Bench *bench) {
    enum { LANES = 8 };
    bool is_by_wall = measure_is_by_wall();
    cpu_set_t one;
    Crew *crew;
    if (sched_getaffinity(0, sizeof one, &one) != 0 ||
        sched_setaffinity(0, sizeof bench->all_cpus, &bench->all_cpus) != 0) {
        return status_set(STATUS_IO, "cannot leave the one processor");
    }
    int lanes = crew_usual_lanes() < LANES ? crew_usual_lanes() : LANES;
    Status status = STATUS_OK;
    if (lanes == 1) {
        bench_note(bench, "threads: there is one processor here");
    } else {
        status = crew_new(lanes, &crew);
        if (status == STATUS_OK) {
            measure_by_wall(true);
            status = measure_threads(bench, crew);
            measure_by_wall(is_by_wall);
            crew_free(crew);
        }
    }
    (void)sched_setaffinity(0, sizeof one, &one);
    return status;
}

Status bench_forward(Bench *bench) {
    static const char WHAT[] = "forward pass at batch 256, with errors";
    StepBench b = {0};
    Duel result;
    const Contender ours = {run_forward, &b}, limit = {run_forward_products, &b};
    Status status = make_step(bench, 1, &b);
    if (status == STATUS_OK) {
        status = duel(&ours, &limit, bench->turns, &result);
    }
    if (status == STATUS_OK) {
        bench_duel(bench, "forward", WHAT, "its matrix products", &result, false);
        status = measure_peer(bench, "forward", "forward_pytorch", WHAT, &ours);
    }
    step_done(&b);
    return status;
}
