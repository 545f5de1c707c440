// SPDX-License-Identifier: Apache-2.0
//
// left_out.csv: every clip that could not be used, and why. Any thread.
#ifndef AUSCULT_OUTPUTS_LEFT_OUT_H
#define AUSCULT_OUTPUTS_LEFT_OUT_H

#include "coordinator/outputs/scored_clip.h"

// NULL if the clip was used; else its left_out_reason, or what is wrong with its score.
const char *left_out_reason(const ScoredClip *clip);

// Columns clip (relative path), reason; sorted by path; training clips too. Without any, the
// header stands alone.
Status left_out_write(const char *path, const ScoredClip *clips, size_t count);

#endif
