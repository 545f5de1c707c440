// SPDX-License-Identifier: Apache-2.0
//
// What happens to the run's memory when the machine misbehaves: disks that fail at any write or
// sync, locks that lie or are not to be had, files that are old, gone, or not what they were.
// fcntl and statfs are wrapped by the linker, SQLite's files by a VFS of the test's own.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "coordinator/journal/journal.h"
#include "tests/unit/test.h"

// ---- a machine that misbehaves ----

static int lock_error;     // what a lock meets: an errno, 0 for none
static bool locks_lie;     // every lock is granted
static uint32_t file_kind; // what statfs tells, 0 for the truth

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __real_statfs(const char *path, struct statfs *facts);
int __wrap_statfs(const char *path, struct statfs *facts);

int __wrap_fcntl(int fd, int command, ...) {
    va_list args;
    va_start(args, command);
    void *argument = va_arg(args, void *);
    va_end(args);
    if (command == F_OFD_SETLK && lock_error != 0) {
        errno = lock_error;
        return -1;
    }
    return command == F_OFD_SETLK && locks_lie ? 0 : __real_fcntl(fd, command, argument);
}

int __wrap_statfs(const char *path, struct statfs *facts) {
    int result = __real_statfs(path, facts);
    facts->f_type = file_kind != 0 ? (__fsword_t)file_kind : facts->f_type;
    return result;
}

// The default VFS with a count of writes and syncs, and an error at a chosen one.
static sqlite3_vfs frail;
// Databases have other methods than logs and rollback journals, which are not locked.
static struct {
    const sqlite3_io_methods *whole;
    sqlite3_io_methods frail;
} methods[2];
static long calls_left = -1; // until the error; negative: none
static int frail_error;
static void (*volatile at_next_sync)(void); // called once, before it

static bool breaks(void) {
    if (calls_left < 0) {
        return false;
    }
    bool now = calls_left == 0; // and so it stays
    calls_left -= !now;
    return now;
}

static const sqlite3_io_methods *whole_of(sqlite3_file *file) {
    return methods[file->pMethods == &methods[1].frail].whole;
}

static int frail_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 at) {
    return breaks() ? frail_error : whole_of(file)->xWrite(file, bytes, size, at);
}

static int frail_lock(sqlite3_file *file, int level) {
    return locks_lie ? SQLITE_OK : whole_of(file)->xLock(file, level);
}

static int frail_unlock(sqlite3_file *file, int level) {
    return locks_lie ? SQLITE_OK : whole_of(file)->xUnlock(file, level);
}

static int frail_check(sqlite3_file *file, int *out) {
    *out = 0;
    return locks_lie ? SQLITE_OK : whole_of(file)->xCheckReservedLock(file, out);
}

static int frail_sync(sqlite3_file *file, int flags) {
    void (*now)(void) = at_next_sync;
    at_next_sync = NULL;
    if (now != NULL) {
        now();
    }
    return breaks() ? SQLITE_IOERR_FSYNC : whole_of(file)->xSync(file, flags);
}

static int frail_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out) {
    sqlite3_vfs *whole = vfs->pAppData;
    int code = whole->xOpen(whole, name, file, flags, out);
    if (code == SQLITE_OK && (flags & SQLITE_OPEN_DELETEONCLOSE) == 0) {
        int which = (flags & SQLITE_OPEN_MAIN_DB) == 0;
        methods[which].whole = file->pMethods;
        methods[which].frail = *file->pMethods;
        methods[which].frail.xWrite = frail_write;
        methods[which].frail.xSync = frail_sync;
        methods[which].frail.xLock = frail_lock;
        methods[which].frail.xUnlock = frail_unlock;
        methods[which].frail.xCheckReservedLock = frail_check;
        file->pMethods = &methods[which].frail;
    }
    return code;
}

static void use_frail_disk(void) {
    if (frail.xOpen == NULL) {
        sqlite3_vfs *whole = sqlite3_vfs_find(NULL);
        frail = *whole;
        frail.zName = "frail";
        frail.pAppData = whole;
        frail.xOpen = frail_open;
        CHECK_INT(sqlite3_vfs_register(&frail, 1), SQLITE_OK);
    }
}

// ---- a journal and its folder ----

static char folder[256];

static const char *in_folder(const char *name) {
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void begin(void) {
    snprintf(folder, sizeof folder, "%s", test_folder());
    lock_error = 0;
    locks_lie = false;
    file_kind = 0;
    calls_left = -1;
    at_next_sync = NULL;
    use_frail_disk();
}

static void end(void) {
    file_remove_tree(folder);
}

static Digest key_of(uint64_t number) {
    return digest_of(&number, sizeof number);
}

static Journal *open_here(void) {
    Journal *journal = NULL;
    CHECK_OK(journal_open(in_folder("journal.db"), &journal));
    return journal;
}

static Status open_status(void) {
    Journal *journal = NULL;
    Status status = journal_open(in_folder("journal.db"), &journal);
    journal_close(journal);
    return status;
}

static Status wait_ticket(Journal *journal, uint64_t *ret_ticket) {
    for (;;) {
        Status status = journal_next(journal, ret_ticket);
        if (status != STATUS_AGAIN) {
            return status;
        }
        struct pollfd fd = {.fd = journal_fd(journal), .events = POLLIN};
        CHECK(poll(&fd, 1, 20000) == 1);
    }
}

static Status put(Journal *journal, uint64_t number) {
    char text[64];
    uint64_t ticket;
    snprintf(text, sizeof text, "answer %llu", (unsigned long long)number);
    Status status = journal_put_answer(journal, number, key_of(number), 1, text, strlen(text));
    return status == STATUS_OK ? wait_ticket(journal, &ticket) : status;
}

// Whether the journal has this answer as it was put; an error is the caller's to judge.
static Status look_up(Journal *journal, uint64_t number) {
    char text[64];
    Buffer body = BUFFER_EMPTY;
    snprintf(text, sizeof text, "answer %llu", (unsigned long long)number);
    Status status = journal_answer(journal, key_of(number), &body);
    if (status == STATUS_OK) {
        CHECK_TEXT(buffer_cstr(&body), text);
    }
    buffer_done(&body);
    return status;
}

static void run_sql(const char *sql) {
    sqlite3 *database;
    CHECK_INT(sqlite3_open(in_folder("journal.db"), &database), SQLITE_OK);
    char *message = NULL;
    if (sqlite3_exec(database, sql, NULL, NULL, &message) != SQLITE_OK) {
        TEST_FAIL("%s", message);
    }
    CHECK_INT(sqlite3_close(database), SQLITE_OK);
}

// ---- disks that fail ----

// The disk breaks at the n-th write or sync, for every n: what was reported before must be there
// afterwards, and nothing may be reported once it has broken.
static long break_everywhere(int error, const char *why) {
    enum { ANSWERS = 12 };
    long n = 0;
    for (bool broke = true; broke; n++) {
        begin();
        journal_close(open_here());
        Journal *journal = open_here();
        frail_error = error;
        calls_left = n;
        uint64_t reported = 0;
        Status status = STATUS_OK;
        for (uint64_t i = 0; i < ANSWERS && status == STATUS_OK; i++) {
            status = put(journal, i);
            reported += status == STATUS_OK;
        }
        broke = status != STATUS_OK;
        if (broke) {
            CHECK_INT(status, STATUS_IO);
            CHECK_HAS(status_message(), "journal.db");
            CHECK_HAS(status_message(), why);
            CHECK_INT(put(journal, ANSWERS), STATUS_IO);
        }
        journal_close(journal);
        calls_left = -1;
        journal = open_here();
        for (uint64_t i = 0; i < reported; i++) {
            CHECK_OK(look_up(journal, i));
        }
        CHECK_INT(look_up(journal, ANSWERS), STATUS_NOT_FOUND);
        CHECK_OK(put(journal, 100)); // and it goes on
        journal_close(journal);
        end();
    }
    return n;
}

TEST(what_was_reported_survives_a_disk_that_fails_at_any_write) {
    CHECK(break_everywhere(SQLITE_IOERR_WRITE, "I/O error") > 20);
}

TEST(what_was_reported_survives_a_disk_that_is_full_at_any_write) {
    CHECK(break_everywhere(SQLITE_FULL, "") > 20);
}

TEST(on_a_network_file_system_too) {
    // begin() resets the kind: set where statfs is asked, for the whole of the test.
    begin();
    file_kind = 0x6969;
    Journal *journal = open_here();
    CHECK(!file_exists(in_folder("journal.db-wal")));
    frail_error = SQLITE_IOERR_WRITE;
    uint64_t reported = 0;
    while (put(journal, reported) == STATUS_OK && reported < 5) {
        reported++;
        calls_left = reported == 5 ? 3 : -1;
    }
    CHECK_INT(put(journal, 77), STATUS_IO);
    journal_close(journal);
    calls_left = -1;
    journal = open_here();
    CHECK(!file_exists(in_folder("journal.db-wal")));
    for (uint64_t i = 0; i < reported; i++) {
        CHECK_OK(look_up(journal, i));
    }
    journal_close(journal);
    end();
}

// ---- locks ----

TEST(where_no_locks_are_to_be_had_it_says_what_to_do) {
    static const int ERRORS[] = {ENOLCK, ENOSYS, EOPNOTSUPP};
    for (size_t i = 0; i < sizeof ERRORS / sizeof ERRORS[0]; i++) {
        begin();
        lock_error = ERRORS[i];
        CHECK_INT(open_status(), STATUS_IO);
        CHECK_HAS(status_message(), "cannot lock");
        CHECK_HAS(status_message(), "local disk");
        CHECK(!file_exists(in_folder("journal.db")));
        end();
    }
}

static void sign_as_another(void) {
    static const char TEXT[] =
        "auscult-lock 1 open 00112233445566778899aabbccddeeff elsewhere 4242\n";
    FILE *file = fopen(in_folder("journal.lock"), "w");
    CHECK(file != NULL && fputs(TEXT, file) >= 0 && fclose(file) == 0);
}

// All that the folder's files hold, to see that nobody touches them.
static Digest bytes_of_run(void) {
    static const char *const NAMES[] = {"journal.db",
                                        "journal.db-wal",
                                        "journal.db-journal",
                                        "journal.lock",
                                        "data/fan/checkpoint-0.bin",
                                        "data/fan/checkpoint-1.bin"};
    Digest digests[6];
    for (int i = 0; i < 6; i++) {
        Buffer bytes = BUFFER_EMPTY;
        Status status = file_read(in_folder(NAMES[i]), 1 << 24, &bytes);
        digests[i] = status == STATUS_OK ? digest_of(bytes.bytes, bytes.size) : (Digest){{0}};
        buffer_done(&bytes);
    }
    return digest_of(digests, sizeof digests);
}

// Whatever this coordinator is asked for, it writes nothing, and says why.
static void check_lost(Journal *journal) {
    Buffer out = BUFFER_EMPTY;
    Digest before = bytes_of_run();
    CHECK_INT(journal_set_fact(journal, "port", "1", 1), STATUS_IO);
    CHECK_HAS(status_message(), "another coordinator has taken this run over");
    CHECK_INT(journal_drop_answer(journal, key_of(1)), STATUS_IO);
    CHECK_INT(put(journal, 3), STATUS_IO);
    CHECK_HAS(status_message(), "another coordinator has taken this run over");
    CHECK_INT(journal_put_state(journal, 4, "data/fan", key_of(1), 6, "x", 1), STATUS_IO);
    CHECK_INT(journal_fact(journal, "port", &out), STATUS_IO);
    journal_close(journal);
    CHECK(digest_equal(bytes_of_run(), before));
    buffer_done(&out);
}

static void check_kept(void) {
    file_kind = 0; // nobody is waited for
    Journal *journal = open_here();
    CHECK_OK(look_up(journal, 1));
    CHECK_INT(look_up(journal, 3), STATUS_NOT_FOUND);
    CHECK_OK(put(journal, 2));
    journal_close(journal);
    end();
}

static Journal *open_with_lying_locks(uint32_t kind) {
    begin();
    locks_lie = true;
    file_kind = kind;
    CHECK_OK(file_make_folders(in_folder("data/fan")));
    Journal *journal = open_here();
    CHECK_OK(put(journal, 1));
    return journal;
}

static const uint32_t KINDS_OF_DISK[] = {0, 0x6969}; // a local one, NFS

TEST(a_run_that_another_has_taken_over_is_written_no_more) {
    for (int i = 0; i < 2; i++) {
        Journal *journal = open_with_lying_locks(KINDS_OF_DISK[i]);
        sign_as_another();
        CHECK_INT(put(journal, 2), STATUS_IO);
        CHECK_HAS(status_message(), "process 4242 on host elsewhere");
        check_lost(journal);
        check_kept();
    }
}

// Whatever a coordinator wants to write first, it asks whose run it is.
TEST(every_kind_of_writing_notices_that_the_run_is_lost) {
    for (int what = 0; what < 4; what++) {
        Journal *journal = open_with_lying_locks(0);
        sign_as_another();
        Digest before = bytes_of_run();
        uint64_t ticket;
        Status status = STATUS_OK;
        switch (what) {
        case 0:
            status = journal_set_fact(journal, "port", "1", 1);
            break;
        case 1:
            status = journal_drop_answer(journal, key_of(1));
            break;
        case 2: // not even the file of the checkpoint
            CHECK_OK(journal_put_state(journal, 4, "data/fan", key_of(1), 6, "x", 1));
            status = wait_ticket(journal, &ticket);
            break;
        default: // nothing comes back for these
            CHECK_OK(journal_put_failure(journal, key_of(9), 1, 0));
            status = wait_ticket(journal, &ticket);
            break;
        }
        CHECK_INT(status, STATUS_IO);
        CHECK_HAS(status_message(), "another coordinator has taken this run over");
        CHECK(digest_equal(bytes_of_run(), before));
        check_lost(journal);
        check_kept();
    }
}

TEST(a_run_that_is_lost_during_a_commit_acknowledges_nothing_more) {
    for (int i = 0; i < 2; i++) {
        Journal *journal = open_with_lying_locks(KINDS_OF_DISK[i]);
        at_next_sync = sign_as_another;
        CHECK_INT(put(journal, 2), STATUS_IO);
        CHECK(at_next_sync == NULL);
        CHECK_HAS(status_message(), "process 4242 on host elsewhere");
        check_lost(journal);
        check_kept();
    }
}

// Where locks lie and the lock file is an old one too (a cache, a copy), the database tells.
TEST(a_newer_coordinator_in_the_database_ends_an_older_one) {
    Journal *journal = open_with_lying_locks(0x6969);
    run_sql("INSERT INTO incarnation VALUES (2, 4242)");
    CHECK_INT(put(journal, 2), STATUS_IO);
    check_lost(journal);
    Buffer text = BUFFER_EMPTY;
    CHECK_OK(file_read(in_folder("journal.lock"), 500, &text));
    CHECK_HAS(buffer_cstr(&text), " open "); // not signed off
    buffer_done(&text);
    check_kept();
}

TEST(the_second_of_two_whom_a_lying_lock_lets_in_wins) {
    for (int i = 0; i < 2; i++) {
        Journal *first = open_with_lying_locks(KINDS_OF_DISK[i]);
        Journal *second = open_here();
        CHECK_OK(put(second, 2));
        CHECK_INT(put(first, 3), STATUS_IO);
        check_lost(first);
        CHECK_OK(put(second, 4));
        journal_close(second);
        Journal *next = open_here();
        CHECK_OK(look_up(next, 2));
        CHECK_OK(look_up(next, 4));
        journal_close(next);
        check_kept();
    }
}

// ---- files that are not what they were ----

TEST(a_journal_that_is_gone_or_empty_is_no_new_run) {
    for (int is_empty = 0; is_empty < 2; is_empty++) {
        begin();
        Journal *journal = open_here();
        CHECK_OK(put(journal, 1));
        journal_close(journal);
        unlink(in_folder("journal.db"));
        if (is_empty) {
            CHECK_OK(file_write(in_folder("journal.db"), "", 0));
        }
        CHECK_INT(open_status(), STATUS_FORMAT);
        CHECK_HAS(status_message(), "gone or empty");
        CHECK_HAS(status_message(), "--restart");
        end();
    }
}

enum { WRITTEN = 60 };

static void write_some(uint64_t answers) {
    Journal *journal = open_here();
    CHECK_OK(file_make_folders(in_folder("data/fan")));
    CHECK_OK(journal_set_fact(journal, "settings", "epochs: 3\n", 10));
    for (uint64_t i = 0; i < answers; i++) {
        CHECK_OK(put(journal, i));
    }
    CHECK_OK(journal_put_state(journal, 1, "data/fan", key_of(1), 5, "state", 5));
    uint64_t ticket;
    CHECK_OK(wait_ticket(journal, &ticket));
    CHECK_OK(journal_put_failure(journal, key_of(1000), 1, 0));
    journal_close(journal);
}

// A failure is as it was, or forgotten and said so.
static void check_failure(const Journal *journal) {
    uint32_t deaths, cannots;
    journal_failures(journal, key_of(1000), &deaths, &cannots);
    CHECK(cannots == 0 && deaths == (journal_warning(journal) == NULL ? 1 : 0));
}

// Opens, and reads all that was written: STATUS_OK when it is all there as it was.
static Status read_all(void) {
    Journal *journal = NULL;
    Status status = journal_open(in_folder("journal.db"), &journal);
    if (status == STATUS_OK) {
        CHECK(journal_incarnation(journal) > 1);
        check_failure(journal);
    }
    for (uint64_t i = 0; status == STATUS_OK && i < WRITTEN; i++) {
        status = look_up(journal, i);
    }
    Buffer fact = BUFFER_EMPTY;
    if (status == STATUS_OK) {
        status = journal_fact(journal, "settings", &fact);
    }
    if (status == STATUS_OK) {
        CHECK_TEXT(buffer_cstr(&fact), "epochs: 3\n");
    }
    buffer_done(&fact);
    JournalState states[2];
    uint32_t count = 0;
    if (status == STATUS_OK) {
        status = journal_states(journal, "data/fan", states, &count);
    }
    if (status == STATUS_OK) {
        CHECK_INT(count, 1);
        CHECK_INT(states[0].epoch, 5);
        CHECK(digest_equal(states[0].plan, key_of(1)));
        CHECK(digest_equal(states[0].digest, digest_of("state", 5)));
        CHECK_TEXT(states[0].file, "checkpoint-0.bin");
    }
    journal_close(journal);
    return status;
}

// Journal and lock file as they were, whatever was done to them since.
typedef struct Kept {
    Buffer journal, lock;
} Kept;

static Kept keep_files(void) {
    Kept kept = {BUFFER_EMPTY, BUFFER_EMPTY};
    CHECK_OK(file_read(in_folder("journal.db"), 1 << 20, &kept.journal));
    CHECK_OK(file_read(in_folder("journal.lock"), 1 << 20, &kept.lock));
    return kept;
}

static void put_back(const Kept *kept, size_t size) {
    CHECK_OK(file_replace(in_folder("journal.db"), kept->journal.bytes, size));
    CHECK_OK(file_replace(in_folder("journal.lock"), kept->lock.bytes, kept->lock.size));
    unlink(in_folder("journal.db-wal"));
}

static void drop(Kept *kept) {
    buffer_done(&kept->journal);
    buffer_done(&kept->lock);
}

TEST(a_flipped_bit_is_found_or_harmless_and_never_another_answer) {
    begin();
    write_some(WRITTEN);
    Kept kept = keep_files();
    Rng rng = rng_of(4711, "flips", 0, 0);
    int found = 0, harmless = 0;
    for (int i = 0; i < 250; i++) {
        size_t at = rng_below(&rng, (uint32_t)kept.journal.size);
        char bit = (char)(1u << rng_below(&rng, 8));
        kept.journal.bytes[at] = (char)(kept.journal.bytes[at] ^ bit);
        put_back(&kept, kept.journal.size);
        Status status = read_all();
        if (status == STATUS_OK) {
            harmless++;
        } else {
            found++;
            if (status != STATUS_FORMAT && status != STATUS_MISMATCH && status != STATUS_IO) {
                TEST_FAIL("bit of byte %zu: status %d, %s", at, (int)status, status_message());
            }
        }
        kept.journal.bytes[at] = (char)(kept.journal.bytes[at] ^ bit);
    }
    printf("%d flips found, %d harmless\n", found, harmless);
    CHECK(found > 15 && harmless > 15);
    drop(&kept);
    end();
}

TEST(a_truncated_journal_is_found) {
    begin();
    write_some(WRITTEN);
    Kept kept = keep_files();
    for (size_t size = 512; size < kept.journal.size; size += 3584) {
        put_back(&kept, size);
        if (read_all() != STATUS_FORMAT) {
            TEST_FAIL("cut to %zu of %zu bytes, and not found", size, kept.journal.size);
        }
    }
    drop(&kept);
    end();
}

TEST(every_table_but_that_of_failures_is_refused_when_a_row_has_changed) {
    static const char *const CHANGES[] = {
        "UPDATE state SET epoch = 4",          "UPDATE state SET plan = zeroblob(16)",
        "UPDATE state SET generation = 1",     "UPDATE state SET digest = zeroblob(16)",
        "UPDATE state SET turn = 7",           "UPDATE state SET folder = 'data/pump'",
        "UPDATE fact SET value = x'00'",       "UPDATE answer SET kind = 2 WHERE number = 3",
        "DELETE FROM answer WHERE number = 3",
    };
    begin();
    write_some(WRITTEN);
    Kept kept = keep_files();
    for (size_t i = 0; i < sizeof CHANGES / sizeof CHANGES[0]; i++) {
        put_back(&kept, kept.journal.size);
        run_sql(CHANGES[i]);
        CHECK_INT(open_status(), STATUS_FORMAT);
        CHECK_HAS(status_message(), "is damaged");
        CHECK_HAS(status_message(), "put a copy of it back");
    }
    drop(&kept);
    end();
}

// A wrong count could leave a clip out; none costs a few workers at most.
TEST(a_damaged_failure_is_forgotten_and_said_so_once) {
    static const char *const CHANGES[] = {"UPDATE failure SET deaths = 2",
                                          "UPDATE failure SET cannots = 1",
                                          "UPDATE failure SET key = zeroblob(16)"};
    begin();
    write_some(WRITTEN);
    Kept kept = keep_files();
    for (size_t i = 0; i < sizeof CHANGES / sizeof CHANGES[0]; i++) {
        put_back(&kept, kept.journal.size);
        run_sql(CHANGES[i]);
        for (int opening = 0; opening < 2; opening++) {
            Journal *journal = open_here();
            uint32_t deaths = 9, cannots = 9;
            journal_failures(journal, key_of(1000), &deaths, &cannots);
            CHECK(deaths == 0 && cannots == 0);
            CHECK((journal_warning(journal) != NULL) == (opening == 0));
            journal_close(journal);
        }
    }
    drop(&kept);
    end();
}

TEST(an_old_copy_of_the_journal_is_named_and_no_number_comes_twice) {
    begin();
    write_some(WRITTEN);
    Kept kept = keep_files();
    Journal *journal = open_here();
    CHECK_INT(journal_incarnation(journal), 2);
    CHECK_OK(put(journal, 500));
    journal_close(journal);
    CHECK_OK(file_write(in_folder("journal.db"), kept.journal.bytes, kept.journal.size));
    for (int i = 0; i < 2; i++) { // that it was refused changes nothing
        CHECK_INT(open_status(), STATUS_FORMAT);
        CHECK_HAS(status_message(), "older than the run");
        CHECK_HAS(status_message(), "put the newest journal.db back");
        CHECK_HAS(status_message(), "--update");
    }
    CHECK_OK(journal_open_older(in_folder("journal.db"), &journal));
    CHECK_INT(journal_incarnation(journal), 3);
    CHECK_OK(look_up(journal, 1));
    CHECK_INT(look_up(journal, 500), STATUS_NOT_FOUND);
    journal_close(journal);
    journal = open_here();
    CHECK_INT(journal_incarnation(journal), 4);
    journal_close(journal);
    // A lock file that is gone, or of a version that knew no numbers, is no reason to refuse.
    unlink(in_folder("journal.lock"));
    journal = open_here();
    CHECK_INT(journal_incarnation(journal), 5);
    sign_as_another();
    journal_close(journal);
    CHECK_OK(open_status());
    drop(&kept);
    end();
}

// The process dies with its last words in the log, and the log is lost.
TEST(a_lost_log_is_named) {
    begin();
    write_some(WRITTEN);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        Journal *journal = open_here();
        _exit(put(journal, 500) == STATUS_OK ? 0 : 1);
    }
    int how = 0;
    CHECK(waitpid(pid, &how, 0) == pid && WIFEXITED(how) && WEXITSTATUS(how) == 0);
    CHECK(file_exists(in_folder("journal.db-wal")));
    unlink(in_folder("journal.db-wal"));
    CHECK_INT(open_status(), STATUS_FORMAT);
    CHECK_HAS(status_message(), "journal.db-wal");
    end();
}

// ---- older formats ----

// As auscult 0.1.0's first commits wrote it, with the answer 7 and one fact.
static void write_version_1(void) {
    char sql[2048], key[DIGEST_TEXT_BYTES];
    digest_text(key_of(7), key);
    snprintf(sql, sizeof sql,
             "PRAGMA journal_mode = WAL; BEGIN;"
             "CREATE TABLE fact (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
             "CREATE TABLE incarnation (number INTEGER PRIMARY KEY, pid INTEGER NOT NULL);"
             "CREATE TABLE answer (key BLOB PRIMARY KEY, kind INTEGER NOT NULL, body BLOB NOT NULL)"
             " WITHOUT ROWID;"
             "CREATE TABLE state (plan BLOB PRIMARY KEY, epoch INTEGER NOT NULL, file TEXT NOT "
             "NULL, digest BLOB NOT NULL) WITHOUT ROWID;"
             "INSERT INTO incarnation VALUES (1, 10), (2, 11);"
             "INSERT INTO fact VALUES ('settings', CAST('epochs: 3' AS BLOB)), ('manifest', x'');"
             "INSERT INTO answer VALUES (x'%s', 1, CAST('answer 7' AS BLOB)), (x'%032d', 3, x'');"
             "PRAGMA user_version = 1; COMMIT;",
             key, 5);
    run_sql(sql);
}

// As the first commits after those wrote it: with a state and a failure too.
static void write_version_2(uint64_t answers) {
    write_some(answers);
    Journal *journal = open_here();
    CHECK_OK(put(journal, 7));
    journal_close(journal);
    run_sql("BEGIN; CREATE TABLE s AS SELECT * FROM state; CREATE TABLE f AS SELECT * FROM failure;"
            "DROP TABLE state; DROP TABLE failure;"
            "CREATE TABLE state (folder TEXT NOT NULL, generation INTEGER NOT NULL, plan BLOB NOT "
            "NULL, epoch INTEGER NOT NULL, digest BLOB NOT NULL, turn INTEGER NOT NULL, PRIMARY "
            "KEY (folder, generation)) WITHOUT ROWID;"
            "CREATE TABLE failure (key BLOB PRIMARY KEY, deaths INTEGER NOT NULL, cannots INTEGER "
            "NOT NULL) WITHOUT ROWID;"
            "INSERT INTO state SELECT folder, generation, plan, epoch, digest, turn FROM s;"
            "INSERT INTO failure SELECT key, deaths, cannots FROM f; DROP TABLE s; DROP TABLE f;"
            "PRAGMA user_version = 2; COMMIT;");
}

static void check_migrated(void) {
    Journal *journal = open_here();
    CHECK_INT(journal_incarnation(journal), 3);
    CHECK_OK(look_up(journal, 7));
    uint64_t of_this;
    CHECK_INT(journal_count(journal, 3, &of_this), 1);
    Buffer fact = BUFFER_EMPTY;
    CHECK_OK(journal_fact(journal, "settings", &fact));
    CHECK_TEXT(buffer_cstr(&fact), "epochs: 3");
    CHECK_OK(journal_fact(journal, "manifest", &fact));
    CHECK_INT(fact.size, 0);
    buffer_done(&fact);
    CHECK_OK(put(journal, 8));
    journal_close(journal);
}

TEST(an_older_journal_is_migrated_after_a_copy) {
    begin();
    write_version_1();
    check_migrated();
    // The copy is the old file, whole.
    CHECK(rename(in_folder("journal-v1.db"), in_folder("journal.db")) == 0);
    unlink(in_folder("journal.lock"));
    check_migrated();
    end();
}

TEST(states_and_failures_of_version_2_are_kept_and_sealed) {
    begin();
    write_version_2(WRITTEN);
    CHECK_OK(read_all());
    CHECK(file_exists(in_folder("journal-v2.db")));
    CHECK_OK(read_all());
    run_sql("UPDATE state SET epoch = epoch + 1");
    CHECK_INT(open_status(), STATUS_FORMAT);
    end();
}

TEST(a_migration_that_breaks_anywhere_leaves_the_old_journal) {
    for (int version = 1; version <= 2; version++) {
        bool broke = true;
        for (long n = 0; broke; n++) {
            begin();
            if (version == 1) {
                write_version_1();
            } else {
                write_version_2(2);
            }
            frail_error = SQLITE_FULL;
            calls_left = n;
            broke = open_status() != STATUS_OK;
            calls_left = -1;
            Journal *journal = open_here();
            CHECK_OK(look_up(journal, 7));
            journal_close(journal);
            end();
        }
    }
}

// ---- looking on ----

static void die(void) {
    _exit(0);
}

// A coordinator in a process of its own that is killed, in the middle of a commit too.
static void die_at_work(bool in_commit) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        Journal *journal = open_here();
        if (put(journal, 1) == STATUS_OK && in_commit) {
            at_next_sync = die;
            (void)put(journal, 2);
        }
        die();
    }
    CHECK(waitpid(pid, NULL, 0) == pid);
}

TEST(looking_on_finds_a_killed_run_whole_and_changes_nothing) {
    for (int i = 0; i < 4; i++) {
        begin();
        file_kind = KINDS_OF_DISK[i / 2];
        die_at_work(i % 2 == 1);
        Digest before = bytes_of_run();
        CHECK_OK(journal_look(in_folder("journal.db"), false));
        CHECK(digest_equal(bytes_of_run(), before));
        CHECK(!file_exists(in_folder("journal.db-shm")));
        CHECK(file_exists(in_folder("journal.db-wal")) == (file_kind == 0));
        file_kind = 0; // nobody is waited for
        Journal *journal = open_here();
        CHECK_OK(look_up(journal, 1));
        journal_close(journal);
        end();
    }
}

TEST(looking_on_does_not_disturb_who_is_at_work) {
    for (int i = 0; i < 2; i++) {
        begin();
        file_kind = KINDS_OF_DISK[i];
        Journal *journal = open_here();
        for (uint64_t n = 0; n < 20; n++) {
            CHECK_OK(put(journal, n));
            fflush(NULL);
            pid_t pid = fork(); // closing a file here would drop the locks that SQLite has on it
            if (pid == 0) {
                _exit(journal_look(in_folder("journal.db"), false) == STATUS_OK ? 0 : 1);
            }
            int how = 0;
            CHECK(waitpid(pid, &how, 0) == pid && WIFEXITED(how) && WEXITSTATUS(how) == 0);
        }
        journal_close(journal);
        CHECK_OK(journal_look(in_folder("journal.db"), false));
        end();
    }
}

TEST(looking_on_says_what_an_opening_would_say) {
    static const char *const CHANGES[] = {"UPDATE state SET epoch = 4",
                                          "UPDATE fact SET value = x'00'",
                                          "UPDATE answer SET body = x'00' WHERE number = 3",
                                          "DELETE FROM incarnation", "PRAGMA user_version = 9"};
    begin();
    write_some(WRITTEN);
    Kept kept = keep_files();
    for (size_t i = 0; i < sizeof CHANGES / sizeof CHANGES[0]; i++) {
        char said[1024];
        put_back(&kept, kept.journal.size);
        run_sql(CHANGES[i]);
        Status status = journal_look(in_folder("journal.db"), false);
        CHECK(status != STATUS_OK);
        snprintf(said, sizeof said, "%s", status_message());
        CHECK_INT(open_status(), status);
        CHECK_TEXT(status_message(), said);
    }
    // An older one is as good as whole, as it is migrated.
    drop(&kept);
    end();
    begin();
    write_version_2(3);
    CHECK_OK(journal_look(in_folder("journal.db"), false));
    CHECK(!file_exists(in_folder("journal-v2.db")));
    end();
}

// On a full disk a run cannot be continued, but cleaned, which makes room.
TEST(a_full_disk_is_named_with_what_to_do_and_the_journal_can_be_read) {
    for (int is_killed = 0; is_killed < 2; is_killed++) {
        begin();
        write_some(3);
        if (is_killed) {
            die_at_work(false);
        }
        frail_error = SQLITE_FULL;
        calls_left = 0;
        CHECK_INT(open_status(), STATUS_IO);
        CHECK_HAS(status_message(), "the disk is full");
        char advice[512];
        snprintf(advice, sizeof advice, "`auscult clean %s`", folder);
        CHECK_HAS(status_message(), advice);
        Journal *journal = NULL;
        CHECK_OK(journal_open_to_read(in_folder("journal.db"), &journal));
        Buffer fact = BUFFER_EMPTY;
        CHECK_OK(journal_fact(journal, "settings", &fact));
        CHECK_TEXT(buffer_cstr(&fact), "epochs: 3\n");
        buffer_done(&fact);
        CHECK_OK(look_up(journal, 1));
        Journal *other = NULL; // the run is taken all the same
        CHECK_INT(journal_open(in_folder("journal.db"), &other), STATUS_IO);
        CHECK_HAS(status_message(), "another coordinator is working on this run");
        journal_close(journal);
        calls_left = -1;
        journal = open_here();
        CHECK_INT(journal_incarnation(journal), is_killed ? 3 : 2); // readers do not count
        CHECK_OK(look_up(journal, 1));
        journal_close(journal);
        end();
    }
}

// ---- two states at once ----

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void wait_at_gate(void) {
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

// While the writer waits for the disk, what comes is put together.
TEST(of_two_states_of_a_model_in_one_transaction_the_later_wins) {
    begin();
    CHECK_OK(file_make_folders(in_folder("data/fan")));
    CHECK_OK(file_make_folders(in_folder("data/pump")));
    Journal *journal = open_here();
    uint64_t ticket;
    CHECK_OK(journal_put_state(journal, 1, "data/fan", key_of(1), 1, "one", 3));
    CHECK_OK(wait_ticket(journal, &ticket));
    pthread_mutex_lock(&gate);
    at_next_sync = wait_at_gate;
    CHECK_OK(journal_put_answer(journal, 2, key_of(1), 1, "x", 1));
    while (at_next_sync != NULL) {
        usleep(100); // until the writer has taken the answer
    }
    CHECK_OK(journal_put_state(journal, 3, "data/fan", key_of(1), 2, "two", 3));
    CHECK_OK(journal_put_state(journal, 4, "data/pump", key_of(2), 7, "pump", 4));
    CHECK_OK(journal_put_state(journal, 5, "data/fan", key_of(1), 3, "three", 5));
    pthread_mutex_unlock(&gate);
    for (uint64_t expected = 2; expected <= 5; expected++) { // all are told, in their order
        CHECK_OK(wait_ticket(journal, &ticket));
        CHECK_INT(ticket, expected);
    }
    JournalState states[2];
    uint32_t count;
    CHECK_OK(journal_states(journal, "data/fan", states, &count));
    CHECK_INT(count, 2);
    CHECK(states[0].epoch == 3 && digest_equal(states[0].digest, digest_of("three", 5)));
    CHECK(states[1].epoch == 1 && digest_equal(states[1].digest, digest_of("one", 3)));
    CHECK_TEXT(states[0].file, "checkpoint-1.bin");
    Buffer bytes = BUFFER_EMPTY;
    CHECK_OK(file_read(in_folder("data/fan/checkpoint-0.bin"), 100, &bytes));
    CHECK_TEXT(buffer_cstr(&bytes), "one");
    CHECK_OK(file_read(in_folder("data/fan/checkpoint-1.bin"), 100, &bytes));
    CHECK_TEXT(buffer_cstr(&bytes), "three");
    buffer_done(&bytes);
    CHECK_OK(journal_states(journal, "data/pump", states, &count));
    CHECK_INT(count, 1);
    journal_close(journal);
    end();
}

// ---- failures of tasks, answers that are dropped ----

TEST(failures_are_counted_over_coordinators_until_the_answer) {
    begin();
    Journal *journal = open_here();
    uint32_t deaths = 9, cannots = 9;
    journal_failures(journal, key_of(1), &deaths, &cannots);
    CHECK(deaths == 0 && cannots == 0);
    CHECK_OK(journal_put_failure(journal, key_of(1), 1, 0));
    CHECK_OK(journal_put_failure(journal, key_of(1), 2, 3));
    CHECK_OK(put(journal, 2)); // the ticket of an answer comes, none of a failure
    journal_close(journal);
    journal = open_here();
    journal_failures(journal, key_of(1), &deaths, &cannots);
    CHECK(deaths == 2 && cannots == 3);
    CHECK_OK(put(journal, 1));
    journal_failures(journal, key_of(1), &deaths, &cannots);
    CHECK(deaths == 0 && cannots == 0);
    journal_close(journal);
    journal = open_here();
    journal_failures(journal, key_of(1), &deaths, &cannots);
    CHECK(deaths == 0 && cannots == 0);
    journal_close(journal);
    end();
}

TEST(a_dropped_answer_is_gone_until_it_is_given_anew) {
    begin();
    Journal *journal = open_here();
    CHECK_OK(put(journal, 1));
    CHECK_OK(put(journal, 2));
    journal_close(journal);
    journal = open_here();
    uint64_t of_this;
    CHECK_OK(journal_drop_answer(journal, key_of(1)));
    CHECK_INT(journal_drop_answer(journal, key_of(1)), STATUS_NOT_FOUND);
    CHECK_INT(journal_drop_answer(journal, key_of(3)), STATUS_NOT_FOUND);
    CHECK_INT(journal_count(journal, 1, &of_this), 1);
    journal_close(journal);
    journal = open_here();
    CHECK_INT(look_up(journal, 1), STATUS_NOT_FOUND);
    CHECK_OK(look_up(journal, 2));
    CHECK_OK(put(journal, 1));
    CHECK_INT(journal_count(journal, 1, &of_this), 2);
    CHECK_INT(of_this, 1);
    journal_close(journal);
    journal = open_here();
    CHECK_OK(look_up(journal, 1));
    journal_close(journal);
    end();
}

TEST_MAIN_LIST(
    T(what_was_reported_survives_a_disk_that_fails_at_any_write) T(
        what_was_reported_survives_a_disk_that_is_full_at_any_write) T(on_a_network_file_system_too)
        T(where_no_locks_are_to_be_had_it_says_what_to_do) T(
            a_run_that_another_has_taken_over_is_written_no_more)
            T(every_kind_of_writing_notices_that_the_run_is_lost) T(
                a_run_that_is_lost_during_a_commit_acknowledges_nothing_more)
                T(a_newer_coordinator_in_the_database_ends_an_older_one) T(
                    the_second_of_two_whom_a_lying_lock_lets_in_wins)
                    T(a_journal_that_is_gone_or_empty_is_no_new_run) T(
                        a_flipped_bit_is_found_or_harmless_and_never_another_answer)
                        T(a_truncated_journal_is_found) T(
                            every_table_but_that_of_failures_is_refused_when_a_row_has_changed)
                            T(a_damaged_failure_is_forgotten_and_said_so_once) T(
                                an_old_copy_of_the_journal_is_named_and_no_number_comes_twice)
                                T(a_lost_log_is_named) T(
                                    a_full_disk_is_named_with_what_to_do_and_the_journal_can_be_read)
                                    T(looking_on_finds_a_killed_run_whole_and_changes_nothing) T(
                                        looking_on_does_not_disturb_who_is_at_work)
                                        T(looking_on_says_what_an_opening_would_say) T(
                                            states_and_failures_of_version_2_are_kept_and_sealed)
                                            T(of_two_states_of_a_model_in_one_transaction_the_later_wins)
                                                T(an_older_journal_is_migrated_after_a_copy) T(
                                                    a_migration_that_breaks_anywhere_leaves_the_old_journal)
                                                    T(failures_are_counted_over_coordinators_until_the_answer)
                                                        T(a_dropped_answer_is_gone_until_it_is_given_anew))
