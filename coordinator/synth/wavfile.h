// SPDX-License-Identifier: Apache-2.0
//
// WAV files of 16-bit samples: a header of 44 bytes and the samples. Any thread.
#ifndef AUSCULT_COORDINATOR_SYNTH_WAVFILE_H
#define AUSCULT_COORDINATOR_SYNTH_WAVFILE_H

#include <stdint.h>

#include "common/base/buffer.h"

// Appends the file that holds samples (frames, channels). The whole must be below 4 GiB.
void wavfile_format(const int16_t *samples, int64_t frames, int32_t channels, int32_t rate_hz,
                    Buffer *out);

#endif
