// SPDX-License-Identifier: Apache-2.0
//
// Tasks that fail. How it works: a worker that says it cannot do a task, or gives an answer that is
// not valid, is not asked again while there are others; when three could not, or nobody is left
// that could, the owner looks. A session that is lost may have died on the one task that was under
// work there. Its worker is blamed until it comes back, for then it did not die. After two deaths
// the task gets a worker for itself, so that a further death says for certain what killed; after
// three it is condemned, and poison once nobody has come back in time. TRAIN tasks are never
// poison: whoever trains them reads clips that were probed. One that the owner finds nothing wrong
// with is looked over: it waits for others, or for one of those that failed it to come back mended.
#include <assert.h>
#include <math.h>
#include <string.h>

#include "common/base/mem.h"
#include "coordinator/core/state.h"

static const Trouble NO_FAILURES;

const Trouble *trouble_of(const Core *core, TaskTag tag) {
    uint32_t index = core->tasks[tag].trouble;
    return index != NO_TROUBLE ? &core->troubles[index] : &NO_FAILURES;
}

static Trouble *make(Core *core, TaskTag tag) {
    Task *task = &core->tasks[tag];
    if (task->trouble != NO_TROUBLE) {
        return &core->troubles[task->trouble];
    }
    uint32_t index = core->trouble_free;
    if (index != NO_TROUBLE) {
        core->trouble_free = core->troubles[index].next_free;
    } else {
        bool has_room = mem_grow(&core->troubles, core->trouble_count, &core->trouble_capacity,
                                 sizeof *core->troubles);
        assert(has_room); // as for actions: nobody could be told
        index = core->trouble_count++;
        core->troubles[index] = (Trouble){0};
    }
    Trouble *fresh = &core->troubles[index];
    *fresh = (Trouble){.failed = fresh->failed, .failed_capacity = fresh->failed_capacity};
    task->trouble = index;
    return &core->troubles[index];
}

void trouble_forget(Core *core, TaskTag tag) {
    uint32_t index = core->tasks[tag].trouble;
    if (index != NO_TROUBLE) {
        core->troubles[index].next_free = core->trouble_free;
        core->trouble_free = index;
        core->tasks[tag].trouble = NO_TROUBLE;
    }
}

void trouble_forgive(Core *core, TaskTag tag) {
    if (core->tasks[tag].trouble != NO_TROUBLE) {
        core->troubles[core->tasks[tag].trouble].failed_count = 0;
    }
}

void trouble_restore(Core *core, const CoreTask *task) {
    if (task->deaths > 0 || task->cannots > 0) {
        Trouble *trouble = make(core, task->tag);
        trouble->deaths = task->deaths;
        trouble->cannots = task->cannots;
    }
}

void trouble_look_over(Core *core, TaskTag tag) {
    make(core, tag)->is_looked_over = true;
}

void trouble_free(Core *core) {
    for (uint32_t i = 0; i < core->trouble_count; i++) {
        mem_free(core->troubles[i].failed);
    }
    mem_free(core->troubles);
}

// ---- who failed ----

static Failure *find_failure(const Trouble *trouble, const Worker *worker) {
    for (uint32_t i = 0; i < trouble->failed_count; i++) {
        if (trouble->failed[i].serial == worker->serial) {
            return &trouble->failed[i];
        }
    }
    return NULL;
}

static int64_t pause_ms(const Failure *failure) {
    double ms = ldexp(PAUSE_LEAST_MS, (int)failure->times - 1);
    return (int64_t)fmin(ms, PAUSE_MOST_MS);
}

// In the same session it still is as it was when it failed.
static bool may_try_again(const Trouble *trouble, const Failure *failure, const Session *session,
                          int64_t now_ms) {
    return trouble->is_looked_over && failure->session != session->number &&
           now_ms - failure->last_ms >= pause_ms(failure);
}

static bool has_failed(const Trouble *trouble, const Session *session, int64_t now_ms) {
    const Failure *failure = find_failure(trouble, session->worker);
    return failure != NULL && !may_try_again(trouble, failure, session, now_ms);
}

bool trouble_has_failed(const Core *core, TaskTag tag, const Session *session, int64_t now_ms) {
    return has_failed(trouble_of(core, tag), session, now_ms);
}

bool trouble_somebody_could(const Core *core, TaskTag tag, int64_t now_ms) {
    const Trouble *trouble = trouble_of(core, tag);
    for (uint32_t i = 0; i < core->session_count; i++) {
        if (!has_failed(trouble, core->sessions[i], now_ms)) {
            return true;
        }
    }
    return false;
}

static void add_failed(Trouble *trouble, const Session *session, int64_t now_ms) {
    trouble->is_looked_over = false;
    Failure *failure = find_failure(trouble, session->worker);
    if (failure == NULL) {
        if (trouble->failed_count == FAILED_MOST) {
            memmove(trouble->failed, trouble->failed + 1,
                    --trouble->failed_count * sizeof *trouble->failed);
        }
        bool has_room = mem_grow(&trouble->failed, trouble->failed_count, &trouble->failed_capacity,
                                 sizeof *trouble->failed);
        assert(has_room); // as for actions: nobody could be told
        failure = &trouble->failed[trouble->failed_count++];
        *failure = (Failure){.serial = session->worker->serial};
    }
    failure->times++;
    failure->session = session->number;
    failure->last_ms = now_ms;
}

static void remove_failed(Trouble *trouble, const Worker *worker) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < trouble->failed_count; i++) {
        if (trouble->failed[i].serial != worker->serial) {
            trouble->failed[kept++] = trouble->failed[i];
        }
    }
    trouble->failed_count = kept;
}

// Of who failed it last; "that has left" when nobody is known any more.
static const char *last_to_fail(const Core *core, TaskTag tag) {
    const Trouble *trouble = trouble_of(core, tag);
    const Failure *last = NULL;
    for (uint32_t i = 0; i < trouble->failed_count; i++) {
        if (last == NULL || trouble->failed[i].last_ms >= last->last_ms) {
            last = &trouble->failed[i];
        }
    }
    return roster_name(core, last != NULL ? last->serial : 0);
}

static void tell_counts(Core *core, TaskTag tag) {
    const Trouble *trouble = trouble_of(core, tag);
    CoreAction *action = core_act(core, CORE_FAILED);
    action->tag = tag;
    action->deaths = trouble->deaths;
    action->cannots = trouble->cannots;
}

void trouble_begin_anew(Core *core, TaskTag tag) {
    Trouble *trouble = make(core, tag);
    bool had_counts = trouble->deaths > 0 || trouble->cannots > 0;
    trouble->deaths = trouble->cannots = 0;
    if (had_counts) {
        tell_counts(core, tag);
    }
    trouble_forget(core, tag);
}

void trouble_cannot(Core *core, TaskTag tag, const Session *session, int64_t now_ms) {
    Trouble *trouble = make(core, tag);
    trouble->cannots++;
    add_failed(trouble, session, now_ms);
    tell_counts(core, tag);
}

// One broken worker more or less says nothing about a training, which the owner could not do
// itself.
void trouble_wrong(Core *core, TaskTag tag, const Session *session, int64_t now_ms) {
    if (core->tasks[tag].kind == TASK_TRAIN) {
        add_failed(make(core, tag), session, now_ms);
    } else {
        trouble_cannot(core, tag, session, now_ms);
    }
}

void trouble_death(Core *core, TaskTag tag, const Session *session, int64_t now_ms) {
    Trouble *trouble = make(core, tag);
    trouble->deaths++;
    add_failed(trouble, session, now_ms);
    tell_counts(core, tag);
}

void trouble_take_back(Core *core, Worker *worker, int64_t now_ms) {
    TaskTag tag = worker->blamed;
    worker->blamed = NO_TASK;
    if (tag == NO_TASK || core->tasks[tag].trouble == NO_TROUBLE) {
        return;
    }
    Trouble *trouble = &core->troubles[core->tasks[tag].trouble];
    if (find_failure(trouble, worker) == NULL || trouble->deaths == 0) {
        return; // forgiven meanwhile
    }
    trouble->deaths--;
    remove_failed(trouble, worker);
    tell_counts(core, tag);
    uint8_t state = core->tasks[tag].state;
    if (state == TASK_WAITING || state == TASK_CONDEMNED) {
        queue_remove(core, tag);
        trouble_settle(core, tag, now_ms);
    }
}

// ---- what becomes of the task ----

void trouble_doubt(Core *core, TaskTag tag, CoreActionKind why, const void *bytes, size_t size) {
    core->tasks[tag].state = TASK_DOUBTED;
    CoreAction *action = core_act(core, why);
    action->tag = tag;
    buffer_text(&action->items, last_to_fail(core, tag));
    if (size > 0) {
        buffer_append(&action->blob, bytes, size);
        assert(action->blob.status == STATUS_OK);
    }
}

void trouble_settle(Core *core, TaskTag tag, int64_t now_ms) {
    const Trouble *trouble = trouble_of(core, tag);
    if (core->tasks[tag].kind == TASK_TRAIN) {
        queue_push_front(core, QUEUE_TRAINS, tag, now_ms);
    } else if (trouble->deaths >= DEATHS_POISON) {
        queue_push(core, QUEUE_CONDEMNED, tag, now_ms);
    } else if (trouble->cannots >= CANNOTS_MOST) {
        trouble_doubt(core, tag, CORE_CANNOT, NULL, 0);
    } else if (trouble->deaths > 0 || trouble->cannots > 0) {
        queue_push_front(core, QUEUE_TROUBLED, tag, now_ms);
    } else {
        trouble_forget(core, tag);
        queue_push_front(core, QUEUE_BATCHES, tag, now_ms);
    }
}

void trouble_tick(Core *core, int64_t now_ms) {
    for (;;) {
        TaskTag tag = core->queues[QUEUE_CONDEMNED].first;
        if (tag == NO_TASK || (uint32_t)now_ms - core->tasks[tag].since_ms < POISON_GRACE_MS) {
            return;
        }
        queue_remove(core, tag);
        trouble_doubt(core, tag, CORE_POISON, NULL, 0);
    }
}

int64_t trouble_due_ms(const Core *core, int64_t now_ms) {
    TaskTag tag = core->queues[QUEUE_CONDEMNED].first;
    return tag == NO_TASK
               ? INT64_MAX
               : now_ms + POISON_GRACE_MS - ((uint32_t)now_ms - core->tasks[tag].since_ms);
}
