// SPDX-License-Identifier: Apache-2.0
#include "common/base/mem.h"
#include "common/store/json.h"
#include "tests/unit/test.h"

static Status parse(const char *text) {
    Json *json = NULL;
    Status status = json_parse("x", text, strlen(text), &json);
    json_free(json);
    return status;
}

TEST(a_tree_is_read) {
    static const char TEXT[] = " {\"a\": [1, -2.5e1, true, null], \"b\\u00e9\\ud83d\\ude00\": "
                               "{\"c\": \"x\\n\\\"\"}, \"e\": [] }\n";
    Json *json;
    CHECK_OK(json_parse("x", TEXT, strlen(TEXT), &json));
    const JsonNode *root = json_root(json), *a = json_member(root, "a");
    CHECK_INT(a->type, JSON_ARRAY);
    CHECK_NEAR(json_number(a->head, 0), 1, 0);
    CHECK_NEAR(json_number(a->head->next, 0), -25, 0);
    CHECK(json_bool(a->head->next->next, false));
    CHECK_INT(a->head->next->next->next->type, JSON_NULL);
    CHECK(a->head->next->next->next->next == NULL);
    const JsonNode *b = json_member(root, "b\xc3\xa9\xf0\x9f\x98\x80");
    CHECK_TEXT(json_text(json_member(b, "c"), ""), "x\n\"");
    CHECK(json_member(root, "e")->head == NULL);
    CHECK(json_member(root, "f") == NULL);
    CHECK_TEXT(json_text(json_member(root, "f"), "none"), "none");
    json_free(json);
}

TEST(what_is_no_json_is_refused) {
    static const char *const BAD[] = {
        "",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "[1 2]",
        "{\"a\" 1}",
        "nul",
        "1 2",
        "\"a",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\u0000\"",
        "01",
        "-",
        "+1",
        ".5",
        "NaN",
        "Infinity",
        "{1: 2}",
        "'a'",
        "\"\t\"",
        "{\"a\":1,\"a\":2}",
        "[1}",
        "1e",
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        if (parse(BAD[i]) != STATUS_FORMAT) {
            TEST_FAIL("accepted: %s", BAD[i]);
        }
    }
}

TEST(depth_and_size_are_bounded) {
    char text[2 * JSON_DEPTH_MOST + 4];
    memset(text, '[', JSON_DEPTH_MOST + 1);
    memset(text + JSON_DEPTH_MOST + 1, ']', JSON_DEPTH_MOST + 1);
    text[2 * JSON_DEPTH_MOST + 2] = '\0';
    CHECK_INT(parse(text), STATUS_LIMIT);
    text[2 * JSON_DEPTH_MOST + 1] = '\0';
    CHECK_OK(parse(text + 1));
    Json *json;
    char *many = mem_new(2 * (JSON_NODES_MOST + 2), 1);
    CHECK(many != NULL);
    memset(many, '1', 2 * (JSON_NODES_MOST + 2));
    for (uint32_t i = 0; i < JSON_NODES_MOST + 2; i++) {
        many[2 * i] = i == 0 ? '[' : ',';
    }
    CHECK_INT(json_parse("x", many, 2 * (JSON_NODES_MOST + 2), &json), STATUS_LIMIT);
    mem_free(many);
}

TEST(a_failing_allocation_leaks_nothing) {
    static const char TEXT[] = "{\"a\": [1, {\"b\": \"c\"}]}";
    long before = mem_blocks();
    for (long n = 0;; n++) {
        Json *json = NULL;
        mem_fail_after(n);
        Status status = json_parse("x", TEXT, strlen(TEXT), &json);
        int has_failed = mem_has_failed();
        mem_fail_after(-1);
        if (status == STATUS_OK) {
            json_free(json);
        }
        CHECK_INT(mem_blocks(), before);
        CHECK_INT(status, has_failed ? STATUS_MEMORY : STATUS_OK);
        if (!has_failed) {
            break;
        }
    }
}

TEST_MAIN_LIST(T(a_tree_is_read) T(what_is_no_json_is_refused) T(depth_and_size_are_bounded)
                   T(a_failing_allocation_leaks_nothing))
