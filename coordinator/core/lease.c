// SPDX-License-Identifier: Apache-2.0
//
// Tasks and leases: who holds what until when, what an answer does, and who gets the next task.
#include <assert.h>
#include <math.h>
#include <string.h>

#include "coordinator/core/state.h"

// ---- queues ----

static Queue *queue_of(Core *core, const Task *task) {
    return task->kind == TASK_TRAIN ? &core->trains : &core->batches;
}

void lease_enqueue(Core *core, TaskTag tag, int64_t now_ms) {
    Task *task = &core->tasks[tag];
    Queue *queue = queue_of(core, task);
    task->state = TASK_WAITING;
    task->waiting_since_ms = now_ms;
    task->next = NO_TASK;
    if (queue->last == NO_TASK) {
        queue->first = tag;
    } else {
        core->tasks[queue->last].next = tag;
    }
    queue->last = tag;
    queue->count++;
}

// Takes `tag` out; `before` is the one ahead of it in the queue, NO_TASK when it is the first.
static void dequeue(Core *core, Queue *queue, TaskTag tag, TaskTag before) {
    uint32_t next = core->tasks[tag].next;
    if (before == NO_TASK) {
        queue->first = next;
    } else {
        core->tasks[before].next = next;
    }
    if (queue->last == tag) {
        queue->last = before;
    }
    core->tasks[tag].next = NO_TASK;
    queue->count--;
}

static void remove_waiting(Core *core, TaskTag tag) {
    Queue *queue = queue_of(core, &core->tasks[tag]);
    TaskTag before = NO_TASK;
    for (TaskTag t = queue->first; t != NO_TASK; t = core->tasks[t].next) {
        if (t == tag) {
            dequeue(core, queue, tag, before);
            return;
        }
        before = t;
    }
}

// ---- leases ----

Lease *lease_find(Session *session, TaskTag tag, uint64_t attempt) {
    for (uint32_t i = 0; i < session->lease_count; i++) {
        if (session->leases[i].tag == tag && session->leases[i].attempt == attempt) {
            return &session->leases[i];
        }
    }
    return NULL;
}

static void remove_lease(Session *session, Lease *lease) {
    buffer_done(&lease->answer);
    *lease = session->leases[--session->lease_count];
    session->leases[session->lease_count] = (Lease){0};
}

static int64_t lease_length_ms(const Core *core, TaskKind kind) {
    double usual = core->task_ms[kind] * LEASE_FACTOR;
    return usual > LEASE_LEAST_MS ? (int64_t)usual : LEASE_LEAST_MS;
}

static void give_lease(Core *core, Session *session, TaskTag tag, CoreShare share, int64_t now_ms) {
    Task *task = &core->tasks[tag];
    assert(session->lease_count < LEASES_MOST && session->credits > 0);
    int64_t length_ms = lease_length_ms(core, task->kind);
    uint64_t attempt = (uint64_t)core->config.incarnation << 32 | (uint32_t)++core->attempts;
    session->credits--;
    session->leases[session->lease_count++] = (Lease){.tag = tag,
                                                      .share = share,
                                                      .attempt = attempt,
                                                      .since_ms = now_ms,
                                                      .deadline_ms = now_ms + length_ms};
    task->state = TASK_LEASED;
    task->members++;
    task->owing++;
    CoreAction *action = core_act(core, CORE_SEND);
    action->peer = session->peer;
    core->config.hooks.task_body(core->config.hooks.context, tag, share, &action->blob);
    action->item.task = (WireTask){.task = tag,
                                   .attempt = attempt,
                                   .kind = (TaskKind)task->kind,
                                   .lease_ms = (uint32_t)length_ms,
                                   .body = action->blob.bytes,
                                   .body_bytes = action->blob.size};
    action->message = (Message){.type = MESSAGE_TASKS, .tasks = {.count = 1}};
}

void lease_cancel_all(Core *core, TaskTag tag) {
    for (uint32_t s = 0; s < core->session_count; s++) {
        Session *session = core->sessions[s];
        for (uint32_t l = 0; l < session->lease_count; l++) {
            Lease *lease = &session->leases[l];
            if (lease->tag == tag) {
                Message cancel = {.type = MESSAGE_CANCEL, .cancel = {tag, lease->attempt}};
                core_send(core, session->peer, &cancel);
                remove_lease(session, lease);
                l--;
            }
        }
    }
    core->tasks[tag].members = 0;
    core->tasks[tag].owing = 0;
}

static void doubt(Core *core, TaskTag tag, CoreActionKind why, const void *bytes, size_t size) {
    core->tasks[tag].state = TASK_DOUBTED;
    CoreAction *action = core_act(core, why);
    action->tag = tag;
    if (size > 0) {
        buffer_append(&action->blob, bytes, size);
    }
}

// A lease of the task ended without an answer: its group is broken, the task waits again.
static void give_back(Core *core, TaskTag tag, bool is_death, int64_t now_ms) {
    Task *task = &core->tasks[tag];
    lease_cancel_all(core, tag);
    core->counts.retries++;
    if (task->kind == TASK_TRAIN) {
        core->trains_running--;
        core->config.hooks.group_changed(core->config.hooks.context, tag, 0);
    } else if (is_death && ++task->deaths >= DEATHS_POISON) {
        doubt(core, tag, CORE_POISON, NULL, 0);
        return;
    }
    lease_enqueue(core, tag, now_ms);
}

void lease_lost(Core *core, Session *session, bool is_death, int64_t now_ms) {
    while (session->lease_count > 0) {
        Lease *lease = &session->leases[session->lease_count - 1];
        TaskTag tag = lease->tag;
        remove_lease(session, lease);
        give_back(core, tag, is_death, now_ms);
    }
}

// ---- what workers say about their leases ----

void lease_progress(Core *core, Session *session, const Message *message, int64_t now_ms) {
    Lease *lease = lease_find(session, (TaskTag)message->progress.task, message->progress.attempt);
    if (lease == NULL) {
        return; // it crossed a CANCEL
    }
    if (!isnan(message->progress.loss)) {
        core->counts.train_loss = message->progress.loss;
    }
    if (message->progress.done > lease->progress) {
        lease->progress = message->progress.done;
        int64_t length_ms = lease_length_ms(core, core->tasks[lease->tag].kind);
        lease->deadline_ms = now_ms + length_ms;
    }
}

static void note_failure(Core *core, TaskTag tag, const Session *session) {
    if (core_grow((void **)&core->failures, core->failure_count, &core->failure_capacity,
                  sizeof(Failure)) == STATUS_OK) {
        core->failures[core->failure_count++] = (Failure){tag, session->worker_id};
    }
}

static bool has_failed(const Core *core, TaskTag tag, const Session *session) {
    for (uint32_t i = 0; i < core->failure_count; i++) {
        if (core->failures[i].tag == tag &&
            digest_equal(core->failures[i].worker_id, session->worker_id)) {
            return true;
        }
    }
    return false;
}

static bool somebody_else_could(const Core *core, TaskTag tag) {
    for (uint32_t i = 0; i < core->session_count; i++) {
        if (!has_failed(core, tag, core->sessions[i])) {
            return true;
        }
    }
    return false;
}

static void on_cannot(Core *core, Session *session, Lease *lease, const WireResult *result,
                      int64_t now_ms) {
    TaskTag tag = lease->tag;
    Task *task = &core->tasks[tag];
    remove_lease(session, lease);
    note_failure(core, tag, session);
    task->cannots++;
    give_back(core, tag, false, now_ms);
    if (task->cannots >= CANNOTS_MOST || !somebody_else_could(core, tag)) {
        remove_waiting(core, tag);
        CoreActionKind why = result->outcome == RESULT_IMPOSSIBLE ? CORE_IMPOSSIBLE : CORE_CANNOT;
        doubt(core, tag, why, result->body, result->body_bytes);
    }
}

static void note_acknowledgement(Core *core, TaskTag tag, CorePeer peer, uint64_t attempt) {
    if (core_grow((void **)&core->acknowledgements, core->acknowledgement_count,
                  &core->acknowledgement_capacity, sizeof(Acknowledgement)) == STATUS_OK) {
        core->acknowledgements[core->acknowledgement_count++] =
            (Acknowledgement){tag, peer, attempt};
    }
}

void lease_acknowledge(Core *core, CorePeer peer, TaskTag tag, uint64_t attempt) {
    CoreAction *action = core_act(core, CORE_SEND);
    action->peer = peer;
    action->item.ack = (WireLease){tag, attempt};
    action->message = (Message){.type = MESSAGE_ACKS, .acks = {.count = 1}};
}

void lease_commit(Core *core, TaskTag tag, const void *bytes, size_t size) {
    Task *task = &core->tasks[tag];
    if (task->state == TASK_WAITING) {
        remove_waiting(core, tag);
    }
    lease_cancel_all(core, tag);
    task->state = TASK_ANSWERED;
    core->counts.answered++;
    CoreAction *action = core_act(core, CORE_COMMIT);
    action->tag = tag;
    buffer_append(&action->blob, bytes, size);
}

// An answer that is not valid ends its session: the worker is broken or hostile.
static void refuse_answer(Core *core, Session *session, TaskTag tag, int64_t now_ms) {
    core_note(core, "worker %s gave an answer to task %u that is not valid: %s", session->name, tag,
              status_message());
    CorePeer peer = session->peer;
    roster_close(core, session, "an answer of its that is not valid", true, now_ms);
    roster_refuse(core, peer, REFUSED_MALFORMED, "an answer that is not valid");
    core_act(core, CORE_DROP)->peer = peer;
}

static void note_time(Core *core, TaskKind kind, int64_t took_ms) {
    double *usual = &core->task_ms[kind];
    *usual = *usual == 0 ? (double)took_ms : 0.9 * *usual + 0.1 * (double)took_ms;
}

// The lease's answer is taken; the last member's completes a shared task.
static void finish_lease(Core *core, Session *session, Lease *lease, const void *bytes, size_t size,
                         int64_t now_ms) {
    TaskTag tag = lease->tag;
    Task *task = &core->tasks[tag];
    note_acknowledgement(core, tag, session->peer, lease->attempt);
    note_time(core, (TaskKind)task->kind, now_ms - lease->since_ms);
    session->tasks_done++;
    Buffer answer = lease->answer; // kept over the removal: `bytes` may lie in it
    lease->answer = BUFFER_EMPTY;
    remove_lease(session, lease);
    task->owing--;
    if (task->kind != TASK_TRAIN || task->owing == 0) {
        core->trains_running -= task->kind == TASK_TRAIN;
        lease_commit(core, tag, bytes, size);
    }
    buffer_done(&answer);
}

static void try_answer(Core *core, Session *session, Lease *lease, const void *bytes, size_t size,
                       int64_t now_ms) {
    const CoreHooks *hooks = &core->config.hooks;
    Status status = hooks->take_answer(hooks->context, lease->tag, lease->share, bytes, size);
    if (status == STATUS_OK) {
        finish_lease(core, session, lease, bytes, size, now_ms);
    } else if (status != STATUS_AGAIN) {
        refuse_answer(core, session, lease->tag, now_ms);
    } else if (!lease->has_answer) {
        lease->has_answer = true;
        buffer_append(&lease->answer, bytes, size);
    }
}

// An answer whose lease is gone: welcome for a task that is not finished, if no group needs it.
static void on_late_result(Core *core, Session *session, const WireResult *result, int64_t now_ms) {
    if (result->attempt >> 32 != core->config.incarnation) {
        return; // of an earlier coordinator, whose task numbers meant other tasks
    }
    if (result->task >= core->task_count) {
        refuse_answer(core, session, NO_TASK, now_ms);
        return;
    }
    TaskTag tag = (TaskTag)result->task;
    Task *task = &core->tasks[tag];
    bool open = task->state == TASK_WAITING || task->state == TASK_LEASED;
    if (task->state == TASK_DONE) {
        lease_acknowledge(core, session->peer, tag, result->attempt);
        return;
    }
    if (!open || task->kind == TASK_TRAIN || result->outcome != RESULT_DONE) {
        return;
    }
    const CoreHooks *hooks = &core->config.hooks;
    Status status = hooks->take_answer(hooks->context, tag, (CoreShare){0, 0}, result->body,
                                       result->body_bytes);
    if (status == STATUS_OK) {
        note_acknowledgement(core, tag, session->peer, result->attempt);
        lease_commit(core, tag, result->body, result->body_bytes);
    } else {
        refuse_answer(core, session, tag, now_ms);
    }
}

// Whether what a worker says that cannot do its task is a CannotBody, and one that may be: only a
// training can be impossible, since its arithmetic alone can have no result.
static bool explains(const Core *core, TaskTag tag, const WireResult *result) {
    if (result->outcome == RESULT_IMPOSSIBLE && core->tasks[tag].kind != TASK_TRAIN) {
        status_set(STATUS_FORMAT, "it says that a task is impossible that is not");
        return false;
    }
    CannotBody body;
    Decoded *decoded = decoded_new();
    Status status = decoded != NULL
                        ? body_decode_cannot(decoded, result->body, result->body_bytes, &body)
                        : STATUS_MEMORY;
    decoded_free(decoded);
    return status == STATUS_OK;
}

void lease_result(Core *core, Session *session, const WireResult *result, int64_t now_ms) {
    Lease *lease = result->task < core->task_count
                       ? lease_find(session, (TaskTag)result->task, result->attempt)
                       : NULL;
    if (lease == NULL) {
        on_late_result(core, session, result, now_ms);
    } else if (result->outcome != RESULT_DONE) {
        if (explains(core, lease->tag, result)) {
            on_cannot(core, session, lease, result, now_ms);
        } else {
            refuse_answer(core, session, lease->tag, now_ms);
        }
    } else {
        try_answer(core, session, lease, result->body, result->body_bytes, now_ms);
    }
}

// ---- blobs ----

static void broadcast_total(Core *core, TaskTag tag, const Message *sum, BlobKind kind,
                            Buffer *total, int64_t now_ms) {
    size_t total_bytes = total->size;
    Digest digest = digest_of(total->bytes, total_bytes);
    for (uint32_t s = 0; s < core->session_count; s++) {
        Session *session = core->sessions[s];
        for (uint32_t l = 0; l < session->lease_count; l++) {
            Lease *lease = &session->leases[l];
            if (lease->tag != tag) {
                continue;
            }
            lease->waits = false;
            lease->deadline_ms = now_ms + lease_length_ms(core, TASK_TRAIN);
            CoreAction *action = core_act(core, CORE_TOTAL);
            action->peer = session->peer;
            action->tag = tag;
            action->message = (Message){.type = MESSAGE_BLOB};
            action->message.blob.kind = kind;
            action->message.blob.task = tag;
            action->message.blob.attempt = lease->attempt;
            action->message.blob.epoch = sum->blob.epoch;
            action->message.blob.round = sum->blob.round;
            action->message.blob.total_bytes = total_bytes;
            action->message.blob.digest = digest;
            action->blob = *total;
            *total = BUFFER_EMPTY;
        }
    }
}

static void on_sum(Core *core, Session *session, Lease *lease, const Message *header,
                   const void *bytes, size_t size, int64_t now_ms) {
    const CoreHooks *hooks = &core->config.hooks;
    CoreSum sum = {
        header->blob.kind, header->blob.epoch, header->blob.round, lease->share, bytes, size};
    if (header->blob.first != lease->share.first || header->blob.count != lease->share.count) {
        status_set(STATUS_FORMAT, "a sum of shards that it does not own");
        refuse_answer(core, session, lease->tag, now_ms);
        return;
    }
    TaskTag tag = lease->tag;
    Buffer total = BUFFER_EMPTY;
    BlobKind total_kind = BLOB_TOTAL;
    lease->waits = true;
    Status status = hooks->take_sum(hooks->context, tag, &sum, &total, &total_kind);
    if (status == STATUS_OK) {
        broadcast_total(core, tag, header, total_kind, &total, now_ms);
    } else if (status == STATUS_INVALID) {
        give_back(core, tag, false, now_ms);
        remove_waiting(core, tag);
        doubt(core, tag, CORE_IMPOSSIBLE, total.bytes, total.size);
    } else if (status != STATUS_AGAIN) {
        refuse_answer(core, session, tag, now_ms);
    }
    buffer_done(&total);
}

static void on_state(Core *core, Session *session, Lease *lease, const void *bytes, size_t size,
                     int64_t now_ms) {
    const CoreHooks *hooks = &core->config.hooks;
    bool alone = lease->share.count == core->tasks[lease->tag].shards;
    Status status = alone ? hooks->take_state(hooks->context, lease->tag, bytes, size)
                          : status_set(STATUS_FORMAT, "a state from a member of a group");
    if (status != STATUS_OK) {
        refuse_answer(core, session, lease->tag, now_ms);
    } else if (lease->has_answer) {
        try_answer(core, session, lease, lease->answer.bytes, lease->answer.size, now_ms);
    }
}

void lease_blob(Core *core, Session *session, const Message *header, const void *bytes, size_t size,
                int64_t now_ms) {
    Lease *lease = header->blob.task < core->task_count
                       ? lease_find(session, (TaskTag)header->blob.task, header->blob.attempt)
                       : NULL;
    if (lease == NULL || core->tasks[lease->tag].kind != TASK_TRAIN) {
        return; // it crossed a CANCEL
    }
    switch (header->blob.kind) {
    case BLOB_STATE:
        on_state(core, session, lease, bytes, size, now_ms);
        break;
    case BLOB_SCALER_SUM:
    case BLOB_PARTIAL:
    case BLOB_VALIDATION_SUM:
        on_sum(core, session, lease, header, bytes, size, now_ms);
        break;
    case BLOB_OBJECT:
    case BLOB_SCALER_TOTAL:
    case BLOB_TOTAL:
    case BLOB_VALIDATION_TOTAL:
        status_set(STATUS_FORMAT, "a blob that only a coordinator sends");
        refuse_answer(core, session, lease->tag, now_ms);
        break;
    }
}

// ---- time ----

int64_t lease_tick(Core *core, int64_t now_ms) {
    int64_t next = INT64_MAX;
    for (uint32_t s = 0; s < core->session_count; s++) {
        Session *session = core->sessions[s];
        for (uint32_t l = 0; l < session->lease_count; l++) {
            Lease *lease = &session->leases[l];
            if (lease->waits) {
                continue;
            }
            if (now_ms < lease->deadline_ms) {
                next = lease->deadline_ms < next ? lease->deadline_ms : next;
                continue;
            }
            TaskTag tag = lease->tag;
            core_note(core, "worker %s made no progress with task %u in time", session->name, tag);
            Message cancel = {.type = MESSAGE_CANCEL, .cancel = {tag, lease->attempt}};
            core_send(core, session->peer, &cancel);
            remove_lease(session, lease);
            give_back(core, tag, true, now_ms);
            // Other leases of this session may have gone with the group: look again.
            l = UINT32_MAX;
        }
    }
    return next;
}

// ---- dispatch ----

static bool is_free(const Core *core, TaskTag tag, const Session *session) {
    return session->state == SESSION_WELL && session->lease_count == 0 && session->credits > 0 &&
           !has_failed(core, tag, session);
}

// Gives [first, first + count) to `members` free workers, a power of two, in halves.
static void give_shares(Core *core, TaskTag tag, uint32_t members, int64_t now_ms) {
    uint32_t count = core->tasks[tag].shards / members;
    uint32_t given = 0;
    for (uint32_t i = 0; i < core->session_count && given < members; i++) {
        if (is_free(core, tag, core->sessions[i])) {
            give_lease(core, core->sessions[i], tag, (CoreShare){given * count, count}, now_ms);
            given++;
        }
    }
    assert(given == members);
}

static void dispatch_train(Core *core, TaskTag tag, TaskTag before, bool *ret_given,
                           int64_t now_ms) {
    Task *task = &core->tasks[tag];
    uint32_t free_workers = 0;
    for (uint32_t i = 0; i < core->session_count; i++) {
        free_workers += is_free(core, tag, core->sessions[i]);
    }
    *ret_given = false;
    if (free_workers == 0) {
        return;
    }
    const CoreHooks *hooks = &core->config.hooks;
    uint32_t trains = (uint32_t)(core->trains.count + core->trains_running);
    uint32_t wanted = hooks->members_wanted(hooks->context, tag, free_workers, core->session_count,
                                            trains, now_ms - task->waiting_since_ms);
    if (wanted == 0) {
        return;
    }
    assert(wanted <= free_workers && wanted <= task->shards && (wanted & (wanted - 1)) == 0);
    if (hooks->group_changed(hooks->context, tag, wanted) != STATUS_OK) {
        core_note(core, "cannot start task %u: %s", tag, status_message());
        return;
    }
    dequeue(core, &core->trains, tag, before);
    core->trains_running++;
    give_shares(core, tag, wanted, now_ms);
    *ret_given = true;
}

static void dispatch_trains(Core *core, int64_t now_ms) {
    TaskTag before = NO_TASK;
    TaskTag tag = core->trains.first;
    while (tag != NO_TASK) {
        TaskTag next = core->tasks[tag].next;
        bool given;
        dispatch_train(core, tag, before, &given, now_ms);
        before = given ? before : tag;
        tag = next;
    }
}

// The session with the fewest leases that may take `tag`, NULL when none may. While models wait for
// a free worker nobody is given a second task, so that workers come free.
static Session *best_session(const Core *core, TaskTag tag) {
    Session *best = NULL;
    bool alone = core->tasks[tag].deaths >= DEATHS_ALONE;
    for (uint32_t i = 0; i < core->session_count; i++) {
        Session *session = core->sessions[i];
        bool trains = false;
        bool crowded = false;
        for (uint32_t l = 0; l < session->lease_count; l++) {
            const Task *held = &core->tasks[session->leases[l].tag];
            trains |= held->kind == TASK_TRAIN;
            crowded |= held->deaths >= DEATHS_ALONE;
        }
        bool busy = session->lease_count > 0 && (alone || core->trains.count > 0);
        if (session->state == SESSION_WELL && session->credits > 0 && !trains && !crowded &&
            !busy && !has_failed(core, tag, session) &&
            (best == NULL || session->lease_count < best->lease_count)) {
            best = session;
        }
    }
    return best;
}

static void dispatch_batches(Core *core, int64_t now_ms) {
    TaskTag before = NO_TASK;
    TaskTag tag = core->batches.first;
    uint32_t misses = 0;
    while (tag != NO_TASK && misses < 2 * LEASES_MOST) {
        TaskTag next = core->tasks[tag].next;
        Session *session = best_session(core, tag);
        if (session != NULL) {
            dequeue(core, &core->batches, tag, before);
            give_lease(core, session, tag, (CoreShare){0, 0}, now_ms);
        } else {
            before = tag;
            // Without a failure of its own, what stops this task stops all behind it too.
            misses +=
                core->tasks[tag].cannots == 0 && core->tasks[tag].deaths == 0 ? 2 * LEASES_MOST : 1;
        }
        tag = next;
    }
}

// Tasks that every worker there is has failed, since the others left: the owner looks.
static void doubt_hopeless(Core *core) {
    for (uint32_t i = 0; core->session_count > 0 && i < core->failure_count; i++) {
        TaskTag tag = core->failures[i].tag;
        if (core->tasks[tag].state == TASK_WAITING && !somebody_else_could(core, tag)) {
            remove_waiting(core, tag);
            doubt(core, tag, CORE_CANNOT, NULL, 0);
        }
    }
}

void lease_dispatch(Core *core, int64_t now_ms) {
    doubt_hopeless(core);
    dispatch_trains(core, now_ms);
    dispatch_batches(core, now_ms);
}
