// SPDX-License-Identifier: Apache-2.0
//
// How it works: one recursive descent per root over open folders (openat, so that a path is never
// resolved twice). Entries are sorted before use, and links are followed after the real entries
// of their folder, so that a folder is known by its own name rather than a link's. A folder is
// read once, by device and inode: loops end there, and at LIMIT_DEPTH at the latest.
#include "coordinator/dataset/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"

static const struct {
    const char *name;
    FolderKind kind;
} folder_names[] = {
    {"train", FOLDER_TRAIN},
    {"test", FOLDER_TEST},
    {"source_test", FOLDER_SOURCE_TEST},
    {"target_test", FOLDER_TARGET_TEST},
    {"test_rename", FOLDER_TEST_RENAME},
    {"supplemental", FOLDER_SUPPLEMENTAL},
};

typedef struct Entry {
    const char *name;
    unsigned char type; // DT_DIR, DT_REG, DT_LNK, DT_UNKNOWN for whatever else
    bool link;
} Entry;

// The entries of one open folder, sorted.
typedef struct Listing {
    Entry *entries;
    uint32_t count, capacity;
} Listing;

typedef struct FolderId {
    dev_t device;
    ino_t inode;
} FolderId;

typedef struct Walk {
    Builder *builder;
    FolderId *visited; // open hash table, (visited_capacity), inode 0 is an empty slot
    uint32_t visited_count, visited_capacity;
    uint32_t root;
    char machine_of_root[LIMIT_NAME_BYTES]; // what the root is called if it is a machine folder
    char path[LIMIT_PATH_BYTES];            // of the folder at hand, relative to the root
} Walk;

static Status walk_folder(Walk *walk, int fd, int depth);

static const char *root_path(const Walk *walk) {
    return walk->builder->options->roots[walk->root];
}

static uint32_t slot_of(const Walk *walk, FolderId id) {
    uint64_t hash = ((uint64_t)id.inode + (uint64_t)id.device * 0x9E3779B97F4A7C15u);
    hash = (hash ^ (hash >> 29)) * 0xBF58476D1CE4E5B9u;
    uint32_t slot = (uint32_t)(hash >> 32) & (walk->visited_capacity - 1);
    while (walk->visited[slot].inode != 0 &&
           (walk->visited[slot].inode != id.inode || walk->visited[slot].device != id.device)) {
        slot = (slot + 1) & (walk->visited_capacity - 1);
    }
    return slot;
}

static Status grow_visited(Walk *walk) {
    Walk larger = {.visited_capacity =
                       walk->visited_capacity == 0 ? 256 : walk->visited_capacity * 2};
    larger.visited = mem_new(larger.visited_capacity, sizeof *larger.visited);
    if (larger.visited == NULL) {
        return STATUS_MEMORY;
    }
    for (uint32_t i = 0; i < walk->visited_capacity; i++) {
        if (walk->visited[i].inode != 0) {
            larger.visited[slot_of(&larger, walk->visited[i])] = walk->visited[i];
        }
    }
    mem_free(walk->visited);
    walk->visited = larger.visited;
    walk->visited_capacity = larger.visited_capacity;
    return STATUS_OK;
}

// Marks the folder; *ret_new tells whether it had not been marked before.
static Status visit(Walk *walk, int fd, bool *ret_new) {
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return status_set(STATUS_IO, "cannot look at %s: %s", walk->path, strerror(errno));
    }
    if (walk->visited_count * 2 >= walk->visited_capacity) {
        Status status = grow_visited(walk);
        if (status != STATUS_OK) {
            return status;
        }
    }
    FolderId id = {st.st_dev, st.st_ino};
    uint32_t slot = slot_of(walk, id);
    *ret_new = walk->visited[slot].inode == 0;
    walk->visited[slot] = id;
    walk->visited_count += *ret_new;
    return STATUS_OK;
}

static void listing_done(Listing *listing) {
    for (uint32_t i = 0; i < listing->count; i++) {
        mem_free((void *)(uintptr_t)listing->entries[i].name);
    }
    mem_free(listing->entries);
}

static int compare_entries(const void *left, const void *right) {
    const Entry *a = left, *b = right;
    int order = (int)a->link - (int)b->link;
    return order != 0 ? order : strcmp(a->name, b->name);
}

static Status list_entry(Listing *listing, const struct dirent *entry) {
    if (!mem_grow(&listing->entries, listing->count, &listing->capacity,
                  sizeof *listing->entries)) {
        return STATUS_MEMORY;
    }
    char *name = mem_copy_text(entry->d_name);
    if (name == NULL) {
        return STATUS_MEMORY;
    }
    listing->entries[listing->count++] =
        (Entry){.name = name, .type = entry->d_type, .link = entry->d_type == DT_LNK};
    return STATUS_OK;
}

// Hidden files, and what archives of other systems leave behind.
static bool is_ignored(const char *name) {
    return name[0] == '.' || strcmp(name, "__MACOSX") == 0;
}

// Takes over `fd`. An error while reading leaves what was read before it.
static Status list_folder(Walk *walk, int fd, Listing *out) {
    DIR *folder = fdopendir(fd);
    if (folder == NULL) {
        close(fd);
        return status_set(STATUS_MEMORY, "cannot read folder %s: %s", walk->path, strerror(errno));
    }
    Status status = STATUS_OK;
    errno = 0;
    struct dirent *entry;
    while (status == STATUS_OK && (entry = readdir(folder)) != NULL) {
        if (out->count >= LIMIT_CLIPS) {
            status = status_set(STATUS_LIMIT, "more than %u files in %s/%s", LIMIT_CLIPS,
                                root_path(walk), walk->path);
        } else if (!is_ignored(entry->d_name)) {
            status = list_entry(out, entry);
        }
        errno = 0;
    }
    if (status == STATUS_OK && errno != 0) {
        status = builder_warn(walk->builder, "%s/%s: cannot be read to its end: %s",
                              root_path(walk), walk->path, strerror(errno));
    }
    closedir(folder);
    if (out->count > 0) {
        qsort(out->entries, out->count, sizeof *out->entries, compare_entries);
    }
    return status;
}

// Appends "/name" to the path at hand; returns its old length, or SIZE_MAX when it is too long.
static size_t path_push(Walk *walk, const char *name) {
    size_t old = strlen(walk->path);
    size_t all = strlen(root_path(walk)) + 1 + old + 1 + strlen(name);
    if (all >= sizeof walk->path) {
        return SIZE_MAX;
    }
    snprintf(walk->path + old, sizeof walk->path - old, "%s%s", old > 0 ? "/" : "", name);
    return old;
}

static Status warn_entry(Walk *walk, const char *name, const char *what) {
    return builder_warn(walk->builder, "%s/%s%s%s: %s", root_path(walk), walk->path,
                        walk->path[0] != '\0' ? "/" : "", name, what);
}

// What an entry really is: links are resolved, and file systems that do not tell are asked.
// DT_UNKNOWN: neither file nor folder, or not to be looked at; then *ret_error is set.
static unsigned char type_of(int fd, const Entry *entry, int *ret_error) {
    *ret_error = 0;
    if (entry->type == DT_DIR || entry->type == DT_REG) {
        return entry->type;
    }
    struct stat st;
    if (fstatat(fd, entry->name, &st, 0) != 0) {
        *ret_error = errno;
        return DT_UNKNOWN;
    }
    return S_ISDIR(st.st_mode) ? DT_DIR : S_ISREG(st.st_mode) ? DT_REG : DT_UNKNOWN;
}

FolderKind walk_folder_kind(const char *name) {
    for (size_t i = 0; i < sizeof folder_names / sizeof folder_names[0]; i++) {
        if (strcasecmp(name, folder_names[i].name) == 0) {
            return folder_names[i].kind;
        }
    }
    return FOLDER_NONE;
}

// Opens a folder below `parent` with the path already pushed; -1 with a warning made, or when it
// has been read before.
static Status open_folder(Walk *walk, int parent, const char *name, int *ret_fd) {
    *ret_fd = -1;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return builder_warn(walk->builder, "%s/%s: cannot be opened: %s", root_path(walk),
                            walk->path, strerror(errno));
    }
    bool is_new = false;
    Status status = visit(walk, fd, &is_new);
    if (status == STATUS_OK && !is_new) {
        status = builder_warn(walk->builder,
                              "%s/%s: leads to a folder that has been read already (a loop of "
                              "links, or the same data twice): not read again",
                              root_path(walk), walk->path);
    }
    if (status != STATUS_OK || !is_new) {
        close(fd);
        return status;
    }
    *ret_fd = fd;
    return STATUS_OK;
}

static Status add_clip(Walk *walk, uint32_t place, FolderKind kind, const struct stat *st) {
    Builder *b = walk->builder;
    char *path = memory_text(b->memory, walk->path);
    Found *found = path != NULL ? builder_add_found(b) : NULL;
    if (found == NULL) {
        return path == NULL                    ? STATUS_MEMORY
               : b->found_count >= LIMIT_CLIPS ? STATUS_LIMIT
                                               : STATUS_MEMORY;
    }
    found->place = place;
    found->machine = b->places[place].machine;
    found->folder = kind;
    found->clip.path = path;
    found->clip.root = walk->root;
    found->clip.size_bytes = (uint64_t)st->st_size;
    found->clip.mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    b->places[place].found_count++;
    return builder_understand(b, found);
}

// One entry of a split folder that has a clip's extension.
static Status take_clip(Walk *walk, int fd, const char *name, uint32_t place, FolderKind kind) {
    struct stat st;
    if (fstatat(fd, name, &st, 0) != 0) {
        char why[LIMIT_MESSAGE_BYTES];
        snprintf(why, sizeof why, "cannot be looked at: %s", strerror(errno));
        return warn_entry(walk, name, why);
    }
    if (!S_ISREG(st.st_mode)) {
        return warn_entry(walk, name, "has a clip's name but is not a file: ignored");
    }
    size_t old = path_push(walk, name);
    if (old == SIZE_MAX) {
        return warn_entry(walk, name, "path too long: ignored");
    }
    Status status;
    if (!text_is_clean(walk->path)) {
        status = builder_leave_out(walk->builder, walk->root, walk->builder->places[place].machine,
                                   walk->path, "the name is not clean UTF-8");
    } else {
        status = add_clip(walk, place, kind, &st);
        if (status == STATUS_OK && faccessat(fd, name, R_OK, 0) != 0) {
            status = builder_warn(walk->builder, "%s/%s: may not be read: %s", root_path(walk),
                                  walk->path, strerror(errno));
        }
    }
    walk->path[old] = '\0';
    return status;
}

// What else lies in a split folder: one warning for all of it.
static Status warn_of_others(Walk *walk, const char *what, uint32_t count, const char *example) {
    return count == 0 ? STATUS_OK
                      : builder_warn(walk->builder, "%s/%s: %u %s ignored, such as %s",
                                     root_path(walk), walk->path, count, what, example);
}

// Takes over `fd`; the path at hand is the split folder's.
static Status walk_split(Walk *walk, int fd, uint32_t place, FolderKind kind) {
    int look = dup(fd);
    Listing listing = {0};
    if (look < 0) {
        close(fd);
        return status_set(STATUS_IO, "cannot read %s: %s", walk->path, strerror(errno));
    }
    Status status = list_folder(walk, fd, &listing);
    uint32_t others = 0, folders = 0;
    const char *other = NULL, *folder = NULL;
    for (uint32_t i = 0; i < listing.count && status == STATUS_OK; i++) {
        const Entry *entry = &listing.entries[i];
        int error;
        if (clipname_is_clip(entry->name) && entry->type != DT_DIR) {
            status = take_clip(walk, look, entry->name, place, kind);
        } else if (type_of(look, entry, &error) == DT_DIR) {
            folder = folders++ == 0 ? entry->name : folder;
        } else {
            other = others++ == 0 ? entry->name : other;
        }
    }
    if (status == STATUS_OK) {
        status = warn_of_others(walk, "files that are no clips", others, other);
    }
    if (status == STATUS_OK) {
        status = warn_of_others(walk, "folders inside it", folders, folder);
    }
    close(look);
    listing_done(&listing);
    return status;
}

// The machine's name when the folder at hand has split folders in it.
static const char *machine_name(const Walk *walk) {
    return walk->path[0] != '\0' ? file_name(walk->path) : walk->machine_of_root;
}

static Status add_place(Walk *walk, uint32_t *ret_place) {
    Builder *b = walk->builder;
    const char *machine = machine_name(walk);
    if (!file_is_safe_relative(machine) || !text_is_clean(machine) ||
        strlen(machine) >= LIMIT_MACHINE_BYTES) {
        *ret_place = UINT32_MAX;
        return builder_warn(b, "%s/%s: its name cannot be a machine's: ignored", root_path(walk),
                            walk->path);
    }
    Place *place = builder_add_place(b);
    if (place == NULL) {
        return b->place_count >= LIMIT_MACHINES ? STATUS_LIMIT : STATUS_MEMORY;
    }
    place->root = walk->root;
    place->machine = memory_text(b->memory, machine);
    place->path = memory_text(b->memory, walk->path);
    if (place->machine == NULL || place->path == NULL) {
        place->machine = place->path = "";
        return STATUS_MEMORY;
    }
    *ret_place = b->place_count - 1;
    return STATUS_OK;
}

// Reads the split folders and attributes files among the entries of a machine folder.
static Status walk_machine(Walk *walk, int fd, const Listing *listing) {
    uint32_t place;
    Status status = add_place(walk, &place);
    if (status != STATUS_OK || place == UINT32_MAX) {
        return status;
    }
    for (uint32_t i = 0; i < listing->count && status == STATUS_OK; i++) {
        const Entry *entry = &listing->entries[i];
        FolderKind kind = walk_folder_kind(entry->name);
        bool side = strncasecmp(entry->name, "attributes", 10) == 0 &&
                    text_ends_nocase(entry->name, ".csv");
        size_t old = kind != FOLDER_NONE || side ? path_push(walk, entry->name) : SIZE_MAX;
        if (old == SIZE_MAX) {
            continue;
        }
        int error, below = -1;
        unsigned char type = type_of(fd, entry, &error);
        if (side && type == DT_REG && text_is_clean(walk->path)) {
            char *path = memory_text(walk->builder->memory, walk->path);
            SideFile *file = path != NULL ? builder_add_side_file(walk->builder) : NULL;
            if (file == NULL) {
                status = STATUS_MEMORY;
            } else {
                *file = (SideFile){.path = path, .place = place};
            }
        } else if (kind != FOLDER_NONE && type == DT_DIR) {
            status = open_folder(walk, fd, entry->name, &below);
        }
        if (below >= 0) {
            status = walk_split(walk, below, place, kind);
        }
        walk->path[old] = '\0';
    }
    return status;
}

// Descends into a folder that is no split folder.
static Status walk_below(Walk *walk, int fd, const Entry *entry, int depth) {
    size_t old = path_push(walk, entry->name);
    if (old == SIZE_MAX) {
        return warn_entry(walk, entry->name, "path too long: ignored");
    }
    Status status = STATUS_OK;
    int below = -1;
    if (!text_is_clean(entry->name)) {
        status = builder_warn(walk->builder, "%s/%s: the name is not clean UTF-8: ignored",
                              root_path(walk), walk->path);
    } else if (depth >= LIMIT_DEPTH) {
        status = builder_warn(walk->builder, "%s/%s: more than %d folders deep: ignored",
                              root_path(walk), walk->path, LIMIT_DEPTH);
    } else {
        status = open_folder(walk, fd, entry->name, &below);
    }
    if (below >= 0) {
        status = walk_folder(walk, below, depth + 1);
    }
    walk->path[old] = '\0';
    return status;
}

// Takes over `fd`.
static Status walk_folder(Walk *walk, int fd, int depth) {
    int look = dup(fd);
    Listing listing = {0};
    if (look < 0) {
        close(fd);
        return status_set(STATUS_IO, "cannot read %s: %s", walk->path, strerror(errno));
    }
    Status status = list_folder(walk, fd, &listing);
    bool machine = false;
    uint32_t strays = 0;
    const char *stray = NULL;
    for (uint32_t i = 0; i < listing.count && status == STATUS_OK; i++) {
        const Entry *entry = &listing.entries[i];
        int error;
        if (walk_folder_kind(entry->name) != FOLDER_NONE) {
            machine = machine || type_of(look, entry, &error) == DT_DIR;
        } else if (entry->type != DT_DIR && clipname_is_clip(entry->name)) {
            stray = strays++ == 0 ? entry->name : stray;
        }
    }
    walk->builder->stray_count += strays;
    if (status == STATUS_OK && strays > 0) {
        status = warn_of_others(walk, "clips that lie in no train or test folder", strays, stray);
    }
    if (status == STATUS_OK && machine) {
        status = walk_machine(walk, look, &listing);
    }
    for (uint32_t i = 0; i < listing.count && status == STATUS_OK; i++) {
        const Entry *entry = &listing.entries[i];
        int error = 0;
        if (walk_folder_kind(entry->name) == FOLDER_NONE &&
            type_of(look, entry, &error) == DT_DIR) {
            status = walk_below(walk, look, entry, depth);
        } else if (error != 0) {
            char why[LIMIT_MESSAGE_BYTES];
            snprintf(why, sizeof why, "leads nowhere: %s", strerror(error));
            status = warn_entry(walk, entry->name, why);
        }
    }
    close(look);
    listing_done(&listing);
    return status;
}

// A root that is a machine folder itself is called what it is called where it really lies.
static void name_root(Walk *walk) {
    char real[PATH_MAX];
    const char *path = realpath(root_path(walk), real) != NULL ? real : root_path(walk);
    if (!text_copy(walk->machine_of_root, sizeof walk->machine_of_root, file_name(path))) {
        walk->machine_of_root[0] = '\0';
    }
}

static Status walk_root(Walk *walk) {
    const char *root = root_path(walk);
    if (root[0] == '\0' || !text_is_clean(root)) {
        return status_set(STATUS_INVALID, "data root %u: its path is empty or not clean UTF-8",
                          walk->root + 1);
    }
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        Status status = errno == ENOENT || errno == ENOTDIR ? STATUS_NOT_FOUND : STATUS_IO;
        return status_set(status, "cannot open data folder %s: %s", root, strerror(errno));
    }
    walk->path[0] = '\0';
    name_root(walk);
    bool is_new = false;
    Status status = visit(walk, fd, &is_new);
    if (status == STATUS_OK && is_new) {
        return walk_folder(walk, fd, 0);
    }
    close(fd);
    return status != STATUS_OK
               ? status
               : builder_warn(walk->builder,
                              "%s: has been read already as part of another data folder", root);
}

Status walk_roots(Builder *builder) {
    Walk *walk = mem_new(1, sizeof *walk);
    if (walk == NULL) {
        return STATUS_MEMORY;
    }
    walk->builder = builder;
    Status status = STATUS_OK;
    while (walk->root < builder->options->root_count && status == STATUS_OK) {
        status = walk_root(walk);
        walk->root++;
    }
    mem_free(walk->visited);
    mem_free(walk);
    return status;
}
