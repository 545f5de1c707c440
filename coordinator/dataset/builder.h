// SPDX-License-Identifier: Apache-2.0
//
// A Dataset while it is being made: files found, the machine folders they were found in, and what
// there is to say about them. Only the files of coordinator/dataset include this. One thread.
#ifndef AUSCULT_COORDINATOR_DATASET_BUILDER_H
#define AUSCULT_COORDINATOR_DATASET_BUILDER_H

#include <stdbool.h>
#include <stddef.h>

#include "coordinator/dataset/dataset.h"

// The folders of a machine. Their order is that of preference where a clip is there twice.
typedef enum FolderKind {
    FOLDER_TRAIN,
    FOLDER_TEST,
    FOLDER_SOURCE_TEST, // 2021
    FOLDER_TARGET_TEST, // 2021
    FOLDER_SUPPLEMENTAL,
    FOLDER_TEST_RENAME, // the clips of test/ again, under names that tell
    FOLDER_NONE,
} FolderKind;

// One folder of one machine under one root (or one machine of a manifest).
typedef struct Place {
    const char *machine;
    const char *path; // relative to its root, "" for the root itself
    uint32_t root;
    uint32_t first_found; // its files are a run of Builder.found, until that is sorted
    uint32_t found_count;
    ClipSet set;
    bool set_known;
    int32_t year;
} Place;

// One file that may become a clip.
typedef struct Found {
    Clip clip; // `machine` is set at the end
    const char *machine;
    ClipSet set;
    FolderKind folder;
    uint32_t place;
    bool dropped; // becomes no clip and is not worth a word of its own
} Found;

// An attributes_*.csv of a place.
typedef struct SideFile {
    const char *path; // relative to the place's root
    uint32_t place;
} SideFile;

typedef struct TextList {
    const char **texts;
    uint32_t count;
    uint32_t capacity;
} TextList;

typedef struct DatasetMemory DatasetMemory;

typedef struct Builder {
    const DatasetOptions *options;
    DatasetMemory *memory;
    Found *found;
    Place *places;
    SideFile *side_files;
    LeftOut *left_out;
    uint32_t found_count, found_capacity;
    uint32_t place_count, place_capacity;
    uint32_t side_file_count, side_file_capacity;
    uint32_t left_out_count, left_out_capacity;
    uint32_t stray_count; // clips that lie in no split folder
    TextList warnings;
    TextList notes;
} Builder;

Status builder_init(Builder *builder, const DatasetOptions *options);
// Frees all that has not been handed to a Dataset.
void builder_done(Builder *builder);
// Sorts, counts and hands over to a Dataset; `builder` keeps nothing.
Status builder_finish(Builder *builder, Dataset **ret_dataset);

// Memory that lives as long as the Dataset; NULL and a message when there is none.
DatasetMemory *memory_begin(void);
void *memory_new(DatasetMemory *memory, size_t count, size_t size);
char *memory_text(DatasetMemory *memory, const char *text);
void memory_free(DatasetMemory *memory);

// Each returns the new item, zeroed, borrowed until the next call of its kind, or NULL.
Found *builder_add_found(Builder *builder);
Place *builder_add_place(Builder *builder);
SideFile *builder_add_side_file(Builder *builder);

Status builder_warn(Builder *builder, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
Status builder_note(Builder *builder, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
// A file that did not become a clip: a warning too. `path` may be unclean.
Status builder_leave_out(Builder *builder, uint32_t root, const char *machine, const char *path,
                         const char *reason);
// A reason for Found.clip.left_out; NULL when out of memory.
const char *builder_reason(Builder *builder, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Fills what the name and the folder of a clip tell; path, size and time are set already.
Status builder_understand(Builder *builder, Found *found);

// The text with unclean bytes as \xNN, cut to fit.
void builder_escape(const char *text, char *out, size_t size);

// qsort order: set, machine, train/test/supplemental/rename, path; then size and time, so that
// equal paths under two roots do not depend on the order of roots.
void builder_sort(Builder *builder);

#endif
