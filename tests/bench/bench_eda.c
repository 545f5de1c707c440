// SPDX-License-Identifier: Apache-2.0
//
// Exploring a clip of 10 s against extracting its log-mel, both from a WAV file: what `auscult eda`
// costs beside what a training has to do anyway.
#include "common/engine/source.h"
#include "tests/bench/bench.h"
#include "tests/bench/sound.h"

typedef struct EdaBench {
    char path[LIMIT_PATH_BYTES]; // of the WAV
    Buffer wav;
    ClipExtractor *extractor;
    ClipExplorer *explorer;
} EdaBench;

static Status run_extract(void *context, int32_t times, int64_t *ret_ns) {
    EdaBench *b = context;
    Status status = STATUS_OK;
    int64_t start_ns = measure_ns();
    for (int32_t i = 0; i < times && status == STATUS_OK; i++) {
        ClipFeatures features = {0};
        status = source_features(b->extractor, b->path, "clip.wav", b->wav.size, NULL, &features);
        clip_features_done(&features);
    }
    *ret_ns = measure_ns() - start_ns;
    return status;
}

// What eda does with a clip: it is probed, then explored.
static Status run_explore(void *context, int32_t times, int64_t *ret_ns) {
    EdaBench *b = context;
    Status status = STATUS_OK;
    int64_t start_ns = measure_ns();
    for (int32_t i = 0; i < times && status == STATUS_OK; i++) {
        SourceFacts facts;
        Exploration found = {0};
        status = source_probe(b->extractor, b->path, "clip.wav", b->wav.size, &facts);
        if (status == STATUS_OK) {
            status = source_explore(b->explorer, b->path, "clip.wav", b->wav.size, &facts.digest,
                                    &found);
        }
        exploration_done(&found);
    }
    *ret_ns = measure_ns() - start_ns;
    return status;
}

Status bench_eda(Bench *bench) {
    EdaBench b = {.extractor = clip_extractor_new(&bench->settings),
                  .explorer = clip_explorer_new(&bench->settings)};
    bool ok = b.extractor != NULL && b.explorer != NULL;
    Status status = ok ? bench_path(bench, "eda.wav", b.path) : STATUS_MEMORY;
    if (status == STATUS_OK) {
        sound_wav(0, &b.wav);
        status = sound_write(b.path, &b.wav);
    }
    if (status == STATUS_OK) {
        const Contender ours = {run_explore, &b}, extract = {run_extract, &b};
        Duel result;
        status = duel(&ours, &extract, bench->turns, &result);
        if (status == STATUS_OK) {
            bench_duel(bench, "eda", "eda of a 10 s clip, from a WAV file (goal: 2 times)",
                       "extracting its log-mel", &result, false);
        }
    }
    buffer_done(&b.wav);
    clip_extractor_free(b.extractor);
    clip_explorer_free(b.explorer);
    return status;
}
