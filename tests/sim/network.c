// SPDX-License-Identifier: Apache-2.0
//
// Connections. On one lane messages are delayed and never overtake each other; between lanes and
// between connections they do. What lies on a connection that breaks is lost, or it is not: bytes
// that have reached the other end are read there after all, and a worker may already speak on a
// new connection by then.
#include <string.h>

#include "tests/sim/sim.h"

enum { LANE_CONTROL_UP, LANE_BULK_UP, LANE_CONTROL_DOWN, LANE_BULK_DOWN };

static const int lane_of[] = {[TO_CORE] = LANE_CONTROL_UP,
                              [TO_CORE_BULK] = LANE_BULK_UP,
                              [TO_WORKER] = LANE_CONTROL_DOWN,
                              [TO_WORKER_BULK] = LANE_BULK_DOWN};

static CorePeer new_peer(int worker) {
    PROMISE(++sim.peer_count < PEERS_MOST, "workers stop connecting anew");
    Peer *peer = &sim.peers[sim.peer_count];
    memset(peer, 0, sizeof *peer);
    peer->worker = worker;
    peer->number = sim.workers[worker].number;
    memcpy(peer->name, sim.workers[worker].name, sizeof peer->name);
    return sim.peer_count;
}

CorePeer network_connect(int worker) {
    Worker *w = &sim.workers[worker];
    w->peer = new_peer(worker);
    w->bulk += 2;
    memset(w->lane_ms, 0, sizeof w->lane_ms);
    return w->peer;
}

// The bulk connections of a worker have even numbers; an odd number on an event says that its bytes
// are at the coordinator already, and are read there whatever becomes of the connection.
static void cut_bulk(int worker, bool is_cut) {
    Worker *w = &sim.workers[worker];
    for (uint32_t i = 0; !is_cut && i < sim.event_count; i++) {
        Event *event = sim.heap[i];
        if (event->kind == TO_CORE_BULK && event->worker == worker && event->life == w->bulk) {
            event->life |= 1;
        }
    }
    w->bulk += 2;
}

void network_break(int worker, bool is_noticed, bool is_cut) {
    Worker *w = &sim.workers[worker];
    sim.peers[w->peer].is_cut |= is_cut;
    cut_bulk(worker, is_cut);
    if (is_noticed) {
        // After what lies on it, if that arrives at all.
        int64_t delay_ms = 1 + below(50);
        int64_t read_ms = w->lane_ms[LANE_CONTROL_UP] - sim.now_ms;
        delay_ms = !is_cut && delay_ms < read_ms ? read_ms : delay_ms;
        add_event(CLOSED, worker, delay_ms)->peer = w->peer;
    }
}

// The same worker under a new number, and it knows nothing of it.
void network_move(int worker, bool is_cut) {
    Worker *w = &sim.workers[worker];
    network_break(worker, chance(0.7), is_cut);
    w->peer = new_peer(worker);
}

void network_break_bulk(int worker, bool is_noticed) {
    cut_bulk(worker, chance(0.7));
    if (is_noticed) {
        add_event(BULK_CLOSED, worker, 1 + below(50))->token = sim.workers[worker].token;
    }
}

// All its connections are gone; the messaging layer keeps trying, and what workers have said may
// reach the next coordinator, which knows them by other numbers.
void network_coordinator_gone(void) {
    for (int i = 0; i < sim.climate.workers; i++) {
        Worker *w = &sim.workers[i];
        if (!w->is_alive) {
            continue;
        }
        CorePeer old = w->peer;
        bool is_cut = chance(0.7);
        CorePeer fresh = new_peer(i);
        w->peer = fresh;
        if (is_cut) {
            sim.peers[old].is_cut = true;
        } else {
            // Behind what waits for a loop that was stalled.
            int64_t *lane_ms = &w->lane_ms[LANE_CONTROL_UP];
            sim.peers[old].moved_to = fresh;
            *lane_ms = *lane_ms > sim.loop_free_ms ? *lane_ms : sim.loop_free_ms;
        }
        cut_bulk(i, chance(0.7));
    }
}

CorePeer network_peer_now(CorePeer peer) {
    while (sim.peers[peer].moved_to != 0) {
        peer = sim.peers[peer].moved_to;
    }
    return peer;
}

// ---- what lies on them ----

static Event *add_message(EventKind kind, int worker) {
    Worker *w = &sim.workers[worker];
    const Climate *climate = &sim.climate;
    bool is_late = chance(climate->tail);
    int64_t at_ms = sim.now_ms + 1 + below(is_late ? climate->tail_ms : climate->delay_ms);
    int64_t *lane_ms = &w->lane_ms[lane_of[kind]];
    *lane_ms = at_ms > *lane_ms ? at_ms : *lane_ms;
    Event *event = add_event(kind, worker, *lane_ms - sim.now_ms);
    event->peer = w->peer;
    event->token = w->token;
    event->life = w->bulk;
    return event;
}

void network_say_bytes(int worker, const void *bytes, size_t size) {
    buffer_append(&add_message(TO_CORE, worker)->bytes, bytes, size);
}

static void encode(const Message *message, Event *event) {
    message_encode(message, &event->bytes);
    PROMISE(event->bytes.status == STATUS_OK, "every message can be encoded: %s", status_message());
}

void network_say(int worker, const Message *message) {
    TRACE("worker %d (peer %u) says %s", worker, sim.workers[worker].peer,
          message_type_name(message->type));
    encode(message, add_message(TO_CORE, worker));
}

void network_tell(CorePeer peer, const Message *message) {
    const Peer *p = &sim.peers[peer];
    if (p->is_cut || sim.workers[p->worker].peer != peer) {
        return; // nobody is there any more
    }
    Event *event = add_message(TO_WORKER, p->worker);
    encode(message, event);
}

void network_send_blob(int worker, const Message *header, const void *bytes, size_t size) {
    Event *event = add_message(TO_CORE_BULK, worker);
    event->header = *header;
    buffer_append(&event->bytes, bytes, size);
}

void network_send_total(CorePeer peer, const Message *header, const void *bytes, size_t size) {
    const Peer *p = &sim.peers[peer];
    if (p->is_cut || sim.workers[p->worker].peer != peer) {
        return;
    }
    Event *event = add_message(TO_WORKER_BULK, p->worker);
    event->header = *header;
    buffer_append(&event->bytes, bytes, size);
}
