// SPDX-License-Identifier: Apache-2.0
//
// The matrix products of the autoencoder, by OpenBLAS, with its kernel under our control: the bits
// of a product depend on the kernel, and OpenBLAS picks one by the processor (on processors it does
// not know, its slowest), so every program names the kernel it wants, restarts itself once under
// the environment that asks for it, and verifies what it got. One BLAS thread per thread of ours.
// linalg_start belongs at the head of main, before any thread; the products may run in any thread.
#ifndef AUSCULT_MODEL_LINALG_H
#define AUSCULT_MODEL_LINALG_H

#include "common/base/status.h"
#include "common/model/real.h"

// In the order of the setting `numerics` (common/base/settings.c).
typedef enum Kernel { KERNEL_AUTO, KERNEL_PRESCOTT, KERNEL_HASWELL, KERNEL_SKYLAKEX } Kernel;

// The fastest kernel that this processor and system can run: skylakex needs AVX-512 F, CD, BW, DQ
// and VL, haswell needs AVX2 and FMA. Never KERNEL_AUTO.
Kernel linalg_best_kernel(void);
// "prescott", "haswell", "skylakex" (the setting's words), "auto".
const char *linalg_kernel_name(Kernel kernel);

// Makes sure that OpenBLAS runs `kernel` (KERNEL_AUTO: the best one) on one thread. OpenBLAS reads
// its environment when it is loaded, so unless that already says so, sets it and executes the
// program anew with the same `argv` (NULL-terminated), once: on success it returns in the new
// process. STATUS_MISMATCH names what was wanted and what OpenBLAS runs, also when the processor
// cannot run the kernel.
Status linalg_start(Kernel kernel, char **argv);
// The kernel that OpenBLAS runs now, KERNEL_AUTO for one that we do not know.
Kernel linalg_kernel(void);
// Name, version and build options of the library that multiplies; borrowed for good.
const char *linalg_library(void);

// Compares products of every transposition and of every kind of shape that training uses with
// plain loops. STATUS_MISMATCH: this BLAS calculates wrongly. About 15 ms.
Status linalg_self_check(void);

// All matrices row-major and dense, nothing overlaps, results overwritten.
// y (rows, out) = x (rows, in) times the transpose of weight (out, in).
void linalg_forward(int rows, int in, int out, const real *x, const real *weight, real *y);
// dweight (out, in) = transpose of dy (rows, out) times x (rows, in).
void linalg_backward_weight(int rows, int in, int out, const real *dy, const real *x,
                            real *dweight);
// dx (rows, in) = dy (rows, out) times weight (out, in).
void linalg_backward_input(int rows, int in, int out, const real *dy, const real *weight, real *dx);

#endif
