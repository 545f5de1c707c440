// SPDX-License-Identifier: Apache-2.0
#include "common/base/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

void buffer_done(Buffer *buffer) {
    mem_free(buffer->bytes);
    *buffer = BUFFER_EMPTY;
}

void buffer_clear(Buffer *buffer) {
    buffer->size = 0;
    if (buffer->bytes != NULL) {
        buffer->bytes[0] = '\0';
    }
}

bool buffer_reserve(Buffer *buffer, size_t more) {
    if (buffer->status != STATUS_OK) {
        return false;
    }
    if (more > SIZE_MAX / 4 || buffer->size > SIZE_MAX / 4) {
        buffer->status = status_set(STATUS_MEMORY, "out of memory: %zu more bytes", more);
        return false;
    }
    size_t needed = buffer->size + more + 1;
    if (needed <= buffer->capacity) {
        return true;
    }
    size_t capacity = buffer->capacity > 0 ? buffer->capacity * 2 : 256;
    capacity = capacity < needed ? needed : capacity;
    char *bytes = mem_resize(buffer->bytes, capacity, 1);
    if (bytes == NULL) {
        buffer->status = STATUS_MEMORY;
        return false;
    }
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    buffer->bytes[buffer->size] = '\0';
    return true;
}

void buffer_append(Buffer *buffer, const void *bytes, size_t size) {
    if (!buffer_reserve(buffer, size)) {
        return;
    }
    if (size > 0) {
        memcpy(buffer->bytes + buffer->size, bytes, size);
    }
    buffer->size += size;
    buffer->bytes[buffer->size] = '\0';
}

void buffer_text(Buffer *buffer, const char *text) {
    buffer_append(buffer, text, strlen(text));
}

void buffer_format(Buffer *buffer, const char *format, ...) {
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size > 0 && buffer_reserve(buffer, (size_t)size)) {
        vsnprintf(buffer->bytes + buffer->size, (size_t)size + 1, format, again);
        buffer->size += (size_t)size;
    }
    va_end(again);
}

void buffer_number(Buffer *buffer, double value) {
    char text[TEXT_NUMBER_BYTES];
    text_number(text, value);
    buffer_text(buffer, text);
}

void buffer_json(Buffer *buffer, const char *text) {
    buffer_text(buffer, "\"");
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20) {
            buffer_format(buffer, "\\u%04x", (unsigned char)*text);
        } else {
            buffer_text(buffer, *text == '"' || *text == '\\' ? "\\" : "");
            buffer_append(buffer, text, 1);
        }
    }
    buffer_text(buffer, "\"");
}

const char *buffer_cstr(const Buffer *buffer) {
    return buffer->bytes != NULL ? buffer->bytes : "";
}
