// SPDX-License-Identifier: Apache-2.0
#include "proto/socket.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "common/base/mem.h"
#include "proto/message.h"

#define LANES 2

// libzmq's queues, in messages per peer. Control: 64 credits, an ACK, CANCEL or PROGRESS for each,
// many times over. Bulk, to a worker: a whole blob of PROTO_BLOB_BYTES is 4,096 pieces, and a
// worker has one GET outstanding, beside totals of which it needs the last before there is a
// next: twice that never fills for a worker that lives. It is no bound of memory (8,192 times 256
// KiB): pieces of blobs are sent from shared blocks (listener_send_shared), so that a full queue
// holds references, and parts of clips are counted until they leave. To the coordinator: a worker
// may wait (line_send), so 32 pieces, 8 MiB each way per worker, do.
static const struct QueueSizes {
    int router_send, router_receive, dealer_send, dealer_receive;
} QUEUES[LANES] = {
    [LANE_CONTROL] = {1024, 1024, 1024, 1024},
    [LANE_BULK] = {8192, 32, 32, 8192},
};

// Signs of life of libzmq's own, as few as will do: of a thousand workers they would cost the
// coordinator more than anything else that it does for them. Control: a stopped worker is noticed
// in the interval and the timeout, 3.3 s at most, a stopped coordinator in 6 s. Bulk: a connection
// whose receiver is busy with something else stands still when the receiver's queue is full, and
// does not hear heartbeats then, so they are slow; they only clear away connections whose host has
// vanished, long after the control lane has told. None has a time to live: libzmq looks through all
// timers of a thread for each one that it takes back.
static const struct Heartbeat {
    int interval_ms, timeout_ms;
} HEARTBEATS[LANES][2] = {
    [LANE_CONTROL] = {[SOCKET_ROUTER] = {1000, 2300}, [SOCKET_DEALER] = {3000, 3000}},
    [LANE_BULK] = {[SOCKET_ROUTER] = {10000, 30000}, [SOCKET_DEALER] = {10000, 30000}},
};

static const int64_t FRAME_BYTES_MOST[LANES] = {PROTO_CONTROL_BYTES, PROTO_PIECE_BYTES};
enum { SEAL_BYTES = 64 }; // CURVE's MESSAGE command has 33 bytes beside what it carries
static const size_t HEADER_BYTES_MOST[LANES] = {PROTO_CONTROL_BYTES, PROTO_HEADER_BYTES};

struct ZmqContext {
    void *handle;
    bool is_locked; // as a coordinator: `own` and the gate
    bool has_keys;  // as a worker: `worker`
    KeyPair own;
    WorkerKeys worker;
    Gate *gate;
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
    gate_close(context->gate);
    keys_wipe(&context->own, sizeof context->own);
    keys_wipe(&context->worker, sizeof context->worker);
    while (context->handle != NULL && zmq_ctx_term(context->handle) != 0 && errno == EINTR) {
        continue;
    }
    mem_free(context);
}

// ---- keys ----

static Status check_curve(void) {
    return zmq_has("curve") ? STATUS_OK
                            : status_set(STATUS_INVALID, "this libzmq was built without CURVE");
}

Status socket_make_keys(char *ret_public, char *ret_secret) {
    Status status = check_curve();
    if (status == STATUS_OK && zmq_curve_keypair(ret_public, ret_secret) != 0) {
        status = status_set(STATUS_IO, "cannot make keys: %s", zmq_strerror(errno));
    }
    return status;
}

Status zmq_context_lock(ZmqContext *context, const KeyPair *own, const char *list) {
    Status status = check_curve();
    if (status == STATUS_OK) {
        status = gate_open(context->handle, list, &context->gate);
    }
    if (status == STATUS_OK) {
        context->own = *own;
        context->is_locked = true;
    }
    return status;
}

Status zmq_context_unlock(ZmqContext *context, const WorkerKeys *worker) {
    Status status = check_curve();
    if (status == STATUS_OK) {
        context->worker = *worker;
        context->has_keys = true;
    }
    return status;
}

Gate *socket_gate(const ZmqContext *context) {
    return context->gate;
}

static bool set_int(void *socket, int option, int value) {
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

static bool get_int(void *socket, int option, int *ret_value) {
    size_t size = sizeof *ret_value;
    return zmq_getsockopt(socket, option, ret_value, &size) == 0;
}

// ---- making ----

struct Socket {
    const ZmqContext *context;
    void *handle;
    void *monitor;      // PAIR to the handle's events
    int fd, monitor_fd; // readable when libzmq has something to look at
    // Used since it was last found to be empty: its descriptor may not tell of what is in it.
    bool is_touched, monitor_is_touched;
    Lane lane;
    SocketRole role;
    char problem[128];                        // of the last handshake
    zmq_msg_t route, header, payload, excess; // of the message last received; always initialised
};

// What both sides set on every socket of a lane, before it is bound or connected.
static bool set_common(const Socket *socket, int linger_ms) {
    uint64_t io_thread = UINT64_C(1) << socket->lane;
    const struct Heartbeat *beat = &HEARTBEATS[socket->lane][socket->role];
    // With keys a frame is sealed in one of libzmq's own, which is a little longer.
    bool is_sealed = socket->context->is_locked || socket->context->has_keys;
    int64_t bytes_most = FRAME_BYTES_MOST[socket->lane] + (is_sealed ? SEAL_BYTES : 0);
    void *handle = socket->handle;
    return zmq_setsockopt(handle, ZMQ_MAXMSGSIZE, &bytes_most, sizeof bytes_most) == 0 &&
           zmq_setsockopt(handle, ZMQ_AFFINITY, &io_thread, sizeof io_thread) == 0 &&
           set_int(handle, ZMQ_LINGER, linger_ms) &&
           set_int(handle, ZMQ_HEARTBEAT_IVL, beat->interval_ms) &&
           set_int(handle, ZMQ_HEARTBEAT_TIMEOUT, beat->timeout_ms) &&
           set_int(handle, ZMQ_HANDSHAKE_IVL, 10000);
}

#define HANDSHAKE_FAILED                                                                           \
    (ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |                  \
     ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

// The monitor's queue has no bound: at a full one libzmq's I/O thread would wait for us. An event
// has 60 bytes, and there are no more than four for each connection that was made.
static bool set_up_monitor(Socket *socket, void *context) {
    static atomic_uint monitors;
    char name[64];
    snprintf(name, sizeof name, "inproc://monitor-%u", atomic_fetch_add(&monitors, 1));
    socket->monitor = zmq_socket(context, ZMQ_PAIR);
    return socket->monitor != NULL &&
           zmq_socket_monitor(
               socket->handle, name,
               ZMQ_EVENT_DISCONNECTED |
                   (socket->role == SOCKET_DEALER ? HANDSHAKE_FAILED : ZMQ_EVENT_ACCEPTED)) == 0 &&
           set_int(socket->monitor, ZMQ_LINGER, 0) && set_int(socket->monitor, ZMQ_RCVHWM, 0) &&
           zmq_connect(socket->monitor, name) == 0;
}

static bool set_up_router(Socket *socket) {
    return set_common(socket, socket->lane == LANE_CONTROL ? 2000 : 0) &&
           set_int(socket->handle, ZMQ_ROUTER_MANDATORY, 1) &&
           set_int(socket->handle, ZMQ_SNDHWM, QUEUES[socket->lane].router_send) &&
           set_int(socket->handle, ZMQ_RCVHWM, QUEUES[socket->lane].router_receive) &&
           set_int(socket->handle, ZMQ_BACKLOG, 1024);
}

static bool set_up_dealer(Socket *socket) {
    // ZMQ_IMMEDIATE: nothing is queued for a connection that is not there, and what was queued is
    // not carried over to the next one, which has to begin with HELLO. A coordinator that comes
    // back is found within the longest time between tries.
    return set_common(socket, socket->lane == LANE_CONTROL ? 1000 : 0) &&
           set_int(socket->handle, ZMQ_IMMEDIATE, 1) &&
           set_int(socket->handle, ZMQ_SNDHWM, QUEUES[socket->lane].dealer_send) &&
           set_int(socket->handle, ZMQ_RCVHWM, QUEUES[socket->lane].dealer_receive) &&
           set_int(socket->handle, ZMQ_RECONNECT_IVL, 100) &&
           set_int(socket->handle, ZMQ_RECONNECT_IVL_MAX, 500) &&
           set_int(socket->handle, ZMQ_CONNECT_TIMEOUT, 5000);
}

Status socket_new(ZmqContext *context, Lane lane, SocketRole role, Socket **ret) {
    Socket *socket = mem_new(1, sizeof *socket);
    if (socket == NULL) {
        return STATUS_MEMORY;
    }
    socket->context = context;
    socket->lane = lane;
    socket->role = role;
    socket->is_touched = socket->monitor_is_touched = true;
    zmq_msg_init(&socket->route);
    zmq_msg_init(&socket->header);
    zmq_msg_init(&socket->payload);
    zmq_msg_init(&socket->excess);
    bool is_router = role == SOCKET_ROUTER;
    socket->handle = zmq_socket(context->handle, is_router ? ZMQ_ROUTER : ZMQ_DEALER);
    bool good =
        socket->handle != NULL && (is_router ? set_up_router(socket) : set_up_dealer(socket)) &&
        set_up_monitor(socket, context->handle) && get_int(socket->handle, ZMQ_FD, &socket->fd) &&
        get_int(socket->monitor, ZMQ_FD, &socket->monitor_fd);
    if (!good) {
        Status status = status_set(STATUS_IO, "cannot make a socket: %s", zmq_strerror(errno));
        socket_close(socket);
        return status;
    }
    *ret = socket;
    return STATUS_OK;
}

void socket_close(Socket *socket) {
    if (socket == NULL) {
        return;
    }
    if (socket->monitor != NULL) {
        zmq_socket_monitor(socket->handle, NULL, 0);
        zmq_close(socket->monitor);
    }
    if (socket->handle != NULL) {
        zmq_close(socket->handle);
    }
    zmq_msg_close(&socket->route);
    zmq_msg_close(&socket->header);
    zmq_msg_close(&socket->payload);
    zmq_msg_close(&socket->excess);
    mem_free(socket);
}

// IPv6 is off for an IPv4 address: libzmq would otherwise map it, which hosts without IPv6 refuse.
static bool set_text(const Socket *socket, int option, const char *text) {
    return zmq_setsockopt(socket->handle, option, text, strlen(text)) == 0;
}

// Without a domain libzmq would admit any key, and so it would without enforcing it if nobody
// answered ZAP: the gate does from before the first bind until after the last socket is closed.
static bool lock(const Socket *socket, const Address *address) {
    const ZmqContext *context = socket->context;
    return address->is_ipc || !context->is_locked ||
           (set_int(socket->handle, ZMQ_CURVE_SERVER, 1) &&
            set_text(socket, ZMQ_CURVE_SECRETKEY, context->own.secret_key) &&
            set_text(socket, ZMQ_ZAP_DOMAIN, GATE_DOMAIN) &&
            set_int(socket->handle, GATE_ENFORCE_DOMAIN, 1));
}

static bool unlock(const Socket *socket, const Address *address) {
    const ZmqContext *context = socket->context;
    return address->is_ipc || !context->has_keys ||
           (set_text(socket, ZMQ_CURVE_SERVERKEY, context->worker.coordinator) &&
            set_text(socket, ZMQ_CURVE_PUBLICKEY, context->worker.own.public_key) &&
            set_text(socket, ZMQ_CURVE_SECRETKEY, context->worker.own.secret_key));
}

Status socket_bind(Socket *socket, const Address *address) {
    char text[CHANNEL_ADDRESS_BYTES];
    address_text(address, text);
    if (lock(socket, address) && set_int(socket->handle, ZMQ_IPV6, address->is_ipv6) &&
        zmq_bind(socket->handle, text) == 0) {
        return STATUS_OK;
    }
    Status status = errno == EADDRINUSE ? STATUS_AGAIN : STATUS_IO;
    return status_set(status, "cannot listen on %s: %s", text, zmq_strerror(errno));
}

Status socket_connect(Socket *socket, const Address *address) {
    char text[CHANNEL_ADDRESS_BYTES];
    address_text(address, text);
    if (unlock(socket, address) && set_int(socket->handle, ZMQ_IPV6, address->is_ipv6) &&
        zmq_connect(socket->handle, text) == 0) {
        return STATUS_OK;
    }
    return status_set(STATUS_IO, "cannot connect to %s: %s", text, zmq_strerror(errno));
}

// ---- receiving ----

// Routing ids that libzmq makes are a zero and a counter.
static void read_route(zmq_msg_t *frame, Received *ret) {
    const unsigned char *bytes = zmq_msg_data(frame);
    ret->has_route = zmq_msg_size(frame) == 5 && bytes[0] == 0;
    if (ret->has_route) {
        ret->route = (uint32_t)bytes[1] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 8 |
                     bytes[4];
    }
}

// Takes the whole of a message, whatever it is. libzmq hands out a message's first part only when
// all its parts are there.
bool socket_receive(Socket *socket, Received *ret) {
    Received received = {.bytes = "", .fd = -1};
    bool is_router = socket->role == SOCKET_ROUTER;
    zmq_msg_t *first = is_router ? &socket->route : &socket->header;
    socket->is_touched = zmq_msg_recv(first, socket->handle, ZMQ_DONTWAIT) >= 0;
    if (!socket->is_touched) {
        return false;
    }
    if (is_router) {
        read_route(&socket->route, &received);
        if (zmq_msg_recv(&socket->header, socket->handle, ZMQ_DONTWAIT) < 0) {
            return false;
        }
    }
    int parts = 1;
    bool more = zmq_msg_more(&socket->header);
    while (more) {
        zmq_msg_t *frame = ++parts == 2 ? &socket->payload : &socket->excess;
        more = zmq_msg_recv(frame, socket->handle, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(frame);
    }
    // The routing id's own frame has the property only sometimes.
    received.fd = zmq_msg_get(&socket->header, ZMQ_SRCFD);
    size_t size = zmq_msg_size(&socket->header);
    bool fits = size <= HEADER_BYTES_MOST[socket->lane] &&
                (parts < 2 || zmq_msg_size(&socket->payload) <= PROTO_PIECE_BYTES);
    if (parts <= (socket->lane == LANE_BULK ? 2 : 1) && fits) {
        received.bytes = zmq_msg_data(&socket->header);
        received.size = size;
        received.payload = parts == 2 && size > 0 ? zmq_msg_data(&socket->payload) : NULL;
        received.payload_size = received.payload != NULL ? zmq_msg_size(&socket->payload) : 0;
    }
    *ret = received;
    return true;
}

const char *socket_user(Socket *socket) {
    const char *user = zmq_msg_gets(&socket->header, "User-Id");
    return user != NULL ? user : "";
}

const char *socket_address(Socket *socket) {
    const char *address = zmq_msg_gets(&socket->header, "Peer-Address");
    return address != NULL ? address : "";
}

const char *socket_problem(const Socket *socket) {
    return socket->problem;
}

// What a worker's user can do about it.
static void note_handshake(Socket *socket, uint16_t event) {
    const char *why = "the coordinator does not speak as this worker does: it wants keys (--keys) "
                      "or has none, or its key is another";
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
        why = "the coordinator does not admit this worker's key";
    }
    if ((event & HANDSHAKE_FAILED) != 0) {
        snprintf(socket->problem, sizeof socket->problem, "%s", why);
    }
}

bool socket_take_event(Socket *socket, int *ret_fd, bool *ret_is_new) {
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    bool found = false;
    // First frame: event (16 bits) and value (32 bits), host order, not aligned; then an address.
    while (!found && zmq_msg_recv(&frame, socket->monitor, ZMQ_DONTWAIT) >= 0) {
        uint16_t event = 0;
        int32_t value = -1;
        if (zmq_msg_size(&frame) >= sizeof event + sizeof value) {
            memcpy(&event, zmq_msg_data(&frame), sizeof event);
            memcpy(&value, (const char *)zmq_msg_data(&frame) + sizeof event, sizeof value);
        }
        while (zmq_msg_more(&frame) && zmq_msg_recv(&frame, socket->monitor, ZMQ_DONTWAIT) >= 0) {
            continue;
        }
        note_handshake(socket, event);
        *ret_is_new = event == ZMQ_EVENT_ACCEPTED;
        found = event == ZMQ_EVENT_DISCONNECTED || *ret_is_new;
        *ret_fd = found ? value : *ret_fd;
    }
    socket->monitor_is_touched = found;
    zmq_msg_close(&frame);
    return found;
}

void socket_settle(Socket *socket) {
    int events;
    socket->is_touched = true;
    get_int(socket->handle, ZMQ_EVENTS, &events);
}

// ---- sending ----

struct SharedPayload {
    atomic_uint owners;
    Buffer bytes;
};

SharedPayload *shared_payload_take(Buffer *bytes) {
    SharedPayload *shared = bytes->status == STATUS_OK ? mem_new(1, sizeof *shared) : NULL;
    if (shared != NULL) {
        atomic_init(&shared->owners, 1);
        shared->bytes = *bytes;
        *bytes = BUFFER_EMPTY;
    }
    return shared;
}

SharedPayload *shared_payload_new(const void *bytes, size_t size) {
    Buffer copy = BUFFER_EMPTY;
    buffer_append(&copy, bytes, size);
    SharedPayload *shared = shared_payload_take(&copy);
    buffer_done(&copy);
    return shared;
}

void shared_payload_release(SharedPayload *shared) {
    if (shared != NULL && atomic_fetch_sub(&shared->owners, 1) == 1) {
        buffer_done(&shared->bytes);
        mem_free(shared);
    }
}

bool shared_payload_has_left(const SharedPayload *shared) {
    return atomic_load(&shared->owners) == 1;
}

const unsigned char *shared_payload_bytes(const SharedPayload *shared) {
    return (const unsigned char *)shared->bytes.bytes;
}

// Called by libzmq when a frame has been sent or dropped, most often in an I/O thread.
static void release_frame(void *bytes, void *shared) {
    (void)bytes;
    shared_payload_release(shared);
}

static bool copy_frame(zmq_msg_t *frame, const void *bytes, size_t size) {
    if (zmq_msg_init_size(frame, size) != 0) {
        zmq_msg_init(frame);
        return false;
    }
    if (size > 0) {
        memcpy(zmq_msg_data(frame), bytes, size);
    }
    return true;
}

static bool share_frame(zmq_msg_t *frame, const Outgoing *message) {
    SharedPayload *shared = message->shared;
    size_t offset = (size_t)((const char *)message->payload - shared->bytes.bytes);
    assert(offset <= shared->bytes.size && message->payload_size <= shared->bytes.size - offset);
    atomic_fetch_add(&shared->owners, 1);
    if (zmq_msg_init_data(frame, shared->bytes.bytes + offset, message->payload_size, release_frame,
                          shared) == 0) {
        return true;
    }
    zmq_msg_init(frame);
    shared_payload_release(shared);
    return false;
}

// Initialises both frames, whatever it returns.
static bool make_frames(const Outgoing *message, zmq_msg_t *header, zmq_msg_t *payload) {
    bool made = copy_frame(header, message->bytes, message->size);
    if (!made || message->payload == NULL) {
        zmq_msg_init(payload);
        return made;
    }
    return message->shared != NULL ? share_frame(payload, message)
                                   : copy_frame(payload, message->payload, message->payload_size);
}

// 0 or errno. A ROUTER refuses the routing id or nothing: what follows is taken, or lost with the
// peer. A DEALER refuses the first frame, or a second one whose connection was lost in between,
// and has dropped the first then.
static int send_frames(Socket *socket, uint32_t route, zmq_msg_t *header, zmq_msg_t *payload) {
    const unsigned char id[5] = {0, (unsigned char)(route >> 24), (unsigned char)(route >> 16),
                                 (unsigned char)(route >> 8), (unsigned char)route};
    if (socket->role == SOCKET_ROUTER &&
        zmq_send(socket->handle, id, sizeof id, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) {
        return errno;
    }
    int more = payload != NULL ? ZMQ_SNDMORE : 0;
    if (zmq_msg_send(header, socket->handle, ZMQ_DONTWAIT | more) < 0 ||
        (payload != NULL && zmq_msg_send(payload, socket->handle, ZMQ_DONTWAIT) < 0)) {
        return errno;
    }
    return 0;
}

static Status status_of(int error) {
    switch (error) {
    case 0:
        return STATUS_OK;
    case EAGAIN:
        return status_set(STATUS_AGAIN, "the connection does not take what is sent to it");
    case EHOSTUNREACH:
        return status_set(STATUS_NOT_FOUND, "the connection is gone");
    default:
        return status_set(STATUS_IO, "cannot send: %s", zmq_strerror(error));
    }
}

Status socket_send(Socket *socket, const Outgoing *message) {
    assert(socket->lane == LANE_BULK || message->payload == NULL);
    // A longer frame would end the connection at the other side: a bug of ours, better told here.
    if (message->size > HEADER_BYTES_MOST[socket->lane] ||
        message->payload_size > PROTO_PIECE_BYTES) {
        return status_set(STATUS_LIMIT, "a message of %zu and %zu bytes is too large to send",
                          message->size, message->payload_size);
    }
    zmq_msg_t header, payload;
    socket->is_touched = true;
    bool made = make_frames(message, &header, &payload);
    int error = !made ? 0
                      : send_frames(socket, message->route, &header,
                                    message->payload != NULL ? &payload : NULL);
    // Frames that were sent are empty now; those that were not end here.
    zmq_msg_close(&header);
    zmq_msg_close(&payload);
    return made ? status_of(error)
                : status_set(STATUS_MEMORY, "out of memory: a message of %zu bytes",
                             message->size + message->payload_size);
}

// ---- waiting ----

// libzmq's descriptors are polled here, not by zmq_poll, which asks every socket twice, with two
// system calls each: a round trip would make a hundred of them. A descriptor tells of commands to a
// socket, not of messages in it, and any call may have carried out those commands. So a socket that
// was used since it was last found empty is asked first.
static bool is_ready(Socket *socket, bool to_send) {
    int events = 0;
    if ((socket->is_touched || to_send) && get_int(socket->handle, ZMQ_EVENTS, &events)) {
        socket->is_touched = (events & ZMQ_POLLIN) != 0;
    }
    return (events & (to_send ? ZMQ_POLLOUT : ZMQ_POLLIN)) != 0;
}

void socket_wait(SocketWait *wait, int64_t timeout_ms) {
    struct pollfd items[SOCKET_FDS_MOST + 2 * 2];
    struct pollfd *item = items;
    assert(wait->fd_count <= SOCKET_FDS_MOST);
    for (int i = 0; i < wait->fd_count; i++) {
        *item++ = (struct pollfd){.fd = wait->fds[i], .events = POLLIN};
    }
    int socket_count = 0;
    wait->has_lost = wait->fd_is_ready = false;
    for (; socket_count < 2 && wait->sockets[socket_count] != NULL; socket_count++) {
        Socket *socket = wait->sockets[socket_count];
        *item++ = (struct pollfd){.fd = socket->fd, .events = POLLIN};
        *item++ = (struct pollfd){.fd = socket->monitor_fd, .events = POLLIN};
        wait->is_ready[socket_count] = is_ready(socket, wait->to_send);
        wait->has_lost |= socket->monitor_is_touched;
        timeout_ms = wait->is_ready[socket_count] || wait->has_lost ? 0 : timeout_ms;
    }
    int most_ms = 3600000; // so that it fits an int; callers come again
    if (poll(items, (nfds_t)(item - items), timeout_ms > most_ms ? most_ms : (int)timeout_ms) <=
        0) {
        return;
    }
    item = items;
    for (int i = 0; i < wait->fd_count; i++) {
        wait->fd_is_ready |= item++->revents != 0;
    }
    for (int i = 0; i < socket_count; i++) {
        bool is_told = item++->revents != 0;
        wait->sockets[i]->is_touched |= is_told;
        wait->is_ready[i] |= is_told;
        wait->has_lost |= item++->revents != 0;
    }
}
