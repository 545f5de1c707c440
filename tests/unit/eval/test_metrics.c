// SPDX-License-Identifier: Apache-2.0
#include "common/eval/metrics.h"

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "tests/unit/eval/golden.h"

// Both defined and near, or both undefined.
static void check_metric(double actual, double expected, double tolerance, const char *name,
                         int row) {
    if (!(isnan(expected) ? isnan(actual) : fabs(actual - expected) <= tolerance)) {
        TEST_FAIL("row %d: %s is %.17g, expected %.17g", row, name, actual, expected);
    }
}

static size_t clips_of(const char *text, int threshold, MetricClip *clips, size_t most) {
    size_t count = 0;
    for (; text[0] != '\0'; text += 2) {
        CHECK(count < most);
        int score = text[0] >= 'a' ? text[0] - 'a' : text[0] - 'A' + 26;
        int digit = text[1] - '0';
        clips[count++] = (MetricClip){.score = score,
                                      .domain = digit / 2,
                                      .label = digit % 2,
                                      .is_anomaly = score > threshold};
    }
    return count;
}

TEST(metrics_equal_scikit_learns) {
    GoldenTable table = golden_open(AUSCULT_SOURCE_DIR "/tests/golden/eval/metrics.csv");
    while (golden_next(&table)) {
        MetricClip clips[64];
        size_t count = clips_of(table.row.fields[0], (int)golden_number(&table, 2), clips, 64);
        Metrics m;
        CHECK_OK(metrics_of_clips(clips, count, golden_number(&table, 1), &m));
        const double actual[] = {m.auc,
                                 m.auc_source,
                                 m.auc_target,
                                 m.pauc,
                                 m.pauc_source,
                                 m.pauc_target,
                                 m.precision,
                                 m.recall,
                                 m.f1,
                                 m.precision_source,
                                 m.recall_source,
                                 m.f1_source,
                                 m.precision_target,
                                 m.recall_target,
                                 m.f1_target};
        CHECK_INT(table.row.count, 3 + 15);
        for (size_t i = 0; i < 15; i++) {
            check_metric(actual[i], golden_number(&table, 3 + i), 1e-12, table.row.fields[0],
                         table.rows);
        }
    }
    CHECK_INT(table.rows, 300);
}

TEST(ties_count_half) {
    const double scores[] = {1, 1, 1, 1};
    const unsigned char labels[] = {0, 1, 0, 1};
    double auc = 0;
    CHECK_OK(metrics_auc(scores, labels, 4, &auc));
    CHECK_NEAR(auc, 0.5, 0);
    CHECK_OK(metrics_pauc(scores, labels, 4, 0.1, &auc));
    CHECK_NEAR(auc, 0.5, 1e-15);
}

TEST(a_single_class_is_undefined_not_zero) {
    const double scores[] = {1, 2, 3};
    const unsigned char labels[] = {0, 0, 0};
    double auc = 0;
    CHECK_OK(metrics_auc(scores, labels, 3, &auc));
    CHECK(isnan(auc));
    auc = 0;
    CHECK_OK(metrics_auc(scores, labels, 0, &auc));
    CHECK(isnan(auc));
    Metrics m;
    CHECK_OK(metrics_of_clips(NULL, 0, 0.1, &m));
    CHECK(isnan(m.auc) && isnan(m.pauc_target) && isnan(m.f1_source));
}

TEST(unlabelled_clips_change_nothing) {
    MetricClip clips[] = {{.score = 1, .label = 0},
                          {.score = 2, .label = 1, .is_anomaly = true},
                          {.score = 9, .label = -1, .is_anomaly = true},
                          {.score = 0, .label = -1}};
    Metrics m;
    CHECK_OK(metrics_of_clips(clips, 4, 0.1, &m));
    CHECK_NEAR(m.auc, 1, 0);
    CHECK_NEAR(m.pauc, 1, 1e-15);
    CHECK_NEAR(m.precision, 1, 0);
    CHECK(isnan(m.auc_target));
}

TEST(clips_of_unknown_domain_count_only_in_the_whole) {
    MetricClip clips[] = {{.score = 1, .label = 0, .domain = -1},
                          {.score = 2, .label = 1, .domain = -1}};
    Metrics m;
    CHECK_OK(metrics_of_clips(clips, 2, 0.1, &m));
    CHECK_NEAR(m.auc, 1, 0);
    CHECK(isnan(m.auc_source) && isnan(m.pauc_source) && isnan(m.recall_source));
}

TEST(nothing_flagged_right_is_an_f1_of_zero) {
    MetricClip clips[] = {{.score = 1, .label = 0}, {.score = 2, .label = 1}};
    Metrics m;
    CHECK_OK(metrics_of_clips(clips, 2, 0.1, &m));
    CHECK_NEAR(m.precision, 0, 0);
    CHECK_NEAR(m.recall, 0, 0);
    CHECK_NEAR(m.f1, 0, 0);
}

TEST(a_score_that_is_not_a_number_is_refused) {
    const double scores[] = {1, NAN};
    const unsigned char labels[] = {0, 1};
    double auc = 7;
    CHECK_INT(metrics_auc(scores, labels, 2, &auc), STATUS_INVALID);
    CHECK_HAS(status_message(), "score 2 of 2");
    CHECK(auc == 7);
}

TEST(auc_equals_the_count_of_pairs) {
    enum { COUNT = 400 };
    for (uint64_t seed = 0; seed < 20; seed++) {
        Rng rng = rng_of(seed, "auc", 0, 0);
        double scores[COUNT];
        unsigned char labels[COUNT];
        for (int i = 0; i < COUNT; i++) {
            labels[i] = rng_below(&rng, 3) == 0;
            scores[i] = seed % 2 == 0 ? rng_normal(&rng) + labels[i] : rng_below(&rng, 9);
        }
        double won = 0, pairs = 0;
        for (int i = 0; i < COUNT; i++) {
            for (int k = 0; k < COUNT; k++) {
                if (labels[i] == 1 && labels[k] == 0) {
                    won += scores[i] > scores[k] ? 1 : scores[i] == scores[k] ? 0.5 : 0;
                    pairs++;
                }
            }
        }
        double auc = 0;
        CHECK_OK(metrics_auc(scores, labels, COUNT, &auc));
        CHECK_NEAR(auc, won / pairs, 1e-12);
    }
}

// DCASE 2024 Task 2, eval set: AUC source, AUC target, k of pAUC = k / 1900 per machine, and the
// official score of the two baselines.
static void check_official(const double (*rows)[3], size_t machines, double expected) {
    double values[27];
    for (size_t i = 0; i < machines; i++) {
        values[3 * i] = rows[i][0];
        values[3 * i + 1] = rows[i][1];
        values[3 * i + 2] = rows[i][2] / 1900;
    }
    CHECK_NEAR(metrics_mean_harmonic(values, 3 * machines), expected, 1e-14);
}

TEST(harmonic_means_give_the_official_scores_of_2024) {
    static const double MSE[9][3] = {
        {.7912, .4796, 939},  {.65, .4824, 1054},  {.6916, .5374, 952},
        {.7658, .5266, 950},  {.8602, .4388, 954}, {.6224, .4598, 981},
        {.7504, .6948, 1002}, {.6596, .4152, 972}, {.707, .6352, 1056}};
    static const double MAHALA[9][3] = {
        {.7544, .424, 966},  {.661, .555, 1155},  {.5684, .555, 936},
        {.6794, .4464, 935}, {.8388, .464, 1102}, {.606, .5898, 1047},
        {.6556, .579, 919},  {.5834, .425, 984},  {.8032, .7338, 1122}};
    check_official(MSE, 9, 0.5650830191796572);
    check_official(MAHALA, 9, 0.564893342161023);
}

TEST(means_leave_out_what_is_undefined_and_floor_zero) {
    const double values[] = {0.5, NAN, 1.0};
    CHECK_NEAR(metrics_mean_arithmetic(values, 3), 0.75, 0);
    CHECK_NEAR(metrics_mean_harmonic(values, 3), 2.0 / 3.0, 1e-16);
    const double zero[] = {0, 1};
    CHECK_NEAR(metrics_mean_harmonic(zero, 2), 2 * METRICS_FLOOR, 1e-30);
    const double none[] = {NAN};
    CHECK(isnan(metrics_mean_arithmetic(none, 1)) && isnan(metrics_mean_harmonic(none, 0)));
}

// The official baseline's own scores, decisions and result table of six clips.
static void check_baseline_run(const char *score) {
    if (test_shared() == NULL) {
        TEST_SKIP("no shared data");
    }
    char path[1024];
    MetricClip clips[16];
    size_t count = 0;
    snprintf(path, sizeof path, "%s/data/baseline_run/anomaly_score_%s.csv", test_shared(), score);
    CsvReader *scores = NULL, *decisions = NULL, *results = NULL;
    CHECK_OK(csv_reader_open(path, &scores));
    snprintf(path, sizeof path, "%s/data/baseline_run/decision_result_%s.csv", test_shared(),
             score);
    CHECK_OK(csv_reader_open(path, &decisions));
    CsvRow row, decision;
    for (;; count++) {
        CHECK_OK(csv_reader_next(scores, &row));
        CHECK_OK(csv_reader_next(decisions, &decision));
        if (row.count == 0) {
            break;
        }
        CHECK_TEXT(row.fields[0], decision.fields[0]);
        clips[count] = (MetricClip){.score = strtod(row.fields[1], NULL),
                                    .domain = strstr(row.fields[0], "target") != NULL,
                                    .label = strstr(row.fields[0], "anomaly") != NULL,
                                    .is_anomaly = decision.fields[1][0] == '1'};
    }
    CHECK_INT(count, 6);
    Metrics m;
    CHECK_OK(metrics_of_clips(clips, count, 0.1, &m));
    const double actual[] = {m.auc_source,       m.auc_target,    m.pauc,
                             m.pauc_source,      m.pauc_target,   m.precision_source,
                             m.precision_target, m.recall_source, m.recall_target,
                             m.f1_source,        m.f1_target};
    snprintf(path, sizeof path, "%s/data/baseline_run/result_%s.csv", test_shared(), score);
    CHECK_OK(csv_reader_open(path, &results));
    CHECK_OK(csv_reader_next(results, &row));
    CHECK_OK(csv_reader_next(results, &row));
    CHECK_INT(row.count, 12);
    for (size_t i = 0; i < 11; i++) {
        CHECK_NEAR(actual[i], strtod(row.fields[i + 1], NULL), 1e-14);
    }
    csv_reader_free(scores);
    csv_reader_free(decisions);
    csv_reader_free(results);
}

TEST(metrics_equal_the_official_baseline_runs) {
    check_baseline_run("MSE");
    check_baseline_run("MAHALA");
}

TEST(every_failed_allocation_is_reported_and_leaks_nothing) {
    MetricClip clips[] = {{.score = 1, .label = 0}, {.score = 2, .label = 1}};
    long before = mem_blocks();
    for (long n = 0;; n++) {
        Metrics m;
        mem_fail_after(n);
        Status status = metrics_of_clips(clips, 2, 0.1, &m);
        int has_failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK_INT(mem_blocks(), before);
        CHECK_INT(status, has_failed ? STATUS_MEMORY : STATUS_OK);
        if (!has_failed) {
            break;
        }
    }
}

TEST_MAIN_LIST(
    T(metrics_equal_scikit_learns) T(ties_count_half) T(a_single_class_is_undefined_not_zero)
        T(unlabelled_clips_change_nothing) T(clips_of_unknown_domain_count_only_in_the_whole)
            T(nothing_flagged_right_is_an_f1_of_zero) T(a_score_that_is_not_a_number_is_refused)
                T(auc_equals_the_count_of_pairs) T(harmonic_means_give_the_official_scores_of_2024)
                    T(means_leave_out_what_is_undefined_and_floor_zero)
                        T(metrics_equal_the_official_baseline_runs)
                            T(every_failed_allocation_is_reported_and_leaks_nothing))
