// SPDX-License-Identifier: Apache-2.0
//
// A fuzzer without coverage for where libFuzzer is not to be had, so that every run of the tests
// sees some thousand inputs, under the sanitizers too:
//     fuzz_x PATH...                 replays these files, and those in these folders
//     fuzz_x --seeds FOLDER          writes the seeds
//     fuzz_x                         seeds and mutations of them, for AUSCULT_FUZZ_SECONDS (1; 20
//                                    with AUSCULT_LONG=1), chosen by AUSCULT_SEED (1); what is in
//                                    the folder AUSCULT_FUZZ_CORPUS/x/ is a seed, too
// With AUSCULT_FUZZ_KEEP=FILE each input is written there before it is tried, for after a crash.
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "tests/fuzz/fuzz.h"

enum { MUTATIONS_MOST = 8 };

static Buffer *seeds; // (seed_count)
static uint32_t seed_count, seed_capacity;
static uint64_t executions;
static const char *kept;

static void try_input(const Buffer *input) {
    if (kept != NULL && file_replace(kept, buffer_cstr(input), input->size) != STATUS_OK) {
        exit(1);
    }
    // A copy of just this size, so that a byte read behind it is found.
    uint8_t *copy = mem_copy(buffer_cstr(input), input->size > 0 ? input->size : 1);
    (void)fuzz_take(copy, input->size);
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
        if (size + run < FUZZ_INPUT_MOST) {
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

static bool take_file(const char *path) {
    if (!mem_grow(&seeds, seed_count, &seed_capacity, sizeof *seeds)) {
        return false;
    }
    seeds[seed_count] = BUFFER_EMPTY;
    bool is_read = file_read(path, FUZZ_INPUT_MOST, &seeds[seed_count]) == STATUS_OK;
    seed_count++;
    return is_read;
}

static bool take_folder(const char *folder) {
    DIR *entries = opendir(folder);
    bool is_read = entries != NULL;
    for (const struct dirent *entry; is_read && (entry = readdir(entries)) != NULL;) {
        char path[LIMIT_PATH_BYTES];
        is_read = file_join(path, sizeof path, folder, entry->d_name) == STATUS_OK &&
                  (entry->d_name[0] == '.' || take_file(path));
    }
    if (entries != NULL) {
        closedir(entries);
    }
    return is_read;
}

static bool take_path(const char *path) {
    bool is_read = file_is_folder(path) ? take_folder(path) : take_file(path);
    if (!is_read) {
        fprintf(stderr, "%s: %s\n", path, status_message());
    }
    return is_read;
}

static bool take_own_seeds(void) {
    for (;;) {
        Buffer seed = BUFFER_EMPTY;
        if (fuzz_seed(seed_count, &seed) == NULL) {
            buffer_done(&seed);
            return true;
        }
        if (!mem_grow(&seeds, seed_count, &seed_capacity, sizeof *seeds)) {
            return false;
        }
        seeds[seed_count++] = seed;
    }
}

// What a corpus folder has for this program: "fuzz_texts" looks into its folder texts.
static bool take_corpus(const char *program) {
    const char *corpus = getenv("AUSCULT_FUZZ_CORPUS"), *name = strstr(file_name(program), "_");
    char folder[LIMIT_PATH_BYTES];
    if (corpus == NULL || name == NULL ||
        file_join(folder, sizeof folder, corpus, name + 1) != STATUS_OK ||
        !file_is_folder(folder)) {
        return true;
    }
    return take_path(folder);
}

static void try_seeds(void) {
    for (uint32_t i = 0; i < seed_count; i++) {
        try_input(&seeds[i]);
    }
}

static int replay(int count, char **paths) {
    bool is_read = true;
    for (int i = 0; i < count && is_read; i++) {
        is_read = take_path(paths[i]);
    }
    try_seeds();
    printf("%u inputs replayed\n", seed_count);
    return is_read ? 0 : 1;
}

static int mutate_seeds(const char *program) {
    const char *chosen = getenv("AUSCULT_SEED"), *time = getenv("AUSCULT_FUZZ_SECONDS");
    double seconds = time != NULL ? strtod(time, NULL) : getenv("AUSCULT_LONG") != NULL ? 20 : 1;
    uint64_t seed = chosen != NULL ? strtoull(chosen, NULL, 10) : 1;
    if (!fuzz_check_seeds() || !take_own_seeds() || !take_corpus(program)) {
        return 1;
    }
    printf("AUSCULT_SEED=%" PRIu64 ", %u seeds\n", seed, seed_count);
    fflush(stdout);
    try_seeds();
    fuzz(seconds, seed);
    return 0;
}

int main(int argc, char **argv) {
    kept = getenv("AUSCULT_FUZZ_KEEP");
    mem_start();
    fuzz_begin();
    int code = argc == 3 && strcmp(argv[1], "--seeds") == 0 ? fuzz_write_seeds(argv[2])
               : argc > 1                                   ? replay(argc - 1, argv + 1)
                                                            : mutate_seeds(argv[0]);
    for (uint32_t i = 0; i < seed_count; i++) {
        buffer_done(&seeds[i]);
    }
    mem_free(seeds);
    fuzz_end();
    printf("%" PRIu64 " executions, %ld blocks left\n", executions, mem_blocks());
    return mem_blocks() == 0 ? code : 1;
}
