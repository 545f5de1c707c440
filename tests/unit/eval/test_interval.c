// SPDX-License-Identifier: Apache-2.0
#include "common/eval/interval.h"

#include "common/base/rng.h"
#include "tests/unit/eval/golden.h"

enum { SECTIONS = 3, CLIPS = 64 };

static const IntervalConfig CONFIG = {OFFICIAL_2022, 0.1, 0, 13711};

// The clips of a field of golden/eval/intervals.csv (its form: make_eval.py).
static size_t clips_of(const char *text, MetricClip *clips) {
    size_t count = 0;
    for (; text[0] != '\0'; text += 2) {
        CHECK(count < CLIPS);
        int score = text[0] >= 'a' ? text[0] - 'a' : text[0] - 'A' + 26;
        int digit = text[1] - '0';
        clips[count++] = (MetricClip){.score = score, .domain = digit / 2, .label = digit % 2};
    }
    return count;
}

static void check_rule(OfficialRule rule, const IntervalSection *sections, double expected) {
    IntervalConfig config = CONFIG;
    Intervals intervals;
    config.rule = rule;
    CHECK_OK(interval_make(&config, sections, SECTIONS, &intervals));
    CHECK_NEAR(intervals.score, expected, 1e-14);
}

TEST(scores_and_intervals_equal_scipys) {
    GoldenTable table = golden_open(AUSCULT_SOURCE_DIR "/tests/golden/eval/intervals.csv");
    while (golden_next(&table)) {
        MetricClip clips[SECTIONS][CLIPS];
        IntervalSection sections[SECTIONS];
        for (size_t s = 0; s < SECTIONS; s++) {
            size_t count = clips_of(table.row.fields[s], clips[s]);
            sections[s] = (IntervalSection){s, clips[s], count};
        }
        check_rule(OFFICIAL_2020, sections, golden_number(&table, 3));
        check_rule(OFFICIAL_2021, sections, golden_number(&table, 4));
        check_rule(OFFICIAL_2022, sections, golden_number(&table, 5));
        Intervals intervals;
        CHECK_OK(interval_make(&CONFIG, sections, SECTIONS, &intervals));
        CHECK_NEAR(intervals.jackknife_half, golden_number(&table, 6), 1e-12);
        CHECK_NEAR(intervals.evaluator_half, golden_number(&table, 7), 1e-12);
        CHECK(isnan(intervals.bootstrap_low)); // none was asked for
    }
    CHECK_INT(table.rows, 12);
}

// ---- the tables that the challenge of 2024 published ----

static double score_2024(const double *source, const double *target, const double *pauc_1900) {
    OfficialSection sections[9] = {{0}};
    for (size_t m = 0; m < 9; m++) {
        sections[m].machine = m;
        sections[m].areas.auc_source = source[m];
        sections[m].areas.auc_target = target[m];
        sections[m].areas.pauc = pauc_1900[m] / 1900;
    }
    return official_score(OFFICIAL_2022, sections, 9);
}

TEST(official_scores_of_2024_are_met) {
    const double mse_source[] = {.7912, .65, .6916, .7658, .8602, .6224, .7504, .6596, .707};
    const double mse_target[] = {.4796, .4824, .5374, .5266, .4388, .4598, .6948, .4152, .6352};
    const double mse_pauc[] = {939, 1054, 952, 950, 954, 981, 1002, 972, 1056};
    CHECK_NEAR(score_2024(mse_source, mse_target, mse_pauc), 0.5650830191796572, 1e-14);
    const double mahala_source[] = {.7544, .661, .5684, .6794, .8388, .606, .6556, .5834, .8032};
    const double mahala_target[] = {.424, .555, .555, .4464, .464, .5898, .579, .425, .7338};
    const double mahala_pauc[] = {966, 1155, 936, 935, 1102, 1047, 919, 984, 1122};
    CHECK_NEAR(score_2024(mahala_source, mahala_target, mahala_pauc), 0.564893342161023, 1e-14);
}

// ---- areas for weights ----

static void draw_clips(MetricClip *clips, size_t count, uint64_t seed) {
    Rng rng = rng_of(seed, "interval test", 0, 0);
    for (size_t i = 0; i < count; i++) {
        int label = (int)rng_below(&rng, 2);
        clips[i] = (MetricClip){.score = rng_below(&rng, 30) + 6 * label,
                                .domain = (int)rng_below(&rng, 3) - 1,
                                .label = rng_below(&rng, 9) == 0 ? -1 : label};
    }
}

static void check_area(double actual, double expected) {
    CHECK(isnan(expected) ? isnan(actual) : fabs(actual - expected) <= 1e-14);
}

TEST(unweighted_areas_are_those_of_the_metrics) {
    for (uint64_t seed = 0; seed < 200; seed++) {
        MetricClip clips[CLIPS];
        size_t count = seed % 50;
        Metrics metrics;
        AreaRanks *ranks;
        draw_clips(clips, count, seed);
        CHECK_OK(metrics_of_clips(clips, count, 0.1, &metrics));
        CHECK_OK(area_ranks_new(clips, count, &ranks));
        Areas areas = area_ranks_areas(ranks, NULL, 0.1);
        check_area(areas.auc, metrics.auc);
        check_area(areas.auc_source, metrics.auc_source);
        check_area(areas.auc_target, metrics.auc_target);
        check_area(areas.pauc, metrics.pauc);
        check_area(areas.pauc_source, metrics.pauc_source);
        check_area(areas.pauc_target, metrics.pauc_target);
        area_ranks_free(ranks);
    }
}

TEST(a_weight_counts_like_as_many_clips) {
    for (uint64_t seed = 0; seed < 100; seed++) {
        MetricClip clips[20], repeated[CLIPS];
        uint32_t weights[20];
        size_t repeats = 0;
        AreaRanks *ranks, *long_ranks;
        Rng rng = rng_of(seed, "weights", 0, 0);
        draw_clips(clips, 20, seed);
        CHECK_OK(area_ranks_new(clips, 20, &ranks));
        for (size_t r = 0; r < area_ranks_count(ranks); r++) {
            weights[r] = rng_below(&rng, 4);
            for (uint32_t w = 0; w < weights[r]; w++) {
                CHECK(repeats < CLIPS);
                repeated[repeats++] = clips[area_ranks_clip(ranks, r)];
            }
        }
        CHECK_OK(area_ranks_new(repeated, repeats, &long_ranks));
        Areas weighted = area_ranks_areas(ranks, weights, 0.2);
        Areas expected = area_ranks_areas(long_ranks, NULL, 0.2);
        check_area(weighted.auc_source, expected.auc_source);
        check_area(weighted.auc_target_alone, expected.auc_target_alone);
        check_area(weighted.pauc, expected.pauc);
        check_area(weighted.pauc_target, expected.pauc_target);
        area_ranks_free(ranks);
        area_ranks_free(long_ranks);
    }
}

TEST(leaving_one_out_gives_the_bits_of_a_weight_of_zero) {
    for (uint64_t seed = 0; seed < 200; seed++) {
        MetricClip clips[CLIPS];
        uint32_t weights[CLIPS];
        double auc[CLIPS], pauc[CLIPS];
        const double max_fpr = seed % 3 == 0 ? 0.1 : seed % 3 == 1 ? 0.37 : 1;
        AreaRanks *ranks;
        draw_clips(clips, 1 + seed % CLIPS, seed);
        CHECK_OK(area_ranks_new(clips, 1 + seed % CLIPS, &ranks));
        area_ranks_leave_one_out(ranks, max_fpr, auc, pauc);
        for (size_t r = 0; r < area_ranks_count(ranks); r++) {
            for (size_t i = 0; i < area_ranks_count(ranks); i++) {
                weights[i] = i != r;
            }
            Areas areas = area_ranks_areas(ranks, weights, max_fpr);
            CHECK(isnan(areas.auc) ? isnan(auc[r]) : auc[r] == areas.auc);
            CHECK(isnan(areas.pauc) ? isnan(pauc[r]) : pauc[r] == areas.pauc);
        }
        area_ranks_free(ranks);
    }
}

// ---- bootstrap ----

// Normals around 0, anomalies around 1.2: AUC has a known deviation, which the bootstrap must find.
static IntervalSection large_section(MetricClip *clips, size_t count) {
    Rng rng = rng_of(5, "large section", 0, 0);
    for (size_t i = 0; i < count; i++) {
        int label = (int)(i % 2);
        clips[i] = (MetricClip){
            .score = rng_normal(&rng) + 1.2 * label, .domain = (int)(i / 2 % 2), .label = label};
    }
    return (IntervalSection){0, clips, count};
}

TEST(bootstrap_and_jackknife_agree_where_both_are_right) {
    enum { COUNT = 800 };
    static MetricClip clips[COUNT];
    IntervalSection section = large_section(clips, COUNT);
    IntervalConfig config = CONFIG;
    Intervals intervals;
    config.resamples = 2000;
    config.max_fpr = 1; // so that the score is smooth in every clip
    CHECK_OK(interval_make(&config, &section, 1, &intervals));
    double half = (intervals.bootstrap_high - intervals.bootstrap_low) / 2;
    CHECK(intervals.bootstrap_low < intervals.score && intervals.score < intervals.bootstrap_high);
    CHECK_NEAR(half / intervals.jackknife_half, 1, 0.1);
    CHECK_NEAR(1.96 * intervals.bootstrap_deviation / half, 1, 0.05);
}

TEST(the_same_seed_draws_the_same_interval) {
    MetricClip clips[CLIPS];
    IntervalSection section = large_section(clips, CLIPS);
    IntervalConfig config = CONFIG;
    Intervals one, two, other;
    config.resamples = 100;
    CHECK_OK(interval_make(&config, &section, 1, &one));
    CHECK_OK(interval_make(&config, &section, 1, &two));
    CHECK(memcmp(&one, &two, sizeof one) == 0);
    config.seed++;
    CHECK_OK(interval_make(&config, &section, 1, &other));
    CHECK(other.bootstrap_low != one.bootstrap_low && other.score == one.score);
}

// ---- what cannot be judged ----

TEST(sections_without_a_class_give_no_interval_and_no_number) {
    MetricClip clips[] = {{.score = 1}, {.score = 2}, {.score = 3}};
    IntervalSection section = {0, clips, 3};
    IntervalConfig config = CONFIG;
    Intervals intervals;
    config.resamples = 10;
    CHECK_OK(interval_make(&config, &section, 1, &intervals));
    CHECK(isnan(intervals.score) && isnan(intervals.bootstrap_low));
    CHECK(isnan(intervals.jackknife_half) && isnan(intervals.evaluator_half));
    CHECK_OK(interval_make(&config, NULL, 0, &intervals));
    CHECK(isnan(intervals.score) && isnan(intervals.jackknife_half));
}

TEST(a_score_that_is_not_a_number_is_refused) {
    MetricClip clips[] = {{.score = 1}, {.score = NAN, .label = 1}};
    IntervalSection section = {0, clips, 2};
    Intervals intervals = {.score = 7};
    CHECK_INT(interval_make(&CONFIG, &section, 1, &intervals), STATUS_INVALID);
    CHECK_HAS(status_message(), "score 2 of 2");
    CHECK(intervals.score == 7);
}

TEST(every_failed_allocation_is_reported_and_leaks_nothing) {
    MetricClip clips[CLIPS];
    IntervalSection section = large_section(clips, CLIPS);
    IntervalConfig config = CONFIG;
    config.resamples = 3;
    long blocks = mem_blocks();
    for (long n = 0;; n++) {
        Intervals intervals;
        mem_fail_after(n);
        Status status = interval_make(&config, &section, 1, &intervals);
        int has_failed = mem_has_failed();
        mem_fail_after(-1);
        CHECK_INT(mem_blocks(), blocks);
        CHECK_INT(status, has_failed ? STATUS_MEMORY : STATUS_OK);
        if (!has_failed) {
            break;
        }
    }
}

TEST_MAIN_LIST(T(scores_and_intervals_equal_scipys) T(official_scores_of_2024_are_met) T(
    unweighted_areas_are_those_of_the_metrics) T(a_weight_counts_like_as_many_clips)
                   T(leaving_one_out_gives_the_bits_of_a_weight_of_zero)
                       T(bootstrap_and_jackknife_agree_where_both_are_right)
                           T(the_same_seed_draws_the_same_interval)
                               T(sections_without_a_class_give_no_interval_and_no_number)
                                   T(a_score_that_is_not_a_number_is_refused)
                                       T(every_failed_allocation_is_reported_and_leaks_nothing))
