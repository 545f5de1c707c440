// SPDX-License-Identifier: Apache-2.0
//
// What a stranger or a broken worker can send first: messages of either side, and a bulk lane's
// run of them.
#include "proto/blob.h"
#include "proto/message.h"
#include "tests/fuzz/fuzz.h"

// Of a HELLO of another version only the first fields are read.
static bool is_whole(const Message *message) {
    return message->type != MESSAGE_HELLO || message->hello.threads > 0;
}

static bool read_message(const char *bytes, size_t size) {
    Decoded *decoded = decoded_new();
    const Message *message;
    bool is_taken = decoded != NULL && message_decode(decoded, bytes, size, &message) == STATUS_OK;
    if (is_taken && is_whole(message)) {
        Buffer again = BUFFER_EMPTY;
        message_encode(message, &again);
        if (again.status != STATUS_OK ||
            message_decode(decoded, again.bytes, again.size, &message) != STATUS_OK) {
            fuzz_fail("a message that was taken cannot be said again");
        }
        buffer_done(&again);
    }
    decoded_free(decoded);
    return is_taken;
}

static bool message_seed(uint32_t index, Buffer *out) {
    static const WireTask TASK = {.task = 1,
                                  .attempt = 2,
                                  .kind = TASK_SCORE,
                                  .lease_ms = 9,
                                  .body = "body",
                                  .body_bytes = 4};
    static const WireResult RESULT = {
        .task = 1, .attempt = 2, .outcome = RESULT_CANNOT, .body = "why", .body_bytes = 3};
    static const WireLease ACK = {3, 4};
    static const char *const ROOTS[] = {"/data/a", "/data/b"};
    Message messages[] = {{.type = MESSAGE_HELLO},   {.type = MESSAGE_CREDIT, .credit = {7}},
                          {.type = MESSAGE_RESULTS}, {.type = MESSAGE_PROGRESS},
                          {.type = MESSAGE_ALIVE},   {.type = MESSAGE_WELCOME},
                          {.type = MESSAGE_REFUSED}, {.type = MESSAGE_TASKS},
                          {.type = MESSAGE_ACKS},    {.type = MESSAGE_BLOB},
                          {.type = MESSAGE_PIECE},   {.type = MESSAGE_FETCH},
                          {.type = MESSAGE_PART},    {.type = MESSAGE_NOT_HERE}};
    messages[0].hello.protocol_least = messages[0].hello.protocol_most = 1;
    messages[0].hello.program = messages[0].hello.name = messages[0].hello.kernel = "a text";
    messages[0].hello.libraries = "libraries";
    messages[0].hello.threads = 1;
    messages[2].results.items = &RESULT;
    messages[2].results.count = 1;
    messages[5].welcome.protocol = 1;
    messages[5].welcome.alive_ms = 1000;
    messages[5].welcome.roots = ROOTS;
    messages[5].welcome.root_count = 2;
    messages[6].refused.code = REFUSED_FULL;
    messages[6].refused.text = "full";
    messages[7].tasks.items = &TASK;
    messages[7].tasks.count = 1;
    messages[8].acks.items = &ACK;
    messages[8].acks.count = 1;
    messages[9].blob.kind = BLOB_STATE;
    messages[13].not_here.reason = "gone";
    if (index >= sizeof messages / sizeof messages[0]) {
        return false;
    }
    message_encode(&messages[index], out);
    return true;
}

// Frames of a lane, each behind its size and its payload's (2 bytes, little-endian); taken if a
// blob was completed.
static bool read_blobs(const char *bytes, size_t size) {
    BlobAssembler assembler = {0};
    Decoded *decoded = decoded_new();
    const Message *message;
    bool is_taken = false;
    const unsigned char *at = (const unsigned char *)bytes, *end = at + size;
    while (decoded != NULL && end - at >= 4) {
        size_t frame = at[0] | (size_t)at[1] << 8, payload = at[2] | (size_t)at[3] << 8;
        at += 4;
        if (frame + payload > (size_t)(end - at)) {
            break;
        }
        if (message_decode(decoded, at, frame, &message) == STATUS_OK) {
            is_taken |= blob_take(&assembler, message, at + frame, payload) == STATUS_OK;
        }
        at += frame + payload;
    }
    decoded_free(decoded);
    blob_assembler_done(&assembler);
    return is_taken;
}

typedef struct Lane {
    Buffer *out;
    const char *payload;
} Lane;

static Status put_frame(void *context, const void *bytes, size_t size, size_t payload_offset,
                        size_t payload_size) {
    const Lane *lane = context;
    unsigned char sizes[] = {(unsigned char)size, (unsigned char)(size >> 8),
                             (unsigned char)payload_size, (unsigned char)(payload_size >> 8)};
    buffer_append(lane->out, sizes, sizeof sizes);
    buffer_append(lane->out, bytes, size);
    buffer_append(lane->out, lane->payload + payload_offset, payload_size);
    return lane->out->status;
}

static bool blob_seed(uint32_t index, Buffer *out) {
    static const char PAYLOAD[] = "the bytes of a state";
    Message header = {.type = MESSAGE_BLOB, .blob = {.kind = BLOB_STATE}};
    Lane lane = {out, PAYLOAD};
    header.blob.digest = digest_of(PAYLOAD, sizeof PAYLOAD);
    return index == 0 && blob_send(&header, sizeof PAYLOAD, put_frame, &lane) == STATUS_OK;
}

const FuzzReader FUZZ_READERS[] = {
    {.name = "message", .read = read_message, .seed = message_seed},
    {.name = "blobs", .read = read_blobs, .seed = blob_seed},
};
const uint32_t FUZZ_READER_COUNT = sizeof FUZZ_READERS / sizeof FUZZ_READERS[0];

void fuzz_begin(void) {
}

void fuzz_end(void) {
}
