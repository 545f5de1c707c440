// SPDX-License-Identifier: Apache-2.0
//
// Fuzz targets: decoders of bytes that come from elsewhere. Each file fuzz_*.c is a program of its
// own with a table of readers; an input's first byte says which of them gets the rest. target.c is
// what they have in common. With clang they are libFuzzer's (preset fuzz, tests/fuzz/run), else
// driver.c mutates and replays. Both know `fuzz_x --seeds FOLDER`, which writes what the mutations
// begin from, and exits with 1 if a reader refuses its own seed.
#ifndef AUSCULT_TESTS_FUZZ_H
#define AUSCULT_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"

enum { FUZZ_INPUT_MOST = 1 << 20 }; // bytes of an input

typedef struct FuzzReader {
    const char *name; // in messages and in names of seeds
    // Decodes the bytes, whatever they are, and frees all; whether they were taken. A mistake is a
    // crash or a sanitizer's find. A NUL stands behind the bytes, as behind a file that was read,
    // where `is_text`; else nothing that may be read.
    bool (*read)(const char *bytes, size_t size);
    bool is_text;
    // Puts its seed `index` into `out` (empty), which it takes; false when there are no more. NULL:
    const char *const *seeds; // texts that it takes, NULL behind the last
    bool (*seed)(uint32_t index, Buffer *out);
} FuzzReader;

// What each fuzz_*.c defines.
extern const FuzzReader FUZZ_READERS[];
extern const uint32_t FUZZ_READER_COUNT;
void fuzz_begin(void); // before the first input
void fuzz_end(void);   // after the last, so that no block is left

// ---- target.c ----

// One input; whether it was taken.
bool fuzz_take(const void *bytes, size_t size);
// Seed `index` of all readers, with its first byte, into `out` (empty); its reader, NULL when there
// are no more.
const FuzzReader *fuzz_seed(uint32_t index, Buffer *out);
// Whether each reader has seeds and takes them; what is wrong goes to stderr.
bool fuzz_check_seeds(void);
// Checks them and writes them to files. An exit status.
int fuzz_write_seeds(const char *folder);
// Ends the process, as a sanitizer does: `what` is a promise that was not kept.
_Noreturn void fuzz_fail(const char *what);

#endif
