// SPDX-License-Identifier: Apache-2.0
//
// The sound of a machine that does not exist: rotation with harmonics, bands of noise that swell
// with it, knocks, a room around it and a microphone before it; healthy or not. A clip depends on
// its own seed and nothing else. Sines, exponentials and random numbers are our own, so that the
// samples are the same on every processor. Any thread.
#ifndef AUSCULT_COORDINATOR_SYNTH_SOUND_H
#define AUSCULT_COORDINATOR_SYNTH_SOUND_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/rng.h"

#define SOUND_HARMONICS_MAX 24
#define SOUND_BANDS         3
#define SOUND_CHANNELS_MAX  8

// What makes one machine sound unlike another.
typedef struct SoundTexture {
    double rotation_hz;                    // at the middle speed
    double harmonics[SOUND_HARMONICS_MAX]; // amplitude of 1, 2, ... times the rotation
    double band_hz[SOUND_BANDS];           // centres of the bands of noise
    double band_width[SOUND_BANDS];        // width over centre
    double band_gain[SOUND_BANDS];         // amplitude of each
    double swell[SOUND_BANDS];             // how much each follows the rotation, 0 to 1
    double knock_turns;                    // turns from knock to knock
    double knock_hz;                       // what a knock rings at
    double knock_decay_s;                  // and for how long
    double knock_gain;                     // amplitude of it
    int32_t harmonic_count;
} SoundTexture;

typedef enum SoundFault {
    FAULT_NONE,
    FAULT_TONE,     // a whistle at no multiple of the rotation
    FAULT_HARMONIC, // some harmonics weak, their neighbours strong
    FAULT_IMPACTS,  // irregular knocks
    FAULT_HISS,     // one more band of noise
    FAULT_WOBBLE,   // the rotation is uneven
    FAULT_LEVEL,    // the machine is too quiet
    FAULT_COUNT,
} SoundFault;

typedef enum SoundParts {
    SOUND_ALL,     // the machine in its room
    SOUND_MACHINE, // the machine without the room (supplemental clips of 2025)
    SOUND_ROOM,    // the room without the machine (supplemental clips of 2025)
} SoundParts;

typedef struct SoundClip {
    SoundTexture texture;
    Rng rng;        // of this clip alone
    int32_t speed;  // 1 .. 5: rotation from -4 to +4 percent
    bool is_target; // the target domain: other microphone, louder room
    SoundParts parts;
    SoundFault fault;
    double severity; // 0, not to be heard, to 1, plain
    int32_t rate_hz;
    int32_t channels; // channel 0 is near, the others farther and farther away
    int64_t samples;  // per channel
} SoundClip;

// 64 bits of a name's digest: what random streams of machines and clips are told apart by.
uint64_t sound_hash(const char *text);

// The texture of a machine; the units (sections, ids) of one machine are alike but not the same.
SoundTexture sound_texture(uint64_t seed, const char *machine, int32_t unit, int32_t rate_hz);

// Writes clip->samples frames of 16-bit samples, (samples, channels).
void sound_make(const SoundClip *clip, int16_t *out);

#endif
