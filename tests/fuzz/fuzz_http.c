// SPDX-License-Identifier: Apache-2.0
//
// Requests to the live page, whole, over a real connection to a real server that has something to
// show: whatever is sent, what comes back is one answer in the form of HTTP, or nothing.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/text.h"
#include "coordinator/live/http.h"
#include "tests/fuzz/fuzz.h"

enum { ANSWER_BYTES = 1 << 16, PATIENCE_S = 20 };

static Http *http;
static struct sockaddr_in address;

// Each connection comes from another address of this machine, 127.0.0.2 and so on: a port that was
// used is not free again for a minute, and thousands a second are used.
static int connect_to_page(void) {
    static uint32_t count;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    struct timeval patience = {.tv_sec = PATIENCE_S};
    struct sockaddr_in own = {.sin_family = AF_INET,
                              .sin_addr = {htonl(INADDR_LOOPBACK + 1 + count++ % 100000)}};
    if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        bind(fd, (struct sockaddr *)&own, sizeof own) != 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        perror("fuzz_http");
        fuzz_fail("no connection to the live page");
    }
    return fd;
}

// Everything until the server closes; an answer that was cut off by a reset is what came before.
static size_t hear(int fd, char *answer) {
    size_t size = 0;
    while (size < ANSWER_BYTES) {
        ssize_t got = recv(fd, answer + size, ANSWER_BYTES - size, 0);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            fuzz_fail("the live page neither answers nor closes");
        }
        if (got <= 0) {
            break;
        }
        size += (size_t)got;
    }
    return size;
}

// Sends a request and ends the sending; whether it was answered by a page.
static bool read_request(const char *bytes, size_t size) {
    static char answer[ANSWER_BYTES + 1];
    int fd = connect_to_page();
    (void)send(fd, bytes, size, MSG_NOSIGNAL); // the server may have closed already
    (void)shutdown(fd, SHUT_WR);
    size_t heard = hear(fd, answer);
    close(fd);
    answer[heard] = '\0';
    if (heard > 0 && !text_starts(answer, "HTTP/1.")) {
        fuzz_fail("what came back is no answer");
    }
    bool is_page = heard > 12 && memcmp(answer + 9, "200", 3) == 0;
    if (is_page && strstr(answer, "Content-Security-Policy: default-src 'none'") == NULL) {
        fuzz_fail("a page without its policy");
    }
    return is_page;
}

static const char *const SEEDS[] = {
    "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HEAD /live.js HTTP/1.1\r\nhost: 127.0.0.1:80\r\nConnection: close\r\n\r\n",
    "GET /status.json?a=b%20&c HTTP/1.0\r\nHost: [::1]\r\nAccept: */*\r\n\r\n",
    "GET /%6detrics HTTP/1.1\r\nHost: localhost:1\r\nCookie: a=\"b\"; c\r\nContent-Length: "
    "3\r\n\r\nabc",
    "GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    "1\r\na\r\n0\r\n\r\n",
    NULL};

const FuzzReader FUZZ_READERS[] = {{"request", read_request, false, SEEDS, NULL}};
const uint32_t FUZZ_READER_COUNT = 1;

// libFuzzer looks at its clock by SIGALRM, which would interrupt a connect; how long an answer may
// take is told by PATIENCE_S here.
static void hold_timer(void) {
    sigset_t timer;
    sigemptyset(&timer);
    sigaddset(&timer, SIGALRM);
    (void)pthread_sigmask(SIG_BLOCK, &timer, NULL);
}

void fuzz_begin(void) {
    hold_timer();
    Snapshot *snapshot = snapshot_new(1, 1);
    if (snapshot == NULL || http_start("127.0.0.1:0", "/nowhere", &http) != STATUS_OK) {
        fuzz_fail("no live page");
    }
    snapshot->clips = 9;
    snapshot->stage = AT_REPORT; // is well however long nothing more is published
    snapshot->worker_count = snapshot->model_count = 1;
    http_publish(http, snapshot);
    snapshot_free(snapshot);
    const char *port = strrchr(http_url(http), ':') + 1;
    address = (struct sockaddr_in){.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                   .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

void fuzz_end(void) {
    http_stop(http);
}
