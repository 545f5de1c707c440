// SPDX-License-Identifier: Apache-2.0
//
// logs/history_<model>.csv: the losses of a training, in the columns of the official baseline's
// log.csv. Any thread.
#ifndef AUSCULT_OUTPUTS_HISTORY_H
#define AUSCULT_OUTPUTS_HISTORY_H

#include <stddef.h>

#include "common/base/status.h"

// Means of one epoch's batch means. NaN, where nothing was there to measure, is an empty field.
typedef struct HistoryEpoch {
    double loss;              // training; also written as recon_loss: there is no other term
    double val_loss;          // validation; NaN without validation vectors
    double recon_loss_source; // training vectors of the source domain; NaN without any
    double recon_loss_target;
} HistoryEpoch;

// Columns loss, val_loss, recon_loss, recon_loss_source, recon_loss_target; one row per epoch, the
// first epoch first.
Status history_write(const char *path, const HistoryEpoch *epochs, size_t count);

#endif
