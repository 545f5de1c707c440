// SPDX-License-Identifier: Apache-2.0
//
// How it works. The coordinator may have sent, or still send, as many tasks as credits were given
// and not used up by an answer: `asked`. It is held at a window that is worth AHEAD_NS of work, so
// that the computing thread has the next task at hand, and yet nobody hoards what others could do
// at the end of a stage. What tasks take is only known afterwards, so the window moves by a factor
// of two at most with each bundle of answers.
#include "worker/session.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"

enum {
    HELLO_MS = 1000,   // for a connection; beyond, see whether the endpoint is still that
    SLICE_MS = 50,     // of that, between looks whether it is asked to leave
    WELCOME_MS = 5000, // after HELLO; beyond, the coordinator is not there
    WINDOW_LEAST = 2,  // one task under work, one waiting: the next begins without a round trip
    WINDOW_MOST = PROTO_CREDITS,
    AHEAD_NS = 20000000, // of work: far beyond a round trip, far below a stage
    LOST_ALIVES = 10,    // nothing heard for so many alive_ms: the coordinator is gone
    PROGRESS_MS = 500,   // between progress messages
    SEND_MS = 5000,      // a control message that cannot be sent for so long: lost
    ACK_MS = 2000,       // for what was done to be acknowledged when asked to leave
    LEAVE_LOOK_MS = 50,  // between looks at the task under work when asked to leave
};

typedef struct Session {
    const SessionConfig *config;
    Desk *desk;
    Line *line;
    Decoded *decoded;
    Buffer bytes; // of the message being sent
    uint32_t alive_ms;
    int64_t heard_ms, sent_ms, progress_ms;
    int64_t alive_sent_ms; // the last ALIVE
    int64_t leave_ms;      // when it leaves at the latest; 0: not asked to
    uint32_t asked;        // credits given whose answers have not been taken
    uint32_t window;       // what `asked` may be
    bool was_cancelled;    // a task since the last CREDIT
    uint32_t owed_acks;    // results sent that have not been acknowledged
    int64_t idle_ms;       // since when nothing is under work, once asked to leave; 0: something is
    double usual_ns;       // that a task takes, of late
    DeskAnswer answers[PROTO_BUNDLE]; // being sent
    WireResult results[PROTO_BUNDLE];
} Session;

static Status send_within(Session *session, const Message *message, int64_t timeout_ms) {
    buffer_clear(&session->bytes);
    message_encode(message, &session->bytes);
    if (session->bytes.status != STATUS_OK) {
        return session->bytes.status;
    }
    session->sent_ms = clock_ms();
    return line_send(session->line, session->bytes.bytes, session->bytes.size, NULL, 0, timeout_ms);
}

static Status send_message(Session *session, const Message *message) {
    return send_within(session, message, SEND_MS);
}

static Status say_hello(Session *session) {
    const SessionConfig *config = session->config;
    Message hello = {.type = MESSAGE_HELLO};
    hello.hello.protocol_least = PROTOCOL_LEAST;
    hello.hello.protocol_most = PROTOCOL_MOST;
    hello.hello.program = "auscult-worker " AUSCULT_VERSION;
    hello.hello.worker_id = config->worker_id;
    hello.hello.name = config->name;
    hello.hello.threads = config->threads;
    hello.hello.kernel = config->kernel;
    hello.hello.fingerprint = config->fingerprint->digest;
    hello.hello.libraries = config->fingerprint->parts;
    Status status = STATUS_AGAIN;
    for (int64_t left_ms = HELLO_MS; status == STATUS_AGAIN && left_ms > 0; left_ms -= SLICE_MS) {
        status = *config->stop ? status_set(STATUS_STOPPED, "asked to leave")
                               : send_within(session, &hello, SLICE_MS);
    }
    return status;
}

// Where the data lie: this worker's own roots if it was given any, else the coordinator's.
static Status open_desk(Session *session, const Message *welcome) {
    const SessionConfig *config = session->config;
    DeskSession *opened = mem_new(1, sizeof *opened);
    if (opened == NULL) {
        return STATUS_MEMORY;
    }
    opened->token = welcome->welcome.token;
    bool own = config->root_count > 0;
    opened->root_count = own ? config->root_count : welcome->welcome.root_count;
    for (uint32_t i = 0; i < opened->root_count && i < LIMIT_ROOTS; i++) {
        text_copy(opened->roots[i], sizeof opened->roots[i],
                  own ? config->roots[i] : welcome->welcome.roots[i]);
    }
    Status status = STATUS_OK;
    if (own && config->root_count != welcome->welcome.root_count) {
        status = status_set(STATUS_INVALID,
                            "this worker was given %u data folders (--data), the run has %u: name "
                            "as many, in the same order",
                            config->root_count, welcome->welcome.root_count);
    }
    if (status == STATUS_OK) {
        status =
            line_bulk_endpoint(config->endpoint, welcome->welcome.bulk_port, opened->bulk_endpoint);
    }
    if (status == STATUS_OK) {
        desk_open_session(session->desk, opened);
    }
    mem_free(opened);
    return status;
}

static SessionEnd refused(const Message *message, char kernel[32]) {
    status_set(STATUS_MISMATCH, "refused by the coordinator: %s", message->refused.text);
    const char *quote = strrchr(message->refused.text, '\'');
    if (message->refused.code == REFUSED_KERNEL && quote != NULL) {
        const char *start = quote;
        while (start > message->refused.text && start[-1] != '\'') {
            start--;
        }
        snprintf(kernel, 32, "%.*s", (int)(quote - start), start);
        return SESSION_KERNEL;
    }
    switch (message->refused.code) {
    case REFUSED_UNKNOWN:
    case REFUSED_FULL:
        return SESSION_LOST;
    case REFUSED_OVER:
        return SESSION_OVER;
    case REFUSED_MALFORMED:
        return SESSION_FAILED;
    case REFUSED_PROTOCOL:
    case REFUSED_KERNEL:
    case REFUSED_FINGERPRINT:
    case REFUSED_ADMISSION:
        break;
    }
    return SESSION_REFUSED;
}

// HELLO and what answers it.
static bool greet(Session *session, SessionEnd *ret_end, char kernel[32]) {
    *ret_end = SESSION_LOST;
    if (say_hello(session) != STATUS_OK) {
        *ret_end = *session->config->stop ? SESSION_OVER : SESSION_LOST;
        if (line_problem(session->line)[0] != '\0') {
            status_set(STATUS_IO, "%s", line_problem(session->line));
        }
        return false;
    }
    int64_t until_ms = clock_ms() + WELCOME_MS;
    for (int64_t left = WELCOME_MS; left > 0; left = until_ms - clock_ms()) {
        LineMessage raw;
        bool woken = false;
        Status status = line_receive(session->line, session->config->stop_fd, left, &raw, &woken);
        if (*session->config->stop) {
            *ret_end = SESSION_OVER;
            return false;
        }
        const Message *message;
        if (status != STATUS_OK ||
            message_decode(session->decoded, raw.bytes, raw.size, &message) != STATUS_OK) {
            continue;
        }
        if (message->type == MESSAGE_REFUSED) {
            *ret_end = refused(message, kernel);
            return false;
        }
        if (message->type == MESSAGE_WELCOME) {
            session->alive_ms = message->welcome.alive_ms;
            if (open_desk(session, message) != STATUS_OK) {
                *ret_end = SESSION_REFUSED;
                return false;
            }
            return true;
        }
    }
    const char *problem = line_problem(session->line);
    status_set(STATUS_IO, "no answer from a coordinator at %s%s%s", session->config->endpoint,
               problem[0] != '\0' ? ": " : "", problem);
    return false;
}

static Status take_tasks(Session *session, const Message *message) {
    DeskTask tasks[PROTO_BUNDLE];
    uint32_t count = 0;
    Status status = STATUS_OK;
    while (count < message->tasks.count && status == STATUS_OK) {
        const WireTask *given = &message->tasks.items[count];
        DeskTask *task = &tasks[count++];
        *task = (DeskTask){.task = given->task, .attempt = given->attempt, .kind = given->kind};
        if (given->body_bytes > 0) {
            buffer_append(&task->body, given->body, given->body_bytes);
        }
        status = task->body.status;
    }
    if (status == STATUS_OK) {
        status = desk_put_tasks(session->desk, tasks, count);
    }
    for (uint32_t i = 0; i < count && status != STATUS_OK; i++) {
        buffer_done(&tasks[i].body);
    }
    return status;
}

// False: the session has ended, *ret_end says how.
static bool handle(Session *session, const Message *message, SessionEnd *ret_end, char kernel[32]) {
    switch ((int)message->type) {
    case MESSAGE_TASKS:
        if (take_tasks(session, message) != STATUS_OK) {
            *ret_end = SESSION_LOST;
            return false;
        }
        return true;
    case MESSAGE_CANCEL:
        desk_cancel(session->desk, message->cancel.task, message->cancel.attempt);
        return true;
    case MESSAGE_END:
        log_info("%s", message->end.text);
        *ret_end = SESSION_OVER;
        return false;
    case MESSAGE_REFUSED:
        *ret_end = refused(message, kernel);
        return false;
    case MESSAGE_ACKS: // of a result that crossed a CANCEL none may come, or one too many
        session->owed_acks -=
            message->acks.count < session->owed_acks ? message->acks.count : session->owed_acks;
        return true;
    default: // ECHO: a sign of life
        return true;
    }
}

// Half a window at a time, so that not every answer has a CREDIT behind it; but after a task that
// was cancelled at once, since the coordinator may wait for a sign that this worker is free.
static Status ask_for_more(Session *session) {
    uint32_t most = session->was_cancelled ? session->window - 1 : session->window / 2;
    if (session->asked > most || session->leave_ms > 0) {
        return STATUS_OK;
    }
    Message credit = {.type = MESSAGE_CREDIT, .credit = {session->window - session->asked}};
    session->asked = session->window;
    session->was_cancelled = false;
    return send_message(session, &credit);
}

static uint32_t within(double value, uint32_t least, uint32_t most) {
    return value < least ? least : value > most ? most : (uint32_t)value;
}

static void adapt_window(Session *session, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (!session->answers[i].is_cancelled) {
            session->usual_ns += ((double)session->answers[i].took_ns - session->usual_ns) / 8;
        }
    }
    double fits = session->usual_ns > 0 ? AHEAD_NS / session->usual_ns : WINDOW_LEAST;
    uint32_t wanted = within(fits, session->window / 2, session->window * 2);
    session->window = within(wanted, WINDOW_LEAST, WINDOW_MOST);
}

static Status send_results(Session *session, uint32_t count) {
    return count == 0 ? STATUS_OK
                      : send_message(session, &(Message){.type = MESSAGE_RESULTS,
                                                         .results = {session->results, count}});
}

// As many to a message as fit.
static Status send_bundles(Session *session, uint32_t count) {
    uint32_t bundled = 0;
    size_t bytes = 0;
    Status status = STATUS_OK;
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        const DeskAnswer *answer = &session->answers[i];
        if (answer->is_cancelled) {
            session->was_cancelled = true;
            continue;
        }
        size_t more = answer->body.size + PROTO_ITEM_BYTES;
        if (bytes + more > PROTO_BODY_BYTES) {
            status = send_results(session, bundled);
            bundled = 0;
            bytes = 0;
        }
        bytes += more;
        session->owed_acks += answer->outcome == RESULT_DONE;
        session->results[bundled++] = (WireResult){.task = answer->task,
                                                   .attempt = answer->attempt,
                                                   .outcome = answer->outcome,
                                                   .body = answer->body.bytes,
                                                   .body_bytes = answer->body.size};
    }
    return status == STATUS_OK ? send_results(session, bundled) : status;
}

static Status send_answers(Session *session) {
    Status status = STATUS_OK;
    uint32_t count;
    while (status == STATUS_OK &&
           (count = desk_take_answers(session->desk, session->answers, PROTO_BUNDLE)) > 0) {
        session->asked -= count < session->asked ? count : session->asked;
        status = send_bundles(session, count);
        for (uint32_t i = 0; i < count; i++) {
            buffer_done(&session->answers[i].body);
        }
        adapt_window(session, count);
    }
    return status == STATUS_OK ? ask_for_more(session) : status;
}

static Status send_progress(Session *session, int64_t now_ms) {
    DeskProgress progress;
    if (now_ms - session->progress_ms < PROGRESS_MS ||
        !desk_take_progress(session->desk, &progress)) {
        return STATUS_OK;
    }
    session->progress_ms = now_ms;
    Message message = {.type = MESSAGE_PROGRESS};
    message.progress.task = progress.task;
    message.progress.attempt = progress.attempt;
    message.progress.done = progress.done;
    message.progress.total = progress.total;
    message.progress.loss = progress.loss;
    return send_message(session, &message);
}

// When nothing was sent for a while, so that the coordinator knows that this worker is there, and
// when nothing was heard, for the ECHO: the coordinator answers nothing else in the middle of a
// long task, however much progress it is told of.
static Status send_alive(Session *session, int64_t now_ms) {
    int64_t asked_ms =
        session->heard_ms > session->alive_sent_ms ? session->heard_ms : session->alive_sent_ms;
    if (now_ms - session->sent_ms < session->alive_ms && now_ms - asked_ms < session->alive_ms) {
        return STATUS_OK;
    }
    session->alive_sent_ms = now_ms;
    return send_message(session, &(Message){.type = MESSAGE_ALIVE});
}

static Status send_signs(Session *session, int64_t now_ms) {
    Status status = send_progress(session, now_ms);
    return status == STATUS_OK ? send_alive(session, now_ms) : status;
}

// Waits for the coordinator, the computing thread or a signal.
static Status wait_for_something(Session *session, LineMessage *raw) {
    bool woken = false;
    int64_t most_ms = session->leave_ms > 0 ? LEAVE_LOOK_MS : PROGRESS_MS;
    int64_t wait_ms = session->alive_ms < most_ms ? session->alive_ms : most_ms;
    Status status =
        line_receive(session->line, desk_answer_fd(session->desk), wait_ms, raw, &woken);
    // What was read so far is not kept waiting by a desk that always has something.
    return woken ? line_receive(session->line, -1, 0, raw, &woken) : status;
}

// False: the session has ended, *ret_end says how.
static bool read_all(Session *session, SessionEnd *ret_end, char kernel[32]) {
    LineMessage raw;
    Status status = wait_for_something(session, &raw);
    while (status == STATUS_OK) {
        const Message *message;
        session->heard_ms = clock_ms();
        if (message_decode(session->decoded, raw.bytes, raw.size, &message) != STATUS_OK) {
            log_warning("from the coordinator: %s", status_message());
            return false;
        }
        if (!handle(session, message, ret_end, kernel)) {
            return false;
        }
        bool woken;
        status = line_receive(session->line, -1, 0, &raw, &woken);
    }
    return status == STATUS_AGAIN;
}

// Whether what it has is done and in safe hands: a state is still under way on the bulk lane when
// its result is, and GOODBYE would overtake both.
static bool is_done(Session *session, int64_t now_ms) {
    bool idle = desk_is_idle(session->desk); // first: its last answer is then among those sent here
    if (send_answers(session) != STATUS_OK) {
        return true;
    }
    if (idle && session->idle_ms == 0) {
        session->idle_ms = now_ms;
    }
    return idle && (session->owed_acks == 0 || now_ms - session->idle_ms >= ACK_MS);
}

// Asked to leave: what is under work may end, then GOODBYE.
static bool has_left(Session *session, int64_t now_ms) {
    int asked = *session->config->stop;
    if (asked == 0) {
        return false;
    }
    if (session->leave_ms == 0) {
        session->leave_ms = now_ms + (int64_t)(1000 * session->config->leave_seconds);
        desk_leave(session->desk);
    }
    if (asked == 1 && now_ms < session->leave_ms && !is_done(session, now_ms)) {
        return false;
    }
    Message goodbye = {.type = MESSAGE_GOODBYE};
    goodbye.goodbye.text = "asked to leave";
    (void)send_message(session, &goodbye);
    return true;
}

static SessionEnd converse(Session *session, char kernel[32]) {
    session->heard_ms = clock_ms();
    session->window = WINDOW_LEAST;
    if (ask_for_more(session) != STATUS_OK) {
        return SESSION_LOST;
    }
    for (;;) {
        SessionEnd end = SESSION_LOST;
        if (!read_all(session, &end, kernel)) {
            return end;
        }
        desk_await_moment(session->desk);
        int64_t now_ms = clock_ms();
        if (send_answers(session) != STATUS_OK || send_signs(session, now_ms) != STATUS_OK) {
            return SESSION_LOST;
        }
        if (has_left(session, now_ms)) {
            return SESSION_OVER;
        }
        if (now_ms - session->heard_ms > (int64_t)LOST_ALIVES * session->alive_ms) {
            status_set(STATUS_IO, "nothing heard from the coordinator");
            return SESSION_LOST;
        }
    }
}

SessionEnd session_run(ZmqContext *context, const SessionConfig *config, Desk *desk,
                       bool *ret_was_welcome, char kernel[32]) {
    Session session = {.config = config, .desk = desk, .decoded = decoded_new()};
    SessionEnd end = SESSION_LOST;
    *ret_was_welcome = false;
    if (session.decoded != NULL &&
        line_open(context, config->endpoint, LANE_CONTROL, &session.line) == STATUS_OK) {
        if (greet(&session, &end, kernel)) {
            *ret_was_welcome = true;
            end = converse(&session, kernel);
        }
    }
    desk_cancel_all(desk);
    line_close(session.line);
    decoded_free(session.decoded);
    buffer_done(&session.bytes);
    return end;
}
