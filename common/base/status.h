// SPDX-License-Identifier: Apache-2.0
//
// What every function that can fail returns, and the one message that says what failed.
// A failure sets a thread-local message naming what and which ("cannot open x.wav: ..."), lower
// case and without a full stop. Library code never logs: the loop or main that handles the error
// logs it once. Any thread may call everything here; each has a message of its own.
#ifndef AUSCULT_BASE_STATUS_H
#define AUSCULT_BASE_STATUS_H

typedef enum Status {
    STATUS_OK = 0,
    STATUS_INVALID = -1,   // a value the user gave is outside its accepted range
    STATUS_IO = -2,        // the operating system refused: open, read, write, sync, connect
    STATUS_NOT_FOUND = -3, // the named thing does not exist
    STATUS_FORMAT = -4,    // bytes were read but do not decode: a fact of the data
    STATUS_MEMORY = -5,    // an allocation failed
    STATUS_LIMIT = -6,     // a bound of common/base/limits.h was met
    STATUS_MISMATCH = -7,  // version, kernel or digest differs from what is needed
    STATUS_STOPPED = -8,   // a signal or a cancelled lease asked for an end
    STATUS_AGAIN = -9,     // nothing there now, try later
} Status;

// Sets this thread's message and returns `status`, so that a failure is one line:
//     return status_set(STATUS_IO, "cannot open %s: %s", path, strerror(errno));
Status status_set(Status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Puts "prefix: " before this thread's message and returns `status` unchanged.
Status status_prefix(Status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

// This thread's last message; borrowed until the thread's next failure. Never NULL.
const char *status_message(void);

// Forgets this thread's message.
void status_clear(void);

#endif
