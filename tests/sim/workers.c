// SPDX-License-Identifier: Apache-2.0
//
// Workers. Each has a thread that talks and a thread that computes, as the real one: the first
// answers signs of life while the second hangs; tasks are done in their order; what is ready is
// sent in bundles. Some say answers again that were not acknowledged, some finish what they were
// asked in an earlier session, some tell other bits, some send what no worker may send.
#include <math.h>
#include <string.h>

#include "tests/sim/sim.h"

// ---- coming and going ----

static Message hello_of(const Worker *w) {
    Message hello = {.type = MESSAGE_HELLO};
    hello.hello.protocol_least = PROTOCOL_LEAST;
    hello.hello.protocol_most = PROTOCOL_MOST;
    hello.hello.program = hello.hello.libraries = "sim";
    hello.hello.name = w->name;
    hello.hello.worker_id = digest_of_number(1000 + w->number);
    hello.hello.threads = 1;
    hello.hello.kernel = "haswell";
    hello.hello.fingerprint = digest_of_number(3);
    return hello;
}

static void say_hello(int worker) {
    Worker *w = &sim.workers[worker];
    Message hello = hello_of(w);
    w->is_welcome = false;
    w->allowance = w->owed = 0;
    network_say(worker, &hello);
}

// A new session takes nothing over; a computing thread in the middle of something may finish it.
static void end_session(int worker) {
    Worker *w = &sim.workers[worker];
    bool finishes = w->held_count > 0 && w->held[0].is_begun && !w->held[0].waits && chance(0.5);
    w->held_count = finishes ? 1 : 0;
    w->is_welcome = false;
}

void worker_connect(int worker) {
    Worker *w = &sim.workers[worker];
    end_session(worker);
    w->session++;
    w->heard_ms = sim.now_ms;
    network_connect(worker);
    say_hello(worker);
    add_event(BEAT, worker, ALIVE_MS)->life = w->session;
}

void worker_start(int worker) {
    Worker *w = &sim.workers[worker];
    Worker fresh = {.is_alive = true,
                    .number = ++sim.next_number,
                    .session = w->session,
                    .bulk = w->bulk,
                    .window = 1 + (int)below(chance(0.3) ? WINDOW_MOST : 3),
                    .pace = 50 + below(chance(0.2) ? 3000 : 150),
                    .says_again = chance(0.5),
                    .blamed_job = NO_JOB,
                    .lies = chance(sim.climate.liars),
                    .is_broken = chance(sim.climate.broken),
                    .is_mended = w->is_mended};
    fresh.blind =
        !w->is_mended && chance(sim.climate.blind) ? 1 + below((1u << MODELS_MOST) - 1) : 0;
    *w = fresh;
    snprintf(w->name, sizeof w->name, "host%d.%llu", worker, (unsigned long long)w->number);
    TRACE("worker %d starts as %s%s%s%s", worker, w->name, w->lies ? ", which lies" : "",
          w->is_broken ? ", which is broken" : "", w->blind ? ", which cannot read all" : "");
    worker_connect(worker);
}

static void end_process(int worker) {
    sim.workers[worker].is_alive = false;
    sim.workers[worker].is_welcome = false;
    add_event(REVIVE, worker, 100 + below(chance(0.2) ? 20000 : 2000));
}

void worker_kill(int worker, bool is_noticed) {
    TRACE("%s is killed%s", sim.workers[worker].name, is_noticed ? "" : ", unnoticed");
    network_break(worker, is_noticed, chance(0.7));
    end_process(worker);
}

static void leave(int worker) {
    network_say(worker, &(Message){.type = MESSAGE_GOODBYE, .goodbye = {"asked to leave"}});
    network_break(worker, true, false);
    end_process(worker);
}

// SIGTERM: what is under work may end first.
void worker_leave(int worker) {
    Worker *w = &sim.workers[worker];
    bool trains = w->held_count > 0 && w->held[0].kind == TASK_TRAIN;
    w->is_leaving = true;
    w->held_count = w->held_count > 0 && !trains;
    if (w->held_count == 0 && w->ready_count == 0) {
        leave(worker);
    }
}

// It reads everything from now on: it is started anew, or the same process is connected anew.
void worker_mend(int worker) {
    Worker *w = &sim.workers[worker];
    TRACE("%s is mended", w->name);
    w->is_mended = true;
    if (w->is_alive && chance(0.5)) {
        w->blind = 0;
        network_break(worker, chance(0.5), chance(0.5));
        worker_connect(worker);
    } else if (w->is_alive) {
        worker_kill(worker, chance(0.7));
    }
}

// ---- answers ----

static void give_credit(int worker, int count) {
    Worker *w = &sim.workers[worker];
    if (count > 0 && w->is_welcome && !w->is_leaving) {
        w->allowance += count;
        TRACE("%s asks for %d more, %d in all", w->name, count, w->allowance);
        network_say(worker,
                    &(Message){.type = MESSAGE_CREDIT, .credit = {.count = (uint32_t)count}});
    }
}

static void flush_soon(int worker) {
    Worker *w = &sim.workers[worker];
    if (!w->is_flushing) {
        w->is_flushing = true;
        add_event(FLUSH, worker, below(chance(0.1) ? 50 : 3))->life = w->number;
    }
}

static void keep_unacked(Worker *w, const Answer *answer) {
    if (w->unacked_count == UNACKED_MOST) {
        memmove(w->unacked, w->unacked + 1, (UNACKED_MOST - 1) * sizeof *w->unacked);
        w->unacked_count--;
    }
    w->unacked[w->unacked_count++] = *answer;
}

static void append_body(const Answer *answer, Buffer *out) {
    if (answer->is_short) {
        buffer_append(out, "junk", 4);
    } else if (answer->outcome == RESULT_DONE) {
        buffer_append(out, &answer->value, sizeof answer->value);
    } else {
        body_encode_cannot(&(CannotBody){.reason = "it cannot"}, out);
    }
}

static void say_answers(int worker, const Answer *answers, int count) {
    WireResult items[HELD_MOST];
    Buffer bodies[HELD_MOST] = {0};
    for (int i = 0; i < count; i++) {
        append_body(&answers[i], &bodies[i]);
        items[i] = (WireResult){.task = answers[i].task,
                                .attempt = answers[i].attempt,
                                .outcome = answers[i].outcome,
                                .body = bodies[i].bytes,
                                .body_bytes = bodies[i].size};
    }
    network_say(worker, &(Message){.type = MESSAGE_RESULTS,
                                   .results = {.items = items, .count = (uint32_t)count}});
    for (int i = 0; i < count; i++) {
        buffer_done(&bodies[i]);
    }
}

void worker_on_flush(int worker) {
    Worker *w = &sim.workers[worker];
    w->is_flushing = false;
    if (w->ready_count > 0 && (w->is_welcome || chance(0.3))) {
        say_answers(worker, w->ready, w->ready_count);
    }
    for (int i = 0; i < w->ready_count; i++) {
        keep_unacked(w, &w->ready[i]);
    }
    w->ready_count = 0;
    if (w->is_welcome && w->says_again && w->unacked_count > 0 && chance(0.1)) {
        say_answers(worker, w->unacked, w->unacked_count);
    }
    give_credit(worker, w->owed);
    w->owed = 0;
    if (w->is_leaving && w->held_count == 0) {
        leave(worker);
    }
}

static void begin_next(int worker);

// The first of what it holds is over; its credit goes back with the answers that are ready.
static void drop_first(int worker) {
    Worker *w = &sim.workers[worker];
    w->owed += w->is_welcome && w->held[0].session == w->session;
    memmove(w->held, w->held + 1, (size_t)--w->held_count * sizeof *w->held);
    flush_soon(worker);
    begin_next(worker);
}

static void finish(int worker, ResultOutcome outcome, uint64_t value) {
    Worker *w = &sim.workers[worker];
    const Held *held = &w->held[0];
    Answer answer = {held->task, held->attempt, outcome, held->kind, value, false};
    if (w->is_broken && chance(0.05)) {
        answer.is_short = true;
    }
    PROMISE(w->ready_count < HELD_MOST, "answers are sent");
    w->ready[w->ready_count++] = answer;
    if (outcome == RESULT_CANNOT && held->kind != TASK_TRAIN && w->says_again && chance(0.3)) {
        // What stood in its way has gone: it finds the answer after all.
        answer.outcome = RESULT_DONE;
        answer.value = owner_right_answer(&sim.jobs[held->body.job]);
        keep_unacked(w, &answer);
    }
    drop_first(worker);
}

// ---- computing ----

static void compute(int worker) {
    Worker *w = &sim.workers[worker];
    uint32_t most_ms = w->held[0].kind == TASK_TRAIN ? 30 : 60;
    uint32_t slow_ms = chance(0.01) ? below(6000) : 0; // less than any deadline
    Event *event = add_event(WORK, worker, 1 + slow_ms + below(1 + most_ms * w->pace / 100));
    event->life = w->number;
    event->attempt = w->held[0].attempt;
}

static void begin_next(int worker) {
    Worker *w = &sim.workers[worker];
    if (w->held_count > 0 && !w->held[0].is_begun) {
        w->held[0].is_begun = true;
        compute(worker);
    }
}

static void tell_progress(int worker, uint64_t done) {
    const Held *held = &sim.workers[worker].held[0];
    Message message = {.type = MESSAGE_PROGRESS};
    message.progress.task = held->task;
    message.progress.attempt = held->attempt;
    message.progress.done = done;
    message.progress.total = ROUNDS;
    message.progress.loss = chance(0.5) ? 1.0 : NAN;
    network_say(worker, &message);
}

static void send_blob(int worker, BlobKind kind, uint64_t number) {
    const Held *held = &sim.workers[worker].held[0];
    bool is_state = kind == BLOB_STATE;
    Message header = {.type = MESSAGE_BLOB};
    header.blob.kind = kind;
    header.blob.task = held->task;
    header.blob.attempt = held->attempt;
    header.blob.round = held->body.round;
    header.blob.first = is_state ? 0 : held->body.first;
    header.blob.count = is_state ? 0 : held->body.count;
    header.blob.total_bytes = sizeof number;
    header.blob.digest = digest_of(&number, sizeof number);
    if (sim.workers[worker].is_broken && chance(0.03)) {
        header.blob.first += 1;
    }
    network_send_blob(worker, &header, &number, sizeof number);
    if (is_state) {
        sim.workers[worker].state_header = header;
        sim.workers[worker].state = number;
        sim.workers[worker].owes_state = true;
    }
}

void worker_on_bulk_lost(int worker) {
    const Worker *w = &sim.workers[worker];
    if (w->owes_state && w->is_welcome) {
        network_send_blob(worker, &w->state_header, &w->state, sizeof w->state);
    }
}

static void train_step(int worker) {
    Held *held = &sim.workers[worker].held[0];
    Body *body = &held->body;
    bool is_alone = body->count == body->shards;
    uint64_t sum = share_sum(body->value, body->round, body->first, body->count);
    if (!is_alone &&
        (!sim.workers[worker].is_welcome || held->session != sim.workers[worker].session)) {
        drop_first(worker); // nobody will send it a total
    } else if (body->round == ROUNDS) {
        if (is_alone) {
            send_blob(worker, BLOB_STATE, body->value);
        }
        finish(worker, RESULT_DONE, body->value);
    } else if (is_alone && sim.jobs[body->job].diverges && body->round == ROUNDS / 2) {
        finish(worker, RESULT_IMPOSSIBLE, 0);
    } else if (is_alone) {
        body->value = next_value(body->value, body->round, sum);
        body->round++;
        tell_progress(worker, body->round);
        compute(worker);
    } else {
        send_blob(worker, BLOB_PARTIAL, sum);
        held->waits = true;
    }
}

static void say_nonsense(int worker) {
    Message hello = hello_of(&sim.workers[worker]);
    switch (below(4)) {
    case 0:
        network_say_bytes(worker, "\x93\x05garbage", 9);
        break;
    case 1:
        network_say(worker, &(Message){.type = MESSAGE_END, .end = {"so there"}});
        break;
    case 2:
        network_say(worker, &hello); // it has a session, if nothing went wrong on the way
        break;
    default: // a task that there never was
        network_say(
            worker,
            &(Message){
                .type = MESSAGE_RESULTS,
                .results = {.items = &(WireResult){.task = 1u << 30,
                                                   .attempt = (uint64_t)sim.incarnation << 32 | 1,
                                                   .body = "",
                                                   .body_bytes = 0},
                            .count = 1}});
    }
}

void worker_on_work(int worker, Event *event) {
    Worker *w = &sim.workers[worker];
    if (w->held_count == 0 || w->held[0].attempt != event->attempt) {
        return; // it was cancelled
    }
    Held *held = &w->held[0];
    if (w->hung_until_ms > sim.now_ms) {
        Event *again = add_event(WORK, worker, w->hung_until_ms - sim.now_ms);
        again->life = event->life;
        again->attempt = event->attempt;
        return;
    }
    Job *job = &sim.jobs[held->body.job];
    if (w->is_broken && chance(0.02)) {
        say_nonsense(worker);
    }
    if (held->is_cancelled) {
        drop_first(worker);
    } else if (job->is_poison) {
        job->kills++;
        worker_kill(worker, true);
    } else if ((job->nobody_can && chance(0.8)) || (w->blind >> job->model & 1) != 0 ||
               chance(sim.climate.cannot)) {
        finish(worker, RESULT_CANNOT, 0);
    } else if (held->kind == TASK_TRAIN) {
        train_step(worker);
    } else {
        uint64_t lie = w->lies && chance(0.3) ? 1 : 0;
        finish(worker, RESULT_DONE, owner_right_answer(job) ^ lie);
    }
}

// ---- what the coordinator says ----

static void on_task(int worker, const WireTask *task) {
    Worker *w = &sim.workers[worker];
    PROMISE(w->is_welcome, "work comes after WELCOME");
    PROMISE(w->allowance > 0, "no worker is sent more than it asked for");
    PROMISE(task->body_bytes == sizeof(Body), "a task's body arrives as it was sent");
    PROMISE(w->held_count < HELD_MOST, "no worker is sent more than it asked for");
    w->allowance--;
    Held *held = &w->held[w->held_count++];
    *held = (Held){.task = (uint32_t)task->task,
                   .attempt = task->attempt,
                   .kind = task->kind,
                   .session = w->session};
    memcpy(&held->body, task->body, sizeof held->body);
    begin_next(worker);
}

static void on_cancel(int worker, const WireLease *lease) {
    Worker *w = &sim.workers[worker];
    for (int i = 0; i < w->held_count; i++) {
        if (w->held[i].attempt != lease->attempt || w->held[i].is_cancelled) {
            continue;
        }
        if (i > 0) {
            w->owed += w->is_welcome && w->held[i].session == w->session;
            memmove(w->held + i, w->held + i + 1, (size_t)(--w->held_count - i) * sizeof *w->held);
            flush_soon(worker);
        } else if (w->hung_until_ms > sim.now_ms) {
            w->held[0].is_cancelled = true;
            if (w->held[0].waits) {
                compute(worker); // until then it does not see it
            }
        } else {
            drop_first(worker);
        }
        return;
    }
}

static void forget_unacked(Worker *w, const WireLease *ack) {
    w->owes_state &= w->state_header.blob.attempt != ack->attempt;
    for (int i = 0; i < w->unacked_count; i++) {
        if (w->unacked[i].task == ack->task && w->unacked[i].attempt == ack->attempt) {
            w->unacked[i] = w->unacked[--w->unacked_count];
            return;
        }
    }
}

static void on_welcome(int worker, const Message *message) {
    Worker *w = &sim.workers[worker];
    PROMISE(message->welcome.alive_ms == ALIVE_MS, "WELCOME tells how often to say something");
    w->is_welcome = true;
    w->token = message->welcome.token;
    w->session++; // what it still computes belongs to the one before
    add_event(BEAT, worker, ALIVE_MS)->life = w->session;
    if (w->says_again && w->unacked_count > 0) {
        sim.tally->repeated += (uint64_t)w->unacked_count;
        say_answers(worker, w->unacked, w->unacked_count);
    }
    give_credit(worker, w->window);
    if (w->is_leaving && w->held_count == 0 && w->ready_count == 0) {
        leave(worker);
    }
}

static void on_refused(int worker, RefusedCode code) {
    Worker *w = &sim.workers[worker];
    if (code == REFUSED_UNKNOWN) {
        // Once for each message that was on the way: the first counts.
        if (w->is_welcome) {
            end_session(worker);
            say_hello(worker);
        }
        return;
    }
    PROMISE(code == REFUSED_MALFORMED && w->is_broken, "only a broken worker is refused");
    sim.tally->refusals++;
    network_break(worker, true, false);
    end_process(worker);
}

void worker_on_control(int worker, const Message *message) {
    Worker *w = &sim.workers[worker];
    w->heard_ms = sim.now_ms;
    TRACE("%s (peer %u) gets %s", w->name, w->peer, message_type_name(message->type));
    switch ((int)message->type) {
    case MESSAGE_WELCOME:
        on_welcome(worker, message);
        break;
    case MESSAGE_TASKS:
        for (uint32_t i = 0; i < message->tasks.count; i++) {
            on_task(worker, &message->tasks.items[i]);
        }
        break;
    case MESSAGE_CANCEL:
        on_cancel(worker, &message->cancel);
        break;
    case MESSAGE_ACKS:
        for (uint32_t i = 0; i < message->acks.count; i++) {
            forget_unacked(w, &message->acks.items[i]);
        }
        break;
    case MESSAGE_REFUSED:
        on_refused(worker, message->refused.code);
        break;
    case MESSAGE_END:
        network_break(worker, true, false);
        end_process(worker);
        break;
    case MESSAGE_ECHO:
        break;
    default:
        PROMISE(false, "a coordinator sends no %s", message_type_name(message->type));
    }
}

void worker_on_total(int worker, const Message *header, const Buffer *bytes) {
    Worker *w = &sim.workers[worker];
    Held *held = &w->held[0];
    if (w->held_count == 0 || held->attempt != header->blob.attempt) {
        return; // it crossed a CANCEL
    }
    uint64_t total;
    PROMISE(held->waits, "a total answers a sum");
    PROMISE(header->blob.kind == BLOB_TOTAL && header->blob.round == held->body.round &&
                bytes->size == sizeof total,
            "a total is of the round that its member waits for");
    memcpy(&total, bytes->bytes, sizeof total);
    held->body.value = next_value(held->body.value, held->body.round, total);
    held->body.round++;
    held->waits = false;
    tell_progress(worker, held->body.round);
    compute(worker);
}

void worker_on_beat(int worker) {
    Worker *w = &sim.workers[worker];
    if (sim.now_ms - w->heard_ms > GIVE_UP_ALIVES * ALIVE_MS) {
        network_break(worker, chance(0.5), chance(0.5));
        worker_connect(worker);
        return;
    }
    if (w->is_welcome && w->hung_until_ms > sim.now_ms && w->held_count > 0 && chance(0.3)) {
        tell_progress(worker, w->held[0].body.round); // nothing new
    } else if (w->is_welcome) {
        network_say(worker, &(Message){.type = MESSAGE_ALIVE});
    }
    add_event(BEAT, worker, ALIVE_MS)->life = w->session;
}
