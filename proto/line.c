// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "proto/address.h"
#include "proto/channel.h"
#include "proto/socket.h"

struct Line {
    Socket *socket;
    bool is_lost;  // its connection ended; libzmq makes another, which nobody asked for
    bool may_have; // messages that no wait told of, behind one that was received
};

// Milliseconds left until a deadline (-1: never).
static int64_t left_ms(int64_t deadline_ms) {
    int64_t left = deadline_ms < 0 ? -1 : deadline_ms - clock_ms();
    return deadline_ms >= 0 && left < 0 ? 0 : left;
}

static int64_t deadline_after(int64_t timeout_ms) {
    return timeout_ms < 0 ? -1 : clock_ms() + timeout_ms;
}

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
    status = socket_new(context, lane, SOCKET_DEALER, &line->socket);
    status = status == STATUS_OK ? socket_connect(line->socket, &address) : status;
    if (status != STATUS_OK) {
        line_close(line);
        return status;
    }
    *ret = line;
    return STATUS_OK;
}

Status line_check_endpoint(const char *endpoint) {
    Address address;
    Status status = address_parse(endpoint, &address);
    return status == STATUS_OK && !address.is_ipc && address.port == 0
               ? status_set(STATUS_INVALID, "'%s' has port 0, which nobody listens at", endpoint)
               : status;
}

void line_close(Line *line) {
    if (line != NULL) {
        socket_close(line->socket);
        mem_free(line);
    }
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

const char *line_problem(const Line *line) {
    return socket_problem(line->socket);
}

static bool is_lost(Line *line) {
    int fd;
    bool is_new;
    line->is_lost = line->is_lost || socket_take_event(line->socket, &fd, &is_new);
    if (line->is_lost) {
        status_set(STATUS_NOT_FOUND, "the connection to the coordinator was lost");
    }
    return line->is_lost;
}

Status line_send(Line *line, const void *bytes, size_t size, const void *payload,
                 size_t payload_size, int64_t timeout_ms) {
    const Outgoing message = {
        .bytes = bytes, .size = size, .payload = payload, .payload_size = payload_size};
    int64_t deadline_ms = deadline_after(timeout_ms);
    for (;;) {
        if (is_lost(line)) {
            return STATUS_NOT_FOUND;
        }
        Status status = socket_send(line->socket, &message);
        int64_t wait_ms = left_ms(deadline_ms);
        if (status != STATUS_AGAIN || wait_ms == 0) {
            return status;
        }
        SocketWait wait = {.sockets = {line->socket}, .to_send = true};
        socket_wait(&wait, wait_ms);
    }
}

Status line_receive(Line *line, int wake_fd, int64_t timeout_ms, LineMessage *ret,
                    bool *ret_woken) {
    SocketWait wait = {.sockets = {line->socket}, .fds = &wake_fd, .fd_count = wake_fd >= 0};
    int64_t deadline_ms = deadline_after(timeout_ms);
    Received received;
    *ret_woken = false;
    for (;;) {
        int64_t wait_ms = left_ms(deadline_ms);
        if (wake_fd >= 0 || wait_ms != 0 || !line->may_have) {
            socket_wait(&wait, wait_ms); // first of all, so that messages do not keep a waker out
            line->may_have = wait.is_ready[0];
        }
        if (wait.fd_is_ready) {
            *ret_woken = true;
            return STATUS_AGAIN;
        }
        line->may_have = line->may_have && socket_receive(line->socket, &received);
        if (line->may_have) {
            *ret = (LineMessage){received.bytes, received.size, received.payload,
                                 received.payload_size};
            return STATUS_OK;
        }
        if ((wait.has_lost || line->is_lost) && is_lost(line)) {
            return STATUS_NOT_FOUND;
        }
        if (wait_ms == 0) {
            return STATUS_AGAIN;
        }
    }
}
