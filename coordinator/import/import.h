// SPDX-License-Identifier: Apache-2.0
//
// Networks, scalers and thresholds that were made elsewhere. Their files may be anybody's, and the
// HDF5 library was not written for that: they are parsed in a child process with limits on memory,
// processor time, wall time, open files and file sizes, which hands over a Network's plain bytes.
// These are checked again here (network_read). Main's thread, before there are others.
#ifndef AUSCULT_IMPORT_IMPORT_H
#define AUSCULT_IMPORT_IMPORT_H

#include <stdint.h>

#include "common/base/buffer.h"
#include "common/engine/network.h"

#define IMPORT_FILE_BYTES (512u << 20) // a network of LIMIT_PARAMETERS, as Keras or PyTorch has it

// What the child may use.
typedef struct ImportLimits {
    uint64_t memory_bytes; // beside what this process has
    uint32_t processor_s;  // of processor time
    uint32_t wall_ms;      // until it has said all
} ImportLimits;
// 2 GiB, 30 s (a network of 100 MiB takes one) and 2 minutes.
extern const ImportLimits IMPORT_LIMITS;

// Whether the file's name says that it is one of the kinds below.
bool import_is_known(const char *path);
// The bytes of a network (network_write): of a Keras model (.h5, .hdf5), or of PyTorch's weights
// under the official baseline's names (.npz: encoder.0.weight, encoder.1.running_mean, ...). With
// `scaler` (a pickled StandardScaler, or a .npz with mean_ and scale_), that is put in front.
// Every refusal names the file. STATUS_FORMAT, STATUS_LIMIT, STATUS_NOT_FOUND, STATUS_IO,
// STATUS_MEMORY.
Status import_network(const char *path, const char *scaler, const ImportLimits *limits,
                      Buffer *out);
// The one number of a .npy of floats.
Status import_threshold(const char *path, double *ret_threshold);

#endif
