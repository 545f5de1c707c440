// SPDX-License-Identifier: Apache-2.0
//
// A fuzz target: one decoder of bytes that come from elsewhere. Each file fuzz_*.c is a program of
// its own: with clang a libFuzzer target (cmake -DAUSCULT_FUZZ=ON), else with driver.c, which
// replays and mutates by itself.
#ifndef AUSCULT_TESTS_FUZZ_H
#define AUSCULT_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"

// Decodes the bytes, whatever they are, and frees all; a mistake is a crash or a sanitizer's find.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What the mutations begin from: input `index` that the decoder takes, put into `out` (empty).
// False when there are no more.
bool fuzz_seed(uint32_t index, Buffer *out);

#endif
