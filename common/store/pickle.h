// SPDX-License-Identifier: Apache-2.0
//
// scikit-learn's StandardScaler as a pickle: what joblib.dump and pickle.dump write of one, and
// what joblib.load and pickle.load read. A pickle is a program; ours builds one object from public
// names alone, and the reader here knows the few names that such an object needs, runs nothing, and
// refuses every other file. Any thread.
// Format: https://docs.python.org/3/library/pickletools.html
#ifndef AUSCULT_STORE_PICKLE_H
#define AUSCULT_STORE_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/status.h"

#define PICKLE_BYTES_MOST (16u << 20) // a scaler of the largest vector has half a MiB

typedef struct StandardScaler {
    int32_t dimension;    // features, n_features_in_
    int64_t samples_seen; // n_samples_seen_
    double *mean;         // (dimension) 0 with_mean=False
    double *variance;     // (dimension) var_
    double *scale;        // (dimension) what is divided by; 1 with_std=False
} StandardScaler;

// Zeros of that many features. STATUS_MEMORY.
Status standard_scaler_new(int32_t dimension, StandardScaler *ret_scaler);
void standard_scaler_done(StandardScaler *scaler);

// Appends a pickle of protocol 2: a fitted sklearn.preprocessing.StandardScaler. Its version is
// asked of the scikit-learn that loads it, so none of them warns; arrays are made by numpy.array.
void pickle_write_scaler(const StandardScaler *scaler, Buffer *out);

// A StandardScaler from a pickle of protocol 2 to 5, its arrays as numpy pickles them or as joblib
// lays them between (uncompressed). `name` stands for the file. STATUS_FORMAT: anything else, or
// damaged; STATUS_LIMIT: more than LIMIT_VECTOR features.
Status pickle_read_scaler(const char *name, const void *bytes, size_t size,
                          StandardScaler *ret_scaler);

#endif
