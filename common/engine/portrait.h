// SPDX-License-Identifier: Apache-2.0
//
// The pictures of one clip, as data: the bytes of its file, and a model where there is one ->
// waveform, spectrogram, log-mel, MFCC and what the model could not reconstruct. Small enough for
// one answer and one page: time is cut into at most PORTRAIT_COLUMNS columns, frequency into at
// most PORTRAIT_ROWS rows, each the mean of what falls into it. Pure: the same bytes from any
// worker.
#ifndef AUSCULT_ENGINE_PORTRAIT_H
#define AUSCULT_ENGINE_PORTRAIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/settings.h"
#include "common/base/status.h"

#define PORTRAIT_COLUMNS 400
#define PORTRAIT_ROWS    128
#define PORTRAIT_MFCC    20

// Pictures are (rows, columns), row 0 the lowest. Column c holds the frames from c * frames /
// columns on, as the envelope holds the samples.
typedef struct Portrait {
    int32_t columns;       // 1 .. PORTRAIT_COLUMNS
    int32_t mel_rows;      // 1 .. PORTRAIT_ROWS; each n_mels / mel_rows bands
    int32_t spectrum_rows; // 0 for a log-mel made elsewhere
    int32_t mfcc_rows;     // at most PORTRAIT_MFCC
    int32_t rate_hz;       // 0 for a log-mel made elsewhere
    double seconds;        // 0 likewise
    bool has_residual;     // a model of log-mels was given
    float *low;            // (columns) smallest sample, 1 = full scale; 0 without sound
    float *high;           // (columns) largest sample
    float *log_mel;        // (mel_rows, columns) dB
    float *spectrogram;    // (spectrum_rows, columns) dB of power, rows of equal width, 0 to rate/2
    float *mfcc;           // (mfcc_rows, columns)
    float *residual; // (mel_rows, columns) dB of the mean squared residual in scaled space, over
                     // all stacked vectors that hold the frame; has_residual only
    float *values;   // owns all of the above, in this order
} Portrait;

void portrait_done(Portrait *portrait); // accepts {0}

// Floats of all pictures, and so 16-bit numbers on the wire.
size_t portrait_count(const Portrait *shape);
// From 16-bit numbers (little-endian, in the order above): envelope in 1/30,000, MFCC in 1/10, all
// others in 1/100. `shape` has the sizes; STATUS_FORMAT when they cannot be or `size` is another.
Status portrait_unpack(const Portrait *shape, const void *bytes, size_t size, Portrait *ret);
void portrait_pack(const Portrait *portrait, Buffer *out);

typedef struct Portraitist Portraitist;
// `model`: a model file's bytes, or NULL; its own settings must have the same features.
// STATUS_FORMAT and STATUS_MISMATCH as model_file_read, STATUS_MEMORY.
Status portraitist_new(const Settings *settings, const void *model, size_t size, Portraitist **ret);
void portraitist_free(Portraitist *portraitist);
// Values are rounded as the wire has them. STATUS_FORMAT as clip_extract; the caller calls
// portrait_done.
Status portrait_make(Portraitist *portraitist, const char *name, const void *bytes, size_t size,
                     Portrait *ret_portrait);

#endif
