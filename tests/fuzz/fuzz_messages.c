// SPDX-License-Identifier: Apache-2.0
//
// Messages of either side: what a stranger or a broken worker can send first.
#include "common/base/mem.h"
#include "proto/message.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Decoded *decoded = decoded_new();
    const Message *message;
    if (decoded != NULL && message_decode(decoded, data, size, &message) == STATUS_OK) {
        Buffer again = BUFFER_EMPTY;
        message_encode(message, &again); // what was taken can be said again
        buffer_done(&again);
    }
    decoded_free(decoded);
    return 0;
}

bool fuzz_seed(uint32_t index, Buffer *out) {
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
