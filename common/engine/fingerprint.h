// SPDX-License-Identifier: Apache-2.0
//
// What this machine calculates: a digest of a fixed extraction, forward and backward pass, Adam
// step and score. Two processes with the same fingerprint give the same bits for every task; a
// worker whose fingerprint differs is refused. Takes some tens of milliseconds. Any thread.
#ifndef AUSCULT_ENGINE_FINGERPRINT_H
#define AUSCULT_ENGINE_FINGERPRINT_H

#include "common/base/digest.h"
#include "common/base/status.h"

typedef struct Fingerprint {
    Digest digest;
    // For people, to see which part differs: versions of the libraries, and the first digits of the
    // digests of extraction and of training.
    char parts[256];
} Fingerprint;

// linalg_start must have been called. STATUS_MEMORY.
Status fingerprint_make(Fingerprint *ret_fingerprint);

#endif
