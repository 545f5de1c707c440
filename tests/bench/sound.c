// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/sound.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/base/rng.h"

static void append_u32(Buffer *out, uint32_t value) {
    buffer_append(out, &value, sizeof value);
}

static void append_u16(Buffer *out, uint16_t value) {
    buffer_append(out, &value, sizeof value);
}

static void append_header(Buffer *out) {
    enum { DATA_BYTES = 2 * SOUND_SAMPLES };
    buffer_text(out, "RIFF");
    append_u32(out, 36 + DATA_BYTES);
    buffer_text(out, "WAVEfmt ");
    append_u32(out, 16);
    append_u16(out, 1); // PCM
    append_u16(out, 1); // channel
    append_u32(out, SOUND_RATE_HZ);
    append_u32(out, 2 * SOUND_RATE_HZ); // bytes of a second
    append_u16(out, 2);                 // bytes of a sample
    append_u16(out, 16);                // bits of a sample
    buffer_text(out, "data");
    append_u32(out, DATA_BYTES);
}

void sound_wav(uint64_t number, Buffer *out) {
    Rng rng = rng_of(1, "bench sound", number, 0);
    double hum_hz = 80 + 40 * rng_uniform(&rng);
    append_header(out);
    for (int32_t i = 0; i < SOUND_SAMPLES; i++) {
        double turn = 2 * M_PI * hum_hz * i / SOUND_RATE_HZ;
        double value = 0.2 * sin(turn) + 0.1 * sin(7 * turn) + 0.05 * rng_normal(&rng);
        append_u16(out, (uint16_t)(int16_t)lrint(32767 * fmax(-1, fmin(1, value))));
    }
}

void sound_log_mel(uint64_t number, int32_t frames, int32_t n_mels, float *out) {
    Rng rng = rng_of(1, "bench log-mel", number, 0);
    for (int64_t i = 0; i < (int64_t)frames * n_mels; i++) {
        out[i] = (float)(-30 + 8 * rng_normal(&rng));
    }
}

Status sound_write(const char *path, const Buffer *bytes) {
    if (bytes->status != STATUS_OK) {
        return bytes->status;
    }
    FILE *file = fopen(path, "wbe");
    if (file == NULL) {
        return status_set(STATUS_IO, "cannot create %s: %s", path, strerror(errno));
    }
    bool is_written = fwrite(bytes->bytes, 1, bytes->size, file) == bytes->size;
    is_written = fclose(file) == 0 && is_written;
    return is_written ? STATUS_OK
                      : status_set(STATUS_IO, "cannot write %s: %s", path, strerror(errno));
}
