// SPDX-License-Identifier: Apache-2.0
//
// How the model layer's blocks of bytes begin: what they are, their version and length. Blocks are
// stored and sent as they lie in memory, little-endian, each with its layout in its own header
// file. When a layout changes, raise its version: no block of another version is ever read.
#ifndef AUSCULT_MODEL_BLOCK_H
#define AUSCULT_MODEL_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blocks are sent as they lie in memory");

typedef struct BlockHead {
    char magic[4];    // which kind of block
    uint32_t version; // of its layout
    uint64_t bytes;   // of the whole block, this head included
} BlockHead;

BlockHead block_head(const char magic[4], uint32_t version, size_t bytes);

// Whether `size` bytes begin with the head of such a block of exactly that size. `what` names it
// in the message. STATUS_FORMAT: something else or cut off; STATUS_MISMATCH: another version.
Status block_check(const void *bytes, size_t size, const char magic[4], uint32_t version,
                   const char *what);

#endif
