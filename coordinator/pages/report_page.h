// SPDX-License-Identifier: Apache-2.0
//
// outputs/report.html: what a run has found, one file to look at and to send on, with pictures in
// it and nothing from elsewhere; and outputs/figures/MACHINE/*.png, the same pictures. A pure
// function of what it is given: no time, host or path. Any thread.
#ifndef AUSCULT_COORDINATOR_PAGES_REPORT_PAGE_H
#define AUSCULT_COORDINATOR_PAGES_REPORT_PAGE_H

#include "coordinator/outputs/machine_report.h"
#include "coordinator/outputs/systems.h"
#include "coordinator/pages/report_clips.h"

// A model of the primary system, for its training curve. Texts are borrowed.
typedef struct ReportModel {
    const char *machine; // as in ScoredClip
    const char *set;
    const char *label; // its history is logs/history_LABEL.csv
} ReportModel;

typedef struct ReportPage {
    const char *run_folder;
    const ScoredClip *clips; // (clip_count) of the primary system
    size_t clip_count;
    const MachineReport *report; // of these
    double max_fpr;
    const ReportModel *models; // (model_count)
    size_t model_count;
    const SystemRow *systems; // (system_count) more than one: they get a table
    size_t system_count;
    char *const *notes; // (note_count) about thresholds
    size_t note_count;
    ReportPortraits portraits;
} ReportPage;

// Also removes figures that an earlier report has left. *ret_problem (size) says why pictures are
// missing, "" when none are. STATUS_IO, STATUS_MEMORY.
Status report_page_write(const ReportPage *page, char *ret_problem, size_t size);

#endif
