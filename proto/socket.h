// SPDX-License-Identifier: Apache-2.0
//
// One ZeroMQ socket of a lane with all its options, and whole messages through it: never part of
// one, never waiting except in socket_wait. Its .c is the only includer of zmq.h. Internal to
// proto/; a socket belongs to one thread.
#ifndef AUSCULT_PROTO_SOCKET_H
#define AUSCULT_PROTO_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/address.h"
#include "proto/channel.h"
#include "proto/gate.h"

typedef enum SocketRole { SOCKET_ROUTER, SOCKET_DEALER } SocketRole;
typedef struct Socket Socket;

// A socket that is neither bound nor connected. STATUS_IO, STATUS_MEMORY.
Status socket_new(ZmqContext *context, Lane lane, SocketRole role, Socket **ret);
void socket_close(Socket *socket);
// Numeric addresses only. socket_bind: STATUS_AGAIN when the address is in use, STATUS_IO
// otherwise; it may be called again after either.
Status socket_bind(Socket *socket, const Address *address);
Status socket_connect(Socket *socket, const Address *address);

// A new pair of CURVE keys as text, KEY_TEXT_BYTES each. STATUS_INVALID: this libzmq has no CURVE.
Status socket_make_keys(char *ret_public, char *ret_secret);
// Who may connect; NULL where the context has no lock.
Gate *socket_gate(const ZmqContext *context);
// The key of who sent the message received last, of a ROUTER with CURVE; "" of others. Borrowed.
const char *socket_user(Socket *socket);
// The numeric address it came from, "" when that is not known. Borrowed.
const char *socket_address(Socket *socket);
// Why a DEALER's last handshake failed, "" when it did not; borrowed.
const char *socket_problem(const Socket *socket);

// One message; bytes are borrowed until the next call.
typedef struct Received {
    const void *bytes; // "" and size 0: a number or size of frames that the lane has not
    size_t size;
    const void *payload; // NULL when there is none
    size_t payload_size;
    bool has_route; // of a ROUTER: whether libzmq made the peer's routing id
    uint32_t route; // and its number
    int fd;         // of the connection, -1 when libzmq does not tell
} Received;
// false: there is none.
bool socket_receive(Socket *socket, Received *ret);

typedef struct Outgoing {
    uint32_t route; // of a ROUTER
    const void *bytes;
    size_t size;
    const void *payload; // NULL for none
    size_t payload_size;
    SharedPayload *shared; // what the payload is part of and is sent from; NULL: it is copied
} Outgoing;
// STATUS_AGAIN: the queue is full (DEALER: or there is no connection); STATUS_NOT_FOUND: the
// peer is gone; STATUS_LIMIT: larger than the other side accepts.
Status socket_send(Socket *socket, const Outgoing *message);

// The first byte of a shared block; borrowed from it.
const unsigned char *shared_payload_bytes(const SharedPayload *shared);

// The next connection that was lost, with its former descriptor, or (of a ROUTER) accepted. false:
// there is none.
bool socket_take_event(Socket *socket, int *ret_fd, bool *ret_is_new);
// Makes libzmq note now which peers have gone; sends put that off.
void socket_settle(Socket *socket);

// Waits until a socket has a message (or a lost connection), a DEALER can be sent to
// (`to_send`), a descriptor is readable, or the time is up (-1: never). Returns early, with
// nothing ready, when a signal comes.
typedef struct SocketWait {
    Socket *sockets[2]; // NULL where there are fewer
    bool to_send;
    const int *fds;
    int fd_count;     // at most SOCKET_FDS_MOST
    bool is_ready[2]; // out: of the sockets; false: there is no message, or no room to send
    bool has_lost;    // out: false: none of the sockets has a lost connection to tell
    bool fd_is_ready; // out: one of the descriptors is readable
} SocketWait;
#define SOCKET_FDS_MOST 8
void socket_wait(SocketWait *wait, int64_t timeout_ms);

#endif
