// SPDX-License-Identifier: Apache-2.0
//
// What the child process does (import.h): bytes of a model's file, and perhaps of a scaler's, to a
// network.
#ifndef AUSCULT_IMPORT_PARSE_H
#define AUSCULT_IMPORT_PARSE_H

#include "common/engine/network.h"

typedef struct ParseFile {
    const char *path; // for messages and for its ending
    Buffer bytes;
} ParseFile;

// `scaler` may be NULL. Statuses as import_network's.
Status parse_network(const ParseFile *model, const ParseFile *scaler, Network **ret_network);

#endif
