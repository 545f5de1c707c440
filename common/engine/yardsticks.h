// SPDX-License-Identifier: Apache-2.0
//
// What a clip is measured by beside the network: precisions of the training vectors' residuals by
// domain (MAHALA), mean and precision of the training clips' (CLIPMAHALA); what a model measures of
// a clip, and the score of each kind that becomes of it. Any thread.
#ifndef AUSCULT_ENGINE_YARDSTICKS_H
#define AUSCULT_ENGINE_YARDSTICKS_H

#include "common/base/buffer.h"
#include "common/base/settings.h"
#include "common/eval/mahala.h"

// Plain memory; a matrix that is NULL is not there.
typedef struct Yardsticks {
    Precision source;   // MAHALA
    Precision target;   // MAHALA; not there when no training clip is of the target domain
    ClipYardstick clip; // CLIPMAHALA
} Yardsticks;

void yardsticks_done(Yardsticks *yardsticks);
// The target's precision, NULL when there is none.
const Precision *yardsticks_target(const Yardsticks *yardsticks);
bool yardsticks_give(const Yardsticks *yardsticks, ScoreKind kind);

// Bytes, little-endian: for source, target and clip 8 bytes n_mels (0: not there), then, if it is,
// ridge and shrinkage (double), for the clip's the mean (n_mels doubles), and the upper triangle of
// the matrix by rows. Failure is out's status.
void yardsticks_write(const Yardsticks *yardsticks, Buffer *out);
// From bytes, which are not trusted. STATUS_FORMAT (cut off, another n_mels, a number that is not
// finite, a diagonal that is not positive), STATUS_MEMORY. The caller calls yardsticks_done.
Status yardsticks_read(const void *bytes, size_t size, int n_mels, Yardsticks *ret);

// What a model measures of one clip.
typedef struct ClipMeasure {
    double mse;        // mean squared residual
    double row_mahala; // mean over residual rows of the smaller distance; 0 unless measured
    const double *row; // (n_mels) the mean residual row, borrowed
} ClipMeasure;

// The clip's score; NaN when its yardstick is not there.
double yardsticks_score(const Yardsticks *yardsticks, ScoreKind kind, MahalaKind mahala,
                        const ClipMeasure *measure);

#endif
