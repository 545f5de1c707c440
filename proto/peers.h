// SPDX-License-Identifier: Apache-2.0
//
// Who is connected to the coordinator's two ROUTERs: from the routing id that libzmq made for a
// connection to our PeerId and back, and what is known of its end. A fixed number of entries, made
// when the listener opens. Internal to proto/; used by the listener's thread only.
#ifndef AUSCULT_PROTO_PEERS_H
#define AUSCULT_PROTO_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/channel.h"

#define PEER_ADDRESS_BYTES 64 // a numeric IPv6 address with the name of an interface

typedef struct Peer {
    PeerId id; // 0: the entry is free
    Lane lane;
    uint32_t route;            // the routing id: libzmq's counter
    int fd;                    // of the connection, -1 when unknown: what the monitor's events name
    bool is_dropped;           // the caller wants nothing of it any more
    bool is_gone;              // the connection is lost; LISTENER_CLOSED follows its last message
    uint64_t gone_at;          // the lane's `empties` when it was found gone
    uint64_t heard_at;         // the lane's `received` at its last message
    int64_t probe_at_ms;       // when to look again whether it is gone; 0: not suspected
    int probe_step;            // how often that was done
    bool is_shut_out;          // its key is not admitted any more: what it says is passed over
    char user[KEY_TEXT_BYTES]; // the key it came in by, "" without
    char address[PEER_ADDRESS_BYTES]; // where from, "" when unknown
    int64_t second_ms;                // when the second began in which
    uint32_t in_second;               // it has sent so many messages
    struct Peer *next_by_route, *next_by_id;
} Peer;

typedef struct Peers Peers;

// NULL when out of memory.
Peers *peers_new(uint32_t most);
void peers_free(Peers *peers);

Peer *peers_by_route(const Peers *peers, Lane lane, uint32_t route);
Peer *peers_by_id(const Peers *peers, PeerId id);
// A new entry with a new id. When all are taken, the entry of a dropped peer is used; NULL when
// there is none either.
Peer *peers_add(Peers *peers, Lane lane, uint32_t route);
void peers_remove(Peers *peers, Peer *peer);
// All entries in turn: NULL begins, NULL ends. The last one given may be removed.
Peer *peers_next(const Peers *peers, const Peer *last);

#endif
