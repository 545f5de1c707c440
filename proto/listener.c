// SPDX-License-Identifier: Apache-2.0
//
// How it works. The listener's ROUTERs are mandatory and are never waited on: a send is queued, or
// the peer's queue is full, or the peer is gone. POLLOUT of a ROUTER says nothing about one peer,
// so there is no second queue here that would have to be woken; instead a peer's high-water mark
// holds all that the protocol allows to be under way to a healthy worker (QUEUES in socket.c).
//
// A lost connection is learned from libzmq's monitor, whose DISCONNECTED names the connection's
// file descriptor. A descriptor may have been used again by the time that the event is read, so
// the peers that had it are only suspects: each is sent an ECHO until that gives EHOSTUNREACH
// (then it is gone; it takes about a millisecond until libzmq has cleaned up) or has gone well too
// often. A gone peer is reported once its lane has been read empty, so that its last messages come
// before its LISTENER_CLOSED.
//
//     known --DISCONNECTED--> suspect --EHOSTUNREACH--> gone --lane empty--> forgotten
//       ^                        |                        ^
//       +---- probes go well ----+    a send fails -------+
//
// What cannot happen: an event for a peer after its LISTENER_CLOSED, or two of these.
#include "proto/channel.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/text.h"
#include "proto/address.h"
#include "proto/doors.h"
#include "proto/message.h"
#include "proto/peers.h"
#include "proto/socket.h"

#define LANES            2
#define PORT_LEAST       20000 // below 32768 nobody's outgoing connection gets the port
#define PORT_MOST        32000
#define PORT_TRIES       200
#define CONTROL_RUN_MOST 64   // control messages in a row while a bulk message waits
#define SERVICE_TURNS    64   // events between two looks at lanes and monitors under load
#define IGNORED_MOST     64   // frames of dropped peers that one listener_next passes over
#define SILENT_TURNS     4096 // messages of others after which a gone peer has none left
#define PROBES_MOST      10
#define LOST_FDS_MOST    65536 // descriptors that are remembered as lost

typedef struct ListenerLane {
    Socket *socket;
    bool may_have;     // messages, as far as the last look and what was received since tell
    uint64_t received; // messages taken
    uint64_t empties;  // times it was read until nothing was left
} ListenerLane;

struct Listener {
    ListenerLane lanes[LANES];
    char endpoint[CHANNEL_ADDRESS_BYTES]; // what workers connect to
    uint16_t bulk_port;                   // 0 on ipc
    Peers *peers;
    uint32_t suspects;                         // peers to probe
    uint32_t gone;                             // peers that are gone and not reported yet
    unsigned char lost_fds[LOST_FDS_MOST / 8]; // lost before a message of theirs was read
    Buffer echo;                               // what probes send
    int watched[SOCKET_FDS_MOST];              // descriptors of the caller's
    int watched_count;
    bool is_woken;         // one of them was readable
    bool has_lost;         // connections were lost that have not been asked for
    Gate *gate;            // who may connect; NULL: everybody
    uint32_t gate_version; // that all peers were asked for
    Doors *doors;          // for who has no claim to be connected
    uint32_t turns;        // calls of listener_next
    uint32_t control_run;  // control messages since the last bulk message
};

// ---- binding ----

static Status bind_at(Listener *listener, Lane lane, const Address *at) {
    return socket_bind(listener->lanes[lane].socket, at);
}

// Binds to a random free port and writes it to at->port.
static Status bind_anywhere(Listener *listener, Lane lane, Address *at) {
    Rng rng = rng_of((uint64_t)clock_ns(), "port", (uint64_t)getpid(), lane);
    Status status = STATUS_AGAIN;
    for (int i = 0; i < PORT_TRIES && status == STATUS_AGAIN; i++) {
        at->port = (uint16_t)(PORT_LEAST + rng_below(&rng, PORT_MOST - PORT_LEAST));
        status = bind_at(listener, lane, at);
    }
    return status;
}

static Status bind_tcp_at(Listener *listener, const Address *asked, Address at) {
    Status status = asked->port != 0 ? bind_at(listener, LANE_CONTROL, &at)
                                     : bind_anywhere(listener, LANE_CONTROL, &at);
    if (status != STATUS_OK) {
        return status;
    }
    Address bulk = at;
    bulk.port = (uint16_t)(at.port + 1);
    status = bulk.port != 0 ? bind_at(listener, LANE_BULK, &bulk) : STATUS_AGAIN;
    if (status == STATUS_AGAIN) {
        status = bind_anywhere(listener, LANE_BULK, &bulk);
    }
    bool is_any =
        strcmp(at.host, "*") == 0 || strcmp(at.host, "0.0.0.0") == 0 || strcmp(at.host, "::") == 0;
    if (is_any) {
        address_of_this_host(at.host);
    }
    address_text(&at, listener->endpoint);
    listener->bulk_port = bulk.port;
    return status;
}

static Status bind_tcp(Listener *listener, const Address *asked) {
    Address found[ADDRESS_RESOLVED_MOST];
    size_t count = 0;
    Status status = address_resolve(asked, true, found, &count);
    if (status != STATUS_OK) {
        return status;
    }
    status = STATUS_AGAIN;
    for (size_t i = 0; i < count && status != STATUS_OK; i++) {
        status = bind_tcp_at(listener, asked, found[i]);
    }
    return status == STATUS_AGAIN ? STATUS_IO : status; // the message says which is in use
}

static Status bind_ipc(Listener *listener, const Address *asked) {
    Address bulk;
    Status status = address_bulk(asked, 0, &bulk);
    assert(status == STATUS_OK);
    address_text(asked, listener->endpoint);
    if (address_is_taken(asked)) {
        return status_set(STATUS_IO, "cannot listen on %s: another coordinator does",
                          listener->endpoint);
    }
    status = bind_at(listener, LANE_CONTROL, asked);
    status = status == STATUS_OK ? bind_at(listener, LANE_BULK, &bulk) : status;
    return status == STATUS_AGAIN ? STATUS_IO : status;
}

Status listener_open(ZmqContext *context, const char *endpoint, uint32_t workers_most,
                     Listener **ret) {
    Address asked;
    uint32_t strangers_most = 0;
    Status status = address_parse(endpoint, &asked);
    status = status == STATUS_OK ? doors_make_room(workers_most, &strangers_most) : status;
    if (status != STATUS_OK) {
        return status;
    }
    Listener *listener = mem_new(1, sizeof *listener);
    if (listener == NULL) {
        return STATUS_MEMORY;
    }
    listener->gate = asked.is_ipc ? NULL : socket_gate(context);
    if (listener->gate != NULL) {
        listener->watched[listener->watched_count++] = gate_fd(listener->gate);
    }
    // Twice the sessions' connections: those that are refused must be known until they leave.
    listener->peers = peers_new(4 * workers_most + 64);
    listener->doors = doors_new(strangers_most);
    message_encode(&(Message){.type = MESSAGE_ECHO}, &listener->echo);
    status =
        listener->peers == NULL || listener->doors == NULL ? STATUS_MEMORY : listener->echo.status;
    for (int lane = 0; lane < LANES && status == STATUS_OK; lane++) {
        status = socket_new(context, (Lane)lane, SOCKET_ROUTER, &listener->lanes[lane].socket);
    }
    if (status == STATUS_OK) {
        status = asked.is_ipc ? bind_ipc(listener, &asked) : bind_tcp(listener, &asked);
    }
    if (status != STATUS_OK) {
        listener_close(listener);
        return status;
    }
    *ret = listener;
    return STATUS_OK;
}

void listener_close(Listener *listener) {
    if (listener == NULL) {
        return;
    }
    for (int lane = 0; lane < LANES; lane++) {
        socket_close(listener->lanes[lane].socket);
    }
    doors_free(listener->doors);
    peers_free(listener->peers);
    buffer_done(&listener->echo);
    mem_free(listener);
}

const char *listener_endpoint(const Listener *listener) {
    return listener->endpoint;
}

uint32_t listener_bulk_port(const Listener *listener) {
    return listener->bulk_port;
}

// ---- lost connections ----

static void suspect(Listener *listener, Peer *peer) {
    if (peer->is_gone) {
        return;
    }
    listener->suspects += peer->probe_at_ms == 0;
    peer->probe_at_ms = clock_ms();
    peer->probe_step = 0;
}

static void acquit(Listener *listener, Peer *peer) {
    listener->suspects -= peer->probe_at_ms != 0;
    peer->probe_at_ms = 0;
}

static void mark_gone(Listener *listener, Peer *peer) {
    if (peer->is_gone) {
        return;
    }
    acquit(listener, peer);
    peer->is_gone = true;
    listener->lanes[peer->lane].may_have = true; // to be read empty, though nothing tells of more
    peer->gone_at = listener->lanes[peer->lane].empties;
    peer->heard_at = listener->lanes[peer->lane].received;
    listener->gone++;
}

static Status post(Listener *listener, Peer *peer, const Outgoing *message) {
    Outgoing routed = *message;
    routed.route = peer->route;
    Status status = socket_send(listener->lanes[peer->lane].socket, &routed);
    if (status == STATUS_NOT_FOUND) {
        mark_gone(listener, peer);
    }
    return status;
}

static void refuse(Listener *listener, Peer *peer) {
    Message message = {.type = MESSAGE_REFUSED};
    Buffer bytes = BUFFER_EMPTY;
    message.refused.code = REFUSED_ADMISSION;
    message.refused.text = "this worker's key is not admitted any more";
    message_encode(&message, &bytes);
    if (bytes.status == STATUS_OK) {
        (void)post(listener, peer, &(Outgoing){.bytes = bytes.bytes, .size = bytes.size});
    }
    buffer_done(&bytes);
}

static void probe(Listener *listener, Peer *peer, int64_t now_ms) {
    const Outgoing echo = {.bytes = listener->echo.bytes, .size = listener->echo.size};
    if (post(listener, peer, &echo) == STATUS_NOT_FOUND) {
        return;
    }
    if (++peer->probe_step == PROBES_MOST) {
        acquit(listener, peer);
    } else {
        peer->probe_at_ms = now_ms + (INT64_C(1) << (peer->probe_step - 1));
    }
}

static void probe_suspects(Listener *listener) {
    if (listener->suspects == 0) {
        return;
    }
    socket_settle(listener->lanes[LANE_CONTROL].socket);
    socket_settle(listener->lanes[LANE_BULK].socket);
    int64_t now_ms = clock_ms();
    for (Peer *peer = peers_next(listener->peers, NULL); peer != NULL;
         peer = peers_next(listener->peers, peer)) {
        if (peer->probe_at_ms != 0 && peer->probe_at_ms <= now_ms) {
            probe(listener, peer, now_ms);
        }
    }
}

static unsigned char *lost_fd_byte(Listener *listener, int fd) {
    return fd >= 0 && fd < LOST_FDS_MOST ? &listener->lost_fds[fd / 8] : NULL;
}

static void on_disconnected(Listener *listener, Lane lane, int fd) {
    bool known = false;
    for (Peer *peer = peers_next(listener->peers, NULL); peer != NULL;
         peer = peers_next(listener->peers, peer)) {
        if (peer->lane == lane && (peer->fd == fd || peer->fd < 0)) {
            suspect(listener, peer);
            known = true;
        }
    }
    unsigned char *byte = lost_fd_byte(listener, fd);
    if (!known && byte != NULL) {
        *byte |= (unsigned char)(1 << fd % 8);
    }
}

static void look_for_losses(Listener *listener) {
    int fd = -1;
    bool is_new = false;
    int64_t now_ms = clock_ms();
    for (int lane = 0; lane < LANES && listener->has_lost; lane++) {
        while (socket_take_event(listener->lanes[lane].socket, &fd, &is_new)) {
            if (is_new) {
                doors_accepted(listener->doors, (Lane)lane, fd, now_ms);
            } else {
                doors_closed(listener->doors, (Lane)lane, fd);
                on_disconnected(listener, (Lane)lane, fd);
            }
        }
    }
    listener->has_lost = false;
    doors_tick(listener->doors, listener->peers, now_ms);
    probe_suspects(listener);
}

// Whether all that a gone peer has sent has been taken. Connections take turns, so it has also been
// when very many messages of others came since its last.
static bool is_silent(const Listener *listener, const Peer *peer) {
    const ListenerLane *lane = &listener->lanes[peer->lane];
    return lane->empties > peer->gone_at || lane->received - peer->heard_at > SILENT_TURNS;
}

static bool take_closed(Listener *listener, ListenerEvent *ret_event) {
    for (Peer *peer = peers_next(listener->peers, NULL); listener->gone > 0 && peer != NULL;
         peer = peers_next(listener->peers, peer)) {
        if (!peer->is_gone || !is_silent(listener, peer)) {
            continue;
        }
        *ret_event = (ListenerEvent){
            .kind = LISTENER_CLOSED, .lane = peer->lane, .peer = peer->id, .bytes = ""};
        bool is_wanted = !peer->is_dropped;
        peers_remove(listener->peers, peer);
        listener->gone--;
        if (is_wanted) {
            return true;
        }
    }
    return false;
}

// ZAP asks at the handshake only: who has lost its key since has its connections ended here, and
// what still comes over them is passed over, also by new_peer.
static void shut_out(Listener *listener) {
    if (listener->gate == NULL || gate_version(listener->gate) == listener->gate_version) {
        return;
    }
    listener->gate_version = gate_version(listener->gate);
    gate_lower(listener->gate);
    for (Peer *peer = peers_next(listener->peers, NULL); peer != NULL;
         peer = peers_next(listener->peers, peer)) {
        if (!peer->is_gone && !gate_admits(listener->gate, peer->user)) {
            refuse(listener, peer);
            doors_refused(listener->doors, peer->lane, peer->fd, clock_ms());
            mark_gone(listener, peer);
            peer->is_shut_out = true;
        }
    }
}

// ---- waiting and receiving ----

Status listener_watch(Listener *listener, int fd) {
    if (listener->watched_count == SOCKET_FDS_MOST) {
        return status_set(STATUS_LIMIT, "a listener watches at most %d descriptors",
                          SOCKET_FDS_MOST);
    }
    listener->watched[listener->watched_count++] = fd;
    return STATUS_OK;
}

static int64_t next_probe_ms(const Listener *listener) {
    int64_t next_ms = -1;
    for (Peer *peer = peers_next(listener->peers, NULL); listener->suspects > 0 && peer != NULL;
         peer = peers_next(listener->peers, peer)) {
        bool sooner = peer->probe_at_ms != 0 && (next_ms < 0 || peer->probe_at_ms < next_ms);
        next_ms = sooner ? peer->probe_at_ms : next_ms;
    }
    return next_ms;
}

static void look(Listener *listener, int64_t timeout_ms) {
    SocketWait wait = {
        .sockets = {listener->lanes[LANE_CONTROL].socket, listener->lanes[LANE_BULK].socket},
        .fds = listener->watched,
        .fd_count = listener->watched_count,
    };
    socket_wait(&wait, timeout_ms);
    for (int lane = 0; lane < LANES; lane++) {
        listener->lanes[lane].may_have |= wait.is_ready[lane];
    }
    listener->is_woken |= wait.fd_is_ready;
    listener->has_lost |= wait.has_lost;
    look_for_losses(listener);
}

void listener_wait(Listener *listener, int64_t timeout_ms) {
    int64_t probe_ms = next_probe_ms(listener);
    if (listener->is_woken || listener->gone > 0) {
        timeout_ms = 0;
    } else if (probe_ms >= 0) {
        int64_t left_ms = probe_ms - clock_ms();
        left_ms = left_ms > 0 ? left_ms : 0;
        timeout_ms = timeout_ms < 0 || left_ms < timeout_ms ? left_ms : timeout_ms;
    }
    look(listener, timeout_ms);
    shut_out(listener);
}

bool listener_take_problem(Listener *listener, char *out, size_t size) {
    return listener->gate != NULL && gate_take_problem(listener->gate, out, size);
}

static Peer *new_peer(Listener *listener, Lane lane, const Received *received) {
    const char *user = socket_user(listener->lanes[lane].socket);
    if (listener->gate != NULL && !gate_admits(listener->gate, user)) {
        return NULL;
    }
    Peer *peer = peers_add(listener->peers, lane, received->route);
    if (peer == NULL) {
        return NULL;
    }
    text_copy(peer->user, sizeof peer->user, user);
    text_copy(peer->address, sizeof peer->address, socket_address(listener->lanes[lane].socket));
    doors_heard(listener->doors, lane, received->fd);
    peer->fd = received->fd;
    unsigned char *byte = lost_fd_byte(listener, peer->fd);
    unsigned char bit = (unsigned char)(1 << (peer->fd < 0 ? 0 : peer->fd % 8));
    if (byte == NULL || (*byte & bit) != 0) {
        suspect(listener, peer); // perhaps it was lost before its first message was read
    }
    if (byte != NULL) {
        *byte &= (unsigned char)~bit;
    }
    return peer;
}

// Whose message it is; NULL when it cannot be told or there are too many. A routing id of the
// peer's own choice could stand for two connections in turn, so such peers are ignored.
static Peer *sender(Listener *listener, Lane lane, const Received *received) {
    if (!received->has_route) {
        return NULL;
    }
    Peer *peer = peers_by_route(listener->peers, lane, received->route);
    return peer != NULL ? peer : new_peer(listener, lane, received);
}

static bool floods(Peer *peer) {
    int64_t now_ms = clock_ms();
    if (now_ms - peer->second_ms >= 1000) {
        peer->second_ms = now_ms;
        peer->in_second = 0;
    }
    return ++peer->in_second > LIMIT_MESSAGES_A_SECOND;
}

static bool take_message(Listener *listener, Lane lane, ListenerEvent *ret_event) {
    ListenerLane *from = &listener->lanes[lane];
    Received received;
    for (int ignored = 0; ignored < IGNORED_MOST && from->may_have; ignored++) {
        from->may_have = socket_receive(from->socket, &received);
        if (!from->may_have) {
            from->empties++;
            return false;
        }
        from->received++;
        Peer *peer = sender(listener, lane, &received);
        if (peer == NULL || peer->is_shut_out) {
            continue;
        }
        peer->heard_at = from->received;
        if (peer->is_dropped) {
            continue;
        }
        *ret_event = (ListenerEvent){
            .kind = LISTENER_MESSAGE,
            .lane = lane,
            .peer = peer->id,
            .bytes = received.bytes,
            .size = received.size,
            .payload = received.payload,
            .payload_size = received.payload_size,
            .fault = floods(peer) ? "it sends more messages than it can have to say" : NULL,
        };
        return true;
    }
    return false;
}

bool listener_next(Listener *listener, ListenerEvent *ret_event) {
    if (listener->is_woken) {
        listener->is_woken = false;
        *ret_event = (ListenerEvent){.kind = LISTENER_WAKE, .bytes = ""};
        return true;
    }
    if (++listener->turns % SERVICE_TURNS == 0) {
        look(listener, 0);
        shut_out(listener);
        if (take_closed(listener, ret_event)) {
            return true;
        }
    }
    bool bulk_first = listener->control_run >= CONTROL_RUN_MOST;
    if (bulk_first || !take_message(listener, LANE_CONTROL, ret_event)) {
        listener->control_run = 0;
        if (take_message(listener, LANE_BULK, ret_event)) {
            return true;
        }
        if (!bulk_first || !take_message(listener, LANE_CONTROL, ret_event)) {
            look_for_losses(listener);
            return take_closed(listener, ret_event);
        }
    }
    listener->control_run++;
    return true;
}

// ---- sending ----

static Status find_peer(const Listener *listener, Lane lane, PeerId id, Peer **ret_peer) {
    Peer *peer = peers_by_id(listener->peers, id);
    if (peer == NULL || peer->lane != lane || peer->is_gone || peer->is_dropped) {
        return status_set(STATUS_NOT_FOUND, "the connection is gone");
    }
    *ret_peer = peer;
    return STATUS_OK;
}

Status listener_send(Listener *listener, Lane lane, PeerId id, const void *bytes, size_t size,
                     const void *payload, size_t payload_size) {
    Peer *peer = NULL;
    Status status = find_peer(listener, lane, id, &peer);
    const Outgoing message = {
        .bytes = bytes, .size = size, .payload = payload, .payload_size = payload_size};
    return status == STATUS_OK ? post(listener, peer, &message) : status;
}

Status listener_send_shared(Listener *listener, PeerId id, const void *bytes, size_t size,
                            SharedPayload *shared, size_t offset, size_t payload_size) {
    Peer *peer = NULL;
    Status status = find_peer(listener, LANE_BULK, id, &peer);
    const Outgoing message = {.bytes = bytes,
                              .size = size,
                              .payload = shared_payload_bytes(shared) + offset,
                              .payload_size = payload_size,
                              .shared = shared};
    return status == STATUS_OK ? post(listener, peer, &message) : status;
}

void listener_drop(Listener *listener, Lane lane, PeerId id) {
    Peer *peer = peers_by_id(listener->peers, id);
    if (peer != NULL && peer->lane == lane) {
        peer->is_dropped = true;
        if (!peer->is_gone) { // else the descriptor may be another's by now
            doors_refused(listener->doors, lane, peer->fd, clock_ms());
        }
    }
}

const char *listener_address(const Listener *listener, PeerId id) {
    const Peer *peer = peers_by_id(listener->peers, id);
    return peer != NULL ? peer->address : "";
}

bool listener_same_key(const Listener *listener, PeerId a, PeerId b) {
    const Peer *one = peers_by_id(listener->peers, a), *other = peers_by_id(listener->peers, b);
    return one != NULL && other != NULL && strcmp(one->user, other->user) == 0;
}

uint64_t listener_shut(const Listener *listener) {
    return doors_shut(listener->doors);
}
