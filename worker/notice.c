// SPDX-License-Identifier: Apache-2.0
#include "worker/notice.h"

#include <string.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/text.h"

static Status parse(const char *path, const char *text, Notice *ret) {
    static const char WORD[] = "coordinator: ";
    Notice notice = {.key = ""};
    size_t size = strcspn(text, "\n");
    const char *rest = text + size + (text[size] == '\n');
    if (size >= sizeof notice.endpoint ||
        !(text_starts(text, "tcp://") || text_starts(text, "ipc://"))) {
        return status_set(STATUS_FORMAT, "%s:1: neither tcp://HOST:PORT nor ipc://PATH", path);
    }
    memcpy(notice.endpoint, text, size);
    if (text_starts(rest, WORD)) {
        rest += strlen(WORD);
        size = strcspn(rest, "\n");
        memcpy(notice.key, rest, size < sizeof notice.key ? size : 0);
        if (!keys_is_key(notice.key)) {
            return status_set(STATUS_FORMAT, "%s:2: no key of 40 characters", path);
        }
    }
    *ret = notice;
    return STATUS_OK;
}

Status notice_read(const char *run, Notice *ret) {
    char path[LIMIT_PATH_BYTES];
    Buffer text = BUFFER_EMPTY;
    Status status = file_join(path, sizeof path, run, "endpoint");
    if (status == STATUS_OK) {
        status = file_read(path, 2 * CHANNEL_ADDRESS_BYTES, &text);
    }
    if (status == STATUS_NOT_FOUND) {
        status = status_set(STATUS_NOT_FOUND, "no coordinator is running on %s (%s is not there)",
                            run, path);
    }
    status = status == STATUS_OK ? parse(path, buffer_cstr(&text), ret) : status;
    buffer_done(&text);
    return status;
}
