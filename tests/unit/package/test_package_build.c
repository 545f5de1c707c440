// SPDX-License-Identifier: Apache-2.0
//
// From a run's folder, which is made here file by file, to a package. Real runs are packed by
// tests/interop/test_package.py.
#include "tests/unit/test.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/engine/model_file.h"
#include "coordinator/package/author.h"
#include "coordinator/package/build.h"
#include "coordinator/package/meta_write.h"
#include "coordinator/package/run_system.h"

#define TABLES "/run/outputs/"

static const char AUTHOR[] =
    "name: A\nabbreviation: A\nauthors:\n"
    "  - {lastname: D, firstname: J, email: a@b.org, corresponding: true, affiliation: "
    "{institution: I, department: null, location: \"12\"}}\n";

static void write_text(const char *folder, const char *name, const char *text) {
    char path[600], above[600];
    snprintf(path, sizeof path, "%s%s", folder, name);
    snprintf(above, sizeof above, "%s", path);
    *strrchr(above, '/') = '\0';
    CHECK_OK(file_make_folders(above));
    CHECK_OK(file_write(path, text, strlen(text)));
}

static void write_model(const char *folder) {
    char path[600];
    Buffer bytes = BUFFER_EMPTY;
    ModelFile file = model_file_blank();
    strcpy(file.set, "eval");
    strcpy(file.machine, "fan");
    file.rate_hz = 16000;
    CHECK_OK(settings_preset("default", &file.settings));
    CHECK_OK(settings_set(&file.settings, "n_mels", "4"));
    Shape shape = shape_official(&file.settings);
    file.replica = replica_new(&shape);
    CHECK(file.replica != NULL);
    model_file_write(&file, &bytes);
    snprintf(path, sizeof path, "%s/run/data/fan.eval", folder);
    CHECK_OK(file_make_folders(path));
    strcat(path, "/" MODEL_FILE_NAME);
    CHECK_OK(file_write_buffer(path, &bytes));
    buffer_done(&bytes);
    replica_free(file.replica);
}

// The outputs of one system, "" or "MAHALA/", whose only machine has two clips; one has a score.
static void write_outputs(const char *folder, const char *system) {
    static const struct {
        const char *name, *text;
    } FILES[] = {
        {"submission/task2/auscult_task2_1/anomaly_score_fan_section_00_test.csv",
         "section_00_0000.wav,1\nsection_00_0001.wav,2\n"},
        {"submission/task2/auscult_task2_1/decision_result_fan_section_00_test.csv",
         "section_00_0000.wav,0\nsection_00_0001.wav,1\n"},
        {"challenge_predictions.csv", "file_name,machine_type\nsection_00_0001.wav,fan\n"},
        {"dcase_submission.csv",
         "machine_type,file_name\nfan,section_00_0000.wav\nfan,section_00_0001.wav\n"},
        {"report_by_machine.csv",
         "machine_type,auc_source,auc_target,pauc\nfan (eval),,,\nfan (dev),0.5,0.25,1\n"
         "all (dev),0.5,0.25,1\nall,0.5,0.25,1\n"},
    };
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++) {
        char name[300];
        snprintf(name, sizeof name, TABLES "%s%s", system, FILES[i].name);
        write_text(folder, name, FILES[i].text);
    }
}

static void make_run(const char *folder) {
    write_outputs(folder, "");
    write_text(folder, "/author.yaml", AUTHOR);
    write_model(folder);
}

typedef struct Paths {
    char run[400], author[400], out[400];
    const char *runs[1];
} Paths;

// The clips that the run has, so that its one machine is enough.
static const ExpectedClip CLIPS[] = {{"fan", "00", "section_00_0000.wav", FILE_OF_SECTION},
                                     {"fan", "00", "section_00_0001.wav", FILE_OF_SECTION}};
static const Expected EXPECTED = {.clips = (ExpectedClip *)CLIPS, .count = 2};

static PackageConfig config_of(const char *folder, Paths *paths) {
    snprintf(paths->run, sizeof paths->run, "%s/run", folder);
    snprintf(paths->author, sizeof paths->author, "%s/author.yaml", folder);
    snprintf(paths->out, sizeof paths->out, "%s/p.zip", folder);
    paths->runs[0] = paths->run;
    return (PackageConfig){.runs = paths->runs,
                           .run_count = 1,
                           .author = paths->author,
                           .label = "Doe_Inst",
                           .out = paths->out,
                           .expected = &EXPECTED};
}

TEST(a_run_becomes_a_package) {
    Paths paths;
    const char *folder = test_folder();
    make_run(folder);
    PackageConfig config = config_of(folder, &paths);
    Complaints complaints = COMPLAINTS_EMPTY;
    CHECK_OK(package_build(&config, &complaints));
    CHECK_INT(complaints.errors, 0);
    CHECK_INT(complaints.warnings, 1);
    CHECK_HAS(complaints.items[0].text, "1 clip without a score, such as fan/section_00_0000.wav");
    complaints_done(&complaints);
    Archive archive = ARCHIVE_EMPTY;
    CHECK_OK(archive_read(paths.out, &archive));
    CHECK_INT(archive.count, 3);
    CHECK_TEXT(archive.entries[0].path, "task2/Doe_Inst_task2_1/Doe_Inst_task2_1.meta.yaml");
    const char *meta = buffer_cstr(&archive.entries[0].bytes);
    CHECK_HAS(meta, "  label: Doe_Inst_task2_1\n  name: \"A\"\n  abbreviation: \"A\"\n");
    CHECK_HAS(meta, "department: null\n");
    CHECK_HAS(meta, "location: \"12\"\n");
    CHECK_HAS(meta, "    fan: {auc_source: 50.00, auc_target: 25.00, pauc: 100.00}\n");
    CHECK(strstr(meta, "all") == NULL || strstr(meta, "\n    all") == NULL);
    archive_done(&archive);
    CHECK_OK(file_remove_tree(folder));
}

TEST(systems_that_share_a_model_tell_their_own_score) {
    Paths paths;
    const char *folder = test_folder();
    make_run(folder);
    write_outputs(folder, "MAHALA/");
    PackageConfig config = config_of(folder, &paths);
    Complaints complaints = COMPLAINTS_EMPTY;
    CHECK_OK(package_build(&config, &complaints));
    CHECK_INT(complaints.errors, 0);
    complaints_done(&complaints);
    Archive archive = ARCHIVE_EMPTY;
    CHECK_OK(archive_read(paths.out, &archive));
    CHECK_INT(archive.count, 6);
    CHECK_HAS(buffer_cstr(&archive.entries[0].bytes), "name: \"A (primary)\"");
    CHECK_HAS(buffer_cstr(&archive.entries[0].bytes), "mean of the squared");
    CHECK_HAS(buffer_cstr(&archive.entries[3].bytes), "name: \"A (MAHALA)\"");
    CHECK_HAS(buffer_cstr(&archive.entries[3].bytes), "Mahalanobis");
    archive_done(&archive);
    CHECK_OK(file_remove_tree(folder));
}

TEST(an_old_package_stays_when_the_new_one_is_refused) {
    Paths paths;
    const char *folder = test_folder();
    make_run(folder);
    PackageConfig config = config_of(folder, &paths);
    CHECK_OK(file_write(paths.out, "old", 3));
    config.is_strict = true;
    Complaints complaints = COMPLAINTS_EMPTY;
    CHECK_OK(package_build(&config, &complaints));
    CHECK_INT(complaints.errors, 1);
    complaints_done(&complaints);
    Buffer text = BUFFER_EMPTY;
    CHECK_OK(file_read(paths.out, 100, &text));
    CHECK_TEXT(buffer_cstr(&text), "old");
    buffer_done(&text);
    CHECK_OK(file_remove_tree(folder));
}

TEST(multiplications_are_those_of_the_layers) {
    RunModel model = {.rate_hz = 16000};
    CHECK_OK(settings_preset("default", &model.settings));
    model.shape = shape_official(&model.settings);
    // 640-128 and back, six times 128-128, 128-8 and back
    CHECK_INT(meta_macs_per_vector(&model.shape), 2 * 640 * 128 + 6 * 128 * 128 + 2 * 128 * 8);
    CHECK_INT(meta_vectors_of_ten_seconds(&model), 1 + 160000 / 512 - 4);
    model.rate_hz = 0; // log-mels from elsewhere
    CHECK_INT(meta_vectors_of_ten_seconds(&model), 309);
    CHECK_OK(settings_preset("notebook", &model.settings));
    model.shape = shape_of_settings(&model.settings);
    CHECK_INT(meta_macs_per_vector(&model.shape), 2 * 147 * 64);
    CHECK_INT(meta_vectors_of_ten_seconds(&model), 1);
}

TEST(keys_are_quoted_where_they_are_more_than_words) {
    Buffer out = BUFFER_EMPTY;
    author_write_key("ToyCar", &out);
    author_write_key("3DPrinter", &out);
    author_write_key("12", &out);
    author_write_key("a: b", &out);
    CHECK_TEXT(buffer_cstr(&out), "ToyCar3DPrinter\"12\"\"a: b\"");
    buffer_done(&out);
}

TEST(no_memory_is_an_error_and_leaks_nothing) {
    Paths paths;
    const char *folder = test_folder();
    make_run(folder);
    PackageConfig config = config_of(folder, &paths);
    long before = mem_blocks();
    for (long successes = 0;; successes++) {
        Complaints complaints = COMPLAINTS_EMPTY;
        mem_fail_after(successes);
        Status status = package_build(&config, &complaints);
        int failed = mem_has_failed();
        mem_fail_after(-1);
        complaints_done(&complaints);
        CHECK_INT(mem_blocks(), before);
        if (!failed) {
            CHECK_OK(status);
            CHECK(successes > 100);
            break;
        }
        CHECK_INT(status, STATUS_MEMORY);
        CHECK(!file_exists(paths.out));
    }
    CHECK_OK(file_remove_tree(folder));
}

TEST_MAIN_LIST(T(a_run_becomes_a_package) T(systems_that_share_a_model_tell_their_own_score)
                   T(an_old_package_stays_when_the_new_one_is_refused)
                       T(multiplications_are_those_of_the_layers)
                           T(keys_are_quoted_where_they_are_more_than_words)
                               T(no_memory_is_an_error_and_leaks_nothing))
