// SPDX-License-Identifier: Apache-2.0
//
// Settles what lies in a data set more than once: the doubled test clips of a prepared 2021 tree,
// test clips again under telling names (test_rename), and clips of the same name. One thread.
#ifndef AUSCULT_COORDINATOR_DATASET_PAIRING_H
#define AUSCULT_COORDINATOR_DATASET_PAIRING_H

#include "coordinator/dataset/builder.h"

// Works on sorted files; nothing is removed, but marked `dropped` or given a reason to be left
// out. Files of a machine in this order:
//  1. a clip of test/ that is also in source_test/ or target_test/ keeps its test/ path and takes
//     the domain from there; the copy is dropped, with a note
//  2. of clips of one name in one split the first by path stays, the others are left out
//  3. clips of test_rename/ are paired with test clips by content (size, then XXH3-128); labels,
//     domains and attributes go over, and they are dropped; what finds no pair is a warning. But a
//     machine with no test clips at all has those of test_rename/ taken for them, before all else.
//  4. training clips that say nothing are normal; anomalies among them are left out
Status pairing_settle(Builder *builder);

#endif
