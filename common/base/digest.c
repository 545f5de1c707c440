// SPDX-License-Identifier: Apache-2.0
#include "common/base/digest.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "common/base/status.h"

static Digest canonical(XXH128_hash_t hash) {
    XXH128_canonical_t form;
    Digest digest;
    XXH128_canonicalFromHash(&form, hash);
    memcpy(digest.bytes, form.digest, sizeof digest.bytes);
    return digest;
}

Digest digest_of(const void *bytes, size_t size) {
    return canonical(XXH3_128bits(bytes, size));
}

bool digest_equal(Digest a, Digest b) {
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

void digest_text(Digest digest, char out[DIGEST_TEXT_BYTES]) {
    for (int i = 0; i < 16; i++) {
        snprintf(out + 2 * i, 3, "%02x", digest.bytes[i]);
    }
}

// XXH3 allocates its state by itself, on the boundary it needs; the stream is that state.
DigestStream *digest_begin(void) {
    XXH3_state_t *state = XXH3_createState();
    if (state == NULL) {
        status_set(STATUS_MEMORY, "out of memory for a digest");
        return NULL;
    }
    XXH3_128bits_reset(state);
    return (DigestStream *)state;
}

void digest_add(DigestStream *stream, const void *bytes, size_t size) {
    XXH3_128bits_update((XXH3_state_t *)stream, bytes, size);
}

void digest_add_text(DigestStream *stream, const char *text) {
    digest_add(stream, text, strlen(text) + 1);
}

void digest_add_u64(DigestStream *stream, uint64_t value) {
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(value >> (8 * i));
    }
    digest_add(stream, bytes, sizeof bytes);
}

Digest digest_end(DigestStream *stream) {
    XXH3_state_t *state = (XXH3_state_t *)stream;
    Digest digest = canonical(XXH3_128bits_digest(state));
    XXH3_freeState(state);
    return digest;
}
