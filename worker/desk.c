// SPDX-License-Identifier: Apache-2.0
#include "worker/desk.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/mem.h"

enum { QUEUE_MOST = 64 }; // credits that a worker can ever give

struct Desk {
    pthread_mutex_t lock;
    pthread_cond_t more;
    DeskTask waiting[QUEUE_MOST];
    uint32_t waiting_count;
    DeskTask current; // its body has been handed out
    bool has_current, is_cancelled, is_stopped;
    DeskAnswer answers[QUEUE_MOST];
    uint32_t answer_count;
    DeskProgress progress;
    bool has_progress;
    DeskSession session;      // the newest
    DeskSession task_session; // of the task under work
    int answer_fd, wake_fd;
};

Desk *desk_new(void) {
    Desk *desk = mem_new(1, sizeof *desk);
    if (desk == NULL) {
        return NULL;
    }
    pthread_mutex_init(&desk->lock, NULL);
    pthread_cond_init(&desk->more, NULL);
    desk->answer_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    desk->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (desk->answer_fd < 0 || desk->wake_fd < 0) {
        status_set(STATUS_IO, "cannot make an eventfd");
        desk_free(desk);
        return NULL;
    }
    return desk;
}

void desk_free(Desk *desk) {
    if (desk == NULL) {
        return;
    }
    for (uint32_t i = 0; i < desk->waiting_count; i++) {
        buffer_done(&desk->waiting[i].body);
    }
    for (uint32_t i = 0; i < desk->answer_count; i++) {
        buffer_done(&desk->answers[i].body);
    }
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
    for (uint32_t i = 0; i < desk->answer_count; i++) {
        buffer_done(&desk->answers[i].body);
    }
    desk->answer_count = 0;
    pthread_mutex_unlock(&desk->lock);
}

Status desk_put_task(Desk *desk, const DeskTask *task) {
    Status status = STATUS_OK;
    pthread_mutex_lock(&desk->lock);
    // A task counts until its answer, and so its credit, is taken: cancelled ones too.
    uint32_t held = desk->waiting_count + desk->has_current + desk->answer_count;
    if (held >= QUEUE_MOST) {
        status = status_set(STATUS_LIMIT, "more tasks than credits were given for");
    } else {
        desk->waiting[desk->waiting_count++] = *task;
        pthread_cond_signal(&desk->more);
    }
    pthread_mutex_unlock(&desk->lock);
    return status;
}

// Room for an answer is certain: desk_put_task keeps it for each task.
static void push_answer(Desk *desk, const DeskAnswer *answer) {
    assert(desk->answer_count < QUEUE_MOST);
    desk->answers[desk->answer_count++] = *answer;
    raise_fd(desk->answer_fd);
}

void desk_cancel(Desk *desk, uint64_t task, uint64_t attempt) {
    pthread_mutex_lock(&desk->lock);
    if (desk->has_current && desk->current.task == task && desk->current.attempt == attempt) {
        desk->is_cancelled = true;
        raise_fd(desk->wake_fd);
    }
    for (uint32_t i = 0; i < desk->waiting_count; i++) {
        if (desk->waiting[i].task == task && desk->waiting[i].attempt == attempt) {
            buffer_done(&desk->waiting[i].body);
            memmove(desk->waiting + i, desk->waiting + i + 1,
                    (desk->waiting_count - i - 1) * sizeof *desk->waiting);
            desk->waiting_count--;
            push_answer(desk, &(DeskAnswer){.task = task, .is_cancelled = true});
            break;
        }
    }
    pthread_mutex_unlock(&desk->lock);
}

void desk_cancel_all(Desk *desk) {
    pthread_mutex_lock(&desk->lock);
    for (uint32_t i = 0; i < desk->waiting_count; i++) {
        buffer_done(&desk->waiting[i].body);
    }
    desk->waiting_count = 0;
    for (uint32_t i = 0; i < desk->answer_count; i++) {
        buffer_done(&desk->answers[i].body);
    }
    desk->answer_count = 0;
    desk->has_progress = false;
    desk->is_cancelled = desk->has_current;
    raise_fd(desk->wake_fd);
    pthread_mutex_unlock(&desk->lock);
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

bool desk_take_answer(Desk *desk, DeskAnswer *ret_answer) {
    pthread_mutex_lock(&desk->lock);
    lower_fd(desk->answer_fd);
    bool has = desk->answer_count > 0;
    if (has) {
        *ret_answer = desk->answers[0];
        memmove(desk->answers, desk->answers + 1, --desk->answer_count * sizeof *desk->answers);
    }
    pthread_mutex_unlock(&desk->lock);
    return has;
}

bool desk_take_progress(Desk *desk, DeskProgress *ret_progress) {
    pthread_mutex_lock(&desk->lock);
    bool has = desk->has_progress && desk->has_current;
    if (has) {
        *ret_progress = desk->progress;
        desk->has_progress = false;
    }
    pthread_mutex_unlock(&desk->lock);
    return has;
}

bool desk_is_idle(Desk *desk) {
    pthread_mutex_lock(&desk->lock);
    bool idle = !desk->has_current && desk->waiting_count == 0;
    pthread_mutex_unlock(&desk->lock);
    return idle;
}

// ---- the computing thread ----

bool desk_next_task(Desk *desk, DeskTask *ret_task) {
    pthread_mutex_lock(&desk->lock);
    while (desk->waiting_count == 0 && !desk->is_stopped) {
        pthread_cond_wait(&desk->more, &desk->lock);
    }
    bool has = !desk->is_stopped;
    if (has) {
        *ret_task = desk->waiting[0];
        memmove(desk->waiting, desk->waiting + 1, --desk->waiting_count * sizeof *desk->waiting);
        desk->current = *ret_task;
        desk->has_current = true;
        desk->is_cancelled = false;
        desk->has_progress = false;
        desk->task_session = desk->session;
        lower_fd(desk->wake_fd);
    }
    pthread_mutex_unlock(&desk->lock);
    return has;
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

int desk_wake_fd(const Desk *desk) {
    return desk->wake_fd;
}

void desk_tell_progress(Desk *desk, uint64_t done, uint64_t total, double loss) {
    pthread_mutex_lock(&desk->lock);
    desk->progress = (DeskProgress){desk->current.task, desk->current.attempt, done, total, loss};
    desk->has_progress = true;
    pthread_mutex_unlock(&desk->lock);
}

void desk_answer(Desk *desk, ResultOutcome outcome, Buffer *body) {
    pthread_mutex_lock(&desk->lock);
    DeskAnswer answer = {.task = desk->current.task,
                         .attempt = desk->current.attempt,
                         .outcome = outcome,
                         .is_cancelled = desk->is_cancelled,
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
    pthread_mutex_unlock(&desk->lock);
}
