// SPDX-License-Identifier: Apache-2.0
//
// Every program of ours links GSL (thresholds) beside OpenBLAS (products), and GSL brings a plain
// BLAS of the same names. This program names GSL's users first, the worst order for it.
#include "common/eval/decision.h"
#include "common/model/linalg.h"
#include "tests/unit/model/model_test.h"

TEST(products_are_made_by_openblas_beside_gsl) {
    const double scores[] = {1.0, 1.5, 1.1, 1.3, 1.9, 1.2, 1.4, 2.2};
    Decision decision;
    CHECK_OK(decision_by_gamma(scores, sizeof scores / sizeof scores[0], 0.9, &decision));
    CHECK(decision.threshold > 1.0 && decision.threshold < 10.0);
    // main has started the kernel: linalg_start refuses another library's products by name.
    CHECK(linalg_kernel() != KERNEL_AUTO);
    CHECK_OK(linalg_self_check());
}

MODEL_TEST_MAIN(T(products_are_made_by_openblas_beside_gsl))
