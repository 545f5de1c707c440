// SPDX-License-Identifier: Apache-2.0
//
// Blocks of bytes that come from files and from the network, whole and spoilt.
#include <math.h>

#include "common/base/digest.h"
#include "common/model/replica.h"
#include "tests/unit/model/model_test.h"

static Replica *some_replica(void) {
    Shape shape = tiny_shape();
    Replica *replica = replica_new(&shape);
    ScalerSums *sums = scaler_sums_new(10);
    float *clip = synthetic_clip(3, 40, 5);
    uint8_t held_out[39] = {0};
    replica_init(replica, 5, 6);
    scaler_sums_clip(sums, &shape, clip, 40, held_out);
    CHECK_OK(replica_set_scaler(replica, sums));
    Partial *total = partial_new(&shape);
    PartialHead *head = partial_head(total);
    head->rows = 7;
    head->source_rows = 5;
    head->target_rows = 2;
    head->loss = 3;
    head->source_loss = 2;
    head->target_loss = 1;
    for (uint32_t i = 0; i < head->parameter_count + head->running_count; i++) {
        partial_gradient(total)[i] = (real)(1 + i % 5);
    }
    ValidationSums *losses = validation_new(2);
    validation_put(losses, 0, 8, 4);
    for (int epoch = 0; epoch < 3; epoch++) {
        CHECK_OK(replica_apply(replica, total, 1e-3));
        CHECK_OK(replica_end_epoch(replica, losses));
    }
    CHECK_OK(replica_apply(replica, total, 1e-3));
    mem_free(clip);
    scaler_sums_free(sums);
    partial_free(total);
    validation_free(losses);
    return replica;
}

TEST(replica_reads_back_as_it_was_written) {
    Replica *replica = some_replica(), *again = NULL;
    Buffer bytes = BUFFER_EMPTY, second = BUFFER_EMPTY;
    replica_write(replica, REPLICA_ALL, &bytes);
    CHECK_OK(replica_read(bytes.bytes, bytes.size, &again));
    replica_write(again, REPLICA_ALL, &second);
    CHECK(bytes.size == second.size && memcmp(bytes.bytes, second.bytes, bytes.size) == 0);
    CHECK_INT(replica_epoch(again), 3);
    CHECK_INT(replica_round(again), 1);
    CHECK_INT(replica_step(again), 4);
    CHECK(replica_history(again)[2].val_loss == 2);
    CHECK(replica_sums(again)->source_loss == 2.0 / 5);
    CHECK_INT(replica_scaler(again)->count, 39);
    CHECK(memcmp(replica_scaler(again)->scale, replica_scaler(replica)->scale, 10 * sizeof(real)) ==
          0);
    replica_free(replica);
    replica_free(again);
    buffer_done(&bytes);
    buffer_done(&second);
}

TEST(model_without_optimiser_state_scores_but_does_not_train) {
    Replica *replica = some_replica(), *model = NULL;
    Buffer bytes = BUFFER_EMPTY;
    replica_write(replica, REPLICA_MODEL, &bytes);
    CHECK_OK(replica_read(bytes.bytes, bytes.size, &model));
    size_t count = replica_layout(model)->parameters * sizeof(real);
    CHECK(memcmp(replica_parameters(model), replica_parameters(replica), count) == 0);
    Shape shape = tiny_shape();
    Partial *total = partial_new(&shape);
    CHECK_INT(replica_apply(model, total, 1e-3), STATUS_INVALID);
    partial_free(total);
    replica_free(replica);
    replica_free(model);
    buffer_done(&bytes);
}

static void reseal(Buffer *bytes) {
    Digest digest = digest_of(bytes->bytes, bytes->size - sizeof digest);
    memcpy(bytes->bytes + bytes->size - sizeof digest, &digest, sizeof digest);
}

TEST(damaged_replica_is_refused) {
    Replica *replica = some_replica();
    Buffer bytes = BUFFER_EMPTY;
    replica_write(replica, REPLICA_ALL, &bytes);
    for (size_t i = 0; i < bytes.size; i++) {
        Replica *read = NULL;
        bytes.bytes[i] = (char)(bytes.bytes[i] ^ 0x10);
        CHECK(replica_read(bytes.bytes, bytes.size, &read) != STATUS_OK);
        CHECK(read == NULL);
        bytes.bytes[i] = (char)(bytes.bytes[i] ^ 0x10);
        CHECK(replica_read(bytes.bytes, i, &read) != STATUS_OK);
    }
    replica_free(replica);
    buffer_done(&bytes);
}

// With a digest that fits the damage, only the checks of the values stand between it and us.
TEST(forged_replica_is_refused_or_harmless) {
    uint64_t seed = test_seed();
    Rng rng = rng_of(seed, "forged replica", 0, 0);
    Replica *replica = some_replica();
    Buffer bytes = BUFFER_EMPTY;
    replica_write(replica, REPLICA_ALL, &bytes);
    char *kept = mem_copy(bytes.bytes, bytes.size);
    int accepted = 0;
    for (int n = 0; n < 20000; n++) {
        memcpy(bytes.bytes, kept, bytes.size);
        uint32_t changes = 1 + rng_below(&rng, 4);
        for (uint32_t c = 0; c < changes; c++) {
            uint32_t reach = rng_below(&rng, 2) == 0 ? 250 : (uint32_t)bytes.size;
            bytes.bytes[rng_below(&rng, reach)] = (char)rng_u32(&rng);
        }
        reseal(&bytes);
        Replica *read = NULL;
        long before = mem_blocks();
        if (replica_read(bytes.bytes, bytes.size, &read) == STATUS_OK) {
            const Layout *layout = replica_layout(read);
            for (size_t i = 0; i < layout->parameters; i++) {
                CHECK(isfinite(replica_parameters(read)[i]));
            }
            accepted++;
        }
        replica_free(read);
        CHECK_INT(mem_blocks(), before);
    }
    printf("%d of 20000 accepted\n", accepted);
    mem_free(kept);
    replica_free(replica);
    buffer_done(&bytes);
}

TEST(impossible_numbers_in_a_replica_are_refused) {
    Replica *replica = some_replica();
    Buffer bytes = BUFFER_EMPTY;
    replica_write(replica, REPLICA_ALL, &bytes);
    BatchLosses losses = replica_batch_losses(replica);
    size_t loss_bytes = 8 * (size_t)(losses.training_count + losses.held_out_count);
    size_t parameters = sizeof(ReplicaHead) + 2 * 10 * 8 + 3 * sizeof(EpochLosses) + loss_bytes;
    size_t count = replica_layout(replica)->parameters;
    static const float bad[] = {NAN, INFINITY, -INFINITY, -1};
    for (int k = 0; k < 4; k++) {
        // A parameter, both moments, and the first running mean.
        for (size_t block = 0; block < 4; block++) {
            bool may_be_negative = block == 0 || block == 1 || block == 3;
            char *at = bytes.bytes + parameters + block * count * 4;
            char before[4];
            Replica *read = NULL;
            memcpy(before, at, 4);
            memcpy(at, &bad[k], 4);
            reseal(&bytes);
            Status status = replica_read(bytes.bytes, bytes.size, &read);
            CHECK_INT(status, k == 3 && may_be_negative ? STATUS_OK : STATUS_FORMAT);
            replica_free(read);
            memcpy(at, before, 4);
        }
    }
    replica_free(replica);
    buffer_done(&bytes);
}

TEST(replica_of_another_version_is_a_mismatch) {
    Replica *replica = some_replica(), *read = NULL;
    Buffer bytes = BUFFER_EMPTY;
    replica_write(replica, REPLICA_ALL, &bytes);
    bytes.bytes[4]++;
    reseal(&bytes);
    CHECK_INT(replica_read(bytes.bytes, bytes.size, &read), STATUS_MISMATCH);
    CHECK_HAS(status_message(), "version");
    replica_free(replica);
    buffer_done(&bytes);
}

TEST(failed_allocation_leaks_no_replica) {
    Replica *replica = some_replica();
    Buffer bytes = BUFFER_EMPTY;
    replica_write(replica, REPLICA_ALL, &bytes);
    long before = mem_blocks();
    for (long n = 0;; n++) {
        Replica *read = NULL;
        mem_fail_after(n);
        Status status = replica_read(bytes.bytes, bytes.size, &read);
        bool failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK_INT(status, failed ? STATUS_MEMORY : STATUS_OK);
        replica_free(read);
        CHECK_INT(mem_blocks(), before);
        if (!failed) {
            break;
        }
        CHECK(n < 20);
    }
    replica_free(replica);
    buffer_done(&bytes);
}

// The three blocks that workers send: a reader, its object and a block of it.
typedef struct Sent {
    const char *name;
    Status (*read)(void *object, const void *bytes, size_t size);
    void *object;
    const void *bytes;
    size_t size;
} Sent;

static Status read_partial(void *object, const void *bytes, size_t size) {
    return partial_read(object, bytes, size);
}

static Status read_scaler(void *object, const void *bytes, size_t size) {
    return scaler_sums_read(object, bytes, size);
}

static Status read_validation(void *object, const void *bytes, size_t size) {
    return validation_read(object, bytes, size);
}

// Cuts, then spoils the block; what is accepted must not have changed the block's shape.
static void spoil(const Sent *sent, Rng *rng) {
    char *bytes = mem_new(sent->size + 1, 1);
    CHECK(bytes != NULL);
    memcpy(bytes, sent->bytes, sent->size);
    CHECK_OK(sent->read(sent->object, bytes, sent->size));
    for (size_t size = 0; size < sent->size; size++) {
        CHECK(sent->read(sent->object, bytes, size) != STATUS_OK);
    }
    CHECK(sent->read(sent->object, bytes, sent->size + 1) != STATUS_OK);
    int accepted = 0;
    for (int n = 0; n < 20000; n++) {
        memcpy(bytes, sent->bytes, sent->size);
        for (uint32_t c = 1 + rng_below(rng, 3); c > 0; c--) {
            uint32_t reach = rng_below(rng, 2) == 0 ? 32 : (uint32_t)sent->size;
            bytes[rng_below(rng, reach)] = (char)rng_u32(rng);
        }
        accepted += sent->read(sent->object, bytes, sent->size) == STATUS_OK;
    }
    printf("%s: %d of 20000 accepted\n", sent->name, accepted);
    mem_free(bytes);
}

TEST(spoilt_messages_are_refused_or_harmless) {
    Rng rng = rng_of(test_seed(), "spoilt messages", 0, 0);
    Shape shape = tiny_shape();
    Partial *partial = partial_new(&shape), *into = partial_new(&shape);
    partial_head(partial)->rows = partial_head(partial)->source_rows = 4;
    ScalerSums *sums = scaler_sums_new(10), *other = scaler_sums_new(10);
    ValidationSums *losses = validation_new(5), *more = validation_new(5);
    Sent sent[3] = {{.name = "partial", .read = read_partial, .object = into},
                    {.name = "scaler sums", .read = read_scaler, .object = other},
                    {.name = "validation losses", .read = read_validation, .object = more}};
    sent[0].bytes = partial_bytes(partial, &sent[0].size);
    sent[1].bytes = scaler_sums_bytes(sums, &sent[1].size);
    sent[2].bytes = validation_bytes(losses, &sent[2].size);
    for (int i = 0; i < 3; i++) {
        spoil(&sent[i], &rng);
    }
    partial_free(partial);
    partial_free(into);
    scaler_sums_free(sums);
    scaler_sums_free(other);
    validation_free(losses);
    validation_free(more);
}

TEST(messages_of_another_model_are_a_mismatch) {
    Shape shape = tiny_shape(), other = small_shape();
    Partial *partial = partial_new(&shape), *into = partial_new(&other);
    ScalerSums *sums = scaler_sums_new(10), *wide = scaler_sums_new(12);
    ValidationSums *losses = validation_new(5), *longer = validation_new(6);
    size_t size;
    const void *bytes = partial_bytes(partial, &size);
    CHECK_INT(partial_read(into, bytes, size), STATUS_MISMATCH);
    bytes = scaler_sums_bytes(sums, &size);
    CHECK_INT(scaler_sums_read(wide, bytes, size), STATUS_MISMATCH);
    bytes = validation_bytes(losses, &size);
    CHECK_INT(validation_read(longer, bytes, size), STATUS_MISMATCH);
    partial_free(partial);
    partial_free(into);
    scaler_sums_free(sums);
    scaler_sums_free(wide);
    validation_free(losses);
    validation_free(longer);
}

TEST(gradient_that_cannot_belong_to_its_loss_is_refused) {
    Shape shape = tiny_shape();
    Layout layout = shape_layout(&shape);
    const LayerPlace *last = &layout.layer[layout.layers - 1];
    Partial *partial = partial_new(&shape), *into = partial_new(&shape);
    PartialHead *head = partial_head(partial);
    size_t size;
    const void *bytes = partial_bytes(partial, &size);
    real *db = partial_gradient(partial) + last->bias;
    head->rows = 9;
    head->source_rows = 4;
    head->target_rows = 5;
    head->source_loss = 2;
    head->target_loss = 7;
    head->loss = 9;
    // All of nine rows' errors are 1, so the bias's gradient is 9 * 2 / D: the most there can be.
    for (int i = 0; i < last->out; i++) {
        db[i] = (real)(18.0 / last->out);
    }
    CHECK_OK(partial_read(into, bytes, size));
    for (int i = 0; i < last->out; i++) {
        db[i] *= (real)1.01;
    }
    CHECK_INT(partial_read(into, bytes, size), STATUS_FORMAT);
    CHECK_HAS(status_message(), "too large for its loss");
    for (int i = 0; i < last->out; i++) {
        db[i] = 0;
    }
    head->loss = 10;
    CHECK_INT(partial_read(into, bytes, size), STATUS_FORMAT);
    CHECK_HAS(status_message(), "loss of 10, of which 2 and 7");
    head->loss = 5;
    head->source_loss = -2;
    CHECK_INT(partial_read(into, bytes, size), STATUS_FORMAT);
    CHECK_INT(partial_head_of(into)->loss, 9);
    partial_free(partial);
    partial_free(into);
}

TEST(numbers_that_are_not_finite_are_refused_in_messages) {
    Shape shape = tiny_shape();
    Partial *partial = partial_new(&shape), *into = partial_new(&shape);
    PartialHead *head = partial_head(partial);
    size_t size;
    const void *bytes = partial_bytes(partial, &size);
    head->rows = head->target_rows = 9;
    CHECK_OK(partial_read(into, bytes, size));
    partial_gradient(partial)[head->parameter_count + head->running_count - 1] = (real)NAN;
    CHECK_INT(partial_read(into, bytes, size), STATUS_FORMAT);
    partial_clear(partial);
    head->rows = 9; // neither source nor target
    CHECK_INT(partial_read(into, bytes, size), STATUS_FORMAT);
    head->source_rows = 9;
    head->loss = INFINITY;
    CHECK_INT(partial_read(into, bytes, size), STATUS_FORMAT);
    partial_free(partial);
    partial_free(into);
}

TEST(left_and_right_are_added_element_by_element) {
    Shape shape = tiny_shape();
    Partial *left = partial_new(&shape), *right = partial_new(&shape), *empty = partial_new(&shape);
    PartialHead *head = partial_head(right);
    head->rows = 3;
    head->source_rows = 1;
    head->target_rows = 2;
    head->loss = 1.5;
    head->source_loss = 0.5;
    head->target_loss = 1;
    for (uint32_t i = 0; i < head->parameter_count + head->running_count; i++) {
        partial_gradient(right)[i] = (real)(i + 1);
    }
    partial_add(left, right);
    partial_add(left, empty);
    size_t size;
    const void *bytes = partial_bytes(left, &size);
    CHECK(memcmp(bytes, partial_bytes(right, &size), size) == 0);
    partial_add(left, right);
    CHECK_INT(partial_head_of(left)->rows, 6);
    CHECK_INT(partial_head_of(left)->target_rows, 4);
    CHECK(partial_head_of(left)->loss == 3 && partial_head_of(left)->source_loss == 1);
    CHECK(partial_gradient(left)[4] == 10);
    uint32_t last = head->parameter_count + head->running_count;
    CHECK(partial_gradient(left)[last - 1] == (real)(2 * last));
    partial_clear(left);
    bytes = partial_bytes(left, &size);
    CHECK(memcmp(bytes, partial_bytes(empty, &size), size) == 0);
    partial_free(left);
    partial_free(right);
    partial_free(empty);
}

TEST(loss_is_the_mean_over_rounds_that_had_rows) {
    ValidationSums *losses = validation_new(3), *none = validation_new(0);
    validation_put(losses, 0, 10, 4);
    validation_put(losses, 2, 3, 2);
    CHECK_NEAR(validation_loss(losses), (2.5 + 1.5) / 2, 1e-15);
    validation_add(losses, losses);
    CHECK_NEAR(validation_loss(losses), 2, 1e-15);
    CHECK(validation_loss(none) == 0);
    validation_free(losses);
    validation_free(none);
}

MODEL_TEST_MAIN(
    T(replica_reads_back_as_it_was_written)
        T(model_without_optimiser_state_scores_but_does_not_train) T(damaged_replica_is_refused)
            T(forged_replica_is_refused_or_harmless) T(impossible_numbers_in_a_replica_are_refused)
                T(replica_of_another_version_is_a_mismatch) T(failed_allocation_leaks_no_replica)
                    T(spoilt_messages_are_refused_or_harmless)
                        T(messages_of_another_model_are_a_mismatch)
                            T(gradient_that_cannot_belong_to_its_loss_is_refused)
                                T(numbers_that_are_not_finite_are_refused_in_messages)
                                    T(left_and_right_are_added_element_by_element)
                                        T(loss_is_the_mean_over_rounds_that_had_rows))
