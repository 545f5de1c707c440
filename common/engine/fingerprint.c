// SPDX-License-Identifier: Apache-2.0
#include "common/engine/fingerprint.h"

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/dsp/logmel.h"
#include "common/model/fingerprint.h"

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

static Status add_everything(DigestStream *stream, const Settings *settings, LogMel *logmel,
                             float *samples, float *log_mel) {
    int64_t frames = logmel_frames(logmel, SAMPLES);
    make_sound(samples);
    logmel_run(logmel, samples, SAMPLES, log_mel);
    digest_add(stream, log_mel, (size_t)(frames * settings->n_mels) * sizeof *log_mel);
    Digest model;
    Status status = model_fingerprint(&model);
    if (status == STATUS_OK) {
        digest_add(stream, model.bytes, sizeof model.bytes);
    }
    return status;
}

Status fingerprint_make(Digest *ret_fingerprint) {
    Settings settings;
    Status status = settings_preset("default", &settings);
    if (status != STATUS_OK) {
        return status;
    }
    LogMel *logmel = logmel_new(&settings, RATE_HZ);
    float *samples = mem_new(SAMPLES, sizeof *samples);
    int64_t frames = logmel != NULL ? logmel_frames(logmel, SAMPLES) : 0;
    float *log_mel = mem_new((size_t)(frames * settings.n_mels), sizeof *log_mel);
    DigestStream *stream = digest_begin();
    status = STATUS_MEMORY;
    if (logmel != NULL && samples != NULL && log_mel != NULL && stream != NULL) {
        status = add_everything(stream, &settings, logmel, samples, log_mel);
    }
    if (stream != NULL) {
        Digest digest = digest_end(stream);
        if (status == STATUS_OK) {
            *ret_fingerprint = digest;
        }
    }
    mem_free(log_mel);
    mem_free(samples);
    logmel_free(logmel);
    return status;
}
