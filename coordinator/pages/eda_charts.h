// SPDX-License-Identifier: Apache-2.0
//
// The charts of `auscult eda` of one machine: what goes into a PlotSet for each. Curves are of
// kinds of clips: normal ones and anomalies of each domain, and those whose label is not known.
// One thread.
#ifndef AUSCULT_COORDINATOR_PAGES_EDA_CHARTS_H
#define AUSCULT_COORDINATOR_PAGES_EDA_CHARTS_H

#include "coordinator/explore/summary.h"
#include "coordinator/pages/plot.h"

// Mean log-mel over the bands of each kind of clips, with the deviation between clips around it.
// PLOT_NONE when no clip of the machine was explored.
uint32_t eda_chart_spectrum(PlotSet *set, const ExploreSummary *summary, uint32_t machine);
// How level, crest factor and four numbers of the spectrum are distributed over the clips of each
// kind, as shares of them in 14 bins. PLOT_NONE without sound.
uint32_t eda_chart_numbers(PlotSet *set, const ExploreSummary *summary, uint32_t machine);
// The clips in the plane of the machine's two principal components. PLOT_NONE without a plane.
uint32_t eda_chart_plane(PlotSet *set, const ExploreSummary *summary, uint32_t machine);

#endif
