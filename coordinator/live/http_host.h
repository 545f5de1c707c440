// SPDX-License-Identifier: Apache-2.0
//
// Where the live page listens, and by which names it may be asked for. A browser that was led here
// by a name that somebody else's DNS points at this machine would let their page read ours, so a
// request whose Host is none of ours is refused. Pure functions, any thread.
#ifndef AUSCULT_COORDINATOR_LIVE_HTTP_HOST_H
#define AUSCULT_COORDINATOR_LIVE_HTTP_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/limits.h"
#include "common/base/status.h"

typedef struct HttpAddress {
    char host[LIMIT_NAME_BYTES]; // as typed, without brackets: "127.0.0.1", "::1", "node7"
    uint16_t port;               // 0: any free one
} HttpAddress;

// "HOST:PORT", an IPv6 address in brackets. STATUS_INVALID.
Status http_address_parse(const char *text, HttpAddress *ret);

// Whether a request with this Host header is for us. Always: localhost, 127.0.0.1, [::1] and the
// address that was typed, with any port or none (a tunnel may have another). Where that address is
// 0.0.0.0 or ::, every numeric address too, since only names can be made to point here, and
// `own_name`, the machine's. NULL is no header.
bool http_host_is_ours(const char *header, const HttpAddress *bound, const char *own_name);

#endif
