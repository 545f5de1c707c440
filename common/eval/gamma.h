// SPDX-License-Identifier: Apache-2.0
//
// The three-parameter gamma distribution (shape, location, scale) fitted to anomaly scores, as the
// official baseline does with SciPy. Bare fits: which one to trust is decision.h's business.
// Everything up to the quantile uses logarithms of our own, so that a fit has the same bits on
// every processor; the quantile (GSL, libm) may differ in its last digits. Any thread.
#ifndef AUSCULT_EVAL_GAMMA_H
#define AUSCULT_EVAL_GAMMA_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"

typedef struct Gamma {
    double shape;    // a > 0
    double location; // where the support begins
    double scale;    // > 0
} Gamma;

// What scipy.stats.gamma.fit (1.17) finds with all three parameters free: the same start, the same
// penalty for values outside the support, and the same Nelder-Mead walk (scipy.optimize.fmin:
// coefficients 1, 2, 1/2, 1/2, tolerances 1e-4, at most 600 evaluations) with its sums in NumPy's
// order. The likelihood is often nearly flat, or has no maximum (shape < 1), so where the walk
// stops is part of the result. STATUS_INVALID when a value is not finite, there is none, or the
// walk ends nowhere (all values equal, for one): SciPy raises there. STATUS_MEMORY.
Status gamma_fit_scipy(const double *values, size_t count, Gamma *ret_fit);

// The distribution with the values' mean, variance and skewness (all three with 1/n). Its shape is
// 4 / skewness^2; a skewness below 0.02, negative too, is taken as 0.02, where the gamma is all
// but normal. STATUS_INVALID when a value is not finite or all are equal. STATUS_MEMORY.
Status gamma_fit_moments(const double *values, size_t count, Gamma *ret_fit);

// Sum of the log densities; -infinity when a value lies outside the support. NaN only from NaN.
double gamma_log_likelihood(Gamma gamma, const double *values, size_t count);

// The value below which a share `probability` (0 < p < 1) lies; NaN when it cannot be found.
double gamma_quantile(Gamma gamma, double probability);

// Whether `above` of `count` values may well lie above the quantile `probability`: the binomial
// chance of so few, and of so many, is at least 1e-6 each.
bool gamma_is_plausible(size_t above, size_t count, double probability);

// The quantile of Student's t distribution (0 < p < 1, freedom > 0), the small-sample kin that
// intervals need; here because this file alone talks to GSL.
double gamma_student_quantile(double probability, double freedom);

// Natural logarithm of a positive finite x, and of the gamma function of such an x, within a few
// units of 2^-53: the same bits everywhere. Shown for their tests.
double gamma_log(double x);
double gamma_log_gamma(double x);

#endif
