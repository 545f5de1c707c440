// SPDX-License-Identifier: Apache-2.0
//
// A system's score files, read and held against the ground truth: rows are matched by name, never
// by position, and whatever does not fit is found and named. One thread each; the Truth is shared.
#ifndef AUSCULT_COORDINATOR_EVALUATE_SYSTEM_H
#define AUSCULT_COORDINATOR_EVALUATE_SYSTEM_H

#include "coordinator/dataset/truth.h"
#include "coordinator/evaluate/evaluation.h"
#include "coordinator/evaluate/find.h"

typedef struct SystemScores {
    JudgedClip *clips; // (count) the labelled ones; texts belong to the Truth
    size_t count;
    bool has_decisions; // of all of them
    bool is_elsewhere;  // none of its files is of a machine and section of the truth
    int32_t year;       // that its file names say, or 0
    Remarks remarks;    // without errors the clips are complete
} SystemScores;

// `set` (a ClipSet, or -1) says which clips are judged where the truth has several sets; of itself
// it is the eval set when the system has a file for one of its sections, else dev. Errors: rows
// that are no "clip,score" of a clip of that machine and section, doubled rows, scores that are not
// finite, decisions other than 0 and 1, labelled clips without a row, sections without a file.
// Warnings: what the official evaluator would stumble over and we do not (a byte-order mark,
// carriage returns, blank lines, spaces around a field). A system without any decisions is judged
// by its scores, with a note. STATUS_MEMORY; everything else is a finding. Free with
// system_scores_done, also after a failure.
Status system_scores_read(const Truth *truth, int set, const SystemFiles *files,
                          SystemScores *ret_scores);
void system_scores_done(SystemScores *scores);

#endif
