// SPDX-License-Identifier: Apache-2.0
#include "coordinator/spot/spot_walk.h"

#include <sys/stat.h>

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "tests/unit/test.h"

static char root[256];
static Buffer taken, refused; // one line for each; paths without the root

static const char *below(const char *path) {
    return text_starts(path, root) ? path + strlen(root) : path;
}

static bool is_wav(const char *name) {
    return text_ends(name, ".wav");
}

static Status take(void *context, const char *path) {
    int *left = context;
    buffer_format(&taken, "%s\n", below(path));
    return left == NULL || --*left > 0 ? STATUS_OK : status_set(STATUS_IO, "enough");
}

static void refuse(void *context, const char *path, const char *reason) {
    (void)context;
    buffer_format(&refused, "%s: %s\n", below(path), reason);
}

static Status walk(const char *name, int *left) {
    char path[512];
    snprintf(path, sizeof path, "%s%s", root, name);
    buffer_clear(&taken);
    buffer_clear(&refused);
    SpotWalk config = {.wants = is_wav, .take = take, .refuse = refuse, .context = left};
    return spot_walk(&config, path);
}

static void put(const char *name) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", root, name);
    *strrchr(path, '/') = '\0';
    CHECK_OK(file_make_folders(path));
    path[strlen(path)] = '/';
    CHECK_OK(file_write(path, "", 0));
}

static void put_link(const char *target, const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    CHECK_INT(symlink(target, path), 0);
}

static void begin(void) {
    snprintf(root, sizeof root, "%s", test_folder());
}

static void end(void) {
    buffer_done(&taken);
    buffer_done(&refused);
    CHECK_OK(file_remove_tree(root));
}

TEST(files_come_in_the_order_of_their_names) {
    begin();
    put("b.wav");
    put("a/z.wav");
    put("a/b/c.wav");
    put("B.wav");
    put("c/readme.txt");
    put("a10.wav");
    put(".hidden/x.wav");
    put("__MACOSX/x.wav");
    CHECK_OK(walk("", NULL));
    CHECK_TEXT(buffer_cstr(&taken), "/B.wav\n/a/b/c.wav\n/a/z.wav\n/a10.wav\n/b.wav\n");
    CHECK_TEXT(buffer_cstr(&refused), "");
    CHECK_OK(walk("/", NULL));
    CHECK_HAS(buffer_cstr(&taken), "/B.wav\n/a/b/c.wav\n");
    CHECK(strstr(buffer_cstr(&taken), "//") == NULL);
    end();
}

TEST(what_is_no_folder_is_taken_whatever_it_is) {
    begin();
    put("notes.txt");
    CHECK_OK(walk("/notes.txt", NULL));
    CHECK_TEXT(buffer_cstr(&taken), "/notes.txt\n");
    CHECK_OK(walk("/absent", NULL));
    CHECK_TEXT(buffer_cstr(&taken), "/absent\n");
    end();
}

TEST(an_empty_folder_gives_nothing) {
    begin();
    CHECK_OK(walk("", NULL));
    CHECK_TEXT(buffer_cstr(&taken), "");
    CHECK_TEXT(buffer_cstr(&refused), "");
    end();
}

TEST(links_are_followed_and_loops_end) {
    begin();
    put("a/x.wav");
    put_link("..", "a/up");
    put_link("a/x.wav", "link.wav");
    put_link("self.wav", "self.wav");
    put_link("gone", "broken");
    put_link("a", "twice");
    CHECK_OK(walk("", NULL));
    CHECK_TEXT(buffer_cstr(&taken), "/a/x.wav\n/link.wav\n/self.wav\n");
    CHECK_HAS(buffer_cstr(&refused), "/a/up: leads to a folder that has been read already");
    CHECK_HAS(buffer_cstr(&refused), "/twice: leads to a folder that has been read already");
    end();
}

TEST(folders_too_deep_are_refused) {
    begin();
    char path[256] = "x.wav", deeper[256];
    for (int i = 0; i < LIMIT_DEPTH; i++) {
        snprintf(deeper, sizeof deeper, "d/%.200s", path);
        memcpy(path, deeper, sizeof path);
    }
    put(path);
    CHECK_OK(walk("", NULL));
    CHECK_HAS(buffer_cstr(&taken), "d/x.wav\n");
    CHECK_TEXT(buffer_cstr(&refused), "");
    snprintf(deeper, sizeof deeper, "d/%.200s", path);
    put(deeper);
    CHECK_OK(walk("", NULL));
    CHECK_HAS(buffer_cstr(&refused), "d/d: is too many folders deep\n");
    CHECK_HAS(buffer_cstr(&taken), "d/x.wav\n");
    CHECK(strstr(buffer_cstr(&taken), "\n/") == NULL);
    end();
}

TEST(a_folder_without_permission_is_refused) {
    begin();
    put("a/x.wav");
    put("b.wav");
    char path[512];
    snprintf(path, sizeof path, "%s/a", root);
    CHECK_INT(chmod(path, 0), 0);
    if (access(path, R_OK) == 0) {
        end();
        TEST_SKIP("root may read everything");
    }
    CHECK_OK(walk("", NULL));
    CHECK_TEXT(buffer_cstr(&taken), "/b.wav\n");
    CHECK_TEXT(buffer_cstr(&refused), "/a: Permission denied\n");
    CHECK_INT(chmod(path, 0700), 0);
    end();
}

TEST(a_failure_to_take_ends_the_walk) {
    begin();
    put("a/x.wav");
    put("a/y.wav");
    put("b.wav");
    int left = 2;
    CHECK_INT(walk("", &left), STATUS_IO);
    CHECK_TEXT(buffer_cstr(&taken), "/a/x.wav\n/a/y.wav\n");
    CHECK_TEXT(status_message(), "enough");
    end();
}

TEST(many_folders_are_each_read_once) {
    begin();
    char name[64];
    for (int i = 0; i < 150; i++) {
        snprintf(name, sizeof name, "f%03d/%03d.wav", i * 37 % 150, i);
        put(name);
    }
    CHECK_OK(walk("", NULL));
    int lines = 0;
    for (const char *c = buffer_cstr(&taken); *c != '\0'; c++) {
        lines += *c == '\n';
    }
    CHECK_INT(lines, 150);
    CHECK_TEXT(buffer_cstr(&refused), "");
    end();
}

TEST(every_failed_allocation_is_told_and_leaks_nothing) {
    begin();
    put("a/x.wav");
    put("b.wav");
    buffer_done(&taken);
    buffer_done(&refused);
    buffer_append(&taken, (char[200]){0}, 200); // room, so that only the walk allocates
    for (long n = 0;; n++) {
        long before = mem_blocks();
        mem_fail_after(n);
        Status status = walk("", NULL);
        int failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK_INT(mem_blocks(), before);
        if (!failed) {
            CHECK_INT(status, STATUS_OK);
            break;
        }
        CHECK_INT(status, STATUS_MEMORY);
        CHECK(n < 100);
    }
    end();
}

// clang-format off
TEST_MAIN_LIST(
    T(files_come_in_the_order_of_their_names)
    T(what_is_no_folder_is_taken_whatever_it_is)
    T(an_empty_folder_gives_nothing)
    T(links_are_followed_and_loops_end)
    T(folders_too_deep_are_refused)
    T(a_folder_without_permission_is_refused)
    T(a_failure_to_take_ends_the_walk)
    T(many_folders_are_each_read_once)
    T(every_failed_allocation_is_told_and_leaks_nothing))
