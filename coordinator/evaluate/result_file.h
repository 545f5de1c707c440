// SPDX-License-Identifier: Apache-2.0
//
// A system's metrics as files, in the columns and words of the official evaluator and of the
// official baseline, numbers as Python prints them. Undefined values are empty fields. Any thread.
#ifndef AUSCULT_COORDINATOR_EVALUATE_RESULT_FILE_H
#define AUSCULT_COORDINATOR_EVALUATE_RESULT_FILE_H

#include "coordinator/evaluate/evaluation.h"

// result.csv, as dcase2023_ and dcase2024_task2_evaluator write <system>_result.csv: for each
// machine its name, a row per section, means; then means over all, `official score` and `official
// score ci95` (the evaluator's, see interval.h). Behind it what the evaluator does not have: our
// intervals of the official score, and for 2021 the `baseline summary`. Without domains (2020) the
// columns are section, AUC, pAUC, precision, recall, F1 score.
Status result_write(const char *path, const Evaluation *evaluation);

// FOLDER/result_<machine>.csv for each machine, as the official baseline writes: a row per section,
// arithmetic mean, harmonic mean. The folder must be there.
Status result_write_of_machines(const char *folder, const Evaluation *evaluation);

// result_by_attribute.csv: a row for each machine, section, attribute and value, of the clips that
// carry it. `AUC` has their normals against all anomalies of the section, as the AUC of a domain
// has; the other metrics are of those clips alone. No clip has attributes: the header alone.
Status result_write_by_attribute(const char *path, const Evaluation *evaluation);

#endif
