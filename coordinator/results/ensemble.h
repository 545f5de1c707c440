// SPDX-License-Identifier: Apache-2.0
//
// `ensemble: zmean`: all systems of a run as one. A clip's score is the mean over the systems of
// its score there, less the mean of the training clips' scores of its machine (or section) there
// and divided by their deviation (with n - 1; 1 where it is 0 or unknown). One thread.
#ifndef AUSCULT_COORDINATOR_RESULTS_ENSEMBLE_H
#define AUSCULT_COORDINATOR_RESULTS_ENSEMBLE_H

#include "coordinator/results/results.h"

#define ENSEMBLE_NAME "zmean" // of its outputs' folder

// Whether the run has one.
bool ensemble_is_asked(const ResultsConfig *config);

// The clips (count) as the ensemble scores and decides about them, in the order of `primary`, which
// are the primary system's. What one system leaves out, the ensemble leaves out. Thresholds are
// made from the training clips' scores as the primary system's settings say; batches have none
// here. The caller frees the array. STATUS_MEMORY.
Status ensemble_make(const ResultsConfig *config, const ScoredClip *primary, size_t count,
                     ScoredClip **ret_clips);

#endif
