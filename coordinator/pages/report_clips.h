// SPDX-License-Identifier: Apache-2.0
//
// The clips of a machine that scored highest and lowest, as report.html shows them: what was there
// and what the model could not reconstruct of it. One thread.
#ifndef AUSCULT_COORDINATOR_PAGES_REPORT_CLIPS_H
#define AUSCULT_COORDINATOR_PAGES_REPORT_CLIPS_H

#include "coordinator/explore/portraits.h"
#include "coordinator/pages/plot.h"

#define REPORT_CLIPS_MOST 12 // of a machine; there are more where sections have models of their own

// What a run has of portraits; borrowed. {0}: none.
typedef struct ReportPortraits {
    const Dataset *dataset;           // that ClipPortrait.clip is an index of
    const ClipPortrait *const *items; // (count) of the primary system's models; typical ones, and
                                      // those that are not there, are passed over
    uint32_t count;
    int32_t n_mels; // of the primary system
} ReportPortraits;

typedef struct ReportClips {
    const ClipPortrait *items[REPORT_CLIPS_MOST]; // (count)
    uint32_t pictures[REPORT_CLIPS_MOST];
    uint32_t count;
} ReportClips;

// Adds the pictures of a machine's clips to the set; `of_set` is "dev", "eval", "" for plain.
// STATUS_MEMORY.
Status report_clips_draw(const ReportPortraits *of, const char *machine, const char *of_set,
                         PlotSet *set, ReportClips *ret_clips);
// A heading and the pictures, nothing without any.
void report_clips_write(const ReportPortraits *of, const ReportClips *clips, const PlotSet *set,
                        Buffer *out);
// folder/clip_1.png, ... in the order of the page. STATUS_IO, STATUS_LIMIT.
Status report_clips_save(const ReportClips *clips, const PlotSet *set, const char *folder);

#endif
