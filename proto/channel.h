// SPDX-License-Identifier: Apache-2.0
//
// The sockets: the coordinator's side binds two ROUTERs (control and bulk) and sees peers as small
// numbers; the worker's side is one DEALER per lane. Everything that is known as a trap of
// ZeroMQ is dealt with here: mandatory routing, explicit linger, bounded message sizes, heartbeats,
// high-water marks, IPv6, file-descriptor limits. One socket belongs to one thread: a Listener to
// the coordinator's loop, each Line to the worker thread that opened it. listener.c and line.c
// stand on socket.c, the only includer of zmq.h.
#ifndef AUSCULT_PROTO_CHANNEL_H
#define AUSCULT_PROTO_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/status.h"
#include "proto/keys.h"

#define CHANNEL_ADDRESS_BYTES 512

typedef enum Lane { LANE_CONTROL, LANE_BULK } Lane;

typedef struct ZmqContext ZmqContext;
// One per process. NULL on failure.
ZmqContext *zmq_context_new(void);
void zmq_context_free(ZmqContext *context);

// Before the first socket. From then on whatever is bound or connected on tcp by this context
// speaks CURVE; ipc does not. `own` and `worker` are copied; the context wipes its copies. `list`:
// the file with the keys that are admitted, looked at again when it changes. STATUS_INVALID: this
// libzmq has no CURVE; and what keys_read_list returns.
Status zmq_context_lock(ZmqContext *context, const KeyPair *own, const char *list);
Status zmq_context_unlock(ZmqContext *context, const WorkerKeys *worker);

// ---- the coordinator's side ----

typedef struct Listener Listener;
typedef uint32_t PeerId; // one connection of one lane; never used again after it is gone

typedef enum ListenerEventKind {
    LISTENER_MESSAGE, // `peer` on `lane` sent `bytes` (and `payload` on the bulk lane)
    LISTENER_CLOSED,  // the connection is gone; comes once, after all its messages
    LISTENER_WAKE,    // one of the caller's own descriptors is readable
} ListenerEventKind;

typedef struct ListenerEvent {
    ListenerEventKind kind;
    Lane lane;
    PeerId peer;
    const void *bytes;   // borrowed until the next listener_next; not aligned
    size_t size;         // 0: a number or size of frames that the lane does not allow
    const void *payload; // NULL when there is none
    size_t payload_size;
    const char *fault; // why it counts as malformed whatever it says, NULL: it does not
} ListenerEvent;

// Binds both lanes. `endpoint`: "ipc://PATH" (bulk at PATH.bulk) or "tcp://HOST:PORT", where HOST
// is a name, an interface's address, [IPv6] or *, and PORT 0 takes a free one below 32768. Raises
// RLIMIT_NOFILE for `workers_most` sessions, or refuses naming the number (STATUS_LIMIT). STATUS_IO
// names endpoint and reason, STATUS_INVALID is no endpoint. An ipc path whose bulk path is beyond
// 107 bytes is STATUS_LIMIT, one that a living coordinator listens at STATUS_IO. The bulk lane gets
// the port after PORT if that is free. HOST may also be the name of a network interface.
Status listener_open(ZmqContext *context, const char *endpoint, uint32_t workers_most,
                     Listener **ret);
void listener_close(Listener *listener);
// What workers connect to: "tcp://ADDRESS:PORT" (ADDRESS numeric; * becomes this host's name) or
// ipc://..., and the bulk lane's port (0 on ipc). Borrowed.
const char *listener_endpoint(const Listener *listener);
uint32_t listener_bulk_port(const Listener *listener);

// Adds a descriptor of the caller's (journal, signals) that wakes listener_wait.
Status listener_watch(Listener *listener, int fd);
// Waits until something is there or the time is up (ms, -1: for ever); returns early when a signal
// comes, so that the loop can look at it.
void listener_wait(Listener *listener, int64_t timeout_ms);
// Takes the next event, false when there is none. Control goes before bulk, but does not starve it.
// A peer is known from its first message; the listener sends ECHO to peers that it suspects gone.
bool listener_next(Listener *listener, ListenerEvent *ret_event);

// Queues one message to a peer; payload NULL for none. STATUS_NOT_FOUND: the peer is gone;
// STATUS_AGAIN: its queue is full, which ends its session (credits and pieces are sized so that
// this cannot happen to a healthy worker).
Status listener_send(Listener *listener, Lane lane, PeerId peer, const void *bytes, size_t size,
                     const void *payload, size_t payload_size);
// As listener_send, but the payload is one shared block, sent without copying to each peer:
// `shared` is reference-counted by shared_payload_*.
typedef struct SharedPayload SharedPayload;
SharedPayload *shared_payload_new(const void *bytes, size_t size); // copies once; NULL: no memory
SharedPayload *
shared_payload_take(Buffer *bytes); // copies nothing, leaves it empty; NULL: as it was
void shared_payload_release(SharedPayload *shared);
// Whether all that was sent of it has left, or was dropped with its connection.
bool shared_payload_has_left(const SharedPayload *shared);
Status listener_send_shared(Listener *listener, PeerId peer, const void *bytes, size_t size,
                            SharedPayload *shared, size_t offset, size_t payload_size);
// What is wrong with the list of keys since it could last be read, "" when it can again. True once
// for each change.
bool listener_take_problem(Listener *listener, char *out, size_t size);
// Forgets a peer: what it still sends is ignored, sends to it are STATUS_NOT_FOUND, no
// LISTENER_CLOSED comes. What was sent to it before arrives; a second later its connection is shut.
void listener_drop(Listener *listener, Lane lane, PeerId peer);
// Where a peer is connected from, a numeric address; "" when it is not known, and on ipc. Borrowed
// until the next listener_next.
const char *listener_address(const Listener *listener, PeerId peer);
// Whether both came in by the same key, or both without.
bool listener_same_key(const Listener *listener, PeerId a, PeerId b);
// Connections that were shut so far: silent for 15 s, refused a second ago, or too many
// (LIMIT_STRANGERS).
uint64_t listener_shut(const Listener *listener);

// ---- the worker's side ----

typedef struct Line Line;
// Connects (lazily, as ZeroMQ does). A host name is resolved here, in the caller's thread.
Status line_open(ZmqContext *context, const char *endpoint, Lane lane, Line **ret);
void line_close(Line *line);
// STATUS_INVALID, STATUS_LIMIT: an endpoint that nothing can ever be connected to.
Status line_check_endpoint(const char *endpoint);
// "tcp://HOST:PORT" with another port, or the ipc path with ".bulk": the bulk lane's endpoint.
Status line_bulk_endpoint(const char *control, uint32_t bulk_port, char out[CHANNEL_ADDRESS_BYTES]);
// STATUS_AGAIN when the queue stays full, or there is no connection yet, for `timeout_ms` (-1: for
// ever, 0: does not wait). STATUS_NOT_FOUND: the connection that there was is lost, and with it
// what was queued; from then on the line only needs closing.
Status line_send(Line *line, const void *bytes, size_t size, const void *payload,
                 size_t payload_size, int64_t timeout_ms);
// Why the last handshake of the line went wrong, "" when none did; borrowed.
const char *line_problem(const Line *line);
// Receives one message; contents borrowed until the next call. STATUS_AGAIN after `timeout_ms`, and
// also as soon as `wake_fd` (or -1) is readable: then *ret_woken is true, also when messages wait.
// STATUS_NOT_FOUND as above, after the last message.
typedef struct LineMessage {
    const void *bytes;   // not aligned
    size_t size;         // 0: a number or size of frames that the lane does not allow
    const void *payload; // NULL when there is none
    size_t payload_size;
} LineMessage;
Status line_receive(Line *line, int wake_fd, int64_t timeout_ms, LineMessage *ret, bool *ret_woken);

#endif
