// SPDX-License-Identifier: Apache-2.0
//
// Elementary functions that give the same bits on every processor. The C library picks other code
// for log, exp, pow and cos where it finds fused multiply-add, with other last digits; these are
// plain additions, multiplications and divisions in a fixed order. Any thread.
#ifndef AUSCULT_DSP_MATHS_H
#define AUSCULT_DSP_MATHS_H

#include <stddef.h>
#include <stdint.h>

// Natural logarithm of a positive, normal, finite x; within 2 units of the last place.
double maths_log(double x);
// e to the power x for |x| <= 700; within 2 units of the last place.
double maths_exp(double x);
// cos(2 pi n / period) for 0 <= n < period < 2^40; within 1e-16. Exact at 0, 1/4, 1/2 and 3/4.
double maths_cos_turn(int64_t n, int64_t period);

// What turns a power into decibels: 20/power * log10(max(x, least)).
typedef struct MathsDecibel {
    float least;       // what smaller values are raised to; positive and normal
    float octave_high; // decibels of a factor of two: the first 12 bits ...
    float octave_low;  // ... and the rest
    float natural;     // decibels of a factor of e
} MathsDecibel;

// scale = 20/power (10 for energies); least > 0.
MathsDecibel maths_decibel_new(double scale, double least);
// values -> decibels in place, within 2 units of the last place; infinity stays infinity.
void maths_decibel(const MathsDecibel *decibel, float *values, size_t count);

// The largest magnitude among the values, 0 for none; NaN when one is NaN.
float maths_largest(const float *values, size_t count);

// values -> values^exponent in place, within 2 units of the last place; values >= 0, exponent > 0.
// The exponents 1 and 0.5 take short ways.
void maths_power(float *values, size_t count, double exponent);

#endif
