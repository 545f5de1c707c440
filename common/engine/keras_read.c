// SPDX-License-Identifier: Apache-2.0
//
// How it works. model_config is walked layer by layer; each asks the group of its name in
// model_weights for its arrays and adds steps to the network, which holds them against the width
// that it has so far. Keras 2 and Keras 3 say the same in other words: where they differ, both are
// looked for.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/engine/keras_file.h"
#include "common/store/hdf5_file.h"
#include "common/store/json.h"

enum { NAME_BYTES = 128, PATH_BYTES = 512, ARRAYS_MOST = 4, LAYERS_MOST = 256 };

typedef struct Loader {
    const char *name; // of the file
    Hdf5File *file;
    Network *network;        // NULL until the first layer with weights tells its width
    const char *root;        // the group of the layers' groups
    char layer[NAME_BYTES];  // under work
    char before[NAME_BYTES]; // the one before it in the chain, "" before the first
    bool is_functional;
} Loader;

// A layer's arrays, by what they are called.
typedef struct Arrays {
    const Loader *loader;
    const char *const *names; // NULL-terminated: what the layer may have
    Hdf5Array found[ARRAYS_MOST];
} Arrays;

static Status refuse(const Loader *loader, const char *what) {
    return status_set(STATUS_FORMAT, "%s: layer %s: %s", loader->name, loader->layer, what);
}

// ---- arrays ----

// "dense/kernel:0" and "sequential/dense/kernel" are both the kernel.
static bool is_called(const char *path, const char *name) {
    const char *last = strrchr(path, '/');
    last = last != NULL ? last + 1 : path;
    size_t size = strcspn(last, ":");
    return strlen(name) == size && memcmp(last, name, size) == 0;
}

static Status take_array(void *context, const char *path) {
    Arrays *arrays = context;
    const Loader *loader = arrays->loader;
    for (int i = 0; arrays->names[i] != NULL; i++) {
        if (!is_called(path, arrays->names[i])) {
            continue;
        }
        char full[PATH_BYTES];
        int used = snprintf(full, sizeof full, "%s/%s/%s", loader->root, loader->layer, path);
        if (used < 0 || (size_t)used >= sizeof full || arrays->found[i].data != NULL) {
            return refuse(loader, "its arrays are named twice, or too long");
        }
        return hdf5_read_floats(loader->file, full, LIMIT_PARAMETERS, &arrays->found[i]);
    }
    return refuse(loader, "an array that such a layer does not have");
}

static void arrays_done(Arrays *arrays) {
    for (int i = 0; i < ARRAYS_MOST; i++) {
        hdf5_array_done(&arrays->found[i]);
    }
}

static Status read_arrays(const Loader *loader, const char *const *names, Arrays *arrays) {
    char group[PATH_BYTES];
    *arrays = (Arrays){.loader = loader, .names = names};
    snprintf(group, sizeof group, "%s/%s", loader->root, loader->layer);
    if (!hdf5_has_group(loader->file, group)) {
        return refuse(loader, "the file has no weights of it");
    }
    Status status =
        hdf5_read_texts(loader->file, group, "weight_names", ARRAYS_MOST, take_array, arrays);
    if (status != STATUS_OK) {
        arrays_done(arrays);
        return status == STATUS_NOT_FOUND ? refuse(loader, "its arrays are not named") : status;
    }
    return STATUS_OK;
}

// The network, made when the first layer tells how wide its inputs are.
static Status begin(Loader *loader, int64_t width) {
    if (loader->network != NULL) {
        return STATUS_OK;
    }
    if (width < 1 || width > LIMIT_VECTOR) {
        return refuse(loader, "no inputs, or too many");
    }
    loader->network = network_new((int32_t)width);
    return loader->network != NULL ? STATUS_OK : STATUS_MEMORY;
}

// ---- activations ----

static const struct {
    const char *name;
    Activation activation;
    double slope, most;
} ACTIVATION_NAMES[] = {
    {"relu", ACTIVATION_RELU, 0, 0},         {"relu6", ACTIVATION_RELU, 0, 6},
    {"leaky_relu", ACTIVATION_RELU, 0.2, 0}, {"tanh", ACTIVATION_TANH, 0, 0},
    {"sigmoid", ACTIVATION_SIGMOID, 0, 0},   {"elu", ACTIVATION_ELU, 1, 0},
    {"selu", ACTIVATION_SELU, 0, 0},         {"softplus", ACTIVATION_SOFTPLUS, 0, 0},
    {"softsign", ACTIVATION_SOFTSIGN, 0, 0}, {"swish", ACTIVATION_SWISH, 0, 0},
    {"silu", ACTIVATION_SWISH, 0, 0},        {"exponential", ACTIVATION_EXPONENTIAL, 0, 0},
};

static Status add_activation(Loader *loader, const JsonNode *node) {
    const char *name = json_text(node, node == NULL || node->type == JSON_NULL ? "linear" : NULL);
    if (name == NULL) { // Keras 3: {"class_name": "function", "config": "relu"}
        name = json_text(json_member(node, "config"), "of its own");
    }
    if (strcmp(name, "linear") == 0) {
        return STATUS_OK;
    }
    for (size_t i = 0; i < sizeof ACTIVATION_NAMES / sizeof ACTIVATION_NAMES[0]; i++) {
        if (strcmp(ACTIVATION_NAMES[i].name, name) == 0) {
            return network_add_activation(loader->network, ACTIVATION_NAMES[i].activation,
                                          ACTIVATION_NAMES[i].slope, ACTIVATION_NAMES[i].most);
        }
    }
    char shown[NAME_BYTES], what[NAME_BYTES + 200];
    text_fit(shown, sizeof shown, name);
    snprintf(what, sizeof what,
             "the activation %s; known are linear, relu, relu6, leaky_relu, elu, selu, tanh, "
             "sigmoid, softplus, softsign, swish, exponential",
             text_is_clean(shown) ? shown : "with an odd name");
    return refuse(loader, what);
}

// A number of a configuration, or of a list of one, as some versions write it.
static double number_of(const JsonNode *config, const char *key, double otherwise) {
    const JsonNode *node = json_member(config, key);
    if (node != NULL && node->type == JSON_ARRAY) {
        node = node->head;
    }
    if (node != NULL && node->type == JSON_OBJECT) { // a NumPy number of Keras 2
        node = json_member(node, "value");
    }
    return json_number(node, otherwise);
}

// ---- layers ----

static Status load_dense(Loader *loader, const JsonNode *config) {
    static const char *const NAMES[] = {"kernel", "bias", NULL};
    Arrays arrays;
    Status status = read_arrays(loader, NAMES, &arrays);
    if (status != STATUS_OK) {
        return status;
    }
    const Hdf5Array *kernel = &arrays.found[0], *bias = &arrays.found[1];
    float *weight = NULL;
    int64_t in = kernel->shape[0], out = kernel->shape[1];
    if (kernel->data == NULL || kernel->dimensions != 2 || in < 1 || out < 1 ||
        (bias->data != NULL && (bias->dimensions != 1 || bias->count != out)) ||
        (bias->data != NULL) != json_bool(json_member(config, "use_bias"), true)) {
        status = refuse(loader, "kernel and bias do not fit each other");
    }
    if (status == STATUS_OK) {
        status = begin(loader, in);
    }
    if (status == STATUS_OK && network_width(loader->network) != in) {
        status = refuse(loader, "its inputs are not as many as the outputs before it");
    }
    if (status == STATUS_OK) {
        weight = mem_new((size_t)kernel->count, sizeof *weight);
        status = weight != NULL ? STATUS_OK : STATUS_MEMORY;
    }
    for (int64_t i = 0; status == STATUS_OK && i < in; i++) { // (in, out) -> (out, in)
        for (int64_t j = 0; j < out; j++) {
            weight[j * in + i] = kernel->data[i * out + j];
        }
    }
    if (status == STATUS_OK) {
        status = network_add_dense(loader->network, (int32_t)out, weight, bias->data);
    }
    mem_free(weight);
    arrays_done(&arrays);
    return status == STATUS_OK ? add_activation(loader, json_member(config, "activation")) : status;
}

// A normalisation in front of all others whose name says that it is the scaler.
static Status make_scaler(Loader *loader, const Hdf5Array *mean, const Hdf5Array *variance,
                          double epsilon) {
    size_t width = (size_t)mean->count;
    float *scale = mem_new(width, sizeof *scale);
    if (scale == NULL) {
        return STATUS_MEMORY;
    }
    for (size_t j = 0; j < width; j++) {
        scale[j] = (float)sqrt((double)variance->data[j] + epsilon);
    }
    Status status = network_set_scaler(loader->network, mean->data, scale);
    mem_free(scale);
    return status;
}

static Status check_norm(Loader *loader, const JsonNode *config, const Hdf5Array found[4]) {
    const Hdf5Array *mean = &found[2];
    double axis = number_of(config, "axis", -1);
    if (axis != -1 && axis != 1) {
        return refuse(loader, "it normalises along another axis than the features");
    }
    bool is_whole = mean->data != NULL && found[3].data != NULL && mean->count > 0 &&
                    (found[0].data != NULL) == json_bool(json_member(config, "scale"), true) &&
                    (found[1].data != NULL) == json_bool(json_member(config, "center"), true);
    for (int i = 0; i < 4 && is_whole; i++) {
        is_whole =
            found[i].data == NULL || (found[i].dimensions == 1 && found[i].count == mean->count);
    }
    return is_whole ? STATUS_OK : refuse(loader, "its arrays do not fit each other");
}

static Status load_norm(Loader *loader, const JsonNode *config) {
    static const char *const NAMES[] = {"gamma", "beta", "moving_mean", "moving_variance", NULL};
    Arrays arrays;
    Status status = read_arrays(loader, NAMES, &arrays);
    if (status != STATUS_OK) {
        return status;
    }
    const Hdf5Array *found = arrays.found;
    double epsilon = number_of(config, "epsilon", 1e-3);
    bool is_first = loader->network == NULL;
    status = check_norm(loader, config, found);
    if (status == STATUS_OK) {
        status = begin(loader, found[2].count);
    }
    if (status == STATUS_OK && network_width(loader->network) != found[2].count) {
        status = refuse(loader, "its inputs are not as many as the outputs before it");
    }
    bool is_scaler = is_first && strcmp(loader->layer, "scaler") == 0 && found[0].data == NULL &&
                     found[1].data == NULL;
    if (status == STATUS_OK) {
        status = is_scaler ? make_scaler(loader, &found[2], &found[3], epsilon)
                           : network_add_norm(loader->network, found[0].data, found[1].data,
                                              found[2].data, found[3].data, epsilon);
    }
    arrays_done(&arrays);
    return status;
}

static Status load_activation(Loader *loader, const JsonNode *config) {
    return loader->network == NULL ? refuse(loader, "an activation of the inputs themselves")
                                   : add_activation(loader, json_member(config, "activation"));
}

// Keras 2: negative_slope, max_value, threshold; LeakyReLU's slope is its alpha there.
static Status load_relu(Loader *loader, const JsonNode *config) {
    double most = number_of(config, "max_value", 0);
    if (loader->network == NULL) {
        return refuse(loader, "an activation of the inputs themselves");
    }
    if (number_of(config, "threshold", 0) != 0) {
        return refuse(loader, "a ReLU with a threshold");
    }
    return network_add_activation(loader->network, ACTIVATION_RELU,
                                  number_of(config, "negative_slope", 0), most);
}

static Status load_leaky_relu(Loader *loader, const JsonNode *config) {
    double slope = number_of(config, "negative_slope", number_of(config, "alpha", 0.3));
    return loader->network == NULL
               ? refuse(loader, "an activation of the inputs themselves")
               : network_add_activation(loader->network, ACTIVATION_RELU, slope, 0);
}

static Status load_elu(Loader *loader, const JsonNode *config) {
    return loader->network == NULL ? refuse(loader, "an activation of the inputs themselves")
                                   : network_add_activation(loader->network, ACTIVATION_ELU,
                                                            number_of(config, "alpha", 1), 0);
}

static Status load_nothing(Loader *loader, const JsonNode *config) {
    (void)loader;
    (void)config;
    return STATUS_OK;
}

static const struct {
    const char *type;
    Status (*load)(Loader *loader, const JsonNode *config);
} LAYERS[] = {
    {"Dense", load_dense},
    {"BatchNormalization", load_norm},
    {"BatchNormalizationV1", load_norm},
    {"Activation", load_activation},
    {"ReLU", load_relu},
    {"LeakyReLU", load_leaky_relu},
    {"ELU", load_elu},
    {"InputLayer", load_nothing},
    {"Dropout", load_nothing}, // does something in training alone
};

// ---- the chain ----

// The layers whose outputs a layer reads: every [name, number, ...] in it.
static void find_inputs(const JsonNode *node, int *count, const char **ret_name) {
    if (node == NULL) {
        return;
    }
    const JsonNode *first = node->type == JSON_ARRAY ? node->head : NULL;
    if (first != NULL && first->type == JSON_TEXT && first->next != NULL &&
        first->next->type == JSON_NUMBER) {
        ++*count;
        *ret_name = first->text;
        return;
    }
    for (const JsonNode *member = node->head; member != NULL; member = member->next) {
        find_inputs(member, count, ret_name);
    }
}

static Status check_place(const Loader *loader, const JsonNode *layer) {
    int count = 0;
    const char *name = "";
    find_inputs(json_member(layer, "inbound_nodes"), &count, &name);
    bool is_first = loader->before[0] == '\0';
    bool is_chained = is_first ? count == 0 : count == 1 && strcmp(name, loader->before) == 0;
    return is_chained ? STATUS_OK
                      : refuse(loader, "it does not read the layer before it alone; only a plain "
                                       "chain of layers is known");
}

static Status take_name(Loader *loader, const JsonNode *layer, const JsonNode *config) {
    const char *name = json_text(json_member(config, "name"), NULL);
    name = name != NULL ? name : json_text(json_member(layer, "name"), "");
    if (name[0] == '\0' || !text_copy(loader->layer, sizeof loader->layer, name) ||
        !text_is_clean(name)) {
        return status_set(STATUS_FORMAT, "%s: a layer with an odd name, or without one",
                          loader->name);
    }
    return STATUS_OK;
}

// Every message names file and layer, once.
static Status name_layer(const Loader *loader, Status status) {
    bool is_named = status == STATUS_OK || status == STATUS_MEMORY ||
                    text_starts(status_message(), loader->name);
    return is_named ? status : status_prefix(status, "%s: layer %s", loader->name, loader->layer);
}

static Status load_layer(Loader *loader, const JsonNode *layer) {
    const char *type = json_text(json_member(layer, "class_name"), "");
    const JsonNode *config = json_member(layer, "config");
    Status status = take_name(loader, layer, config);
    if (status == STATUS_OK && loader->is_functional) {
        status = check_place(loader, layer);
    }
    for (size_t i = 0; status == STATUS_OK && i < sizeof LAYERS / sizeof LAYERS[0]; i++) {
        if (strcmp(LAYERS[i].type, type) == 0) {
            status = name_layer(loader, LAYERS[i].load(loader, config));
            text_copy(loader->before, sizeof loader->before, loader->layer);
            return status;
        }
    }
    if (status != STATUS_OK) {
        return status;
    }
    char shown[NAME_BYTES], what[NAME_BYTES + 160];
    text_fit(shown, sizeof shown, type);
    snprintf(what, sizeof what,
             "of the kind %s; known are Dense, BatchNormalization, Activation, ReLU, LeakyReLU, "
             "ELU, InputLayer, Dropout",
             text_is_clean(shown) && shown[0] != '\0' ? shown : "without a name");
    return refuse(loader, what);
}

static Status load_layers(Loader *loader, const JsonNode *model) {
    const char *type = json_text(json_member(model, "class_name"), "");
    const JsonNode *config = json_member(model, "config");
    bool is_sequential = strcmp(type, "Sequential") == 0;
    loader->is_functional = strcmp(type, "Functional") == 0 || strcmp(type, "Model") == 0;
    if (!is_sequential && !loader->is_functional) {
        return status_set(STATUS_FORMAT, "%s: neither a Sequential nor a Functional model",
                          loader->name);
    }
    // The first versions of Keras 2 have a Sequential's layers without a name around them.
    const JsonNode *layers = json_member(config, "layers");
    layers = layers == NULL && is_sequential ? config : layers;
    const JsonNode *layer = layers != NULL && layers->type == JSON_ARRAY ? layers->head : NULL;
    Status status = STATUS_OK;
    for (int count = 0; layer != NULL && status == STATUS_OK; layer = layer->next) {
        status = ++count > LAYERS_MOST ? status_set(STATUS_LIMIT, "%s: more than %d layers",
                                                    loader->name, LAYERS_MOST)
                                       : load_layer(loader, layer);
    }
    if (status == STATUS_OK) {
        status = loader->network != NULL ? network_check(loader->network)
                                         : status_set(STATUS_FORMAT, "no layer with weights");
        status = status == STATUS_OK ? STATUS_OK : status_prefix(status, "%s", loader->name);
    }
    return status;
}

static Status load(Loader *loader) {
    Buffer text = BUFFER_EMPTY;
    Json *json = NULL;
    loader->root = hdf5_has_group(loader->file, "/model_weights") ? "/model_weights" : "";
    Status status = hdf5_read_text(loader->file, "/", "model_config", JSON_BYTES_MOST, &text);
    if (status == STATUS_NOT_FOUND) {
        status = status_set(STATUS_FORMAT,
                            "%s has weights alone, if anything; save the whole model: "
                            "model.save(\"x.h5\")",
                            loader->name);
    }
    if (status == STATUS_OK) {
        status = json_parse(loader->name, buffer_cstr(&text), text.size, &json);
    }
    if (status == STATUS_OK) {
        status = load_layers(loader, json_root(json));
        json_free(json);
    }
    buffer_done(&text);
    return status;
}

Status keras_file_read(const char *name, const void *bytes, size_t size, Network **ret_network) {
    Loader loader = {.name = name};
    Status status = hdf5_open(name, bytes, size, &loader.file);
    if (status != STATUS_OK) {
        return status;
    }
    status = load(&loader);
    hdf5_close(loader.file);
    if (status != STATUS_OK) {
        network_free(loader.network);
        return status;
    }
    *ret_network = loader.network;
    return STATUS_OK;
}
