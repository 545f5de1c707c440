// SPDX-License-Identifier: Apache-2.0
//
// Walks the data roots and finds machine folders, their clips and attributes files. Reads folders,
// never files. One thread.
#ifndef AUSCULT_COORDINATOR_DATASET_WALK_H
#define AUSCULT_COORDINATOR_DATASET_WALK_H

#include "coordinator/dataset/builder.h"

// Adds what lies below every root of the builder's options. A root that cannot be opened is an
// error, anything below it that cannot is a warning.
Status walk_roots(Builder *builder);

// What a folder of this name is to a machine (letters in any case), FOLDER_NONE for other names.
FolderKind walk_folder_kind(const char *name);

#endif
