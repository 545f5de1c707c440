// SPDX-License-Identifier: Apache-2.0
//
// Bodies of tasks and answers, and a training's plan.
#include "proto/message.h"
#include "tests/fuzz/fuzz.h"

// The reader of one kind of body, or of a list of them: what the decoder takes is encoded, and has
// to be taken again.
#define LIST(name_, Type_)                                                                         \
    static bool name_(const char *bytes, size_t size) {                                            \
        Decoded *decoded = decoded_new();                                                          \
        const Type_ *items;                                                                        \
        uint32_t count;                                                                            \
        Buffer again = BUFFER_EMPTY;                                                               \
        bool is_taken = decoded != NULL &&                                                         \
                        body_decode_##name_(decoded, bytes, size, &items, &count) == STATUS_OK;    \
        if (is_taken) {                                                                            \
            body_encode_##name_(items, count, &again);                                             \
            check_again(                                                                           \
                again.status == STATUS_OK                                                          \
                    ? body_decode_##name_(decoded, again.bytes, again.size, &items, &count)        \
                    : again.status);                                                               \
        }                                                                                          \
        buffer_done(&again);                                                                       \
        decoded_free(decoded);                                                                     \
        return is_taken;                                                                           \
    }
#define ONE(name_, Type_)                                                                          \
    static bool name_(const char *bytes, size_t size) {                                            \
        Decoded *decoded = decoded_new();                                                          \
        Type_ body;                                                                                \
        Buffer again = BUFFER_EMPTY;                                                               \
        bool is_taken =                                                                            \
            decoded != NULL && body_decode_##name_(decoded, bytes, size, &body) == STATUS_OK;      \
        if (is_taken) {                                                                            \
            body_encode_##name_(&body, &again);                                                    \
            check_again(again.status == STATUS_OK                                                  \
                            ? body_decode_##name_(decoded, again.bytes, again.size, &body)         \
                            : again.status);                                                       \
        }                                                                                          \
        buffer_done(&again);                                                                       \
        decoded_free(decoded);                                                                     \
        return is_taken;                                                                           \
    }

static void check_again(Status status) {
    if (status != STATUS_OK) {
        fuzz_fail("a body that was taken cannot be said again");
    }
}

ONE(probe, ProbeBody)
LIST(probe_answers, ProbeAnswer)
ONE(train, TrainBody)
ONE(train_answer, TrainAnswer)
ONE(plan, TrainPlan)
ONE(score, ScoreBody)
LIST(score_answers, ScoreAnswer)
ONE(shard, ShardBody)
ONE(residuals_answer, ResidualsAnswer)
ONE(batches_answer, BatchesAnswer)
ONE(explore, ExploreBody)
LIST(explore_answers, ExploreAnswer)
LIST(portrait_answers, PortraitAnswer)
ONE(cannot, CannotBody)

static WireClip clips[] = {
    {.path = "fan/train/a.wav", .size_bytes = 320044, .index = 3, .frames = 313},
    {.root = 1, .path = "fan/train/b.wav", .size_bytes = 44, .is_target = true}};

#define SEED(name_, ...)                                                                           \
    static bool name_##_seed(uint32_t index, Buffer *out) {                                        \
        if (index == 0) {                                                                          \
            body_encode_##name_(__VA_ARGS__, out);                                                 \
        }                                                                                          \
        return index == 0;                                                                         \
    }
SEED(probe, &(ProbeBody){"n_mels: 128\n", clips, 2})
SEED(probe_answers,
     &(ProbeAnswer){
         .frames = 9, .vectors = 5, .rate_hz = 16000, .channels = 1, .seconds = 1.5, .reason = ""},
     1)
SEED(train, &(TrainBody){.count = 4, .until_epoch = 2})
SEED(train_answer, &(TrainAnswer){.rounds = 3})
SEED(plan, &(TrainPlan){"n_mels: 128\n", 1, 4, clips, 2})
SEED(score, &(ScoreBody){.clips = clips, .clip_count = 2})
SEED(score_answers, &(ScoreAnswer){.mse = 1, .row = "12345678", .row_bytes = 8, .reason = ""}, 1)
SEED(shard, &(ShardBody){.shard = 1})
SEED(residuals_answer, &(ResidualsAnswer){"ab", "cd", 2, 2})
SEED(batches_answer, &(BatchesAnswer){"ab", "cd", 2, 2})
SEED(explore, &(ExploreBody){.settings = "n_mels: 128\n", .clips = clips, .clip_count = 1})
SEED(explore_answers,
     &(ExploreAnswer){.is_sound = true,
                      .numbers = "12345678",
                      .numbers_bytes = 8,
                      .bands = "1234567812345678",
                      .bands_bytes = 16,
                      .reason = ""},
     1)
SEED(portrait_answers,
     &(PortraitAnswer){.columns = 1,
                       .mel_rows = 2,
                       .spectrum_rows = 1,
                       .mfcc_rows = 1,
                       .rate_hz = 16000,
                       .seconds = 1,
                       .values = "12345678",
                       .values_bytes = 8,
                       .reason = ""},
     1)
SEED(cannot, &(CannotBody){"why", &(struct CannotClip){3, "also why"}, 1})

#define READER(name_)                                                                              \
    { .name = #name_, .read = name_, .seed = name_##_seed }
const FuzzReader FUZZ_READERS[] = {
    READER(probe),
    READER(probe_answers),
    READER(train),
    READER(train_answer),
    READER(plan),
    READER(score),
    READER(score_answers),
    READER(shard),
    READER(residuals_answer),
    READER(batches_answer),
    READER(explore),
    READER(explore_answers),
    READER(portrait_answers),
    READER(cannot),
};
const uint32_t FUZZ_READER_COUNT = sizeof FUZZ_READERS / sizeof FUZZ_READERS[0];

void fuzz_begin(void) {
}

void fuzz_end(void) {
}
