// SPDX-License-Identifier: Apache-2.0
//
// Seals of the journal's rows: 63 bits over all that a row says, so that a flipped bit, which
// SQLite itself does not see, is found. Pure functions. They are part of the file's format: another
// sum needs another version of the schema.
#ifndef AUSCULT_COORDINATOR_JOURNAL_SEAL_H
#define AUSCULT_COORDINATOR_JOURNAL_SEAL_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/digest.h"

// Of an answer (key, kind, body) or a fact (name, 0, value).
int64_t seal_of_body(const void *key, size_t key_bytes, uint32_t kind, const void *body,
                     size_t body_bytes);

// Of any row, column by column: begin with a Seal of zeros.
typedef struct Seal {
    Digest sum;
} Seal;
// `type` keeps a number, a text and a blob of the same bytes apart.
void seal_add(Seal *seal, uint32_t type, const void *bytes, size_t size);
int64_t seal_end(const Seal *seal);

#endif
