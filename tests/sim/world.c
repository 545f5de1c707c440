// SPDX-License-Identifier: Apache-2.0
//
// How it works. Events lie in a heap by time, and by order of making within one time. Time jumps to
// the next event or to when the core wants its tick, whichever is first; nothing sleeps and nothing
// but the seed decides. The coordinator's loop is like the real one: all input of a time goes in
// before the tick, and a busy or stalled loop finds all that came meanwhile when it is back.
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/sim/sim.h"

enum {
    EVENTS_MOST = 3000000, // of one world: more would never end
    CALM_MOST_MS =
        6 * 3600 * 1000, // a run ends so long after the last accident; a lease may last one
    AUDIT_MS = 500,
};

Sim sim;

// ---- chance and arithmetic ----

uint32_t below(uint32_t bound) {
    return rng_below(&sim.rng, bound);
}

bool chance(double probability) {
    return probability > 0 && rng_uniform(&sim.rng) < probability;
}

uint64_t mix(uint64_t a, uint64_t b) {
    uint64_t x = a * 0x9E3779B97F4A7C15u + b;
    x ^= x >> 29;
    return x * 0xBF58476D1CE4E5B9u;
}

Digest digest_of_number(uint64_t number) {
    return digest_of(&number, sizeof number);
}

// ---- events ----

static bool is_before(const Event *a, const Event *b) {
    return a->at_ms < b->at_ms || (a->at_ms == b->at_ms && a->order < b->order);
}

static void push(Event *event) {
    if (sim.event_count == sim.event_capacity) {
        sim.event_capacity = sim.event_capacity > 0 ? 2 * sim.event_capacity : 256;
        sim.heap = mem_resize(sim.heap, sim.event_capacity, sizeof *sim.heap);
        PROMISE(sim.heap != NULL, "out of memory");
    }
    uint32_t i = sim.event_count++;
    while (i > 0 && is_before(event, sim.heap[(i - 1) / 2])) {
        sim.heap[i] = sim.heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    sim.heap[i] = event;
}

static Event *pop(void) {
    Event *first = sim.heap[0];
    Event *last = sim.heap[--sim.event_count];
    uint32_t i = 0;
    for (uint32_t child = 1; child < sim.event_count; child = 2 * i + 1) {
        if (child + 1 < sim.event_count && is_before(sim.heap[child + 1], sim.heap[child])) {
            child++;
        }
        if (!is_before(sim.heap[child], last)) {
            break;
        }
        sim.heap[i] = sim.heap[child];
        i = child;
    }
    sim.heap[i] = last;
    return first;
}

Event *add_event(EventKind kind, int worker, int64_t delay_ms) {
    Event *event = mem_new(1, sizeof *event);
    PROMISE(event != NULL, "out of memory");
    event->kind = kind;
    event->worker = worker;
    event->at_ms = sim.now_ms + delay_ms;
    event->order = sim.order++;
    push(event);
    return event;
}

void let_go_event(Event *event) {
    buffer_done(&event->bytes);
    mem_free(event);
}

void put_off(Event *event, int64_t until_ms) {
    event->at_ms = until_ms;
    push(event);
}

void shift_events(int64_t by_ms) {
    for (uint32_t i = 0; i < sim.event_count; i++) {
        sim.heap[i]->at_ms += by_ms; // all alike: the heap stays one
    }
}

// ---- what happens ----

static bool is_for_loop(const Event *event) {
    return event->kind == TO_CORE || event->kind == TO_CORE_BULK || event->kind == CLOSED ||
           event->kind == BULK_CLOSED || event->kind == TICKETS || event->kind == LOOK;
}

static bool is_for_worker(const Event *event) {
    return event->kind == TO_WORKER || event->kind == TO_WORKER_BULK || event->kind == WORK ||
           event->kind == FLUSH || event->kind == BEAT;
}

// Whether the event has lost its meaning: its connection, process or coordinator is gone.
static bool is_void(const Event *event) {
    const Worker *w = event->worker >= 0 ? &sim.workers[event->worker] : NULL;
    switch (event->kind) {
    case TO_CORE:
        return sim.core == NULL || sim.peers[event->peer].is_cut;
    case TO_CORE_BULK:
        return sim.core == NULL || (event->life != w->bulk && event->life % 2 == 0);
    case TO_WORKER:
        return !w->is_alive || sim.peers[event->peer].is_cut ||
               network_peer_now(event->peer) != w->peer;
    case TO_WORKER_BULK:
        return !w->is_alive || event->life != w->bulk;
    case WORK:
    case FLUSH:
        return !w->is_alive || event->life != w->number;
    case BEAT:
        return !w->is_alive || event->life != w->session;
    case CLOSED:
    case BULK_CLOSED:
        return sim.core == NULL;
    case TICKETS:
    case COMMITTED:
    case LOOK:
    case MEND:
        return sim.core == NULL || event->life != sim.incarnation;
    case REVIVE:
        return w->is_alive;
    case START:
        return sim.core != NULL;
    case ACCIDENT:
    case AUDIT:
        return false;
    }
    return false;
}

// The message of an event for a worker, or NULL when a worker does not understand it.
static void give_worker(Event *event) {
    const Message *message;
    Status status = message_decode(sim.decoded, event->bytes.bytes, event->bytes.size, &message);
    PROMISE(status == STATUS_OK, "the coordinator sends nothing malformed: %s", status_message());
    worker_on_control(event->worker, message);
}

static void happen(Event *event) {
    switch (event->kind) {
    case TO_CORE:
        loop_on_control(event);
        break;
    case TO_CORE_BULK:
        loop_on_blob(event);
        break;
    case TO_WORKER:
        give_worker(event);
        break;
    case TO_WORKER_BULK:
        worker_on_total(event->worker, &event->header, &event->bytes);
        break;
    case CLOSED:
        loop_on_closed(event);
        break;
    case BULK_CLOSED:
        loop_on_bulk_closed(event);
        break;
    case TICKETS:
        loop_on_tickets();
        break;
    case COMMITTED:
        disk_on_committed();
        break;
    case START:
        loop_start();
        break;
    case LOOK:
        owner_on_look(event->job);
        loop_do_actions();
        break;
    case MEND:
        owner_on_mend(event->job);
        break;
    case WORK:
        worker_on_work(event->worker, event);
        break;
    case FLUSH:
        worker_on_flush(event->worker);
        break;
    case BEAT:
        worker_on_beat(event->worker);
        break;
    case REVIVE:
        worker_start(event->worker);
        break;
    case ACCIDENT:
        accident_happens();
        break;
    case AUDIT:
        promise_audit();
        add_event(AUDIT, -1, AUDIT_MS);
        break;
    }
}

// Puts off what somebody frozen or stalled cannot see yet. False: it happens now.
static bool is_put_off(Event *event) {
    if (is_for_loop(event) && sim.now_ms < sim.loop_free_ms) {
        put_off(event, sim.loop_free_ms);
        return true;
    }
    if (is_for_worker(event) && sim.workers[event->worker].frozen_until_ms > sim.now_ms) {
        put_off(event, sim.workers[event->worker].frozen_until_ms);
        return true;
    }
    return false;
}

static void happen_next(void) {
    Event *event = pop();
    if (is_void(event)) {
        let_go_event(event);
    } else if (!is_put_off(event)) {
        sim.event_count_all++;
        PROMISE(sim.event_count_all < EVENTS_MOST, "a run ends");
        happen(event);
        let_go_event(event);
    }
}

// ---- the world ----

static void make_world(uint64_t seed, Tally *tally) {
    memset(&sim, 0, sizeof sim);
    sim.seed = seed;
    sim.tally = tally;
    sim.rng = rng_of(seed, "sim", 0, 0);
    sim.trace = getenv("SIM_TRACE") != NULL;
    sim.now_ms = 1000;
    sim.quiet = NOTHING_ASKED;
    sim.decoded = decoded_new();
    sim.peers = mem_new(PEERS_MOST, sizeof *sim.peers);
    PROMISE(sim.decoded != NULL && sim.peers != NULL, "out of memory");
    climate_draw();
    owner_make();
    loop_start();
    for (int i = 0; i < sim.climate.workers; i++) {
        worker_start(i);
    }
    add_event(ACCIDENT, -1, below(sim.climate.gap_ms));
    add_event(AUDIT, -1, AUDIT_MS);
}

static void end_world(void) {
    sim.tally->worlds++;
    sim.tally->tasks += (uint64_t)sim.job_count;
    sim.tally->events += sim.event_count_all;
    sim.tally->simulated_ms += (uint64_t)sim.now_ms;
    core_free(sim.core);
    sim.core = NULL;
    while (sim.event_count > 0) {
        let_go_event(pop());
    }
    mem_free(sim.heap);
    mem_free(sim.peers);
    disk_done();
    decoded_free(sim.decoded);
}

// One step of time: to the next event or the tick.
static void step(void) {
    int64_t next_ms = sim.heap[0]->at_ms;
    if (sim.core != NULL) {
        int64_t tick_ms = sim.tick_ms > sim.loop_free_ms ? sim.tick_ms : sim.loop_free_ms;
        next_ms = tick_ms < next_ms ? tick_ms : next_ms;
    }
    sim.now_ms = next_ms > sim.now_ms ? next_ms : sim.now_ms;
    while (sim.event_count > 0 && sim.heap[0]->at_ms <= sim.now_ms) {
        happen_next();
    }
    if (sim.core != NULL && sim.now_ms >= sim.loop_free_ms) {
        loop_tick();
    }
}

void world_run(uint64_t seed, Tally *tally) {
    long blocks = mem_blocks();
    make_world(seed, tally);
    while (!owner_is_over()) {
        PROMISE(sim.accidents_left > 0 || sim.now_ms < sim.calm_ms + CALM_MOST_MS, "a run ends");
        step();
    }
    promise_end();
    end_world();
    PROMISE(mem_blocks() == blocks, "a core frees all it had");
}
