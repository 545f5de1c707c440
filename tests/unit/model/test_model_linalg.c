// SPDX-License-Identifier: Apache-2.0
//
// The kernel's choice is tested by running this program again as a child: "report KERNEL WORD"
// starts with that kernel and prints what became of it.
#include <strings.h>
#include <sys/wait.h>

#include "common/base/settings.h"
#include "tests/unit/model/model_test.h"

static char own_path[1024];

// Runs a shell command and gives what it prints.
static const char *output_of(const char *command) {
    static char text[2048];
    FILE *pipe = popen(command, "r");
    CHECK(pipe != NULL);
    size_t size = fread(text, 1, sizeof text - 1, pipe);
    text[size] = '\0';
    pclose(pipe);
    return text;
}

static const char *report(const char *environment, const char *program, const char *kernel) {
    char command[4096];
    snprintf(command, sizeof command, "env %s %s report %s 'two words' 2>&1", environment, program,
             kernel);
    return output_of(command);
}

TEST(kernels_stand_in_the_order_of_the_setting) {
    const SettingRow *row = SETTING_TABLE;
    while (row->key != NULL && strcmp(row->key, "numerics") != 0) {
        row++;
    }
    CHECK(row->key != NULL);
    int count = 0;
    for (; row->choices[count] != NULL; count++) {
        CHECK(count <= KERNEL_SKYLAKEX);
        CHECK_TEXT(linalg_kernel_name((Kernel)count), row->choices[count]);
    }
    CHECK_INT(count, KERNEL_SKYLAKEX + 1);
}

TEST(program_runs_the_kernel_it_asks_for) {
    for (int k = KERNEL_PRESCOTT; k <= (int)linalg_best_kernel(); k++) {
        const char *name = linalg_kernel_name((Kernel)k);
        char expected[64];
        snprintf(expected, sizeof expected, "runs %s two words", name);
        CHECK_HAS(report("-u OPENBLAS_CORETYPE -u OPENBLAS_NUM_THREADS", own_path, name), expected);
        CHECK_HAS(report("OPENBLAS_CORETYPE=Nehalem", own_path, name), expected);
    }
}

TEST(auto_takes_the_best_kernel) {
    char expected[64];
    snprintf(expected, sizeof expected, "runs %s", linalg_kernel_name(linalg_best_kernel()));
    CHECK_HAS(report("-u OPENBLAS_CORETYPE", own_path, "auto"), expected);
}

TEST(program_found_by_the_path_restarts_too) {
    char folder[1024], environment[2048];
    snprintf(folder, sizeof folder, "%s", own_path);
    *strrchr(folder, '/') = '\0';
    snprintf(environment, sizeof environment, "-u OPENBLAS_CORETYPE PATH=%s:$PATH", folder);
    CHECK_HAS(report(environment, strrchr(own_path, '/') + 1, "prescott"), "runs prescott");
}

TEST(restarted_program_keeps_its_name) {
    char expected[64];
    snprintf(expected, sizeof expected, "called %.15s", strrchr(own_path, '/') + 1);
    CHECK_HAS(report("-u OPENBLAS_CORETYPE", own_path, "prescott"), expected);
}

// A BLAS that ignored the wish: the guard says that the restart has happened already.
TEST(kernel_that_was_not_granted_is_refused_not_retried) {
    if (linalg_best_kernel() < KERNEL_HASWELL) {
        TEST_SKIP("this processor has one kernel only");
    }
    const char *text =
        report("OPENBLAS_CORETYPE=Haswell AUSCULT_RESTARTED_FOR=Prescott", own_path, "prescott");
    CHECK_HAS(text, "refused -7");
    CHECK_HAS(text, "Haswell");
    CHECK_HAS(text, "Prescott");
}

TEST(kernel_beyond_the_processor_is_refused) {
    if (linalg_best_kernel() == KERNEL_SKYLAKEX) {
        TEST_SKIP("this processor runs every kernel");
    }
    const char *text = report("", own_path, "skylakex");
    CHECK_HAS(text, "refused -7");
    CHECK_HAS(text, "skylakex");
}

TEST(products_agree_with_plain_loops) {
    CHECK_OK(linalg_self_check());
}

TEST(failed_allocation_ends_the_self_check) {
    long before = mem_blocks();
    mem_fail_after(0);
    CHECK_INT(linalg_self_check(), STATUS_MEMORY);
    CHECK_INT(mem_blocks(), before);
}

// 1 + 2i and so on are exact in any order of summation, so equality is exact.
TEST(products_transpose_what_they_say) {
    real x[6] = {1, 2, 3, 4, 5, 6};      // (2, 3)
    real weight[6] = {1, 0, 2, 0, 1, 3}; // (2, 3)
    real y[4], dweight[6], dx[6];
    linalg_forward(2, 3, 2, x, weight, y);
    CHECK(y[0] == 7 && y[1] == 11 && y[2] == 16 && y[3] == 23);
    linalg_backward_weight(2, 3, 2, y, x, dweight);
    CHECK(dweight[0] == 7 + 64 && dweight[1] == 14 + 80 && dweight[5] == 33 + 138);
    linalg_backward_input(2, 3, 2, y, weight, dx);
    CHECK(dx[0] == 7 && dx[1] == 11 && dx[2] == 14 + 33 && dx[5] == 32 + 69);
}

static int child(char **argv) {
    Kernel kernel = KERNEL_AUTO;
    for (int k = 0; k <= KERNEL_SKYLAKEX; k++) {
        kernel = strcmp(argv[2], linalg_kernel_name((Kernel)k)) == 0 ? (Kernel)k : kernel;
    }
    Status status = linalg_start(kernel, argv);
    if (status != STATUS_OK) {
        printf("refused %d: %s\n", status, status_message());
        return 1;
    }
    char name[64] = "";
    FILE *file = fopen("/proc/self/comm", "r");
    if (file != NULL) {
        if (fgets(name, sizeof name, file) == NULL) {
            name[0] = '\0';
        }
        fclose(file);
    }
    printf("runs %s %s\ncalled %s\n", linalg_kernel_name(linalg_kernel()), argv[3], name);
    return 0;
}

static const TestCase CASES[] = {
    T(kernels_stand_in_the_order_of_the_setting) T(program_runs_the_kernel_it_asks_for)
        T(auto_takes_the_best_kernel) T(program_found_by_the_path_restarts_too)
            T(restarted_program_keeps_its_name)
                T(kernel_that_was_not_granted_is_refused_not_retried)
                    T(kernel_beyond_the_processor_is_refused) T(products_agree_with_plain_loops)
                        T(failed_allocation_ends_the_self_check)
                            T(products_transpose_what_they_say){NULL, NULL}};

static void prepare(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "report") == 0) {
        exit(child(argv));
    }
    ssize_t size = readlink("/proc/self/exe", own_path, sizeof own_path - 1);
    own_path[size > 0 ? size : 0] = '\0';
    start_kernel(argv);
}

int main(int argc, char **argv) {
    prepare(argc, argv);
    return test_run_all(CASES, argc, argv);
}
