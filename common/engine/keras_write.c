// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/engine/keras_file.h"
#include "common/store/hdf5_file.h"
#include "common/store/pickle.h"

// The version whose form the file has, and an old enough one that every reader knows it.
#define KERAS_VERSION "2.4.0"
#define NORM_EPSILON  "0.001"

enum { NAME_BYTES = 64, PATH_BYTES = 256, LAYERS_MOST = 3 * SHAPE_LAYERS_MOST + 2 };

// The model under construction: its layers' JSON and, layer by layer, the arrays.
typedef struct Model {
    Hdf5Writer *writer;
    Buffer config; // the layers so far, with commas between
    char names[LAYERS_MOST][NAME_BYTES];
    size_t count;                  // layers named
    int dense, norms, activations; // of each kind so far
    float *scratch;                // one array
} Model;

// "dense", "dense_1", ...: what Keras itself calls them.
static const char *name_layer(Model *model, const char *kind, int *number) {
    char *name = model->names[model->count++];
    if (*number == 0) {
        snprintf(name, NAME_BYTES, "%s", kind);
    } else {
        snprintf(name, NAME_BYTES, "%s_%d", kind, *number);
    }
    ++*number;
    return name;
}

static void begin_layer(Model *model, const char *type, const char *name) {
    buffer_format(&model->config,
                  ", {\"class_name\": \"%s\", \"config\": {\"name\": \"%s\", \"trainable\": true, "
                  "\"dtype\": \"float32\"",
                  type, name);
}

// An array of the layer, "/model_weights/dense/dense/kernel:0"; `from` may be of another type.
static void put_array(Model *model, const char *layer, const char *array, int32_t dimensions,
                      const int64_t *shape) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "/model_weights/%s/%s/%s:0", layer, layer, array);
    hdf5_write_floats(model->writer, path, model->scratch, dimensions, shape);
}

static void put_vector(Model *model, const char *layer, const char *array, const real *from,
                       int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        model->scratch[i] = (float)from[i];
    }
    put_array(model, layer, array, 1, &(int64_t){count});
}

static void put_names(Model *model, const char *layer, const char *const *arrays, size_t count) {
    char group[PATH_BYTES], texts[4][PATH_BYTES];
    const char *names[4];
    for (size_t i = 0; i < count; i++) {
        snprintf(texts[i], sizeof texts[i], "%s/%s:0", layer, arrays[i]);
        names[i] = texts[i];
    }
    snprintf(group, sizeof group, "/model_weights/%s", layer);
    hdf5_write_group(model->writer, group);
    hdf5_write_texts(model->writer, group, "weight_names", names, count);
}

static void put_input(Model *model, int32_t dimension) {
    snprintf(model->names[model->count++], NAME_BYTES, "input_1");
    buffer_format(&model->config,
                  "{\"class_name\": \"InputLayer\", \"config\": {\"batch_input_shape\": [null, "
                  "%d], \"dtype\": \"float32\", \"sparse\": false, \"name\": \"input_1\"}}",
                  dimension);
    put_names(model, "input_1", NULL, 0);
}

// Keras multiplies a row by a kernel (in, out); ours is (out, in).
static void put_dense(Model *model, const LayerPlace *place, const real *parameters) {
    static const char *const ARRAYS[] = {"kernel", "bias"};
    const char *name = name_layer(model, "dense", &model->dense);
    begin_layer(model, "Dense", name);
    buffer_format(&model->config,
                  ", \"units\": %d, \"activation\": \"linear\", \"use_bias\": true}}", place->out);
    put_names(model, name, ARRAYS, 2);
    size_t in = (size_t)place->in, out = (size_t)place->out;
    const real *weight = parameters + place->weight;
    for (size_t i = 0; i < in; i++) {
        for (size_t j = 0; j < out; j++) {
            model->scratch[i * out + j] = (float)weight[j * in + i];
        }
    }
    put_array(model, name, "kernel", 2, (int64_t[]){place->in, place->out});
    put_vector(model, name, "bias", parameters + place->bias, place->out);
}

static void put_norm(Model *model, const LayerPlace *place, const real *parameters,
                     const real *running) {
    static const char *const ARRAYS[] = {"gamma", "beta", "moving_mean", "moving_variance"};
    const char *name = name_layer(model, "batch_normalization", &model->norms);
    begin_layer(model, "BatchNormalization", name);
    buffer_text(&model->config, ", \"axis\": -1, \"momentum\": 0.99, \"epsilon\": " NORM_EPSILON
                                ", \"center\": true, \"scale\": true}}");
    put_names(model, name, ARRAYS, 4);
    put_vector(model, name, ARRAYS[0], parameters + place->gamma, place->out);
    put_vector(model, name, ARRAYS[1], parameters + place->beta, place->out);
    put_vector(model, name, ARRAYS[2], running + place->mean, place->out);
    put_vector(model, name, ARRAYS[3], running + place->variance, place->out);
}

static void put_relu(Model *model) {
    const char *name = name_layer(model, "activation", &model->activations);
    begin_layer(model, "Activation", name);
    buffer_text(&model->config, ", \"activation\": \"relu\"}}");
    put_names(model, name, NULL, 0);
}

// A normalisation without gamma, beta and epsilon is the scaler, exactly.
static void put_scaler(Model *model, const Scaler *scaler) {
    static const char *const ARRAYS[] = {"moving_mean", "moving_variance"};
    char *name = model->names[model->count++];
    snprintf(name, NAME_BYTES, "scaler");
    begin_layer(model, "BatchNormalization", name);
    buffer_text(&model->config, ", \"axis\": -1, \"momentum\": 0.99, \"epsilon\": 0.0, \"center\": "
                                "false, \"scale\": false}}");
    put_names(model, name, ARRAYS, 2);
    put_vector(model, name, ARRAYS[0], scaler->center, scaler->dimension);
    for (int32_t i = 0; i < scaler->dimension; i++) {
        model->scratch[i] = (float)((double)scaler->scale[i] * (double)scaler->scale[i]);
    }
    put_array(model, name, ARRAYS[1], 1, &(int64_t){scaler->dimension});
}

static void put_layers(Model *model, const Replica *replica, bool has_scaler_inside) {
    const Layout *layout = replica_layout(replica);
    const real *parameters = replica_parameters(replica), *running = replica_running(replica);
    put_input(model, layout->layer[0].in);
    if (has_scaler_inside && replica_scaler(replica)->count > 0) {
        put_scaler(model, replica_scaler(replica));
    }
    for (int l = 0; l < layout->layers; l++) {
        const LayerPlace *place = &layout->layer[l];
        put_dense(model, place, parameters);
        if (place->has_norm) {
            put_norm(model, place, parameters, running);
        }
        if (place->has_relu) {
            put_relu(model);
        }
    }
}

static Status end_model(Model *model, Buffer *out) {
    Buffer text = BUFFER_EMPTY;
    const char *names[LAYERS_MOST];
    buffer_text(&text, "{\"class_name\": \"Sequential\", \"config\": {\"name\": \"autoencoder\", "
                       "\"layers\": [");
    buffer_append(&text, model->config.bytes, model->config.size);
    buffer_text(&text, "]}}");
    for (size_t i = 0; i < model->count; i++) {
        names[i] = model->names[i];
    }
    hdf5_write_texts(model->writer, "/model_weights", "layer_names", names, model->count);
    hdf5_write_text(model->writer, "/model_weights", "backend", "tensorflow");
    hdf5_write_text(model->writer, "/model_weights", "keras_version", KERAS_VERSION);
    hdf5_write_text(model->writer, "/", "backend", "tensorflow");
    hdf5_write_text(model->writer, "/", "keras_version", KERAS_VERSION);
    hdf5_write_text(model->writer, "/", "model_config", buffer_cstr(&text));
    Status status = model->config.status != STATUS_OK ? model->config.status : text.status;
    buffer_done(&text);
    return status == STATUS_OK ? hdf5_writer_end(model->writer, out) : status;
}

static size_t largest_array(const Layout *layout) {
    size_t largest = 1;
    for (int l = 0; l < layout->layers; l++) {
        size_t size = (size_t)layout->layer[l].in * (size_t)layout->layer[l].out;
        largest = size > largest ? size : largest;
    }
    size_t in = (size_t)layout->layer[0].in;
    return largest > in ? largest : in;
}

Status keras_file_write(const Replica *replica, bool has_scaler_inside, Buffer *out) {
    Model *model = mem_new(1, sizeof *model);
    if (model == NULL) {
        return STATUS_MEMORY;
    }
    model->writer = hdf5_writer_new();
    model->scratch = mem_new(largest_array(replica_layout(replica)), sizeof *model->scratch);
    Status status = STATUS_MEMORY;
    if (model->writer != NULL && model->scratch != NULL) {
        put_layers(model, replica, has_scaler_inside);
        status = end_model(model, out);
    }
    hdf5_writer_free(model->writer);
    mem_free(model->scratch);
    buffer_done(&model->config);
    mem_free(model);
    return status;
}

Status keras_file_write_scaler(const Replica *replica, Buffer *out) {
    const Scaler *from = replica_scaler(replica);
    StandardScaler scaler;
    Status status = standard_scaler_new(from->dimension, &scaler);
    if (status != STATUS_OK) {
        return status;
    }
    scaler.samples_seen = from->count;
    for (int32_t j = 0; j < from->dimension; j++) {
        double deviation = sqrt(from->variance[j]);
        scaler.mean[j] = from->mean[j];
        scaler.variance[j] = from->variance[j];
        // A constant feature is divided by 1.
        scaler.scale[j] = from->scale[j] == (real)deviation ? deviation : (double)from->scale[j];
    }
    pickle_write_scaler(&scaler, out);
    standard_scaler_done(&scaler);
    return out->status;
}
