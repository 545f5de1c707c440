// SPDX-License-Identifier: Apache-2.0
//
// The whole of the unit-test framework. A test is a function whose name is the behaviour it shows;
// a failed check prints file, line and values, and ends that test. Usage:
//     TEST(dead_worker_returns_its_lease) { CHECK(x == 1); }
//     TEST_MAIN_LIST(T(dead_worker_returns_its_lease))
// `test_x NAME` runs one. Exit status: 0 all passed, 1 some failed, 77 all skipped.
#ifndef AUSCULT_TESTS_UNIT_TEST_H
#define AUSCULT_TESTS_UNIT_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct TestCase {
    const char *name;
    void (*run)(void);
} TestCase;

static jmp_buf test_end;
static int test_failed, test_skipped;

#define TEST(name) static void name(void)

#define TEST_FAIL(...)                                                                             \
    do {                                                                                           \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                            \
        fprintf(stderr, __VA_ARGS__);                                                              \
        fprintf(stderr, "\n");                                                                     \
        test_failed = 1;                                                                           \
        longjmp(test_end, 1);                                                                      \
    } while (0)

#define TEST_SKIP(...)                                                                             \
    do {                                                                                           \
        printf("skipped: ");                                                                       \
        printf(__VA_ARGS__);                                                                       \
        printf("\n");                                                                              \
        test_skipped = 1;                                                                          \
        longjmp(test_end, 1);                                                                      \
    } while (0)

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            TEST_FAIL("not so: %s", #condition);                                                   \
        }                                                                                          \
    } while (0)

// Status must be STATUS_OK; otherwise prints its message (needs common/base/status.h).
#define CHECK_OK(call)                                                                             \
    do {                                                                                           \
        Status check_status = (call);                                                              \
        if (check_status != STATUS_OK) {                                                           \
            TEST_FAIL("%s: %d, %s", #call, check_status, status_message());                        \
        }                                                                                          \
    } while (0)

#define CHECK_INT(actual, expected)                                                                \
    do {                                                                                           \
        long long check_a = (long long)(actual), check_e = (long long)(expected);                  \
        if (check_a != check_e) {                                                                  \
            TEST_FAIL("%s is %lld, expected %lld", #actual, check_a, check_e);                     \
        }                                                                                          \
    } while (0)

#define CHECK_TEXT(actual, expected)                                                               \
    do {                                                                                           \
        const char *check_a = (actual), *check_e = (expected);                                     \
        if (strcmp(check_a, check_e) != 0) {                                                       \
            TEST_FAIL("%s is \"%s\", expected \"%s\"", #actual, check_a, check_e);                 \
        }                                                                                          \
    } while (0)

#define CHECK_HAS(text, part)                                                                      \
    do {                                                                                           \
        const char *check_a = (text), *check_e = (part);                                           \
        if (strstr(check_a, check_e) == NULL) {                                                    \
            TEST_FAIL("\"%s\" lacks \"%s\"", check_a, check_e);                                    \
        }                                                                                          \
    } while (0)

// |actual - expected| <= tolerance; NaN fails.
#define CHECK_NEAR(actual, expected, tolerance)                                                    \
    do {                                                                                           \
        double check_a = (actual), check_e = (expected), check_t = (tolerance);                    \
        if (!(fabs(check_a - check_e) <= check_t)) {                                               \
            TEST_FAIL("%s is %.17g, expected %.17g within %g", #actual, check_a, check_e,          \
                      check_t);                                                                    \
        }                                                                                          \
    } while (0)

// In a function of its own: setjmp may spoil the local variables of the one that calls it.
static void __attribute__((noinline)) test_run_one(const TestCase *test) {
    if (setjmp(test_end) == 0) {
        test->run();
    }
}

static inline int test_run_all(const TestCase *cases, int argc, char **argv) {
    int passed = 0, failed = 0, skipped = 0;
    for (const TestCase *test = cases; test->name != NULL; test++) {
        if (argc > 1 && strcmp(argv[1], test->name) != 0) {
            continue;
        }
        test_failed = test_skipped = 0;
        test_run_one(test);
        printf("%s %s\n", test_failed ? "FAILED" : test_skipped ? "skip  " : "ok    ", test->name);
        fflush(stdout);
        failed += test_failed;
        skipped += test_skipped;
        passed += !test_failed && !test_skipped;
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed > 0 ? 1 : passed == 0 && skipped > 0 ? 77 : 0;
}

#define TEST_MAIN_LIST(...)                                                                        \
    int main(int argc, char **argv) {                                                              \
        static const TestCase cases[] = {__VA_ARGS__{NULL, NULL}};                                 \
        return test_run_all(cases, argc, argv);                                                    \
    }
// One entry of TEST_MAIN_LIST:  TEST_MAIN_LIST(T(first_behaviour) T(second_behaviour))
#define T(name) {#name, name},

// A new folder of this test's own; the caller removes it with file_remove_tree.
static inline const char *test_folder(void) {
    static char path[256];
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/auscult-test-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(path) == NULL) {
        perror("mkdtemp");
        exit(1);
    }
    return path;
}

// The shared evaluation data ($AUSCULT_SHARED, or ../shared beside the source tree), or NULL:
// tests that need it skip, saying so, where it is absent.
static inline const char *test_shared(void) {
    static char path[512];
    const char *named = getenv("AUSCULT_SHARED");
    snprintf(path, sizeof path, "%s", named != NULL ? named : AUSCULT_SOURCE_DIR "/../shared");
    return access(path, R_OK) == 0 ? path : NULL;
}

#endif
