// SPDX-License-Identifier: Apache-2.0
//
// What comes out of the core: each message and each question to the owner is checked against what
// must be so when it is sent.
#include <string.h>

#include "tests/sim/sim.h"

enum {
    CANNOTS_MOST = 3,   // so many workers could not do it: the owner looks
    DEATHS_ALONE = 2,   // a task on which so many died is done by a worker that does nothing else
    DEATHS_POISON = 3,  // and after so many it is given up
    STRAGGLER_MS = 500, // no task is doubled before
    POISON_GRACE_MS = 10000,
};

// ---- work ----

static void sends_welcome(CorePeer id, const Message *message) {
    for (int i = 0; i < sim.session_count; i++) {
        PROMISE(sim.peers[sim.sessions[i]].number != sim.peers[id].number,
                "a second HELLO ends the session before it");
    }
    seen_session_begins(id, message->welcome.token);
}

static bool is_idle(const Peer *peer) {
    return peer->lease_count == 0 || (peer->lease_count == 1 && seen_may_be_over(peer));
}

static void check_doubled(const Peer *peer, Job *job) {
    const SeenLease *other = seen_lease_of(job);
    PROMISE(job->holders == 1 && other != NULL && sim.now_ms - other->given_ms >= STRAGGLER_MS &&
                is_idle(peer),
            "a task has one holder, but for stragglers");
    job->is_doubled = true;
    sim.tally->doubled++;
}

// The owner is asked about a group before its members are told.
static bool training_waits(void) {
    for (int i = 0; i < sim.job_count; i++) {
        const Job *job = &sim.jobs[i];
        bool is_stranded = job->is_looked_over && seen_all_have_failed(job);
        if (job->kind == TASK_TRAIN && seen_is_waiting(job) && job->members == 0 && !is_stranded &&
            job->group_ms < sim.now_ms) {
            return true;
        }
    }
    return false;
}

static void check_share(const Job *job, const Body *body) {
    for (int i = 0; i < sim.session_count; i++) {
        const Peer *peer = &sim.peers[sim.sessions[i]];
        for (int l = 0; l < peer->lease_count; l++) {
            const SeenLease *lease = &peer->leases[l];
            PROMISE(lease->job != job_index(job) || lease->first + lease->count <= body->first ||
                        body->first + body->count <= lease->first,
                    "a group's members are told of its end before another begins");
        }
    }
}

static void check_worker(const Peer *peer) {
    PROMISE(peer->has_session && peer->credits > 0, "no worker is sent more than it asked for");
    // A late loop judges nobody, and so thinks nobody quiet.
    PROMISE(sim.now_ms - peer->heard_ms < QUIET_ALIVES * ALIVE_MS ||
                sim.now_ms < sim.late_ms + 2 * ALIVE_MS,
            "quiet workers get no new work");
    PROMISE(!peer->is_stuck_in_batch && !peer->is_stuck_in_training, "who hangs is given nothing");
    for (int l = 0; l < peer->lease_count; l++) {
        const Job *held = &sim.jobs[peer->leases[l].job];
        PROMISE(held->kind != TASK_TRAIN, "who trains is given nothing else");
        PROMISE(held->is_committed || peer->leases[l].deaths < DEATHS_ALONE,
                "what may be poison is done alone");
    }
}

static void check_failures(const Peer *peer, Job *job) {
    if (seen_has_failed(job, peer->number) && seen_may_try_again(job, peer)) {
        sim.tally->tried_again++;
    } else if (seen_has_failed(job, peer->number)) {
        // Those that seemed to die on it may try again when there are no others.
        PROMISE(job->deaths > 0 && seen_all_have_failed(job),
                "who failed a task is not asked again while there are others");
        job->failed_count = 0;
        job->was_forgiven = true;
    }
    PROMISE(job->cannots < CANNOTS_MOST || job->cannots == job->old_cannots,
            "after three that cannot, the owner looks");
    PROMISE(job->deaths < DEATHS_POISON || job->deaths == job->old_deaths,
            "after three deaths a task is poison");
    PROMISE(job->deaths < DEATHS_ALONE || is_idle(peer), "what may be poison is done alone");
}

static void sends_task(Peer *peer, const WireTask *task) {
    Job *job = job_of((TaskTag)task->task);
    Body body;
    memcpy(&body, task->body, sizeof body);
    TRACE("task %llu, attempt %x, is job %d, kind %d", (unsigned long long)task->task,
          (unsigned)task->attempt, job_index(job), (int)job->kind);
    PROMISE(!job->is_committed && !job->is_doubted, "what is answered is given out no more");
    PROMISE(task->attempt >> 32 == sim.incarnation, "attempts tell their coordinator");
    check_worker(peer);
    if (job->kind == TASK_TRAIN) {
        PROMISE(is_idle(peer), "a training is given to who has nothing else to do");
        if (peer->lease_count > 0) {
            seen_lease_ends(peer, peer->leases); // now it is sure that it was over
        }
        check_share(job, &body);
    } else if (job->holders > 0) {
        check_doubled(peer, job);
    }
    PROMISE(is_idle(peer) || !training_waits(), "while models wait nobody is given a second task");
    check_failures(peer, job);
    PROMISE(peer->lease_count < SEEN_MOST, "no worker is sent more than it asked for");
    peer->credits--;
    job->is_doubled &= job->holders > 0;
    if (peer->lease_count == 0) {
        peer->first_ms = peer->may_be_first_ms = sim.now_ms;
    }
    peer->leases[peer->lease_count++] = (SeenLease){.job = job_index(job),
                                                    .attempt = task->attempt,
                                                    .first = body.first,
                                                    .count = body.count,
                                                    .given_ms = sim.now_ms,
                                                    .sign_ms = sim.now_ms,
                                                    .lease_ms = task->lease_ms,
                                                    .deaths = job->deaths};
    job->holders++;
    job->starved_audits = job->lone_audits = 0;
}

// ---- the end of leases ----

// The computing thread hangs, so the lease of what is under work there ends; it is cancelled only
// if it is of a training.
void says_expired(CorePeer id, TaskTag tag) {
    Peer *peer = &sim.peers[id];
    Job *job = job_of(tag);
    while (peer->lease_count > 0 && sim.jobs[peer->leases[0].job].is_committed) {
        seen_lease_ends(peer, peer->leases); // it was kept for comparing, and ended without a word
    }
    PROMISE(sim.is_ticking && seen_is_late(peer, job_index(job)),
            "no lease is judged before its time");
    PROMISE(sim.now_ms >= sim.judge_ms, "nobody is judged before what it said is read");
    peer->judged_ms = job->judged_ms = sim.now_ms;
    // Whoever has answered, and only owes its state, does not hang.
    peer->is_stuck_in_training = job->kind == TASK_TRAIN && !peer->leases[0].has_answer;
    peer->is_stuck_in_batch = job->kind != TASK_TRAIN;
    if (job->kind != TASK_TRAIN) {
        sim.quiet.expired = peer;
        sim.quiet.expired_job = job_index(job);
        seen_lease_ends(peer, peer->leases);
    }
    sim.tally->expired++;
}

// A lease that waits behind one that ended by time goes with it, and so do those of a group. One
// that was kept only for comparing ends without a word.
static bool is_judged_rightly(Peer *peer, Job *job) {
    bool is_behind = peer->lease_count > 0 && sim.jobs[peer->leases[0].job].is_committed &&
                     seen_is_late(peer, peer->leases[0].job);
    bool is_mates = false;
    for (int i = 0; i < sim.session_count; i++) {
        const Peer *mate = &sim.peers[sim.sessions[i]];
        is_mates |=
            seen_is_lost(mate) && mate->lease_count > 0 && mate->leases[0].job == job_index(job);
    }
    return is_behind || is_mates || peer->judged_ms == sim.now_ms || job->judged_ms == sim.now_ms;
}

static void sends_cancel(Peer *peer, const WireLease *cancel) {
    SeenLease *lease = seen_lease(peer, cancel->attempt);
    TRACE("task %llu, attempt %x is cancelled", (unsigned long long)cancel->task,
          (unsigned)cancel->attempt);
    // An answer may end another lease of its task that is answered in the same message.
    PROMISE(peer->has_session && (lease != NULL || sim.quiet.answering == peer),
            "only a lease is cancelled");
    if (lease == NULL) {
        return;
    }
    Job *job = &sim.jobs[lease->job];
    if (sim.is_ticking && !sim.quiet.has_failed_send) {
        PROMISE(is_judged_rightly(peer, job), "no lease is judged before its time");
        PROMISE(sim.now_ms >= sim.judge_ms, "nobody is judged before what it said is read");
    }
    seen_lease_ends(peer, lease);
}

static void sends_ack(Peer *peer, const WireLease *ack) {
    const Job *job = job_of((TaskTag)ack->task);
    PROMISE(sim.disk.records[job_index(job)].is_done,
            "nothing is acknowledged before it is durable");
    peer->owed_acks[job_index(job) / 64] &= ~(1ull << job_index(job) % 64);
}

void sends(CorePeer id, const Message *message) {
    Peer *peer = &sim.peers[id];
    switch ((int)message->type) {
    case MESSAGE_WELCOME:
        sends_welcome(id, message);
        break;
    case MESSAGE_TASKS:
        for (uint32_t i = 0; i < message->tasks.count; i++) {
            sends_task(peer, &message->tasks.items[i]);
        }
        break;
    case MESSAGE_CANCEL:
        sends_cancel(peer, &message->cancel);
        break;
    case MESSAGE_ACKS:
        for (uint32_t i = 0; i < message->acks.count; i++) {
            sends_ack(peer, &message->acks.items[i]);
        }
        break;
    case MESSAGE_END:
        peer->is_ending = peer->is_no_death = true;
        break;
    default:
        break;
    }
}

void sends_total(CorePeer id, const Message *header) {
    Peer *peer = &sim.peers[id];
    SeenLease *lease = seen_lease(peer, header->blob.attempt);
    PROMISE(peer->has_session && lease != NULL && lease->waits, "a total goes to who waits for it");
    lease->waits = false;
    lease->sign_ms = sim.now_ms;
}

void says_left(CorePeer id) {
    Peer *peer = &sim.peers[id];
    bool was_silent = peer->heard_ms + QUIET_ALIVES * ALIVE_MS < sim.jumped_ms;
    PROMISE(peer->has_session, "a session ends once");
    PROMISE(peer->is_ending || (seen_is_lost(peer) && (sim.now_ms >= sim.judge_ms || was_silent)),
            "no session ends without reason");
    seen_session_ends(id);
}

// ---- failures ----

// Whether the job is the first of what it holds.
static bool is_under_work_at(const Job *job, const Peer *peer) {
    int first = 0;
    while (first < peer->lease_count && sim.jobs[peer->leases[first].job].is_committed) {
        first++; // kept for comparing, it may have ended without a word
    }
    return first < peer->lease_count && peer->leases[first].job == job_index(job);
}

// The worker that a death on the job is counted for: time has spoken against it, or its session
// ends while the job is under work there. Of two that hold it, one whose connection is gone goes
// before one that was only not heard of for long: after a pause those are not judged at once.
static Peer *find_dead(const Job *job) {
    if (sim.quiet.expired_job == job_index(job)) {
        return sim.quiet.expired;
    }
    Peer *silent = NULL;
    for (int i = 0; i < sim.session_count; i++) {
        Peer *peer = &sim.peers[sim.sessions[i]];
        if (!is_under_work_at(job, peer)) {
            continue;
        }
        if (peer->is_ending && !peer->is_no_death) {
            return peer;
        }
        if (silent == NULL && sim.is_ticking && seen_is_lost(peer)) {
            silent = peer;
        }
    }
    return silent;
}

static void says_died(Job *job) {
    Peer *dead = find_dead(job);
    PROMISE(dead != NULL && job->kind != TASK_TRAIN && !job->is_committed,
            "a death is counted for what was under work where somebody died");
    seen_fails(job, dead);
    job->died_ms = sim.now_ms;
    if (dead != sim.quiet.expired) { // the session's end follows
        Worker *w = &sim.workers[dead->worker];
        w->blamed_job = w->number == dead->number ? job_index(job) : w->blamed_job;
    }
    sim.quiet.expired_job = NO_JOB;
}

static void says_cannot(Job *job) {
    Peer *peer = sim.quiet.answering;
    for (int i = 0; peer == NULL && i < sim.session_count; i++) {
        Peer *p = &sim.peers[sim.sessions[i]];
        if (p->is_ending && p->lease_count > 0 && p->leases[0].job == job_index(job)) {
            peer = p; // it spoke nonsense
        }
    }
    PROMISE(peer != NULL, "only who says so, or breaks the rules, cannot");
    seen_fails(job, peer);
}

void says_failed(Job *job, uint32_t deaths, uint32_t cannots) {
    TRACE("job %d has failed: %u deaths, %u cannots", job_index(job), deaths, cannots);
    if (job->is_forgotten) {
        PROMISE(deaths == 0 && cannots == 0, "what begins anew has no failures");
        job->is_forgotten = false;
        sim.quiet.forgotten--;
    } else if (deaths == job->deaths + 1 && cannots == job->cannots) {
        says_died(job);
    } else if (deaths == job->deaths && cannots == job->cannots + 1) {
        says_cannot(job);
    } else {
        PROMISE(deaths + 1 == job->deaths && cannots == job->cannots &&
                    (seen_has_failed(job, sim.quiet.returning) || job->was_forgiven),
                "failures are counted one by one");
        seen_has_not_failed(job, sim.quiet.returning);
        sim.quiet.taken_back = NO_JOB;
        sim.tally->taken_back++;
    }
    job->deaths = deaths;
    job->cannots = cannots;
    job->most_deaths = deaths > job->most_deaths ? deaths : job->most_deaths;
}

void says_alarm(Job *job, const char *text) {
    const Peer *peer = sim.quiet.answering;
    PROMISE(job->alarms_due > 0 && peer != NULL, "the alarm is raised for other bits alone");
    PROMISE(strstr(text, job->first_name) != NULL && strstr(text, peer->name) != NULL,
            "the alarm names both workers");
    job->alarms_due--;
    sim.quiet.alarms_due--;
    sim.tally->alarms++;
}

// ---- what the owner is told ----

void says_commit(Job *job, uint64_t answer) {
    PROMISE(job->is_added && !job->is_committed, "each task is committed once");
    PROMISE(answer == owner_right_answer(job) ||
                (sim.climate.liars > 0 && job->kind != TASK_TRAIN && answer == job->first_answer),
            "sums equal the undisturbed ones");
    PROMISE(job->kind == TASK_TRAIN || job->is_awaited || sim.quiet.has_owner_answered,
            "what is committed has been answered");
    sim.quiet.awaited -= job->is_awaited;
    if (job->is_doubted) {
        job->first_name[0] = '\0'; // the owner did it
    }
    job->is_committed = true;
    job->is_doubted = job->is_awaited = false;
    for (int i = 0; job->kind == TASK_TRAIN && i < sim.session_count; i++) {
        Peer *peer = &sim.peers[sim.sessions[i]];
        if (peer->lease_count > 0 && peer->leases[0].job == job_index(job)) {
            PROMISE(peer->leases[0].has_answer, "a training is done when all its members are");
            seen_took(peer, job);
            seen_lease_ends(peer, peer->leases);
        }
    }
}

void says_doubt(Job *job, CoreActionKind why) {
    PROMISE(job->is_added && !job->is_committed && !job->is_doubted,
            "the owner is asked once about what it has to decide");
    PROMISE(why != CORE_CANNOT || !job->is_looked_over,
            "the owner is asked again when another worker has failed");
    PROMISE(why != CORE_CANNOT || job->cannots >= CANNOTS_MOST || seen_all_have_failed(job) ||
                job->was_forgiven,
            "the owner looks when nobody else could");
    PROMISE(why != CORE_POISON ||
                (job->deaths >= DEATHS_POISON && sim.now_ms - job->died_ms >= POISON_GRACE_MS),
            "poison needs three deaths, and time for the dead to come back");
    PROMISE(why != CORE_IMPOSSIBLE || job->diverges, "only what nobody can do is impossible");
    job->is_doubted = true;
    sim.quiet.doubted = job;
}

void says_give_up(Job *job) {
    PROMISE(job->is_poison || job->diverges, "nothing healthy is given up");
    job->is_committed = job->is_given_up = true;
    job->is_doubted = false;
    job->first_name[0] = '\0';
}
