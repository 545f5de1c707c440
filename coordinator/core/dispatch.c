// SPDX-License-Identifier: Apache-2.0
//
// Who gets the next task. Sessions that may be given one lie in lists by how many leases they have,
// so that the least busy is found at once and the end of a stage is shared out evenly. TRAIN tasks
// and tasks that may be poison want workers without any other lease.
#include <assert.h>

#include "common/base/mem.h"
#include "coordinator/core/state.h"

enum { HOLDER_MORE = 2 }; // leases that who holds what a task reads may have more than another

// ---- who is willing ----

static uint32_t bucket_of(const Session *session) {
    bool is_willing = session->credits > 0 && !session->is_quiet && !session->is_reserved &&
                      session->stuck == STUCK_NOT;
    return is_willing ? session->lease_count : NO_BUCKET;
}

static void leave_bucket(Core *core, const Session *session) {
    Session **first = &core->willing[session->bucket];
    *(session->before_willing != NULL ? &session->before_willing->next_willing : first) =
        session->next_willing;
    if (session->next_willing != NULL) {
        session->next_willing->before_willing = session->before_willing;
    }
    if (*first == NULL) {
        core->willing_words[session->bucket / 64] &= ~(1ull << session->bucket % 64);
    }
    core->idle_willing -= session->bucket == 0;
}

static void enter_bucket(Core *core, Session *session) {
    Session **first = &core->willing[session->bucket];
    session->before_willing = NULL;
    session->next_willing = *first;
    if (*first != NULL) {
        (*first)->before_willing = session;
    }
    *first = session;
    core->willing_words[session->bucket / 64] |= 1ull << session->bucket % 64;
    core->idle_willing += session->bucket == 0;
}

void dispatch_place(Core *core, Session *session) {
    uint32_t bucket = bucket_of(session);
    if (bucket == session->bucket) {
        return;
    }
    if (session->bucket != NO_BUCKET) {
        leave_bucket(core, session);
    }
    session->bucket = bucket;
    if (bucket != NO_BUCKET) {
        enter_bucket(core, session);
    }
}

// The first bucket from `from` on that is not empty, NO_BUCKET when none is.
static uint32_t next_bucket(const Core *core, uint32_t from) {
    for (uint32_t word = from / 64; word < BUCKET_WORDS; word++) {
        uint64_t bits = core->willing_words[word];
        bits &= word == from / 64 ? ~0ull << from % 64 : ~0ull;
        if (bits != 0) {
            return word * 64 + (uint32_t)__builtin_ctzll(bits);
        }
    }
    return NO_BUCKET;
}

// How many leases a session may have and still be given a batch task: none while models wait for
// free workers, so that workers come free.
static uint32_t leases_allowed(const Core *core) {
    return core->queues[QUEUE_TRAINS].count > 0 ? 0 : LEASES_MOST;
}

// ---- training ----

static bool may_train(const Core *core, TaskTag tag, const Session *session, int64_t now_ms) {
    return core->tasks[tag].trouble == NO_TROUBLE ||
           !trouble_has_failed(core, tag, session, now_ms);
}

static uint32_t count_free(const Core *core, TaskTag tag, int64_t now_ms) {
    if (core->tasks[tag].trouble == NO_TROUBLE) {
        return core->idle_willing;
    }
    uint32_t count = 0;
    for (const Session *s = core->willing[0]; s != NULL; s = s->next_willing) {
        count += may_train(core, tag, s, now_ms);
    }
    return count;
}

// Gives [first, first + count) to `members` free workers, a power of two, in aligned parts.
static void give_shares(Core *core, TaskTag tag, uint32_t members, int64_t now_ms) {
    Session *chosen[LIMIT_SHARDS];
    uint32_t chosen_count = 0;
    for (Session *s = core->willing[0]; s != NULL && chosen_count < members; s = s->next_willing) {
        if (may_train(core, tag, s, now_ms)) {
            chosen[chosen_count++] = s;
        }
    }
    assert(chosen_count == members);
    uint32_t count = core->tasks[tag].shards / members;
    for (uint32_t i = 0; i < members; i++) {
        LeaseOffer offer = {.tag = tag, .share = {i * count, count}, .wants_alone = true};
        lease_give(core, chosen[i], &offer, now_ms);
    }
}

static void dispatch_train(Core *core, TaskTag tag, int64_t now_ms) {
    const CoreHooks *hooks = &core->config.hooks;
    const Task *task = &core->tasks[tag];
    uint32_t free_workers = count_free(core, tag, now_ms);
    if (free_workers == 0) {
        return;
    }
    uint32_t trains = (uint32_t)core->queues[QUEUE_TRAINS].count + core->trains_running;
    uint32_t wanted = hooks->members_wanted(hooks->context, tag, free_workers, core->session_count,
                                            trains, (uint32_t)now_ms - task->since_ms);
    if (wanted == 0) {
        return;
    }
    assert(wanted <= free_workers && wanted <= task->shards && (wanted & (wanted - 1)) == 0);
    if (hooks->group_changed(hooks->context, tag, wanted) != STATUS_OK) {
        core_tell(core, CORE_NOTE, 0, "cannot start task %u: %s", tag, status_message());
        return;
    }
    queue_remove(core, tag);
    core->trains_running++;
    give_shares(core, tag, wanted, now_ms);
}

static void dispatch_trains(Core *core, int64_t now_ms) {
    TaskTag next;
    for (TaskTag tag = core->queues[QUEUE_TRAINS].first; tag != NO_TASK && core->idle_willing > 0;
         tag = next) {
        next = core->tasks[tag].next;
        dispatch_train(core, tag, now_ms);
    }
}

// ---- tasks with failures ----

// The idle worker that has done least: what another worker left behind in its memory cannot kill a
// fresh one.
static Session *freshest(const Core *core, TaskTag tag, int64_t now_ms) {
    Session *best = NULL;
    for (Session *s = core->willing[0]; s != NULL; s = s->next_willing) {
        if (!trouble_has_failed(core, tag, s, now_ms) &&
            (best == NULL || s->tasks_done < best->tasks_done)) {
            best = s;
        }
    }
    return best;
}

static Session *least_busy(const Core *core, TaskTag tag, int64_t now_ms) {
    uint32_t most = leases_allowed(core);
    for (uint32_t b = next_bucket(core, 0); b <= most; b = next_bucket(core, b + 1)) {
        for (Session *s = core->willing[b]; s != NULL; s = s->next_willing) {
            if (!trouble_has_failed(core, tag, s, now_ms)) {
                return s;
            }
        }
    }
    return NULL;
}

// Every worker there is has failed the task. Those that seemed to die on it may try again; what
// workers cannot do the owner looks at.
static void settle_hopeless(Core *core, TaskTag tag, int64_t now_ms) {
    queue_remove(core, tag);
    if (trouble_of(core, tag)->deaths > 0) {
        trouble_forgive(core, tag);
        trouble_settle(core, tag, now_ms);
    } else if (trouble_of(core, tag)->is_looked_over) {
        queue_push(core, QUEUE_STRANDED, tag, now_ms);
    } else {
        trouble_doubt(core, tag, CORE_CANNOT, NULL, 0);
    }
}

static void place_troubled(Core *core, TaskTag tag, int64_t now_ms) {
    bool wants_alone = trouble_of(core, tag)->deaths >= DEATHS_ALONE;
    Session *session = wants_alone ? freshest(core, tag, now_ms) : least_busy(core, tag, now_ms);
    if (session != NULL) {
        queue_remove(core, tag);
        lease_give(core, session, &(LeaseOffer){.tag = tag, .wants_alone = wants_alone}, now_ms);
    } else if (core->session_count > 0 && !trouble_somebody_could(core, tag, now_ms)) {
        settle_hopeless(core, tag, now_ms);
    } else { // behind the others, which may have more luck
        queue_remove(core, tag);
        queue_push(core, QUEUE_TROUBLED, tag, now_ms);
    }
}

static void dispatch_troubled(Core *core, int64_t now_ms) {
    uint64_t tries = core->queues[QUEUE_TROUBLED].count;
    tries = tries < TROUBLED_TRIES ? tries : TROUBLED_TRIES;
    for (uint64_t i = 0; i < tries && core->queues[QUEUE_TROUBLED].count > 0; i++) {
        place_troubled(core, core->queues[QUEUE_TROUBLED].first, now_ms);
    }
}

// Trainings that every worker there is has failed: the owner looks, if it has not.
static void doubt_hopeless_trains(Core *core, int64_t now_ms) {
    TaskTag next;
    for (TaskTag tag = core->queues[QUEUE_TRAINS].first; tag != NO_TASK; tag = next) {
        next = core->tasks[tag].next;
        if (core->tasks[tag].trouble == NO_TROUBLE || core->session_count == 0 ||
            trouble_somebody_could(core, tag, now_ms)) {
            continue;
        }
        queue_remove(core, tag);
        if (trouble_of(core, tag)->is_looked_over) {
            queue_push(core, QUEUE_STRANDED, tag, now_ms);
        } else {
            trouble_doubt(core, tag, CORE_CANNOT, NULL, 0);
        }
    }
}

// Stranded tasks lie apart, since workers are kept free for those that wait to be trained. They are
// so again when somebody is there who may be given them.
static void dispatch_stranded(Core *core, int64_t now_ms) {
    if (now_ms < core->stranded_look_ms) {
        return;
    }
    core->stranded_look_ms = now_ms + STRANDED_LOOK_MS;
    TaskTag next;
    for (TaskTag tag = core->queues[QUEUE_STRANDED].first; tag != NO_TASK; tag = next) {
        next = core->tasks[tag].next;
        if (trouble_somebody_could(core, tag, now_ms)) {
            queue_remove(core, tag);
            bool is_train = core->tasks[tag].kind == TASK_TRAIN;
            queue_push(core, is_train ? QUEUE_TRAINS : QUEUE_TROUBLED, tag, now_ms);
        }
    }
}

// ---- all others ----

void dispatch_note_holder(Core *core, TaskTag tag, const Session *session) {
    uint32_t place = core->tasks[tag].place;
    while (core->holder_count < place) {
        if (!mem_grow(&core->holders, core->holder_count, &core->holder_capacity, sizeof(Holder))) {
            return; // it would only have saved time
        }
        core->holders[core->holder_count++] = (Holder){0};
    }
    if (place > 0) {
        core->holders[place - 1] = (Holder){session->worker->serial, session->position};
    }
}

// Who may hold what the task reads, if it is willing and little busier than the least busy.
static Session *holder_of(const Core *core, TaskTag tag, uint32_t least) {
    uint32_t place = core->tasks[tag].place;
    if (place == 0 || place > core->holder_count) {
        return NULL;
    }
    Holder holder = core->holders[place - 1];
    Session *session =
        holder.position < core->session_count ? core->sessions[holder.position] : NULL;
    bool is_willing = session != NULL && session->worker->serial == holder.serial &&
                      session->bucket != NO_BUCKET && session->bucket <= least + HOLDER_MORE &&
                      session->bucket <= leases_allowed(core);
    return is_willing ? session : NULL;
}

static void dispatch_batches(Core *core, int64_t now_ms) {
    uint32_t most = leases_allowed(core);
    while (core->queues[QUEUE_BATCHES].count > 0 && core->counts.answered < ANSWERED_MOST) {
        uint32_t bucket = next_bucket(core, 0);
        if (bucket > most) {
            return; // NO_BUCKET is
        }
        TaskTag tag = core->queues[QUEUE_BATCHES].first;
        Session *session = holder_of(core, tag, bucket);
        queue_remove(core, tag);
        lease_give(core, session != NULL ? session : core->willing[bucket],
                   &(LeaseOffer){.tag = tag}, now_ms);
    }
}

// ---- stragglers ----

// Nothing waits, this task has been out for long, somebody is idle: whoever of the two is first.
static void double_stragglers(Core *core, TaskKind kind, int64_t now_ms) {
    int64_t straggler_ms = lease_straggler_ms(core, kind);
    Lease *younger;
    for (Lease *lease = core->doublable[kind].first; lease != NULL && core->idle_willing > 0;
         lease = younger) {
        younger = lease->younger;
        if (now_ms - lease->since_ms < straggler_ms) {
            return;
        }
        Session *session = freshest(core, lease->tag, now_ms);
        if (session != NULL) {
            lease_not_doubled(core, lease);
            lease_give(core, session, &(LeaseOffer){.tag = lease->tag}, now_ms);
        }
    }
}

static bool has_stragglers(const Core *core, TaskKind kind, int64_t *ret_due_ms) {
    const Lease *oldest = core->doublable[kind].first;
    if (oldest != NULL) {
        *ret_due_ms = oldest->since_ms + lease_straggler_ms(core, kind);
    }
    return oldest != NULL;
}

// ---- all of it ----

void dispatch_run(Core *core, int64_t now_ms) {
    if (core->is_winding_up) {
        return;
    }
    doubt_hopeless_trains(core, now_ms);
    dispatch_stranded(core, now_ms);
    dispatch_trains(core, now_ms);
    dispatch_troubled(core, now_ms);
    dispatch_batches(core, now_ms);
    for (int kind = TASK_PROBE; kind <= TASK_KIND_MOST && core->queues[QUEUE_BATCHES].count == 0;
         kind++) {
        double_stragglers(core, (TaskKind)kind, now_ms);
    }
}

int64_t dispatch_due_ms(const Core *core, int64_t now_ms) {
    int64_t due_ms = INT64_MAX;
    if (core->idle_willing > 0 && core->queues[QUEUE_BATCHES].count == 0) {
        for (int kind = TASK_PROBE; kind <= TASK_KIND_MOST; kind++) {
            int64_t straggler_ms;
            if (has_stragglers(core, (TaskKind)kind, &straggler_ms) && straggler_ms < due_ms) {
                due_ms = straggler_ms;
            }
        }
    }
    bool again = (core->queues[QUEUE_TRAINS].count > 0 && core->idle_willing > 0) ||
                 core->queues[QUEUE_TROUBLED].count > 0;
    if (again && now_ms + AGAIN_MS < due_ms) {
        due_ms = now_ms + AGAIN_MS;
    }
    if (core->queues[QUEUE_STRANDED].count > 0 && core->stranded_look_ms < due_ms) {
        due_ms = core->stranded_look_ms;
    }
    // One that nobody could be found for is overdue: looked at again before long.
    return due_ms > now_ms ? due_ms : now_ms + AGAIN_MS;
}
