// SPDX-License-Identifier: Apache-2.0
//
// NumPy's .npy files: thresholds, exported features, goldens, and clips whose log-mel was made
// elsewhere. Reading trusts nothing: the header is parsed within bounds, and shapes are held
// against the bytes present before anything is allocated. Little-endian machines only, as the rest
// of the program. Any thread.
// Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#ifndef AUSCULT_STORE_NPY_H
#define AUSCULT_STORE_NPY_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/status.h"

#define NPY_DIMENSIONS_MAX 8   // numpy allows 32 or 64; nothing here has more than three
#define NPY_SHAPE_BYTES    200 // text of a shape: eight numbers of 19 digits, commas, brackets

typedef enum NpyType {
    NPY_FLOAT32, // '<f4'
    NPY_FLOAT64, // '<f8'
    NPY_INT32,   // '<i4'
    NPY_INT64,   // '<i8'
    NPY_UINT32,  // '<u4'
    NPY_BOOL,    // '|b1', one byte each
} NpyType;

typedef struct NpyArray {
    NpyType type;
    int32_t dimensions;                // 0 for a scalar
    int64_t shape[NPY_DIMENSIONS_MAX]; // 0 or more each
    int64_t count;                     // elements: product of the shape, 1 for a scalar
    void *data;                        // C order, 64-byte aligned, owned
} NpyArray;

// Formats 1.0, 2.0 and 3.0 of the types above. An array in Fortran order (what numpy.save makes of
// a transposed one) is put into C order if it has two dimensions, else refused. `name` stands for
// the file in messages. STATUS_FORMAT: not such a file, another type, cut short, or bytes left
// over.
Status npy_parse(const char *name, const void *bytes, size_t size, NpyArray *ret_array);
// As above from a file of at most LIMIT_CLIP_BYTES; also what file_read returns.
Status npy_read(const char *path, NpyArray *ret_array);
// Frees the data; the array becomes empty. Accepts an empty ({0}) one.
void npy_done(NpyArray *array);

// "<f4" and so on; borrowed for good.
const char *npy_type_name(NpyType type);
// The shape as Python writes it: "()", "(3,)", "(3, 640)".
void npy_shape_text(int32_t dimensions, const int64_t *shape, char out[NPY_SHAPE_BYTES]);

// Appends the bytes that numpy.save (1.24 to 2.x) writes for such an array: format 1.0, data at a
// multiple of 64. Only type, dimensions, shape and data of `array` are read.
void npy_format(const NpyArray *array, Buffer *out);
// Writes such a file aside, synced and renamed.
Status npy_write_float32(const char *path, const float *data, int32_t dimensions,
                         const int64_t *shape);
Status npy_write_float64(const char *path, const double *data, int32_t dimensions,
                         const int64_t *shape);

#endif
