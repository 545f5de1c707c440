// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/blocks.h"

#include <math.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/engine/exploration.h"
#include "common/engine/portrait.h"
#include "common/engine/yardsticks.h"
#include "common/eval/residuals.h"
#include "common/model/partial.h"
#include "common/model/replica.h"
#include "common/model/scaler.h"
#include "common/model/validation.h"
#include "coordinator/plan/precisions.h"
#include "proto/message.h"

enum { ROUNDS = 3, BANDS = 2, VECTORS = 4 };

static Settings settings;
static Shape shape;

void blocks_begin(void) {
    static const char *const ASSIGNMENTS[] = {"n_mels=1", "frames=2", "hidden=[2]", "score=MAHALA"};
    Status status = settings_preset("default", &settings);
    for (size_t i = 0; i < sizeof ASSIGNMENTS / sizeof ASSIGNMENTS[0]; i++) {
        status = status == STATUS_OK ? settings_assign(&settings, ASSIGNMENTS[i]) : status;
    }
    if (status != STATUS_OK) {
        fuzz_fail("no settings");
    }
    shape = shape_of_settings(&settings);
}

static void append(const void *bytes, size_t size, Buffer *out) {
    buffer_append(out, bytes, size);
}

static Replica *new_replica(void) {
    Replica *replica = replica_new(&shape);
    if (replica != NULL) {
        replica_init(replica, 3, 4);
    }
    return replica;
}

// What the coordinator itself would go on from is finite.
static void check_replica(const Replica *replica) {
    const real *parameters = replica_parameters(replica), *running = replica_running(replica);
    const Layout *layout = replica_layout(replica);
    for (size_t i = 0; i < layout->parameters + layout->running; i++) {
        if (!isfinite(i < layout->parameters ? parameters[i] : running[i - layout->parameters])) {
            fuzz_fail("a replica with a number that is not finite");
        }
    }
}

// ---- one round's sums ----

// Both shards send it; the step is taken unless the training has diverged.
bool read_partial(const char *bytes, size_t size) {
    PartialTree *tree = partial_tree_new(&shape, 2);
    Replica *replica = new_replica();
    bool is_taken = tree != NULL && replica != NULL &&
                    partial_tree_put(tree, 0, 1, bytes, size) == STATUS_OK &&
                    partial_tree_put(tree, 1, 1, bytes, size) == STATUS_OK;
    if (is_taken) {
        const Partial *total = partial_tree_total(tree);
        if (replica_check(replica, total) == STATUS_OK) {
            if (replica_apply(replica, total, 0.001) != STATUS_OK) {
                fuzz_fail("a step that was allowed is refused");
            }
        }
        check_replica(replica);
    }
    replica_free(replica);
    partial_tree_free(tree);
    return is_taken;
}

bool partial_seed(uint32_t index, Buffer *out) {
    Partial *partial = index < 2 ? partial_new(&shape) : NULL;
    if (partial != NULL) {
        if (index == 1) {
            PartialHead *head = partial_head(partial);
            head->rows = 3;
            head->source_rows = 2;
            head->target_rows = 1;
            head->source_loss = 2;
            head->target_loss = 0.5;
            head->loss = 2.5;
            partial_gradient(partial)[0] = 0.25f;
        }
        size_t size;
        const void *bytes = partial_bytes(partial, &size);
        append(bytes, size, out);
    }
    partial_free(partial);
    return index < 2;
}

bool read_scaler_sums(const char *bytes, size_t size) {
    ScalerSums *left = scaler_sums_new(shape_dimension(&shape));
    ScalerSums *right = scaler_sums_new(shape_dimension(&shape));
    Replica *replica = new_replica();
    bool is_taken = left != NULL && right != NULL && replica != NULL &&
                    scaler_sums_read(left, bytes, size) == STATUS_OK &&
                    scaler_sums_read(right, bytes, size) == STATUS_OK;
    if (is_taken) {
        scaler_sums_add(left, right);
        (void)replica_set_scaler(replica, left);
    }
    replica_free(replica);
    scaler_sums_free(left);
    scaler_sums_free(right);
    return is_taken;
}

bool scaler_sums_seed(uint32_t index, Buffer *out) {
    ScalerSums *sums = index < 2 ? scaler_sums_new(shape_dimension(&shape)) : NULL;
    if (sums != NULL) {
        static const float LOG_MEL[] = {1, 2, 4, 8, 16};
        static const uint8_t HELD_OUT[sizeof LOG_MEL / sizeof LOG_MEL[0]];
        if (index == 1) {
            scaler_sums_clip(sums, &shape, LOG_MEL, sizeof LOG_MEL / sizeof LOG_MEL[0], HELD_OUT);
        }
        size_t size;
        const void *bytes = scaler_sums_bytes(sums, &size);
        append(bytes, size, out);
    }
    scaler_sums_free(sums);
    return index < 2;
}

bool read_validation(const char *bytes, size_t size) {
    ValidationSums *left = validation_new(ROUNDS), *right = validation_new(ROUNDS);
    bool is_taken = left != NULL && right != NULL &&
                    validation_read(left, bytes, size) == STATUS_OK &&
                    validation_read(right, bytes, size) == STATUS_OK;
    if (is_taken) {
        double losses[ROUNDS];
        validation_add(left, right);
        (void)validation_loss(left);
        (void)validation_losses(left, losses);
    }
    validation_free(left);
    validation_free(right);
    return is_taken;
}

bool validation_seed(uint32_t index, Buffer *out) {
    ValidationSums *sums = index == 0 ? validation_new(ROUNDS) : NULL;
    if (sums != NULL) {
        validation_put(sums, 1, 2.5, 4);
        size_t size;
        const void *bytes = validation_bytes(sums, &size);
        append(bytes, size, out);
    }
    validation_free(sums);
    return index == 0;
}

// ---- states ----

bool read_replica(const char *bytes, size_t size) {
    Replica *replica = NULL, *again = NULL;
    if (replica_read(bytes, size, &replica) != STATUS_OK) {
        return false;
    }
    Buffer out = BUFFER_EMPTY;
    check_replica(replica);
    replica_write(replica, REPLICA_MODEL, &out);
    if (replica_read(buffer_cstr(&out), out.size, &again) != STATUS_OK) {
        fuzz_fail("a replica that was read cannot be written and read");
    }
    replica_free(again);
    replica_free(replica);
    buffer_done(&out);
    return true;
}

// As it begins, with a scaler, within an epoch, after one; whole and to score with.
bool replica_seed(uint32_t index, Buffer *out) {
    Replica *replica = index < 4 ? new_replica() : NULL;
    ScalerSums *sums = scaler_sums_new(shape_dimension(&shape));
    Partial *total = partial_new(&shape);
    ValidationSums *validation = validation_new(ROUNDS);
    bool is_made = replica != NULL && sums != NULL && total != NULL && validation != NULL;
    if (is_made && index > 0) {
        static const float LOG_MEL[] = {1, 2, 4, 8, 16};
        static const uint8_t HELD_OUT[sizeof LOG_MEL / sizeof LOG_MEL[0]];
        scaler_sums_clip(sums, &shape, LOG_MEL, sizeof LOG_MEL / sizeof LOG_MEL[0], HELD_OUT);
        PartialHead *head = partial_head(total);
        head->rows = head->source_rows = 3;
        head->loss = head->source_loss = 2.5;
        is_made = replica_set_scaler(replica, sums) == STATUS_OK &&
                  replica_apply(replica, total, 0.001) == STATUS_OK;
    }
    if (is_made && index > 1) {
        validation_put(validation, 0, 2.5, 4);
        is_made = replica_end_epoch(replica, validation) == STATUS_OK;
    }
    if (is_made) {
        Buffer bytes = BUFFER_EMPTY;
        replica_write(replica, index == 3 ? REPLICA_MODEL : REPLICA_ALL, &bytes);
        append(buffer_cstr(&bytes), bytes.size, out);
        buffer_done(&bytes);
    }
    validation_free(validation);
    partial_free(total);
    scaler_sums_free(sums);
    replica_free(replica);
    return is_made;
}

// ---- yardsticks ----

// The answers of two shards; what becomes of them can be a score.
bool read_residuals(const char *bytes, size_t size) {
    Buffer answers[2] = {BUFFER_EMPTY, BUFFER_EMPTY};
    Yardsticks yardsticks = {0};
    bool is_taken = precisions_check(&settings, VECTORS, bytes, size) == STATUS_OK;
    for (int i = 0; i < 2; i++) {
        buffer_append(&answers[i], bytes, size);
    }
    if (precisions_make(&settings, answers, 2, &yardsticks) == STATUS_OK) {
        static const double ROW[1] = {1};
        if (isnan(mahala_of_row(&yardsticks.source, yardsticks_target(&yardsticks), ROW))) {
            fuzz_fail("a distance that is no number");
        }
    }
    yardsticks_done(&yardsticks);
    buffer_done(&answers[0]);
    buffer_done(&answers[1]);
    return is_taken;
}

bool residuals_seed(uint32_t index, Buffer *out) {
    static const float ROWS[] = {1, 2, 4, 8, 3, 5, 7, 9};
    static const uint8_t IS_TARGET[VECTORS] = {0, 1, 0, 1};
    ResidualSums *source = residual_sums_new(1, false), *target = residual_sums_new(1, false);
    if (index == 0 && source != NULL && target != NULL) {
        ResidualsAnswer answer;
        Buffer body = BUFFER_EMPTY;
        residual_sums_add(source, ROWS, IS_TARGET, VECTORS, 2, false);
        residual_sums_add(target, ROWS, IS_TARGET, VECTORS, 2, true);
        answer.source = residual_sums_bytes(source, &answer.source_bytes);
        answer.target = residual_sums_bytes(target, &answer.target_bytes);
        body_encode_residuals_answer(&answer, &body);
        append(buffer_cstr(&body), body.size, out);
        buffer_done(&body);
    }
    residual_sums_free(source);
    residual_sums_free(target);
    return index == 0;
}

bool read_yardsticks(const char *bytes, size_t size) {
    static const double ROW[BANDS] = {1, -2};
    const ClipMeasure measure = {.mse = 1, .row = ROW};
    Yardsticks yardsticks = {0};
    bool is_taken = yardsticks_read(bytes, size, BANDS, &yardsticks) == STATUS_OK;
    if (is_taken) {
        for (int kind = 0; kind < SCORE_KINDS; kind++) {
            (void)yardsticks_score(&yardsticks, (ScoreKind)kind, MAHALA_CODE, &measure);
        }
    }
    yardsticks_done(&yardsticks);
    return is_taken;
}

bool yardsticks_seed(uint32_t index, Buffer *out) {
    static const double COVARIANCE[BANDS * BANDS] = {2, 0.5, 0.5, 1},
                                           ROWS[3 * BANDS] = {1, 2, 3, 5, 8, 13};
    Yardsticks yardsticks = {0};
    bool is_made = index == 0 &&
                   precision_of_covariance(COVARIANCE, BANDS, &yardsticks.source) == STATUS_OK &&
                   clip_yardstick_make(ROWS, 3, BANDS, &yardsticks.clip) == STATUS_OK;
    if (is_made) {
        Buffer bytes = BUFFER_EMPTY;
        yardsticks_write(&yardsticks, &bytes);
        append(buffer_cstr(&bytes), bytes.size, out);
        buffer_done(&bytes);
    }
    yardsticks_done(&yardsticks);
    return is_made;
}

// ---- what is told of clips ----

// An answer to PORTRAIT.
bool read_portrait(const char *bytes, size_t size) {
    Decoded *decoded = decoded_new();
    const PortraitAnswer *answers;
    uint32_t count = 0;
    bool is_taken = decoded != NULL && body_decode_portrait_answers(decoded, bytes, size, &answers,
                                                                    &count) == STATUS_OK;
    for (uint32_t i = 0; is_taken && i < count; i++) {
        const PortraitAnswer *answer = &answers[i];
        const Portrait told = {.columns = (int32_t)answer->columns,
                               .mel_rows = (int32_t)answer->mel_rows,
                               .spectrum_rows = (int32_t)answer->spectrum_rows,
                               .mfcc_rows = (int32_t)answer->mfcc_rows,
                               .rate_hz = (int32_t)answer->rate_hz,
                               .seconds = answer->seconds,
                               .has_residual = answer->has_residual};
        Portrait portrait = {0};
        is_taken =
            portrait_unpack(&told, answer->values, answer->values_bytes, &portrait) == STATUS_OK;
        if (is_taken) {
            Buffer again = BUFFER_EMPTY;
            portrait_pack(&portrait, &again);
            buffer_done(&again);
        }
        portrait_done(&portrait);
    }
    decoded_free(decoded);
    return is_taken;
}

bool portrait_seed(uint32_t index, Buffer *out) {
    static const char VALUES[2 * 3 * (2 + 2 + 1 + 1 + 2)] = "the values of all pictures";
    const PortraitAnswer answer = {.columns = 3,
                                   .mel_rows = 2,
                                   .spectrum_rows = 1,
                                   .mfcc_rows = 1,
                                   .rate_hz = 16000,
                                   .has_residual = true,
                                   .seconds = 1.5,
                                   .values = VALUES,
                                   .values_bytes = sizeof VALUES,
                                   .reason = ""};
    Buffer body = BUFFER_EMPTY;
    if (index == 0) {
        body_encode_portrait_answers(&answer, 1, &body);
        append(buffer_cstr(&body), body.size, out);
    }
    buffer_done(&body);
    return index == 0;
}

// The numbers as they stand in an answer to EXPLORE, then the bands.
bool read_exploration(const char *bytes, size_t size) {
    Exploration exploration = {0};
    size_t numbers = sizeof exploration.numbers, bands = BANDS * sizeof(double);
    bool is_taken =
        size == numbers + 2 * bands && exploration_init(&exploration, BANDS) == STATUS_OK;
    if (is_taken) {
        exploration.is_sound = true;
        memcpy(exploration.numbers, bytes, numbers);
        memcpy(exploration.mean, bytes + numbers, bands);
        memcpy(exploration.spread, bytes + numbers + bands, bands);
        is_taken = exploration_check(&exploration) == STATUS_OK;
    }
    exploration_done(&exploration);
    return is_taken;
}

bool exploration_seed(uint32_t index, Buffer *out) {
    static const double NUMBERS[EXPLORATION_NUMBERS + 2 * BANDS] = {1.5, 16000, 1,  16,
                                                                    47,  0.5,   -20};
    if (index == 0) {
        append(NUMBERS, sizeof NUMBERS, out);
    }
    return index == 0;
}
