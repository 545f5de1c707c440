// SPDX-License-Identifier: Apache-2.0
#include "coordinator/dataset/record.h"
#include "tests/unit/dataset/tree.h"

static Status read_text(const char *text, Dataset **ret_dataset) {
    Buffer record = BUFFER_EMPTY;
    buffer_text(&record, text);
    Status status = dataset_record_read(&record, ret_dataset);
    buffer_done(&record);
    return status;
}

TEST(a_record_gives_back_what_results_depend_on) {
    tree_begin();
    put("data/dev_data/fan/train/section_00_source_train_normal_0000_v_1.wav");
    put("data/dev_data/fan/train/section_00_source_train_anomaly_0001_v_1.wav"); // left out
    put("data/dev_data/fan/test/section_00_target_test_anomaly_0000_v_1.wav");
    put("data/eval_data/fan/test/section_00_0000.wav");
    put("data/press/train/\"a, b\" \xc3\xa9.wav");
    put("data/press/supplemental/b.wav");
    Dataset *scanned = scan("data");
    Buffer record = BUFFER_EMPTY;
    dataset_record_write(scanned, &record);
    CHECK_OK(record.status);
    CHECK_OK(file_remove_tree(tree_path("data"))); // no file is looked at
    Dataset *read = NULL;
    CHECK_OK(dataset_record_read(&record, &read));
    Digest one, other;
    CHECK_OK(dataset_digest(scanned, &one));
    CHECK_OK(dataset_digest(read, &other));
    CHECK(digest_equal(one, other));
    CHECK_INT(read->clip_count, scanned->clip_count);
    CHECK_INT(read->machine_count, scanned->machine_count);
    for (uint32_t i = 0; i < read->clip_count; i++) {
        const char *before = scanned->clips[i].left_out, *after = read->clips[i].left_out;
        CHECK_TEXT(after != NULL ? after : "", before != NULL ? before : "");
        CHECK_TEXT(read->clips[i].name, scanned->clips[i].name);
        CHECK_INT(read->clips[i].root, scanned->clips[i].root);
    }
    buffer_done(&record);
    dataset_free(scanned);
    dataset_free(read);
    tree_end();
}

TEST(what_is_no_record_is_refused) {
    static const char *const TEXTS[] = {
        "",
        "something else",
        "auscult data 2\n",
        "auscult data 1\nmachine\t7\tfan\n",
        "auscult data 1\nmachine\t0\t\n",
        "auscult data 1\nmachine\t0\n",
        "auscult data 1\n1\t1\t1\t0\t5\t5\t00\tfan/train/a.wav\t\n", // of no machine
        "auscult data 1\nmachine\t0\tfan\n1\t1\t1\t0\t5\t5\t00\t/etc/a.wav\t\n",
        "auscult data 1\nmachine\t0\tfan\n1\t1\t1\t0\t5\t5\t00\t../a.wav\t\n",
        "auscult data 1\nmachine\t0\tfan\n1\t1\t1\t0\t-5\t5\t00\ta.wav\t\n",
        "auscult data 1\nmachine\t0\tfan\n1\t1\t1\t0\t5\tnow\t00\ta.wav\t\n",
        "auscult data 1\nmachine\t0\tfan\n9\t1\t1\t0\t5\t5\t00\ta.wav\t\n",
        "auscult data 1\nmachine\t0\tfan\n1\t1\t1\t0\t5\t5\t00\ta.wav\n",
        "auscult data 1\nmachine\t0\tfan\n1\t1\n",
    };
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        Dataset *dataset = NULL;
        CHECK(read_text(TEXTS[i], &dataset) == STATUS_FORMAT);
        CHECK(dataset == NULL);
    }
}

TEST(every_allocation_of_reading_may_fail) {
    Buffer record = BUFFER_EMPTY;
    buffer_text(&record, "auscult data 1\nmachine\t0\tfan\n1\t1\t1\t0\t5\t-5\t00\ta.wav\tbroken\n");
    long before = mem_blocks();
    Status status = STATUS_MEMORY;
    for (int allowed = 0; status == STATUS_MEMORY; allowed++) {
        Dataset *dataset = NULL;
        mem_fail_after(allowed);
        status = dataset_record_read(&record, &dataset);
        mem_fail_after(-1);
        CHECK((status == STATUS_OK) == (dataset != NULL));
        dataset_free(dataset);
        CHECK_INT(mem_blocks(), before);
    }
    CHECK_OK(status);
    buffer_done(&record);
}

TEST_MAIN_LIST(T(a_record_gives_back_what_results_depend_on) T(what_is_no_record_is_refused)
                   T(every_allocation_of_reading_may_fail))
