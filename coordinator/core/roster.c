// SPDX-License-Identifier: Apache-2.0
//
// Sessions: who is admitted, who is heard of, who is gone.
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "coordinator/core/state.h"

Session *roster_find(const Core *core, CorePeer peer) {
    for (uint32_t i = 0; i < core->session_count; i++) {
        if (core->sessions[i]->peer == peer) {
            return core->sessions[i];
        }
    }
    return NULL;
}

Session *roster_of_token(const Core *core, Digest token) {
    for (uint32_t i = 0; i < core->session_count; i++) {
        if (digest_equal(core->sessions[i]->token, token)) {
            return core->sessions[i];
        }
    }
    return NULL;
}

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
    core_note(core, "worker %s refused: %s", name, text);
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

static Session *add_session(Core *core, CorePeer peer) {
    if (core_grow((void **)&core->sessions, core->session_count, &core->session_capacity,
                  sizeof(Session *)) != STATUS_OK) {
        return NULL;
    }
    Session *session = mem_new(1, sizeof *session);
    Lease *leases = session != NULL ? mem_new(LEASES_MOST, sizeof *leases) : NULL;
    if (leases == NULL) {
        mem_free(session);
        return NULL;
    }
    session->peer = peer;
    session->leases = leases;
    core->sessions[core->session_count++] = session;
    return session;
}

static void welcome(Core *core, const Session *session) {
    Message message = {.type = MESSAGE_WELCOME};
    message.welcome.protocol = PROTOCOL_MOST;
    message.welcome.token = session->token;
    message.welcome.run = core->config.run;
    message.welcome.bulk_port = core->config.bulk_port;
    message.welcome.alive_ms = core->config.alive_ms;
    message.welcome.root_count = core->config.root_count;
    message.welcome.roots = core->config.roots;
    core_send(core, session->peer, &message);
}

void roster_hello(Core *core, CorePeer peer, const Message *hello, int64_t now_ms) {
    for (uint32_t i = 0; i < core->session_count; i++) {
        Session *old = core->sessions[i];
        bool same_worker = digest_equal(old->worker_id, hello->hello.worker_id);
        if (old->peer == peer || same_worker) {
            roster_close(core, old, "it said HELLO again", false, now_ms);
            i = UINT32_MAX; // the array has changed: look again from its start
        }
    }
    if (!admits(core, peer, hello)) {
        return;
    }
    Session *session = add_session(core, peer);
    if (session == NULL) {
        refuse_hello(core, peer, hello, REFUSED_FULL, "the coordinator is out of memory");
        return;
    }
    session->worker_id = hello->hello.worker_id;
    session->token = make_token(core);
    session->heard_ms = now_ms;
    text_copy(session->name, sizeof session->name, hello->hello.name);
    welcome(core, session);
    core_act(core, CORE_JOINED)->peer = peer;
}

void roster_close(Core *core, Session *session, const char *why, bool is_death, int64_t now_ms) {
    lease_lost(core, session, is_death, now_ms);
    CoreAction *action = core_act(core, CORE_LEFT);
    action->peer = session->peer;
    snprintf(action->text, sizeof action->text, "%s: %.300s", session->name, why);
    for (uint32_t i = 0; i < core->session_count; i++) {
        if (core->sessions[i] == session) {
            core->sessions[i] = core->sessions[--core->session_count];
        }
    }
    mem_free(session->leases);
    mem_free(session);
}

int64_t roster_tick(Core *core, int64_t now_ms) {
    int64_t next = INT64_MAX;
    for (uint32_t i = 0; i < core->session_count; i++) {
        Session *session = core->sessions[i];
        int64_t lost_ms = session->heard_ms + (int64_t)LOST_ALIVES * core->config.alive_ms;
        int64_t quiet_ms = session->heard_ms + (int64_t)QUIET_ALIVES * core->config.alive_ms;
        if (now_ms >= lost_ms) {
            CorePeer peer = session->peer;
            roster_close(core, session, "nothing heard from it", true, now_ms);
            core_act(core, CORE_DROP)->peer = peer;
            i--; // another session took its place
            continue;
        }
        session->state = now_ms >= quiet_ms ? SESSION_QUIET : SESSION_WELL;
        int64_t due = now_ms >= quiet_ms ? lost_ms : quiet_ms;
        next = due < next ? due : next;
    }
    return next;
}
