// SPDX-License-Identifier: Apache-2.0
//
// Blobs on the bulk lane: how one is put together from BLOB and its PIECEs, and the headers to send
// one with. Memory grows with the pieces that arrive, never with what a header claims. One thread
// per object.
#ifndef AUSCULT_PROTO_BLOB_H
#define AUSCULT_PROTO_BLOB_H

#include "proto/message.h"

typedef struct BlobAssembler {
    Message header;   // of the blob under way
    uint64_t arrived; // bytes of it
    Buffer bytes;     // they
    bool is_open;     // a header came and its pieces have not all come
    bool is_unwanted; // they are not kept
} BlobAssembler;

void blob_assembler_done(BlobAssembler *assembler);

// Takes a BLOB or a PIECE. STATUS_OK: the blob is complete, its digest right, `header` and `bytes`
// hold it until the next call; STATUS_AGAIN: more pieces are to come; STATUS_FORMAT: out of order,
// too many bytes or a wrong digest.
Status blob_take(BlobAssembler *assembler, const Message *message, const void *payload,
                 size_t payload_size);

// Nobody wants the blob whose header was just taken: nothing of it is kept, and blob_take says
// STATUS_AGAIN of its last piece, too.
void blob_pass_over(BlobAssembler *assembler);

// How a blob is sent: `emit` gets the encoded BLOB header without payload, then each encoded PIECE
// with the place of its payload; the first failure ends it.
typedef Status (*BlobEmit)(void *context, const void *bytes, size_t size, size_t payload_offset,
                           size_t payload_size);
// Fills in header->blob.total_bytes, not the digest.
Status blob_send(const Message *header, size_t total_bytes, BlobEmit emit, void *context);

#endif
