// SPDX-License-Identifier: Apache-2.0
//
// What comes out of the core: a ring of actions, and bundles that are gathered for a session until
// they are full or the loop turns. Running out of memory here cannot be told to anybody: the core
// would lose an answer or a lease, so it ends the program, and the journal has the rest.
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "coordinator/core/state.h"

enum { ITEM_BYTES = 32 }; // of a bundle's message, beside its body (PROTOCOL.md)

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
    *action = (CoreAction){.kind = kind};
    return action;
}

bool core_next_action(Core *core, CoreAction *ret_action) {
    if (core->action_count == 0) {
        return false;
    }
    *ret_action = core->actions[core->action_first];
    core->action_first = (core->action_first + 1) % core->action_capacity;
    core->action_count--;
    return true;
}

void core_action_done(CoreAction *action) {
    buffer_done(&action->blob);
    buffer_done(&action->items);
}

CoreAction *core_tell(Core *core, CoreActionKind kind, CorePeer peer, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    CoreAction *action = core_act(core, kind);
    action->peer = peer;
    buffer_text(&action->blob, text);
    return action;
}

void core_send(Core *core, CorePeer peer, const Message *message) {
    CoreAction *action = core_act(core, CORE_SEND);
    action->peer = peer;
    action->message = *message;
}

uint64_t core_attempt(const Core *core, uint32_t counter) {
    return (uint64_t)core->config.incarnation << 32 | counter;
}

void core_cancel(Core *core, const Lease *lease) {
    core_send(core, lease->session->peer,
              &(Message){.type = MESSAGE_CANCEL,
                         .cancel = {lease->tag, core_attempt(core, lease->counter)}});
}

// ---- bundles ----

static void open_bundle(Core *core, Session *session) {
    if (!session->is_open) {
        session->is_open = true;
        session->next_open = NULL;
        *(core->open != NULL ? &core->open_last->next_open : &core->open) = session;
        core->open_last = session;
    }
}

static void close_tasks(Core *core, Session *session) {
    WireTask *items = (WireTask *)(void *)session->tasks.bytes;
    uint32_t count = (uint32_t)(session->tasks.size / sizeof *items);
    if (count == 0) {
        return;
    }
    assert(session->tasks.status == STATUS_OK && session->bodies.status == STATUS_OK);
    size_t offset = 0;
    for (uint32_t i = 0; i < count; i++) {
        items[i].body = buffer_cstr(&session->bodies) + offset;
        offset += items[i].body_bytes;
    }
    CoreAction *action = core_act(core, CORE_SEND);
    action->peer = session->peer;
    action->message = (Message){.type = MESSAGE_TASKS, .tasks = {items, count}};
    action->items = session->tasks;
    action->blob = session->bodies;
    session->tasks = session->bodies = BUFFER_EMPTY;
}

static void close_acks(Core *core, Session *session) {
    const WireLease *items = (const WireLease *)(const void *)session->acks.bytes;
    uint32_t count = (uint32_t)(session->acks.size / sizeof *items);
    if (count == 0) {
        return;
    }
    assert(session->acks.status == STATUS_OK);
    CoreAction *action = core_act(core, CORE_SEND);
    action->peer = session->peer;
    action->message = (Message){.type = MESSAGE_ACKS, .acks = {items, count}};
    action->items = session->acks;
    session->acks = BUFFER_EMPTY;
}

void core_gather_task(Core *core, Session *session, const WireTask *task, const Buffer *body) {
    size_t count = session->tasks.size / sizeof *task + 1;
    if (count > PROTO_BUNDLE ||
        session->bodies.size + body->size > PROTO_BODY_BYTES - count * ITEM_BYTES) {
        close_tasks(core, session);
    }
    if (session->tasks.size == 0) { // room for all that it may be given, at once
        uint32_t more = session->credits < PROTO_BUNDLE ? session->credits + 1 : PROTO_BUNDLE;
        buffer_reserve(&session->tasks, more * sizeof *task);
    }
    buffer_append(&session->tasks, task, sizeof *task);
    if (body->size > 0) {
        buffer_append(&session->bodies, body->bytes, body->size);
    }
    open_bundle(core, session);
}

void core_gather_ack(Core *core, Session *session, TaskTag tag, uint32_t counter) {
    WireLease item = {tag, core_attempt(core, counter)};
    if (session->acks.size == PROTO_BUNDLE * sizeof item) {
        close_acks(core, session);
    }
    buffer_append(&session->acks, &item, sizeof item);
    open_bundle(core, session);
}

void core_close_bundles(Core *core, Session *session) {
    close_acks(core, session);
    close_tasks(core, session);
    if (session->is_open) {
        Session *before = NULL;
        for (Session *s = core->open; s != session; s = s->next_open) {
            before = s;
        }
        *(before != NULL ? &before->next_open : &core->open) = session->next_open;
        core->open_last = core->open_last == session ? before : core->open_last;
        session->is_open = false;
    }
}

void core_flush(Core *core) {
    while (core->open != NULL) {
        core_close_bundles(core, core->open);
    }
}
