// SPDX-License-Identifier: Apache-2.0
//
// A data set as people and programs read it: what `auscult scan` prints. Pure text into a Buffer,
// any thread.
#ifndef AUSCULT_COORDINATOR_DATASET_DESCRIBE_H
#define AUSCULT_COORDINATOR_DATASET_DESCRIBE_H

#include "coordinator/dataset/dataset.h"

// One row per machine: set, machine, year, sections, clips of each split, domain and label (of
// training and test clips that are used), names of attributes.
void describe_machines(const Dataset *dataset, Buffer *out);
// One row per clip: set, machine, section, domain, label, split, attributes, path.
void describe_clips(const Dataset *dataset, Buffer *out);
// The notes, then what was left out with its reason; nothing where there is nothing.
void describe_left_out(const Dataset *dataset, Buffer *out);
// All of it as one JSON object: machines, clips, left_out, warnings, notes.
void describe_json(const Dataset *dataset, Buffer *out);

#endif
