// SPDX-License-Identifier: Apache-2.0
//
// Gives the anonymous test clips of a data set what the ground truth says of them. One thread.
#ifndef AUSCULT_COORDINATOR_DATASET_LABELS_H
#define AUSCULT_COORDINATOR_DATASET_LABELS_H

#include "coordinator/dataset/builder.h"

// With options->truth: test clips without label take label, domain and attributes from it, by
// machine and name, with a note; one whose own name says otherwise keeps its own, with a warning.
// Call after pairing_settle. What is wrong with the ground truth's files is a warning each; errors
// are truth_read's.
Status labels_apply(Builder *builder);

#endif
