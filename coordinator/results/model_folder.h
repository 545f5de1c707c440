// SPDX-License-Identifier: Apache-2.0
//
// What is written of one model: its file with the threshold in it, threshold.npy and its training
// history. One thread.
#ifndef AUSCULT_COORDINATOR_RESULTS_MODEL_FOLDER_H
#define AUSCULT_COORDINATOR_RESULTS_MODEL_FOLDER_H

#include "coordinator/results/results.h"

// Of the trained model `index`; adds to the results' notes. The threshold, from the scores of its
// training clips, is NaN when there is none. STATUS_IO, STATUS_MEMORY.
Status model_folder_write(const ResultsConfig *config, uint32_t index, Results *results,
                          double *ret_threshold);

#endif
