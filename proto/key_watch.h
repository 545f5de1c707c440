// SPDX-License-Identifier: Apache-2.0
//
// The list of admitted keys as a file that people change while it is in use. Most editors and every
// shell empty a file before they write it: whoever read it then would find nobody admitted. So a
// change counts when two looks in a row have found the same file. One thread at a time.
#ifndef AUSCULT_PROTO_KEY_WATCH_H
#define AUSCULT_PROTO_KEY_WATCH_H

#include "common/base/limits.h"
#include "proto/keys.h"

// What a file is recognised by: any of it changes when it is written.
typedef struct FileStamp {
    int64_t seconds, nanoseconds; // seconds -1: there is no file
    uint64_t size, inode;
} FileStamp;

typedef struct KeyWatch {
    char file[LIMIT_PATH_BYTES];
    FileStamp taken; // of what was read last
    FileStamp seen;  // at the last look
} KeyWatch;

// Reads the list as it is now. STATUS_LIMIT for the path; else as keys_read_list.
Status key_watch_begin(KeyWatch *watch, const char *file, KeyList *list);
// One look. STATUS_OK: the list is another one now; STATUS_AGAIN: it is not, or is still being
// written; else, once for each change, why it cannot be read. `list` is then untouched.
Status key_watch_look(KeyWatch *watch, KeyList *list);

#endif
