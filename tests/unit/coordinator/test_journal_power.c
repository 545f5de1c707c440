// SPDX-License-Identifier: Apache-2.0
//
// What is left of the run's memory when the power goes: a disk of the test's own (a VFS below
// SQLite) keeps what was synced, and of what was not any part, torn at sectors. Whatever was
// reported before must be in what is left, and what is left must open.
#include <poll.h>
#include <pthread.h>
#include <sqlite3.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "coordinator/journal/journal.h"
#include "tests/unit/test.h"

static uint32_t file_kind; // what statfs tells, 0 for the truth

int __real_statfs(const char *path, struct statfs *facts);
int __wrap_statfs(const char *path, struct statfs *facts);

int __wrap_statfs(const char *path, struct statfs *facts) {
    int result = __real_statfs(path, facts);
    facts->f_type = file_kind != 0 ? (__fsword_t)file_kind : facts->f_type;
    return result;
}

// ---- a disk that forgets ----

enum { SECTOR_BYTES = 512 };

typedef struct Write {
    struct Write *next;
    size_t at, size;
    bool truncates; // to `at` bytes
    unsigned char bytes[];
} Write;

typedef struct Image {
    unsigned char *bytes;
    size_t size, capacity;
} Image;

// Database, log, rollback journal.
static const char *const ENDS[] = {"/run/journal.db", "/run/journal.db-wal",
                                   "/run/journal.db-journal"};
enum { DISKS = 3 };
static struct Disk {
    const sqlite3_io_methods *whole;
    sqlite3_io_methods recording;
    Image synced;
    Write *first, *last; // since then
} disks[DISKS];
static pthread_mutex_t disks_lock = PTHREAD_MUTEX_INITIALIZER;

static struct Disk *disk_of(sqlite3_file *file) {
    for (int i = 0; i < DISKS; i++) {
        if (file->pMethods == &disks[i].recording) {
            return &disks[i];
        }
    }
    abort();
}

static void resize(Image *image, size_t size) {
    if (size > image->capacity) {
        image->capacity = 2 * size;
        image->bytes = mem_resize(image->bytes, image->capacity, 1);
    }
    if (size > image->size) {
        memset(image->bytes + image->size, 0, size - image->size);
    }
    image->size = size;
}

static void write_part(Image *image, const Write *what, size_t from, size_t to) {
    if (what->at + to > image->size) {
        resize(image, what->at + to);
    }
    memcpy(image->bytes + what->at + from, what->bytes + from, to - from);
}

static void apply(Image *image, const Write *what) {
    if (what->truncates) {
        resize(image, what->at);
    } else {
        write_part(image, what, 0, what->size);
    }
}

static void record(struct Disk *disk, size_t at, const void *bytes, size_t size, bool truncates) {
    Write *what = mem_new(1, sizeof *what + size);
    *what = (Write){.at = at, .size = size, .truncates = truncates};
    if (size > 0) {
        memcpy(what->bytes, bytes, size);
    }
    pthread_mutex_lock(&disks_lock);
    *(disk->first != NULL ? &disk->last->next : &disk->first) = what;
    disk->last = what;
    pthread_mutex_unlock(&disks_lock);
}

static int record_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 at) {
    struct Disk *disk = disk_of(file);
    record(disk, (size_t)at, bytes, (size_t)size, false);
    return disk->whole->xWrite(file, bytes, size, at);
}

static int record_truncate(sqlite3_file *file, sqlite3_int64 size) {
    struct Disk *disk = disk_of(file);
    record(disk, (size_t)size, NULL, 0, true);
    return disk->whole->xTruncate(file, size);
}

static void forget(struct Disk *disk) {
    while (disk->first != NULL) {
        Write *next = disk->first->next;
        mem_free(disk->first);
        disk->first = next;
    }
}

static int record_sync(sqlite3_file *file, int flags) {
    struct Disk *disk = disk_of(file);
    int code = disk->whole->xSync(file, flags);
    pthread_mutex_lock(&disks_lock);
    for (const Write *what = disk->first; what != NULL; what = what->next) {
        apply(&disk->synced, what);
    }
    forget(disk);
    pthread_mutex_unlock(&disks_lock);
    return code;
}

// -1: none of them.
static int index_of(const char *name) {
    for (int i = 0; i < DISKS && name != NULL; i++) {
        size_t length = strlen(name), end = strlen(ENDS[i]);
        if (length > end && strcmp(name + length - end, ENDS[i]) == 0) {
            return i;
        }
    }
    return -1;
}

// A file whose folder was not synced afterwards comes back.
static int delete_recorded(sqlite3_vfs *vfs, const char *name, int syncs_folder) {
    sqlite3_vfs *whole = vfs->pAppData;
    int code = whole->xDelete(whole, name, syncs_folder), i = index_of(name);
    if (code == SQLITE_OK && i >= 0 && syncs_folder != 0) {
        pthread_mutex_lock(&disks_lock);
        disks[i].synced.size = 0;
        forget(&disks[i]);
        pthread_mutex_unlock(&disks_lock);
    }
    return code;
}

static int open_recorded(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                         int *out) {
    sqlite3_vfs *whole = vfs->pAppData;
    int code = whole->xOpen(whole, name, file, flags, out), i = index_of(name);
    if (code == SQLITE_OK && i >= 0) {
        disks[i].whole = file->pMethods;
        disks[i].recording = *file->pMethods;
        disks[i].recording.iVersion = 1; // no memory maps
        disks[i].recording.xWrite = record_write;
        disks[i].recording.xTruncate = record_truncate;
        disks[i].recording.xSync = record_sync;
        file->pMethods = &disks[i].recording;
    }
    return code;
}

static void use_recorder(void) {
    static sqlite3_vfs recorder;
    if (recorder.xOpen == NULL) {
        sqlite3_vfs *whole = sqlite3_vfs_find(NULL);
        recorder = *whole;
        recorder.zName = "recorder";
        recorder.pAppData = whole;
        recorder.xOpen = open_recorded;
        recorder.xDelete = delete_recorded;
        CHECK_INT(sqlite3_vfs_register(&recorder, 1), SQLITE_OK);
    }
}

static void empty_disks(void) {
    for (int i = 0; i < DISKS; i++) {
        forget(&disks[i]);
        mem_free(disks[i].synced.bytes);
        disks[i].synced = (Image){0};
    }
}

// ---- the power goes ----

static char folder[256];

static const char *in_folder(const char *name) {
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s%s", folder, name);
    return path;
}

// What was synced; and of what was not each sector or not, with the chance of `kept` in 4.
static Image what_is_left(const struct Disk *disk, Rng *rng, uint32_t kept) {
    Image image = {0};
    if (disk->synced.size > 0) {
        resize(&image, disk->synced.size);
        memcpy(image.bytes, disk->synced.bytes, disk->synced.size);
    }
    for (const Write *what = disk->first; what != NULL; what = what->next) {
        if (what->truncates) {
            if (rng_below(rng, 4) < kept) {
                resize(&image, what->at);
            }
            continue;
        }
        for (size_t from = 0; from < what->size; from += SECTOR_BYTES) {
            size_t to = from + SECTOR_BYTES < what->size ? from + SECTOR_BYTES : what->size;
            if (rng_below(rng, 4) < kept) {
                write_part(&image, what, from, to);
            }
        }
    }
    return image;
}

// The folder /cut as a machine finds it that was cut off from its power now.
static void cut_power(Rng *rng) {
    static const char *const NAMES[] = {"/cut/journal.db", "/cut/journal.db-wal",
                                        "/cut/journal.db-journal"};
    uint32_t kept = rng_below(rng, 5);
    (void)file_remove_tree(in_folder("/cut")); // there is none at first
    CHECK_OK(file_make_folders(in_folder("/cut")));
    Buffer lock = BUFFER_EMPTY; // written and synced past SQLite
    CHECK_OK(file_read(in_folder("/run/journal.lock"), 1000, &lock));
    CHECK_OK(file_replace(in_folder("/cut/journal.lock"), lock.bytes, lock.size));
    buffer_done(&lock);
    pthread_mutex_lock(&disks_lock);
    Image images[DISKS];
    for (int i = 0; i < DISKS; i++) {
        images[i] = what_is_left(&disks[i], rng, kept);
    }
    pthread_mutex_unlock(&disks_lock);
    for (int i = 0; i < DISKS; i++) {
        if (images[i].size > 0) {
            CHECK_OK(file_replace(in_folder(NAMES[i]), images[i].bytes, images[i].size));
        }
        mem_free(images[i].bytes);
    }
}

enum { ANSWERS = 160, ANSWER_BYTES = 120000 };

static Digest key_of(uint64_t number) {
    return digest_of(&number, sizeof number);
}

static size_t body_of(uint64_t number, unsigned char *out) {
    Rng rng = rng_of(99, "body", number, 0);
    size_t size = rng_below(&rng, ANSWER_BYTES);
    memset(out, (int)(number % 251), size);
    return size;
}

static void check_answers(uint64_t count, unsigned char *body) {
    uint32_t kind = file_kind;
    file_kind = 0; // nobody else is waited for
    Journal *journal = NULL;
    CHECK_OK(journal_open(in_folder("/cut/journal.db"), &journal));
    CHECK_INT(journal_incarnation(journal), 2);
    Buffer found = BUFFER_EMPTY;
    for (uint64_t i = 0; i < count; i++) {
        CHECK_OK(journal_answer(journal, key_of(i), &found));
        size_t size = body_of(i, body);
        CHECK(found.size == size && (size == 0 || memcmp(found.bytes, body, size) == 0));
    }
    buffer_done(&found);
    journal_close(journal);
    file_kind = kind;
}

static void wait_ticket(Journal *journal, uint64_t expected) {
    uint64_t ticket;
    Status status;
    while ((status = journal_next(journal, &ticket)) == STATUS_AGAIN) {
        struct pollfd fd = {.fd = journal_fd(journal), .events = POLLIN};
        CHECK(poll(&fd, 1, 20000) == 1);
    }
    CHECK_OK(status);
    CHECK_INT(ticket, expected);
}

// The writer is left at work while the power goes, so that it goes in the middle of commits and of
// checkpoints (of which there are several in so many bytes) too.
static void run_until_cut(uint64_t seed) {
    Rng rng = rng_of(seed, "power", 0, 0);
    Journal *journal = NULL;
    unsigned char *body = mem_new(1, ANSWER_BYTES);
    snprintf(folder, sizeof folder, "%s", test_folder());
    CHECK_OK(file_make_folders(in_folder("/run")));
    CHECK_OK(journal_open(in_folder("/run/journal.db"), &journal));
    uint64_t put = 0;
    for (uint64_t reported = 0; reported < ANSWERS; reported++) {
        for (uint32_t more = rng_below(&rng, 4); put < ANSWERS && (put <= reported || more > 0);
             more -= more > 0) {
            size_t size = body_of(put, body);
            CHECK_OK(journal_put_answer(journal, put, key_of(put), 1, body, size));
            put++;
        }
        wait_ticket(journal, reported);
        if (rng_below(&rng, 8) == 0) {
            cut_power(&rng);
            check_answers(reported + 1, body);
        }
    }
    journal_close(journal);
    mem_free(body);
    empty_disks();
    file_remove_tree(folder);
}

static void run_seeds(uint32_t kind) {
    file_kind = kind;
    use_recorder();
    for (uint64_t seed = 1; seed <= 2; seed++) {
        printf("seed %llu\n", (unsigned long long)seed);
        run_until_cut(seed);
    }
}

TEST(what_was_reported_survives_a_power_cut_at_any_moment) {
    run_seeds(0);
}

TEST(on_a_network_file_system_too) {
    run_seeds(0x6969);
}

TEST_MAIN_LIST(T(what_was_reported_survives_a_power_cut_at_any_moment)
                   T(on_a_network_file_system_too))
