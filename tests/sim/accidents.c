// SPDX-License-Identifier: Apache-2.0
//
// What kind of a world it is, and what goes wrong in it. Accidents end after a while, so that a run
// can: with luck bad enough none would.
#include "tests/sim/sim.h"

enum {
    CATCH_UP_MS = 3000,
    LATE_MS = 5000, // so late a loop cannot but know that it is
};

void climate_draw(void) {
    Climate *climate = &sim.climate;
    climate->workers = 1 + (int)below(WORKERS_MOST);
    climate->models = 1 + (int)below(MODELS_MOST);
    climate->delay_ms = 1 + below(chance(0.3) ? 200 : 10);
    climate->tail_ms = 1 + below(3000);
    climate->tail = chance(0.5) ? 0.05 * rng_uniform(&sim.rng) : 0;
    climate->gap_ms = 10 + below(chance(0.5) ? 300 : 5000);
    climate->cannot = chance(0.1) ? 0.3 : chance(0.5) ? 0.04 * rng_uniform(&sim.rng) : 0;
    climate->slow_commit = chance(0.3) ? 0.3 : 0.02;
    climate->failed_send = chance(0.2) ? 0.005 : 0;
    climate->liars = chance(0.1) ? 0.4 : 0;
    climate->broken = chance(0.1) ? 0.4 : 0;
    climate->blind = chance(0.2) ? (chance(0.5) ? 1 : 0.5) : 0;
    // Else hardly anybody would be left to wait for.
    climate->cannot /= climate->blind > 0 ? 20 : 1;
    for (int i = 0; i < ACCIDENT_KINDS; i++) {
        climate->weights[i] = chance(0.4) ? below(10) : 0;
    }
    // What stops everybody is rarer than what stops one.
    climate->weights[KILL_COORDINATOR] /= 4;
    climate->weights[FAIL_DISK] /= 4;
    climate->weights[JUMP_CLOCK] /= 4;
    sim.accidents_left = chance(0.05) ? 0 : (int)below(60);
}

static void jump_clock(void) {
    int64_t jump_ms = 1000 + below(chance(0.5) ? 100000 : 10000);
    TRACE("all stand still for %lld ms", (long long)jump_ms);
    shift_events(jump_ms);
    bool workers_see_it = chance(0.5);
    sim.jumped_ms = sim.now_ms;
    for (int i = 0; i < sim.climate.workers; i++) {
        Worker *w = &sim.workers[i];
        w->heard_ms += workers_see_it ? 0 : jump_ms;
        w->frozen_until_ms += jump_ms;
        w->hung_until_ms += jump_ms;
        for (int lane = 0; lane < 4; lane++) {
            w->lane_ms[lane] += jump_ms;
        }
    }
    sim.loop_free_ms += jump_ms;
    sim.now_ms += jump_ms;
    sim.audit_ms = sim.loop_free_ms > sim.now_ms ? sim.loop_free_ms : sim.now_ms;
    sim.audit_ms += CATCH_UP_MS;
    sim.late_ms = sim.audit_ms - CATCH_UP_MS;
    if (jump_ms >= LATE_MS) {
        sim.judge_ms = sim.now_ms + ALIVE_MS / 2;
    }
}

static void befall_worker(AccidentKind kind, int worker) {
    Worker *w = &sim.workers[worker];
    int64_t until_ms = sim.now_ms + below(chance(0.3) ? 60000 : 5000);
    switch (kind) {
    case KILL_WORKER:
        worker_kill(worker, chance(0.7));
        break;
    case BREAK_CONNECTION:
        TRACE("%s loses its connection", w->name);
        network_break(worker, chance(0.5), chance(0.5));
        worker_connect(worker);
        break;
    case MOVE_CONNECTION:
        TRACE("%s is connected anew and does not know", w->name);
        network_move(worker, chance(0.5));
        break;
    case BREAK_BULK:
        TRACE("%s loses its bulk connection", w->name);
        network_break_bulk(worker, chance(0.8));
        if (chance(0.8)) {
            worker_on_bulk_lost(worker);
        }
        break;
    case FREEZE_WORKER:
        TRACE("%s is frozen until %lld", w->name, (long long)until_ms);
        w->frozen_until_ms = until_ms > w->frozen_until_ms ? until_ms : w->frozen_until_ms;
        break;
    case HANG_WORKER:
        until_ms += chance(0.3) ? 600000 : 0;
        TRACE("%s hangs until %lld", w->name, (long long)until_ms);
        w->hung_until_ms = until_ms > w->hung_until_ms ? until_ms : w->hung_until_ms;
        break;
    case SEND_AWAY:
        TRACE("%s is asked to leave", w->name);
        worker_leave(worker);
        break;
    case STALL_LOOP:
    case JUMP_CLOCK:
    case KILL_COORDINATOR:
    case FAIL_DISK:
    case SLOW_DISK:
    case ACCIDENT_KINDS:
        break;
    }
}

static void befall_coordinator(AccidentKind kind) {
    int64_t until_ms;
    switch (kind) {
    case STALL_LOOP:
        until_ms = sim.now_ms + below(chance(0.3) ? 60000 : 3000);
        sim.loop_free_ms = until_ms > sim.loop_free_ms ? until_ms : sim.loop_free_ms;
        sim.audit_ms = sim.loop_free_ms + CATCH_UP_MS;
        sim.late_ms = sim.loop_free_ms;
        TRACE("the coordinator is stalled until %lld", (long long)sim.loop_free_ms);
        break;
    case JUMP_CLOCK:
        jump_clock();
        break;
    case KILL_COORDINATOR:
        loop_kill();
        break;
    case FAIL_DISK:
        sim.disk.fail_in = 1 + (int)below(10);
        break;
    case SLOW_DISK:
        sim.disk.slow_until_ms = sim.now_ms + below(10000);
        break;
    case KILL_WORKER:
    case BREAK_CONNECTION:
    case MOVE_CONNECTION:
    case BREAK_BULK:
    case FREEZE_WORKER:
    case HANG_WORKER:
    case SEND_AWAY:
    case ACCIDENT_KINDS:
        break;
    }
}

static AccidentKind draw_kind(void) {
    uint32_t all = 0;
    for (int i = 0; i < ACCIDENT_KINDS; i++) {
        all += sim.climate.weights[i];
    }
    uint32_t drawn = all > 0 ? below(all) : 0;
    for (int i = 0; i < ACCIDENT_KINDS; i++) {
        if (drawn < sim.climate.weights[i]) {
            return (AccidentKind)i;
        }
        drawn -= sim.climate.weights[i];
    }
    return ACCIDENT_KINDS;
}

void accident_happens(void) {
    AccidentKind kind = sim.accidents_left > 0 ? draw_kind() : ACCIDENT_KINDS;
    sim.accidents_left--;
    sim.calm_ms = sim.now_ms;
    if (kind == ACCIDENT_KINDS) {
        sim.accidents_left = 0;
        return;
    }
    int worker = (int)below((uint32_t)sim.climate.workers);
    sim.tally->accidents[kind]++;
    if (kind < STALL_LOOP && sim.workers[worker].is_alive) {
        befall_worker(kind, worker);
    } else if (kind >= STALL_LOOP && sim.core != NULL) {
        befall_coordinator(kind);
    }
    add_event(ACCIDENT, -1, 1 + below(sim.climate.gap_ms));
}
