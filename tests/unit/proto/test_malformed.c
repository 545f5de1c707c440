// SPDX-License-Identifier: Apache-2.0
//
// What must not decode. AUSCULT_SEED=N repeats a random run.
#include "tests/unit/test.h"

#include <time.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "tests/unit/proto/pack.h"

#define MUTATIONS 200000 // of each message and body

static uint64_t seed_of_run(void) {
    const char *given = getenv("AUSCULT_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    printf("AUSCULT_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

// STATUS_OK or STATUS_FORMAT, nothing else.
static bool accepted(Decoded *decoded, const Form *form, const void *bytes, size_t size) {
    Status status = form->decode(decoded, bytes, size);
    if (status != STATUS_OK && status != STATUS_FORMAT) {
        TEST_FAIL("%s: status %d, %s", form->name, status, status_message());
    }
    return status == STATUS_OK;
}

TEST(every_field_is_taken_at_its_limit_and_refused_beyond) {
    Decoded *decoded = decoded_new();
    Buffer bytes = BUFFER_EMPTY;
    int tried = 0, refused = 0;
    for (size_t f = 0; f < FORM_COUNT; f++) {
        const Form *form = &FORMS[f];
        for (int field = 0; field < form_fields(form); field++) {
            for (int twist = TWIST_NONE; twist < TWIST_COUNT; twist++) {
                bool must_accept;
                if (!twist_applies(&form->fields[field], (Twist)twist, &must_accept)) {
                    continue;
                }
                buffer_clear(&bytes);
                pack_form(&bytes, form, field, (Twist)twist, 0, 0);
                if (accepted(decoded, form, bytes.bytes, bytes.size) != must_accept) {
                    TEST_FAIL("%s, field %d, twist %d: should %s: %s", form->name, field, twist,
                              must_accept ? "decode" : "be refused", status_message());
                }
                tried++;
                refused += !must_accept;
            }
        }
    }
    CHECK(tried > 400 && refused > 200);
    decoded_free(decoded);
    buffer_done(&bytes);
    CHECK_INT(mem_blocks(), 0);
}

TEST(a_field_too_many_or_too_few_is_malformed) {
    Decoded *decoded = decoded_new();
    Buffer bytes = BUFFER_EMPTY;
    for (size_t f = 0; f < FORM_COUNT; f++) {
        const Form *form = &FORMS[f];
        for (int more = -1; more <= 1; more++) {
            for (int row_more = -1; row_more <= 1; row_more++) {
                bool has_rows = form->is_list || form_rows(form) < form_fields(form);
                bool outer = !form->is_list && (more >= 0 || form_fields(form) > 0);
                if ((row_more != 0 && !has_rows) || (more != 0 && (!outer || row_more != 0))) {
                    continue;
                }
                buffer_clear(&bytes);
                pack_form(&bytes, form, -1, TWIST_NONE, more, row_more);
                if (accepted(decoded, form, bytes.bytes, bytes.size) != (!more && !row_more)) {
                    TEST_FAIL("%s with %+d fields, %+d in a row", form->name, more, row_more);
                }
            }
        }
    }
    decoded_free(decoded);
    buffer_done(&bytes);
}

TEST(every_truncation_and_every_trailing_byte_is_malformed) {
    Decoded *decoded = decoded_new();
    Buffer bytes = BUFFER_EMPTY;
    for (size_t f = 0; f < FORM_COUNT; f++) {
        const Form *form = &FORMS[f];
        buffer_clear(&bytes);
        pack_form(&bytes, form, -1, TWIST_NONE, 0, 0);
        for (size_t size = 0; size < bytes.size; size++) {
            char *cut = mem_copy(bytes.bytes, size); // so that a read beyond is noticed
            CHECK(!accepted(decoded, form, cut, size));
            mem_free(cut);
        }
        CHECK(accepted(decoded, form, bytes.bytes, bytes.size));
        buffer_append(&bytes, "\0", 1);
        CHECK(!accepted(decoded, form, bytes.bytes, bytes.size));
    }
    decoded_free(decoded);
    buffer_done(&bytes);
}

// Changes a byte, a bit, or a run; cuts or doubles a part.
static size_t mutate(Rng *rng, char *bytes, size_t size, size_t most) {
    static const unsigned char HEADERS[] = {0x80, 0x90, 0x9f, 0xbf, 0xc0, 0xc1, 0xc4, 0xc6, 0xc7,
                                            0xc9, 0xca, 0xcb, 0xcf, 0xd3, 0xd4, 0xd9, 0xdb, 0xdc,
                                            0xdd, 0xde, 0xdf, 0xe0, 0xff, 0x7f, 0x00};
    uint32_t changes = 1 + rng_below(rng, 4);
    for (uint32_t i = 0; i < changes && size > 0; i++) {
        size_t at = rng_below(rng, (uint32_t)size);
        switch (rng_below(rng, 6)) {
        case 0:
            bytes[at] = (char)rng_u32(rng);
            break;
        case 1:
            bytes[at] = (char)(bytes[at] ^ (1 << rng_below(rng, 8)));
            break;
        case 2:
            bytes[at] = (char)HEADERS[rng_below(rng, sizeof HEADERS)];
            break;
        case 3:
            size = at;
            break;
        case 4: {
            size_t part = rng_below(rng, (uint32_t)(size - at)) + 1;
            part = part < most - size ? part : most - size;
            memmove(bytes + at + part, bytes + at, size - at);
            size += part;
            break;
        }
        default:
            for (size_t j = at; j < size && j < at + 4; j++) {
                bytes[j] = (char)(rng_below(rng, 2) ? 0xff : 0);
            }
        }
    }
    return size;
}

TEST(random_mutations_decode_or_are_refused_and_leak_nothing) {
    uint64_t seed = seed_of_run();
    Buffer original = BUFFER_EMPTY;
    int64_t begin_ms = clock_ms();
    long taken = 0, refused = 0;
    for (size_t f = 0; f < FORM_COUNT; f++) {
        const Form *form = &FORMS[f];
        buffer_clear(&original);
        pack_form(&original, form, -1, TWIST_NONE, 0, 0);
        size_t most = 2 * original.size;
        char *bytes = mem_new(most, 1);
        Decoded *decoded = decoded_new();
        Rng rng = rng_of(seed, "mutation", f, 0);
        for (int i = 0; i < MUTATIONS; i++) {
            memcpy(bytes, original.bytes, original.size);
            size_t size = mutate(&rng, bytes, original.size, most);
            // The end of the block is the end of the bytes: a read beyond is noticed.
            char *end = bytes + most - size;
            memmove(end, bytes, size);
            bool is_taken = accepted(decoded, form, end, size);
            taken += is_taken;
            refused += !is_taken;
        }
        decoded_free(decoded);
        mem_free(bytes);
    }
    printf("%ld taken, %ld refused, %lld ms\n", taken, refused, (long long)(clock_ms() - begin_ms));
    CHECK(taken > 0 && refused > taken);
    buffer_done(&original);
    CHECK_INT(mem_blocks(), 0);
}

TEST(random_bytes_are_refused) {
    Decoded *decoded = decoded_new();
    Rng rng = rng_of(seed_of_run(), "bytes", 0, 0);
    for (int i = 0; i < MUTATIONS; i++) {
        char bytes[64];
        size_t size = rng_below(&rng, sizeof bytes);
        for (size_t j = 0; j < size; j++) {
            bytes[j] = (char)rng_u32(&rng);
        }
        for (size_t f = 18; f < FORM_COUNT; f++) {
            accepted(decoded, &FORMS[f], bytes, size);
        }
    }
    decoded_free(decoded);
}

TEST(five_bytes_that_claim_gigabytes_are_refused) {
    Decoded *decoded = decoded_new();
    static const char *const BOMBS[] = {"\xdd\x10\0\0\0",       "\xdd\xff\xff\xff\xff",
                                        "\xdb\xff\xff\xff\xff", "\xc6\x7f\xff\xff\xff",
                                        "\xdf\x10\0\0\0",       "\xdc\xff\xff\x90\x90"};
    for (size_t i = 0; i < sizeof BOMBS / sizeof BOMBS[0]; i++) {
        for (size_t f = 0; f < FORM_COUNT; f++) {
            mem_fail_after(0); // not even an allocation is tried
            bool taken = accepted(decoded, &FORMS[f], BOMBS[i], 5);
            CHECK(!taken && !mem_has_failed());
            mem_fail_after(-1);
        }
    }
    decoded_free(decoded);
}

TEST(many_small_elements_are_refused_before_anything_is_allocated) {
    Decoded *decoded = decoded_new();
    Buffer bytes = BUFFER_EMPTY;
    pack_array(&bytes, PROTO_BODY_BYTES - 5); // every byte present: one million integers
    for (uint32_t i = 0; i < PROTO_BODY_BYTES - 5; i++) {
        buffer_append(&bytes, "\1", 1);
    }
    for (size_t f = 0; f < FORM_COUNT; f++) {
        if (strcmp(FORMS[f].name, "plan") == 0) {
            continue; // may have as many
        }
        mem_fail_after(0);
        bool taken = accepted(decoded, &FORMS[f], bytes.bytes, bytes.size);
        CHECK(!taken && !mem_has_failed());
        mem_fail_after(-1);
    }
    decoded_free(decoded);
    buffer_done(&bytes);
}

TEST(deep_nesting_is_refused) {
    Decoded *decoded = decoded_new();
    char bytes[1000];
    for (int depth = 1; depth < 1000; depth++) {
        memset(bytes, 0x91, sizeof bytes);
        bytes[depth - 1] = (char)0x90;
        for (size_t f = 0; f < FORM_COUNT; f++) {
            // An empty list of answers, and nothing else of the kind, is well-formed.
            bool empty_list = depth == 1 && FORMS[f].is_list;
            CHECK_INT(accepted(decoded, &FORMS[f], bytes, (size_t)depth), empty_list);
        }
        if (depth > 4) {
            CHECK(!accepted(decoded, &FORMS[0], bytes, (size_t)depth));
            CHECK_HAS(status_message(), "too deep");
        }
    }
    decoded_free(decoded);
}

TEST(types_that_the_protocol_has_not_are_refused) {
    Decoded *decoded = decoded_new();
    static const char *const OTHERS[] = {
        "\x92\x02\xc0",                 // nil
        "\x92\x02\xc3",                 // true
        "\x92\x02\xff",                 // -1
        "\x92\x02\xca\x3f\x80\x00\x00", // a 32-bit float
        "\x92\x02\x80",                 // an empty map
        "\x92\x02\xd4\x01\x01",         // an extension
        "\x92\x02\xd0\x81",             // a negative 8-bit integer
        "\x92\x02\xc1",                 // never used
    };
    static const size_t SIZES[] = {3, 3, 3, 7, 3, 5, 4, 3};
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++) {
        CHECK(!accepted(decoded, &FORMS[1], OTHERS[i], SIZES[i]));
    }
    CHECK(accepted(decoded, &FORMS[1], "\x92\x02\x07", 3));     // CREDIT 7
    CHECK(accepted(decoded, &FORMS[1], "\x92\x02\xd0\x07", 4)); // as a signed integer
    decoded_free(decoded);
}

TEST(bulk_headers_have_their_own_limit) {
    Decoded *decoded = decoded_new();
    Buffer bytes = BUFFER_EMPTY;
    pack_array(&bytes, 2);
    pack_u(&bytes, MESSAGE_GET);
    static char large[PROTO_HEADER_BYTES];
    pack_bytes(&bytes, large, sizeof large);
    CHECK(!accepted(decoded, &FORMS[0], bytes.bytes, bytes.size));
    CHECK_HAS(status_message(), "GET");
    CHECK_HAS(status_message(), "too large");
    decoded_free(decoded);
    buffer_done(&bytes);
}

TEST(errors_name_message_and_field) {
    Decoded *decoded = decoded_new();
    CHECK(!accepted(decoded, &FORMS[1], "\x92\x02\xcd\x04\x01", 5)); // CREDIT 1,025
    CHECK_HAS(status_message(), "CREDIT");
    CHECK_HAS(status_message(), "count is 1025");
    CHECK_HAS(status_message(), "1 to 1024");
    CHECK(!accepted(decoded, &FORMS[1], "\x91\x0c", 2));
    CHECK_HAS(status_message(), "no type 12");
    decoded_free(decoded);
}

TEST(what_no_single_field_tells_is_checked) {
    Decoded *decoded = decoded_new();
    Buffer bytes = BUFFER_EMPTY;
    pack_array(&bytes, 10); // BLOB whose subtree is beyond all shards
    pack_u(&bytes, MESSAGE_BLOB);
    static const uint64_t FIELDS[] = {BLOB_PARTIAL, 1, 1, 0, 0, 32, 33, 10};
    for (int i = 0; i < 8; i++) {
        pack_u(&bytes, FIELDS[i]);
    }
    pack_bytes(&bytes, "0123456789abcdef", 16);
    CHECK(!accepted(decoded, &FORMS[0], bytes.bytes, bytes.size));
    CHECK_HAS(status_message(), "beyond the shards");
    decoded_free(decoded);
    buffer_done(&bytes);
}

TEST_MAIN_LIST(
    T(every_field_is_taken_at_its_limit_and_refused_beyond)
        T(a_field_too_many_or_too_few_is_malformed)
            T(every_truncation_and_every_trailing_byte_is_malformed)
                T(random_mutations_decode_or_are_refused_and_leak_nothing)
                    T(random_bytes_are_refused) T(five_bytes_that_claim_gigabytes_are_refused)
                        T(many_small_elements_are_refused_before_anything_is_allocated)
                            T(deep_nesting_is_refused)
                                T(types_that_the_protocol_has_not_are_refused)
                                    T(bulk_headers_have_their_own_limit)
                                        T(errors_name_message_and_field)
                                            T(what_no_single_field_tells_is_checked))
