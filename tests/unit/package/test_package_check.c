// SPDX-License-Identifier: Apache-2.0
//
// The seeded faults are in tests/cluster/test_check_package.py; here is what needs no whole
// program.
#include "tests/unit/test.h"

#include "common/base/mem.h"
#include "coordinator/package/check.h"
#include "coordinator/package/years.h"

#define TOP "task2/Doe_Inst_task2_1/"

static const char META[] =
    "submission:\n  label: Doe_Inst_task2_1\n  name: A\n  abbreviation: A\n  authors:\n"
    "    - {lastname: D, firstname: J, email: a@b.org, corresponding: true, affiliation: "
    "{institution: I, department: null, location: null}}\n"
    "system: {complexity: {total_parameters: 1, MACS: 1}}\n"
    "results: {development_dataset: {fan: {auc_source: 1, auc_target: 1, pauc: 1}}}\n";

static Status add_text(Archive *archive, const char *path, const char *text) {
    return archive_add(archive, path, text, strlen(text));
}

static Status make(Archive *archive) {
    Status status = add_text(archive, TOP "anomaly_score_fan_section_00_test.csv",
                             "section_00_0000.wav,1\nsection_00_0001.wav,2\n");
    if (status == STATUS_OK) {
        status = add_text(archive, TOP "decision_result_fan_section_00_test.csv",
                          "section_00_0000.wav,0\nsection_00_0001.wav,1\n");
    }
    return status == STATUS_OK ? add_text(archive, TOP "Doe_Inst_task2_1.meta.yaml", META) : status;
}

// Writes a package, reads it back, checks it, and prints what was found.
static Status walk(Buffer *out) {
    Archive made = ARCHIVE_EMPTY, read = ARCHIVE_EMPTY;
    Buffer zip = BUFFER_EMPTY;
    Complaints complaints = COMPLAINTS_EMPTY;
    Status status = make(&made);
    if (status == STATUS_OK) {
        status = archive_write_zip(&made, &zip);
    }
    if (status == STATUS_OK) {
        status = archive_read_zip("x.zip", zip.bytes, zip.size, &read);
    }
    if (status == STATUS_OK) {
        CheckConfig config = {.archive = &read, .name = "x.zip"};
        status = package_check(&config, &complaints);
    }
    if (status == STATUS_OK) {
        complaints_format(&complaints, out);
        complaints_json(&complaints, out);
        status = out->status;
    }
    complaints_done(&complaints);
    archive_done(&read);
    archive_done(&made);
    buffer_done(&zip);
    return status;
}

TEST(a_package_goes_through_a_zip_and_back) {
    Archive made = ARCHIVE_EMPTY, read = ARCHIVE_EMPTY;
    Buffer zip = BUFFER_EMPTY, again = BUFFER_EMPTY;
    CHECK_OK(make(&made));
    CHECK_OK(add_text(&made, "task2/a.pdf", ""));
    CHECK_OK(archive_write_zip(&made, &zip));
    CHECK_OK(archive_write_zip(&made, &again));
    CHECK_INT(again.size, zip.size);
    CHECK(memcmp(again.bytes, zip.bytes, zip.size) == 0);
    CHECK_OK(archive_read_zip("x.zip", zip.bytes, zip.size, &read));
    CHECK_INT(read.count, made.count);
    CHECK_INT(read.bytes, made.bytes);
    for (size_t i = 0; i < read.count; i++) {
        CHECK_TEXT(read.entries[i].path, made.entries[i].path);
        CHECK(read.entries[i].trouble == NULL);
        CHECK_TEXT(buffer_cstr(&read.entries[i].bytes), buffer_cstr(&made.entries[i].bytes));
    }
    archive_done(&read);
    archive_done(&made);
    buffer_done(&zip);
    buffer_done(&again);
}

TEST(complaints_are_told_in_the_order_of_files_and_lines) {
    Complaints complaints = COMPLAINTS_EMPTY;
    Buffer text = BUFFER_EMPTY;
    complaints_add(&complaints, COMPLAINT_WARNING, "b", 2, "x");
    complaints_add(&complaints, COMPLAINT_ERROR, "b", 10, "y");
    complaints_add(&complaints, COMPLAINT_ERROR, "b", 2, "z\n\xFF");
    complaints_add(&complaints, COMPLAINT_ERROR, "a", 0, "w");
    complaints_sort(&complaints);
    complaints_format(&complaints, &text);
    CHECK_TEXT(buffer_cstr(&text), "a: error: w\nb:2: error: z??\nb:2: warning: x\n"
                                   "b:10: error: y\n3 errors, 1 warning\n");
    complaints_done(&complaints);
    buffer_done(&text);
}

TEST(labels_have_one_form) {
    static const char *const GOOD[] = {"Doe_Inst_task2_1", "De-Roe_A_B_task2_4"};
    static const char *const BAD[] = {"",
                                      "Doe_task2_1",
                                      "_Inst_task2_1",
                                      "Doe__task2_1x",
                                      "Doe_Inst_task2_0",
                                      "Doe_Inst_task2_5",
                                      "Doe_Inst_task2_11",
                                      "Doe_Inst_task1_1",
                                      "D/e_Inst_task2_1",
                                      "D e_Inst_task2_1",
                                      "Doe_Inst_task2_"};
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
        CHECK(package_is_label(GOOD[i]));
    }
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        CHECK(!package_is_label(BAD[i]));
    }
}

TEST(years_know_their_machines) {
    static const size_t COUNTS[] = {6, 7, 7, 7, 9, 8, 5};
    for (int year = YEAR_FIRST; year <= YEAR_LAST; year++) {
        size_t count = 0;
        while (year_machines(year)[count].name != NULL) {
            CHECK(year_find(year, year_machines(year)[count].name) != NULL);
            count++;
        }
        CHECK_INT(count, COUNTS[year - YEAR_FIRST]);
    }
    CHECK(year_machines(2019) == NULL && year_machines(2027) == NULL);
    CHECK(year_find(2024, "fan") == NULL);
    CHECK_TEXT(year_nearest(2024, "Robot_Arm"), "RoboticArm");
}

TEST(no_memory_is_an_error_and_leaks_nothing) {
    long before = mem_blocks();
    for (long successes = 0;; successes++) {
        Buffer out = BUFFER_EMPTY;
        mem_fail_after(successes);
        Status status = walk(&out);
        int failed = mem_has_failed();
        mem_fail_after(-1);
        if (!failed) {
            CHECK_INT(status, STATUS_OK);
            CHECK_HAS(buffer_cstr(&out), "system.description is missing");
            CHECK(successes > 50);
            buffer_done(&out);
            CHECK_INT(mem_blocks(), before);
            break;
        }
        CHECK_INT(status, STATUS_MEMORY);
        buffer_done(&out);
        CHECK_INT(mem_blocks(), before);
    }
}

TEST_MAIN_LIST(T(a_package_goes_through_a_zip_and_back)
                   T(complaints_are_told_in_the_order_of_files_and_lines) T(labels_have_one_form)
                       T(years_know_their_machines) T(no_memory_is_an_error_and_leaks_nothing))
