// SPDX-License-Identifier: Apache-2.0
//
// What this machine calculates: a digest of a fixed extraction, forward and backward pass, Adam
// step and score. Two processes with the same fingerprint give the same bits for every task; a
// worker whose fingerprint differs is refused. Takes some tens of milliseconds. Any thread.
#ifndef AUSCULT_ENGINE_FINGERPRINT_H
#define AUSCULT_ENGINE_FINGERPRINT_H

#include "common/base/digest.h"
#include "common/base/status.h"

// linalg_start must have been called. STATUS_MEMORY.
Status fingerprint_make(Digest *ret_fingerprint);

#endif
