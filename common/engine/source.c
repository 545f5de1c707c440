// SPDX-License-Identifier: Apache-2.0
#include "common/engine/source.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/engine/network.h"
#include "common/model/scorer.h"

// "cannot open /data/x.wav: Permission denied" -> "cannot be read: Permission denied": a reason
// must not depend on where somebody keeps the data.
static Status without_path(Status status) {
    char reason[256];
    const char *message = status_message();
    const char *last = message;
    for (const char *colon = strstr(message, ": "); colon != NULL; colon = strstr(last, ": ")) {
        last = colon + 2;
    }
    bool is_no_file = text_ends(message, " is not a plain file"); // the path stands before it
    snprintf(reason, sizeof reason, "%.200s", is_no_file ? "not a plain file" : last);
    return status_set(status, "cannot be read: %s", reason);
}

// "fan/x.wav: no samples" -> "no samples": the reason stands beside the clip's path.
static Status without_name(Status status, const char *name) {
    const char *message = status_message();
    size_t size = strlen(name);
    if (status != STATUS_OK && strncmp(message, name, size) == 0 &&
        strncmp(message + size, ": ", 2) == 0) {
        return status_set(status, "%s", message + size + 2);
    }
    return status;
}

Status source_read(const char *path, uint64_t size_bytes, const Digest *expected, Buffer *bytes,
                   Digest *ret_digest) {
    Status status = file_read(path, LIMIT_CLIP_BYTES, bytes);
    if (status == STATUS_LIMIT) {
        return status_set(STATUS_FORMAT, "larger than the %llu bytes that a clip may have",
                          (unsigned long long)LIMIT_CLIP_BYTES);
    }
    if (status != STATUS_OK) {
        return without_path(status);
    }
    bool is_scanned = size_bytes > 0 || expected != NULL;
    if (is_scanned && bytes->size != size_bytes) {
        return status_set(STATUS_MISMATCH, "changed since it was scanned: %llu bytes then, %zu now",
                          (unsigned long long)size_bytes, bytes->size);
    }
    Digest digest = digest_of(buffer_cstr(bytes), bytes->size);
    if (expected != NULL && !digest_equal(digest, *expected)) {
        return status_set(STATUS_MISMATCH, "changed since it was first read");
    }
    if (ret_digest != NULL) {
        *ret_digest = digest;
    }
    return STATUS_OK;
}

Status source_probe(ClipExtractor *extractor, const char *path, const char *name,
                    uint64_t size_bytes, SourceFacts *ret_facts) {
    Buffer bytes = BUFFER_EMPTY;
    SourceFacts facts = {0};
    Status status = source_read(path, size_bytes, NULL, &bytes, &facts.digest);
    if (status == STATUS_OK) {
        ClipFeatures clip;
        status = clip_probe(extractor, name, buffer_cstr(&bytes), bytes.size, &clip);
        status = without_name(status, name);
        if (status == STATUS_OK) {
            facts.frames = (uint32_t)clip.frames;
            facts.vectors = (uint32_t)clip.vectors;
            facts.rate_hz = (uint32_t)clip.rate_hz;
            facts.channels = (uint32_t)clip.channels;
            facts.seconds = clip.seconds;
            facts.is_silent = clip.is_silent;
        }
        *ret_facts = facts;
    }
    buffer_done(&bytes);
    return status;
}

Status source_features(ClipExtractor *extractor, const char *path, const char *name,
                       uint64_t size_bytes, const Digest *expected, ClipFeatures *ret_features) {
    Buffer bytes = BUFFER_EMPTY;
    Status status = source_read(path, size_bytes, expected, &bytes, NULL);
    if (status == STATUS_OK) {
        status = clip_extract(extractor, name, buffer_cstr(&bytes), bytes.size, ret_features);
        status = without_name(status, name);
    }
    buffer_done(&bytes);
    return status;
}

Status source_explore(ClipExplorer *explorer, const char *path, const char *name,
                      uint64_t size_bytes, const Digest *expected, Exploration *ret_exploration) {
    Buffer bytes = BUFFER_EMPTY;
    Status status = source_read(path, size_bytes, expected, &bytes, NULL);
    if (status == STATUS_OK) {
        status = clip_explore(explorer, name, buffer_cstr(&bytes), bytes.size, ret_exploration);
        status = without_name(status, name);
    }
    buffer_done(&bytes);
    return status;
}

Status source_portrait(Portraitist *portraitist, const char *path, const char *name,
                       uint64_t size_bytes, const Digest *expected, Portrait *ret_portrait) {
    Buffer bytes = BUFFER_EMPTY;
    Status status = source_read(path, size_bytes, expected, &bytes, NULL);
    if (status == STATUS_OK) {
        status = portrait_make(portraitist, name, buffer_cstr(&bytes), bytes.size, ret_portrait);
        status = without_name(status, name);
    }
    buffer_done(&bytes);
    return status;
}

struct SourceScorer {
    ModelFile model;
    ClipExtractor *extractor;
    Scorer *scorer;
    NetworkRun *run; // of a network that was trained elsewhere, else NULL
    Buffer bytes;    // of the clip under work, kept for the next
};

Status source_scorer_new(const void *model, size_t size, SourceScorer **ret) {
    SourceScorer *scorer = mem_new(1, sizeof *scorer);
    if (scorer == NULL) {
        return STATUS_MEMORY;
    }
    Status status = model_file_read("model", model, size, &scorer->model);
    if (status == STATUS_OK) {
        scorer->extractor = clip_extractor_new(&scorer->model.settings);
        scorer->scorer = model_file_scorer(&scorer->model, &scorer->run);
        if (scorer->extractor == NULL || scorer->scorer == NULL) {
            status = STATUS_MEMORY;
        }
    }
    if (status != STATUS_OK) {
        source_scorer_free(scorer);
        return status;
    }
    *ret = scorer;
    return STATUS_OK;
}

void source_scorer_free(SourceScorer *scorer) {
    if (scorer != NULL) {
        scorer_free(scorer->scorer);
        network_run_free(scorer->run);
        clip_extractor_free(scorer->extractor);
        model_file_done(&scorer->model);
        buffer_done(&scorer->bytes);
        mem_free(scorer);
    }
}

const ModelFile *source_scorer_model(const SourceScorer *scorer) {
    return &scorer->model;
}

// The distances of a clip's residual rows, added up.
typedef struct RowDistances {
    const Yardsticks *yardsticks;
    int64_t count;
    double sum;
} RowDistances;

static void add_rows(void *context, const real *rows, int64_t count) {
    RowDistances *distances = context;
    const Yardsticks *yardsticks = distances->yardsticks;
    distances->sum +=
        mahala_sum_of_rows(&yardsticks->source, yardsticks_target(yardsticks), rows, count);
    distances->count += count;
}

Status source_measure_features(SourceScorer *scorer, const ClipFeatures *clip, double *row,
                               ClipMeasure *ret_measure) {
    const ModelFile *model = &scorer->model;
    if (clip->rate_hz != 0 && model->rate_hz != 0 && clip->rate_hz != model->rate_hz) {
        return status_set(STATUS_FORMAT, "its rate is %d Hz, the model's clips have %d Hz",
                          clip->rate_hz, model->rate_hz);
    }
    ClipScore score;
    RowDistances distances = {.yardsticks = &model->yardsticks};
    ScorerRows rows = {add_rows, &distances};
    bool wants_rows =
        model->settings.mahala == MAHALA_PAPER && yardsticks_give(&model->yardsticks, SCORE_MAHALA);
    Status status = scorer_clip(scorer->scorer, clip->log_mel, clip->frames, &score, row,
                                wants_rows ? &rows : NULL);
    double row_mahala = wants_rows ? distances.sum / (double)distances.count : 0;
    if (status == STATUS_OK && !isfinite(row_mahala)) {
        status = status_set(STATUS_FORMAT, "a Mahalanobis distance that is not finite");
    }
    if (status == STATUS_OK) {
        *ret_measure = (ClipMeasure){.mse = score.mse, .row_mahala = row_mahala, .row = row};
    }
    return status;
}

Status source_measure(SourceScorer *scorer, const char *path, const char *name, uint64_t size_bytes,
                      const Digest *expected, double *row, ClipMeasure *ret_measure) {
    Status status = source_read(path, size_bytes, expected, &scorer->bytes, NULL);
    if (status != STATUS_OK) {
        return status;
    }
    ClipFeatures clip;
    status = clip_extract(scorer->extractor, name, buffer_cstr(&scorer->bytes), scorer->bytes.size,
                          &clip);
    status = without_name(status, name);
    if (status == STATUS_OK) {
        status = source_measure_features(scorer, &clip, row, ret_measure);
        clip_features_done(&clip);
    }
    return status;
}

double source_score(const SourceScorer *scorer, ScoreKind kind, const ClipMeasure *measure) {
    const ModelFile *model = &scorer->model;
    return yardsticks_score(&model->yardsticks, kind, (MahalaKind)model->settings.mahala, measure);
}
