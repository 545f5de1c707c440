// SPDX-License-Identifier: Apache-2.0
//
// A data set as a run remembers it: what results may depend on, clip by clip, as text for the
// journal. Read back without looking at any file, so that a run that is continued can tell what has
// changed since. Any thread.
#ifndef AUSCULT_COORDINATOR_DATASET_RECORD_H
#define AUSCULT_COORDINATOR_DATASET_RECORD_H

#include "coordinator/dataset/dataset.h"

void dataset_record_write(const Dataset *dataset, Buffer *out);
// A Dataset without attributes, years, notes and warnings. STATUS_FORMAT: no such record.
Status dataset_record_read(const Buffer *record, Dataset **ret_dataset);

#endif
