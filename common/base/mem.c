// SPDX-License-Identifier: Apache-2.0
#include "common/base/mem.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/status.h"

static atomic_long blocks;
static _Thread_local long successes_left = -1;
static _Thread_local int has_failed;

enum {
    MAPPED_BYTES = 2 << 20, // more than a round's sums (1.1 MB), less than a state (3.3 MB)
    KEPT_BYTES = 8 << 20,   // at the heap's end: rounds come and go without a system call each
};

// Left alone, glibc takes the first state that is freed for a sign that blocks of its size belong
// in the heap, where one small block behind it keeps its pages for good.
void mem_start(void) {
    mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
}

void mem_give_back(void) {
    (void)malloc_trim(0);
}

static int allowed(size_t count, size_t size) {
    if (size != 0 && count > SIZE_MAX / 2 / size) {
        return 0;
    }
    if (successes_left < 0) {
        return 1;
    }
    if (successes_left == 0) {
        successes_left = -1;
        has_failed = 1;
        return 0;
    }
    successes_left--;
    return 1;
}

static void *counted(void *block, size_t count, size_t size) {
    if (block == NULL) {
        status_set(STATUS_MEMORY, "out of memory: %zu items of %zu bytes", count, size);
        return NULL;
    }
    atomic_fetch_add(&blocks, 1);
    return block;
}

void *mem_new(size_t count, size_t size) {
    void *block = allowed(count, size) ? calloc(count > 0 ? count : 1, size > 0 ? size : 1) : NULL;
    return counted(block, count, size);
}

void *mem_new_aligned(size_t count, size_t size) {
    void *block = NULL;
    if (allowed(count, size)) {
        size_t bytes = (count * size + 63) / 64 * 64;
        block = aligned_alloc(64, bytes > 0 ? bytes : 64);
        if (block != NULL) {
            memset(block, 0, bytes);
        }
    }
    return counted(block, count, size);
}

void *mem_resize(void *block, size_t count, size_t size) {
    void *next = allowed(count, size) ? realloc(block, count * size > 0 ? count * size : 1) : NULL;
    if (block == NULL) {
        return counted(next, count, size);
    }
    if (next == NULL) {
        status_set(STATUS_MEMORY, "out of memory: %zu items of %zu bytes", count, size);
    }
    return next;
}

void *mem_copy(const void *bytes, size_t size) {
    void *block = mem_new(size, 1);
    if (block != NULL && size > 0) {
        memcpy(block, bytes, size);
    }
    return block;
}

bool mem_grow(void *array, uint32_t count, uint32_t *capacity, size_t size) {
    if (count < *capacity) {
        return true;
    }
    uint32_t larger = *capacity > 0 ? *capacity * 2 : 16;
    void *old;
    memcpy(&old, array, sizeof old); // an lvalue of another pointer type would be an alias
    void *grown = mem_resize(old, larger, size);
    if (grown == NULL) {
        return false;
    }
    memcpy(array, &grown, sizeof grown);
    *capacity = larger;
    return true;
}

char *mem_copy_text(const char *text) {
    return mem_copy(text, strlen(text) + 1);
}

void mem_free(void *block) {
    if (block != NULL) {
        atomic_fetch_sub(&blocks, 1);
        free(block);
    }
}

long mem_blocks(void) {
    return atomic_load(&blocks);
}

void mem_fail_after(long successes) {
    successes_left = successes;
    has_failed = 0;
}

int mem_has_failed(void) {
    return has_failed;
}
