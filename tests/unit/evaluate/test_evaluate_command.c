// SPDX-License-Identifier: Apache-2.0
//
// auscult evaluate on small made-up challenges: what it prints and writes, and what it finds wrong.
#include <fcntl.h>

#include "coordinator/commands.h"
#include "coordinator/evaluate/judging.h"
#include "coordinator/evaluate/result_file.h"
#include "tests/unit/dataset/tree.h"

static char stdout_text[1 << 17], stderr_text[1 << 16];

static void read_back(int file, char *text, size_t size) {
    ssize_t got = pread(file, text, size - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    close(file);
}

// Runs the command with its outputs in files; returns the exit status.
static int run(const char *const *words) {
    char *argv[24] = {(char *)(uintptr_t) "evaluate"};
    int argc = 1;
    for (; words[argc - 1] != NULL; argc++) {
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
    }
    char out[512], err[512];
    snprintf(out, sizeof out, "%s.stdout", tree);
    snprintf(err, sizeof err, "%s.stderr", tree);
    fflush(stdout);
    fflush(stderr);
    int kept_out = dup(STDOUT_FILENO), kept_err = dup(STDERR_FILENO);
    int out_file = open(out, O_RDWR | O_CREAT | O_TRUNC, 0600);
    int err_file = open(err, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(kept_out >= 0 && kept_err >= 0 && out_file >= 0 && err_file >= 0);
    dup2(out_file, STDOUT_FILENO);
    dup2(err_file, STDERR_FILENO);
    int status = cmd_evaluate(argc, argv);
    fflush(stdout);
    fflush(stderr);
    dup2(kept_out, STDOUT_FILENO);
    dup2(kept_err, STDERR_FILENO);
    close(kept_out), close(kept_err);
    read_back(out_file, stdout_text, sizeof stdout_text);
    read_back(err_file, stderr_text, sizeof stderr_text);
    unlink(out), unlink(err);
    return status;
}

#define EVALUATE(...) run((const char *const[]){__VA_ARGS__, NULL})

// "tree/path"; four at a time may be in use.
static const char *at(const char *path) {
    static char full[4][LIMIT_PATH_BYTES];
    static int next;
    next = (next + 1) % 4;
    snprintf(full[next], sizeof full[next], "%s/%s", tree, path);
    return full[next];
}

static double json_number(const char *name) {
    char key[64];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *found = strstr(stdout_text, key);
    if (found == NULL) {
        TEST_FAIL("no %s in %s", key, stdout_text);
    }
    return strtod(found + strlen(key), NULL);
}

static const char *file_text(const char *path) {
    static Buffer text = BUFFER_EMPTY;
    CHECK_OK(file_read(at(path), 1 << 20, &text));
    return buffer_cstr(&text);
}

// ---- the tables that the challenge of 2024 published ----

enum { HALF = 50, CLIPS = 200 };

typedef struct Published {
    const char *machine;
    double auc_source, auc_target;
    int pauc_1900;
} Published;

static const Published MSE[] = {
    {"3DPrinter", .7912, .4796, 939},      {"AirCompressor", .65, .4824, 1054},
    {"Scanner", .6916, .5374, 952},        {"ToyCircuit", .7658, .5266, 950},
    {"HoveringDrone", .8602, .4388, 954},  {"HairDryer", .6224, .4598, 981},
    {"ToothBrush", .7504, .6948, 1002},    {"RoboticArm", .6596, .4152, 972},
    {"BrushlessMotor", .707, .6352, 1056},
};
static const Published MAHALA[] = {
    {"3DPrinter", .7544, .424, 966},        {"AirCompressor", .661, .555, 1155},
    {"Scanner", .5684, .555, 936},          {"ToyCircuit", .6794, .4464, 935},
    {"HoveringDrone", .8388, .464, 1102},   {"HairDryer", .606, .5898, 1047},
    {"ToothBrush", .6556, .579, 919},       {"RoboticArm", .5834, .425, 984},
    {"BrushlessMotor", .8032, .7338, 1122},
};

// How many anomalies stand above each of 100 normals, so that the pairs won come out as published:
// those of the first ten normals make the pAUC, (sum + 900) / 1900; the others fill up the sums of
// their domains. The first five and the first HALF - 5 of the rest are of the source domain.
static void place_normals(const Published *p, int above[2 * HALF]) {
    int first = p->pauc_1900 - 900, sums[2] = {0, 0};
    for (int i = 0; i < 10; i++) {
        above[i] = first / 10 + (i >= 10 - first % 10);
        sums[i / 5] += above[i];
    }
    int wanted[2] = {(int)(p->auc_source * 5000 + 0.5), (int)(p->auc_target * 5000 + 0.5)};
    for (int d = 0; d < 2; d++) {
        int rest = wanted[d] - sums[d], count = HALF - 5;
        for (int i = 0; i < count; i++) {
            int at_i = 10 + d * count + i;
            above[at_i] = rest / count + (i < rest % count);
            CHECK(above[at_i] >= above[9] && above[at_i] <= 100);
        }
    }
}

// The clip of a normal (0 .. 99) or of an anomaly (100 .. 199), shuffled: files are not in order.
static int serial_of(int clip) {
    return clip * 77 % CLIPS;
}

static int domain_of(int clip) {
    return clip < 10 ? clip / 5 : clip < 100 ? (clip - 10) / (HALF - 5) : clip % 2;
}

static void put_machine(const char *system, const Published *p) {
    static char scores[CLIPS * 64], decisions[CLIPS * 64], labels[CLIPS * 64], domains[CLIPS * 64];
    int above[2 * HALF];
    char path[256];
    size_t s = 0, d = 0, l = 0, g = 0;
    place_normals(p, above);
    for (int i = 0; i < CLIPS; i++) {
        int serial = serial_of(i);
        // Anomalies stand at 999, 998, ..., normals half a step below the last that is above.
        double score = i < 100 ? 999.5 - above[i] : 1099 - i;
        s += (size_t)sprintf(scores + s, "section_00_%04d.wav,%.17g\n", serial, score);
        d += (size_t)sprintf(decisions + d, "section_00_%04d.wav,%d\n", serial, score > 950);
        l += (size_t)sprintf(labels + l, "section_00_%04d.wav,%d\n", serial, i >= 100);
        g += (size_t)sprintf(domains + g, "section_00_%04d.wav,%d\n", serial, domain_of(i));
    }
    snprintf(path, sizeof path, "%s/anomaly_score_%s_section_00_test.csv", system, p->machine);
    put_text(path, scores);
    snprintf(path, sizeof path, "%s/decision_result_%s_section_00_test.csv", system, p->machine);
    put_text(path, decisions);
    snprintf(path, sizeof path, "gt/ground_truth_data/ground_truth_%s_section_00_test.csv",
             p->machine);
    put_text(path, labels);
    snprintf(path, sizeof path, "gt/ground_truth_domain/ground_truth_%s_section_00_test.csv",
             p->machine);
    put_text(path, domains);
}

static void put_2024(const char *system, const Published *machines) {
    for (int m = 0; m < 9; m++) {
        put_machine(system, &machines[m]);
    }
}

static void check_published(const Published *machines) {
    for (int m = 0; m < 9; m++) {
        char key[64];
        snprintf(key, sizeof key, "{\"machine\":\"%s\"", machines[m].machine);
        const char *found = strstr(stdout_text, key);
        CHECK(found != NULL);
        CHECK_NEAR(strtod(strstr(found, "\"auc_source\":") + 13, NULL), machines[m].auc_source,
                   1e-14);
        CHECK_NEAR(strtod(strstr(found, "\"auc_target\":") + 13, NULL), machines[m].auc_target,
                   1e-14);
        CHECK_NEAR(strtod(strstr(found, "\"pauc\":") + 7, NULL), machines[m].pauc_1900 / 1900.,
                   1e-14);
    }
}

TEST(the_published_tables_of_2024_come_out_of_files) {
    tree_begin();
    put_2024("mse", MSE);
    CHECK_INT(
        EVALUATE("--scores", at("mse"), "--truth", at("gt"), "--json", "--results", at("results")),
        0);
    CHECK_NEAR(json_number("official_score"), 0.5650830191796572, 1e-14);
    check_published(MSE);
    const char *result = file_text("results/mse/result.csv");
    CHECK_HAS(result, "\nsection,AUC (all),AUC (source),AUC (target),pAUC,precision (source),"
                      "precision (target),recall (source),recall (target),F1 score (source),"
                      "F1 score (target)\n00,");
    CHECK_HAS(result, "\n,,AUC,pAUC,precision,recall,F1 score\narithmetic mean,,");
    // As the evaluator's README prints them.
    const char *overall = strstr(result, "\"arithmetic mean over all machine types");
    CHECK(overall != NULL);
    CHECK_NEAR(strtod(strstr(overall, ",,") + 2, NULL), 0.6204444444444445, 1e-14);
    overall = strstr(result, "\n\"harmonic mean over all machine types, sections, and domains\",,");
    CHECK_NEAR(strtod(strstr(overall, ",,") + 2, NULL), 0.592492919258281, 1e-14);
    overall = strstr(result, "\n\"source harmonic mean over all");
    CHECK_NEAR(strtod(strstr(overall, ",,") + 2, NULL), 0.7150555228086642, 1e-14);
    overall = strstr(result, "\n\"target harmonic mean over all");
    CHECK_NEAR(strtod(strstr(overall, ",,") + 2, NULL), 0.5057977147441246, 1e-14);
    CHECK_HAS(result, "\nofficial score,,0.565083019179657");
    CHECK_HAS(result, "\nofficial score ci95,,");
    put_2024("mahala", MAHALA);
    CHECK_INT(EVALUATE("--scores", at("mahala"), "--truth", at("gt"), "--json"), 0);
    CHECK_NEAR(json_number("official_score"), 0.564893342161023, 1e-14);
    check_published(MAHALA);
    tree_end();
}

// ---- a small challenge ----

static const char SCORES[] = "section_00_0000.wav,1.5\nsection_00_0001.wav,0.5\n"
                             "section_00_0002.wav,2\nsection_00_0003.wav,3\n";
static const char DECISIONS[] = "section_00_0000.wav,1\nsection_00_0001.wav,0\n"
                                "section_00_0002.wav,1\nsection_00_0003.wav,1\n";
#define SCORE_FILE    "/anomaly_score_fan_section_00_test.csv"
#define DECISION_FILE "/decision_result_fan_section_00_test.csv"

static void put_truth(void) {
    put_text("gt/eval_data_list_2024.csv",
             "fan\n"
             "section_00_0000.wav,section_00_source_test_normal_0000_v_1.wav\n"
             "section_00_0001.wav,section_00_target_test_normal_0001_v_2.wav\n"
             "section_00_0002.wav,section_00_source_test_anomaly_0000_v_1.wav\n"
             "section_00_0003.wav,section_00_target_test_anomaly_0001_v_2.wav\n");
}

static void put_system(const char *folder, const char *scores, const char *decisions) {
    char path[256];
    snprintf(path, sizeof path, "%s" SCORE_FILE, folder);
    put_text(path, scores);
    if (decisions != NULL) {
        snprintf(path, sizeof path, "%s" DECISION_FILE, folder);
        put_text(path, decisions);
    }
}

static int evaluate(const char *scores) {
    return EVALUATE("--scores", at(scores), "--truth", at("gt"), "--csv", "-");
}

TEST(systems_of_teams_are_ranked_and_ties_share_a_place) {
    tree_begin();
    put_truth();
    put_system("teams/alpha/one", SCORES, DECISIONS);
    put_system("teams/alpha/two", SCORES, DECISIONS);
    put_system("teams/beta/one",
               "section_00_0000.wav,9\nsection_00_0001.wav,9\nsection_00_0002.wav,2\n"
               "section_00_0003.wav,3\n",
               DECISIONS);
    CHECK_INT(evaluate("teams"), 0);
    CHECK_HAS(stdout_text, "\n1,alpha/one,1,");
    CHECK_HAS(stdout_text, "\n1,alpha/two,1,");
    CHECK_HAS(stdout_text, "\n3,beta/one,");
    CHECK_INT(EVALUATE("--scores", at("teams"), "--truth", at("gt")), 0);
    CHECK_HAS(stdout_text, "rank  system     official score");
    CHECK_HAS(stdout_text, "year 2024, as the ground truth says");
    tree_end();
}

TEST(rows_are_matched_by_name_and_either_name_will_do) {
    tree_begin();
    put_truth();
    put_system("s",
               "section_00_target_test_anomaly_0001_v_2.wav,3\nsection_00_0002.wav,2\n"
               "section_00_0001.wav,0.5\nsection_00_source_test_normal_0000_v_1.wav,1.5\n",
               DECISIONS);
    CHECK_INT(evaluate("s"), 0);
    CHECK_HAS(stdout_text, "\n1,s,1,");
    tree_end();
}

TEST(names_of_the_baseline_make_a_system_per_seed) {
    tree_begin();
    put_truth();
#define BASELINE(kind, seed)                                                                       \
    "s/" kind "_DCASE2024T2fan_section_00_test_seed" seed "_id(0_)_Eval.csv"
    put_text(BASELINE("anomaly_score", "1"), SCORES);
    put_text(BASELINE("decision_result", "1"), DECISIONS);
    put_text(BASELINE("anomaly_score", "2"), SCORES);
    put_text(BASELINE("decision_result", "2"), DECISIONS);
    put_text("s/anomaly_score_DCASE2024T2valve_section_00_test_seed1_id(0_)_Dev.csv", SCORES);
    CHECK_INT(evaluate("s"), 0); // development results of the same folder are passed over
    CHECK_HAS(stdout_text, "\n1,s seed1_id(0_)_Eval,1,");
    CHECK_HAS(stdout_text, "\n1,s seed2_id(0_)_Eval,1,");
    CHECK(strstr(stdout_text, "Dev") == NULL);
    tree_end();
}

TEST(a_run_is_judged_by_what_it_would_hand_in) {
    tree_begin();
    put_truth();
    put_text(
        "run/outputs/challenge_predictions.csv",
        "file_name,machine_type,section,domain,label,reconstruction_error,threshold,is_anomaly\n"
        "section_00_0000.wav,fan,00,,,1.5,1,1\nsection_00_0001.wav,fan,00,,,0.5,1,0\n"
        "section_00_0002.wav,fan,00,,,2,1,1\nsection_00_0003.wav,fan,00,,,3,1,1\n");
    CHECK_INT(evaluate("run"), 0);
    CHECK_HAS(stdout_text, "\n1,run,1,");
    CHECK_INT(evaluate("run/outputs"), 0);
    CHECK_HAS(stdout_text, "\n1,run,1,");
    CHECK_INT(evaluate("run/outputs/challenge_predictions.csv"), 0);
    put_system("run/outputs/submission/task2/me_task2_1", SCORES, DECISIONS);
    CHECK_INT(evaluate("run"), 0);
    CHECK_HAS(stdout_text, "\n1,me_task2_1,1,");
    CHECK(strstr(stdout_text, "\n1,run,") == NULL);
    tree_end();
}

TEST(without_decisions_areas_are_known_and_the_rest_is_undefined) {
    tree_begin();
    put_truth();
    put_system("s", SCORES, NULL);
    CHECK_INT(EVALUATE("--scores", at("s"), "--truth", at("gt"), "--json"), 0);
    CHECK_NEAR(json_number("official_score"), 1, 0);
    CHECK_HAS(stdout_text, "\"f1_source\":null");
    CHECK_HAS(stdout_text, "no decision_result files");
    tree_end();
}

TEST(a_section_without_anomalies_is_undefined_not_zero) {
    tree_begin();
    put_text("gt/eval_data_list_2024.csv",
             "fan\nsection_00_0000.wav,section_00_source_test_normal_0000_v_1.wav\n");
    put_system("s", "section_00_0000.wav,1\n", "section_00_0000.wav,0\n");
    CHECK_INT(EVALUATE("--scores", at("s"), "--truth", at("gt"), "--results", at("r")), 0);
    CHECK_HAS(stdout_text, "official score           undefined");
    CHECK_HAS(file_text("r/s/result.csv"), "\n00,,,,,,,,,,\n");
    tree_end();
}

TEST(scores_of_2020_and_2021_follow_their_years_rules) {
    tree_begin();
    put_text("gt/eval_data_list_2020.csv", "fan\n"
                                           "id_01_0.wav,normal_id_01_0.wav,0\n"
                                           "id_01_1.wav,normal_id_01_1.wav,0\n"
                                           "id_01_2.wav,anomaly_id_01_2.wav,1\n");
    put_text("s/anomaly_score_fan_id_01.csv", "id_01_0.wav,1\nid_01_1.wav,3\nid_01_2.wav,2\n");
    put_text("s/decision_result_fan_id_01.csv", "id_01_0.wav,0\nid_01_1.wav,1\nid_01_2.wav,1\n");
    CHECK_INT(EVALUATE("--scores", at("s"), "--truth", at("gt"), "--json", "--results", at("r")),
              0);
    CHECK_HAS(stdout_text, "\"rule\":\"official_2020\",\"year\":2020");
    // AUC 1/2, pAUC 0.5 (1 - 0.005 / 0.095).
    CHECK_NEAR(json_number("official_score"), (0.5 + 0.5 * (1 - 0.005 / 0.095)) / 2, 1e-14);
    CHECK_HAS(file_text("r/s/result.csv"), "fan\nsection,AUC,pAUC,precision,recall,F1 score\n"
                                           "01,0.5,0.47368421052631576,0.5,1.0,0.66666");
    put_text("gt/eval_data_list_2020.csv", "");
    put_truth();
    CHECK_OK(file_remove_tree(at("s")));
    put_system("s", SCORES, DECISIONS);
    CHECK_INT(EVALUATE("--scores", at("s"), "--truth", at("gt/eval_data_list_2024.csv"), "--year",
                       "2021", "--json"),
              0);
    CHECK_HAS(stdout_text, "\"rule\":\"official_2021\",\"year\":2021");
    CHECK_NEAR(json_number("baseline_summary"), 1, 0);
    tree_end();
}

TEST(attributes_have_rows_of_their_own) {
    tree_begin();
    put_truth();
    put_system("s", SCORES, DECISIONS);
    CHECK_INT(EVALUATE("--scores", at("s"), "--truth", at("gt"), "--results", at("r")), 0);
    CHECK_TEXT(file_text("r/s/result_by_attribute.csv"),
               "machine_type,section,attribute,value,normals,anomalies,AUC,AUC (alone),pAUC,"
               "precision,recall,F1 score\n"
               "fan,00,v,1,1,1,1.0,1.0,1.0,0.5,1.0,0.6666666666666666\n"
               "fan,00,v,2,1,1,1.0,1.0,1.0,1.0,1.0,1.0\n");
    tree_end();
}

TEST(threads_change_no_byte) {
    tree_begin();
    put_truth();
    for (int s = 0; s < 9; s++) {
        char folder[32];
        snprintf(folder, sizeof folder, "teams/t/s%d", s);
        put_system(folder, SCORES, DECISIONS);
    }
    static char one[sizeof stdout_text];
    CHECK_INT(EVALUATE("--scores", at("teams"), "--truth", at("gt"), "--json", "--threads", "1"),
              0);
    memcpy(one, stdout_text, sizeof one);
    CHECK_INT(EVALUATE("--scores", at("teams"), "--truth", at("gt"), "--json", "--threads", "5"),
              0);
    CHECK_TEXT(stdout_text, one);
    tree_end();
}

// ---- what is wrong with a system ----

typedef struct Fault {
    const char *scores, *decisions; // instead of SCORES and DECISIONS; NULL for those
    const char *said;               // on stderr, behind the file's name
} Fault;

#define SCORE_1_2_3 "section_00_0001.wav,0.5\nsection_00_0002.wav,2\nsection_00_0003.wav,3\n"

static const Fault ERRORS[] = {
    {SCORE_1_2_3, NULL, "no row for section_00_0000.wav of fan"},
    {"section_00_0003.wav,3\n", NULL, "no row for section_00_0000.wav of fan and 2 others"},
    {"section_00_0000.wav,1\nsection_00_0000.wav,2\n" SCORE_1_2_3, NULL,
     ":2: section_00_0000.wav again, first at line 1"},
    {"section_00_0000.wav,nan\n" SCORE_1_2_3, NULL, ":1: the score is 'nan', it must be finite"},
    {SCORE_1_2_3 "section_00_0000.wav,-inf\n", NULL, ":4: the score is '-inf'"},
    {"section_00_0000.wav,\n" SCORE_1_2_3, NULL, ":1: the score '' is no number"},
    {"section_00_0000.wav,1;5\n" SCORE_1_2_3, NULL, ":1: the score '1;5' is no number"},
    {"section_00_0000.wav,1,5\n" SCORE_1_2_3, NULL, ":1: not two fields"},
    {"section_00_0000.wav\n" SCORE_1_2_3, NULL, ":1: not two fields"},
    {"file,score\nsection_00_0000.wav,1\n" SCORE_1_2_3, NULL,
     ":1: the ground truth has no clip 'file'"},
    {"section_00_0000.wav,1\nsection_00_0009.wav,1\n" SCORE_1_2_3, NULL,
     ":2: the ground truth has no clip 'section_00_0009.wav'"},
    {"\"section_00_0000.wav,1\n" SCORE_1_2_3, NULL, ":1: a quote is never closed"},
    {"section_00_0000.wav,1\rsection_00_0001.wav,1\n", NULL, ":1: a carriage return in the middle"},
    {"", NULL, "no row for section_00_0000.wav of fan and 3 others"},
    {NULL, "section_00_0000.wav,2\n", ":1: the decision '2' is neither 0 nor 1"},
    {NULL, "section_00_0000.wav,0.5\n", ":1: the decision '0.5' is neither"},
    {NULL, "section_00_0000.wav,1\n", "no row for section_00_0001.wav of fan and 2 others"},
};

TEST(each_error_is_named_and_costs_the_rank_of_its_system_alone) {
    for (size_t i = 0; i < sizeof ERRORS / sizeof ERRORS[0]; i++) {
        const Fault *fault = &ERRORS[i];
        tree_begin();
        put_truth();
        put_system("teams/a/good", SCORES, DECISIONS);
        put_system("teams/a/bad", fault->scores != NULL ? fault->scores : SCORES,
                   fault->decisions != NULL ? fault->decisions : DECISIONS);
        CHECK_INT(evaluate("teams"), 1);
        CHECK_HAS(stderr_text, fault->said);
        CHECK_HAS(stderr_text, fault->scores != NULL ? "a/bad" SCORE_FILE : "a/bad" DECISION_FILE);
        CHECK_HAS(stdout_text, "\n1,a/good,1,");
        CHECK_HAS(stdout_text, "\n,a/bad,,"); // no rank, no numbers
        CHECK(strstr(stderr_text, "a/good") == NULL);
        tree_end();
    }
}

static const Fault WARNINGS[] = {
    {"\xEF\xBB\xBFsection_00_0000.wav,1.5\n" SCORE_1_2_3, NULL, ":1: a byte-order mark"},
    {"section_00_0000.wav,1.5\r\n" SCORE_1_2_3, NULL, ":1: lines end with CR LF"},
    {"section_00_0000.wav,1.5\n\n" SCORE_1_2_3, NULL, ":2: a blank line"},
    {"section_00_0000.wav, 1.5\n" SCORE_1_2_3, NULL, ":1: spaces around '1.5'"},
};

TEST(what_others_stumble_over_is_a_warning_and_keeps_the_rank) {
    for (size_t i = 0; i < sizeof WARNINGS / sizeof WARNINGS[0]; i++) {
        tree_begin();
        put_truth();
        put_system("s", WARNINGS[i].scores, DECISIONS);
        CHECK_INT(evaluate("s"), 1);
        CHECK_HAS(stderr_text, WARNINGS[i].said);
        CHECK_HAS(stdout_text, "\n1,s,1,");
        tree_end();
    }
}

TEST(missing_files_and_unknown_machines_are_named) {
    tree_begin();
    put_truth();
    put_system("teams/a/good", SCORES, DECISIONS);
    put_text("teams/a/lost/anomaly_score_fam_section_00_test.csv", SCORES);
    put_system("teams/a/more", SCORES, DECISIONS);
    put_text("teams/a/more/anomaly_score_valve_section_00_test.csv", SCORES);
    put_text("teams/a/less" SCORE_FILE, SCORES);
    put_text("teams/a/less/decision_result_fan_section_01_test.csv", DECISIONS);
    CHECK_INT(evaluate("teams"), 1);
    CHECK_HAS(stderr_text, "a/lost: the ground truth knows none of its 1 files");
    CHECK_HAS(stderr_text, "valve_section_00_test.csv: the ground truth has no section 00 of a "
                           "machine valve");
    CHECK_HAS(stderr_text, "has no section 01 of a machine fan");
    CHECK_HAS(stdout_text, "\n1,a/good,1,");
    CHECK_HAS(stdout_text, "\n,a/more,,");
    tree_end();
}

TEST(a_missing_section_is_named_with_its_folder) {
    tree_begin();
    put_truth();
    put_text("gt/more/eval_data_list_2024.csv",
             "valve\nsection_00_0000.wav,section_00_source_test_normal_0000_v_1.wav\n");
    put_system("s", SCORES, DECISIONS);
    CHECK_INT(evaluate("s"), 1);
    CHECK_HAS(stderr_text, "/s: no anomaly_score file of valve section 00");
    CHECK_HAS(stderr_text, "/s: no decision_result file of valve section 00");
    tree_end();
}

TEST(of_many_errors_a_few_are_shown_and_all_are_counted) {
    tree_begin();
    put_truth();
    Buffer text = BUFFER_EMPTY;
    for (int i = 0; i < 100; i++) {
        buffer_format(&text, "x%d.wav,1\n", i);
    }
    put_system("s", buffer_cstr(&text), DECISIONS);
    buffer_done(&text);
    CHECK_INT(evaluate("s"), 1);
    CHECK_HAS(stderr_text, ":20: the ground truth has no clip 'x19.wav'");
    CHECK(strstr(stderr_text, "x20.wav") == NULL);
    CHECK_HAS(stderr_text, "and 81 more of kind error"); // 80 rows, and the clips without one
    tree_end();
}

TEST(bad_usage_and_missing_places_say_so) {
    tree_begin();
    put_truth();
    CHECK_INT(EVALUATE("--truth", at("gt")), 2);
    CHECK_INT(EVALUATE("--scores", at("gt")), 2);
    CHECK_HAS(stderr_text, "--truth PATH is missing");
    CHECK_INT(EVALUATE("--scores", at("x"), "--truth", at("gt"), "--year", "1999"), 2);
    CHECK_INT(EVALUATE("--scores", at("x"), "--truth", at("gt"), "--max-fpr", "nan"), 2);
    CHECK_INT(EVALUATE("--scores", at("nowhere"), "--truth", at("gt")), 3);
    CHECK_HAS(stderr_text, "there is no ");
    CHECK_INT(evaluate("gt"), 3);
    CHECK_HAS(stderr_text, "no score files in ");
    put_system("s", SCORES, DECISIONS);
    CHECK_INT(EVALUATE("--scores", at("s"), "--truth", at("s")), 3);
    CHECK_HAS(stderr_text, "no labels in ");
    tree_end();
}

// ---- memory ----

// Everything between files in and files out, in one thread.
static Status judge_all(void) {
    SystemList systems = {0};
    Truth *truth = NULL;
    Judgement *judgements = NULL;
    Status status = system_list_add(&systems, at("teams"), false);
    if (status == STATUS_OK) {
        status = truth_read(at("gt"), 0, &truth);
    }
    JudgingConfig config = {.truth = truth,
                            .systems = &systems,
                            .evaluation = {.rule = OFFICIAL_2022,
                                           .max_fpr = 0.1,
                                           .resamples = 2,
                                           .has_intervals = true},
                            .set = -1,
                            .threads = 1};
    if (status == STATUS_OK) {
        status = judging_make(&config, &judgements);
    }
    for (uint32_t s = 0; s < systems.count && status == STATUS_OK; s++) {
        status = result_write(at("result.csv"), &judgements[s].evaluation);
        if (status == STATUS_OK) {
            status = result_write_by_attribute(at("by.csv"), &judgements[s].evaluation);
        }
    }
    judgements_done(judgements, systems.count);
    truth_free(truth);
    system_list_done(&systems);
    return status;
}

TEST(every_failed_allocation_is_reported_and_leaks_nothing) {
    tree_begin();
    put_truth();
    put_system("teams/a/one", SCORES, DECISIONS);
    put_system("teams/a/two", "section_00_0000.wav,nan\n", DECISIONS);
    long blocks = mem_blocks();
    for (long n = 0;; n++) {
        mem_fail_after(n);
        Status status = judge_all();
        int has_failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK_INT(mem_blocks(), blocks);
        CHECK_INT(status, has_failed ? STATUS_MEMORY : STATUS_OK);
        if (!has_failed) {
            CHECK(n > 100); // it has really gone through all of it
            break;
        }
    }
    tree_end();
}

TEST_MAIN_LIST(
    T(every_failed_allocation_is_reported_and_leaks_nothing)
        T(the_published_tables_of_2024_come_out_of_files)
            T(systems_of_teams_are_ranked_and_ties_share_a_place)
                T(rows_are_matched_by_name_and_either_name_will_do)
                    T(names_of_the_baseline_make_a_system_per_seed)
                        T(a_run_is_judged_by_what_it_would_hand_in)
                            T(without_decisions_areas_are_known_and_the_rest_is_undefined) T(
                                a_section_without_anomalies_is_undefined_not_zero)
                                T(scores_of_2020_and_2021_follow_their_years_rules) T(
                                    attributes_have_rows_of_their_own) T(threads_change_no_byte)
                                    T(each_error_is_named_and_costs_the_rank_of_its_system_alone) T(
                                        what_others_stumble_over_is_a_warning_and_keeps_the_rank)
                                        T(missing_files_and_unknown_machines_are_named)
                                            T(a_missing_section_is_named_with_its_folder) T(
                                                of_many_errors_a_few_are_shown_and_all_are_counted)
                                                T(bad_usage_and_missing_places_say_so))
