// SPDX-License-Identifier: Apache-2.0
#include "common/engine/clip.h"

#include <math.h>
#include <string.h>

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/dsp/feature_set.h"
#include "common/dsp/maths.h"
#include "common/dsp/vectors.h"
#include "common/dsp/wav.h"
#include "common/store/npy.h"

#define RATES_KEPT 4 // a data set has one rate, seldom two

typedef struct RateSlot {
    int32_t rate_hz;
    FeatureSet *set; // NULL while free
} RateSlot;

struct ClipExtractor {
    Settings settings;
    WavReader *reader;
    RateSlot slots[RATES_KEPT];
    int32_t next_slot; // replaced when a fifth rate comes
};

ClipExtractor *clip_extractor_new(const Settings *settings) {
    ClipExtractor *extractor = mem_new(1, sizeof *extractor);
    if (extractor == NULL) {
        return NULL;
    }
    extractor->settings = *settings;
    extractor->reader = wav_reader_new();
    if (extractor->reader == NULL) {
        clip_extractor_free(extractor);
        return NULL;
    }
    return extractor;
}

void clip_extractor_free(ClipExtractor *extractor) {
    if (extractor != NULL) {
        for (int i = 0; i < RATES_KEPT; i++) {
            feature_set_free(extractor->slots[i].set);
        }
        wav_reader_free(extractor->reader);
        mem_free(extractor);
    }
}

bool clip_is_npy(const char *name) {
    return text_ends_nocase(name, ".npy");
}

// The features' maker of a rate, made when the rate is first met.
static Status set_of_rate(ClipExtractor *extractor, const char *name, int32_t rate_hz,
                          FeatureSet **ret_set) {
    for (int i = 0; i < RATES_KEPT; i++) {
        RateSlot *slot = &extractor->slots[i];
        if (slot->set != NULL && slot->rate_hz == rate_hz) {
            *ret_set = slot->set;
            return STATUS_OK;
        }
    }
    if (feature_set_check(&extractor->settings, rate_hz) != STATUS_OK) {
        return status_prefix(STATUS_FORMAT, "%s", name);
    }
    FeatureSet *set = feature_set_new(&extractor->settings, rate_hz);
    if (set == NULL) {
        return STATUS_MEMORY;
    }
    RateSlot *slot = &extractor->slots[extractor->next_slot];
    extractor->next_slot = (extractor->next_slot + 1) % RATES_KEPT;
    feature_set_free(slot->set);
    *slot = (RateSlot){rate_hz, set};
    *ret_set = set;
    return STATUS_OK;
}

static Status check_finite(const Settings *settings, const char *name, const float *log_mel,
                           int64_t frames) {
    int64_t width = settings_width(settings);
    if (isfinite(maths_largest(log_mel, (size_t)(frames * width)))) {
        return STATUS_OK;
    }
    int64_t i = 0;
    while (isfinite(log_mel[i])) {
        i++;
    }
    return status_set(STATUS_FORMAT, "%s: frame %lld, %s %lld is %s", name, (long long)(i / width),
                      settings->features == FEATURES_NOTEBOOK ? "feature" : "mel band",
                      (long long)(i % width), isnan(log_mel[i]) ? "NaN" : "infinite");
}

// Of rows made elsewhere.
static Status check_rows(const Settings *settings, const char *name, ClipFeatures *features) {
    int64_t most = (int64_t)(LIMIT_CLIP_BYTES / sizeof(float)) / settings_width(settings);
    if (features->frames < settings->frames) {
        return status_set(STATUS_FORMAT, "%s: %lld frame%s, a vector needs %d", name,
                          (long long)features->frames, features->frames == 1 ? "" : "s",
                          settings->frames);
    }
    return features->frames <= most
               ? STATUS_OK
               : status_set(STATUS_FORMAT, "%s: %lld rows of %d numbers, %lld are accepted", name,
                            (long long)features->frames, settings_width(settings), (long long)most);
}

static Status take_npy(const Settings *settings, const char *name, const void *bytes, size_t size,
                       ClipFeatures *features) {
    NpyArray array = {0};
    Status status = npy_parse(name, bytes, size, &array);
    if (status != STATUS_OK) {
        return status;
    }
    int32_t width = settings_width(settings);
    if (array.type != NPY_FLOAT32 || array.dimensions != 2 || array.shape[1] != width) {
        char shape[NPY_SHAPE_BYTES];
        npy_shape_text(array.dimensions, array.shape, shape);
        status = status_set(STATUS_FORMAT, "%s: %s of type %s, expected (frames, %d) of type <f4",
                            name, shape, npy_type_name(array.type), width);
    } else {
        features->frames = array.shape[0];
        features->channels = 1;
        status = check_rows(settings, name, features);
    }
    if (status == STATUS_OK) {
        status = check_finite(settings, name, array.data, features->frames);
    }
    if (status != STATUS_OK) {
        npy_done(&array);
        return status;
    }
    features->log_mel = array.data; // on the same heap; the array is not needed any more
    return STATUS_OK;
}

// Decodes a sound and finds its facts; the samples are the reader's.
static Status decode(ClipExtractor *extractor, const char *name, const void *bytes, size_t size,
                     ClipFeatures *features, FeatureSet **ret_set, const float **ret_samples,
                     int64_t *ret_count) {
    WavFacts facts = {0};
    Status status = wav_read(extractor->reader, name, bytes, size, extractor->settings.channel,
                             &facts, ret_samples);
    if (status == STATUS_OK) {
        status = set_of_rate(extractor, name, facts.rate_hz, ret_set);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = feature_set_rows(*ret_set, facts.samples, &features->frames);
    if (status != STATUS_OK) {
        return status_prefix(status, "%s", name);
    }
    features->rate_hz = facts.rate_hz;
    features->channels = facts.channels;
    features->seconds = (double)facts.samples / facts.rate_hz;
    features->is_silent = facts.is_silent;
    *ret_count = facts.samples;
    return STATUS_OK;
}

static Status take_sound(ClipExtractor *extractor, const char *name, const void *bytes, size_t size,
                         bool is_probe, ClipFeatures *features) {
    FeatureSet *set = NULL;
    const float *samples = NULL;
    int64_t count = 0;
    Status status = decode(extractor, name, bytes, size, features, &set, &samples, &count);
    if (status != STATUS_OK || is_probe) {
        return status;
    }
    const Settings *settings = &extractor->settings;
    features->log_mel =
        mem_new_aligned((size_t)(features->frames * settings_width(settings)), sizeof(float));
    if (features->log_mel == NULL) {
        return STATUS_MEMORY;
    }
    status = feature_set_run(set, samples, count, features->log_mel);
    if (status != STATUS_OK) {
        return status_prefix(status, "%s", name);
    }
    return check_finite(settings, name, features->log_mel, features->frames);
}

static ClipFeatures with_vectors(const Settings *settings, ClipFeatures features) {
    features.vectors = vectors_count(features.frames, settings->frames, settings->frame_hop_length);
    return features;
}

Status clip_extract(ClipExtractor *extractor, const char *name, const void *bytes, size_t size,
                    ClipFeatures *ret_features) {
    ClipFeatures features = {0};
    Status status = clip_is_npy(name) ? take_npy(&extractor->settings, name, bytes, size, &features)
                                      : take_sound(extractor, name, bytes, size, false, &features);
    if (status != STATUS_OK) {
        clip_features_done(&features);
        return status;
    }
    *ret_features = with_vectors(&extractor->settings, features);
    return STATUS_OK;
}

Status clip_probe(ClipExtractor *extractor, const char *name, const void *bytes, size_t size,
                  ClipFeatures *ret_features) {
    ClipFeatures features = {0};
    Status status = clip_is_npy(name) ? take_npy(&extractor->settings, name, bytes, size, &features)
                                      : take_sound(extractor, name, bytes, size, true, &features);
    clip_features_done(&features);
    if (status == STATUS_OK) {
        *ret_features = with_vectors(&extractor->settings, features);
    }
    return status;
}

void clip_features_done(ClipFeatures *features) {
    mem_free(features->log_mel);
    features->log_mel = NULL;
}
