// SPDX-License-Identifier: Apache-2.0
#include "common/dsp/feature_set.h"

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/dsp/logmel.h"
#include "common/dsp/notebook.h"

struct FeatureSet {
    int32_t frames;     // rows of a vector
    int32_t frame_wide; // floats that a frame takes while the clip is under work
    LogMel *logmel;     // one of the two
    Notebook *notebook;
};

Status feature_set_check(const Settings *settings, int32_t rate_hz) {
    return settings->features == FEATURES_NOTEBOOK ? notebook_check(settings, rate_hz)
                                                   : logmel_check(settings, rate_hz);
}

FeatureSet *feature_set_new(const Settings *settings, int32_t rate_hz) {
    FeatureSet *set = mem_new(1, sizeof *set);
    if (set == NULL) {
        return NULL;
    }
    set->frames = settings->frames;
    if (settings->features == FEATURES_NOTEBOOK) {
        set->notebook = notebook_new(settings, rate_hz);
        set->frame_wide = settings->n_fft / 2 + 1;
    } else {
        set->logmel = logmel_new(settings, rate_hz);
        set->frame_wide = settings->n_mels;
    }
    if (set->notebook == NULL && set->logmel == NULL) {
        feature_set_free(set);
        return NULL;
    }
    return set;
}

void feature_set_free(FeatureSet *set) {
    if (set != NULL) {
        logmel_free(set->logmel);
        notebook_free(set->notebook);
        mem_free(set);
    }
}

static Status too_short(int64_t frames, int32_t needed) {
    return status_set(STATUS_FORMAT, "%lld frame%s, a vector needs %d", (long long)frames,
                      frames == 1 ? "" : "s", needed);
}

Status feature_set_rows(const FeatureSet *set, int64_t samples, int64_t *ret_rows) {
    int64_t frames = set->notebook != NULL ? notebook_frames(set->notebook, samples)
                                           : logmel_frames(set->logmel, samples);
    int32_t needed = set->notebook != NULL ? NOTEBOOK_LEAST_FRAMES : set->frames;
    int64_t most = (int64_t)(LIMIT_CLIP_BYTES / sizeof(float)) / set->frame_wide;
    if (frames < needed) {
        return too_short(frames, needed);
    }
    if (frames > most) {
        return status_set(STATUS_FORMAT, "%lld frames, with %d %s %lld are accepted",
                          (long long)frames, set->frame_wide,
                          set->notebook != NULL ? "bins" : "mel bands", (long long)most);
    }
    *ret_rows = set->notebook != NULL ? 1 : frames;
    return STATUS_OK;
}

Status feature_set_run(FeatureSet *set, const float *samples, int64_t count, float *out) {
    if (set->notebook != NULL) {
        return notebook_run(set->notebook, samples, count, out);
    }
    logmel_run(set->logmel, samples, count, out);
    return STATUS_OK;
}
