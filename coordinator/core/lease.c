// SPDX-License-Identifier: Apache-2.0
//
// Leases: who holds what until when. Workers work in order, so of all that a session holds its
// oldest lease is under work and the others wait behind it: only that one has a deadline, counted
// from when it came to the front.
#include <assert.h>
#include <math.h>

#include "common/base/mem.h"
#include "coordinator/core/state.h"

// ---- the lists that a lease is in ----

static void list_append(LeaseList *list, Lease *lease) {
    lease->before = list->last;
    lease->next = NULL;
    *(list->last != NULL ? &list->last->next : &list->first) = lease;
    list->last = lease;
}

static void list_remove(LeaseList *list, const Lease *lease) {
    *(lease->before != NULL ? &lease->before->next : &list->first) = lease->next;
    *(lease->next != NULL ? &lease->next->before : &list->last) = lease->before;
}

static void task_append(Task *task, Lease *lease) {
    Lease **link = &task->leases;
    while (*link != NULL) {
        link = &(*link)->next_of_task;
    }
    *link = lease;
    lease->next_of_task = NULL;
}

static void task_remove(Task *task, const Lease *lease) {
    Lease **link = &task->leases;
    while (*link != lease) {
        link = &(*link)->next_of_task;
    }
    *link = lease->next_of_task;
}

static void let_be_doubled(Core *core, Lease *lease) {
    LeaseList *list = &core->doublable[core->tasks[lease->tag].kind];
    lease->may_be_doubled = true;
    lease->older = list->last;
    lease->younger = NULL;
    *(list->last != NULL ? &list->last->younger : &list->first) = lease;
    list->last = lease;
}

void lease_not_doubled(Core *core, Lease *lease) {
    if (lease->may_be_doubled) {
        LeaseList *list = &core->doublable[core->tasks[lease->tag].kind];
        *(lease->older != NULL ? &lease->older->younger : &list->first) = lease->younger;
        *(lease->younger != NULL ? &lease->younger->older : &list->last) = lease->older;
        lease->may_be_doubled = false;
    }
}

// ---- times ----

static void note_time(Core *core, TaskKind kind, int64_t took_ms) {
    Usual *usual = &core->usual[kind];
    double error = (double)took_ms - usual->mean_ms;
    if (usual->is_known) {
        usual->mean_ms += error / 8;
        usual->deviation_ms += (fabs(error) - usual->deviation_ms) / 4;
    } else {
        *usual = (Usual){(double)took_ms, (double)took_ms / 2, true};
    }
}

static int64_t length_ms(const Core *core, TaskTag tag) {
    const Usual *usual = &core->usual[core->tasks[tag].kind];
    double ms = LEASE_FACTOR * (usual->mean_ms + 4 * usual->deviation_ms);
    ms = fmax(ms, LEASE_LEAST_MS);
    uint32_t deaths = trouble_of(core, tag)->deaths;
    if (deaths > 0) {
        ms = ldexp(ms, (int)(LEASE_GROWTH_BITS * deaths));
    }
    return (int64_t)fmin(ms, LEASE_MOST_MS);
}

int64_t lease_straggler_ms(const Core *core, TaskKind kind) {
    double ms = STRAGGLER_FACTOR * core->usual[kind].mean_ms;
    return (int64_t)fmax(ms, STRAGGLER_LEAST_MS);
}

static void set_deadline(Core *core, Session *session, int64_t now_ms) {
    const Lease *lease = session->given.first;
    session->deadline_ms =
        lease != NULL && !lease->waits ? now_ms + length_ms(core, lease->tag) : INT64_MAX;
    roster_look_by(core, session->deadline_ms);
}

static void restart_clock(Core *core, Session *session, int64_t now_ms) {
    session->started_ms = now_ms;
    session->done = session->total = 0;
    session->loss = NAN;
    set_deadline(core, session, now_ms);
}

void lease_renew(Core *core, const Lease *lease, int64_t now_ms) {
    if (lease->session->given.first == lease) {
        set_deadline(core, lease->session, now_ms);
    }
}

// ---- beginning and end ----

static void join_session(Core *core, Lease *lease, int64_t now_ms) {
    Session *session = lease->session;
    list_append(&session->given, lease);
    if (session->lease_count++ == 0) {
        core->counts.free_workers--;
        session->busy_since_ms = now_ms;
        restart_clock(core, session, now_ms);
    }
}

static void leave_session(Core *core, const Lease *lease, int64_t now_ms) {
    Session *session = lease->session;
    bool was_first = session->given.first == lease;
    list_remove(&session->given, lease);
    if (--session->lease_count == 0) {
        core->counts.free_workers++;
        session->idle_busy_ms = roster_busy_ms(session, now_ms, true);
        session->is_reserved = false;
    }
    if (was_first) {
        restart_clock(core, session, now_ms);
    }
    dispatch_place(core, session);
}

Lease *lease_new(Core *core, Session *session, TaskTag tag, uint32_t counter, LeaseState state) {
    Lease *lease = core->free_leases;
    if (lease != NULL) {
        core->free_leases = lease->next;
    } else {
        lease = mem_new(1, sizeof *lease);
        assert(lease != NULL); // as for actions: nobody could be told
    }
    *lease = (Lease){.session = session, .tag = tag, .counter = counter, .state = (uint8_t)state};
    task_append(&core->tasks[tag], lease);
    if (state == LEASE_ANSWERED) {
        list_append(&session->answered, lease);
    }
    return lease;
}

void lease_give(Core *core, Session *session, const LeaseOffer *offer, int64_t now_ms) {
    Task *task = &core->tasks[offer->tag];
    assert(session->credits > 0);
    session->credits--;
    Lease *lease = lease_new(core, session, offer->tag, ++core->attempts, LEASE_GIVEN);
    lease->first = (uint8_t)offer->share.first;
    lease->count = (uint8_t)offer->share.count;
    lease->since_ms = now_ms;
    session->is_reserved |= offer->wants_alone;
    task->owing += task->kind == TASK_TRAIN;
    join_session(core, lease, now_ms);
    dispatch_place(core, session);
    if (task->state != TASK_LEASED && task->kind != TASK_TRAIN &&
        trouble_of(core, offer->tag)->deaths == 0) {
        let_be_doubled(core, lease);
    }
    task->state = TASK_LEASED;
    buffer_clear(&core->body);
    core->config.hooks.task_body(core->config.hooks.context, offer->tag, offer->share, &core->body);
    assert(core->body.status == STATUS_OK);
    WireTask wire = {.task = offer->tag,
                     .attempt = core_attempt(core, lease->counter),
                     .kind = (TaskKind)task->kind,
                     .lease_ms = (uint32_t)length_ms(core, offer->tag),
                     .body_bytes = core->body.size};
    core_gather_task(core, session, &wire, &core->body);
}

void lease_answered(Core *core, Lease *lease, int64_t now_ms) {
    Session *session = lease->session;
    TaskKind kind = (TaskKind)core->tasks[lease->tag].kind;
    if (session->given.first == lease) {
        note_time(core, kind, now_ms - session->started_ms);
        core->counts.kinds[kind].busy_ms += now_ms - session->started_ms;
    }
    core->counts.kinds[kind].answered++;
    session->tasks_done++;
    dispatch_note_holder(core, lease->tag, session);
    lease_not_doubled(core, lease);
    leave_session(core, lease, now_ms);
    lease->state = LEASE_ANSWERED;
    list_append(&session->answered, lease);
}

void lease_end(Core *core, Lease *lease, int64_t now_ms) {
    lease_not_doubled(core, lease);
    task_remove(&core->tasks[lease->tag], lease);
    if (lease->state == LEASE_GIVEN) {
        leave_session(core, lease, now_ms);
    } else {
        list_remove(&lease->session->answered, lease);
    }
    buffer_done(&lease->answer);
    lease->next = core->free_leases;
    core->free_leases = lease;
}

void lease_end_all(Core *core, TaskTag tag, int64_t now_ms) {
    while (core->tasks[tag].leases != NULL) {
        Lease *lease = core->tasks[tag].leases;
        if (lease->state == LEASE_GIVEN) {
            core_cancel(core, lease);
        }
        lease_end(core, lease, now_ms);
    }
}

void lease_free(Core *core) {
    for (uint32_t i = 0; i < core->task_count; i++) {
        while (core->tasks[i].leases != NULL) {
            lease_end(core, core->tasks[i].leases, 0);
        }
    }
    while (core->free_leases != NULL) {
        Lease *lease = core->free_leases;
        core->free_leases = lease->next;
        mem_free(lease);
    }
}

// ---- finding ----

Lease *lease_find(const Core *core, const Session *session, uint64_t tag, uint64_t attempt) {
    if (tag >= core->task_count || attempt >> 32 != core->config.incarnation) {
        return NULL;
    }
    for (Lease *lease = core->tasks[tag].leases; lease != NULL; lease = lease->next_of_task) {
        if (lease->session == session && lease->counter == (uint32_t)attempt &&
            lease->state == LEASE_GIVEN) {
            return lease;
        }
    }
    return NULL;
}

bool lease_is_held(const Core *core, TaskTag tag) {
    const Lease *lease = core->tasks[tag].leases;
    while (lease != NULL && lease->state != LEASE_GIVEN) {
        lease = lease->next_of_task;
    }
    return lease != NULL;
}

// ---- leases that end without an answer ----

void lease_lost(Core *core, TaskTag tag, int64_t now_ms) {
    const Task *task = &core->tasks[tag];
    if (task->state != TASK_LEASED) {
        return; // it was held for comparing only
    }
    if (task->kind == TASK_TRAIN) {
        group_broken(core, tag, now_ms);
    } else if (!lease_is_held(core, tag)) {
        core->counts.retries++;
        trouble_settle(core, tag, now_ms);
    }
}

// The computing thread hangs, or is far too slow. A batch task is not cancelled: its answer is
// still welcome, and shows that the worker is back at work. What waits there behind it has not been
// begun, and goes to others.
void lease_expire(Core *core, Session *session, int64_t now_ms) {
    Lease *lease = session->given.first;
    TaskTag tag = lease->tag;
    const Task *task = &core->tasks[tag];
    bool is_training = task->kind == TASK_TRAIN;
    if (task->state == TASK_LEASED) {
        core_tell(core, CORE_NOTE, session->peer, "worker %s made no progress with task %u in time",
                  session->worker->name, tag);
        if (!is_training) {
            trouble_death(core, tag, session, now_ms);
        }
    }
    // One whose result came and whose STATE was lost on the way has done its part: it works, and
    // has asked for more before it could know.
    bool has_answered = lease->answer.size > 0;
    session->stuck = has_answered ? STUCK_NOT : is_training ? STUCK_IN_TRAINING : STUCK_IN_BATCH;
    while (session->given.last != lease) {
        TaskTag behind = session->given.last->tag;
        core_cancel(core, session->given.last);
        lease_end(core, session->given.last, now_ms);
        lease_lost(core, behind, now_ms);
    }
    if (is_training) {
        core_cancel(core, lease);
    }
    lease_end(core, lease, now_ms);
    lease_lost(core, tag, now_ms);
}

void lease_progress(Core *core, Session *session, const Message *message, int64_t now_ms) {
    Lease *lease = lease_find(core, session, message->progress.task, message->progress.attempt);
    if (lease == NULL) {
        return; // it crossed a CANCEL
    }
    if (!isnan(message->progress.loss)) {
        core->counts.train_loss = message->progress.loss;
    }
    if (session->given.first == lease) {
        session->done = message->progress.done;
        session->total = message->progress.total;
        session->loss = isnan(message->progress.loss) ? session->loss : message->progress.loss;
    }
    if (message->progress.done > lease->progress) {
        lease->progress = message->progress.done;
        lease_renew(core, lease, now_ms);
    }
}
