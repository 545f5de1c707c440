// SPDX-License-Identifier: Apache-2.0
//
// Where the worker's two threads meet: the session thread puts tasks and cancellations on the desk,
// the computing thread takes tasks and puts answers and progress there. The session thread is woken
// by a descriptor, the computing thread by a condition or, while it waits on the bulk lane, by a
// descriptor of its own; both by many tasks or answers at once where these take next to no time.
// Any thread may call anything here.
#ifndef AUSCULT_WORKER_DESK_H
#define AUSCULT_WORKER_DESK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "proto/channel.h"
#include "proto/message.h"

typedef struct DeskTask {
    uint64_t task, attempt;
    TaskKind kind;
    Buffer body; // owned by whoever holds the task
} DeskTask;

typedef struct DeskAnswer {
    uint64_t task, attempt;
    ResultOutcome outcome;
    bool is_cancelled; // nobody wants it: only the credit goes back
    int64_t took_ns;   // from desk_next_task to desk_answer; 0 when it was not begun
    Buffer body;
} DeskAnswer;

typedef struct DeskProgress {
    uint64_t task, attempt, done, total; // total 0: not told yet
    double loss;                         // NaN: none
} DeskProgress;

// What a session gave: a new one makes older tasks void.
typedef struct DeskSession {
    Digest token;
    char bulk_endpoint[CHANNEL_ADDRESS_BYTES];
    char roots[LIMIT_ROOTS][LIMIT_PATH_BYTES]; // where this worker sees the data
    uint32_t root_count;
} DeskSession;

typedef struct Desk Desk;
Desk *desk_new(void);
void desk_free(Desk *desk);

// ---- the session thread ----
void desk_open_session(Desk *desk, const DeskSession *session);
// Takes the bodies, or none of them. STATUS_LIMIT: more tasks than a worker ever gives credits for.
Status desk_put_tasks(Desk *desk, const DeskTask *tasks, uint32_t count);
void desk_cancel(Desk *desk, uint64_t task, uint64_t attempt);
// Voids all tasks, as when the session is lost.
void desk_cancel_all(Desk *desk);
// No other task is begun, those that wait are dropped: GOODBYE gives them back. Whoever works on a
// long one may look at desk_is_leaving and end it where nothing is lost.
void desk_leave(Desk *desk);
// Ends the computing thread once it looks.
void desk_stop(Desk *desk);
int desk_answer_fd(const Desk *desk); // readable when there are answers to take
// Takes up to `most`, in the order of their ends; the bodies are the caller's. Returns how many.
uint32_t desk_take_answers(Desk *desk, DeskAnswer *ret_answers, uint32_t most);
// Waits for the answer to a task that is the only one and takes next to no time, some tens of
// microseconds at most: going to sleep and waking up would take longer. Else returns at once. To be
// followed by desk_take_answers.
void desk_await_moment(Desk *desk);
// The newest progress if it is news.
bool desk_take_progress(Desk *desk, DeskProgress *ret_progress);
bool desk_is_idle(Desk *desk); // nothing waits and nothing is worked on

// ---- the computing thread ----
// Waits for a task, which desk_next_task then has at once, or for the stop; false: neither came.
bool desk_await_task(Desk *desk, int64_t timeout_ms);
// Waits for a task; false: stop.
bool desk_next_task(Desk *desk, DeskTask *ret_task);
// A copy of the task that waits behind the one under work, its body the caller's. False: none does.
bool desk_peek(Desk *desk, DeskTask *ret_task);
// The session of the task under work; borrowed until the task is answered.
const DeskSession *desk_session(const Desk *desk);
// Whether the task under work is no longer wanted.
bool desk_is_cancelled(Desk *desk);
bool desk_is_leaving(Desk *desk);
int desk_wake_fd(const Desk *desk); // readable when it may be cancelled
void desk_tell_progress(Desk *desk, uint64_t done, uint64_t total, double loss);
// That less than `done` counts has gone ahead, as when a part of what the task needs has come over
// a slow wire: is counted with both, so that the lease does not end meanwhile.
void desk_tell_step(Desk *desk);
// Takes the body; ends the task under work.
void desk_answer(Desk *desk, ResultOutcome outcome, Buffer *body);

#endif
