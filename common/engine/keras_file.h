// SPDX-License-Identifier: Apache-2.0
//
// A network as Keras's HDF5 file: the attribute model_config tells the layers as JSON, the group
// model_weights has their arrays. Ours are Sequential, in the words that Keras 3 and the Keras of
// TensorFlow 2 both read. Any thread; HDF5 itself allows one at a time.
#ifndef AUSCULT_ENGINE_KERAS_FILE_H
#define AUSCULT_ENGINE_KERAS_FILE_H

#include <stdbool.h>

#include "common/base/buffer.h"
#include "common/base/status.h"
#include "common/engine/network.h"
#include "common/model/replica.h"

#define KERAS_FILE_NAME  "autoencoder_model.h5"
#define SCALER_FILE_NAME "scaler.pkl"

// Appends the file's bytes, which depend on the replica's numbers alone. `predict` of the model
// takes scaled vectors (D) and gives their reconstructions in scaled space; `has_scaler_inside`: it
// takes vectors as they are, and its first layer, a BatchNormalization called "scaler", scales them
// (where the replica has a scaler). STATUS_MEMORY.
Status keras_file_write(const Replica *replica, bool has_scaler_inside, Buffer *out);
// Appends the replica's scaler as scaler.pkl (common/store/pickle.h), which it must have.
// STATUS_MEMORY.
Status keras_file_write_scaler(const Replica *replica, Buffer *out);

// The network of such a file that Keras itself has saved, of any of its versions from 2 on: a
// Sequential model, or a Functional one that is a plain chain, of Dense, BatchNormalization,
// Activation, ReLU, LeakyReLU, ELU, InputLayer and Dropout layers. A first normalisation that is
// called "scaler" is the scaler. Bytes from elsewhere are for a process of their own
// (hdf5_file.h). STATUS_FORMAT names the file and the layer; STATUS_LIMIT; STATUS_MEMORY.
Status keras_file_read(const char *name, const void *bytes, size_t size, Network **ret_network);

#endif
