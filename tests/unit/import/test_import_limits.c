// SPDX-License-Identifier: Apache-2.0
//
// The child process that parses a foreign file, whatever its parser comes to do: the test's own
// parse_network stands in for the real one, and does what the file's text says.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "coordinator/import/import.h"
#include "coordinator/import/parse.h"
#include "tests/unit/test.h"

static const ImportLimits TIGHT = {.memory_bytes = 64u << 20, .processor_s = 1, .wall_ms = 3000};

// ---- a parser that misbehaves ----

static Status eat_memory(void) {
    for (size_t eaten = 0; eaten < (1ull << 30); eaten += 1 << 20) {
        void *block = malloc(1 << 20);
        if (block == NULL) {
            return STATUS_MEMORY;
        }
        memset(block, 1, 1 << 20);
    }
    return status_set(STATUS_FORMAT, "a whole GiB could be had");
}

static void spin(void) {
    for (volatile unsigned long turns = 0;; turns++) {
    }
}

static Status open_something(void) {
    int descriptor = open("/dev/null", O_RDONLY);
    return descriptor < 0 ? status_set(STATUS_FORMAT, "errno is %d", errno)
                          : status_set(STATUS_FORMAT, "a file could be opened");
}

static Status one_layer(Network **ret_network) {
    static const float WEIGHT[4] = {1, 0, 0, 1}, BIAS[2] = {0, 0};
    Network *network = network_new(2);
    Status status = network != NULL ? network_add_dense(network, 2, WEIGHT, BIAS) : STATUS_MEMORY;
    *ret_network = network;
    return status;
}

Status parse_network(const ParseFile *model, const ParseFile *scaler, Network **ret_network) {
    (void)scaler;
    const char *does = buffer_cstr(&model->bytes);
    if (strcmp(does, "eats memory") == 0) {
        return eat_memory();
    }
    if (strcmp(does, "spins") == 0) {
        spin();
    }
    if (strcmp(does, "opens a file") == 0) {
        return open_something();
    }
    if (strcmp(does, "crashes") == 0) {
        (void)signal(SIGSEGV, SIG_DFL);
        (void)raise(SIGSEGV);
    }
    if (strcmp(does, "leaves") == 0) {
        _exit(0);
    }
    while (strcmp(does, "sleeps") == 0) {
        (void)pause();
    }
    return one_layer(ret_network);
}

// ---- what the parent makes of it ----

static const char *import_of(const char *text, Status *ret_status, Buffer *out) {
    const char *folder = test_folder();
    char path[300];
    snprintf(path, sizeof path, "%s/foreign.h5", folder);
    CHECK_OK(file_replace(path, text, strlen(text)));
    *ret_status = import_network(path, NULL, &TIGHT, out);
    CHECK_OK(file_remove_tree(folder));
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD); // no child is left
    return status_message();
}

static void check_refused(const char *text, Status expected, const char *why) {
    Buffer bytes = BUFFER_EMPTY;
    Status status;
    const char *message = import_of(text, &status, &bytes);
    CHECK_INT(status, expected);
    CHECK_HAS(message, "foreign.h5");
    CHECK_HAS(message, why);
    CHECK_INT(bytes.size, 0);
}

TEST(good_parser_hands_over_its_network) {
    Buffer bytes = BUFFER_EMPTY;
    Status status;
    (void)import_of("is good", &status, &bytes);
    CHECK_OK(status);
    Network *network;
    CHECK_OK(network_read(bytes.bytes, bytes.size, &network));
    CHECK_INT(network_dimension(network), 2);
    network_free(network);
    buffer_done(&bytes);
}

TEST(parser_that_eats_memory_is_refused_at_its_limit) {
#if defined(__SANITIZE_ADDRESS__)
    TEST_SKIP("AddressSanitizer maps more memory than any limit has");
#endif
    check_refused("eats memory", STATUS_LIMIT, "more memory than 64 MiB");
}

TEST(parser_that_never_ends_is_refused_by_processor_time) {
    check_refused("spins", STATUS_FORMAT, "more processor time than is accepted");
}

TEST(parser_that_waits_for_ever_is_killed) {
    int64_t start_ms = clock_ms();
    check_refused("sleeps", STATUS_LIMIT, "longer, or more, than is accepted");
    CHECK(clock_ms() - start_ms >= TIGHT.wall_ms);
}

TEST(parser_can_open_nothing) {
    char expected[32];
    snprintf(expected, sizeof expected, "errno is %d", EMFILE);
    Buffer bytes = BUFFER_EMPTY;
    Status status;
    CHECK_TEXT(import_of("opens a file", &status, &bytes), expected);
    CHECK_INT(status, STATUS_FORMAT);
}

TEST(parser_that_crashes_takes_nobody_along) {
    check_refused("crashes", STATUS_FORMAT, "the process that read it died (Segmentation fault)");
}

TEST(parser_that_leaves_without_a_word_is_refused) {
    check_refused("leaves", STATUS_FORMAT, "it ended without a word");
}

TEST_MAIN_LIST(T(good_parser_hands_over_its_network)
                   T(parser_that_eats_memory_is_refused_at_its_limit)
                       T(parser_that_never_ends_is_refused_by_processor_time)
                           T(parser_that_waits_for_ever_is_killed) T(parser_can_open_nothing)
                               T(parser_that_crashes_takes_nobody_along)
                                   T(parser_that_leaves_without_a_word_is_refused))
