// SPDX-License-Identifier: Apache-2.0
#include "coordinator/package/archive.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zip.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"

#define TOO_LARGE "is too large, or the package as a whole"

void archive_done(Archive *archive) {
    for (size_t i = 0; i < archive->count; i++) {
        mem_free(archive->entries[i].path);
        buffer_done(&archive->entries[i].bytes);
    }
    mem_free(archive->entries);
    *archive = ARCHIVE_EMPTY;
}

static Status add_entry(Archive *archive, const char *path, ArchiveEntry **ret_entry) {
    if (archive->count == LIMIT_PACKAGE_ENTRIES) {
        return status_set(STATUS_LIMIT, "more than %u entries", LIMIT_PACKAGE_ENTRIES);
    }
    if (!mem_grow(&archive->entries, archive->count, &archive->capacity,
                  sizeof *archive->entries)) {
        return STATUS_MEMORY;
    }
    char *copy = mem_copy_text(path);
    if (copy == NULL) {
        return STATUS_MEMORY;
    }
    size_t length = strlen(path);
    *ret_entry = &archive->entries[archive->count++];
    **ret_entry = (ArchiveEntry){.path = copy, .is_folder = length > 0 && path[length - 1] == '/'};
    return STATUS_OK;
}

Status archive_add(Archive *archive, const char *path, const void *bytes, size_t size) {
    ArchiveEntry *entry = NULL;
    Status status = add_entry(archive, path, &entry);
    if (status == STATUS_OK) {
        buffer_append(&entry->bytes, size > 0 ? bytes : "", size);
        archive->bytes += size;
        status = entry->bytes.status;
    }
    return status;
}

// Whether so many more bytes may be held; counts them when so.
static bool take_bytes(Archive *archive, uint64_t size) {
    bool fits = size <= LIMIT_PACKAGE_FILE_BYTES && size <= LIMIT_PACKAGE_BYTES - archive->bytes;
    archive->bytes += fits ? (size_t)size : 0;
    return fits;
}

// ---- zip, in ----

static Status zip_failure(const char *name, zip_error_t *error) {
    bool memory = zip_error_code_zip(error) == ZIP_ER_MEMORY;
    Status status =
        status_set(memory ? STATUS_MEMORY : STATUS_FORMAT, "%s cannot be read as a zip file: %s",
                   name, zip_error_strerror(error));
    zip_error_fini(error);
    return status;
}

// The size that a zip states is not believed: a byte more is asked for.
static const char *read_stated(zip_file_t *file, uint64_t size, Buffer *out) {
    char more;
    if (!buffer_reserve(out, (size_t)size)) {
        return NULL; // the buffer's status tells
    }
    zip_int64_t read = zip_fread(file, out->bytes, size);
    if (read < 0 || (uint64_t)read != size || zip_fread(file, &more, 1) != 0) {
        return "is damaged: its contents do not match its size or check sum";
    }
    out->size = (size_t)size;
    out->bytes[out->size] = '\0';
    return NULL;
}

static bool is_link(zip_t *zip, zip_uint64_t index) {
    zip_uint8_t system = 0;
    zip_uint32_t attributes = 0;
    return zip_file_get_external_attributes(zip, index, 0, &system, &attributes) == 0 &&
           system == ZIP_OPSYS_UNIX && S_ISLNK(attributes >> 16);
}

static const char *read_contents(zip_t *zip, zip_uint64_t index, Archive *archive,
                                 ArchiveEntry *entry) {
    zip_stat_t facts;
    zip_stat_init(&facts);
    if (zip_stat_index(zip, index, 0, &facts) != 0 || !(facts.valid & ZIP_STAT_SIZE)) {
        return "has no readable header";
    }
    if ((facts.valid & ZIP_STAT_ENCRYPTION_METHOD) && facts.encryption_method != ZIP_EM_NONE) {
        return "is encrypted";
    }
    if (is_link(zip, index)) {
        return "is a link";
    }
    if (entry->is_folder) {
        return NULL;
    }
    if (!take_bytes(archive, facts.size)) {
        return TOO_LARGE;
    }
    zip_file_t *file = zip_fopen_index(zip, index, 0);
    if (file == NULL) {
        return "is packed in a way that cannot be read";
    }
    const char *trouble = read_stated(file, facts.size, &entry->bytes);
    zip_fclose(file);
    return trouble;
}

static Status read_entries(zip_t *zip, Archive *archive) {
    zip_int64_t count = zip_get_num_entries(zip, 0);
    Status status = STATUS_OK;
    for (zip_int64_t i = 0; i < count && status == STATUS_OK; i++) {
        const char *name = zip_get_name(zip, (zip_uint64_t)i, ZIP_FL_ENC_RAW);
        ArchiveEntry *entry = NULL;
        status = add_entry(archive, name != NULL ? name : "", &entry);
        if (status == STATUS_OK) {
            entry->trouble = read_contents(zip, (zip_uint64_t)i, archive, entry);
            status = entry->bytes.status;
        }
    }
    return status;
}

Status archive_read_zip(const char *name, const void *bytes, size_t size, Archive *ret_archive) {
    if (size == 0) { // which libzip takes for a zip without files
        return status_set(STATUS_FORMAT, "%s is empty, no zip file", name);
    }
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *source = zip_source_buffer_create(bytes, size, 0, &error);
    zip_t *zip = source != NULL ? zip_open_from_source(source, ZIP_RDONLY, &error) : NULL;
    if (zip == NULL) {
        zip_source_free(source);
        return zip_failure(name, &error);
    }
    Archive archive = ARCHIVE_EMPTY;
    Status status = read_entries(zip, &archive);
    zip_discard(zip);
    zip_error_fini(&error);
    if (status != STATUS_OK) {
        archive_done(&archive);
        return status_prefix(status, "%s", name);
    }
    *ret_archive = archive;
    return STATUS_OK;
}

// ---- folder, in ----

static int by_path(const void *a, const void *b) {
    return strcmp(((const ArchiveEntry *)a)->path, ((const ArchiveEntry *)b)->path);
}

static void sort_entries(Archive *archive) {
    if (archive->count > 0) {
        qsort(archive->entries, archive->count, sizeof *archive->entries, by_path);
    }
}

static Status read_folder(Archive *archive, const char *folder, const char *inner, int depth);

static Status read_found(Archive *archive, const char *path, const char *inner, int depth) {
    struct stat facts;
    ArchiveEntry *entry = NULL;
    if (lstat(path, &facts) == 0 && S_ISDIR(facts.st_mode)) {
        return read_folder(archive, path, inner, depth + 1);
    }
    Status status = add_entry(archive, inner, &entry);
    if (status != STATUS_OK) {
        return status;
    }
    if (!S_ISREG(facts.st_mode)) {
        entry->trouble = "is no plain file";
    } else if (!take_bytes(archive, (uint64_t)facts.st_size)) {
        entry->trouble = TOO_LARGE;
    } else if (file_read(path, LIMIT_PACKAGE_FILE_BYTES, &entry->bytes) != STATUS_OK) {
        entry->trouble = "cannot be read";
    }
    return entry->bytes.status;
}

// Files below `folder`, whose path in the package is `inner` ("" for the top).
static Status read_folder(Archive *archive, const char *folder, const char *inner, int depth) {
    if (depth > LIMIT_DEPTH) {
        return status_set(STATUS_LIMIT, "%s lies too deep", folder);
    }
    DIR *open = opendir(folder);
    if (open == NULL) {
        return status_set(STATUS_IO, "cannot read %s: %s", folder, strerror(errno));
    }
    Status status = STATUS_OK;
    for (struct dirent *found; status == STATUS_OK && (found = readdir(open)) != NULL;) {
        char path[LIMIT_PATH_BYTES], below[LIMIT_PATH_BYTES];
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0) {
            continue;
        }
        int used = snprintf(below, sizeof below, "%s%s%s", inner, inner[0] != '\0' ? "/" : "",
                            found->d_name);
        status = used >= (int)sizeof below ? status_set(STATUS_LIMIT, "path too long: %s", folder)
                                           : file_join(path, sizeof path, folder, found->d_name);
        if (status == STATUS_OK) {
            status = read_found(archive, path, below, depth);
        }
    }
    closedir(open);
    return status;
}

Status archive_read(const char *path, Archive *ret_archive) {
    if (file_is_folder(path)) {
        Archive archive = ARCHIVE_EMPTY;
        Status status = read_folder(&archive, path, "", 0);
        if (status != STATUS_OK) {
            archive_done(&archive);
            return status;
        }
        sort_entries(&archive);
        *ret_archive = archive;
        return STATUS_OK;
    }
    Buffer bytes = BUFFER_EMPTY;
    Status status = file_read(path, LIMIT_PACKAGE_BYTES, &bytes);
    if (status == STATUS_OK) {
        status = archive_read_zip(path, bytes.bytes, bytes.size, ret_archive);
    }
    buffer_done(&bytes);
    return status;
}

// ---- zip, out ----

enum {
    DOS_DATE_1980 = 0x21,               // 1 January 1980, the first day that a zip knows
    PLAIN_FILE = (S_IFREG | 0644) << 16 // as Unix keeps it in a zip
};

static bool add_to_zip(zip_t *zip, const ArchiveEntry *entry) {
    zip_source_t *source = zip_source_buffer(zip, entry->bytes.bytes, entry->bytes.size, 0);
    zip_int64_t index =
        source != NULL ? zip_file_add(zip, entry->path, source, ZIP_FL_ENC_UTF_8) : -1;
    if (index < 0) {
        zip_source_free(source);
        return false;
    }
    zip_uint64_t at = (zip_uint64_t)index;
    return zip_file_set_dostime(zip, at, 0, DOS_DATE_1980, 0) == 0 &&
           zip_set_file_compression(zip, at, ZIP_CM_DEFLATE, 9) == 0 &&
           zip_file_set_external_attributes(zip, at, 0, ZIP_OPSYS_UNIX, PLAIN_FILE) == 0;
}

static bool take_out(zip_source_t *source, Buffer *out) {
    zip_stat_t facts;
    zip_stat_init(&facts);
    if (zip_source_stat(source, &facts) != 0 || zip_source_open(source) != 0) {
        return false;
    }
    bool taken =
        buffer_reserve(out, (size_t)facts.size) &&
        zip_source_read(source, out->bytes + out->size, facts.size) == (zip_int64_t)facts.size;
    zip_source_close(source);
    if (taken) {
        out->size += (size_t)facts.size;
        out->bytes[out->size] = '\0';
    }
    return taken;
}

Status archive_write_zip(Archive *archive, Buffer *out) {
    zip_error_t error;
    zip_error_init(&error);
    sort_entries(archive);
    zip_source_t *source = zip_source_buffer_create(NULL, 0, 0, &error);
    zip_t *zip =
        source != NULL ? zip_open_from_source(source, ZIP_CREATE | ZIP_TRUNCATE, &error) : NULL;
    if (zip == NULL) {
        zip_source_free(source);
        return zip_failure("the new package", &error);
    }
    zip_source_keep(source); // zip_close gives back the zip's own hold on it
    bool written = true;
    for (size_t i = 0; i < archive->count && written; i++) {
        written = archive->entries[i].is_folder || add_to_zip(zip, &archive->entries[i]);
    }
    if (!written || zip_close(zip) != 0) {
        status_set(STATUS_MEMORY, "cannot write a zip file: %s", zip_strerror(zip));
        zip_discard(zip);
        written = false;
    }
    written = written && take_out(source, out);
    zip_source_free(source);
    zip_error_fini(&error);
    return written ? STATUS_OK : STATUS_MEMORY;
}
