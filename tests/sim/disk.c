// SPDX-License-Identifier: Apache-2.0
//
// The journal as a model: puts queue; a transaction takes all that wait, and what comes meanwhile
// goes into the next; when it has ended its records are durable, and some time later the loop is
// told. A transaction may fail, and then nobody knows whether it is on the disk; nothing is written
// after it. A new coordinator knows what is durable and nothing else.
#include <string.h>

#include "common/base/mem.h"
#include "tests/sim/sim.h"

static void append(PutQueue *queue, const Put *put) {
    if (queue->count == queue->capacity) {
        queue->capacity = queue->capacity > 0 ? 2 * queue->capacity : 64;
        queue->puts = mem_resize(queue->puts, queue->capacity, sizeof *queue->puts);
        PROMISE(queue->puts != NULL, "out of memory");
    }
    queue->puts[queue->count++] = *put;
}

static void begin_transaction(void) {
    Disk *disk = &sim.disk;
    if (disk->is_committing || disk->is_broken || disk->queue.count == 0) {
        return;
    }
    PutQueue empty = disk->group;
    disk->group = disk->queue;
    disk->queue = empty;
    disk->queue.count = 0;
    disk->is_committing = true;
    bool is_slow = sim.now_ms < disk->slow_until_ms || chance(sim.climate.slow_commit);
    add_event(COMMITTED, -1, below(is_slow ? 3000 : 5))->life = sim.incarnation;
}

void disk_put(const Put *put) {
    if (!sim.disk.is_broken) {
        append(&sim.disk.queue, put);
        begin_transaction();
    }
}

static void make_durable(void) {
    for (uint32_t i = 0; i < sim.disk.group.count; i++) {
        const Put *put = &sim.disk.group.puts[i];
        Record *record = &sim.disk.records[put->job];
        switch (put->kind) {
        case PUT_ANSWER:
            PROMISE(!record->is_done && !record->is_given_up,
                    "each task is done exactly once in the journal");
            record->is_done = true;
            record->answer = put->answer;
            record->deaths = record->cannots = 0;
            break;
        case PUT_GIVE_UP:
            PROMISE(!record->is_done, "what is done is not given up");
            record->is_given_up = true;
            break;
        case PUT_FAILED:
            if (!record->is_done) {
                record->deaths = put->deaths;
                record->cannots = put->cannots;
            }
            break;
        }
    }
}

void disk_on_committed(void) {
    Disk *disk = &sim.disk;
    disk->is_committing = false;
    if (disk->fail_in > 0 && --disk->fail_in == 0) {
        bool is_there_all_the_same = chance(0.5);
        TRACE("the disk fails, its last transaction is %s",
              is_there_all_the_same ? "there" : "lost");
        if (is_there_all_the_same) {
            make_durable();
        }
        disk->is_broken = true;
        add_event(TICKETS, -1, below(3))->life = sim.incarnation;
        return;
    }
    make_durable();
    if (disk->told.count == 0) {
        add_event(TICKETS, -1, below(chance(0.1) ? 30 : 2))->life = sim.incarnation;
    }
    for (uint32_t i = 0; i < disk->group.count; i++) {
        append(&disk->told, &disk->group.puts[i]);
    }
    disk->group.count = 0;
    begin_transaction();
}

void disk_crash(void) {
    Disk *disk = &sim.disk;
    if (disk->is_committing && chance(0.5)) {
        make_durable();
    }
    disk->queue.count = disk->group.count = disk->told.count = 0;
    disk->is_committing = disk->is_broken = false;
    disk->fail_in = 0;
}

void disk_done(void) {
    mem_free(sim.disk.queue.puts);
    mem_free(sim.disk.group.puts);
    mem_free(sim.disk.told.puts);
}
