// SPDX-License-Identifier: Apache-2.0
//
// What takes time to notice: work that lies beside an idle worker, leases that outlive their
// deadline, stragglers that nobody doubles, poison that kills on; and what must be so at the end.
#include "tests/sim/sim.h"

enum { AUDITS_MOST = 8 }; // in a row that find the same idle worker beside the same work

static bool is_willing(const Peer *peer) {
    return peer->credits > 0 && peer->lease_count == 0 && !peer->is_stuck_in_batch &&
           !peer->is_stuck_in_training &&
           sim.now_ms - peer->heard_ms < (QUIET_ALIVES - 1) * ALIVE_MS;
}

static bool is_beside_idle(const Job *job) {
    for (int i = 0; i < sim.session_count; i++) {
        const Peer *peer = &sim.peers[sim.sessions[i]];
        if (is_willing(peer) &&
            (!seen_has_failed(job, peer->number) || seen_may_try_again(job, peer))) {
            return true;
        }
    }
    return false;
}

// Only the first is under work. It is given ten times what is usual and four deviations, either of
// which is at most the longest that there was, and four times more for each death.
static void audit_lease(const Peer *peer) {
    const SeenLease *lease = &peer->leases[0];
    const Job *job = &sim.jobs[lease->job];
    int64_t due_ms = 50 * sim.longest_ms[job->kind];
    due_ms = due_ms > LEASE_LEAST_MS ? due_ms : LEASE_LEAST_MS;
    PROMISE(peer->lease_count == 0 || lease->waits || job->is_committed ||
                seen_silent_ms(peer) < (due_ms << 2 * job->most_deaths) + 5000,
            "no lease outlives its deadline");
}

static void audit_session(const Peer *peer) {
    PROMISE(sim.now_ms - peer->heard_ms < (LOST_ALIVES + 2) * ALIVE_MS,
            "who is silent for too long has no session");
    audit_lease(peer);
}

static void audit_job(Job *job, bool batch_waits) {
    // One on which three died is waited with: a dead worker may come back.
    bool is_starved = seen_is_waiting(job) && job->deaths < 3 && is_beside_idle(job);
    job->starved_audits = is_starved ? job->starved_audits + 1 : 0;
    PROMISE(job->starved_audits < AUDITS_MOST, "no work waits beside an idle worker");
    bool is_lone = job->holders == 1 && !job->is_committed && job->kind != TASK_TRAIN &&
                   !job->is_doubled && seen_lease_of(job)->deaths == 0 && !batch_waits &&
                   is_beside_idle(job) &&
                   sim.now_ms - seen_lease_of(job)->given_ms > 3 * sim.longest_ms[job->kind] + 500;
    job->lone_audits = is_lone ? job->lone_audits + 1 : 0;
    PROMISE(job->lone_audits < AUDITS_MOST, "stragglers are doubled");
}

void promise_audit(void) {
    bool batch_waits = false;
    if (sim.core == NULL || sim.now_ms < sim.audit_ms) {
        return;
    }
    for (int i = 0; i < sim.session_count; i++) {
        audit_session(&sim.peers[sim.sessions[i]]);
    }
    for (int i = 0; i < sim.job_count; i++) {
        batch_waits |= seen_is_waiting(&sim.jobs[i]) && sim.jobs[i].kind != TASK_TRAIN;
    }
    for (int i = 0; i < sim.job_count; i++) {
        audit_job(&sim.jobs[i], batch_waits);
    }
}

static void check_job(const Job *job) {
    const Record *record = &sim.disk.records[job_index(job)];
    bool is_dead = sim.models[job->model].has_failed;
    PROMISE(record->is_done || is_dead || (record->is_given_up && job->is_poison),
            "all is done but what kills");
    PROMISE(!record->is_done || sim.climate.liars > 0 || record->answer == owner_right_answer(job),
            "the journal's answers equal the undisturbed ones");
    // Three, one more for each coordinator, which may not know of the last death, and some that are
    // laid to another task, when the answer to that was lost together with the worker.
    PROMISE(job->kills <= 10 + 2 * sim.incarnation, "poison does not kill on");
}

void promise_end(void) {
    loop_tick(); // it tells the last that they are durable
    CoreCounts counts = core_counts(sim.core);
    PROMISE(counts.waiting == 0 && counts.answered == 0 &&
                counts.done + counts.abandoned == sim.tag_count,
            "at the end all tasks are done or given up");
    for (int i = 0; i < sim.job_count; i++) {
        check_job(&sim.jobs[i]);
    }
    for (int i = 0; i < sim.session_count; i++) {
        for (int w = 0; w < JOBS_MOST / 64 + 1; w++) {
            PROMISE(sim.peers[sim.sessions[i]].owed_acks[w] == 0,
                    "every answer that is taken is acknowledged");
        }
    }
    core_end(sim.core, "the run is over");
    loop_do_actions();
    PROMISE(core_counts(sim.core).sessions == 0 && sim.session_count == 0,
            "at the end all are told");
}
