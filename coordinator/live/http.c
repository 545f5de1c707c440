// SPDX-License-Identifier: Apache-2.0
//
// How it works. libmicrohttpd serves all connections from one thread, which alone touches `shown`
// and `pages`. The coordinator's loop leaves the newest snapshot in `next` and goes on; the thread
// takes it out when somebody asks, so the lock is held for a pointer's exchange only. Each page is
// made at most once for each snapshot, however often it is asked for. libmicrohttpd refuses what is
// no HTTP and closes who is too slow, too large or one too many.
#include "coordinator/live/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "coordinator/live/http_host.h"
#include "coordinator/live/log_tail.h"

enum {
    CONNECTIONS_MOST = 64,
    MEMORY_BYTES = 16 << 10, // of one connection: a request's head, and what is being sent
    STACK_BYTES = 512 << 10,
    TIMEOUT_S = 5,          // of a connection on which nothing happens
    HEALTHY_MS = 10 * 1000, // a loop that has published nothing for so long is not well
    LOOKING_MS = 5 * 1000,  // who asked for the page so short a time ago will ask again
    LINGER_STEP_MS = 20,
    NICENESS = 10, // of the thread: the run comes first
    URL_BYTES = LIMIT_NAME_BYTES + 32,
};

typedef enum PageName { PAGE_LIVE, PAGE_SCRIPT, PAGE_STATUS, PAGE_METRICS, PAGE_COUNT } PageName;

typedef struct Page {
    Buffer bytes;
    const Snapshot *of; // what it was made from, NULL: not made
} Page;

struct Http {
    struct MHD_Daemon *daemon;
    HttpAddress bound;
    char url[URL_BYTES];
    char own_name[LIMIT_NAME_BYTES]; // of this machine
    const char *run_folder;
    pthread_mutex_t lock;
    Snapshot *next;       // published and not yet shown; under the lock
    int64_t published_ms; // the last of them; under the lock
    bool is_reporting;    // the loop is over, nothing more is published for long; under the lock
    int64_t looked_ms;    // somebody last asked for the page; under the lock
    bool is_end_seen;     // and it told how the run ended; under the lock
    Snapshot *shown;      // the thread's own
    Page pages[PAGE_COUNT];
    bool is_nice; // the thread has lowered itself
};

// ---- what is shown ----

static void make_live(const Http *http, Buffer *out) {
    Buffer tail = BUFFER_EMPTY;
    log_tail(http->run_folder, &tail);
    snapshot_page(http->shown, http->run_folder, buffer_cstr(&tail), out);
    buffer_done(&tail);
}

static void make_script(const Http *http, Buffer *out) {
    (void)http;
    snapshot_script(out);
}

static void make_status(const Http *http, Buffer *out) {
    snapshot_json(http->shown, out);
}

static void make_metrics(const Http *http, Buffer *out) {
    snapshot_metrics(http->shown, out);
}

static const struct {
    const char *path, *type;
    void (*make)(const Http *http, Buffer *out);
} PAGES[PAGE_COUNT] = {
    [PAGE_LIVE] = {"/", "text/html; charset=utf-8", make_live},
    [PAGE_SCRIPT] = {"/live.js", "text/javascript; charset=utf-8", make_script},
    [PAGE_STATUS] = {"/status.json", "application/json", make_status},
    [PAGE_METRICS] = {"/metrics", "text/plain; version=0.0.4; charset=utf-8", make_metrics},
};

// The newest snapshot becomes the one that is shown.
static void take_next(Http *http) {
    pthread_mutex_lock(&http->lock);
    Snapshot *next = http->next;
    http->next = NULL;
    pthread_mutex_unlock(&http->lock);
    if (next != NULL) {
        for (int i = 0; i < PAGE_COUNT; i++) {
            http->pages[i].of = NULL;
        }
        snapshot_free(http->shown);
        http->shown = next;
    }
}

static const Buffer *page(Http *http, PageName name) {
    Page *one = &http->pages[name];
    if (one->of != http->shown) {
        buffer_done(&one->bytes);
        PAGES[name].make(http, &one->bytes);
        one->of = http->shown;
    }
    return &one->bytes;
}

// ---- answers ----

static enum MHD_Result send_bytes(struct MHD_Connection *connection, unsigned code,
                                  const char *type, const void *bytes, size_t size) {
    static const struct {
        const char *name, *value;
    } HEADERS[] = {
        {"Cache-Control", "no-store"},
        {"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src "
                                    "'self'; connect-src 'self'; img-src data:; "
                                    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
    };
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, (void *)(uintptr_t)bytes, MHD_RESPMEM_MUST_COPY);
    if (response == NULL) {
        return MHD_NO; // closes the connection
    }
    MHD_add_response_header(response, "Content-Type", type);
    for (size_t i = 0; i < sizeof HEADERS / sizeof HEADERS[0]; i++) {
        MHD_add_response_header(response, HEADERS[i].name, HEADERS[i].value);
    }
    if (code == MHD_HTTP_METHOD_NOT_ALLOWED) {
        MHD_add_response_header(response, "Allow", "GET, HEAD");
    }
    enum MHD_Result result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result send_text(struct MHD_Connection *connection, unsigned code,
                                 const char *text) {
    return send_bytes(connection, code, "text/plain; charset=utf-8", text, strlen(text));
}

static enum MHD_Result send_health(Http *http, struct MHD_Connection *connection) {
    pthread_mutex_lock(&http->lock);
    bool is_well = http->is_reporting ||
                   (http->published_ms > 0 && clock_ms() - http->published_ms < HEALTHY_MS);
    pthread_mutex_unlock(&http->lock);
    return is_well ? send_text(connection, MHD_HTTP_OK, "ok\n")
                   : send_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
                               "the coordinator has said nothing for 10 s\n");
}

static void note_look(Http *http) {
    pthread_mutex_lock(&http->lock);
    http->looked_ms = clock_ms();
    http->is_end_seen = http->shown != NULL && http->shown->state != RUN_RUNNING;
    pthread_mutex_unlock(&http->lock);
}

static enum MHD_Result send_page(Http *http, struct MHD_Connection *connection, PageName name) {
    const Buffer *bytes = http->shown != NULL ? page(http, name) : NULL;
    if (bytes == NULL || bytes->status != STATUS_OK) {
        return send_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "not yet\n");
    }
    return send_bytes(connection, MHD_HTTP_OK, PAGES[name].type, buffer_cstr(bytes), bytes->size);
}

// One Host header, and ours.
typedef struct HostHeaders {
    const char *value;
    int count;
} HostHeaders;

static enum MHD_Result note_host(void *context, enum MHD_ValueKind kind, const char *key,
                                 const char *value) {
    HostHeaders *hosts = context;
    (void)kind;
    if (strcasecmp(key, MHD_HTTP_HEADER_HOST) == 0) {
        hosts->value = value;
        hosts->count++;
    }
    return MHD_YES;
}

static bool is_for_us(const Http *http, struct MHD_Connection *connection) {
    HostHeaders hosts = {NULL, 0};
    MHD_get_connection_values(connection, MHD_HEADER_KIND, note_host, &hosts);
    return hosts.count == 1 && http_host_is_ours(hosts.value, &http->bound, http->own_name);
}

// Answered as soon as the head is there: no body is read, and the connection is closed behind the
// answer, so that nobody keeps one of the few there are.
static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **of_connection) {
    Http *http = context;
    (void)version, (void)upload, (void)upload_size, (void)of_connection;
    if (!http->is_nice) {
        http->is_nice = true; // 0: this thread, on Linux
        (void)setpriority(PRIO_PROCESS, 0, NICENESS);
    }
    if (!is_for_us(http, connection)) {
        return send_text(connection, MHD_HTTP_MISDIRECTED_REQUEST,
                         "the Host of this request is not this server's\n");
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        return send_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    }
    if (strcmp(url, "/healthz") == 0) {
        return send_health(http, connection);
    }
    take_next(http);
    for (int i = 0; i < PAGE_COUNT; i++) {
        if (strcmp(url, PAGES[i].path) == 0) {
            if (i == PAGE_LIVE) {
                note_look(http);
            }
            return send_page(http, connection, (PageName)i);
        }
    }
    return send_text(connection, MHD_HTTP_NOT_FOUND,
                     "there are /, /status.json, /metrics and /healthz\n");
}

// ---- beginning and end ----

// A socket of our own: closed in the workers that are started, and its port can be told.
static Status open_socket(const HttpAddress *address, int *ret_fd) {
    char port[8];
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    snprintf(port, sizeof port, "%u", address->port);
    int error = getaddrinfo(address->host, port, &hints, &found);
    if (error != 0) {
        return status_set(STATUS_INVALID, "--http: no address %.200s: %s", address->host,
                          gai_strerror(error));
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int yes = 1;
    bool fine = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
                bind(fd, found->ai_addr, found->ai_addrlen) == 0 &&
                listen(fd, CONNECTIONS_MOST) == 0;
    int why = errno;
    freeaddrinfo(found);
    if (!fine) {
        if (fd >= 0) {
            close(fd);
        }
        return status_set(STATUS_INVALID, "--http: cannot listen at %.200s port %s: %s",
                          address->host, port, strerror(why));
    }
    *ret_fd = fd;
    return STATUS_OK;
}

static void write_url(Http *http, int fd) {
    struct sockaddr_storage at;
    socklen_t size = sizeof at;
    char port[8] = "";
    bool is_ipv6 = strchr(http->bound.host, ':') != NULL;
    if (getsockname(fd, (struct sockaddr *)&at, &size) == 0) {
        (void)getnameinfo((struct sockaddr *)&at, size, NULL, 0, port, sizeof port, NI_NUMERICSERV);
    }
    snprintf(http->url, sizeof http->url, "http://%s%s%s:%s/", is_ipv6 ? "[" : "", http->bound.host,
             is_ipv6 ? "]" : "", port);
}

// The thread inherits the mask: signals are for the coordinator's loop.
static Status start_daemon(Http *http, int fd) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    // poll, which tells of a client's end as often as it is asked: by epoll, edge-triggered, one
    // who sends half a request and goes holds its connection until the timeout.
    http->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL, answer, http,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MOST,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)TIMEOUT_S, MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return http->daemon != NULL ? STATUS_OK
                                : status_set(STATUS_IO, "cannot start the live page's server");
}

Status http_start(const char *address, const char *run_folder, Http **ret) {
    Http *http = mem_new(1, sizeof *http);
    if (http == NULL) {
        return STATUS_MEMORY;
    }
    int fd = -1;
    pthread_mutex_init(&http->lock, NULL);
    http->run_folder = run_folder;
    (void)gethostname(http->own_name, sizeof http->own_name - 1);
    Status status = http_address_parse(address, &http->bound);
    if (status == STATUS_OK) {
        status = open_socket(&http->bound, &fd);
    }
    if (status == STATUS_OK) {
        write_url(http, fd);
        status = start_daemon(http, fd);
    }
    if (status != STATUS_OK) {
        if (fd >= 0) {
            close(fd);
        }
        http_stop(http);
        return status;
    }
    *ret = http;
    return STATUS_OK;
}

void http_stop(Http *http) {
    if (http == NULL) {
        return;
    }
    if (http->daemon != NULL) {
        MHD_stop_daemon(http->daemon); // its thread is gone then, the socket closed
    }
    for (int i = 0; i < PAGE_COUNT; i++) {
        buffer_done(&http->pages[i].bytes);
    }
    snapshot_free(http->next);
    snapshot_free(http->shown);
    pthread_mutex_destroy(&http->lock);
    mem_free(http);
}

const char *http_url(const Http *http) {
    return http->url;
}

void http_publish(Http *http, const Snapshot *snapshot) {
    Snapshot *copy = snapshot_copy(snapshot);
    if (copy == NULL) {
        return; // the one before is shown for longer
    }
    pthread_mutex_lock(&http->lock);
    Snapshot *unseen = http->next;
    http->next = copy;
    http->published_ms = clock_ms();
    http->is_reporting = snapshot->stage == AT_REPORT;
    pthread_mutex_unlock(&http->lock);
    snapshot_free(unseen);
}

void http_linger(Http *http, int64_t most_ms) {
    int64_t until_ms = clock_ms() + most_ms;
    for (bool waits = true; waits;) {
        pthread_mutex_lock(&http->lock);
        waits = http->looked_ms != 0 && clock_ms() - http->looked_ms < LOOKING_MS + most_ms &&
                !http->is_end_seen && clock_ms() < until_ms;
        pthread_mutex_unlock(&http->lock);
        if (waits) {
            usleep(LINGER_STEP_MS * 1000);
        }
    }
    // The answer that is being sent may still be on its way.
    usleep(LINGER_STEP_MS * 1000);
}
