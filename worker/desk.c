// SPDX-License-Identifier: Apache-2.0
#include "worker/desk.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

enum {
    QUEUE_MOST = PROTO_CREDITS, // tasks that wait, are under work, or whose answers do
    TELL_MOST = 128,            // so many answers are told, however quick the next one will be
    QUICK_NS = 100000, // a task that takes less lets the answers before it wait for its own
    MOMENT_NS = 20000, // a task that takes less is waited for awake; about what a wake-up takes
};

// At most QUEUE_MOST entries from `first` on, in a circle.
typedef struct Ring {
    uint32_t first, count;
} Ring;

struct Desk {
    pthread_mutex_t lock;
    pthread_cond_t more;
    DeskTask waiting[QUEUE_MOST];
    Ring waiting_ring;
    DeskTask current;                    // its body has been handed out
    int64_t begun_ns;                    // the one under work
    int64_t took_ns[TASK_KIND_MOST + 1]; // by kind, of the last one; 0: none was done yet
    bool has_current, is_cancelled, is_leaving, is_stopped;
    bool is_asleep; // the computing thread waits for `more`
    DeskAnswer answers[QUEUE_MOST];
    Ring answer_ring;
    bool is_told;             // answer_fd was raised since answers were last taken
    bool is_awaited;          // the session thread looks for an answer all the time
    atomic_bool has_answer;   // told without the lock to who does
    DeskProgress progress;    // of the task under work, as it was told
    uint64_t steps;           // that it has told besides
    bool has_progress;        // that the session thread has not taken
    DeskSession session;      // the newest
    DeskSession task_session; // of the task under work
    int answer_fd, wake_fd;
};

Desk *desk_new(void) {
    Desk *desk = mem_new(1, sizeof *desk);
    if (desk == NULL) {
        return NULL;
    }
    pthread_condattr_t monotonic; // as clock_ms: when the wall clock is set, nobody is late
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&desk->lock, NULL);
    pthread_cond_init(&desk->more, &monotonic);
    pthread_condattr_destroy(&monotonic);
    desk->answer_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    desk->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (desk->answer_fd < 0 || desk->wake_fd < 0) {
        status_set(STATUS_IO, "cannot make an eventfd");
        desk_free(desk);
        return NULL;
    }
    return desk;
}

static uint32_t ring_at(const Ring *ring, uint32_t i) {
    return (ring->first + i) % QUEUE_MOST;
}

static uint32_t ring_push(Ring *ring) {
    assert(ring->count < QUEUE_MOST);
    return ring_at(ring, ring->count++);
}

static uint32_t ring_take(Ring *ring) {
    uint32_t at = ring->first;
    ring->first = ring_at(ring, 1);
    ring->count--;
    return at;
}

static void drop_waiting(Desk *desk) {
    while (desk->waiting_ring.count > 0) {
        buffer_done(&desk->waiting[ring_take(&desk->waiting_ring)].body);
    }
}

static void drop_answers(Desk *desk) {
    while (desk->answer_ring.count > 0) {
        buffer_done(&desk->answers[ring_take(&desk->answer_ring)].body);
    }
}

void desk_free(Desk *desk) {
    if (desk == NULL) {
        return;
    }
    drop_waiting(desk);
    drop_answers(desk);
    if (desk->answer_fd >= 0) {
        close(desk->answer_fd);
    }
    if (desk->wake_fd >= 0) {
        close(desk->wake_fd);
    }
    pthread_mutex_destroy(&desk->lock);
    pthread_cond_destroy(&desk->more);
    mem_free(desk);
}

static void raise_fd(int fd) {
    uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof one);
    (void)written; // a full counter is readable already
}

static void lower_fd(int fd) {
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof count);
    (void)got;
}

// ---- the session thread ----

void desk_open_session(Desk *desk, const DeskSession *session) {
    pthread_mutex_lock(&desk->lock);
    desk->session = *session;
    drop_answers(desk);
    pthread_mutex_unlock(&desk->lock);
}

Status desk_put_tasks(Desk *desk, const DeskTask *tasks, uint32_t count) {
    Status status = STATUS_OK;
    pthread_mutex_lock(&desk->lock);
    // A task counts until its answer, and so its credit, is taken: cancelled ones too.
    uint32_t held = desk->waiting_ring.count + desk->has_current + desk->answer_ring.count;
    if (count > QUEUE_MOST - held) {
        status = status_set(STATUS_LIMIT, "more tasks than credits were given for");
    }
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        desk->waiting[ring_push(&desk->waiting_ring)] = tasks[i];
    }
    if (desk->is_leaving && status == STATUS_OK) {
        drop_waiting(desk);
    }
    bool wakes = desk->is_asleep && desk->waiting_ring.count > 0;
    desk->is_asleep = desk->is_asleep && !wakes;
    pthread_mutex_unlock(&desk->lock);
    if (wakes) { // without the lock, which it takes first of all
        pthread_cond_signal(&desk->more);
    }
    return status;
}

// Whether the session thread is to be woken: when there are answers, unless the next task will be
// done before it could send them: where tasks are that quick, a bundle of answers is worth waiting
// for.
static bool should_tell(Desk *desk) {
    const Ring *waiting = &desk->waiting_ring;
    if (desk->answer_ring.count == 0 || desk->is_told || desk->is_awaited) {
        return false;
    }
    if (waiting->count > 0 && desk->answer_ring.count < TELL_MOST) {
        int64_t usual_ns = desk->took_ns[desk->waiting[waiting->first].kind];
        if (usual_ns > 0 && usual_ns < QUICK_NS) {
            return false;
        }
    }
    desk->is_told = true;
    return true;
}

// Wakes it once the lock, which it takes first of all, is free. When it has taken the answers in
// between, it is woken in vain.
static void unlock_and_tell(Desk *desk) {
    bool tells = should_tell(desk);
    pthread_mutex_unlock(&desk->lock);
    if (tells) {
        raise_fd(desk->answer_fd);
    }
}

// Room for an answer is certain: desk_put_tasks keeps it for each task.
static void push_answer(Desk *desk, const DeskAnswer *answer) {
    desk->answers[ring_push(&desk->answer_ring)] = *answer;
    atomic_store(&desk->has_answer, true);
}

static void remove_waiting(Desk *desk, uint32_t i) {
    Ring *ring = &desk->waiting_ring;
    buffer_done(&desk->waiting[ring_at(ring, i)].body);
    for (; i + 1 < ring->count; i++) {
        desk->waiting[ring_at(ring, i)] = desk->waiting[ring_at(ring, i + 1)];
    }
    ring->count--;
}

void desk_cancel(Desk *desk, uint64_t task, uint64_t attempt) {
    pthread_mutex_lock(&desk->lock);
    if (desk->has_current && desk->current.task == task && desk->current.attempt == attempt) {
        desk->is_cancelled = true;
        raise_fd(desk->wake_fd);
    }
    for (uint32_t i = 0; i < desk->waiting_ring.count; i++) {
        const DeskTask *waiting = &desk->waiting[ring_at(&desk->waiting_ring, i)];
        if (waiting->task == task && waiting->attempt == attempt) {
            remove_waiting(desk, i);
            push_answer(desk, &(DeskAnswer){.task = task, .is_cancelled = true});
            break;
        }
    }
    unlock_and_tell(desk);
}

void desk_cancel_all(Desk *desk) {
    pthread_mutex_lock(&desk->lock);
    drop_waiting(desk);
    drop_answers(desk);
    desk->has_progress = false;
    if (desk->has_current) {
        desk->is_cancelled = true;
        raise_fd(desk->wake_fd);
    }
    pthread_mutex_unlock(&desk->lock);
}

void desk_leave(Desk *desk) {
    pthread_mutex_lock(&desk->lock);
    desk->is_leaving = true;
    drop_waiting(desk);
    unlock_and_tell(desk);
}

void desk_stop(Desk *desk) {
    pthread_mutex_lock(&desk->lock);
    desk->is_stopped = true;
    desk->is_cancelled = desk->has_current;
    raise_fd(desk->wake_fd);
    pthread_cond_signal(&desk->more);
    pthread_mutex_unlock(&desk->lock);
}

int desk_answer_fd(const Desk *desk) {
    return desk->answer_fd;
}

uint32_t desk_take_answers(Desk *desk, DeskAnswer *ret_answers, uint32_t most) {
    uint32_t count = 0;
    pthread_mutex_lock(&desk->lock);
    if (desk->answer_ring.count <= most) {
        lower_fd(desk->answer_fd); // what a signal raised as well
        desk->is_told = false;
    }
    while (count < most && desk->answer_ring.count > 0) {
        ret_answers[count++] = desk->answers[ring_take(&desk->answer_ring)];
    }
    pthread_mutex_unlock(&desk->lock);
    return count;
}

// Whether one task is all there is, and one that takes next to no time.
static bool has_lone_quick(const Desk *desk) {
    const DeskTask *task =
        desk->has_current ? &desk->current : &desk->waiting[desk->waiting_ring.first];
    int64_t usual_ns = desk->took_ns[task->kind];
    return desk->waiting_ring.count + desk->has_current == 1 && desk->answer_ring.count == 0 &&
           usual_ns > 0 && usual_ns < MOMENT_NS;
}

void desk_await_moment(Desk *desk) {
    pthread_mutex_lock(&desk->lock);
    bool awaits = has_lone_quick(desk);
    desk->is_awaited = awaits;
    atomic_store(&desk->has_answer, false);
    pthread_mutex_unlock(&desk->lock);
    if (!awaits) {
        return;
    }
    int64_t until_ns = clock_ns() + 2 * MOMENT_NS;
    while (!atomic_load(&desk->has_answer) && clock_ns() < until_ns) {
        sched_yield(); // where both threads have one processor between them
    }
    pthread_mutex_lock(&desk->lock);
    desk->is_awaited = false; // what came is taken next
    pthread_mutex_unlock(&desk->lock);
}

bool desk_take_progress(Desk *desk, DeskProgress *ret_progress) {
    pthread_mutex_lock(&desk->lock);
    bool has = desk->has_progress && desk->has_current;
    if (has) {
        *ret_progress = desk->progress;
        ret_progress->done += desk->steps;
        ret_progress->total += desk->progress.total > 0 ? desk->steps : 0;
        desk->has_progress = false;
    }
    pthread_mutex_unlock(&desk->lock);
    return has;
}

bool desk_is_idle(Desk *desk) {
    pthread_mutex_lock(&desk->lock);
    bool idle = !desk->has_current && desk->waiting_ring.count == 0;
    pthread_mutex_unlock(&desk->lock);
    return idle;
}

// ---- the computing thread ----

static void begin_task(Desk *desk, DeskTask *ret_task) {
    *ret_task = desk->waiting[ring_take(&desk->waiting_ring)];
    desk->current = *ret_task;
    desk->has_current = true;
    desk->has_progress = false;
    desk->steps = 0;
    desk->progress =
        (DeskProgress){.task = ret_task->task, .attempt = ret_task->attempt, .loss = NAN};
    desk->begun_ns = clock_ns();
    if (desk->is_cancelled) {
        desk->is_cancelled = false;
        lower_fd(desk->wake_fd);
    }
    // A quarter of a megabyte, and the same for all tasks of a session.
    if (!digest_equal(desk->task_session.token, desk->session.token)) {
        desk->task_session = desk->session;
    }
}

// Until there is a task or the stop, or the time is over (until NULL: however long it takes).
static bool sleep_until(Desk *desk, const struct timespec *until) {
    bool in_time = true;
    while (desk->waiting_ring.count == 0 && !desk->is_stopped && in_time) {
        desk->is_asleep = true;
        in_time = until == NULL ? pthread_cond_wait(&desk->more, &desk->lock) == 0
                                : pthread_cond_timedwait(&desk->more, &desk->lock, until) == 0;
    }
    desk->is_asleep = false;
    return desk->waiting_ring.count > 0 || desk->is_stopped;
}

bool desk_await_task(Desk *desk, int64_t timeout_ms) {
    int64_t until_ms = clock_ms() + timeout_ms;
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    pthread_mutex_lock(&desk->lock);
    bool has = sleep_until(desk, &until);
    pthread_mutex_unlock(&desk->lock);
    return has;
}

bool desk_next_task(Desk *desk, DeskTask *ret_task) {
    pthread_mutex_lock(&desk->lock);
    (void)sleep_until(desk, NULL);
    bool has = !desk->is_stopped;
    if (has) {
        begin_task(desk, ret_task);
    }
    pthread_mutex_unlock(&desk->lock);
    return has;
}

bool desk_peek(Desk *desk, DeskTask *ret_task) {
    pthread_mutex_lock(&desk->lock);
    bool is_there = desk->waiting_ring.count > 0;
    if (is_there) {
        const DeskTask *next = &desk->waiting[desk->waiting_ring.first];
        *ret_task = *next;
        ret_task->body = BUFFER_EMPTY;
        buffer_append(&ret_task->body, next->body.bytes, next->body.size);
    }
    pthread_mutex_unlock(&desk->lock);
    if (is_there && ret_task->body.status != STATUS_OK) {
        buffer_done(&ret_task->body);
        return false;
    }
    return is_there;
}

const DeskSession *desk_session(const Desk *desk) {
    return &desk->task_session;
}

bool desk_is_cancelled(Desk *desk) {
    pthread_mutex_lock(&desk->lock);
    bool cancelled = desk->is_cancelled;
    pthread_mutex_unlock(&desk->lock);
    return cancelled;
}

bool desk_is_leaving(Desk *desk) {
    pthread_mutex_lock(&desk->lock);
    bool leaving = desk->is_leaving;
    pthread_mutex_unlock(&desk->lock);
    return leaving;
}

int desk_wake_fd(const Desk *desk) {
    return desk->wake_fd;
}

void desk_tell_progress(Desk *desk, uint64_t done, uint64_t total, double loss) {
    pthread_mutex_lock(&desk->lock);
    desk->progress = (DeskProgress){desk->current.task, desk->current.attempt, done, total, loss};
    desk->has_progress = true;
    pthread_mutex_unlock(&desk->lock);
}

void desk_tell_step(Desk *desk) {
    pthread_mutex_lock(&desk->lock);
    desk->steps++;
    desk->has_progress = true;
    pthread_mutex_unlock(&desk->lock);
}

void desk_answer(Desk *desk, ResultOutcome outcome, Buffer *body) {
    pthread_mutex_lock(&desk->lock);
    int64_t took_ns = clock_ns() - desk->begun_ns;
    if (!desk->is_cancelled) {
        desk->took_ns[desk->current.kind] = took_ns;
    }
    DeskAnswer answer = {.task = desk->current.task,
                         .attempt = desk->current.attempt,
                         .outcome = outcome,
                         .is_cancelled = desk->is_cancelled,
                         .took_ns = took_ns,
                         .body = *body};
    *body = BUFFER_EMPTY;
    // After desk_cancel_all nobody wants even the credit.
    bool same_session = digest_equal(desk->task_session.token, desk->session.token);
    desk->has_current = false;
    if (same_session) {
        push_answer(desk, &answer);
    } else {
        buffer_done(&answer.body);
    }
    unlock_and_tell(desk);
}
