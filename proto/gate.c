// SPDX-License-Identifier: Apache-2.0
#include "proto/gate.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include "common/base/clock.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "proto/key_watch.h"

enum {
    LOOK_MS = 500,    // between two looks at the file; two in a row make a change
    WAIT_MS = 100,    // for a question, between looks whether it is to end
    FRAMES = 7,       // of a ZAP request by CURVE
    FRAME_BYTES = 256 // most of one
};

struct Gate {
    void *socket; // REP at inproc://zeromq.zap.01
    pthread_t thread;
    pthread_mutex_t lock;
    KeyList list;
    atomic_uint version;
    atomic_bool is_stopped;
    KeyWatch watch;
    int64_t look_ms;
    char problem[LIMIT_MESSAGE_BYTES];
    bool has_news; // of the problem
    int fd;
};

// ---- the list ----

static void raise_fd(int fd) {
    uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof one);
    (void)written; // a full counter is readable already
}

static void look(Gate *gate) {
    KeyList fresh = {0};
    Status status = key_watch_look(&gate->watch, &fresh);
    if (status == STATUS_AGAIN) {
        return;
    }
    pthread_mutex_lock(&gate->lock);
    if (status == STATUS_OK) {
        KeyList old = gate->list;
        gate->list = fresh;
        fresh = old;
        gate->has_news = gate->problem[0] != '\0';
        gate->problem[0] = '\0';
    } else {
        text_copy(gate->problem, sizeof gate->problem, status_message());
        gate->has_news = true;
    }
    pthread_mutex_unlock(&gate->lock);
    keys_list_done(&fresh);
    atomic_fetch_add(&gate->version, 1);
    raise_fd(gate->fd);
}

bool gate_admits(Gate *gate, const char *user) {
    pthread_mutex_lock(&gate->lock);
    bool has = keys_list_has(&gate->list, user);
    pthread_mutex_unlock(&gate->lock);
    return has;
}

uint32_t gate_version(const Gate *gate) {
    return atomic_load(&gate->version);
}

int gate_fd(const Gate *gate) {
    return gate->fd;
}

void gate_lower(Gate *gate) {
    uint64_t count;
    ssize_t got = read(gate->fd, &count, sizeof count);
    (void)got;
}

bool gate_take_problem(Gate *gate, char *out, size_t size) {
    pthread_mutex_lock(&gate->lock);
    bool has_news = gate->has_news;
    gate->has_news = false;
    text_copy(out, size, gate->problem);
    pthread_mutex_unlock(&gate->lock);
    return has_news;
}

// ---- ZAP ----

typedef struct Question {
    char frames[FRAMES][FRAME_BYTES];
    size_t sizes[FRAMES];
    int count; // FRAMES + 1: more than there can be
} Question;

// version, request id, domain, address, routing id, mechanism, credentials
enum { VERSION, REQUEST, DOMAIN, ADDRESS, ROUTE, MECHANISM, CREDENTIALS };

static bool take_question(Gate *gate, Question *question) {
    int more = 1;
    question->count = 0;
    while (more) {
        char frame[FRAME_BYTES];
        int size = zmq_recv(gate->socket, frame, sizeof frame, ZMQ_DONTWAIT);
        if (size < 0) {
            return false;
        }
        size_t more_size = sizeof more;
        zmq_getsockopt(gate->socket, ZMQ_RCVMORE, &more, &more_size);
        if (question->count < FRAMES) {
            size_t kept = (size_t)size < sizeof frame ? (size_t)size : 0; // longer: nothing of ours
            memcpy(question->frames[question->count], frame, kept);
            question->sizes[question->count] = kept;
        }
        question->count += question->count <= FRAMES;
    }
    return true;
}

static bool is_frame(const Question *question, int frame, const char *text) {
    return question->sizes[frame] == strlen(text) &&
           memcmp(question->frames[frame], text, question->sizes[frame]) == 0;
}

static bool is_admitted(Gate *gate, const Question *question, char user[KEY_TEXT_BYTES]) {
    return question->count == FRAMES && is_frame(question, VERSION, "1.0") &&
           is_frame(question, DOMAIN, GATE_DOMAIN) && is_frame(question, MECHANISM, "CURVE") &&
           question->sizes[CREDENTIALS] == 32 &&
           zmq_z85_encode(user, (const uint8_t *)question->frames[CREDENTIALS], 32) != NULL &&
           gate_admits(gate, user);
}

static void answer(Gate *gate, const Question *question) {
    char user[KEY_TEXT_BYTES] = "";
    bool good = is_admitted(gate, question, user);
    const char *frames[] = {
        "1.0", NULL, good ? "200" : "400", good ? "OK" : "not admitted", good ? user : "", ""};
    for (int i = 0; i < 6; i++) {
        const char *bytes = frames[i] != NULL ? frames[i] : question->frames[REQUEST];
        size_t size = frames[i] != NULL           ? strlen(frames[i])
                      : question->count > REQUEST ? question->sizes[REQUEST]
                                                  : 0;
        zmq_send(gate->socket, bytes, size, i < 5 ? ZMQ_SNDMORE : 0);
    }
}

static void *work(void *argument) {
    Gate *gate = argument;
    while (!atomic_load(&gate->is_stopped)) {
        zmq_pollitem_t item = {.socket = gate->socket, .events = ZMQ_POLLIN};
        Question question;
        if (zmq_poll(&item, 1, WAIT_MS) > 0 && take_question(gate, &question)) {
            answer(gate, &question);
        }
        int64_t now_ms = clock_ms();
        if (now_ms >= gate->look_ms) {
            gate->look_ms = now_ms + LOOK_MS;
            look(gate);
        }
    }
    return NULL;
}

// ---- opening ----

static Status open_socket(Gate *gate, void *zmq_context) {
    int linger_ms = 0;
    gate->socket = zmq_socket(zmq_context, ZMQ_REP);
    bool good = gate->socket != NULL &&
                zmq_setsockopt(gate->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms) == 0 &&
                zmq_bind(gate->socket, "inproc://zeromq.zap.01") == 0;
    return good ? STATUS_OK
                : status_set(STATUS_IO, "cannot answer who may connect: %s", zmq_strerror(errno));
}

static Status start_thread(Gate *gate) {
    // Signals are the main thread's: this one would run the handler that leaves at once.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&gate->thread, NULL, work, gate);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed == 0
               ? STATUS_OK
               : status_set(STATUS_IO, "cannot start the thread that answers who may connect");
}

Status gate_open(void *zmq_context, const char *list, Gate **ret) {
    Gate *gate = mem_new(1, sizeof *gate);
    if (gate == NULL) {
        return STATUS_MEMORY;
    }
    pthread_mutex_init(&gate->lock, NULL);
    gate->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    Status status = key_watch_begin(&gate->watch, list, &gate->list);
    if (status == STATUS_OK) {
        status = open_socket(gate, zmq_context);
    }
    if (status == STATUS_OK) {
        status = start_thread(gate);
    }
    if (status != STATUS_OK) {
        atomic_store(&gate->is_stopped, true); // there is no thread
        gate_close(gate);
        return status;
    }
    *ret = gate;
    return STATUS_OK;
}

void gate_close(Gate *gate) {
    if (gate == NULL) {
        return;
    }
    if (!atomic_exchange(&gate->is_stopped, true)) {
        pthread_join(gate->thread, NULL);
    }
    if (gate->socket != NULL) {
        zmq_close(gate->socket);
    }
    keys_list_done(&gate->list);
    pthread_mutex_destroy(&gate->lock);
    close(gate->fd);
    mem_free(gate);
}
