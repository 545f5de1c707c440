// SPDX-License-Identifier: Apache-2.0
//
// The charts of a machine's results: what goes into a PlotSet for each. One thread.
#ifndef AUSCULT_COORDINATOR_PAGES_CHARTS_H
#define AUSCULT_COORDINATOR_PAGES_CHARTS_H

#include "coordinator/outputs/scored_clip.h"
#include "coordinator/pages/plot.h"

// Scored clips of one machine, training and test.
typedef struct ChartClips {
    const ScoredClip *const *clips; // (count)
    size_t count;
} ChartClips;

// Losses over epochs, from the text of a history file (coordinator/outputs/history.h). PLOT_NONE
// when it has no epoch.
uint32_t chart_losses(PlotSet *set, const Buffer *history);
// How scores are distributed: shares of the clips of each label and domain in 40 bins, equal on a
// logarithmic axis where scores span more than a decade; the threshold, or thresholds, upright.
// PLOT_NONE without scores.
uint32_t chart_scores(PlotSet *set, const ChartClips *of);
// True positive rate over false positive rate of labelled test clips: all of them, and the normals
// of each domain against all anomalies, as the challenge's AUC has it; the region that pAUC is
// taken of is shaded. PLOT_NONE unless both labels are there.
uint32_t chart_roc(PlotSet *set, const ChartClips *of, double max_fpr);

#endif
