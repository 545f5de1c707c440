// SPDX-License-Identifier: Apache-2.0
//
// Where the live page listens, and under which names it answers.
#include "tests/unit/test.h"

#include "common/base/status.h"
#include "coordinator/live/http_host.h"

static HttpAddress address_of(const char *text) {
    HttpAddress address;
    CHECK_OK(http_address_parse(text, &address));
    return address;
}

TEST(addresses_are_taken_as_typed) {
    HttpAddress address = address_of("127.0.0.1:8080");
    CHECK_TEXT(address.host, "127.0.0.1");
    CHECK_INT(address.port, 8080);
    address = address_of("[::1]:0");
    CHECK_TEXT(address.host, "::1");
    CHECK_INT(address.port, 0);
    CHECK_TEXT(address_of("node7.example.org:65535").host, "node7.example.org");
}

TEST(what_is_no_address_is_refused_by_name) {
    static const char *const WRONG[] = {
        "",         "8080",         ":8080",   "127.0.0.1",  "127.0.0.1:",         "[::1]",
        "[::1]x:1", "127.0.0.1:x",  "[::1:80", "host:65536", "http://localhost:1", "a:-1",
        "[]:1",     "127.0.0.1:1 ", "host:1:2"};
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        HttpAddress address = {.host = "untouched"};
        if (http_address_parse(WRONG[i], &address) != STATUS_INVALID) {
            TEST_FAIL("\"%s\" was taken", WRONG[i]);
        }
        CHECK_HAS(status_message(), WRONG[i]);
        CHECK_HAS(status_message(), "127.0.0.1:8080");
        CHECK_TEXT(address.host, "untouched");
    }
    char longest[1000];
    memset(longest, 'a', sizeof longest);
    memcpy(longest + sizeof longest - 3, ":1", 3);
    CHECK_INT(http_address_parse(longest, &(HttpAddress){.port = 0}), STATUS_INVALID);
}

static bool is_ours(const char *header, const char *bound) {
    HttpAddress address = address_of(bound);
    return http_host_is_ours(header, &address, "node7");
}

TEST(loopback_answers_to_its_own_names_on_any_port) {
    static const char *const OURS[] = {"localhost",   "LOCALHOST:9000", "127.0.0.1",
                                       "127.0.0.1:1", "[::1]",          "[::1]:8080"};
    for (size_t i = 0; i < sizeof OURS / sizeof OURS[0]; i++) {
        CHECK(is_ours(OURS[i], "127.0.0.1:8080") && is_ours(OURS[i], "[::1]:8080"));
    }
}

TEST(a_name_that_somebody_points_here_is_refused) {
    static const char *const OTHERS[] = {"",
                                         "evil.example",
                                         "127.0.0.1.evil.example",
                                         "localhost.evil.example:8080",
                                         "node7",
                                         "localhost:80:80",
                                         "localhost:",
                                         "[::1",
                                         "10.0.0.1",
                                         "localhost:8080x",
                                         "[::1]8080",
                                         " localhost",
                                         "localhost ",
                                         "user@localhost",
                                         "127.0.0.1:-1",
                                         "localhost/",
                                         "[localhost"};
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++) {
        if (is_ours(OTHERS[i], "127.0.0.1:8080")) {
            TEST_FAIL("\"%s\" was taken", OTHERS[i]);
        }
    }
    CHECK(!http_host_is_ours(NULL, &(HttpAddress){.host = "127.0.0.1"}, "node7"));
}

TEST(an_address_that_was_typed_is_a_name_too) {
    CHECK(is_ours("10.0.0.1:8080", "10.0.0.1:8080"));
    CHECK(is_ours("Node7.example.org", "node7.example.org:80"));
    CHECK(!is_ours("10.0.0.2", "10.0.0.1:8080"));
}

TEST(every_interface_answers_to_numbers_and_its_own_name) {
    CHECK(is_ours("10.0.0.1:8080", "0.0.0.0:8080"));
    CHECK(is_ours("[fe80::1]:8080", "[::]:8080"));
    CHECK(is_ours("node7:8080", "0.0.0.0:8080"));
    CHECK(!is_ours("evil.example", "0.0.0.0:8080"));
    CHECK(!is_ours("10.0.0.1.evil.example", "[::]:8080"));
}

TEST_MAIN_LIST(T(addresses_are_taken_as_typed) T(what_is_no_address_is_refused_by_name)
                   T(loopback_answers_to_its_own_names_on_any_port)
                       T(a_name_that_somebody_points_here_is_refused)
                           T(an_address_that_was_typed_is_a_name_too)
                               T(every_interface_answers_to_numbers_and_its_own_name))
