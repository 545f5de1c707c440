// SPDX-License-Identifier: Apache-2.0
#include "proto/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "proto/socket.h"

enum {
    KEY_FILE_BYTES = 4096,
    LIST_BYTES = LIMIT_WORKERS * 256, // a line for every worker there can be, with room for names
    NAME_BYTES = 64,
};

void keys_wipe(void *keys, size_t size) {
    explicit_bzero(keys, size);
}

bool keys_is_key(const char *text) {
    static const char Z85[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              ".-:+=^!/*?&<>()[]{}@%$#";
    return strlen(text) == KEY_TEXT_BYTES - 1 && strspn(text, Z85) == KEY_TEXT_BYTES - 1;
}

// ---- reading ----

static Status check_mode(const char *path) {
    struct stat facts;
    if (stat(path, &facts) == 0 && (facts.st_mode & (S_IROTH | S_IWOTH)) != 0) {
        return status_set(STATUS_FORMAT,
                          "%s may be read by everybody: chmod 600 it, or make new "
                          "keys if others may have read it",
                          path);
    }
    return STATUS_OK;
}

// Lines one after the other, without the blanks around them, comments and empty ones passed over. A
// '#' within a line is part of a key.
typedef struct Lines {
    char *rest;
    uint32_t number; // of the line last given
} Lines;

static char *next_line(Lines *lines) {
    while (lines->rest != NULL && *lines->rest != '\0') {
        char *line = lines->rest;
        char *end = line + strcspn(line, "\n");
        lines->rest = *end == '\0' ? end : end + 1;
        lines->number++;
        while (end > line && strchr(" \t\r", end[-1]) != NULL) {
            end--;
        }
        *end = '\0';
        line += strspn(line, " \t");
        if (line[0] != '\0' && line[0] != '#') {
            return line;
        }
    }
    return NULL;
}

typedef struct Word {
    const char *name; // "public"
    char *key;        // (KEY_TEXT_BYTES) where it goes
    bool is_there;
} Word;

static Status take_line(const char *path, uint32_t number, char *line, Word *words, int count) {
    for (int i = 0; i < count; i++) {
        size_t size = strlen(words[i].name);
        if (strncmp(line, words[i].name, size) != 0 || line[size] != ':') {
            continue;
        }
        const char *key = line + size + 1;
        key += strspn(key, " \t");
        if (words[i].is_there || !keys_is_key(key)) {
            return status_set(STATUS_FORMAT, "%s:%u: %s", path, number,
                              words[i].is_there ? "this is here twice" : "no key of 40 characters");
        }
        words[i].is_there = true;
        text_copy(words[i].key, KEY_TEXT_BYTES, key);
        return STATUS_OK;
    }
    return status_set(STATUS_FORMAT, "%s:%u: not what a key file has there", path, number);
}

static Status read_words(const char *path, Word *words, int count) {
    Buffer text = BUFFER_EMPTY;
    Status status = file_read(path, KEY_FILE_BYTES, &text);
    if (status == STATUS_OK) {
        status = check_mode(path);
    }
    Lines lines = {.rest = text.bytes};
    for (char *line; status == STATUS_OK && (line = next_line(&lines)) != NULL;) {
        status = take_line(path, lines.number, line, words, count);
    }
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        if (!words[i].is_there) {
            status =
                status_set(STATUS_FORMAT, "%s: there is no line '%s: KEY'", path, words[i].name);
        }
    }
    if (text.bytes != NULL) {
        keys_wipe(text.bytes, text.size);
    }
    buffer_done(&text);
    return status;
}

Status keys_read_coordinator(const char *folder, KeyPair *ret_pair) {
    char path[LIMIT_PATH_BYTES];
    KeyPair pair = {0};
    Word words[] = {{"public", pair.public_key, false}, {"secret", pair.secret_key, false}};
    Status status = file_join(path, sizeof path, folder, KEYS_COORDINATOR);
    if (status == STATUS_OK) {
        status = read_words(path, words, 2);
    }
    if (status == STATUS_OK) {
        *ret_pair = pair;
    }
    keys_wipe(&pair, sizeof pair);
    return status;
}

Status keys_read_worker(const char *file, WorkerKeys *ret_keys) {
    WorkerKeys keys = {0};
    Word words[] = {{"public", keys.own.public_key, false},
                    {"secret", keys.own.secret_key, false},
                    {"coordinator", keys.coordinator, false}};
    Status status = read_words(file, words, 3);
    if (status == STATUS_OK) {
        *ret_keys = keys;
    }
    keys_wipe(&keys, sizeof keys);
    return status;
}

static Status add_key(KeyList *list, const char *path, uint32_t number, char *line) {
    line[strcspn(line, " \t")] = '\0'; // the name behind it is for people
    if (!keys_is_key(line)) {
        return status_set(STATUS_FORMAT, "%s:%u: no key of 40 characters", path, number);
    }
    if (!mem_grow(&list->keys, list->count, &list->capacity, sizeof *list->keys)) {
        return STATUS_MEMORY;
    }
    text_copy(list->keys[list->count++], KEY_TEXT_BYTES, line);
    return STATUS_OK;
}

Status keys_read_list(const char *file, KeyList *list) {
    Buffer text = BUFFER_EMPTY;
    KeyList found = {0};
    Status status = file_read(file, LIST_BYTES, &text);
    Lines lines = {.rest = text.bytes};
    for (char *line; status == STATUS_OK && (line = next_line(&lines)) != NULL;) {
        status = add_key(&found, file, lines.number, line);
    }
    buffer_done(&text);
    if (status != STATUS_OK) {
        keys_list_done(&found);
        return status;
    }
    keys_list_done(list);
    *list = found;
    return STATUS_OK;
}

void keys_list_done(KeyList *list) {
    mem_free(list->keys);
    *list = (KeyList){0};
}

bool keys_list_has(const KeyList *list, const char *key) {
    for (uint32_t i = 0; i < list->count; i++) {
        if (strcmp(list->keys[i], key) == 0) {
            return true;
        }
    }
    return false;
}

// ---- making ----

static Status write_new(const char *path, const Buffer *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return errno == EEXIST
                   ? status_set(STATUS_MISMATCH, "%s is there already; it was left as it is", path)
                   : status_set(STATUS_IO, "cannot create %s: %s", path, strerror(errno));
    }
    bool good = text->status == STATUS_OK &&
                write(fd, text->bytes, text->size) == (ssize_t)text->size && fsync(fd) == 0;
    Status status =
        good ? STATUS_OK : status_set(STATUS_IO, "cannot write %s: %s", path, strerror(errno));
    close(fd);
    if (!good) {
        unlink(path);
    }
    return status;
}

static Status write_pair(const char *folder, const char *name, const char *what,
                         const KeyPair *pair, const char *coordinator) {
    char path[LIMIT_PATH_BYTES];
    Buffer text = BUFFER_EMPTY;
    buffer_format(&text, "# auscult: %s. Who has this file can act as it: keep it secret.\n", what);
    buffer_format(&text, "public: %s\nsecret: %s\n", pair->public_key, pair->secret_key);
    if (coordinator != NULL) {
        buffer_format(&text, "coordinator: %s\n", coordinator);
    }
    Status status = file_join(path, sizeof path, folder, name);
    if (status == STATUS_OK) {
        status = write_new(path, &text);
    }
    if (text.bytes != NULL) {
        keys_wipe(text.bytes, text.size);
    }
    buffer_done(&text);
    return status;
}

static bool is_name(const char *name) {
    static const char GOOD[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t size = strlen(name);
    return size > 0 && size < NAME_BYTES && strspn(name, GOOD) == size && name[0] != '.' &&
           name[0] != '-' && strcmp(name, "coordinator") != 0;
}

// Appends a line; the list is written anew, so that a reader finds it with it or without.
static Status admit(const char *folder, const char *key, const char *name) {
    static const char HEAD[] = "# Workers that are admitted, a line each: KEY NAME. A line that is "
                               "deleted ends that worker's session at once.\n";
    char path[LIMIT_PATH_BYTES];
    Buffer text = BUFFER_EMPTY;
    Status status = file_join(path, sizeof path, folder, KEYS_LIST);
    if (status == STATUS_OK) {
        status = file_read(path, LIST_BYTES, &text);
    }
    if (status == STATUS_NOT_FOUND) {
        buffer_text(&text, HEAD);
        status = STATUS_OK;
    }
    if (text.size > 0 && text.bytes[text.size - 1] != '\n') {
        buffer_text(&text, "\n");
    }
    buffer_format(&text, "%s %s\n", key, name);
    if (status == STATUS_OK) {
        status = file_write_buffer(path, &text);
    }
    if (status == STATUS_OK && chmod(path, 0600) != 0) {
        status = status_set(STATUS_IO, "cannot chmod %s: %s", path, strerror(errno));
    }
    buffer_done(&text);
    return status;
}

static Status make_worker(const char *folder, const char *name, const char *coordinator) {
    char file[NAME_BYTES + 8], what[NAME_BYTES + 32];
    KeyPair pair;
    snprintf(file, sizeof file, "%s.key", name);
    snprintf(what, sizeof what, "keys of the worker %s", name);
    Status status = socket_make_keys(pair.public_key, pair.secret_key);
    if (status == STATUS_OK) {
        status = write_pair(folder, file, what, &pair, coordinator);
    }
    if (status == STATUS_OK) {
        status = admit(folder, pair.public_key, name);
    }
    keys_wipe(&pair, sizeof pair);
    return status;
}

static Status check_absent(const char *folder, const char *name) {
    char path[LIMIT_PATH_BYTES];
    Status status = file_join(path, sizeof path, folder, name);
    return status == STATUS_OK && file_exists(path)
               ? status_set(STATUS_MISMATCH, "%s is there already; nothing was changed", path)
               : status;
}

Status keys_make(const char *folder) {
    static const char *const NAMES[] = {KEYS_COORDINATOR, KEYS_WORKER, KEYS_LIST};
    Status status = file_make_folders(folder);
    for (int i = 0; i < 3 && status == STATUS_OK; i++) {
        status = check_absent(folder, NAMES[i]);
    }
    if (status == STATUS_OK && chmod(folder, 0700) != 0) {
        status = status_set(STATUS_IO, "cannot chmod %s: %s", folder, strerror(errno));
    }
    KeyPair pair;
    if (status == STATUS_OK) {
        status = socket_make_keys(pair.public_key, pair.secret_key);
    }
    if (status == STATUS_OK) {
        status = write_pair(folder, KEYS_COORDINATOR, "the coordinator's keys", &pair, NULL);
    }
    if (status == STATUS_OK) {
        status = make_worker(folder, "worker", pair.public_key);
    }
    keys_wipe(&pair, sizeof pair);
    return status;
}

Status keys_add_worker(const char *folder, const char *name) {
    if (!is_name(name)) {
        return status_set(
            STATUS_INVALID,
            "'%s' is no name for a worker: letters, digits, '.', '_' and '-', at most "
            "%d of them",
            name, NAME_BYTES - 1);
    }
    KeyPair pair;
    Status status = keys_read_coordinator(folder, &pair);
    if (status != STATUS_OK) {
        return status;
    }
    status = make_worker(folder, name, pair.public_key);
    keys_wipe(&pair, sizeof pair);
    return status;
}
