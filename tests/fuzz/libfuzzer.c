// SPDX-License-Identifier: Apache-2.0
//
// What libFuzzer calls.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    mem_start();
    fuzz_begin();
    atexit(fuzz_end);
    if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0) {
        exit(fuzz_write_seeds((*argv)[2]));
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    (void)fuzz_take(data, size);
    return 0;
}
