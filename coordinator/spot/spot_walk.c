// SPDX-License-Identifier: Apache-2.0
#include "coordinator/spot/spot_walk.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"

typedef struct FolderId {
    dev_t device;
    ino_t inode;
} FolderId;

typedef struct Walk {
    const SpotWalk *config;
    FolderId *seen; // (seen_count) ascending
    size_t seen_count, seen_capacity;
    char path[LIMIT_PATH_BYTES]; // of what is at hand
} Walk;

// The names of one folder, sorted.
typedef struct Names {
    char **names; // (count) owned
    size_t count, capacity;
} Names;

// Room for one more item, grown by doubling.
static void *grown(void *items, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity) {
        return items;
    }
    size_t larger = *capacity > 0 ? 2 * *capacity : 32;
    void *block = mem_resize(items, larger, size);
    if (block != NULL) {
        *capacity = larger;
    }
    return block;
}

// ---- folders seen ----

static int compare_ids(const FolderId *a, const FolderId *b) {
    return a->device != b->device ? (a->device > b->device) - (a->device < b->device)
                                  : (a->inode > b->inode) - (a->inode < b->inode);
}

// Marks the folder; *ret_new tells whether it had not been marked before.
static Status mark(Walk *walk, const struct stat *st, bool *ret_new) {
    FolderId id = {st->st_dev, st->st_ino};
    size_t low = 0, high = walk->seen_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_ids(&walk->seen[middle], &id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_new = low == walk->seen_count || compare_ids(&walk->seen[low], &id) != 0;
    if (!*ret_new) {
        return STATUS_OK;
    }
    FolderId *seen = grown(walk->seen, walk->seen_count, &walk->seen_capacity, sizeof *seen);
    if (seen == NULL) {
        return STATUS_MEMORY;
    }
    walk->seen = seen;
    memmove(seen + low + 1, seen + low, (walk->seen_count++ - low) * sizeof *seen);
    seen[low] = id;
    return STATUS_OK;
}

// ---- one folder ----

static void names_done(Names *names) {
    for (size_t i = 0; i < names->count; i++) {
        mem_free(names->names[i]);
    }
    mem_free(names->names);
}

static int compare_names(const void *left, const void *right) {
    const char *const *a = left;
    const char *const *b = right;
    return strcmp(*a, *b);
}

// Hidden names, and what archives of other systems leave behind.
static bool is_ignored(const char *name) {
    return name[0] == '.' || strcmp(name, "__MACOSX") == 0;
}

static Status add_name(Names *names, const char *name) {
    char **room = grown(names->names, names->count, &names->capacity, sizeof *room);
    if (room == NULL) {
        return STATUS_MEMORY;
    }
    names->names = room;
    room[names->count] = mem_copy_text(name);
    return room[names->count] != NULL ? (names->count++, STATUS_OK) : STATUS_MEMORY;
}

static void refuse(const Walk *walk, const char *reason) {
    walk->config->refuse(walk->config->context, walk->path, reason);
}

// What can be read of the folder; the rest is refused.
static Status list(const Walk *walk, DIR *folder, Names *names) {
    Status status = STATUS_OK;
    errno = 0;
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(folder)) != NULL;) {
        if (names->count == LIMIT_CLIPS) {
            refuse(walk, "holds more files than this program takes from one folder");
            break;
        }
        if (!is_ignored(entry->d_name)) {
            status = add_name(names, entry->d_name);
        }
        errno = 0;
    }
    if (status == STATUS_OK && errno != 0) {
        refuse(walk, "cannot be read to its end");
    }
    if (names->count > 0) {
        qsort(names->names, names->count, sizeof *names->names, compare_names);
    }
    return status;
}

// Opens, marks and lists the folder at hand. What cannot be gone into gives no names.
static Status read_folder(Walk *walk, Names *names) {
    DIR *folder = opendir(walk->path);
    struct stat st;
    bool is_new = false;
    Status status = STATUS_OK;
    if (folder == NULL || fstat(dirfd(folder), &st) != 0) {
        refuse(walk, strerror(errno));
    } else {
        status = mark(walk, &st, &is_new);
        if (status == STATUS_OK && is_new) {
            status = list(walk, folder, names);
        } else if (status == STATUS_OK) {
            refuse(walk, "leads to a folder that has been read already (a loop of links, or the "
                         "same folder twice): not read again");
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return status;
}

static Status walk_folder(Walk *walk, int depth);

static Status walk_entry(Walk *walk, const char *name, int depth) {
    if (file_is_folder(walk->path)) {
        if (depth == LIMIT_DEPTH) {
            refuse(walk, "is too many folders deep");
            return STATUS_OK;
        }
        return walk_folder(walk, depth + 1);
    }
    return walk->config->wants(name) ? walk->config->take(walk->config->context, walk->path)
                                     : STATUS_OK;
}

static Status walk_folder(Walk *walk, int depth) {
    Names names = {0};
    size_t length = strlen(walk->path);
    const char *slash = length > 0 && walk->path[length - 1] == '/' ? "" : "/";
    Status status = read_folder(walk, &names);
    for (size_t i = 0; i < names.count && status == STATUS_OK; i++) {
        size_t room = sizeof walk->path - length;
        int used = snprintf(walk->path + length, room, "%s%s", slash, names.names[i]);
        if (used >= 0 && (size_t)used < room) {
            status = walk_entry(walk, names.names[i], depth);
        } else {
            refuse(walk, "is cut off here: the path is too long");
        }
        walk->path[length] = '\0';
    }
    names_done(&names);
    return status;
}

Status spot_walk(const SpotWalk *walk, const char *root) {
    Walk state = {.config = walk};
    if (!file_is_folder(root)) {
        return walk->take(walk->context, root);
    }
    int used = snprintf(state.path, sizeof state.path, "%s", root);
    if (used < 0 || (size_t)used >= sizeof state.path) {
        return status_set(STATUS_LIMIT, "path too long: %s", root);
    }
    Status status = walk_folder(&state, 0);
    mem_free(state.seen);
    return status;
}
