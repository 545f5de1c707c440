// SPDX-License-Identifier: Apache-2.0
//
// How it works. Two real frames a and b make one complex transform z = a + ib, which FFTW does in
// less time than two real ones. With Z its result, Z[k] + conj(Z[N-k]) = 2 A[k] and
// Z[k] - conj(Z[N-k]) = 2i B[k]; the window carries the factor 1/2. What crosses over from a loud
// frame to a quiet neighbour is of the order of double's rounding, 1e-30 of its power.
// FFTW_ESTIMATE, one plan for one transform and buffers of one alignment make the bits repeatable.
#include "common/dsp/stft.h"

#include <assert.h>
#include <fftw3.h>
#include <pthread.h>
#include <string.h>

#include "common/base/clones.h"
#include "common/base/mem.h"
#include "common/dsp/maths.h"

struct Stft {
    StftConfig config;
    double *window;    // (n_fft, 2) half the Hann window for both frames of a pair, zero outside
    float *edge[2];    // (n_fft) each: a frame that sticks out of the clip, padded
    float *zeros;      // (n_fft) the frame beside an odd last one
    double *pair;      // (n_fft, 2) two windowed frames
    double *transform; // (n_fft, 2) of the pair
    fftw_plan plan;
};

// FFTW plans share tables; only execution may run in parallel.
static pthread_mutex_t planner = PTHREAD_MUTEX_INITIALIZER;

static void fill_window(const StftConfig *config, double *window) {
    int32_t start = (config->n_fft - config->win_length) / 2;
    for (int32_t i = 0; i < config->win_length; i++) {
        double half = 0.5 * (0.5 - 0.5 * maths_cos_turn(i, config->win_length));
        window[2 * (start + i)] = window[2 * (start + i) + 1] = half;
    }
}

static bool make_buffers(Stft *stft) {
    size_t n = (size_t)stft->config.n_fft;
    stft->window = mem_new_aligned(n, 2 * sizeof(double));
    stft->edge[0] = mem_new_aligned(n, sizeof(float));
    stft->edge[1] = mem_new_aligned(n, sizeof(float));
    stft->zeros = mem_new_aligned(n, sizeof(float));
    stft->pair = mem_new_aligned(n, 2 * sizeof(double));
    stft->transform = mem_new_aligned(n, 2 * sizeof(double));
    return stft->window != NULL && stft->edge[0] != NULL && stft->edge[1] != NULL &&
           stft->zeros != NULL && stft->pair != NULL && stft->transform != NULL;
}

Stft *stft_new(const StftConfig *config) {
    assert(config->win_length >= 1 && config->win_length <= config->n_fft);
    assert(config->hop_length >= 1);
    Stft *stft = mem_new(1, sizeof *stft);
    if (stft == NULL) {
        return NULL;
    }
    stft->config = *config;
    if (!make_buffers(stft)) {
        stft_free(stft);
        return NULL;
    }
    fill_window(config, stft->window);
    pthread_mutex_lock(&planner);
    stft->plan =
        fftw_plan_dft_1d(config->n_fft, (fftw_complex *)stft->pair, (fftw_complex *)stft->transform,
                         FFTW_FORWARD, FFTW_ESTIMATE | FFTW_DESTROY_INPUT);
    pthread_mutex_unlock(&planner);
    if (stft->plan == NULL) {
        status_set(STATUS_MEMORY, "FFTW cannot plan a transform of %d samples", config->n_fft);
        stft_free(stft);
        return NULL;
    }
    return stft;
}

void stft_free(Stft *stft) {
    if (stft == NULL) {
        return;
    }
    pthread_mutex_lock(&planner);
    fftw_destroy_plan(stft->plan);
    pthread_mutex_unlock(&planner);
    mem_free(stft->window);
    mem_free(stft->edge[0]);
    mem_free(stft->edge[1]);
    mem_free(stft->zeros);
    mem_free(stft->pair);
    mem_free(stft->transform);
    mem_free(stft);
}

int32_t stft_bins(const Stft *stft) {
    return stft->config.n_fft / 2 + 1;
}

int64_t stft_frames(const Stft *stft, int64_t samples) {
    int64_t n = stft->config.n_fft;
    int64_t padded = samples + 2 * (n / 2); // odd n_fft: one sample less than n_fft on the whole
    return samples <= 0 || padded < n ? 0 : 1 + (padded - n) / stft->config.hop_length;
}

// The sample that stands at `index` before or behind a clip: back and forth over it, the end
// samples not repeated (numpy.pad's reflect); a clip of one sample repeats it.
static int64_t reflected(int64_t index, int64_t count) {
    if (count == 1) {
        return 0;
    }
    int64_t period = 2 * (count - 1);
    index %= period;
    index = index < 0 ? index + period : index;
    return index < count ? index : period - index;
}

static void fill_edge(const Stft *stft, const float *samples, int64_t count, int64_t start,
                      float *out) {
    for (int32_t i = 0; i < stft->config.n_fft; i++) {
        int64_t index = start + i;
        if (index >= 0 && index < count) {
            out[i] = samples[index];
        } else if (stft->config.pad_mode == PAD_ZEROS) {
            out[i] = 0;
        } else {
            out[i] = samples[reflected(index, count)];
        }
    }
}

// In the clip itself, or padded in edge[side].
static const float *frame_at(Stft *stft, const float *samples, int64_t count, int64_t t, int side) {
    int64_t n = stft->config.n_fft;
    int64_t start = t * stft->config.hop_length - n / 2;
    if (t >= stft_frames(stft, count)) {
        return stft->zeros;
    }
    if (start >= 0 && start + n <= count) {
        return samples + start;
    }
    fill_edge(stft, samples, count, start, stft->edge[side]);
    return stft->edge[side];
}

const float *stft_samples(Stft *stft, const float *samples, int64_t count, int64_t t) {
    return frame_at(stft, samples, count, t, 0);
}

bool stft_is_silent(Stft *stft, const float *samples, int64_t count, int64_t t) {
    const float *frame = stft_samples(stft, samples, count, t);
    int32_t start = (stft->config.n_fft - stft->config.win_length) / 2; // where the window is zero
    return maths_largest(frame + start + 1, (size_t)stft->config.win_length - 1) == 0;
}

typedef float Four __attribute__((vector_size(16)));
typedef double Two __attribute__((vector_size(32))); // two complex numbers

// Both frames, windowed and interleaved, four samples at a time: written out because compilers
// interleave after widening, which takes twice as long.
CPU_CLONES
static void fill_pair(const float *a, const float *b, const double *window, int32_t n,
                      double *out) {
    int32_t i = 0;
    for (; i + 3 < n; i += 4) {
        Four from_a, from_b;
        Two low_window, high_window;
        memcpy(&from_a, a + i, sizeof from_a);
        memcpy(&from_b, b + i, sizeof from_b);
        memcpy(&low_window, window + 2 * i, sizeof low_window);
        memcpy(&high_window, window + 2 * i + 4, sizeof high_window);
        Four low = __builtin_shufflevector(from_a, from_b, 0, 4, 1, 5);
        Four high = __builtin_shufflevector(from_a, from_b, 2, 6, 3, 7);
        Two low_product = __builtin_convertvector(low, Two) * low_window;
        Two high_product = __builtin_convertvector(high, Two) * high_window;
        memcpy(out + 2 * i, &low_product, sizeof low_product);
        memcpy(out + 2 * i + 4, &high_product, sizeof high_product);
    }
    for (; i < n; i++) {
        out[2 * i] = (double)a[i] * window[2 * i];
        out[2 * i + 1] = (double)b[i] * window[2 * i];
    }
}

// Bin k of both frames, from z = Z[k] and y = Z[N-k]: with s = z + y and d = z - y,
// |A|^2 = Re(s)^2 + Im(d)^2 and |B|^2 = Im(s)^2 + Re(d)^2.
static inline void split_bin(const double *z, const double *y, float *out) {
    double s_real = z[0] + y[0], s_imaginary = z[1] + y[1];
    double d_real = z[0] - y[0], d_imaginary = z[1] - y[1];
    out[0] = (float)(s_real * s_real + d_imaginary * d_imaginary);
    out[1] = (float)(s_imaginary * s_imaginary + d_real * d_real);
}

// Squared magnitudes of both frames of a pair into two neighbouring columns of out
// (bins, STFT_LANES); split_bin for two bins at a time.
CPU_CLONES
static void split_pair(const double *transform, int32_t n, float *out) {
    int32_t bins = n / 2 + 1, k = 1;
    split_bin(transform, transform, out);
    for (; k + 1 < bins; k += 2) {
        Two z, y;
        memcpy(&z, transform + 2 * k, sizeof z);
        memcpy(&y, transform + 2 * (n - k - 1), sizeof y);
        y = __builtin_shufflevector(y, y, 2, 3, 0, 1); // the other bin first
        Two s = z + y, d = z - y;
        Two squares = d * d;
        Two power = s * s + __builtin_shufflevector(squares, squares, 1, 0, 3, 2); // other part
        Four narrow = __builtin_convertvector(power, Four);
        memcpy(out + (int64_t)k * STFT_LANES, &narrow, 8);
        memcpy(out + (int64_t)(k + 1) * STFT_LANES, (const char *)&narrow + 8, 8);
    }
    for (; k < bins; k++) {
        split_bin(transform + 2 * k, transform + 2 * (n - k), out + (int64_t)k * STFT_LANES);
    }
}

// Both columns of a pair behind the last frame.
static void clear_pair(int32_t bins, float *out) {
    for (int32_t k = 0; k < bins; k++) {
        out[(int64_t)k * STFT_LANES] = out[(int64_t)k * STFT_LANES + 1] = 0;
    }
}

void stft_run(Stft *stft, const float *samples, int64_t count, int64_t first, float *out) {
    int64_t frames = stft_frames(stft, count);
    for (int lane = 0; lane < STFT_LANES; lane += 2) {
        if (first + lane >= frames) {
            clear_pair(stft_bins(stft), out + lane);
            continue;
        }
        const float *a = frame_at(stft, samples, count, first + lane, 0);
        const float *b = frame_at(stft, samples, count, first + lane + 1, 1);
        fill_pair(a, b, stft->window, stft->config.n_fft, stft->pair);
        fftw_execute(stft->plan);
        split_pair(stft->transform, stft->config.n_fft, out + lane);
    }
}

void stft_transforms(Stft *stft, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        fftw_execute(stft->plan);
    }
}

const char *stft_library(void) {
    return fftw_version;
}
