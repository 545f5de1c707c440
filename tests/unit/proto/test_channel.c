// SPDX-License-Identifier: Apache-2.0
//
// The sockets, over ipc in a folder of the test's own and over tcp on this machine. Nothing sleeps:
// every wait ends with what it waits for, or fails after WAIT_MS.
#include "tests/unit/test.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "proto/channel.h"
#include "proto/message.h"

#define WAIT_MS 20000
#define PIECE   PROTO_PIECE_BYTES

// A coordinator and the contexts of both sides, made by begin, ended by end.
static struct {
    char folder[200];
    char endpoint[300];
    ZmqContext *here, *there;
    Listener *listener;
    long blocks; // of memory, before
} the;

static void begin(const char *endpoint) {
    the.blocks = mem_blocks();
    snprintf(the.folder, sizeof the.folder, "%s", test_folder());
    snprintf(the.endpoint, sizeof the.endpoint, "ipc://%s/s", the.folder);
    the.here = zmq_context_new();
    the.there = zmq_context_new();
    CHECK(the.here != NULL && the.there != NULL);
    CHECK_OK(
        listener_open(the.here, endpoint != NULL ? endpoint : the.endpoint, 300, &the.listener));
    snprintf(the.endpoint, sizeof the.endpoint, "%s", listener_endpoint(the.listener));
}

static void end(void) {
    listener_close(the.listener);
    zmq_context_free(the.here);
    zmq_context_free(the.there);
    CHECK_OK(file_remove_tree(the.folder));
    CHECK_INT(mem_blocks(), the.blocks);
    memset(&the, 0, sizeof the);
}

static Line *open_line(Lane lane) {
    char endpoint[CHANNEL_ADDRESS_BYTES];
    snprintf(endpoint, sizeof endpoint, "%s", the.endpoint);
    if (lane == LANE_BULK) {
        CHECK_OK(line_bulk_endpoint(the.endpoint, listener_bulk_port(the.listener), endpoint));
    }
    Line *line = NULL;
    CHECK_OK(line_open(the.there, endpoint, lane, &line));
    return line;
}

static void send_text(Line *line, const char *text) {
    CHECK_OK(line_send(line, text, strlen(text), NULL, 0, WAIT_MS));
}

// The next event within `timeout_ms`; false when there is none.
static bool event_within(ListenerEvent *event, int64_t timeout_ms) {
    int64_t deadline_ms = clock_ms() + timeout_ms;
    while (!listener_next(the.listener, event)) {
        int64_t left_ms = deadline_ms - clock_ms();
        if (left_ms <= 0) {
            return false;
        }
        listener_wait(the.listener, left_ms);
    }
    return true;
}

static ListenerEvent next_event(ListenerEventKind kind) {
    ListenerEvent event;
    if (!event_within(&event, WAIT_MS)) {
        TEST_FAIL("no event came");
    }
    CHECK_INT(event.kind, kind);
    return event;
}

static ListenerEvent next_message(Lane lane, const char *text) {
    ListenerEvent event = next_event(LISTENER_MESSAGE);
    CHECK_INT(event.lane, lane);
    if (event.size != strlen(text) || memcmp(event.bytes, text, event.size) != 0) {
        TEST_FAIL("got %zu bytes, expected \"%s\"", event.size, text);
    }
    return event;
}

static LineMessage next_on(Line *line) {
    LineMessage message = {0};
    bool woken;
    CHECK_OK(line_receive(line, -1, WAIT_MS, &message, &woken));
    CHECK(!woken);
    return message;
}

static void check_on(Line *line, const char *text) {
    LineMessage message = next_on(line);
    CHECK(message.size == strlen(text) && memcmp(message.bytes, text, message.size) == 0);
}

static void reply(PeerId peer, const char *text) {
    CHECK_OK(listener_send(the.listener, LANE_CONTROL, peer, text, strlen(text), NULL, 0));
}

static unsigned char *some_bytes(size_t size) {
    unsigned char *bytes = mem_new(size, 1);
    CHECK(bytes != NULL);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)(i * 2654435761u >> 13);
    }
    return bytes;
}

// ---- messages ----

// One message and one piece each way.
static void exchange(const char *endpoint) {
    begin(endpoint);
    Line *control = open_line(LANE_CONTROL);
    Line *bulk = open_line(LANE_BULK);
    send_text(control, "hello");
    ListenerEvent event = next_message(LANE_CONTROL, "hello");
    CHECK(event.payload == NULL);
    reply(event.peer, "welcome");
    check_on(control, "welcome");

    unsigned char *bytes = some_bytes(PIECE);
    CHECK_OK(line_send(bulk, "piece", 5, bytes, PIECE, WAIT_MS));
    event = next_message(LANE_BULK, "piece");
    CHECK_INT(event.payload_size, PIECE);
    CHECK(memcmp(event.payload, bytes, PIECE) == 0);
    CHECK_OK(listener_send(the.listener, LANE_BULK, event.peer, "copy", 4, bytes, PIECE));
    SharedPayload *shared = shared_payload_new(bytes, PIECE);
    CHECK_OK(listener_send_shared(the.listener, event.peer, "part", 4, shared, 7, PIECE - 7));
    shared_payload_release(shared);
    LineMessage message = next_on(bulk);
    CHECK(message.size == 4 && memcmp(message.bytes, "copy", 4) == 0);
    CHECK(message.payload_size == PIECE && memcmp(message.payload, bytes, PIECE) == 0);
    message = next_on(bulk);
    CHECK(message.size == 4 && memcmp(message.bytes, "part", 4) == 0);
    CHECK(message.payload_size == PIECE - 7 && memcmp(message.payload, bytes + 7, PIECE - 7) == 0);
    mem_free(bytes);
    line_close(control);
    line_close(bulk);
    end();
}

TEST(messages_cross_over_ipc) {
    exchange(NULL);
}

TEST(messages_cross_over_tcp_ipv4) {
    exchange("tcp://127.0.0.1:0");
}

TEST(messages_cross_over_tcp_by_name) {
    exchange("tcp://localhost:0");
}

TEST(messages_cross_over_an_interface) {
    exchange("tcp://lo:0");
}

TEST(messages_cross_over_tcp_ipv6) {
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool possible = fd >= 0 && bind(fd, (const struct sockaddr *)&name, sizeof name) == 0;
    close(fd);
    if (!possible) {
        TEST_SKIP("this machine has no IPv6");
    }
    exchange("tcp://[::1]:0");
}

TEST(any_interface_is_reached_by_a_name) {
    begin("tcp://*:0");
    CHECK(strstr(the.endpoint, "*") == NULL);
    // The host's own name may lead to an address of another machine's network; loopback is ours.
    int port = atoi(strrchr(the.endpoint, ':') + 1);
    snprintf(the.endpoint, sizeof the.endpoint, "tcp://127.0.0.1:%d", port);
    Line *line = open_line(LANE_CONTROL);
    send_text(line, "hello");
    next_message(LANE_CONTROL, "hello");
    line_close(line);
    end();
}

TEST(ports_are_below_the_outgoing_ones_and_follow_each_other) {
    begin("tcp://127.0.0.1:0");
    unsigned port = 0;
    CHECK_INT(sscanf(the.endpoint, "tcp://127.0.0.1:%u", &port), 1);
    CHECK(port >= 20000 && port < 32768);
    CHECK(listener_bulk_port(the.listener) >= 20000 && listener_bulk_port(the.listener) < 32768);
    // A port that is asked for is taken or refused, never replaced.
    Listener *second = NULL;
    CHECK_INT(listener_open(the.here, the.endpoint, 1, &second), STATUS_IO);
    CHECK_HAS(status_message(), the.endpoint);
    CHECK_HAS(status_message(), "in use");
    CHECK(second == NULL);
    listener_close(the.listener);
    the.listener = NULL;
    // libzmq closes in its own thread: the port is free a moment later.
    int64_t deadline_ms = clock_ms() + WAIT_MS;
    while (listener_open(the.here, the.endpoint, 1, &the.listener) != STATUS_OK) {
        CHECK(clock_ms() < deadline_ms);
    }
    CHECK_TEXT(listener_endpoint(the.listener), the.endpoint);
    end();
}

TEST(bulk_endpoint_is_named_from_the_control_endpoint) {
    char out[CHANNEL_ADDRESS_BYTES];
    CHECK_OK(line_bulk_endpoint("tcp://some.host:100", 7, out));
    CHECK_TEXT(out, "tcp://some.host:7");
    CHECK_OK(line_bulk_endpoint("tcp://[::1]:100", 65535, out));
    CHECK_TEXT(out, "tcp://[::1]:65535");
    CHECK_OK(line_bulk_endpoint("ipc://a/b", 0, out));
    CHECK_TEXT(out, "ipc://a/b.bulk");
    CHECK_INT(line_bulk_endpoint("tcp://h:1", 0, out), STATUS_INVALID);
    CHECK_INT(line_bulk_endpoint("tcp://h:1", 65536, out), STATUS_INVALID);
}

TEST(bad_endpoints_are_refused_by_name) {
    static const char *const BAD[] = {
        "udp://a:1",   "tcp://a",    "tcp://a:", "tcp://a:65536", "tcp://a:-1", "tcp://:5",
        "tcp://::1:5", "tcp://[]:5", "ipc://",   "ipc://@a",      "ipc://*",    "tcp://a:5x",
    };
    ZmqContext *context = zmq_context_new();
    Listener *listener = NULL;
    Line *line = NULL;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        CHECK_INT(listener_open(context, BAD[i], 1, &listener), STATUS_INVALID);
        CHECK_HAS(status_message(), BAD[i]);
        CHECK_INT(line_open(context, BAD[i], LANE_CONTROL, &line), STATUS_INVALID);
    }
    CHECK_INT(line_open(context, "tcp://*:5", LANE_CONTROL, &line), STATUS_INVALID);
    CHECK_INT(line_open(context, "tcp://127.0.0.1:0", LANE_CONTROL, &line), STATUS_INVALID);
    CHECK_INT(line_open(context, "tcp://no-such-host.invalid:5", LANE_CONTROL, &line), STATUS_IO);
    CHECK_HAS(status_message(), "no-such-host.invalid");
    CHECK_INT(listener_open(context, "ipc:///no/such/folder/s", 1, &listener), STATUS_IO);
    CHECK_HAS(status_message(), "/no/such/folder/s");
    CHECK(listener == NULL && line == NULL);
    zmq_context_free(context);
}

TEST(ipc_path_beyond_the_system_limit_is_refused) {
    ZmqContext *context = zmq_context_new();
    char endpoint[200] = "ipc:///tmp/";
    memset(endpoint + 11, 'a', 102 - 4);
    Listener *listener = NULL;
    Line *line = NULL;
    CHECK_INT(listener_open(context, endpoint, 1, &listener), STATUS_LIMIT);
    CHECK_HAS(status_message(), "103 bytes");
    CHECK_INT(line_open(context, endpoint, LANE_CONTROL, &line), STATUS_LIMIT);
    zmq_context_free(context);
}

TEST(ipc_path_of_a_living_coordinator_is_not_taken) {
    begin(NULL);
    Listener *second = NULL;
    CHECK_INT(listener_open(the.here, the.endpoint, 1, &second), STATUS_IO);
    CHECK_HAS(status_message(), "another coordinator");
    Line *line = open_line(LANE_CONTROL); // the first one still listens
    send_text(line, "hello");
    next_message(LANE_CONTROL, "hello");
    line_close(line);
    end();
}

TEST(ipc_path_of_a_dead_coordinator_is_taken_over) {
    begin(NULL);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0); // a socket file that nobody listens at
    char path[300];
    snprintf(path, sizeof path, "%s/dead", the.folder);
    struct sockaddr_storage name = {.ss_family = AF_UNIX};
    memcpy((char *)&name + sizeof name.ss_family, path, strlen(path) + 1);
    CHECK_INT(bind(fd, (struct sockaddr *)&name, (socklen_t)(2 + strlen(path) + 1)), 0);
    close(fd);
    snprintf(path, sizeof path, "ipc://%s/dead", the.folder);
    Listener *second = NULL;
    CHECK_OK(listener_open(the.here, path, 1, &second));
    listener_close(second);
    end();
}

// ---- blobs ----

TEST(blob_of_64_mb_waits_for_a_slow_reader_without_loss) {
    begin("tcp://127.0.0.1:0");
    Line *bulk = open_line(LANE_BULK);
    send_text(bulk, "get");
    PeerId peer = next_message(LANE_BULK, "get").peer;
    enum { PIECES = 256 };
    unsigned char *bytes = some_bytes((size_t)PIECES * PIECE);
    SharedPayload *shared = shared_payload_new(bytes, (size_t)PIECES * PIECE);
    int64_t begin_ms = clock_ms();
    for (uint32_t i = 0; i < PIECES; i++) { // nothing is read meanwhile, and nothing is refused
        CHECK_OK(listener_send_shared(the.listener, peer, &i, sizeof i, shared, (size_t)i * PIECE,
                                      PIECE));
    }
    shared_payload_release(shared);
    for (uint32_t i = 0; i < PIECES; i++) {
        LineMessage message = next_on(bulk);
        uint32_t index;
        memcpy(&index, message.bytes, sizeof index);
        CHECK_INT(index, i);
        CHECK_INT(message.payload_size, PIECE);
        CHECK(memcmp(message.payload, bytes + (size_t)i * PIECE, PIECE) == 0);
    }
    printf("64 MB in %lld ms\n", (long long)(clock_ms() - begin_ms));
    mem_free(bytes);
    line_close(bulk);
    end();
}

TEST(every_piece_of_the_largest_blob_fits_the_queue) {
    begin(NULL);
    Line *bulk = open_line(LANE_BULK);
    send_text(bulk, "get");
    PeerId peer = next_message(LANE_BULK, "get").peer;
    enum { PIECES = PROTO_BLOB_BYTES / PROTO_PIECE_BYTES + 64 };
    SharedPayload *shared = shared_payload_new("a small stand-in", 16);
    for (uint32_t i = 0; i < PIECES; i++) {
        CHECK_OK(listener_send_shared(the.listener, peer, &i, sizeof i, shared, 0, 16));
    }
    shared_payload_release(shared);
    for (uint32_t i = 0; i < PIECES; i++) {
        uint32_t index;
        memcpy(&index, next_on(bulk).bytes, sizeof index);
        CHECK_INT(index, i);
    }
    line_close(bulk);
    end();
}

TEST(worker_waits_while_the_coordinator_does_not_read) {
    begin(NULL);
    Line *bulk = open_line(LANE_BULK);
    unsigned char *bytes = some_bytes(PIECE);
    uint32_t sent = 0;
    while (line_send(bulk, &sent, sizeof sent, bytes, PIECE, sent < 60 ? WAIT_MS : 50) ==
           STATUS_OK) {
        CHECK(++sent < 500);
    }
    printf("%u pieces were under way\n", sent);
    for (uint32_t i = 0; i < sent; i++) {
        ListenerEvent event = next_event(LISTENER_MESSAGE);
        uint32_t index;
        memcpy(&index, event.bytes, sizeof index);
        CHECK_INT(index, i);
        CHECK_INT(event.payload_size, PIECE);
    }
    CHECK_OK(line_send(bulk, "more", 4, bytes, PIECE, WAIT_MS));
    next_message(LANE_BULK, "more");
    mem_free(bytes);
    line_close(bulk);
    end();
}

TEST(full_queue_of_one_peer_is_told_and_harms_no_other) {
    begin(NULL);
    Line *deaf = open_line(LANE_CONTROL), *other = open_line(LANE_CONTROL);
    send_text(deaf, "deaf");
    PeerId peer = next_message(LANE_CONTROL, "deaf").peer;
    unsigned char *bytes = some_bytes(16384);
    Status status = STATUS_OK;
    int accepted = 0;
    while (status == STATUS_OK && accepted < 10000) {
        status = listener_send(the.listener, LANE_CONTROL, peer, bytes, 16384, NULL, 0);
        accepted += status == STATUS_OK;
    }
    CHECK_INT(status, STATUS_AGAIN);
    CHECK(accepted >= 1024);
    send_text(other, "other");
    reply(next_message(LANE_CONTROL, "other").peer, "fine");
    check_on(other, "fine");
    for (int i = 0; i < accepted; i++) { // all that was accepted arrives
        CHECK_INT(next_on(deaf).size, 16384);
    }
    mem_free(bytes);
    line_close(deaf);
    line_close(other);
    end();
}

TEST(oversize_messages_are_not_sent) {
    begin(NULL);
    Line *control = open_line(LANE_CONTROL), *bulk = open_line(LANE_BULK);
    send_text(bulk, "x");
    PeerId peer = next_message(LANE_BULK, "x").peer;
    unsigned char *bytes = some_bytes(PROTO_CONTROL_BYTES + 1);
    CHECK_INT(line_send(control, bytes, PROTO_CONTROL_BYTES + 1, NULL, 0, 0), STATUS_LIMIT);
    CHECK_INT(line_send(bulk, bytes, PROTO_HEADER_BYTES + 1, NULL, 0, 0), STATUS_LIMIT);
    CHECK_INT(line_send(bulk, bytes, 1, bytes, PIECE + 1, 0), STATUS_LIMIT);
    CHECK_INT(listener_send(the.listener, LANE_BULK, peer, bytes, 1, bytes, PIECE + 1),
              STATUS_LIMIT);
    // The largest control message that there can be does cross.
    CHECK_OK(line_send(control, bytes, PROTO_CONTROL_BYTES, NULL, 0, WAIT_MS));
    CHECK_INT(next_event(LISTENER_MESSAGE).size, PROTO_CONTROL_BYTES);
    mem_free(bytes);
    line_close(control);
    line_close(bulk);
    end();
}

// ---- misbehaviour ----

TEST(oversize_frame_ends_only_its_connection) {
    begin("tcp://127.0.0.1:0");
    Line *good = open_line(LANE_BULK);
    send_text(good, "good");
    PeerId good_peer = next_message(LANE_BULK, "good").peer;
    // A control line may send 1 MiB, which the bulk lane does not take.
    char endpoint[CHANNEL_ADDRESS_BYTES];
    CHECK_OK(line_bulk_endpoint(the.endpoint, listener_bulk_port(the.listener), endpoint));
    Line *bad = NULL;
    CHECK_OK(line_open(the.there, endpoint, LANE_CONTROL, &bad));
    send_text(bad, "bad");
    PeerId bad_peer = next_message(LANE_BULK, "bad").peer;
    unsigned char *bytes = some_bytes(PROTO_CONTROL_BYTES);
    CHECK_OK(line_send(bad, bytes, PROTO_CONTROL_BYTES, NULL, 0, WAIT_MS));
    CHECK_INT(next_event(LISTENER_CLOSED).peer, bad_peer);
    CHECK_OK(listener_send(the.listener, LANE_BULK, good_peer, "still", 5, NULL, 0));
    check_on(good, "still");
    mem_free(bytes);
    line_close(bad);
    line_close(good);
    end();
}

TEST(message_of_too_many_frames_is_reported_as_empty) {
    begin(NULL);
    // A bulk line on the control lane: two frames where one belongs.
    Line *line = NULL;
    CHECK_OK(line_open(the.there, the.endpoint, LANE_BULK, &line));
    CHECK_OK(line_send(line, "a", 1, "b", 1, WAIT_MS));
    send_text(line, "after");
    ListenerEvent event = next_event(LISTENER_MESSAGE);
    CHECK(event.size == 0 && event.payload == NULL);
    CHECK_INT(next_message(LANE_CONTROL, "after").peer, event.peer);
    // And back: a bulk header longer than a header may be, on a line of the bulk lane.
    unsigned char *bytes = some_bytes(PROTO_HEADER_BYTES + 1);
    CHECK_OK(listener_send(the.listener, LANE_CONTROL, event.peer, bytes, PROTO_HEADER_BYTES + 1,
                           NULL, 0));
    reply(event.peer, "sound");
    CHECK_INT(next_on(line).size, 0);
    check_on(line, "sound");
    // An empty frame is no message either.
    CHECK_OK(line_send(line, "", 0, NULL, 0, WAIT_MS));
    CHECK_INT(next_event(LISTENER_MESSAGE).size, 0);
    mem_free(bytes);
    line_close(line);
    end();
}

TEST(bytes_that_are_not_zmtp_disturb_nobody) {
    begin("tcp://127.0.0.1:0");
    Line *line = open_line(LANE_CONTROL);
    send_text(line, "first");
    PeerId peer = next_message(LANE_CONTROL, "first").peer;
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    name.sin_port = htons((uint16_t)atoi(strrchr(the.endpoint, ':') + 1));
    for (int i = 0; i < 50; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        CHECK_INT(connect(fd, (const struct sockaddr *)&name, sizeof name), 0);
        CHECK(write(fd, "GET / HTTP/1.1\r\n\r\n", 18) == 18);
        close(fd);
    }
    send_text(line, "second");
    CHECK_INT(next_message(LANE_CONTROL, "second").peer, peer);
    ListenerEvent event;
    CHECK(!event_within(&event, 100));
    line_close(line);
    end();
}

// ---- lost connections ----

TEST(what_a_peer_sent_comes_before_its_end) {
    begin(NULL);
    enum { MESSAGES = 500 };
    for (int turn = 0; turn < 10; turn++) {
        Line *line = open_line(LANE_CONTROL);
        for (uint32_t i = 0; i < MESSAGES; i++) {
            CHECK_OK(line_send(line, &i, sizeof i, NULL, 0, WAIT_MS));
        }
        line_close(line); // lingers until all are sent
        PeerId peer = 0;
        for (uint32_t i = 0; i < MESSAGES; i++) {
            ListenerEvent event = next_event(LISTENER_MESSAGE);
            uint32_t index;
            memcpy(&index, event.bytes, sizeof index);
            CHECK_INT(index, i);
            CHECK(i == 0 || event.peer == peer);
            peer = event.peer;
        }
        CHECK_INT(next_event(LISTENER_CLOSED).peer, peer);
        CHECK_INT(listener_send(the.listener, LANE_CONTROL, peer, "x", 1, NULL, 0),
                  STATUS_NOT_FOUND);
    }
    ListenerEvent event;
    CHECK(!event_within(&event, 50)); // each end was told once
    end();
}

TEST(peer_that_left_before_it_was_heard_is_closed_too) {
    begin(NULL);
    for (int turn = 0; turn < 20; turn++) {
        Line *line = open_line(LANE_CONTROL);
        send_text(line, "hello");
        line_close(line);
        zmq_context_free(the.there); // waits until the line has lingered and is closed
        the.there = zmq_context_new();
        PeerId peer = next_message(LANE_CONTROL, "hello").peer;
        CHECK_INT(next_event(LISTENER_CLOSED).peer, peer);
    }
    end();
}

TEST(send_to_a_gone_peer_is_not_found_and_closes_it_once) {
    begin("tcp://127.0.0.1:0");
    Line *line = open_line(LANE_CONTROL);
    send_text(line, "hello");
    PeerId peer = next_message(LANE_CONTROL, "hello").peer;
    line_close(line);
    Status status = STATUS_OK;
    int64_t deadline_ms = clock_ms() + WAIT_MS;
    while (status == STATUS_OK && clock_ms() < deadline_ms) { // finds out before the monitor does
        status = listener_send(the.listener, LANE_CONTROL, peer, "x", 1, NULL, 0);
    }
    CHECK(status == STATUS_NOT_FOUND || status == STATUS_AGAIN);
    CHECK_INT(next_event(LISTENER_CLOSED).peer, peer);
    CHECK_INT(listener_send(the.listener, LANE_CONTROL, peer, "x", 1, NULL, 0), STATUS_NOT_FOUND);
    ListenerEvent event;
    CHECK(!event_within(&event, 50));
    CHECK_INT(listener_send(the.listener, LANE_CONTROL, 12345, "x", 1, NULL, 0), STATUS_NOT_FOUND);
    end();
}

TEST(dropped_peer_is_heard_no_more) {
    begin(NULL);
    Line *line = open_line(LANE_CONTROL), *other = open_line(LANE_CONTROL);
    send_text(line, "hello");
    PeerId peer = next_message(LANE_CONTROL, "hello").peer;
    reply(peer, "refused");
    listener_drop(the.listener, LANE_CONTROL, peer);
    check_on(line, "refused"); // what was sent before still arrives
    for (int i = 0; i < 200; i++) {
        send_text(line, "again");
    }
    send_text(other, "other");
    next_message(LANE_CONTROL, "other");
    CHECK_INT(listener_send(the.listener, LANE_CONTROL, peer, "x", 1, NULL, 0), STATUS_NOT_FOUND);
    line_close(line);
    ListenerEvent event;
    CHECK(!event_within(&event, 100)); // neither messages nor an end
    line_close(other);
    next_event(LISTENER_CLOSED);
    end();
}

// A process with one control and one bulk line. It waits for the endpoint on a pipe, sends "ready"
// on both, and then does nothing until it is killed. Forked before this process has threads.
typedef struct Child {
    pid_t pid;
    int endpoint_fd;
} Child;

static void run_child(int fd) {
    char text[2 * CHANNEL_ADDRESS_BYTES] = "";
    size_t used = 0;
    for (ssize_t got = 1; got > 0 && used < sizeof text - 1; used += (size_t)got) {
        got = read(fd, text + used, sizeof text - 1 - used);
        if (got < 0) {
            _exit(1);
        }
    }
    char *bulk = strchr(text, '\n');
    *bulk++ = '\0';
    ZmqContext *context = zmq_context_new();
    Line *lines[2];
    LineMessage message;
    bool woken;
    if (line_open(context, text, LANE_CONTROL, &lines[0]) != STATUS_OK ||
        line_open(context, bulk, LANE_BULK, &lines[1]) != STATUS_OK ||
        line_send(lines[0], "ready", 5, NULL, 0, WAIT_MS) != STATUS_OK ||
        line_send(lines[1], "ready", 5, NULL, 0, WAIT_MS) != STATUS_OK) {
        _exit(1);
    }
    for (;;) {
        line_receive(lines[0], -1, -1, &message, &woken);
    }
}

static Child start_child(void) {
    int fds[2];
    CHECK_INT(pipe(fds), 0);
    fflush(stdout);
    Child child = {.pid = fork(), .endpoint_fd = fds[1]};
    CHECK(child.pid >= 0);
    if (child.pid == 0) {
        close(fds[1]);
        run_child(fds[0]);
    }
    close(fds[0]);
    return child;
}

static void tell_child(const Child *child) {
    char bulk[CHANNEL_ADDRESS_BYTES];
    CHECK_OK(line_bulk_endpoint(the.endpoint, listener_bulk_port(the.listener), bulk));
    dprintf(child->endpoint_fd, "%s\n%s", the.endpoint, bulk);
    close(child->endpoint_fd);
}

static void killed_child(const char *endpoint) {
    Child child = start_child();
    begin(endpoint);
    tell_child(&child);
    Line *other = open_line(LANE_CONTROL);
    send_text(other, "other");
    int messages = 0;
    while (messages < 3) {
        next_event(LISTENER_MESSAGE);
        messages++;
    }
    int64_t begin_ns = clock_ns();
    kill(child.pid, SIGKILL);
    ListenerEvent first = next_event(LISTENER_CLOSED);
    int64_t first_ns = clock_ns() - begin_ns;
    ListenerEvent second = next_event(LISTENER_CLOSED);
    int64_t second_ns = clock_ns() - begin_ns;
    CHECK(first.lane != second.lane && first.peer != second.peer);
    printf("noticed in %.1f and %.1f ms\n", (double)first_ns / 1e6, (double)second_ns / 1e6);
    CHECK(second_ns < 1000000000);
    waitpid(child.pid, NULL, 0);
    // The living peer was not even asked.
    LineMessage message;
    bool woken;
    CHECK_INT(line_receive(other, -1, 50, &message, &woken), STATUS_AGAIN);
    line_close(other);
    end();
}

TEST(killed_process_is_noticed_over_ipc) {
    killed_child(NULL);
}

TEST(killed_process_is_noticed_over_tcp) {
    killed_child("tcp://127.0.0.1:0");
}

TEST(stopped_process_is_noticed_by_heartbeats) {
    Child child = start_child();
    begin("tcp://127.0.0.1:0");
    tell_child(&child);
    next_event(LISTENER_MESSAGE);
    next_event(LISTENER_MESSAGE);
    int64_t begin_ms = clock_ms();
    kill(child.pid, SIGSTOP);
    CHECK_INT(next_event(LISTENER_CLOSED).lane, LANE_CONTROL);
    printf("noticed in %lld ms\n", (long long)(clock_ms() - begin_ms));
    CHECK(clock_ms() - begin_ms < 10000); // 3.3 s at most, alone on a machine
    kill(child.pid, SIGKILL);
    waitpid(child.pid, NULL, 0);
    CHECK_INT(next_event(LISTENER_CLOSED).lane, LANE_BULK);
    end();
}

// Over the connection that libzmq makes again by itself nothing must go that was meant for the old
// one: a session and an attached lane end with their connection.
TEST(lost_connection_is_told_after_its_last_message_and_stays_lost) {
    begin(NULL);
    Line *line = open_line(LANE_CONTROL);
    send_text(line, "one");
    reply(next_message(LANE_CONTROL, "one").peer, "yes");
    check_on(line, "yes");
    char endpoint[CHANNEL_ADDRESS_BYTES];
    snprintf(endpoint, sizeof endpoint, "%s", the.endpoint);
    listener_close(the.listener);
    the.listener = NULL;
    LineMessage message;
    bool woken;
    CHECK_INT(line_receive(line, -1, WAIT_MS, &message, &woken), STATUS_NOT_FOUND);
    CHECK_HAS(status_message(), "lost");
    zmq_context_free(the.here); // the old sockets are gone for sure
    the.here = zmq_context_new();
    CHECK_OK(listener_open(the.here, endpoint, 300, &the.listener));
    CHECK_INT(line_send(line, "lost", 4, NULL, 0, WAIT_MS), STATUS_NOT_FOUND);
    Line *next = open_line(LANE_CONTROL);
    send_text(next, "two");
    reply(next_message(LANE_CONTROL, "two").peer, "again");
    check_on(next, "again");
    CHECK_INT(line_receive(line, -1, 0, &message, &woken), STATUS_NOT_FOUND);
    line_close(line);
    line_close(next);
    end();
}

TEST(line_waits_for_a_coordinator_that_is_not_there_yet) {
    begin(NULL);
    char endpoint[CHANNEL_ADDRESS_BYTES];
    snprintf(endpoint, sizeof endpoint, "%s", the.endpoint);
    listener_close(the.listener);
    zmq_context_free(the.here);
    the.here = zmq_context_new();
    Line *line = open_line(LANE_CONTROL);
    CHECK_INT(line_send(line, "early", 5, NULL, 0, 150), STATUS_AGAIN); // more than one try
    CHECK_OK(listener_open(the.here, endpoint, 300, &the.listener));
    send_text(line, "one");
    next_message(LANE_CONTROL, "one");
    line_close(line);
    end();
}

TEST(two_hundred_peers_come_and_go) {
    begin("tcp://127.0.0.1:0");
    enum { PEERS = 200 };
    static Line *lines[PEERS];
    static PeerId peers[PEERS];
    int64_t begin_ms = clock_ms();
    for (uint32_t i = 0; i < PEERS; i++) {
        lines[i] = open_line(LANE_CONTROL);
    }
    for (uint32_t i = 0; i < PEERS; i++) {
        CHECK_OK(line_send(lines[i], &i, sizeof i, NULL, 0, WAIT_MS));
    }
    for (int i = 0; i < PEERS; i++) {
        ListenerEvent event = next_event(LISTENER_MESSAGE);
        uint32_t index;
        memcpy(&index, event.bytes, sizeof index);
        CHECK(index < PEERS && peers[index] == 0);
        peers[index] = event.peer;
        CHECK_OK(listener_send(the.listener, LANE_CONTROL, event.peer, event.bytes, event.size,
                               NULL, 0));
    }
    for (uint32_t i = 0; i < PEERS; i++) {
        uint32_t index;
        memcpy(&index, next_on(lines[i]).bytes, sizeof index);
        CHECK_INT(index, i); // each got its own answer
    }
    int64_t middle_ms = clock_ms();
    for (int i = 0; i < PEERS; i++) {
        line_close(lines[i]);
    }
    for (int i = 0; i < PEERS; i++) {
        PeerId gone = next_event(LISTENER_CLOSED).peer;
        int index = 0;
        while (index < PEERS && peers[index] != gone) {
            index++;
        }
        CHECK(index < PEERS);
        peers[index] = 0;
    }
    printf("came in %lld ms, went in %lld ms\n", (long long)(middle_ms - begin_ms),
           (long long)(clock_ms() - middle_ms));
    memset(peers, 0, sizeof peers);
    end();
}

// ---- waiting ----

TEST(descriptors_wake_both_sides) {
    begin(NULL);
    int fds[2];
    CHECK_INT(pipe(fds), 0);
    CHECK_OK(listener_watch(the.listener, fds[0]));
    CHECK(write(fds[1], "x", 1) == 1);
    next_event(LISTENER_WAKE);
    char byte;
    CHECK(read(fds[0], &byte, 1) == 1);
    ListenerEvent event;
    CHECK(!event_within(&event, 20));

    Line *line = open_line(LANE_CONTROL);
    send_text(line, "hello");
    reply(next_message(LANE_CONTROL, "hello").peer, "yes");
    CHECK(write(fds[1], "x", 1) == 1);
    LineMessage message;
    bool woken = false;
    CHECK_INT(line_receive(line, fds[0], WAIT_MS, &message, &woken), STATUS_AGAIN);
    CHECK(woken);
    CHECK(read(fds[0], &byte, 1) == 1);
    CHECK_OK(line_receive(line, fds[0], WAIT_MS, &message, &woken));
    CHECK(!woken);
    CHECK_INT(line_receive(line, fds[0], 20, &message, &woken), STATUS_AGAIN);
    CHECK(!woken);
    close(fds[0]);
    close(fds[1]);
    line_close(line);
    end();
}

static volatile sig_atomic_t alarms;

static void on_alarm(int number) {
    (void)number;
    alarms++;
}

TEST(signals_neither_shorten_a_wait_nor_lose_a_message) {
    begin(NULL);
    Line *line = open_line(LANE_CONTROL);
    send_text(line, "hello");
    PeerId peer = next_message(LANE_CONTROL, "hello").peer;
    struct sigaction action = {.sa_handler = on_alarm}, before; // no SA_RESTART
    sigaction(SIGALRM, &action, &before);
    struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &often, NULL);
    int64_t begin_ms = clock_ms();
    LineMessage message;
    bool woken;
    Status status = line_receive(line, -1, 100, &message, &woken);
    int64_t took_ms = clock_ms() - begin_ms;
    for (int i = 0; i < 200; i++) {
        reply(peer, "tick");
        check_on(line, "tick");
    }
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    CHECK_INT(status, STATUS_AGAIN);
    CHECK(took_ms >= 100);
    CHECK(alarms > 5);
    line_close(line);
    end();
}

TEST(too_low_a_limit_of_open_files_is_named) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = {100, 600};
        Listener *listener = NULL;
        setrlimit(RLIMIT_NOFILE, &limit);
        ZmqContext *context = zmq_context_new();
        Status status = listener_open(context, "tcp://127.0.0.1:0", 1024, &listener);
        bool named = strstr(status_message(), "3328") != NULL &&
                     strstr(status_message(), "allows 600") != NULL;
        // For fewer workers it is enough, and the soft limit is raised.
        Status raised = listener_open(context, "tcp://127.0.0.1:0", 100, &listener);
        getrlimit(RLIMIT_NOFILE, &limit);
        _exit(status == STATUS_LIMIT && named && raised == STATUS_OK && limit.rlim_cur == 600 ? 0
                                                                                              : 1);
    }
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_INT(status, 0);
}

// The next event but refusals of what was dropped; false when the line's connection ends first.
static bool is_ended(Line *line) {
    ListenerEvent event;
    LineMessage message;
    bool woken;
    int64_t until_ms = clock_ms() + WAIT_MS;
    while (clock_ms() < until_ms) {
        listener_wait(the.listener, 20);
        while (listener_next(the.listener, &event)) {
            continue;
        }
        if (line_receive(line, -1, 0, &message, &woken) == STATUS_NOT_FOUND) {
            return true;
        }
    }
    return false;
}

TEST(dropped_peer_is_told_first_and_then_hung_up_on) {
    begin("tcp://127.0.0.1:0");
    Line *line = open_line(LANE_CONTROL);
    send_text(line, "hello");
    PeerId peer = next_message(LANE_CONTROL, "hello").peer;
    CHECK_TEXT(listener_address(the.listener, peer), "127.0.0.1");
    reply(peer, "no");
    listener_drop(the.listener, LANE_CONTROL, peer);
    check_on(line, "no");
    CHECK_INT(listener_shut(the.listener), 0);
    CHECK(is_ended(line));
    CHECK_INT(listener_shut(the.listener), 1);
    line_close(line);
    end();
}

TEST(flood_of_one_peer_is_told_and_no_other) {
    begin("tcp://127.0.0.1:0");
    Line *loud = open_line(LANE_CONTROL), *calm = open_line(LANE_CONTROL);
    send_text(calm, "calm");
    CHECK(next_message(LANE_CONTROL, "calm").fault == NULL);
    ListenerEvent event = {.fault = NULL};
    uint32_t taken = 0;
    // Slower than a second's worth a second on a machine that is busy: it begins anew then.
    for (uint32_t i = 0; event.fault == NULL && i < 40 * LIMIT_MESSAGES_A_SECOND; i++) {
        (void)line_send(loud, "!", 1, NULL, 0, 0);
        while (event.fault == NULL && i % 256 == 0 && listener_next(the.listener, &event)) {
            taken++;
        }
        if (i % 256 == 0) {
            listener_wait(the.listener, 0);
        }
    }
    CHECK(event.fault != NULL);
    CHECK(taken > LIMIT_MESSAGES_A_SECOND);
    listener_drop(the.listener, LANE_CONTROL, event.peer);
    send_text(calm, "calm");
    CHECK(next_message(LANE_CONTROL, "calm").fault == NULL);
    line_close(loud);
    line_close(calm);
    end();
}

TEST(every_allocation_may_fail) {
    ZmqContext *context = zmq_context_new();
    long kept = mem_blocks();
    for (long n = 0;; n++) {
        Listener *listener = NULL;
        mem_fail_after(n);
        Status status = listener_open(context, "tcp://127.0.0.1:0", 10, &listener);
        bool has_failed = mem_has_failed();
        mem_fail_after(-1);
        listener_close(listener);
        CHECK_INT(status, has_failed ? STATUS_MEMORY : STATUS_OK);
        CHECK_INT(mem_blocks(), kept);
        if (!has_failed) {
            CHECK(n >= 7);
            break;
        }
    }
    Line *line = NULL;
    mem_fail_after(0);
    CHECK_INT(line_open(context, "tcp://127.0.0.1:9", LANE_BULK, &line), STATUS_MEMORY);
    mem_fail_after(-1);
    zmq_context_free(context);
}

TEST_MAIN_LIST(
    T(killed_process_is_noticed_over_ipc) T(killed_process_is_noticed_over_tcp) T(
        stopped_process_is_noticed_by_heartbeats) T(too_low_a_limit_of_open_files_is_named)
        T(dropped_peer_is_told_first_and_then_hung_up_on) T(flood_of_one_peer_is_told_and_no_other) T(
            messages_cross_over_ipc) T(messages_cross_over_tcp_ipv4)
            T(messages_cross_over_tcp_by_name) T(messages_cross_over_an_interface) T(
                messages_cross_over_tcp_ipv6) T(any_interface_is_reached_by_a_name)
                T(ports_are_below_the_outgoing_ones_and_follow_each_other) T(
                    bulk_endpoint_is_named_from_the_control_endpoint) T(bad_endpoints_are_refused_by_name)
                    T(ipc_path_beyond_the_system_limit_is_refused) T(
                        ipc_path_of_a_living_coordinator_is_not_taken)
                        T(ipc_path_of_a_dead_coordinator_is_taken_over) T(
                            blob_of_64_mb_waits_for_a_slow_reader_without_loss)
                            T(every_piece_of_the_largest_blob_fits_the_queue) T(
                                worker_waits_while_the_coordinator_does_not_read)
                                T(full_queue_of_one_peer_is_told_and_harms_no_other) T(
                                    oversize_messages_are_not_sent)
                                    T(oversize_frame_ends_only_its_connection) T(
                                        message_of_too_many_frames_is_reported_as_empty)
                                        T(bytes_that_are_not_zmtp_disturb_nobody) T(
                                            what_a_peer_sent_comes_before_its_end)
                                            T(peer_that_left_before_it_was_heard_is_closed_too) T(
                                                send_to_a_gone_peer_is_not_found_and_closes_it_once)
                                                T(dropped_peer_is_heard_no_more) T(
                                                    lost_connection_is_told_after_its_last_message_and_stays_lost)
                                                    T(line_waits_for_a_coordinator_that_is_not_there_yet)
                                                        T(two_hundred_peers_come_and_go) T(
                                                            descriptors_wake_both_sides)
                                                            T(signals_neither_shorten_a_wait_nor_lose_a_message)
                                                                T(every_allocation_may_fail))
