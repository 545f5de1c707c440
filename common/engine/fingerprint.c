// SPDX-License-Identifier: Apache-2.0
#include "common/engine/fingerprint.h"

#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/dsp/logmel.h"
#include "common/dsp/stft.h"
#include "common/model/fingerprint.h"
#include "common/model/linalg.h"

enum { RATE_HZ = 16000, SAMPLES = 160000 };

// A rising hum in noise, without libm.
static void make_sound(float *out) {
    Rng rng = rng_of(1, "fingerprint", 0, 0);
    double phase = 0;
    for (int i = 0; i < SAMPLES; i++) {
        phase += 0.01 + 1e-6 * i;
        phase -= phase >= 1 ? 1 : 0;
        out[i] = (float)(0.3 * (2 * phase - 1) + 0.1 * (rng_uniform(&rng) - 0.5));
    }
}

static Status digest_features(Digest *ret_digest) {
    Settings settings;
    Status status = settings_preset("default", &settings);
    if (status != STATUS_OK) {
        return status;
    }
    LogMel *logmel = logmel_new(&settings, RATE_HZ);
    size_t count = logmel != NULL ? (size_t)(logmel_frames(logmel, SAMPLES) * settings.n_mels) : 0;
    float *samples = mem_new(SAMPLES, sizeof *samples);
    float *log_mel = mem_new(count, sizeof *log_mel);
    status = logmel != NULL && samples != NULL && log_mel != NULL ? STATUS_OK : STATUS_MEMORY;
    if (status == STATUS_OK) {
        make_sound(samples);
        logmel_run(logmel, samples, SAMPLES, log_mel);
        *ret_digest = digest_of(log_mel, count * sizeof *log_mel);
    }
    mem_free(log_mel);
    mem_free(samples);
    logmel_free(logmel);
    return status;
}

Status fingerprint_make(Fingerprint *ret_fingerprint) {
    struct {
        Digest features, model;
    } both;
    char features[DIGEST_TEXT_BYTES], model[DIGEST_TEXT_BYTES];
    Status status = digest_features(&both.features);
    if (status == STATUS_OK) {
        status = model_fingerprint(&both.model);
    }
    if (status != STATUS_OK) {
        return status;
    }
    digest_text(both.features, features);
    digest_text(both.model, model);
    ret_fingerprint->digest = digest_of(&both, sizeof both);
    snprintf(ret_fingerprint->parts, sizeof ret_fingerprint->parts,
             "%s, extraction %.8s; %s, training %.8s", stft_library(), features, linalg_library(),
             model);
    return STATUS_OK;
}
