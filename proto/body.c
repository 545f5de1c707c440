// SPDX-License-Identifier: Apache-2.0
#include "proto/codec.h"

void body_encode_probe(const ProbeBody *body, Buffer *out) {
    codec_encode(&SCHEMA_PROBE, body, out);
}

void body_encode_probe_answers(const ProbeAnswer *answers, uint32_t count, Buffer *out) {
    codec_encode_list(&SCHEMA_PROBE_ANSWER, answers, count, out);
}

void body_encode_train(const TrainBody *body, Buffer *out) {
    codec_encode(&SCHEMA_TRAIN, body, out);
}

void body_encode_train_answer(const TrainAnswer *answer, Buffer *out) {
    codec_encode(&SCHEMA_TRAIN_ANSWER, answer, out);
}

void body_encode_plan(const TrainPlan *plan, Buffer *out) {
    codec_encode(&SCHEMA_PLAN, plan, out);
}

void body_encode_score(const ScoreBody *body, Buffer *out) {
    codec_encode(&SCHEMA_SCORE, body, out);
}

// A clip that was not scored has no numbers: 0 is sent, since the wire carries no NaN.
void body_encode_score_answers(const ScoreAnswer *answers, uint32_t count, Buffer *out) {
    ScoreAnswer sent[PROTO_TASK_CLIPS];
    for (uint32_t i = 0; i < count && i < PROTO_TASK_CLIPS; i++) {
        sent[i] = answers[i];
        if (answers[i].outcome != CLIP_USABLE) {
            sent[i].mse = sent[i].row_mahala = 0;
            sent[i].row_bytes = 0;
        }
    }
    codec_encode_list(&SCHEMA_SCORE_ANSWER, sent, count, out); // refuses a larger count
}

void body_encode_shard(const ShardBody *body, Buffer *out) {
    codec_encode(&SCHEMA_SHARD, body, out);
}

void body_encode_residuals_answer(const ResidualsAnswer *answer, Buffer *out) {
    codec_encode(&SCHEMA_RESIDUALS_ANSWER, answer, out);
}

void body_encode_batches_answer(const BatchesAnswer *answer, Buffer *out) {
    codec_encode(&SCHEMA_BATCHES_ANSWER, answer, out);
}

void body_encode_explore(const ExploreBody *body, Buffer *out) {
    codec_encode(&SCHEMA_EXPLORE, body, out);
}

void body_encode_explore_answers(const ExploreAnswer *answers, uint32_t count, Buffer *out) {
    ExploreAnswer sent[PROTO_TASK_CLIPS];
    for (uint32_t i = 0; i < count && i < PROTO_TASK_CLIPS; i++) {
        sent[i] = answers[i];
        if (answers[i].outcome != CLIP_USABLE) {
            sent[i].is_sound = false;
            sent[i].numbers_bytes = sent[i].bands_bytes = 0;
        }
    }
    codec_encode_list(&SCHEMA_EXPLORE_ANSWER, sent, count, out);
}

void body_encode_portrait_answers(const PortraitAnswer *answers, uint32_t count, Buffer *out) {
    codec_encode_list(&SCHEMA_PORTRAIT_ANSWER, answers, count, out);
}

void body_encode_cannot(const CannotBody *body, Buffer *out) {
    codec_encode(&SCHEMA_CANNOT, body, out);
}

Status body_decode_probe(Decoded *decoded, const void *bytes, size_t size, ProbeBody *ret) {
    return codec_decode(decoded, &SCHEMA_PROBE, bytes, size, ret);
}

Status body_decode_probe_answers(Decoded *decoded, const void *bytes, size_t size,
                                 const ProbeAnswer **ret, uint32_t *ret_count) {
    const void *items = NULL;
    Status status =
        codec_decode_list(decoded, &SCHEMA_PROBE_ANSWER, bytes, size, &items, ret_count);
    if (status == STATUS_OK) {
        *ret = items;
    }
    return status;
}

Status body_decode_train(Decoded *decoded, const void *bytes, size_t size, TrainBody *ret) {
    return codec_decode(decoded, &SCHEMA_TRAIN, bytes, size, ret);
}

Status body_decode_train_answer(Decoded *decoded, const void *bytes, size_t size,
                                TrainAnswer *ret) {
    return codec_decode(decoded, &SCHEMA_TRAIN_ANSWER, bytes, size, ret);
}

Status body_decode_plan(Decoded *decoded, const void *bytes, size_t size, TrainPlan *ret) {
    return codec_decode(decoded, &SCHEMA_PLAN, bytes, size, ret);
}

Status body_decode_score(Decoded *decoded, const void *bytes, size_t size, ScoreBody *ret) {
    return codec_decode(decoded, &SCHEMA_SCORE, bytes, size, ret);
}

Status body_decode_score_answers(Decoded *decoded, const void *bytes, size_t size,
                                 const ScoreAnswer **ret, uint32_t *ret_count) {
    const void *items = NULL;
    Status status =
        codec_decode_list(decoded, &SCHEMA_SCORE_ANSWER, bytes, size, &items, ret_count);
    if (status == STATUS_OK) {
        *ret = items;
    }
    return status;
}

Status body_decode_shard(Decoded *decoded, const void *bytes, size_t size, ShardBody *ret) {
    return codec_decode(decoded, &SCHEMA_SHARD, bytes, size, ret);
}

Status body_decode_residuals_answer(Decoded *decoded, const void *bytes, size_t size,
                                    ResidualsAnswer *ret) {
    return codec_decode(decoded, &SCHEMA_RESIDUALS_ANSWER, bytes, size, ret);
}

Status body_decode_batches_answer(Decoded *decoded, const void *bytes, size_t size,
                                  BatchesAnswer *ret) {
    return codec_decode(decoded, &SCHEMA_BATCHES_ANSWER, bytes, size, ret);
}

Status body_decode_explore(Decoded *decoded, const void *bytes, size_t size, ExploreBody *ret) {
    return codec_decode(decoded, &SCHEMA_EXPLORE, bytes, size, ret);
}

Status body_decode_explore_answers(Decoded *decoded, const void *bytes, size_t size,
                                   const ExploreAnswer **ret, uint32_t *ret_count) {
    const void *items = NULL;
    Status status =
        codec_decode_list(decoded, &SCHEMA_EXPLORE_ANSWER, bytes, size, &items, ret_count);
    if (status == STATUS_OK) {
        *ret = items;
    }
    return status;
}

Status body_decode_portrait_answers(Decoded *decoded, const void *bytes, size_t size,
                                    const PortraitAnswer **ret, uint32_t *ret_count) {
    const void *items = NULL;
    Status status =
        codec_decode_list(decoded, &SCHEMA_PORTRAIT_ANSWER, bytes, size, &items, ret_count);
    if (status == STATUS_OK) {
        *ret = items;
    }
    return status;
}

Status body_decode_cannot(Decoded *decoded, const void *bytes, size_t size, CannotBody *ret) {
    return codec_decode(decoded, &SCHEMA_CANNOT, bytes, size, ret);
}
