// SPDX-License-Identifier: Apache-2.0
//
// What is measured: the sound and the features of clips of 10 s, made from random numbers.
#ifndef AUSCULT_BENCH_SOUND_H
#define AUSCULT_BENCH_SOUND_H

#include <stdint.h>

#include "common/base/buffer.h"

enum {
    SOUND_RATE_HZ = 16000,
    SOUND_SAMPLES = 10 * SOUND_RATE_HZ,
    SOUND_FRAMES = 313, // of such a clip at a hop of 512
};

// Appends a WAV file of 16 bits and one channel: a hum with overtones in noise.
void sound_wav(uint64_t number, Buffer *out);
// A log-mel that looks like one: decibels, every value its own. out (frames, n_mels).
void sound_log_mel(uint64_t number, int32_t frames, int32_t n_mels, float *out);
// Writes a temporary file: at once, without syncing.
Status sound_write(const char *path, const Buffer *bytes);

#endif
