// SPDX-License-Identifier: Apache-2.0
//
// The worker's control lane against a coordinator made of a Listener.
#include <poll.h>
#include <pthread.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "proto/channel.h"
#include "tests/unit/test.h"
#include "worker/session.h"

enum {
    ALIVE_MS = 550,     // longer than the time between two PROGRESS messages
    PROGRESSES = 13,    // that take longer than a coordinator may be silent: 10 x ALIVE_MS
    COORDINATOR_MS = 20 // between looks whether it is to end
};

static Desk *desk;
static ZmqContext *context;
static Listener *listener;
static pthread_t coordinator, computing;
static atomic_bool stops;
static atomic_int stop, progresses, alives;
static char folder[256], endpoint[300];

// ---- the coordinator ----

static void say(PeerId peer, const Message *message) {
    Buffer bytes = BUFFER_EMPTY;
    message_encode(message, &bytes);
    (void)listener_send(listener, LANE_CONTROL, peer, bytes.bytes, bytes.size, NULL, 0);
    buffer_done(&bytes);
}

static void say_welcome(PeerId peer) {
    Message welcome = {.type = MESSAGE_WELCOME};
    welcome.welcome.protocol = PROTOCOL_MOST;
    welcome.welcome.token = digest_of("token", 5);
    welcome.welcome.alive_ms = ALIVE_MS;
    say(peer, &welcome);
}

static void say_task(PeerId peer) {
    WireTask task = {.task = 1, .attempt = 1, .kind = TASK_EMPTY, .lease_ms = 10000};
    Message tasks = {.type = MESSAGE_TASKS};
    tasks.tasks.items = &task;
    tasks.tasks.count = 1;
    say(peer, &tasks);
}

// Says what a coordinator says to a worker that is long at one task: next to nothing.
static void on_message(PeerId peer, const Message *message) {
    if (message->type == MESSAGE_HELLO) {
        say_welcome(peer);
        say_task(peer);
    } else if (message->type == MESSAGE_ALIVE) {
        atomic_fetch_add(&alives, 1);
        say(peer, &(Message){.type = MESSAGE_ECHO});
    } else if (message->type == MESSAGE_PROGRESS &&
               atomic_fetch_add(&progresses, 1) + 1 == PROGRESSES) {
        say(peer, &(Message){.type = MESSAGE_END, .end = {"the run is over"}});
    }
}

static void *coordinate(void *unused) {
    (void)unused;
    Decoded *decoded = decoded_new();
    while (!stops) {
        ListenerEvent event;
        listener_wait(listener, COORDINATOR_MS);
        while (listener_next(listener, &event)) {
            const Message *message;
            if (event.kind == LISTENER_MESSAGE &&
                message_decode(decoded, event.bytes, event.size, &message) == STATUS_OK) {
                on_message(event.peer, message);
            }
        }
    }
    decoded_free(decoded);
    return NULL;
}

// ---- the worker ----

static void *compute(void *unused) {
    (void)unused;
    DeskTask task;
    uint64_t done = 0;
    while (desk_next_task(desk, &task)) {
        struct pollfd wake = {.fd = desk_wake_fd(desk), .events = POLLIN};
        while (!desk_is_cancelled(desk)) {
            desk_tell_progress(desk, ++done, 1000000, 0.5);
            poll(&wake, 1, COORDINATOR_MS);
        }
        buffer_done(&task.body);
        desk_answer(desk, RESULT_DONE, &task.body);
    }
    return NULL;
}

static void begin(void) {
    stops = false;
    stop = progresses = alives = 0;
    snprintf(folder, sizeof folder, "%s", test_folder());
    snprintf(endpoint, sizeof endpoint, "ipc://%s/c", folder);
    context = zmq_context_new();
    desk = desk_new();
    CHECK(context != NULL && desk != NULL);
    CHECK_OK(listener_open(context, endpoint, 4, &listener));
    CHECK(pthread_create(&coordinator, NULL, coordinate, NULL) == 0);
    CHECK(pthread_create(&computing, NULL, compute, NULL) == 0);
}

static void end(void) {
    desk_stop(desk);
    pthread_join(computing, NULL);
    stops = true;
    pthread_join(coordinator, NULL);
    listener_close(listener);
    zmq_context_free(context);
    desk_free(desk);
    file_remove_tree(folder);
}

static SessionEnd run_session(void) {
    Fingerprint fingerprint = {.parts = ""};
    SessionConfig config = {.endpoint = endpoint,
                            .kernel = "Haswell",
                            .threads = 1,
                            .fingerprint = &fingerprint,
                            .worker_id = digest_of("worker", 6),
                            .name = "test",
                            .stop_fd = -1,
                            .stop = &stop,
                            .leave_seconds = 1};
    bool was_welcome = false;
    char kernel[32] = "";
    SessionEnd session_end = session_run(context, &config, desk, &was_welcome, kernel);
    CHECK(was_welcome);
    return session_end;
}

// A training whose epochs take minutes: its progress takes the place of ALIVE, and a coordinator
// answers that alone.
TEST(a_session_outlasts_a_long_task_with_much_progress) {
    begin();
    CHECK_INT(run_session(), SESSION_OVER);
    CHECK_INT(progresses, PROGRESSES);
    CHECK(alives > 0);
    end();
}

TEST_MAIN_LIST(T(a_session_outlasts_a_long_task_with_much_progress))
