// SPDX-License-Identifier: Apache-2.0
//
// What the challenge's meta.yaml holds: every key with its type and whether it may be missing. Any
// thread.
#ifndef AUSCULT_PACKAGE_META_CHECK_H
#define AUSCULT_PACKAGE_META_CHECK_H

#include "coordinator/package/archive.h"
#include "coordinator/package/complaint.h"

enum { META_FIGURES_MOST = 3 };
// The figures that a year's meta.yaml has of each machine of the development set: in 2020
// "averaged_auc" and "averaged_pauc", over ids; in 2021 "harmonic_mean_auc" and
// "harmonic_mean_pauc", over sections and domains; since then "auc_source", "auc_target" and
// "pauc". Says how many; the names are borrowed for good.
size_t meta_figures(int year, const char *ret_names[META_FIGURES_MOST]);

// Keys, types and values of one meta.yaml; `label` is the system's, which submission.label must be,
// `year` whose keys it has, 0: the latest. STATUS_MEMORY.
Status meta_check(const ArchiveEntry *entry, const char *label, int year, Complaints *complaints);

#endif
