// SPDX-License-Identifier: Apache-2.0
//
// Between the schemas and MessagePack: encode.c and decode.c stand behind it and are the only
// files that see msgpack's headers; body.c stands before it. Internal to proto/.
#ifndef AUSCULT_PROTO_CODEC_H
#define AUSCULT_PROTO_CODEC_H

#include "proto/schema.h"

// Appends the item, or the list of `count` items (at most PROTO_TASK_CLIPS). On failure `out` has
// its sticky status and the bytes it had before.
void codec_encode(const Schema *schema, const void *item, Buffer *out);
void codec_encode_list(const Schema *schema, const void *items, uint32_t count, Buffer *out);

// Decodes a body into *ret_item, or a list into a block that belongs to `decoded`. Outputs are
// untouched on failure.
Status codec_decode(Decoded *decoded, const Schema *schema, const void *bytes, size_t size,
                    void *ret_item);
Status codec_decode_list(Decoded *decoded, const Schema *schema, const void *bytes, size_t size,
                         const void **ret_items, uint32_t *ret_count);

#endif
