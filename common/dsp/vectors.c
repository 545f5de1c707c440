// SPDX-License-Identifier: Apache-2.0
#include "common/dsp/vectors.h"

int64_t vectors_count(int64_t total, int32_t frames, int32_t frame_hop_length) {
    return total < frames ? 0 : (total - frames) / frame_hop_length + 1;
}
