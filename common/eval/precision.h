// SPDX-License-Identifier: Apache-2.0
//
// A yardstick for rows of numbers: the inverse of a covariance, and Mahalanobis distances by it.
// Plain loops with sums of fixed order, so the same bits on any processor: GSL's factors and
// inverses go through whichever BLAS is loaded. Any thread.
#ifndef AUSCULT_EVAL_PRECISION_H
#define AUSCULT_EVAL_PRECISION_H

#include "common/base/status.h"

typedef struct Precision {
    int n_mels;
    double *matrix; // (n_mels, n_mels) symmetric, owned; NULL: none
    double ridge;   // added to the covariance's diagonal to make it invertible; 0: none was needed
    double shrinkage; // Ledoit and Wolf's, for CLIPMAHALA; 0 otherwise
} Precision;
void precision_done(Precision *precision);

// The inverse of a covariance (n_mels, n_mels), symmetric, by Cholesky's factors, in double. Only
// if it is singular the least ridge that mends it is added: n_mels * 2^-52 times the mean of its
// diagonal, then ten times that, and so on; 1 if its diagonal is all zero. Singular means that a
// pivot is not above n_mels * 2^-52 times the largest variance, or that the condition (1-norm) is
// 2^52 or more: the inverse has no correct digit then. STATUS_INVALID: a number that is not finite,
// or a matrix that no ridge mends. STATUS_MEMORY.
Status precision_of_covariance(const double *covariance, int n_mels, Precision *ret);

// d' P d of a row (n_mels): never below 0, never NaN; infinite when it, or the row, is not finite.
double precision_distance(const Precision *precision, const double *row);
// The same of rows (count, n_mels), many times as fast a row, into out (count): a row's distance
// has the bits that it has alone.
void precision_distances(const Precision *precision, const float *rows, int count, double *out);

#endif
