// SPDX-License-Identifier: Apache-2.0
#include "common/dsp/chroma.h"

#include <float.h>
#include <math.h>

#include "common/base/mem.h"
#include "common/dsp/maths.h"

#define LOWEST_A      27.5 // Hz, four octaves below 440
#define CENTRE_OCTAVE 5.0  // of the bank's weight
#define OCTAVE_WIDTH  2.0
#define C_OF_A        3 // semitones from A up to C
#define LN2           0.69314718055994530942

// Notes above the lowest A of `count` bins; the first stands one and a half octaves below the
// second.
static void fill_notes(int32_t rate_hz, int32_t n_fft, double tuning, double *notes,
                       int32_t count) {
    double lowest = LOWEST_A * maths_exp(LN2 * tuning / CHROMA_NOTES);
    for (int32_t k = 1; k < count; k++) {
        double hz = (double)k * rate_hz / n_fft;
        notes[k] = CHROMA_NOTES * (maths_log(hz / lowest) / LN2);
    }
    notes[0] = notes[1] - 1.5 * CHROMA_NOTES;
}

// x to the nearest multiple of twelve: -6 .. 6.
static double wrapped(double x) {
    double half = CHROMA_NOTES / 2.0;
    return x + half - CHROMA_NOTES * floor((x + half) / CHROMA_NOTES) - half;
}

// One bin's share in each note.
static void fill_bin(double note, double width, float out[CHROMA_NOTES]) {
    double bumps[CHROMA_NOTES], squares = 0;
    for (int c = 0; c < CHROMA_NOTES; c++) {
        double apart = 2 * wrapped(note - c) / width;
        bumps[c] = maths_exp(-0.5 * apart * apart);
        squares += bumps[c] * bumps[c];
    }
    double octave = (note / CHROMA_NOTES - CENTRE_OCTAVE) / OCTAVE_WIDTH;
    double weight = maths_exp(-0.5 * octave * octave);
    for (int c = 0; c < CHROMA_NOTES; c++) {
        out[c] = (float)(bumps[(c + C_OF_A) % CHROMA_NOTES] / sqrt(squares) * weight);
    }
}

Status chroma_bank(int32_t rate_hz, int32_t n_fft, double tuning, float *out) {
    int32_t bins = n_fft / 2 + 1;
    double *notes = mem_new((size_t)bins + 1, sizeof *notes);
    if (notes == NULL) {
        return STATUS_MEMORY;
    }
    fill_notes(rate_hz, n_fft, tuning, notes, bins + 1);
    for (int32_t k = 0; k < bins; k++) {
        double width = notes[k + 1] - notes[k]; // of a bin, in notes; bumps are never narrower
        fill_bin(notes[k], width > 1 ? width : 1, out + (int64_t)k * CHROMA_NOTES);
    }
    mem_free(notes);
    return STATUS_OK;
}

void chroma_frame(const float *bank, int32_t bins, const float *power, float out[CHROMA_NOTES]) {
    double sums[CHROMA_NOTES] = {0}; // side by side, for vectors
    for (int32_t k = 0; k < bins; k++) {
        const float *shares = bank + (int64_t)k * CHROMA_NOTES;
        double bin = (double)power[k];
        for (int c = 0; c < CHROMA_NOTES; c++) {
            sums[c] += (double)shares[c] * bin;
        }
    }
    for (int c = 0; c < CHROMA_NOTES; c++) {
        out[c] = (float)sums[c];
    }
    float largest = maths_largest(out, CHROMA_NOTES);
    for (int c = 0; c < CHROMA_NOTES && largest >= FLT_MIN; c++) {
        out[c] /= largest;
    }
}
