// SPDX-License-Identifier: Apache-2.0
//
// All heap of ours goes through here: blocks are counted, and a test can make the n-th allocation
// fail, so that every constructor is run with every allocation failing in turn. Any thread.
#ifndef AUSCULT_BASE_MEM_H
#define AUSCULT_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Once, first of all, by programs that run for long: large blocks that are freed go back to the
// system, so that memory stays flat.
void mem_start(void);
// Gives pages that hold nothing back to the system, also those of libraries between what they still
// use; takes some milliseconds of each 100 MB.
void mem_give_back(void);

// Zeroed memory for `count` items of `size` bytes; NULL and a message when there is none.
void *mem_new(size_t count, size_t size);
// As mem_new, on a 64-byte boundary (a cache line, an AVX-512 register).
void *mem_new_aligned(size_t count, size_t size);
// Grows or shrinks, NULL to begin with; new bytes are not zeroed. When it returns NULL, the old
// block is as it was.
void *mem_resize(void *block, size_t count, size_t size);
// Makes room for one more item behind `count` in a list that grows by doubling. `array` is the
// address of the pointer to its items, of any type. False when there is no memory; all is then as
// it was.
bool mem_grow(void *array, uint32_t count, uint32_t *capacity, size_t size);
char *mem_copy_text(const char *text);
void *mem_copy(const void *bytes, size_t size);
void mem_free(void *block);

// Blocks now allocated and not freed.
long mem_blocks(void);
// Lets the next `successes` allocations of this thread pass and the one after them fail, once.
// Negative: never fail.
void mem_fail_after(long successes);
// Whether the failure that mem_fail_after ordered has happened.
int mem_has_failed(void);

#endif
