// SPDX-License-Identifier: Apache-2.0
//
// A submission package in memory: the files of a zip or of a folder, by path. Nothing is ever
// unpacked to disk, so a path in a zip is a text and no danger; sizes are bounded before anything
// is allocated. One thread.
#ifndef AUSCULT_PACKAGE_ARCHIVE_H
#define AUSCULT_PACKAGE_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"

typedef struct ArchiveEntry {
    char *path;          // as it stands, "task2/x/y.csv"; a folder's ends in '/'
    Buffer bytes;        // its contents; empty for a folder and where there is trouble
    bool is_folder;      //
    const char *trouble; // why its bytes are not here ("is encrypted"), NULL when they are
} ArchiveEntry;

typedef struct Archive {
    ArchiveEntry *entries; // (count) in the order of a zip; a folder's by path
    uint32_t count, capacity;
    size_t bytes; // of all contents
} Archive;

#define ARCHIVE_EMPTY ((Archive){0})

void archive_done(Archive *archive);

// Reads a zip file or a folder. Single files that cannot be read have their trouble. STATUS_IO,
// STATUS_NOT_FOUND, STATUS_FORMAT (no zip file), STATUS_LIMIT (LIMIT_PACKAGE_*).
Status archive_read(const char *path, Archive *ret_archive);
// A zip's bytes; `name` stands for the file in messages.
Status archive_read_zip(const char *name, const void *bytes, size_t size, Archive *ret_archive);

// Adds a file, whose bytes are copied.
Status archive_add(Archive *archive, const char *path, const void *bytes, size_t size);
// A zip of all entries, sorted by path, with times of 1980 and plain permissions: the same entries
// give the same bytes. Sorts the archive.
Status archive_write_zip(Archive *archive, Buffer *out);

#endif
