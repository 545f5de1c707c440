// SPDX-License-Identifier: Apache-2.0
//
// What `auscult eda` leaves in RUN/outputs: eda_clips.csv (every number of every clip),
// eda_groups.csv, eda_spectra.csv (mean log-mels of the groups), eda_suspicious.csv,
// eda_attributes.csv, eda_domain_shift.csv, eda_pca.csv. Sorted; the same bytes from any cluster.
#ifndef AUSCULT_COORDINATOR_EXPLORE_TABLES_H
#define AUSCULT_COORDINATOR_EXPLORE_TABLES_H

#include "coordinator/explore/summary.h"

// Into `folder`, which is there. STATUS_IO, STATUS_MEMORY.
Status explore_tables_write(const char *folder, const ExploreSummary *summary);

#endif
