// SPDX-License-Identifier: Apache-2.0
//
// How it works: blocks of BLOCK samples. Per block the rotation speed is constant and its phase
// goes on; the sine and cosine of the phase give all harmonics by the Chebyshev recurrence
// sin(h x) = 2 cos(x) sin((h-1) x) - sin((h-2) x). Noise is uniform (sums through filters make it
// round enough) and shaped by two-pole resonators. Channels share the machine's block, delayed and
// dulled by distance, and have rooms of their own.
#include "coordinator/synth/sound.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "common/base/digest.h"
#include "common/dsp/maths.h"

#define BLOCK      64
#define DELAY_MAX  64 // samples from channel to channel at most
#define KNOCKS_MAX 8  // ringing at one time

// sin(2 pi x) for any x of modest size, within 1e-9: only additions and multiplications, since the
// C library's sine has other last digits on other processors.
static double sine(double turns) {
    double x = turns - floor(turns + 0.5); // -0.5 .. 0.5
    x = x > 0.25 ? 0.5 - x : x < -0.25 ? -0.5 - x : x;
    double t = x * 6.283185307179586;
    double s = t * t;
    // Taylor's series; at a quarter turn the first term left out is 6e-12.
    return t *
           (1 + s * (-1.0 / 6 +
                     s * (1.0 / 120 + s * (-1.0 / 5040 +
                                           s * (1.0 / 362880 + s * (-1.0 / 39916800 +
                                                                    s * (1.0 / 6227020800.0 -
                                                                         s / 1307674368000.0)))))));
}

static double cosine(double turns) {
    return sine(turns + 0.25);
}

static double gain_of(double decibel) {
    return maths_exp(decibel * 0.11512925464970228); // ln(10) / 20
}

static double between(Rng *rng, double least, double most) {
    return least + (most - least) * rng_uniform(rng);
}

// From least to most, evenly over octaves.
static double between_log(Rng *rng, double least, double most) {
    return maths_exp(between(rng, maths_log(least), maths_log(most)));
}

uint64_t sound_hash(const char *text) {
    Digest digest = digest_of(text, strlen(text));
    uint64_t hash = 0;
    for (int i = 0; i < 8; i++) {
        hash = hash << 8 | digest.bytes[i];
    }
    return hash;
}

SoundTexture sound_texture(uint64_t seed, const char *machine, int32_t unit, int32_t rate_hz) {
    Rng rng = rng_of(seed, "synth-machine", sound_hash(machine), 0);
    // A unit differs from its machine by a few percent and decibels.
    Rng own = rng_of(seed, "synth-unit", sound_hash(machine), (uint64_t)unit);
    SoundTexture texture = {0};
    double top = 0.45 * rate_hz;
    texture.rotation_hz = between_log(&rng, 24, 110) * between(&own, 0.96, 1.04);
    texture.harmonic_count = 8 + (int32_t)rng_below(&rng, SOUND_HARMONICS_MAX - 7);
    double slope = between(&rng, -2.2, -0.7); // decibels from harmonic to harmonic
    for (int32_t h = 0; h < texture.harmonic_count; h++) {
        double level = -20 + slope * h + between(&rng, -7, 7) + between(&own, -1.5, 1.5);
        bool heard = texture.rotation_hz * 1.3 * (h + 1) < top;
        texture.harmonics[h] = heard ? gain_of(level) : 0;
    }
    for (int b = 0; b < SOUND_BANDS; b++) {
        double centre = between_log(&rng, 300, 6500) * between(&own, 0.97, 1.03);
        texture.band_hz[b] = centre < top ? centre : top;
        texture.band_width[b] = between_log(&rng, 0.05, 0.5);
        texture.band_gain[b] = gain_of(between(&rng, -34, -22) + between(&own, -1, 1));
        texture.swell[b] = between(&rng, 0, 0.7);
    }
    bool knocks = rng_uniform(&rng) < 0.6;
    texture.knock_turns = 4 + rng_below(&rng, 40);
    double ring = between_log(&rng, 700, 4500);
    texture.knock_hz = ring < top ? ring : top;
    texture.knock_decay_s = between_log(&rng, 0.004, 0.03);
    texture.knock_gain = knocks ? gain_of(between(&rng, -26, -14)) : 0;
    return texture;
}

// A resonator of two poles with a gain near one for white noise.
typedef struct Resonator {
    double a1, a2, gain; // y = gain x + a1 y' + a2 y''
    double y1, y2;
} Resonator;

static Resonator resonator_new(double centre_hz, double width, double rate_hz) {
    double radius = maths_exp(-3.141592653589793 * width * centre_hz / rate_hz);
    double cos_w = cosine(centre_hz / rate_hz);
    Resonator r = {.a1 = 2 * radius * cos_w, .a2 = -radius * radius};
    // Power of the answer to white noise: (1 - a2) / ((1 + a2) ((1 - a2)^2 - a1^2)), inverted.
    double power = (1 - r.a2) / ((1 + r.a2) * ((1 - r.a2) * (1 - r.a2) - r.a1 * r.a1));
    r.gain = 1 / sqrt(power);
    return r;
}

static double resonator_step(Resonator *r, double x) {
    double y = r->gain * x + r->a1 * r->y1 + r->a2 * r->y2;
    r->y2 = r->y1;
    r->y1 = y;
    return y;
}

// A decaying ring: the same recurrence, struck once.
typedef struct Knock {
    double y1, y2;
} Knock;

// What a clip has besides its texture: drawn once at its start.
typedef struct Voice {
    const SoundClip *clip;
    Rng machine_noise;
    Rng events;
    double harmonics[SOUND_HARMONICS_MAX];
    Resonator bands[SOUND_BANDS];
    double band_gain[SOUND_BANDS];
    double phase;       // turns
    double rotation_hz; // of this clip
    double drift, drift_hz, drift_phase;
    double wobble, wobble_hz;
    double tone_hz, tone_gain, tone_phase;
    Resonator hiss;
    double hiss_gain;
    double knock_gain, next_knock; // in turns
    double impacts_hz, impact_gain;
    Knock knocks[KNOCKS_MAX];
    int next_slot;
    double knock_a1, knock_a2;
    double time_s;
} Voice;

// The room and the microphone of one channel.
typedef struct Room {
    Rng noise;
    Resonator hum;
    double low;  // state of the one-pole that makes the noise fall with frequency
    double gain; // of the noise
    double dull; // of the machine, 0 not at all: share of the sample before
    double last; // the machine's sample before
    double tilt; // of the microphone: > 0 brighter
    double before;
    double distance_gain;
    int32_t delay;
} Room;

static void damage_harmonics(Voice *voice, double severity) {
    int32_t count = voice->clip->texture.harmonic_count;
    int32_t first = (int32_t)rng_below(&voice->events, (uint32_t)(count > 5 ? count - 4 : 1));
    for (int32_t h = first; h < first + 4 && h < count; h++) {
        double change = (h - first) % 2 == 0 ? -16 * severity : 9 * severity;
        voice->harmonics[h] *= gain_of(change);
    }
}

static void damage(Voice *voice) {
    const SoundClip *clip = voice->clip;
    double severity = clip->severity, top = 0.45 * clip->rate_hz;
    Rng *rng = &voice->events;
    double centre = between_log(rng, 500, 5000);
    centre = centre < top ? centre : top;
    switch (clip->fault) {
    case FAULT_NONE:
    case FAULT_COUNT:
        break;
    case FAULT_TONE:
        voice->tone_hz = centre;
        voice->tone_gain = gain_of(-58 + 30 * severity);
        break;
    case FAULT_HARMONIC:
        damage_harmonics(voice, severity);
        break;
    case FAULT_IMPACTS:
        voice->impacts_hz = between(rng, 2, 9);
        voice->impact_gain = gain_of(-38 + 28 * severity);
        break;
    case FAULT_HISS:
        voice->hiss = resonator_new(centre, 0.2, clip->rate_hz);
        voice->hiss_gain = gain_of(-54 + 28 * severity);
        break;
    case FAULT_WOBBLE:
        voice->wobble = 0.09 * severity;
        voice->wobble_hz = between(rng, 2, 8);
        break;
    case FAULT_LEVEL:
        break; // in voice_new: it takes all parts
    }
}

static Voice voice_new(const SoundClip *clip) {
    const SoundTexture *texture = &clip->texture;
    Voice voice = {.clip = clip};
    Rng rng = clip->rng;
    uint64_t seed = (uint64_t)rng_u32(&rng) << 32;
    seed |= rng_u32(&rng);
    voice.machine_noise = rng_of(seed, "synth-noise", 0, 0);
    voice.events = rng_of(seed, "synth-events", 0, 0);
    double speed = 0.96 + 0.02 * (clip->speed - 1);
    voice.rotation_hz = texture->rotation_hz * speed * between(&rng, 0.985, 1.015);
    voice.phase = rng_uniform(&rng);
    voice.drift = between(&rng, 0.001, 0.006);
    voice.drift_hz = between(&rng, 0.05, 0.3);
    voice.drift_phase = rng_uniform(&rng);
    double level = between(&rng, -2, 2);
    level -= clip->fault == FAULT_LEVEL ? 9 * clip->severity : 0;
    level = clip->parts == SOUND_ROOM ? -200 : level;
    for (int32_t h = 0; h < texture->harmonic_count; h++) {
        voice.harmonics[h] = texture->harmonics[h] * gain_of(level + between(&rng, -1.2, 1.2));
    }
    for (int b = 0; b < SOUND_BANDS; b++) {
        voice.bands[b] = resonator_new(texture->band_hz[b], texture->band_width[b], clip->rate_hz);
        voice.band_gain[b] = texture->band_gain[b] * gain_of(level + between(&rng, -1, 1));
    }
    voice.knock_gain = texture->knock_gain * gain_of(level + between(&rng, -1, 1));
    voice.next_knock = voice.phase + texture->knock_turns * rng_uniform(&rng);
    double radius = maths_exp(-1 / (texture->knock_decay_s * clip->rate_hz));
    voice.knock_a1 = 2 * radius * cosine(texture->knock_hz / clip->rate_hz);
    voice.knock_a2 = -radius * radius;
    damage(&voice);
    return voice;
}

static void strike(Voice *voice, double gain) {
    Knock *knock = &voice->knocks[voice->next_slot];
    voice->next_slot = (voice->next_slot + 1) % KNOCKS_MAX;
    // The recurrence rings at 1 / sin(w) times what it starts from.
    knock->y1 = gain * sine(voice->clip->texture.knock_hz / voice->clip->rate_hz);
    knock->y2 = 0;
}

// Uniform in -sqrt(3) .. sqrt(3), so of variance 1; two numbers of 16 bits each.
static void noise_pair(Rng *rng, double *a, double *b) {
    const double scale = 3.4641016151377544 / 65536;
    uint32_t bits = rng_u32(rng);
    *a = ((double)(bits & 0xFFFF) - 32767.5) * scale;
    *b = ((double)(bits >> 16) - 32767.5) * scale;
}

static void add_harmonics(const Voice *voice, const double *sines, const double *twice_cosines,
                          double *out) {
    double before[BLOCK] = {0}, now[BLOCK];
    memcpy(now, sines, sizeof now);
    for (int32_t h = 0; h < voice->clip->texture.harmonic_count; h++) {
        double gain = voice->harmonics[h];
        for (int i = 0; i < BLOCK; i++) {
            out[i] += gain * now[i];
            double next = twice_cosines[i] * now[i] - before[i];
            before[i] = now[i];
            now[i] = next;
        }
    }
}

static void add_noise(Voice *voice, const double *sines, double *out) {
    const double *swell = voice->clip->texture.swell;
    for (int i = 0; i < BLOCK; i++) {
        double a, b;
        noise_pair(&voice->machine_noise, &a, &b);
        // The bands hear the same noise, each in its own part of the spectrum.
        for (int k = 0; k < SOUND_BANDS; k++) {
            double band = resonator_step(&voice->bands[k], a);
            out[i] += voice->band_gain[k] * (1 + swell[k] * sines[i]) * band;
        }
        if (voice->hiss_gain > 0) {
            out[i] += voice->hiss_gain * resonator_step(&voice->hiss, b);
        }
    }
}

static void add_knocks(Voice *voice, double turns, double *out) {
    const SoundTexture *texture = &voice->clip->texture;
    while (voice->phase + turns >= voice->next_knock) {
        strike(voice, voice->knock_gain * between(&voice->events, 0.8, 1.2));
        voice->next_knock += texture->knock_turns;
    }
    double chance = voice->impacts_hz * BLOCK / voice->clip->rate_hz;
    if (voice->impacts_hz > 0 && rng_uniform(&voice->events) < chance) {
        strike(voice, voice->impact_gain * between(&voice->events, 0.4, 1));
    }
    for (int k = 0; k < KNOCKS_MAX; k++) {
        Knock *knock = &voice->knocks[k];
        // Below a hundredth of a quantum nothing is heard; zero also ends slow denormal numbers.
        if (fabs(knock->y1) + fabs(knock->y2) < 1e-7) {
            knock->y1 = knock->y2 = 0;
            continue;
        }
        for (int i = 0; i < BLOCK; i++) {
            double y = voice->knock_a1 * knock->y1 + voice->knock_a2 * knock->y2;
            knock->y2 = knock->y1;
            knock->y1 = y;
            out[i] += y;
        }
    }
}

static void add_tone(Voice *voice, double *out) {
    if (!(voice->tone_gain > 0)) {
        return;
    }
    double step = voice->tone_hz / voice->clip->rate_hz;
    for (int i = 0; i < BLOCK; i++) {
        out[i] += voice->tone_gain * sine(voice->tone_phase);
        voice->tone_phase += step;
    }
    voice->tone_phase -= floor(voice->tone_phase);
}

// The next BLOCK samples of the machine alone.
static void voice_block(Voice *voice, double *out) {
    double sines[BLOCK], twice_cosines[BLOCK];
    double uneven = voice->drift * sine(voice->drift_hz * voice->time_s + voice->drift_phase);
    if (voice->wobble > 0) {
        uneven += voice->wobble * sine(voice->wobble_hz * voice->time_s);
    }
    double step = voice->rotation_hz * (1 + uneven) / voice->clip->rate_hz;
    for (int i = 0; i < BLOCK; i++) {
        double turn = voice->phase + step * i;
        sines[i] = sine(turn);
        twice_cosines[i] = 2 * cosine(turn);
    }
    memset(out, 0, BLOCK * sizeof *out);
    add_harmonics(voice, sines, twice_cosines, out);
    add_noise(voice, sines, out);
    add_knocks(voice, step * BLOCK, out);
    add_tone(voice, out);
    voice->phase += step * BLOCK;
    voice->time_s += (double)BLOCK / voice->clip->rate_hz;
}

static Room room_new(const SoundClip *clip, int32_t channel) {
    Rng rng = clip->rng;
    uint64_t seed = (uint64_t)rng_u32(&rng) << 32;
    seed |= rng_u32(&rng);
    Room room = {.noise = rng_of(seed, "synth-room", (uint64_t)channel, 0)};
    Rng draw = rng_of(seed, "synth-room-facts", 0, 0);
    double level = clip->is_target ? -35.4 : -36;
    level += between(&draw, -2, 2) + 2.0 * channel;
    room.gain = clip->parts == SOUND_MACHINE ? gain_of(-75) : gain_of(level);
    room.hum = resonator_new(between_log(&draw, 90, 260), 0.3, clip->rate_hz);
    room.tilt = (clip->is_target ? 0.04 : 0) + between(&draw, -0.04, 0.04);
    room.dull = channel == 0 ? 0 : 0.45;
    room.distance_gain = gain_of(-5.0 * channel);
    int32_t delay = clip->rate_hz / 1000 * channel;
    room.delay = delay < DELAY_MAX * SOUND_CHANNELS_MAX ? delay : DELAY_MAX * SOUND_CHANNELS_MAX;
    return room;
}

static double room_step(Room *room, double machine, double noise, double other) {
    double heard = room->distance_gain * ((1 - room->dull) * machine + room->dull * room->last);
    room->last = machine;
    room->low += 0.12 * (noise - room->low);
    double sound = heard + room->gain * (0.4 * noise + 2.2 * room->low) +
                   room->gain * 0.8 * resonator_step(&room->hum, other);
    double bright = sound + room->tilt * (sound - room->before);
    room->before = sound;
    return bright;
}

// What keeps the loudest machine off the ends of the range.
#define HEADROOM 0.3

static int16_t quantum_of(double sample) {
    double scaled = floor(sample * HEADROOM * 32768 + 0.5);
    return (int16_t)(scaled > 32767 ? 32767 : scaled < -32768 ? -32768 : scaled);
}

// The machine's last samples, so that a far channel can hear it late; ends with the newest block.
#define HISTORY (DELAY_MAX * SOUND_CHANNELS_MAX + BLOCK)

void sound_make(const SoundClip *clip, int16_t *out) {
    assert(clip->channels >= 1 && clip->channels <= SOUND_CHANNELS_MAX && clip->rate_hz > 0);
    Voice voice = voice_new(clip);
    Room rooms[SOUND_CHANNELS_MAX];
    for (int32_t c = 0; c < clip->channels; c++) {
        rooms[c] = room_new(clip, c);
    }
    double history[HISTORY] = {0};
    for (int64_t start = 0; start < clip->samples; start += BLOCK) {
        memmove(history, history + BLOCK, (HISTORY - BLOCK) * sizeof *history);
        voice_block(&voice, history + HISTORY - BLOCK);
        int64_t left = clip->samples - start;
        for (int32_t c = 0; c < clip->channels; c++) {
            const double *machine = history + HISTORY - BLOCK - rooms[c].delay;
            for (int i = 0; i < BLOCK && i < left; i++) {
                double noise, other;
                noise_pair(&rooms[c].noise, &noise, &other);
                out[(start + i) * clip->channels + c] =
                    quantum_of(room_step(&rooms[c], machine[i], noise, other));
            }
        }
    }
}
