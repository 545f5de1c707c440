// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"

static char folder[256];

static void begin(void) {
    snprintf(folder, sizeof folder, "%s", test_folder());
}

static void end(void) {
    CHECK_OK(file_remove_tree(folder));
    CHECK(!file_exists(folder));
}

// The path of `name` in this test's folder; two at a time stay valid.
static const char *in(const char *name) {
    static char paths[2][512];
    static int next;
    next = 1 - next;
    snprintf(paths[next], sizeof paths[next], "%s/%s", folder, name);
    return paths[next];
}

static void check_contents(const char *path, const char *expected) {
    Buffer text = BUFFER_EMPTY;
    CHECK_OK(file_read(path, 1 << 20, &text));
    CHECK_TEXT(buffer_cstr(&text), expected);
    buffer_done(&text);
}

static int count_entries(const char *path) {
    int count = 0;
    DIR *opened = opendir(path);
    CHECK(opened != NULL);
    while (readdir(opened) != NULL) {
        count++;
    }
    closedir(opened);
    return count - 2; // "." and ".."
}

TEST(what_was_written_is_read) {
    begin();
    Buffer text = BUFFER_EMPTY;
    static char bytes[200000];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(i * 7);
    }
    CHECK_OK(file_write(in("a"), bytes, sizeof bytes));
    CHECK_OK(file_read(in("a"), sizeof bytes, &text));
    CHECK_INT(text.size, sizeof bytes);
    CHECK(memcmp(text.bytes, bytes, sizeof bytes) == 0);
    CHECK_OK(file_write(in("a"), "", 0));
    CHECK_OK(file_read(in("a"), 0, &text));
    CHECK_INT(text.size, 0);
    CHECK_INT(count_entries(folder), 1);
    buffer_done(&text);
    end();
}

TEST(facts_are_of_plain_files_only) {
    begin();
    FileFacts facts = {1, 2};
    CHECK_INT(file_facts(in("absent"), &facts), STATUS_NOT_FOUND);
    CHECK_HAS(status_message(), "absent");
    CHECK_INT(file_facts(folder, &facts), STATUS_IO);
    CHECK(facts.size_bytes == 1 && facts.mtime_ns == 2);
    CHECK_OK(file_write(in("a"), "abc", 3));
    CHECK_OK(file_facts(in("a"), &facts));
    CHECK_INT(facts.size_bytes, 3);
    struct timespec times[2] = {{5, 6}, {1234567890, 987654321}};
    CHECK_INT(utimensat(AT_FDCWD, in("a"), times, 0), 0);
    CHECK_OK(file_facts(in("a"), &facts));
    CHECK_INT(facts.mtime_ns, 1234567890987654321);
    end();
}

TEST(a_read_has_a_bound) {
    begin();
    Buffer text = BUFFER_EMPTY;
    CHECK_OK(file_write(in("a"), "abcd", 4));
    CHECK_INT(file_read(in("a"), 3, &text), STATUS_LIMIT);
    CHECK_HAS(status_message(), "at most 3");
    CHECK_OK(file_read(in("a"), 4, &text));
    // A file whose size is told as 0 but that has contents, as those of /proc.
    CHECK_INT(file_read("/proc/self/status", 10, &text), STATUS_LIMIT);
    buffer_done(&text);
    end();
}

TEST(fifos_folders_and_absent_files_are_refused_at_once) {
    begin();
    Buffer text = BUFFER_EMPTY;
    CHECK_INT(mkfifo(in("fifo"), 0600), 0);
    CHECK_INT(file_read(in("fifo"), 100, &text), STATUS_IO);
    CHECK_HAS(status_message(), "not a plain file");
    CHECK_INT(file_read("/dev/zero", 100, &text), STATUS_IO);
    CHECK_INT(file_read(folder, 100, &text), STATUS_IO);
    CHECK_INT(file_read(in("absent"), 100, &text), STATUS_NOT_FOUND);
    CHECK_INT(symlink("loop", in("loop")), 0);
    CHECK_INT(file_read(in("loop"), 100, &text), STATUS_IO);
    buffer_done(&text);
    end();
}

TEST(a_read_without_memory_fails_and_leaks_nothing) {
    begin();
    long before = mem_blocks();
    Buffer text = BUFFER_EMPTY;
    CHECK_OK(file_write(in("a"), "abcd", 4));
    mem_fail_after(0);
    CHECK_INT(file_read(in("a"), 100, &text), STATUS_MEMORY);
    mem_fail_after(-1);
    buffer_done(&text);
    CHECK_INT(mem_blocks(), before);
    end();
}

// The system refuses to let files of this process grow beyond `bytes`.
static void limit_file_size(rlim_t bytes) {
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
}

TEST(a_failed_write_leaves_the_old_file_and_nothing_else) {
    begin();
    static char big[100000];
    CHECK_OK(file_write(in("a"), "old", 3));
    limit_file_size(50000);
    Status status = file_write(in("a"), big, sizeof big);
    limit_file_size(RLIM_INFINITY);
    CHECK_INT(status, STATUS_IO);
    CHECK_HAS(status_message(), "/a: ");
    check_contents(in("a"), "old");
    CHECK_INT(count_entries(folder), 1);
    CHECK_OK(file_make_folders(in("folder/x")));
    CHECK_INT(file_write(in("folder"), "new", 3), STATUS_IO);
    CHECK_INT(file_write(in("absent/a"), "new", 3), STATUS_NOT_FOUND);
    CHECK_INT(count_entries(folder), 2);
    end();
}

TEST(temporary_files_of_killed_writers_are_removed_and_nothing_else) {
    begin();
    CHECK_OK(file_make_folders(in("folder")));
    static const char *const LEFT[] = {"folder/a.csv.tmp-123-4", ".writable-99",
                                       "folder/b.tmp-1-2.tmp-5-6"};
    static const char *const KEPT[] = {"folder/a.csv", "folder/x.tmp-1", "folder/x.tmp-1-2.csv",
                                       "b.tmp-a-b"};
    for (size_t i = 0; i < sizeof LEFT / sizeof *LEFT; i++) {
        CHECK_OK(file_write(in(LEFT[i]), "x", 1));
    }
    for (size_t i = 0; i < sizeof KEPT / sizeof *KEPT; i++) {
        CHECK_OK(file_write(in(KEPT[i]), "x", 1));
    }
    file_remove_temporaries(folder);
    CHECK_INT(count_entries(folder), 2);
    CHECK_INT(count_entries(in("folder")), 3);
    for (size_t i = 0; i < sizeof KEPT / sizeof *KEPT; i++) {
        CHECK(file_exists(in(KEPT[i])));
    }
    file_remove_temporaries(in("absent"));
    end();
}

TEST(a_buffer_that_failed_is_not_written) {
    begin();
    Buffer text = BUFFER_EMPTY;
    CHECK_OK(file_write(in("a"), "old", 3));
    mem_fail_after(0);
    buffer_text(&text, "new");
    mem_fail_after(-1);
    CHECK_INT(file_write_buffer(in("a"), &text), STATUS_MEMORY);
    check_contents(in("a"), "old");
    buffer_done(&text);
    buffer_text(&text, "new");
    CHECK_OK(file_write_buffer(in("a"), &text));
    check_contents(in("a"), "new");
    buffer_done(&text);
    end();
}

enum { WRITERS = 4, WRITES = 50, PIECE = 5000 };

static void *write_letters(void *letter) {
    char bytes[PIECE];
    char path[512];
    memset(bytes, *(char *)letter, sizeof bytes);
    snprintf(path, sizeof path, "%s/shared", folder);
    for (int i = 0; i < WRITES; i++) {
        if (file_write(path, bytes, sizeof bytes) != STATUS_OK) {
            *(char *)letter = '!';
        }
    }
    return NULL;
}

TEST(an_update_leaves_a_file_alone_that_is_as_it_should_be) {
    static const struct timespec PAST[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    begin();
    Buffer text = BUFFER_EMPTY;
    FileFacts facts;
    buffer_text(&text, "one");
    CHECK_OK(file_update(in("a"), &text));
    check_contents(in("a"), "one");
    CHECK_INT(utimensat(AT_FDCWD, in("a"), PAST, 0), 0);
    CHECK_OK(file_update(in("a"), &text));
    CHECK_OK(file_facts(in("a"), &facts));
    CHECK_INT(facts.mtime_ns, 1000000000000);
    static const char *const OTHERS[] = {"two", "three", ""};
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++) {
        buffer_clear(&text);
        buffer_text(&text, OTHERS[i]);
        CHECK_OK(file_update(in("a"), &text));
        check_contents(in("a"), OTHERS[i]);
    }
    text.status = STATUS_MEMORY;
    CHECK_INT(file_update(in("a"), &text), STATUS_MEMORY);
    buffer_done(&text);
    end();
}

TEST(threads_that_write_one_file_leave_one_whole_version) {
    begin();
    pthread_t threads[WRITERS];
    char letters[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        letters[i] = (char)('a' + i);
        CHECK_INT(pthread_create(&threads[i], NULL, write_letters, &letters[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
        CHECK_INT(letters[i], 'a' + i);
    }
    Buffer text = BUFFER_EMPTY;
    CHECK_OK(file_read(in("shared"), PIECE, &text));
    CHECK_INT(text.size, PIECE);
    for (int i = 0; i < PIECE; i++) {
        CHECK_INT(text.bytes[i], text.bytes[0]);
    }
    CHECK_INT(count_entries(folder), 1);
    buffer_done(&text);
    end();
}

TEST(folders_are_made_with_those_above) {
    begin();
    CHECK_OK(file_make_folders(in("a/b//c/")));
    CHECK(file_is_folder(in("a/b/c")));
    CHECK_OK(file_make_folders(in("a/b/c")));
    CHECK_OK(file_write(in("file"), "", 0));
    CHECK_INT(file_make_folders(in("file")), STATUS_IO);
    CHECK(file_make_folders(in("file/x")) != STATUS_OK);
    CHECK(!file_is_folder(in("file")));
    CHECK(!file_is_folder(in("absent")));
    end();
}

// What an ordinary user meets in a folder of somebody else's; 0 as expected, else a line number.
static int refusals_of_an_ordinary_user(void) {
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) {
        return __LINE__;
    }
    if (file_check_writable(folder) != STATUS_IO ||
        strstr(status_message(), strerror(EACCES)) == NULL) {
        return __LINE__;
    }
    if (file_make_folders(in("new")) != STATUS_IO ||
        strstr(status_message(), strerror(EACCES)) == NULL) {
        return __LINE__;
    }
    return file_write(in("a"), "x", 1) == STATUS_IO ? 0 : __LINE__;
}

TEST(an_unwritable_folder_is_noticed_with_its_reason) {
    begin();
    CHECK_OK(file_check_writable(folder));
    CHECK_INT(count_entries(folder), 0);
    CHECK_INT(file_check_writable(in("absent")), STATUS_IO);
    CHECK_INT(chmod(folder, 0555), 0);
    pid_t child = fork();
    if (child == 0) {
        int line = refusals_of_an_ordinary_user();
        if (line != 0) {
            fprintf(stderr, "line %d: %s\n", line, status_message());
        }
        _exit(line != 0);
    }
    int status = -1;
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK_INT(status, 0);
    CHECK_INT(chmod(folder, 0755), 0);
    end();
}

TEST(removing_a_tree_does_not_follow_links) {
    begin();
    CHECK_OK(file_make_folders(in("kept")));
    CHECK_OK(file_write(in("kept/a"), "abc", 3));
    CHECK_OK(file_make_folders(in("tree/b/c")));
    CHECK_OK(file_write(in("tree/b/file"), "abc", 3));
    CHECK_INT(symlink("../../kept", in("tree/b/link")), 0);
    CHECK_INT(symlink("kept", in("link")), 0);
    CHECK_INT(mkfifo(in("tree/fifo"), 0600), 0);
    CHECK_OK(file_remove_tree(in("tree")));
    CHECK_OK(file_remove_tree(in("link")));
    CHECK(!file_exists(in("tree")));
    check_contents(in("kept/a"), "abc");
    CHECK_INT(count_entries(folder), 1);
    CHECK_INT(file_remove_tree(in("absent")), STATUS_NOT_FOUND);
    end();
}

TEST(a_joined_path_that_does_not_fit_is_refused) {
    char out[8];
    CHECK_OK(file_join(out, sizeof out, "abc", "def"));
    CHECK_TEXT(out, "abc/def");
    CHECK_INT(file_join(out, sizeof out, "abc", "defg"), STATUS_LIMIT);
    char longer[LIMIT_PATH_BYTES + 10];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    CHECK_INT(file_make_folders(longer), STATUS_LIMIT);
    CHECK_INT(file_write(longer, "", 0), STATUS_LIMIT);
    CHECK_INT(file_check_writable(longer), STATUS_LIMIT);
}

TEST(the_name_is_the_last_part) {
    CHECK_TEXT(file_name("a/b/c.wav"), "c.wav");
    CHECK_TEXT(file_name("c.wav"), "c.wav");
    CHECK_TEXT(file_name("a/"), "");
}

TEST(only_plain_relative_paths_are_safe) {
    static const char *const SAFE[] = {"a", "a/b.wav", "..a", "a..", "...", "a/.hidden", " "};
    static const char *const UNSAFE[] = {"",     "/",     "/a", ".",   "..",     "a/..", "../a",
                                         "a//b", "a/./b", "a/", "./a", "a/../b", "a/."};
    for (size_t i = 0; i < sizeof SAFE / sizeof SAFE[0]; i++) {
        if (!file_is_safe_relative(SAFE[i])) {
            TEST_FAIL("'%s' is refused", SAFE[i]);
        }
    }
    for (size_t i = 0; i < sizeof UNSAFE / sizeof UNSAFE[0]; i++) {
        if (file_is_safe_relative(UNSAFE[i])) {
            TEST_FAIL("'%s' passes", UNSAFE[i]);
        }
    }
}

TEST_MAIN_LIST(
    T(what_was_written_is_read) T(facts_are_of_plain_files_only) T(a_read_has_a_bound)
        T(fifos_folders_and_absent_files_are_refused_at_once)
            T(a_read_without_memory_fails_and_leaks_nothing)
                T(a_failed_write_leaves_the_old_file_and_nothing_else)
                    T(temporary_files_of_killed_writers_are_removed_and_nothing_else)
                        T(a_buffer_that_failed_is_not_written)
                            T(an_update_leaves_a_file_alone_that_is_as_it_should_be)
                                T(threads_that_write_one_file_leave_one_whole_version)
                                    T(folders_are_made_with_those_above)
                                        T(an_unwritable_folder_is_noticed_with_its_reason)
                                            T(removing_a_tree_does_not_follow_links)
                                                T(a_joined_path_that_does_not_fit_is_refused)
                                                    T(the_name_is_the_last_part)
                                                        T(only_plain_relative_paths_are_safe))
