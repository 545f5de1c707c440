// SPDX-License-Identifier: Apache-2.0
//
// What is written, as Python:
//     scaler = StandardScaler.__new__(StandardScaler)
//     scaler.__setstate__({"with_mean": True, ..., "mean_": numpy.array([...]), ...,
//                          "_sklearn_version": sklearn.__version__})
// The last entry is what keeps scikit-learn from warning of another version: a pickle can name the
// attribute of a module, and the one that is loading it is by definition the right one.
#include <math.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/store/pickle.h"

Status standard_scaler_new(int32_t dimension, StandardScaler *ret_scaler) {
    StandardScaler scaler = {.dimension = dimension};
    double *block = mem_new((size_t)dimension * 3, sizeof *block);
    if (block == NULL) {
        return STATUS_MEMORY;
    }
    scaler.mean = block;
    scaler.variance = block + dimension;
    scaler.scale = block + (size_t)dimension * 2;
    *ret_scaler = scaler;
    return STATUS_OK;
}

void standard_scaler_done(StandardScaler *scaler) {
    mem_free(scaler->mean); // one block
    *scaler = (StandardScaler){0};
}

static void put_byte(Buffer *out, int byte) {
    char text = (char)byte;
    buffer_append(out, &text, 1);
}

static void put_little_endian(Buffer *out, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        put_byte(out, (int)(value >> (8 * i) & 0xff));
    }
}

static void put_text(Buffer *out, const char *text) {
    put_byte(out, 'X'); // BINUNICODE
    put_little_endian(out, strlen(text), 4);
    buffer_text(out, text);
}

static void put_whole(Buffer *out, int64_t value) {
    put_byte(out, 0x8a); // LONG1
    put_byte(out, 8);
    put_little_endian(out, (uint64_t)value, 8);
}

static void put_float(Buffer *out, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_byte(out, 'G'); // BINFLOAT, the one big-endian number of the format
    for (int i = 7; i >= 0; i--) {
        put_byte(out, (int)(bits >> (8 * i) & 0xff));
    }
}

// numpy.array([...])
static void put_array(Buffer *out, const double *values, int32_t count) {
    buffer_text(out, "cnumpy\narray\n](");
    for (int32_t i = 0; i < count; i++) {
        put_float(out, values[i]);
    }
    put_byte(out, 'e');  // APPENDS
    put_byte(out, 0x85); // TUPLE1
    put_byte(out, 'R');  // REDUCE
}

static void put_true(Buffer *out, const char *key) {
    put_text(out, key);
    put_byte(out, 0x88); // NEWTRUE
}

void pickle_write_scaler(const StandardScaler *scaler, Buffer *out) {
    put_byte(out, 0x80); // PROTO
    put_byte(out, 2);
    buffer_text(out, "csklearn.preprocessing\nStandardScaler\n)");
    put_byte(out, 0x81); // NEWOBJ
    buffer_text(out, "}(");
    put_true(out, "with_mean");
    put_true(out, "with_std");
    put_true(out, "copy");
    put_text(out, "n_features_in_");
    put_whole(out, scaler->dimension);
    put_text(out, "n_samples_seen_");
    put_whole(out, scaler->samples_seen);
    put_text(out, "mean_");
    put_array(out, scaler->mean, scaler->dimension);
    put_text(out, "var_");
    put_array(out, scaler->variance, scaler->dimension);
    put_text(out, "scale_");
    put_array(out, scaler->scale, scaler->dimension);
    put_text(out, "_sklearn_version");
    buffer_text(out, "csklearn\n__version__\nub."); // SETITEMS, BUILD, STOP
}
