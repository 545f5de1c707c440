// SPDX-License-Identifier: Apache-2.0
//
// Compiled with -O3 for its vectoriser. Every loop's innermost index runs over columns, so that
// vectorising never changes an order of summation.
#include "common/model/passes.h"

#include <string.h>

#include "common/base/clones.h"

#define LANES 16
#define BLOCK 8 // rows summed as one tree

CPU_CLONES
void pass_scale_row(const float *restrict in, const real *restrict center,
                    const real *restrict scale, int n, real *restrict out) {
    for (int j = 0; j < n; j++) {
        out[j] = ((real)in[j] - center[j]) / scale[j];
    }
}

void pass_copy_row(const float *in, int n, real *out) {
    for (int j = 0; j < n; j++) {
        out[j] = (real)in[j];
    }
}

static inline real tree8(real a, real b, real c, real d, real e, real f, real g, real h) {
    return ((a + b) + (c + d)) + ((e + f) + (g + h));
}

CPU_CLONES
void pass_column_sums(const real *restrict x, int count, int n, real *restrict sums) {
    memset(sums, 0, (size_t)n * sizeof *sums);
    size_t w = (size_t)n;
    int i = 0;
    for (; i + BLOCK <= count; i += BLOCK) {
        const real *r = x + (size_t)i * w;
        for (size_t j = 0; j < w; j++) {
            sums[j] += tree8(r[j], r[w + j], r[2 * w + j], r[3 * w + j], r[4 * w + j], r[5 * w + j],
                             r[6 * w + j], r[7 * w + j]);
        }
    }
    for (; i < count; i++) {
        const real *r = x + (size_t)i * w;
        for (size_t j = 0; j < w; j++) {
            sums[j] += r[j];
        }
    }
}

static inline real square(real x) {
    return x * x;
}

CPU_CLONES
void pass_column_squares(const real *restrict x, const real *restrict mean, int count, int n,
                         real *restrict sums) {
    memset(sums, 0, (size_t)n * sizeof *sums);
    size_t w = (size_t)n;
    int i = 0;
    for (; i + BLOCK <= count; i += BLOCK) {
        const real *r = x + (size_t)i * w;
        for (size_t j = 0; j < w; j++) {
            real c = mean[j];
            sums[j] +=
                tree8(square(r[j] - c), square(r[w + j] - c), square(r[2 * w + j] - c),
                      square(r[3 * w + j] - c), square(r[4 * w + j] - c), square(r[5 * w + j] - c),
                      square(r[6 * w + j] - c), square(r[7 * w + j] - c));
        }
    }
    for (; i < count; i++) {
        const real *r = x + (size_t)i * w;
        for (size_t j = 0; j < w; j++) {
            sums[j] += square(r[j] - mean[j]);
        }
    }
}

static void zero_rows(real *x, int from, int to, int n) {
    memset(x + (size_t)from * (size_t)n, 0, (size_t)(to - from) * (size_t)n * sizeof *x);
}

CPU_CLONES
void pass_normalise_relu(const real *restrict z, const real *restrict mean,
                         const real *restrict scale, const real *restrict beta, int count, int m,
                         int n, real *restrict a) {
    for (int i = 0; i < count; i++) {
        const real *row = z + (size_t)i * (size_t)n;
        real *out = a + (size_t)i * (size_t)n;
        for (int j = 0; j < n; j++) {
            real y = (row[j] - mean[j]) * scale[j] + beta[j];
            out[j] = 0 > y ? 0 : y; // NaN stays NaN
        }
    }
    zero_rows(a, count, m, n);
}

// The gradient through the ReLU, for so many numbers in a run. A pass of its own over what the
// first cache then holds: in one loop with the sums, gcc does not vectorise the choice.
static inline __attribute__((always_inline)) void mask(const real *restrict a, size_t count,
                                                       real *restrict g) {
    for (size_t i = 0; i < count; i++) {
        real kept = g[i];
        g[i] = a[i] > 0 ? kept : 0;
    }
}

CPU_CLONES
void pass_relu_backward(const real *restrict a, const real *restrict z, const real *restrict mean,
                        int count, int n, real *restrict g, real *restrict sum,
                        real *restrict moment) {
    size_t w = (size_t)n;
    memset(sum, 0, w * sizeof *sum);
    memset(moment, 0, w * sizeof *moment);
    int i = 0;
    for (; i + BLOCK <= count; i += BLOCK) {
        const real *r = z + (size_t)i * w;
        real *d = g + (size_t)i * w;
        mask(a + (size_t)i * w, BLOCK * w, d);
        for (size_t j = 0; j < w; j++) {
            real c = mean[j];
            sum[j] += tree8(d[j], d[w + j], d[2 * w + j], d[3 * w + j], d[4 * w + j], d[5 * w + j],
                            d[6 * w + j], d[7 * w + j]);
            moment[j] +=
                tree8(d[j] * (r[j] - c), d[w + j] * (r[w + j] - c),
                      d[2 * w + j] * (r[2 * w + j] - c), d[3 * w + j] * (r[3 * w + j] - c),
                      d[4 * w + j] * (r[4 * w + j] - c), d[5 * w + j] * (r[5 * w + j] - c),
                      d[6 * w + j] * (r[6 * w + j] - c), d[7 * w + j] * (r[7 * w + j] - c));
        }
    }
    for (; i < count; i++) {
        const real *r = z + (size_t)i * w;
        real *d = g + (size_t)i * w;
        mask(a + (size_t)i * w, w, d);
        for (size_t j = 0; j < w; j++) {
            sum[j] += d[j];
            moment[j] += d[j] * (r[j] - mean[j]);
        }
    }
}

CPU_CLONES
void pass_normalise_backward(const real *restrict z, const real *restrict mean,
                             const real *restrict scale, const real *restrict share,
                             const real *restrict slope, int count, int m, int n,
                             real *restrict g) {
    for (int i = 0; i < count; i++) {
        const real *row = z + (size_t)i * (size_t)n;
        real *out = g + (size_t)i * (size_t)n;
        for (int j = 0; j < n; j++) {
            out[j] = ((out[j] - share[j]) - (row[j] - mean[j]) * slope[j]) * scale[j];
        }
    }
    zero_rows(g, count, m, n);
}

// Mean of r^2 over one row, where r = (z + bias) - x; z := r * factor.
static inline __attribute__((always_inline)) double loss_of_row(const real *restrict x,
                                                                const real *restrict bias,
                                                                real factor, int n,
                                                                real *restrict z) {
    double lanes[LANES] = {0};
    int j = 0;
    for (; j + LANES <= n; j += LANES) {
        for (int k = 0; k < LANES; k++) {
            real r = (z[j + k] + bias[j + k]) - x[j + k];
            lanes[k] += (double)r * (double)r;
            z[j + k] = r * factor;
        }
    }
    for (int k = 0; j < n; j++, k++) {
        real r = (z[j] + bias[j]) - x[j];
        lanes[k] += (double)r * (double)r;
        z[j] = r * factor;
    }
    for (int width = LANES / 2; width > 0; width /= 2) {
        for (int k = 0; k < width; k++) {
            lanes[k] += lanes[k + width];
        }
    }
    return lanes[0] / n;
}

CPU_CLONES
static void loss_rows(const real *x, const real *bias, real factor, int count, int n, real *z,
                      double *row_loss) {
    for (int i = 0; i < count; i++) {
        size_t at = (size_t)i * (size_t)n;
        row_loss[i] = loss_of_row(x + at, bias, factor, n, z + at);
    }
}

void pass_loss(const real *x, const real *bias, real factor, int count, int m, int n, real *z,
               double *row_loss, real *sums) {
    loss_rows(x, bias, factor, count, n, z, row_loss);
    pass_column_sums(z, count, n, sums);
    zero_rows(z, count, m, n);
}

void pass_residual(const real *x, const real *bias, int count, int n, real *z, double *row_loss) {
    loss_rows(x, bias, 1, count, n, z, row_loss);
}

CPU_CLONES
void pass_affine_relu(const real *restrict scale, const real *restrict shift, int m, int n,
                      real *restrict y) {
    for (int i = 0; i < m; i++) {
        real *row = y + (size_t)i * (size_t)n;
        for (int j = 0; j < n; j++) {
            real value = row[j] * scale[j] + shift[j];
            row[j] = 0 > value ? 0 : value;
        }
    }
}

CPU_CLONES
void pass_add(real *restrict left, const real *restrict right, size_t count) {
    for (size_t i = 0; i < count; i++) {
        left[i] += right[i];
    }
}

void pass_add_double(double *left, const double *right, size_t count) {
    for (size_t i = 0; i < count; i++) {
        left[i] += right[i];
    }
}

#ifdef AUSCULT_MODEL_DOUBLE
#define ROOT __builtin_sqrt
#else
#define ROOT __builtin_sqrtf
#endif

CPU_CLONES
void pass_adam(const AdamStep *step, const real *restrict sums, size_t count, real *restrict first,
               real *restrict second, real *restrict parameters) {
    AdamStep s = *step;
    for (size_t i = 0; i < count; i++) {
        real g = sums[i] * s.inverse_count;
        real m = first[i] + (g - first[i]) * s.take1;
        real v = second[i] * s.keep2 + s.take2 * g * g;
        first[i] = m;
        second[i] = v;
        parameters[i] -= s.step_size * m / (ROOT(v) * s.inverse_root + s.epsilon);
    }
}

void pass_running(const real *sums, real inverse_count, size_t count, real *running) {
    for (size_t i = 0; i < count; i++) {
        running[i] = (real)0.99 * running[i] + (real)0.01 * (sums[i] * inverse_count);
    }
}

// x - x is 0 for finite numbers and NaN for all others.
CPU_CLONES
int pass_all_finite(const real *x, size_t count) {
    int bad = 0;
    for (size_t i = 0; i < count; i++) {
        bad |= !(x[i] - x[i] == 0);
    }
    return !bad;
}

CPU_CLONES
int pass_all_finite_bytes(const char *bytes, size_t count) {
    int bad = 0;
    for (size_t i = 0; i < count; i++) {
        real x;
        memcpy(&x, bytes + i * sizeof x, sizeof x);
        bad |= !(x - x == 0);
    }
    return !bad;
}

CPU_CLONES
int pass_all_finite_float(const float *x, size_t count) {
    int bad = 0;
    for (size_t i = 0; i < count; i++) {
        bad |= !(x[i] - x[i] == 0);
    }
    return !bad;
}

CPU_CLONES
int pass_all_within(const real *x, size_t count, real most) {
    int bad = 0;
    for (size_t i = 0; i < count; i++) {
        bad |= !(x[i] <= most) | !(x[i] >= -most);
    }
    return !bad;
}

CPU_CLONES
void pass_sum_row(const float *restrict row, int n, double *restrict sum) {
    for (int j = 0; j < n; j++) {
        sum[j] += (double)row[j];
    }
}

CPU_CLONES
void pass_square_row(const float *restrict row, const double *restrict mean, int n,
                     double *restrict m2) {
    for (int j = 0; j < n; j++) {
        double d = (double)row[j] - mean[j];
        m2[j] += d * d;
    }
}

void pass_merge_moments(double left_count, double right_count, const double *right_mean,
                        const double *right_m2, int n, double *left_mean, double *left_m2) {
    double total = left_count + right_count;
    double right_share = right_count / total;
    double cross = left_count * right_share;
    for (int j = 0; j < n; j++) {
        double delta = right_mean[j] - left_mean[j];
        left_mean[j] += delta * right_share;
        left_m2[j] += right_m2[j] + delta * delta * cross;
    }
}
