// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "common/base/mem.h"
#include "common/base/yaml_tree.h"

static YamlNode *read_ok(const char *text) {
    YamlNode *root = NULL;
    int line = -1;
    CHECK_OK(yaml_tree_read("x.yaml", text, strlen(text), &root, &line));
    CHECK_INT(line, 0);
    return root;
}

static void check_refused(const char *text, int line, const char *part) {
    YamlNode *root = NULL;
    int found = -1;
    long before = mem_blocks();
    CHECK_INT(yaml_tree_read("x.yaml", text, strlen(text), &root, &found), STATUS_FORMAT);
    CHECK_HAS(status_message(), "x.yaml line ");
    CHECK_HAS(status_message(), part);
    CHECK_INT(found, line);
    CHECK(root == NULL);
    CHECK_INT(mem_blocks(), before);
}

TEST(everything_knows_its_line) {
    YamlNode *root = read_ok("# remark\nsubmission:\n  label: A_b\n  authors:\n    -\n"
                             "      lastname: \"0\"\n    - lastname: B\nother: [1, two]\n");
    CHECK_INT(root->kind, YAML_IS_MAPPING);
    CHECK_INT(root->count, 2);
    const YamlNode *submission = yaml_node_find(root, "submission");
    CHECK_INT(submission->key_line, 2);
    CHECK_INT(submission->line, 3);
    const YamlNode *label = yaml_node_find(submission, "label");
    CHECK_INT(label->line, 3);
    CHECK_TEXT(label->text, "A_b");
    CHECK(label->is_plain);
    const YamlNode *authors = yaml_node_find(submission, "authors");
    CHECK_INT(authors->kind, YAML_IS_LIST);
    CHECK_INT(authors->count, 2);
    CHECK(!yaml_node_find(authors->first, "lastname")->is_plain);
    CHECK_INT(yaml_node_find(authors->first, "lastname")->line, 6);
    CHECK_INT(yaml_node_find(authors->first->next, "lastname")->line, 7);
    CHECK_TEXT(yaml_node_find(root, "other")->first->next->text, "two");
    CHECK(yaml_node_find(root, "label") == NULL);
    CHECK(yaml_node_find(label, "label") == NULL);
    yaml_tree_free(root);
}

TEST(repeated_keys_stay_in_the_files_order) {
    YamlNode *root = read_ok("a: 1\nb: 2\na: 3\n");
    CHECK_INT(root->count, 3);
    CHECK_TEXT(yaml_node_find(root, "a")->text, "1");
    CHECK_TEXT(root->first->next->next->text, "3");
    CHECK_INT(root->first->next->next->key_line, 3);
    yaml_tree_free(root);
}

TEST(null_is_what_stands_without_quotes) {
    YamlNode *root = read_ok("a:\nb: ~\nc: null\nd: \"\"\ne: 'null'\nf: nulls\ng: []\n");
    const char *nulls = "abc";
    for (const YamlNode *entry = root->first; entry != NULL; entry = entry->next) {
        CHECK_INT(yaml_node_is_null(entry), strchr(nulls, entry->key[0]) != NULL);
    }
    yaml_tree_free(root);
}

TEST(a_file_without_anything_is_an_empty_mapping) {
    static const char *const EMPTY[] = {"", "\n", "# only a remark\n", "{}\n"};
    for (size_t i = 0; i < sizeof EMPTY / sizeof EMPTY[0]; i++) {
        YamlNode *root = read_ok(EMPTY[i]);
        CHECK_INT(root->kind, YAML_IS_MAPPING);
        CHECK_INT(root->count, 0);
        yaml_tree_free(root);
    }
}

TEST(what_is_refused_has_its_line) {
    check_refused("a: 1\nb:\n\tc: 2\n", 3, "a tab");
    check_refused("a: 1\nb: \"x\n", 3, "line");
    check_refused("a: 1\nb: x: y\n", 2, "line 2");
    check_refused("a: 1\nb: \xFF\n", 2, "UTF-8");
    check_refused("a: &x 1\nb: *x\n", 2, "alias");
    check_refused("a: 1\n---\nb: 2\n", 2, "second document");
    check_refused("a: 1\n? [b]\n: 2\n", 2, "where a key");
    check_refused("\n\"a\\0\": 1\n", 2, "zero byte");
    check_refused("[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", 1, "too deep");
}

TEST(no_memory_is_an_error_and_leaks_nothing) {
    static const char text[] = "a: [1, {b: 2}]\nc:\n- d: e\n";
    long before = mem_blocks();
    for (long successes = 0;; successes++) {
        YamlNode *root = NULL;
        mem_fail_after(successes);
        Status status = yaml_tree_read("x.yaml", text, strlen(text), &root, NULL);
        int failed = mem_has_failed();
        mem_fail_after(-1);
        if (!failed) {
            CHECK_INT(status, STATUS_OK);
            CHECK(successes > 8);
            yaml_tree_free(root);
            CHECK_INT(mem_blocks(), before);
            break;
        }
        CHECK_INT(status, STATUS_MEMORY);
        CHECK_INT(mem_blocks(), before);
    }
}

TEST_MAIN_LIST(T(everything_knows_its_line) T(repeated_keys_stay_in_the_files_order)
                   T(null_is_what_stands_without_quotes)
                       T(a_file_without_anything_is_an_empty_mapping)
                           T(what_is_refused_has_its_line)
                               T(no_memory_is_an_error_and_leaks_nothing))
