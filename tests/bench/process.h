// SPDX-License-Identifier: Apache-2.0
//
// The processes of a measured cluster, each of which dies with the bench, and the memory that they
// tell it things in. One thread.
#ifndef AUSCULT_BENCH_PROCESS_H
#define AUSCULT_BENCH_PROCESS_H

#include <stdatomic.h>
#include <sys/types.h>

#include "tests/bench/bench.h"

// Zeroed memory that children share with this process. NULL when there is none.
void *process_share(size_t size);
void process_unshare(void *memory, size_t size);

// Runs `body` in a child on all processors; its return value is the exit status.
Status process_start(const Bench *bench, int (*body)(void *context), void *context, pid_t *ret_pid);
// The auscult-worker beside this program.
Status process_start_worker(const Bench *bench, const char *endpoint, pid_t *ret_pid);
// Signals and reaps, after a few seconds with SIGKILL. 0 is no process; *pid becomes that.
void process_end(pid_t *pid, int signal_number);
// STATUS_IO unless the process ends with exit status 0 by itself within the time.
Status process_join(pid_t *pid, int64_t timeout_ms);
// Waits until *value is at least so large. STATUS_IO names what was waited for.
Status process_wait(const atomic_uint *value, uint32_t least, int64_t timeout_ms, const char *what);

// Processor time of all processes that have ended so far.
double process_spent_ns(void);

// Processor time of a process that lives, in seconds. 0 when it cannot be seen.
double process_spent_by(pid_t pid);

// The path of a program beside this one.
Status process_program(const char *name, char out[LIMIT_PATH_BYTES]);
// The number behind `key` in /proc/PID/status; -1 when there is none.
long process_number(pid_t pid, const char *key);
// Resident memory that no file stands behind, to the page (`status` only knows it roughly). 0 when
// it cannot be seen.
double process_resident_bytes(pid_t pid);

#endif
