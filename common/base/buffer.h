// SPDX-License-Identifier: Apache-2.0
//
// A growing run of bytes, for messages, CSV rows and file contents. Sticky: after a failed
// allocation every further call does nothing and buffer_status tells, so that a writer appends all
// its fields and checks once. Not shared between threads.
#ifndef AUSCULT_BASE_BUFFER_H
#define AUSCULT_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"

typedef struct Buffer {
    char *bytes;     // NUL-terminated after every call, NULL while empty
    size_t size;     // bytes used, without the NUL
    size_t capacity; // bytes allocated
    Status status;   // the first failure
} Buffer;

#define BUFFER_EMPTY ((Buffer){0})

void buffer_done(Buffer *buffer);
void buffer_clear(Buffer *buffer);
// Makes room for `more` bytes behind `size` and a NUL, for writers that fill `bytes` themselves.
bool buffer_reserve(Buffer *buffer, size_t more);
void buffer_append(Buffer *buffer, const void *bytes, size_t size);
void buffer_text(Buffer *buffer, const char *text);
void buffer_format(Buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
// The shortest decimal that reads back to the same double ("nan", "inf" and "-inf" too).
void buffer_number(Buffer *buffer, double value);
// The text as a JSON string, quotes and escapes included. UTF-8 passes as it is; text of any other
// kind goes through text_fit (common/base/text.h) first.
void buffer_json(Buffer *buffer, const char *text);
// The contents as text, "" while empty; borrowed until the next call.
const char *buffer_cstr(const Buffer *buffer);

#endif
