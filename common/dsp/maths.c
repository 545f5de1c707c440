// SPDX-License-Identifier: Apache-2.0
//
// How it works. Logarithms: x = 2^e * m with m in [sqrt(1/2), sqrt(2)), f = m - 1, s = f / (2 + f),
// and log(m) = 2 atanh(s) = 2 (s + s^3/3 + s^5/5 + ...), where s^2 < 0.0295 lets the series end
// early. Exponentials and cosines: argument reduced, then the Taylor series.
#include "common/dsp/maths.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "common/base/clones.h"

#define LN2 0.69314718055994530942
#define LN2_HIGH                                                                                   \
    6.93147180369123816490e-01 // ln 2 with its last 21 bits zero: k * LN2_HIGH is exact
#define LN2_LOW          1.90821492927058770002e-10
#define LN10             2.30258509299404568402
#define PI               3.14159265358979323846
#define HALF_ROOT_BITS   0x3fe6a09e667f3bcdll // sqrt(1/2) as a double
#define HALF_ROOT_BITS_F 0x3f3504f3           // sqrt(1/2) as a float

static inline int64_t bits_of(double x) {
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double double_of(int64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline int32_t bits_of_float(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of(int32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline double log_inline(double x) {
    int64_t bits = bits_of(x);
    int64_t exponent = (bits - HALF_ROOT_BITS) >> 52;
    double f = double_of(bits - exponent * (1ll << 52)) - 1.0;
    double s = f / (2.0 + f), z = s * s;
    double tail = 1.0 / 23;
    for (int odd = 21; odd >= 3; odd -= 2) {
        tail = tail * z + 1.0 / odd;
    }
    // 2s = f - s f keeps the leading term exact.
    double e = (double)exponent;
    return e * LN2_HIGH + (f - (s * f - (2.0 * s * z * tail + e * LN2_LOW)));
}

static inline double exp_inline(double x) {
    // Adding and subtracting 1.5 * 2^52 rounds to the nearest whole number.
    double k = (x * (1.0 / LN2) + 6755399441055744.0) - 6755399441055744.0;
    double r = (x - k * LN2_HIGH) - k * LN2_LOW;
    double sum = 1.0;
    for (int n = 14; n >= 2; n--) {
        sum = sum * r * (1.0 / n) + 1.0;
    }
    return (1.0 + r * sum) * double_of(((int64_t)k + 1023) * (1ll << 52));
}

double maths_log(double x) {
    assert(x >= DBL_MIN && x <= DBL_MAX);
    return log_inline(x);
}

double maths_exp(double x) {
    assert(x >= -700 && x <= 700);
    return exp_inline(x);
}

// cos and sin of |x| <= pi/4.
static double short_cos(double x) {
    double z = x * x, sum = 1.0;
    for (int n = 20; n >= 2; n -= 2) {
        sum = 1.0 - sum * z / (double)(n * (n - 1));
    }
    return sum;
}

static double short_sin(double x) {
    double z = x * x, sum = 1.0;
    for (int n = 21; n >= 3; n -= 2) {
        sum = 1.0 - sum * z / (double)(n * (n - 1));
    }
    return x * sum;
}

double maths_cos_turn(int64_t n, int64_t period) {
    assert(n >= 0 && n < period && period < 1ll << 40);
    // In quarters of a turn, exactly: n/period = quarter/4 + rest/(4 period).
    int64_t quarter = 4 * n / period;
    int64_t rest = 4 * n - quarter * period; // 0 <= rest < period
    double x = PI / 2 * ((double)rest / (double)period);
    double x_left = PI / 2 * ((double)(period - rest) / (double)period);
    double cosine = 2 * rest <= period ? short_cos(x) : short_sin(x_left);
    double sine = 2 * rest <= period ? short_sin(x) : short_cos(x_left);
    switch (quarter) {
    case 0:
        return cosine;
    case 1:
        return -sine;
    case 2:
        return -cosine;
    default:
        return sine;
    }
}

MathsDecibel maths_decibel_new(double scale, double least) {
    assert(least >= FLT_MIN && least <= FLT_MAX);
    double octave = scale * LN2 / LN10;
    // Twelve bits, so that the product with an exponent of eight bits is exact.
    float high = float_of(bits_of_float((float)octave) & ~0xfff);
    return (MathsDecibel){.least = (float)least,
                          .octave_high = high,
                          .octave_low = (float)(octave - (double)high),
                          .natural = (float)(scale / LN10)};
}

CPU_CLONES
void maths_decibel(const MathsDecibel *decibel, float *values, size_t count) {
    const MathsDecibel d = *decibel;
    const int32_t least = bits_of_float(d.least), infinite = bits_of_float(INFINITY);
    for (size_t i = 0; i < count; i++) {
        // Positive floats are in the order of their bits, and negative ones below them.
        int32_t bits = bits_of_float(values[i]);
        bits = bits > least ? bits : least;
        int32_t exponent = (bits - HALF_ROOT_BITS_F) >> 23;
        float f = float_of(bits - exponent * (1 << 23)) - 1.0f;
        float s = f / (2.0f + f), z = s * s;
        float tail = z * (2.0f / 3 + z * (2.0f / 5 + z * (2.0f / 7 + z * (2.0f / 9))));
        // log(m) = f - s f + s tail, the small terms first.
        float natural = f - s * (f - tail);
        float e = (float)exponent;
        float value = e * d.octave_high + (e * d.octave_low + natural * d.natural);
        values[i] = bits < infinite ? value : INFINITY;
    }
}

CPU_CLONES
float maths_largest(const float *values, size_t count) {
    int32_t largest = 0; // without their sign, floats are in the order of their bits, NaN last
    for (size_t i = 0; i < count; i++) {
        int32_t bits = bits_of_float(values[i]) & 0x7fffffff;
        largest = bits > largest ? bits : largest;
    }
    return float_of(largest);
}

CPU_CLONES
static void square_roots(float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        values[i] = sqrtf(values[i]);
    }
}

// Zero and infinity stay what they are, results out of float's range become one of them.
static inline float power_of(float value, double exponent) {
    double x = value >= FLT_MIN ? (double)value : (double)FLT_MIN;
    x = x <= (double)FLT_MAX ? x : (double)FLT_MAX;
    double y = exponent * log_inline(x);
    y = y < -700 ? -700 : y > 700 ? 700 : y;
    double result = exp_inline(y);
    result = value <= FLT_MAX ? result : INFINITY;
    return value >= FLT_MIN ? (float)result : 0.0f;
}

CPU_CLONES
static void general_powers(float *values, size_t count, double exponent) {
    for (size_t i = 0; i < count; i++) {
        values[i] = power_of(values[i], exponent);
    }
}

void maths_power(float *values, size_t count, double exponent) {
    if (exponent == 0.5) {
        square_roots(values, count);
    } else if (exponent != 1.0) {
        general_powers(values, count, exponent);
    }
}
