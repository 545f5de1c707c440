// SPDX-License-Identifier: Apache-2.0
//
// The owner of the core: models that are probed, trained piece by piece and scored, as
// coordinator/plan does it, each computation being a line of arithmetic that shows every round lost
// or counted twice. What it needs after a new start it takes from the disk alone.
#include <string.h>

#include "tests/sim/sim.h"

// ---- the arithmetic that stands for models and scores ----

uint64_t share_sum(uint64_t value, uint32_t round, uint32_t first, uint32_t count) {
    uint64_t sum = 0;
    for (uint32_t s = first; s < first + count; s++) {
        sum += mix(value + s, round);
    }
    return sum;
}

uint64_t next_value(uint64_t value, uint32_t round, uint64_t total) {
    return mix(value, total + round);
}

// What a model is before `piece`, if nothing ever goes wrong.
static uint64_t undisturbed(int model, uint32_t piece) {
    uint64_t value = mix((uint64_t)model, sim.seed);
    for (uint32_t p = 0; p < piece; p++) {
        for (uint32_t round = 0; round < ROUNDS; round++) {
            value = next_value(value, round, share_sum(value, round, 0, sim.models[model].shards));
        }
    }
    return value;
}

uint64_t owner_right_answer(const Job *job) {
    return job->kind == TASK_TRAIN ? undisturbed(job->model, job->piece + 1)
                                   : mix((uint64_t)job_index(job), sim.seed);
}

int job_index(const Job *job) {
    return (int)(job - sim.jobs);
}

Job *job_of(TaskTag tag) {
    PROMISE(tag < sim.tag_count, "the core speaks of tasks that it was given");
    return &sim.jobs[sim.job_of_tag[tag]];
}

// ---- what there is to do ----

static void make_job(int model, TaskKind kind, uint32_t piece) {
    PROMISE(sim.job_count < JOBS_MOST, "the world is too large");
    Job *job = &sim.jobs[sim.job_count++];
    bool is_batch = kind != TASK_TRAIN;
    job->kind = kind;
    job->model = model;
    job->piece = piece;
    job->is_poison = is_batch && chance(0.01);
    job->nobody_can = chance(0.02);
    job->diverges = !is_batch && chance(0.03);
}

void owner_make(void) {
    for (int m = 0; m < sim.climate.models; m++) {
        Model *model = &sim.models[m];
        *model = (Model){
            .shards = 1u << below(4), .pieces = 1 + below(PIECES_MOST), .first_job = sim.job_count};
        uint32_t probes = 1 + below(30), scores = 1 + below(30);
        for (uint32_t i = 0; i < probes; i++) {
            make_job(m, TASK_PROBE, 0);
        }
        for (uint32_t i = 0; i < model->pieces; i++) {
            make_job(m, TASK_TRAIN, i);
        }
        for (uint32_t i = 0; i < scores; i++) {
            make_job(m, TASK_SCORE, 0);
        }
        model->job_count = sim.job_count - model->first_job;
    }
}

static uint32_t phase_of(const Job *job) {
    const Model *model = &sim.models[job->model];
    return job->kind == TASK_PROBE   ? 0
           : job->kind == TASK_TRAIN ? 1 + job->piece
                                     : 1 + model->pieces;
}

static void add_task(Job *job) {
    const Record *record = &sim.disk.records[job_index(job)];
    job->is_added = true;
    job->tag = (TaskTag)sim.tag_count;
    sim.job_of_tag[sim.tag_count++] = job_index(job);
    job->round = 0;
    job->value = undisturbed(job->model, job->piece);
    job->group_ms = sim.now_ms;
    job->deaths = job->old_deaths = record->deaths;
    job->cannots = job->old_cannots = record->cannots;
    job->most_deaths = job->deaths;
    CoreTask task = {.kind = job->kind,
                     .tag = job->tag,
                     .shards = job->kind == TASK_TRAIN ? sim.models[job->model].shards : 0,
                     .deaths = record->deaths,
                     .cannots = record->cannots,
                     .place = job->tag % 3 == 0 ? 0 : 1 + job->tag % 8};
    PROMISE(core_add_task(sim.core, &task, sim.now_ms) == STATUS_OK, "tasks can be added");
}

// Begins the phase if it has anything open, else the one behind it.
static void enter_phase(Model *model, uint32_t phase) {
    model->phase = phase;
    model->open = 0;
    if (model->has_failed || phase > model->pieces + 1) {
        model->phase = model->pieces + 2;
        return;
    }
    for (int i = model->first_job; i < model->first_job + model->job_count; i++) {
        const Record *record = &sim.disk.records[i];
        if (phase_of(&sim.jobs[i]) != phase) {
            continue;
        }
        if (record->is_given_up && sim.jobs[i].kind == TASK_TRAIN) {
            model->has_failed = true;
        } else if (!record->is_done && !record->is_given_up) {
            add_task(&sim.jobs[i]);
            model->open++;
        }
    }
    if (model->open == 0) {
        enter_phase(model, phase + 1);
    }
}

void owner_start(void) {
    sim.tag_count = 0;
    for (int i = 0; i < sim.job_count; i++) {
        Job *job = &sim.jobs[i];
        job->is_added = job->is_committed = job->is_doubted = job->is_over = false;
        job->members = job->sum_mask = job->share_mask = job->holders = 0;
        job->failed_count = job->starved_audits = job->lone_audits = job->alarms_due = 0;
        job->is_awaited = job->is_given_up = job->was_forgiven = job->is_looked_over =
            job->is_forgotten = false;
        job->first_name[0] = '\0';
        job->sum = 0;
        job->has_state = false;
    }
    for (int m = 0; m < sim.climate.models; m++) {
        sim.models[m].has_failed = false;
        enter_phase(&sim.models[m], 0);
    }
}

bool owner_is_over(void) {
    for (int m = 0; m < sim.climate.models; m++) {
        if (sim.models[m].phase < sim.models[m].pieces + 2) {
            return false;
        }
    }
    return sim.core != NULL;
}

static void settle(Job *job) {
    Model *model = &sim.models[job->model];
    job->is_over = true;
    model->has_failed |= job->kind == TASK_TRAIN && sim.disk.records[job_index(job)].is_given_up;
    if (--model->open == 0) {
        enter_phase(model, model->phase + 1);
    }
}

// ---- hooks ----

static void task_body(void *context, TaskTag tag, CoreShare share, Buffer *out) {
    (void)context;
    Job *job = job_of(tag);
    uint32_t shards = sim.models[job->model].shards;
    Body body = {.job = (uint32_t)job_index(job)};
    if (job->kind == TASK_TRAIN) {
        uint32_t mask = ((1u << share.count) - 1) << share.first;
        PROMISE(share.count > 0 && share.count * job->members == shards &&
                    share.first % share.count == 0 && share.first + share.count <= shards &&
                    (job->share_mask & mask) == 0,
                "shares are aligned and cover the model once");
        job->share_mask |= mask;
        body.value = job->value;
        body.round = job->round;
        body.first = share.first;
        body.count = share.count;
        body.shards = shards;
    } else {
        PROMISE(share.count == 0, "only models are shared");
    }
    buffer_append(out, &body, sizeof body);
}

static Status take_answer(void *context, TaskTag tag, CoreShare share, const void *bytes,
                          size_t size) {
    (void)context;
    const Job *job = job_of(tag);
    uint64_t answer;
    if (size != sizeof answer) {
        return status_set(STATUS_FORMAT, "an answer of %zu bytes", size);
    }
    if (job->kind != TASK_TRAIN) {
        return STATUS_OK; // its bits are believed
    }
    PROMISE(share.count > 0 && job->members > 0 && !job->is_over,
            "a training is answered by its group alone");
    bool is_alone = share.count == sim.models[job->model].shards;
    if (is_alone && !job->has_state) {
        return STATUS_AGAIN;
    }
    memcpy(&answer, bytes, sizeof answer);
    return job->round == ROUNDS && answer == job->value ? STATUS_OK
                                                        : status_set(STATUS_FORMAT, "another sum");
}

static Status take_state(void *context, TaskTag tag, const void *bytes, size_t size) {
    (void)context;
    Job *job = job_of(tag);
    PROMISE(job->members == 1 && size == sizeof job->value, "a state is of a model held by one");
    memcpy(&job->value, bytes, sizeof job->value);
    job->round = ROUNDS;
    job->has_state = true;
    return STATUS_OK;
}

static Status take_sum(void *context, TaskTag tag, const CoreSum *sum, Buffer *total,
                       BlobKind *total_kind) {
    (void)context;
    Job *job = job_of(tag);
    uint64_t part;
    uint32_t all = (1u << sim.models[job->model].shards) - 1;
    uint32_t mask = ((1u << sum->share.count) - 1) << sum->share.first;
    PROMISE(job->members > 1 && sum->round == job->round && (job->sum_mask & mask) == 0 &&
                sum->size == sizeof part,
            "each member's sum counts once, in its round");
    memcpy(&part, sum->bytes, sizeof part);
    job->sum_mask |= mask;
    job->sum += part;
    if (job->sum_mask != all) {
        return STATUS_AGAIN;
    }
    if (job->diverges && job->round == ROUNDS / 2) {
        body_encode_cannot(&(CannotBody){.reason = "diverged"}, total);
        return status_set(STATUS_INVALID, "diverged");
    }
    buffer_append(total, &job->sum, sizeof job->sum);
    *total_kind = BLOB_TOTAL;
    job->value = next_value(job->value, job->round, job->sum);
    job->round++;
    job->sum_mask = 0;
    job->sum = 0;
    return STATUS_OK;
}

static Status group_changed(void *context, TaskTag tag, uint32_t members) {
    (void)context;
    Job *job = job_of(tag);
    PROMISE((members == 0) != (job->members == 0), "a group ends before another begins");
    TRACE("job %d has a group of %u", job_index(job), members);
    job->members = members;
    job->sum_mask = job->share_mask = 0;
    job->sum = 0;
    job->has_state = false;
    job->group_ms = sim.now_ms;
    sim.tally->groups += members > 1;
    return STATUS_OK;
}

// Models want one, two, four or eight members; a larger group waits a while for its workers.
static uint32_t members_wanted(void *context, TaskTag tag, uint32_t free_workers, uint32_t sessions,
                               uint32_t train_tasks, int64_t waited_ms) {
    (void)context;
    const Job *job = job_of(tag);
    uint32_t shards = sim.models[job->model].shards;
    PROMISE(free_workers >= 1 && free_workers <= sessions && train_tasks >= 1 && waited_ms >= 0,
            "a group is asked for with the facts");
    uint32_t wanted = 1u << job->model % 4;
    wanted = wanted < shards ? wanted : shards;
    if (free_workers < wanted && waited_ms < 500) {
        return 0;
    }
    while (wanted > free_workers) {
        wanted /= 2;
    }
    return wanted;
}

CoreHooks owner_hooks(void) {
    return (CoreHooks){.task_body = task_body,
                       .take_answer = take_answer,
                       .take_state = take_state, // without blob_most: there is no bulk lane here
                       .take_sum = take_sum,
                       .group_changed = group_changed,
                       .members_wanted = members_wanted};
}

// ---- what the core asks for ----

void owner_on_commit(TaskTag tag, const Buffer *answer) {
    Job *job = job_of(tag);
    Put put = {.kind = PUT_ANSWER, .job = job_index(job)};
    PROMISE(answer->size == sizeof put.answer, "an answer is committed as it came");
    memcpy(&put.answer, answer->bytes, sizeof put.answer);
    says_commit(job, put.answer);
    disk_put(&put);
}

static void give_up(Job *job) {
    says_give_up(job);
    core_abandon(sim.core, job->tag);
    disk_put(&(Put){.kind = PUT_GIVE_UP, .job = job_index(job)});
}

static void retry(Job *job) {
    job->is_forgotten = job->deaths + job->cannots > 0;
    sim.quiet.forgotten += job->is_forgotten;
    job->is_doubted = false;
    job->group_ms = sim.now_ms;
    job->is_looked_over = false;
    job->failed_count = job->deaths = job->cannots = job->old_deaths = job->old_cannots = 0;
    core_retry(sim.core, job->tag, sim.now_ms);
}

static void mend_in_a_while(int job) {
    Event *event = add_event(MEND, -1, 1000 + below(chance(0.3) ? 200000 : 20000));
    event->life = sim.incarnation;
    event->job = job;
}

// The owner can read what workers cannot.
static void let_wait(Job *job) {
    TRACE("job %d waits for other workers", job_index(job));
    job->is_doubted = false;
    job->is_looked_over = true;
    job->old_cannots = job->cannots;
    job->group_ms = sim.now_ms;
    sim.tally->stranded++;
    core_wait(sim.core, job->tag, sim.now_ms);
    mend_in_a_while(job_index(job));
}

// Somebody reads in the log which worker could not read what, until all is read.
void owner_on_mend(int index) {
    const Job *job = &sim.jobs[index];
    if (job->is_looked_over && !job->is_over) {
        worker_mend((int)below((uint32_t)sim.climate.workers));
        mend_in_a_while(index);
    }
}

void owner_on_look(int index) {
    Job *job = &sim.jobs[index];
    if (job->kind == TASK_TRAIN && !job->nobody_can && sim.climate.blind > 0) {
        let_wait(job);
        return;
    }
    if (job->kind == TASK_TRAIN) {
        job->nobody_can = false; // what stood in the way has been left out
        retry(job);
        return;
    }
    uint64_t answer = owner_right_answer(job);
    sim.quiet.has_owner_answered = true;
    PROMISE(core_answer(sim.core, job->tag, &answer, sizeof answer, sim.now_ms) == STATUS_OK,
            "the owner's own answer is taken");
}

// It may take a while, in which others answer after all.
void owner_on_cannot(TaskTag tag) {
    Job *job = job_of(tag);
    sim.tally->cannots++;
    says_doubt(job, CORE_CANNOT);
    if (chance(0.5)) {
        owner_on_look(job_index(job));
        return;
    }
    Event *event = add_event(LOOK, -1, below(chance(0.2) ? 60000 : 2000));
    event->life = sim.incarnation;
    event->job = job_index(job);
}

// Kept, so that the next coordinator goes on counting.
void owner_on_failed(TaskTag tag, uint32_t deaths, uint32_t cannots) {
    disk_put(&(Put){
        .kind = PUT_FAILED, .job = job_index(job_of(tag)), .deaths = deaths, .cannots = cannots});
}

void owner_on_impossible(TaskTag tag) {
    Job *job = job_of(tag);
    sim.tally->impossibles++;
    says_doubt(job, CORE_IMPOSSIBLE);
    give_up(job);
}

void owner_on_poison(TaskTag tag) {
    Job *job = job_of(tag);
    sim.tally->poisons++;
    says_doubt(job, CORE_POISON);
    if (job->is_poison) {
        give_up(job);
        return;
    }
    retry(job); // bad luck: accidents killed all that held it
}

// What the journal says is durable, in the order of the real loop: the core first.
void owner_on_told(const Put *put) {
    Job *job = &sim.jobs[put->job];
    if (put->kind == PUT_ANSWER) {
        core_on_durable(sim.core, job->tag, sim.now_ms);
        settle(job);
    } else if (put->kind == PUT_GIVE_UP) {
        settle(job);
    }
}
