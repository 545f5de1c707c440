// SPDX-License-Identifier: Apache-2.0
//
// Who works on a run: a small file beside the journal that is locked while a coordinator lives and
// says which one it is. Where locks work they keep a second coordinator out. Where they lie (some
// network file systems grant everybody everything) the file's contents do: a coordinator that finds
// another's name in it has lost the run and must not write any more. Also looks at what kind of
// file system the run lies on. Any thread, but an object is used by one at a time.
#ifndef AUSCULT_COORDINATOR_JOURNAL_RUN_LOCK_H
#define AUSCULT_COORDINATOR_JOURNAL_RUN_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"

typedef struct RunLock RunLock;

// What the file said before it was taken.
typedef struct RunLockPast {
    bool was_there;  // somebody has worked on this run before
    bool was_closed; // and left it in order
    uint32_t number; // of that coordinator; 0: not known
} RunLockPast;

// Takes the lock, makes the file if need be. STATUS_IO: another
// coordinator holds it (named by host and process), or no locks are to be had here (with what can
// be done about it).
Status run_lock_take(const char *path, RunLock **ret, RunLockPast *ret_past);
// Reads what the file says and whether somebody holds it, and changes nothing. STATUS_NOT_FOUND
// when there is none, STATUS_IO.
Status run_lock_look(const char *path, RunLockPast *ret_past, bool *ret_is_held);
// Writes into the file that this process has the run from now on, as coordinator `number`. That the
// file keeps the number shows a journal that is older than the run. STATUS_IO.
Status run_lock_sign(RunLock *lock, uint32_t number);
// Reads the file anew: STATUS_OK while it still names this process, STATUS_IO naming who has it.
Status run_lock_check(const RunLock *lock);
// Lets go, and signs off before if the run was left in order; accepts NULL.
void run_lock_free(RunLock *lock, bool is_in_order);

// The name of the network (or unknown) file system that a path lies on, NULL for a local one;
// borrowed for good.
const char *run_lock_network(const char *path);

#endif
