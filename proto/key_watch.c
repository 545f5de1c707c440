// SPDX-License-Identifier: Apache-2.0
#include "proto/key_watch.h"

#include <sys/stat.h>

#include "common/base/text.h"

static FileStamp stamp_of(const char *file) {
    struct stat facts;
    if (stat(file, &facts) != 0) {
        return (FileStamp){.seconds = -1};
    }
    return (FileStamp){facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec, (uint64_t)facts.st_size,
                       (uint64_t)facts.st_ino};
}

static bool is_same(const FileStamp *a, const FileStamp *b) {
    return a->seconds == b->seconds && a->nanoseconds == b->nanoseconds && a->size == b->size &&
           a->inode == b->inode;
}

Status key_watch_begin(KeyWatch *watch, const char *file, KeyList *list) {
    if (!text_copy(watch->file, sizeof watch->file, file)) {
        return status_set(STATUS_LIMIT, "the path of the list of keys is too long");
    }
    watch->taken = watch->seen = stamp_of(file); // first: what changes meanwhile is seen later
    return keys_read_list(file, list);
}

Status key_watch_look(KeyWatch *watch, KeyList *list) {
    FileStamp now = stamp_of(watch->file);
    bool is_at_rest = is_same(&now, &watch->seen);
    watch->seen = now;
    if (!is_at_rest || is_same(&now, &watch->taken)) {
        return STATUS_AGAIN;
    }
    KeyList fresh = {0};
    Status status = keys_read_list(watch->file, &fresh);
    watch->seen = stamp_of(watch->file);
    if (!is_same(&watch->seen, &now)) { // written while it was read
        keys_list_done(&fresh);
        return STATUS_AGAIN;
    }
    watch->taken = now;
    if (status == STATUS_OK) {
        keys_list_done(list);
        *list = fresh;
    }
    return status;
}
