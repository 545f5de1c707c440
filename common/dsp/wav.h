// SPDX-License-Identifier: Apache-2.0
//
// Sound files -> samples, through libsndfile (WAV, FLAC and whatever else it knows; 8 to 32 bit,
// float, double). The first step of a clip's path. It works on bytes in memory, so every failure
// here but STATUS_MEMORY is a fact of the data. One WavReader is used by one thread at a time.
#ifndef AUSCULT_DSP_WAV_H
#define AUSCULT_DSP_WAV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

typedef struct WavFacts {
    int32_t rate_hz;
    int32_t channels; // in the file
    int64_t samples;  // of one channel, 1 or more
    bool is_silent;   // every sample of the channel read is zero
    int32_t bits;     // of a sample in the file, 0 where the coding has no fixed number
} WavFacts;

// Keeps its buffers from clip to clip.
typedef struct WavReader WavReader;

// NULL when out of memory.
WavReader *wav_reader_new(void);
void wav_reader_free(WavReader *reader);

// Decodes one channel (0 = first) to the float32 that soundfile.read and librosa.load give: whole
// numbers divided by the half of their range. `name` stands for the file in messages. The samples
// are borrowed until the next call. STATUS_FORMAT, saying which: empty, not sound, cut short (a
// WAV whose data chunk promises more than is there; but sizes that recorders write into a pipe, 0
// and 0x7ffff000 or more, mean "to the end"), no samples, NaN or infinite samples, no such channel,
// or beyond LIMIT_CLIP_BYTES, LIMIT_CLIP_SAMPLES, LIMIT_CHANNELS or LIMIT_RATE_HZ.
Status wav_read(WavReader *reader, const char *name, const void *bytes, size_t size,
                int32_t channel, WavFacts *ret_facts, const float **ret_samples);

// Name and version of the library that decodes; borrowed for good.
const char *wav_library(void);

#endif
