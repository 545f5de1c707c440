// SPDX-License-Identifier: Apache-2.0
//
// Files as this program uses them: read whole within a bound, or written aside, synced and renamed,
// so that a reader finds the old contents or the new and nothing between. Any thread.
#ifndef AUSCULT_BASE_FILE_H
#define AUSCULT_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/status.h"

typedef struct FileFacts {
    uint64_t size_bytes;
    int64_t mtime_ns;
} FileFacts;

// STATUS_NOT_FOUND when there is none, STATUS_IO when it cannot be looked at or is no plain file.
Status file_facts(const char *path, FileFacts *ret_facts);
bool file_exists(const char *path);
bool file_is_folder(const char *path);

// Appends the whole file to `out` (cleared first). STATUS_LIMIT beyond `most_bytes`; STATUS_IO,
// STATUS_NOT_FOUND as the system says. FIFOs and devices are refused (a read could hang).
Status file_read(const char *path, uint64_t most_bytes, Buffer *out);

// Writes `bytes` to a temporary name beside `path`, syncs it, renames it over `path` and syncs the
// folder. On failure `path` is as it was and the temporary file is gone.
Status file_write(const char *path, const void *bytes, size_t size);
// As file_write, but not synced: readers find one or the other, a power cut may leave neither.
Status file_replace(const char *path, const void *bytes, size_t size);
Status file_write_buffer(const char *path, const Buffer *buffer);
// As file_write_buffer, but a file that has these bytes already is left as it is, its times too.
Status file_update(const char *path, const Buffer *buffer);

// Makes the folder and those above it.
Status file_make_folders(const char *path);
// Whether files can be created in the folder: by creating one and removing it.
Status file_check_writable(const char *folder);
// Removes a folder and all below it; links are removed, not followed.
Status file_remove_tree(const char *path);
// Removes the temporary files that killed processes left anywhere below the folder. Nobody else may
// be writing there.
void file_remove_temporaries(const char *folder);

// Bytes of the plain files in the folder and all below it, as far as they can be looked at.
uint64_t file_tree_bytes(const char *path);

// "folder/name" into out; STATUS_LIMIT when it does not fit.
Status file_join(char *out, size_t size, const char *folder, const char *name);
// The part after the last '/'; borrowed.
const char *file_name(const char *path);

// Whether a path is relative, not empty and without "." or ".." parts, empty parts or NUL:
// what may be joined to a data root.
bool file_is_safe_relative(const char *path);

#endif
