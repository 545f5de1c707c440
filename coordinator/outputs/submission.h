// SPDX-License-Identifier: Apache-2.0
//
// What is handed in: scores and decisions of EVERY test clip, since the official evaluator stops
// when one is missing. A clip that could not be scored gets the median score of its machine's
// scored test clips (0 if there is none) and decision 0; it stands in left_out.csv. When a run has
// clips of an eval set, these are the submission; otherwise all test clips are. Any thread.
#ifndef AUSCULT_OUTPUTS_SUBMISSION_H
#define AUSCULT_OUTPUTS_SUBMISSION_H

#include "coordinator/outputs/scored_clip.h"

// dcase_submission.csv: machine_type, file_name, anomaly_score, decision_result; sorted by machine,
// then name.
Status submission_write_table(const char *path, const ScoredClip *clips, size_t count);

// The official files, in `folder`/task2/`label` (made if missing): for each machine and section
// anomaly_score_<machine>_section_<NN>_test.csv and decision_result_..., rows "name,value" sorted
// by name, no header; a clip without section counts to section 00. STATUS_INVALID when a label,
// machine or section cannot be part of a file name.
Status submission_write_files(const char *folder, const char *label, const ScoredClip *clips,
                              size_t count);

#endif
