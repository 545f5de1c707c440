// SPDX-License-Identifier: Apache-2.0
//
// Networks and scalers that were made elsewhere, read as the importing process reads them. An HDF5
// file as a whole goes to that process: the library's own parser is known to fall over damaged
// files, which is why there is one. What is ours, the meaning of what stands in the file, is tried
// here with sound files of odd contents.
#include <stdio.h>
#include <string.h>

#include "common/engine/keras_file.h"
#include "common/store/hdf5_file.h"
#include "common/store/npy.h"
#include "common/store/pickle.h"
#include "coordinator/import/parse.h"
#include "coordinator/package/archive.h"
#include "tests/fuzz/fuzz.h"

// A network that was taken is one: its bytes are read again.
static bool use_network(Status status, Network *network) {
    if (status != STATUS_OK) {
        return false;
    }
    Buffer bytes = BUFFER_EMPTY;
    Network *again = NULL;
    network_write(network, &bytes);
    if (network_read(buffer_cstr(&bytes), bytes.size, &again) != STATUS_OK) {
        fuzz_fail("a network that was taken cannot be handed over");
    }
    network_free(again);
    network_free(network);
    buffer_done(&bytes);
    return true;
}

static bool parse(const char *model, const Buffer *bytes, const char *scaler,
                  const Buffer *scaler_bytes) {
    ParseFile files[] = {{model, *bytes}, {scaler, BUFFER_EMPTY}};
    Network *network = NULL;
    if (scaler != NULL) {
        files[1].bytes = *scaler_bytes;
    }
    Status status = parse_network(&files[0], scaler != NULL ? &files[1] : NULL, &network);
    return use_network(status, network);
}

// Numbers enough for the largest array, none of them zero.
enum { SIDE_MOST = 15 };
static float numbers[SIDE_MOST * SIDE_MOST];

// ---- Keras ----

enum { ARRAYS = 8 };
static const struct {
    const char *layer, *name;
    int dimensions;
} KERAS_ARRAYS[ARRAYS] = {{"dense", "kernel:0", 2},       {"dense", "bias:0", 1},
                          {"norm", "gamma:0", 1},         {"norm", "beta:0", 1},
                          {"norm", "moving_mean:0", 1},   {"norm", "moving_variance:0", 1},
                          {"scaler", "moving_mean:0", 1}, {"scaler", "moving_variance:0", 1}};

static void put_names(Hdf5Writer *writer, const char *layer) {
    const char *names[ARRAYS];
    char group[64];
    size_t count = 0;
    for (int i = 0; i < ARRAYS; i++) {
        if (strcmp(KERAS_ARRAYS[i].layer, layer) == 0) {
            names[count++] = KERAS_ARRAYS[i].name;
        }
    }
    snprintf(group, sizeof group, "/model_weights/%s", layer);
    hdf5_write_group(writer, group);
    hdf5_write_texts(writer, group, "weight_names", names, count);
}

// A Keras file with that model_config; `sides` has the sides of each array, 4 bits a side.
static bool make_keras(const char *config, const char *sides, size_t side_count, Buffer *out) {
    Hdf5Writer *writer = hdf5_writer_new();
    if (writer == NULL) {
        return false;
    }
    hdf5_write_group(writer, "/model_weights");
    hdf5_write_text(writer, "/", "model_config", config);
    put_names(writer, "dense");
    put_names(writer, "norm");
    put_names(writer, "scaler");
    for (size_t i = 0; i < ARRAYS; i++) {
        char path[128];
        int64_t side = i < side_count ? (unsigned char)sides[i] : 0x22;
        int64_t shape[] = {side & 15, side >> 4};
        snprintf(path, sizeof path, "/model_weights/%s/%s", KERAS_ARRAYS[i].layer,
                 KERAS_ARRAYS[i].name);
        hdf5_write_floats(writer, path, numbers, KERAS_ARRAYS[i].dimensions, shape);
    }
    Status status = hdf5_writer_end(writer, out);
    hdf5_writer_free(writer);
    return status == STATUS_OK;
}

// The input: model_config, then a NUL and the arrays' sides.
static bool read_keras(const char *bytes, size_t size) {
    Buffer file = BUFFER_EMPTY;
    size_t config = strnlen(bytes, size);
    size_t rest = size > config ? size - config - 1 : 0;
    bool is_taken = config < HDF5_TEXT_BYTES &&
                    make_keras(bytes, bytes + size - rest, rest, &file) &&
                    parse("fuzz.h5", &file, NULL, NULL);
    buffer_done(&file);
    return is_taken;
}

#define DENSE "{\"class_name\": \"Dense\", \"config\": {\"name\": \"dense\", \"activation\": "
static const char *const KERAS_SEEDS[] = {
    "{\"class_name\": \"Sequential\", \"config\": {\"name\": \"s\", \"layers\": [" DENSE
    "\"relu\", \"use_bias\": true}}]}}",
    "{\"class_name\": \"Sequential\", \"config\": [{\"class_name\": \"BatchNormalization\", "
    "\"config\": {\"name\": \"norm\", \"axis\": [1], \"epsilon\": 0.001}}, " DENSE
    "{\"class_name\": \"function\", \"config\": \"tanh\"}}}, {\"class_name\": \"LeakyReLU\", "
    "\"config\": {\"name\": \"l\", \"alpha\": 0.5}}, {\"class_name\": \"ReLU\", \"config\": "
    "{\"name\": \"r\", \"max_value\": 6.0}}, {\"class_name\": \"ELU\", \"config\": {\"name\": "
    "\"e\", \"alpha\": {\"class_name\": \"__numpy__\", \"value\": 1}}}]}",
    "{\"class_name\": \"Sequential\", \"config\": {\"layers\": [{\"class_name\": "
    "\"BatchNormalization\", \"config\": {\"name\": \"scaler\", \"scale\": false, \"center\": "
    "false}}, {\"class_name\": \"Dropout\", \"config\": {\"name\": \"d\"}}, " DENSE
    "null}}, {\"class_name\": \"Activation\", \"config\": {\"name\": \"a\", \"activation\": "
    "\"sigmoid\"}}]}}",
    "{\"class_name\": \"Functional\", \"config\": {\"layers\": [{\"class_name\": \"InputLayer\", "
    "\"name\": \"i\", \"config\": {\"name\": \"i\"}, \"inbound_nodes\": []}, {\"name\": \"dense\", "
    "\"inbound_nodes\": [[[\"i\", 0, 0, {}]]], \"class_name\": \"Dense\", \"config\": {\"name\": "
    "\"dense\", \"activation\": \"elu\"}}], \"output_layers\": [[\"dense\", 0, 0]]}}",
    NULL};

// ---- PyTorch ----

// Arrays of a zip, each of 3 bytes (which, sides, type), with the numbers above.
static bool make_arrays(const char *const *names, size_t name_count, const char *bytes, size_t size,
                        Buffer *out) {
    Archive archive = ARCHIVE_EMPTY;
    Status status = STATUS_OK;
    for (; size >= 3 && status == STATUS_OK && archive.count < 64; bytes += 3, size -= 3) {
        const unsigned char *at = (const unsigned char *)bytes;
        NpyArray array = {.type = (NpyType)(at[2] % 2), // of floats
                          .dimensions = at[0] & 0x80 ? 2 : 1,
                          .shape = {at[1] & 15, (at[0] & 0x80) != 0 ? at[1] >> 4 : 1}};
        double wide[SIDE_MOST * SIDE_MOST];
        for (size_t i = 0; i < SIDE_MOST * SIDE_MOST; i++) {
            wide[i] = (double)numbers[i];
        }
        array.count = array.shape[0] * array.shape[1];
        array.data = array.type == NPY_FLOAT32 ? (void *)numbers : (void *)wide;
        char path[96];
        Buffer npy = BUFFER_EMPTY;
        npy_format(&array, &npy);
        snprintf(path, sizeof path, "%s.npy", names[(at[0] & 0x7f) % name_count]);
        status = archive_add(&archive, path, buffer_cstr(&npy), npy.size);
        buffer_done(&npy);
    }
    status = status == STATUS_OK ? archive_write_zip(&archive, out) : status;
    archive_done(&archive);
    return status == STATUS_OK;
}

static bool read_torch(const char *bytes, size_t size) {
    static const char *const NAMES[] = {"encoder.0.weight",
                                        "encoder.0.bias",
                                        "encoder.1.weight",
                                        "encoder.1.bias",
                                        "encoder.1.running_mean",
                                        "encoder.1.running_var",
                                        "decoder.0.weight",
                                        "decoder.0.bias",
                                        "encoder.3.weight",
                                        "encoder.3.bias",
                                        "encoder.1.num_batches_tracked"};
    Buffer file = BUFFER_EMPTY;
    bool is_taken = make_arrays(NAMES, sizeof NAMES / sizeof NAMES[0], bytes, size, &file) &&
                    parse("fuzz.npz", &file, NULL, NULL);
    buffer_done(&file);
    return is_taken;
}

// encoder (2 -> 3, norm) and decoder (3 -> 2).
static const char TORCH[] =
    "\x80\x23\x00\x01\x03\x00\x02\x03\x01\x03\x03\x00\x04\x03\x00\x05\x03\x00"
    "\x86\x32\x00\x07\x02\x00";

static bool torch_seed(uint32_t index, Buffer *out) {
    if (index == 0) {
        buffer_append(out, TORCH, sizeof TORCH - 1);
    }
    return index == 0;
}

// A whole .npz.
static bool read_npz(const char *bytes, size_t size) {
    Buffer file = BUFFER_EMPTY;
    buffer_append(&file, bytes, size);
    bool is_taken = parse("fuzz.npz", &file, NULL, NULL);
    buffer_done(&file);
    return is_taken;
}

static bool npz_seed(uint32_t index, Buffer *out) {
    static const char *const NAMES[] = {"encoder.0.weight", "encoder.0.bias"};
    Buffer zip = BUFFER_EMPTY;
    if (index == 0 && make_arrays(NAMES, 2, "\x80\x22\x00\x01\x02\x00", 6, &zip)) {
        buffer_append(out, zip.bytes, zip.size);
    }
    buffer_done(&zip);
    return index == 0;
}

// ---- scalers, in front of a network over two floats ----

static Buffer plain_network; // .npz

static bool read_scaler_npz(const char *bytes, size_t size) {
    static const char *const NAMES[] = {"mean_", "scale_", "var_"};
    Buffer scaler = BUFFER_EMPTY;
    bool is_taken = make_arrays(NAMES, 3, bytes, size, &scaler) &&
                    parse("fuzz.npz", &plain_network, "scaler.npz", &scaler);
    buffer_done(&scaler);
    return is_taken;
}

static bool scaler_npz_seed(uint32_t index, Buffer *out) {
    if (index == 0) {
        buffer_append(out, "\x00\x02\x00\x01\x02\x01", 6);
    }
    return index == 0;
}

static bool read_scaler(const char *bytes, size_t size) {
    Buffer scaler = BUFFER_EMPTY;
    buffer_append(&scaler, bytes, size);
    bool is_taken = parse("fuzz.npz", &plain_network, "scaler.pkl", &scaler);
    buffer_done(&scaler);
    return is_taken;
}

static bool scaler_seed(uint32_t index, Buffer *out) {
    StandardScaler scaler;
    if (index > 0 || standard_scaler_new(2, &scaler) != STATUS_OK) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        scaler.mean[i] = scaler.variance[i] = scaler.scale[i] = 2;
    }
    pickle_write_scaler(&scaler, out);
    standard_scaler_done(&scaler);
    return true;
}

// ---- what the process hands over ----

static bool read_bytes(const char *bytes, size_t size) {
    Network *network = NULL;
    Status status = network_read(bytes, size, &network);
    return use_network(status, network);
}

static bool bytes_seed(uint32_t index, Buffer *out) {
    Network *network = network_new(2);
    bool is_made = index == 0 && network != NULL &&
                   network_set_scaler(network, numbers, numbers + 2) == STATUS_OK &&
                   network_add_dense(network, 2, numbers, numbers) == STATUS_OK &&
                   network_add_norm(network, NULL, NULL, numbers, numbers, 1) == STATUS_OK &&
                   network_add_activation(network, ACTIVATION_ELU, 1, 0) == STATUS_OK;
    if (is_made) {
        Buffer bytes = BUFFER_EMPTY;
        network_write(network, &bytes);
        buffer_append(out, bytes.bytes, bytes.size);
        buffer_done(&bytes);
    }
    network_free(network);
    return is_made;
}

const FuzzReader FUZZ_READERS[] = {
    {"keras", read_keras, true, KERAS_SEEDS, NULL},
    {"torch", read_torch, false, NULL, torch_seed},
    {"npz", read_npz, false, NULL, npz_seed},
    {"scaler_npz", read_scaler_npz, false, NULL, scaler_npz_seed},
    {"scaler", read_scaler, false, NULL, scaler_seed},
    {"bytes", read_bytes, false, NULL, bytes_seed},
};
const uint32_t FUZZ_READER_COUNT = sizeof FUZZ_READERS / sizeof FUZZ_READERS[0];

void fuzz_begin(void) {
    static const char *const NAMES[] = {"encoder.0.weight", "encoder.0.bias"};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        numbers[i] = 0.5f + (float)(i % 7);
    }
    if (!make_arrays(NAMES, 2, "\x80\x22\x00\x01\x02\x00", 6, &plain_network)) {
        fuzz_fail("no network");
    }
}

void fuzz_end(void) {
    buffer_done(&plain_network);
}
