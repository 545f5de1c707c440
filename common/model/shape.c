// SPDX-License-Identifier: Apache-2.0
#include "common/model/shape.h"

#include <string.h>

#include "common/base/limits.h"

_Static_assert(sizeof(Shape) == 88, "stored as it is");

Shape shape_of_settings(const Settings *settings) {
    const WidthList *hidden = &settings->hidden;
    Shape shape = {.n_mels = settings_width(settings),
                   .frames = settings->frames,
                   .frame_hop_length = settings->frame_hop_length,
                   .layers = hidden->count + 1,
                   .is_plain = settings->batch_norm == 0};
    memcpy(shape.width + 1, hidden->widths, (size_t)hidden->count * sizeof hidden->widths[0]);
    shape.width[0] = shape.width[shape.layers] = shape_dimension(&shape);
    return shape;
}

Shape shape_official(const Settings *settings) {
    Settings official = *settings;
    official.hidden =
        (WidthList){.count = 9, .widths = {128, 128, 128, 128, 8, 128, 128, 128, 128}};
    official.batch_norm = 1;
    return shape_of_settings(&official);
}

static Status check_widths(const Shape *shape) {
    uint64_t parameters = 0;
    for (int l = 0; l <= SHAPE_LAYERS_MOST; l++) {
        int32_t width = shape->width[l];
        bool used = l <= shape->layers;
        if (used ? width < 1 || width > (int32_t)LIMIT_VECTOR : width != 0) {
            return status_set(STATUS_FORMAT, "layer width %d is %d, accepted are 1 to %d", l, width,
                              used ? LIMIT_VECTOR : 0);
        }
        if (used && l > 0) {
            parameters += (uint64_t)width * ((uint64_t)shape->width[l - 1] + 3);
        }
    }
    if (parameters > SHAPE_PARAMETERS_MOST) {
        return status_set(STATUS_FORMAT, "a network of %llu parameters, at most %u are accepted",
                          (unsigned long long)parameters, SHAPE_PARAMETERS_MOST);
    }
    return STATUS_OK;
}

Status shape_check(const Shape *shape) {
    if (shape->n_mels < 1 || shape->n_mels > LIMIT_MELS || shape->frames < 1 ||
        shape->frames > LIMIT_FRAMES || shape->frame_hop_length < 1 ||
        shape->frame_hop_length > LIMIT_FRAMES) {
        return status_set(STATUS_FORMAT, "vectors of %d frames of %d floats, %d frames apart",
                          shape->frames, shape->n_mels, shape->frame_hop_length);
    }
    if (shape->is_plain != 0 && shape->is_plain != 1) {
        return status_set(STATUS_FORMAT, "a network of a kind that this program does not know");
    }
    if (shape->layers < 2 || shape->layers > SHAPE_LAYERS_MOST) {
        return status_set(STATUS_FORMAT, "a network of %d layers, accepted are 2 to %d",
                          shape->layers, SHAPE_LAYERS_MOST);
    }
    int32_t dimension = shape_dimension(shape);
    if (shape->width[0] != dimension || shape->width[shape->layers] != dimension) {
        return status_set(STATUS_FORMAT, "a network from %d to %d floats for vectors of %d",
                          shape->width[0], shape->width[shape->layers], dimension);
    }
    return check_widths(shape);
}

bool shape_equal(const Shape *a, const Shape *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

Layout shape_layout(const Shape *shape) {
    Layout layout = {.layers = shape->layers};
    for (int l = 0; l < shape->layers; l++) {
        LayerPlace *place = &layout.layer[l];
        place->in = shape->width[l];
        place->out = shape->width[l + 1];
        place->has_relu = l + 1 < shape->layers;
        place->has_norm = place->has_relu && shape->is_plain == 0;
        size_t in = (size_t)place->in, out = (size_t)place->out;
        place->weight = layout.parameters;
        place->bias = place->weight + out * in;
        layout.parameters = place->bias + out;
        if (place->has_norm) {
            place->gamma = layout.parameters;
            place->beta = place->gamma + out;
            layout.parameters = place->beta + out;
            place->mean = layout.running;
            place->variance = place->mean + out;
            layout.running = place->variance + out;
        }
    }
    return layout;
}

int32_t shape_dimension(const Shape *shape) {
    return shape->n_mels * shape->frames;
}

int shape_least_rows(const Shape *shape) {
    return shape->is_plain ? 1 : 2;
}

int64_t shape_vectors(const Shape *shape, int64_t frame_count) {
    return frame_count < shape->frames
               ? 0
               : 1 + (frame_count - shape->frames) / shape->frame_hop_length;
}
