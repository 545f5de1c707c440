// SPDX-License-Identifier: Apache-2.0
//
// How it works: OpenBLAS (DYNAMIC_ARCH) chooses its kernel in a constructor, before main, from
// OPENBLAS_CORETYPE or else from the processor. So the choice can only be made by an environment
// that is there when the program is loaded. linalg_start therefore replaces the process by itself
// under the right environment; the guard variable holds the kernel that was asked for that way, so
// that a BLAS that ignores the wish ends in an error and not in a loop, while a child program
// that wants another kernel can still restart itself.
#include "common/model/linalg.h"

#include <cblas.h>
#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/rng.h"

#define GUARD "AUSCULT_RESTARTED_FOR"

// The setting's words and OpenBLAS's own names, by Kernel.
static const char *const KERNEL_NAMES[] = {"auto", "prescott", "haswell", "skylakex"};
static const char *const CORE_NAMES[] = {"", "Prescott", "Haswell", "SkylakeX"};

Kernel linalg_best_kernel(void) {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
        return KERNEL_SKYLAKEX;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return KERNEL_HASWELL;
    }
    return KERNEL_PRESCOTT;
}

const char *linalg_kernel_name(Kernel kernel) {
    return KERNEL_NAMES[kernel];
}

Kernel linalg_kernel(void) {
    const char *core = openblas_get_corename();
    for (int k = KERNEL_PRESCOTT; k <= KERNEL_SKYLAKEX; k++) {
        if (strcasecmp(core, CORE_NAMES[k]) == 0) {
            return (Kernel)k;
        }
    }
    return KERNEL_AUTO;
}

const char *linalg_library(void) {
    return openblas_get_config();
}

static bool environment_is(const char *name, const char *value) {
    const char *actual = getenv(name);
    return actual != NULL && strcmp(actual, value) == 0;
}

// Replaces this process by itself; returns only when that is impossible. The link's target is
// tried first, since a process executed as /proc/self/exe is called "exe" in every process list.
static void execute_again(char **argv) {
    char path[LIMIT_PATH_BYTES];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    if (size > 0) {
        path[size] = '\0';
        execv(path, argv);
        execv("/proc/self/exe", argv);
    }
    if (argv[0] != NULL) {
        execvp(argv[0], argv);
    }
}

static Status restart(const char *core, char **argv) {
    if (setenv("OPENBLAS_CORETYPE", core, 1) != 0 || setenv("OPENBLAS_NUM_THREADS", "1", 1) != 0 ||
        setenv(GUARD, core, 1) != 0) {
        return status_set(STATUS_MEMORY, "cannot set the environment for the %s kernel", core);
    }
    execute_again(argv);
    return status_set(STATUS_MISMATCH,
                      "OpenBLAS runs its %s kernel, %s is wanted, and this program cannot restart "
                      "itself: %s; set OPENBLAS_CORETYPE=%s OPENBLAS_NUM_THREADS=1",
                      openblas_get_corename(), core, strerror(errno), core);
}

// Whether the products come from the library that was asked for its kernel: another one with the
// same names (GSL's) may stand before it.
static bool products_are_openblas(void) {
    Dl_info kernel, products;
#ifdef AUSCULT_MODEL_DOUBLE
    const void *product = (const void *)cblas_dgemm;
#else
    const void *product = (const void *)cblas_sgemm;
#endif
    return dladdr((const void *)openblas_get_corename, &kernel) == 0 ||
           dladdr(product, &products) == 0 || kernel.dli_fbase == products.dli_fbase;
}

static Status verify(Kernel kernel) {
    if (!products_are_openblas()) {
        return status_set(STATUS_MISMATCH, "another BLAS than OpenBLAS (%s) makes the products",
                          openblas_get_config());
    }
    if (linalg_kernel() != kernel) {
        return status_set(STATUS_MISMATCH, "OpenBLAS runs its %s kernel although %s was asked for",
                          openblas_get_corename(), CORE_NAMES[kernel]);
    }
    openblas_set_num_threads(1);
    return STATUS_OK;
}

Status linalg_start(Kernel kernel, char **argv) {
    Kernel best = linalg_best_kernel();
    Kernel wanted = kernel == KERNEL_AUTO ? best : kernel;
    if (wanted > best) {
        return status_set(STATUS_MISMATCH,
                          "the %s kernel is wanted, this processor can run %s at most",
                          linalg_kernel_name(wanted), linalg_kernel_name(best));
    }
    const char *core = CORE_NAMES[wanted];
    bool ready =
        environment_is("OPENBLAS_CORETYPE", core) && environment_is("OPENBLAS_NUM_THREADS", "1");
    if (!ready && !environment_is(GUARD, core)) {
        return restart(core, argv);
    }
    unsetenv(GUARD);
    return verify(wanted);
}

// One product: op(a) (rows, inner) times op(b) (inner, columns), leading dimensions as stored.
static void product(CBLAS_TRANSPOSE op_a, CBLAS_TRANSPOSE op_b, int rows, int columns, int inner,
                    const real *a, const real *b, real *out) {
    int lead_a = op_a == CblasNoTrans ? inner : rows;
    int lead_b = op_b == CblasNoTrans ? columns : inner;
#ifdef AUSCULT_MODEL_DOUBLE
    cblas_dgemm(CblasRowMajor, op_a, op_b, rows, columns, inner, 1.0, a, lead_a, b, lead_b, 0.0,
                out, columns);
#else
    cblas_sgemm(CblasRowMajor, op_a, op_b, rows, columns, inner, 1.0f, a, lead_a, b, lead_b, 0.0f,
                out, columns);
#endif
}

void linalg_forward(int rows, int in, int out, const real *x, const real *weight, real *y) {
    product(CblasNoTrans, CblasTrans, rows, out, in, x, weight, y);
}

void linalg_backward_weight(int rows, int in, int out, const real *dy, const real *x,
                            real *dweight) {
    product(CblasTrans, CblasNoTrans, out, in, rows, dy, x, dweight);
}

void linalg_backward_input(int rows, int in, int out, const real *dy, const real *weight,
                           real *dx) {
    product(CblasNoTrans, CblasNoTrans, rows, in, out, dy, weight, dx);
}

// Whether out[i, j] is the sum over k of a[i*ai + k*ak] * b[j*bj + k*bk], within rounding. The
// strides say the transposition.
typedef struct PlainProduct {
    const real *a, *b, *out;
    int rows, columns, inner;
    int a_row, a_inner, b_column, b_inner;
} PlainProduct;

static bool plain_agrees(const PlainProduct *p) {
    for (int i = 0; i < p->rows; i++) {
        for (int j = 0; j < p->columns; j++) {
            const real *a = p->a + (size_t)i * (size_t)p->a_row;
            const real *b = p->b + (size_t)j * (size_t)p->b_column;
            double sum = 0.0, size = 0.0;
            for (int k = 0; k < p->inner; k++) {
                double term = (double)a[(size_t)k * (size_t)p->a_inner] *
                              (double)b[(size_t)k * (size_t)p->b_inner];
                sum += term;
                size += fabs(term);
            }
            double got = p->out[(size_t)i * (size_t)p->columns + (size_t)j];
            if (!(fabs(got - sum) <= 2e-6 * size + 1e-30)) {
                return false;
            }
        }
    }
    return true;
}

// x (rows, in), weight (out, in), y (rows, out): the three products of one layer.
static bool layer_agrees(int rows, int in, int out, real *x, real *weight, real *y, real *result) {
    linalg_forward(rows, in, out, x, weight, result);
    bool forward = plain_agrees(&(PlainProduct){x, weight, result, rows, out, in, in, 1, in, 1});
    linalg_backward_weight(rows, in, out, y, x, result);
    bool by_weight = plain_agrees(&(PlainProduct){y, x, result, out, in, rows, 1, out, 1, in});
    linalg_backward_input(rows, in, out, y, weight, result);
    bool by_input = plain_agrees(&(PlainProduct){y, weight, result, rows, in, out, out, 1, 1, in});
    return forward && by_weight && by_input;
}

Status linalg_self_check(void) {
    // Wide to narrow and back, square, the bottleneck, and sizes that no kernel's block divides.
    static const int shapes[][3] = {{32, 640, 128}, {32, 128, 128}, {32, 128, 8},
                                    {32, 8, 128},   {13, 37, 51},   {64, 128, 64}};
    enum { BLOCK = 640 * 128 };
    real *block = mem_new_aligned(4 * BLOCK, sizeof *block);
    if (block == NULL) {
        return STATUS_MEMORY;
    }
    Rng rng = rng_of(1, "linalg self check", 0, 0);
    for (size_t i = 0; i < 3 * (size_t)BLOCK; i++) {
        block[i] = (real)((int32_t)rng_u32(&rng) * 0x1p-31);
    }
    Status status = STATUS_OK;
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0] && status == STATUS_OK; s++) {
        if (!layer_agrees(shapes[s][0], shapes[s][1], shapes[s][2], block, block + BLOCK,
                          block + 2 * BLOCK, block + 3 * BLOCK)) {
            status = status_set(STATUS_MISMATCH,
                                "this BLAS (%s) calculates wrong products for %d rows, %d to %d",
                                openblas_get_config(), shapes[s][0], shapes[s][1], shapes[s][2]);
        }
    }
    mem_free(block);
    return status;
}
