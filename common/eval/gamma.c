// SPDX-License-Identifier: Apache-2.0
#include "common/eval/gamma.h"

#include <float.h>
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_errno.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "common/base/mem.h"

// Logarithms
//
// libm picks its log by processor, and a last digit that differs may turn the walk below. These
// are plain C.

double gamma_log(double x) {
    // ln 2 as a sum: the first part has 21 zero bits at its end, so that times an exponent is
    // exact.
    static const double LN2_HIGH = 0x1.62e42fee00000p-1, LN2_LOW = 0x1.a39ef35793c76p-33;
    int exponent;
    double m = frexp(x, &exponent);
    if (m < 0x1.6a09e667f3bcdp-1) { // below sqrt(1/2): centre m on 1
        m *= 2;
        exponent--;
    }
    // log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172, with s as a sum of two doubles. fma
    // is exact by definition, so the same everywhere.
    double sum = m + 1;
    double sum_low = m < 1 ? m - (sum - 1) : 1 - (sum - m);
    double s = (m - 1) / sum;
    double s_low = (fma(-s, sum, m - 1) - s * sum_low) / sum;
    double z = s * s;
    double tail = 0;
    for (int k = 25; k >= 3; k -= 2) {
        tail = z * (2.0 / k + tail);
    }
    // The large parts first, what their rounding lost with the small ones.
    double high = exponent * LN2_HIGH;
    double value = high + 2 * s;
    double lost = exponent != 0 ? (high - value) + 2 * s : 0;
    return value + (lost + (2 * s_low + s * tail + exponent * LN2_LOW));
}

// log G(2 + t), |t| <= 1/2: (1 - Euler's constant) t + sum over k >= 2 of
// (-1)^k (zeta(k) - 1) t^k / k.
static double log_gamma_near_2(double t) {
    static const double ZETA_LESS_1[] = {
        0.6449340668482264,     0.2020569031595943,    0.08232323371113819,
        0.03692775514336993,    0.01734306198444914,   0.008349277381922827,
        0.00407735619794434,    0.0020083928260822143, 0.0009945751278180853,
        0.0004941886041194645,  0.0002460865533080483, 0.00012271334757848915,
        6.124813505870483e-05,  3.058823630702049e-05, 1.528225940865187e-05,
        7.637197637899763e-06,  3.81729326499984e-06,  1.908212716553939e-06,
        9.539620338727962e-07,  4.769329867878064e-07, 2.38450502727733e-07,
        1.1921992596531106e-07, 5.960818905125948e-08, 2.980350351465228e-08,
        1.4901554828365043e-08, 7.45071178983543e-09,  3.725334024788457e-09};
    double series = 0;
    for (int k = (int)(sizeof ZETA_LESS_1 / sizeof ZETA_LESS_1[0]) + 1; k >= 2; k--) {
        series = ZETA_LESS_1[k - 2] / k - t * series;
    }
    return t * (0.42278433509846714 + t * series);
}

// Stirling's series, for x >= 13.
static double log_gamma_far(double x) {
    static const double TERMS[] = {1.0 / 12,   -1.0 / 360,      1.0 / 1260, -1.0 / 1680,
                                   1.0 / 1188, -691.0 / 360360, 1.0 / 156};
    static const double HALF_LOG_2PI = 0.91893853320467274178;
    double z = 1 / (x * x);
    double series = 0;
    for (size_t i = sizeof TERMS / sizeof TERMS[0]; i-- > 0;) {
        series = series * z + TERMS[i];
    }
    return (x - 0.5) * gamma_log(x) - x + HALF_LOG_2PI + series / x;
}

double gamma_log_gamma(double x) {
    if (x >= 13) {
        return log_gamma_far(x);
    }
    // G(x) = (x - 1) G(x - 1): step to the middle.
    double product = 1;
    for (; x > 2.5; x -= 1) {
        product *= x - 1;
    }
    if (product > 1) {
        return gamma_log(product) + log_gamma_near_2(x - 2);
    }
    for (; x < 1.5; x += 1) {
        product *= x;
    }
    return log_gamma_near_2(x - 2) - gamma_log(product);
}

// Sums

// NumPy's pairwise summation (add.reduce over a contiguous axis): blocks of up to 128 in eight
// accumulators, larger runs halved at a multiple of eight.
static double sum_of(const double *x, size_t count) {
    if (count < 8) {
        double sum = 0;
        for (size_t i = 0; i < count; i++) {
            sum += x[i];
        }
        return sum;
    }
    if (count > 128) {
        size_t half = count / 2 - count / 2 % 8;
        return sum_of(x, half) + sum_of(x + half, count - half);
    }
    double lane[8];
    memcpy(lane, x, sizeof lane);
    size_t i = 8;
    for (; i + 8 <= count; i += 8) {
        for (size_t k = 0; k < 8; k++) {
            lane[k] += x[i + k];
        }
    }
    double sum =
        ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
    for (; i < count; i++) {
        sum += x[i];
    }
    return sum;
}

// A sum that loses nothing worth naming: `low` gathers what rounding takes from `high`.
typedef struct LongSum {
    double high, low;
} LongSum;

static void long_sum_add(LongSum *sum, double term) {
    double high = sum->high + term;
    double added = high - sum->high;
    sum->low += (sum->high - (high - added)) + (term - added);
    sum->high = high;
}

typedef struct Moments {
    double mean, variance, skewness; // all with 1/n
    double least, most;
} Moments;

// m3 / m2^1.5, the skewness, is mostly rounding where the values are nearly symmetric, and the walk
// turns one unit in its last place into 3e-6 of a nearly flat fit's quantile. SciPy's differs that
// much between processors with and without AVX-512. We take it as exact as doubles can hold, which
// is as near to all of them as can be.
static double skewness_of(const double *values, size_t count, double mean) {
    LongSum squares = {0}, cubes = {0};
    for (size_t i = 0; i < count; i++) {
        double d = values[i] - mean;
        double square = d * d;
        double square_low = fma(d, d, -square);
        double cube = square * d;
        double cube_low = fma(square, d, -cube) + square_low * d;
        long_sum_add(&squares, square);
        long_sum_add(&squares, square_low);
        long_sum_add(&cubes, cube);
        long_sum_add(&cubes, cube_low);
    }
    double m2 = (squares.high + squares.low) / (double)count;
    double m3 = (cubes.high + cubes.low) / (double)count;
    return m3 / (m2 * sqrt(m2));
}

// `scratch` has room for `count` numbers.
static Moments moments_of(const double *values, size_t count, double *scratch) {
    Moments m = {.least = values[0], .most = values[0]};
    m.mean = sum_of(values, count) / (double)count;
    for (size_t i = 0; i < count; i++) {
        double d = values[i] - m.mean;
        scratch[i] = d * d;
        m.least = fmin(m.least, values[i]);
        m.most = fmax(m.most, values[i]);
    }
    m.variance = sum_of(scratch, count) / (double)count;
    m.skewness = skewness_of(values, count, m.mean);
    return m;
}

static Status check_values(const double *values, size_t count) {
    if (count == 0) {
        return status_set(STATUS_INVALID, "no scores to fit a gamma distribution to");
    }
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            return status_set(STATUS_INVALID, "score %zu of %zu is not finite", i + 1, count);
        }
    }
    return STATUS_OK;
}

// Likelihood

// Log density of a standardised value x >= 0: (a - 1) log x - x - log G(a), where 0 log 0 is 0.
static double log_density(double x, double shape, double log_gamma) {
    double power = 0;
    if (shape != 1) {
        power = x > 0 ? (shape - 1) * gamma_log(x) : (shape - 1) * -INFINITY;
    }
    return power - x - log_gamma;
}

static bool is_proper(Gamma gamma) {
    return gamma.shape > 0 && isfinite(gamma.shape) && isfinite(gamma.location) &&
           gamma.scale > 0 && isfinite(gamma.scale);
}

double gamma_log_likelihood(Gamma gamma, const double *values, size_t count) {
    if (!is_proper(gamma)) {
        return -INFINITY;
    }
    double log_gamma = gamma_log_gamma(gamma.shape);
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double x = (values[i] - gamma.location) / gamma.scale;
        if (x < 0) {
            return -INFINITY;
        }
        sum += log_density(x, gamma.shape, log_gamma);
    }
    return sum - (double)count * gamma_log(gamma.scale);
}

// The walk

enum { PARAMETERS = 3, VERTICES = PARAMETERS + 1, EVALUATIONS_MOST = 200 * PARAMETERS };

typedef struct Vertex {
    double at[PARAMETERS]; // shape, location, scale
    double value;          // penalised negative log likelihood
} Vertex;

typedef struct Walk {
    const double *values;
    size_t count;
    double *scratch; // (count)
    int evaluations;
    Vertex vertex[VERTICES]; // best first
} Walk;

// SciPy's objective: values outside the support, or of infinite density, are left out of the sum
// at a price of 100 log(DBL_MAX) each.
static double penalised(Walk *walk, const double at[PARAMETERS]) {
    static const double LOG_MOST = 709.782712893384; // log(DBL_MAX)
    double shape = at[0], location = at[1], scale = at[2];
    if (!(shape > 0) || !(scale > 0)) {
        return INFINITY;
    }
    double log_gamma = isfinite(shape) ? gamma_log_gamma(shape) : INFINITY;
    size_t good = 0;
    for (size_t i = 0; i < walk->count; i++) {
        double x = (walk->values[i] - location) / scale;
        if (x >= 0 && isfinite(x)) {
            double density = log_density(x, shape, log_gamma);
            walk->scratch[good] = density;
            good += isfinite(density) ? 1 : 0;
        }
    }
    double penalty = (double)(walk->count - good) * LOG_MOST * 100;
    double log_scale = isfinite(scale) ? gamma_log(scale) : INFINITY;
    return (-sum_of(walk->scratch, good) + penalty) + (double)walk->count * log_scale;
}

// False when the evaluations are spent; `vertex->value` is then untouched.
static bool evaluate(Walk *walk, Vertex *vertex) {
    if (walk->evaluations >= EVALUATIONS_MOST) {
        return false;
    }
    walk->evaluations++;
    vertex->value = penalised(walk, vertex->at);
    return true;
}

// Stable, NaN last, as NumPy sorts so few.
static void sort_vertices(Walk *walk) {
    for (int i = 1; i < VERTICES; i++) {
        Vertex moved = walk->vertex[i];
        int k = i;
        for (; k > 0; k--) {
            double before = walk->vertex[k - 1].value;
            if (!(moved.value < before || (isnan(before) && !isnan(moved.value)))) {
                break;
            }
            walk->vertex[k] = walk->vertex[k - 1];
        }
        walk->vertex[k] = moved;
    }
}

// Both the parameters and the values lie within 1e-4 of the best vertex; NaN is far away.
static bool has_converged(const Walk *walk) {
    static const double TOLERANCE = 1e-4;
    const Vertex *best = &walk->vertex[0];
    for (int i = 1; i < VERTICES; i++) {
        for (int k = 0; k < PARAMETERS; k++) {
            if (!(fabs(walk->vertex[i].at[k] - best->at[k]) <= TOLERANCE)) {
                return false;
            }
        }
        if (!(fabs(best->value - walk->vertex[i].value) <= TOLERANCE)) {
            return false;
        }
    }
    return true;
}

// `centre` times one weight less the worst vertex times another.
static Vertex trial_at(const Walk *walk, const double centre[PARAMETERS], double of_centre,
                       double of_worst) {
    Vertex trial = {.value = INFINITY};
    for (int k = 0; k < PARAMETERS; k++) {
        trial.at[k] = of_centre * centre[k] - of_worst * walk->vertex[VERTICES - 1].at[k];
    }
    return trial;
}

// Moves all vertices halfway to the best. When the evaluations run out, the vertex at hand has
// moved and keeps its old value: SciPy does so.
static bool shrink(Walk *walk) {
    for (int i = 1; i < VERTICES; i++) {
        Vertex *vertex = &walk->vertex[i];
        for (int k = 0; k < PARAMETERS; k++) {
            double best = walk->vertex[0].at[k];
            vertex->at[k] = best + 0.5 * (vertex->at[k] - best);
        }
        if (!evaluate(walk, vertex)) {
            return false;
        }
    }
    return true;
}

// The reflected vertex is the best so far: tries one twice as far out and puts the better of both
// in the place of the worst. False when the evaluations are spent.
static bool expand(Walk *walk, const double centre[PARAMETERS], const Vertex *reflected) {
    Vertex expanded = trial_at(walk, centre, 3, 2);
    if (!evaluate(walk, &expanded)) {
        return false;
    }
    walk->vertex[VERTICES - 1] = expanded.value < reflected->value ? expanded : *reflected;
    return true;
}

// The reflected vertex is no better than the second worst: tries one halfway, on the better side
// of the centre, and shrinks when that is no better either. False when the evaluations are spent.
static bool contract(Walk *walk, const double centre[PARAMETERS], const Vertex *reflected) {
    Vertex *worst = &walk->vertex[VERTICES - 1];
    bool is_outside = reflected->value < worst->value;
    Vertex trial =
        is_outside ? trial_at(walk, centre, 1.5, 0.5) : trial_at(walk, centre, 0.5, -0.5);
    if (!evaluate(walk, &trial)) {
        return false;
    }
    bool is_taken = is_outside ? trial.value <= reflected->value : trial.value < worst->value;
    if (!is_taken) {
        return shrink(walk);
    }
    *worst = trial;
    return true;
}

// One iteration. False when the evaluations are spent: the walk then ends where it stands.
static bool step(Walk *walk) {
    double centre[PARAMETERS];
    for (int k = 0; k < PARAMETERS; k++) {
        const Vertex *v = walk->vertex;
        centre[k] = (v[0].at[k] + v[1].at[k] + v[2].at[k]) / PARAMETERS;
    }
    Vertex reflected = trial_at(walk, centre, 2, 1);
    if (!evaluate(walk, &reflected)) {
        return false;
    }
    if (reflected.value < walk->vertex[0].value) {
        return expand(walk, centre, &reflected);
    }
    if (reflected.value < walk->vertex[VERTICES - 2].value) {
        walk->vertex[VERTICES - 1] = reflected;
        return true;
    }
    return contract(walk, centre, &reflected);
}

// SciPy's start: shape from the skewness, location and scale from mean and variance; when that
// leaves values outside the support, a tenth of their width below the least, and scale 1.
static Gamma start_of(const Moments *m) {
    Gamma start = {.shape = 4 / (1e-8 + m->skewness * m->skewness)};
    start.scale = sqrt(m->variance / start.shape);
    start.location = m->mean - start.scale * start.shape;
    if (!isfinite(start.location)) {
        start.location = 0;
    }
    if (!(isfinite(start.scale) && start.scale > 0)) {
        start.scale = 1;
    }
    if (!(start.location < m->least)) {
        start.location = m->least - (m->most - m->least) * 0.1;
        start.scale = 1;
    }
    return start;
}

static void walk_from(Walk *walk, Gamma start) {
    double at[PARAMETERS] = {start.shape, start.location, start.scale};
    for (int i = 0; i < VERTICES; i++) {
        Vertex *vertex = &walk->vertex[i];
        memcpy(vertex->at, at, sizeof at);
        if (i > 0) {
            vertex->at[i - 1] = at[i - 1] != 0 ? 1.05 * at[i - 1] : 0.00025;
        }
        evaluate(walk, vertex);
    }
    sort_vertices(walk);
    // SciPy bounds the iterations too, by as many as the evaluations: the latter always end first.
    while (walk->evaluations < EVALUATIONS_MOST && !has_converged(walk)) {
        step(walk);
        sort_vertices(walk);
    }
}

Status gamma_fit_scipy(const double *values, size_t count, Gamma *ret_fit) {
    Status status = check_values(values, count);
    if (status != STATUS_OK) {
        return status;
    }
    Walk walk = {.values = values, .count = count, .scratch = mem_new(count, sizeof(double))};
    if (walk.scratch == NULL) {
        return STATUS_MEMORY;
    }
    Moments moments = moments_of(values, count, walk.scratch);
    walk_from(&walk, start_of(&moments));
    mem_free(walk.scratch);
    const double *best = walk.vertex[0].at;
    Gamma fit = {.shape = best[0], .location = best[1], .scale = best[2]};
    if (!is_proper(fit)) {
        return status_set(STATUS_INVALID, "no gamma distribution fits these %zu scores", count);
    }
    *ret_fit = fit;
    return STATUS_OK;
}

Status gamma_fit_moments(const double *values, size_t count, Gamma *ret_fit) {
    static const double SKEWNESS_LEAST = 0.02;
    Status status = check_values(values, count);
    if (status != STATUS_OK) {
        return status;
    }
    double *scratch = mem_new(count, sizeof *scratch);
    if (scratch == NULL) {
        return STATUS_MEMORY;
    }
    Moments m = moments_of(values, count, scratch);
    mem_free(scratch);
    double skewness = m.skewness > SKEWNESS_LEAST ? m.skewness : SKEWNESS_LEAST;
    Gamma fit = {.shape = 4 / (skewness * skewness)};
    fit.scale = sqrt(m.variance) * skewness / 2;
    fit.location = m.mean - fit.shape * fit.scale;
    if (!is_proper(fit)) {
        return status_set(STATUS_INVALID, "these %zu scores have no spread", count);
    }
    *ret_fit = fit;
    return STATUS_OK;
}

// Quantile

// GSL's default handler aborts the program; we look at what is returned instead.
static void silence_gsl(void) {
    gsl_set_error_handler_off();
}

static pthread_once_t gsl_is_silent = PTHREAD_ONCE_INIT;

static double bisect(double shape, double probability) {
    double low = 0, high = shape + 1;
    while (gsl_cdf_gamma_P(high, shape, 1) < probability && high < DBL_MAX / 4) {
        high *= 2;
    }
    for (int i = 0; i < 1100 && low < high; i++) {
        double middle = low + (high - low) / 2;
        if (middle <= low || middle >= high) {
            break;
        }
        if (gsl_cdf_gamma_P(middle, shape, 1) < probability) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return high;
}

// Cornish and Fisher's expansion around the normal quantile, up to the power -3/2 of the shape (the
// n-th cumulant of a gamma distribution of unit scale is shape (n-1)!). GSL's incomplete gamma
// function breaks down where shapes are huge.
static double expand_quantile(double shape, double probability) {
    double z = gsl_cdf_ugaussian_Pinv(probability);
    double z2 = z * z;
    double root = sqrt(shape);
    return shape + z * root + (z2 - 1) / 3 + z * (z2 - 7) / (36 * root) -
           (3 * z2 * z2 + 7 * z2 - 16) / (810 * shape) +
           z * (9 * z2 * z2 + 256 * z2 - 433) / (38880 * shape * root);
}

static double unit_quantile(double shape, double probability) {
    static const double SHAPE_HUGE = 1e5;
    if (shape > SHAPE_HUGE) {
        return expand_quantile(shape, probability);
    }
    double x = gsl_cdf_gamma_Pinv(probability, shape, 1);
    // Its Newton steps give up now and then.
    bool is_good = fabs(gsl_cdf_gamma_P(x, shape, 1) - probability) <= 1e-12;
    return is_good ? x : bisect(shape, probability);
}

double gamma_quantile(Gamma gamma, double probability) {
    pthread_once(&gsl_is_silent, silence_gsl);
    if (!is_proper(gamma) || !(probability > 0 && probability < 1)) {
        return NAN;
    }
    double value = gamma.location + gamma.scale * unit_quantile(gamma.shape, probability);
    return isfinite(value) ? value : NAN;
}

double gamma_student_quantile(double probability, double freedom) {
    pthread_once(&gsl_is_silent, silence_gsl);
    return gsl_cdf_tdist_Pinv(probability, freedom);
}

bool gamma_is_plausible(size_t above, size_t count, double probability) {
    static const double CHANCE_LEAST = 1e-6;
    pthread_once(&gsl_is_silent, silence_gsl);
    unsigned k = (unsigned)above, n = (unsigned)count;
    double so_few = gsl_cdf_binomial_P(k, 1 - probability, n);
    double so_many = k == 0 ? 1 : gsl_cdf_binomial_Q(k - 1, 1 - probability, n);
    return so_few >= CHANCE_LEAST && so_many >= CHANCE_LEAST;
}
