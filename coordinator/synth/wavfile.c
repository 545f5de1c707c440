// SPDX-License-Identifier: Apache-2.0
//
// Layout: "Multimedia Programming Interface and Data Specifications 1.0", IBM and Microsoft, 1991.
#include "coordinator/synth/wavfile.h"

#include <assert.h>
#include <stddef.h>

#define BITS 16

static void put(Buffer *out, uint32_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        unsigned char byte = (unsigned char)(value >> (8 * i));
        buffer_append(out, &byte, 1);
    }
}

void wavfile_format(const int16_t *samples, int64_t frames, int32_t channels, int32_t rate_hz,
                    Buffer *out) {
    size_t data_bytes = (size_t)frames * (size_t)channels * (BITS / 8);
    assert(data_bytes < UINT32_MAX - 44);
    uint32_t frame_bytes = (uint32_t)channels * (BITS / 8);
    buffer_text(out, "RIFF");
    put(out, 36 + (uint32_t)data_bytes, 4);
    buffer_text(out, "WAVEfmt ");
    put(out, 16, 4); // bytes of the format chunk
    put(out, 1, 2);  // integer samples
    put(out, (uint32_t)channels, 2);
    put(out, (uint32_t)rate_hz, 4);
    put(out, (uint32_t)rate_hz * frame_bytes, 4);
    put(out, frame_bytes, 2);
    put(out, BITS, 2);
    buffer_text(out, "data");
    put(out, (uint32_t)data_bytes, 4);
    // The machines we run on are little-endian, as the format is.
    buffer_append(out, samples, data_bytes);
}
