// SPDX-License-Identifier: Apache-2.0
//
// How it works: in a folder each clip is a file DIGEST.clip, written aside and renamed; its time of
// modification is when it was last used. When a 64th of the bound has been added since this worker
// last looked, it adds up what is there and removes the oldest. Whoever has a descriptor keeps what
// he has, also of a file that another worker removes. Without a folder a table of descriptors
// stands in for the names.
#include "worker/clip_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"

enum {
    UNNAMED_MOST = 256,   // files without a name: descriptors are few
    STALE_SECONDS = 3600, // a temporary file that old was left by a worker that was killed
};

#define ENDING ".clip"

typedef struct Unnamed {
    Digest digest;
    int fd;
    uint64_t bytes, used; // `used` counts: larger is later
} Unnamed;

struct ClipCache {
    char folder[LIMIT_PATH_BYTES]; // "" without one
    uint64_t bytes_most;
    uint64_t added; // bytes since the folder was last looked through
    uint64_t temporaries, uses;
    bool has_warned;
    Unnamed unnamed[UNNAMED_MOST];
    uint32_t unnamed_count;
    uint64_t unnamed_bytes;
};

// ---- files ----

static Status write_all(int fd, const char *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t count = write(fd, bytes + done, size - done);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return status_set(STATUS_IO, "%s", strerror(errno));
        }
        done += (size_t)count;
    }
    return STATUS_OK;
}

// Whether the file holds just this.
static bool holds(int fd, Digest digest, uint64_t size_bytes) {
    struct stat facts;
    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode) ||
        (uint64_t)facts.st_size != size_bytes) {
        return false;
    }
    if (size_bytes == 0) {
        return digest_equal(digest_of("", 0), digest);
    }
    void *bytes = mmap(NULL, size_bytes, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (bytes == MAP_FAILED) {
        return false;
    }
    bool same = digest_equal(digest_of(bytes, size_bytes), digest);
    munmap(bytes, size_bytes);
    return same;
}

// ---- a folder ----

static Status path_of(const ClipCache *cache, Digest digest, char *out, size_t size) {
    char name[DIGEST_TEXT_BYTES + sizeof ENDING];
    digest_text(digest, name);
    strcat(name, ENDING);
    return file_join(out, size, cache->folder, name);
}

typedef struct Kept {
    char name[64];
    uint64_t bytes;
    struct timespec used;
} Kept;

static int by_use(const void *left, const void *right) {
    const Kept *a = left, *b = right;
    if (a->used.tv_sec != b->used.tv_sec) {
        return a->used.tv_sec < b->used.tv_sec ? -1 : 1;
    }
    return (a->used.tv_nsec > b->used.tv_nsec) - (a->used.tv_nsec < b->used.tv_nsec);
}

typedef struct KeptList {
    Kept *items;
    uint32_t count, capacity;
    uint64_t bytes;
} KeptList;

static void note_file(int folder, const char *name, KeptList *list) {
    struct stat facts;
    if (fstatat(folder, name, &facts, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(facts.st_mode)) {
        return;
    }
    if (text_starts(name, ".tmp-") &&
        clock_wall_ms() / 1000 - facts.st_mtim.tv_sec > STALE_SECONDS) {
        unlinkat(folder, name, 0);
        return;
    }
    if (!text_ends(name, ENDING) || strlen(name) >= sizeof list->items->name ||
        !mem_grow(&list->items, list->count, &list->capacity, sizeof *list->items)) {
        return; // not ours
    }
    Kept *kept = &list->items[list->count++];
    *kept = (Kept){.bytes = (uint64_t)facts.st_size, .used = facts.st_mtim};
    text_copy(kept->name, sizeof kept->name, name);
    list->bytes += kept->bytes;
}

// Removes the longest unused until the rest, and `room` bytes more, are within the bound.
static void make_room(ClipCache *cache, uint64_t room) {
    DIR *folder = opendir(cache->folder);
    if (folder == NULL) {
        return;
    }
    KeptList list = {0};
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        note_file(dirfd(folder), entry->d_name, &list);
    }
    if (list.count > 0) {
        qsort(list.items, list.count, sizeof *list.items, by_use);
    }
    for (uint32_t i = 0; i < list.count && list.bytes + room > cache->bytes_most; i++) {
        unlinkat(dirfd(folder), list.items[i].name, 0);
        list.bytes -= list.items[i].bytes;
    }
    mem_free(list.items);
    closedir(folder);
    cache->added = 0;
}

static int find_named(ClipCache *cache, Digest digest, uint64_t size_bytes) {
    char path[LIMIT_PATH_BYTES];
    if (path_of(cache, digest, path, sizeof path) != STATUS_OK) {
        return -1;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); // a pipe would wait
    if (fd < 0) {
        return -1;
    }
    if (!holds(fd, digest, size_bytes)) {
        unlink(path); // damaged: fetched again
        close(fd);
        return -1;
    }
    futimens(fd, NULL);
    return fd;
}

static Status put_named(ClipCache *cache, Digest digest, const void *bytes, size_t size,
                        int *ret_fd) {
    char path[LIMIT_PATH_BYTES], temporary[LIMIT_PATH_BYTES], name[64];
    cache->added += size;
    if (cache->added > cache->bytes_most / 64) {
        make_room(cache, size);
    }
    snprintf(name, sizeof name, ".tmp-%ld-%llu", (long)getpid(),
             (unsigned long long)cache->temporaries++);
    Status status = path_of(cache, digest, path, sizeof path);
    if (status == STATUS_OK) {
        status = file_join(temporary, sizeof temporary, cache->folder, name);
    }
    if (status != STATUS_OK) {
        return status;
    }
    int fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return status_set(STATUS_IO, "%s", strerror(errno));
    }
    status = write_all(fd, bytes, size);
    if (status == STATUS_OK && rename(temporary, path) != 0) {
        status = status_set(STATUS_IO, "%s", strerror(errno));
    }
    if (status != STATUS_OK) {
        unlink(temporary);
        close(fd);
        return status;
    }
    *ret_fd = fd;
    return STATUS_OK;
}

// ---- files without a name ----

static void drop_unnamed(ClipCache *cache, uint32_t index) {
    close(cache->unnamed[index].fd);
    cache->unnamed_bytes -= cache->unnamed[index].bytes;
    cache->unnamed[index] = cache->unnamed[--cache->unnamed_count];
}

static void drop_oldest(ClipCache *cache) {
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < cache->unnamed_count; i++) {
        oldest = cache->unnamed[i].used < cache->unnamed[oldest].used ? i : oldest;
    }
    drop_unnamed(cache, oldest);
}

static int find_unnamed(ClipCache *cache, Digest digest, uint64_t size_bytes) {
    for (uint32_t i = 0; i < cache->unnamed_count; i++) {
        Unnamed *kept = &cache->unnamed[i];
        if (digest_equal(kept->digest, digest) && kept->bytes == size_bytes) {
            kept->used = ++cache->uses;
            return fcntl(kept->fd, F_DUPFD_CLOEXEC, 0);
        }
    }
    return -1;
}

static Status put_unnamed(ClipCache *cache, Digest digest, const void *bytes, size_t size,
                          int *ret_fd) {
    char path[LIMIT_PATH_BYTES];
    const char *folder = getenv("TMPDIR");
    Status status =
        file_join(path, sizeof path, folder != NULL && folder[0] == '/' ? folder : "/tmp",
                  "auscult-clip-XXXXXX");
    int fd = status == STATUS_OK ? mkostemp(path, O_CLOEXEC) : -1;
    if (fd < 0) {
        return status_set(STATUS_IO, "%s", strerror(errno));
    }
    unlink(path);
    status = write_all(fd, bytes, size);
    if (status != STATUS_OK) {
        close(fd);
        return status;
    }
    while (cache->unnamed_count > 0 && (cache->unnamed_count == UNNAMED_MOST ||
                                        cache->unnamed_bytes + size > cache->bytes_most)) {
        drop_oldest(cache);
    }
    int kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (kept >= 0) {
        cache->unnamed[cache->unnamed_count++] =
            (Unnamed){.digest = digest, .fd = kept, .bytes = size, .used = ++cache->uses};
        cache->unnamed_bytes += size;
    }
    *ret_fd = fd;
    return STATUS_OK;
}

// ---- either ----

static Status put_in_memory(const void *bytes, size_t size, int *ret_fd) {
    int fd = memfd_create("auscult-clip", MFD_CLOEXEC);
    if (fd < 0) {
        return status_set(STATUS_IO, "cannot keep a clip in memory: %s", strerror(errno));
    }
    Status status = write_all(fd, bytes, size);
    if (status != STATUS_OK) {
        close(fd);
        return status;
    }
    *ret_fd = fd;
    return STATUS_OK;
}

Status clip_cache_open(const char *folder, uint64_t bytes_most, ClipCache **ret) {
    ClipCache *cache = mem_new(1, sizeof *cache);
    if (cache == NULL) {
        return STATUS_MEMORY;
    }
    cache->bytes_most = bytes_most;
    Status status = STATUS_OK;
    if (folder != NULL) {
        status = text_copy(cache->folder, sizeof cache->folder, folder)
                     ? file_make_folders(folder)
                     : status_set(STATUS_LIMIT, "--cache is too long");
        if (status == STATUS_OK) {
            status = file_check_writable(folder);
        }
        if (status == STATUS_OK) {
            make_room(cache, 0);
        }
    }
    if (status != STATUS_OK) {
        mem_free(cache);
        return status;
    }
    *ret = cache;
    return STATUS_OK;
}

void clip_cache_close(ClipCache *cache) {
    if (cache != NULL) {
        while (cache->unnamed_count > 0) {
            drop_unnamed(cache, 0);
        }
        mem_free(cache);
    }
}

int clip_cache_find(ClipCache *cache, Digest digest, uint64_t size_bytes) {
    return cache->folder[0] != '\0' ? find_named(cache, digest, size_bytes)
                                    : find_unnamed(cache, digest, size_bytes);
}

Status clip_cache_put(ClipCache *cache, Digest digest, const void *bytes, size_t size,
                      int *ret_fd) {
    bool is_named = cache->folder[0] != '\0';
    Status status = STATUS_LIMIT; // larger than all that may be kept
    if (size <= cache->bytes_most) {
        status = is_named ? put_named(cache, digest, bytes, size, ret_fd)
                          : put_unnamed(cache, digest, bytes, size, ret_fd);
        if (status != STATUS_OK && !cache->has_warned) {
            cache->has_warned = true;
            log_warning("%s cannot take clips from the coordinator (%s); they are fetched again "
                        "whenever they are needed",
                        is_named ? cache->folder : "the folder for temporary files",
                        status_message());
        }
    }
    return status == STATUS_OK ? status : put_in_memory(bytes, size, ret_fd);
}
