// SPDX-License-Identifier: Apache-2.0
//
// How it works. Inputs change sessions (roster.c), tasks that wait (queue.c) or fail (trouble.c),
// leases (lease.c) and what they yield (answer.c, group.c), and append actions (action.c) to a ring
// that the loop empties after each input. core_tick does everything that time makes due and gives
// waiting tasks to workers that asked (dispatch.c); it is the only place that dispatches, so that a
// loop which drains its input first never judges a worker by a message that lies unread.
#include "coordinator/core/core.h"

#include <assert.h>
#include <math.h>

#include "common/base/mem.h"
#include "coordinator/core/state.h"

Core *core_new(const CoreConfig *config) {
    Core *core = mem_new(1, sizeof *core);
    if (core == NULL) {
        return NULL;
    }
    core->config = *config;
    core->remembered = mem_new(REMEMBERED_MOST, sizeof *core->remembered);
    core->decoded = decoded_new();
    if (core->remembered == NULL || core->decoded == NULL) {
        core_free(core);
        return NULL;
    }
    for (int name = 0; name < QUEUE_COUNT; name++) {
        core->queues[name] = (Queue){NO_TASK, NO_TASK, 0};
    }
    core->trouble_free = NO_TROUBLE;
    core->look_ms = core->due_ms = INT64_MAX;
    core->stranded_look_ms = INT64_MIN;
    core->judge_ms = INT64_MIN;
    core->counts.train_loss = NAN;
    return core;
}

void core_free(Core *core) {
    if (core == NULL) {
        return;
    }
    lease_free(core);
    roster_free(core);
    CoreAction action;
    while (core_next_action(core, &action)) {
        core_action_done(&action);
    }
    buffer_done(&core->body);
    decoded_free(core->decoded);
    mem_free(core->remembered);
    mem_free(core->tasks);
    trouble_free(core);
    mem_free(core->holders);
    mem_free(core->actions);
    mem_free(core);
}

Status core_add_task(Core *core, const CoreTask *task, int64_t now_ms) {
    assert(task->place <= CORE_PLACES_MOST);
    assert(task->tag == core->task_count); // tags are the owner's indices, given in order
    if (!mem_grow(&core->tasks, core->task_count, &core->task_capacity, sizeof *core->tasks)) {
        return STATUS_MEMORY;
    }
    core->tasks[core->task_count++] = (Task){.kind = (uint8_t)task->kind,
                                             .shards = (uint8_t)task->shards,
                                             .place = task->place,
                                             .trouble = NO_TROUBLE};
    trouble_restore(core, task);
    queue_push(core,
               task->kind == TASK_TRAIN           ? QUEUE_TRAINS
               : task->deaths + task->cannots > 0 ? QUEUE_TROUBLED
                                                  : QUEUE_BATCHES,
               task->tag, now_ms);
    return STATUS_OK;
}

static void check_doubted(const Core *core, TaskTag tag) {
    assert(tag < core->task_count && core->tasks[tag].state == TASK_DOUBTED);
}

Status core_answer(Core *core, TaskTag tag, const void *bytes, size_t size, int64_t now_ms) {
    (void)now_ms;
    check_doubted(core, tag);
    Status status = core->config.hooks.take_answer(core->config.hooks.context, tag,
                                                   (CoreShare){0, 0}, bytes, size);
    if (status == STATUS_OK) {
        answer_commit(core, tag, bytes, size);
    }
    return status;
}

void core_abandon(Core *core, TaskTag tag) {
    check_doubted(core, tag);
    core->tasks[tag].state = TASK_ABANDONED;
    core->counts.abandoned++;
    trouble_forget(core, tag);
}

void core_retry(Core *core, TaskTag tag, int64_t now_ms) {
    check_doubted(core, tag);
    trouble_begin_anew(core, tag);
    trouble_settle(core, tag, now_ms);
}

void core_wait(Core *core, TaskTag tag, int64_t now_ms) {
    check_doubted(core, tag);
    trouble_look_over(core, tag);
    queue_push(core, QUEUE_STRANDED, tag, now_ms);
    core->stranded_look_ms = now_ms; // somebody who did not fail it may be there
}

// ---- input ----

static void on_credit(Core *core, Session *session, const Message *message) {
    uint32_t room = LEASES_MOST - session->lease_count - session->credits;
    session->credits += message->credit.count < room ? message->credit.count : room;
    if (session->stuck == STUCK_IN_TRAINING) {
        session->stuck = STUCK_NOT;
    }
    dispatch_place(core, session);
}

// An answer that is not valid ends the session: those behind it are then nobody's.
static void on_results(Core *core, CorePeer peer, const Message *message, int64_t now_ms) {
    for (uint32_t i = 0; i < message->results.count; i++) {
        Session *session = roster_find(core, peer);
        if (session != NULL) {
            session->stuck = STUCK_NOT;
            dispatch_place(core, session);
            answer_result(core, session, &message->results.items[i], now_ms);
        }
    }
}

void core_on_message(Core *core, CorePeer peer, const Message *message, int64_t now_ms) {
    Session *session = roster_find(core, peer);
    if (message->type == MESSAGE_HELLO) {
        if (session != NULL) {
            core_on_malformed(core, peer, "a second HELLO", now_ms);
        } else {
            roster_hello(core, peer, message, now_ms);
        }
        return;
    }
    if (session == NULL) {
        roster_refuse(core, peer, REFUSED_UNKNOWN, "unknown session: say HELLO again");
        return;
    }
    roster_heard(core, session, now_ms);
    switch ((int)message->type) {
    case MESSAGE_CREDIT:
        on_credit(core, session, message);
        break;
    case MESSAGE_RESULTS:
        on_results(core, peer, message, now_ms);
        break;
    case MESSAGE_PROGRESS:
        lease_progress(core, session, message, now_ms);
        break;
    case MESSAGE_ALIVE:
        core_send(core, peer, &(Message){.type = MESSAGE_ECHO});
        break;
    case MESSAGE_GOODBYE:
        roster_close(core, session, message->goodbye.text, ENDING_POLITE, now_ms);
        break;
    default:
        core_on_malformed(core, peer, "a message that only a coordinator sends", now_ms);
    }
}

void core_on_malformed(Core *core, CorePeer peer, const char *why, int64_t now_ms) {
    Session *session = roster_find(core, peer);
    if (session != NULL) {
        roster_close(core, session, why, ENDING_WRONG, now_ms);
    }
    roster_refuse(core, peer, REFUSED_MALFORMED, "malformed message");
    core_act(core, CORE_DROP)->peer = peer;
}

void core_on_unwanted(Core *core, CorePeer peer, const char *why, int64_t now_ms) {
    Session *session = roster_find(core, peer);
    if (session != NULL) {
        roster_close(core, session, why, ENDING_WRONG, now_ms); // its second HELLO, too
    }
    roster_refuse(core, peer, REFUSED_FULL, why);
    core_act(core, CORE_DROP)->peer = peer;
}

void core_on_closed(Core *core, CorePeer peer, int64_t now_ms) {
    Session *session = roster_find(core, peer);
    if (session != NULL) {
        roster_close(core, session, "connection lost", ENDING_LOST, now_ms);
    }
}

uint64_t core_blob_most(const Core *core, Digest token, const Message *header) {
    const Session *session = roster_of_token(core, token);
    const Lease *lease =
        session != NULL ? lease_find(core, session, header->blob.task, header->blob.attempt) : NULL;
    const CoreHooks *hooks = &core->config.hooks;
    return lease != NULL && core->tasks[lease->tag].kind == TASK_TRAIN
               ? hooks->blob_most(hooks->context, lease->tag)
               : 0; // it crossed a CANCEL
}

void core_on_blob(Core *core, Digest token, const Message *header, const void *bytes, size_t size,
                  int64_t now_ms) {
    Session *session = roster_of_token(core, token);
    if (session != NULL) {
        roster_heard(core, session, now_ms);
        group_blob(core, session, header, bytes, size, now_ms);
    }
}

void core_on_piece(Core *core, Digest token, const Message *header, int64_t now_ms) {
    Session *session = roster_of_token(core, token);
    if (session != NULL) {
        roster_heard(core, session, now_ms);
        const Lease *lease = lease_find(core, session, header->blob.task, header->blob.attempt);
        if (lease != NULL) {
            lease_renew(core, lease, now_ms);
        }
    }
}

// What was on the way is lost, and a training cannot go on without it.
void core_on_bulk_closed(Core *core, Digest token, int64_t now_ms) {
    Session *session = roster_of_token(core, token);
    const Lease *lease = session != NULL ? session->given.first : NULL;
    // Whoever trains alone sends its state again over the next one.
    if (lease != NULL && core->tasks[lease->tag].kind == TASK_TRAIN &&
        lease->count < core->tasks[lease->tag].shards) {
        core_tell(core, CORE_NOTE, session->peer, "worker %s lost its bulk connection",
                  session->worker->name);
        group_broken(core, lease->tag, now_ms);
    }
}

void core_on_durable(Core *core, TaskTag tag, int64_t now_ms) {
    assert(tag < core->task_count && core->tasks[tag].state == TASK_ANSWERED);
    core->tasks[tag].state = TASK_DONE;
    core->counts.answered--;
    core->counts.done++;
    trouble_forget(core, tag);
    Lease *next;
    for (Lease *lease = core->tasks[tag].leases; lease != NULL; lease = next) {
        next = lease->next_of_task;
        if (lease->state == LEASE_ANSWERED) {
            core_gather_ack(core, lease->session, tag, lease->counter);
            lease_end(core, lease, now_ms);
        }
    }
}

// After a late tick (the machine slept) everybody seems silent: what they said may still be on its
// way through the kernel and the I/O threads. Closed connections are noticed all the same. Ticks
// are asked for often enough to tell that one is late.
static bool may_judge(Core *core, int64_t now_ms) {
    if (now_ms - core->due_ms > (int64_t)core->config.alive_ms / 2) {
        core->judge_ms = now_ms + core->config.alive_ms;
    }
    return now_ms >= core->judge_ms;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

int64_t core_tick(Core *core, int64_t now_ms) {
    if (may_judge(core, now_ms) && now_ms >= core->look_ms) {
        roster_look(core, now_ms);
    }
    trouble_tick(core, now_ms);
    dispatch_run(core, now_ms);
    core_flush(core);
    int64_t look_ms = core->look_ms > core->judge_ms ? core->look_ms : core->judge_ms;
    core->due_ms = least(look_ms, now_ms + core->config.alive_ms / 2);
    core->due_ms = least(core->due_ms, dispatch_due_ms(core, now_ms));
    core->due_ms = least(core->due_ms, trouble_due_ms(core, now_ms));
    return core->due_ms;
}

void core_wind_up(Core *core) {
    core->is_winding_up = true;
}

void core_end(Core *core, const char *text) {
    core_flush(core);
    while (core->session_count > 0) {
        Session *session = core->sessions[0];
        CoreAction *action = core_act(core, CORE_SEND);
        action->peer = session->peer;
        buffer_text(&action->blob, text);
        action->message = (Message){.type = MESSAGE_END};
        action->message.end.text = action->blob.bytes;
        roster_close(core, session, "the run is over", ENDING_POLITE, 0);
    }
}

// ---- looking in ----

bool core_peer_of_token(const Core *core, Digest token, CorePeer *ret_peer) {
    Session *session = roster_of_token(core, token);
    if (session != NULL) {
        *ret_peer = session->peer;
    }
    return session != NULL;
}

static CoreSession describe(const Session *session, int64_t now_ms) {
    const Lease *lease = session->given.first;
    return (CoreSession){.name = session->worker->name,
                         .token = session->token,
                         .leases = session->lease_count,
                         .tasks_done = session->tasks_done,
                         .joined_ms = session->joined_ms,
                         .heard_ms = session->heard_ms,
                         .busy_ms = roster_busy_ms(session, now_ms, lease != NULL),
                         .started_ms = session->started_ms,
                         .is_quiet = session->is_quiet,
                         .tag = lease != NULL ? lease->tag : NO_TASK,
                         .done = session->done,
                         .total = session->total,
                         .loss = session->loss};
}

bool core_session(const Core *core, CorePeer peer, CoreSession *ret_session) {
    const Session *session = roster_find(core, peer);
    if (session == NULL) {
        return false;
    }
    *ret_session = describe(session, session->busy_since_ms);
    return true;
}

bool core_session_at(const Core *core, uint32_t index, int64_t now_ms, CoreSession *ret_session) {
    if (index >= core->session_count) {
        return false;
    }
    *ret_session = describe(core->sessions[index], now_ms);
    return true;
}

CoreCounts core_counts(const Core *core) {
    CoreCounts counts = core->counts;
    counts.sessions = core->session_count;
    for (uint32_t i = 0; i < core->session_count; i++) {
        counts.held += core->sessions[i]->lease_count;
    }
    for (int name = 0; name < QUEUE_COUNT; name++) {
        counts.waiting += core->queues[name].count;
    }
    counts.stranded = core->queues[QUEUE_STRANDED].count;
    return counts;
}
