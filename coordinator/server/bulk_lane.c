// SPDX-License-Identifier: Apache-2.0
#include "coordinator/server/bulk_lane.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "coordinator/server/clip_reader.h"
#include "proto/blob.h"

// Parts of clips for one connection, asked for or in libzmq's queue: twice what a worker may want
// at a time, since the queue lets go of a part a moment after the worker has it.
enum {
    PARTS_KEPT = 2 * PROTO_PARTS,
    LOOK_MS = 1000, // between looks at what has left of those who ask for nothing more
};

// A connection: whose it is, and the blob that it is sending.
typedef struct BulkPeer {
    PeerId peer;
    Digest token;
    BulkLine line;
    BlobAssembler assembler;
    uint32_t parts;                  // of clips that it has asked for and was not yet sent
    SharedPayload *sent[PARTS_KEPT]; // parts that may not have left yet; NULL: free
} BulkPeer;

struct BulkLane {
    Listener *listener;
    Core *core;
    Blobs *blobs;
    const Owner *owner;
    ClipReader *clips;
    Decoded *decoded;
    BulkPeer *peers; // (count)
    uint32_t count, capacity;
    Buffer bytes;         // of the message being sent
    SharedPayload *total; // sent last, for the other members of its group
    int64_t looked_ms;    // for parts that have left
};

BulkLane *bulk_lane_new(Listener *listener, Core *core, Blobs *blobs, const Owner *owner) {
    BulkLane *lane = mem_new(1, sizeof *lane);
    if (lane == NULL) {
        return NULL;
    }
    lane->listener = listener;
    lane->core = core;
    lane->blobs = blobs;
    lane->owner = owner;
    lane->decoded = decoded_new();
    lane->clips = clip_reader_new();
    if (lane->decoded == NULL || lane->clips == NULL) {
        bulk_lane_free(lane);
        return NULL;
    }
    return lane;
}

static void release_total(BulkLane *lane) {
    if (lane->total != NULL) {
        shared_payload_release(lane->total);
        lane->total = NULL;
    }
}

static BulkPeer *find_peer(BulkLane *lane, PeerId peer) {
    for (uint32_t i = 0; i < lane->count; i++) {
        if (lane->peers[i].peer == peer) {
            return &lane->peers[i];
        }
    }
    return NULL;
}

static BulkPeer *find_token(BulkLane *lane, Digest token, BulkLine line) {
    for (uint32_t i = 0; i < lane->count; i++) {
        if (lane->peers[i].line == line && digest_equal(lane->peers[i].token, token)) {
            return &lane->peers[i];
        }
    }
    return NULL;
}

static void detach(BulkLane *lane, PeerId peer) {
    BulkPeer *gone = find_peer(lane, peer);
    if (gone != NULL) {
        blob_assembler_done(&gone->assembler);
        for (int i = 0; i < PARTS_KEPT; i++) {
            shared_payload_release(gone->sent[i]);
        }
        *gone = lane->peers[--lane->count];
    }
}

void bulk_lane_free(BulkLane *lane) {
    if (lane == NULL) {
        return;
    }
    while (lane->count > 0) {
        detach(lane, lane->peers[0].peer);
    }
    release_total(lane);
    clip_reader_free(lane->clips);
    mem_free(lane->peers);
    decoded_free(lane->decoded);
    buffer_done(&lane->bytes);
    mem_free(lane);
}

void bulk_lane_closed(BulkLane *lane, PeerId peer, int64_t now_ms) {
    const BulkPeer *gone = find_peer(lane, peer);
    if (gone != NULL) {
        Digest token = gone->token;
        bool is_of_work = gone->line == BULK_WORK;
        detach(lane, peer);
        if (is_of_work) {
            core_on_bulk_closed(lane->core, token, now_ms);
        }
    }
}

// ---- sending ----

static void send_message(BulkLane *lane, PeerId peer, const Message *message) {
    buffer_clear(&lane->bytes);
    message_encode(message, &lane->bytes);
    if (lane->bytes.status != STATUS_OK ||
        listener_send(lane->listener, LANE_BULK, peer, lane->bytes.bytes, lane->bytes.size, NULL,
                      0) != STATUS_OK) {
        log_debug("bulk lane: %s", status_message());
    }
}

typedef struct Emission {
    Listener *listener;
    PeerId peer;
    SharedPayload *payload;
} Emission;

static Status emit(void *context, const void *bytes, size_t size, size_t payload_offset,
                   size_t payload_size) {
    const Emission *emission = context;
    if (payload_size == 0) {
        return listener_send(emission->listener, LANE_BULK, emission->peer, bytes, size, NULL, 0);
    }
    return listener_send_shared(emission->listener, emission->peer, bytes, size, emission->payload,
                                payload_offset, payload_size);
}

static void send_object(BulkLane *lane, PeerId peer, Digest digest) {
    size_t size;
    SharedPayload *payload = blobs_find(lane->blobs, digest, &size);
    if (payload == NULL) {
        send_message(lane, peer, &(Message){.type = MESSAGE_MISSING, .missing = {digest}});
        return;
    }
    Message header = {.type = MESSAGE_BLOB};
    header.blob.kind = BLOB_OBJECT;
    header.blob.digest = digest;
    Emission emission = {lane->listener, peer, payload};
    if (blob_send(&header, size, emit, &emission) != STATUS_OK) {
        log_debug("bulk lane: %s", status_message());
    }
}

void bulk_lane_total(BulkLane *lane, CoreAction *action, int64_t now_ms) {
    if (action->blob.size > 0) {
        release_total(lane);
        lane->total = shared_payload_take(&action->blob);
    }
    CoreSession session;
    if (!core_session(lane->core, action->peer, &session)) {
        return; // the member has gone
    }
    const BulkPeer *peer = find_token(lane, session.token, BULK_WORK);
    if (peer == NULL || lane->total == NULL) {
        core_on_bulk_closed(lane->core, session.token, now_ms);
        return;
    }
    Emission emission = {lane->listener, peer->peer, lane->total};
    size_t size = action->message.blob.total_bytes;
    Status status = blob_send(&action->message, size, emit, &emission);
    if (status == STATUS_NOT_FOUND) {
        core_on_bulk_closed(lane->core, session.token, now_ms);
    } else if (status != STATUS_OK) {
        core_on_closed(lane->core, action->peer, now_ms);
    }
}

// ---- clips ----

static void send_not_here(BulkLane *lane, PeerId peer, Digest clip, const char *reason) {
    Message message = {.type = MESSAGE_NOT_HERE};
    message.not_here.clip = clip;
    message.not_here.reason = reason;
    send_message(lane, peer, &message);
}

// Lets go of those that have left; how many have not.
static uint32_t parts_kept(BulkPeer *peer) {
    uint32_t kept = 0;
    for (int i = 0; i < PARTS_KEPT; i++) {
        if (peer->sent[i] != NULL && shared_payload_has_left(peer->sent[i])) {
            shared_payload_release(peer->sent[i]);
            peer->sent[i] = NULL;
        }
        kept += peer->sent[i] != NULL;
    }
    return kept;
}

static SharedPayload **free_place(BulkPeer *peer) {
    int i = 0;
    while (peer->sent[i] != NULL) { // fetch has seen to it that there is one
        i++;
    }
    return &peer->sent[i];
}

static void send_part(BulkLane *lane, BulkPeer *peer, ClipPart *part) {
    size_t size = part->bytes.size;
    Message message = {.type = MESSAGE_PART};
    message.part.clip = part->clip;
    message.part.offset = part->offset;
    message.part.size_bytes = part->size_bytes;
    message.part.version = part->version;
    if (size == 0) { // of an empty file, without a payload
        send_message(lane, peer->peer, &message);
        return;
    }
    (void)parts_kept(peer);
    SharedPayload **place = free_place(peer);
    *place = shared_payload_take(&part->bytes);
    buffer_clear(&lane->bytes);
    message_encode(&message, &lane->bytes);
    if (*place == NULL || lane->bytes.status != STATUS_OK ||
        listener_send_shared(lane->listener, peer->peer, lane->bytes.bytes, lane->bytes.size,
                             *place, 0, size) != STATUS_OK) {
        log_debug("bulk lane: %s", status_message());
    }
}

int bulk_lane_fd(const BulkLane *lane) {
    return clip_reader_fd(lane->clips);
}

void bulk_lane_send_parts(BulkLane *lane, int64_t now_ms) {
    if (now_ms - lane->looked_ms >= LOOK_MS) {
        lane->looked_ms = now_ms;
        for (uint32_t i = 0; i < lane->count; i++) {
            (void)parts_kept(&lane->peers[i]);
        }
    }
    ClipPart part;
    while (clip_reader_take(lane->clips, &part)) {
        BulkPeer *peer = find_peer(lane, part.peer);
        if (peer != NULL) {
            peer->parts--;
            if (part.reason[0] == '\0') {
                send_part(lane, peer, &part);
            } else {
                send_not_here(lane, part.peer, part.clip, part.reason);
            }
        }
        buffer_done(&part.bytes);
    }
}

// Only clips of the run are found by their names, and no path ever comes from a worker.
static void fetch(BulkLane *lane, BulkPeer *peer, const Message *message) {
    const Owner *owner = lane->owner;
    Digest clip = message->fetch.clip;
    char path[LIMIT_PATH_BYTES];
    Status status = owner->clip_path != NULL
                        ? owner->clip_path(owner->context, clip, path, sizeof path)
                        : STATUS_NOT_FOUND;
    if (status == STATUS_OK) {
        status = clip_reader_ask(lane->clips, peer->peer, clip, path, message->fetch.offset);
    } else {
        status_set(status, "it is no clip of this run");
    }
    if (status == STATUS_OK) {
        peer->parts++;
    } else {
        send_not_here(lane, peer->peer, clip, status_message());
    }
}

// ---- receiving ----

static void refuse(BulkLane *lane, PeerId peer) {
    detach(lane, peer);
    Message refused = {.type = MESSAGE_REFUSED};
    refused.refused.code = REFUSED_MALFORMED;
    refused.refused.text = "malformed message or unknown token";
    send_message(lane, peer, &refused);
    listener_drop(lane->listener, LANE_BULK, peer);
}

static void attach(BulkLane *lane, PeerId peer, Digest token, BulkLine line, int64_t now_ms) {
    CorePeer control;
    // A token is good only from who was welcomed with it.
    if (!core_peer_of_token(lane->core, token, &control) ||
        !listener_same_key(lane->listener, control, peer) ||
        !mem_grow(&lane->peers, lane->count, &lane->capacity, sizeof *lane->peers)) {
        refuse(lane, peer);
        return;
    }
    BulkPeer *old = find_token(lane, token, line);
    if (old != NULL) { // its end was not noticed yet, and a total may have been lost with it
        bulk_lane_closed(lane, old->peer, now_ms);
    }
    detach(lane, peer); // attached before, under another token
    lane->peers[lane->count++] = (BulkPeer){.peer = peer, .token = token, .line = line};
    send_message(lane, peer, &(Message){.type = MESSAGE_ATTACHED});
}

// What is malformed ends the session that it came from, if it came from one.
static void expel(BulkLane *lane, PeerId id, const char *why, int64_t now_ms) {
    const BulkPeer *peer = find_peer(lane, id);
    CorePeer control;
    if (peer != NULL && core_peer_of_token(lane->core, peer->token, &control)) {
        log_warning("bulk lane of a worker: %s", why);
        core_on_malformed(lane->core, control, why, now_ms);
    }
    refuse(lane, id);
}

// A BLOB or a PIECE; what is neither ends the session.
static void take_blob(BulkLane *lane, BulkPeer *peer, const Message *message,
                      const ListenerEvent *event, int64_t now_ms) {
    uint64_t most = UINT64_MAX;
    if (message->type == MESSAGE_BLOB) {
        most = core_blob_most(lane->core, peer->token, message);
        if (most > 0 && message->blob.total_bytes > most) {
            expel(lane, event->peer, "a blob larger than its task can have", now_ms);
            return;
        }
    }
    Status status = blob_take(&peer->assembler, message, event->payload, event->payload_size);
    if (most == 0) {
        blob_pass_over(&peer->assembler);
    }
    if (status == STATUS_OK) {
        core_on_blob(lane->core, peer->token, &peer->assembler.header, peer->assembler.bytes.bytes,
                     peer->assembler.bytes.size, now_ms);
    } else if (status == STATUS_AGAIN) {
        core_on_piece(lane->core, peer->token, &peer->assembler.header, now_ms);
    } else {
        expel(lane, event->peer, status_message(), now_ms);
    }
}

void bulk_lane_message(BulkLane *lane, const ListenerEvent *event, int64_t now_ms) {
    const Message *message;
    Status status = event->fault != NULL
                        ? status_set(STATUS_FORMAT, "%s", event->fault)
                        : message_decode(lane->decoded, event->bytes, event->size, &message);
    if (status != STATUS_OK) {
        expel(lane, event->peer, status_message(), now_ms);
        return;
    }
    if (message->type == MESSAGE_ATTACH) {
        attach(lane, event->peer, message->attach.token, message->attach.line, now_ms);
        return;
    }
    BulkPeer *peer = find_peer(lane, event->peer);
    bool asks_for_clip = message->type == MESSAGE_FETCH;
    if (peer == NULL || asks_for_clip != (peer->line == BULK_CLIPS) || peer->parts >= PROTO_PARTS) {
        expel(lane, event->peer, "a message that this line does not carry", now_ms);
    } else if (asks_for_clip && parts_kept(peer) + peer->parts >= PARTS_KEPT) {
        expel(lane, event->peer, "it asks for clips and does not take them", now_ms);
    } else if (asks_for_clip) {
        fetch(lane, peer, message);
    } else if (message->type == MESSAGE_GET) {
        send_object(lane, event->peer, message->get.digest);
    } else {
        take_blob(lane, peer, message, event, now_ms);
    }
}
