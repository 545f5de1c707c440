// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>

#include "common/base/file.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/store/npy.h"
#include "coordinator/outputs/history.h"
#include "coordinator/outputs/left_out.h"
#include "coordinator/outputs/machine_report.h"
#include "coordinator/outputs/predictions.h"
#include "coordinator/outputs/submission.h"
#include "coordinator/outputs/summary.h"
#include "tests/unit/test.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

// A scored test clip.
static ScoredClip scored(const char *set, const char *machine, const char *section,
                         const char *name, int domain, int label, double score) {
    return (ScoredClip){.machine = machine,
                        .section = section,
                        .set = set,
                        .file_name = name,
                        .path = name,
                        .domain = domain,
                        .label = label,
                        .is_test = true,
                        .is_scored = true,
                        .score = score,
                        .threshold = 2.5,
                        .is_anomaly = score > 2.5};
}

// A test clip that could not be scored.
static ScoredClip left_out(const char *set, const char *machine, const char *name,
                           const char *reason) {
    ScoredClip clip = scored(set, machine, "00", name, -1, -1, 0);
    clip.is_scored = false;
    clip.threshold = NAN;
    clip.left_out_reason = reason;
    return clip;
}

// What a file holds; the text lives until the next call.
static const char *contents(const char *path) {
    static Buffer text;
    buffer_done(&text);
    Status status = file_read(path, 1 << 20, &text);
    static char kept[1 << 16];
    snprintf(kept, sizeof kept, "%s", status == STATUS_OK ? buffer_cstr(&text) : status_message());
    buffer_done(&text);
    return kept;
}

static char folder[LIMIT_NAME_BYTES];

static const char *in_folder(const char *name) {
    static char path[LIMIT_PATH_BYTES];
    if (folder[0] == '\0') {
        snprintf(folder, sizeof folder, "%s", test_folder());
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void remove_folder(void) {
    CHECK_OK(file_remove_tree(folder));
    folder[0] = '\0';
}

// Two machines, two sections, both domains, one clip left out, one training clip, out of order.
static size_t small_case(ScoredClip *out) {
    const ScoredClip clips[] = {
        scored("dev", "fan", "00", "section_00_source_test_normal_0001.wav", 0, 0, 1),
        scored("dev", "fan", "00", "section_00_source_test_anomaly_0001.wav", 0, 1, 3),
        scored("dev", "fan", "00", "section_00_target_test_normal_0001.wav", 1, 0, 4),
        scored("dev", "fan", "00", "section_00_target_test_anomaly_0001.wav", 1, 1, 3.5),
        scored("dev", "fan", "01", "section_01_source_test_normal_0001.wav", 0, 0, 0.1),
        scored("dev", "fan", "01", "section_01_source_test_anomaly_0001.wav", 0, 1, 2.6),
        left_out("dev", "ToyCar", "b.wav", "truncated, 3 of 9 samples"),
        scored("dev", "ToyCar", "", "c.wav", -1, -1, 2),
        scored("dev", "ToyCar", "", "a.wav", -1, -1, 1),
        {.machine = "ToyCar",
         .section = "",
         .set = "dev",
         .file_name = "n.wav",
         .path = "ToyCar/train/n.wav",
         .domain = 0,
         .label = 0,
         .is_scored = true,
         .score = 77,
         .threshold = 2.5},
    };
    memcpy(out, clips, sizeof clips);
    return COUNT(clips);
}

TEST(predictions_are_exact) {
    ScoredClip clips[16];
    size_t count = small_case(clips);
    CHECK_OK(predictions_write(in_folder("p.csv"), clips, count));
    CHECK_TEXT(contents(in_folder("p.csv")),
               "file_name,machine_type,section,domain,label,reconstruction_error,threshold,"
               "is_anomaly\n"
               "a.wav,ToyCar,,,,1,2.5,0\n"
               "c.wav,ToyCar,,,,2,2.5,0\n"
               "section_00_source_test_anomaly_0001.wav,fan,00,source,anomaly,3,2.5,1\n"
               "section_00_source_test_normal_0001.wav,fan,00,source,normal,1,2.5,0\n"
               "section_00_target_test_anomaly_0001.wav,fan,00,target,anomaly,3.5,2.5,1\n"
               "section_00_target_test_normal_0001.wav,fan,00,target,normal,4,2.5,1\n"
               "section_01_source_test_anomaly_0001.wav,fan,01,source,anomaly,2.6,2.5,1\n"
               "section_01_source_test_normal_0001.wav,fan,01,source,normal,0.1,2.5,0\n");
    remove_folder();
}

TEST(scores_for_numpy_are_the_rows_of_the_predictions) {
    static const double EXPECTED[] = {1, 2, 3, 1, 3.5, 4, 2.6, 0.1};
    ScoredClip clips[16];
    size_t count = small_case(clips);
    CHECK_OK(predictions_write_scores(in_folder("s.npy"), clips, count));
    NpyArray array;
    CHECK_OK(npy_read(in_folder("s.npy"), &array));
    CHECK_INT(array.type, NPY_FLOAT64);
    CHECK_INT(array.dimensions, 1);
    CHECK_INT(array.shape[0], 8);
    CHECK(memcmp(array.data, EXPECTED, sizeof EXPECTED) == 0);
    npy_done(&array);
    CHECK_OK(predictions_write_scores(in_folder("s.npy"), clips, 0)); // nothing was scored
    CHECK_OK(npy_read(in_folder("s.npy"), &array));
    CHECK_INT(array.count, 0);
    npy_done(&array);
    remove_folder();
}

static Status write_report(const char *path, const ScoredClip *clips, size_t count) {
    MachineReport report;
    Status status = machine_report_make(clips, count, 0.1, &report);
    if (status == STATUS_OK) {
        status = machine_report_write(path, &report);
        machine_report_done(&report);
    }
    return status;
}

// Section 00: AUC 2/4, source (1 against 3, 3.5) 1, target (4 against both) 0; the only normal
// below 0.1 false positives is beaten by nothing. Section 01: 1, 1, undefined.
TEST(report_takes_means_over_sections) {
    ScoredClip clips[16];
    size_t count = small_case(clips);
    MachineReport report;
    CHECK_OK(machine_report_make(clips, count, 0.1, &report));
    CHECK_INT(report.machines, 2);
    CHECK_INT(report.totals, 1);
    const MachineRow *fan = &report.rows[1];
    CHECK_TEXT(fan->label, "fan");
    CHECK_INT(fan->clips_scored, 6);
    CHECK_NEAR(fan->mean_error, 14.2 / 6, 1e-15);
    CHECK_NEAR(fan->anomaly_rate, 100 * 4.0 / 6, 1e-13);
    CHECK_NEAR(fan->score_global, 0.5 + 0.5 * 4 / 6, 1e-15);
    CHECK_NEAR(fan->metrics[REPORT_AUC], (0.5 + 1) / 2, 1e-15);
    CHECK_NEAR(fan->metrics[REPORT_AUC_SOURCE], 1, 0);
    CHECK_NEAR(fan->metrics[REPORT_AUC_TARGET], 0, 0);
    CHECK_NEAR(fan->metrics[REPORT_PAUC], (0.5 * (1 - 0.005 / 0.095) + 1) / 2, 1e-15);
    CHECK_NEAR(fan->metrics[REPORT_F1_SOURCE], 1, 0);
    CHECK_NEAR(fan->metrics[REPORT_F1_TARGET], 2.0 / 3, 1e-15);
    const MachineRow *car = &report.rows[0];
    CHECK_TEXT(car->label, "ToyCar");
    CHECK_INT(car->clips_test, 3);
    CHECK_INT(car->clips_scored, 2);
    CHECK_INT(car->clips_left_out, 1);
    CHECK_NEAR(car->std_error, sqrt(0.5), 1e-15);
    CHECK(isnan(car->metrics[REPORT_AUC]));
    const MachineRow *all = &report.rows[2];
    CHECK_INT(all->clips_scored, 8);
    CHECK_NEAR(all->mean_error, 17.2 / 8, 1e-15);
    CHECK(isnan(all->score_global));
    CHECK_NEAR(all->metrics[REPORT_AUC], 0.75, 1e-15);
    machine_report_done(&report);
}

TEST(report_file_is_exact) {
    const ScoredClip clips[] = {
        scored("", "pump", "00", "1.wav", 0, 0, 1),     scored("", "pump", "00", "2.wav", 0, 1, 3),
        scored("", "pump", "00", "3.wav", 0, 0, 2),     scored("", "pump", "00", "4.wav", 0, 1, 4),
        scored("", "fan, old", "", "1.wav", -1, -1, 5), left_out("", "valve", "1.wav", "no sound"),
    };
    CHECK_OK(write_report(in_folder("r.csv"), clips, COUNT(clips)));
    CHECK_TEXT(contents(in_folder("r.csv")),
               "machine_type,n_files,mean_error,std_error,anomaly_rate,score_global,auc,auc_source,"
               "auc_target,pauc,f1_source,f1_target\n"
               "\"fan, old\",1,5,0,100,1,,,,,,\n"
               "pump,4,2.5,1.2909944487358056,50,0.5,1,1,,1,1,\n"
               "valve,0,,,,,,,,,,\n"
               "all,5,3,1.5811388300841898,60,,1,1,,1,1,\n");
    remove_folder();
}

// The recorded table of the project of origin (dcase.md, section 8): mean, rate, global score.
TEST(global_scores_equal_the_table_of_the_project_of_origin) {
    static const struct {
        const char *machine;
        double mean;
        int flagged; // of 10,000
        double global;
    } ROWS[] = {
        {"ToyCar", .292641, 99, .2732},  {"ToyConveyor", .304886, 172, .2881},
        {"fan", .450598, 791, .4526},    {"pump", .447102, 1631, .4914},
        {"slider", .545393, 511, .5256}, {"valve", .340811, 252, .3250},
    };
    enum { CLIPS = 10000 };
    ScoredClip *clips = mem_new(COUNT(ROWS) * CLIPS, sizeof *clips);
    CHECK(clips != NULL);
    for (size_t i = 0; i < COUNT(ROWS); i++) {
        for (size_t k = 0; k < CLIPS; k++) {
            ScoredClip *clip = &clips[i * CLIPS + k];
            *clip = scored("", ROWS[i].machine, "00", "x.wav", 0, -1, ROWS[i].mean);
            clip->is_anomaly = k < (size_t)ROWS[i].flagged;
        }
    }
    MachineReport report;
    CHECK_OK(machine_report_make(clips, COUNT(ROWS) * CLIPS, 0.1, &report));
    CHECK_INT(report.machines, COUNT(ROWS));
    for (size_t i = 0; i < COUNT(ROWS); i++) {
        CHECK_TEXT(report.rows[i].label, ROWS[i].machine);
        CHECK_NEAR(report.rows[i].anomaly_rate, ROWS[i].flagged / 100.0, 1e-12);
        CHECK_NEAR(report.rows[i].score_global, ROWS[i].global, 0.5e-4);
    }
    machine_report_done(&report);
    mem_free(clips);
}

TEST(sets_are_separate_worlds) {
    const ScoredClip clips[] = {
        scored("dev", "fan", "00", "1.wav", 0, 0, 1),
        scored("dev", "fan", "00", "2.wav", 0, 1, 3),
        scored("eval", "fan", "03", "3.wav", -1, -1, 8),
        scored("eval", "pump", "03", "3.wav", -1, -1, 4),
        left_out("eval", "fan", "4.wav", "empty"),
    };
    MachineReport report;
    CHECK_OK(machine_report_make(clips, COUNT(clips), 0.1, &report));
    static const char *const LABELS[] = {"fan (dev)", "fan (eval)", "pump",
                                         "all (dev)", "all (eval)", "all"};
    static const double GLOBAL[] = {0.5 + 0.25, 1, 0.75};
    CHECK_INT(report.machines + report.totals, COUNT(LABELS));
    for (size_t i = 0; i < COUNT(LABELS); i++) {
        CHECK_TEXT(report.rows[i].label, LABELS[i]);
    }
    for (size_t i = 0; i < COUNT(GLOBAL); i++) {
        CHECK_NEAR(report.rows[i].score_global, GLOBAL[i], 1e-15);
    }
    CHECK_INT(report.rows[3].clips_scored, 2);
    CHECK_INT(report.rows[4].clips_scored, 2);
    CHECK_INT(report.rows[4].clips_left_out, 1);
    CHECK_NEAR(report.rows[3].metrics[REPORT_AUC], 1, 0);
    CHECK(isnan(report.rows[4].metrics[REPORT_AUC]));
    machine_report_done(&report);
    CHECK_OK(submission_write_table(in_folder("s.csv"), clips, COUNT(clips)));
    CHECK_TEXT(contents(in_folder("s.csv")),
               "machine_type,file_name,anomaly_score,decision_result\n"
               "fan,3.wav,8,1\n"
               "fan,4.wav,8,0\n"
               "pump,3.wav,4,1\n");
    remove_folder();
}

TEST(submission_holds_every_test_clip) {
    ScoredClip clips[16];
    size_t count = small_case(clips);
    CHECK_OK(submission_write_table(in_folder("s.csv"), clips, count));
    CHECK_TEXT(contents(in_folder("s.csv")),
               "machine_type,file_name,anomaly_score,decision_result\n"
               "ToyCar,a.wav,1,0\n"
               "ToyCar,b.wav,1.5,0\n"
               "ToyCar,c.wav,2,0\n"
               "fan,section_00_source_test_anomaly_0001.wav,3,1\n"
               "fan,section_00_source_test_normal_0001.wav,1,0\n"
               "fan,section_00_target_test_anomaly_0001.wav,3.5,1\n"
               "fan,section_00_target_test_normal_0001.wav,4,1\n"
               "fan,section_01_source_test_anomaly_0001.wav,2.6,1\n"
               "fan,section_01_source_test_normal_0001.wav,0.1,0\n");
    remove_folder();
}

static int count_files(const char *path) {
    DIR *open_folder = opendir(path);
    CHECK(open_folder != NULL);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(open_folder)) != NULL;) {
        count += entry->d_name[0] != '.';
    }
    closedir(open_folder);
    return count;
}

TEST(official_files_are_one_pair_per_machine_and_section) {
    ScoredClip clips[16];
    size_t count = small_case(clips);
    CHECK_OK(submission_write_files(in_folder("submission"), "Doe_ABC_task2_1", clips, count));
#define INNER "submission/task2/Doe_ABC_task2_1/"
    CHECK_INT(count_files(in_folder(INNER)), 6);
    CHECK_TEXT(contents(in_folder(INNER "anomaly_score_fan_section_00_test.csv")),
               "section_00_source_test_anomaly_0001.wav,3\n"
               "section_00_source_test_normal_0001.wav,1\n"
               "section_00_target_test_anomaly_0001.wav,3.5\n"
               "section_00_target_test_normal_0001.wav,4\n");
    CHECK_TEXT(contents(in_folder(INNER "decision_result_fan_section_01_test.csv")),
               "section_01_source_test_anomaly_0001.wav,1\n"
               "section_01_source_test_normal_0001.wav,0\n");
    // The clip left out is of section 00, the others of none, which is 00 too.
    CHECK_TEXT(contents(in_folder(INNER "anomaly_score_ToyCar_section_00_test.csv")),
               "a.wav,1\nb.wav,1.5\nc.wav,2\n");
    CHECK_TEXT(contents(in_folder(INNER "decision_result_ToyCar_section_00_test.csv")),
               "a.wav,0\nb.wav,0\nc.wav,0\n");
    remove_folder();
}

TEST(names_that_cannot_be_file_names_are_refused) {
    ScoredClip clip = scored("", "../fan", "00", "a.wav", 0, 0, 1);
    CHECK_INT(submission_write_files(in_folder("x"), "label", &clip, 1), STATUS_INVALID);
    CHECK_HAS(status_message(), "machine '../fan'");
    clip.machine = "fan";
    CHECK_INT(submission_write_files(in_folder("x"), "a/b", &clip, 1), STATUS_INVALID);
    clip.section = "0/1";
    CHECK_INT(submission_write_files(in_folder("x"), "label", &clip, 1), STATUS_INVALID);
    remove_folder();
}

TEST(a_machine_without_any_score_gets_zeros) {
    ScoredClip clips[] = {left_out("", "fan", "b.wav", "empty"),
                          left_out("", "fan", "a.wav", "empty")};
    clips[1].score = NAN; // never written, whatever stands there
    CHECK_OK(submission_write_table(in_folder("s.csv"), clips, 2));
    CHECK_TEXT(contents(in_folder("s.csv")),
               "machine_type,file_name,anomaly_score,decision_result\n"
               "fan,a.wav,0,0\nfan,b.wav,0,0\n");
    remove_folder();
}

TEST(scores_that_are_no_numbers_count_as_left_out) {
    ScoredClip clips[] = {scored("", "fan", "", "a.wav", 0, 1, NAN),
                          scored("", "fan", "", "b.wav", 0, 0, INFINITY),
                          scored("", "fan", "", "c.wav", 0, 0, 0.1 + 0.2)};
    CHECK_OK(predictions_write(in_folder("p.csv"), clips, 3));
    CHECK_TEXT(contents(in_folder("p.csv")),
               "file_name,machine_type,section,domain,label,reconstruction_error,threshold,"
               "is_anomaly\n"
               "c.wav,fan,,source,normal,0.30000000000000004,2.5,0\n");
    CHECK_OK(submission_write_table(in_folder("s.csv"), clips, 3));
    CHECK_TEXT(contents(in_folder("s.csv")),
               "machine_type,file_name,anomaly_score,decision_result\n"
               "fan,a.wav,0.30000000000000004,0\n"
               "fan,b.wav,0.30000000000000004,0\n"
               "fan,c.wav,0.30000000000000004,0\n");
    CHECK_OK(left_out_write(in_folder("l.csv"), clips, 3));
    CHECK_TEXT(contents(in_folder("l.csv")), "clip,reason\n"
                                             "a.wav,its score is not a finite number\n"
                                             "b.wav,its score is not a finite number\n");
    remove_folder();
}

TEST(left_out_clips_are_listed_by_path) {
    ScoredClip clips[16];
    size_t count = small_case(clips);
    clips[count] = left_out("dev", "ToyCar", "a\"b,c.wav", "holds no sound: \"RIFF\" expected");
    clips[count].is_test = false;
    clips[count++].path = "ToyCar/train/\xC3\xBC.wav";
    CHECK_OK(left_out_write(in_folder("l.csv"), clips, count));
    CHECK_TEXT(contents(in_folder("l.csv")),
               "clip,reason\n"
               "ToyCar/train/\xC3\xBC.wav,\"holds no sound: \"\"RIFF\"\" expected\"\n"
               "b.wav,\"truncated, 3 of 9 samples\"\n");
    remove_folder();
}

TEST(without_test_clips_files_have_their_headers) {
    ScoredClip clip = scored("", "fan", "00", "a.wav", 0, 0, 1);
    clip.is_test = false;
    for (size_t count = 0; count <= 1; count++) {
        CHECK_OK(predictions_write(in_folder("p.csv"), &clip, count));
        CHECK_HAS(contents(in_folder("p.csv")), "threshold,is_anomaly\n");
        CHECK_OK(submission_write_table(in_folder("s.csv"), &clip, count));
        CHECK_TEXT(contents(in_folder("s.csv")),
                   "machine_type,file_name,anomaly_score,decision_result\n");
        CHECK_OK(left_out_write(in_folder("l.csv"), &clip, count));
        CHECK_TEXT(contents(in_folder("l.csv")), "clip,reason\n");
        CHECK_OK(submission_write_files(in_folder("submission"), "label", &clip, count));
        CHECK_INT(count_files(in_folder("submission/task2/label")), 0);
        CHECK_OK(write_report(in_folder("r.csv"), &clip, count));
        CHECK_TEXT(strchr(contents(in_folder("r.csv")), '\n'),
                   count == 0 ? "\nall,0,,,,,,,,,,\n" : "\nfan,0,,,,,,,,,,\nall,0,,,,,,,,,,\n");
    }
    remove_folder();
}

TEST(history_has_the_baselines_columns) {
    const HistoryEpoch epochs[] = {
        {.loss = 864.0248204673209,
         .val_loss = 885.4481994628907,
         .recon_loss_source = 865.4668430235328,
         .recon_loss_target = 842.9128231885951},
        {.loss = 0.5, .val_loss = NAN, .recon_loss_source = 0.5, .recon_loss_target = NAN}};
    CHECK_OK(history_write(in_folder("h.csv"), epochs, 2));
    CHECK_TEXT(contents(in_folder("h.csv")),
               "loss,val_loss,recon_loss,recon_loss_source,recon_loss_target\n"
               "864.0248204673209,885.4481994628907,864.0248204673209,865.4668430235328,"
               "842.9128231885951\n"
               "0.5,,0.5,0.5,\n");
    remove_folder();
}

TEST(summary_is_aligned) {
    ScoredClip clips[16];
    size_t count = small_case(clips);
    clips[count] = scored("dev", "M\xC3\xBChle am Bach", "00", "x.wav", -1, -1, 1);
    clips[count++].threshold = 1234.5678;
    clips[count] = scored("dev", "M\xC3\xBChle am Bach", "01", "x\n.wav", -1, -1, 1);
    clips[count++].threshold = 2.5;
    MachineReport report;
    CHECK_OK(machine_report_make(clips, count, 0.1, &report));
    Buffer text = BUFFER_EMPTY;
    summary_format(&report, &text);
    CHECK_TEXT(
        buffer_cstr(&text),
        "machine        test clips  left out  AUC source  AUC target    pAUC       threshold\n"
        "M\xC3\xBChle am Bach           2         0           -           -       -  2.5 .. "
        "1234.57\n"
        "ToyCar                  3         1           -           -       -             2.5\n"
        "fan                     6         0      1.0000      0.0000  0.7368             2.5\n"
        "all                    11         1      1.0000      0.0000  0.7368               -\n");
    machine_report_done(&report);
    buffer_clear(&text);
    const ScoredClip undomained[] = {scored("", "fan\033[2J", "", "1.wav", -1, 0, 1),
                                     scored("", "fan\033[2J", "", "2.wav", -1, 1, 3)};
    CHECK_OK(machine_report_make(undomained, 2, 0.1, &report));
    summary_format(&report, &text);
    CHECK_TEXT(buffer_cstr(&text), "machine  test clips  left out     AUC    pAUC  threshold\n"
                                   "fan?[2J           2         0  1.0000  1.0000        2.5\n"
                                   "all               2         0  1.0000  1.0000          -\n");
    machine_report_done(&report);
    buffer_done(&text);
}

// All outputs of one array, one after another.
static Status write_all(const char *path, const ScoredClip *clips, size_t count, Buffer *out) {
    Status (*const WRITE[])(const char *, const ScoredClip *, size_t) = {
        predictions_write, submission_write_table, left_out_write, write_report};
    for (size_t i = 0; i < COUNT(WRITE); i++) {
        Status status = WRITE[i](path, clips, count);
        if (status != STATUS_OK) {
            return status;
        }
        buffer_text(out, contents(path));
    }
    return STATUS_OK;
}

TEST(outputs_do_not_depend_on_the_order_of_clips) {
    ScoredClip clips[16], shuffled[16];
    size_t count = small_case(clips);
    Buffer expected = BUFFER_EMPTY, actual = BUFFER_EMPTY;
    CHECK_OK(write_all(in_folder("x.csv"), clips, count, &expected));
    CHECK(expected.size > 1000);
    for (uint64_t seed = 0; seed < 20; seed++) {
        Rng rng = rng_of(seed, "order", 0, 0);
        uint32_t order[16];
        rng_permutation(&rng, order, (uint32_t)count);
        for (size_t i = 0; i < count; i++) {
            shuffled[i] = clips[order[i]];
        }
        buffer_clear(&actual);
        CHECK_OK(write_all(in_folder("x.csv"), shuffled, count, &actual));
        CHECK_TEXT(buffer_cstr(&actual), buffer_cstr(&expected));
    }
    buffer_done(&expected);
    buffer_done(&actual);
    remove_folder();
}

static Status write_official(const char *path, const ScoredClip *clips, size_t count) {
    return submission_write_files(path, "label", clips, count);
}

TEST(every_failed_allocation_is_reported_and_leaks_nothing) {
    Status (*const WRITE[])(const char *, const ScoredClip *, size_t) = {
        predictions_write, submission_write_table, left_out_write, write_report, write_official};
    ScoredClip clips[16];
    size_t count = small_case(clips);
    long before = mem_blocks();
    for (size_t i = 0; i < COUNT(WRITE); i++) {
        for (long n = 0;; n++) {
            mem_fail_after(n);
            Status status = WRITE[i](in_folder(i == 4 ? "folder" : "x.csv"), clips, count);
            int has_failed = mem_has_failed();
            mem_fail_after(-1);
            CHECK_INT(mem_blocks(), before);
            CHECK_INT(status, has_failed ? STATUS_MEMORY : STATUS_OK);
            if (!has_failed) {
                CHECK(n > 1);
                break;
            }
        }
    }
    remove_folder();
}

TEST_MAIN_LIST(
    T(predictions_are_exact) T(scores_for_numpy_are_the_rows_of_the_predictions) T(
        report_takes_means_over_sections) T(report_file_is_exact)
        T(global_scores_equal_the_table_of_the_project_of_origin) T(sets_are_separate_worlds) T(
            submission_holds_every_test_clip) T(official_files_are_one_pair_per_machine_and_section)
            T(names_that_cannot_be_file_names_are_refused) T(a_machine_without_any_score_gets_zeros)
                T(scores_that_are_no_numbers_count_as_left_out) T(left_out_clips_are_listed_by_path)
                    T(without_test_clips_files_have_their_headers)
                        T(history_has_the_baselines_columns) T(summary_is_aligned)
                            T(outputs_do_not_depend_on_the_order_of_clips)
                                T(every_failed_allocation_is_reported_and_leaks_nothing))
