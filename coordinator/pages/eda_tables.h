// SPDX-License-Identifier: Apache-2.0
//
// The tables of eda.html: the numbers of the CSVs beside it, chosen and rounded for people. Any
// thread.
#ifndef AUSCULT_COORDINATOR_PAGES_EDA_TABLES_H
#define AUSCULT_COORDINATOR_PAGES_EDA_TABLES_H

#include "common/base/buffer.h"
#include "coordinator/explore/summary.h"

// "fan", "fan (eval)" where another set has a fan too, into a page (escaped).
void eda_machine_name(const Dataset *dataset, uint32_t machine, Buffer *out);

// A row for each machine: its clips, length, level, and how many are suspicious.
void eda_table_machines(const ExploreSummary *summary, Buffer *out);
// A row for each group of a machine's clips.
void eda_table_groups(const ExploreSummary *summary, uint32_t machine, Buffer *out);
// The numbers and bands in which source and target lie furthest apart; nothing without any.
void eda_table_shifts(const ExploreSummary *summary, uint32_t machine, Buffer *out);
// Each suspicious clip with its reason, the first 50.
void eda_table_suspicious(const ExploreSummary *summary, uint32_t machine, Buffer *out);
// How often each value of each attribute stands among training and test clips, the first 60;
// nothing without attributes. STATUS_MEMORY.
Status eda_table_attributes(const ExploreSummary *summary, uint32_t machine, Buffer *out);

#endif
