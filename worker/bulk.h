// SPDX-License-Identifier: Apache-2.0
//
// The worker's bulk lane: opened when a task first needs it, bound to the session by its token.
// The computing thread alone.
#ifndef AUSCULT_WORKER_BULK_H
#define AUSCULT_WORKER_BULK_H

#include "proto/blob.h"
#include "worker/desk.h"

typedef struct Bulk Bulk;
Bulk *bulk_new(ZmqContext *context, Desk *desk);
void bulk_free(Bulk *bulk);

// Between tasks: closes a connection that was not used for so long, unless something sent over it
// may still be on its way. The coordinator has memory for those that use it, not for a thousand
// that once did; the next call of those below opens it again.
void bulk_rest(Bulk *bulk, int64_t unused_ms);

// All return STATUS_STOPPED when the task is cancelled meanwhile, STATUS_IO when the coordinator
// does not answer.
// The blob of this digest, into `out`.
Status bulk_get(Bulk *bulk, Digest digest, Buffer *out);
// Sends a blob; the header's digest and total_bytes are filled in.
Status bulk_put(Bulk *bulk, const Message *header, const void *bytes, size_t size);
// Sends a sum and waits for the total of `total_kind` of the same attempt, epoch and round; the
// bytes are borrowed until the next call.
Status bulk_exchange(Bulk *bulk, const Message *header, const void *bytes, size_t size,
                     BlobKind total_kind, const Buffer **ret_total);

#endif
