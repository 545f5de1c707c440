// SPDX-License-Identifier: Apache-2.0
#include "common/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/limits.h"

static _Thread_local char message[LIMIT_MESSAGE_BYTES];

Status status_set(Status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    // Formatted aside, since an argument may be the message itself.
    char next[sizeof message];
    vsnprintf(next, sizeof next, format, args);
    va_end(args);
    memcpy(message, next, sizeof message);
    return status;
}

Status status_prefix(Status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char next[sizeof message];
    int used = vsnprintf(next, sizeof next, format, args);
    va_end(args);
    if (used < 0) {
        return status;
    }
    if ((size_t)used < sizeof next) {
        snprintf(next + used, sizeof next - (size_t)used, ": %s", message);
    }
    memcpy(message, next, sizeof message);
    return status;
}

const char *status_message(void) {
    return message;
}

void status_clear(void) {
    message[0] = '\0';
}
