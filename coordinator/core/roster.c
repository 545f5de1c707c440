// SPDX-License-Identifier: Apache-2.0
//
// Sessions and their workers: who is admitted, who is heard of, who is gone. A worker outlives its
// sessions here by a while, so that one that comes back is known: by what it failed, and that it
// did not die.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "coordinator/core/state.h"

// ---- finding ----

// Digests are spread evenly already.
static uint32_t slot_of(Digest digest) {
    uint32_t bits;
    memcpy(&bits, digest.bytes, sizeof bits);
    return bits % HASH_SLOTS;
}

Session *roster_find(const Core *core, CorePeer peer) {
    Session *session = core->of_peer[peer % HASH_SLOTS];
    while (session != NULL && session->peer != peer) {
        session = session->next_of_peer;
    }
    return session;
}

Session *roster_of_token(const Core *core, Digest token) {
    Session *session = core->of_token[slot_of(token)];
    while (session != NULL && !digest_equal(session->token, token)) {
        session = session->next_of_token;
    }
    return session;
}

static Worker *find_worker(const Core *core, Digest id) {
    Worker *worker = core->of_id[slot_of(id)];
    while (worker != NULL && !digest_equal(worker->id, id)) {
        worker = worker->next_of_id;
    }
    return worker;
}

const char *roster_name(const Core *core, uint32_t serial) {
    for (uint32_t slot = 0; slot < HASH_SLOTS; slot++) {
        for (const Worker *w = core->of_id[slot]; w != NULL; w = w->next_of_id) {
            if (w->serial == serial) {
                return w->name;
            }
        }
    }
    return "that has left";
}

// ---- workers ----

static void remove_absent(Core *core, Worker *worker) {
    WorkerList *absent = &core->absent;
    *(worker->older != NULL ? &worker->older->younger : &absent->oldest) = worker->younger;
    *(worker->younger != NULL ? &worker->younger->older : &absent->youngest) = worker->older;
    worker->older = worker->younger = NULL;
    absent->count--;
}

static void free_worker(Core *core, Worker *worker) {
    Worker **link = &core->of_id[slot_of(worker->id)];
    while (*link != worker) {
        link = &(*link)->next_of_id;
    }
    *link = worker->next_of_id;
    mem_free(worker);
}

static void make_absent(Core *core, Worker *worker) {
    WorkerList *absent = &core->absent;
    worker->session = NULL;
    worker->older = absent->youngest;
    *(absent->youngest != NULL ? &absent->youngest->younger : &absent->oldest) = worker;
    absent->youngest = worker;
    if (++absent->count > ABSENT_MOST) {
        Worker *oldest = absent->oldest;
        remove_absent(core, oldest);
        free_worker(core, oldest);
    }
}

// The worker that says HELLO, which has no session now. NULL when out of memory.
static Worker *known_worker(Core *core, const Message *hello) {
    Worker *worker = find_worker(core, hello->hello.worker_id);
    if (worker != NULL) {
        remove_absent(core, worker);
    } else {
        worker = mem_new(1, sizeof *worker);
        if (worker == NULL) {
            return NULL;
        }
        worker->id = hello->hello.worker_id;
        worker->serial = ++core->serials;
        worker->blamed = NO_TASK;
        Worker **chain = &core->of_id[slot_of(worker->id)];
        worker->next_of_id = *chain;
        *chain = worker;
    }
    text_copy(worker->name, sizeof worker->name, hello->hello.name);
    return worker;
}

// ---- admission ----

void roster_refuse(Core *core, CorePeer peer, RefusedCode code, const char *text) {
    CoreAction *action = core_act(core, CORE_SEND);
    action->peer = peer;
    buffer_text(&action->blob, text);
    action->message = (Message){.type = MESSAGE_REFUSED};
    action->message.refused.code = code;
    action->message.refused.text = action->blob.bytes;
}

static void refuse_hello(Core *core, CorePeer peer, const Message *hello, RefusedCode code,
                         const char *text) {
    // Of another version's HELLO only the versions can be read.
    const char *name = hello->hello.name[0] != '\0' ? hello->hello.name : "of another version";
    core_tell(core, CORE_NOTE, peer, "worker %s refused: %s", name, text);
    roster_refuse(core, peer, code, text);
}

// Whether the worker may take part; otherwise it has been told why not.
static bool admits(Core *core, CorePeer peer, const Message *hello) {
    char text[768];
    if (hello->hello.protocol_least > PROTOCOL_MOST ||
        hello->hello.protocol_most < PROTOCOL_LEAST) {
        snprintf(text, sizeof text,
                 "it speaks protocol %u to %u, this coordinator %d to %d: install the same version "
                 "of auscult on both",
                 hello->hello.protocol_least, hello->hello.protocol_most, PROTOCOL_LEAST,
                 PROTOCOL_MOST);
        refuse_hello(core, peer, hello, REFUSED_PROTOCOL, text);
        return false;
    }
    if (strcmp(hello->hello.kernel, core->config.kernel) != 0) {
        snprintf(text, sizeof text, "it runs BLAS kernel %s, this run needs '%s'",
                 hello->hello.kernel, core->config.kernel);
        refuse_hello(core, peer, hello, REFUSED_KERNEL, text);
        return false;
    }
    if (!digest_equal(hello->hello.fingerprint, core->config.fingerprint)) {
        snprintf(text, sizeof text,
                 "the same kernel gives other bits there, and results would depend on who "
                 "computed them; it has %.180s; this run has %.180s",
                 hello->hello.libraries, core->config.libraries);
        refuse_hello(core, peer, hello, REFUSED_FINGERPRINT, text);
        return false;
    }
    if (core->session_count >= core->config.workers_most) {
        snprintf(text, sizeof text, "there are %u workers already, the most there can be",
                 core->session_count);
        refuse_hello(core, peer, hello, REFUSED_FULL, text);
        return false;
    }
    return true;
}

// Unguessable for who does not know the secret, and a pure function for a test that sets it.
static Digest make_token(Core *core) {
    unsigned char bytes[24];
    memcpy(bytes, core->config.secret.bytes, 16);
    uint64_t number = ++core->tokens;
    memcpy(bytes + 16, &number, 8);
    return digest_of(bytes, sizeof bytes);
}

static void link_session(Core *core, Session *session) {
    Session **peers = &core->of_peer[session->peer % HASH_SLOTS];
    session->next_of_peer = *peers;
    *peers = session;
    Session **tokens = &core->of_token[slot_of(session->token)];
    session->next_of_token = *tokens;
    *tokens = session;
    session->position = core->session_count;
    core->sessions[core->session_count++] = session;
}

static void unlink_session(Core *core, const Session *session) {
    Session **link = &core->of_peer[session->peer % HASH_SLOTS];
    while (*link != session) {
        link = &(*link)->next_of_peer;
    }
    *link = session->next_of_peer;
    link = &core->of_token[slot_of(session->token)];
    while (*link != session) {
        link = &(*link)->next_of_token;
    }
    *link = session->next_of_token;
    Session *last = core->sessions[--core->session_count];
    core->sessions[session->position] = last;
    last->position = session->position;
}

static Session *add_session(Core *core, CorePeer peer, const Message *hello, int64_t now_ms) {
    if (!mem_grow(&core->sessions, core->session_count, &core->session_capacity,
                  sizeof(Session *))) {
        return NULL;
    }
    Session *session = mem_new(1, sizeof *session);
    Worker *worker = session != NULL ? known_worker(core, hello) : NULL;
    if (worker == NULL) {
        mem_free(session);
        return NULL;
    }
    worker->session = session;
    session->worker = worker;
    session->peer = peer;
    session->token = make_token(core);
    session->number = core->tokens;
    session->deadline_ms = INT64_MAX;
    session->joined_ms = now_ms;
    session->loss = NAN;
    session->bucket = NO_BUCKET;
    link_session(core, session);
    core->counts.free_workers++;
    core->stranded_look_ms = now_ms; // it may be the one that is waited for
    roster_heard(core, session, now_ms);
    return session;
}

static void welcome(Core *core, const Session *session) {
    Message message = {.type = MESSAGE_WELCOME};
    message.welcome.protocol = PROTOCOL_MOST;
    message.welcome.token = session->token;
    message.welcome.run = core->config.run;
    message.welcome.bulk_port = core->config.bulk_port;
    message.welcome.alive_ms = core->config.alive_ms;
    message.welcome.roots = core->config.roots;
    message.welcome.root_count = core->config.root_count;
    core_send(core, session->peer, &message);
}

void roster_hello(Core *core, CorePeer peer, const Message *hello, int64_t now_ms) {
    static const char AGAIN[] = "it said HELLO again";
    Worker *worker = find_worker(core, hello->hello.worker_id);
    if (worker != NULL) {
        if (worker->session != NULL) {
            roster_close(core, worker->session, AGAIN, ENDING_POLITE, now_ms);
        }
        trouble_take_back(core, worker, now_ms);
    }
    if (!admits(core, peer, hello)) {
        return;
    }
    Session *session = add_session(core, peer, hello, now_ms);
    if (session == NULL) {
        refuse_hello(core, peer, hello, REFUSED_FULL, "the coordinator is out of memory");
        return;
    }
    welcome(core, session);
    core_act(core, CORE_JOINED)->peer = peer;
}

// ---- the end of a session ----

// The blame goes to what was under work, which is the oldest lease: workers work in order.
static void blame(Core *core, Session *session, Ending ending, int64_t now_ms) {
    const Lease *lease = session->given.first;
    if (lease == NULL || core->tasks[lease->tag].state != TASK_LEASED) {
        return;
    }
    bool is_training = core->tasks[lease->tag].kind == TASK_TRAIN;
    if (ending == ENDING_WRONG) {
        trouble_wrong(core, lease->tag, session, now_ms);
    } else if (ending == ENDING_LOST && !is_training) {
        trouble_death(core, lease->tag, session, now_ms);
        session->worker->blamed = lease->tag;
    }
}

void roster_close(Core *core, Session *session, const char *why, Ending ending, int64_t now_ms) {
    blame(core, session, ending, now_ms);
    // The youngest first, each to the front of its queue, so that they wait in their old order.
    while (session->given.last != NULL) {
        TaskTag tag = session->given.last->tag;
        lease_end(core, session->given.last, now_ms);
        lease_lost(core, tag, now_ms);
    }
    while (session->answered.last != NULL) {
        lease_end(core, session->answered.last, now_ms);
    }
    core_close_bundles(core, session);
    CoreAction *left =
        core_tell(core, CORE_LEFT, session->peer, "%s: %.300s", session->worker->name, why);
    buffer_text(&left->items, session->worker->name);
    left->tasks_done = session->tasks_done;
    left->busy_ms = session->idle_busy_ms;
    session->credits = 0;
    dispatch_place(core, session);
    make_absent(core, session->worker);
    unlink_session(core, session);
    core->counts.free_workers--;
    mem_free(session);
}

int64_t roster_busy_ms(const Session *session, int64_t now_ms, bool is_busy) {
    // At a run's end sessions are closed at time 0.
    int64_t since_ms = is_busy && now_ms > session->busy_since_ms ? session->busy_since_ms : now_ms;
    return session->idle_busy_ms + now_ms - since_ms;
}

void roster_expel(Core *core, Session *session, Ending ending, const char *why, int64_t now_ms) {
    CorePeer peer = session->peer;
    roster_close(core, session, why, ending, now_ms);
    roster_refuse(core, peer, REFUSED_MALFORMED, why);
    core_act(core, CORE_DROP)->peer = peer;
}

// ---- time ----

void roster_look_by(Core *core, int64_t due_ms) {
    core->look_ms = due_ms < core->look_ms ? due_ms : core->look_ms;
}

void roster_heard(Core *core, Session *session, int64_t now_ms) {
    session->heard_ms = now_ms;
    if (session->is_quiet) {
        session->is_quiet = false;
        dispatch_place(core, session);
    }
    roster_look_by(core, now_ms + (int64_t)QUIET_ALIVES * core->config.alive_ms);
}

// Returns false when the session is gone.
static bool look_at_session(Core *core, Session *session, int64_t now_ms) {
    int64_t lost_ms = session->heard_ms + (int64_t)LOST_ALIVES * core->config.alive_ms;
    int64_t quiet_ms = session->heard_ms + (int64_t)QUIET_ALIVES * core->config.alive_ms;
    if (now_ms >= lost_ms) {
        CorePeer peer = session->peer;
        roster_close(core, session, "nothing heard from it", ENDING_LOST, now_ms);
        core_act(core, CORE_DROP)->peer = peer;
        return false;
    }
    session->is_quiet = now_ms >= quiet_ms;
    dispatch_place(core, session);
    roster_look_by(core, session->is_quiet ? lost_ms : quiet_ms);
    if (now_ms >= session->deadline_ms) {
        lease_expire(core, session, now_ms);
    }
    roster_look_by(core, session->deadline_ms);
    return true;
}

void roster_look(Core *core, int64_t now_ms) {
    core->look_ms = INT64_MAX;
    for (uint32_t i = 0; i < core->session_count;) {
        // When one is gone, another has taken its place.
        i += look_at_session(core, core->sessions[i], now_ms);
    }
}

void roster_free(Core *core) {
    for (uint32_t i = 0; i < core->session_count; i++) {
        Session *session = core->sessions[i];
        buffer_done(&session->tasks);
        buffer_done(&session->bodies);
        buffer_done(&session->acks);
        mem_free(session);
    }
    for (uint32_t slot = 0; slot < HASH_SLOTS; slot++) {
        while (core->of_id[slot] != NULL) {
            free_worker(core, core->of_id[slot]);
        }
    }
    mem_free(core->sessions);
}
