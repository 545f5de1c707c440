// SPDX-License-Identifier: Apache-2.0
//
// Bodies of tasks and answers; the first byte says which.
#include "common/base/mem.h"
#include "proto/message.h"
#include "tests/fuzz/fuzz.h"

#define LIST(name_, Type_)                                                                         \
    static void name_(Decoded *decoded, const uint8_t *data, size_t size) {                        \
        const Type_ *items;                                                                        \
        uint32_t count;                                                                            \
        (void)body_decode_##name_(decoded, data, size, &items, &count);                            \
    }
#define ONE(name_, Type_)                                                                          \
    static void name_(Decoded *decoded, const uint8_t *data, size_t size) {                        \
        Type_ body;                                                                                \
        (void)body_decode_##name_(decoded, data, size, &body);                                     \
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

static void (*const DECODERS[])(Decoded *, const uint8_t *, size_t) = {probe,
                                                                       probe_answers,
                                                                       train,
                                                                       train_answer,
                                                                       plan,
                                                                       score,
                                                                       score_answers,
                                                                       shard,
                                                                       residuals_answer,
                                                                       batches_answer,
                                                                       explore,
                                                                       explore_answers,
                                                                       portrait_answers,
                                                                       cannot};

enum { DECODER_COUNT = sizeof DECODERS / sizeof DECODERS[0] };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Decoded *decoded = size > 0 ? decoded_new() : NULL;
    if (decoded != NULL) {
        DECODERS[data[0] % DECODER_COUNT](decoded, data + 1, size - 1);
    }
    decoded_free(decoded);
    return 0;
}

bool fuzz_seed(uint32_t index, Buffer *out) {
    WireClip clip = {.path = "fan/train/a.wav", .size_bytes = 320044, .index = 3, .frames = 313};
    ProbeAnswer probed = {
        .frames = 9, .vectors = 5, .rate_hz = 16000, .channels = 1, .seconds = 1.5, .reason = ""};
    ScoreAnswer scored = {.mse = 1, .row = "12345678", .row_bytes = 8, .reason = ""};
    struct CannotClip lost = {3, "why"};
    if (index >= DECODER_COUNT) {
        return false;
    }
    char kind = (char)index;
    buffer_append(out, &kind, 1);
    switch (index) {
    case 0:
        body_encode_probe(&(ProbeBody){"n_mels: 128\n", &clip, 1}, out);
        break;
    case 1:
        body_encode_probe_answers(&probed, 1, out);
        break;
    case 2:
        body_encode_train(&(TrainBody){.count = 4, .until_epoch = 2}, out);
        break;
    case 3:
        body_encode_train_answer(&(TrainAnswer){.rounds = 3}, out);
        break;
    case 4:
        body_encode_plan(&(TrainPlan){"n_mels: 128\n", 1, 4, &clip, 1}, out);
        break;
    case 5:
        body_encode_score(&(ScoreBody){.clips = &clip, .clip_count = 1}, out);
        break;
    case 6:
        body_encode_score_answers(&scored, 1, out);
        break;
    case 7:
        body_encode_shard(&(ShardBody){.shard = 1}, out);
        break;
    case 8:
        body_encode_residuals_answer(&(ResidualsAnswer){"ab", "cd", 2, 2}, out);
        break;
    case 9:
        body_encode_batches_answer(&(BatchesAnswer){"ab", "cd", 2, 2}, out);
        break;
    case 13:
        body_encode_cannot(&(CannotBody){"why", &lost, 1}, out);
        break;
    default: // those of explorations begin from a list of lists
        buffer_append(out, "\x91\x95\x00\x01\xc4\x00\xc4\x00\xa0", 9);
        break;
    }
    return true;
}
