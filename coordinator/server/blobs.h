// SPDX-License-Identifier: Apache-2.0
//
// What workers may GET: blobs by digest (model plans, states, model files), each held once and sent
// without copying. The coordinator's loop alone.
#ifndef AUSCULT_COORDINATOR_SERVER_BLOBS_H
#define AUSCULT_COORDINATOR_SERVER_BLOBS_H

#include "common/base/digest.h"
#include "common/base/status.h"
#include "proto/channel.h"

typedef struct Blobs Blobs;
Blobs *blobs_new(void);
void blobs_free(Blobs *blobs);

// Holds a copy under its digest until as many blobs_drop as blobs_hold have come.
Status blobs_hold(Blobs *blobs, const void *bytes, size_t size, Digest *ret_digest);
void blobs_drop(Blobs *blobs, Digest digest);
// The payload, NULL when there is none of this digest; borrowed.
SharedPayload *blobs_find(const Blobs *blobs, Digest digest, size_t *ret_size);

#endif
