// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/mem.h"

TEST(an_empty_buffer_reads_as_empty_text) {
    Buffer buffer = BUFFER_EMPTY;
    CHECK_TEXT(buffer_cstr(&buffer), "");
    buffer_clear(&buffer);
    buffer_done(&buffer);
}

TEST(all_kinds_of_writing_append) {
    Buffer buffer = BUFFER_EMPTY;
    buffer_text(&buffer, "a,");
    buffer_format(&buffer, "%d,%s,", 7, "");
    buffer_append(&buffer, "\0b", 2);
    buffer_number(&buffer, 0.1);
    CHECK_INT(buffer.size, 10);
    CHECK(memcmp(buffer.bytes, "a,7,,\0b0.1", 11) == 0);
    CHECK_INT(buffer.status, STATUS_OK);
    buffer_clear(&buffer);
    CHECK_INT(buffer.size, 0);
    CHECK_TEXT(buffer_cstr(&buffer), "");
    buffer_done(&buffer);
    CHECK(buffer.bytes == NULL);
}

TEST(a_buffer_grows_over_every_size) {
    Buffer buffer = BUFFER_EMPTY;
    for (int i = 0; i < 5000; i++) {
        buffer_format(&buffer, "%c", 'a' + i % 26);
    }
    buffer_format(&buffer, "%5000s", "x");
    CHECK_INT(buffer.size, 10000);
    for (int i = 0; i < 5000; i++) {
        CHECK_INT(buffer.bytes[i], 'a' + i % 26);
    }
    CHECK_INT(buffer.bytes[9999], 'x');
    CHECK_INT(buffer.bytes[10000], '\0');
    buffer_done(&buffer);
}

TEST(json_strings_are_quoted_and_escaped) {
    Buffer buffer = BUFFER_EMPTY;
    buffer_json(&buffer, "");
    buffer_json(&buffer, "press \"3\"\\\n\x1f \xc3\xa9\x7f");
    CHECK_TEXT(buffer_cstr(&buffer), "\"\"\"press \\\"3\\\"\\\\\\u000a\\u001f \xc3\xa9\x7f\"");
    buffer_done(&buffer);
}

TEST(a_failed_allocation_sticks) {
    long before = mem_blocks();
    Buffer buffer = BUFFER_EMPTY;
    buffer_text(&buffer, "kept");
    char big[1000];
    memset(big, 'b', sizeof big);
    mem_fail_after(0);
    buffer_append(&buffer, big, sizeof big);
    mem_fail_after(-1);
    CHECK_INT(buffer.status, STATUS_MEMORY);
    buffer_text(&buffer, "more");
    buffer_number(&buffer, 1);
    buffer_format(&buffer, "%d", 1);
    CHECK_TEXT(buffer_cstr(&buffer), "kept");
    buffer_done(&buffer);
    CHECK_INT(buffer.status, STATUS_OK);
    CHECK_INT(mem_blocks(), before);
}

TEST(a_size_beyond_memory_fails_and_ends) {
    Buffer buffer = BUFFER_EMPTY;
    buffer_append(&buffer, "", SIZE_MAX - 8);
    CHECK_INT(buffer.status, STATUS_MEMORY);
    CHECK_HAS(status_message(), "out of memory");
    buffer_done(&buffer);
}

TEST_MAIN_LIST(T(an_empty_buffer_reads_as_empty_text) T(all_kinds_of_writing_append)
                   T(json_strings_are_quoted_and_escaped) T(a_buffer_grows_over_every_size)
                       T(a_failed_allocation_sticks) T(a_size_beyond_memory_fails_and_ends))
