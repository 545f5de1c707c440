// SPDX-License-Identifier: Apache-2.0
//
// A coordinator of empty tasks, as a child process: the real loop, core and journal with an owner
// whose tasks do nothing, so that what is measured is the system itself. It tells what happens in
// memory that it shares with the bench.
#ifndef AUSCULT_BENCH_EMPTY_H
#define AUSCULT_BENCH_EMPTY_H

#include "common/engine/fingerprint.h"
#include "proto/channel.h"
#include "tests/bench/process.h"

#define EMPTY_TRIPS_MOST 10000

typedef enum EmptyMode {
    EMPTY_AT_ONCE, // all tasks, when so many workers are there; when a run goes on, at once
    EMPTY_IN_TURN, // one after the other, each followed by a commit without a task
    EMPTY_ASKED,   // as many as `wanted` says
} EmptyMode;

// What became of a task, over several coordinators on one run.
enum {
    EMPTY_DURABLE = 1, // the owner was told: its acknowledgement goes out
    EMPTY_FOUND = 2,   // a later coordinator found it finished
    EMPTY_TWICE = 4,   // it became durable although it was that already
};

typedef struct EmptyTold {
    atomic_uint is_serving; // the loop runs
    atomic_uint workers, durable, found;
    atomic_uint left;    // workers whose sessions ended
    atomic_uint wanted;  // by the bench: tasks that there should be
    atomic_uint may_end; // by the bench, where the coordinator stays
    atomic_uint trips;
    _Atomic int64_t begun_ns;           // the first task was given to a worker
    _Atomic int64_t ended_ns;           // the last answer became durable
    _Atomic int64_t joined_ns;          // as many workers as are expected were there
    double waiting_bytes;               // resident memory that adding the tasks took
    double trip_ns[EMPTY_TRIPS_MOST];   // (trips) from added to durable
    double commit_ns[EMPTY_TRIPS_MOST]; // (trips) of the commit that followed
} EmptyTold;

typedef struct EmptyConfig {
    const Bench *bench;
    const Fingerprint *fingerprint;
    const char *run;  // folder; made when it is not there
    const char *bind; // NULL: ipc
    EmptyMode mode;
    uint32_t tasks;       // in all; EMPTY_ASKED: at most
    uint32_t workers;     // expected
    bool stays;           // when all tasks are done, until it may end
    bool has_keys;        // its clients read them in RUN/keys
    EmptyTold *told;      // shared
    unsigned char *marks; // (tasks) shared; NULL: not kept
} EmptyConfig;

// Starts it and waits until it serves. `endpoint` is what workers connect to.
Status empty_start(const EmptyConfig *config, pid_t *ret_pid, char endpoint[CHANNEL_ADDRESS_BYTES]);
// How many of its tasks the journal of a run that nobody has open says are finished.
Status empty_count(const char *run, uint64_t *ret_count);

#endif
