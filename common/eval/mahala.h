// SPDX-License-Identifier: Apache-2.0
//
// Mahalanobis scores of residuals (reconstruction minus input): MAHALA, the official baseline's
// selective Mahalanobis distance (Harada, Niizumi, Ohishi, Takeuchi, Yasuda: First-shot anomaly
// sound detection for machine condition monitoring, EUSIPCO 2023), and CLIPMAHALA, the distance of
// a clip's mean residual row from those of the training clips. Plain values and pure functions with
// sums of fixed order: the same bits on any processor. Any thread.
#ifndef AUSCULT_EVAL_MAHALA_H
#define AUSCULT_EVAL_MAHALA_H

#include "common/eval/precision.h"
#include "common/eval/residuals.h"

// From one domain's residual rows. STATUS_INVALID: too few for a covariance. STATUS_MEMORY.
Status precision_of_residuals(const ResidualSums *sums, Precision *ret);

// MAHALA as the baseline's code has it (mahala: code): the smaller of the two domains' distances of
// the clip's mean residual row, which is what its mean over a clip comes down to. `target` NULL:
// the source's alone.
double mahala_of_row(const Precision *source, const Precision *target, const double *mean_row);
// MAHALA as the paper has it (mahala: paper): here the sum over residual rows (count, n_mels) of
// each row's smaller distance. The clip's score is their mean over all of its rows: `frames` rows
// of each of its vectors, so that a frame counts once for every vector that it is in. (The paper
// chooses the domain once a vector and divides by the vector's length too, but its covariances,
// like the code's, are of rows.)
double mahala_sum_of_rows(const Precision *source, const Precision *target, const float *rows,
                          int64_t count);

// CLIPMAHALA: where the training clips' mean residual rows lie, domains pooled.
typedef struct ClipYardstick {
    double *mean; // (n_mels) owned
    Precision precision;
} ClipYardstick;
void clip_yardstick_done(ClipYardstick *yardstick);
// From mean_rows (clips, n_mels), all finite: their mean, and their covariance (divided by clips)
// shrunk towards the mean of its diagonal by the formula of Ledoit and Wolf (2004), as
// sklearn.covariance.LedoitWolf has it. With one clip, or clips that are all alike, the covariance
// is zero and the distance Euclid's. STATUS_INVALID: no clip. STATUS_MEMORY.
Status clip_yardstick_make(const double *mean_rows, int64_t clips, int n_mels, ClipYardstick *ret);
// The squared distance of a clip's mean residual row.
double clip_yardstick_score(const ClipYardstick *yardstick, const double *mean_row);

#endif
