// SPDX-License-Identifier: Apache-2.0
#include "coordinator/server/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "coordinator/server/alarms.h"
#include "coordinator/server/bulk_lane.h"
#include "coordinator/server/endpoint.h"
#include "coordinator/server/local.h"
#include "coordinator/server/progress.h"
#include "coordinator/server/signals.h"
#include "coordinator/server/standstill.h"
#include "coordinator/server/visits.h"

enum {
    ALIVE_MS = 1000,      // between signs of life
    LOOP_MS = 200,        // the longest wait: local workers and progress are looked at so often
    HANG_UP_MS = 2000,    // for workers to go once they know that the run is over
    WIND_UP_MS = 3000,    // for what is under work when a signal asks to stop: a piece of training
    CLOSED_ENOUGH = 64,   // connections, for their memory to be worth the time
    GIVE_BACK_MS = 5000,  // between two times
    STRANGERS_MS = 10000, // between two words about connections that were shut
    EVENTS_MOST = 8 * LIMIT_WORKERS, // between two ticks: what is due is done under any load
};

typedef struct Server {
    const ServerConfig *config;
    ZmqContext *context;
    Endpoint endpoint;
    Listener *listener; // the endpoint's
    Core *core;
    Local *local;
    Progress *progress;
    Decoded *decoded;
    BulkLane *bulk;
    Visits *visits; // who said HELLO of late
    int signal_fd;
    Buffer bytes;   // of the message being sent
    uint32_t stops; // signals that asked to stop
    char failure_text[LIMIT_MESSAGE_BYTES - 64];
    Status failure;    // what ended the loop early
    const char *stage; // under way, NULL for none; static
    Standstill standstill;
    uint64_t shut_told;   // connections that were shut, as the log has it
    int64_t shut_due_ms;  // when it may be said again
    uint32_t closed;      // connections, since their memory was given back
    int64_t given_due_ms; // when it may be again
} Server;

// ---- sending ----

static void fail(Server *server, Status status) {
    if (server->failure == STATUS_OK) {
        server->failure = status;
        text_copy(server->failure_text, sizeof server->failure_text, status_message());
    }
}

static void send_control(Server *server, PeerId peer, const Message *message) {
    buffer_clear(&server->bytes);
    message_encode(message, &server->bytes);
    if (server->bytes.status != STATUS_OK) {
        fail(server, server->bytes.status);
        return;
    }
    Status status = listener_send(server->listener, LANE_CONTROL, peer, server->bytes.bytes,
                                  server->bytes.size, NULL, 0);
    if (status != STATUS_OK) {
        log_debug("%s to a worker: %s", message_type_name(message->type), status_message());
        // A connection that is gone is reported once its last messages are read: GOODBYE may be
        // among them.
        if (status != STATUS_NOT_FOUND) {
            core_on_closed(server->core, peer, clock_ms());
        }
    }
    // A refusal is the last word on a connection: who floods us with what is refused is refused
    // once.
    if (message->type == MESSAGE_REFUSED) {
        listener_drop(server->listener, LANE_CONTROL, peer);
    }
}

// ---- what the core asks for ----

static void on_joined(Server *server, CorePeer peer) {
    CoreSession session;
    if (core_session(server->core, peer, &session)) {
        live_joined(server->config->live, &session);
        if (server->local != NULL) {
            local_joined(server->local, peer, session.name);
        }
        log_line(server->config->local_workers > 0 ? LOG_DEBUG : LOG_INFO, "worker %s joined",
                 session.name);
    }
}

static Status on_cannot(Server *server, const CoreAction *action, int64_t now_ms) {
    const Owner *owner = server->config->owner;
    Buffer said = BUFFER_EMPTY;
    OwnerDoubt doubt = {.tag = action->tag,
                        .bytes = action->blob.bytes,
                        .size = action->blob.size,
                        .worker = buffer_cstr(&action->items)};
    Status status = owner->on_cannot(owner->context, server->core, &doubt, &said, now_ms);
    if (said.size > 0) {
        log_warning("%s", buffer_cstr(&said));
    }
    buffer_done(&said);
    return status;
}

static Status on_poison(Server *server, TaskTag tag, int64_t now_ms) {
    const Owner *owner = server->config->owner;
    Buffer what = BUFFER_EMPTY;
    owner->describe(owner->context, tag, &what);
    log_warning("workers died on %s", buffer_cstr(&what));
    buffer_done(&what);
    return owner->on_poison(owner->context, server->core, tag, now_ms);
}

static void on_alarm(Server *server, const CoreAction *action) {
    const Owner *owner = server->config->owner;
    Buffer what = BUFFER_EMPTY;
    owner->describe(owner->context, action->tag, &what);
    log_error("%s, %s: results may not be trusted", buffer_cstr(&action->blob), buffer_cstr(&what));
    buffer_done(&what);
    Status status = alarms_add(server->config->journal);
    if (status != STATUS_OK) {
        fail(server, status);
    }
}

static void act(Server *server, CoreAction *action, int64_t now_ms) {
    const Owner *owner = server->config->owner;
    Status status = STATUS_OK;
    switch (action->kind) {
    case CORE_SEND:
        send_control(server, action->peer, &action->message);
        break;
    case CORE_TOTAL:
        bulk_lane_total(server->bulk, action, now_ms);
        break;
    case CORE_COMMIT:
        status = owner->commit(owner->context, action->tag, action->blob.bytes, action->blob.size);
        break;
    case CORE_DROP:
        listener_drop(server->listener, LANE_CONTROL, action->peer);
        break;
    case CORE_CANNOT:
        status = on_cannot(server, action, now_ms);
        break;
    case CORE_IMPOSSIBLE:
        status = owner->on_impossible(owner->context, server->core, action->tag, action->blob.bytes,
                                      action->blob.size);
        break;
    case CORE_POISON:
        live_poison(server->config->live);
        status = on_poison(server, action->tag, now_ms);
        break;
    case CORE_JOINED:
        on_joined(server, action->peer);
        break;
    case CORE_LEFT:
        live_left(server->config->live, action);
        if (server->local != NULL) {
            local_left(server->local, action->peer, now_ms);
        }
        log_line(server->config->local_workers > 0 ? LOG_DEBUG : LOG_INFO, "worker left: %s",
                 buffer_cstr(&action->blob));
        break;
    case CORE_NOTE:
        log_warning("%s", buffer_cstr(&action->blob));
        break;
    case CORE_ALARM:
        on_alarm(server, action);
        break;
    case CORE_FAILED:
        log_debug("task %u: %u deaths, %u workers could not do it", action->tag, action->deaths,
                  action->cannots);
        status = owner->on_failed(owner->context, action->tag, action->deaths, action->cannots);
        break;
    }
    if (status != STATUS_OK) {
        fail(server, status);
    }
}

static void do_actions(Server *server) {
    CoreAction action;
    int64_t now_ms = clock_ms(); // of all: there may be a hundred thousand a second
    while (server->failure == STATUS_OK && core_next_action(server->core, &action)) {
        act(server, &action, now_ms);
        core_action_done(&action);
    }
}

// ---- input ----

static void on_control(Server *server, const ListenerEvent *event, int64_t now_ms) {
    const Message *message;
    Status status = event->fault != NULL
                        ? status_set(STATUS_FORMAT, "%s", event->fault)
                        : message_decode(server->decoded, event->bytes, event->size, &message);
    if (status != STATUS_OK) {
        // Of strangers there may be any number: say_strangers counts them.
        CoreSession session;
        log_line(core_session(server->core, event->peer, &session) ? LOG_WARNING : LOG_DEBUG,
                 "malformed message from a worker: %s", status_message());
        core_on_malformed(server->core, event->peer, status_message(), now_ms);
        return;
    }
    const char *address = listener_address(server->listener, event->peer);
    if (message->type == MESSAGE_HELLO && !visits_admit(server->visits, address, now_ms)) {
        core_on_unwanted(server->core, event->peer,
                         "too many workers have said HELLO in this minute: try again", now_ms);
        return;
    }
    core_on_message(server->core, event->peer, message, now_ms);
}

static void on_event(Server *server, const ListenerEvent *event) {
    int64_t now_ms = clock_ms();
    switch (event->kind) {
    case LISTENER_MESSAGE:
        if (event->lane == LANE_CONTROL) {
            on_control(server, event, now_ms);
        } else {
            bulk_lane_message(server->bulk, event, now_ms);
        }
        break;
    case LISTENER_CLOSED:
        server->closed++;
        if (event->lane == LANE_CONTROL) {
            core_on_closed(server->core, event->peer, now_ms);
        } else {
            bulk_lane_closed(server->bulk, event->peer, now_ms);
        }
        break;
    case LISTENER_WAKE:
        break;
    }
}

// tests/bench reads this line.
static void say_pace(const Server *server, TaskTag tag) {
    const Owner *owner = server->config->owner;
    OwnerPace pace;
    if (owner->pace(owner->context, tag, &pace)) {
        log_debug("model %s: %u members, %llu rounds, %.1f us per round", pace.model, pace.members,
                  (unsigned long long)pace.rounds, pace.round_ns / 1e3);
    }
}

static void drain_journal(Server *server) {
    const Owner *owner = server->config->owner;
    uint64_t ticket;
    Status status;
    int64_t now_ms = clock_ms();
    while ((status = journal_next(server->config->journal, &ticket)) == STATUS_OK) {
        core_on_durable(server->core, (TaskTag)ticket, now_ms);
        say_pace(server, (TaskTag)ticket);
        Status applied = owner->on_durable(owner->context, server->core, (TaskTag)ticket, now_ms);
        if (applied != STATUS_OK) {
            fail(server, applied);
        }
    }
    if (status != STATUS_AGAIN) {
        fail(server, status);
    }
}

static void say_strangers(Server *server, int64_t now_ms) {
    uint64_t shut = listener_shut(server->listener);
    if (shut > server->shut_told && now_ms >= server->shut_due_ms) {
        log_warning("%llu connections were shut that said nothing, or nothing that is welcome",
                    (unsigned long long)(shut - server->shut_told));
        server->shut_told = shut;
        server->shut_due_ms = now_ms + STRANGERS_MS;
    }
}

// libzmq frees what a connection had, tens of kilobytes, between what others have.
static void give_back_memory(Server *server, int64_t now_ms) {
    if (server->closed >= CLOSED_ENOUGH && now_ms >= server->given_due_ms) {
        server->closed = 0;
        server->given_due_ms = now_ms + GIVE_BACK_MS;
        mem_give_back();
    }
}

static void say_problem(Server *server) {
    char problem[LIMIT_MESSAGE_BYTES];
    if (!listener_take_problem(server->listener, problem, sizeof problem)) {
        return;
    }
    if (problem[0] != '\0') {
        log_error("%s: the workers that were admitted before still are", problem);
    } else {
        log_info("the list of workers that are admitted can be read again");
    }
}

// ---- progress ----

static void show_progress(Server *server, int64_t now_ms) {
    const Owner *owner = server->config->owner;
    CoreCounts counts = core_counts(server->core);
    ProgressFacts facts = {
        .workers = counts.sessions, .stranded = counts.stranded, .loss = counts.train_loss};
    owner->progress(owner->context, &facts);
    progress_tick(server->progress, &facts, now_ms);
    server->stage = facts.stage;
}

static void tell(const Server *server, Status ended, bool is_last) {
    const Owner *owner = server->config->owner;
    LiveMoment moment = {.core = server->core,
                         .alarms = alarms_count(server->config->journal),
                         .stage = server->stage,
                         .ended = ended,
                         .now_ms = clock_ms()};
    LiveOwner facts = {.complete = owner->tell, .context = owner->context};
    (is_last ? live_tell : live_tell_in_time)(server->config->live, &moment, &facts);
}

// ---- opening and closing ----

static Status open_core(Server *server) {
    const ServerConfig *config = server->config;
    CoreConfig core = {.hooks = config->owner->hooks,
                       .incarnation = journal_incarnation(config->journal),
                       .kernel = linalg_kernel_name(config->kernel),
                       .fingerprint = config->fingerprint->digest,
                       .libraries = config->fingerprint->parts,
                       .alive_ms = ALIVE_MS,
                       .workers_most = LIMIT_WORKERS,
                       .bulk_port = listener_bulk_port(server->listener),
                       .roots = config->roots,
                       .root_count = config->root_count};
    if (getrandom(core.secret.bytes, sizeof core.secret.bytes, 0) !=
        (ssize_t)sizeof core.secret.bytes) {
        return status_set(STATUS_IO, "no random numbers: %s", strerror(errno));
    }
    core.run = digest_of(config->run_folder, strlen(config->run_folder));
    server->core = core_new(&core);
    if (server->core == NULL) {
        return STATUS_MEMORY;
    }
    server->bulk = bulk_lane_new(server->listener, server->core, config->blobs, config->owner);
    return server->bulk != NULL ? STATUS_OK : STATUS_MEMORY;
}

static Status catch_signals(Server *server) {
    Status status = signals_catch(&server->signal_fd);
    return status == STATUS_OK ? listener_watch(server->listener, server->signal_fd) : status;
}

static Status start_workers(Server *server) {
    char folder[LIMIT_PATH_BYTES];
    if (server->config->local_workers == 0) {
        log_info("waiting for workers: auscult-worker --connect %s%s%s",
                 listener_endpoint(server->listener),
                 server->endpoint.worker_keys[0] != '\0' ? " --keys " : "",
                 server->endpoint.worker_keys);
        return STATUS_OK;
    }
    Status status = file_join(folder, sizeof folder, server->config->run_folder, "logs");
    LocalConfig local = {.workers = server->config->local_workers,
                         .endpoint = listener_endpoint(server->listener),
                         .keys = server->endpoint.worker_keys,
                         .kernel = linalg_kernel_name(server->config->kernel),
                         .log_folder = folder,
                         .is_debug = server->config->is_debug};
    return status == STATUS_OK ? local_start(&local, &server->local) : status;
}

static Status open_server(Server *server) {
    server->context = zmq_context_new();
    server->decoded = decoded_new();
    server->progress = progress_new(server->config->is_quiet);
    server->visits = visits_new();
    if (server->context == NULL || server->decoded == NULL || server->progress == NULL ||
        server->visits == NULL) {
        return STATUS_MEMORY;
    }
    const ServerConfig *config = server->config;
    EndpointConfig endpoint = {.journal = config->journal,
                               .run_folder = config->run_folder,
                               .bind = config->bind,
                               .keys = config->keys,
                               .is_insecure = config->is_insecure,
                               .local_workers = config->local_workers};
    Status status = endpoint_open(server->context, &endpoint, &server->endpoint);
    server->listener = server->endpoint.listener;
    if (status == STATUS_OK) {
        status = open_core(server);
    }
    if (status == STATUS_OK) {
        status = listener_watch(server->listener, journal_fd(server->config->journal));
    }
    if (status == STATUS_OK) {
        status = listener_watch(server->listener, bulk_lane_fd(server->bulk));
    }
    if (status == STATUS_OK) {
        status = catch_signals(server);
    }
    if (status == STATUS_OK) {
        status = endpoint_write(&server->endpoint, server->config->run_folder);
    }
    return status;
}

static void close_server(Server *server) {
    local_stop(server->local);
    endpoint_close(&server->endpoint, server->config->run_folder);
    zmq_context_free(server->context);
    bulk_lane_free(server->bulk);
    core_free(server->core);
    progress_free(server->progress);
    visits_free(server->visits);
    decoded_free(server->decoded);
    buffer_done(&server->bytes);
    if (server->signal_fd >= 0) {
        close(server->signal_fd);
    }
}

// ---- the loop ----

static bool is_over(const Server *server) {
    const Owner *owner = server->config->owner;
    return owner->is_over(owner->context);
}

static bool goes_on(const Server *server) {
    return server->failure == STATUS_OK && server->stops == 0 && !is_over(server);
}

static void turn(Server *server) {
    const Owner *owner = server->config->owner;
    int64_t now_ms = clock_ms();
    int64_t due_ms = core_tick(server->core, now_ms);
    do_actions(server);
    int64_t wait_ms = due_ms - now_ms < LOOP_MS ? due_ms - now_ms : LOOP_MS;
    listener_wait(server->listener, wait_ms > 0 ? wait_ms : 0);
    ListenerEvent event;
    // Connections take turns, so that who never ends keeps nobody else's messages from being read.
    for (int events = 0; events < EVENTS_MOST && server->failure == STATUS_OK &&
                         listener_next(server->listener, &event);
         events++) {
        on_event(server, &event);
        do_actions(server);
        Status status = owner->catch_up(owner->context, server->core, clock_ms());
        if (status != STATUS_OK) {
            fail(server, status);
        }
    }
    drain_journal(server);
    bulk_lane_send_parts(server->bulk, clock_ms());
    say_problem(server);
    say_strangers(server, clock_ms());
    do_actions(server);
    server->stops += signals_stops(server->signal_fd);
    now_ms = clock_ms();
    if (server->local != NULL && server->stops == 0) {
        Status status = local_tick(server->local, now_ms);
        if (status == STATUS_MISMATCH ||
            (status != STATUS_OK && core_counts(server->core).sessions == 0)) {
            fail(server, status_set(STATUS_IO, "%s", status_message()));
        }
    }
    CoreCounts counts = core_counts(server->core);
    standstill_tick(&server->standstill, &counts, listener_endpoint(server->listener), now_ms);
    give_back_memory(server, now_ms);
    show_progress(server, now_ms);
    tell(server, STATUS_AGAIN, false);
}

// A worker whose connection goes before it has read END would look for a coordinator that is no
// more (libzmq drops what is unread): so they hang up first, for which they get a moment.
static void say_end(Server *server, const char *text) {
    uint32_t told = core_counts(server->core).sessions;
    core_end(server->core, text);
    do_actions(server);
    int64_t until_ms = clock_ms() + HANG_UP_MS;
    while (told > 0 && clock_ms() < until_ms) {
        ListenerEvent event;
        listener_wait(server->listener, until_ms - clock_ms());
        while (listener_next(server->listener, &event)) {
            told -= event.kind == LISTENER_CLOSED && event.lane == LANE_CONTROL && told > 0;
        }
        server->stops += signals_stops(server->signal_fd);
    }
}

static bool is_under_work(const Server *server) {
    CoreCounts counts = core_counts(server->core);
    return counts.held > 0 || counts.answered > 0;
}

// Local workers that are asked to leave hand a training over at its next step.
static void wind_up(Server *server) {
    if (is_under_work(server)) {
        log_info("stopping when what is under work has ended, in %d s at most", WIND_UP_MS / 1000);
    }
    core_wind_up(server->core);
    if (server->local != NULL) {
        local_leave(server->local);
    }
    int64_t until_ms = clock_ms() + WIND_UP_MS;
    while (server->failure == STATUS_OK && server->stops == 1 && !is_over(server) &&
           is_under_work(server) && clock_ms() < until_ms) {
        turn(server);
    }
}

// Where the run goes on: what is found finished is not given out again.
static void say_found(const Server *server) {
    const Owner *owner = server->config->owner;
    Buffer text = BUFFER_EMPTY;
    if (owner->found != NULL) {
        owner->found(owner->context, &text);
    }
    if (text.size > 0) {
        log_info("%s", buffer_cstr(&text));
    }
    buffer_done(&text);
}

static Status serve(Server *server) {
    const Owner *owner = server->config->owner;
    Status status = owner->start(owner->context, server->core, clock_ms());
    if (status == STATUS_OK) {
        say_found(server);
    }
    if (status == STATUS_OK && !is_over(server)) {
        status = start_workers(server);
    }
    if (status != STATUS_OK) {
        return status;
    }
    while (goes_on(server)) {
        turn(server);
    }
    if (server->stops > 0) {
        wind_up(server);
    }
    if (server->failure != STATUS_OK) {
        char text[LIMIT_MESSAGE_BYTES];
        snprintf(text, sizeof text, "the run failed: %s", server->failure_text);
        Status failure = server->failure;
        server->failure = STATUS_OK; // so that what is left to send goes out
        say_end(server, text);
        return status_set(failure, "%s", server->failure_text);
    }
    if (server->stops > 0 && !is_over(server)) {
        return status_set(STATUS_STOPPED, "stopped by a signal");
    }
    show_progress(server, clock_ms());
    say_end(server, "the run is over");
    return STATUS_OK;
}

Status server_run(const ServerConfig *config, uint32_t *ret_alarms) {
    Server server = {.config = config, .signal_fd = -1};
    char message[LIMIT_MESSAGE_BYTES];
    Status status = open_server(&server);
    if (status == STATUS_OK) {
        status = serve(&server);
    }
    text_copy(message, sizeof message, status_message());
    if (server.core != NULL) {
        tell(&server, status, true);
    }
    close_server(&server);
    *ret_alarms = alarms_count(config->journal);
    return status == STATUS_OK ? STATUS_OK : status_set(status, "%s", message);
}
