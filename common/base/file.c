// SPDX-License-Identifier: Apache-2.0
#include "common/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/limits.h"

static Status from_errno(const char *verb, const char *path) {
    Status status = errno == ENOENT || errno == ENOTDIR ? STATUS_NOT_FOUND : STATUS_IO;
    return status_set(status, "cannot %s %s: %s", verb, path, strerror(errno));
}

Status file_facts(const char *path, FileFacts *ret_facts) {
    struct stat st;
    if (stat(path, &st) != 0) {
        return from_errno("look at", path);
    }
    if (!S_ISREG(st.st_mode)) {
        return status_set(STATUS_IO, "%s is not a plain file", path);
    }
    ret_facts->size_bytes = (uint64_t)st.st_size;
    ret_facts->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    return STATUS_OK;
}

bool file_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

bool file_is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

// Straight into the buffer. `expected` bytes are only what the system says now: files grow, and
// some (those of /proc) have no size.
static Status read_whole(int fd, const char *path, size_t expected, uint64_t most_bytes,
                         Buffer *out) {
    size_t more = expected + 1; // so that the end shows without growing again
    for (;;) {
        if (!buffer_reserve(out, more)) {
            return out->status;
        }
        ssize_t got = read(fd, out->bytes + out->size, out->capacity - out->size - 1);
        if (got < 0 && errno != EINTR) {
            return from_errno("read", path);
        }
        if (got == 0) {
            return STATUS_OK;
        }
        out->size += got > 0 ? (size_t)got : 0;
        out->bytes[out->size] = '\0';
        if (out->size > most_bytes) {
            buffer_clear(out);
            return status_set(STATUS_LIMIT, "%s grew beyond %llu bytes while it was read", path,
                              (unsigned long long)most_bytes);
        }
        more = 1;
    }
}

Status file_read(const char *path, uint64_t most_bytes, Buffer *out) {
    buffer_clear(out);
    // O_NONBLOCK: opening a FIFO must not hang; plain files ignore it.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return from_errno("open", path);
    }
    Status status = STATUS_OK;
    struct stat st;
    if (fstat(fd, &st) != 0) {
        status = from_errno("look at", path);
    } else if (!S_ISREG(st.st_mode)) {
        status = status_set(STATUS_IO, "%s is not a plain file", path);
    } else if ((uint64_t)st.st_size > most_bytes) {
        status = status_set(STATUS_LIMIT, "%s has %lld bytes, at most %llu are read", path,
                            (long long)st.st_size, (unsigned long long)most_bytes);
    }
    if (status == STATUS_OK) {
        status = read_whole(fd, path, (size_t)st.st_size, most_bytes, out);
    }
    close(fd);
    return status;
}

static Status write_all(int fd, const char *bytes, size_t size, const char *path) {
    while (size > 0) {
        ssize_t put = write(fd, bytes, size);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return from_errno("write", path);
        }
        bytes += put;
        size -= (size_t)put;
    }
    return STATUS_OK;
}

static void folder_of(const char *path, char out[LIMIT_PATH_BYTES]) {
    snprintf(out, LIMIT_PATH_BYTES, "%s", path);
    char *slash = strrchr(out, '/');
    if (slash == NULL) {
        strcpy(out, ".");
    } else if (slash == out) {
        out[1] = '\0';
    } else {
        *slash = '\0';
    }
}

// The rename is durable once the folder is synced.
static Status sync_folder(const char *path) {
    char folder[LIMIT_PATH_BYTES];
    folder_of(path, folder);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return from_errno("open", folder);
    }
    Status status = STATUS_OK;
    // Some network file systems refuse to sync a folder (EINVAL): the rename is all there is.
    if (fsync(fd) != 0 && errno != EINVAL && errno != EROFS) {
        status = from_errno("sync", folder);
    }
    close(fd);
    return status;
}

static Status write_aside(const char *path, const void *bytes, size_t size, bool is_synced) {
    // Each call has a name of its own, so that two threads may write the same file: the last wins.
    static atomic_uint calls;
    char aside[LIMIT_PATH_BYTES];
    int used = snprintf(aside, sizeof aside, "%s.tmp-%ld-%u", path, (long)getpid(),
                        atomic_fetch_add(&calls, 1));
    if (used < 0 || (size_t)used >= sizeof aside) {
        return status_set(STATUS_LIMIT, "path too long: %s", path);
    }
    // What is there under that name was left by a dead process; a link there is never followed.
    unlink(aside);
    int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        return from_errno("create", path);
    }
    Status status = write_all(fd, bytes, size, path);
    if (status == STATUS_OK && is_synced && fsync(fd) != 0) {
        status = from_errno("sync", path);
    }
    if (close(fd) != 0 && status == STATUS_OK) {
        status = from_errno("close", path);
    }
    if (status == STATUS_OK && rename(aside, path) != 0) {
        status = from_errno("rename to", path);
    }
    if (status != STATUS_OK) {
        unlink(aside);
        return status;
    }
    return is_synced ? sync_folder(path) : STATUS_OK;
}

Status file_write(const char *path, const void *bytes, size_t size) {
    return write_aside(path, bytes, size, true);
}

Status file_replace(const char *path, const void *bytes, size_t size) {
    return write_aside(path, bytes, size, false);
}

Status file_write_buffer(const char *path, const Buffer *buffer) {
    if (buffer->status != STATUS_OK) {
        return status_set(buffer->status, "out of memory while writing %s", path);
    }
    return file_write(path, buffer_cstr(buffer), buffer->size);
}

Status file_update(const char *path, const Buffer *buffer) {
    Buffer present = BUFFER_EMPTY;
    Status status = buffer->status == STATUS_OK && file_exists(path)
                        ? file_read(path, buffer->size, &present)
                        : STATUS_NOT_FOUND;
    bool same = status == STATUS_OK && present.size == buffer->size &&
                memcmp(buffer_cstr(&present), buffer_cstr(buffer), buffer->size) == 0;
    buffer_done(&present);
    if (status == STATUS_MEMORY) {
        return status;
    }
    // Who wrote them may have been ended before the folder was synced.
    return same ? sync_folder(path) : file_write_buffer(path, buffer);
}

Status file_make_folders(const char *path) {
    char part[LIMIT_PATH_BYTES];
    if (strlen(path) >= sizeof part) {
        return status_set(STATUS_LIMIT, "path too long: %s", path);
    }
    size_t size = strlen(path);
    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0777) == 0 || errno == EEXIST) {
            continue;
        }
        int refusal = errno; // looking whether the folder is there sets errno anew
        if (!file_is_folder(part)) {
            errno = refusal;
            return from_errno("make folder", part);
        }
    }
    return file_is_folder(path) ? STATUS_OK
                                : status_set(STATUS_IO, "%s exists and is not a folder", path);
}

Status file_check_writable(const char *folder) {
    char probe[LIMIT_PATH_BYTES];
    int used = snprintf(probe, sizeof probe, "%s/.writable-%ld", folder, (long)getpid());
    if (used < 0 || (size_t)used >= sizeof probe) {
        return status_set(STATUS_LIMIT, "path too long: %s", folder);
    }
    int fd = open(probe, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return status_set(STATUS_IO, "cannot write into %s: %s", folder, strerror(errno));
    }
    close(fd);
    unlink(probe);
    return STATUS_OK;
}

static Status remove_at(int parent, const char *name, const char *path, int depth) {
    if (unlinkat(parent, name, 0) == 0) {
        return STATUS_OK;
    }
    if (errno != EISDIR && errno != EPERM) {
        return from_errno("remove", path);
    }
    if (depth > 2 * LIMIT_DEPTH) {
        return status_set(STATUS_LIMIT, "%s: too deep to remove", path);
    }
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (folder == NULL) {
        Status status = from_errno("open", path);
        if (fd >= 0) {
            close(fd);
        }
        return status;
    }
    Status status = STATUS_OK;
    struct dirent *entry;
    while (status == STATUS_OK && (entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            status = remove_at(fd, entry->d_name, path, depth + 1);
        }
    }
    closedir(folder);
    if (status == STATUS_OK && unlinkat(parent, name, AT_REMOVEDIR) != 0) {
        status = from_errno("remove", path);
    }
    return status;
}

Status file_remove_tree(const char *path) {
    return remove_at(AT_FDCWD, path, path, 0);
}

// What is done with a plain file `name` of an open folder.
typedef void Visit(int folder, const char *name, const struct stat *st, void *context);

// Calls `visit` for every plain file below; what cannot be opened is passed over.
static void walk_at(int parent, const char *name, int depth, Visit *visit, void *context) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (folder == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;
        }
        if (S_ISREG(st.st_mode)) {
            visit(fd, entry->d_name, &st, context);
        } else if (S_ISDIR(st.st_mode) && depth < 2 * LIMIT_DEPTH) {
            walk_at(fd, entry->d_name, depth + 1, visit, context);
        }
    }
    closedir(folder);
}

static void add_bytes(int folder, const char *name, const struct stat *st, void *context) {
    (void)folder;
    (void)name;
    *(uint64_t *)context += (uint64_t)st->st_size;
}

uint64_t file_tree_bytes(const char *path) {
    uint64_t sum = 0;
    walk_at(AT_FDCWD, path, 0, add_bytes, &sum);
    return sum;
}

// Whether file_write or file_check_writable makes such names.
static bool is_temporary(const char *name) {
    long process;
    unsigned call;
    int used = 0;
    const char *mark = strstr(name, ".tmp-");
    for (const char *next = mark; next != NULL; next = strstr(next + 1, ".tmp-")) {
        mark = next; // a file's own name may have the like in it
    }
    if (mark != NULL && sscanf(mark, ".tmp-%ld-%u%n", &process, &call, &used) == 2) {
        return mark[used] == '\0';
    }
    return sscanf(name, ".writable-%ld%n", &process, &used) == 1 && name[used] == '\0';
}

static void remove_temporary(int folder, const char *name, const struct stat *st, void *context) {
    (void)st;
    (void)context;
    if (is_temporary(name)) {
        unlinkat(folder, name, 0);
    }
}

void file_remove_temporaries(const char *folder) {
    walk_at(AT_FDCWD, folder, 0, remove_temporary, NULL);
}

Status file_join(char *out, size_t size, const char *folder, const char *name) {
    int used = snprintf(out, size, "%s/%s", folder, name);
    if (used < 0 || (size_t)used >= size) {
        return status_set(STATUS_LIMIT, "path too long: %s/%s", folder, name);
    }
    return STATUS_OK;
}

const char *file_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

bool file_is_safe_relative(const char *path) {
    if (path[0] == '\0' || path[0] == '/') {
        return false;
    }
    const char *part = path;
    for (;;) {
        size_t size = strcspn(part, "/");
        bool dots =
            (size == 1 && part[0] == '.') || (size == 2 && part[0] == '.' && part[1] == '.');
        if (size == 0 || dots) {
            return false;
        }
        if (part[size] == '\0') {
            return true;
        }
        part += size + 1;
    }
}
