// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "common/model/autoencoder.h"
#include "common/model/replica.h"
#include "common/model/shard_plan.h"
#include "common/model/trainer.h"
#include "tests/unit/model/model_test.h"

enum { CLIPS_MOST = 40 };

// A model's clips and everything that training them needs.
typedef struct World {
    Shape shape;
    Settings settings;
    int32_t clip_count;
    int64_t frames[CLIPS_MOST];
    float *clips[CLIPS_MOST];
    ShardPlan plan;
    Crew *crew; // that its trainers have
} World;

static World world_new(int shards, int batch_size, int clip_count, const int64_t *frames) {
    World world = {.shape = tiny_shape(), .clip_count = clip_count};
    CHECK_OK(settings_preset("default", &world.settings));
    world.settings.shards = shards;
    world.settings.batch_size = batch_size;
    world.settings.validation_split = 0.1;
    for (int i = 0; i < clip_count; i++) {
        world.frames[i] = frames[i];
        world.clips[i] = synthetic_clip((uint64_t)i, frames[i], world.shape.n_mels);
    }
    CHECK_OK(shard_plan_make(&world.shape, &world.settings, world.frames, clip_count, &world.plan));
    return world;
}

static void world_done(World *world) {
    for (int i = 0; i < world->clip_count; i++) {
        mem_free(world->clips[i]);
    }
}

static TrainClip clip_of(const World *world, int i) {
    return (TrainClip){world->clips[i], world->frames[i], i, i % 9 == 4};
}

static TrainerConfig config_of(const World *world, int first, int count) {
    return (TrainerConfig){.shape = world->shape,
                           .plan = world->plan,
                           .first_shard = first,
                           .shard_count = count,
                           .seed = 13711,
                           .model_key = 77,
                           .crew = world->crew};
}

// Clips are added backwards when `backwards`, which must not matter. NULL when out of memory.
static Trainer *trainer_of(const World *world, int first, int count, bool backwards) {
    TrainerConfig config = config_of(world, first, count);
    Trainer *trainer = NULL;
    Status status = trainer_new(&config, &trainer);
    for (int k = 0; k < world->clip_count && status == STATUS_OK; k++) {
        int i = backwards ? world->clip_count - 1 - k : k;
        int shard = i % world->plan.shards;
        if (world->frames[i] > 0 && shard >= first && shard < first + count) {
            TrainClip clip = clip_of(world, i);
            status = trainer_add_clip(trainer, &clip);
        }
    }
    status = status == STATUS_OK ? trainer_seal(trainer) : status;
    if (status != STATUS_OK) {
        CHECK_INT(status, STATUS_MEMORY);
        trainer_free(trainer);
        return NULL;
    }
    return trainer;
}

static Replica *replica_of(const World *world, const ScalerSums *sums) {
    Replica *replica = replica_new(&world->shape);
    CHECK(replica != NULL);
    replica_init(replica, 13711, 77);
    CHECK_OK(replica_set_scaler(replica, sums));
    return replica;
}

static void train_epoch(const World *world, Trainer *trainer, Replica *replica) {
    Partial *total = partial_new(&world->shape);
    ValidationSums *losses = validation_new(world->plan.validation_rounds);
    while (replica_round(replica) < world->plan.rounds) {
        CHECK_OK(trainer_round(trainer, replica, total));
        CHECK_OK(replica_apply(replica, total, 1e-3));
    }
    trainer_validate(trainer, replica, losses);
    CHECK_OK(replica_end_epoch(replica, losses));
    partial_free(total);
    validation_free(losses);
}

static Buffer bytes_of(const Replica *replica) {
    Buffer bytes = BUFFER_EMPTY;
    replica_write(replica, REPLICA_ALL, &bytes);
    CHECK_OK(bytes.status);
    return bytes;
}

static bool same_bytes(const Buffer *a, const Buffer *b) {
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

// Two epochs by one trainer that owns everything.
static Buffer trained_alone(const World *world) {
    Trainer *trainer = trainer_of(world, 0, world->plan.shards, false);
    ScalerSums *sums = scaler_sums_new(shape_dimension(&world->shape));
    CHECK_OK(trainer_scaler_sums(trainer, sums));
    Replica *replica = replica_of(world, sums);
    train_epoch(world, trainer, replica);
    train_epoch(world, trainer, replica);
    Buffer bytes = bytes_of(replica);
    trainer_free(trainer);
    scaler_sums_free(sums);
    replica_free(replica);
    return bytes;
}

// ---- Spread over members ----

typedef struct Member {
    int first, count;
    Trainer *trainer;
    Replica *replica;
} Member;

// Divides shards [first, first + count) by the next bits of `choice`: 1 splits, 0 keeps whole.
static void divide(uint64_t *choice, int first, int count, Member *members, int *member_count) {
    bool split = count > 1 && (*choice & 1) != 0;
    *choice = count > 1 ? *choice >> 1 : *choice;
    if (!split) {
        members[(*member_count)++] = (Member){.first = first, .count = count};
        return;
    }
    divide(choice, first, count / 2, members, member_count);
    divide(choice, first + count / 2, count / 2, members, member_count);
}

// As the coordinator does it: sums along the tree by hand, recursively over members in order.
static ScalerSums *gather_sums(const World *world, const Member *members, int first, int count) {
    ScalerSums *sums = scaler_sums_new(shape_dimension(&world->shape));
    for (int k = 0; members[k].count > 0; k++) {
        if (members[k].first == first && members[k].count == count) {
            CHECK_OK(trainer_scaler_sums(members[k].trainer, sums));
            return sums;
        }
    }
    ScalerSums *left = gather_sums(world, members, first, count / 2);
    ScalerSums *right = gather_sums(world, members, first + count / 2, count / 2);
    size_t size;
    const void *bytes = scaler_sums_bytes(right, &size);
    CHECK_OK(scaler_sums_read(sums, bytes, size));
    scaler_sums_add(left, sums);
    scaler_sums_free(right);
    scaler_sums_free(sums);
    return left;
}

static ValidationSums *gather_losses(const World *world, const Member *members, int first,
                                     int count) {
    ValidationSums *losses = validation_new(world->plan.validation_rounds);
    for (int k = 0; members[k].count > 0; k++) {
        if (members[k].first == first && members[k].count == count) {
            trainer_validate(members[k].trainer, members[k].replica, losses);
            return losses;
        }
    }
    validation_free(losses);
    ValidationSums *left = gather_losses(world, members, first, count / 2);
    ValidationSums *right = gather_losses(world, members, first + count / 2, count / 2);
    validation_add(left, right);
    validation_free(right);
    return left;
}

// One round: members' parts arrive in an order of `rng`, the total goes to all replicas as bytes.
static void spread_round(const World *world, Member *members, int count, PartialTree *tree,
                         Rng *rng) {
    uint32_t order[64];
    Partial *part = partial_new(&world->shape), *received = partial_new(&world->shape);
    size_t size;
    rng_permutation(rng, order, (uint32_t)count);
    partial_tree_clear(tree);
    for (int k = 0; k < count; k++) {
        Member *member = &members[order[k]];
        CHECK(partial_tree_total(tree) == NULL);
        CHECK_OK(trainer_round(member->trainer, member->replica, part));
        const void *bytes = partial_bytes(part, &size);
        CHECK_OK(partial_tree_put(tree, member->first, member->count, bytes, size));
    }
    CHECK(partial_tree_total(tree) != NULL);
    const void *total = partial_bytes(partial_tree_total(tree), &size);
    CHECK_OK(partial_read(received, total, size));
    for (int k = 0; k < count; k++) {
        CHECK_OK(replica_apply(members[k].replica, received, 1e-3));
    }
    partial_free(part);
    partial_free(received);
}

static Buffer trained_spread(const World *world, uint64_t choice, Rng *rng) {
    Member members[65] = {{0}};
    int count = 0;
    divide(&choice, 0, world->plan.shards, members, &count);
    for (int k = 0; k < count; k++) {
        members[k].trainer =
            trainer_of(world, members[k].first, members[k].count, rng_below(rng, 2) == 1);
    }
    ScalerSums *sums = gather_sums(world, members, 0, world->plan.shards);
    for (int k = 0; k < count; k++) {
        members[k].replica = replica_of(world, sums);
    }
    PartialTree *tree = partial_tree_new(&world->shape, world->plan.shards);
    for (int epoch = 0; epoch < 2; epoch++) {
        for (int64_t round = 0; round < world->plan.rounds; round++) {
            spread_round(world, members, count, tree, rng);
        }
        ValidationSums *losses = gather_losses(world, members, 0, world->plan.shards);
        for (int k = 0; k < count; k++) {
            CHECK_OK(replica_end_epoch(members[k].replica, losses));
        }
        validation_free(losses);
    }
    Buffer bytes = bytes_of(members[0].replica);
    for (int k = 0; k < count; k++) {
        Buffer others = bytes_of(members[k].replica);
        CHECK(same_bytes(&bytes, &others));
        buffer_done(&others);
        trainer_free(members[k].trainer);
        replica_free(members[k].replica);
    }
    scaler_sums_free(sums);
    partial_tree_free(tree);
    return bytes;
}

// Eight shards of unequal length: shard 2 has one training vector more than whole micro-batches,
// shard 5 is exhausted early, shard 6 has no clip with a vector at all.
static World uneven_world(void) {
    static const int64_t frames[20] = {30, 25, 21, 40, 18, 6,  0, 33, 12, 25,
                                       11, 40, 7,  3,  1,  20, 9, 0,  0,  2};
    return world_new(8, 32, 20, frames);
}

TEST(uneven_world_is_as_uneven_as_it_says) {
    World world = uneven_world();
    bool remainder_of_one = false;
    for (int s = 0; s < 8; s++) {
        remainder_of_one = remainder_of_one || world.plan.training[s] % world.plan.rows == 1;
    }
    CHECK(remainder_of_one);
    CHECK_INT(world.plan.vectors[6], 0);
    CHECK(world.plan.training[5] > 0 && world.plan.training[5] < 2 * world.plan.rows);
    CHECK(world.plan.rounds > 5);
    world_done(&world);
}

TEST(every_division_of_the_tree_gives_the_same_bits) {
    World world = uneven_world();
    Buffer alone = trained_alone(&world);
    Rng rng = rng_of(1, "arrival order", 0, 0);
    long before = mem_blocks();
    // Seven bits choose among all divisions of eight shards, most of them more than once.
    for (uint64_t choice = 0; choice < 128; choice++) {
        Buffer spread = trained_spread(&world, choice, &rng);
        CHECK(same_bytes(&alone, &spread));
        buffer_done(&spread);
    }
    CHECK_INT(mem_blocks(), before);
    buffer_done(&alone);
    world_done(&world);
}

TEST(any_number_of_threads_gives_the_same_bits) {
    World world = uneven_world();
    Buffer alone = trained_alone(&world);
    Rng rng = rng_of(2, "arrival order", 0, 0);
    for (int lanes = 1; lanes <= 9; lanes++) {
        long before = mem_blocks();
        CHECK_OK(crew_new(lanes, &world.crew));
        Buffer whole = trained_alone(&world);
        Buffer spread = trained_spread(&world, (uint64_t)(lanes * 37) % 128, &rng);
        CHECK(same_bytes(&alone, &whole) && same_bytes(&alone, &spread));
        buffer_done(&whole);
        buffer_done(&spread);
        crew_free(world.crew);
        world.crew = NULL;
        CHECK_INT(mem_blocks(), before);
    }
    buffer_done(&alone);
    world_done(&world);
}

TEST(interrupted_training_resumes_with_the_same_bits) {
    World world = uneven_world();
    Buffer alone = trained_alone(&world);
    for (int64_t stop = 0; stop < 2 * world.plan.rounds; stop++) {
        Trainer *trainer = trainer_of(&world, 0, 8, false);
        ScalerSums *sums = scaler_sums_new(shape_dimension(&world.shape));
        CHECK_OK(trainer_scaler_sums(trainer, sums));
        Replica *replica = replica_of(&world, sums);
        Partial *total = partial_new(&world.shape);
        if (stop >= world.plan.rounds) {
            train_epoch(&world, trainer, replica);
        }
        while (replica_round(replica) < stop % world.plan.rounds) {
            CHECK_OK(trainer_round(trainer, replica, total));
            CHECK_OK(replica_apply(replica, total, 1e-3));
        }
        Buffer kept = bytes_of(replica);
        trainer_free(trainer);
        replica_free(replica);
        CHECK_OK(replica_read(kept.bytes, kept.size, &replica));
        trainer = trainer_of(&world, 0, 8, true);
        while (replica_epoch(replica) < 2) {
            train_epoch(&world, trainer, replica);
        }
        Buffer resumed = bytes_of(replica);
        CHECK(same_bytes(&alone, &resumed));
        buffer_done(&kept);
        buffer_done(&resumed);
        scaler_sums_free(sums);
        partial_free(total);
        trainer_free(trainer);
        replica_free(replica);
    }
    buffer_done(&alone);
    world_done(&world);
}

// ---- What exactly a round is made of, worked out a second time from the documents ----

typedef struct Expected {
    uint32_t training[512]; // vector numbers of the shard, in the epoch's order
    int training_count;
    uint32_t held_out[512];
    int held_out_count;
} Expected;

static Expected draw(const World *world, int shard, int64_t epoch) {
    Expected expected = {0};
    uint32_t all[512], order[512], kept[512];
    int vectors = (int)world->plan.vectors[shard];
    CHECK(vectors <= 512);
    bool is_held_out[512] = {false};
    Rng rng = rng_of(13711, "validation", 77, (uint64_t)shard);
    rng_permutation(&rng, all, (uint32_t)vectors);
    expected.held_out_count = (vectors + 9) / 10;
    for (int i = 0; i < expected.held_out_count; i++) {
        expected.held_out[i] = all[i];
        is_held_out[all[i]] = true;
    }
    for (int v = 0; v < vectors; v++) {
        if (!is_held_out[v]) {
            kept[expected.training_count++] = (uint32_t)v;
        }
    }
    rng = rng_of(13711, "permutation", 77, (uint64_t)(epoch * 64 + shard));
    rng_permutation(&rng, order, (uint32_t)expected.training_count);
    for (int i = 0; i < expected.training_count; i++) {
        expected.training[i] = kept[order[i]];
    }
    return expected;
}

// Vector number `vector` of a shard, scaled, by walking through its clips.
static bool put_vector(const World *world, int shard, uint32_t vector, const Scaler *scaler,
                       real *out) {
    for (int i = shard; i < world->clip_count; i += world->plan.shards) {
        uint32_t count = (uint32_t)shape_vectors(&world->shape, world->frames[i]);
        if (vector < count) {
            scaler_apply(scaler, world->clips[i] + vector * 5, out);
            return clip_of(world, i).is_target;
        }
        vector -= count;
    }
    TEST_FAIL("shard %d has no such vector", shard);
}

// One round of shard 1 by the trainer against one put together here.
static int check_round(const World *world, Trainer *trainer, Replica *replica, Autoencoder *net) {
    Partial *got = partial_new(&world->shape), *wanted = partial_new(&world->shape);
    Expected expected = draw(world, 1, replica_epoch(replica));
    int round = (int)replica_round(replica), left = expected.training_count - round * 8;
    int rows = left < 2 ? 0 : left < 8 ? left : 8, target_rows = 0;
    double row_loss[8], loss = 0.0;
    CHECK_OK(trainer_round(trainer, replica, got));
    const PartialHead *head = partial_head_of(got);
    CHECK_INT(head->rows, rows);
    for (int k = 0; k < rows; k++) {
        target_rows += put_vector(world, 1, expected.training[round * 8 + k],
                                  replica_scaler(replica), autoencoder_input(net) + 10 * k);
    }
    if (rows > 0) {
        autoencoder_train(net, replica_parameters(replica), rows, partial_gradient(wanted),
                          partial_statistics(wanted), row_loss);
        for (int k = 0; k < rows; k++) {
            loss += row_loss[k];
        }
        CHECK_INT(head->target_rows, target_rows);
        CHECK(head->loss == loss);
        CHECK_NEAR(head->source_loss + head->target_loss, loss, 1e-9);
        size_t count = head->parameter_count + head->running_count;
        CHECK(memcmp(partial_gradient(got), partial_gradient(wanted), count * sizeof(real)) == 0);
    }
    CHECK_OK(replica_apply(replica, got, 1e-3));
    partial_free(got);
    partial_free(wanted);
    return rows;
}

TEST(round_takes_the_vectors_that_the_documents_say) {
    static const int64_t frames[9] = {30, 25, 1, 40, 18, 6, 0, 33, 12};
    World world = world_new(2, 16, 9, frames);
    Trainer *trainer = trainer_of(&world, 1, 1, false);
    ScalerSums *sums = scaler_sums_new(10);
    CHECK_OK(trainer_scaler_sums(trainer, sums));
    Replica *replica = replica_of(&world, sums);
    Autoencoder *net = autoencoder_new(&world.shape, 8);
    ValidationSums *losses = validation_new(0);
    for (int epoch = 0; epoch < 3; epoch++) {
        int seen = 0;
        while (replica_round(replica) < world.plan.rounds) {
            seen += check_round(&world, trainer, replica, net);
        }
        CHECK(seen >= (int)world.plan.training[1] - 1);
        CHECK_OK(replica_end_epoch(replica, losses));
    }
    autoencoder_free(net);
    validation_free(losses);
    scaler_sums_free(sums);
    trainer_free(trainer);
    replica_free(replica);
    world_done(&world);
}

TEST(scaler_sees_training_vectors_only) {
    static const int64_t frames[9] = {30, 25, 1, 40, 18, 6, 0, 33, 12};
    World world = world_new(2, 16, 9, frames);
    Trainer *trainer = trainer_of(&world, 1, 1, true);
    Replica *replica = replica_of(&world, NULL);
    ScalerSums *sums = scaler_sums_new(10);
    CHECK_OK(trainer_scaler_sums(trainer, sums));
    Expected expected = draw(&world, 1, 0);
    double mean[10] = {0}, m2[10] = {0};
    int count = expected.training_count;
    for (int k = 0; k < 2 * count; k++) { // once for the means, once more for the deviations
        real vector[10];
        put_vector(&world, 1, expected.training[k % count], replica_scaler(replica), vector);
        for (int j = 0; j < 10; j++) {
            double off = (double)vector[j] - mean[j];
            mean[j] += k < count ? (double)vector[j] / count : 0;
            m2[j] += k < count ? 0 : off * off;
        }
    }
    CHECK_INT(scaler_sums_count(sums), count);
    for (int j = 0; j < 10; j++) {
        CHECK_NEAR(scaler_sums_mean(sums)[j], mean[j], 1e-10);
        CHECK_NEAR(scaler_sums_m2(sums)[j], m2[j], 1e-8);
    }
    scaler_sums_free(sums);
    trainer_free(trainer);
    replica_free(replica);
    world_done(&world);
}

TEST(val_loss_is_the_mean_over_rounds_of_the_held_out_vectors) {
    static const int64_t frames[6] = {150, 90, 41, 60, 0, 132};
    World world = world_new(1, 16, 6, frames);
    Trainer *trainer = trainer_of(&world, 0, 1, false);
    Replica *replica = replica_of(&world, NULL);
    Autoencoder *net = autoencoder_new(&world.shape, 1);
    ValidationSums *losses = validation_new(world.plan.validation_rounds);
    trainer_validate(trainer, replica, losses);
    autoencoder_fold(net, replica_parameters(replica), replica_running(replica));
    Expected expected = draw(&world, 0, 0);
    CHECK_INT(expected.held_out_count, world.plan.validation[0]);
    CHECK(world.plan.validation_rounds > 2);
    double mean = 0.0;
    for (int round = 0; round < world.plan.validation_rounds; round++) {
        int left = expected.held_out_count - round * 16, rows = left < 16 ? left : 16;
        double sum = 0.0, loss;
        for (int k = 0; k < rows; k++) {
            put_vector(&world, 0, expected.held_out[round * 16 + k], replica_scaler(replica),
                       autoencoder_input(net));
            autoencoder_evaluate(net, 1, &loss);
            sum += loss;
        }
        mean += sum / rows / (double)world.plan.validation_rounds;
    }
    CHECK_NEAR(validation_loss(losses), mean, 1e-6 * mean);
    CHECK_OK(replica_end_epoch(replica, losses));
    CHECK(replica_history(replica)[0].val_loss == validation_loss(losses));
    autoencoder_free(net);
    validation_free(losses);
    trainer_free(trainer);
    replica_free(replica);
    world_done(&world);
}

static double mean_of(const double *values, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += values[i];
    }
    return sum / (double)count;
}

TEST(the_last_epochs_batch_losses_are_kept_and_their_means_are_the_history) {
    World world = uneven_world();
    Trainer *trainer = trainer_of(&world, 0, 8, false);
    Replica *replica = replica_of(&world, NULL);
    train_epoch(&world, trainer, replica);
    train_epoch(&world, trainer, replica);
    const EpochLosses *last = &replica_history(replica)[1];
    Buffer bytes = bytes_of(replica);
    Replica *read;
    CHECK_OK(replica_read(bytes.bytes, bytes.size, &read));
    BatchLosses losses = replica_batch_losses(read);
    CHECK(losses.training_count > 3 && losses.training_count <= world.plan.rounds);
    CHECK_INT(losses.held_out_count, world.plan.validation_rounds);
    CHECK(mean_of(losses.training, losses.training_count) == last->loss);
    CHECK(mean_of(losses.held_out, losses.held_out_count) == last->val_loss);
    // The next epoch's first round forgets them.
    Partial *total = partial_new(&world.shape);
    CHECK_OK(trainer_round(trainer, read, total));
    CHECK_OK(replica_apply(read, total, 1e-3));
    losses = replica_batch_losses(read);
    CHECK_INT(losses.training_count, 1);
    CHECK_INT(losses.held_out_count, 0);
    // Who scores does not need them.
    buffer_clear(&bytes);
    replica_write(replica, REPLICA_MODEL, &bytes);
    Replica *model;
    CHECK_OK(replica_read(bytes.bytes, bytes.size, &model));
    CHECK_INT(replica_batch_losses(model).training_count, 0);
    partial_free(total);
    replica_free(model);
    replica_free(read);
    replica_free(replica);
    trainer_free(trainer);
    buffer_done(&bytes);
    world_done(&world);
}

typedef struct SeenResiduals {
    const World *world;
    int64_t vectors[2], targets; // of training, held out
    double squares[2];           // sums over them of the mean square
    uint64_t digest;             // of everything in its order
} SeenResiduals;

static Status see_residuals(void *context, const ResidualBatch *batch) {
    SeenResiduals *seen = context;
    int dimension = shape_dimension(&seen->world->shape);
    CHECK(batch->rows > 0 && batch->rows <= seen->world->plan.rows);
    CHECK(batch->is_held_out || seen->vectors[1] == 0);
    for (int k = 0; k < batch->rows; k++) {
        double square = 0;
        for (int j = 0; j < dimension; j++) {
            double value = (double)batch->residuals[k * dimension + j];
            square += value * value;
        }
        seen->squares[batch->is_held_out] += square / dimension;
        seen->targets += batch->is_target[k];
    }
    seen->vectors[batch->is_held_out] += batch->rows;
    Digest part = digest_of(batch->residuals,
                            (size_t)batch->rows * (size_t)dimension * sizeof *batch->residuals);
    seen->digest = seen->digest * 31 + part.bytes[0] + 256u * part.bytes[1];
    return STATUS_OK;
}

TEST(residuals_are_of_all_a_shards_vectors_whoever_else_is_there) {
    World world = uneven_world();
    Trainer *whole = trainer_of(&world, 0, 8, false);
    Replica *replica = replica_of(&world, NULL);
    ValidationSums *losses = validation_new(world.plan.validation_rounds);
    train_epoch(&world, whole, replica);
    trainer_validate(whole, replica, losses);
    double *held_out = mem_new((size_t)world.plan.validation_rounds, sizeof *held_out);
    int64_t targets = 0;
    for (int s = 0; s < 8; s++) {
        SeenResiduals all = {.world = &world}, alone = {.world = &world};
        Trainer *one = trainer_of(&world, s, 1, true);
        CHECK_OK(trainer_residuals(whole, replica, s, see_residuals, &all));
        CHECK_OK(trainer_residuals(one, replica, s, see_residuals, &alone));
        CHECK(all.digest == alone.digest && all.targets == alone.targets);
        CHECK_INT(all.vectors[0], world.plan.training[s]);
        CHECK_INT(all.vectors[1], world.plan.validation[s]);
        targets += all.targets;
        trainer_validate(one, replica, losses);
        int64_t m = world.plan.rows, batches = (world.plan.validation[s] + m - 1) / m;
        CHECK_INT(validation_losses(losses, held_out), batches);
        double sum = 0; // of rows: all batches but the last are full
        for (int64_t b = 0; b < batches; b++) {
            sum += held_out[b] *
                   (double)(b + 1 < batches ? m : world.plan.validation[s] - (batches - 1) * m);
        }
        CHECK_NEAR(alone.squares[1], sum, 1e-5 * sum);
        trainer_free(one);
    }
    CHECK(targets > 0);
    mem_free(held_out);
    validation_free(losses);
    trainer_free(whole);
    replica_free(replica);
    world_done(&world);
}

static Status stop_at_once(void *context, const ResidualBatch *batch) {
    (void)batch;
    ++*(int *)context;
    return status_set(STATUS_STOPPED, "enough");
}

TEST(residuals_end_where_their_taker_says) {
    World world = uneven_world();
    Trainer *trainer = trainer_of(&world, 0, 8, false);
    Replica *replica = replica_of(&world, NULL);
    int taken = 0;
    CHECK_INT(trainer_residuals(trainer, replica, 0, stop_at_once, &taken), STATUS_STOPPED);
    CHECK_INT(taken, 1);
    trainer_free(trainer);
    replica_free(replica);
    world_done(&world);
}

// The mean over shards by definition, from the shards' own contributions.
TEST(total_is_divided_once_by_the_total_count) {
    World world = uneven_world();
    Trainer *trainer = trainer_of(&world, 0, 8, false);
    Replica *replica = replica_of(&world, NULL);
    Partial *total = partial_new(&world.shape), *part = partial_new(&world.shape);
    CHECK_OK(trainer_round(trainer, replica, total));
    size_t count = replica_layout(replica)->parameters, running = replica_layout(replica)->running;
    double *gradient = mem_new(count, sizeof *gradient);
    double *statistics = mem_new(running, sizeof *statistics);
    int64_t rows = 0;
    for (int s = 0; s < 8; s++) {
        Trainer *one = trainer_of(&world, s, 1, false);
        CHECK_OK(trainer_round(one, replica, part));
        for (size_t i = 0; i < count && partial_head_of(part)->rows > 0; i++) {
            gradient[i] += (double)partial_gradient(part)[i];
        }
        for (size_t i = 0; i < running && partial_head_of(part)->rows > 0; i++) {
            statistics[i] += (double)partial_statistics(part)[i];
        }
        rows += partial_head_of(part)->rows;
        trainer_free(one);
    }
    CHECK_INT(partial_head_of(total)->rows, rows);
    for (size_t i = 0; i < count; i++) {
        CHECK_NEAR((double)partial_gradient(total)[i], gradient[i], 1e-4);
    }
    real *before = mem_copy(replica_running(replica), running * sizeof(real));
    CHECK_OK(replica_apply(replica, total, 1e-3));
    for (size_t i = 0; i < running; i++) {
        double expected = 0.99 * (double)before[i] + 0.01 * statistics[i] / (double)rows;
        CHECK_NEAR((double)replica_running(replica)[i], expected, 1e-5 * (1 + fabs(expected)));
    }
    mem_free(before);
    mem_free(gradient);
    mem_free(statistics);
    partial_free(total);
    partial_free(part);
    trainer_free(trainer);
    replica_free(replica);
    world_done(&world);
}

TEST(training_lowers_the_loss) {
    World world = uneven_world();
    Trainer *trainer = trainer_of(&world, 0, 8, false);
    ScalerSums *sums = scaler_sums_new(10);
    CHECK_OK(trainer_scaler_sums(trainer, sums));
    Replica *replica = replica_of(&world, sums);
    for (int epoch = 0; epoch < 30; epoch++) {
        train_epoch(&world, trainer, replica);
    }
    const EpochLosses *history = replica_history(replica);
    printf("loss %.4f to %.4f, val_loss %.4f to %.4f\n", history[0].loss, history[29].loss,
           history[0].val_loss, history[29].val_loss);
    CHECK(history[29].loss < 0.9 * history[0].loss);
    CHECK(history[29].val_loss < 0.95 * history[0].val_loss);
    CHECK(history[0].target_loss > 0 && history[0].source_loss > 0);
    scaler_sums_free(sums);
    trainer_free(trainer);
    replica_free(replica);
    world_done(&world);
}

// ---- Plans ----

TEST(held_out_share_is_rounded_up_but_not_by_float_error) {
    for (int64_t n = 0; n < 100000; n++) {
        CHECK_INT(shard_plan_validation_count(0.1, n), (n + 9) / 10);
        CHECK_INT(shard_plan_validation_count(0.15, n), (3 * n + 19) / 20);
        CHECK_INT(shard_plan_validation_count(0.7, n), (7 * n + 9) / 10);
        CHECK_INT(shard_plan_validation_count(0.0, n), 0);
    }
    CHECK_INT(shard_plan_validation_count(0.1, 2000000001), 200000001);
}

TEST(plan_counts_rounds_of_the_longest_shard) {
    static const int64_t frames[5] = {100, 1, 0, 50, 100};
    World world = world_new(2, 20, 5, frames);
    // Two stacked frames: shard 0 has clips 0, 2, 4 with 99 + 0 + 99 vectors, shard 1 has 0 + 49.
    CHECK_INT(world.plan.vectors[0], 198);
    CHECK_INT(world.plan.vectors[1], 49);
    CHECK_INT(world.plan.validation[0], 20);
    CHECK_INT(world.plan.validation[1], 5);
    CHECK_INT(world.plan.training[0], 178);
    CHECK_INT(world.plan.rows, 10);
    CHECK_INT(world.plan.rounds, 18);
    CHECK_INT(world.plan.validation_rounds, 2);
    world_done(&world);
}

TEST(plan_without_anything_to_train_on_is_refused) {
    Shape shape = tiny_shape();
    Settings settings;
    CHECK_OK(settings_preset("default", &settings));
    ShardPlan plan;
    int64_t frames[3] = {0, 1, 0};
    CHECK_INT(shard_plan_make(&shape, &settings, frames, 3, &plan), STATUS_INVALID);
    CHECK_INT(shard_plan_make(&shape, &settings, frames, 0, &plan), STATUS_INVALID);
    frames[1] = 3; // two vectors, of which one is held out
    CHECK_INT(shard_plan_make(&shape, &settings, frames, 3, &plan), STATUS_INVALID);
    frames[1] = 4;
    CHECK_OK(shard_plan_make(&shape, &settings, frames, 3, &plan));
    settings.batch_size = settings.shards;
    CHECK_INT(shard_plan_make(&shape, &settings, frames, 3, &plan), STATUS_INVALID);
    settings.batch_size = 256;
    frames[2] = (int64_t)INT32_MAX + 10;
    CHECK_INT(shard_plan_make(&shape, &settings, frames, 3, &plan), STATUS_LIMIT);
}

// ---- Refusals ----

TEST(foreign_repeated_and_broken_clips_are_refused) {
    World world = uneven_world();
    TrainerConfig config = config_of(&world, 4, 4);
    Trainer *trainer = NULL;
    CHECK_OK(trainer_new(&config, &trainer));
    TrainClip clip = clip_of(&world, 3);
    CHECK_INT(trainer_add_clip(trainer, &clip), STATUS_INVALID);
    clip = clip_of(&world, 4);
    CHECK_OK(trainer_add_clip(trainer, &clip));
    CHECK_INT(trainer_add_clip(trainer, &clip), STATUS_INVALID);
    clip.index = -4;
    CHECK_INT(trainer_add_clip(trainer, &clip), STATUS_INVALID);
    world.clips[5][3] = NAN;
    clip = clip_of(&world, 5);
    CHECK_INT(trainer_add_clip(trainer, &clip), STATUS_FORMAT);
    CHECK_HAS(status_message(), "clip 5");
    CHECK_INT(trainer_seal(trainer), STATUS_INVALID); // most of the plan's vectors are missing
    trainer_free(trainer);
    config.first_shard = 2;
    CHECK_INT(trainer_new(&config, &trainer), STATUS_INVALID);
    world_done(&world);
}

TEST(parts_that_overlap_or_are_no_subtree_are_refused) {
    Shape shape = tiny_shape();
    PartialTree *tree = partial_tree_new(&shape, 8);
    Partial *part = partial_new(&shape);
    size_t size;
    const void *bytes = partial_bytes(part, &size);
    static const int wrong[][2] = {{1, 2},  {0, 3},  {0, 16}, {8, 1},
                                   {-1, 1}, {-8, 8}, {0, 0},  {4, 8}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK_INT(partial_tree_put(tree, wrong[i][0], wrong[i][1], bytes, size), STATUS_INVALID);
    }
    CHECK_OK(partial_tree_put(tree, 2, 2, bytes, size));
    CHECK_INT(partial_tree_put(tree, 2, 1, bytes, size), STATUS_INVALID);
    CHECK_INT(partial_tree_put(tree, 0, 4, bytes, size), STATUS_INVALID);
    CHECK_INT(partial_tree_put(tree, 2, 2, bytes, size), STATUS_INVALID);
    CHECK_OK(partial_tree_put(tree, 4, 4, bytes, size));
    CHECK(partial_tree_total(tree) == NULL);
    CHECK_OK(partial_tree_put(tree, 0, 2, bytes, size));
    CHECK(partial_tree_total(tree) != NULL);
    CHECK_INT(partial_head_of(partial_tree_total(tree))->rows, 0);
    partial_tree_clear(tree);
    CHECK(partial_tree_total(tree) == NULL);
    partial_free(part);
    partial_tree_free(tree);
}

TEST(diverged_training_is_an_error) {
    World world = uneven_world();
    Trainer *trainer = trainer_of(&world, 0, 8, false);
    Replica *replica = replica_of(&world, NULL);
    Partial *total = partial_new(&world.shape);
    CHECK_OK(trainer_round(trainer, replica, total));
    partial_head(total)->loss = NAN;
    CHECK_INT(replica_apply(replica, total, 1e-3), STATUS_INVALID);
    CHECK_HAS(status_message(), "diverged");
    CHECK_INT(replica_round(replica), 0);
    replica_edit_parameters(replica)[0] = (real)INFINITY;
    CHECK_INT(trainer_round(trainer, replica, total), STATUS_INVALID);
    CHECK_HAS(status_message(), "diverged");
    partial_free(total);
    trainer_free(trainer);
    replica_free(replica);
    world_done(&world);
}

// Whatever a round brings, the replica stays one that can be written and read.
TEST(a_gradient_that_would_spoil_the_replica_is_divergence) {
    World world = uneven_world();
    Trainer *trainer = trainer_of(&world, 0, 8, false);
    Replica *replica = replica_of(&world, NULL);
    Partial *total = partial_new(&world.shape);
    Buffer before = BUFFER_EMPTY, after = BUFFER_EMPTY;
    replica_write(replica, REPLICA_ALL, &before);
    CHECK_OK(trainer_round(trainer, replica, total));
    CHECK(partial_is_finite(total));
    size_t last = partial_head(total)->running_count - 1;
    real *spots[] = {&partial_gradient(total)[3], &partial_statistics(total)[last]};
    for (int spot = 0; spot < 2; spot++) {
        real kept = *spots[spot];
        // Its square is beyond float's range; a statistic may be as large.
        real bad[] = {(real)NAN, (real)-INFINITY, (real)(2e18 * LIMIT_BATCH)};
        for (int i = 0; i < 3 - spot; i++) {
            *spots[spot] = bad[i];
            CHECK(partial_is_finite(total) == (i == 2));
            CHECK_INT(replica_apply(replica, total, 1e-3), STATUS_INVALID);
            CHECK_HAS(status_message(), "diverged");
            buffer_clear(&after);
            replica_write(replica, REPLICA_ALL, &after);
            CHECK(after.size == before.size && memcmp(after.bytes, before.bytes, after.size) == 0);
        }
        *spots[spot] = kept;
    }
    *spots[0] = (real)(0.9e18 * (double)partial_head(total)->rows);
    CHECK_OK(replica_apply(replica, total, 10));
    buffer_clear(&after);
    replica_write(replica, REPLICA_ALL, &after);
    Replica *again;
    CHECK_OK(replica_read(after.bytes, after.size, &again));
    replica_free(again);
    buffer_done(&before);
    buffer_done(&after);
    partial_free(total);
    trainer_free(trainer);
    replica_free(replica);
    world_done(&world);
}

TEST(empty_round_moves_on_without_a_step) {
    Shape shape = tiny_shape();
    Replica *replica = replica_new(&shape);
    replica_init(replica, 1, 1);
    Partial *total = partial_new(&shape);
    real *before =
        mem_copy(replica_parameters(replica), replica_layout(replica)->parameters * sizeof(real));
    CHECK_OK(replica_apply(replica, total, 1e-3));
    CHECK_INT(replica_round(replica), 1);
    CHECK_INT(replica_step(replica), 0);
    CHECK_INT(replica_sums(replica)->batches, 0);
    CHECK(memcmp(before, replica_parameters(replica),
                 replica_layout(replica)->parameters * sizeof(real)) == 0);
    mem_free(before);
    partial_free(total);
    replica_free(replica);
}

TEST(failed_allocation_leaks_nothing_in_training) {
    static const int64_t frames[9] = {30, 25, 1, 40, 18, 6, 0, 33, 12};
    World world = world_new(4, 16, 9, frames);
    CHECK_OK(crew_new(3, &world.crew));
    long before = mem_blocks();
    for (long n = 0;; n++) {
        mem_fail_after(n);
        Trainer *trainer = trainer_of(&world, 0, 4, true);
        ScalerSums *sums = trainer == NULL ? NULL : scaler_sums_new(10);
        Status status = sums == NULL ? STATUS_MEMORY : trainer_scaler_sums(trainer, sums);
        Replica *replica = status != STATUS_OK ? NULL : replica_new(&world.shape);
        ValidationSums *losses = replica == NULL ? NULL : validation_new(3);
        Partial *part = losses == NULL ? NULL : partial_new(&world.shape);
        PartialTree *tree = part == NULL ? NULL : partial_tree_new(&world.shape, 4);
        size_t size;
        status = tree == NULL ? STATUS_MEMORY
                              : partial_tree_put(tree, 0, 4, partial_bytes(part, &size), size);
        status = status == STATUS_OK ? replica_end_epoch(replica, losses) : status;
        bool failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK_INT(status, failed ? STATUS_MEMORY : STATUS_OK);
        trainer_free(trainer);
        scaler_sums_free(sums);
        replica_free(replica);
        validation_free(losses);
        partial_free(part);
        partial_tree_free(tree);
        CHECK_INT(mem_blocks(), before);
        if (!failed) {
            printf("%ld allocations\n", n);
            break;
        }
        CHECK(n < 1000);
    }
    crew_free(world.crew);
    world_done(&world);
}

TEST(rounds_allocate_nothing) {
    World world = uneven_world();
    CHECK_OK(crew_new(3, &world.crew));
    Trainer *trainer = trainer_of(&world, 0, 8, false);
    Replica *replica = replica_of(&world, NULL);
    Partial *total = partial_new(&world.shape);
    ValidationSums *losses = validation_new(world.plan.validation_rounds);
    mem_fail_after(0);
    while (replica_round(replica) < world.plan.rounds) {
        CHECK_OK(trainer_round(trainer, replica, total));
        CHECK_OK(replica_apply(replica, total, 1e-3));
    }
    trainer_validate(trainer, replica, losses);
    bool tried = mem_has_failed();
    mem_fail_after(-1);
    CHECK(!tried);
    validation_free(losses);
    partial_free(total);
    trainer_free(trainer);
    replica_free(replica);
    crew_free(world.crew);
    world_done(&world);
}

MODEL_TEST_MAIN(
    T(uneven_world_is_as_uneven_as_it_says) T(every_division_of_the_tree_gives_the_same_bits)
        T(any_number_of_threads_gives_the_same_bits)
            T(interrupted_training_resumes_with_the_same_bits) T(
                round_takes_the_vectors_that_the_documents_say) T(scaler_sees_training_vectors_only)
                T(val_loss_is_the_mean_over_rounds_of_the_held_out_vectors)
                    T(the_last_epochs_batch_losses_are_kept_and_their_means_are_the_history)
                        T(residuals_are_of_all_a_shards_vectors_whoever_else_is_there) T(
                            residuals_end_where_their_taker_says)
                            T(total_is_divided_once_by_the_total_count) T(training_lowers_the_loss)
                                T(held_out_share_is_rounded_up_but_not_by_float_error)
                                    T(plan_counts_rounds_of_the_longest_shard) T(
                                        plan_without_anything_to_train_on_is_refused)
                                        T(foreign_repeated_and_broken_clips_are_refused) T(
                                            parts_that_overlap_or_are_no_subtree_are_refused)
                                            T(a_gradient_that_would_spoil_the_replica_is_divergence)
                                                T(diverged_training_is_an_error)
                                                    T(empty_round_moves_on_without_a_step) T(
                                                        failed_allocation_leaks_nothing_in_training)
                                                        T(rounds_allocate_nothing))
