// SPDX-License-Identifier: Apache-2.0
//
// How it works. The listener's ROUTERs are mandatory and are never waited on: a send is queued, or
// the peer's queue is full, or the peer is gone. POLLOUT of a ROUTER says nothing about one peer,
// so there is no second queue here that would have to be woken; instead a peer's high-water mark
// holds all that the protocol allows to be under way to a healthy worker (QUEUES below).
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
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <zmq.h>

#include "common/base/clock.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "proto/address.h"
#include "proto/message.h"
#include "proto/peers.h"

#define LANES            2
#define WATCHED_MOST     8
#define PORT_LEAST       20000 // below 32768 nobody's outgoing connection gets the port
#define PORT_MOST        32000
#define PORT_TRIES       200
#define CONTROL_RUN_MOST 64   // control messages in a row while a bulk message waits
#define SERVICE_TURNS    64   // events between two looks at the monitors under load
#define IGNORED_MOST     64   // frames of dropped peers that one listener_next passes over
#define SILENT_TURNS     4096 // messages of others after which a gone peer has none left
#define PROBES_MOST      10
#define FDS_OF_OWN       256   // files, journal, libzmq's own, connections on their way out
#define LOST_FDS_MOST    65536 // descriptors that are remembered as lost

// libzmq's queues, in messages per peer. Control: 64 credits, an ACK, CANCEL or PROGRESS for each,
// many times over. Bulk, to a worker: a whole blob of PROTO_BLOB_BYTES is 4,096 pieces, and a
// worker has one GET outstanding, beside totals of which it needs the last before there is a
// next: twice that never fills for a worker that lives. It bounds memory only in theory (8,192
// times 256 KiB); in practice pieces are sent from shared blocks (listener_send_shared), so that a
// full queue holds references. To the coordinator: a worker may wait (line_send), so 32 pieces, 8
// MiB each way per worker, do.
static const struct QueueSizes {
    int router_send, router_receive, dealer_send, dealer_receive;
} QUEUES[LANES] = {
    [LANE_CONTROL] = {1024, 1024, 1024, 1024},
    [LANE_BULK] = {8192, 32, 32, 8192},
};

// Signs of life of libzmq's own. Control: a stopped process is noticed in three seconds. Bulk: a
// connection whose receiver is busy with something else stands still when the receiver's queue is
// full, and does not hear heartbeats then, so they are slow; they only clear away connections whose
// host has vanished, long after the control lane has told.
static const struct Heartbeat {
    int interval_ms, timeout_ms, ttl_ms;
} HEARTBEATS[LANES] = {
    [LANE_CONTROL] = {1000, 3000, 10000},
    [LANE_BULK] = {1000, 30000, 60000},
};

static const int64_t FRAME_BYTES_MOST[LANES] = {PROTO_CONTROL_BYTES, PROTO_PIECE_BYTES};
static const size_t HEADER_BYTES_MOST[LANES] = {PROTO_CONTROL_BYTES, PROTO_HEADER_BYTES};

// ---- context and sockets ----

struct ZmqContext {
    void *handle;
};

ZmqContext *zmq_context_new(void) {
    ZmqContext *context = mem_new(1, sizeof *context);
    if (context == NULL) {
        return NULL;
    }
    context->handle = zmq_ctx_new();
    // One I/O thread per lane (ZMQ_AFFINITY below): gradients do not delay signs of life.
    if (context->handle == NULL || zmq_ctx_set(context->handle, ZMQ_IO_THREADS, LANES) != 0) {
        status_set(STATUS_IO, "cannot start ZeroMQ: %s", zmq_strerror(errno));
        zmq_context_free(context);
        return NULL;
    }
    return context;
}

void zmq_context_free(ZmqContext *context) {
    if (context == NULL) {
        return;
    }
    while (context->handle != NULL && zmq_ctx_term(context->handle) != 0 && errno == EINTR) {
        continue;
    }
    mem_free(context);
}

static bool set_int(void *socket, int option, int value) {
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

// What both sides set on every socket of a lane, before it is bound or connected.
static bool set_common(void *socket, Lane lane, int linger_ms) {
    uint64_t io_thread = UINT64_C(1) << lane;
    const struct Heartbeat *beat = &HEARTBEATS[lane];
    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &FRAME_BYTES_MOST[lane], sizeof(int64_t)) == 0 &&
           zmq_setsockopt(socket, ZMQ_AFFINITY, &io_thread, sizeof io_thread) == 0 &&
           set_int(socket, ZMQ_LINGER, linger_ms) &&
           set_int(socket, ZMQ_HEARTBEAT_IVL, beat->interval_ms) &&
           set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, beat->timeout_ms) &&
           set_int(socket, ZMQ_HEARTBEAT_TTL, beat->ttl_ms) &&
           set_int(socket, ZMQ_HANDSHAKE_IVL, 10000);
}

// Milliseconds left until a deadline (-1: never), as zmq_poll takes them.
static long left_ms(int64_t deadline_ms) {
    if (deadline_ms < 0) {
        return -1;
    }
    int64_t left = deadline_ms - clock_ms();
    return left < 0 ? 0 : left > 3600000 ? 3600000 : (long)left;
}

static int64_t deadline_after(int64_t timeout_ms) {
    return timeout_ms < 0 ? -1 : clock_ms() + timeout_ms;
}

// ---- frames ----

// One received message; the frames are always initialised, a new message ends the last one.
typedef struct Frames {
    zmq_msg_t header, payload, excess;
    bool has_payload;
    bool is_sound; // right number of frames, right size of the first
} Frames;

static void frames_init(Frames *frames) {
    zmq_msg_init(&frames->header);
    zmq_msg_init(&frames->payload);
    zmq_msg_init(&frames->excess);
}

static void frames_done(Frames *frames) {
    zmq_msg_close(&frames->header);
    zmq_msg_close(&frames->payload);
    zmq_msg_close(&frames->excess);
}

// Takes the whole of a message, whatever it is; false when there is none. libzmq hands out a
// message's first part only when all its parts are there.
static bool frames_receive(Frames *frames, void *socket, Lane lane) {
    int parts_most = lane == LANE_BULK ? 2 : 1;
    if (zmq_msg_recv(&frames->header, socket, ZMQ_DONTWAIT) < 0) {
        return false;
    }
    int parts = 1;
    bool more = zmq_msg_more(&frames->header);
    while (more) {
        zmq_msg_t *frame = ++parts == 2 ? &frames->payload : &frames->excess;
        more = zmq_msg_recv(frame, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(frame);
    }
    size_t size = zmq_msg_size(&frames->header);
    frames->is_sound = parts <= parts_most && size > 0 && size <= HEADER_BYTES_MOST[lane];
    frames->has_payload = frames->is_sound && parts == 2;
    return true;
}

static Status make_copy(zmq_msg_t *frame, const void *bytes, size_t size) {
    if (zmq_msg_init_size(frame, size) != 0) {
        return status_set(STATUS_MEMORY, "out of memory: a message of %zu bytes", size);
    }
    if (size > 0) {
        memcpy(zmq_msg_data(frame), bytes, size);
    }
    return STATUS_OK;
}

// A longer frame would end the connection at the other side: a bug of ours, better told here.
static Status check_sizes(Lane lane, size_t size, size_t payload_size) {
    if (size > HEADER_BYTES_MOST[lane] || payload_size > PROTO_PIECE_BYTES) {
        return status_set(STATUS_LIMIT, "a message of %zu and %zu bytes is too large to send", size,
                          payload_size);
    }
    return STATUS_OK;
}

// ---- the listener ----

typedef struct ListenerLane {
    void *router;
    void *monitor;     // PAIR to the router's events
    uint64_t received; // messages taken
    uint64_t empties;  // times it was read until nothing was left
} ListenerLane;

struct Listener {
    ZmqContext *context;
    ListenerLane lanes[LANES];
    char endpoint[CHANNEL_ADDRESS_BYTES]; // what workers connect to
    uint16_t bulk_port;                   // 0 on ipc
    Peers *peers;
    uint32_t suspects;                         // peers to probe
    uint32_t gone;                             // peers that are gone and not reported yet
    unsigned char lost_fds[LOST_FDS_MOST / 8]; // lost before a message of theirs was read
    Buffer echo;                               // what probes send
    int watched[WATCHED_MOST];                 // descriptors of the caller's
    int watched_count;
    bool is_woken;        // one of them was readable
    uint32_t turns;       // calls of listener_next
    uint32_t control_run; // control messages since the last bulk message
    zmq_msg_t route;      // of the message in `frames`
    Frames frames;
};

static Status open_lane(Listener *listener, Lane lane, const char *endpoint) {
    static atomic_uint monitors;
    ListenerLane *to = &listener->lanes[lane];
    char name[64];
    snprintf(name, sizeof name, "inproc://listener-monitor-%u", atomic_fetch_add(&monitors, 1));
    to->router = zmq_socket(listener->context->handle, ZMQ_ROUTER);
    to->monitor = zmq_socket(listener->context->handle, ZMQ_PAIR);
    // The monitor's queue has no bound: at a full one libzmq's I/O thread would wait for us. An
    // event has 60 bytes, and there are no more of them than connections were made.
    bool good = to->router != NULL && to->monitor != NULL &&
                set_common(to->router, lane, lane == LANE_CONTROL ? 2000 : 0) &&
                set_int(to->router, ZMQ_ROUTER_MANDATORY, 1) &&
                set_int(to->router, ZMQ_SNDHWM, QUEUES[lane].router_send) &&
                set_int(to->router, ZMQ_RCVHWM, QUEUES[lane].router_receive) &&
                set_int(to->router, ZMQ_BACKLOG, 1024) &&
                zmq_socket_monitor(to->router, name, ZMQ_EVENT_DISCONNECTED) == 0 &&
                set_int(to->monitor, ZMQ_LINGER, 0) && set_int(to->monitor, ZMQ_RCVHWM, 0) &&
                zmq_connect(to->monitor, name) == 0;
    return good ? STATUS_OK
                : status_set(STATUS_IO, "cannot make sockets for %s: %s", endpoint,
                             zmq_strerror(errno));
}

static Status bind_at(Listener *listener, Lane lane, const Address *at) {
    char text[CHANNEL_ADDRESS_BYTES];
    address_text(at, text);
    // Off for IPv4, where libzmq would otherwise bind a mapped address, which hosts without IPv6
    // have not.
    if (!set_int(listener->lanes[lane].router, ZMQ_IPV6, at->is_ipv6) ||
        zmq_bind(listener->lanes[lane].router, text) != 0) {
        int error = errno;
        status_set(STATUS_IO, "cannot listen on %s: %s", text, zmq_strerror(error));
        return error == EADDRINUSE ? STATUS_AGAIN : STATUS_IO;
    }
    return STATUS_OK;
}

// Binds to a random free port and writes it to at->port.
static Status bind_anywhere(Listener *listener, Lane lane, Address *at) {
    Status status = STATUS_AGAIN;
    for (int i = 0; i < PORT_TRIES && status == STATUS_AGAIN; i++) {
        uint32_t random = 0;
        if (getrandom(&random, sizeof random, 0) != sizeof random) {
            return status_set(STATUS_IO, "cannot draw a port: %s", strerror(errno));
        }
        at->port = (uint16_t)(PORT_LEAST + random % (PORT_MOST - PORT_LEAST));
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

// Two connections per session, half as many again on their way in and out, and our own.
static Status raise_file_limit(uint32_t workers_most) {
    rlim_t needed = 3 * (rlim_t)workers_most + FDS_OF_OWN;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return status_set(STATUS_IO, "cannot read the limit of open files: %s", strerror(errno));
    }
    if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= needed) {
        return STATUS_OK;
    }
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < needed) {
        return status_set(STATUS_LIMIT,
                          "%u workers need %llu open files, the system allows %llu: raise "
                          "'ulimit -Hn' or allow fewer workers",
                          workers_most, (unsigned long long)needed,
                          (unsigned long long)limit.rlim_max);
    }
    limit.rlim_cur = needed;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0
               ? STATUS_OK
               : status_set(STATUS_IO, "cannot raise the limit of open files to %llu: %s",
                            (unsigned long long)needed, strerror(errno));
}

Status listener_open(ZmqContext *context, const char *endpoint, uint32_t workers_most,
                     Listener **ret) {
    Address asked;
    Status status = address_parse(endpoint, &asked);
    status = status == STATUS_OK ? raise_file_limit(workers_most) : status;
    if (status != STATUS_OK) {
        return status;
    }
    Listener *listener = mem_new(1, sizeof *listener);
    if (listener == NULL) {
        return STATUS_MEMORY;
    }
    listener->context = context;
    zmq_msg_init(&listener->route);
    frames_init(&listener->frames);
    // Twice the sessions' connections: those that are refused must be known until they leave.
    listener->peers = peers_new(4 * workers_most + 64);
    message_encode(&(Message){.type = MESSAGE_ECHO}, &listener->echo);
    status = listener->peers == NULL ? STATUS_MEMORY : listener->echo.status;
    for (int lane = 0; lane < LANES && status == STATUS_OK; lane++) {
        status = open_lane(listener, (Lane)lane, endpoint);
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
        ListenerLane *at = &listener->lanes[lane];
        if (at->router != NULL) {
            zmq_socket_monitor(at->router, NULL, 0);
            zmq_close(at->router);
        }
        if (at->monitor != NULL) {
            zmq_close(at->monitor);
        }
    }
    zmq_msg_close(&listener->route);
    frames_done(&listener->frames);
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
    peer->gone_at = listener->lanes[peer->lane].empties;
    peer->heard_at = listener->lanes[peer->lane].received;
    listener->gone++;
}

// Sends to one peer without waiting; 0 or errno. Consumes the frames only if it succeeds.
static int send_frames(Listener *listener, const Peer *peer, zmq_msg_t *header,
                       zmq_msg_t *payload) {
    void *router = listener->lanes[peer->lane].router;
    const unsigned char route[5] = {0, (unsigned char)(peer->route >> 24),
                                    (unsigned char)(peer->route >> 16),
                                    (unsigned char)(peer->route >> 8), (unsigned char)peer->route};
    // Only this first part can be refused; what follows it is taken, or lost with the peer.
    if (zmq_send(router, route, sizeof route, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0 ||
        zmq_msg_send(header, router, ZMQ_DONTWAIT | (payload != NULL ? ZMQ_SNDMORE : 0)) < 0 ||
        (payload != NULL && zmq_msg_send(payload, router, ZMQ_DONTWAIT) < 0)) {
        return errno;
    }
    return 0;
}

static void probe(Listener *listener, Peer *peer, int64_t now_ms) {
    zmq_msg_t echo;
    if (make_copy(&echo, listener->echo.bytes, listener->echo.size) != STATUS_OK) {
        return; // the next round tries again
    }
    int error = send_frames(listener, peer, &echo, NULL);
    if (error != 0) {
        zmq_msg_close(&echo);
    }
    if (error == EHOSTUNREACH) {
        mark_gone(listener, peer);
    } else if (++peer->probe_step == PROBES_MOST) {
        acquit(listener, peer);
    } else {
        peer->probe_at_ms = now_ms + (INT64_C(1) << (peer->probe_step - 1));
    }
}

static void probe_suspects(Listener *listener) {
    if (listener->suspects == 0) {
        return;
    }
    // Looking at the events makes libzmq note which pipes have ended; a send may put that off.
    for (int lane = 0; lane < LANES; lane++) {
        int events;
        size_t size = sizeof events;
        zmq_getsockopt(listener->lanes[lane].router, ZMQ_EVENTS, &events, &size);
    }
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

static void read_monitor(Listener *listener, Lane lane) {
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    // First frame: event (16 bits) and value (32 bits), host order, not aligned; then an address.
    while (zmq_msg_recv(&frame, listener->lanes[lane].monitor, ZMQ_DONTWAIT) >= 0) {
        uint16_t event = 0;
        int32_t value = -1;
        if (zmq_msg_size(&frame) >= sizeof event + sizeof value) {
            memcpy(&event, zmq_msg_data(&frame), sizeof event);
            memcpy(&value, (const char *)zmq_msg_data(&frame) + sizeof event, sizeof value);
        }
        while (zmq_msg_more(&frame) &&
               zmq_msg_recv(&frame, listener->lanes[lane].monitor, ZMQ_DONTWAIT) >= 0) {
            continue;
        }
        if (event == ZMQ_EVENT_DISCONNECTED) {
            on_disconnected(listener, lane, value);
        }
    }
    zmq_msg_close(&frame);
}

static void look_for_losses(Listener *listener) {
    read_monitor(listener, LANE_CONTROL);
    read_monitor(listener, LANE_BULK);
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

// ---- waiting and receiving ----

Status listener_watch(Listener *listener, int fd) {
    if (listener->watched_count == WATCHED_MOST) {
        return status_set(STATUS_LIMIT, "a listener watches at most %d descriptors", WATCHED_MOST);
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

void listener_wait(Listener *listener, int64_t timeout_ms) {
    enum { OWN = 2 * LANES };
    zmq_pollitem_t items[OWN + WATCHED_MOST];
    for (int lane = 0; lane < LANES; lane++) {
        items[lane] =
            (zmq_pollitem_t){.socket = listener->lanes[lane].router, .events = ZMQ_POLLIN};
        items[LANES + lane] =
            (zmq_pollitem_t){.socket = listener->lanes[lane].monitor, .events = ZMQ_POLLIN};
    }
    for (int i = 0; i < listener->watched_count; i++) {
        items[OWN + i] = (zmq_pollitem_t){.fd = listener->watched[i], .events = ZMQ_POLLIN};
    }
    int64_t deadline_ms = deadline_after(timeout_ms);
    int64_t probe_ms = next_probe_ms(listener);
    if (probe_ms >= 0 && (deadline_ms < 0 || probe_ms < deadline_ms)) {
        deadline_ms = probe_ms;
    }
    if (listener->is_woken || listener->gone > 0) {
        deadline_ms = 0;
    }
    // An interrupted poll ends the wait: the caller's loop looks at its signals.
    if (zmq_poll(items, OWN + listener->watched_count, left_ms(deadline_ms)) > 0) {
        for (int i = 0; i < listener->watched_count; i++) {
            listener->is_woken |= items[OWN + i].revents != 0;
        }
    }
    look_for_losses(listener);
}

static Peer *new_peer(Listener *listener, Lane lane, uint32_t route) {
    Peer *peer = peers_add(listener->peers, lane, route);
    if (peer == NULL) {
        return NULL;
    }
    // The descriptor that the connection had when this message came in.
    peer->fd = zmq_msg_get(&listener->frames.header, ZMQ_SRCFD);
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

// Whose message it is; NULL when it cannot be told or there are too many. Routing ids that libzmq
// made are a zero and a counter; an id of the peer's own choice could stand for two connections
// in turn, so such peers are ignored.
static Peer *sender(Listener *listener, Lane lane) {
    const unsigned char *bytes = zmq_msg_data(&listener->route);
    if (zmq_msg_size(&listener->route) != 5 || bytes[0] != 0) {
        return NULL;
    }
    uint32_t route =
        (uint32_t)bytes[1] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 8 | bytes[4];
    Peer *peer = peers_by_route(listener->peers, lane, route);
    return peer != NULL ? peer : new_peer(listener, lane, route);
}

static bool take_message(Listener *listener, Lane lane, ListenerEvent *ret_event) {
    ListenerLane *from = &listener->lanes[lane];
    Frames *frames = &listener->frames;
    for (int ignored = 0; ignored < IGNORED_MOST; ignored++) {
        if (zmq_msg_recv(&listener->route, from->router, ZMQ_DONTWAIT) < 0) {
            from->empties += errno == EAGAIN;
            return false;
        }
        bool received = frames_receive(frames, from->router, lane);
        Peer *peer = sender(listener, lane);
        from->received++;
        if (peer == NULL || !received) {
            continue;
        }
        peer->heard_at = from->received;
        if (peer->is_dropped) {
            continue;
        }
        *ret_event =
            (ListenerEvent){.kind = LISTENER_MESSAGE, .lane = lane, .peer = peer->id, .bytes = ""};
        if (frames->is_sound) {
            ret_event->bytes = zmq_msg_data(&frames->header);
            ret_event->size = zmq_msg_size(&frames->header);
        }
        if (frames->has_payload) {
            ret_event->payload = zmq_msg_data(&frames->payload);
            ret_event->payload_size = zmq_msg_size(&frames->payload);
        }
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
        look_for_losses(listener);
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

// Sends the frames or ends them.
static Status post(Listener *listener, Peer *peer, zmq_msg_t *header, zmq_msg_t *payload) {
    int error = send_frames(listener, peer, header, payload);
    if (error == 0) {
        return STATUS_OK;
    }
    zmq_msg_close(header);
    if (payload != NULL) {
        zmq_msg_close(payload);
    }
    if (error == EAGAIN) {
        return status_set(STATUS_AGAIN, "a connection does not take what is sent to it");
    }
    if (error != EHOSTUNREACH) {
        return status_set(STATUS_IO, "cannot send: %s", zmq_strerror(error));
    }
    mark_gone(listener, peer);
    return status_set(STATUS_NOT_FOUND, "the connection is gone");
}

Status listener_send(Listener *listener, Lane lane, PeerId id, const void *bytes, size_t size,
                     const void *payload, size_t payload_size) {
    assert(lane == LANE_BULK || payload == NULL);
    Peer *peer = NULL;
    zmq_msg_t header, body;
    Status status = find_peer(listener, lane, id, &peer);
    status = status == STATUS_OK ? check_sizes(lane, size, payload_size) : status;
    status = status == STATUS_OK ? make_copy(&header, bytes, size) : status;
    if (status != STATUS_OK) {
        return status;
    }
    if (payload == NULL) {
        return post(listener, peer, &header, NULL);
    }
    status = make_copy(&body, payload, payload_size);
    if (status != STATUS_OK) {
        zmq_msg_close(&header);
        return status;
    }
    return post(listener, peer, &header, &body);
}

struct SharedPayload {
    atomic_uint owners;
    size_t size;
    unsigned char bytes[];
};

SharedPayload *shared_payload_new(const void *bytes, size_t size) {
    SharedPayload *shared = mem_new(1, sizeof *shared + size);
    if (shared != NULL) {
        atomic_init(&shared->owners, 1);
        shared->size = size;
        memcpy(shared->bytes, bytes, size);
    }
    return shared;
}

void shared_payload_release(SharedPayload *shared) {
    if (shared != NULL && atomic_fetch_sub(&shared->owners, 1) == 1) {
        mem_free(shared);
    }
}

// Called by libzmq when a frame has been sent or dropped, most often in an I/O thread.
static void release_frame(void *bytes, void *shared) {
    (void)bytes;
    shared_payload_release(shared);
}

Status listener_send_shared(Listener *listener, PeerId id, const void *bytes, size_t size,
                            SharedPayload *shared, size_t offset, size_t payload_size) {
    assert(offset <= shared->size && payload_size <= shared->size - offset);
    Peer *peer = NULL;
    zmq_msg_t header, body;
    Status status = find_peer(listener, LANE_BULK, id, &peer);
    status = status == STATUS_OK ? check_sizes(LANE_BULK, size, payload_size) : status;
    status = status == STATUS_OK ? make_copy(&header, bytes, size) : status;
    if (status != STATUS_OK) {
        return status;
    }
    atomic_fetch_add(&shared->owners, 1);
    if (zmq_msg_init_data(&body, shared->bytes + offset, payload_size, release_frame, shared) !=
        0) {
        shared_payload_release(shared);
        zmq_msg_close(&header);
        return status_set(STATUS_MEMORY, "out of memory: a frame of a shared block");
    }
    return post(listener, peer, &header, &body);
}

void listener_drop(Listener *listener, Lane lane, PeerId id) {
    Peer *peer = peers_by_id(listener->peers, id);
    if (peer != NULL && peer->lane == lane) {
        peer->is_dropped = true;
    }
}

// ---- the worker's side ----

struct Line {
    void *dealer;
    Lane lane;
    Frames frames;
};

static Status resolve_line(const char *endpoint, Address *ret) {
    Address found[ADDRESS_RESOLVED_MOST];
    size_t count = 0;
    Address address;
    Status status = address_parse(endpoint, &address);
    if (status == STATUS_OK && !address.is_ipc) {
        if (address.port == 0 || strcmp(address.host, "*") == 0) {
            return status_set(STATUS_INVALID, "'%s' is nothing to connect to", endpoint);
        }
        status = address_resolve(&address, false, found, &count);
        address = status == STATUS_OK ? *address_pick(found, count) : address;
    }
    if (status == STATUS_OK) {
        *ret = address;
    }
    return status;
}

static bool set_line(Line *line, const Address *address) {
    void *dealer = line->dealer;
    // ZMQ_IMMEDIATE: nothing is queued for a connection that is not there, and what was queued is
    // not carried over to the next one, which has to begin with HELLO.
    return set_common(dealer, line->lane, line->lane == LANE_CONTROL ? 1000 : 0) &&
           set_int(dealer, ZMQ_IMMEDIATE, 1) && set_int(dealer, ZMQ_IPV6, address->is_ipv6) &&
           set_int(dealer, ZMQ_SNDHWM, QUEUES[line->lane].dealer_send) &&
           set_int(dealer, ZMQ_RCVHWM, QUEUES[line->lane].dealer_receive) &&
           set_int(dealer, ZMQ_RECONNECT_IVL, 100) &&
           set_int(dealer, ZMQ_RECONNECT_IVL_MAX, 2000) &&
           set_int(dealer, ZMQ_CONNECT_TIMEOUT, 5000);
}

Status line_open(ZmqContext *context, const char *endpoint, Lane lane, Line **ret) {
    Address address;
    Status status = resolve_line(endpoint, &address);
    if (status != STATUS_OK) {
        return status;
    }
    Line *line = mem_new(1, sizeof *line);
    if (line == NULL) {
        return STATUS_MEMORY;
    }
    frames_init(&line->frames);
    line->lane = lane;
    line->dealer = zmq_socket(context->handle, ZMQ_DEALER);
    char text[CHANNEL_ADDRESS_BYTES];
    address_text(&address, text);
    if (line->dealer == NULL || !set_line(line, &address) || zmq_connect(line->dealer, text) != 0) {
        status = status_set(STATUS_IO, "cannot connect to %s: %s", text, zmq_strerror(errno));
        line_close(line);
        return status;
    }
    *ret = line;
    return STATUS_OK;
}

void line_close(Line *line) {
    if (line == NULL) {
        return;
    }
    frames_done(&line->frames);
    if (line->dealer != NULL) {
        zmq_close(line->dealer);
    }
    mem_free(line);
}

Status line_bulk_endpoint(const char *control, uint32_t bulk_port,
                          char out[CHANNEL_ADDRESS_BYTES]) {
    Address address;
    Status status = address_parse(control, &address);
    status = status == STATUS_OK ? address_bulk(&address, bulk_port, &address) : status;
    if (status == STATUS_OK) {
        address_text(&address, out);
    }
    return status;
}

// 0 or errno. A second part is refused only when the connection was lost after the first; libzmq
// has dropped that one then.
static int send_line(Line *line, zmq_msg_t *header, zmq_msg_t *payload) {
    int error = 0;
    if (zmq_msg_send(header, line->dealer, ZMQ_DONTWAIT | (payload != NULL ? ZMQ_SNDMORE : 0)) <
        0) {
        error = errno;
        zmq_msg_close(header);
    }
    if (payload != NULL && (error != 0 || zmq_msg_send(payload, line->dealer, ZMQ_DONTWAIT) < 0)) {
        error = error != 0 ? error : errno;
        zmq_msg_close(payload);
    }
    return error;
}

static Status try_line(Line *line, const void *bytes, size_t size, const void *payload,
                       size_t payload_size) {
    zmq_msg_t header, body;
    Status status = make_copy(&header, bytes, size);
    if (status != STATUS_OK) {
        return status;
    }
    if (payload != NULL) {
        status = make_copy(&body, payload, payload_size);
        if (status != STATUS_OK) {
            zmq_msg_close(&header);
            return status;
        }
    }
    int error = send_line(line, &header, payload != NULL ? &body : NULL);
    if (error == 0) {
        return STATUS_OK;
    }
    return status_set(error == EAGAIN ? STATUS_AGAIN : STATUS_IO, "cannot send: %s",
                      zmq_strerror(error));
}

Status line_send(Line *line, const void *bytes, size_t size, const void *payload,
                 size_t payload_size, int64_t timeout_ms) {
    assert(line->lane == LANE_BULK || payload == NULL);
    Status status = check_sizes(line->lane, size, payload_size);
    if (status != STATUS_OK) {
        return status;
    }
    int64_t deadline_ms = deadline_after(timeout_ms);
    for (;;) {
        zmq_pollitem_t item = {.socket = line->dealer, .events = ZMQ_POLLOUT};
        long wait_ms = left_ms(deadline_ms);
        if (zmq_poll(&item, 1, wait_ms) > 0) {
            status = try_line(line, bytes, size, payload, payload_size);
            if (status != STATUS_AGAIN) {
                return status;
            }
        }
        if (wait_ms == 0) {
            return status_set(STATUS_AGAIN, "the coordinator takes nothing, or is not there");
        }
    }
}

Status line_receive(Line *line, int wake_fd, int64_t timeout_ms, LineMessage *ret,
                    bool *ret_woken) {
    zmq_pollitem_t items[2] = {{.socket = line->dealer, .events = ZMQ_POLLIN},
                               {.fd = wake_fd, .events = ZMQ_POLLIN}};
    int64_t deadline_ms = deadline_after(timeout_ms);
    Frames *frames = &line->frames;
    *ret_woken = false;
    for (;;) {
        long wait_ms = left_ms(deadline_ms);
        int ready = zmq_poll(items, wake_fd >= 0 ? 2 : 1, wait_ms);
        if (ready > 0 && wake_fd >= 0 && items[1].revents != 0) {
            *ret_woken = true;
            return STATUS_AGAIN;
        }
        if (ready > 0 && frames_receive(frames, line->dealer, line->lane)) {
            break;
        }
        if (ready < 0 && errno != EINTR) {
            return status_set(STATUS_IO, "cannot receive: %s", zmq_strerror(errno));
        }
        if (wait_ms == 0) {
            return STATUS_AGAIN;
        }
    }
    *ret = (LineMessage){.bytes = ""};
    if (frames->is_sound) {
        ret->bytes = zmq_msg_data(&frames->header);
        ret->size = zmq_msg_size(&frames->header);
    }
    if (frames->has_payload) {
        ret->payload = zmq_msg_data(&frames->payload);
        ret->payload_size = zmq_msg_size(&frames->payload);
    }
    return STATUS_OK;
}
