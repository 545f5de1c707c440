// SPDX-License-Identifier: Apache-2.0
//
// Systems that a run had before its settings were changed: their results must not look like those
// of a system that it has now. Checkpoints stay, so that nothing is trained again when such a
// system comes back.
#ifndef AUSCULT_COORDINATOR_RESULTS_STALE_H
#define AUSCULT_COORDINATOR_RESULTS_STALE_H

#include <stdbool.h>

#include "coordinator/plan/models.h"

// After a stage that makes no outputs anew: RUN/outputs/outdated.txt says so to who looks there, if
// there are any. And takes it away. STATUS_IO.
Status stale_mark_outputs(const char *run_folder);
Status stale_unmark_outputs(const char *run_folder);
bool stale_is_marked(const char *run_folder);

// Removes the outputs of `ensemble`, unless it is "", and the outputs and model files of every
// system that is not among the run's, or is now the primary one, whose results stand elsewhere.
// STATUS_IO.
Status stale_remove(const char *run_folder, const Models *models, const char *ensemble);

#endif
