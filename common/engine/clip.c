// SPDX-License-Identifier: Apache-2.0
#include "common/engine/clip.h"

#include <math.h>
#include <string.h>

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/dsp/logmel.h"
#include "common/dsp/maths.h"
#include "common/dsp/vectors.h"
#include "common/dsp/wav.h"
#include "common/store/npy.h"

#define RATES_KEPT 4 // a data set has one rate, seldom two

typedef struct RateSlot {
    int32_t rate_hz;
    LogMel *logmel; // NULL while free
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
            logmel_free(extractor->slots[i].logmel);
        }
        wav_reader_free(extractor->reader);
        mem_free(extractor);
    }
}

bool clip_is_npy(const char *name) {
    return text_ends_nocase(name, ".npy");
}

// The extractor of a rate, made when the rate is first met.
static Status logmel_of_rate(ClipExtractor *extractor, const char *name, int32_t rate_hz,
                             LogMel **ret_logmel) {
    for (int i = 0; i < RATES_KEPT; i++) {
        RateSlot *slot = &extractor->slots[i];
        if (slot->logmel != NULL && slot->rate_hz == rate_hz) {
            *ret_logmel = slot->logmel;
            return STATUS_OK;
        }
    }
    if (logmel_check(&extractor->settings, rate_hz) != STATUS_OK) {
        return status_prefix(STATUS_FORMAT, "%s", name);
    }
    LogMel *logmel = logmel_new(&extractor->settings, rate_hz);
    if (logmel == NULL) {
        return STATUS_MEMORY;
    }
    RateSlot *slot = &extractor->slots[extractor->next_slot];
    extractor->next_slot = (extractor->next_slot + 1) % RATES_KEPT;
    logmel_free(slot->logmel);
    *slot = (RateSlot){rate_hz, logmel};
    *ret_logmel = logmel;
    return STATUS_OK;
}

// Fills in the vectors; too few frames, or a log-mel beyond all bounds, is a fact of the data.
static Status count_vectors(const Settings *settings, const char *name, ClipFeatures *features) {
    if (features->frames < settings->frames) {
        return status_set(STATUS_FORMAT, "%s: %lld frame%s, a vector needs %d", name,
                          (long long)features->frames, features->frames == 1 ? "" : "s",
                          settings->frames);
    }
    int64_t most = (int64_t)(LIMIT_CLIP_BYTES / sizeof(float)) / settings->n_mels;
    if (features->frames > most) {
        return status_set(STATUS_FORMAT, "%s: %lld frames, with %d mel bands %lld are accepted",
                          name, (long long)features->frames, settings->n_mels, (long long)most);
    }
    features->vectors =
        vectors_count(features->frames, settings->frames, settings->frame_hop_length);
    return STATUS_OK;
}

static Status check_finite(const Settings *settings, const char *name, const float *log_mel,
                           int64_t frames) {
    if (isfinite(maths_largest(log_mel, (size_t)(frames * settings->n_mels)))) {
        return STATUS_OK;
    }
    int64_t i = 0;
    while (isfinite(log_mel[i])) {
        i++;
    }
    return status_set(STATUS_FORMAT, "%s: frame %lld, mel band %lld is %s", name,
                      (long long)(i / settings->n_mels), (long long)(i % settings->n_mels),
                      isnan(log_mel[i]) ? "NaN" : "infinite");
}

static Status take_npy(const Settings *settings, const char *name, const void *bytes, size_t size,
                       ClipFeatures *features) {
    NpyArray array = {0};
    Status status = npy_parse(name, bytes, size, &array);
    if (status != STATUS_OK) {
        return status;
    }
    if (array.type != NPY_FLOAT32 || array.dimensions != 2 || array.shape[1] != settings->n_mels) {
        char shape[NPY_SHAPE_BYTES];
        npy_shape_text(array.dimensions, array.shape, shape);
        status = status_set(STATUS_FORMAT, "%s: %s of type %s, expected (frames, %d) of type <f4",
                            name, shape, npy_type_name(array.type), settings->n_mels);
    } else {
        features->frames = array.shape[0];
        features->channels = 1;
        status = count_vectors(settings, name, features);
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
                     ClipFeatures *features, LogMel **ret_logmel, const float **ret_samples,
                     int64_t *ret_count) {
    WavFacts facts = {0};
    Status status = wav_read(extractor->reader, name, bytes, size, extractor->settings.channel,
                             &facts, ret_samples);
    if (status == STATUS_OK) {
        status = logmel_of_rate(extractor, name, facts.rate_hz, ret_logmel);
    }
    if (status != STATUS_OK) {
        return status;
    }
    features->frames = logmel_frames(*ret_logmel, facts.samples);
    features->rate_hz = facts.rate_hz;
    features->channels = facts.channels;
    features->seconds = (double)facts.samples / facts.rate_hz;
    features->is_silent = facts.is_silent;
    *ret_count = facts.samples;
    return count_vectors(&extractor->settings, name, features);
}

static Status take_sound(ClipExtractor *extractor, const char *name, const void *bytes, size_t size,
                         bool is_probe, ClipFeatures *features) {
    LogMel *logmel = NULL;
    const float *samples = NULL;
    int64_t count = 0;
    Status status = decode(extractor, name, bytes, size, features, &logmel, &samples, &count);
    if (status != STATUS_OK || is_probe) {
        return status;
    }
    const Settings *settings = &extractor->settings;
    features->log_mel =
        mem_new_aligned((size_t)(features->frames * settings->n_mels), sizeof(float));
    if (features->log_mel == NULL) {
        return STATUS_MEMORY;
    }
    logmel_run(logmel, samples, count, features->log_mel);
    return check_finite(settings, name, features->log_mel, features->frames);
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
    *ret_features = features;
    return STATUS_OK;
}

Status clip_probe(ClipExtractor *extractor, const char *name, const void *bytes, size_t size,
                  ClipFeatures *ret_features) {
    ClipFeatures features = {0};
    Status status = clip_is_npy(name) ? take_npy(&extractor->settings, name, bytes, size, &features)
                                      : take_sound(extractor, name, bytes, size, true, &features);
    clip_features_done(&features);
    if (status == STATUS_OK) {
        *ret_features = features;
    }
    return status;
}

void clip_features_done(ClipFeatures *features) {
    mem_free(features->log_mel);
    features->log_mel = NULL;
}
