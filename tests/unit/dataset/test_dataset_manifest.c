// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/dataset/tree.h"

static void write_manifest(const char *text) {
    put_text("manifest.csv", text);
}

static Status scan_manifest(Dataset **ret_dataset) {
    char manifest[512];
    snprintf(manifest, sizeof manifest, "%s/manifest.csv", tree);
    return scan_roots(manifest, ret_dataset, "data", NULL);
}

static void put_set(void) {
    put("data/dev_data/fan/train/section_00_source_train_normal_0000_v_1.wav");
    put("data/dev_data/fan/train/section_00_source_train_anomaly_0001_v_1.wav");
    put("data/dev_data/fan/test/section_00_target_test_anomaly_0000_v_1.wav");
    put_text("data/dev_data/fan/attributes_00.csv",
             "file_name,d1p,d1v\n"
             "fan/test/section_00_target_test_anomaly_0000_v_1.wav,a=b;,c\\d\n");
    put("data/eval_data/fan/train/section_00_source_train_normal_0000_.wav");
    put_text("data/eval_data/fan/test/section_00_0000.wav", "hidden");
    put_text("data/eval_data/fan/test_rename/section_00_source_test_normal_0000_.wav", "hidden");
    put("data/press/train/\"a, b\".wav");
    put("data/press/test/a.wav");
    put("data/press/supplemental/b.wav");
}

TEST(manifest_of_a_scan_gives_the_same_data_set) {
    tree_begin();
    put_set();
    Dataset *scanned = scan("data");
    Buffer csv = BUFFER_EMPTY;
    dataset_write_csv(scanned, &csv);
    CHECK_INT(csv.status, STATUS_OK);
    CHECK_HAS(csv.bytes, "root,path,set,machine,section,domain,label,split,size_bytes,mtime_ns,"
                         "attributes\n");
    write_manifest(csv.bytes);
    Dataset *read = NULL;
    CHECK_OK(scan_manifest(&read));
    CHECK_INT(read->clip_count, scanned->clip_count);
    CHECK_INT(read->left_out_count, scanned->left_out_count);
    CHECK_INT(read->machine_count, scanned->machine_count);
    Digest a, b;
    CHECK_OK(dataset_digest(scanned, &a));
    CHECK_OK(dataset_digest(read, &b));
    CHECK(digest_equal(a, b));
    for (uint32_t i = 0; i < read->clip_count; i++) {
        char expected[1024];
        snprintf(expected, sizeof expected, "%s", attributes_text(&scanned->clips[i]));
        CHECK_TEXT(attributes_text(&read->clips[i]), expected);
    }
    Buffer again = BUFFER_EMPTY;
    dataset_write_csv(read, &again);
    CHECK_TEXT(again.bytes, csv.bytes);
    CHECK_NO_WARNINGS(read);
    buffer_done(&csv);
    buffer_done(&again);
    dataset_free(scanned);
    dataset_free(read);
    tree_end();
}

TEST(digest_tells_changed_files_and_labels) {
    tree_begin();
    put("data/fan/train/1.wav");
    put("data/fan/test/1.wav");
    Dataset *dataset = scan("data");
    Digest before, after;
    CHECK_OK(dataset_digest(dataset, &before));
    dataset_free(dataset);
    put_text("data/fan/test/1.wav", "longer");
    dataset = scan("data");
    CHECK_OK(dataset_digest(dataset, &after));
    CHECK(!digest_equal(before, after));
    before = after;
    dataset_free(dataset);
    write_manifest("path,machine,split,label\n"
                   "fan/train/1.wav,fan,train,\nfan/test/1.wav,fan,test,anomaly\n");
    CHECK_OK(scan_manifest(&dataset));
    CHECK_OK(dataset_digest(dataset, &after));
    CHECK(!digest_equal(before, after));
    dataset_free(dataset);
    tree_end();
}

TEST(three_columns_are_enough_in_any_order) {
    tree_begin();
    put("data/rec/a.wav");
    put("data/rec/b.wav");
    put("data/rec/normal_id_03_00000001.wav");
    write_manifest("\xEF\xBB\xBFsplit,comment,path,machine\r\n"
                   "test,x,rec/b.wav,press\r\n"
                   "train,,rec/a.wav,press\r\n"
                   "test,,rec/normal_id_03_00000001.wav,fan\r\n");
    Dataset *dataset = NULL;
    CHECK_OK(scan_manifest(&dataset));
    CHECK_INT(dataset->clip_count, 3);
    CHECK_INT(machine_of(dataset, SET_PLAIN, "press")->train_count, 1);
    CHECK_INT(machine_of(dataset, SET_DEV, "fan")->test_count, 1);
    const Clip *clip = clip_of(dataset, "rec/normal_id_03_00000001.wav");
    CHECK_INT(clip->label, LABEL_NORMAL);
    CHECK_TEXT(clip->section, "03");
    CHECK_INT(clip_of(dataset, "rec/a.wav")->label, LABEL_NORMAL);
    CHECK_INT(clip_of(dataset, "rec/b.wav")->label, LABEL_UNKNOWN);
    dataset_free(dataset);
    tree_end();
}

TEST(manifest_goes_before_names) {
    tree_begin();
    put("data/fan/test/section_00_source_test_normal_0000_v_1.wav");
    write_manifest("path,set,machine,section,domain,label,split,attributes\n"
                   "fan/test/section_00_source_test_normal_0000_v_1.wav,plain,pump,07,target,"
                   "anomaly,supplemental,x=1;y=\n");
    Dataset *dataset = NULL;
    CHECK_OK(scan_manifest(&dataset));
    const Clip *clip = &dataset->clips[0];
    CHECK_TEXT(machine_of(dataset, SET_PLAIN, "pump")->name, "pump");
    CHECK_TEXT(clip->section, "07");
    CHECK_INT(clip->domain, DOMAIN_TARGET);
    CHECK_INT(clip->label, LABEL_ANOMALY);
    CHECK_INT(clip->split, SPLIT_SUPPLEMENTAL);
    CHECK_TEXT(attributes_text(clip), "x=1;y=");
    dataset_free(dataset);
    tree_end();
}

TEST(row_without_file_is_left_out) {
    tree_begin();
    put("data/fan/train/1.wav");
    write_manifest("path,machine,split\nfan/train/1.wav,fan,train\nfan/test/gone.wav,fan,test\n");
    Dataset *dataset = NULL;
    CHECK_OK(scan_manifest(&dataset));
    CHECK_INT(dataset->clip_count, 1);
    CHECK_INT(dataset->left_out_count, 1);
    CHECK_TEXT(dataset->left_out[0].path, "fan/test/gone.wav");
    CHECK_TEXT(dataset->left_out[0].reason, "no such file");
    dataset_free(dataset);
    dataset = NULL;
    write_manifest("path,machine,split\nfan/test/gone.wav,fan,test\n");
    CHECK_INT(scan_manifest(&dataset), STATUS_NOT_FOUND);
    CHECK_HAS(status_message(), "manifest.csv");
    tree_end();
}

TEST(changed_files_are_warned_of) {
    tree_begin();
    put("data/fan/train/1.wav");
    put("data/fan/test/1.wav");
    write_manifest("path,machine,split,size_bytes\nfan/train/1.wav,fan,train,77\n"
                   "fan/test/1.wav,fan,test,1\n");
    Dataset *dataset = NULL;
    CHECK_OK(scan_manifest(&dataset));
    CHECK_WARNING(dataset, "1 clips have changed since it was written (size or time), such as "
                           "fan/train/1.wav");
    dataset_free(dataset);
    tree_end();
}

TEST(clips_are_found_under_whatever_root_has_them) {
    tree_begin();
    put("data/fan/train/1.wav");
    put("more/fan/test/1.wav");
    write_manifest("root,path,machine,split\n1,fan/train/1.wav,fan,train\n"
                   "5,fan/test/1.wav,fan,test\n");
    Dataset *dataset = NULL;
    char manifest[512];
    snprintf(manifest, sizeof manifest, "%s/manifest.csv", tree);
    CHECK_OK(scan_roots(manifest, &dataset, "data", "more", NULL));
    CHECK_INT(dataset->clips[0].root, 0);
    CHECK_INT(dataset->clips[1].root, 1);
    CHECK_INT(dataset->machine_count, 1);
    dataset_free(dataset);
    tree_end();
}

TEST(hostile_manifests_are_refused_by_line) {
    static const struct {
        const char *text;
        Status status;
        const char *message;
    } cases[] = {
        {"path,machine,split\nfan/../../x.wav,fan,test\n", STATUS_INVALID, "manifest.csv:2: path"},
        {"path,machine,split\n/etc/x.wav,fan,test\n", STATUS_INVALID, "manifest.csv:2: path"},
        {"path,machine,split\nfan/train/1.wav,fan,train\n\"a\nb.wav\",fan,test\n", STATUS_INVALID,
         "manifest.csv:3: path 'a\\x0Ab.wav'"},
        {"path,machine,split\nx/passwd,fan,test\n", STATUS_INVALID, "is not a .wav"},
        {"path,machine,split\nfan/train/1.wav,..,test\n", STATUS_INVALID, "2: machine '..'"},
        {"path,machine,split\nfan/train/1.wav,a/b,test\n", STATUS_INVALID, "machine 'a/b'"},
        {"path,machine,split\nfan/train/1.wav,,test\n", STATUS_INVALID, "machine ''"},
        {"path,machine,split\nfan/train/1.wav,fan,tset\n", STATUS_INVALID,
         "split 'tset' is not train, test or supplemental"},
        {"path,machine,split\nfan/train/1.wav,fan,\n", STATUS_INVALID, "split ''"},
        {"path,machine,split,label\nfan/train/1.wav,fan,test,bad\n", STATUS_INVALID,
         "label 'bad' is not normal or anomaly"},
        {"path,machine,split,domain\nfan/train/1.wav,fan,test,x\n", STATUS_INVALID, "domain 'x'"},
        {"path,machine,split,set\nfan/train/1.wav,fan,test,x\n", STATUS_INVALID, "set 'x'"},
        {"path,machine,split,section\nfan/train/1.wav,fan,test,../x\n", STATUS_INVALID,
         "section '../x'"},
        {"path,machine,split,root\nfan/train/1.wav,fan,test,-1\n", STATUS_INVALID, "root '-1'"},
        {"path,machine,split,size_bytes\nfan/train/1.wav,fan,test,many\n", STATUS_INVALID,
         "size_bytes 'many'"},
        {"path,machine,split,attributes\nfan/train/1.wav,fan,test,abc\n", STATUS_INVALID,
         "manifest.csv:2: attributes 'abc'"},
        {"path,machine,split\nfan/train/1.wav,fan\n", STATUS_FORMAT,
         "manifest.csv:2: the row has 2 fields, the header 3"},
        {"path,machine\nfan/train/1.wav,fan\n", STATUS_FORMAT, "there is no column split"},
        {"", STATUS_FORMAT, "there is no column path"},
    };
    tree_begin();
    put("data/fan/train/1.wav");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_manifest(cases[i].text);
        Dataset *dataset = NULL;
        CHECK_INT(scan_manifest(&dataset), cases[i].status);
        CHECK_HAS(status_message(), cases[i].message);
        CHECK(dataset == NULL);
    }
    tree_end();
}

TEST(nul_in_a_manifest_is_refused) {
    tree_begin();
    put("data/fan/train/1.wav");
    static const char text[] = "path,machine,split\nfan/train/1.wav\0,fan,train\n";
    char manifest[512];
    snprintf(manifest, sizeof manifest, "%s/manifest.csv", tree);
    CHECK_OK(file_write(manifest, text, sizeof text - 1));
    Dataset *dataset = NULL;
    CHECK_INT(scan_manifest(&dataset), STATUS_FORMAT);
    CHECK_HAS(status_message(), "manifest.csv:2");
    tree_end();
}

TEST(too_many_attributes_are_refused) {
    tree_begin();
    put("data/fan/train/1.wav");
    Buffer text = BUFFER_EMPTY;
    buffer_text(&text, "path,machine,split,attributes\nfan/train/1.wav,fan,train,");
    for (int i = 0; i <= LIMIT_ATTRIBUTES; i++) {
        buffer_text(&text, "k=v;");
    }
    write_manifest(text.bytes);
    Dataset *dataset = NULL;
    CHECK_INT(scan_manifest(&dataset), STATUS_INVALID);
    CHECK_HAS(status_message(), "more than 32 attributes");
    buffer_done(&text);
    tree_end();
}

TEST(failing_allocations_leak_nothing) {
    tree_begin();
    put("data/fan/train/1.wav");
    put("data/fan/test/1.wav");
    write_manifest("path,machine,split,attributes,section\nfan/train/1.wav,fan,train,a=b,00\n"
                   "fan/test/1.wav,fan,test,a=b,00\nfan/test/2.wav,fan,test,,\n");
    Dataset *dataset = NULL;
    long blocks = mem_blocks();
    for (long successes = 0;; successes++) {
        mem_fail_after(successes);
        Status status = scan_manifest(&dataset);
        int failed = mem_has_failed();
        mem_fail_after(-1);
        if (!failed) {
            CHECK_OK(status);
            break;
        }
        CHECK_INT(status, STATUS_MEMORY);
        CHECK_INT(mem_blocks(), blocks);
    }
    dataset_free(dataset);
    CHECK_INT(mem_blocks(), blocks);
    tree_end();
}

TEST_MAIN_LIST(T(manifest_of_a_scan_gives_the_same_data_set)
                   T(digest_tells_changed_files_and_labels) T(three_columns_are_enough_in_any_order)
                       T(manifest_goes_before_names) T(row_without_file_is_left_out)
                           T(changed_files_are_warned_of)
                               T(clips_are_found_under_whatever_root_has_them)
                                   T(hostile_manifests_are_refused_by_line)
                                       T(nul_in_a_manifest_is_refused)
                                           T(too_many_attributes_are_refused)
                                               T(failing_allocations_leak_nothing))
