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

// Compiles a plain C loop for several generations of processors; since every sum has a fixed order
// and contraction is off, all of them give the same bits. gcc resolves the clones before the
// sanitizers are ready, so those builds go without.
#if defined(__SANITIZE_ADDRESS__) || !defined(__x86_64__) || !defined(__GNUC__) ||                 \
    defined(__clang__)
#define MODEL_CLONES
#else
#define MODEL_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#endif

#endif
