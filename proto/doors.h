// SPDX-License-Identifier: Apache-2.0
//
// The connections that have no claim to be there: those that have said nothing yet, and those that
// were refused. libzmq 4.3.4 keeps both for as long as the other side likes, and each takes one of
// our file descriptors: here they are shut when their time is up, or when there are too many of
// them, the oldest first. Internal to proto/; used by the listener's thread only.
#ifndef AUSCULT_PROTO_DOORS_H
#define AUSCULT_PROTO_DOORS_H

#include <stdint.h>

#include "proto/channel.h"
#include "proto/peers.h"

// Raises RLIMIT_NOFILE for so many sessions, as far as it may be raised, or refuses naming the
// number (STATUS_LIMIT). `*ret_strangers`: connections beside theirs that there is room for, of
// each kind.
Status doors_make_room(uint32_t workers_most, uint32_t *ret_strangers);

typedef struct Doors Doors;
// `most` strangers, and as many that were refused. NULL when out of memory.
Doors *doors_new(uint32_t most);
void doors_free(Doors *doors);

// A connection of this descriptor was accepted; was lost; has sent its first message; is refused.
void doors_accepted(Doors *doors, Lane lane, int fd, int64_t now_ms);
void doors_closed(Doors *doors, Lane lane, int fd);
void doors_heard(Doors *doors, Lane lane, int fd);
void doors_refused(Doors *doors, Lane lane, int fd, int64_t now_ms);
// Shuts those whose time is up; `peers` tells who was heard of after all. Between two waits.
void doors_tick(Doors *doors, const Peers *peers, int64_t now_ms);
// Connections shut so far.
uint64_t doors_shut(const Doors *doors);

#endif
