// SPDX-License-Identifier: Apache-2.0
//
// Endpoints as people write them, and as libzmq gets them: "ipc://PATH" within the bound of
// sockaddr_un, "tcp://HOST:PORT" with HOST resolved in the calling thread, because libzmq would
// resolve in its I/O thread, where one slow name server stops all traffic. Internal to proto/;
// knows nothing of ZeroMQ. Any thread.
#ifndef AUSCULT_PROTO_ADDRESS_H
#define AUSCULT_PROTO_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "proto/channel.h"

#define ADDRESS_HOST_BYTES    256 // NI_MAXHOST is 1025, a DNS name at most 253
#define ADDRESS_PATH_BYTES    108 // sun_path of Linux, with its NUL
#define ADDRESS_RESOLVED_MOST 8   // addresses of one name that are tried

typedef struct Address {
    bool is_ipc;
    char path[ADDRESS_PATH_BYTES]; // ipc
    char host[ADDRESS_HOST_BYTES]; // tcp, without brackets; "*" for every interface
    bool is_ipv6;                  // of a numeric host, and for "*"
    uint16_t port;                 // tcp, 0: any free one
} Address;

// STATUS_INVALID for what is neither form; STATUS_LIMIT for an ipc path that, with ".bulk" behind
// it, does not fit sockaddr_un.
Status address_parse(const char *endpoint, Address *ret);
// The endpoint as libzmq takes it.
void address_text(const Address *address, char out[CHANNEL_ADDRESS_BYTES]);
// The bulk lane's address beside the control lane's: another port, or ".bulk" behind the path.
// STATUS_INVALID for a tcp port that is none.
Status address_bulk(const Address *control, uint32_t port, Address *ret);

// Numeric addresses of the host, in the resolver's order, ports kept; `to_bind` lets names of
// network interfaces and "*" pass. STATUS_IO names a host that has none.
Status address_resolve(const Address *address, bool to_bind,
                       Address ret_found[ADDRESS_RESOLVED_MOST], size_t *ret_count);
// The first of several that accepts a TCP connection within a second each, or the first of all:
// a name with an IPv6 and an IPv4 address may be served on one of them only.
const Address *address_pick(const Address *found, size_t count);
// Whether somebody listens at an ipc path: binding would silently take the path away from them.
bool address_is_taken(const Address *ipc);
// How others may reach "*": this host's name if it resolves; otherwise the first address of an
// interface that is no loopback, IPv4 before IPv6; 127.0.0.1 where there is none.
void address_of_this_host(char out[ADDRESS_HOST_BYTES]);

#endif
