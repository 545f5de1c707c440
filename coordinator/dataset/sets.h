// SPDX-License-Identifier: Apache-2.0
//
// Which world a machine folder belongs to (development, evaluation or plain data) and which year's
// challenge. One thread.
#ifndef AUSCULT_COORDINATOR_DATASET_SETS_H
#define AUSCULT_COORDINATOR_DATASET_SETS_H

#include "coordinator/dataset/builder.h"

// Decides set and year of every place, and the set of its files. Call before the files are sorted.
//  1. By folder names: dev_data..., eval_data..., additional... on the way (also dev, eval,
//     development, evaluation below the root); the nearest to the machine counts.
//  2. By the test clips' names: all labelled means dev, all anonymous names of the challenge mean
//     eval, anything else plain.
//  3. A place without test clips joins the set that its machine has elsewhere; where there are
//     several, the one whose test clips have its sections; else it is plain.
Status sets_decide(Builder *builder);

#endif
