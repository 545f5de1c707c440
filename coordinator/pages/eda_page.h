// SPDX-License-Identifier: Apache-2.0
//
// outputs/eda.html: what there is to know of a data set before anybody trains on it, one file to
// look at and to send on, with pictures in it and nothing from elsewhere; and
// outputs/eda_figures/MACHINE/*.png, the same pictures. A pure function of what it is given: no
// time, host or path. One thread.
#ifndef AUSCULT_COORDINATOR_PAGES_EDA_PAGE_H
#define AUSCULT_COORDINATOR_PAGES_EDA_PAGE_H

#include "common/base/settings.h"
#include "coordinator/explore/portraits.h"
#include "coordinator/explore/summary.h"
#include "coordinator/outputs/scored_clip.h"

typedef struct EdaPage {
    const char *run_folder;
    const Settings *settings; // whose front end has listened
    const ExploreSummary *summary;
    const ClipPortrait *const
        *portraits; // (portrait_count) of typical clips; others are passed over
    uint32_t portrait_count;
    const ScoredClip *clips; // (clip_count) of the run, for what was left out
    size_t clip_count;
} EdaPage;

// Also removes figures that an earlier page has left. *ret_problem (size) says why pictures are
// missing, "" when none are. STATUS_IO, STATUS_MEMORY, STATUS_LIMIT.
Status eda_page_write(const EdaPage *page, char *ret_problem, size_t size);

#endif
