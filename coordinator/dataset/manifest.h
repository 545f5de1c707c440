// SPDX-License-Identifier: Apache-2.0
//
// A data set as a CSV table: what `scan --csv` writes and `--manifest` reads. One thread.
#ifndef AUSCULT_COORDINATOR_DATASET_MANIFEST_H
#define AUSCULT_COORDINATOR_DATASET_MANIFEST_H

#include "coordinator/dataset/builder.h"

// Adds the clips of the builder's manifest; files are looked at, and one that is not there is left
// out. STATUS_FORMAT and STATUS_INVALID name file and line.
Status manifest_read(Builder *builder);

#endif
