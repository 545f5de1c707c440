// SPDX-License-Identifier: Apache-2.0
#include "coordinator/journal/seal.h"

#include <string.h>

static int64_t bits_of(Digest sum) {
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++) {
        bits = bits << 8 | sum.bytes[i];
    }
    return (int64_t)(bits >> 1);
}

// Two digests and a number, digested: 16 bytes, 16 bytes, 4 bytes of which the lowest comes first.
static Digest digest_of_three(Digest first, Digest second, uint32_t number) {
    unsigned char parts[36];
    memcpy(parts, first.bytes, 16);
    memcpy(parts + 16, second.bytes, 16);
    for (int i = 0; i < 4; i++) {
        parts[32 + i] = (unsigned char)(number >> (8 * i));
    }
    return digest_of(parts, sizeof parts);
}

int64_t seal_of_body(const void *key, size_t key_bytes, uint32_t kind, const void *body,
                     size_t body_bytes) {
    return bits_of(digest_of_three(digest_of(key, key_bytes), digest_of(body, body_bytes), kind));
}

void seal_add(Seal *seal, uint32_t type, const void *bytes, size_t size) {
    seal->sum = digest_of_three(seal->sum, digest_of(bytes, size), type);
}

int64_t seal_end(const Seal *seal) {
    return bits_of(seal->sum);
}
