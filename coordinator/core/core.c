// SPDX-License-Identifier: Apache-2.0
//
// How it works. Inputs change sessions (roster.c) and leases (lease.c) and append actions to a ring
// that the loop empties after each input. core_tick does everything that time makes due and gives
// waiting tasks to workers that asked; it is the only place that dispatches, so that a loop which
// drains its input first never judges a worker by a message that lies unread.
#include "coordinator/core/core.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "coordinator/core/state.h"

Core *core_new(const CoreConfig *config) {
    Core *core = mem_new(1, sizeof *core);
    if (core == NULL) {
        return NULL;
    }
    core->config = *config;
    core->trains = (Queue){NO_TASK, NO_TASK, 0};
    core->batches = (Queue){NO_TASK, NO_TASK, 0};
    core->counts.train_loss = NAN;
    return core;
}

void core_free(Core *core) {
    if (core == NULL) {
        return;
    }
    for (uint32_t i = 0; i < core->session_count; i++) {
        Session *session = core->sessions[i];
        for (uint32_t l = 0; l < session->lease_count; l++) {
            buffer_done(&session->leases[l].answer);
        }
        mem_free(session->leases);
        mem_free(session);
    }
    CoreAction action;
    while (core_next_action(core, &action)) {
        buffer_done(&action.blob);
    }
    mem_free(core->sessions);
    mem_free(core->tasks);
    mem_free(core->failures);
    mem_free(core->acknowledgements);
    mem_free(core->actions);
    mem_free(core);
}

Status core_grow(void **items, uint32_t count, uint32_t *capacity, size_t size) {
    if (count < *capacity) {
        return STATUS_OK;
    }
    uint32_t next = *capacity > 0 ? *capacity * 2 : 16;
    void *grown = mem_resize(*items, next, size);
    if (grown == NULL) {
        return STATUS_MEMORY;
    }
    *items = grown;
    *capacity = next;
    return STATUS_OK;
}

// The ring grows when it is full. Running out of memory for an action cannot be told to anybody:
// the core would lose an answer or a lease, so it ends the program, and the journal has the rest.
CoreAction *core_act(Core *core, CoreActionKind kind) {
    if (core->action_count == core->action_capacity) {
        uint32_t capacity = core->action_capacity > 0 ? core->action_capacity * 2 : 64;
        CoreAction *grown = mem_new(capacity, sizeof *grown);
        assert(grown != NULL);
        for (uint32_t i = 0; i < core->action_count; i++) {
            grown[i] = core->actions[(core->action_first + i) % core->action_capacity];
        }
        mem_free(core->actions);
        core->actions = grown;
        core->action_capacity = capacity;
        core->action_first = 0;
    }
    uint32_t slot = (core->action_first + core->action_count++) % core->action_capacity;
    CoreAction *action = &core->actions[slot];
    memset(action, 0, sizeof *action);
    action->kind = kind;
    return action;
}

bool core_next_action(Core *core, CoreAction *ret_action) {
    if (core->action_count == 0) {
        return false;
    }
    *ret_action = core->actions[core->action_first];
    if (ret_action->message.type == MESSAGE_TASKS) {
        ret_action->message.tasks.items = &ret_action->item.task;
    } else if (ret_action->message.type == MESSAGE_ACKS) {
        ret_action->message.acks.items = &ret_action->item.ack;
    }
    core->action_first = (core->action_first + 1) % core->action_capacity;
    core->action_count--;
    return true;
}

void core_send(Core *core, CorePeer peer, const Message *message) {
    CoreAction *action = core_act(core, CORE_SEND);
    action->peer = peer;
    action->message = *message;
}

void core_note(Core *core, const char *format, ...) {
    CoreAction *action = core_act(core, CORE_NOTE);
    va_list args;
    va_start(args, format);
    vsnprintf(action->text, sizeof action->text, format, args);
    va_end(args);
}

Status core_add_task(Core *core, TaskKind kind, TaskTag tag, uint32_t shards, int64_t now_ms) {
    assert(tag == core->task_count); // tags are the owner's indices, given in order
    Status status = core_grow((void **)&core->tasks, core->task_count, &core->task_capacity,
                              sizeof *core->tasks);
    if (status != STATUS_OK) {
        return status;
    }
    core->tasks[core->task_count++] =
        (Task){.next = NO_TASK, .kind = (uint8_t)kind, .shards = shards};
    lease_enqueue(core, tag, now_ms);
    return STATUS_OK;
}

static void forget_failures(Core *core, TaskTag tag) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < core->failure_count; i++) {
        if (core->failures[i].tag != tag) {
            core->failures[kept++] = core->failures[i];
        }
    }
    core->failure_count = kept;
}

Status core_answer(Core *core, TaskTag tag, const void *bytes, size_t size, int64_t now_ms) {
    (void)now_ms;
    assert(tag < core->task_count && core->tasks[tag].state == TASK_DOUBTED);
    Status status = core->config.hooks.take_answer(core->config.hooks.context, tag,
                                                   (CoreShare){0, 0}, bytes, size);
    if (status == STATUS_OK) {
        lease_commit(core, tag, bytes, size);
    }
    return status;
}

void core_abandon(Core *core, TaskTag tag) {
    assert(tag < core->task_count && core->tasks[tag].state == TASK_DOUBTED);
    core->tasks[tag].state = TASK_ABANDONED;
    core->counts.abandoned++;
    forget_failures(core, tag);
}

void core_retry(Core *core, TaskTag tag, int64_t now_ms) {
    assert(tag < core->task_count && core->tasks[tag].state == TASK_DOUBTED);
    forget_failures(core, tag);
    core->tasks[tag].cannots = 0;
    core->tasks[tag].deaths = 0;
    lease_enqueue(core, tag, now_ms);
}

// ---- input ----

static void on_credit(Core *core, Session *session, const Message *message) {
    (void)core;
    uint32_t room = LEASES_MOST - session->lease_count - session->credits;
    session->credits += message->credit.count < room ? message->credit.count : room;
}

// An answer that is not valid ends the session: those behind it are then nobody's.
static void on_results(Core *core, CorePeer peer, const Message *message, int64_t now_ms) {
    for (uint32_t i = 0; i < message->results.count; i++) {
        Session *session = roster_find(core, peer);
        if (session != NULL) {
            lease_result(core, session, &message->results.items[i], now_ms);
        }
    }
}

void core_on_message(Core *core, CorePeer peer, const Message *message, int64_t now_ms) {
    if (message->type == MESSAGE_HELLO) {
        roster_hello(core, peer, message, now_ms);
        return;
    }
    Session *session = roster_find(core, peer);
    if (session == NULL) {
        roster_refuse(core, peer, REFUSED_UNKNOWN, "unknown session: say HELLO again");
        return;
    }
    session->heard_ms = now_ms;
    session->state = SESSION_WELL;
    switch ((int)message->type) {
    case MESSAGE_CREDIT:
        on_credit(core, session, message);
        break;
    case MESSAGE_RESULTS:
        on_results(core, peer, message, now_ms);
        break;
    case MESSAGE_PROGRESS:
        lease_progress(core, session, message, now_ms);
        break;
    case MESSAGE_ALIVE:
        core_send(core, peer, &(Message){.type = MESSAGE_ECHO});
        break;
    case MESSAGE_GOODBYE:
        roster_close(core, session, message->goodbye.text, false, now_ms);
        break;
    default:
        core_on_malformed(core, peer, "a message that only a coordinator sends", now_ms);
    }
}

void core_on_malformed(Core *core, CorePeer peer, const char *why, int64_t now_ms) {
    Session *session = roster_find(core, peer);
    if (session != NULL) {
        roster_close(core, session, why, true, now_ms);
    }
    roster_refuse(core, peer, REFUSED_MALFORMED, "malformed message");
    core_act(core, CORE_DROP)->peer = peer;
}

void core_on_closed(Core *core, CorePeer peer, int64_t now_ms) {
    Session *session = roster_find(core, peer);
    if (session != NULL) {
        roster_close(core, session, "connection lost", true, now_ms);
    }
}

void core_on_blob(Core *core, Digest token, const Message *header, const void *bytes, size_t size,
                  int64_t now_ms) {
    Session *session = roster_of_token(core, token);
    if (session != NULL) {
        session->heard_ms = now_ms;
        session->state = SESSION_WELL;
        lease_blob(core, session, header, bytes, size, now_ms);
    }
}

void core_on_durable(Core *core, TaskTag tag, int64_t now_ms) {
    (void)now_ms;
    assert(tag < core->task_count && core->tasks[tag].state == TASK_ANSWERED);
    core->tasks[tag].state = TASK_DONE;
    core->counts.answered--;
    core->counts.done++;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < core->acknowledgement_count; i++) {
        Acknowledgement a = core->acknowledgements[i];
        if (a.tag != tag) {
            core->acknowledgements[kept++] = a;
        } else if (roster_find(core, a.peer) != NULL) {
            lease_acknowledge(core, a.peer, a.tag, a.attempt);
        }
    }
    core->acknowledgement_count = kept;
    forget_failures(core, tag);
}

int64_t core_tick(Core *core, int64_t now_ms) {
    int64_t next = roster_tick(core, now_ms);
    int64_t lease_next = lease_tick(core, now_ms);
    lease_dispatch(core, now_ms);
    // A TRAIN task that waits for more free workers is looked at again before long.
    if (core->trains.count > 0 && now_ms + 100 < lease_next) {
        lease_next = now_ms + 100;
    }
    return next < lease_next ? next : lease_next;
}

void core_end(Core *core, const char *text) {
    while (core->session_count > 0) {
        Session *session = core->sessions[0];
        CoreAction *action = core_act(core, CORE_SEND);
        action->peer = session->peer;
        buffer_text(&action->blob, text);
        action->message = (Message){.type = MESSAGE_END};
        action->message.end.text = action->blob.bytes;
        roster_close(core, session, "the run is over", false, 0);
    }
}

// ---- looking in ----

bool core_peer_of_token(const Core *core, Digest token, CorePeer *ret_peer) {
    Session *session = roster_of_token(core, token);
    if (session != NULL) {
        *ret_peer = session->peer;
    }
    return session != NULL;
}

bool core_session(const Core *core, CorePeer peer, CoreSession *ret_session) {
    const Session *session = roster_find(core, peer);
    if (session == NULL) {
        return false;
    }
    *ret_session = (CoreSession){.name = session->name,
                                 .token = session->token,
                                 .leases = session->lease_count,
                                 .tasks_done = session->tasks_done};
    return true;
}

CoreCounts core_counts(const Core *core) {
    CoreCounts counts = core->counts;
    counts.sessions = core->session_count;
    counts.waiting = core->trains.count + core->batches.count;
    for (uint32_t i = 0; i < core->session_count; i++) {
        counts.free_workers += core->sessions[i]->lease_count == 0;
    }
    return counts;
}
