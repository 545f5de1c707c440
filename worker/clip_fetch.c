// SPDX-License-Identifier: Apache-2.0
//
// How it works: a list of clips in the order in which they are needed, each with how far it has
// been asked for and what of it has come. Up to PROTO_PARTS parts are asked for at once; libzmq's
// thread takes them while this one computes, and whenever a clip is wanted what has come is put in
// its place and more is asked for. A clip that is whole goes to the cache. When the connection is
// lost, or the file has changed in the middle, all that is half there begins anew.
#include "worker/clip_fetch.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

enum {
    ANSWER_MS = 30000, // for a part; beyond, the session is as good as lost
    STEP_MS = 1000,    // of that wait; leases are ten seconds and more
    SEND_MS = 30000,
    TRIES = 3,       // connections, or versions of a file, for one clip
    AHEAD_MOST = 64, // clips that have come and are not used yet
};

typedef enum ItemState { ITEM_OPEN, ITEM_HERE, ITEM_FAILED, ITEM_USED } ItemState;

typedef struct Item {
    ClipWish wish;
    uint64_t serial; // tells it from an earlier one of the same clip
    ItemState state;
    uint64_t asked;   // bytes that were asked for
    bool is_asked;    // an empty file has one part too
    uint64_t version; // of the file, once a part of it has come
    Buffer bytes;     // that have come
    int fd;           // ITEM_HERE
    Status status;    // ITEM_FAILED, and why
    char reason[512];
} Item;

// A part that is on its way.
typedef struct Asked {
    Digest clip;
    uint64_t serial; // of the item that it was asked for
} Asked;

struct ClipFetch {
    ZmqContext *context;
    Desk *desk;
    ClipCache *cache;
    Line *line;
    Digest token;    // of the session that the line belongs to
    int64_t used_ms; // the line, last
    Decoded *decoded;
    Item *items; // (first to count) in the order they are needed
    uint32_t first, count, capacity;
    uint32_t here;            // of them ITEM_HERE
    uint64_t serials;         // of items so far
    Asked asked[PROTO_PARTS]; // (outstanding) on this line, in their order
    uint32_t outstanding;
};

static const Digest UNKNOWN;

ClipFetch *clip_fetch_new(ZmqContext *context, Desk *desk, ClipCache *cache) {
    ClipFetch *fetch = mem_new(1, sizeof *fetch);
    if (fetch == NULL) {
        return NULL;
    }
    *fetch = (ClipFetch){.context = context, .desk = desk, .cache = cache};
    fetch->decoded = decoded_new();
    if (fetch->decoded == NULL) {
        mem_free(fetch);
        return NULL;
    }
    return fetch;
}

// ---- the list ----

static Item new_item(ClipFetch *fetch, const ClipWish *wish) {
    return (Item){.wish = *wish, .serial = ++fetch->serials};
}

static void drop_item(ClipFetch *fetch, Item *item) {
    if (item->state == ITEM_HERE) {
        close(item->fd);
        fetch->here--;
    }
    buffer_done(&item->bytes);
}

static Item *find_item(const ClipFetch *fetch, Digest name) {
    for (uint32_t i = fetch->first; i < fetch->count; i++) {
        Item *item = &fetch->items[i];
        if (item->state != ITEM_USED && digest_equal(item->wish.name, name)) {
            return item;
        }
    }
    return NULL;
}

static void remove_item(ClipFetch *fetch, Item *item) {
    drop_item(fetch, item);
    item->state = ITEM_USED;
    while (fetch->first < fetch->count && fetch->items[fetch->first].state == ITEM_USED) {
        fetch->first++;
    }
}

// Half of a clip is worth nothing without the connection, or the file, that it came from.
static void begin_anew(Item *item) {
    item->asked = 0;
    item->is_asked = false;
    buffer_clear(&item->bytes);
}

static void close_line(ClipFetch *fetch) {
    line_close(fetch->line);
    fetch->line = NULL;
    fetch->outstanding = 0;
    for (uint32_t i = 0; i < fetch->count; i++) {
        if (fetch->items[i].state == ITEM_OPEN) {
            begin_anew(&fetch->items[i]);
        }
    }
}

void clip_fetch_free(ClipFetch *fetch) {
    if (fetch != NULL) {
        close_line(fetch);
        for (uint32_t i = 0; i < fetch->count; i++) {
            drop_item(fetch, &fetch->items[i]);
        }
        mem_free(fetch->items);
        decoded_free(fetch->decoded);
        mem_free(fetch);
    }
}

void clip_fetch_rest(ClipFetch *fetch, int64_t unused_ms) {
    if (fetch->line != NULL && fetch->outstanding == 0 &&
        clock_ms() - fetch->used_ms >= unused_ms) {
        close_line(fetch);
    }
}

Status clip_fetch_expect(ClipFetch *fetch, const ClipWish *wishes, uint32_t count) {
    Item *items = mem_new(count > 0 ? count : 1, sizeof *items);
    if (items == NULL) {
        return STATUS_MEMORY;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        Item *old = find_item(fetch, wishes[i].name);
        if (old != NULL) {
            items[kept++] = *old;
            *old = (Item){.state = ITEM_USED}; // taken over: nothing of it is dropped below
        } else {
            items[kept++] = new_item(fetch, &wishes[i]);
        }
    }
    for (uint32_t i = 0; i < fetch->count; i++) {
        drop_item(fetch, &fetch->items[i]);
    }
    mem_free(fetch->items);
    fetch->items = items;
    fetch->first = 0;
    fetch->count = kept;
    fetch->capacity = count > 0 ? count : 1;
    return STATUS_OK;
}

// ---- the connection ----

static Status no_answer(void) {
    return status_set(STATUS_IO, "the coordinator does not answer on the bulk lane");
}

static Status send_message(ClipFetch *fetch, const Message *message) {
    Buffer bytes = BUFFER_EMPTY;
    fetch->used_ms = clock_ms();
    message_encode(message, &bytes);
    Status status = bytes.status == STATUS_OK
                        ? line_send(fetch->line, bytes.bytes, bytes.size, NULL, 0, SEND_MS)
                        : bytes.status;
    buffer_done(&bytes);
    return status == STATUS_AGAIN ? no_answer() : status;
}

// The next message; STATUS_AGAIN when none has come in time, STATUS_STOPPED when the task is
// cancelled. It is not the wake-up alone that says so: the desk is asked.
static Status receive(ClipFetch *fetch, int64_t timeout_ms, const Message **ret, LineMessage *raw) {
    for (;;) {
        bool woken = false;
        if (timeout_ms > 0 && desk_is_cancelled(fetch->desk)) {
            return status_set(STATUS_STOPPED, "the task was cancelled");
        }
        int fd = timeout_ms > 0 ? desk_wake_fd(fetch->desk) : -1;
        Status status = line_receive(fetch->line, fd, timeout_ms, raw, &woken);
        if (status == STATUS_OK) {
            return message_decode(fetch->decoded, raw->bytes, raw->size, ret);
        }
        if (status != STATUS_AGAIN || !woken) {
            return status;
        }
        if (!desk_is_cancelled(fetch->desk)) {
            uint64_t count;
            ssize_t got = read(fd, &count, sizeof count);
            (void)got; // an old wake-up: lowered, then waited again
        }
    }
}

static Status attach(ClipFetch *fetch) {
    const DeskSession *session = desk_session(fetch->desk);
    if (fetch->line != NULL && digest_equal(fetch->token, session->token)) {
        return STATUS_OK;
    }
    close_line(fetch);
    Status status = line_open(fetch->context, session->bulk_endpoint, LANE_BULK, &fetch->line);
    if (status == STATUS_OK) {
        Message hello = {.type = MESSAGE_ATTACH};
        hello.attach.token = session->token;
        hello.attach.line = BULK_CLIPS;
        status = send_message(fetch, &hello);
    }
    const Message *answer = NULL;
    LineMessage raw;
    if (status == STATUS_OK) {
        status = receive(fetch, ANSWER_MS, &answer, &raw);
    }
    if (status == STATUS_AGAIN) {
        status = no_answer();
    } else if (status == STATUS_OK && answer->type != MESSAGE_ATTACHED) {
        status = status_set(STATUS_IO, "the coordinator gives no clips");
    }
    if (status == STATUS_OK) {
        fetch->token = session->token;
    } else {
        close_line(fetch);
    }
    return status;
}

// ---- asking ----

static bool is_asked_for(const Item *item) {
    return item->state != ITEM_OPEN || (item->is_asked && item->asked >= item->wish.size_bytes);
}

static Status ask_part(ClipFetch *fetch, Item *item) {
    Message message = {.type = MESSAGE_FETCH};
    message.fetch.clip = item->wish.name;
    message.fetch.offset = item->asked;
    Status status = send_message(fetch, &message);
    if (status == STATUS_OK) {
        item->is_asked = true;
        item->asked += PROTO_PIECE_BYTES;
        fetch->asked[fetch->outstanding++] = (Asked){item->wish.name, item->serial};
    }
    return status;
}

// As many parts as may be on their way; those of `first` before all others.
static Status ask(ClipFetch *fetch, Item *first) {
    Status status = STATUS_OK;
    while (status == STATUS_OK && fetch->outstanding < PROTO_PARTS && !is_asked_for(first)) {
        status = ask_part(fetch, first);
    }
    for (uint32_t i = fetch->first; i < fetch->count && fetch->here < AHEAD_MOST &&
                                    fetch->outstanding < PROTO_PARTS && status == STATUS_OK;
         i++) {
        while (status == STATUS_OK && fetch->outstanding < PROTO_PARTS &&
               !is_asked_for(&fetch->items[i])) {
            status = ask_part(fetch, &fetch->items[i]);
        }
    }
    return status;
}

// ---- what comes ----

static void fail_item(Item *item, Status status, const char *reason) {
    item->state = ITEM_FAILED;
    item->status = status;
    snprintf(item->reason, sizeof item->reason, "%s", reason);
    buffer_done(&item->bytes);
}

static void complete(ClipFetch *fetch, Item *item) {
    Digest digest = digest_of(buffer_cstr(&item->bytes), item->bytes.size);
    if (!digest_equal(item->wish.digest, UNKNOWN) && !digest_equal(item->wish.digest, digest)) {
        fail_item(item, STATUS_MISMATCH, "changed since it was first read");
        return;
    }
    Status status = clip_cache_put(fetch->cache, digest, buffer_cstr(&item->bytes),
                                   item->bytes.size, &item->fd);
    if (status != STATUS_OK) {
        fail_item(item, status, status_message());
        return;
    }
    item->state = ITEM_HERE;
    fetch->here++;
    buffer_done(&item->bytes);
}

// STATUS_FORMAT: not what was asked for; STATUS_AGAIN: the file has changed, begin anew.
static Status take_part(ClipFetch *fetch, Item *item, const Message *message,
                        const LineMessage *raw) {
    if (message->part.size_bytes != item->wish.size_bytes) {
        char reason[128];
        snprintf(reason, sizeof reason, "changed since it was scanned: %llu bytes then, %llu now",
                 (unsigned long long)item->wish.size_bytes,
                 (unsigned long long)message->part.size_bytes);
        fail_item(item, STATUS_MISMATCH, reason);
        return STATUS_OK;
    }
    uint64_t left = item->wish.size_bytes - item->bytes.size;
    if (message->part.offset != item->bytes.size ||
        raw->payload_size != (left < PROTO_PIECE_BYTES ? left : PROTO_PIECE_BYTES)) {
        return status_set(STATUS_FORMAT, "a part of a clip that was not asked for");
    }
    if (item->bytes.size > 0 && item->version != message->part.version) {
        return STATUS_AGAIN;
    }
    item->version = message->part.version;
    buffer_append(&item->bytes, raw->payload, raw->payload_size);
    if (item->bytes.status != STATUS_OK) {
        return item->bytes.status;
    }
    if (item->bytes.size == item->wish.size_bytes) {
        complete(fetch, item);
    }
    return STATUS_OK;
}

static bool is_part(const Message *message) {
    return message->type == MESSAGE_PART || message->type == MESSAGE_NOT_HERE;
}

// The oldest request for a part of the clip is answered. Gives the item that it was made for; NULL
// where that is not needed any more, even if the same clip is wanted anew.
static Status end_request(ClipFetch *fetch, Digest clip, Item **ret_item) {
    uint32_t i = 0;
    while (i < fetch->outstanding && !digest_equal(fetch->asked[i].clip, clip)) {
        i++;
    }
    if (i == fetch->outstanding) {
        return status_set(STATUS_FORMAT, "a part of a clip that was not asked for");
    }
    Item *item = find_item(fetch, clip);
    bool is_needed =
        item != NULL && item->state == ITEM_OPEN && item->serial == fetch->asked[i].serial;
    *ret_item = is_needed ? item : NULL;
    for (fetch->outstanding--; i < fetch->outstanding; i++) {
        fetch->asked[i] = fetch->asked[i + 1];
    }
    return STATUS_OK;
}

static Status take(ClipFetch *fetch, const Message *message, const LineMessage *raw) {
    if (message->type == MESSAGE_REFUSED) {
        return status_set(STATUS_IO, "clips are refused: %s", message->refused.text);
    }
    if (!is_part(message)) {
        return STATUS_OK; // a probe of the connection
    }
    bool has_bytes = message->type == MESSAGE_PART;
    Item *item = NULL;
    fetch->used_ms = clock_ms();
    Status status =
        end_request(fetch, has_bytes ? message->part.clip : message->not_here.clip, &item);
    desk_tell_step(fetch->desk);
    if (item != NULL && has_bytes) {
        status = take_part(fetch, item, message, raw);
    } else if (item != NULL) {
        fail_item(item, STATUS_IO, message->not_here.reason);
    }
    return status;
}

// What has come, without waiting.
static Status drain(ClipFetch *fetch) {
    Status status = STATUS_OK;
    while (status == STATUS_OK) {
        const Message *message;
        LineMessage raw;
        status = receive(fetch, 0, &message, &raw);
        if (status == STATUS_OK) {
            status = take(fetch, message, &raw);
        } else if (status == STATUS_AGAIN) {
            return STATUS_OK;
        }
    }
    return status;
}

// One more part, of whichever clip. Over a slow wire it may take longer than a lease: the wait
// counts as progress, since it has a limit of its own, which no ECHO prolongs.
static Status take_next(ClipFetch *fetch) {
    int64_t until_ms = clock_ms() + ANSWER_MS;
    bool has_part = false;
    while (!has_part && clock_ms() < until_ms) {
        const Message *message;
        LineMessage raw;
        Status status = receive(fetch, STEP_MS, &message, &raw);
        if (status == STATUS_OK) {
            has_part = is_part(message);
            status = take(fetch, message, &raw);
        } else if (status == STATUS_AGAIN) {
            status = STATUS_OK;
            desk_tell_step(fetch->desk);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return has_part ? STATUS_OK : no_answer();
}

static Status wait_for(ClipFetch *fetch, Digest name) {
    Status status = attach(fetch);
    if (status == STATUS_OK) {
        status = drain(fetch);
    }
    for (;;) {
        Item *item = find_item(fetch, name);
        if (status == STATUS_OK) {
            status = ask(fetch, item);
        }
        if (status != STATUS_OK || item->state != ITEM_OPEN) {
            return status;
        }
        status = take_next(fetch);
    }
}

static Status add_first(ClipFetch *fetch, const ClipWish *wish) {
    if (fetch->first > 0) {
        fetch->items[--fetch->first] = new_item(fetch, wish);
        return STATUS_OK;
    }
    if (!mem_grow(&fetch->items, fetch->count, &fetch->capacity, sizeof *fetch->items)) {
        return STATUS_MEMORY;
    }
    memmove(fetch->items + 1, fetch->items, fetch->count * sizeof *fetch->items);
    fetch->items[0] = new_item(fetch, wish);
    fetch->count++;
    return STATUS_OK;
}

// What went wrong on the way says nothing of the clip, as STATUS_FORMAT would.
static Status without_fault_of_clip(Status status) {
    if (status == STATUS_AGAIN) {
        return status_set(STATUS_IO, "the coordinator's file changes all the time");
    }
    if (status == STATUS_NOT_FOUND) {
        return status_set(STATUS_IO, "the connection is lost again and again");
    }
    if (status == STATUS_FORMAT) {
        char reason[256];
        snprintf(reason, sizeof reason, "%.250s", status_message());
        return status_set(STATUS_IO, "from the coordinator: %s", reason);
    }
    return status;
}

Status clip_fetch_get(ClipFetch *fetch, const ClipWish *wish, int *ret_fd) {
    Status status = find_item(fetch, wish->name) != NULL ? STATUS_OK : add_first(fetch, wish);
    if (status != STATUS_OK) {
        return status;
    }
    bool goes_on = true;
    for (int tries = 0; tries < TRIES && goes_on; tries++) {
        status = wait_for(fetch, wish->name);
        goes_on = (status == STATUS_NOT_FOUND || status == STATUS_AGAIN) &&
                  !desk_is_cancelled(fetch->desk);
        if (status != STATUS_OK && status != STATUS_STOPPED) {
            close_line(fetch);
        }
    }
    status = without_fault_of_clip(status);
    Item *item = find_item(fetch, wish->name);
    if (status == STATUS_OK && item->state == ITEM_FAILED) {
        status = status_set(item->status, "%s", item->reason);
    } else if (status == STATUS_OK) {
        *ret_fd = item->fd;
        item->state = ITEM_OPEN; // the descriptor is the caller's now
        fetch->here--;
    }
    if (status != STATUS_STOPPED) {
        remove_item(fetch, item);
    }
    return status;
}
