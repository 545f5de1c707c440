// SPDX-License-Identifier: Apache-2.0
#include "proto/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/text.h"

#define BULK_SUFFIX ".bulk"
#define PICK_MS     1000

static Status parse_ipc(const char *endpoint, const char *path, Address *ret) {
    size_t most = ADDRESS_PATH_BYTES - 1 - strlen(BULK_SUFFIX);
    // libzmq gives '@' and '*' meanings that have no folder, so no permissions protect them.
    if (path[0] == '\0' || path[0] == '@' || path[0] == '*') {
        return status_set(STATUS_INVALID, "'%s' names no path", endpoint);
    }
    if (strlen(path) > most) {
        return status_set(STATUS_LIMIT,
                          "the socket path '%s' has %zu bytes, the system allows %zu here: "
                          "use a shorter folder name",
                          path, strlen(path), most);
    }
    Address address = {.is_ipc = true};
    text_copy(address.path, sizeof address.path, path);
    *ret = address;
    return STATUS_OK;
}

static Status parse_tcp(const char *endpoint, const char *rest, Address *ret) {
    const char *colon = strrchr(rest, ':');
    int64_t port = -1;
    if (colon == NULL || text_to_int(colon + 1, &port) != STATUS_OK || port < 0 ||
        port > UINT16_MAX) {
        return status_set(STATUS_INVALID, "'%s' has no port from 0 to 65535 at its end", endpoint);
    }
    size_t size = (size_t)(colon - rest);
    bool brackets = size >= 2 && rest[0] == '[' && rest[size - 1] == ']';
    if (brackets) {
        rest++;
        size -= 2;
    }
    if (size == 0 || size >= ADDRESS_HOST_BYTES || (!brackets && memchr(rest, ':', size) != NULL)) {
        return status_set(STATUS_INVALID, "'%s' has no host (IPv6 stands in brackets)", endpoint);
    }
    Address address = {.port = (uint16_t)port};
    memcpy(address.host, rest, size);
    address.is_ipv6 = brackets || strcmp(address.host, "*") == 0;
    *ret = address;
    return STATUS_OK;
}

Status address_parse(const char *endpoint, Address *ret) {
    if (text_starts(endpoint, "ipc://")) {
        return parse_ipc(endpoint, endpoint + 6, ret);
    }
    if (text_starts(endpoint, "tcp://")) {
        return parse_tcp(endpoint, endpoint + 6, ret);
    }
    return status_set(STATUS_INVALID, "'%s' is neither ipc://PATH nor tcp://HOST:PORT", endpoint);
}

void address_text(const Address *address, char out[CHANNEL_ADDRESS_BYTES]) {
    if (address->is_ipc) {
        snprintf(out, CHANNEL_ADDRESS_BYTES, "ipc://%s", address->path);
    } else if (strchr(address->host, ':') != NULL) {
        snprintf(out, CHANNEL_ADDRESS_BYTES, "tcp://[%s]:%u", address->host, address->port);
    } else {
        snprintf(out, CHANNEL_ADDRESS_BYTES, "tcp://%s:%u", address->host, address->port);
    }
}

static bool to_numeric(const struct sockaddr *from, socklen_t size, uint16_t port, Address *ret) {
    Address address = {.port = port, .is_ipv6 = from->sa_family == AF_INET6};
    if (getnameinfo(from, size, address.host, sizeof address.host, NULL, 0, NI_NUMERICHOST) != 0) {
        return false;
    }
    *ret = address;
    return true;
}

// The addresses of the network interface called like the host, IPv4 first.
static size_t of_interface(const Address *named, Address *ret_found) {
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0) {
        return 0;
    }
    size_t count = 0;
    static const int FAMILIES[] = {AF_INET, AF_INET6};
    for (int f = 0; f < 2; f++) {
        socklen_t size =
            FAMILIES[f] == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        for (struct ifaddrs *at = all; at != NULL && count < ADDRESS_RESOLVED_MOST;
             at = at->ifa_next) {
            if (at->ifa_addr != NULL && at->ifa_addr->sa_family == FAMILIES[f] &&
                strcmp(at->ifa_name, named->host) == 0) {
                count += to_numeric(at->ifa_addr, size, named->port, &ret_found[count]);
            }
        }
    }
    freeifaddrs(all);
    return count;
}

Status address_resolve(const Address *address, bool to_bind,
                       Address ret_found[ADDRESS_RESOLVED_MOST], size_t *ret_count) {
    size_t count = 0;
    if (to_bind && strcmp(address->host, "*") == 0) {
        ret_found[0] = *address;
        count = 1;
    } else if (to_bind) {
        count = of_interface(address, ret_found);
    }
    if (count > 0) {
        *ret_count = count;
        return STATUS_OK;
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(address->host, NULL, &hints, &list);
    if (rc != 0) {
        return status_set(STATUS_IO, "cannot resolve the host '%s': %s", address->host,
                          rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
    }
    for (struct addrinfo *at = list; at != NULL && count < ADDRESS_RESOLVED_MOST;
         at = at->ai_next) {
        count += to_numeric(at->ai_addr, at->ai_addrlen, address->port, &ret_found[count]);
    }
    freeaddrinfo(list);
    if (count == 0) {
        return status_set(STATUS_IO, "the host '%s' has no address", address->host);
    }
    *ret_count = count;
    return STATUS_OK;
}

// Whether a connection is accepted before the time is up.
static bool answers(const Address *address) {
    char port[8];
    snprintf(port, sizeof port, "%u", address->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *list = NULL;
    if (getaddrinfo(address->host, port, &hints, &list) != 0) {
        return false;
    }
    int fd = socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool good = fd >= 0 && connect(fd, list->ai_addr, list->ai_addrlen) == 0;
    if (fd >= 0 && !good && errno == EINPROGRESS) {
        struct pollfd item = {.fd = fd, .events = POLLOUT};
        int error = 1;
        socklen_t size = sizeof error;
        good = poll(&item, 1, PICK_MS) == 1 &&
               getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    freeaddrinfo(list);
    return good;
}

const Address *address_pick(const Address *found, size_t count) {
    for (size_t i = 0; i < count && count > 1; i++) {
        if (answers(&found[i])) {
            return &found[i];
        }
    }
    return found;
}

bool address_is_taken(const Address *ipc) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    text_copy(name.sun_path, sizeof name.sun_path, ipc->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    bool connected = connect(fd, (const struct sockaddr *)&name, sizeof name) == 0;
    bool queue_full = !connected && errno == EAGAIN;
    close(fd);
    return connected || queue_full;
}

static bool is_for_others(const struct ifaddrs *at, int family) {
    if (at->ifa_addr == NULL || at->ifa_addr->sa_family != family ||
        (at->ifa_flags & IFF_LOOPBACK) != 0 || (at->ifa_flags & IFF_UP) == 0) {
        return false;
    }
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)at->ifa_addr;
    return family == AF_INET || !IN6_IS_ADDR_LINKLOCAL(&six->sin6_addr);
}

static bool of_any_interface(Address *ret) {
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0) {
        return false;
    }
    bool found = false;
    static const int FAMILIES[] = {AF_INET, AF_INET6};
    for (int f = 0; f < 2 && !found; f++) {
        socklen_t size =
            FAMILIES[f] == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        for (struct ifaddrs *at = all; at != NULL && !found; at = at->ifa_next) {
            found = is_for_others(at, FAMILIES[f]) && to_numeric(at->ifa_addr, size, 0, ret);
        }
    }
    freeifaddrs(all);
    return found;
}

void address_of_this_host(char out[ADDRESS_HOST_BYTES]) {
    char name[ADDRESS_HOST_BYTES] = "";
    Address address;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    bool known = gethostname(name, sizeof name - 1) == 0 && name[0] != '\0' &&
                 getaddrinfo(name, NULL, &hints, &list) == 0;
    if (list != NULL) {
        freeaddrinfo(list);
    }
    if (!known) {
        text_copy(name, sizeof name, of_any_interface(&address) ? address.host : "127.0.0.1");
    }
    text_copy(out, ADDRESS_HOST_BYTES, name);
}

Status address_bulk(const Address *control, uint32_t port, Address *ret) {
    Address address = *control;
    if (address.is_ipc) {
        strcat(address.path, BULK_SUFFIX); // address_parse left room for it
    } else if (port == 0 || port > UINT16_MAX) {
        return status_set(STATUS_INVALID, "%u is no port for the bulk lane of %s", port,
                          control->host);
    }
    address.port = (uint16_t)port;
    *ret = address;
    return STATUS_OK;
}
