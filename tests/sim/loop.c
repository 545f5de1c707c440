// SPDX-License-Identifier: Apache-2.0
//
// The loop around the core, as coordinator/server has it: input, then what the core asks for, then
// the tick. It may be killed at any moment, and it ends by itself when the journal does.
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

void loop_start(void) {
    sim.incarnation = ++sim.disk.incarnation;
    CoreConfig config = {
        .hooks = owner_hooks(),
        .run = digest_of_number(1),
        .secret = digest_of_number(2 + ((uint64_t)sim.incarnation << 32)),
        .incarnation = sim.incarnation,
        .kernel = "haswell",
        .fingerprint = digest_of_number(3),
        .libraries = "simulated",
        .alive_ms = ALIVE_MS,
        .workers_most = 1024,
    };
    TRACE("coordinator %u starts", sim.incarnation);
    sim.core = core_new(&config);
    PROMISE(sim.core != NULL, "out of memory");
    sim.tick_ms = sim.loop_free_ms = sim.now_ms;
    owner_start();
    loop_do_actions();
}

static void go(void) {
    core_free(sim.core);
    sim.core = NULL;
    disk_crash();
    seen_coordinator_ends();
    network_coordinator_gone();
    add_event(START, -1, 1 + below(chance(0.2) ? 20000 : 500));
}

void loop_kill(void) {
    TRACE("coordinator %u is killed", sim.incarnation);
    go();
}

void loop_fail(void) {
    TRACE("coordinator %u ends", sim.incarnation);
    core_end(sim.core, "the run failed: the disk is full");
    loop_do_actions();
    go();
}

// ---- what the core asks for ----

static void send(const CoreAction *action) {
    TRACE("core tells peer %u %s", action->peer, message_type_name(action->message.type));
    sends(action->peer, &action->message);
    network_tell(action->peer, &action->message);
    // A queue that is full, a route that is gone: the loop tells the core so at once.
    if (chance(sim.climate.failed_send)) {
        sim.tally->failed_sends++;
        Peer *peer = &sim.peers[action->peer];
        network_break(peer->worker, false, true);
        hears_closed(action->peer);
        sim.quiet.has_failed_send = true;
        core_on_closed(sim.core, action->peer, sim.now_ms);
    }
}

static void send_total(const CoreAction *action) {
    // Every member gets a total, but only its first action carries it.
    static unsigned char bytes[64];
    static size_t size;
    if (action->blob.size > 0) {
        PROMISE(action->blob.size <= sizeof bytes, "a total is as the owner made it");
        memcpy(bytes, action->blob.bytes, action->blob.size);
        size = action->blob.size;
    }
    sends_total(action->peer, &action->message);
    network_send_total(action->peer, &action->message, bytes, size);
}

static void act(const CoreAction *action) {
    const char *expired;
    switch (action->kind) {
    case CORE_SEND:
        send(action);
        break;
    case CORE_TOTAL:
        send_total(action);
        break;
    case CORE_COMMIT:
        owner_on_commit(action->tag, &action->blob);
        break;
    case CORE_DROP:
        sim.peers[action->peer].is_dropped = true;
        break;
    case CORE_CANNOT:
        owner_on_cannot(action->tag);
        break;
    case CORE_IMPOSSIBLE:
        owner_on_impossible(action->tag);
        break;
    case CORE_POISON:
        owner_on_poison(action->tag);
        break;
    case CORE_LEFT:
        TRACE("core: left %s", buffer_cstr(&action->blob));
        says_left(action->peer);
        break;
    case CORE_NOTE:
        TRACE("core: %s", buffer_cstr(&action->blob));
        expired = strstr(buffer_cstr(&action->blob), "made no progress with task ");
        if (expired != NULL) {
            says_expired(action->peer, (TaskTag)strtoul(expired + 27, NULL, 10));
        }
        break;
    case CORE_FAILED:
        says_failed(job_of(action->tag), action->deaths, action->cannots);
        owner_on_failed(action->tag, action->deaths, action->cannots);
        break;
    case CORE_ALARM:
        TRACE("core: %s", buffer_cstr(&action->blob));
        says_alarm(job_of(action->tag), buffer_cstr(&action->blob));
        break;
    case CORE_JOINED:
        break;
    }
}

void loop_do_actions(void) {
    CoreAction action;
    while (core_next_action(sim.core, &action)) {
        act(&action);
        core_action_done(&action);
    }
    promise_quiet();
}

// ---- input ----

void loop_on_control(Event *event) {
    CorePeer peer = network_peer_now(event->peer);
    const Message *message;
    if (sim.peers[peer].is_dropped) {
        return;
    }
    if (message_decode(sim.decoded, event->bytes.bytes, event->bytes.size, &message) != STATUS_OK) {
        hears_malformed(peer);
        core_on_malformed(sim.core, peer, status_message(), sim.now_ms);
    } else {
        hears(peer, message);
        core_on_message(sim.core, peer, message, sim.now_ms);
    }
    loop_do_actions();
}

void loop_on_blob(Event *event) {
    hears_blob(event->token, &event->header);
    core_on_blob(sim.core, event->token, &event->header, event->bytes.bytes, event->bytes.size,
                 sim.now_ms);
    loop_do_actions();
}

void loop_on_closed(Event *event) {
    CorePeer peer = network_peer_now(event->peer);
    hears_closed(peer);
    core_on_closed(sim.core, peer, sim.now_ms);
    loop_do_actions();
}

void loop_on_bulk_closed(Event *event) {
    hears_bulk_closed(event->token);
    core_on_bulk_closed(sim.core, event->token, sim.now_ms);
    loop_do_actions();
}

void loop_on_tickets(void) {
    PutQueue *told = &sim.disk.told;
    for (uint32_t i = 0; i < told->count; i++) {
        owner_on_told(&told->puts[i]);
    }
    told->count = 0;
    loop_do_actions();
    if (sim.disk.is_broken) {
        loop_fail();
    }
}

void loop_tick(void) {
    sim.is_ticking = true;
    seen_forgiveness();
    sim.tick_ms = core_tick(sim.core, sim.now_ms);
    PROMISE(sim.tick_ms > sim.now_ms, "time moves on");
    loop_do_actions();
    sim.is_ticking = false;
    seen_forgiveness(); // of what failed in this very tick, before anybody else comes
    if (chance(0.05)) {
        sim.loop_free_ms = sim.now_ms + below(10); // it is busy: input gathers
    }
}
