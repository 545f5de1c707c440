// SPDX-License-Identifier: Apache-2.0
//
// XXH3-128: tells contents apart and notices damage. It is no defence against someone who forges
// on purpose. Any thread.
#ifndef AUSCULT_BASE_DIGEST_H
#define AUSCULT_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_TEXT_BYTES 33

typedef struct Digest {
    unsigned char bytes[16]; // XXH3-128 in its canonical (big-endian) form
} Digest;

Digest digest_of(const void *bytes, size_t size);
bool digest_equal(Digest a, Digest b);
// 32 hexadecimal digits and a NUL.
void digest_text(Digest digest, char out[DIGEST_TEXT_BYTES]);

// A digest in pieces. NULL when out of memory. digest_end frees the stream; digest_add to a NULL
// stream is not allowed.
typedef struct DigestStream DigestStream;
DigestStream *digest_begin(void);
void digest_add(DigestStream *stream, const void *bytes, size_t size);
// The text and its NUL, so that ("ab", "c") and ("a", "bc") differ.
void digest_add_text(DigestStream *stream, const char *text);
void digest_add_u64(DigestStream *stream, uint64_t value);
Digest digest_end(DigestStream *stream);

#endif
