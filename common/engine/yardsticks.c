// SPDX-License-Identifier: Apache-2.0
#include "common/engine/yardsticks.h"

#include <math.h>
#include <string.h>

#include "common/base/limits.h"
#include "common/base/mem.h"

void yardsticks_done(Yardsticks *yardsticks) {
    precision_done(&yardsticks->source);
    precision_done(&yardsticks->target);
    clip_yardstick_done(&yardsticks->clip);
    *yardsticks = (Yardsticks){0};
}

bool yardsticks_give(const Yardsticks *yardsticks, ScoreKind kind) {
    return kind == SCORE_MSE || (kind == SCORE_MAHALA && yardsticks->source.matrix != NULL) ||
           (kind == SCORE_CLIPMAHALA && yardsticks->clip.precision.matrix != NULL);
}

const Precision *yardsticks_target(const Yardsticks *yardsticks) {
    return yardsticks->target.matrix != NULL ? &yardsticks->target : NULL;
}

double yardsticks_score(const Yardsticks *yardsticks, ScoreKind kind, MahalaKind mahala,
                        const ClipMeasure *measure) {
    if (!yardsticks_give(yardsticks, kind)) {
        return NAN;
    }
    switch (kind) {
    case SCORE_MSE:
        return measure->mse;
    case SCORE_MAHALA:
        return mahala == MAHALA_PAPER ? measure->row_mahala
                                      : mahala_of_row(&yardsticks->source,
                                                      yardsticks_target(yardsticks), measure->row);
    case SCORE_CLIPMAHALA:
        return clip_yardstick_score(&yardsticks->clip, measure->row);
    }
    return NAN;
}

// ---- bytes ----

static void write_precision(const Precision *precision, const double *mean, Buffer *out) {
    int64_t n_mels = precision->matrix != NULL ? precision->n_mels : 0;
    buffer_append(out, &n_mels, sizeof n_mels);
    if (n_mels == 0) {
        return;
    }
    buffer_append(out, &precision->ridge, sizeof precision->ridge);
    buffer_append(out, &precision->shrinkage, sizeof precision->shrinkage);
    if (mean != NULL) {
        buffer_append(out, mean, (size_t)n_mels * sizeof *mean);
    }
    for (int64_t i = 0; i < n_mels; i++) {
        buffer_append(out, precision->matrix + i * n_mels + i,
                      (size_t)(n_mels - i) * sizeof *precision->matrix);
    }
}

void yardsticks_write(const Yardsticks *yardsticks, Buffer *out) {
    write_precision(&yardsticks->source, NULL, out);
    write_precision(&yardsticks->target, NULL, out);
    write_precision(&yardsticks->clip.precision, yardsticks->clip.mean, out);
}

typedef struct Bytes {
    const char *at, *end;
} Bytes;

static Status take_doubles(Bytes *from, double *out, size_t count) {
    if ((size_t)(from->end - from->at) / sizeof *out < count) {
        return status_set(STATUS_FORMAT, "yardsticks that are cut off");
    }
    memcpy(out, from->at, count * sizeof *out);
    from->at += count * sizeof *out;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(out[i])) {
            return status_set(STATUS_FORMAT, "a yardstick with a number that is not finite");
        }
    }
    return STATUS_OK;
}

static Status take_matrix(Bytes *from, int n_mels, double *matrix) {
    Status status = STATUS_OK;
    for (int i = 0; i < n_mels && status == STATUS_OK; i++) {
        double *row = matrix + (size_t)i * (size_t)n_mels;
        status = take_doubles(from, row + i, (size_t)(n_mels - i));
        for (int j = 0; j < i; j++) {
            row[j] = matrix[(size_t)j * (size_t)n_mels + (size_t)i];
        }
        if (status == STATUS_OK && !(row[i] > 0)) {
            status = status_set(STATUS_FORMAT, "a yardstick whose diagonal is not positive");
        }
    }
    return status;
}

static Status take_precision(Bytes *from, int n_mels, Precision *precision, double **mean) {
    int64_t count;
    if ((size_t)(from->end - from->at) < sizeof count) {
        return status_set(STATUS_FORMAT, "yardsticks that are cut off");
    }
    memcpy(&count, from->at, sizeof count);
    from->at += sizeof count;
    if (count == 0) {
        return STATUS_OK;
    }
    if (count != n_mels) {
        return status_set(STATUS_FORMAT, "a yardstick of %lld mel bands for a model of %d",
                          (long long)count, n_mels);
    }
    precision->n_mels = n_mels;
    precision->matrix = mem_new((size_t)n_mels * (size_t)n_mels, sizeof *precision->matrix);
    if (mean != NULL) {
        *mean = mem_new((size_t)n_mels, sizeof **mean);
    }
    if (precision->matrix == NULL || (mean != NULL && *mean == NULL)) {
        return STATUS_MEMORY;
    }
    Status status = take_doubles(from, &precision->ridge, 1);
    if (status == STATUS_OK) {
        status = take_doubles(from, &precision->shrinkage, 1);
    }
    if (status == STATUS_OK && mean != NULL) {
        status = take_doubles(from, *mean, (size_t)n_mels);
    }
    return status == STATUS_OK ? take_matrix(from, n_mels, precision->matrix) : status;
}

Status yardsticks_read(const void *bytes, size_t size, int n_mels, Yardsticks *ret) {
    Yardsticks yardsticks = {0};
    Bytes from = {bytes, (const char *)bytes + size};
    Status status = take_precision(&from, n_mels, &yardsticks.source, NULL);
    if (status == STATUS_OK) {
        status = take_precision(&from, n_mels, &yardsticks.target, NULL);
    }
    if (status == STATUS_OK) {
        status = take_precision(&from, n_mels, &yardsticks.clip.precision, &yardsticks.clip.mean);
    }
    if (status == STATUS_OK && from.at != from.end) {
        status = status_set(STATUS_FORMAT, "%zu bytes behind the yardsticks",
                            (size_t)(from.end - from.at));
    }
    if (status != STATUS_OK) {
        yardsticks_done(&yardsticks);
        return status;
    }
    *ret = yardsticks;
    return STATUS_OK;
}
