// SPDX-License-Identifier: Apache-2.0
//
// What goes into the core, and what must come of it at once: what it says is looked at by sends.c,
// and that nothing is missing by promise_quiet.
#include <string.h>

#include "tests/sim/sim.h"

// A worker that comes back did not die: the death that it was blamed for is taken back.
static void hears_hello(CorePeer id) {
    uint64_t number = sim.peers[id].number;
    Worker *w = &sim.workers[sim.peers[id].worker];
    for (int i = 0; i < sim.session_count; i++) {
        Peer *old = &sim.peers[sim.sessions[i]];
        if (old->number == number) {
            old->is_ending = old->is_no_death = true;
        }
    }
    sim.quiet.returning = number;
    if (w->number == number && w->blamed_job != NO_JOB) {
        const Job *job = &sim.jobs[w->blamed_job];
        bool is_open = !job->is_committed && !job->is_doubted && seen_has_failed(job, number);
        sim.quiet.taken_back = is_open ? w->blamed_job : NO_JOB;
        w->blamed_job = NO_JOB;
    }
}

// It broke the rules: whatever it was about is counted among what it cannot do.
void hears_malformed(CorePeer id) {
    Peer *peer = &sim.peers[id];
    peer->is_ending = peer->is_no_death = true;
    sim.quiet.expelled = peer;
    if (peer->has_session && peer->lease_count > 0) {
        Job *job = &sim.jobs[peer->leases[0].job];
        if (job->kind == TASK_TRAIN) {
            seen_fails(job, peer); // for other tasks CORE_FAILED tells
        }
    }
}

// A valid answer to a batch task: the first is committed, whoever gives it; others are compared.
static void hears_batch(Peer *peer, Job *job, uint64_t answer) {
    if (job->is_doubted || (job->is_committed && job->first_name[0] == '\0')) {
        sim.tally->too_late += job->is_doubted;
        return; // the owner has taken it over
    }
    peer->owed_acks[job_index(job) / 64] |= 1ull << job_index(job) % 64;
    if (!job->is_committed && !job->is_awaited) {
        job->is_awaited = true;
        job->first_answer = answer;
        snprintf(job->first_name, sizeof job->first_name, "%s", peer->name);
        sim.quiet.awaited++;
    } else if (answer != job->first_answer) {
        job->alarms_due++;
        sim.quiet.alarms_due++;
    }
}

static bool is_malformed(const WireResult *result) {
    return result->outcome == RESULT_DONE ? result->body_bytes != sizeof(uint64_t)
                                          : result->body_bytes == 4;
}

// True: the session ends by it, and what follows in the bundle is nobody's.
static bool hears_result(Peer *peer, const WireResult *result) {
    if (result->attempt >> 32 != sim.incarnation) {
        return false; // of an earlier coordinator, whose numbers meant other tasks
    }
    if (result->task >= sim.tag_count) {
        return true;
    }
    Job *job = job_of((TaskTag)result->task);
    SeenLease *lease = seen_lease(peer, result->attempt);
    TRACE("result %d of job %d, %s%s", (int)result->outcome, job_index(job),
          lease != NULL ? "leased" : "late", is_malformed(result) ? ", malformed" : "");
    if (is_malformed(result)) {
        if (lease == peer->leases && seen_may_be_over(peer)) {
            lease = NULL;
        }
        if (lease != NULL && job->kind == TASK_TRAIN) {
            seen_fails(job, peer);
        }
        // One that is looked at ends the session: those that come too late are not.
        return lease != NULL || (job->kind != TASK_TRAIN && result->outcome == RESULT_DONE &&
                                 !job->is_doubted && !job->is_given_up);
    }
    bool is_alone = lease != NULL && lease->count == sim.models[job->model].shards;
    if (is_alone && job->kind == TASK_TRAIN && result->outcome == RESULT_DONE) {
        lease->has_answer = true;
        sim.quiet.trained = lease->has_state ? job : sim.quiet.trained;
    }
    if (job->kind != TASK_TRAIN && result->outcome == RESULT_DONE) {
        uint64_t answer;
        memcpy(&answer, result->body, sizeof answer);
        hears_batch(peer, job, answer);
    }
    if (lease == peer->leases) {
        seen_took(peer, job);
    }
    if (lease != NULL && (result->outcome != RESULT_DONE || job->kind != TASK_TRAIN || !is_alone)) {
        seen_lease_ends(peer, lease); // one that trained alone may owe its state
    }
    return false;
}

static void hears_results(Peer *peer, const Message *message) {
    sim.quiet.answering = peer;
    peer->is_stuck_in_batch = peer->is_stuck_in_training = false;
    for (uint32_t i = 0; i < message->results.count && !peer->is_ending; i++) {
        peer->is_ending = peer->is_no_death = hears_result(peer, &message->results.items[i]);
        sim.quiet.expelled = peer->is_ending ? peer : NULL;
    }
}

static void hears_progress(Peer *peer, const Message *message) {
    SeenLease *lease = seen_lease(peer, message->progress.attempt);
    if (lease != NULL && message->progress.done > lease->done) {
        lease->done = message->progress.done;
        lease->sign_ms = sim.now_ms;
    }
}

void hears(CorePeer id, const Message *message) {
    Peer *peer = &sim.peers[id];
    peer->heard_ms = sim.now_ms;
    if (message->type == MESSAGE_HELLO && peer->has_session) {
        hears_malformed(id);
        return;
    }
    if (message->type == MESSAGE_HELLO) {
        hears_hello(id);
    }
    if (!peer->has_session) {
        return;
    }
    switch ((int)message->type) {
    case MESSAGE_CREDIT:
        peer->credits += (int)message->credit.count;
        peer->is_stuck_in_training = false;
        break;
    case MESSAGE_RESULTS:
        hears_results(peer, message);
        break;
    case MESSAGE_PROGRESS:
        hears_progress(peer, message);
        break;
    case MESSAGE_GOODBYE:
        peer->is_ending = peer->is_no_death = true;
        break;
    case MESSAGE_ALIVE:
    case MESSAGE_HELLO:
        break;
    default: // what only a coordinator says
        hears_malformed(id);
    }
}

void hears_blob(Digest token, const Message *header) {
    Peer *peer = seen_session_of(token);
    SeenLease *lease = peer != NULL ? seen_lease(peer, header->blob.attempt) : NULL;
    if (peer != NULL) {
        peer->heard_ms = sim.now_ms;
    }
    if (lease == NULL) {
        return;
    }
    if (header->blob.kind == BLOB_STATE) {
        lease->has_state = true;
        sim.quiet.trained = lease->has_answer ? &sim.jobs[lease->job] : NULL;
    } else if (header->blob.first != lease->first) {
        seen_fails(&sim.jobs[lease->job], peer);
        peer->is_ending = peer->is_no_death = true;
        sim.quiet.expelled = peer;
    } else {
        lease->waits = true;
        lease->sign_ms = sim.now_ms;
    }
}

void hears_closed(CorePeer id) {
    sim.peers[id].is_ending = true;
}

// What was on the way is lost: a group is told to begin anew; who trains alone sends its state
// again over the next connection.
void hears_bulk_closed(Digest token) {
    const Peer *peer = seen_session_of(token);
    if (peer == NULL || peer->lease_count == 0) {
        return;
    }
    Job *job = &sim.jobs[peer->leases[0].job];
    if (job->kind == TASK_TRAIN && peer->leases[0].count < sim.models[job->model].shards) {
        sim.quiet.broken = job;
    }
}

void promise_quiet(void) {
    const Quiet *quiet = &sim.quiet;
    PROMISE(quiet->awaited == 0, "a valid answer is taken, whoever gives it");
    if (quiet->doubted != NULL && quiet->answering != NULL && quiet->answering->has_session) {
        quiet->answering->is_ending = false; // what it broke was in doubt by then: nobody looked
    } else {
        PROMISE(quiet->expelled == NULL || !quiet->expelled->has_session,
                "who breaks the rules is sent away");
    }
    PROMISE(quiet->trained == NULL || quiet->trained->is_committed,
            "a training is done when its answer and its state are there");
    PROMISE(quiet->forgotten == 0, "what begins anew has no failures, in the journal too");
    PROMISE(quiet->alarms_due == 0, "two answers with other bits raise the alarm");
    PROMISE(quiet->taken_back == NO_JOB, "who comes back did not die");
    PROMISE(quiet->broken == NULL || quiet->broken->holders == 0,
            "a group whose member lost its bulk connection is broken up");
    PROMISE(quiet->doubted == NULL || quiet->doubted->holders == 0,
            "the owner is asked about what nobody holds");
    sim.quiet = NOTHING_ASKED;
}
