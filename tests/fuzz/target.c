// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "tests/fuzz/fuzz.h"

_Noreturn void fuzz_fail(const char *what) {
    fprintf(stderr, "fuzz: %s; the last message: %s\n", what, status_message());
    abort();
}

static bool take_text(const FuzzReader *reader, const char *bytes, size_t size) {
    char *text = mem_new(size + 1, 1);
    if (text == NULL) {
        return false;
    }
    memcpy(text, bytes, size);
    bool is_taken = reader->read(text, size);
    mem_free(text);
    return is_taken;
}

bool fuzz_take(const void *bytes, size_t size) {
    if (size == 0) {
        return false;
    }
    const unsigned char *first = bytes;
    const FuzzReader *reader = &FUZZ_READERS[*first % FUZZ_READER_COUNT];
    const char *rest = (const char *)bytes + 1;
    return reader->is_text ? take_text(reader, rest, size - 1) : reader->read(rest, size - 1);
}

static bool seed_of(const FuzzReader *reader, uint32_t index, Buffer *out) {
    if (reader->seed != NULL) {
        return reader->seed(index, out);
    }
    if (reader->seeds[index] == NULL) {
        return false;
    }
    buffer_text(out, reader->seeds[index]);
    return true;
}

const FuzzReader *fuzz_seed(uint32_t index, Buffer *out) {
    uint32_t before = 0;
    for (uint32_t i = 0; i < FUZZ_READER_COUNT; i++) {
        uint32_t own = 0;
        for (;; own++) {
            char first = (char)i;
            buffer_clear(out);
            buffer_append(out, &first, 1);
            if (!seed_of(&FUZZ_READERS[i], own, out)) {
                break;
            }
            if (before + own == index) {
                return &FUZZ_READERS[i];
            }
        }
        before += own;
    }
    return NULL;
}

bool fuzz_check_seeds(void) {
    Buffer seed = BUFFER_EMPTY;
    bool is_fine = true;
    uint32_t readers = 0;
    const FuzzReader *reader, *last = NULL;
    for (uint32_t i = 0; (reader = fuzz_seed(i, &seed)) != NULL; i++) {
        readers += reader != last;
        last = reader;
        if (seed.status != STATUS_OK || !fuzz_take(buffer_cstr(&seed), seed.size)) {
            fprintf(stderr, "seed %u, for %s, is refused: %s\n", i, reader->name, status_message());
            is_fine = false;
        }
    }
    if (readers != FUZZ_READER_COUNT) {
        fprintf(stderr, "%u of %u readers have seeds\n", readers, FUZZ_READER_COUNT);
        is_fine = false;
    }
    buffer_done(&seed);
    return is_fine;
}

int fuzz_write_seeds(const char *folder) {
    Buffer seed = BUFFER_EMPTY;
    Status status = file_make_folders(folder);
    const FuzzReader *reader;
    uint32_t i = 0;
    for (; status == STATUS_OK && (reader = fuzz_seed(i, &seed)) != NULL; i++) {
        char path[LIMIT_PATH_BYTES];
        snprintf(path, sizeof path, "%s/%s-%u", folder, reader->name, i);
        status = file_replace(path, buffer_cstr(&seed), seed.size);
    }
    buffer_done(&seed);
    if (status != STATUS_OK) {
        fprintf(stderr, "%s\n", status_message());
        return 1;
    }
    printf("%u seeds in %s\n", i, folder);
    return fuzz_check_seeds() ? 0 : 1;
}
