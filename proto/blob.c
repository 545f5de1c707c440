// SPDX-License-Identifier: Apache-2.0
#include "proto/blob.h"

#define KEPT_BYTES (3u << 20) // kept whatever comes next: a round's sums, 1.1 MB, grew to 2 MiB

void blob_assembler_done(BlobAssembler *assembler) {
    buffer_done(&assembler->bytes);
    *assembler = (BlobAssembler){0};
}

static Status complete(BlobAssembler *assembler) {
    if (assembler->arrived < assembler->header.blob.total_bytes) {
        return STATUS_AGAIN;
    }
    assembler->is_open = false;
    if (assembler->is_unwanted) {
        return STATUS_AGAIN;
    }
    Digest digest = digest_of(buffer_cstr(&assembler->bytes), assembler->bytes.size);
    if (!digest_equal(digest, assembler->header.blob.digest)) {
        return status_set(STATUS_FORMAT, "a blob does not match its digest");
    }
    return STATUS_OK;
}

static Status begin(BlobAssembler *assembler, const Message *message) {
    if (assembler->is_open) {
        return status_set(STATUS_FORMAT, "a blob begins before the last one is complete");
    }
    // A block that held a state is given back rather than kept for the sums that follow: there is
    // one here for every session.
    size_t capacity = assembler->bytes.capacity;
    if (capacity > KEPT_BYTES && capacity / 2 > message->blob.total_bytes) {
        buffer_done(&assembler->bytes);
    }
    buffer_clear(&assembler->bytes);
    assembler->header = *message;
    assembler->arrived = 0;
    assembler->is_open = true;
    assembler->is_unwanted = false;
    return complete(assembler);
}

void blob_pass_over(BlobAssembler *assembler) {
    assembler->is_unwanted = true;
}

Status blob_take(BlobAssembler *assembler, const Message *message, const void *payload,
                 size_t payload_size) {
    if (message->type == MESSAGE_BLOB) {
        return begin(assembler, message);
    }
    if (message->type != MESSAGE_PIECE || !assembler->is_open) {
        return status_set(STATUS_FORMAT, "a piece without a blob");
    }
    uint64_t left = assembler->header.blob.total_bytes - assembler->arrived;
    if (message->piece.offset != assembler->arrived || payload_size == 0 || payload_size > left ||
        payload_size > PROTO_PIECE_BYTES) {
        assembler->is_open = false;
        return status_set(STATUS_FORMAT, "a piece that does not continue its blob");
    }
    assembler->arrived += payload_size;
    if (!assembler->is_unwanted) {
        buffer_append(&assembler->bytes, payload, payload_size);
    }
    if (assembler->bytes.status != STATUS_OK) {
        Status status = assembler->bytes.status;
        blob_assembler_done(assembler);
        return status;
    }
    return complete(assembler);
}

Status blob_send(const Message *header, size_t total_bytes, BlobEmit emit, void *context) {
    Buffer bytes = BUFFER_EMPTY;
    Message message = *header;
    message.blob.total_bytes = total_bytes;
    message_encode(&message, &bytes);
    Status status =
        bytes.status != STATUS_OK ? bytes.status : emit(context, bytes.bytes, bytes.size, 0, 0);
    for (size_t offset = 0; offset < total_bytes && status == STATUS_OK;) {
        size_t left = total_bytes - offset;
        size_t size = left < PROTO_PIECE_BYTES ? left : PROTO_PIECE_BYTES;
        buffer_clear(&bytes);
        Message piece = {.type = MESSAGE_PIECE, .piece = {offset}};
        message_encode(&piece, &bytes);
        status = bytes.status != STATUS_OK ? bytes.status
                                           : emit(context, bytes.bytes, bytes.size, offset, size);
        offset += size;
    }
    buffer_done(&bytes);
    return status;
}
