// SPDX-License-Identifier: Apache-2.0
#include "coordinator/live/http_host.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "common/base/text.h"

static Status wrong(const char *text) {
    return status_set(STATUS_INVALID,
                      "--http accepts HOST:PORT, such as 127.0.0.1:8080 or "
                      "[::1]:0, not %.200s",
                      text);
}

static bool is_number(const char *text) {
    return text[0] != '\0' && strspn(text, "0123456789") == strlen(text);
}

// Splits "HOST:PORT" or "[HOST]:PORT"; without a port that is "". False when it is neither.
static bool split(const char *text, char host[LIMIT_NAME_BYTES], const char **ret_port) {
    bool has_bracket = text[0] == '[';
    const char *start = text + has_bracket;
    size_t size = strcspn(start, has_bracket ? "]" : ":");
    if (size == 0 || size >= LIMIT_NAME_BYTES || (has_bracket && start[size] != ']')) {
        return false;
    }
    const char *end = start + size + has_bracket;
    memcpy(host, start, size);
    host[size] = '\0';
    *ret_port = *end == ':' ? end + 1 : end;
    return *end == '\0' || (*end == ':' && is_number(end + 1));
}

Status http_address_parse(const char *text, HttpAddress *ret) {
    HttpAddress address;
    const char *port_text;
    int64_t port;
    if (!split(text, address.host, &port_text) || port_text[0] == '\0' ||
        text_to_int(port_text, &port) != STATUS_OK || port < 0 || port > UINT16_MAX) {
        return wrong(text);
    }
    address.port = (uint16_t)port;
    *ret = address;
    return STATUS_OK;
}

static bool is_numeric(const char *host) {
    unsigned char bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

bool http_host_is_ours(const char *header, const HttpAddress *bound, const char *own_name) {
    static const char *const ALWAYS[] = {"localhost", "127.0.0.1", "::1"};
    char host[LIMIT_NAME_BYTES];
    const char *port;
    if (header == NULL || !split(header, host, &port)) {
        return false;
    }
    for (size_t i = 0; i < sizeof ALWAYS / sizeof ALWAYS[0]; i++) {
        if (strcasecmp(host, ALWAYS[i]) == 0) {
            return true;
        }
    }
    bool is_any = strcmp(bound->host, "0.0.0.0") == 0 || strcmp(bound->host, "::") == 0;
    return strcasecmp(host, bound->host) == 0 ||
           (is_any && (is_numeric(host) || strcasecmp(host, own_name) == 0));
}
