// SPDX-License-Identifier: Apache-2.0
//
// The short table that ends a run on the terminal. Any thread.
#ifndef AUSCULT_OUTPUTS_SUMMARY_H
#define AUSCULT_OUTPUTS_SUMMARY_H

#include "common/base/buffer.h"
#include "coordinator/outputs/machine_report.h"

// Appends one line per machine and total, aligned, under a line of headings: test clips, clips left
// out, AUC (or AUC of the source and target domain, where a machine has both), pAUC and threshold.
// "-" is "not known"; "a .. b" are the thresholds of several models.
void summary_format(const MachineReport *report, Buffer *out);
// The same rows for programs: a JSON array of objects; metrics that are not defined are null.
void summary_json(const MachineReport *report, Buffer *out);

#endif
