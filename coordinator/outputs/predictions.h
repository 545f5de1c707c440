// SPDX-License-Identifier: Apache-2.0
//
// challenge_predictions.csv: one row per scored test clip, the file that people open first; and its
// scores for NumPy. Any thread.
#ifndef AUSCULT_OUTPUTS_PREDICTIONS_H
#define AUSCULT_OUTPUTS_PREDICTIONS_H

#include "coordinator/outputs/scored_clip.h"

// Columns file_name, machine_type, section, domain (source, target or empty), label (normal,
// anomaly or empty), reconstruction_error, threshold, is_anomaly (0 or 1); rows sorted by machine,
// then name. Clips without a score are in left_out.csv instead.
Status predictions_write(const char *path, const ScoredClip *clips, size_t count);
// scores.npy: float64 (rows), the column reconstruction_error.
Status predictions_write_scores(const char *path, const ScoredClip *clips, size_t count);

#endif
