// SPDX-License-Identifier: Apache-2.0
//
// result.csv and result_by_attribute.csv of a system of the run: the official metrics of its test
// clips, made by what judges anybody's scores (coordinator/evaluate), where labels are known. Any
// thread.
#ifndef AUSCULT_COORDINATOR_RESULTS_RESULT_TABLES_H
#define AUSCULT_COORDINATOR_RESULTS_RESULT_TABLES_H

#include "coordinator/results/results.h"

// Into `folder`, with the max_fpr of the system's settings. `clips` are the run's in the order of
// its data set's training and test clips, more may follow. result.csv has the eval set where its
// clips have labels, else the development set, else plain data; where a development set has labels
// beside it, result_dev.csv and result_dev_by_attribute.csv have that one. Clips that are left out
// are left out here too. What an earlier run wrote and this one would not is removed.
Status result_tables_write(const ResultsConfig *config, const Settings *settings,
                           const char *folder, const ScoredClip *clips, size_t count);

#endif
