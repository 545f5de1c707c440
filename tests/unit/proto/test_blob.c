// SPDX-License-Identifier: Apache-2.0
//
// Blobs in pieces: what is put together is what was sent, or it is refused.
#include "common/base/mem.h"
#include "proto/blob.h"
#include "tests/unit/test.h"

static BlobAssembler assembler;
static Decoded *decoded;

static void begin(void) {
    assembler = (BlobAssembler){0};
    decoded = decoded_new();
    CHECK(decoded != NULL);
}

static void end(void) {
    blob_assembler_done(&assembler);
    decoded_free(decoded);
}

static Message header_of(const void *bytes, size_t size) {
    Message header = {.type = MESSAGE_BLOB};
    header.blob.kind = BLOB_OBJECT;
    header.blob.total_bytes = size;
    header.blob.digest = digest_of(bytes, size);
    return header;
}

static Status take_header(const Message *header) {
    return blob_take(&assembler, header, NULL, 0);
}

static Status take_piece(uint64_t offset, const void *bytes, size_t size) {
    Message piece = {.type = MESSAGE_PIECE, .piece = {offset}};
    return blob_take(&assembler, &piece, bytes, size);
}

static unsigned char *pattern(size_t size) {
    unsigned char *bytes = mem_new(size, 1);
    CHECK(bytes != NULL);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)(i * 131 + (i >> 8) * 7 + (i >> 16));
    }
    return bytes;
}

// ---- taking ----

TEST(pieces_in_order_make_the_blob) {
    begin();
    Message header = header_of("hello world", 11);
    header.blob.epoch = 5;
    CHECK(take_header(&header) == STATUS_AGAIN);
    CHECK(take_piece(0, "hello", 5) == STATUS_AGAIN);
    CHECK(take_piece(5, " ", 1) == STATUS_AGAIN);
    CHECK_OK(take_piece(6, "world", 5));
    CHECK_INT(assembler.bytes.size, 11);
    CHECK_TEXT(assembler.bytes.bytes, "hello world");
    CHECK_INT(assembler.header.blob.epoch, 5);
    CHECK(take_piece(11, "!", 1) == STATUS_FORMAT); // nothing is open any more
    end();
}

TEST(blobs_follow_each_other) {
    begin();
    static const char *const TEXTS[] = {"a long one first", "short", "", "x"};
    for (size_t i = 0; i < 4; i++) {
        size_t size = strlen(TEXTS[i]);
        Message header = header_of(TEXTS[i], size);
        CHECK(take_header(&header) == (size > 0 ? STATUS_AGAIN : STATUS_OK));
        if (size > 0) {
            CHECK_OK(take_piece(0, TEXTS[i], size));
        }
        CHECK_TEXT(buffer_cstr(&assembler.bytes), TEXTS[i]);
        CHECK_INT(assembler.bytes.size, size);
    }
    end();
}

TEST(an_empty_blob_is_complete_at_once) {
    begin();
    Message header = header_of("", 0);
    CHECK_OK(take_header(&header));
    CHECK_INT(assembler.bytes.size, 0);
    header.blob.digest.bytes[3] ^= 1;
    CHECK(take_header(&header) == STATUS_FORMAT);
    end();
}

TEST(a_piece_out_of_order_is_refused) {
    static const uint64_t OFFSETS[] = {1, 4, 6, UINT64_MAX};
    for (size_t i = 0; i < sizeof OFFSETS / sizeof OFFSETS[0]; i++) {
        begin();
        Message header = header_of("hello world", 11);
        CHECK(take_header(&header) == STATUS_AGAIN);
        CHECK(take_piece(0, "hello", 5) == STATUS_AGAIN);
        CHECK(take_piece(OFFSETS[i], " world", 6) == STATUS_FORMAT);
        // And the blob is given up: its rest does not complete it.
        CHECK(take_piece(5, " world", 6) == STATUS_FORMAT);
        end();
    }
}

TEST(a_piece_sent_twice_is_refused) {
    begin();
    Message header = header_of("hello world", 11);
    CHECK(take_header(&header) == STATUS_AGAIN);
    CHECK(take_piece(0, "hello", 5) == STATUS_AGAIN);
    CHECK(take_piece(0, "hello", 5) == STATUS_FORMAT);
    end();
}

TEST(more_bytes_than_announced_are_refused) {
    begin();
    Message header = header_of("hello", 5);
    CHECK(take_header(&header) == STATUS_AGAIN);
    CHECK(take_piece(0, "hello!", 6) == STATUS_FORMAT);
    end();
    begin();
    unsigned char *bytes = pattern(PROTO_PIECE_BYTES + 1);
    header = header_of(bytes, PROTO_PIECE_BYTES + 1);
    CHECK(take_header(&header) == STATUS_AGAIN);
    CHECK(take_piece(0, bytes, PROTO_PIECE_BYTES + 1) == STATUS_FORMAT); // too long for a piece
    mem_free(bytes);
    end();
}

TEST(empty_pieces_and_pieces_without_a_blob_are_refused) {
    begin();
    CHECK(take_piece(0, "x", 1) == STATUS_FORMAT);
    Message header = header_of("hello", 5);
    CHECK(take_header(&header) == STATUS_AGAIN);
    CHECK(take_piece(0, "", 0) == STATUS_FORMAT); // a sender of these would never end
    end();
}

TEST(other_messages_are_no_pieces) {
    begin();
    Message header = header_of("hello", 5);
    CHECK(take_header(&header) == STATUS_AGAIN);
    Message other = {.type = MESSAGE_GET};
    CHECK(blob_take(&assembler, &other, "hello", 5) == STATUS_FORMAT);
    end();
}

TEST(wrong_digest_is_refused) {
    begin();
    Message header = header_of("hello", 5);
    CHECK(take_header(&header) == STATUS_AGAIN);
    CHECK(take_piece(0, "hellp", 5) == STATUS_FORMAT);
    CHECK_HAS(status_message(), "digest");
    // The next blob is not harmed.
    CHECK(take_header(&header) == STATUS_AGAIN);
    CHECK_OK(take_piece(0, "hello", 5));
    end();
}

TEST(a_blob_within_a_blob_is_refused) {
    begin();
    Message header = header_of("hello", 5);
    CHECK(take_header(&header) == STATUS_AGAIN);
    CHECK(take_header(&header) == STATUS_FORMAT);
    end();
}

TEST(memory_grows_with_what_arrives_and_not_with_what_is_claimed) {
    begin();
    unsigned char *bytes = pattern(PROTO_PIECE_BYTES);
    Message header = header_of(bytes, PROTO_PIECE_BYTES);
    header.blob.total_bytes = PROTO_BLOB_BYTES;
    CHECK(take_header(&header) == STATUS_AGAIN);
    CHECK_INT(assembler.bytes.capacity, 0);
    for (uint64_t i = 0; i < 8; i++) {
        CHECK(take_piece(i * PROTO_PIECE_BYTES, bytes, PROTO_PIECE_BYTES) == STATUS_AGAIN);
        CHECK(assembler.bytes.capacity <= 2 * (i + 1) * PROTO_PIECE_BYTES + 512);
    }
    mem_free(bytes);
    end();
}

TEST(nothing_is_kept_of_a_blob_that_nobody_wants) {
    begin();
    unsigned char *bytes = pattern(PROTO_PIECE_BYTES);
    Message header = header_of("hello", 5); // as if it were not known who lies
    header.blob.total_bytes = 2 * PROTO_PIECE_BYTES;
    CHECK(take_header(&header) == STATUS_AGAIN);
    blob_pass_over(&assembler);
    CHECK(take_piece(0, bytes, PROTO_PIECE_BYTES) == STATUS_AGAIN);
    CHECK(take_piece(PROTO_PIECE_BYTES, bytes, PROTO_PIECE_BYTES) == STATUS_AGAIN);
    CHECK_INT(assembler.bytes.capacity, 0);
    CHECK(take_piece(2 * PROTO_PIECE_BYTES, bytes, 1) == STATUS_FORMAT);
    header = header_of("hello", 5);
    CHECK(take_header(&header) == STATUS_AGAIN);
    CHECK_OK(take_piece(0, "hello", 5));
    mem_free(bytes);
    end();
}

TEST(a_states_block_is_not_kept_for_the_small_blobs_that_follow) {
    enum { PIECES = 13 }; // 3.25 MiB
    begin();
    unsigned char *bytes = pattern(PROTO_PIECE_BYTES);
    DigestStream *digest = digest_begin();
    for (int i = 0; i < PIECES; i++) {
        digest_add(digest, bytes, PROTO_PIECE_BYTES);
    }
    Message header = header_of("", 0);
    header.blob.total_bytes = (uint64_t)PIECES * PROTO_PIECE_BYTES;
    header.blob.digest = digest_end(digest);
    CHECK(take_header(&header) == STATUS_AGAIN);
    for (uint64_t i = 0; i < PIECES; i++) {
        Status status = take_piece(i * PROTO_PIECE_BYTES, bytes, PROTO_PIECE_BYTES);
        CHECK(status == (i + 1 < PIECES ? STATUS_AGAIN : STATUS_OK));
    }
    header = header_of("small", 5);
    CHECK(take_header(&header) == STATUS_AGAIN);
    CHECK_OK(take_piece(0, "small", 5));
    CHECK(assembler.bytes.capacity < 4096);
    mem_free(bytes);
    end();
}

TEST(out_of_memory_is_said_and_forgotten_with_the_blob) {
    begin();
    unsigned char *bytes = pattern(PROTO_PIECE_BYTES);
    Message header = header_of(bytes, PROTO_PIECE_BYTES);
    CHECK(take_header(&header) == STATUS_AGAIN);
    mem_fail_after(0);
    Status status = take_piece(0, bytes, PROTO_PIECE_BYTES);
    mem_fail_after(-1);
    CHECK(status == STATUS_MEMORY);
    CHECK(take_piece(0, bytes, PROTO_PIECE_BYTES) == STATUS_FORMAT);
    CHECK(take_header(&header) == STATUS_AGAIN);
    CHECK_OK(take_piece(0, bytes, PROTO_PIECE_BYTES));
    mem_free(bytes);
    end();
}

// ---- sending ----

typedef struct Wire {
    const unsigned char *bytes; // of the blob that is sent
    int emitted, fail_at;       // messages so far; the one that fails, -1 for none
    Status last;                // of blob_take
} Wire;

static Status carry(void *context, const void *bytes, size_t size, size_t payload_offset,
                    size_t payload_size) {
    Wire *wire = context;
    if (wire->emitted++ == wire->fail_at) {
        return status_set(STATUS_IO, "as ordered");
    }
    const Message *message;
    CHECK_OK(message_decode(decoded, bytes, size, &message));
    CHECK(size <= PROTO_HEADER_BYTES && payload_size <= PROTO_PIECE_BYTES);
    wire->last = blob_take(&assembler, message, wire->bytes + payload_offset, payload_size);
    return STATUS_OK;
}

TEST(what_is_sent_arrives) {
    static const size_t SIZES[] = {0,
                                   1,
                                   PROTO_PIECE_BYTES - 1,
                                   PROTO_PIECE_BYTES,
                                   PROTO_PIECE_BYTES + 1,
                                   5 * PROTO_PIECE_BYTES,
                                   5 * PROTO_PIECE_BYTES + 17};
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        begin();
        unsigned char *bytes = pattern(SIZES[i]);
        Wire wire = {bytes, 0, -1, STATUS_AGAIN};
        Message header = header_of(bytes, SIZES[i]);
        header.blob.total_bytes = 12345; // filled in by blob_send
        header.blob.kind = BLOB_PARTIAL;
        header.blob.first = 2;
        header.blob.count = 2;
        CHECK_OK(blob_send(&header, SIZES[i], carry, &wire));
        CHECK_OK(wire.last);
        CHECK_INT(assembler.header.blob.total_bytes, SIZES[i]);
        CHECK_INT(assembler.header.blob.first, 2);
        CHECK_INT(assembler.bytes.size, SIZES[i]);
        CHECK(memcmp(buffer_cstr(&assembler.bytes), bytes, SIZES[i]) == 0);
        CHECK_INT(wire.emitted, 1 + (SIZES[i] + PROTO_PIECE_BYTES - 1) / PROTO_PIECE_BYTES);
        mem_free(bytes);
        end();
    }
}

TEST(sending_ends_with_the_first_failure) {
    for (int fail_at = 0; fail_at < 3; fail_at++) {
        begin();
        unsigned char *bytes = pattern(5 * PROTO_PIECE_BYTES);
        Message header = header_of(bytes, 5 * PROTO_PIECE_BYTES);
        Wire wire = {bytes, 0, fail_at, STATUS_AGAIN};
        CHECK(blob_send(&header, 5 * PROTO_PIECE_BYTES, carry, &wire) == STATUS_IO);
        CHECK_INT(wire.emitted, fail_at + 1);
        mem_free(bytes);
        end();
    }
}

TEST(a_blob_beyond_the_limit_is_not_sent) {
    begin();
    Message header = header_of("", 0);
    Wire wire = {NULL, 0, -1, STATUS_AGAIN};
    CHECK(blob_send(&header, PROTO_BLOB_BYTES + 1, carry, &wire) == STATUS_LIMIT);
    CHECK_INT(wire.emitted, 0);
    end();
}

TEST_MAIN_LIST(
    T(pieces_in_order_make_the_blob) T(blobs_follow_each_other) T(an_empty_blob_is_complete_at_once)
        T(a_piece_out_of_order_is_refused) T(a_piece_sent_twice_is_refused)
            T(more_bytes_than_announced_are_refused)
                T(empty_pieces_and_pieces_without_a_blob_are_refused)
                    T(other_messages_are_no_pieces) T(wrong_digest_is_refused)
                        T(a_blob_within_a_blob_is_refused)
                            T(memory_grows_with_what_arrives_and_not_with_what_is_claimed)
                                T(nothing_is_kept_of_a_blob_that_nobody_wants)
                                    T(a_states_block_is_not_kept_for_the_small_blobs_that_follow)
                                        T(out_of_memory_is_said_and_forgotten_with_the_blob)
                                            T(what_is_sent_arrives)
                                                T(sending_ends_with_the_first_failure)
                                                    T(a_blob_beyond_the_limit_is_not_sent))
