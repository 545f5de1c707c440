// SPDX-License-Identifier: Apache-2.0
//
// A fuzzer without coverage for where libFuzzer is not to be had, so that every run of the tests
// sees some thousand new inputs, under the sanitizers too:
//     fuzz_x FILE...                 replays these
//     fuzz_x                         seeds and mutations of them, for AUSCULT_FUZZ_SECONDS (1; a
//                                    minute with AUSCULT_LONG=1); $AUSCULT_SEED chooses others
// With AUSCULT_FUZZ_KEEP=FILE each input is written there before it is tried, for after a crash.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "tests/fuzz/fuzz.h"

enum { SEEDS_MOST = 64, INPUT_MOST = 1 << 20, MUTATIONS_MOST = 8 };

static Buffer seeds[SEEDS_MOST];
static uint32_t seed_count;
static uint64_t executions;
static const char *kept;

static void try_input(const Buffer *input) {
    if (kept != NULL && file_replace(kept, buffer_cstr(input), input->size) != STATUS_OK) {
        exit(1);
    }
    // A copy of just this size, so that a byte read behind it is found.
    uint8_t *copy = mem_copy(buffer_cstr(input), input->size > 0 ? input->size : 1);
    LLVMFuzzerTestOneInput(copy, input->size);
    mem_free(copy);
    executions++;
}

static void replace(Buffer *input, size_t at, size_t removed, const char *bytes, size_t size) {
    Buffer changed = BUFFER_EMPTY;
    buffer_append(&changed, buffer_cstr(input), at);
    buffer_append(&changed, bytes, size);
    buffer_append(&changed, buffer_cstr(input) + at + removed, input->size - at - removed);
    buffer_done(input);
    *input = changed;
}

static void mutate(Buffer *input, Rng *rng) {
    static const unsigned char EDGES[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0xc0, 0xdc, '\n', '"', ','};
    size_t size = input->size;
    size_t at = size > 0 ? (size_t)rng_below(rng, size) : 0;
    size_t run = size > at ? 1 + (size_t)rng_below(rng, size - at < 64 ? size - at : 64) : 0;
    char wide[8];
    uint64_t number = rng_below(rng, 2) == 0 ? UINT64_MAX >> rng_below(rng, 64)
                                             : (uint64_t)rng_below(rng, UINT32_MAX);
    memcpy(wide, &number, sizeof wide);
    const Buffer *other = &seeds[rng_below(rng, seed_count)];
    switch (rng_below(rng, 7)) {
    case 0: // a bit
        if (size > 0) {
            input->bytes[at] ^= (char)(1 << rng_below(rng, 8));
        }
        break;
    case 1: // an edge
        if (size > 0) {
            input->bytes[at] = (char)EDGES[rng_below(rng, sizeof EDGES)];
        }
        break;
    case 2: // a number in the place of another
        if (at + sizeof wide <= size) {
            memcpy(input->bytes + at, wide, sizeof wide);
        }
        break;
    case 3: // something less
        replace(input, at, run, "", 0);
        break;
    case 4: // something twice
        if (size + run < INPUT_MOST) {
            Buffer copy = BUFFER_EMPTY;
            buffer_append(&copy, buffer_cstr(input) + at, run);
            replace(input, at, 0, buffer_cstr(&copy), copy.size);
            buffer_done(&copy);
        }
        break;
    case 5: // the end cut off
        replace(input, at, size - at, "", 0);
        break;
    default: // the end of another
        if (other->size > 0) {
            size_t from = (size_t)rng_below(rng, other->size);
            replace(input, at, size - at, other->bytes + from, other->size - from);
        }
        break;
    }
}

static void fuzz(double seconds, uint64_t seed) {
    int64_t until_ns = clock_ns() + (int64_t)(seconds * 1e9);
    for (uint64_t i = 0; clock_ns() < until_ns; i++) {
        Rng rng = rng_of(seed, "fuzz", i, 0);
        Buffer input = BUFFER_EMPTY;
        const Buffer *from = &seeds[rng_below(&rng, seed_count)];
        buffer_append(&input, buffer_cstr(from), from->size);
        for (uint64_t m = 1 + rng_below(&rng, MUTATIONS_MOST); m > 0; m--) {
            mutate(&input, &rng);
        }
        try_input(&input);
        buffer_done(&input);
    }
}

static int replay(int count, char **paths) {
    for (int i = 0; i < count; i++) {
        Buffer input = BUFFER_EMPTY;
        if (file_read(paths[i], INPUT_MOST, &input) != STATUS_OK) {
            fprintf(stderr, "%s\n", status_message());
            return 1;
        }
        try_input(&input);
        buffer_done(&input);
    }
    printf("%d inputs replayed\n", count);
    return 0;
}

int main(int argc, char **argv) {
    const char *chosen = getenv("AUSCULT_SEED"), *time = getenv("AUSCULT_FUZZ_SECONDS");
    kept = getenv("AUSCULT_FUZZ_KEEP");
    mem_start();
    if (argc > 1) {
        return replay(argc - 1, argv + 1);
    }
    double seconds = time != NULL ? strtod(time, NULL) : getenv("AUSCULT_LONG") != NULL ? 60 : 1;
    uint64_t seed = chosen != NULL ? strtoull(chosen, NULL, 10) : (uint64_t)clock_wall_ms();
    printf("AUSCULT_SEED=%" PRIu64 "\n", seed);
    fflush(stdout);
    while (seed_count < SEEDS_MOST && fuzz_seed(seed_count, &seeds[seed_count])) {
        try_input(&seeds[seed_count++]);
    }
    if (seed_count == 0) {
        fprintf(stderr, "there are no seeds\n");
        return 1;
    }
    fuzz(seconds, seed);
    for (uint32_t i = 0; i < seed_count; i++) {
        buffer_done(&seeds[i]);
    }
    printf("%" PRIu64 " executions from %u seeds, %ld blocks left\n", executions, seed_count,
           mem_blocks());
    return mem_blocks() == 0 ? 0 : 1;
}
