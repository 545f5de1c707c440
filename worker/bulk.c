// SPDX-License-Identifier: Apache-2.0
#include "worker/bulk.h"

#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

enum {
    ANSWER_MS = 30000, // for an ATTACH or a GET; beyond, the session is as good as lost
    SEND_MS = 30000,
    STEP_MS = 1000, // of a wait with a limit; leases are ten seconds and more
    SLICE_MS = 50,  // of sending, between looks whether the task is still wanted
    TRIES = 3,      // connections for one blob: beyond, something else is wrong
};

struct Bulk {
    ZmqContext *context;
    Desk *desk;
    Line *line;
    Digest token;     // of the session that the line belongs to
    int64_t used_ms;  // the line, last
    bool is_answered; // what was sent last: all before it has arrived
    Decoded *decoded;
    BlobAssembler assembler;
};

Bulk *bulk_new(ZmqContext *context, Desk *desk) {
    Bulk *bulk = mem_new(1, sizeof *bulk);
    if (bulk == NULL) {
        return NULL;
    }
    bulk->context = context;
    bulk->desk = desk;
    bulk->decoded = decoded_new();
    if (bulk->decoded == NULL) {
        mem_free(bulk);
        return NULL;
    }
    return bulk;
}

static void close_line(Bulk *bulk) {
    line_close(bulk->line);
    bulk->line = NULL;
    blob_assembler_done(&bulk->assembler);
}

void bulk_rest(Bulk *bulk, int64_t unused_ms) {
    if (bulk->line != NULL && bulk->is_answered && clock_ms() - bulk->used_ms >= unused_ms) {
        close_line(bulk);
    }
}

void bulk_free(Bulk *bulk) {
    if (bulk != NULL) {
        close_line(bulk);
        decoded_free(bulk->decoded);
        mem_free(bulk);
    }
}

// Sends in slices of time, so that a task that is cancelled while nobody takes anything ends.
static Status send_bytes(Bulk *bulk, const void *bytes, size_t size, const void *payload,
                         size_t payload_size) {
    Status status = STATUS_AGAIN;
    bulk->is_answered = false;
    bulk->used_ms = clock_ms();
    for (int64_t left_ms = SEND_MS; status == STATUS_AGAIN && left_ms > 0; left_ms -= SLICE_MS) {
        if (desk_is_cancelled(bulk->desk)) {
            return status_set(STATUS_STOPPED, "the task is not wanted any more");
        }
        status = line_send(bulk->line, bytes, size, payload, payload_size, SLICE_MS);
    }
    return status;
}

static Status send_message(Bulk *bulk, const Message *message) {
    Buffer bytes = BUFFER_EMPTY;
    message_encode(message, &bytes);
    Status status = bytes.status == STATUS_OK ? send_bytes(bulk, bytes.bytes, bytes.size, NULL, 0)
                                              : bytes.status;
    buffer_done(&bytes);
    return status;
}

// The next message; the wait ends early when the task is cancelled. timeout_ms < 0: no limit. A
// wait that has one counts as progress: over a slow wire it may take longer than a lease.
static Status receive(Bulk *bulk, int64_t timeout_ms, const Message **ret, LineMessage *raw) {
    int64_t until_ms = clock_ms() + timeout_ms;
    for (;;) {
        bool woken = false;
        if (desk_is_cancelled(bulk->desk)) {
            return status_set(STATUS_STOPPED, "the task was cancelled");
        }
        int fd = desk_wake_fd(bulk->desk);
        Status status = line_receive(bulk->line, fd, timeout_ms < 0 ? -1 : STEP_MS, raw, &woken);
        if (status == STATUS_OK) {
            return message_decode(bulk->decoded, raw->bytes, raw->size, ret);
        }
        if (status != STATUS_AGAIN) {
            return status;
        }
        if (woken && !desk_is_cancelled(bulk->desk)) {
            uint64_t count;
            ssize_t got = read(fd, &count, sizeof count);
            (void)got; // an old wake-up: lowered, then waited again
        } else if (!woken && clock_ms() >= until_ms) {
            return status_set(STATUS_IO, "the coordinator does not answer on the bulk lane");
        } else if (!woken) {
            desk_tell_step(bulk->desk);
        }
    }
}

static bool is_missing(const Message *message, const Message *asked) {
    return asked->type == MESSAGE_GET && digest_equal(message->missing.digest, asked->get.digest);
}

// Waits for a complete blob that `wanted` accepts; others are left-overs of cancelled tasks.
static Status receive_blob(Bulk *bulk, int64_t timeout_ms,
                           bool (*wanted)(const Message *header, const Message *asked),
                           const Message *asked) {
    for (;;) {
        const Message *message;
        LineMessage raw;
        Status status = receive(bulk, timeout_ms, &message, &raw);
        if (status != STATUS_OK) {
            return status;
        }
        if (message->type == MESSAGE_MISSING && is_missing(message, asked)) {
            bulk->is_answered = true;
            return status_set(STATUS_STOPPED, "the coordinator no longer has what the task needs");
        }
        if (message->type == MESSAGE_REFUSED) {
            return status_set(STATUS_IO, "bulk lane refused: %s", message->refused.text);
        }
        if (message->type != MESSAGE_BLOB && message->type != MESSAGE_PIECE) {
            continue; // a probe of the connection, or MISSING for a task that was cancelled
        }
        desk_tell_step(bulk->desk);
        status = blob_take(&bulk->assembler, message, raw.payload, raw.payload_size);
        if (status == STATUS_OK && wanted(&bulk->assembler.header, asked)) {
            bulk->is_answered = true;
            bulk->used_ms = clock_ms();
            return STATUS_OK;
        }
        if (status != STATUS_OK && status != STATUS_AGAIN) {
            return status;
        }
    }
}

static Status attach(Bulk *bulk) {
    const DeskSession *session = desk_session(bulk->desk);
    if (bulk->line != NULL && digest_equal(bulk->token, session->token)) {
        return STATUS_OK;
    }
    close_line(bulk);
    Status status = line_open(bulk->context, session->bulk_endpoint, LANE_BULK, &bulk->line);
    if (status != STATUS_OK) {
        return status;
    }
    Message hello = {.type = MESSAGE_ATTACH, .attach = {.token = session->token}};
    status = send_message(bulk, &hello);
    const Message *answer = NULL;
    LineMessage raw;
    if (status == STATUS_OK) {
        status = receive(bulk, ANSWER_MS, &answer, &raw);
    }
    if (status == STATUS_OK && answer->type != MESSAGE_ATTACHED) {
        status = status_set(STATUS_IO, "the coordinator did not accept the bulk lane");
    }
    if (status == STATUS_OK) {
        bulk->token = session->token;
    } else {
        close_line(bulk);
    }
    return status;
}

// After a failure in the middle of a blob nothing on the line can be trusted to be in step.
static Status close_on_error(Bulk *bulk, Status status) {
    if (status != STATUS_OK && status != STATUS_STOPPED) {
        close_line(bulk);
    }
    return status;
}

// Whether to begin a blob again, over a new connection: the old one was lost, and what was under
// way on it. Whatever had arrived all the same, the coordinator can tell by the blob's header.
static bool is_worth_a_try(Bulk *bulk, Status status, int *tries) {
    close_on_error(bulk, status);
    return status == STATUS_NOT_FOUND && ++*tries < TRIES && !desk_is_cancelled(bulk->desk);
}

// What a caller is told: which connection it was is not its affair.
static Status outcome(Status status) {
    return status == STATUS_NOT_FOUND ? STATUS_IO : status;
}

static bool is_object(const Message *header, const Message *asked) {
    return header->blob.kind == BLOB_OBJECT && digest_equal(header->blob.digest, asked->get.digest);
}

static Status ask(Bulk *bulk, const Message *get) {
    Status status = attach(bulk);
    if (status == STATUS_OK) {
        status = send_message(bulk, get);
    }
    return status == STATUS_OK ? receive_blob(bulk, ANSWER_MS, is_object, get) : status;
}

Status bulk_get(Bulk *bulk, Digest digest, Buffer *out) {
    Message get = {.type = MESSAGE_GET, .get = {digest}};
    Status status;
    int tries = 0;
    do {
        status = ask(bulk, &get);
    } while (is_worth_a_try(bulk, status, &tries));
    if (status == STATUS_OK) {
        buffer_clear(out);
        buffer_append(out, bulk->assembler.bytes.bytes, bulk->assembler.bytes.size);
        status = out->status;
    }
    return outcome(status);
}

typedef struct Emission {
    Bulk *bulk;
    const char *bytes;
} Emission;

static Status emit(void *context, const void *bytes, size_t size, size_t payload_offset,
                   size_t payload_size) {
    Emission *emission = context;
    Status status =
        send_bytes(emission->bulk, bytes, size,
                   payload_size > 0 ? emission->bytes + payload_offset : NULL, payload_size);
    // An error, since half a blob leaves the line out of step.
    return status == STATUS_STOPPED ? status_set(STATUS_IO, "cancelled in the middle of a blob")
                                    : status;
}

static Status put(Bulk *bulk, const Message *header, const void *bytes, size_t size) {
    Status status = attach(bulk);
    return status == STATUS_OK ? blob_send(header, size, emit, &(Emission){bulk, bytes}) : status;
}

Status bulk_put(Bulk *bulk, const Message *header, const void *bytes, size_t size) {
    Message filled = *header;
    filled.blob.digest = digest_of(bytes, size);
    Status status;
    int tries = 0;
    do {
        status = put(bulk, &filled, bytes, size);
    } while (is_worth_a_try(bulk, status, &tries));
    return outcome(status);
}

static bool is_total(const Message *header, const Message *asked) {
    return header->blob.kind == asked->blob.kind && header->blob.attempt == asked->blob.attempt &&
           header->blob.epoch == asked->blob.epoch && header->blob.round == asked->blob.round;
}

Status bulk_exchange(Bulk *bulk, const Message *header, const void *bytes, size_t size,
                     BlobKind total_kind, const Buffer **ret_total) {
    Message sum = *header;
    sum.blob.digest = digest_of(bytes, size);
    Message asked = *header;
    asked.blob.kind = total_kind;
    Status status;
    int tries = 0;
    do {
        status = put(bulk, &sum, bytes, size);
        if (status == STATUS_OK) {
            // Without a limit: others may be slow, and a lost group comes as a cancellation.
            status = receive_blob(bulk, -1, is_total, &asked);
        }
    } while (is_worth_a_try(bulk, status, &tries));
    if (status == STATUS_OK) {
        *ret_total = &bulk->assembler.bytes;
    }
    return outcome(status);
}
