// SPDX-License-Identifier: Apache-2.0
//
// A list of keys that is written while it is watched: nobody is shut out by half of it.
#include "tests/unit/test.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "proto/key_watch.h"

#define ONE "1111111111111111111111111111111111111111"
#define TWO "2222222222222222222222222222222222222222"

static char folder[256], path[300];
static KeyWatch watch;
static KeyList list;

// As a shell or an editor does it: the same file, emptied, then written.
static void write_in_place(const char *mode, const char *text) {
    FILE *file = fopen(path, mode);
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void begin(void) {
    snprintf(folder, sizeof folder, "%s", test_folder());
    snprintf(path, sizeof path, "%s/workers", folder);
    write_in_place("w", ONE " a\n" TWO " b\n");
    list = (KeyList){0};
    CHECK_OK(key_watch_begin(&watch, path, &list));
    CHECK_INT(list.count, 2);
}

static void end(void) {
    keys_list_done(&list);
    file_remove_tree(folder);
    CHECK_INT(mem_blocks(), 0);
}

TEST(a_list_that_stays_is_not_read_again) {
    begin();
    for (int i = 0; i < 3; i++) {
        CHECK_INT(key_watch_look(&watch, &list), STATUS_AGAIN);
    }
    end();
}

TEST(a_change_counts_at_the_second_look) {
    begin();
    write_in_place("w", ONE);
    CHECK_INT(key_watch_look(&watch, &list), STATUS_AGAIN);
    CHECK(keys_list_has(&list, TWO));
    CHECK_OK(key_watch_look(&watch, &list));
    CHECK(keys_list_has(&list, ONE) && !keys_list_has(&list, TWO));
    CHECK_INT(key_watch_look(&watch, &list), STATUS_AGAIN);
    end();
}

TEST(a_list_that_is_being_written_shuts_nobody_out) {
    begin();
    write_in_place("w", "");
    CHECK_INT(key_watch_look(&watch, &list), STATUS_AGAIN);
    write_in_place("w", ONE);
    CHECK_INT(key_watch_look(&watch, &list), STATUS_AGAIN);
    write_in_place("a", " a\n" TWO " b\n");
    CHECK_INT(key_watch_look(&watch, &list), STATUS_AGAIN);
    CHECK_INT(list.count, 2);
    CHECK_OK(key_watch_look(&watch, &list));
    CHECK(keys_list_has(&list, ONE) && keys_list_has(&list, TWO));
    end();
}

TEST(an_emptied_list_that_stays_so_shuts_all_out) {
    begin();
    write_in_place("w", "");
    CHECK_INT(key_watch_look(&watch, &list), STATUS_AGAIN);
    CHECK_OK(key_watch_look(&watch, &list));
    CHECK_INT(list.count, 0);
    end();
}

TEST(a_list_that_is_gone_or_broken_is_told_of_once_and_changes_nothing) {
    begin();
    CHECK_INT(unlink(path), 0);
    CHECK_INT(key_watch_look(&watch, &list), STATUS_AGAIN);
    CHECK_INT(key_watch_look(&watch, &list), STATUS_NOT_FOUND);
    CHECK_INT(key_watch_look(&watch, &list), STATUS_AGAIN);
    write_in_place("w", "half a line");
    CHECK_INT(key_watch_look(&watch, &list), STATUS_AGAIN);
    CHECK_INT(key_watch_look(&watch, &list), STATUS_FORMAT);
    CHECK_HAS(status_message(), "workers:1: no key of 40 characters");
    CHECK_INT(key_watch_look(&watch, &list), STATUS_AGAIN);
    CHECK_INT(list.count, 2);
    end();
}

TEST(another_file_of_the_same_size_and_time_is_a_change) {
    begin();
    char other[320];
    struct stat facts;
    snprintf(other, sizeof other, "%s.new", path);
    CHECK_INT(stat(path, &facts), 0);
    CHECK_OK(file_write(other, TWO, sizeof TWO - 1));
    CHECK_INT(truncate(other, facts.st_size), 0);
    struct timespec times[] = {facts.st_atim, facts.st_mtim};
    CHECK_INT(utimensat(AT_FDCWD, other, times, 0), 0);
    CHECK_INT(rename(other, path), 0);
    CHECK_INT(key_watch_look(&watch, &list), STATUS_AGAIN);
    CHECK(key_watch_look(&watch, &list) != STATUS_AGAIN);
    end();
}

TEST_MAIN_LIST(T(a_list_that_stays_is_not_read_again) T(a_change_counts_at_the_second_look)
                   T(a_list_that_is_being_written_shuts_nobody_out)
                       T(an_emptied_list_that_stays_so_shuts_all_out)
                           T(a_list_that_is_gone_or_broken_is_told_of_once_and_changes_nothing)
                               T(another_file_of_the_same_size_and_time_is_a_change))
