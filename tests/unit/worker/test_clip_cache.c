// SPDX-License-Identifier: Apache-2.0
//
// What a worker keeps of clips that came to it: just what the digest says, and within the bound.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "tests/unit/test.h"
#include "worker/clip_cache.h"

enum { CLIP_BYTES = 1000 };

static char folder[256], kept[300];

static void begin(void) {
    snprintf(folder, sizeof folder, "%s", test_folder());
    snprintf(kept, sizeof kept, "%s/cache", folder);
}

static void end(void) {
    file_remove_tree(folder);
}

static const char *clip_of(int number) {
    static char bytes[CLIP_BYTES];
    memset(bytes, number, sizeof bytes);
    return bytes;
}

static Digest digest_of_clip(int number) {
    return digest_of(clip_of(number), CLIP_BYTES);
}

static void put(ClipCache *cache, int number) {
    int fd = -1;
    CHECK_OK(clip_cache_put(cache, digest_of_clip(number), clip_of(number), CLIP_BYTES, &fd));
    CHECK(fd >= 0);
    close(fd);
}

static bool has(ClipCache *cache, int number) {
    int fd = clip_cache_find(cache, digest_of_clip(number), CLIP_BYTES);
    if (fd < 0) {
        return false;
    }
    char path[64];
    Buffer bytes = BUFFER_EMPTY;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK_OK(file_read(path, CLIP_BYTES, &bytes));
    CHECK(bytes.size == CLIP_BYTES && memcmp(bytes.bytes, clip_of(number), CLIP_BYTES) == 0);
    buffer_done(&bytes);
    close(fd);
    return true;
}

// Old enough for the order to be seen in files' times.
static void make_older(int number, int seconds) {
    char name[DIGEST_TEXT_BYTES], path[400];
    digest_text(digest_of_clip(number), name);
    snprintf(path, sizeof path, "%s/%s.clip", kept, name);
    struct timespec times[2] = {{.tv_sec = 1000000000 - seconds}, {.tv_sec = 1000000000 - seconds}};
    CHECK_INT(utimensat(AT_FDCWD, path, times, 0), 0);
}

static int files_in(const char *path) {
    int count = 0;
    DIR *opened = opendir(path);
    CHECK(opened != NULL);
    for (const struct dirent *entry = readdir(opened); entry != NULL; entry = readdir(opened)) {
        count += entry->d_name[0] != '.' || text_starts(entry->d_name, ".tmp-");
    }
    closedir(opened);
    return count;
}

TEST(a_folder_outlives_the_worker_and_keeps_to_its_bound) {
    begin();
    ClipCache *cache;
    CHECK_OK(clip_cache_open(kept, 10 * CLIP_BYTES, &cache));
    CHECK(!has(cache, 1));
    for (int i = 1; i <= 10; i++) {
        put(cache, i);
        make_older(i, 100 - i);
    }
    CHECK(has(cache, 1)); // which makes it the youngest
    put(cache, 11);
    CHECK(!has(cache, 2) && has(cache, 1) && has(cache, 3) && has(cache, 11));
    CHECK_INT(files_in(kept), 10);
    clip_cache_close(cache);
    CHECK_OK(clip_cache_open(kept, 3 * CLIP_BYTES, &cache));
    CHECK_INT(files_in(kept), 3);
    clip_cache_close(cache);
    end();
}

TEST(a_damaged_file_is_no_clip) {
    begin();
    ClipCache *cache;
    CHECK_OK(clip_cache_open(kept, 1 << 20, &cache));
    char name[DIGEST_TEXT_BYTES], path[400];
    digest_text(digest_of_clip(1), name);
    snprintf(path, sizeof path, "%s/%s.clip", kept, name);
    put(cache, 1);
    CHECK_OK(file_write(path, clip_of(2), CLIP_BYTES));
    CHECK(!has(cache, 1) && !file_exists(path));
    put(cache, 1);
    CHECK_INT(truncate(path, 10), 0);
    CHECK(!has(cache, 1) && !file_exists(path));
    put(cache, 1);
    CHECK(has(cache, 1));
    CHECK_INT(clip_cache_find(cache, digest_of_clip(1), CLIP_BYTES + 1), -1);
    CHECK_INT(mkfifo(path, 0600), 0); // into which nobody writes
    CHECK(!has(cache, 1) && !file_exists(path));
    clip_cache_close(cache);
    end();
}

TEST(without_a_folder_nothing_is_left_behind) {
    begin();
    CHECK_OK(file_make_folders(kept));
    const char *before = getenv("TMPDIR");
    char *old = before != NULL ? mem_copy_text(before) : NULL;
    CHECK_INT(setenv("TMPDIR", kept, 1), 0);
    ClipCache *cache;
    CHECK_OK(clip_cache_open(NULL, 3 * CLIP_BYTES, &cache));
    for (int i = 1; i <= 3; i++) {
        put(cache, i);
    }
    CHECK(has(cache, 1));
    put(cache, 4);
    CHECK(has(cache, 1) && !has(cache, 2) && has(cache, 3) && has(cache, 4));
    CHECK_INT(files_in(kept), 0);
    clip_cache_close(cache);
    CHECK_INT(old != NULL ? setenv("TMPDIR", old, 1) : unsetenv("TMPDIR"), 0);
    mem_free(old);
    end();
}

TEST(what_the_disk_cannot_take_is_given_all_the_same) {
    begin();
    ClipCache *cache;
    CHECK_OK(clip_cache_open(kept, 1 << 20, &cache));
    CHECK_OK(file_remove_tree(kept));
    put(cache, 1);
    CHECK(!has(cache, 1));
    clip_cache_close(cache);
    CHECK_OK(clip_cache_open(NULL, CLIP_BYTES - 1, &cache));
    put(cache, 1); // larger than all that may be kept
    CHECK(!has(cache, 1));
    clip_cache_close(cache);
    CHECK_OK(file_write(kept, "a file", 6));
    CHECK(clip_cache_open(kept, 1 << 20, &cache) != STATUS_OK);
    CHECK_HAS(status_message(), kept);
    end();
}

TEST_MAIN_LIST(T(a_folder_outlives_the_worker_and_keeps_to_its_bound) T(a_damaged_file_is_no_clip)
                   T(without_a_folder_nothing_is_left_behind)
                       T(what_the_disk_cannot_take_is_given_all_the_same))
