// SPDX-License-Identifier: Apache-2.0
//
// What the coordinator must know of sessions, leases and failures, followed from what goes into the
// core (hears.c) and comes out of it (sends.c) and nothing else: so a message that should have been
// sent and was not is noticed as well as one that should not.
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

void sim_broken(const char *file, int line, const char *format, ...) {
    const char *name = strrchr(file, '/');
    char promise[256];
    va_list args;
    va_start(args, format);
    vsnprintf(promise, sizeof promise, format, args);
    va_end(args);
    fflush(stdout);
    // In one piece: another process may break a promise at the same time.
    fprintf(stderr,
            "BROKEN: %s [%s:%d, at %lld ms]\n  again: SIM_SEED=%llu SIM_TRACE=1 test_sim_core\n",
            promise, name != NULL ? name + 1 : file, line, (long long)sim.now_ms,
            (unsigned long long)sim.seed);
    _Exit(1);
}

// ---- leases ----

SeenLease *seen_lease(Peer *peer, uint64_t attempt) {
    for (int i = 0; i < peer->lease_count; i++) {
        if (peer->leases[i].attempt == attempt) {
            return &peer->leases[i];
        }
    }
    return NULL;
}

// One that was kept only for comparing with another's answer ends at its deadline without a word,
// so that what waits behind it may have come under work before.
bool seen_may_be_over(const Peer *peer) {
    return peer->lease_count > 0 && sim.jobs[peer->leases[0].job].is_committed &&
           seen_is_late(peer, peer->leases[0].job);
}

// Keeps the others in the order in which they were given.
void seen_lease_ends(Peer *peer, SeenLease *lease) {
    Job *job = &sim.jobs[lease->job];
    int behind = peer->lease_count - (int)(lease - peer->leases) - 1;
    bool was_over = lease == peer->leases && seen_may_be_over(peer);
    memmove(lease, lease + 1, (size_t)behind * sizeof *lease);
    peer->lease_count--;
    if (lease == peer->leases) {
        peer->first_ms = sim.now_ms; // the next is under work now
        peer->may_be_first_ms = was_over && behind > 0 ? lease->given_ms : sim.now_ms;
    }
    job->holders--;
}

static int64_t later(int64_t a, int64_t b) {
    return a > b ? a : b;
}

int64_t seen_silent_ms(const Peer *peer) {
    return sim.now_ms - later(peer->leases[0].sign_ms, peer->first_ms);
}

bool seen_is_late(const Peer *peer, int job) {
    const SeenLease *lease = peer->leases;
    if (peer->lease_count == 0 || lease->job != job) {
        return false; // what waits behind another is not under work
    }
    int64_t since_ms = later(lease->sign_ms, peer->may_be_first_ms);
    return (!lease->waits && sim.now_ms - since_ms >= LEASE_LEAST_MS) || seen_is_lost(peer);
}

void seen_took(const Peer *peer, const Job *job) {
    int64_t *longest_ms = &sim.longest_ms[job->kind];
    int64_t took_ms = sim.now_ms - peer->first_ms;
    *longest_ms = took_ms > *longest_ms ? took_ms : *longest_ms;
}

bool seen_is_lost(const Peer *peer) {
    return sim.now_ms - peer->heard_ms >= LOST_ALIVES * ALIVE_MS;
}

// ---- sessions ----

Peer *seen_session_of(Digest token) {
    for (int i = 0; i < sim.session_count; i++) {
        Peer *peer = &sim.peers[sim.sessions[i]];
        if (digest_equal(peer->token, token)) {
            return peer;
        }
    }
    return NULL;
}

void seen_session_begins(CorePeer id, Digest token) {
    Peer *peer = &sim.peers[id];
    const Peer old = *peer;
    *peer = (Peer){.worker = old.worker,
                   .number = old.number,
                   .is_cut = old.is_cut,
                   .is_dropped = old.is_dropped,
                   .moved_to = old.moved_to,
                   .has_session = true,
                   .token = token,
                   .heard_ms = sim.now_ms};
    memcpy(peer->name, old.name, sizeof peer->name);
    PROMISE(sim.session_count < SESSIONS_MOST, "sessions end");
    sim.sessions[sim.session_count++] = id;
}

void seen_session_ends(CorePeer id) {
    Peer *peer = &sim.peers[id];
    while (peer->lease_count > 0) {
        seen_lease_ends(peer, &peer->leases[peer->lease_count - 1]);
    }
    peer->has_session = peer->is_ending = false;
    for (int i = 0; i < sim.session_count; i++) {
        if (sim.sessions[i] == id) {
            sim.sessions[i] = sim.sessions[--sim.session_count];
        }
    }
}

void seen_coordinator_ends(void) {
    while (sim.session_count > 0) {
        seen_session_ends(sim.sessions[0]);
    }
    for (int i = 0; i < sim.climate.workers; i++) {
        sim.workers[i].blamed_job = NO_JOB;
    }
    sim.quiet = NOTHING_ASKED;
    memset(sim.longest_ms, 0, sizeof sim.longest_ms);
}

// ---- failures ----

static SeenFailure *failure_of(const Job *job, uint64_t number) {
    for (uint32_t i = 0; i < job->failed_count; i++) {
        if (job->failed[i].number == number) {
            return (SeenFailure *)&job->failed[i];
        }
    }
    return NULL;
}

bool seen_has_failed(const Job *job, uint64_t number) {
    return failure_of(job, number) != NULL;
}

void seen_fails(Job *job, const Peer *peer) {
    SeenFailure *failure = failure_of(job, peer->number);
    if (failure == NULL) {
        PROMISE(job->failed_count < FAILED_MOST, "the world is too large");
        failure = &job->failed[job->failed_count++];
        *failure = (SeenFailure){.number = peer->number};
    }
    failure->times++;
    failure->token = peer->token;
    failure->last_ms = sim.now_ms;
    job->is_looked_over = false;
}

bool seen_may_try_again(const Job *job, const Peer *peer) {
    const SeenFailure *failure = failure_of(job, peer->number);
    if (failure == NULL || !job->is_looked_over || digest_equal(failure->token, peer->token)) {
        return false;
    }
    int64_t pause_ms = failure->times < 8 ? PAUSE_LEAST_MS << (failure->times - 1) : PAUSE_MOST_MS;
    pause_ms = pause_ms < PAUSE_MOST_MS ? pause_ms : PAUSE_MOST_MS;
    return sim.now_ms - failure->last_ms >= pause_ms;
}

void seen_has_not_failed(Job *job, uint64_t number) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < job->failed_count; i++) {
        if (job->failed[i].number != number) {
            job->failed[kept++] = job->failed[i];
        }
    }
    job->failed_count = kept;
}

bool seen_all_have_failed(const Job *job) {
    for (int i = 0; i < sim.session_count; i++) {
        if (!seen_has_failed(job, sim.peers[sim.sessions[i]].number)) {
            return false;
        }
    }
    return sim.session_count > 0 && job->failed_count > 0;
}

void seen_forgiveness(void) {
    for (int i = 0; i < sim.job_count; i++) {
        Job *job = &sim.jobs[i];
        if (job->failed_count > 0 && job->deaths > 0 && seen_is_waiting(job) &&
            seen_all_have_failed(job)) {
            job->failed_count = 0;
            job->was_forgiven = true;
        }
    }
}

// ---- jobs ----

bool seen_is_waiting(const Job *job) {
    return job->is_added && !job->is_committed && !job->is_doubted && job->holders == 0;
}

const SeenLease *seen_lease_of(const Job *job) {
    for (int i = 0; i < sim.session_count; i++) {
        const Peer *peer = &sim.peers[sim.sessions[i]];
        for (int l = 0; l < peer->lease_count; l++) {
            if (peer->leases[l].job == job_index(job)) {
                return &peer->leases[l];
            }
        }
    }
    return NULL;
}
