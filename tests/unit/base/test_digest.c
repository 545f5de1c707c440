// SPDX-License-Identifier: Apache-2.0
//
// Known answers: `xxh128sum` 0.8.1 of the same bytes, which prints the canonical form.
#include "tests/unit/test.h"

#include "common/base/digest.h"

static void check_digest(Digest digest, const char *expected) {
    char text[DIGEST_TEXT_BYTES];
    digest_text(digest, text);
    CHECK_TEXT(text, expected);
}

// The bytes 0, 1, ..., 250, 0, 1, ...
static void fill(unsigned char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)(i % 251);
    }
}

TEST(digests_are_those_of_xxh128sum) {
    static unsigned char bytes[100000];
    fill(bytes, sizeof bytes);
    check_digest(digest_of("", 0), "99aa06d3014798d86001c324468d497f");
    check_digest(digest_of("abc", 3), "06b05ab6733a618578af5f94892f3950");
    check_digest(digest_of(bytes, 200), "cb0395310643ba0edd97e9af3609d9f5");
    check_digest(digest_of(bytes, sizeof bytes), "54182c58bbb1337c42c23aeead96750d");
}

TEST(pieces_give_the_digest_of_the_whole) {
    static unsigned char bytes[5000];
    fill(bytes, sizeof bytes);
    for (size_t piece = 1; piece < sizeof bytes; piece = piece * 3 + 1) {
        DigestStream *stream = digest_begin();
        for (size_t at = 0; at < sizeof bytes; at += piece) {
            size_t size = sizeof bytes - at < piece ? sizeof bytes - at : piece;
            digest_add(stream, bytes + at, size);
        }
        CHECK(digest_equal(digest_end(stream), digest_of(bytes, sizeof bytes)));
    }
}

TEST(texts_do_not_run_together) {
    DigestStream *one = digest_begin();
    digest_add_text(one, "ab");
    digest_add_text(one, "c");
    DigestStream *other = digest_begin();
    digest_add_text(other, "a");
    digest_add_text(other, "bc");
    CHECK(!digest_equal(digest_end(one), digest_end(other)));
}

TEST(numbers_are_digested_little_end_first) {
    DigestStream *stream = digest_begin();
    digest_add_u64(stream, 0x0807060504030201u);
    CHECK(digest_equal(digest_end(stream), digest_of("\1\2\3\4\5\6\7\10", 8)));
}

TEST(one_bit_makes_another_digest) {
    unsigned char bytes[100];
    fill(bytes, sizeof bytes);
    Digest before = digest_of(bytes, sizeof bytes);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        CHECK(!digest_equal(digest_of(bytes, sizeof bytes), before));
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
}

TEST_MAIN_LIST(T(digests_are_those_of_xxh128sum) T(pieces_give_the_digest_of_the_whole)
                   T(texts_do_not_run_together) T(numbers_are_digested_little_end_first)
                       T(one_bit_makes_another_digest))
