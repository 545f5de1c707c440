// SPDX-License-Identifier: Apache-2.0
//
// How it works. libsndfile reads from memory through callbacks. It shortens a WAV whose header
// promises more than the file holds and says nothing, so the chunks of RIFF files are looked over
// here first. Messages never quote libsndfile, whose texts differ between versions and whose last
// error is shared by all threads.
#include "common/dsp/wav.h"

#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clones.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/dsp/maths.h"

#define BLOCK_FRAMES    4096        // decoded at once; stays in the first cache
#define SIZE_UNKNOWN    0x7ffff000u // this and more: sox, ffmpeg and arecord into a pipe
#define FORMAT_PCM      1
#define FORMAT_FLOAT    3
#define FORMAT_EXTENDED 0xfffe

struct WavReader {
    float *samples;      // (capacity) the channel read
    size_t capacity;     // floats
    float *block;        // (BLOCK_FRAMES, channels) as decoded, floats or 16-bit numbers
    size_t block_floats; // room in `block`
};

// The file in memory, as libsndfile sees it.
typedef struct Source {
    const unsigned char *bytes;
    sf_count_t size, position;
} Source;

static sf_count_t source_size(void *user) {
    return ((Source *)user)->size;
}

static sf_count_t source_seek(sf_count_t offset, int whence, void *user) {
    Source *source = user;
    sf_count_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? source->position : source->size;
    // Damaged headers lead to offsets of any size.
    if (offset < -base || offset > source->size - base) {
        return -1;
    }
    source->position = base + offset;
    return source->position;
}

static sf_count_t source_read(void *out, sf_count_t count, void *user) {
    Source *source = user;
    sf_count_t left = source->size - source->position;
    count = count < 0 ? 0 : count < left ? count : left;
    memcpy(out, source->bytes + source->position, (size_t)count);
    source->position += count;
    return count;
}

static sf_count_t source_write(const void *bytes, sf_count_t count, void *user) {
    (void)bytes, (void)count, (void)user;
    return 0;
}

static sf_count_t source_tell(void *user) {
    return ((Source *)user)->position;
}

// What the chunks of a RIFF file say about its sound.
typedef struct Riff {
    bool is_big_endian;   // RIFX
    uint64_t ds64_bytes;  // RF64's data size
    unsigned format;      // of the fmt chunk, 0 without one
    unsigned frame_bytes; // bytes of one sample of all channels
    bool has_data;        // whether there is a data chunk
    uint64_t data_offset; // of its first byte
    uint64_t promised;    // its size by the header
} Riff;

static uint64_t number_at(const Riff *riff, const unsigned char *at, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) {
        value = value << 8 | at[riff->is_big_endian ? i : bytes - 1 - i];
    }
    return value;
}

static bool is_chunk(const unsigned char *at, const char *id) {
    return memcmp(at, id, 4) == 0;
}

static bool is_riff(const unsigned char *bytes, size_t size) {
    return size >= 12 && is_chunk(bytes + 8, "WAVE") &&
           (is_chunk(bytes, "RIFF") || is_chunk(bytes, "RIFX") || is_chunk(bytes, "RF64"));
}

static void read_chunks(const unsigned char *bytes, size_t size, Riff *riff) {
    riff->is_big_endian = is_chunk(bytes, "RIFX");
    uint64_t at = 12;
    while (at + 8 <= size && !riff->has_data) {
        const unsigned char *chunk = bytes + at;
        uint64_t length = number_at(riff, chunk + 4, 4);
        uint64_t there = size - at - 8;
        if (is_chunk(chunk, "fmt ") && length >= 14 && there >= 14) {
            riff->format = (unsigned)number_at(riff, chunk + 8, 2);
            riff->frame_bytes = (unsigned)number_at(riff, chunk + 20, 2);
        } else if (is_chunk(chunk, "ds64") && length >= 16 && there >= 16) {
            riff->ds64_bytes = number_at(riff, chunk + 16, 8);
        } else if (is_chunk(chunk, "data")) {
            riff->has_data = true;
            riff->data_offset = at + 8;
            riff->promised = length;
        }
        at += 8 + length + (length & 1);
    }
    if (riff->promised == UINT32_MAX && riff->ds64_bytes > 0) {
        riff->promised = riff->ds64_bytes;
    } else if (riff->promised >= SIZE_UNKNOWN) {
        riff->promised = 0;
    }
}

static Status check_riff(const char *name, const unsigned char *bytes, size_t size) {
    Riff riff = {0};
    read_chunks(bytes, size, &riff);
    if (!riff.has_data) {
        return status_set(STATUS_FORMAT, "%s: truncated or damaged: no sound data in it", name);
    }
    uint64_t there = size - riff.data_offset;
    if (riff.promised <= there) {
        return STATUS_OK;
    }
    // Frames mean something to a person, but only plain samples have a fixed number of bytes each.
    bool is_plain =
        riff.format == FORMAT_PCM || riff.format == FORMAT_FLOAT || riff.format == FORMAT_EXTENDED;
    bool in_frames = is_plain && riff.frame_bytes > 0;
    uint64_t unit = in_frames ? riff.frame_bytes : 1;
    return status_set(STATUS_FORMAT, "%s: truncated: header promises %llu %s, %llu are there", name,
                      (unsigned long long)(riff.promised / unit),
                      in_frames ? "samples" : "bytes of sound", (unsigned long long)(there / unit));
}

static Status check_info(const char *name, const SF_INFO *info, int32_t channel) {
    if (info->channels < 1 || info->channels > LIMIT_CHANNELS) {
        return status_set(STATUS_FORMAT, "%s: %d channels, accepted are 1 to %d", name,
                          info->channels, LIMIT_CHANNELS);
    }
    if (info->samplerate < 1 || info->samplerate > LIMIT_RATE_HZ) {
        return status_set(STATUS_FORMAT, "%s: a rate of %d Hz, accepted is 1 to %d", name,
                          info->samplerate, LIMIT_RATE_HZ);
    }
    if (channel >= info->channels) {
        return status_set(STATUS_FORMAT, "%s: there is no channel %d, the last one is %d", name,
                          channel, info->channels - 1);
    }
    if (info->frames <= 0) {
        return status_set(STATUS_FORMAT, "%s: no samples", name);
    }
    // A FLAC that does not know its length shows as SF_COUNT_MAX.
    if (info->frames != SF_COUNT_MAX && info->frames > LIMIT_CLIP_SAMPLES) {
        return status_set(STATUS_FORMAT, "%s: %lld samples, accepted are %lld", name,
                          (long long)info->frames, (long long)LIMIT_CLIP_SAMPLES);
    }
    return STATUS_OK;
}

static Status open_sound(const char *name, Source *source, SNDFILE **ret_file, SF_INFO *ret_info) {
    if (source->size == 0) {
        return status_set(STATUS_FORMAT, "%s: empty, 0 bytes", name);
    }
    if ((uint64_t)source->size > LIMIT_CLIP_BYTES) {
        return status_set(STATUS_FORMAT, "%s: %lld bytes, accepted are %llu", name,
                          (long long)source->size, LIMIT_CLIP_BYTES);
    }
    bool riff = is_riff(source->bytes, (size_t)source->size);
    if (riff) {
        Status status = check_riff(name, source->bytes, (size_t)source->size);
        if (status != STATUS_OK) {
            return status;
        }
    }
    SF_VIRTUAL_IO calls = {source_size, source_seek, source_read, source_write, source_tell};
    SF_INFO info = {0};
    SNDFILE *file = sf_open_virtual(&calls, SFM_READ, &info, source);
    if (file == NULL) {
        return status_set(STATUS_FORMAT, "%s: %s", name,
                          riff ? "a damaged WAV header, or a coding that is not known"
                               : "not a sound file that can be read");
    }
    *ret_file = file;
    *ret_info = info;
    return STATUS_OK;
}

static Status reserve(float **block, size_t *capacity, size_t needed) {
    if (needed > *capacity) {
        float *next = mem_resize(*block, needed, sizeof **block);
        if (next == NULL) {
            return STATUS_MEMORY;
        }
        *block = next;
        *capacity = needed;
    }
    return STATUS_OK;
}

static inline int32_t magnitude_of(int16_t value) {
    return value < 0 ? -(int32_t)value : value;
}

// out[i] = block[i * channels] / 32768, which is exact. Returns the largest magnitude of out.
CPU_CLONES
static float widen(const int16_t *block, int64_t count, int32_t channels, float *out) {
    int32_t largest = 0;
    if (channels == 1) {
        for (int64_t i = 0; i < count; i++) {
            int32_t magnitude = magnitude_of(block[i]);
            largest = magnitude > largest ? magnitude : largest;
            out[i] = (float)block[i] * (1.0f / 32768);
        }
    } else {
        for (int64_t i = 0; i < count; i++) {
            int32_t magnitude = magnitude_of(block[i * channels]);
            largest = magnitude > largest ? magnitude : largest;
            out[i] = (float)block[i * channels] * (1.0f / 32768);
        }
    }
    return (float)largest * (1.0f / 32768);
}

// Decodes up to `room` frames of the channel to `out`, and gives the largest magnitude among them;
// 0 or less at the end.
static sf_count_t read_some(WavReader *reader, SNDFILE *file, const SF_INFO *info, int32_t channel,
                            float *out, size_t room, float *ret_largest) {
    sf_count_t wanted = room < BLOCK_FRAMES ? (sf_count_t)room : BLOCK_FRAMES;
    if ((info->format & SF_FORMAT_SUBMASK) == SF_FORMAT_PCM_16) {
        // What nearly all clips are: libsndfile's own way to floats takes three times as long.
        int16_t *shorts = (int16_t *)(void *)reader->block;
        sf_count_t got = sf_readf_short(file, shorts, wanted);
        *ret_largest = widen(shorts + channel, got, info->channels, out);
        return got;
    }
    sf_count_t got = sf_readf_float(file, info->channels == 1 ? out : reader->block, wanted);
    for (sf_count_t i = 0; i < got && info->channels > 1; i++) {
        out[i] = reader->block[i * info->channels + channel];
    }
    *ret_largest = got > 0 ? maths_largest(out, (size_t)got) : 0;
    return got;
}

// What read_samples found.
typedef struct Decoded {
    int64_t count; // samples of the channel
    float largest; // magnitude; NaN with a NaN among them
} Decoded;

// Fills the samples from `done` up to `room`; false at the file's end.
static bool fill_room(WavReader *reader, SNDFILE *file, const SF_INFO *info, int32_t channel,
                      size_t room, Decoded *decoded) {
    while ((size_t)decoded->count < room) {
        float *out = reader->samples + decoded->count;
        float largest;
        sf_count_t got =
            read_some(reader, file, info, channel, out, room - (size_t)decoded->count, &largest);
        if (got <= 0) {
            return false;
        }
        // A NaN stays: nothing is larger.
        decoded->largest = decoded->largest >= largest ? decoded->largest
                           : isnan(decoded->largest)   ? decoded->largest
                                                       : largest;
        decoded->count += got;
    }
    return true;
}

// Room grows with what is really there: info->frames is a header's word.
static Status read_samples(WavReader *reader, SNDFILE *file, const SF_INFO *info, int32_t channel,
                           size_t file_bytes, Decoded *decoded) {
    size_t room = (uint64_t)info->frames < file_bytes ? (size_t)info->frames : file_bytes;
    room = room <= LIMIT_CLIP_SAMPLES ? room : LIMIT_CLIP_SAMPLES + 1;
    Status status =
        reserve(&reader->block, &reader->block_floats, (size_t)info->channels * BLOCK_FRAMES);
    while (status == STATUS_OK) {
        status = reserve(&reader->samples, &reader->capacity, room);
        if (status != STATUS_OK || !fill_room(reader, file, info, channel, room, decoded) ||
            decoded->count >= info->frames || decoded->count > LIMIT_CLIP_SAMPLES) {
            break;
        }
        room = 2 * room <= LIMIT_CLIP_SAMPLES ? 2 * room : LIMIT_CLIP_SAMPLES + 1;
    }
    return status;
}

static Status not_finite(const char *name, const float *samples) {
    int64_t i = 0;
    while (isfinite(samples[i])) {
        i++;
    }
    return status_set(STATUS_FORMAT, "%s: sample %lld is %s", name, (long long)i,
                      isnan(samples[i]) ? "NaN" : "infinite");
}

static Status check_samples(const char *name, const float *samples, const SF_INFO *info,
                            const Decoded *decoded) {
    if (decoded->count > LIMIT_CLIP_SAMPLES) {
        return status_set(STATUS_FORMAT, "%s: more than %lld samples", name,
                          (long long)LIMIT_CLIP_SAMPLES);
    }
    if (info->frames != SF_COUNT_MAX && decoded->count < info->frames) {
        return status_set(STATUS_FORMAT,
                          "%s: truncated or damaged: header promises %lld samples, %lld are there",
                          name, (long long)info->frames, (long long)decoded->count);
    }
    if (decoded->count == 0) {
        return status_set(STATUS_FORMAT, "%s: no samples", name);
    }
    if (!isfinite(decoded->largest)) {
        return not_finite(name, samples);
    }
    return STATUS_OK;
}

static int32_t bits_of(int format) {
    switch (format & SF_FORMAT_SUBMASK) {
    case SF_FORMAT_PCM_S8:
    case SF_FORMAT_PCM_U8:
        return 8;
    case SF_FORMAT_PCM_16:
        return 16;
    case SF_FORMAT_PCM_24:
        return 24;
    case SF_FORMAT_PCM_32:
    case SF_FORMAT_FLOAT:
        return 32;
    case SF_FORMAT_DOUBLE:
        return 64;
    default:
        return 0;
    }
}

WavReader *wav_reader_new(void) {
    return mem_new(1, sizeof(WavReader));
}

void wav_reader_free(WavReader *reader) {
    if (reader != NULL) {
        mem_free(reader->samples);
        mem_free(reader->block);
        mem_free(reader);
    }
}

Status wav_read(WavReader *reader, const char *name, const void *bytes, size_t size,
                int32_t channel, WavFacts *ret_facts, const float **ret_samples) {
    Source source = {.bytes = bytes, .size = (sf_count_t)size};
    SNDFILE *file = NULL;
    SF_INFO info = {0};
    Status status = open_sound(name, &source, &file, &info);
    if (status != STATUS_OK) {
        return status;
    }
    Decoded decoded = {0};
    status = check_info(name, &info, channel);
    if (status == STATUS_OK) {
        status = read_samples(reader, file, &info, channel, size, &decoded);
    }
    bool is_damaged = sf_error(file) != SF_ERR_NO_ERROR;
    sf_close(file);
    if (status == STATUS_OK) {
        status = check_samples(name, reader->samples, &info, &decoded);
    }
    if (status == STATUS_OK && is_damaged) {
        status = status_set(STATUS_FORMAT, "%s: damaged: it does not decode cleanly", name);
    }
    if (status == STATUS_OK) {
        *ret_facts = (WavFacts){.rate_hz = info.samplerate,
                                .channels = info.channels,
                                .samples = decoded.count,
                                .is_silent = decoded.largest == 0,
                                .bits = bits_of(info.format)};
        *ret_samples = reader->samples;
    }
    return status;
}

const char *wav_library(void) {
    return sf_version_string();
}
