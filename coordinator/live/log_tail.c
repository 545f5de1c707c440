// SPDX-License-Identifier: Apache-2.0
#include "coordinator/live/log_tail.h"

#include <fcntl.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/limits.h"

enum {
    LINES_MOST = 20,
    LOOK_BYTES = 64 << 10, // of the log's end: -v writes many lines that are not shown
};

// "2026-01-02T03:04:05.678Z debug ...": the second word tells.
static bool is_for_debugging(const char *line, size_t size) {
    const char *space = memchr(line, ' ', size);
    size_t left = space != NULL ? size - (size_t)(space - line) : 0;
    return space == NULL || (left > 7 && memcmp(space, " debug ", 7) == 0);
}

// Cuts the text down to its last lines that are worth it, in place.
static void keep_last(const char *text, size_t size, Buffer *out) {
    struct {
        const char *start;
        size_t size;
    } lines[LINES_MOST];
    size_t count = 0;
    for (const char *end = text + size; end > text && count < LINES_MOST;) {
        const char *start = memrchr(text, '\n', (size_t)(end - 1 - text));
        start = start != NULL ? start + 1 : text;
        if (!is_for_debugging(start, (size_t)(end - start))) {
            lines[count].start = start;
            lines[count++].size = (size_t)(end - start);
        }
        end = start;
    }
    while (count-- > 0) {
        buffer_append(out, lines[count].start, lines[count].size);
    }
}

void log_tail(const char *run_folder, Buffer *out) {
    char path[LIMIT_PATH_BYTES];
    if (file_join(path, sizeof path, run_folder, "logs/coordinator.log") != STATUS_OK) {
        return;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return;
    }
    Buffer text = BUFFER_EMPTY;
    off_t end = lseek(fd, 0, SEEK_END);
    off_t start = end > LOOK_BYTES ? end - LOOK_BYTES : 0;
    if (end > 0 && buffer_reserve(&text, LOOK_BYTES)) {
        ssize_t size = pread(fd, text.bytes, (size_t)(end - start), start);
        // The first line may be cut, and the last one is still being written.
        const char *from = text.bytes;
        const char *last = size > 0 ? memrchr(text.bytes, '\n', (size_t)size) : NULL;
        if (last != NULL && start > 0) {
            from = (const char *)memchr(text.bytes, '\n', (size_t)size) + 1;
        }
        if (last != NULL && last + 1 > from) {
            keep_last(from, (size_t)(last + 1 - from), out);
        }
    }
    close(fd);
    buffer_done(&text);
}
