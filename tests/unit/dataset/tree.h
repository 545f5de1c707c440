// SPDX-License-Identifier: Apache-2.0
//
// Small trees of files for the tests of coordinator/dataset. Scanning opens no sound, so a clip is
// whatever bytes its test wants to tell apart.
#ifndef AUSCULT_TESTS_UNIT_DATASET_TREE_H
#define AUSCULT_TESTS_UNIT_DATASET_TREE_H

#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "coordinator/dataset/dataset.h"
#include "tests/unit/test.h"

// The root of the running test.
static char tree[256];

static inline void tree_begin(void) {
    snprintf(tree, sizeof tree, "%s", test_folder());
}

static inline void tree_end(void) {
    CHECK_OK(file_remove_tree(tree));
}

static inline const char *tree_path(const char *path) {
    static char full[LIMIT_PATH_BYTES];
    snprintf(full, sizeof full, "%s/%s", tree, path);
    return full;
}

// Writes a file, and the folders above it. Not by file_write: syncing thousands takes its time.
static inline void put_text(const char *path, const char *text) {
    char full[LIMIT_PATH_BYTES], folder[LIMIT_PATH_BYTES];
    snprintf(full, sizeof full, "%s", tree_path(path));
    snprintf(folder, sizeof folder, "%s", full);
    *strrchr(folder, '/') = '\0';
    if (!file_is_folder(folder)) {
        CHECK_OK(file_make_folders(folder));
    }
    FILE *file = fopen(full, "wb");
    CHECK(file != NULL);
    fputs(text, file);
    CHECK(fclose(file) == 0);
}

static inline void put(const char *path) {
    put_text(path, "x");
}

// Scans the roots named (relative to the tree, "" for the tree itself), ended by NULL.
static inline Status scan_roots(const char *manifest, Dataset **ret_dataset, ...) {
    static char paths[LIMIT_ROOTS][512];
    const char *roots[LIMIT_ROOTS];
    DatasetOptions options = {.roots = roots, .manifest = manifest};
    va_list args;
    va_start(args, ret_dataset);
    const char *root;
    while ((root = va_arg(args, const char *)) != NULL) {
        snprintf(paths[options.root_count], sizeof paths[0], "%s%s%s", tree,
                 root[0] != '\0' ? "/" : "", root);
        roots[options.root_count] = paths[options.root_count];
        options.root_count++;
    }
    va_end(args);
    return dataset_scan(&options, ret_dataset);
}

static inline Dataset *scan(const char *root) {
    Dataset *dataset = NULL;
    CHECK_OK(scan_roots(NULL, &dataset, root, NULL));
    return dataset;
}

static inline const Clip *clip_of(const Dataset *dataset, const char *path) {
    for (uint32_t i = 0; i < dataset->clip_count; i++) {
        if (strcmp(dataset->clips[i].path, path) == 0) {
            return &dataset->clips[i];
        }
    }
    TEST_FAIL("there is no clip %s", path);
    return NULL;
}

static inline const Machine *machine_of(const Dataset *dataset, ClipSet set, const char *name) {
    for (uint32_t i = 0; i < dataset->machine_count; i++) {
        const Machine *machine = &dataset->machines[i];
        if (machine->set == set && strcmp(machine->name, name) == 0) {
            return machine;
        }
    }
    TEST_FAIL("there is no machine %s in set %s", name, dataset_set_text(set));
    return NULL;
}

static inline int has_text(const char *const *texts, uint32_t count, const char *part) {
    for (uint32_t i = 0; i < count; i++) {
        if (strstr(texts[i], part) != NULL) {
            return 1;
        }
    }
    return 0;
}

#define CHECK_WARNING(dataset, part)                                                               \
    do {                                                                                           \
        if (!has_text((dataset)->warnings, (dataset)->warning_count, (part))) {                    \
            TEST_FAIL("no warning has \"%s\"", (part));                                            \
        }                                                                                          \
    } while (0)
#define CHECK_NOTE(dataset, part)                                                                  \
    do {                                                                                           \
        if (!has_text((dataset)->notes, (dataset)->note_count, (part))) {                          \
            TEST_FAIL("no note has \"%s\"", (part));                                               \
        }                                                                                          \
    } while (0)
#define CHECK_NO_WARNINGS(dataset)                                                                 \
    do {                                                                                           \
        if ((dataset)->warning_count > 0) {                                                        \
            TEST_FAIL("unexpected warning: %s", (dataset)->warnings[0]);                           \
        }                                                                                          \
    } while (0)

// "k=v;k=v", for comparison.
static inline const char *attributes_text(const Clip *clip) {
    static char text[1024];
    text[0] = '\0';
    for (uint32_t i = 0; i < clip->attribute_count; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s=%s", i > 0 ? ";" : "",
                 clip->attributes[i].name, clip->attributes[i].value);
    }
    return text;
}

#endif
