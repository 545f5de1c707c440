// SPDX-License-Identifier: Apache-2.0
//
// What is written of one model: its file with the thresholds in it, threshold.npy and its training
// history. One thread.
#ifndef AUSCULT_COORDINATOR_RESULTS_MODEL_FOLDER_H
#define AUSCULT_COORDINATOR_RESULTS_MODEL_FOLDER_H

#include "coordinator/results/results.h"

// Of the trained model `index`; adds to the results' notes. What each of its systems decides by
// goes to its place among `thresholds` (results_threshold), which stays NaN when there is none.
// STATUS_IO, STATUS_MEMORY.
Status model_folder_write(const ResultsConfig *config, uint32_t index, Results *results,
                          double *thresholds);

#endif
