// SPDX-License-Identifier: Apache-2.0
//
// HDF5 files, as far as Keras's models and exported features need them: groups, text attributes and
// arrays of numbers. Written in memory, without times, so that the same contents give the same
// bytes. Reading bounds what it allocates, but the library's own parser is not made for hostile
// files: such a file is only opened in a child process (coordinator/import). One thread at a time
// in the whole process, as Debian's library wants it.
#ifndef AUSCULT_STORE_HDF5_FILE_H
#define AUSCULT_STORE_HDF5_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/status.h"

#define HDF5_DIMENSIONS_MOST 4
#define HDF5_TEXT_BYTES      (64u << 10) // of an attribute that is written: the format's own limit

// ---- writing ----

typedef struct Hdf5Writer Hdf5Writer;

// NULL when out of memory. Sticky: after a failure every call does nothing and hdf5_writer_end
// tells.
Hdf5Writer *hdf5_writer_new(void);
// The same, but the file grows on disk, for contents that memory need not hold.
Hdf5Writer *hdf5_writer_new_at(const char *path);
void hdf5_writer_free(Hdf5Writer *writer);
// A group by its full path ("/model_weights/dense"), with those above it.
void hdf5_write_group(Hdf5Writer *writer, const char *path);
// An attribute of a group: a text of fixed length, or an array of such texts (count may be 0).
void hdf5_write_text(Hdf5Writer *writer, const char *group, const char *name, const char *text);
void hdf5_write_texts(Hdf5Writer *writer, const char *group, const char *name,
                      const char *const *texts, size_t count);
// A data set of 32-bit floats in C order, with the groups above it.
void hdf5_write_floats(Hdf5Writer *writer, const char *path, const float *data, int32_t dimensions,
                       const int64_t *shape);
// Appends the file's bytes; of one on disk, which is whole once the writer is freed, `out` is NULL.
Status hdf5_writer_end(Hdf5Writer *writer, Buffer *out);

// ---- reading ----

typedef struct Hdf5File Hdf5File;

typedef struct Hdf5Array {
    int32_t dimensions; // 0 for a scalar
    int64_t shape[HDF5_DIMENSIONS_MOST];
    int64_t count; // elements
    float *data;   // (count) in C order, owned
} Hdf5Array;

// STATUS_FORMAT: not an HDF5 file, or damaged. `name` stands for the file in messages.
Status hdf5_open(const char *name, const void *bytes, size_t size, Hdf5File **ret_file);
void hdf5_close(Hdf5File *file);
// Whether the group has an attribute, or the file a group.
bool hdf5_has_attribute(Hdf5File *file, const char *group, const char *name);
bool hdf5_has_group(Hdf5File *file, const char *group);
// A text attribute, of fixed or of variable length. STATUS_NOT_FOUND; STATUS_FORMAT when it is no
// text; STATUS_LIMIT beyond `most` bytes.
Status hdf5_read_text(Hdf5File *file, const char *group, const char *name, size_t most,
                      Buffer *out);
// An attribute that is a list of texts: `take` gets each, borrowed, in its order. A list of more
// than `most` is refused.
Status hdf5_read_texts(Hdf5File *file, const char *group, const char *name, size_t most,
                       Status (*take)(void *context, const char *text), void *context);
// A data set of floats of any width, as 32-bit ones; of at most `most` elements. The caller frees
// the array by hdf5_array_done.
Status hdf5_read_floats(Hdf5File *file, const char *path, int64_t most, Hdf5Array *ret_array);
void hdf5_array_done(Hdf5Array *array);

#endif
