// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include <pthread.h>
#include <stdint.h>

#include "common/base/mem.h"
#include "common/base/status.h"

TEST(new_memory_is_zero_and_counted) {
    long before = mem_blocks();
    unsigned char *block = mem_new(1000, 3);
    for (int i = 0; i < 3000; i++) {
        CHECK_INT(block[i], 0);
    }
    CHECK_INT(mem_blocks(), before + 1);
    mem_free(block);
    mem_free(NULL);
    CHECK_INT(mem_blocks(), before);
}

TEST(aligned_memory_starts_a_cache_line) {
    for (size_t count = 0; count < 200; count += 7) {
        unsigned char *block = mem_new_aligned(count, 4);
        CHECK((uintptr_t)block % 64 == 0);
        for (size_t i = 0; i < 4 * count; i++) {
            CHECK_INT(block[i], 0);
        }
        mem_free(block);
    }
}

TEST(nothing_is_still_a_block) {
    void *block = mem_new(0, 8);
    CHECK(block != NULL);
    block = mem_resize(block, 0, 8);
    CHECK(block != NULL);
    mem_free(block);
}

TEST(a_size_that_overflows_is_refused) {
    long before = mem_blocks();
    CHECK(mem_new(SIZE_MAX / 4, 8) == NULL);
    CHECK_HAS(status_message(), "out of memory");
    CHECK(mem_new_aligned(SIZE_MAX / 4, 8) == NULL);
    char *block = mem_copy_text("kept");
    CHECK(mem_resize(block, SIZE_MAX / 4, 8) == NULL);
    CHECK_TEXT(block, "kept");
    mem_free(block);
    CHECK_INT(mem_blocks(), before);
}

TEST(resizing_keeps_the_contents_and_the_count) {
    long before = mem_blocks();
    int *block = mem_resize(NULL, 4, sizeof *block);
    for (int i = 0; i < 4; i++) {
        block[i] = i;
    }
    block = mem_resize(block, 4000, sizeof *block);
    for (int i = 0; i < 4; i++) {
        CHECK_INT(block[i], i);
    }
    CHECK_INT(mem_blocks(), before + 1);
    mem_free(block);
    CHECK_INT(mem_blocks(), before);
}

TEST(the_ordered_allocation_fails_once) {
    void *blocks[4];
    mem_fail_after(2);
    CHECK(!mem_has_failed());
    for (int i = 0; i < 4; i++) {
        blocks[i] = i == 1 ? mem_new_aligned(1, 1) : mem_new(1, 1);
        CHECK_INT(blocks[i] == NULL, i == 2);
        CHECK_INT(mem_has_failed(), i >= 2);
    }
    for (int i = 0; i < 4; i++) {
        mem_free(blocks[i]);
    }
}

TEST(a_failed_resize_leaves_the_block) {
    char *block = mem_copy("abc", 4);
    mem_fail_after(0);
    CHECK(mem_resize(block, 100, 1) == NULL);
    CHECK_TEXT(block, "abc");
    mem_fail_after(-1);
    mem_free(block);
}

static void *allocate_elsewhere(void *ret_block) {
    *(void **)ret_block = mem_new(1, 1);
    return NULL;
}

TEST(an_ordered_failure_is_of_this_thread_alone) {
    void *block = NULL;
    pthread_t thread;
    mem_fail_after(0);
    CHECK_INT(pthread_create(&thread, NULL, allocate_elsewhere, &block), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK(block != NULL);
    CHECK(!mem_has_failed());
    mem_fail_after(-1);
    mem_free(block);
}

TEST_MAIN_LIST(T(new_memory_is_zero_and_counted) T(aligned_memory_starts_a_cache_line)
                   T(nothing_is_still_a_block) T(a_size_that_overflows_is_refused)
                       T(resizing_keeps_the_contents_and_the_count)
                           T(the_ordered_allocation_fails_once) T(a_failed_resize_leaves_the_block)
                               T(an_ordered_failure_is_of_this_thread_alone))
