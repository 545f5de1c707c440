// SPDX-License-Identifier: Apache-2.0
//
// A digest of what this machine makes of a fixed piece of training and scoring: workers send it in
// their first message, and two that agree will give the same bits. Call after linalg_start; any
// thread.
#ifndef AUSCULT_MODEL_FINGERPRINT_H
#define AUSCULT_MODEL_FINGERPRINT_H

#include "common/base/digest.h"
#include "common/base/status.h"

// Two rounds of the official network over four shards of made-up features (scaler, forward,
// backward, tree, Adam), validation, and the score of one clip. About 20 ms. STATUS_MEMORY.
Status model_fingerprint(Digest *ret_digest);

#endif
