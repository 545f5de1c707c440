// SPDX-License-Identifier: Apache-2.0
//
// The number that the model layer calculates in: float in the program, double in the library
// `model_double`, which only tests link (strict comparisons need it: a ReLU that flips by rounding
// moves a gradient by more than any tolerance worth having). Features are float in both.
#ifndef AUSCULT_MODEL_REAL_H
#define AUSCULT_MODEL_REAL_H

#ifdef AUSCULT_MODEL_DOUBLE
typedef double real;
#else
typedef float real;
#endif

#endif
