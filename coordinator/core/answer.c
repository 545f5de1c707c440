// SPDX-License-Identifier: Apache-2.0
//
// What workers say that they found. The first valid answer to a task is committed, whoever sends
// it; later ones are compared with it, for an answer is a pure function of its task.
#include <assert.h>
#include <stdio.h>

#include "coordinator/core/state.h"

void answer_commit(Core *core, TaskTag tag, const void *bytes, size_t size) {
    core->tasks[tag].state = TASK_ANSWERED;
    core->counts.answered++;
    CoreAction *action = core_act(core, CORE_COMMIT);
    action->tag = tag;
    if (size > 0) {
        buffer_append(&action->blob, bytes, size);
        assert(action->blob.status == STATUS_OK);
    }
}

// The worker is broken or hostile: its session ends, and it is not asked for this task again.
void answer_refuse(Core *core, Session *session, TaskTag tag, int64_t now_ms) {
    char why[512];
    snprintf(why, sizeof why, "an answer that is not valid: %.450s", status_message());
    core_tell(core, CORE_NOTE, session->peer,
              "worker %s gave an answer to task %u that is not valid: %s", session->worker->name,
              tag, status_message());
    if (core->tasks[tag].state == TASK_LEASED) {
        trouble_wrong(core, tag, session, now_ms);
    }
    roster_expel(core, session, ENDING_POLITE, why, now_ms);
}

// ---- comparing ----

static void remember(Core *core, TaskTag tag, const Session *session, Digest digest) {
    core->remembered[tag % REMEMBERED_MOST] = (Remembered){tag, session->worker->serial, digest};
}

static void compare(Core *core, TaskTag tag, const Session *session, Digest digest) {
    const Remembered *first = &core->remembered[tag % REMEMBERED_MOST];
    if (first->tag == tag && first->serial != 0 && !digest_equal(first->digest, digest)) {
        core_tell(core, CORE_ALARM, session->peer,
                  "workers %s and %s gave different answers to task %u",
                  roster_name(core, first->serial), session->worker->name, tag)
            ->tag = tag;
    }
}

// ---- batch tasks ----

// Whoever else holds the task has its answer compared if it is under work there, else is spared it.
static void spare_others(Core *core, TaskTag tag, int64_t now_ms) {
    Lease *next;
    for (Lease *lease = core->tasks[tag].leases; lease != NULL; lease = next) {
        next = lease->next_of_task;
        lease_not_doubled(core, lease);
        if (lease->state == LEASE_GIVEN && lease->session->given.first != lease) {
            core_cancel(core, lease);
            lease_end(core, lease, now_ms);
        }
    }
}

static bool awaits_acknowledgement(const Core *core, TaskTag tag, const Session *session) {
    const Lease *lease = core->tasks[tag].leases;
    while (lease != NULL && (lease->session != session || lease->state != LEASE_ANSWERED)) {
        lease = lease->next_of_task;
    }
    return lease != NULL;
}

static void take_batch(Core *core, Session *session, Lease *lease, const WireResult *result,
                       int64_t now_ms) {
    const CoreHooks *hooks = &core->config.hooks;
    TaskTag tag = (TaskTag)result->task;
    TaskState state = core->tasks[tag].state;
    if (state == TASK_DOUBTED || state == TASK_ABANDONED) {
        return; // the owner has taken it over
    }
    if (hooks->take_answer(hooks->context, tag, (CoreShare){0, 0}, result->body,
                           result->body_bytes) != STATUS_OK) {
        answer_refuse(core, session, tag, now_ms);
        return;
    }
    Digest digest = digest_of(result->body, result->body_bytes);
    if (lease != NULL) {
        lease_answered(core, lease, now_ms);
    } else if (state != TASK_DONE && !awaits_acknowledgement(core, tag, session)) {
        lease_new(core, session, tag, (uint32_t)result->attempt, LEASE_ANSWERED);
    }
    if (state == TASK_ANSWERED || state == TASK_DONE) {
        compare(core, tag, session, digest);
    } else {
        if (state != TASK_LEASED) {
            queue_remove(core, tag);
        }
        remember(core, tag, session, digest);
        spare_others(core, tag, now_ms);
        answer_commit(core, tag, result->body, result->body_bytes);
    }
    if (state == TASK_DONE) {
        core_gather_ack(core, session, tag, (uint32_t)result->attempt);
        if (lease != NULL) {
            lease_end(core, lease, now_ms);
        }
    }
}

// ---- training ----

void answer_try(Core *core, Lease *lease, const void *bytes, size_t size, int64_t now_ms) {
    const CoreHooks *hooks = &core->config.hooks;
    TaskTag tag = lease->tag;
    Task *task = &core->tasks[tag];
    CoreShare share = {lease->first, lease->count};
    Status status = hooks->take_answer(hooks->context, tag, share, bytes, size);
    if (status == STATUS_OK) {
        lease_answered(core, lease, now_ms);
        if (--task->owing == 0) {
            core->trains_running--;
            answer_commit(core, tag, bytes, size);
        }
    } else if (status != STATUS_AGAIN) {
        answer_refuse(core, lease->session, tag, now_ms);
    } else if (lease->answer.size == 0) {
        buffer_append(&lease->answer, bytes, size);
    }
}

// ---- what cannot be done ----

// Whether what a worker says that cannot do its task is a CannotBody, and one that may be: only a
// training can be impossible, since its arithmetic alone can have no result.
static bool explains(const Core *core, TaskTag tag, const WireResult *result) {
    if (result->outcome == RESULT_IMPOSSIBLE && core->tasks[tag].kind != TASK_TRAIN) {
        status_set(STATUS_FORMAT, "it says that a task is impossible that is not");
        return false;
    }
    CannotBody body;
    return body_decode_cannot(core->decoded, result->body, result->body_bytes, &body) == STATUS_OK;
}

static void on_cannot(Core *core, Session *session, Lease *lease, const WireResult *result,
                      int64_t now_ms) {
    TaskTag tag = lease->tag;
    if (!explains(core, tag, result)) {
        answer_refuse(core, session, tag, now_ms);
        return;
    }
    const Task *task = &core->tasks[tag];
    if (task->state == TASK_LEASED) {
        trouble_cannot(core, tag, session, now_ms);
    }
    lease_end(core, lease, now_ms);
    lease_lost(core, tag, now_ms);
    bool is_over = trouble_of(core, tag)->cannots >= CANNOTS_MOST ||
                   !trouble_somebody_could(core, tag, now_ms);
    if (task->state == TASK_WAITING && is_over) {
        CoreActionKind why = result->outcome == RESULT_IMPOSSIBLE ? CORE_IMPOSSIBLE : CORE_CANNOT;
        queue_remove(core, tag);
        trouble_doubt(core, tag, why, result->body, result->body_bytes);
    }
}

// ---- all of it ----

// A training whose lease is gone has gone on without this answer, or is done.
static void on_late(Core *core, Session *session, const WireResult *result, int64_t now_ms) {
    TaskTag tag = (TaskTag)result->task;
    if (core->tasks[tag].kind != TASK_TRAIN) {
        if (result->outcome == RESULT_DONE) {
            take_batch(core, session, NULL, result, now_ms);
        }
    } else if (core->tasks[tag].state == TASK_DONE) {
        core_gather_ack(core, session, tag, (uint32_t)result->attempt);
    }
}

void answer_result(Core *core, Session *session, const WireResult *result, int64_t now_ms) {
    if (result->attempt >> 32 != core->config.incarnation) {
        return; // of an earlier coordinator, whose task numbers meant other tasks
    }
    if (result->task >= core->task_count) {
        core_tell(core, CORE_NOTE, session->peer, "worker %s answers task %llu, which there is not",
                  session->worker->name, (unsigned long long)result->task);
        roster_expel(core, session, ENDING_POLITE, "an answer to no task", now_ms);
        return;
    }
    Lease *lease = lease_find(core, session, result->task, result->attempt);
    if (lease == NULL) {
        on_late(core, session, result, now_ms);
    } else if (result->outcome != RESULT_DONE) {
        on_cannot(core, session, lease, result, now_ms);
    } else if (core->tasks[lease->tag].kind == TASK_TRAIN) {
        answer_try(core, lease, result->body, result->body_bytes, now_ms);
    } else {
        take_batch(core, session, lease, result, now_ms);
    }
}
