// SPDX-License-Identifier: Apache-2.0
#include "coordinator/import/parse.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/engine/keras_file.h"
#include "common/store/npy.h"
#include "common/store/pickle.h"
#include "coordinator/package/archive.h"

#define TORCH_EPSILON 1e-3 // of the official baseline's batch normalisations

enum { NAME_BYTES = 96 };

// ---- .npz ----

// The array of that name as 32-bit floats, (*ret_count). STATUS_NOT_FOUND.
static Status take_array(const ParseFile *file, const Archive *archive, const char *name,
                         NpyArray *ret_array) {
    char path[NAME_BYTES], shown[LIMIT_MESSAGE_BYTES];
    snprintf(path, sizeof path, "%s.npy", name);
    for (uint32_t i = 0; i < archive->count; i++) {
        const ArchiveEntry *entry = &archive->entries[i];
        if (strcmp(entry->path, path) != 0) {
            continue;
        }
        snprintf(shown, sizeof shown, "%.500s: %s", file->path, name);
        if (entry->trouble != NULL) {
            return status_set(STATUS_FORMAT, "%s %s", shown, entry->trouble);
        }
        return npy_parse(shown, entry->bytes.bytes, entry->bytes.size, ret_array);
    }
    return status_set(STATUS_NOT_FOUND, "%s: no array %s", file->path, name);
}

// As above, of floats in that many dimensions, and as 32-bit ones.
static Status take_floats(const ParseFile *file, const Archive *archive, const char *name,
                          int32_t dimensions, NpyArray *ret_array) {
    NpyArray array = {0};
    Status status = take_array(file, archive, name, &array);
    if (status != STATUS_OK) {
        return status;
    }
    bool is_real = array.type == NPY_FLOAT32 || array.type == NPY_FLOAT64;
    if (!is_real || array.dimensions != dimensions || array.count < 1 ||
        array.count > LIMIT_PARAMETERS) {
        char shape[NPY_SHAPE_BYTES];
        npy_shape_text(array.dimensions, array.shape, shape);
        status = status_set(STATUS_FORMAT,
                            "%s: %s is %s of type %s, expected are floats in %d "
                            "dimension%s",
                            file->path, name, shape, npy_type_name(array.type), dimensions,
                            dimensions == 1 ? "" : "s");
        npy_done(&array);
        return status;
    }
    if (array.type == NPY_FLOAT64) { // in place: each is narrower than what it is made from
        for (int64_t i = 0; i < array.count; i++) {
            double value = ((const double *)array.data)[i];
            float narrow = (float)value;
            memcpy((char *)array.data + (size_t)i * sizeof narrow, &narrow, sizeof narrow);
        }
        array.type = NPY_FLOAT32;
    }
    *ret_array = array;
    return STATUS_OK;
}

static void tensor_name(char out[NAME_BYTES], const char *part, int module, const char *tensor) {
    snprintf(out, NAME_BYTES, "%s.%d.%s", part, module, tensor);
}

static bool has_tensor(const Archive *archive, const char *part, int module, const char *tensor) {
    char name[NAME_BYTES], path[NAME_BYTES + 8];
    tensor_name(name, part, module, tensor);
    snprintf(path, sizeof path, "%s.npy", name);
    for (uint32_t i = 0; i < archive->count; i++) {
        if (strcmp(archive->entries[i].path, path) == 0) {
            return true;
        }
    }
    return false;
}

typedef struct Torch {
    const ParseFile *file;
    Archive archive;
    Network *network; // NULL before the first layer
} Torch;

static Status tensor(const Torch *torch, const char *part, int module, const char *name,
                     int32_t dimensions, NpyArray *ret_array) {
    char full[NAME_BYTES];
    tensor_name(full, part, module, name);
    return take_floats(torch->file, &torch->archive, full, dimensions, ret_array);
}

static Status does_not_fit(const Torch *torch, const char *part, int module) {
    return status_set(STATUS_FORMAT, "%s: %s.%d does not fit what is before it", torch->file->path,
                      part, module);
}

static Status add_linear(Torch *torch, const char *part, int module) {
    NpyArray weight = {0}, bias = {0};
    Status status = tensor(torch, part, module, "weight", 2, &weight);
    if (status == STATUS_OK) {
        status = tensor(torch, part, module, "bias", 1, &bias);
    }
    if (status == STATUS_OK && torch->network == NULL) {
        bool is_fine = weight.shape[1] >= 1 && weight.shape[1] <= LIMIT_VECTOR;
        torch->network = is_fine ? network_new((int32_t)weight.shape[1]) : NULL;
        status = torch->network != NULL ? STATUS_OK
                 : is_fine              ? STATUS_MEMORY
                                        : does_not_fit(torch, part, module);
    }
    if (status == STATUS_OK && (weight.shape[1] != network_width(torch->network) ||
                                weight.shape[0] != bias.count || bias.count > LIMIT_VECTOR)) {
        status = does_not_fit(torch, part, module);
    }
    if (status == STATUS_OK) {
        status = network_add_dense(torch->network, (int32_t)bias.count, weight.data, bias.data);
    }
    npy_done(&weight);
    npy_done(&bias);
    return status;
}

static Status add_norm(Torch *torch, const char *part, int module) {
    static const char *const NAMES[] = {"weight", "bias", "running_mean", "running_var"};
    NpyArray arrays[4] = {{0}};
    Status status = STATUS_OK;
    for (int i = 0; i < 4 && status == STATUS_OK; i++) {
        status = tensor(torch, part, module, NAMES[i], 1, &arrays[i]);
        if (status == STATUS_OK && arrays[i].count != network_width(torch->network)) {
            status = does_not_fit(torch, part, module);
        }
    }
    if (status == STATUS_OK) {
        status = network_add_norm(torch->network, arrays[0].data, arrays[1].data, arrays[2].data,
                                  arrays[3].data, TORCH_EPSILON);
    }
    for (int i = 0; i < 4; i++) {
        npy_done(&arrays[i]);
    }
    return status;
}

// Linear, BatchNorm1d, ReLU: three modules each, but for the last, which is a Linear alone.
static Status add_part(Torch *torch, const char *part) {
    Status status = STATUS_OK;
    for (int module = 0; status == STATUS_OK && has_tensor(&torch->archive, part, module, "weight");
         module += 3) {
        status = add_linear(torch, part, module);
        if (status == STATUS_OK && has_tensor(&torch->archive, part, module + 1, "running_mean")) {
            status = add_norm(torch, part, module + 1);
            if (status == STATUS_OK) {
                status = network_add_activation(torch->network, ACTIVATION_RELU, 0, 0);
            }
        }
    }
    return status;
}

static Status parse_torch(const ParseFile *file, Network **ret_network) {
    Torch torch = {.file = file};
    Status status =
        archive_read_zip(file->path, buffer_cstr(&file->bytes), file->bytes.size, &torch.archive);
    if (status == STATUS_OK) {
        status = add_part(&torch, "encoder");
    }
    if (status == STATUS_OK) {
        status = add_part(&torch, "decoder");
    }
    if (status == STATUS_OK && torch.network == NULL) {
        status = status_set(STATUS_FORMAT,
                            "%s has no encoder.0.weight: weights under the official baseline's "
                            "names are expected",
                            file->path);
    }
    if (status == STATUS_OK) {
        status = network_check(torch.network);
    }
    archive_done(&torch.archive);
    if (status != STATUS_OK) {
        network_free(torch.network);
        return status;
    }
    *ret_network = torch.network;
    return STATUS_OK;
}

// ---- scalers ----

static Status scale_by(const ParseFile *file, Network *network, const float *mean,
                       const float *scale, int64_t count) {
    if (network_has_scaler(network)) {
        return status_set(STATUS_FORMAT, "%s: the network has a scaler inside already", file->path);
    }
    if (count != network_dimension(network)) {
        return status_set(STATUS_FORMAT, "%s is for %lld features, the network takes %d",
                          file->path, (long long)count, network_dimension(network));
    }
    return network_set_scaler(network, mean, scale);
}

static Status scale_by_pickle(const ParseFile *file, Network *network) {
    StandardScaler scaler;
    Status status =
        pickle_read_scaler(file->path, buffer_cstr(&file->bytes), file->bytes.size, &scaler);
    if (status != STATUS_OK) {
        return status;
    }
    size_t count = (size_t)scaler.dimension;
    float *both = mem_new(2 * count, sizeof *both);
    for (size_t i = 0; both != NULL && i < count; i++) {
        both[i] = (float)scaler.mean[i];
        both[count + i] = (float)scaler.scale[i];
    }
    status = both != NULL ? scale_by(file, network, both, both + count, scaler.dimension)
                          : STATUS_MEMORY;
    mem_free(both);
    standard_scaler_done(&scaler);
    return status;
}

static Status scale_by_npz(const ParseFile *file, Network *network) {
    Archive archive = ARCHIVE_EMPTY;
    NpyArray mean = {0}, scale = {0};
    Status status =
        archive_read_zip(file->path, buffer_cstr(&file->bytes), file->bytes.size, &archive);
    if (status == STATUS_OK) {
        status = take_floats(file, &archive, "mean_", 1, &mean);
    }
    if (status == STATUS_OK) {
        status = take_floats(file, &archive, "scale_", 1, &scale);
    }
    if (status == STATUS_OK && mean.count != scale.count) {
        status = status_set(STATUS_FORMAT, "%s: mean_ and scale_ are not equally long", file->path);
    }
    if (status == STATUS_OK) {
        status = scale_by(file, network, mean.data, scale.data, mean.count);
    }
    npy_done(&mean);
    npy_done(&scale);
    archive_done(&archive);
    return status;
}

// ---- both ----

// Every message names the file, once.
static Status name_file(Status status, const ParseFile *file) {
    bool is_named = status == STATUS_OK || strstr(status_message(), file->path) != NULL;
    status = status == STATUS_NOT_FOUND ? STATUS_FORMAT : status;
    return is_named || status == STATUS_MEMORY ? status : status_prefix(status, "%s", file->path);
}

Status parse_network(const ParseFile *model, const ParseFile *scaler, Network **ret_network) {
    Network *network = NULL;
    Status status =
        text_ends_nocase(model->path, ".npz")
            ? parse_torch(model, &network)
            : keras_file_read(model->path, buffer_cstr(&model->bytes), model->bytes.size, &network);
    status = name_file(status, model);
    if (status == STATUS_OK && scaler != NULL) {
        status = text_ends_nocase(scaler->path, ".npz") ? scale_by_npz(scaler, network)
                                                        : scale_by_pickle(scaler, network);
        status = name_file(status, scaler);
    }
    if (status != STATUS_OK) {
        network_free(network);
        return status;
    }
    *ret_network = network;
    return STATUS_OK;
}
